//! Whether the clock can be right: against the date of the build, the last time that this router was seen to run, and
//! what the kernel knows of its synchronisation.
//!
//! Other routers refuse one whose clock is a minute off, and remember it. Nothing here can show a clock that is right to
//! the minute; it shows one that is wrong by hours or days, before anybody else sees it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::time::UnixTime;
use crate::proto::netdb::routing_key::civil_date;
use crate::runtime::{clock, sys};

/// Name of the file in the data directory that holds the last time, in seconds.
const LAST_SEEN_FILE: &str = "last_seen";
/// Bytes of that file that are read.
const LAST_SEEN_MAX: usize = 32;
/// How far behind the date of the build the clock may be: that one was somebody else's clock.
const BEHIND_BUILD_MAX: Duration = Duration::from_secs(3600);
/// How far behind the last time seen the clock may be: corrections are smaller.
const BEHIND_LAST_SEEN_MAX: Duration = Duration::from_secs(600);

/// Seconds from 1970 to the build of this program, as build.rs has noted them.
const BUILT: &str = env!("FLOODWAY_BUILT");

/// Everything that speaks for or against the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockFacts {
    /// What the clock says.
    pub now: UnixTime,
    /// When this program was built.
    pub built: UnixTime,
    /// When a router last ran with this data directory.
    pub last_seen: Option<UnixTime>,
    /// Whether the kernel takes the clock to be synchronised, where it says.
    pub synchronised: Option<bool>,
}

/// What can be said of a clock that nothing speaks against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockVerdict {
    /// It may be right.
    Plausible,
    /// It may be, and nobody keeps it so.
    Unsynchronised,
}

/// A clock that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// This program did not exist at the time that the clock shows.
    #[error(
        "the clock is wrong: it shows {}, and this program was built on {}; set it, since other routers refuse one whose \
         clock is a minute off", Date(*now), Date(*built)
    )]
    BeforeBuild {
        /// What the clock says.
        now: UnixTime,
        /// When this program was built.
        built: UnixTime,
    },
    /// The router has run at a later time.
    #[error(
        "the clock is wrong, or was: it shows {}, and this router has run on {} already; set it, since other routers \
         refuse one whose clock is a minute off, or remove {} if it was wrong then", Date(*now), Date(*last_seen),
        file.display()
    )]
    BeforeLastSeen {
        /// What the clock says.
        now: UnixTime,
        /// What it said before.
        last_seen: UnixTime,
        /// Where that is noted.
        file: PathBuf,
    },
}

/// A time as people read it.
struct Date(UnixTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0 / 1000;
        let (year, month, day) = civil_date(self.0.days());
        let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

impl ClockFacts {
    /// The facts of this machine, for a router in `data_dir`.
    #[must_use]
    pub fn read(data_dir: &Path) -> Self {
        Self {
            now: clock::unix_time(),
            built: UnixTime::from_seconds(BUILT.parse().unwrap_or(0)),
            last_seen: read_last_seen(&last_seen_of(data_dir)),
            synchronised: sys::clock_is_synchronised(),
        }
    }

    /// Whether the clock can be right.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn judge(&self, data_dir: &Path) -> Result<ClockVerdict, ClockFault> {
        let Self { now, built, last_seen, synchronised } = *self;
        if let Some(last_seen) = last_seen.filter(|seen| seen.since(now) > BEHIND_LAST_SEEN_MAX) {
            let file = last_seen_of(data_dir);
            return Err(ClockFault::BeforeLastSeen { now, last_seen, file });
        }
        if built.since(now) > BEHIND_BUILD_MAX {
            return Err(ClockFault::BeforeBuild { now, built });
        }
        match synchronised {
            Some(false) => Ok(ClockVerdict::Unsynchronised),
            Some(true) | None => Ok(ClockVerdict::Plausible),
        }
    }
}

/// Where the last time that the router ran is noted.
#[must_use]
pub fn last_seen_of(data_dir: &Path) -> PathBuf {
    data_dir.join(LAST_SEEN_FILE)
}

/// The time noted in a file. What is damaged counts as absent: it is a help, not a need.
fn read_last_seen(file: &Path) -> Option<UnixTime> {
    let text = std::fs::read_to_string(file).ok().filter(|text| text.len() <= LAST_SEEN_MAX)?;
    text.trim().parse().ok().map(UnixTime::from_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const NOW: u32 = 1_800_000_000;

    fn at(seconds: u64) -> UnixTime {
        UnixTime(seconds * 1000)
    }

    fn facts(now: u64) -> ClockFacts {
        ClockFacts { now: at(now), built: at(1_700_000_000), last_seen: None, synchronised: None }
    }

    #[test]
    fn a_day_behind_is_seen_either_way() {
        let now = u64::from(NOW);
        let data = Path::new("/data");
        assert_eq!(facts(now).judge(data), Ok(ClockVerdict::Plausible));
        let text = ClockFacts { built: at(now + DAY), ..facts(now) }.judge(data).unwrap_err();
        let text = text.to_string();
        assert!(
            text.contains("shows 2027-01-15 08:00 UTC, and this program was built on 2027-01-16")
        );
        let seen = |seconds| ClockFacts { last_seen: Some(at(seconds)), ..facts(now) }.judge(data);
        let text = seen(now + DAY).unwrap_err().to_string();
        assert!(text.contains("has run on 2027-01-16 08:00 UTC"), "{text}");
        assert!(text.contains("remove /data/last_seen"), "{text}");
        // Small corrections are none, and a pause of any length is none either.
        assert_eq!(seen(now + 500), Ok(ClockVerdict::Plausible));
        assert_eq!(seen(now - 900 * DAY), Ok(ClockVerdict::Plausible));
    }

    #[test]
    fn an_unsynchronised_clock_is_no_fault() {
        let verdict = |synchronised| {
            ClockFacts { synchronised, ..facts(u64::from(NOW)) }.judge(Path::new("/data"))
        };
        assert_eq!(verdict(Some(false)), Ok(ClockVerdict::Unsynchronised));
        assert_eq!(verdict(Some(true)), Ok(ClockVerdict::Plausible));
    }

    #[test]
    fn the_build_has_a_date_that_this_clock_has_reached() {
        let facts = ClockFacts::read(Path::new("/nonexistent"));
        assert!(facts.built.days() > 20_000, "{facts:?}");
        assert!(facts.judge(Path::new("/nonexistent")).is_ok());
    }

    #[test]
    fn damaged_notes_count_as_absent() {
        let directory = tempfile::tempdir().unwrap();
        let file = last_seen_of(directory.path());
        assert_eq!(read_last_seen(&file), None);
        for (text, time) in [("17\n", Some(at(17))), ("", None), ("-1", None), ("x", None)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read_last_seen(&file), time, "{text}");
        }
    }
}
