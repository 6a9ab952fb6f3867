//! Eight shards that never rest on two CPUs: how far the slowest gets while the fastest does its turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use floodway::base::id::ShardId;
use floodway::base::time::{Instant, Now};
use floodway::crypto::hash::sha256;
use floodway::runtime::clock::Clock;
use floodway::runtime::control::stop_all;
use floodway::runtime::launch::{Plan, start};
use floodway::runtime::probe;
use floodway::runtime::pump::Machine;
use floodway::runtime::tcp::listen;
use floodway::shard::core::{Input, Output};
use floodway::shard::report::ShardReport;

use crate::table::line;
use crate::thread;

const SHARDS: u16 = 8;
/// Bytes that a turn hashes: some tens of microseconds, as a turn of a busy shard takes.
const TURN: usize = 16 * 1024;
/// For how long they run.
const TIME: Duration = Duration::from_secs(5);

type Turns = Arc<[AtomicU64]>;

/// A machine that always has a turn to do.
struct Busy {
    shard: ShardId,
    turns: Turns,
    bytes: Vec<u8>,
}

impl Machine for Busy {
    fn handle(&mut self, _input: Input, _now: Now) {}

    fn turn(&mut self, _now: Now) {
        work(&mut self.bytes);
        self.turns[self.shard.index()].fetch_add(1, Ordering::Relaxed);
    }

    fn poll_output(&mut self) -> Option<Output> {
        None
    }

    fn deadline(&self) -> Option<Instant> {
        Some(Instant::default())
    }

    fn report(&self) -> ShardReport {
        ShardReport::empty(self.shard)
    }
}

fn work(bytes: &mut [u8]) {
    let hash = sha256(bytes);
    bytes[..hash.len()].copy_from_slice(&hash);
}

fn counters() -> Turns {
    (0..SHARDS).map(|_| AtomicU64::new(0)).collect()
}

/// Turns of the slowest and of the fastest between two looks.
fn watch(turns: &Turns) -> (f64, f64) {
    let look = || -> Vec<u64> { turns.iter().map(|count| count.load(Ordering::Relaxed)).collect() };
    std::thread::sleep(TIME / 10);
    let before = look();
    std::thread::sleep(TIME);
    let done = look().into_iter().zip(before).map(|(after, before)| after - before);
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let done: Vec<_> = done.map(|count| count as f64).collect();
    (done.iter().copied().fold(f64::MAX, f64::min), done.iter().copied().fold(0.0, f64::max))
}

fn shards() -> (f64, f64) {
    let turns = counters();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let (_, listeners) = listen(any, SHARDS).expect("a free port");
    let made = turns.clone();
    let plan = Plan {
        clock: Clock::start(),
        listeners,
        dial_from: None,
        router_info_path: "/nonexistent/router.info".into(),
        last_seen_path: "/nonexistent/last_seen".into(),
        records: None,
        allowance: probe::check().expect("this machine lets a router run"),
        make: move |shard, _rng, _now: Now| Busy {
            shard,
            turns: made.clone(),
            bytes: vec![0; TURN],
        },
    };
    let running = start(plan).expect("eight shards start");
    let seen = watch(&turns);
    stop_all(running.lines());
    running.wait().expect("they end in order");
    seen
}

/// The same with plain threads.
fn threads() -> (f64, f64) {
    let turns = counters();
    let stop = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for (number, cpu) in (0..usize::from(SHARDS)).zip(thread::two_cpus().into_iter().cycle()) {
            let (turns, stop) = (&turns, &stop);
            scope.spawn(move || {
                thread::pin(cpu);
                let mut bytes = vec![0; TURN];
                while stop.load(Ordering::Relaxed) == 0 {
                    work(&mut bytes);
                    turns[number].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let seen = watch(&turns);
        stop.store(1, Ordering::Relaxed);
        seen
    })
}

/// How much further the fastest shard gets than the slowest.
pub fn fair() {
    let (slowest, fastest) = shards();
    let (slowest_thread, fastest_thread) = threads();
    let reference = format!(
        "{slowest:.0} and {fastest:.0} turns in {} s; plain threads {:.2} ({slowest_thread:.0} and {fastest_thread:.0})",
        TIME.as_secs(),
        fastest_thread / slowest_thread
    );
    let ratio = fastest / slowest;
    line(
        "turns of the fastest of 8 shards on 2 CPUs to the slowest",
        ratio,
        "",
        Some(2.0),
        &reference,
    );
}
