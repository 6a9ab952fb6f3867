//! A live Floodway on the loopback, and routers that are played around it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use floodway::base::frame::Frame;
use floodway::base::id::RouterHash;
use floodway::base::rng::ShardRng;
use floodway::wire::i2np::{I2npMessage, MessageType};
use loadtest::clock::Clock;
use loadtest::driver::{Link, LinkError};
use loadtest::metrics::{Metrics, scrape};
use loadtest::played::{PlayedRouter, Role};
use loadtest::target::{FloodwayOptions, NETWORK, Target, start_floodway};

/// How long an answer may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The router under test.
pub struct Node {
    pub target: Target,
    pub clock: Clock,
}

impl Node {
    /// A floodfill with one shard, and as `change` says.
    pub fn start(change: impl FnOnce(&mut FloodwayOptions)) -> Self {
        let clock = Clock::start();
        let mut options = FloodwayOptions {
            path: Some(PathBuf::from(env!("CARGO_BIN_EXE_floodway"))),
            shards: Some(1),
            floodfill: true,
            ..FloodwayOptions::default()
        };
        change(&mut options);
        Self { target: start_floodway(&options, clock).unwrap(), clock }
    }

    pub fn hash(&self) -> RouterHash {
        self.target.subject.hop.hash
    }

    pub fn metrics(&self) -> Metrics {
        scrape(self.target.metrics.unwrap()).unwrap()
    }

    /// Waits until the metrics are as wanted; what they were last, if they never are.
    pub fn metrics_when(&self, wanted: impl Fn(&Metrics) -> bool) -> Result<Metrics, Metrics> {
        let deadline = self.clock.elapsed() + PATIENCE;
        loop {
            let metrics = self.metrics();
            if wanted(&metrics) {
                return Ok(metrics);
            }
            if self.clock.elapsed() > deadline {
                return Err(metrics);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it to stop; it must do so in order.
    pub fn stop(mut self) {
        let status = self.target.stop(self.clock).unwrap();
        assert!(status.success(), "{status}");
    }
}

/// A played router and its session with the node.
pub struct Player {
    pub router: PlayedRouter,
    pub link: Link,
    clock: Clock,
    /// Keeps its published port from anybody else.
    _listener: TcpListener,
}

/// The router number `n`: published at 127.9.0.`n`, without a session.
pub fn unconnected(n: u8, capabilities: &str, clock: Clock) -> (PlayedRouter, IpAddr, TcpListener) {
    let address = IpAddr::V4(Ipv4Addr::new(127, 9, 0, n));
    let listener = TcpListener::bind(SocketAddr::new(address, 0)).unwrap();
    let role = Role {
        network: NETWORK,
        address: listener.local_addr().unwrap(),
        capabilities: capabilities.to_owned(),
    };
    (PlayedRouter::new(role, [n; 32], clock.now().unix), address, listener)
}

impl Player {
    /// Router number `n`, connected to `node`.
    pub fn join(node: &Node, n: u8, capabilities: &str) -> Self {
        let (router, address, listener) = unconnected(n, capabilities, node.clock);
        let mut router = router;
        let endpoint = &node.target.subject.endpoint;
        let link = Link::dial(&mut router, endpoint, address, node.clock).unwrap();
        Self { router, link, clock: node.clock, _listener: listener }
    }

    pub fn hash(&self) -> RouterHash {
        self.router.hash()
    }

    /// Sends a message with this body.
    pub fn send(&mut self, kind: MessageType, body: Frame) {
        let message = self.router.message(kind, body, self.clock.now());
        self.send_message(&message);
    }

    pub fn send_message(&mut self, message: &I2npMessage) {
        self.link.send(&mut self.router, message).unwrap();
    }

    /// The next message of this type.
    pub fn expect(&mut self, kind: MessageType) -> I2npMessage {
        self.try_expect(kind, PATIENCE).unwrap()
    }

    pub fn try_expect(
        &mut self,
        kind: MessageType,
        patience: Duration,
    ) -> Result<I2npMessage, LinkError> {
        self.link.expect(&mut self.router, kind, patience)
    }
}

/// Writes router infos as a directory of seeds.
pub fn write_seeds<'a>(folder: &Path, infos: impl Iterator<Item = (RouterHash, &'a [u8])>) {
    for (hash, bytes) in infos {
        std::fs::write(folder.join(seed_name(&hash)), bytes).unwrap();
    }
}

/// The usual name of a seed.
pub fn seed_name(hash: &RouterHash) -> String {
    format!("routerInfo-{}.dat", floodway::wire::base64::encode(&hash.0))
}

/// A source of randomness for test data.
pub fn rng(n: u8) -> ShardRng {
    ShardRng::from_seed([n; 32])
}
