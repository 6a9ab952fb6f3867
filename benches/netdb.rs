//! What one core does as a floodfill: a shard with 60,000 RouterInfos and 20,000 lease sets, all with real signatures, that
//! sessions store and look up.
//!
//! What sessions send is sealed before the clock runs, and the shard opens it, checks it, and seals its answers. Times are
//! CPU times of the one thread, so that neighbours count little. The half-loaded shard is played on the same clock: lookups
//! come at even intervals, and a turn takes those that have come. `cargo bench --bench netdb` runs all, `-- --scale N`
//! with an Nth of the records.

#[path = "netdb/allocator.rs"]
mod allocator;
#[path = "netdb/sessions.rs"]
mod sessions;
#[path = "harness/table.rs"]
mod table;
#[path = "harness/thread.rs"]
mod thread;

use std::num::NonZeroUsize;
use std::time::Duration;

use floodway::base::rng::ShardRng;
use floodway::crypto::signature::verify;
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::database_lookup::LookupKind;
use floodway::wire::router_info::RouterInfo;
use rustix::time::{ClockId, clock_gettime};

use loadtest::records::{Kept, Plan, Records};
use sessions::{Floodfill, NOW, Way};
use table::{head, line, median};

/// Stores per second and core that were asked for, and answers.
const STORES_ASKED: f64 = 38_000.0;
const ANSWERS_ASKED: f64 = 35_000.0;
/// RouterInfos, which with those of the sessions are all that a slice may hold, and lease sets.
const RECORDS: (usize, usize) = (60_000 - sessions::SESSIONS, 20_000);
/// One router in so many is a floodfill.
const FLOODFILL_EVERY: Option<NonZeroUsize> = NonZeroUsize::new(30);
/// Lookups of one kind.
const LOOKUPS: usize = 40_000;
/// Messages of one turn.
const TURN: usize = 64;

/// CPU time of this thread.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
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
    let plan = Plan {
        routers: RECORDS.0 / scale,
        lease_sets: RECORDS.1 / scale,
        floodfill_every: FLOODFILL_EVERY,
        published: NOW.unix,
        seed: 1,
    };
    let records = Records::make(&plan).expect("a date of this century");
    thread::pin(cpu);
    let mut floodfill = Floodfill::start();
    head();
    reference(&records);
    store(&mut floodfill, "store a RouterInfo", "router_info", &records.routers);
    store(&mut floodfill, "store a lease set", "lease_set", &records.lease_sets);
    again(&mut floodfill, &records.routers);
    let mut rng = ShardRng::from_seed([201; 32]);
    let lookups = LOOKUPS / scale;
    for (name, kept, kind) in [
        ("RouterInfo", &records.routers, LookupKind::RouterInfo),
        ("lease set", &records.lease_sets, LookupKind::LeaseSet),
    ] {
        for way in [Way::Direct, Way::Tunnel, Way::Garlic] {
            let keys = draw(kept, lookups, &mut rng);
            let name = format!("answer a lookup of a {name}, {}", way.name());
            look_up(&mut floodfill, &name, &keys, (kind, way));
        }
    }
    let unknown: Vec<[u8; 32]> = (0..lookups).map(|_| rng.bytes()).collect();
    look_up(
        &mut floodfill,
        "refer a lookup, direct",
        &unknown,
        (LookupKind::RouterInfo, Way::Direct),
    );
    half_loaded(&mut floodfill, &draw(&records.routers, lookups, &mut rng));
}

fn draw(kept: &[Kept], count: usize, rng: &mut ShardRng) -> Vec<[u8; 32]> {
    (0..count).filter_map(|_| kept.get(rng.below(kept.len()))).map(|kept| kept.key.0).collect()
}

/// The least that a store can take: its signature.
fn reference(records: &Records) {
    let sample = records.routers.iter().take(2_000);
    let infos: Vec<_> =
        sample.filter_map(|kept| RouterInfo::parse(kept.info.as_deref()?).ok()).collect();
    let chunks = infos.chunks_exact(100).map(|chunk| {
        let begun = spent();
        for info in chunk {
            std::hint::black_box(verify(&info.check()));
        }
        (spent() - begun).as_secs_f64() / 100.0
    });
    let each = Duration::from_secs_f64(median(chunks));
    per_piece("check the signature of a RouterInfo", each, 1, None, "");
}

fn store(floodfill: &mut Floodfill, name: &str, kind: &str, kept: &[Kept]) {
    let bodies = kept.iter().map(|kept| kept.store.clone());
    let frames = floodfill.seal(MessageType::DatabaseStore, bodies);
    // What is sent is given up as it is taken, the list of it too.
    let sent = frames.iter().map(sessions::Sealed::size).sum::<usize>()
        + frames.capacity() * size_of::<sessions::Sealed>();
    let held = allocator::held() - sent;
    let begun = spent();
    floodfill.take_all(frames, TURN);
    let took = spent() - begun;
    let stored = floodfill.count("netdb_stores_total", &[kind, "stored"]);
    assert_eq!(stored, kept.len() as u64, "each record is stored");
    per_piece(name, took, kept.len(), Some(STORES_ASKED), "");
    let bytes = allocator::held().saturating_sub(held) as f64 / kept.len() as f64;
    let signed = kept.iter().map(|kept| kept.signed).sum::<usize>() as f64 / kept.len() as f64;
    line(&format!("memory of one, {name}"), bytes, "bytes", None, &format!("signed {signed:.0}"));
}

/// The same records once more, as other floodfills pass them on.
fn again(floodfill: &mut Floodfill, kept: &[Kept]) {
    let bodies = kept.iter().map(|kept| kept.store.clone());
    let frames = floodfill.seal(MessageType::DatabaseStore, bodies);
    let begun = spent();
    floodfill.take_all(frames, TURN);
    let took = spent() - begun;
    assert_eq!(floodfill.count("netdb_stores_total", &["router_info", "known"]), kept.len() as u64);
    per_piece("store a RouterInfo that is known", took, kept.len(), Some(STORES_ASKED), "");
}

fn look_up(
    floodfill: &mut Floodfill,
    name: &str,
    keys: &[[u8; 32]],
    (kind, way): (LookupKind, Way),
) {
    let frames = floodfill.seal_lookups(keys, kind, way);
    let answers = |floodfill: &Floodfill| {
        floodfill.count("netdb_lookups_total", &["found"])
            + floodfill.count("netdb_lookups_total", &["referred"])
    };
    let before = answers(floodfill);
    let begun = spent();
    floodfill.take_all(frames, TURN);
    let took = spent() - begun;
    // The replay filter of garlic takes one of some ten thousands for seen.
    let (answered, count) = (answers(floodfill) - before, keys.len() as u64);
    assert!(answered + count / 10_000 >= count, "lookups are answered: {answered} of {count}");
    per_piece(name, took, keys.len(), Some(ANSWERS_ASKED), "");
}

/// Lookups that come at half the rate that the shard can answer: how long each waits for its answer.
fn half_loaded(floodfill: &mut Floodfill, keys: &[[u8; 32]]) {
    let (first, rest) = keys.split_at(keys.len() / 4);
    let kind = LookupKind::RouterInfo;
    let frames = floodfill.seal_lookups(first, kind, Way::Direct);
    let begun = spent();
    floodfill.take_all(frames, TURN);
    let interval = (spent() - begun) * 2 / u32::try_from(first.len()).unwrap_or(u32::MAX);
    let mut waiting = floodfill.seal_lookups(rest, kind, Way::Direct).into_iter().peekable();
    let start = spent();
    let (mut taken, mut delays) = (0_u32, Vec::with_capacity(rest.len()));
    while waiting.peek().is_some() {
        let (now, first) = (spent() - start, taken);
        while interval * taken <= now
            && taken - first < 1024
            && let Some(frame) = waiting.next()
        {
            floodfill.take(frame);
            taken += 1;
        }
        if taken > first {
            floodfill.turn();
            let end = spent() - start;
            delays.extend((first..taken).map(|number| end.saturating_sub(interval * number)));
        }
    }
    delays.sort_unstable();
    for (percent, most) in [(50, None), (99, Some(1_000.0))] {
        let delay = delays.get(delays.len() * percent / 100).copied().unwrap_or_default();
        let rate = 1.0 / interval.as_secs_f64();
        let name = format!("p{percent} of a lookup of a RouterInfo at half load");
        let load = format!("{:.0} k lookups/s", rate / 1e3);
        line(&name, delay.as_secs_f64() * 1e6, "us", most, &load);
    }
}

/// One line: what a piece takes, beside what the asked rate leaves for it.
fn per_piece(name: &str, took: Duration, count: usize, asked: Option<f64>, note: &str) {
    let each = took.as_secs_f64() / count as f64;
    let most = asked.map(|rate| (1e7 / rate).round() / 10.0);
    line(name, each * 1e6, "us", most, &format!("{:.1} k/s {note}", 1e-3 / each));
}
