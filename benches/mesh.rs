//! Handing frames of 1 KiB from shard to shard, in batches of 32: CPU time of each of two pinned threads per frame, beside
//! a bounded channel of crossbeam, which takes them one by one.
//!
//! A frame goes to the other shard and back to the one that lent it, which is two hand-overs; in each, one thread
//! is the sender and the other the receiver. All CPU time is counted, looking into empty queues as well. Nobody sleeps.

#[path = "harness/table.rs"]
mod table;
#[path = "harness/thread.rs"]
mod thread;

use std::sync::{Arc, Barrier};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use floodway::base::id::ShardId;
use floodway::runtime::mesh::{Bell, MeshEnd, Queue, weave};
use floodway::runtime::pump::Parcel;
use rustix::time::{ClockId, clock_gettime};
use table::{line, median};

/// Rounds; odd, so that there is a median.
const ROUNDS: usize = 9;
/// Frames that go together.
const BATCH: usize = 32;
/// Frames that there are: half of what a queue holds.
const POOL: usize = 4096;
/// How often a frame goes out and comes back, over all frames.
const TRIPS: usize = 1 << 20;
/// Hand-overs: out and back.
const HAND_OVERS: f64 = 2.0 * TRIPS as f64;
/// Bytes of a frame.
const FRAME: usize = 1024;
/// What an item has beside its frame, so that it is as large as what the runtime sends.
const REST: usize = size_of::<Parcel>() - size_of::<Box<[u8; FRAME]>>();

/// What is handed over: a frame where it lies, and `N` bytes of words about it.
struct Item<const N: usize> {
    frame: Box<[u8; FRAME]>,
    #[expect(dead_code, reason = "it is there to be moved")]
    rest: [u8; N],
}

/// What is done with the bytes of a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Nothing: the hand-over alone.
    Untouched,
    /// The sender writes them all and the receiver reads them all.
    WrittenAndRead,
}

/// One thread's end of two queues.
trait End<T>: Send {
    fn send(&mut self, items: impl Iterator<Item = T>);
    fn receive(&mut self, items: &mut Vec<(ShardId, T)>);
}

impl<T: Send> End<T> for MeshEnd<T> {
    fn send(&mut self, items: impl Iterator<Item = T>) {
        let other = ShardId(1 - self.shard().0);
        items.for_each(|item| MeshEnd::send(self, other, Queue::Data, item));
        self.publish();
    }

    fn receive(&mut self, items: &mut Vec<(ShardId, T)>) {
        MeshEnd::receive(self, POOL, items);
    }
}

/// The reference.
struct Channel<T> {
    out: Sender<T>,
    back: Receiver<T>,
}

impl<T: Send> End<T> for Channel<T> {
    fn send(&mut self, items: impl Iterator<Item = T>) {
        items.for_each(|item| assert!(self.out.try_send(item).is_ok(), "there is room for all"));
    }

    fn receive(&mut self, items: &mut Vec<(ShardId, T)>) {
        items.extend(self.back.try_iter().map(|item| (ShardId(0), item)));
    }
}

fn meshed<T>() -> [MeshEnd<T>; 2] {
    let bell = || Arc::new(Bell::new().expect("a descriptor is left"));
    let ends = weave(&[bell(), bell()]);
    ends.try_into().unwrap_or_else(|_| unreachable!("an end for each bell"))
}

fn channels<T>() -> [Channel<T>; 2] {
    let ((out, there), (back, here)) = (bounded(2 * POOL), bounded(2 * POOL));
    [Channel { out, back: here }, Channel { out: back, back: there }]
}

/// Sends and takes back until all trips are done; `items` are those that it has at first.
fn play<const N: usize>(
    end: &mut impl End<Item<N>>,
    items: &mut Vec<(ShardId, Item<N>)>,
    content: Content,
) {
    let (mut sent, mut received, home) = (0, 0, items.len());
    let mut sum = 0u64;
    while sent < TRIPS || received < TRIPS {
        while items.len() >= BATCH && sent < TRIPS {
            let batch = items.drain(items.len() - BATCH..).map(|(_, mut item)| {
                if content == Content::WrittenAndRead {
                    item.frame.fill(u8::try_from(sent % 251).unwrap_or(0));
                }
                item
            });
            end.send(batch);
            sent += BATCH;
        }
        let before = items.len();
        end.receive(items);
        received += items.len() - before;
        if content == Content::WrittenAndRead {
            let new = items.iter().skip(before);
            sum += new
                .map(|(_, item)| item.frame.iter().map(|b| u64::from(*b)).sum::<u64>())
                .sum::<u64>();
        }
    }
    std::hint::black_box(sum);
    assert_eq!(items.len(), home, "no frame was lost");
}

/// CPU time that the calling thread has taken so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |number: i64| u64::try_from(number).expect("a thread does not run backwards");
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// CPU time of each side per hand-over, in nanoseconds.
fn run<const N: usize, E: End<Item<N>>>(ends: [E; 2], content: Content) -> [f64; 2] {
    let [mut lender, mut other] = ends;
    let cpus = thread::two_cpus();
    let start = Barrier::new(2);
    let timed = |cpu, end: &mut E, count| {
        thread::pin(cpu);
        let make = |_| (ShardId(0), Item { frame: Box::new([0; FRAME]), rest: [0; N] });
        let mut items: Vec<_> = (0..count).map(make).collect();
        items.reserve(POOL);
        start.wait();
        let before = cpu_time();
        play(end, &mut items, content);
        (cpu_time() - before).as_secs_f64() * 1e9 / HAND_OVERS
    };
    std::thread::scope(|scope| {
        let lending = scope.spawn(|| timed(cpus[0], &mut lender, POOL));
        let using = scope.spawn(|| timed(cpus[1], &mut other, 0));
        [lending, using].map(|thread| thread.join().expect("both play to the end"))
    })
}

fn compare<const N: usize>(name: &str, content: Content, most: Option<f64>) {
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| (run::<N, _>(meshed(), content), run::<N, _>(channels(), content)))
        .collect();
    for (side, who) in [(0, "lender"), (1, "borrower")] {
        let value = median(rounds.iter().map(|(ours, _)| ours[side]));
        let reference = median(rounds.iter().map(|(_, reference)| reference[side]));
        let ratio = median(rounds.iter().map(|(ours, reference)| ours[side] / reference[side]));
        let reference = format!("crossbeam {reference:.1} ns, ratio {ratio:.2}");
        line(&format!("{name}: {who}"), value, "ns/frame", most, &reference);
    }
}

fn main() {
    table::head();
    compare::<0>("hand-over of a pointer", Content::Untouched, Some(10.0));
    compare::<REST>(
        &format!("hand-over of {} bytes", size_of::<Item<REST>>()),
        Content::Untouched,
        Some(10.0),
    );
    compare::<REST>("the same, 1 KiB written and read", Content::WrittenAndRead, None);
}
