//! Remembers the ephemeral keys of accepted messages 1, so that a recorded handshake gets no second answer.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::limits::CLOCK_SKEW_MAX;
use crate::base::time::Instant;

/// Entries per generation: 16 bytes each, about 3 MB for both when full.
const GENERATION_MAX: usize = 65_536;

/// A message 1 whose clock runs `CLOCK_SKEW_MAX` ahead is valid for twice that long; a generation lasts as long, so
/// an entry lives for one to two such spans.
const GENERATION_LIFE: Duration = CLOCK_SKEW_MAX.saturating_mul(2);

/// The encrypted ephemeral keys of the last minutes, in two generations.
///
/// Each shard has one, and tells all others of what it accepts ([`ReplayFilter::poll_fresh`], [`ReplayFilter::learn`]):
/// connections reach any shard, and a replay must not be answered once by each. A question to one owner would cost
/// every handshake a way to another shard and back; this costs a message to each and no waiting. A replay that
/// overtakes the message gets a message 2, never a session.
///
/// It is asked before any Diffie-Hellman and told after message 1 has authenticated, so that noise cannot fill it.
/// At its bound the older generation is forgotten early: a replay may then get a message 2, never a session.
#[derive(Debug, Default)]
pub struct ReplayFilter {
    current: BTreeSet<[u8; 16]>,
    previous: BTreeSet<[u8; 16]>,
    began: Instant,
    fresh: Option<RequestMark>,
}

/// What one message 1 is known by: the first half of its encrypted ephemeral key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestMark([u8; 16]);

impl ReplayFilter {
    /// An empty filter.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a message 1 with this encrypted ephemeral key was accepted lately.
    #[must_use]
    pub fn contains(&self, key: &[u8; 32]) -> bool {
        let mark = mark(key);
        self.current.contains(&mark) || self.previous.contains(&mark)
    }

    /// Remembers an encrypted ephemeral key that came to this shard.
    pub fn insert(&mut self, key: &[u8; 32], now: Instant) {
        let mark = RequestMark(mark(key));
        self.learn(mark, now);
        self.fresh = Some(mark);
    }

    /// What this shard has accepted since the last call, for the other shards. To be asked after each input, which
    /// brings one message 1 at most.
    #[must_use]
    pub fn poll_fresh(&mut self) -> Option<RequestMark> {
        self.fresh.take()
    }

    /// Remembers what another shard has accepted.
    pub fn learn(&mut self, RequestMark(mark): RequestMark, now: Instant) {
        let age = now.since(self.began);
        if age >= GENERATION_LIFE || self.current.len() >= GENERATION_MAX {
            self.previous = std::mem::take(&mut self.current);
            if age >= GENERATION_LIFE * 2 {
                self.previous.clear();
            }
            self.began = now;
        }
        self.current.insert(mark);
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.len() + self.previous.len()
    }

    /// Whether no key is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// The first AES block alone: whoever keeps it but changes the second has another key, which does not authenticate.
fn mark(key: &[u8; 32]) -> [u8; 16] {
    *key.first_chunk().unwrap_or(&[0; 16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> [u8; 32] {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn a_key_is_remembered_for_as_long_as_its_message_is_valid() {
        let mut filter = ReplayFilter::new();
        let start = Instant(7_000_000);
        filter.insert(&key(1), start + Duration::from_secs(119));
        for second in 120..239 {
            filter.insert(&key(second), start + Duration::from_secs(u64::from(second)));
            assert!(filter.contains(&key(1)), "second {second}");
        }
        filter.insert(&key(2), start + Duration::from_secs(360));
        filter.insert(&key(3), start + Duration::from_secs(600));
        assert!(!filter.contains(&key(1)));
        assert!(!filter.contains(&key(2)));
        assert!(filter.contains(&key(3)));
    }

    #[test]
    fn what_one_shard_accepts_another_learns() {
        let (mut one, mut other) = (ReplayFilter::new(), ReplayFilter::new());
        assert_eq!(one.poll_fresh(), None);
        one.insert(&key(1), Instant(1));
        let mark = one.poll_fresh().unwrap();
        assert_eq!(one.poll_fresh(), None);
        other.learn(mark, Instant(2));
        assert!(other.contains(&key(1)) && !other.contains(&key(2)));
        assert_eq!(other.poll_fresh(), None, "what was learnt is not told again");
    }

    #[test]
    fn it_is_bounded() {
        let mut filter = ReplayFilter::new();
        for number in 0..200_000 {
            filter.insert(&key(number), Instant(1));
        }
        assert!(filter.len() <= 2 * GENERATION_MAX);
        assert!(filter.contains(&key(199_999)));
        assert!(filter.contains(&key(199_999 - 65_536)));
    }
}
