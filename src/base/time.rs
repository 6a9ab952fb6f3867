//! Time as plain values. Nothing below `runtime` reads a clock; it is told.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Monotonic time: microseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// Time that has passed since `earlier`, zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Wall-clock time: milliseconds since 1970-01-01 UTC, as I2P dates are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The time that a count of whole seconds names.
    #[must_use]
    pub fn from_seconds(seconds: u32) -> Self {
        Self(u64::from(seconds) * 1000)
    }

    /// Whole seconds, rounded to the nearest; saturates in 2106, where four-byte dates end.
    #[must_use]
    pub fn seconds_rounded(self) -> u32 {
        u32::try_from(self.0.saturating_add(500) / 1000).unwrap_or(u32::MAX)
    }

    /// Whole seconds, rounded up, so that an expiry never moves into the past.
    #[must_use]
    pub fn seconds_up(self) -> u32 {
        u32::try_from(self.0.div_ceil(1000)).unwrap_or(u32::MAX)
    }

    /// Whole minutes, rounded down, as build requests have them.
    #[must_use]
    pub fn minutes(self) -> u32 {
        u32::try_from(self.0 / 60_000).unwrap_or(u32::MAX)
    }

    /// Whole days since 1970-01-01.
    #[must_use]
    pub fn days(self) -> u64 {
        self.0 / 86_400_000
    }

    /// Time that has passed since `earlier`, zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: UnixTime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for UnixTime {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Both clocks, read once at the start of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For timers and intervals.
    pub instant: Instant,
    /// For dates on the wire.
    pub unix: UnixTime,
}
