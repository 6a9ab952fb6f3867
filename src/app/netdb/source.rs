//! Where the commands read the netdb: from the router that runs with a data directory, or else from its file.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::file_of;
use crate::app::data_dir::socket_of;
use crate::base::id::RouterHash;
use crate::runtime::control::socket::{self, RECORDS_MAX, Request};
use crate::runtime::record_file::{Entries, RecordFile, RecordFileError};
use crate::wire::base64;

/// The netdb of a data directory.
pub enum Source {
    /// A router runs there and is asked, by this socket.
    Running(PathBuf),
    /// None does.
    File(Box<RecordFile>),
}

/// The netdb cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// From its file.
    #[error(transparent)]
    File(#[from] RecordFileError),
    /// From the router that runs.
    #[error("the router at {} does not answer: {error}", path.display())]
    Silent {
        /// Its socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The router refuses.
    #[error("{0}")]
    Refused(String),
    /// The router answers something else than was asked: it is of another version.
    #[error(
        "the router that runs answers in a way that this program does not know: are they of one version?"
    )]
    Strange,
}

impl Source {
    /// The netdb of `data_dir`.
    ///
    /// # Errors
    /// When no router runs there and there is no file that can be read.
    pub fn open(data_dir: &Path) -> Result<Self, SourceError> {
        let socket = socket_of(data_dir);
        match ask(&socket, None, 1) {
            Ok(_) => Ok(Self::Running(socket)),
            Err(SourceError::Silent { error, .. }) if is_nobody(&error) => {
                Ok(Self::File(Box::new(RecordFile::open_existing(&file_of(data_dir))?)))
            }
            Err(error) => Err(error),
        }
    }

    /// What is read, for people.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Running(socket) => format!("the router at {}", socket.display()),
            Self::File(file) => file.path().display().to_string(),
        }
    }

    /// Has `take` see every RouterInfo, in the order of the routers' hashes.
    ///
    /// # Errors
    /// When the netdb cannot be read, and what `take` returns.
    pub fn for_each<E: From<SourceError>>(
        &self,
        mut take: impl FnMut(&RouterHash, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = None;
        loop {
            let page = self.page(after, RECORDS_MAX)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            for (router, info) in &page {
                take(router, info)?;
            }
        }
    }

    /// The RouterInfo of `router`.
    ///
    /// # Errors
    /// When the netdb cannot be read.
    pub fn find(&self, router: &RouterHash) -> Result<Option<Box<[u8]>>, SourceError> {
        let mut page = self.page(predecessor(router), 1)?;
        Ok(page.pop().filter(|(found, _)| found == router).map(|(_, info)| info))
    }

    fn page(&self, after: Option<RouterHash>, count: u16) -> Result<Entries, SourceError> {
        match self {
            Self::Running(socket) => ask(socket, after, count),
            Self::File(file) => Ok(file.page(after, usize::from(count))?),
        }
    }
}

/// Whether this says that no router runs.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The hash before this one, as numbers go.
fn predecessor(router: &RouterHash) -> Option<RouterHash> {
    let mut bytes = router.0;
    for byte in bytes.iter_mut().rev() {
        let borrows = *byte == 0;
        *byte = byte.wrapping_sub(1);
        if !borrows {
            return Some(RouterHash(bytes));
        }
    }
    None
}

fn ask(socket: &Path, after: Option<RouterHash>, count: u16) -> Result<Entries, SourceError> {
    let answer = socket::ask(socket, Request::Records { after, count })
        .map_err(|error| SourceError::Silent { path: socket.to_owned(), error })?;
    if let Some(reason) = answer.get("error").and_then(Value::as_str) {
        return Err(SourceError::Refused(reason.to_owned()));
    }
    let records = answer.get("records").and_then(Value::as_array).ok_or(SourceError::Strange)?;
    records.iter().map(|record| read_record(record).ok_or(SourceError::Strange)).collect()
}

fn read_record(record: &Value) -> Option<(RouterHash, Box<[u8]>)> {
    let bytes = |name| base64::decode(record.get(name)?.as_str()?);
    let router = bytes("router")?.try_into().ok()?;
    Some((RouterHash(router), bytes("info")?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_before() {
        let mut one = [0; 32];
        assert_eq!(predecessor(&RouterHash(one)), None);
        one[30] = 1;
        let mut before = [0; 32];
        before[31] = 255;
        assert_eq!(predecessor(&RouterHash(one)), Some(RouterHash(before)));
        one[31] = 7;
        before[30] = 1;
        before[31] = 6;
        assert_eq!(predecessor(&RouterHash(one)), Some(RouterHash(before)));
    }
}
