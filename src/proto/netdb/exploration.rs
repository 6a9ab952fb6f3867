//! Getting to know more routers: now and then a floodfill is asked who is near a random key.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::id::{RecordKey, RouterHash};
use crate::base::rng::ShardRng;
use crate::base::time::{Instant, Now};

use super::routing_key::closest;

/// Shortest pause between two explorations.
pub const INTERVAL_MIN: Duration = Duration::from_secs(55);
/// Longest pause between two explorations.
pub const INTERVAL_MAX: Duration = Duration::from_secs(225);
/// How long the answer to an exploration is waited for.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Explorations whose answers are waited for; with more, the oldest is forgotten.
const OUTSTANDING_MAX: usize = 8;

const _: () = assert!(INTERVAL_MIN.as_millis() < INTERVAL_MAX.as_millis());

/// One exploration to send: a lookup of kind exploration for `key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explore {
    /// Whom to ask.
    pub floodfill: RouterHash,
    /// A random key.
    pub key: RecordKey,
}

/// Decides when and where to explore.
#[derive(Debug)]
pub struct Exploration {
    our: RouterHash,
    wanted_routers: usize,
    next: Instant,
    due: Option<Explore>,
    outstanding: VecDeque<(Explore, Instant)>,
}

impl Exploration {
    /// Explores while fewer than `wanted_routers` are known. The first time is one pause after `now`.
    #[must_use]
    pub fn new(our: RouterHash, wanted_routers: usize, now: Instant, rng: &mut ShardRng) -> Self {
        let next = now + pause(rng);
        Self { our, wanted_routers, next, due: None, outstanding: VecDeque::new() }
    }

    /// Explores when it is time, and draws the next time. `floodfills` are all known ones, sorted.
    pub fn handle_timeout(
        &mut self,
        now: Now,
        known_routers: usize,
        floodfills: &[RouterHash],
        rng: &mut ShardRng,
    ) {
        if now.instant < self.next {
            return;
        }
        self.next = now.instant + pause(rng);
        if known_routers >= self.wanted_routers {
            return;
        }
        let key = RecordKey(rng.bytes());
        let is_us = |router: &RouterHash| *router == self.our;
        let Some(floodfill) = closest(&key, now.unix, floodfills, &is_us, 1).first().copied()
        else {
            return;
        };
        self.due = Some(Explore { floodfill, key });
    }

    /// An exploration goes out: its answer is expected here from now on. That need not be where it was decided, since
    /// answers come to the owner of the key.
    pub fn handle_asked(&mut self, explore: Explore, now: Instant) {
        if self.outstanding.len() >= OUTSTANDING_MAX {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back((explore, now + ANSWER_WAIT));
    }

    /// Whether a search reply for `key` from `floodfill`, the router at the other end of the session, answers an
    /// exploration. Each is answered once.
    #[must_use]
    pub fn handle_search_reply(
        &mut self,
        key: &RecordKey,
        floodfill: &RouterHash,
        now: Instant,
    ) -> bool {
        self.outstanding.retain(|(_, until)| *until > now);
        let answered = Explore { floodfill: *floodfill, key: *key };
        let Some(place) = self.outstanding.iter().position(|(explore, _)| *explore == answered)
        else {
            return false;
        };
        self.outstanding.remove(place).is_some()
    }

    /// The exploration to send, if one is due.
    pub fn poll_explore(&mut self) -> Option<Explore> {
        self.due.take()
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.next
    }
}

/// A pause, drawn evenly, so that explorations have no rhythm by which a router could be told.
fn pause(rng: &mut ShardRng) -> Duration {
    let span = (INTERVAL_MAX - INTERVAL_MIN).as_millis();
    let drawn = rng.below(usize::try_from(span).unwrap_or(0) + 1);
    INTERVAL_MIN + Duration::from_millis(u64::try_from(drawn).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::time::UnixTime;

    const OUR: RouterHash = RouterHash([9; 32]);
    const FLOODFILLS: [RouterHash; 3] = [RouterHash([1; 32]), RouterHash([2; 32]), OUR];

    fn now(seconds: u64) -> Now {
        Now { instant: Instant(seconds * 1_000_000), unix: UnixTime(seconds * 1000) }
    }

    fn begin(seed: u8) -> (Exploration, ShardRng) {
        let mut rng = ShardRng::from_seed([seed; 32]);
        (Exploration::new(OUR, 100, now(0).instant, &mut rng), rng)
    }

    #[test]
    fn asks_another_floodfill_for_a_random_key() {
        let (mut exploration, mut rng) = begin(1);
        let mut keys = Vec::new();
        for _ in 0..20 {
            let at = Now { instant: exploration.deadline(), unix: UnixTime(0) };
            exploration.handle_timeout(at, 10, &FLOODFILLS, &mut rng);
            let explore = exploration.poll_explore().unwrap();
            assert!(exploration.poll_explore().is_none());
            assert_ne!(explore.floodfill, OUR);
            keys.push(explore.key);
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 20);
    }

    #[test]
    fn nothing_to_do_when_enough_are_known_or_nobody_can_be_asked() {
        for (known, floodfills) in [(100, &FLOODFILLS[..]), (10, &[]), (10, &[OUR])] {
            let (mut exploration, mut rng) = begin(2);
            exploration.handle_timeout(now(300), known, floodfills, &mut rng);
            assert_eq!(exploration.poll_explore(), None);
            assert!(exploration.deadline() > now(300).instant);
        }
    }

    #[test]
    fn only_the_asked_floodfill_answers_once_and_in_time() {
        let (mut exploration, mut rng) = begin(3);
        exploration.handle_timeout(now(300), 10, &FLOODFILLS, &mut rng);
        let explore = exploration.poll_explore().unwrap();
        exploration.handle_asked(explore, now(300).instant);
        let Explore { floodfill, key } = explore;
        let answers = [
            (key, OUR, 301, false),
            (RecordKey([0; 32]), floodfill, 301, false),
            (key, floodfill, 302, true),
            (key, floodfill, 303, false),
        ];
        for (key, from, at, expected) in answers {
            assert_eq!(exploration.handle_search_reply(&key, &from, now(at).instant), expected);
        }
        exploration.handle_timeout(now(600), 10, &FLOODFILLS, &mut rng);
        let explore = exploration.poll_explore().unwrap();
        exploration.handle_asked(explore, now(600).instant);
        let Explore { floodfill, key } = explore;
        assert!(!exploration.handle_search_reply(&key, &floodfill, now(630).instant), "late");
    }

    proptest! {
        #[test]
        fn pauses_stay_in_range(seed in any::<[u8; 32]>()) {
            let mut rng = ShardRng::from_seed(seed);
            let pause = pause(&mut rng);
            prop_assert!((INTERVAL_MIN..=INTERVAL_MAX).contains(&pause));
        }
    }
}
