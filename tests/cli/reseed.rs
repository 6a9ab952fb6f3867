//! `reseed make`, and routers that begin with what it made.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::router::{Router, failure, floodway, run_in};

/// The router info of a router that has run in `directory`.
fn run_once(directory: &Path) {
    let mut router = Router::start(directory, &["--shards", "1"]);
    router.signal("-TERM");
    assert_eq!(router.exit_code(), Some(0));
    assert!(directory.join("router.info").is_file());
}

fn count(router: &Router, kind: &str) -> u64 {
    let metrics = router.get("/metrics");
    let start = format!("floodway_netdb_records{{kind=\"{kind}\"");
    let named = |line: &&str| line.starts_with(&start);
    let number = |line: &str| line.rsplit(' ').next()?.parse::<u64>().ok();
    let numbers = metrics.lines().filter(named).filter_map(number);
    numbers.sum::<u64>()
}

#[test]
fn a_router_begins_with_a_bundle_that_was_made_here() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    run_once(&directory.path().join("first"));
    let make = ["reseed", "make", "--from", &path("first"), "--out", &path("a.su3")];
    let by = ["--signer", "a@example.org", "--key", &path("a.pem"), "--network-id", "99", "--json"];
    let (code, text) = failure(directory.path(), &[&make[..], &by].concat());
    assert_eq!(code, 1);
    assert!(text.contains("a.pem") && text.contains("--new-key makes one"), "{text}");
    let made = floodway(&[&make[..], &by, &["--new-key"]].concat()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let object: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&object["routers"], &object["signer"]), (&1.into(), &"a@example.org".into()));
    assert!(object["certificate"].as_str().unwrap().ends_with("/a_at_example.org.crt"));

    let inspect = run_in(
        directory.path(),
        &["inspect", "--json", "--certificates", &path(""), &path("a.su3")],
    );
    let object: Value = serde_json::from_slice(&inspect.stdout).unwrap();
    assert_eq!(
        (&object["signature"], &object["content_type"]),
        (&"valid".into(), &"reseed".into())
    );

    let signers = path("signers");
    fs::create_dir(&signers).unwrap();
    let run = [
        "run",
        "--network-id",
        "99",
        "--host",
        "127.0.0.1",
        "--shards",
        "1",
        "--reseed",
        &path("a.su3"),
    ];
    let (code, text) = failure(&directory.path().join("second"), &run);
    assert_eq!(code, 1);
    assert!(text.contains("a.su3 is refused: \"a@example.org\" has signed it"), "{text}");
    fs::copy(path("a_at_example.org.crt"), format!("{signers}/a_at_example.org.crt")).unwrap();
    let trusting = ["--shards", "1", "--reseed", &path("a.su3"), "--reseed-signers", &signers];
    let second = Router::start(&directory.path().join("second"), &trusting);
    let start = Instant::now();
    while count(&second, "router_info") != 1 {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", second.get("/metrics"));
        std::thread::sleep(Duration::from_millis(50));
    }

    let mut bytes = fs::read(path("a.su3")).unwrap();
    bytes[700] ^= 4;
    fs::write(path("a.su3"), bytes).unwrap();
    let (code, text) = failure(
        &directory.path().join("third"),
        &[&run[..], &["--reseed-signers", &signers]].concat(),
    );
    assert_eq!(code, 1);
    assert!(text.contains("its signature is not one of \"a@example.org\""), "{text}");
}

#[test]
fn a_router_whose_hosts_are_away_listens_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let more = ["--shards", "1", "--reseed", "https://localhost:1/"];
    let mut router = Router::start(directory.path(), &more);
    assert!(router.ready.starts_with("floodway ready: "), "{}", router.ready);
    assert!(router.get("/health").ends_with("ok\n"));
    router.signal("-TERM");
    assert_eq!(router.exit_code(), Some(0), "the thread that asks hosts does not hold it");
}
