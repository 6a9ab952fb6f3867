//! The life of the process: asked over its control socket, told by signals, watched over HTTP.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panic, and these run programs in real time"
)]

#[path = "program/router.rs"]
#[allow(dead_code, reason = "shared by several tests, each of which uses a part")]
mod router;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use router::{Router, failure, run_in};
use serde_json::Value;

/// The answer of a subcommand that must succeed, as JSON.
fn json(directory: &Path, args: &[&str]) -> Value {
    let output = run_in(directory, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn status(directory: &Path) -> Value {
    json(directory, &["status", "--json"])
}

/// Waits until the status is as wanted.
fn status_when(directory: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let status = status(directory);
        if wanted(&status) {
            return status;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_router_tells_how_it_is_to_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    for question in ["status", "reload", "drain"] {
        let (code, text) = failure(directory.path(), &[question]);
        assert_eq!(code, 1);
        let place = directory.path().to_str().unwrap();
        assert!(text.contains("no router runs") && text.contains(place), "{text}");
    }
    let mut router = Router::start(directory.path(), &["--shards", "2", "--floodfill"]);
    let socket = directory.path().join("control.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let status = status(directory.path());
    assert_eq!(status["phase"], "running");
    assert_eq!(status["shards_answering"], 2);
    assert_eq!(status["floodfill"], true);
    assert_eq!(status["clock"], serde_json::json!({ "seconds_ahead": null, "routers": 0 }));
    assert_eq!(status["address"], format!("127.0.0.1:{}", router.port));
    assert!(router.ready.contains(status["hash"].as_str().unwrap()));
    let text = String::from_utf8(run_in(directory.path(), &["status"]).stdout).unwrap();
    assert!(text.contains("shards     2 of 2 answer"), "{text}");

    router.signal("-TERM");
    assert_eq!(router.exit_code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn requests_that_are_none_are_answered_and_end_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let _router = Router::start(directory.path(), &["--shards", "1"]);
    let ask = |request: &[u8]| {
        let mut stream = UnixStream::connect(directory.path().join("control.sock")).unwrap();
        // It may have been refused before all was written.
        let _ = stream.write_all(request);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert!(ask(b"stop\n").contains("requests are status, reload, drain"));
    assert!(ask(&[b'x'; 64]).contains("one line of less than 64 bytes"));
    ask(&[0xff; 100_000]);
    // More clients that say nothing than are served at once: each is sent away in its time, and then others are served.
    let silent: Vec<_> = (0..6)
        .map(|_| UnixStream::connect(directory.path().join("control.sock")).unwrap())
        .collect();
    assert_eq!(status(directory.path())["phase"], "running");
    drop(silent);
}

#[test]
fn clients_of_the_metrics_that_say_nothing_keep_nobody_out_for_long() {
    let directory = tempfile::tempdir().unwrap();
    let router = Router::start(directory.path(), &["--shards", "1"]);
    let silent: Vec<_> =
        (0..20).map(|_| TcpStream::connect(("127.0.0.1", router.metrics)).unwrap()).collect();
    let mut slow = TcpStream::connect(("127.0.0.1", router.metrics)).unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nX: ").unwrap();
    let answer = router.get("/livez");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    let mut rest = Vec::new();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Closed or answered with an error, but not kept.
    let _ = slow.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    drop(silent);
}

#[test]
fn a_reload_takes_all_of_a_good_file_and_nothing_of_a_bad_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("floodway.toml");
    fs::write(&file, "floodfill = \"on\"\nlog_format = \"text\"\n").unwrap();
    let router = Router::start(directory.path(), &["--shards", "2"]);
    assert_eq!(status(directory.path())["floodfill"], true);

    fs::write(&file, "bandwidth = \"1MB/s\"\nlog_format = \"json\"\nport = 1\n").unwrap();
    let answer = json(directory.path(), &["reload", "--json"]);
    assert_eq!(answer["applied"], serde_json::json!(["floodfill", "bandwidth"]));
    // The port was given as an argument, which wins over the file still.
    assert_eq!(answer["needs_restart"], serde_json::json!(["log_format"]));
    let after = status(directory.path());
    assert_eq!(after["floodfill"], false);
    assert_ne!(after["bandwidth_class"], "X");
    let text = String::from_utf8(run_in(directory.path(), &["reload"]).stdout).unwrap();
    assert!(text.contains("applied: nothing") && text.contains("next start: log_format"), "{text}");

    fs::write(&file, "floodfill = \"on\"\nbandwith = \"9MB/s\"\n").unwrap();
    let (code, text) = failure(directory.path(), &["reload"]);
    assert_eq!(code, 1);
    assert!(text.contains("`bandwith`; did you mean `bandwidth`?"), "{text}");
    fs::write(&file, "floodfill = \"on\"\nreseed = [\"/nonexistent/seeds\"]\n").unwrap();
    let (code, text) = failure(directory.path(), &["reload"]);
    assert_eq!(code, 1);
    assert!(text.contains("/nonexistent/seeds"), "{text}");
    router.signal("-HUP");
    assert_eq!(status(directory.path())["floodfill"], false);

    fs::write(&file, "floodfill = \"on\"\n").unwrap();
    router.signal("-HUP");
    status_when(directory.path(), |status| status["floodfill"] == true);
}

/// Bytes a second that the shards together may carry for others, by the metrics.
fn transit_rate_limit(router: &Router) -> u64 {
    let metrics = router.get("/metrics");
    let lines =
        metrics.lines().filter(|line| line.starts_with("floodway_transit_rate_limit_bytes"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn a_reload_changes_what_a_running_router_carries() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("floodway.toml");
    fs::write(&file, "bandwidth = \"8MB/s\"\ntransit_share = 50\n").unwrap();
    let router = Router::start(directory.path(), &["--shards", "2"]);
    // Rounded down by each shard.
    let comes_to = |expected: u64| {
        for _ in 0..100 {
            if expected.abs_diff(transit_rate_limit(&router)) <= 2 {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{} instead of {expected}", transit_rate_limit(&router));
    };
    comes_to(4_000_000);
    fs::write(&file, "bandwidth = \"2MB/s\"\ntransit_share = 50\n").unwrap();
    let answer = json(directory.path(), &["reload", "--json"]);
    assert_eq!(answer["applied"], serde_json::json!(["bandwidth"]));
    comes_to(1_000_000);
    fs::write(&file, "bandwidth = \"2MB/s\"\ntransit_share = 90\n").unwrap();
    router.signal("-HUP");
    comes_to(1_800_000);
}

#[test]
fn a_drained_router_ends_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let mut router = Router::start(directory.path(), &["--shards", "2"]);
    let output = run_in(directory.path(), &["drain", "--wait"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with("draining: 0 tunnels are left"), "{text}");
    assert_eq!(router.exit_code(), Some(0));
}

#[test]
fn a_data_directory_serves_one_router_and_outlives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Router::start(directory.path(), &["--shards", "1"]);
    let args = ["--network-id", "99", "--host", "127.0.0.1"];
    let (code, text) = failure(directory.path(), &args);
    assert_eq!(code, 1);
    let process = format!("(process {})", first.child.id());
    assert!(text.contains("in use by another router") && text.contains(&process), "{text}");

    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(directory.path().join("control.sock").exists());
    let (code, text) = failure(directory.path(), &["status"]);
    assert_eq!(code, 1);
    assert!(text.contains("no router runs"), "{text}");
    let second = Router::start(directory.path(), &["--shards", "1"]);
    assert_eq!(status(directory.path())["phase"], "running");
    assert_eq!(first.ready.split(' ').nth(2), second.ready.split(' ').nth(2));
}
