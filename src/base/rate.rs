//! A token bucket: how much of something a source may use, on average and at once.
//!
//! All of it is integer arithmetic in millionths of a token, which is exact, since a rate in tokens per second times a time
//! in microseconds is a whole number of them: however often a bucket is asked, nothing is gained or lost by rounding.

use std::time::Duration;

use super::time::Instant;

/// Parts that a token is counted in: as many as a second has microseconds.
const PARTS: u64 = 1_000_000;

/// What a bucket gives: so many tokens each second, and so many at once after a time without use.
///
/// It stands apart from the [`TokenBucket`]s that follow it, so that a table of many sources keeps 16 bytes for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// Largest burst, in tokens; a larger one is taken for this.
    pub const BURST_MAX: u64 = u64::MAX / PARTS;

    /// `per_second` tokens a second and at most `burst` at once. Nothing above `burst` tokens is ever granted; a rate of
    /// zero gives its burst once.
    #[must_use]
    pub const fn new(per_second: u64, burst: u64) -> Self {
        Self { per_second, burst: if burst > Self::BURST_MAX { Self::BURST_MAX } else { burst } }
    }

    /// Tokens a second.
    #[must_use]
    pub const fn per_second(&self) -> u64 {
        self.per_second
    }

    /// Tokens at once.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    fn full(&self) -> u64 {
        self.burst * PARTS
    }
}

/// The use that one source has made of a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// Parts of tokens that are there, at the time of `updated`.
    parts: u64,
    updated: Instant,
}

impl TokenBucket {
    /// A bucket that has not been used yet.
    #[must_use]
    pub fn full(rate: &Rate, now: Instant) -> Self {
        Self { parts: rate.full(), updated: now }
    }

    /// Takes `tokens` tokens if that many are there, and none otherwise; says whether it took them.
    #[must_use]
    pub fn take(&mut self, tokens: u64, rate: &Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let taken = tokens.checked_mul(PARTS).and_then(|parts| self.parts.checked_sub(parts));
        taken.map(|left| self.parts = left).is_some()
    }

    /// Whole tokens that are there.
    #[must_use]
    pub fn available(&self, rate: &Rate, now: Instant) -> u64 {
        let mut filled = *self;
        filled.refill(rate, now);
        filled.parts / PARTS
    }

    /// When `tokens` tokens will be there, if none are taken before; never for more than the burst, nor at rate zero.
    #[must_use]
    pub fn ready_at(&self, tokens: u64, rate: &Rate) -> Option<Instant> {
        if tokens > rate.burst {
            return None;
        }
        let missing = (tokens * PARTS).saturating_sub(self.parts);
        let micros = if missing == 0 { 0 } else { missing.div_ceil(non_zero(rate.per_second)?) };
        Some(self.updated + Duration::from_micros(micros))
    }

    /// Whether the source has not been seen for so long that its bucket says nothing: it can be forgotten.
    #[must_use]
    pub fn is_full(&self, rate: &Rate, now: Instant) -> bool {
        let mut filled = *self;
        filled.refill(rate, now);
        filled.parts == rate.full()
    }

    /// Adds what has come since the last time. To be called with the old rate before a bucket follows another one. Time
    /// that goes back adds nothing and is not remembered.
    pub fn refill(&mut self, rate: &Rate, now: Instant) {
        let micros = now.0.saturating_sub(self.updated.0);
        let gained = u128::from(micros) * u128::from(rate.per_second);
        let parts = (u128::from(self.parts) + gained).min(u128::from(rate.full()));
        self.parts = u64::try_from(parts).unwrap_or(u64::MAX);
        self.updated = self.updated.max(now);
    }
}

fn non_zero(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_average_is_exact_however_often_it_is_asked() {
        // Seven tokens a second, asked every millisecond: a bucket that rounded down would never give one.
        let rate = Rate::new(7, 3);
        let mut bucket = TokenBucket::full(&rate, Instant(0));
        assert!(bucket.take(3, &rate, Instant(0)));
        let granted = (1..=3_600_000u64).filter(|ms| bucket.take(1, &rate, Instant(ms * 1000)));
        assert_eq!(granted.count(), 7 * 3600);
    }

    #[test]
    fn the_ends_of_the_numbers_are_numbers() {
        let rate = Rate::new(u64::MAX, u64::MAX);
        assert_eq!(rate.burst(), Rate::BURST_MAX);
        let mut bucket = TokenBucket::full(&rate, Instant(0));
        assert!(bucket.take(Rate::BURST_MAX, &rate, Instant(0)));
        assert_eq!(bucket.available(&rate, Instant(u64::MAX)), Rate::BURST_MAX);
        assert!(!bucket.take(u64::MAX, &rate, Instant(u64::MAX)));
        assert_eq!(bucket.ready_at(Rate::BURST_MAX + 1, &rate), None);
        let never = Rate::new(0, 2);
        let mut bucket = TokenBucket::full(&never, Instant(5));
        assert!(bucket.take(2, &never, Instant(1)));
        assert!(!bucket.take(1, &never, Instant(u64::MAX)));
        assert_eq!(bucket.ready_at(1, &never), None);
        assert_eq!(bucket.ready_at(0, &never), Some(Instant(u64::MAX)));
        assert!(!bucket.is_full(&never, Instant(u64::MAX)));
    }

    #[test]
    fn a_slower_rate_takes_effect_with_its_smaller_burst() {
        let (fast, slow) = (Rate::new(1000, 1000), Rate::new(1, 2));
        let mut bucket = TokenBucket::full(&fast, Instant(0));
        bucket.refill(&fast, Instant(10));
        assert_eq!(bucket.available(&slow, Instant(10)), 2);
        assert!(!bucket.take(3, &slow, Instant(10)));
    }

    /// The level as an exact fraction: `parts / PARTS` in numbers too wide to overflow.
    struct Model {
        parts: i128,
        updated: u64,
    }

    impl Model {
        fn take(&mut self, tokens: u64, rate: &Rate, now: u64) -> bool {
            let parts = i128::from(PARTS);
            let micros = i128::from(now.saturating_sub(self.updated));
            self.updated = self.updated.max(now);
            let full = i128::from(rate.burst) * parts;
            self.parts = (self.parts + micros * i128::from(rate.per_second)).min(full);
            let enough = self.parts >= i128::from(tokens) * parts;
            if enough {
                self.parts -= i128::from(tokens) * parts;
            }
            enough
        }
    }

    fn size() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..10, 0u64..100_000, 0u64..1 << 43]
    }

    proptest! {
        #[test]
        fn it_does_what_exact_fractions_do(
            per_second in size(),
            burst in size(),
            uses in proptest::collection::vec((size(), -1000i64..10_000_000), 1..60),
        ) {
            let rate = Rate::new(per_second, burst);
            let mut bucket = TokenBucket::full(&rate, Instant(0));
            let mut model = Model { parts: i128::from(burst) * i128::from(PARTS), updated: 0 };
            let mut now = 0u64;
            for (tokens, wait) in uses {
                now = now.saturating_add_signed(wait);
                let ready = bucket.ready_at(tokens, &rate);
                let taken = bucket.take(tokens, &rate, Instant(now));
                prop_assert_eq!(taken, model.take(tokens, &rate, now));
                prop_assert_eq!(i128::from(bucket.parts), model.parts);
                prop_assert_eq!(taken, ready.is_some_and(|ready| ready.0 <= now.max(bucket.updated.0)));
            }
        }
    }
}
