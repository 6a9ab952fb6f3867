//! The congestion letters of our RouterInfo, from how full the router was over the last minutes.
//!
//! `D` keeps a router out of client tunnels, `E` out of all for the 15 minutes that its RouterInfo counts as new, `G` out
//! of all. Others remember what they read for an hour, so a letter follows averages and is slow to go: it comes at one
//! fullness and goes at a lower one. Proposal 162; i2pd shows `D` above 70 % and `E` above 90 %.

use std::collections::VecDeque;
use std::time::Duration;

use crate::wire::capabilities::Congestion;

/// How often fullness is measured.
pub const LOAD_INTERVAL: Duration = Duration::from_secs(10);
/// Measurements of which the average is taken: three minutes.
const SAMPLES: usize = 18;
/// How long `E` is told before it is told anew: others take it for `D` when the RouterInfo is 15 minutes old.
pub const HIGH_CONGESTION_LIFE: Duration = Duration::from_secs(10 * 60);

/// A share in thousandths, a thousand at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permille(u16);

impl Permille {
    /// How much of `limit` `used` is. Of no limit nothing is ever used, of a limit of zero all.
    #[must_use]
    pub fn of(used: u64, limit: Option<u64>) -> Self {
        let Some(limit) = limit else { return Self(0) };
        let share = (u128::from(used) * 1000).checked_div(u128::from(limit)).unwrap_or(1000);
        Self(u16::try_from(share).unwrap_or(1000).min(1000))
    }

    /// The mean of `shares` over `count` of them; those that are missing are zero.
    #[must_use]
    pub fn mean(shares: impl Iterator<Item = Self>, count: usize) -> Self {
        let sum: u64 = shares.map(|share| u64::from(share.0)).sum();
        Self::of(sum, Some(1000 * u64::try_from(count.max(1)).unwrap_or(u64::MAX)))
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// Each level with the fullness at which it comes, and that below which it goes.
const LEVELS: [(Congestion, Permille, Permille); 3] = [
    (Congestion::Medium, Permille(700), Permille(600)),
    (Congestion::High, Permille(900), Permille(800)),
    (Congestion::Full, Permille(990), Permille(900)),
];

/// The level after `level` at such an average.
fn next(level: Congestion, average: Permille) -> Congestion {
    let highest = |reached: fn(&(Congestion, Permille, Permille)) -> Permille| {
        let levels = LEVELS.iter().filter(|level| reached(level) <= average);
        levels.map(|(level, ..)| *level).max().unwrap_or_default()
    };
    level.clamp(highest(|(_, comes, _)| *comes), highest(|(_, _, goes)| *goes))
}

/// Follows how full the router is.
#[derive(Debug, Default)]
pub struct CongestionMeter {
    samples: VecDeque<Permille>,
    level: Congestion,
}

impl CongestionMeter {
    /// Takes in how full the router is, once each [`LOAD_INTERVAL`]. Says whether the level has changed.
    #[must_use]
    pub fn handle_sample(&mut self, fullness: Permille) -> bool {
        if self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(fullness);
        if self.samples.len() < SAMPLES {
            return false;
        }
        let before = self.level;
        let average = Permille::mean(self.samples.iter().copied(), SAMPLES);
        self.level = next(before, average);
        self.level != before
    }

    /// The level.
    #[must_use]
    pub fn level(&self) -> Congestion {
        self.level
    }

    /// Whether more samples of nothing would change nothing.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.samples.iter().all(|sample| sample.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The levels after each three minutes of so much.
    fn levels(fullness: &[u16]) -> Vec<Congestion> {
        let mut meter = CongestionMeter::default();
        let minutes = |fullness: &u16| {
            for _ in 0..SAMPLES {
                let _ = meter.handle_sample(Permille(*fullness));
            }
            meter.level()
        };
        fullness.iter().map(minutes).collect()
    }

    #[test]
    fn letters_come_at_one_fullness_and_go_at_a_lower_one() {
        use Congestion::{Full, High, Medium, None};
        let rising = levels(&[0, 690, 710, 890, 910, 980, 1000]);
        assert_eq!(rising, [None, None, Medium, Medium, High, High, Full]);
        let falling = levels(&[1000, 910, 890, 810, 790, 610, 590, 690]);
        assert_eq!(falling, [Full, Full, High, High, Medium, Medium, None, None]);
    }

    #[test]
    fn only_what_lasts_for_minutes_counts() {
        let mut meter = CongestionMeter::default();
        // Not before there are three minutes to look at.
        assert!((1..SAMPLES).all(|_| !meter.handle_sample(Permille(1000))));
        assert!(meter.handle_sample(Permille(1000)));
        assert_eq!(meter.level(), Congestion::Full);
        // One minute of rest in three leaves the router two thirds full.
        assert_eq!((0..6).filter(|_| meter.handle_sample(Permille(0))).count(), 2);
        assert_eq!(meter.level(), Congestion::Medium);
        let mut meter = CongestionMeter::default();
        for second in 0..600 {
            let burst = if second % 18 < 11 { 1000 } else { 0 };
            assert!(!meter.handle_sample(Permille(burst)), "611 of 1000 on average");
        }
    }

    #[test]
    fn around_one_fullness_a_letter_does_not_flap() {
        let mut meter = CongestionMeter::default();
        let changes = (0..1000).filter(|n| {
            let noise = [640, 760, 700, 610, 790][n % 5];
            meter.handle_sample(Permille(noise))
        });
        assert_eq!(changes.count(), 1);
    }

    #[test]
    fn shares_of_nothing_and_of_everything() {
        assert_eq!(Permille::of(5, None), Permille(0));
        assert_eq!(Permille::of(0, Some(0)), Permille(1000));
        assert_eq!(Permille::of(u64::MAX, Some(1)), Permille(1000));
        assert_eq!(Permille::of(u64::MAX / 2, Some(u64::MAX)), Permille(499));
        assert_eq!(Permille::mean([Permille(900)].into_iter(), 2), Permille(450));
        assert_eq!(Permille::mean(std::iter::empty(), 0), Permille(0));
        assert!(CongestionMeter::default().is_quiet());
    }
}
