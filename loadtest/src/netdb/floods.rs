//! Played floodfills around the router under test, which take what it passes on to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use floodway::base::id::RecordKey;
use floodway::wire::gzip::Gzip;
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::database_store::DatabaseStore;

use crate::clock::Clock;
use crate::records::{Kept, Records};
use crate::swarm::{Subject, Swarm, SwarmConfig};

use super::checks::{Verdict, judge};

/// Longest wait for something to come.
const STEP: Duration = Duration::from_millis(20);

/// What has been passed on, over all played floodfills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FloodCounts {
    /// Records as they were stored.
    pub right: u64,
    /// Records of ours that are not.
    pub wrong: u64,
    /// When the last of either came.
    pub last: Duration,
}

/// The counts, shared with the thread that keeps them.
#[derive(Default)]
struct Shared {
    right: AtomicU64,
    wrong: AtomicU64,
    last_micros: AtomicU64,
    over: AtomicBool,
}

/// The floodfills, on a thread of their own.
pub struct Floodfills {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Floodfills {
    /// Plays them, and opens their sessions.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn start(
        config: SwarmConfig,
        subject: Subject,
        records: Arc<Records>,
        clock: Clock,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (ready, when_ready) = sync_channel(1);
        let (kept, stop) = (Arc::clone(&shared), Arc::clone(stop));
        let play = move || -> Result<()> {
            let mut swarm = Swarm::new(config, clock, stop)?;
            swarm.introduce(subject)?;
            ready.send(())?;
            let mut book = Book::new(&records);
            while !kept.over.load(Ordering::Acquire) {
                swarm.step(STEP)?;
                while let Some((_, message)) = swarm.next_unclaimed() {
                    if message.kind == MessageType::DatabaseStore {
                        book.enter(&message.body);
                    }
                }
                book.show(&kept, clock);
            }
            swarm.close_all();
            Ok(())
        };
        let thread = thread::Builder::new().name("floodfills".to_owned()).spawn(play)?;
        let mut floodfills = Self { shared, thread: Some(thread) };
        match when_ready.recv() {
            Ok(()) => Ok(floodfills),
            // It has ended before it was ready, and says why.
            Err(_) => Err(floodfills.join().err().unwrap_or_else(|| anyhow!("interrupted"))),
        }
    }

    /// What has been passed on so far.
    #[must_use]
    pub fn counts(&self) -> FloodCounts {
        FloodCounts {
            right: self.shared.right.load(Ordering::Acquire),
            wrong: self.shared.wrong.load(Ordering::Acquire),
            last: Duration::from_micros(self.shared.last_micros.load(Ordering::Acquire)),
        }
    }

    /// Closes their sessions.
    ///
    /// # Errors
    /// When a session was lost for good meanwhile.
    pub fn stop(&mut self) -> Result<()> {
        self.join()
    }

    fn join(&mut self) -> Result<()> {
        self.shared.over.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let outcome = thread.join().map_err(|_| anyhow!("a thread of the load tool broke"))?;
        outcome.context("playing floodfills")
    }
}

impl Drop for Floodfills {
    fn drop(&mut self) {
        // Whoever wanted to know has called `stop`.
        drop(self.join());
    }
}

/// What the thread itself keeps.
struct Book<'a> {
    by_key: HashMap<RecordKey, &'a Kept>,
    gzip: Gzip,
    counts: FloodCounts,
    shown: FloodCounts,
}

impl<'a> Book<'a> {
    fn new(records: &'a Records) -> Self {
        let all = records.routers.iter().chain(&records.lease_sets);
        let by_key = all.map(|kept| (kept.key, kept)).collect();
        let (counts, shown) = (FloodCounts::default(), FloodCounts::default());
        Self { by_key, gzip: Gzip::new(), counts, shown }
    }

    /// Enters the body of a store. One with a reply token is the sender's own, and so are others that nobody stored.
    fn enter(&mut self, body: &[u8]) {
        let Ok(DatabaseStore { key, reply: None, .. }) = DatabaseStore::parse(body) else { return };
        let Some(kept) = self.by_key.get(&key) else { return };
        match judge(kept, body, &mut self.gzip) {
            Verdict::Right => self.counts.right += 1,
            Verdict::Wrong => self.counts.wrong += 1,
        }
    }

    fn show(&mut self, shared: &Shared, clock: Clock) {
        if self.counts == self.shown {
            return;
        }
        self.shown = self.counts;
        shared.last_micros.store(clock.micros(), Ordering::Release);
        shared.wrong.store(self.counts.wrong, Ordering::Release);
        shared.right.store(self.counts.right, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use floodway::base::id::RouterHash;
    use floodway::base::time::UnixTime;
    use floodway::wire::i2np::database_store::StoreReply;

    use crate::records::Plan;

    use super::*;

    #[test]
    fn only_what_is_passed_on_counts_and_a_changed_record_is_wrong() {
        let published = UnixTime(1_790_000_000_000);
        let plan = Plan { routers: 3, lease_sets: 2, floodfill_every: None, published, seed: 6 };
        let records = Records::make(&plan).unwrap();
        let others = Records::make(&Plan { seed: 7, ..plan }).unwrap();
        let mut book = Book::new(&records);
        for kept in records.routers.iter().chain(&records.lease_sets) {
            book.enter(&kept.store);
        }
        assert_eq!((book.counts.right, book.counts.wrong), (5, 0));

        book.enter(&others.routers[0].store);
        book.enter(b"nothing");
        let mut own = DatabaseStore::parse(&records.routers[0].store).unwrap();
        own.reply = Some(StoreReply { token: 9, tunnel: None, gateway: RouterHash([1; 32]) });
        book.enter(&own.write());
        assert_eq!((book.counts.right, book.counts.wrong), (5, 0));

        let mut changed = records.lease_sets[0].store.to_vec();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        book.enter(&changed);
        assert_eq!((book.counts.right, book.counts.wrong), (5, 1));
    }
}
