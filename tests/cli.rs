//! The program from outside: exit codes, and messages that say what to do.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panic, and these run programs in real time"
)]

#[path = "cli/identity.rs"]
mod identity;
#[path = "cli/inspect.rs"]
mod inspect;
#[cfg(feature = "accelerated")]
#[path = "cli/reseed.rs"]
mod reseed;
#[path = "program/router.rs"]
#[allow(dead_code, reason = "shared by several tests, each of which uses a part")]
mod router;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use router::{Router, failure, floodway, free_port, run_in};

const SAMPLE: &[u8] = include_bytes!("vectors/router_info_i2pd_2.59.0.dat");
const OTHER_SAMPLE: &[u8] = include_bytes!("vectors/router_info_java_2.7.0.dat");

#[test]
fn a_router_starts_serves_and_stops() {
    let directory = tempfile::tempdir().unwrap();
    let mut router = Router::start(directory.path(), &["--shards", "3", "--floodfill"]);
    let end = format!(" at 127.0.0.1:{}, 3 shards\n", router.port);
    let ready = router.ready.clone();
    let hash = ready.strip_prefix("floodway ready: ").unwrap().strip_suffix(&end).unwrap();
    assert_eq!(hash.len(), 44, "{}", router.ready);

    let metrics = router.get("/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 OK"), "{metrics}");
    assert!(metrics.contains("text/plain; version=0.0.4"), "{metrics}");
    for line in [
        "# TYPE floodway_sessions gauge",
        "floodway_sessions{transport=\"ntcp2\",direction=\"inbound\",shard=\"2\"} 0",
        "# TYPE floodway_turn_seconds histogram",
        "floodway_transit_tunnels{role=\"endpoint\",shard=\"0\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
    assert!(router.get("/health").ends_with("ok\n"));
    let address = format!("127.0.0.1:{}", router.metrics);
    let health = floodway(&["health", "--metrics", &address]).output().unwrap();
    assert!(health.status.success());

    router.signal("-TERM");
    assert_eq!(router.exit_code(), Some(0));
    let info = directory.path().join("router.info");
    let inspect = floodway(&["inspect", "--json", info.to_str().unwrap()]).output().unwrap();
    assert!(inspect.status.success());
    let object: serde_json::Value = serde_json::from_slice(&inspect.stdout).unwrap();
    assert_eq!(object["hash"], hash);
    assert_eq!(object["signature"], "valid");
    assert_eq!(object["accepted"], true);
    let mode = fs::metadata(directory.path().join("router.keys")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_restart_keeps_the_identity() {
    let directory = tempfile::tempdir().unwrap();
    let hash_of = |router: &Router| router.ready.split(' ').nth(2).map(str::to_owned);
    let mut first = Router::start(directory.path(), &["--shards", "1"]);
    first.signal("-INT");
    assert_eq!(first.exit_code(), Some(0));
    let second = Router::start(directory.path(), &["--shards", "2"]);
    assert_eq!(hash_of(&first), hash_of(&second));
    let show = run_in(directory.path(), &["identity", "show", "--json"]);
    let object: serde_json::Value = serde_json::from_slice(&show.stdout).unwrap();
    assert_eq!(object["hash"].as_str(), hash_of(&first).as_deref());
}

#[test]
fn a_stop_gives_the_port_free_and_a_second_signal_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut router = Router::start(directory.path(), &["--shards", "2"]);
    // A peer that says nothing and keeps its side open delays the end by seconds.
    let _peer = TcpStream::connect(("127.0.0.1", router.port)).unwrap();
    router.signal("-TERM");
    let start = Instant::now();
    while TcpListener::bind(("127.0.0.1", router.port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(2), "the port is still taken");
        std::thread::sleep(Duration::from_millis(5));
    }
    if router.child.try_wait().unwrap().is_none() {
        router.signal("-INT");
        assert!(matches!(router.exit_code(), Some(130 | 0)));
    }
}

#[test]
fn a_port_in_use_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let args = ["--network-id", "99", "--host", "127.0.0.1", "--port", &port];
    let (code, text) = failure(directory.path(), &args);
    assert_eq!(code, 1);
    assert!(text.contains(&port) && text.contains("in use") && text.contains("--port"), "{text}");

    // The same holds for another router, although its own shards share their port.
    let router = Router::start(directory.path(), &[]);
    let port = router.port.to_string();
    let other = tempfile::tempdir().unwrap();
    let args = ["--network-id", "99", "--host", "127.0.0.1", "--port", &port];
    let (code, text) = failure(other.path(), &args);
    assert_eq!(code, 1);
    assert!(text.contains("in use"), "{text}");
}

#[test]
fn metrics_that_cannot_be_served_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port = free_port().to_string();
    let args =
        ["--network-id", "99", "--host", "127.0.0.1", "--port", &port, "--metrics", &address];
    let (code, text) = failure(directory.path(), &args);
    assert_eq!(code, 1);
    assert!(text.contains(&address) && text.contains("--metrics"), "{text}");
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let (code, text) = failure(Path::new("/proc/floodway"), &["--network-id", "99"]);
    assert_eq!(code, 1);
    assert!(text.contains("/proc/floodway") && text.contains("--data-dir"), "{text}");
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    assert!(run_in(directory.path(), &["identity", "generate"]).status.success());
    let path = directory.path().join("router.keys");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) = failure(directory.path(), &["--network-id", "99"]);
    assert_eq!(code, 1);
    assert!(text.contains("chmod 600"), "{text}");
    let (code, text) = failure(directory.path(), &["identity", "generate"]);
    assert_eq!(code, 1);
    assert!(text.contains("exists already"), "{text}");
}

#[test]
fn bad_seeds_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let seeds = directory.path().join("seeds");
    fs::create_dir(&seeds).unwrap();
    let run = |source: &str| failure(directory.path(), &["--network-id", "99", "--reseed", source]);

    let (code, text) = run("/nonexistent/seeds");
    assert_eq!(code, 1);
    assert!(text.contains("/nonexistent/seeds"), "{text}");

    fs::write(seeds.join("a.dat"), b"no router info").unwrap();
    let (code, text) = run(seeds.to_str().unwrap());
    assert_eq!(code, 1);
    assert!(text.contains("a.dat"), "{text}");

    fs::write(seeds.join("b.dat"), SAMPLE).unwrap();
    let args = ["--network-id", "98", "--reseed", seeds.to_str().unwrap()];
    let (code, text) = failure(directory.path(), &args);
    assert_eq!(code, 1);
    assert!(text.contains("network 98"), "{text}");

    let (code, text) = run("http://reseed.example/");
    assert_eq!(code, 2);
    assert!(text.contains("in the clear"), "{text}");
}

#[test]
fn good_seeds_are_known_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let seeds = tempfile::tempdir().unwrap();
    fs::write(seeds.path().join("a.dat"), SAMPLE).unwrap();
    fs::write(seeds.path().join("b.info"), OTHER_SAMPLE).unwrap();
    fs::write(seeds.path().join("c.dat"), b"no router info").unwrap();
    let seeds = seeds.path().to_str().unwrap();
    let check = run_in(
        directory.path(),
        &["check", "--network-id", "99", "--host", "127.0.0.1", "--reseed", seeds, "--json"],
    );
    let text = String::from_utf8(check.stdout).unwrap();
    assert!(text.contains("2 routers, 1 files left out"), "{text}");
    assert!(check.status.success(), "{text}");
}

#[test]
fn mistakes_of_usage_have_their_own_code() {
    let directory = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| failure(directory.path(), args);
    assert_eq!(run(&["--no-such-flag"]).0, 2);
    assert_eq!(run(&["--network-id", "300"]).0, 2);
    assert_eq!(run(&["--config", "/nonexistent.toml"]).0, 2);

    let config = directory.path().join("floodway.toml");
    fs::write(&config, "flodfill = \"on\"\n").unwrap();
    let (code, text) = run(&["--network-id", "99"]);
    assert_eq!(code, 2);
    assert!(text.contains("`flodfill`; did you mean `floodfill`?"), "{text}");
    fs::remove_file(&config).unwrap();

    let secret = "000102030405060708090a0b0c0d0e0f";
    let (code, text) = run(&["--network-id", "2", "--placement-secret", secret]);
    assert_eq!(code, 2);
    assert!(text.contains("live network"), "{text}");
    if cfg!(debug_assertions) {
        let (code, text) = run(&[]);
        assert_eq!(code, 2);
        assert!(text.contains("debug build") && text.contains("--network-id"), "{text}");
    }
}

#[test]
fn the_kernel_of_the_tunnel_layer_can_be_named() {
    let directory = tempfile::tempdir().unwrap();
    let check = ["check", "--network-id", "99", "--host", "127.0.0.1", "--layer-kernel"];
    let output = run_in(directory.path(), &[&check[..], &["portable"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("tunnel layer: portable, of "), "{text}");
    assert!(text.contains("primitives: by "), "{text}");
    let output = run_in(directory.path(), &[&check[..], &["abacus"]].concat());
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("it runs: ") && text.contains("portable"), "{text}");
}

#[test]
fn environment_variables_count_and_arguments_win() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = floodway(&["check", "--host", "127.0.0.1", "--bandwidth", "1MB/s"]);
    let output = command
        .env("FLOODWAY_DATA_DIR", directory.path())
        .env("FLOODWAY_NETWORK_ID", "77")
        .env("FLOODWAY_BANDWIDTH", "5MB/s")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("network 77, 8Mbit/s offered"), "{text}");
}

#[test]
fn init_writes_a_configuration_that_check_takes() {
    let directory = tempfile::tempdir().unwrap();
    let init = run_in(directory.path(), &["init"]);
    assert!(init.status.success());
    let path = directory.path().join("floodway.toml");
    assert_eq!(String::from_utf8(init.stdout).unwrap().trim(), path.to_str().unwrap());
    let check = ["check", "--network-id", "99", "--host", "127.0.0.1"];
    let output = run_in(directory.path(), &check);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let (code, text) = failure(directory.path(), &["init"]);
    assert_eq!(code, 1);
    assert!(text.contains("exists already"), "{text}");
}

#[test]
fn health_of_nobody_is_bad() {
    let address = format!("127.0.0.1:{}", free_port());
    let output = floodway(&["health", "--metrics", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address));
}
