//! The load tool's clock: one monotonic time for delays, and the time of day for what the protocol dates.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use floodway::base::time::{Instant, Now, UnixTime};

/// A clock that counts from when it was made. Copies of one clock agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
    offset: i64,
}

impl Clock {
    /// Starts counting.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the load tool's only reader of the clock")]
    pub fn start() -> Self {
        Self { start: std::time::Instant::now(), offset: 0 }
    }

    /// The same clock with a time of day that is `seconds` ahead, or behind if negative: for peers whose clock is off.
    #[must_use]
    pub fn shifted(self, seconds: i64) -> Self {
        Self { offset: self.offset.saturating_add(seconds), ..self }
    }

    /// The time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time since the start, in microseconds.
    #[must_use]
    pub fn micros(&self) -> u64 {
        u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The time as the router's machines take it.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the load tool's only reader of the clock")]
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        let unix = unix.saturating_add_signed(self.offset.saturating_mul(1000));
        // Started a second ago, so that nothing that subtracts small spans reaches zero.
        Now { instant: Instant(self.micros() + 1_000_000), unix: UnixTime(unix) }
    }
}
