//! What `floodway run` puts together before the shards start.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::actor::node::{NodeConfig, PlacementSecret, ShardLimits, is_public};
use crate::app::clock::{ClockFacts, ClockFault, ClockVerdict};
use crate::app::config::{Config, FloodfillMode};
use crate::app::data_dir::DataDir;
use crate::app::identity::default_port;
use crate::app::reseed::{Seeds, background};
use crate::base::id::RouterHash;
use crate::base::limits::TooLittleMemory;
use crate::base::redact::redact_text;
use crate::crypto::PROVIDER;
use crate::crypto::layer::Kernel;
use crate::proto::local::RouterKeys;
use crate::proto::tunnel::admission::Duty;
use crate::runtime::clock;
use crate::runtime::control::socket;
use crate::runtime::entropy::{self, NoEntropy};
use crate::runtime::memory;
use crate::runtime::sys;
use crate::runtime::tcp::LocalSide;
use crate::wire::base64;

/// Routers that all shards together connect to at the start.
const FIRST_DIALS: usize = 8;
/// Refused seed files that are named in the log; the others are counted.
const REFUSED_NAMED: usize = 10;

/// The router cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Nobody knows how to reach us.
    #[error(
        "no interface has a public address{}: give the address at which others reach this router with --host",
        Found(*found)
    )]
    NoPublicAddress {
        /// The address of the interface that leads out, if there is one.
        found: Option<IpAddr>,
    },
    /// The metrics cannot be served.
    #[error("cannot serve metrics at {address}: {error}; choose another address with --metrics")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The system does not say which CPUs we may use.
    #[error("cannot find out which CPUs may be used: {0}; give a number with --shards")]
    Cpus(io::Error),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// No memory for that many shards.
    #[error(transparent)]
    Memory(#[from] TooLittleMemory),
}

struct Found(Option<IpAddr>);

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(ip) => write!(f, " (the one that leads out has {ip})"),
            None => Ok(()),
        }
    }
}

/// The address that is published: from the configuration, or an interface's and the identity's port.
///
/// # Errors
/// When no address is configured and no interface has one that will do.
pub fn published(config: &Config, hash: &RouterHash) -> Result<SocketAddr, SetupError> {
    let host = match config.host {
        Some(host) => host,
        None => {
            let found = outward_address();
            found
                .filter(|ip| config.allow_private || is_public(*ip))
                .ok_or(SetupError::NoPublicAddress { found })?
        }
    };
    Ok(SocketAddr::new(host, config.port.unwrap_or_else(|| default_port(hash))))
}

/// Source address of packets to the Internet, as the routes have it. Nothing is sent.
fn outward_address() -> Option<IpAddr> {
    /// An address of the documentation range: any that is not our own would do.
    const SOMEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SOMEWHERE).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

/// How many shards run: as configured, or one per CPU that may be used.
///
/// # Errors
/// When the system does not say which CPUs those are.
pub fn shards(config: &Config) -> Result<u16, SetupError> {
    if let Some(shards) = config.shards {
        return Ok(shards);
    }
    let cpus = sys::allowed_cpus().map_err(SetupError::Cpus)?.len();
    Ok(u16::try_from(cpus).unwrap_or(u16::MAX).clamp(1, 1024))
}

/// The settings that all shards share.
///
/// # Errors
/// When the system has no randomness for the placement.
pub fn node(
    config: &Config,
    keys: Arc<RouterKeys>,
    published: SocketAddr,
    shards: u16,
) -> Result<NodeConfig, SetupError> {
    let placement = match config.placement_secret {
        Some(secret) => secret.0,
        None => entropy::rng()?.bytes(),
    };
    Ok(NodeConfig {
        keys,
        network: config.network,
        published,
        floodfill: is_floodfill(config.floodfill),
        allow_private: config.allow_private,
        bandwidth: config.bandwidth.bytes_per_second(),
        transit_bandwidth: config.transit_bandwidth(),
        cork: Duration::from_micros(config.cork.into()),
        bandwidth_class: config.bandwidth.class(),
        shards,
        placement: PlacementSecret(placement),
        kernel: kernel(config),
        limits: ShardLimits::within(shards, memory::allowed())?,
        started: clock::unix_time(),
        first_dials: FIRST_DIALS,
        duty: Duty::Serving,
    })
}

/// The tunnel-layer kernel: as configured, or the fastest that this CPU runs.
#[must_use]
pub fn kernel(config: &Config) -> Kernel {
    config.layer_kernel.unwrap_or_else(Kernel::detect)
}

/// The settings that `config` makes of `node` while it runs: only what may change then is taken over.
#[must_use]
pub fn node_under(node: &NodeConfig, config: &Config) -> NodeConfig {
    NodeConfig {
        floodfill: is_floodfill(config.floodfill),
        allow_private: config.allow_private,
        bandwidth: config.bandwidth.bytes_per_second(),
        transit_bandwidth: config.transit_bandwidth(),
        cork: Duration::from_micros(config.cork.into()),
        bandwidth_class: config.bandwidth.class(),
        ..node.clone()
    }
}

fn is_floodfill(mode: FloodfillMode) -> bool {
    match mode {
        FloodfillMode::On => true,
        FloodfillMode::Auto | FloodfillMode::Off => false,
    }
}

/// Binds the address of the metrics, so that a mistake shows before anything runs.
///
/// # Errors
/// When it cannot be bound.
pub fn listen_for_metrics(config: &Config) -> Result<Option<TcpListener>, SetupError> {
    let listen = |address| {
        TcpListener::bind(address).map_err(|error| SetupError::Metrics { address, error })
    };
    config.metrics.map(listen).transpose()
}

/// Looks whether the clock can be right, and says so where nobody keeps it right.
///
/// # Errors
/// When it is wrong.
pub fn check_clock(data_dir: &Path) -> Result<(), ClockFault> {
    match ClockFacts::read(data_dir).judge(data_dir)? {
        ClockVerdict::Plausible => {}
        ClockVerdict::Unsynchronised => tracing::warn!(
            "the kernel says that nobody keeps the clock right: run an NTP client, since other routers refuse one whose \
             clock is a minute off"
        ),
    }
    Ok(())
}

/// Opens the local control socket. Where that cannot be, as where its path is too long, the router runs without.
#[must_use]
pub fn listen_for_control(data_dir: &DataDir) -> Option<UnixListener> {
    let path = data_dir.socket();
    match socket::listen(&path) {
        Ok(listener) => Some(listener),
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "no control socket: status, reload and drain do not work");
            None
        }
    }
}

/// Tells the log what the router begins with.
pub fn log_start(config: &Config, side: &LocalSide, seeds: &Seeds) {
    let routers = seeds.routers.len();
    tracing::info!(network = config.network, routers, "starting");
    tracing::info!(layer = %kernel(config), primitives = PROVIDER, "cryptography chosen");
    if side.dial_from.is_none() {
        tracing::warn!("this machine does not have the published address: others must be led here");
    }
    if config.floodfill == FloodfillMode::Auto {
        tracing::info!("not a floodfill: this version becomes one only with floodfill on");
    }
    match (routers, background::hosts_of(config).len()) {
        (0, 0) => {
            tracing::warn!("no routers are known: waiting for others to connect (see --reseed)");
        }
        (0, hosts) => tracing::warn!(hosts, "no routers are known yet: asking reseed hosts"),
        (_, _) => {}
    }
    if seeds.foreign > 0 {
        tracing::warn!(count = seeds.foreign, "seeds of other networks are left out");
    }
    for (file, reason) in seeds.refused.iter().take(REFUSED_NAMED) {
        // Files of router infos are named after their routers.
        tracing::warn!(file = %redact_text(file), %reason, "a seed file is left out");
    }
    if let Some(more) = seeds.refused.len().checked_sub(REFUSED_NAMED).filter(|more| *more > 0) {
        tracing::warn!(count = more, "more seed files are left out");
    }
}

/// The line that says that the router runs; scripts wait for it.
#[must_use]
pub fn ready_line(hash: &RouterHash, published: SocketAddr, shards: u16) -> String {
    format!("floodway ready: {} at {published}, {shards} shards", base64::encode(&hash.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_what_scripts_wait_for() {
        let line = ready_line(&RouterHash([0; 32]), "51.200.0.1:16000".parse().unwrap(), 2);
        let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(line, format!("floodway ready: {hash} at 51.200.0.1:16000, 2 shards"));
    }
}
