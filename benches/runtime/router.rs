//! The router itself, on a test network and without a peer.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process;
use crate::table::{line, median};

/// Time for a router that has started to come to rest.
const SETTLE: Duration = Duration::from_secs(3);
/// For how long it is watched.
const WATCH: Duration = Duration::from_secs(20);
/// Starts of each size whose memory is compared.
const STARTS: usize = 3;

/// A router that runs until this is dropped.
struct Router {
    child: Child,
    _data: TempDir,
}

impl Router {
    fn start(shards: u16) -> Self {
        let data = TempDir::new().expect("room for a data directory");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = free.expect("a port is free").port().to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_floodway"))
            .arg("run")
            .arg("--data-dir")
            .arg(data.path())
            .args(["--network-id", "99", "--host", "127.0.0.1", "--port", &port, "--allow-private"])
            .args(["--reseed", "none", "--metrics", "127.0.0.1:0", "--shards", &shards.to_string()])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the router was built with this benchmark");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let ready = output.lines().map_while(Result::ok).any(|l| l.starts_with("floodway ready"));
        assert!(ready, "the router does not start; run it by hand to see why");
        std::thread::sleep(SETTLE);
        Self { child, _data: data }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // Nothing of it is needed any more, so it need not end in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of an idle router with two shards.
pub fn idle() {
    let router = Router::start(2);
    let (before, start) = (process::cpu_time(router.child.id()), Instant::now());
    std::thread::sleep(WATCH);
    let taken = process::cpu_time(router.child.id()) - before;
    let percent = 100.0 * taken.as_secs_f64() / start.elapsed().as_secs_f64();
    let over = format!("{:.1} ms in {} s", taken.as_secs_f64() * 1e3, WATCH.as_secs());
    line("idle router of 2 shards, of one core", percent, "%", Some(0.5), &over);
}

/// Memory of an idle shard: what a router has more for each that it has more.
pub fn shards() {
    let memory = |shards| process::memory(Router::start(shards).child.id());
    let one = median((0..STARTS).map(|_| memory(1)));
    for shards in [2, 8] {
        let several = median((0..STARTS).map(|_| memory(shards)));
        let each = (several - one) / f64::from(shards - 1) / 1024.0;
        let name = format!("an idle shard, by routers of {shards} and of 1");
        let whole = format!("{:.1} and {:.1} MiB", several / 1024.0, one / 1024.0);
        line(&name, each, "MiB", Some(4.0), &whole);
    }
}
