//! The load tool against a relay that misbehaves on purpose: whatever it does to one message in a thousand shows.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking; outside of #[test] functions clippy cannot tell"
)]

#[path = "relay/router.rs"]
mod router;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use loadtest::clock::Clock;
use loadtest::swarm::{Pace, RoleReport, Swarm, SwarmConfig};
use loadtest::tunnels::ROLES;

use router::{EVERY, Fault, Relay};

/// What the load tool finds with such a relay, and how often the relay misbehaved in the time that is measured.
fn measure(fault: Fault, content_size: usize) -> (RoleReport, u64) {
    let clock = Clock::start();
    let stop = Arc::new(AtomicBool::new(false));
    let relay = Relay::new(fault, clock);
    let subject = relay.subject();
    let faults = relay.faults();
    let ends = Arc::clone(&stop);
    let running = thread::spawn(move || relay.run(&ends));

    let config = SwarmConfig {
        index: fault as u8 + if content_size > 1000 { 100 } else { 50 },
        routers: 2,
        network: loadtest::target::NETWORK,
        seed: 7,
        capabilities: "OR".to_owned(),
        content_size,
    };
    let mut swarm = Swarm::new(config, clock, Arc::new(AtomicBool::new(false))).unwrap();
    swarm.introduce(subject).unwrap();
    // The relay may still have to read the end of a handshake.
    swarm.run(Duration::from_millis(500)).unwrap();
    for role in ROLES {
        let counts = swarm.build(role, 2).unwrap();
        assert_eq!((counts.built, counts.requests), (2, 2), "{role}");
    }
    swarm.set_pace(Pace::Window(16));
    swarm.run(Duration::from_millis(100)).unwrap();
    swarm.mark_start();
    let faults_before = faults.load(Ordering::Relaxed);
    // A fast machine has carried as many before the start.
    let before = swarm.totals().1;
    while swarm.totals().1 - before < 5 * EVERY {
        swarm.run(Duration::from_millis(50)).unwrap();
    }
    swarm.mark_end();
    swarm.drain().unwrap();
    let report = swarm.report();
    swarm.close_all();
    stop.store(true, Ordering::Relaxed);
    running.join().unwrap();
    let faults = faults.load(Ordering::Relaxed) - faults_before;

    let mut sum = RoleReport::empty();
    for role in ROLES {
        sum.add(&report.roles[&role]);
    }
    assert!(sum.sent > 2 * EVERY && sum.delivered > 2 * EVERY, "{sum:?}");
    (sum, faults)
}

/// Whether a count is that of the faults, but for messages that were under way at the start, and such as were held back
/// when nothing came any more to overtake them.
fn matches(found: u64, faults: u64) -> bool {
    found > 0 && found <= faults + 1 && faults <= found + 1 + faults / 3
}

#[test]
fn an_honest_relay_has_nothing_to_hide() {
    let (sum, faults) = measure(Fault::None, 940);
    assert_eq!(faults, 0);
    assert_eq!((sum.lost, sum.duplicates, sum.reordered), (0, 0, 0), "{sum:?}");
    assert_eq!((sum.corrupt, sum.misdelivered), (0, 0), "{sum:?}");
    assert!(sum.delay().p50 > 0 && sum.delay().p99 >= sum.delay().p50);
}

#[test]
fn fragmented_messages_come_whole() {
    let (sum, _) = measure(Fault::None, 3000);
    assert_eq!((sum.lost, sum.duplicates, sum.reordered), (0, 0, 0), "{sum:?}");
    assert_eq!((sum.corrupt, sum.misdelivered), (0, 0), "{sum:?}");
}

#[test]
fn one_dropped_in_a_thousand_is_lost() {
    let (sum, faults) = measure(Fault::Drop, 940);
    assert!(matches(sum.lost, faults), "{faults} dropped: {sum:?}");
    assert_eq!((sum.duplicates, sum.reordered, sum.corrupt), (0, 0, 0), "{sum:?}");
}

#[test]
fn one_changed_bit_in_a_thousand_messages_is_corruption() {
    let (sum, faults) = measure(Fault::Corrupt, 940);
    assert!(matches(sum.corrupt, faults), "{faults} changed: {sum:?}");
    assert!(matches(sum.lost, faults), "what was changed did not arrive: {sum:?}");
    assert_eq!((sum.duplicates, sum.reordered), (0, 0), "{sum:?}");
}

#[test]
fn one_doubled_in_a_thousand_is_a_duplicate() {
    let (sum, faults) = measure(Fault::Duplicate, 940);
    assert!(matches(sum.duplicates, faults), "{faults} doubled: {sum:?}");
    assert_eq!((sum.lost, sum.reordered, sum.corrupt), (0, 0, 0), "{sum:?}");
}

#[test]
fn one_held_back_in_a_thousand_is_reordering() {
    let (sum, faults) = measure(Fault::Reorder, 940);
    assert!(matches(sum.reordered, faults), "{faults} held back: {sum:?}");
    assert_eq!((sum.lost, sum.duplicates, sum.corrupt), (0, 0, 0), "{sum:?}");
}

#[test]
fn one_sent_astray_in_a_thousand_is_misdelivered() {
    let (sum, faults) = measure(Fault::Misdeliver, 940);
    assert!(matches(sum.misdelivered, faults), "{faults} sent astray: {sum:?}");
    assert!(matches(sum.lost, faults), "{sum:?}");
}
