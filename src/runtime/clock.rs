//! The only reader of the clock.

use std::time::Duration;

use crate::base::time::{Instant, Now, UnixTime};

/// Where [`Instant`]s count from: an hour before the start, so that subtracting an interval does not saturate.
const BEFORE_START: Duration = Duration::from_secs(3600);

/// Both clocks of the process. Copies agree with one another, so that shards can exchange instants.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// A clock that starts now; the process has one and hands out copies.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the reader of the clock")]
    pub fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }

    /// Both clocks, read now.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { instant: self.instant(), unix: unix_time() }
    }

    /// The monotonic clock, read now.
    #[must_use]
    pub fn instant(&self) -> Instant {
        Instant::default() + (self.start.elapsed() + BEFORE_START)
    }
}

/// The wall clock, read now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the reader of the clock")]
pub fn unix_time() -> UnixTime {
    // A clock that stands before 1970 reads as 1970: every peer then refuses us for skew, which names the fault.
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixTime::default() + since.unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_agree_and_go_forward() {
        let clock = Clock::start();
        let copy = clock;
        let first = clock.instant();
        let second = copy.instant();
        assert!(second >= first);
        assert!(second.since(first) < Duration::from_secs(10));
        assert!(clock.now().unix.days() > 19_000);
    }
}
