//! A million timers, spread over ten minutes as those of sessions and tunnels are: the time to insert one and the time to
//! take one out, beside a binary heap in the same run. Criterion's figures are for the million: a millisecond of
//! them is a nanosecond each, and `thrpt` in Melem/s is 1000 over the nanoseconds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use floodway::base::rng::ShardRng;
use floodway::base::time::Instant;
use floodway::base::wheel::Wheel;

const TIMERS: u32 = 1_000_000;
/// Over how long they are spread, in microseconds.
const SPREAD: usize = 600_000_000;
/// How often a turn asks for what is due.
const TURN: Duration = Duration::from_millis(1);

fn deadlines() -> Vec<Instant> {
    let mut rng = ShardRng::from_seed([3; 32]);
    let spread = |rng: &mut ShardRng| u64::try_from(rng.below(SPREAD)).unwrap_or(0);
    (0..TIMERS).map(|_| Instant(spread(&mut rng))).collect()
}

fn filled(mut wheel: Wheel<u64>, start: Instant, deadlines: &[Instant]) -> Wheel<u64> {
    for (key, deadline) in (0..).zip(deadlines) {
        wheel.insert(Instant(start.0 + deadline.0), key);
    }
    wheel
}

/// Takes everything out in turns; how many there were.
fn emptied(wheel: &mut Wheel<u64>, start: Instant) -> usize {
    let (mut now, mut found) = (start, 0);
    while !wheel.is_empty() {
        while let Some(key) = wheel.pop_due(now) {
            black_box(key);
            found += 1;
        }
        now = now + TURN;
    }
    found
}

/// A wheel that has grown to its size before, as one that runs for long has.
fn grown(deadlines: &[Instant]) -> (Wheel<u64>, Instant) {
    let mut wheel = filled(Wheel::new(Instant(0)), Instant(0), deadlines);
    emptied(&mut wheel, Instant(0));
    (wheel, Instant(2 * 600_000_000))
}

fn wheel(c: &mut Criterion) {
    let deadlines = deadlines();
    let mut group = c.benchmark_group("wheel");
    group.throughput(Throughput::Elements(u64::from(TIMERS))).sample_size(10);
    group.bench_function("insert a million", |b| {
        b.iter_batched(
            || grown(&deadlines),
            |(wheel, start)| filled(wheel, start, &deadlines),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("expire a million", |b| {
        b.iter_batched(
            || (filled(Wheel::new(Instant(0)), Instant(0), &deadlines), Instant(0)),
            |(mut wheel, start)| {
                assert_eq!(emptied(&mut wheel, start), deadlines.len());
                wheel
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn heap(c: &mut Criterion) {
    let deadlines = deadlines();
    let fill = || -> BinaryHeap<Reverse<(Instant, u64)>> {
        let mut heap = BinaryHeap::with_capacity(deadlines.len());
        (0..).zip(&deadlines).for_each(|(key, deadline)| heap.push(Reverse((*deadline, key))));
        heap
    };
    let mut group = c.benchmark_group("binary heap, for comparison");
    group.throughput(Throughput::Elements(u64::from(TIMERS))).sample_size(10);
    group.bench_function("insert a million", |b| {
        b.iter_batched(|| (), |()| fill(), BatchSize::PerIteration);
    });
    group.bench_function("expire a million", |b| {
        b.iter_batched(
            fill,
            |mut heap| {
                while let Some(entry) = heap.pop() {
                    black_box(entry);
                }
                heap
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, wheel, heap);
criterion_main!(benches);
