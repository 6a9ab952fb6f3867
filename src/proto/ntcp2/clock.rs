//! How far our clock is from those of others: the median of what routers say in message 2.
//!
//! Only routers that we have dialled count, and each of them once: with message 2 they prove that they are who we meant,
//! while anybody can put any time into a message 1. The clock itself is left alone, since whoever could move it could
//! part us from the network.

use std::collections::VecDeque;

use super::error::ClockSkew;
use crate::base::id::RouterHash;

/// Routers whose latest word counts.
const WITNESSES_MAX: usize = 31;
/// With fewer there is no estimate.
const WITNESSES_MIN: usize = 5;

/// What routers say of our clock.
#[derive(Debug, Default)]
pub struct ClockEstimate {
    /// With the milliseconds by which each one's clock is ahead of ours, the latest last.
    witnesses: VecDeque<(RouterHash, i64)>,
}

impl ClockEstimate {
    /// A router that we have dialled says so.
    pub fn note(&mut self, router: RouterHash, skew: ClockSkew) {
        self.witnesses.retain(|(known, _)| *known != router);
        if self.witnesses.len() >= WITNESSES_MAX {
            self.witnesses.pop_front();
        }
        let distance = i64::try_from(skew.distance().as_millis()).unwrap_or(i64::MAX);
        let ahead = match skew {
            ClockSkew::Ahead(_) => distance,
            ClockSkew::Behind(_) => -distance,
        };
        self.witnesses.push_back((router, ahead));
    }

    /// How many routers count.
    #[must_use]
    pub fn witnesses(&self) -> usize {
        self.witnesses.len()
    }

    /// By how many seconds, rounded, the clocks of others are ahead of ours; less than zero where ours is ahead. None
    /// where too few have said anything.
    #[must_use]
    pub fn seconds_ahead(&self) -> Option<i64> {
        if self.witnesses.len() < WITNESSES_MIN {
            return None;
        }
        let mut all: Vec<i64> = self.witnesses.iter().map(|(_, ahead)| *ahead).collect();
        let middle = all.len() / 2;
        let (_, median, _) = all.select_nth_unstable(middle);
        Some((median.saturating_add(500)).div_euclid(1000))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn router(n: u8) -> RouterHash {
        RouterHash([n; 32])
    }

    fn ahead(millis: u64) -> ClockSkew {
        ClockSkew::Ahead(Duration::from_millis(millis))
    }

    fn behind(millis: u64) -> ClockSkew {
        ClockSkew::Behind(Duration::from_millis(millis))
    }

    #[test]
    fn a_few_liars_change_nothing() {
        let mut clock = ClockEstimate::default();
        for (n, skew) in (0..).zip([behind(0), ahead(400), behind(300), ahead(9_000_000)]) {
            clock.note(router(n), skew);
            assert_eq!(clock.seconds_ahead(), None);
        }
        clock.note(router(4), ahead(u64::MAX));
        assert_eq!(clock.seconds_ahead(), Some(0));
        // One and the same router has one voice.
        for _ in 0..100 {
            clock.note(router(5), ahead(60_000));
        }
        assert_eq!((clock.witnesses(), clock.seconds_ahead()), (6, Some(60)));
        clock.note(router(5), behind(200));
        assert_eq!(clock.seconds_ahead(), Some(0));
    }

    #[test]
    fn what_the_latest_say_counts() {
        let mut clock = ClockEstimate::default();
        for n in 0..40 {
            clock.note(router(n), behind(12_600));
        }
        assert_eq!((clock.witnesses(), clock.seconds_ahead()), (WITNESSES_MAX, Some(-13)));
        for n in 40..60 {
            clock.note(router(n), ahead(1_499));
        }
        assert_eq!(clock.seconds_ahead(), Some(1));
    }
}
