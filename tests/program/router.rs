//! A router as a program that tests start, ask and end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program, without settings of whoever runs the test.
pub fn floodway(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_floodway"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FLOODWAY_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

pub fn run_in(directory: &Path, args: &[&str]) -> Output {
    let mut command = floodway(args);
    command.env("FLOODWAY_DATA_DIR", directory).output().unwrap()
}

/// Exit code and what was written to standard error.
pub fn failure(directory: &Path, args: &[&str]) -> (i32, String) {
    let output = run_in(directory, args);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A router that runs until it is stopped or dropped.
pub struct Router {
    pub child: Child,
    pub ready: String,
    pub port: u16,
    pub metrics: u16,
}

impl Router {
    /// A router that runs in `directory`, with `more` arguments.
    pub fn start(directory: &Path, more: &[&str]) -> Self {
        Self::start_by(floodway(&[]), directory, more)
    }

    /// The same, by a command of which only the arguments are missing.
    pub fn start_by(mut command: Command, directory: &Path, more: &[&str]) -> Self {
        let (port, metrics) = (free_port(), free_port());
        let mut child = command
            .args(["run", "--network-id", "99", "--host", "127.0.0.1", "--allow-private"])
            .args(["--port", &port.to_string(), "--metrics", &format!("127.0.0.1:{metrics}")])
            .args(["--data-dir", directory.to_str().unwrap()])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        Self { child, ready, port, metrics }
    }

    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    pub fn exit_code(&mut self) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // It has ended already in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
