//! `floodway health`: asks a running router over HTTP, for containers without tools of their own.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Time for each step of the question.
const STEP_MAX: Duration = Duration::from_secs(3);
/// Bytes of an answer that are read.
const ANSWER_MAX: u64 = 4096;

/// The router is not well.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// It does not answer.
    #[error("no answer from {address}: {error}; is the router running with --metrics {address}?")]
    Silent {
        /// Where it was asked.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// It answers that it is not well.
    #[error("not healthy: {answer}")]
    Unwell {
        /// Its words.
        answer: String,
    },
}

/// Asks the router that serves its metrics at `address`.
///
/// # Errors
/// When it does not answer, or says that it is not well.
pub fn run(address: SocketAddr) -> Result<(), HealthError> {
    let answer = ask(address).map_err(|error| HealthError::Silent { address, error })?;
    let status = answer.split_whitespace().nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let words = if body.trim().is_empty() { head.lines().next().unwrap_or_default() } else { body };
    Err(HealthError::Unwell { answer: words.trim().to_owned() })
}

fn ask(mut address: SocketAddr) -> io::Result<String> {
    // An address to listen on everywhere is reached over loopback.
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    let mut stream = TcpStream::connect_timeout(&address, STEP_MAX)?;
    stream.set_read_timeout(Some(STEP_MAX))?;
    stream.set_write_timeout(Some(STEP_MAX))?;
    // In one piece: a server that answers what it has and closes would reset the rest.
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answered(answer: &'static str) -> Result<(), HealthError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut piece = [0; 512];
                let length = stream.read(&mut piece).unwrap();
                assert!(length > 0, "the request breaks off");
                request.extend_from_slice(&piece[..length]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        let result = run(address);
        assert!(server.join().unwrap().starts_with("GET /health "));
        result
    }

    #[test]
    fn the_status_decides() {
        answered("HTTP/1.1 200 OK\r\n\r\nok\n").unwrap();
        let text =
            answered("HTTP/1.1 503 Service Unavailable\r\n\r\nstopping\n").unwrap_err().to_string();
        assert_eq!(text, "not healthy: stopping");
        assert!(answered("").is_err());
    }

    #[test]
    fn silence_is_an_error() {
        let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(run(unused).unwrap_err().to_string().contains("--metrics"));
    }
}
