//! Our own direct lookups of RouterInfos: ask the floodfills closest to the key, one after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::base::id::{RecordKey, RouterHash};
use crate::base::time::{Instant, Now};

use super::routing_key::{RoutingKey, routing_key};

/// Floodfills asked for one key.
pub const ASKED_MAX: usize = 3;
/// How long one floodfill has to answer before the next is asked.
pub const ASK_INTERVAL: Duration = Duration::from_millis(1600);
/// How long a lookup may take in all.
pub const LOOKUP_LIFE: Duration = Duration::from_secs(5);
/// Hashes learned from search replies that wait to be taken; more are dropped.
pub const LEARNED_MAX: usize = 64;
/// Hashes that are read of one search reply.
pub const REPLY_PEERS_MAX: usize = 16;

const _: () = assert!(ASK_INTERVAL.as_millis() * 3 <= LOOKUP_LIFE.as_millis());

/// Why a router is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A message waits for it.
    Needed,
    /// Its hash was learned from an answer. What answers to this lookup name is not followed up, so that hashes of
    /// routers long gone, which floodfills keep naming, do not keep us busy.
    Learned,
}

/// What became of [`Lookups::start`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Started {
    /// A lookup began.
    Begun,
    /// There is one for this key already.
    UnderWay,
    /// As many as allowed are under way.
    Busy,
    /// No floodfill is known that could be asked.
    NoFloodfill,
}

/// One question to one floodfill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whom to ask.
    pub floodfill: RouterHash,
    /// For what.
    pub key: RecordKey,
    /// Whom the answer need not name: those asked before.
    pub excluded: Vec<RouterHash>,
}

/// All direct lookups of one shard.
pub struct Lookups {
    our: RouterHash,
    concurrent_max: usize,
    lookups: BTreeMap<RecordKey, Lookup>,
    // The same lookups by the time at which each wants to be looked at again.
    timers: BTreeSet<(Instant, RecordKey)>,
    asks: VecDeque<RecordKey>,
    failed: VecDeque<RecordKey>,
    learned: VecDeque<RouterHash>,
    unanswered: VecDeque<RouterHash>,
}

struct Lookup {
    purpose: Purpose,
    target: RoutingKey,
    /// Floodfills that may still be asked, closest first; at most [`ASKED_MAX`].
    candidates: Vec<RouterHash>,
    /// Floodfills asked, the last one last; at most [`ASKED_MAX`].
    asked: Vec<RouterHash>,
    wake: Instant,
    end: Instant,
}

impl Lookups {
    /// No lookups yet; at most `concurrent_max` at a time. `our` is never asked.
    #[must_use]
    pub fn new(our: RouterHash, concurrent_max: usize) -> Self {
        Self {
            our,
            concurrent_max,
            lookups: BTreeMap::new(),
            timers: BTreeSet::new(),
            asks: VecDeque::new(),
            failed: VecDeque::new(),
            learned: VecDeque::new(),
            unanswered: VecDeque::new(),
        }
    }

    /// Begins to look up the RouterInfo under `key`; `floodfills` are all known ones, sorted.
    pub fn start(
        &mut self,
        key: RecordKey,
        purpose: Purpose,
        now: Now,
        floodfills: &[RouterHash],
    ) -> Started {
        if let Some(lookup) = self.lookups.get_mut(&key) {
            match purpose {
                Purpose::Needed => lookup.purpose = Purpose::Needed,
                Purpose::Learned => {}
            }
            return Started::UnderWay;
        }
        if self.lookups.len() >= self.concurrent_max {
            return Started::Busy;
        }
        let target = routing_key(&key, now.unix);
        let is_excluded = |router: &RouterHash| *router == self.our || *router == key.as_router();
        let candidates = target.closest(floodfills, &is_excluded, ASKED_MAX);
        if candidates.is_empty() {
            return Started::NoFloodfill;
        }
        let end = now.instant + LOOKUP_LIFE;
        let asked = Vec::with_capacity(ASKED_MAX);
        let lookup = Lookup { purpose, target, candidates, asked, wake: now.instant, end };
        self.timers.insert((lookup.wake, key));
        self.lookups.insert(key, lookup);
        self.advance(&key, now.instant);
        Started::Begun
    }

    /// A floodfill answered that it has not got `key` and named `peers` instead. `from` is the router at the other
    /// end of the session: only one that we asked is heard, and whether it is one is said. The next floodfill is asked at
    /// once.
    pub fn handle_search_reply(
        &mut self,
        key: &RecordKey,
        from: &RouterHash,
        peers: &[RouterHash],
        now: Now,
        floodfills: &[RouterHash],
    ) -> bool {
        let Some(lookup) = self.lookups.get_mut(key) else { return false };
        if !lookup.asked.contains(from) {
            return false;
        }
        for peer in peers.iter().take(REPLY_PEERS_MAX) {
            if *peer == self.our || *peer == key.as_router() {
                continue;
            }
            if floodfills.binary_search(peer).is_ok() {
                lookup.add_candidate(*peer);
            } else if lookup.purpose == Purpose::Needed
                && self.learned.len() < LEARNED_MAX
                && !self.learned.contains(peer)
            {
                self.learned.push_back(*peer);
            }
        }
        if lookup.asked.last() == Some(from) {
            self.advance(key, now.instant);
        }
        true
    }

    /// Whether `floodfill` has been asked for `key`, in a lookup that is under way.
    #[must_use]
    pub fn was_asked(&self, key: &RecordKey, floodfill: &RouterHash) -> bool {
        self.lookups.get(key).is_some_and(|lookup| lookup.asked.contains(floodfill))
    }

    /// The record under `key` has come. Says whether a lookup for it was under way, that is, whether it was asked for.
    pub fn handle_stored(&mut self, key: &RecordKey) -> bool {
        self.remove(key).is_some()
    }

    /// Asks the next floodfills where one is late, and gives up what took too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((wake, key)) = self.timers.first().copied()
            && wake <= now
        {
            // Of those asked before it has been said already, or they have answered. Who was asked just before the end
            // has not had its time.
            let late = self.lookups.get(&key).filter(|lookup| lookup.wake < lookup.end);
            self.unanswered.extend(late.and_then(|lookup| lookup.asked.last()).copied());
            self.advance(&key, now);
        }
    }

    /// The next question to send.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        let key = self.asks.pop_front()?;
        let (floodfill, before) = self.lookups.get(&key)?.asked.split_last()?;
        Some(Ask { floodfill: *floodfill, key, excluded: before.to_vec() })
    }

    /// The next key that nobody had.
    pub fn poll_failed(&mut self) -> Option<RecordKey> {
        self.failed.pop_front()
    }

    /// The next hash of a router unknown as floodfill that an answer named.
    pub fn poll_learned(&mut self) -> Option<RouterHash> {
        self.learned.pop_front()
    }

    /// The next floodfill that did not answer in time.
    pub fn poll_unanswered(&mut self) -> Option<RouterHash> {
        self.unanswered.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(wake, _)| *wake)
    }

    /// Whether `key` is being looked up.
    #[must_use]
    pub fn is_under_way(&self, key: &RecordKey) -> bool {
        self.lookups.contains_key(key)
    }

    /// How many lookups are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lookups.len()
    }

    /// Whether no lookup is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lookups.is_empty()
    }

    /// Asks the next floodfill for `key`, or gives up when there is none or time is over.
    fn advance(&mut self, key: &RecordKey, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(key) else { return };
        if now >= lookup.end || !lookup.ask_next() {
            self.remove(key);
            self.failed.push_back(*key);
            return;
        }
        self.timers.remove(&(lookup.wake, *key));
        lookup.wake = lookup.end.min(now + ASK_INTERVAL);
        self.timers.insert((lookup.wake, *key));
        if !self.asks.contains(key) {
            self.asks.push_back(*key);
        }
    }

    fn remove(&mut self, key: &RecordKey) -> Option<Lookup> {
        let lookup = self.lookups.remove(key)?;
        self.timers.remove(&(lookup.wake, *key));
        self.asks.retain(|waiting| waiting != key);
        Some(lookup)
    }
}

impl Lookup {
    /// Moves the closest candidate to those asked; says whether there was one that may still be asked.
    fn ask_next(&mut self) -> bool {
        if self.candidates.is_empty() || self.asked.len() >= ASKED_MAX {
            return false;
        }
        self.asked.push(self.candidates.remove(0));
        true
    }

    /// Takes `floodfill` in, at its place by distance.
    fn add_candidate(&mut self, floodfill: RouterHash) {
        if self.asked.contains(&floodfill) || self.candidates.contains(&floodfill) {
            return;
        }
        let distance = self.target.distance(&floodfill);
        let place = self.candidates.partition_point(|other| self.target.distance(other) < distance);
        self.candidates.insert(place, floodfill);
        self.candidates.truncate(ASKED_MAX);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::time::UnixTime;
    use crate::proto::netdb::routing_key::closest;

    const OUR: RouterHash = RouterHash([0xEE; 32]);
    const KEY: RecordKey = RecordKey([0x42; 32]);

    fn now(milliseconds: u64) -> Now {
        Now { instant: Instant(milliseconds * 1000), unix: UnixTime(1_767_225_600_000) }
    }

    fn floodfills(count: u8) -> Vec<RouterHash> {
        let mut all: Vec<_> =
            (1..=count).map(|n| RouterHash([n; 32])).chain([OUR, KEY.as_router()]).collect();
        all.sort();
        all
    }

    fn begin(known: &[RouterHash]) -> Lookups {
        let mut lookups = Lookups::new(OUR, 2);
        assert_eq!(lookups.start(KEY, Purpose::Needed, now(0), known), Started::Begun);
        lookups
    }

    fn expected(known: &[RouterHash]) -> Vec<RouterHash> {
        let is_excluded = |router: &RouterHash| *router == OUR || *router == KEY.as_router();
        closest(&KEY, now(0).unix, known, &is_excluded, ASKED_MAX)
    }

    #[test]
    fn silent_floodfills_are_asked_one_after_the_other() {
        let known = floodfills(20);
        let mut lookups = begin(&known);
        let order = expected(&known);
        for (round, floodfill) in order.iter().enumerate() {
            let ask = lookups.poll_ask().unwrap();
            assert_eq!(ask.floodfill, *floodfill);
            assert_eq!(ask.key, KEY);
            assert_eq!(ask.excluded, order[..round]);
            assert_eq!(lookups.poll_ask(), None);
            let wake = now(1600 * (round as u64 + 1)).instant;
            assert_eq!(lookups.deadline(), Some(wake));
            lookups.handle_timeout(wake - Duration::from_micros(1));
            assert_eq!(lookups.poll_ask(), None);
            lookups.handle_timeout(wake);
        }
        assert_eq!(lookups.poll_ask(), None);
        assert_eq!(lookups.poll_failed(), Some(KEY));
        assert_eq!(lookups.poll_failed(), None);
        assert!(lookups.is_empty() && lookups.deadline().is_none());
    }

    #[test]
    fn a_negative_answer_moves_on_at_once() {
        let known = floodfills(20);
        let mut lookups = begin(&known);
        let order = expected(&known);
        for at in 0..3 {
            let ask = lookups.poll_ask().unwrap();
            lookups.handle_search_reply(&KEY, &ask.floodfill, &[], now(at), &known);
        }
        assert_eq!(order.len(), 3);
        assert_eq!(lookups.poll_failed(), Some(KEY));
    }

    #[test]
    fn answers_of_strangers_and_for_strange_keys_are_ignored() {
        let known = floodfills(20);
        let mut lookups = begin(&known);
        let ask = lookups.poll_ask().unwrap();
        let peers = [RouterHash([0x77; 32])];
        lookups.handle_search_reply(&KEY, &RouterHash([0x66; 32]), &peers, now(1), &known);
        lookups.handle_search_reply(&RecordKey([1; 32]), &ask.floodfill, &peers, now(1), &known);
        assert_eq!(lookups.poll_ask(), None);
        assert_eq!(lookups.poll_learned(), None);
    }

    #[test]
    fn closer_floodfills_that_we_know_are_asked_and_others_learned() {
        let known = floodfills(2);
        let mut lookups = begin(&known);
        let first = lookups.poll_ask().unwrap();
        let wider = floodfills(9);
        let stranger = RouterHash([0x99; 32]);
        let peers =
            [RouterHash([7; 32]), stranger, OUR, KEY.as_router(), stranger, first.floodfill];
        lookups.handle_search_reply(&KEY, &first.floodfill, &peers, now(10), &wider);
        assert_eq!(lookups.poll_learned(), Some(stranger));
        assert_eq!(lookups.poll_learned(), None);
        let mut asked = vec![first.floodfill];
        for at in [20, 30] {
            let ask = lookups.poll_ask().unwrap();
            asked.push(ask.floodfill);
            lookups.handle_search_reply(&KEY, &ask.floodfill, &[], now(at), &wider);
        }
        asked.sort();
        assert_eq!(asked, [1, 2, 7].map(|n| RouterHash([n; 32])));
    }

    #[test]
    fn what_is_learned_is_bounded_and_not_followed_further() {
        let known = floodfills(3);
        let many: Vec<_> =
            (0..200).map(|n| RouterHash([n, 1].repeat(16).try_into().unwrap())).collect();
        let mut lookups = Lookups::new(OUR, 100);
        for n in 0..20 {
            let key = RecordKey([n; 32]);
            let purpose = if n == 0 { Purpose::Learned } else { Purpose::Needed };
            assert_eq!(lookups.start(key, purpose, now(0), &known), Started::Begun);
            let ask = lookups.poll_ask().unwrap();
            let peers = &many[usize::from(n) * 5..];
            lookups.handle_search_reply(&key, &ask.floodfill, peers, now(1), &known);
            let _ = lookups.poll_ask();
            if n == 0 {
                assert!(lookups.learned.is_empty());
            }
            if n == 1 {
                assert_eq!(lookups.learned.len(), REPLY_PEERS_MAX);
            }
        }
        assert_eq!(lookups.learned.len(), LEARNED_MAX);
    }

    #[test]
    fn a_stored_record_ends_its_lookup() {
        let known = floodfills(3);
        let mut lookups = begin(&known);
        assert!(lookups.handle_stored(&KEY));
        assert!(!lookups.handle_stored(&KEY), "nothing was asked for any more");
        assert_eq!(lookups.poll_ask(), None);
        lookups.handle_timeout(now(10_000).instant);
        assert_eq!(lookups.poll_failed(), None);
    }

    #[test]
    fn refusals_to_start() {
        let known = floodfills(3);
        let mut lookups = begin(&known);
        let start = |lookups: &mut Lookups, n, known: &[RouterHash]| {
            lookups.start(RecordKey([n; 32]), Purpose::Needed, now(0), known)
        };
        assert_eq!(start(&mut lookups, 0x42, &known), Started::UnderWay);
        assert_eq!(start(&mut lookups, 1, &[]), Started::NoFloodfill);
        assert_eq!(start(&mut lookups, 1, &[OUR]), Started::NoFloodfill);
        assert_eq!(start(&mut lookups, 1, &[RouterHash([1; 32])]), Started::NoFloodfill);
        assert_eq!(start(&mut lookups, 1, &known), Started::Begun);
        assert_eq!(start(&mut lookups, 2, &known), Started::Busy);
        assert_eq!(lookups.len(), 2);
    }

    #[test]
    fn a_late_caller_cannot_stretch_a_lookup() {
        let known = floodfills(9);
        let mut lookups = begin(&known);
        lookups.handle_timeout(now(4900).instant);
        assert_eq!(lookups.deadline(), Some(now(5000).instant));
        lookups.handle_timeout(now(5000).instant);
        assert_eq!(lookups.poll_failed(), Some(KEY));
        assert_eq!(lookups.poll_ask(), None, "nothing is asked for what has ended");
    }

    proptest! {
        #[test]
        fn every_lookup_ends_and_asks_at_most_three(
            steps in proptest::collection::vec((0u8..5, 0u8..8, 0u64..3000), 0..100),
        ) {
            let known = floodfills(12);
            let mut lookups = Lookups::new(OUR, 4);
            let mut asked: BTreeMap<RecordKey, Vec<RouterHash>> = BTreeMap::new();
            let mut at = 0;
            for (step, n, pause) in steps {
                at += pause;
                let key = RecordKey([n; 32]);
                lookups.handle_timeout(now(at).instant);
                match step {
                    0 | 1 => {
                        if lookups.start(key, Purpose::Needed, now(at), &known) == Started::Begun {
                            asked.remove(&key);
                        }
                    }
                    2 => {
                        lookups.handle_stored(&key);
                    }
                    _ => {
                        let last = asked.get(&key).and_then(|all| all.last()).copied();
                        let from = last.unwrap_or(OUR);
                        lookups.handle_search_reply(&key, &from, &known, now(at), &known);
                    }
                }
                while let Some(ask) = lookups.poll_ask() {
                    let all = asked.entry(ask.key).or_default();
                    prop_assert_eq!(&ask.excluded, &*all);
                    prop_assert!(!all.contains(&ask.floodfill));
                    all.push(ask.floodfill);
                    prop_assert!(all.len() <= ASKED_MAX);
                }
                while lookups.poll_failed().is_some() {}
                prop_assert!(lookups.len() <= 4);
                prop_assert_eq!(lookups.lookups.len(), lookups.timers.len());
                prop_assert!(lookups.learned.len() <= LEARNED_MAX);
            }
            lookups.handle_timeout(now(at + 5000).instant);
            prop_assert!(lookups.is_empty());
        }
    }
}
