//! What one core does for transit tunnels: a shard that is a hop of 100,000 of them, in all three roles, each built by a
//! request as creators send it, carrying one message and ending after its time.
//!
//! What sessions send is made and sealed before the clock runs, and what the shard sends is opened and checked after
//! it: the shard opens, decides, answers and seals. Both times are of the one thread: the CPU's, which neighbours change
//! little, and the clock's. `cargo bench --bench transit` runs all, `-- --scale N` with an Nth of the tunnels.

#[path = "netdb/allocator.rs"]
mod allocator;
#[path = "transit/hop.rs"]
mod hop;
#[path = "harness/table.rs"]
mod table;
#[path = "harness/thread.rs"]
mod thread;

use std::time::Duration;

use floodway::base::limits::TRANSIT_LIFE;
use floodway::base::rng::ShardRng;
use floodway::crypto::secret::X25519Secret;
use floodway::crypto::x25519::{X25519Public, diffie_hellman};
use rustix::time::{ClockId, clock_gettime};

use hop::{Gauge, Hop, Spent};
use table::{head, line, median};

/// Builds per second and core that were asked for, and bytes of an idle tunnel.
const BUILDS_ASKED: f64 = 38_000.0;
const BYTES_ASKED: f64 = 600.0;
const TUNNELS: usize = 100_000;
/// Sessions, of which each asks for its share.
const SESSIONS: u8 = 64;

fn time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn spent() -> Spent {
    Spent { cpu: time(ClockId::ThreadCPUTime), wall: time(ClockId::Monotonic) }
}

fn main() {
    let mut scale = 1;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--scale" {
            scale = arguments.next().and_then(|text| text.parse().ok()).expect("a number");
        }
    }
    let [cpu, _] = thread::two_cpus();
    thread::pin(cpu);
    head();
    reference();
    let mut hop = Hop::start(SESSIONS, Gauge { held: allocator::held, spent });
    let tunnels = TUNNELS / scale;

    let begun = hop.now();
    let (diffie_hellmans, batches) = hop.diffie_hellmans();
    hop.take_spent();
    let requests = hop.build(tunnels);
    let took = hop.take_spent();
    let (all, in_batches) = hop.diffie_hellmans();
    let note = format!("{} DH in {} batches", all - diffie_hellmans, in_batches - batches);
    per_piece("build a tunnel, of the CPU", took.cpu, requests, Some(BUILDS_ASKED), &note);
    per_piece("build a tunnel, of the clock", took.wall, requests, Some(BUILDS_ASKED), "");
    check_live(&hop, tunnels);
    memory("memory of a tunnel, new", &hop, Some(BYTES_ASKED));

    hop.carry(0);
    let took = hop.take_spent();
    per_piece("carry a message, of the CPU", took.cpu, tunnels, None, "");
    per_piece("carry a message, of the clock", took.wall, tunnels, None, "");
    memory("memory of a tunnel that has carried one", &hop, Some(BYTES_ASKED));

    let ended = hop.now() + TRANSIT_LIFE;
    hop.wait(begun + TRANSIT_LIFE - Duration::from_millis(1));
    check_live(&hop, tunnels);
    hop.take_spent();
    hop.wait(ended);
    assert_eq!(hop.live(), [0; 3], "all have ended");
    per_piece("end a tunnel, of the CPU", hop.take_spent().cpu, tunnels, None, "");
    memory("what is left of a tunnel that has ended", &hop, None);
}

/// The least that a build can take: its Diffie-Hellman.
fn reference() {
    let mut rng = ShardRng::from_seed([7; 32]);
    let secret = X25519Secret::from_bytes(rng.bytes());
    let chunks = (0..50).map(|_| {
        let begun = spent();
        for _ in 0..100 {
            let shared = diffie_hellman(&secret, &X25519Public(rng.bytes()));
            assert!(std::hint::black_box(shared).is_ok(), "of a point of full order");
        }
        spent().since(begun).cpu.as_secs_f64() / 100.0
    });
    let each = Duration::from_secs_f64(median(chunks));
    per_piece("X25519, one at a time", each, 1, None, "");
}

fn check_live(hop: &Hop, tunnels: usize) {
    let live = hop.live();
    assert_eq!(live.iter().sum::<u64>(), tunnels as u64, "all live: {live:?}");
    assert!(live.iter().all(|role| *role >= tunnels as u64 / 4), "in all roles: {live:?}");
}

/// One line: what a piece takes, beside what the asked rate leaves for it.
fn per_piece(name: &str, took: Duration, count: usize, asked: Option<f64>, note: &str) {
    let each = took.as_secs_f64() / count as f64;
    let most = asked.map(|rate| (1e7 / rate).round() / 10.0);
    line(name, each * 1e6, "us", most, &format!("{:.1} k/s {note}", 1e-3 / each));
}

fn memory(name: &str, hop: &Hop, most: Option<f64>) {
    // Less than at the start, where that freed something.
    let bytes = hop.held().cast_signed() as f64 / hop.tunnels() as f64;
    line(name, bytes, "bytes", most, &format!("{} tunnels", hop.tunnels()));
}
