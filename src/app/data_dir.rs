//! The data directory of a router that runs: locked, so that no second one uses it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::app::identity::{self, IdentityError};

/// Name of the file that is locked. It stays; what counts is the lock, which ends with the process however that ends.
const LOCK_FILE: &str = "lock";
/// Name of the local control socket.
const SOCKET_FILE: &str = "control.sock";
/// Bytes of the lock file that are read: a process id.
const PID_MAX: u64 = 20;

/// The data directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made or written.
    #[error(transparent)]
    Unusable(#[from] IdentityError),
    /// Another router has it.
    #[error(
        "the data directory {} is in use by another router{}: stop that one, or give this one its own with --data-dir",
        path.display(), Process(holder)
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// What the other one has written of itself.
        holder: String,
    },
    /// The lock cannot be had.
    #[error("cannot lock {}: {error}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

struct Process<'a>(&'a str);

impl std::fmt::Display for Process<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (process {})", self.0) }
    }
}

/// A data directory that is this process's alone, as long as this lives.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory where there is none, and takes it.
    ///
    /// # Errors
    /// When it cannot be written, or another router has it.
    pub fn take(path: &Path) -> Result<Self, DataDirError> {
        identity::prepare_data_dir(path)?;
        let file = path.join(LOCK_FILE);
        let failed = |error| DataDirError::Lock { path: file.clone(), error };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without a number the message is still right.
                let _ = lock.take(PID_MAX).read_to_string(&mut holder);
                let holder = holder.trim().to_owned();
                return Err(DataDirError::InUse { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        lock.set_len(0).and_then(|()| lock.rewind()).map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where the local control socket is.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket_of(&self.path)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // A socket that is left behind is replaced at the next start.
        let _ = std::fs::remove_file(self.socket());
    }
}

/// The control socket of a data directory.
#[must_use]
pub fn socket_of(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once_and_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let first = DataDir::take(&path).unwrap();
        let error = DataDir::take(&path).err().unwrap().to_string();
        let process = format!("(process {})", std::process::id());
        assert!(error.contains("in use by another router") && error.contains(&process), "{error}");
        std::fs::write(first.socket(), b"").unwrap();
        drop(first);
        assert!(!socket_of(&path).exists());
        DataDir::take(&path).unwrap();
    }
}
