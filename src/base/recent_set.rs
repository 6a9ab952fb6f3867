//! Remembers what was seen lately, in bounded memory: the store behind every replay filter.
//!
//! It holds 32-bit fingerprints of hashes that the caller has made with a secret key, so that nobody outside can
//! choose which ones collide. Two generations: the newer takes entries, the older is only asked; each period the
//! older is forgotten. An entry is therefore remembered for one to two periods.
//!
//! Memory: 4 bytes a slot, two generations; pages are touched as they fill. False positives: one lookup compares
//! at most 64 fingerprints, so fewer than 64 in 2^32 (1.5 in 10^8) new entries are taken for repeated ones.

use std::time::Duration;

use super::time::Instant;

const BUCKET_SLOTS: usize = 16;

/// Whether a [`RecentSet`] knew an entry before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Novelty {
    /// Not seen within the last period.
    New,
    /// Seen before.
    Repeated,
}

/// A set that forgets: exact but for a false-positive rate below 1.5 in 10^8.
///
/// When a generation fills up before its period is over, the older one is forgotten early: the window shrinks, the
/// false-positive rate does not grow and nothing new is refused.
pub struct RecentSet {
    newer: Generation,
    older: Generation,
    started: Instant,
    period: Duration,
    early_rotations: u64,
}

struct Generation {
    /// Fingerprints, filled from the front of each bucket; 0 is a free slot.
    buckets: Vec<[u32; BUCKET_SLOTS]>,
    entries: usize,
}

impl RecentSet {
    /// A set that remembers at least `slots / 2` entries for at least `period`, if no more come; it takes
    /// `8 * slots` bytes at most (`slots` rounded up to a power of two, 16 at the least).
    #[must_use]
    pub fn new(slots: usize, period: Duration) -> Self {
        let buckets = slots.div_ceil(BUCKET_SLOTS).next_power_of_two();
        Self {
            newer: Generation::new(buckets),
            older: Generation::new(buckets),
            started: Instant::default(),
            period,
            early_rotations: 0,
        }
    }

    /// Enters `hash`, which the caller has made with a secret key, and says whether it was there before.
    pub fn insert(&mut self, hash: u64, now: Instant) -> Novelty {
        self.advance(now);
        if self.newer.contains(hash) || self.older.contains(hash) {
            return Novelty::Repeated;
        }
        if !self.newer.insert(hash) {
            self.early_rotations += 1;
            self.rotate(now);
            let placed = self.newer.insert(hash);
            debug_assert!(placed, "an empty generation has room");
        }
        Novelty::New
    }

    /// How many entries are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.newer.entries + self.older.entries
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often a generation filled up before its period was over, since the start.
    #[must_use]
    pub fn early_rotations(&self) -> u64 {
        self.early_rotations
    }

    fn advance(&mut self, now: Instant) {
        let age = now.since(self.started);
        if age < self.period {
            return;
        }
        if age >= self.period * 2 {
            self.rotate(now);
        }
        self.rotate(now);
    }

    fn rotate(&mut self, now: Instant) {
        self.started = now;
        if self.newer.entries == 0 && self.older.entries == 0 {
            return;
        }
        // Fresh zero pages cost less than clearing what may be many megabytes in the middle of a turn.
        let fresh = Generation::new(self.newer.buckets.len());
        self.older = std::mem::replace(&mut self.newer, fresh);
    }
}

impl Generation {
    fn new(buckets: usize) -> Self {
        Self { buckets: vec![[0; BUCKET_SLOTS]; buckets], entries: 0 }
    }

    /// The two buckets where an entry may be, and its fingerprint.
    fn places(&self, hash: u64) -> (usize, usize, u32) {
        let mask = self.buckets.len() - 1;
        let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let first = usize::try_from(hash >> 32).unwrap_or(0) & mask;
        let second = usize::try_from(spread >> 32).unwrap_or(0) & mask;
        let fingerprint = u32::try_from(hash & u64::from(u32::MAX)).unwrap_or(1).max(1);
        (first, second, fingerprint)
    }

    fn contains(&self, hash: u64) -> bool {
        if self.entries == 0 {
            return false;
        }
        let (first, second, fingerprint) = self.places(hash);
        [first, second].into_iter().any(|index| {
            self.buckets.get(index).is_some_and(|bucket| bucket.contains(&fingerprint))
        })
    }

    /// Enters `hash` in the emptier of its two buckets; `false` when both are full.
    fn insert(&mut self, hash: u64) -> bool {
        let (first, second, fingerprint) = self.places(hash);
        let used = |index| self.buckets.get(index).map_or(BUCKET_SLOTS, slots_used);
        let (index, used) = match (used(first), used(second)) {
            (one, two) if two < one => (second, two),
            (one, _) => (first, one),
        };
        let Some(slot) = self.buckets.get_mut(index).and_then(|bucket| bucket.get_mut(used)) else {
            return false;
        };
        *slot = fingerprint;
        self.entries += 1;
        true
    }
}

fn slots_used(bucket: &[u32; BUCKET_SLOTS]) -> usize {
    bucket.iter().position(|&slot| slot == 0).unwrap_or(BUCKET_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::ShardRng;

    const PERIOD: Duration = Duration::from_secs(600);

    fn at(seconds: u64) -> Instant {
        Instant(5_000_000_000) + Duration::from_secs(seconds)
    }

    #[test]
    fn an_entry_is_remembered_for_one_to_two_periods() {
        let mut set = RecentSet::new(1024, PERIOD);
        assert_eq!(set.insert(7, at(0)), Novelty::New);
        assert_eq!(set.insert(7, at(1)), Novelty::Repeated);
        assert_eq!(set.insert(8, at(599)), Novelty::New);
        assert_eq!(set.insert(7, at(600)), Novelty::Repeated, "in the older generation");
        assert_eq!(set.insert(8, at(1190)), Novelty::Repeated, "not yet a period old");
        assert_eq!(set.insert(7, at(1300)), Novelty::New, "two periods later");
        assert_eq!(set.insert(7, at(9000)), Novelty::New, "after a long silence");
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_are_kept() {
        let mut rng = ShardRng::from_seed([1; 32]);
        let mut set = RecentSet::new(4096, PERIOD);
        let hashes: Vec<u64> = (0..40_000).map(|_| rng.u64()).collect();
        for &hash in &hashes {
            assert_eq!(set.insert(hash, at(0)), Novelty::New);
        }
        assert!(set.len() <= 2 * 4096);
        assert!(set.early_rotations() >= 8);
        for &hash in hashes.iter().rev().take(2048) {
            assert_eq!(set.insert(hash, at(1)), Novelty::Repeated);
        }
    }

    #[test]
    fn a_generation_fills_to_four_fifths_before_it_rotates_early() {
        let mut rng = ShardRng::from_seed([2; 32]);
        let mut set = RecentSet::new(1 << 16, PERIOD);
        while set.early_rotations() == 0 {
            let _ = set.insert(rng.u64(), at(0));
        }
        assert!(set.older.entries * 5 > (1 << 16) * 4, "only {} entries", set.older.entries);
    }
}
