//! The program under test with its counters, its well-behaved neighbours, and the table of what happened.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use floodway::base::frame::Frame;
use floodway::proto::tunnel::build_creator::CreatorHop;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::router_address::Ntcp2Endpoint;
use floodway::wire::router_info::RouterInfo;
use loadtest::clock::Clock;
use loadtest::driver::Link;
use loadtest::played::{PlayedRouter, Role};
use loadtest::target::{NETWORK, free_port};

/// Outcome: the connection was ended by the program.
pub const CLOSED: &str = "closed";
/// Outcome: the session goes on, a lookup over it is answered.
pub const GOES_ON: &str = "session goes on";
/// Outcome: neither.
pub const MUTE: &str = "neither closed nor answered";
/// Counter of handshakes that were not finished in time.
pub const TIMEOUTS: &str = "handshake_timeout";
/// Counter of build requests that were refused with an answer.
pub const REFUSED_BUILDS: &str = "builds refused";
/// Counter of build requests whose next hop is the previous one.
pub const THERE_AND_BACK: &str = "builds there and back";
/// No counter at all.
pub const NONE: &str = "-";
/// Time that anything may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Reasons that have nothing to do with what is sent here: the program tries to visit routers that do not listen.
const BACKGROUND: [&str; 3] = ["dial_failed", "router_unreachable", TIMEOUTS];

/// The address that router `n` comes from.
pub fn source(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, n))
}

/// What router `n` says of itself.
pub fn role(n: u8, network: u8) -> Role {
    let address = SocketAddr::new(source(n), 20_000 + u16::from(n));
    Role { network, address, capabilities: "OR".to_owned() }
}

/// The played router `n`.
pub fn played(n: u8, clock: Clock) -> PlayedRouter {
    PlayedRouter::new(role(n, NETWORK), [n; 32], clock.now().unix)
}

/// The running program.
pub struct Program {
    child: Child,
    metrics: u16,
    data: tempfile::TempDir,
}

impl Program {
    /// Starts it with the RouterInfos in `seeds`, and waits until it is ready.
    pub fn start(seeds: &Path) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (port, metrics) = (free_port(source(1)).unwrap(), free_port(source(1)).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_floodway"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FLOODWAY_") {
                command.env_remove(name);
            }
        }
        command.args(["run", "--network-id", &NETWORK.to_string(), "--host", "127.0.0.1"]);
        command.args(["--port", &port.to_string(), "--allow-private", "--floodfill"]);
        command.args(["--metrics", &format!("127.0.0.1:{metrics}"), "--shards", "1"]);
        // A thousand messages at once are no more than it may carry.
        command.args(["--bandwidth", "10Gbit/s"]);
        command.arg("--reseed").arg(seeds).arg("--data-dir").arg(data.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.starts_with("floodway ready: "), "{ready}");
        let mut tries = 0;
        while !data.path().join("router.info").exists() {
            tries += 1;
            assert!(tries < 500, "ready for 5 s, and still no router.info");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, metrics, data }
    }

    fn info(&self) -> RouterInfo {
        let bytes = fs::read(self.data.path().join("router.info")).unwrap();
        RouterInfo::parse(&bytes).unwrap().verify().unwrap()
    }

    /// How to connect to it.
    pub fn endpoint(&self) -> Ntcp2Endpoint {
        self.info().ntcp2_endpoint().unwrap()
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let name = if series.starts_with("floodway_drops_total{") {
                series.split_once("reason=\"").unwrap().1.split('"').next().unwrap()
            } else if series.starts_with("floodway_builds_total{") && series.contains("refused") {
                REFUSED_BUILDS
            } else if series.starts_with("floodway_builds_there_and_back_total{") {
                THERE_AND_BACK
            } else {
                continue;
            };
            *counts.entry(name.to_owned()).or_default() += value.parse::<u64>().unwrap();
        }
        assert!(counts.len() > 40, "{text}");
        counts
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks it to stop; its exit code, unless it takes longer than `patience`.
    pub fn stop(&mut self, clock: Clock, patience: Duration) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let deadline = clock.elapsed() + patience;
        while clock.elapsed() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, unless the test fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A played router with an established session.
pub struct Neighbour {
    pub router: PlayedRouter,
    pub link: Link,
    pub clock: Clock,
}

impl Neighbour {
    /// Connects router `n`.
    pub fn dial(mut router: PlayedRouter, to: &Ntcp2Endpoint, n: u8, clock: Clock) -> Self {
        let link = Link::dial(&mut router, to, source(n), clock).unwrap();
        Self { router, link, clock }
    }

    /// A message that lives as long as usual.
    pub fn message(&mut self, kind: MessageType, body: impl Into<Frame>) -> I2npMessage {
        self.router.message(kind, body.into(), self.clock.now())
    }

    /// Sends a message.
    pub fn send(&mut self, message: &I2npMessage) {
        self.link.send(&mut self.router, message).unwrap();
    }

    /// Waits for a message of type `kind`.
    pub fn receive(&mut self, kind: MessageType) -> Option<I2npMessage> {
        self.link.expect(&mut self.router, kind, PATIENCE).ok()
    }

    /// Whether a lookup of the program's own RouterInfo is answered over this session.
    pub fn is_answered(&mut self, to: &Ntcp2Endpoint) -> bool {
        let body = own_lookup(to, &self.router);
        let lookup = self.message(MessageType::DatabaseLookup, body);
        self.send(&lookup);
        let answer = self.receive(MessageType::DatabaseStore);
        answer.is_some_and(|store| store.body.starts_with(&to.router.0))
    }
}

/// The body of a lookup of the program's own RouterInfo, asked by `from`.
pub fn own_lookup(of: &Ntcp2Endpoint, from: &PlayedRouter) -> Frame {
    let lookup = DatabaseLookup {
        key: of.router.into(),
        from: from.hash(),
        reply_tunnel: None,
        kind: LookupKind::RouterInfo,
        unknown_flags: 0,
        excluded: &[],
        encryption: LookupEncryption::None,
    };
    lookup.write()
}

/// Sends bad inputs one after the other and keeps the table.
pub struct Bench {
    program: Program,
    pub clock: Clock,
    pub endpoint: Ntcp2Endpoint,
    pub hop: CreatorHop,
    counts: BTreeMap<String, u64>,
    failures: Vec<String>,
    rows: usize,
}

impl Bench {
    /// A bench for the program, with its counters as they are now.
    pub fn new(program: Program, clock: Clock) -> Self {
        let (info, endpoint, counts) = (program.info(), program.endpoint(), program.counts());
        let static_key = info.identity().encryption_key().unwrap();
        let hop = CreatorHop { hash: info.hash(), static_key };
        println!("{:<50} {:<26} counter", "input", "outcome");
        Self { program, clock, endpoint, hop, counts, failures: Vec::new(), rows: 0 }
    }

    /// One row over a good session, which has to survive it.
    pub fn message(
        &mut self,
        input: &str,
        counter: &str,
        sender: &mut Neighbour,
        message: &I2npMessage,
    ) {
        sender.send(message);
        let seen = if sender.is_answered(&self.endpoint) { GOES_ON } else { MUTE };
        self.row(input, (GOES_ON, seen), counter);
    }

    /// One row: what was to be and what was seen of the connection, and the counter that must have grown by one.
    /// No other may have grown since the last row.
    pub fn row(&mut self, input: &str, outcome: (&str, &str), counter: &str) {
        let deadline = self.clock.elapsed() + PATIENCE;
        let (mut counts, mut grown) = self.grown();
        while grown != counter && self.clock.elapsed() < deadline {
            std::thread::sleep(Duration::from_millis(10));
            (counts, grown) = self.grown();
        }
        self.counts = counts;
        self.print(input, outcome, (counter, &grown));
    }

    /// A row whose counter, one of those that may grow at any time, must be at one now.
    pub fn note(&mut self, input: &str, outcome: (&str, &str), counter: &str) {
        let grown = match self.program.counts().get(counter) {
            Some(1) => counter.to_owned(),
            other => format!("{counter} {other:?}"),
        };
        self.print(input, outcome, (counter, &grown));
    }

    fn print(&mut self, input: &str, outcome: (&str, &str), counter: (&str, &str)) {
        println!("{input:<50} {:<26} {}", outcome.1, counter.1);
        self.rows += 1;
        if outcome.0 != outcome.1 || counter.0 != counter.1 {
            self.failures.push(format!("{input}: outcome {outcome:?}, counter {counter:?}"));
        }
    }

    /// What has grown since the last row, with its growth if that is not one.
    fn grown(&self) -> (BTreeMap<String, u64>, String) {
        let counts = self.program.counts();
        let mut grown = Vec::new();
        for (name, count) in &counts {
            let growth = count - self.counts.get(name).copied().unwrap_or(0);
            match growth {
                0 => {}
                _ if BACKGROUND.contains(&name.as_str()) => {}
                1 => grown.push(name.clone()),
                more => grown.push(format!("{name} by {more}")),
            }
        }
        let grown = if grown.is_empty() { NONE.to_owned() } else { grown.join(", ") };
        (counts, grown)
    }

    /// What went wrong, how many rows there were, and the program; all `good` must still be served.
    pub fn finish(mut self, good: [&mut Neighbour; 2]) -> (Vec<String>, usize, Program) {
        // Whatever a row might have counted late shows by now.
        std::thread::sleep(Duration::from_millis(200));
        let answered = good.into_iter().all(|neighbour| neighbour.is_answered(&self.endpoint));
        let seen = if answered { GOES_ON } else { MUTE };
        self.row("nothing more, from two good peers", (GOES_ON, seen), NONE);
        (self.failures, self.rows, self.program)
    }
}
