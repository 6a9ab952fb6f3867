//! The local control socket: one line with a request, one line with a JSON object as its answer.
//!
//! Who may open the socket (mode 0600, in a directory of mode 0700) may stop the router anyway.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::{Control, Refused};
use crate::base::id::RouterHash;
use crate::base::limits::ROUTER_INFO_MAX;
use crate::runtime::sys;
use crate::wire::base64;

/// Clients served at once; others wait in the kernel's queue.
const CLIENTS_MAX: usize = 4;
/// Bytes of a request, its end of line included.
const REQUEST_MAX: usize = 64;
/// Bytes of an answer that a client takes.
const ANSWER_MAX: u64 = 1024 * 1024;
/// RouterInfos of one answer at most, so that it stays below what a client takes.
pub const RECORDS_MAX: u16 = 128;
/// Time for a request to arrive, and for an answer to be taken.
const TRANSFER_TIME_MAX: Duration = Duration::from_secs(5);
/// Time in which a router answers; a reload may have to read thousands of files.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
// A RouterInfo in base64 with its router's hash and what JSON needs around it.
const _: () = assert!((ROUTER_INFO_MAX * 4 / 3 + 100) * (RECORDS_MAX as usize) < 1024 * 1024);
/// Pause after a failure to accept, which comes of a want of descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// How the router is.
    Status,
    /// To read its configuration anew.
    Reload,
    /// To take no new tunnels, and to stop when those that there are have ended.
    Drain,
    /// Which RouterInfos the netdb's file holds, in the order of their routers' hashes.
    Records {
        /// The router behind which to begin; absent for the first.
        after: Option<RouterHash>,
        /// How many at most, up to [`RECORDS_MAX`].
        count: u16,
    },
}

/// Words of the requests that are a word alone.
const WORDS: [(&str, Request); 3] =
    [("status", Request::Status), ("reload", Request::Reload), ("drain", Request::Drain)];
/// Word of the request for records, with what follows it.
const RECORDS: &str = "records";
/// Stands for the absent router.
const FROM_START: &str = "-";

impl Request {
    /// Its line on the socket, without the end of line.
    #[must_use]
    pub fn line(self) -> String {
        match self {
            Request::Status => "status".to_owned(),
            Request::Reload => "reload".to_owned(),
            Request::Drain => "drain".to_owned(),
            Request::Records { after, count } => {
                let after = after.map(|router| base64::encode(&router.0));
                format!("{RECORDS} {count} {}", after.as_deref().unwrap_or(FROM_START))
            }
        }
    }
}

/// Opens the socket at `path`, for the owner alone from its first moment. What stands there is replaced: whoever calls
/// this holds the lock of the directory, so that no other router can be behind it.
///
/// # Errors
/// What the system reports; a path of more than about 100 bytes is too long for a socket.
pub fn listen(path: &Path) -> io::Result<StdListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    // The mode of the unbound socket becomes that of the file.
    sys::set_mode(&socket, 0o600)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    socket.listen(16)?;
    Ok(socket.into())
}

/// Asks the router whose socket is at `path`.
///
/// # Errors
/// What the system reports where nobody answers; `NotFound` and `ConnectionRefused` mean that no router runs.
pub fn ask(path: &Path, request: Request) -> io::Result<Value> {
    let mut stream = StdStream::connect(path)?;
    stream.set_write_timeout(Some(TRANSFER_TIME_MAX))?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    stream.write_all((request.line() + "\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(io::Read::take(stream, ANSWER_MAX)).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer"));
    }
    serde_json::from_str(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Serves until the control thread ends.
pub(super) async fn serve(listener: UnixListener, control: Control) {
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        // Closed only when dropped, and it is not.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let control = control.clone();
                tokio::spawn(async move {
                    serve_one(stream, &control).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a client of the control socket is not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_one(mut stream: UnixStream, control: &Control) {
    let request = tokio::time::timeout(TRANSFER_TIME_MAX, read_request(&mut stream)).await;
    let answer = match request {
        Ok(Ok(request)) => answer(request, control).await,
        Ok(Err(refused)) => Err(refused),
        Err(_) => Err(Refused("no request came in time".to_owned())),
    };
    let mut line = match answer {
        Ok(Value::Object(mut object)) => {
            object.insert("ok".to_owned(), Value::Bool(true));
            Value::Object(object).to_string()
        }
        Ok(other) => json!({ "ok": true, "answer": other }).to_string(),
        Err(Refused(reason)) => json!({ "ok": false, "error": reason }).to_string(),
    };
    line.push('\n');
    // A client that leaves early wants no answer.
    let _ = tokio::time::timeout(TRANSFER_TIME_MAX, stream.write_all(line.as_bytes())).await;
}

async fn answer(request: Request, control: &Control) -> Result<Value, Refused> {
    match request {
        Request::Status => Ok(control.status().await),
        Request::Reload => control.reload().await,
        Request::Drain => control.drain().await,
        Request::Records { after, count } => control.records(after, count).await,
    }
}

async fn read_request(stream: &mut UnixStream) -> Result<Request, Refused> {
    let mut line = [0; REQUEST_MAX];
    let mut length = 0;
    loop {
        let rest = line.get_mut(length..).unwrap_or_default();
        let read = stream.read(rest).await.map_err(|error| Refused(error.to_string()))?;
        length += read;
        let so_far = line.get(..length).unwrap_or_default();
        if let Some(end) = so_far.iter().position(|byte| *byte == b'\n') {
            return parse(so_far.get(..end).unwrap_or_default());
        }
        if read == 0 || length == REQUEST_MAX {
            return Err(Refused(format!("a request is one line of less than {REQUEST_MAX} bytes")));
        }
    }
}

fn parse(line: &[u8]) -> Result<Request, Refused> {
    let line = str::from_utf8(line).unwrap_or_default();
    let word = WORDS.into_iter().find(|(word, _)| *word == line).map(|(_, request)| request);
    word.or_else(|| parse_records(line)).ok_or_else(|| {
        let words = WORDS.map(|(word, _)| word).join(", ");
        Refused(format!("requests are {words}, {RECORDS} COUNT HASH"))
    })
}

fn parse_records(line: &str) -> Option<Request> {
    let (count, after) = line.strip_prefix(RECORDS)?.strip_prefix(' ')?.split_once(' ')?;
    let count = count.parse().ok().filter(|count| (1..=RECORDS_MAX).contains(count))?;
    let after = match after {
        FROM_START => None,
        router => Some(RouterHash(base64::decode(router)?.try_into().ok()?)),
    };
    Some(Request::Records { after, count })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn requests_have_words() {
        for (word, request) in WORDS {
            assert_eq!(request.line(), word);
            assert_eq!(parse(word.as_bytes()), Ok(request));
        }
        let text = parse(b"stop").unwrap_err().to_string();
        assert_eq!(text, "requests are status, reload, drain, records COUNT HASH");
    }

    #[test]
    fn records_are_asked_for_by_number_and_place() {
        for (after, count) in [(None, 1), (Some(RouterHash([0xff; 32])), RECORDS_MAX)] {
            let request = Request::Records { after, count };
            let line = request.line();
            assert!(line.len() < REQUEST_MAX, "{line}");
            assert_eq!(parse(line.as_bytes()), Ok(request));
        }
        for line in [
            "records",
            "records 0 -",
            "records 129 -",
            "records 1 AAAA",
            "records 1",
            "records x -",
        ] {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn the_socket_is_the_owners_alone_and_a_stale_one_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        for _ in 0..2 {
            let listener = listen(&path).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            drop(listener);
            let refused = ask(&path, Request::Status).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        }
        std::fs::remove_file(&path).unwrap();
        let missing = ask(&path, Request::Status).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
