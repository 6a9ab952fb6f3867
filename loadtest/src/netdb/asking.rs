//! Played routers that store records at the router under test and look them up.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use floodway::base::frame::Frame;
use floodway::base::id::RecordKey;
use floodway::base::rng::ShardRng;
use floodway::wire::gzip::Gzip;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_search_reply::DatabaseSearchReply;
use floodway::wire::i2np::database_store::{DatabaseStore, StoreReply};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::i2np::{I2npMessage, MessageType};
use hdrhistogram::Histogram;

use crate::clock::Clock;
use crate::records::Kept;
use crate::swarm::{Subject, Swarm, SwarmConfig, SwarmError, UNCLAIMED_MAX, delays};

use super::checks::{Verdict, judge, key_of};
use super::window::{Asked, Settled, Window};

/// Answers that one session waits for at once.
pub(super) const WINDOW: usize = 32;
/// Sessions at most.
pub const SESSIONS_MAX: u8 = 64;
/// Answers that all sessions together wait for when questions come at a rate; what is due beyond it is not asked.
const WAITING_MAX: usize = 2048;
/// Longest wait for something to come.
const STEP: Duration = Duration::from_millis(20);

// All answers of one round find a place until they are fetched.
const _: () = assert!(WINDOW * SESSIONS_MAX as usize <= WAITING_MAX && WAITING_MAX < UNCLAIMED_MAX);

/// How fast is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// As fast as answers come.
    Window,
    /// So many times a second, at even intervals.
    Rate(f64),
}

/// What came of questions of one kind, or of stores.
pub(super) struct Outcome {
    /// Sent.
    pub(super) asked: u64,
    /// Answered as it should be.
    pub(super) right: u64,
    /// Answered with a record that is not the one that was stored, or with what nobody asked for.
    pub(super) wrong: u64,
    /// Answered with the names of other routers.
    pub(super) referred: u64,
    /// Not answered in time.
    pub(super) lost: u64,
    /// Due at a rate, and not asked because too many answers were missing.
    pub(super) held_back: u64,
    /// From the first question to the last answer.
    pub(super) took: Duration,
    /// Delays of the right answers, at a rate from when the question was due.
    pub(super) delays: Histogram<u64>,
    /// The same from when the question was sent.
    pub(super) delays_since_sent: Histogram<u64>,
    /// How long after they were due questions were sent.
    pub(super) lateness: Histogram<u64>,
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    histogram.saturating_record(micros.max(1));
}

/// One part of the load while it runs.
struct Part<K> {
    windows: Vec<Window<K>>,
    begun: Duration,
    outcome: Outcome,
}

impl<K: Copy + Eq + Hash> Part<K> {
    fn begin(sessions: usize, now: Duration) -> Self {
        let outcome = Outcome {
            asked: 0,
            right: 0,
            wrong: 0,
            referred: 0,
            lost: 0,
            held_back: 0,
            took: Duration::ZERO,
            delays: delays(),
            delays_since_sent: delays(),
            lateness: delays(),
        };
        Self { windows: (0..sessions).map(|_| Window::new()).collect(), begun: now, outcome }
    }

    fn waiting(&self) -> usize {
        self.windows.iter().map(Window::waiting).sum()
    }

    /// How much a session may ask now: half a window at a time, so that messages share writes.
    fn room(&self, member: usize) -> usize {
        let waiting = self.windows.get(member).map_or(WINDOW, Window::waiting);
        let room = WINDOW.saturating_sub(waiting);
        if room * 2 < WINDOW { 0 } else { room }
    }

    fn ask(&mut self, member: usize, key: K, asked: Asked) {
        if let Some(window) = self.windows.get_mut(member) {
            window.ask(key, asked);
            self.outcome.asked += 1;
            record(&mut self.outcome.lateness, asked.sent.saturating_sub(asked.at));
        }
    }

    /// Enters an answer to `member` that carries `key`: what it answers, if anything that is still waited for.
    fn settle(&mut self, member: usize, key: &K, now: Duration) -> Option<Asked> {
        match self.windows.get_mut(member)?.settle(key) {
            Settled::Answer(asked) => {
                self.outcome.took = now.saturating_sub(self.begun);
                Some(asked)
            }
            Settled::Late => None,
            Settled::Unasked => {
                self.outcome.wrong += 1;
                None
            }
        }
    }

    fn right(&mut self, asked: Asked, now: Duration) {
        self.outcome.right += 1;
        record(&mut self.outcome.delays, now.saturating_sub(asked.at));
        record(&mut self.outcome.delays_since_sent, now.saturating_sub(asked.sent));
    }

    fn write_off(&mut self, now: Duration) {
        self.windows.iter_mut().for_each(|window| window.write_off(now));
    }

    fn end(self) -> Outcome {
        let lost = self.windows.iter().map(Window::lost).sum();
        Outcome { lost, ..self.outcome }
    }
}

/// Records in an order that has nothing to do with how they were stored, over and over.
struct Draw {
    order: Vec<usize>,
    next: usize,
}

impl Draw {
    fn new(count: usize, rng: &mut ShardRng) -> Self {
        let mut order: Vec<usize> = (0..count).collect();
        for at in (1..count).rev() {
            order.swap(at, rng.below(at + 1));
        }
        Self { order, next: 0 }
    }

    fn next(&mut self) -> Option<usize> {
        let record = self.order.get(self.next).copied();
        self.next = (self.next + 1) % self.order.len().max(1);
        record
    }
}

/// The routers and their sessions.
pub(super) struct Askers {
    swarm: Swarm,
    clock: Clock,
    rng: ShardRng,
    gzip: Gzip,
    token: u32,
}

impl Askers {
    /// Plays them, and opens their sessions.
    pub(super) fn join(
        config: SwarmConfig,
        subject: Subject,
        clock: Clock,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, SwarmError> {
        let mut bytes = [0xc2; 32];
        bytes.iter_mut().zip(config.seed.to_le_bytes()).for_each(|(to, from)| *to = from);
        let mut swarm = Swarm::new(config, clock, Arc::clone(stop))?;
        swarm.introduce(subject)?;
        let rng = ShardRng::from_seed(bytes);
        Ok(Self { swarm, clock, rng, gzip: Gzip::new(), token: 0 })
    }

    /// Says nothing for a while, and listens to nothing.
    pub(super) fn rest(&mut self, duration: Duration) -> Result<(), SwarmError> {
        self.swarm.run(duration)?;
        while self.swarm.next_unclaimed().is_some() {}
        Ok(())
    }

    /// Ends the sessions; how many of them had to be opened again.
    pub(super) fn close(&mut self) -> u64 {
        self.swarm.close_all();
        self.swarm.report().redials
    }

    /// Stores each of `kept` once, with a reply token.
    pub(super) fn store(&mut self, kept: &[Kept]) -> Result<Outcome> {
        let sessions = self.swarm.size();
        let mut part = Part::begin(sessions, self.clock.elapsed());
        let mut left = kept.iter().enumerate();
        while left.len() > 0 || part.waiting() > 0 {
            for member in 0..sessions {
                for (record, kept) in left.by_ref().take(part.room(member)) {
                    let at = self.clock.elapsed();
                    let token = self.store_one(member, kept)?;
                    part.ask(member, token, Asked { record, at, sent: at });
                }
            }
            self.swarm.step(STEP)?;
            let now = self.clock.elapsed();
            while let Some((member, message)) = self.swarm.next_unclaimed() {
                if message.kind != MessageType::DeliveryStatus {
                    continue;
                }
                match DeliveryStatus::parse(&message.body) {
                    Ok(status) => {
                        if let Some(asked) = part.settle(member, &status.id.0, now) {
                            part.right(asked, now);
                        }
                    }
                    Err(_) => part.outcome.wrong += 1,
                }
            }
            part.write_off(now);
        }
        Ok(part.end())
    }

    fn store_one(&mut self, member: usize, kept: &Kept) -> Result<u32> {
        self.token = self.token.checked_add(1).unwrap_or(1);
        let mut store = DatabaseStore::parse(&kept.store)?;
        let gateway = self.swarm.hash_of(member).unwrap_or(kept.key.as_router());
        store.reply = Some(StoreReply { token: self.token, tunnel: None, gateway });
        self.send(member, MessageType::DatabaseStore, store.write());
        Ok(self.token)
    }

    fn send(&mut self, member: usize, kind: MessageType, body: Frame) {
        let now = self.clock.now();
        let message = self.swarm.router_mut(member).map(|router| router.message(kind, body, now));
        if let Some(message) = message {
            self.swarm.send(member, &message);
        }
    }

    /// Looks records out of `kept` up for `duration`, and waits for the last answers.
    pub(super) fn look_up(
        &mut self,
        kept: &[Kept],
        kind: LookupKind,
        pace: Pace,
        duration: Duration,
    ) -> Result<Outcome> {
        let mut draw = Draw::new(kept.len(), &mut self.rng);
        let begun = self.clock.elapsed();
        let mut part = Part::begin(self.swarm.size(), begun);
        let mut due = 0;
        let mut now = begun;
        while now.saturating_sub(begun) < duration || part.waiting() > 0 {
            let mut patience = STEP;
            if now.saturating_sub(begun) < duration {
                match pace {
                    Pace::Window => self.ask_in_windows(kept, kind, &mut draw, &mut part),
                    Pace::Rate(rate) => {
                        let interval = Duration::try_from_secs_f64(1.0 / rate);
                        let interval = interval.unwrap_or(Duration::MAX);
                        let at = |number| begun.saturating_add(interval.saturating_mul(number));
                        while at(due) <= now {
                            self.ask_at(at(due), due, (kept, kind), &mut draw, &mut part);
                            due += 1;
                        }
                        patience = at(due).saturating_sub(self.clock.elapsed()).min(STEP);
                    }
                }
            }
            self.swarm.step(patience)?;
            now = self.clock.elapsed();
            while let Some((member, message)) = self.swarm.next_unclaimed() {
                enter(kept, (member, &message), now, &mut part, &mut self.gzip);
            }
            part.write_off(now);
        }
        Ok(part.end())
    }

    fn ask_in_windows(
        &mut self,
        kept: &[Kept],
        kind: LookupKind,
        draw: &mut Draw,
        part: &mut Part<RecordKey>,
    ) {
        for member in 0..self.swarm.size() {
            for _ in 0..part.room(member) {
                let at = self.clock.elapsed();
                if !self.ask_one(member, at, (kept, kind), draw, part) {
                    break;
                }
            }
        }
    }

    /// Asks question `number`, which was due `at` some time, over the session whose turn it is.
    fn ask_at(
        &mut self,
        at: Duration,
        number: u32,
        what: (&[Kept], LookupKind),
        draw: &mut Draw,
        part: &mut Part<RecordKey>,
    ) {
        let sessions = self.swarm.size().max(1);
        let member = usize::try_from(number).unwrap_or_default() % sessions;
        if part.waiting() >= WAITING_MAX || !self.ask_one(member, at, what, draw, part) {
            part.outcome.held_back += 1;
        }
    }

    /// Asks for the next record; `false` if that session waits for it already.
    fn ask_one(
        &mut self,
        member: usize,
        at: Duration,
        (kept, kind): (&[Kept], LookupKind),
        draw: &mut Draw,
        part: &mut Part<RecordKey>,
    ) -> bool {
        let Some(record) = draw.next() else { return false };
        let (Some(key), Some(from)) =
            (kept.get(record).map(|kept| kept.key), self.swarm.hash_of(member))
        else {
            return false;
        };
        if part.windows.get(member).is_none_or(|window| window.is_taken(&key)) {
            return false;
        }
        let lookup = DatabaseLookup {
            key,
            from,
            reply_tunnel: None,
            kind,
            unknown_flags: 0,
            excluded: &[],
            encryption: LookupEncryption::None,
        };
        self.send(member, MessageType::DatabaseLookup, lookup.write());
        part.ask(member, key, Asked { record, at, sent: self.clock.elapsed() });
        true
    }
}

/// Enters what came to a session while it waits for records.
fn enter(
    kept: &[Kept],
    (member, message): (usize, &I2npMessage),
    now: Duration,
    part: &mut Part<RecordKey>,
    gzip: &mut Gzip,
) {
    if message.kind == MessageType::DatabaseStore {
        let Some(key) = key_of(&message.body) else {
            part.outcome.wrong += 1;
            return;
        };
        let Some(asked) = part.settle(member, &key, now) else { return };
        match kept.get(asked.record).map(|kept| judge(kept, &message.body, gzip)) {
            Some(Verdict::Right) => part.right(asked, now),
            Some(Verdict::Wrong) | None => part.outcome.wrong += 1,
        }
    } else if message.kind == MessageType::DatabaseSearchReply {
        match DatabaseSearchReply::parse(&message.body) {
            Ok(reply) => {
                if part.settle(member, &reply.key, now).is_some() {
                    part.outcome.referred += 1;
                }
            }
            Err(_) => part.outcome.wrong += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use floodway::base::id::{MessageId, RouterHash};
    use floodway::base::time::UnixTime;

    use crate::records::{Plan, Records};

    use super::*;

    fn message(kind: MessageType, body: Frame) -> I2npMessage {
        I2npMessage { kind, id: MessageId(1), expiration: UnixTime(0), body }
    }

    /// Counts of right, wrong and referred answers after session 0 asked for router 0 and this came.
    fn after(change: impl FnOnce(&[Kept]) -> I2npMessage) -> (u64, u64, u64) {
        let published = UnixTime(1_790_000_000_000);
        let plan = Plan { routers: 2, lease_sets: 0, floodfill_every: None, published, seed: 8 };
        let kept = Records::make(&plan).unwrap().routers;
        let mut part = Part::begin(1, Duration::ZERO);
        let at = Duration::from_millis(1);
        part.ask(0, kept[0].key, Asked { record: 0, at, sent: at });
        let now = Duration::from_millis(3);
        enter(&kept, (0, &change(&kept)), now, &mut part, &mut Gzip::new());
        let Outcome { right, wrong, referred, delays, .. } = part.end();
        assert_eq!(delays.len(), right);
        assert!(right == 0 || delays.max() >= 2000);
        (right, wrong, referred)
    }

    #[test]
    fn answers_are_told_apart() {
        let store = MessageType::DatabaseStore;
        assert_eq!(after(|kept| message(store, kept[0].store.clone())), (1, 0, 0));
        assert_eq!(after(|kept| message(store, kept[1].store.clone())), (0, 1, 0), "not asked for");
        let other_content = |kept: &[Kept]| {
            let mut store = DatabaseStore::parse(&kept[1].store).unwrap();
            store.key = kept[0].key;
            message(MessageType::DatabaseStore, store.write())
        };
        assert_eq!(after(other_content), (0, 1, 0));
        let unreadable = |_: &[Kept]| {
            let mut frame = Frame::with_capacity(3);
            frame.append(b"abc");
            message(MessageType::DatabaseStore, frame)
        };
        assert_eq!(after(unreadable), (0, 1, 0));
        let refer = |key: fn(&[Kept]) -> RecordKey| {
            move |kept: &[Kept]| {
                let from = RouterHash([3; 32]);
                let reply = DatabaseSearchReply { key: key(kept), peers: Vec::new(), from };
                message(MessageType::DatabaseSearchReply, reply.write())
            }
        };
        assert_eq!(after(refer(|kept| kept[0].key)), (0, 0, 1));
        assert_eq!(after(refer(|kept| kept[1].key)), (0, 1, 0), "not asked for");
    }

    #[test]
    fn every_record_is_drawn_before_any_is_drawn_again() {
        let mut draw = Draw::new(100, &mut ShardRng::from_seed([1; 32]));
        for _ in 0..2 {
            let mut drawn: Vec<usize> = (0..100).filter_map(|_| draw.next()).collect();
            assert!(!drawn.is_sorted());
            drawn.sort_unstable();
            assert_eq!(drawn, (0..100).collect::<Vec<_>>());
        }
        assert_eq!(Draw::new(0, &mut ShardRng::from_seed([1; 32])).next(), None);
    }

    #[test]
    fn a_session_asks_half_a_window_at_a_time() {
        let mut part: Part<u32> = Part::begin(1, Duration::ZERO);
        let asked = Asked { record: 0, at: Duration::ZERO, sent: Duration::ZERO };
        assert_eq!((part.room(0), part.room(1)), (WINDOW, 0));
        for key in 0..20 {
            part.ask(0, key, asked);
        }
        assert_eq!((part.waiting(), part.room(0)), (20, 0));
        for key in 0..8 {
            assert_eq!(part.settle(0, &key, Duration::ZERO), Some(asked));
        }
        assert_eq!((part.waiting(), part.room(0)), (12, 20));
    }
}
