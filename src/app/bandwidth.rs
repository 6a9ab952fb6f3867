//! A rate of bytes, as people write it, and the class of bandwidth that it makes us publish.

use std::fmt;
use std::str::FromStr;

/// Bytes per second in each direction, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bandwidth {
    bytes_per_second: u64,
}

/// A rate that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BandwidthError {
    /// The number is missing, or none.
    #[error("`{text}` does not begin with a number above zero, as 100Mbit/s or 2.5MB/s do")]
    Number {
        /// What was given.
        text: String,
    },
    /// The unit is missing, or none.
    #[error(
        "`{unit}` is no unit of bandwidth: use bit/s, kbit/s, Mbit/s, Gbit/s, B/s, kB/s, MB/s, GB/s, KiB/s, MiB/s or GiB/s"
    )]
    Unit {
        /// What stood behind the number.
        unit: String,
    },
}

/// Units, in lower case, and their size in bits per second. Only `bit` and `b` tell bits from bytes, so the case of
/// a lone B counts and is looked at before.
const UNITS: [(&str, f64); 11] = [
    ("bit/s", 1.0),
    ("kbit/s", 1e3),
    ("mbit/s", 1e6),
    ("gbit/s", 1e9),
    ("b/s", 8.0),
    ("kb/s", 8e3),
    ("mb/s", 8e6),
    ("gb/s", 8e9),
    ("kib/s", 8.0 * 1024.0),
    ("mib/s", 8.0 * 1024.0 * 1024.0),
    ("gib/s", 8.0 * 1024.0 * 1024.0 * 1024.0),
];

/// Upper ends of the classes, in units of 1024 bytes per second: a rate below the first is class K, and so on.
const CLASSES: [(u64, char); 6] =
    [(12, 'K'), (48, 'L'), (64, 'M'), (128, 'N'), (256, 'O'), (2048, 'P')];

impl Bandwidth {
    /// Bytes per second.
    #[must_use]
    pub fn bytes_per_second(self) -> u64 {
        self.bytes_per_second
    }

    /// Letter of the class that is published. Spec: network database, router capabilities.
    #[must_use]
    pub fn class(self) -> char {
        let kilobytes = self.bytes_per_second / 1024;
        CLASSES.iter().find(|(end, _)| kilobytes < *end).map_or('X', |(_, class)| *class)
    }
}

impl Default for Bandwidth {
    fn default() -> Self {
        Self { bytes_per_second: 12_500_000 }
    }
}

impl FromStr for Bandwidth {
    type Err = BandwidthError;

    fn from_str(text: &str) -> Result<Self, BandwidthError> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let number: f64 = number
            .parse()
            .ok()
            .filter(|number| *number > 0.0)
            .ok_or_else(|| BandwidthError::Number { text: text.to_owned() })?;
        let unit = unit.trim();
        // "Mb/s" means megabits to many and megabytes to others: it is not taken.
        let ambiguous = unit.ends_with("b/s") && unit.len() > 1;
        let size = UNITS
            .iter()
            .find(|(name, _)| !ambiguous && unit.to_ascii_lowercase() == *name)
            .map(|(_, size)| size)
            .ok_or_else(|| BandwidthError::Unit { unit: unit.to_owned() })?;
        Ok(Self { bytes_per_second: whole(number * size / 8.0).max(1) })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest integer of the range, which is what is wanted"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes_per_second {
            bytes if bytes % 125_000 == 0 => write!(f, "{}Mbit/s", bytes / 125_000),
            bytes if bytes % 1000 == 0 => write!(f, "{}kB/s", bytes / 1000),
            bytes => write!(f, "{bytes}B/s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> u64 {
        text.parse::<Bandwidth>().unwrap().bytes_per_second()
    }

    #[test]
    fn units_are_read() {
        assert_eq!(bytes("10Mbit/s"), 1_250_000);
        assert_eq!(bytes("1MB/s"), 1_000_000);
        assert_eq!(bytes("2.5 MB/s"), 2_500_000);
        assert_eq!(bytes("64KiB/s"), 65_536);
        assert_eq!(bytes("500kB/s"), 500_000);
        assert_eq!(bytes("8bit/s"), 1);
        assert_eq!(bytes("1Gbit/s"), 125_000_000);
        assert_eq!(bytes("300B/s"), 300);
    }

    #[test]
    fn what_may_mean_two_things_is_refused() {
        for text in ["100", "100Mb/s", "Mbit/s", "-1MB/s", "0MB/s", "1.2.3MB/s", "", "10 parsecs"] {
            assert!(text.parse::<Bandwidth>().is_err(), "{text}");
        }
        let text = "100Mb/s".parse::<Bandwidth>().unwrap_err().to_string();
        assert!(text.contains("Mbit/s"), "{text}");
    }

    #[test]
    fn classes_follow_the_specification() {
        let class = |text: &str| text.parse::<Bandwidth>().unwrap().class();
        assert_eq!(class("11KiB/s"), 'K');
        assert_eq!(class("12KiB/s"), 'L');
        assert_eq!(class("48KiB/s"), 'M');
        assert_eq!(class("64KiB/s"), 'N');
        assert_eq!(class("128KiB/s"), 'O');
        assert_eq!(class("256KiB/s"), 'P');
        assert_eq!(class("2MiB/s"), 'X');
        assert_eq!(Bandwidth::default().class(), 'X');
    }

    #[test]
    fn it_prints_as_it_reads() {
        for text in ["100Mbit/s", "300kB/s", "7B/s"] {
            assert_eq!(text.parse::<Bandwidth>().unwrap().to_string(), text);
        }
        assert_eq!(Bandwidth::default().to_string(), "100Mbit/s");
    }
}
