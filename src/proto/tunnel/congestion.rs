//! The congestion letters of our RouterInfo, from how full the router was over the last minutes.
//!
//! `D` keeps a router out of client tunnels, `E` out of all for the 15 minutes that its RouterInfo counts as new, `G` out
//! of all. Others remember what they read for an hour, so a letter follows averages and is slow to go: it comes at one
//! fullness and goes at a lower one. Proposal 162; i2pd shows `D` above 70 % and `E` above 90 %.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::permille::Permille;
use crate::wire::capabilities::Congestion;

/// How often fullness is measured.
pub const LOAD_INTERVAL: Duration = Duration::from_secs(10);
/// Measurements of which the average is taken: three minutes.
const SAMPLES: usize = 18;
/// How long `E` is told before it is told anew: others take it for `D` when the RouterInfo is 15 minutes old.
pub const HIGH_CONGESTION_LIFE: Duration = Duration::from_secs(10 * 60);

/// Each level with the fullness at which it comes, and that below which it goes.
const LEVELS: [(Congestion, Permille, Permille); 3] = [
    (Congestion::Medium, Permille::new(700), Permille::new(600)),
    (Congestion::High, Permille::new(900), Permille::new(800)),
    (Congestion::Full, Permille::new(990), Permille::new(900)),
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
                let _ = meter.handle_sample(Permille::new(*fullness));
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
        assert!(meter.is_quiet());
        // Not before there are three minutes to look at.
        assert!((1..SAMPLES).all(|_| !meter.handle_sample(Permille::new(1000))));
        assert!(meter.handle_sample(Permille::new(1000)));
        assert_eq!(meter.level(), Congestion::Full);
        // One minute of rest in three leaves the router two thirds full.
        assert_eq!((0..6).filter(|_| meter.handle_sample(Permille::new(0))).count(), 2);
        assert_eq!(meter.level(), Congestion::Medium);
        let mut meter = CongestionMeter::default();
        for second in 0..600 {
            let burst = if second % 18 < 11 { 1000 } else { 0 };
            assert!(!meter.handle_sample(Permille::new(burst)), "611 of 1000 on average");
        }
    }

    #[test]
    fn around_one_fullness_a_letter_does_not_flap() {
        let mut meter = CongestionMeter::default();
        let changes = (0..1000).filter(|n| {
            let noise = [640, 760, 700, 610, 790][n % 5];
            meter.handle_sample(Permille::new(noise))
        });
        assert_eq!(changes.count(), 1);
    }
}
