//! How many records came from where, and how old they are: kept up to date with each that comes or goes, so that nobody
//! has to go through all of them to know.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Provenance;
use crate::base::time::UnixTime;

/// How the record that is held came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It was stored here with the wish that we pass it on: by its owner, or by another for it.
    Owner,
    /// A floodfill passed it on.
    Flood,
    /// Its router showed it over its own session.
    Session,
    /// It answers a lookup of our own.
    Reply,
    /// We had it at the start, or out of a reseed.
    Seed,
}

impl Source {
    /// All sources, in order.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Flood, Self::Session, Self::Reply, Self::Seed];

    /// The source as the metrics name it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Flood => "flood",
            Self::Session => "session",
            Self::Reply => "reply",
            Self::Seed => "seed",
        }
    }

    /// Whether others may be given what came so.
    #[must_use]
    pub fn provenance(self) -> Provenance {
        match self {
            Self::Owner | Self::Flood | Self::Session | Self::Seed => Provenance::Published,
            Self::Reply => Provenance::Reply,
        }
    }
}

/// Classes of age, as the metrics name them, each with the age below which a record belongs to it; older ones belong to
/// the last. A RouterInfo is dropped after an hour where many are known, after 27 where few are.
const AGES: [(&str, Duration); 4] = [
    ("below_10_min", Duration::from_secs(600)),
    ("below_1_h", Duration::from_secs(3600)),
    ("below_6_h", Duration::from_secs(6 * 3600)),
    ("below_27_h", Duration::from_secs(27 * 3600)),
];
const OLDEST: &str = "older";

/// Records of one kind, by source and by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    by_source: [usize; Source::ALL.len()],
    by_age: [usize; AGES.len() + 1],
}

impl Tally {
    /// How many came from where.
    pub fn sources(&self) -> impl Iterator<Item = (Source, usize)> {
        Source::ALL.into_iter().zip(self.by_source)
    }

    /// How many are how old, by their dates; each in one class, the youngest first.
    pub fn ages(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let labels = AGES.iter().map(|(label, _)| *label).chain([OLDEST]);
        labels.zip(self.by_age)
    }
}

/// The running count behind a [`Tally`].
#[derive(Default)]
pub(super) struct Census {
    by_source: [usize; Source::ALL.len()],
    /// By the minute of their dates: as many as there are records at the most, and few where they are of this day.
    by_minute: BTreeMap<u64, usize>,
}

impl Census {
    pub(super) fn add(&mut self, source: Source, published: UnixTime) {
        if let Some(count) = self.by_source.get_mut(source as usize) {
            *count += 1;
        }
        *self.by_minute.entry(minute(published)).or_default() += 1;
    }

    pub(super) fn remove(&mut self, source: Source, published: UnixTime) {
        if let Some(count) = self.by_source.get_mut(source as usize) {
            *count -= 1;
        }
        let minute = minute(published);
        if let Some(count) = self.by_minute.get_mut(&minute) {
            *count -= 1;
            if *count == 0 {
                self.by_minute.remove(&minute);
            }
        }
    }

    /// The counts at `now`; ages are true to a minute.
    pub(super) fn tally(&self, now: UnixTime) -> Tally {
        let mut tally = Tally { by_source: self.by_source, ..Tally::default() };
        for (published, count) in &self.by_minute {
            let age = Duration::from_secs(60 * minute(now).saturating_sub(*published));
            let class = AGES.iter().position(|(_, below)| age < *below).unwrap_or(AGES.len());
            if let Some(sum) = tally.by_age.get_mut(class) {
                *sum += count;
            }
        }
        tally
    }
}

fn minute(time: UnixTime) -> u64 {
    time.0 / 60_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_by_age_until_they_go() {
        let now = UnixTime(1_767_268_800_000);
        let ages = [0_u64, 9, 10, 59, 60, 359, 360, 1619, 1620, 100_000];
        let mut census = Census::default();
        let date = |age| now - Duration::from_secs(60 * age);
        ages.iter().for_each(|age| census.add(Source::Owner, date(*age)));
        census.add(Source::Seed, now + Duration::from_secs(120));
        let tally = census.tally(now);
        let by_age: Vec<_> = tally.ages().collect();
        let labels = ["below_10_min", "below_1_h", "below_6_h", "below_27_h", "older"];
        assert_eq!(by_age, labels.into_iter().zip([3, 2, 2, 2, 2]).collect::<Vec<_>>());
        let by_source: Vec<_> = tally.sources().filter(|(_, count)| *count > 0).collect();
        assert_eq!(by_source, [(Source::Owner, 10), (Source::Seed, 1)]);
        ages.iter().for_each(|age| census.remove(Source::Owner, date(*age)));
        census.remove(Source::Seed, now + Duration::from_secs(120));
        assert_eq!(census.tally(now), Tally::default());
        assert!(census.by_minute.is_empty());
    }

    #[test]
    fn each_source_has_its_place_and_label() {
        let mut labels: Vec<_> = Source::ALL.iter().map(|source| source.label()).collect();
        for (place, source) in Source::ALL.iter().enumerate() {
            assert_eq!(*source as usize, place);
        }
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Source::ALL.len());
    }
}
