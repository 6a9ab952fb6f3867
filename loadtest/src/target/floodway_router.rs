//! Floodway as the router under test.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::clock::Clock;

use super::{NETWORK, Target, data_directory, free_port, spawn, version_of, wait_until_ready};

/// How Floodway is started.
#[derive(Clone, Debug, Default)]
pub struct FloodwayOptions {
    /// The program; by default the one beside the load tool.
    pub path: Option<PathBuf>,
    /// Shards; one per processor if `None`.
    pub shards: Option<u16>,
    /// Whether it is a floodfill.
    pub floodfill: bool,
    /// Whether private addresses are treated as public ones are: their connections are counted by source.
    pub strict: bool,
    /// Where its first routers come from: a directory of router infos, or a zip file; none if `None`.
    pub reseed: Option<PathBuf>,
    /// Further arguments of `run`.
    pub arguments: Vec<OsString>,
}

/// Bandwidth that no test on one machine reaches: what is measured is what the machine can do.
const UNLIMITED: [&str; 4] = ["--bandwidth", "10Gbit/s", "--transit-share", "100"];

/// Starts Floodway on 127.0.0.1, with no limit of bandwidth that would count.
///
/// # Errors
/// When there is no program, or it does not come up.
pub fn start_floodway(options: &FloodwayOptions, clock: Clock) -> Result<Target> {
    let path = match &options.path {
        Some(path) => path.clone(),
        None => beside_us()?,
    };
    let version = version_of(&mut Command::new(&path));
    let data = data_directory()?;
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let metrics = SocketAddr::new(address, free_port(address)?);
    let mut command = Command::new(&path);
    command.arg("run").arg("--data-dir").arg(data.path().join("data"));
    command.args(["--network-id", &NETWORK.to_string(), "--host", &address.to_string()]);
    command.args(["--port", &free_port(address)?.to_string()]);
    if !options.strict {
        command.arg("--allow-private");
    }
    command.arg("--reseed");
    command.arg(options.reseed.clone().unwrap_or_else(|| PathBuf::from("none")));
    command.args(["--metrics", &metrics.to_string()]);
    command.args(["--floodfill", if options.floodfill { "on" } else { "off" }]);
    command.args(UNLIMITED);
    if let Some(shards) = options.shards {
        command.args(["--shards", &shards.to_string()]);
    }
    command.args(&options.arguments);
    let log = data.path().join("output.log");
    let mut child = spawn(command, &log)?;
    let subject = wait_until_ready(&mut child, &data.path().join("data/router.info"), &log, clock)
        .context("floodway does not run")?;
    let shards = options.shards.map_or("one shard per core".to_owned(), |shards| match shards {
        1 => "1 shard".to_owned(),
        more => format!("{more} shards"),
    });
    let floodfill = if options.floodfill { "floodfill" } else { "no floodfill" };
    let settings = format!("NTCP2 only, {floodfill}, {shards}");
    Ok(Target { kind: "floodway", version, settings, metrics: Some(metrics), subject, child, data })
}

/// The Floodway that was built together with this program.
///
/// # Errors
/// When there is none.
pub fn beside_us() -> Result<PathBuf> {
    let us = std::env::current_exe()?;
    let path = us.with_file_name("floodway");
    if !path.is_file() {
        bail!(
            "no floodway beside {}: build it (cargo build --release) or name one with --floodway",
            us.display()
        );
    }
    Ok(path)
}
