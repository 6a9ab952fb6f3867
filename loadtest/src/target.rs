//! The router under test: started on the loopback with a data directory of its own, and ended by its process id.

mod floodway_router;
mod i2pd;

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use floodway::proto::tunnel::build_creator::CreatorHop;
use floodway::wire::router_info::RouterInfo;

use crate::clock::Clock;
use crate::swarm::Subject;
use crate::system;

pub use floodway_router::{FloodwayOptions, beside_us, start_floodway};
pub use i2pd::{I2pdOptions, start_i2pd};

/// The network that load tests happen in: never the live one.
pub const NETWORK: u8 = 99;
/// Time that a router may take until it listens.
const START_TIME_MAX: Duration = Duration::from_secs(20);
/// Time that a router may take to stop before it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// A running router under test. Dropping it ends the process and removes its data directory.
pub struct Target {
    /// What it is: `floodway` or `i2pd`.
    pub kind: &'static str,
    /// What it calls its version.
    pub version: String,
    /// How it was started, without paths.
    pub settings: String,
    /// Address of its metrics, if it has any.
    pub metrics: Option<SocketAddr>,
    /// How its neighbours know it.
    pub subject: Subject,
    child: Child,
    data: tempfile::TempDir,
}

impl Target {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// CPU time that it has used so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        system::cpu_time(self.pid()).with_context(|| format!("{} has ended", self.kind))
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to stop, and kills it when it does not within 10 s. Its exit status.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn stop(&mut self, clock: Clock) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        terminate(&self.child)?;
        let deadline = clock.elapsed() + STOP_TIME_MAX;
        while clock.elapsed() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Whoever wanted an orderly end has called `stop`; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn terminate(child: &Child) -> io::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let Some(pid) = pid else { return Ok(()) };
    match rustix::process::kill_process(pid, rustix::process::Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A port of `address` that nobody listens on at the moment.
///
/// # Errors
/// When there is none.
pub fn free_port(address: std::net::IpAddr) -> io::Result<u16> {
    Ok(TcpListener::bind((address, 0))?.local_addr()?.port())
}

/// Starts `command` with its output in `log`.
fn spawn(mut command: Command, log: &Path) -> Result<Child> {
    let file = fs::File::create(log)?;
    let program = command.get_program().to_owned();
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Waits until `child` has written a RouterInfo to `path` and listens at the address in it.
fn wait_until_ready(child: &mut Child, path: &Path, log: &Path, clock: Clock) -> Result<Subject> {
    let deadline = clock.elapsed() + START_TIME_MAX;
    while clock.elapsed() < deadline {
        if let Some(status) = child.try_wait()? {
            bail!("it ended at once ({status}): {}", tail(log));
        }
        if let Some(subject) = read_subject(path)
            && TcpStream::connect(subject.endpoint.address).is_ok()
        {
            return Ok(subject);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(child.kill());
    drop(child.wait());
    bail!("it was not ready within {START_TIME_MAX:?}: {}", tail(log))
}

/// The router whose RouterInfo this file holds; `None` while it is not there, not whole, or without an NTCP2 address.
#[must_use]
pub fn read_subject(path: &Path) -> Option<Subject> {
    let bytes = fs::read(path).ok()?;
    let info = RouterInfo::parse(&bytes).ok()?.verify().ok()?;
    let endpoint = info.ntcp2_endpoint()?;
    let static_key = info.identity().encryption_key()?;
    Some(Subject { endpoint, hop: CreatorHop { hash: info.hash(), static_key } })
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(8);
    lines.get(start..).unwrap_or_default().join("\n")
}

/// What a program prints when asked for its version, cut down to the number.
fn version_of(command: &mut Command) -> String {
    let output = command.arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let number = text
        .split_ascii_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    number.unwrap_or("unknown").to_owned()
}

/// A directory for the data of a router under test.
fn data_directory() -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("loadtest-").tempdir()
}

/// The directory that the test network has installed its routers in.
fn testnet_home() -> PathBuf {
    let home = std::env::var_os("TESTNET_HOME").map(PathBuf::from);
    home.unwrap_or_else(|| {
        let user = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        user.join(".cache/i2p-testnet")
    })
}
