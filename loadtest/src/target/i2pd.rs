//! i2pd as the router under test, with its limits lifted.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::clock::Clock;

use super::{
    NETWORK, Target, data_directory, free_port, spawn, testnet_home, version_of, wait_until_ready,
};

/// How i2pd is started.
#[derive(Clone, Debug, Default)]
pub struct I2pdOptions {
    /// The program, or the folder of an installation of the test network; by default its 2.56.0.
    pub path: Option<PathBuf>,
}

/// Starts i2pd on 127.0.0.1.
///
/// # Errors
/// When it is not installed, or does not come up.
pub fn start_i2pd(options: &I2pdOptions, clock: Clock) -> Result<Target> {
    let path = options.path.clone().unwrap_or_else(|| testnet_home().join("i2pd-mid"));
    let version = version_of(&mut program(&path)?);
    let data = data_directory()?;
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let port = free_port(address)?;
    let config = data.path().join("i2pd.conf");
    fs::write(&config, configuration(address, port))?;
    fs::write(data.path().join("tunnels.conf"), "")?;
    let mut command = program(&path)?;
    command.arg(format!("--datadir={}", data.path().display()));
    command.arg(format!("--conf={}", config.display()));
    command.arg(format!("--tunconf={}", data.path().join("tunnels.conf").display()));
    let log = data.path().join("output.log");
    let mut child = spawn(command, &log)?;
    let subject = wait_until_ready(&mut child, &data.path().join("router.info"), &log, clock)
        .context("i2pd does not run")?;
    let settings = "NTCP2 only, no floodfill, limits lifted".to_owned();
    Ok(Target { kind: "i2pd", version, settings, metrics: None, subject, child, data })
}

/// The command that runs i2pd: the program itself, or, of an unpacked installation, under the dynamic linker and with
/// the libraries of its own release.
fn program(path: &Path) -> Result<Command> {
    if path.is_file() {
        return Ok(Command::new(path));
    }
    let first = |candidates: &[&str]| candidates.iter().map(|c| path.join(c)).find(|p| p.exists());
    let linkers = [
        "lib64/ld-linux-x86-64.so.2",
        "usr/lib64/ld-linux-x86-64.so.2",
        "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    ];
    let (Some(program), Some(linker)) =
        (first(&["usr/sbin/i2pd", "usr/bin/i2pd"]), first(&linkers))
    else {
        bail!(
            "no i2pd in {}: install it with tests/interop/testnet.py setup --only i2pd-mid, or name one with --i2pd",
            path.display()
        );
    };
    let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
    let libraries: Vec<String> = libraries
        .iter()
        .map(|folder| path.join(folder))
        .filter(|folder| folder.is_dir())
        .map(|folder| folder.display().to_string())
        .collect();
    let mut command = Command::new(linker);
    command.arg("--library-path").arg(libraries.join(":")).arg(program);
    Ok(command)
}

fn configuration(address: IpAddr, port: u16) -> String {
    let mut text = format!(
        "netid = {NETWORK}\nlog = stdout\nloglevel = warn\ndaemon = false\nipv4 = true\nipv6 = false\n\
         address4 = {address}\nhost = {address}\nport = {port}\nnat = false\nreservedrange = false\n\
         bandwidth = 10000000\nshare = 100\nfloodfill = false\nnotransit = false\n\
         [ntcp2]\nenabled = true\npublished = true\nport = {port}\n\
         [ssu2]\nenabled = false\npublished = false\n\
         [limits]\ntransittunnels = 60000\nopenfiles = 0\n\
         [exploratory]\ninbound.quantity = 1\noutbound.quantity = 1\n\
         [reseed]\nthreshold = 0\nurls = \n"
    );
    for service in ["http", "sam", "httpproxy", "socksproxy", "i2cp", "bob", "i2pcontrol"] {
        // Writing to a string does not fail.
        let _ = writeln!(text, "[{service}]\nenabled = false");
    }
    text.push_str("[upnp]\nenabled = false\n[nettime]\nenabled = false\n");
    text.push_str("[addressbook]\nenabled = true\ndefaulturl = http://none.invalid/\n");
    text.push_str("subscriptions = http://none.invalid/\n");
    text
}
