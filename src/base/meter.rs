//! A meter of what flows: open while no more has passed than its rate allows.
//!
//! Other than a [`TokenBucket`](super::rate::TokenBucket) it is charged for what has passed, of whatever size, and may be
//! overdrawn by it: the next piece then waits until that is made up for. So a piece larger than the burst passes, too, and
//! what is known only afterwards (padding, what others have sent) can be charged as it was.

use std::time::Duration;

use super::rate::Rate;
use super::time::Instant;

/// Parts that a token is counted in, as in [`super::rate`]: with them all arithmetic is exact.
const PARTS: i128 = 1_000_000;

/// What is left of a [`Rate`] for the next piece, or how far it is overdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Parts of tokens, at the time of `updated`; below zero where it is overdrawn.
    parts: i128,
    updated: Instant,
}

impl Meter {
    /// A meter through which nothing has passed yet: it lets the burst of `rate` through at once.
    #[must_use]
    pub fn full(rate: &Rate, now: Instant) -> Self {
        Self { parts: i128::from(rate.burst()) * PARTS, updated: now }
    }

    /// Adds what has come since the last time, up to the burst. To be called with the old rate before a meter follows
    /// another one. Time that goes back adds nothing.
    pub fn refill(&mut self, rate: &Rate, now: Instant) {
        let micros = now.0.saturating_sub(self.updated.0);
        let gained = i128::from(micros).saturating_mul(i128::from(rate.per_second()));
        self.parts = self.parts.saturating_add(gained).min(i128::from(rate.burst()) * PARTS);
        self.updated = self.updated.max(now);
    }

    /// Whether the next piece may pass, whatever its size.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.parts > 0
    }

    /// Counts `tokens` that have passed.
    pub fn charge(&mut self, tokens: u64) {
        self.parts = self.parts.saturating_sub(i128::from(tokens) * PARTS);
    }

    /// Gives back `tokens` that were charged and did not pass.
    pub fn give_back(&mut self, tokens: u64) {
        self.parts = self.parts.saturating_add(i128::from(tokens) * PARTS);
    }

    /// Counts `tokens` that nobody could hold back, but only until the meter is overdrawn by what comes in `most`: what they
    /// exceed that by is forgiven, so that a flood of them keeps it closed for no longer than that after its end.
    pub fn charge_within(&mut self, tokens: u64, rate: &Rate, most: Duration) {
        let micros = i128::try_from(most.as_micros()).unwrap_or(i128::MAX);
        let lowest = -micros.saturating_mul(i128::from(rate.per_second()));
        let charged = self.parts.saturating_sub(i128::from(tokens) * PARTS);
        self.parts = charged.max(lowest).min(self.parts);
    }

    /// When it is open, if nothing more passes; never at rate zero.
    #[must_use]
    pub fn opens_at(&self, rate: &Rate) -> Option<Instant> {
        if self.is_open() {
            return Some(self.updated);
        }
        let missing = u128::try_from(1_i128.saturating_sub(self.parts)).unwrap_or(0);
        let per_second = u128::from(rate.per_second());
        let micros = if per_second == 0 { return None } else { missing.div_ceil(per_second) };
        Some(self.updated + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_overdrawn_is_made_up_for() {
        let rate = Rate::new(1_000, 10);
        let mut meter = Meter::full(&rate, Instant(0));
        meter.charge(1_010);
        assert!(!meter.is_open());
        let opens = meter.opens_at(&rate).unwrap();
        assert_eq!(opens, Instant(1_000_001));
        meter.refill(&rate, Instant(1_000_000));
        assert!(!meter.is_open());
        meter.refill(&rate, opens);
        assert!(meter.is_open());
        // A rest gives no more than the burst.
        meter.refill(&rate, Instant(u64::MAX));
        assert_eq!(meter, Meter::full(&rate, Instant(u64::MAX)));
    }

    #[test]
    fn what_nobody_could_hold_back_closes_it_for_a_while_only() {
        let rate = Rate::new(1_000, 10);
        let mut meter = Meter::full(&rate, Instant(0));
        meter.charge_within(1_000_000, &rate, Duration::from_secs(1));
        assert_eq!(meter.opens_at(&rate), Some(Instant(1_000_001)));
        // It is not opened by it either.
        meter.charge(5_000);
        meter.charge_within(1, &rate, Duration::from_secs(1));
        assert_eq!(meter.opens_at(&rate), Some(Instant(6_000_001)));
        meter.give_back(5_000);
        assert_eq!(meter.opens_at(&rate), Some(Instant(1_000_001)));
    }

    #[test]
    fn the_ends_of_the_numbers_are_numbers() {
        let rate = Rate::new(u64::MAX, u64::MAX);
        let mut meter = Meter::full(&rate, Instant(0));
        meter.refill(&rate, Instant(u64::MAX));
        meter.charge(u64::MAX);
        meter.charge_within(u64::MAX, &rate, Duration::MAX);
        assert!(meter.opens_at(&rate).is_some());
        let never = Rate::new(0, 1);
        let mut meter = Meter::full(&never, Instant(0));
        meter.charge(1);
        meter.refill(&never, Instant(u64::MAX));
        assert!(!meter.is_open());
        assert_eq!(meter.opens_at(&never), None);
    }

    proptest! {
        #[test]
        fn no_more_passes_than_the_rate_the_burst_and_a_piece(
            per_second in 1u64..1_000_000_000,
            burst in 1u64..1_000_000,
            pieces in proptest::collection::vec((1u64..100_000, 0u64..50_000), 1..200),
        ) {
            let rate = Rate::new(per_second, burst);
            let mut meter = Meter::full(&rate, Instant(0));
            let (mut now, mut passed, mut last) = (0, 0u64, 0);
            for (size, wait) in pieces {
                now += wait;
                let opens = meter.opens_at(&rate).unwrap();
                meter.refill(&rate, Instant(now));
                prop_assert_eq!(meter.is_open(), opens <= Instant(now));
                if meter.is_open() {
                    meter.charge(size);
                    (passed, last) = (passed + size, size);
                }
                let allowed = u128::from(now) * u128::from(per_second) / 1_000_000 + u128::from(burst);
                prop_assert!(u128::from(passed) <= allowed + u128::from(last));
            }
        }
    }
}
