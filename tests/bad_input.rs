//! What a stranger may send, against the real program: each bad input ends where it should, is counted once under its own
//! reason, and disturbs nobody else.
//!
//! `cargo test --test bad_input -- --nocapture` shows the table.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; outside of #[test] functions clippy cannot tell"
)]

#[path = "bad_input/bench.rs"]
mod bench;

#[path = "bad_input/handshakes.rs"]
mod handshakes;

#[path = "bad_input/messages.rs"]
mod messages;

#[path = "bad_input/records.rs"]
mod records;

#[path = "bad_input/stranger.rs"]
mod stranger;

#[path = "bad_input/transit.rs"]
mod transit;

#[path = "bad_input/tunnels.rs"]
mod tunnels;

use std::fs;
use std::thread;
use std::time::Duration;

use bench::{Bench, CLOSED, Neighbour, Program, TIMEOUTS, played};
use loadtest::clock::Clock;

#[test]
fn each_bad_input_ends_where_it_should_and_is_counted() {
    let clock = Clock::start();
    let seeds = tempfile::tempdir().unwrap();
    let (sender, receiver) = (played(2, clock), played(3, clock));
    for (name, router) in [("sender", &sender), ("receiver", &receiver)] {
        fs::write(seeds.path().join(format!("{name}.info")), router.info.bytes()).unwrap();
    }
    let program = Program::start(seeds.path());
    let endpoint = program.endpoint();
    let mut sender = Neighbour::dial(sender, &endpoint, 2, clock);
    let mut receiver = Neighbour::dial(receiver, &endpoint, 3, clock);
    assert!(sender.is_answered(&endpoint) && receiver.is_answered(&endpoint));
    let mut bench = Bench::new(program, clock);

    // Ends by the deadline of the handshake, long after the others.
    let truncated = thread::spawn(move || handshakes::truncated(&endpoint, clock));
    handshakes::requests(&mut bench);
    handshakes::confirmations(&mut bench);
    handshakes::frames(&mut bench);
    messages::envelopes(&mut bench, &mut sender);
    records::stores(&mut bench, &mut sender);
    records::lease_sets(&mut bench, &mut sender);
    records::lookups(&mut bench, &mut sender);
    messages::garlic(&mut bench, &mut sender, receiver.router.hash());
    tunnels::builds(&mut bench, &mut sender, &mut receiver);
    tunnels::data(&mut bench, &mut sender, &mut receiver);
    transit::times(&mut bench, &mut sender, &mut receiver);
    transit::hops(&mut bench, &mut sender, &mut receiver);
    transit::fragments(&mut bench, &mut sender, &mut receiver);

    let waited = truncated.join().unwrap();
    let in_time = waited.is_some_and(|t| (9..=12).contains(&t.as_secs()));
    let seen = if in_time { CLOSED } else { "not closed in time" };
    bench.note("message 1 cut short, then silence", (CLOSED, seen), TIMEOUTS);

    let (failures, rows, mut program) = bench.finish([&mut sender, &mut receiver]);
    assert!(program.is_alive());
    assert_eq!(program.stop(clock, Duration::from_secs(10)), Some(0));
    assert!(failures.is_empty(), "of {rows} rows:\n{}", failures.join("\n"));
}
