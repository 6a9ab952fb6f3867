//! Dial backoff: a router that could not be reached is left alone for a while, longer each time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::id::RouterHash;
use crate::base::time::Instant;

/// How long a router is left alone after its first failed dial.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(30);
/// Longest time that a router is left alone.
pub const BACKOFF_MAX: Duration = Duration::from_secs(8 * 60);
/// How long past its backoff a router's failures are remembered, so that the next one doubles.
pub const FAILURES_REMEMBERED: Duration = Duration::from_secs(8 * 60);

const _: () = assert!(BACKOFF_FIRST.as_secs() <= BACKOFF_MAX.as_secs());

/// Routers that could not be reached lately, and until when each is left alone.
///
/// Bounded: at the bound the router whose failures would be forgotten soonest gives way.
#[derive(Debug)]
pub struct DialBackoff {
    capacity: usize,
    entries: BTreeMap<RouterHash, Entry>,
    // The same routers by the time at which they are forgotten.
    order: BTreeSet<(Instant, RouterHash)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    wait: Duration,
    until: Instant,
}

impl Entry {
    fn forgotten(&self) -> Instant {
        self.until + FAILURES_REMEMBERED
    }
}

impl DialBackoff {
    /// Remembers at most `capacity` routers.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, entries: BTreeMap::new(), order: BTreeSet::new() }
    }

    /// Whether `router` may be dialled at `now`.
    #[must_use]
    pub fn is_dialable(&self, router: &RouterHash, now: Instant) -> bool {
        self.entries.get(router).is_none_or(|entry| entry.until <= now)
    }

    /// A dial of `router` failed: it is left alone for 30 s, then twice as long each time, up to 8 min.
    pub fn handle_failed(&mut self, router: RouterHash, now: Instant) {
        self.expire(now);
        let wait = match self.remove(&router) {
            Some(earlier) => earlier.wait.saturating_mul(2).min(BACKOFF_MAX),
            None => BACKOFF_FIRST,
        };
        if self.entries.len() >= self.capacity {
            let Some((_, soonest)) = self.order.pop_first() else { return };
            self.entries.remove(&soonest);
        }
        let entry = Entry { wait, until: now + wait };
        self.entries.insert(router, entry);
        self.order.insert((entry.forgotten(), router));
    }

    /// A session with `router` came up, whoever dialled: its failures are forgotten.
    pub fn handle_connected(&mut self, router: &RouterHash) {
        self.remove(router);
    }

    /// Forgets what is long past.
    pub fn expire(&mut self, now: Instant) {
        while let Some((at, router)) = self.order.first().copied()
            && at <= now
        {
            self.order.pop_first();
            self.entries.remove(&router);
        }
    }

    /// How many routers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no failure is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn remove(&mut self, router: &RouterHash) -> Option<Entry> {
        let entry = self.entries.remove(router)?;
        self.order.remove(&(entry.forgotten(), *router));
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUTER: RouterHash = RouterHash([1; 32]);

    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000)
    }

    #[test]
    fn waits_double_up_to_eight_minutes() {
        let mut backoff = DialBackoff::new(8);
        let mut now = at(0);
        assert!(backoff.is_dialable(&ROUTER, now));
        for wait in [30, 60, 120, 240, 480, 480] {
            backoff.handle_failed(ROUTER, now);
            let end = now + Duration::from_secs(wait);
            assert!(!backoff.is_dialable(&ROUTER, end - Duration::from_micros(1)), "{wait} s");
            assert!(backoff.is_dialable(&ROUTER, end), "{wait} s");
            now = end;
        }
    }

    #[test]
    fn success_and_time_forget() {
        let mut backoff = DialBackoff::new(8);
        backoff.handle_failed(ROUTER, at(0));
        backoff.handle_connected(&ROUTER);
        assert!(backoff.is_dialable(&ROUTER, at(0)) && backoff.is_empty());
        backoff.handle_failed(ROUTER, at(0));
        backoff.handle_failed(ROUTER, at(30 + 480));
        assert!(backoff.is_dialable(&ROUTER, at(540)), "forgotten: the wait starts at 30 s again");
        backoff.expire(at(540 + 480));
        assert!(backoff.is_empty());
    }

    #[test]
    fn the_soonest_forgotten_gives_way() {
        let mut backoff = DialBackoff::new(2);
        backoff.handle_failed(RouterHash([1; 32]), at(0));
        backoff.handle_failed(RouterHash([2; 32]), at(1));
        backoff.handle_failed(RouterHash([3; 32]), at(2));
        assert!(backoff.is_dialable(&RouterHash([1; 32]), at(2)));
        assert!(!backoff.is_dialable(&RouterHash([2; 32]), at(2)));
        assert!(!backoff.is_dialable(&RouterHash([3; 32]), at(2)));
    }

    #[test]
    fn no_room_at_all_is_no_backoff() {
        let mut backoff = DialBackoff::new(0);
        backoff.handle_failed(ROUTER, at(0));
        assert!(backoff.is_empty() && backoff.is_dialable(&ROUTER, at(0)));
    }

    proptest! {
        #[test]
        fn bound_holds_and_both_indexes_agree(
            steps in proptest::collection::vec((0u8..12, 0u8..3, 0u64..400), 0..80),
        ) {
            let mut backoff = DialBackoff::new(5);
            let mut now = at(0);
            for (router, step, pause) in steps {
                now = now + Duration::from_secs(pause);
                match step {
                    0 | 1 => backoff.handle_failed(RouterHash([router; 32]), now),
                    _ => backoff.handle_connected(&RouterHash([router; 32])),
                }
                prop_assert!(backoff.len() <= 5);
                prop_assert_eq!(backoff.entries.len(), backoff.order.len());
                for (forgotten, router) in &backoff.order {
                    let entry = backoff.entries.get(router).map(Entry::forgotten);
                    prop_assert_eq!(entry, Some(*forgotten));
                }
            }
        }
    }
}
