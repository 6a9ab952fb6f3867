//! The netdb on disk: what a router knows after it was stopped or killed, and what it does when the disk fails.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panic, and these run programs in real time"
)]

#[path = "program/router.rs"]
#[allow(dead_code, reason = "shared by several tests, each of which uses a part")]
mod router;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use floodway::app::netdb::{Source, SourceError};
use floodway::base::id::RouterHash;
use floodway::wire::base64;
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData, StoreReply, deflate};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use loadtest::clock::Clock;
use loadtest::driver::{Link, LinkError};
use loadtest::played::{PlayedRouter, Role};
use loadtest::target::{NETWORK, read_subject};
use router::{Router, floodway, run_in};
use serde_json::Value;

/// How often a router is killed; `tests/run full` asks for more.
const KILLS: &str = "FLOODWAY_TEST_KILLS";
/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a `floodway netdb` command says.
fn netdb(directory: &Path, args: &[&str]) -> Value {
    let output = run_in(directory, &[&["netdb"], args, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Routers in the netdb.
fn known(directory: &Path) -> BTreeSet<RouterHash> {
    let mut known = BTreeSet::new();
    let read: Result<(), SourceError> = Source::open(directory).unwrap().for_each(|router, _| {
        known.insert(*router);
        Ok(())
    });
    read.unwrap();
    known
}

/// Names of the files that the command makes of the netdb.
fn exported(directory: &Path) -> BTreeSet<String> {
    let target = tempfile::tempdir().unwrap();
    netdb(directory, &["export", target.path().to_str().unwrap()]);
    let shelves = fs::read_dir(target.path()).unwrap().map(|shelf| shelf.unwrap().path());
    let files = shelves.flat_map(|shelf| fs::read_dir(shelf).unwrap());
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

fn file_name(router: &RouterHash) -> String {
    format!("routerInfo-{}.dat", base64::encode(&router.0))
}

fn metric(router: &Router, start: &str) -> u64 {
    let text = router.get("/metrics");
    let lines =
        text.lines().filter_map(|line| line.strip_prefix(start)?.trim().parse::<u64>().ok());
    lines.sum()
}

/// A played router with a session, which stores the router infos of others.
struct Storer {
    clock: Clock,
    router: PlayedRouter,
    link: Link,
    stored: u32,
}

fn played(number: u32, clock: Clock) -> PlayedRouter {
    let [_, a, b, c] = number.to_be_bytes();
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, a, b, c)), 9);
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    let role = Role { network: NETWORK, address, capabilities: "OR".to_owned() };
    PlayedRouter::new(role, seed, clock.now().unix)
}

impl Storer {
    /// Connects to the router with this data directory, which listens at `port`.
    fn join(directory: &Path, port: u16) -> Self {
        let clock = Clock::start();
        let mut router = played(0x0009_0001, clock);
        let path = directory.join("router.info");
        let start = Instant::now();
        let subject = loop {
            // That of an earlier run may still stand there.
            if let Some(subject) = read_subject(&path)
                && subject.endpoint.address.port() == port
            {
                break subject;
            }
            assert!(start.elapsed() < PATIENCE, "no {}", path.display());
            std::thread::sleep(Duration::from_millis(20));
        };
        let from = IpAddr::V4(Ipv4Addr::new(127, 9, 0, 1));
        let link = Link::dial(&mut router, &subject.endpoint, from, clock).unwrap();
        Self { clock, router, link, stored: 0 }
    }

    /// Stores the router infos of `count` routers, from number `first` on, and waits for the confirmation of the last.
    fn store(&mut self, first: u32, count: u32) -> Result<Vec<RouterHash>, LinkError> {
        let mut hashes = Vec::new();
        for number in first..first + count {
            let record = played(number, self.clock);
            let gzip = deflate(record.info.bytes());
            self.stored += 1;
            let reply =
                StoreReply { token: self.stored, tunnel: None, gateway: self.router.hash() };
            let store = DatabaseStore {
                key: record.hash().into(),
                reply: Some(reply),
                data: StoreData::RouterInfo { gzip: &gzip },
            };
            let message =
                self.router.message(MessageType::DatabaseStore, store.write(), self.clock.now());
            self.link.send(&mut self.router, &message)?;
            hashes.push(record.hash());
            loop {
                let kind = MessageType::DeliveryStatus;
                let status = self.link.expect(&mut self.router, kind, PATIENCE)?;
                if DeliveryStatus::parse(&status.body).unwrap().id.0 == self.stored {
                    break;
                }
            }
        }
        Ok(hashes)
    }
}

#[test]
fn a_router_knows_after_a_restart_whom_it_knew() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--shards", "2", "--floodfill"];
    let mut router = Router::start(directory.path(), &arguments);
    let mut storer = Storer::join(directory.path(), router.port);
    let hashes = storer.store(0x0010_0000, 20).unwrap();
    let stats = netdb(directory.path(), &["stats"]);
    assert!(stats["routers"].as_u64().unwrap() >= 20, "{stats}");
    assert_eq!(stats["networks"]["99"], stats["routers"], "{stats}");
    router.signal("-TERM");
    assert_eq!(router.exit_code(), Some(0));

    let left = known(directory.path());
    assert!(hashes.iter().all(|router| left.contains(router)), "{left:?}");
    assert_eq!(exported(directory.path()), left.iter().map(file_name).collect());
    let shown = netdb(directory.path(), &["show", &base64::encode(&hashes[3].0)]);
    assert_eq!(shown["signature"], "valid", "{shown}");
    let unknown = base64::encode(&[0; 32]);
    let output = run_in(directory.path(), &["netdb", "show", &unknown]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("is not in the netdb"), "{text}");

    let router = Router::start(directory.path(), &arguments);
    let start = Instant::now();
    while metric(&router, "floodway_netdb_records{kind=\"router_info\",shard=\"0\"}")
        + metric(&router, "floodway_netdb_records{kind=\"router_info\",shard=\"1\"}")
        < 20
    {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(known(directory.path()), left);
}

#[test]
fn a_router_that_is_killed_while_it_writes_has_what_it_had_written() {
    let kills = std::env::var(KILLS).ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let directory = tempfile::tempdir().unwrap();
    let mut written = BTreeSet::new();
    for round in 0..kills {
        let mut router = Router::start(directory.path(), &["--shards", "2", "--floodfill"]);
        let left = known(directory.path());
        assert!(written.is_subset(&left), "round {round}: {} of {}", left.len(), written.len());
        written = left;
        let (place, port) = (directory.path().to_owned(), router.port);
        let load = std::thread::spawn(move || {
            let mut storer = Storer::join(&place, port);
            // Far from those of other rounds: only new ones show that something was written.
            let mut number = 0x0020_0000 + 0x0001_0000 * round;
            // It ends when the router does.
            while storer.store(number, 5).is_ok() {
                number += 5;
            }
        });
        // What a question brings out is on the disk.
        let (start, before) = (Instant::now(), written.len());
        while written.len() < before + 10 {
            assert!(start.elapsed() < PATIENCE, "{} known", written.len());
            written.extend(known(directory.path()));
        }
        std::thread::sleep(Duration::from_millis(u64::from(round * 37 % 200)));
        router.child.kill().unwrap();
        router.child.wait().unwrap();
        load.join().unwrap();
        assert!(!directory.path().join("netdb.damaged").exists(), "round {round}");
    }
    let left = known(directory.path());
    assert!(written.is_subset(&left));
}

#[test]
fn a_damaged_file_is_set_aside_and_the_router_runs() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("netdb.redb");
    fs::write(&file, b"this is no database").unwrap();
    let output = run_in(directory.path(), &["netdb", "stats"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("is damaged"), "{text}");
    let mut router = Router::start(directory.path(), &["--shards", "1", "--floodfill"]);
    let aside = fs::read(directory.path().join("netdb.damaged")).unwrap();
    assert_eq!(aside, b"this is no database");
    Storer::join(directory.path(), router.port).store(0x0030_0000, 3).unwrap();
    assert!(known(directory.path()).len() >= 3);
    router.signal("-TERM");
    assert_eq!(router.exit_code(), Some(0));
}

#[test]
fn a_full_disk_stops_nothing_and_is_made_up_for() {
    let directory = tempfile::tempdir().unwrap();
    // A limit on the size of files refuses what a full disk refuses; the signal that comes with it is ignored.
    let mut command = Command::new("sh");
    let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
    command.args(["-c", script]).arg(floodway(&[]).get_program());
    let mut router = Router::start_by(command, directory.path(), &["--shards", "1", "--floodfill"]);
    let mut storer = Storer::join(directory.path(), router.port);
    assert_eq!(metric(&router, "floodway_netdb_file_failures_total"), 0);
    let limit = |bytes: &str| {
        let pid = router.child.id().to_string();
        let limit = format!("--fsize={bytes}:unlimited");
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    };
    limit("4096");
    let hashes = storer.store(0x0040_0000, 30).unwrap();
    let output = run_in(directory.path(), &["netdb", "stats"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && text.contains("room on the disk"), "{text}");
    assert!(metric(&router, "floodway_netdb_file_failures_total") > 0);
    assert!(router.get("/readyz").ends_with("ok\n"));
    limit("unlimited");
    let known = known(directory.path());
    assert!(hashes.iter().all(|router| known.contains(router)));
    router.signal("-TERM");
    assert_eq!(router.exit_code(), Some(0));
}

#[test]
fn a_file_that_is_not_ours_to_write_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("netdb.redb");
    fs::create_dir(&file).unwrap();
    let output = run_in(directory.path(), &["run", "--network-id", "99", "--host", "127.0.0.1"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("cannot use") && text.contains("netdb.redb"), "{text}");
}
