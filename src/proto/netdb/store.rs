//! A slice of the netdb: the records of one shard, bounded in number and in bytes.
//!
//! **Who gives way.** RouterInfos and lease sets have separate bounds, so a flood of one kind cannot displace the
//! other; meta lease sets, which live a hundred times as long as the rest, have bounds of their own, or a few of them
//! would fill the slice. At a bound the records with the least life left are shed: the RouterInfos published longest ago, the
//! lease sets that expire soonest, since these are first to be replaced or to lapse anyway. A newcomer that itself
//! would have the least life left is refused, and then nothing is shed.
//!
//! **Who is answered.** A record is given to others only if it was published to us. What we asked for ourselves is
//! for our own use: to serve it would tell others what we asked for.

mod census;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::base::id::{RecordKey, RouterHash};
use crate::base::rng::ShardRng;
use crate::base::time::UnixTime;
use crate::wire::lease_set::{AnyLeaseSet, LeaseSetKind, PerLeaseSetKind};
use crate::wire::router_info::RouterInfo;

use self::census::Census;
pub use self::census::{Source, Tally};
use super::acceptance::{KNOWN_ROUTERS_FEW, ROUTER_AGE_MAX};

/// For so long after the start no RouterInfo is dropped for its age: those on disk and from reseeds are old, and
/// the routers among them that live have not told us yet.
pub const EXPIRY_GRACE: Duration = Duration::from_secs(3600);

/// A verified record.
#[derive(Clone)]
pub enum Record {
    /// A router's description of itself.
    RouterInfo(Arc<RouterInfo>),
    /// A destination's inbound tunnels, in one form or another.
    LeaseSet(Arc<AnyLeaseSet>),
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A RouterInfo.
    RouterInfo,
    /// A lease set of this type.
    LeaseSet(LeaseSetKind),
}

impl RecordKind {
    fn class(self) -> Class {
        match self {
            Self::RouterInfo => Class::Router,
            Self::LeaseSet(LeaseSetKind::MetaLeaseSet) => Class::MetaLeaseSet,
            Self::LeaseSet(
                LeaseSetKind::LeaseSet | LeaseSetKind::LeaseSet2 | LeaseSetKind::EncryptedLeaseSet,
            ) => Class::LeaseSet,
        }
    }
}

/// Kinds that share bounds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Router,
    LeaseSet,
    MetaLeaseSet,
}

impl Record {
    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::RouterInfo(_) => RecordKind::RouterInfo,
            Self::LeaseSet(lease_set) => RecordKind::LeaseSet(lease_set.kind()),
        }
    }

    /// The key it is stored under.
    #[must_use]
    pub fn key(&self) -> RecordKey {
        match self {
            Self::RouterInfo(info) => info.hash().into(),
            Self::LeaseSet(lease_set) => lease_set.key(),
        }
    }

    /// When its owner made it, which ranks all records that can stand under one key: for a lease set of the first
    /// type, which has no date, the earliest that it can have been made, so that it never replaces a later one.
    #[must_use]
    pub fn published(&self) -> UnixTime {
        match self {
            Self::RouterInfo(info) => info.published(),
            Self::LeaseSet(lease_set) => lease_set.published(),
        }
    }

    /// The record as its owner signed it.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        match self {
            Self::RouterInfo(info) => info.bytes(),
            Self::LeaseSet(lease_set) => lease_set.bytes(),
        }
    }

    /// The date by which records of one kind are ranked when some must go: the least goes first.
    fn rank(&self) -> UnixTime {
        match self {
            Self::RouterInfo(info) => info.published(),
            Self::LeaseSet(lease_set) => lease_set.expires(),
        }
    }

    fn is_alive(&self, now: UnixTime) -> bool {
        match self {
            Self::RouterInfo(_) => true,
            Self::LeaseSet(lease_set) => lease_set.expires() > now,
        }
    }

    fn is_non_floodfill_router(&self) -> bool {
        match self {
            Self::RouterInfo(info) => !info.capabilities().is_floodfill(),
            Self::LeaseSet(_) => false,
        }
    }
}

/// How a record became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Its owner or another floodfill stored it here, or we have it from a handshake or a seed.
    Published,
    /// It answers a lookup of our own.
    Reply,
}

/// What became of a record given to [`Store::insert`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored; there was none under its key that others could be given.
    New,
    /// Stored in place of an older one.
    Newer,
    /// Not stored: what is held is as new, or newer, or serves others and the newcomer may not.
    NotNewer,
    /// Not stored: a bound is reached, and among its kind it would be the first to go.
    Full,
}

/// The result of [`Store::insert`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Insertion {
    /// What became of the record.
    pub outcome: Outcome,
    /// Records of the same kind that gave way to it.
    pub shed: Vec<RecordKey>,
}

impl Insertion {
    fn of(outcome: Outcome) -> Self {
        Self { outcome, shed: Vec::new() }
    }
}

/// Bounds of one kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindLimits {
    /// Records held at most.
    pub records_max: usize,
    /// Their bytes, as signed, in all.
    pub bytes_max: usize,
}

/// Bounds of a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// For RouterInfos.
    pub routers: KindLimits,
    /// For lease sets, but meta lease sets.
    pub lease_sets: KindLimits,
    /// For meta lease sets.
    pub meta_lease_sets: KindLimits,
}

/// How much a [`Store`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// RouterInfos.
    pub routers: usize,
    /// Routers among them that are not floodfills and that others may be told of.
    pub explorable: usize,
    /// Bytes of the RouterInfos.
    pub router_bytes: usize,
    /// Lease sets by their type.
    pub lease_sets: PerLeaseSetKind<usize>,
    /// Bytes of the lease sets.
    pub lease_set_bytes: usize,
}

impl Counts {
    /// Lease sets of all types.
    #[must_use]
    pub fn all_lease_sets(&self) -> usize {
        LeaseSetKind::ALL.iter().map(|kind| self.lease_sets.of(*kind)).sum()
    }
}

/// What [`Store::expire`] took out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Routers that are known no more.
    pub routers: Vec<RouterHash>,
    /// Keys of lease sets.
    pub lease_sets: Vec<RecordKey>,
}

/// How many RouterInfos each of `shards` slices may drop for their age: what is known beyond the few that are kept
/// at any age, in equal parts; none in the first hour of `uptime`.
#[must_use]
pub fn spare_routers(known_routers: usize, shards: usize, uptime: Duration) -> usize {
    if uptime < EXPIRY_GRACE {
        return 0;
    }
    known_routers.saturating_sub(KNOWN_ROUTERS_FEW) / shards.max(1)
}

/// The records of one shard.
pub struct Store {
    entries: BTreeMap<RecordKey, Entry>,
    routers: Ranking,
    lease_sets: Ranking,
    meta_lease_sets: Ranking,
    lease_sets_by_kind: PerLeaseSetKind<usize>,
    router_census: Census,
    lease_set_census: Census,
    explorable: Vec<RouterHash>,
}

struct Entry {
    record: Record,
    provenance: Provenance,
    source: Source,
    /// Place in the list of explorable routers, for those that are in it.
    place: Option<usize>,
}

/// The records of one class, those with the least life left first.
struct Ranking {
    limits: KindLimits,
    order: BTreeSet<(UnixTime, RecordKey)>,
    bytes: usize,
}

impl Store {
    /// An empty slice.
    #[must_use]
    pub fn new(limits: StoreLimits) -> Self {
        Self {
            entries: BTreeMap::new(),
            routers: Ranking::new(limits.routers),
            lease_sets: Ranking::new(limits.lease_sets),
            meta_lease_sets: Ranking::new(limits.meta_lease_sets),
            lease_sets_by_kind: PerLeaseSetKind::default(),
            router_census: Census::default(),
            lease_set_census: Census::default(),
            explorable: Vec::new(),
        }
    }

    /// The date that a record under `key` of this provenance has to exceed to be stored.
    ///
    /// A record that was published to us while we only have it from a lookup is new in that sense.
    #[must_use]
    pub fn held(&self, key: &RecordKey, provenance: Provenance) -> Option<UnixTime> {
        let entry = self.entries.get(key)?;
        match (entry.provenance, provenance) {
            (Provenance::Reply, Provenance::Published) => None,
            (Provenance::Published, Provenance::Published | Provenance::Reply)
            | (Provenance::Reply, Provenance::Reply) => Some(entry.record.published()),
        }
    }

    /// Stores `record`, if it is newer than the one held under its key and there is room or room can be made.
    pub fn insert(&mut self, record: Record, source: Source) -> Insertion {
        let key = record.key();
        let (outcome, provenance) = match self.entries.get(&key) {
            Some(held) => match judge(held, &record, source.provenance()) {
                Some(stored) => stored,
                None => return Insertion::of(Outcome::NotNewer),
            },
            None => (Outcome::New, source.provenance()),
        };
        let rank = (record.rank(), key);
        let class = record.kind().class();
        let (records, bytes) = match self.entries.get(&key) {
            Some(held) if held.record.kind().class() == class => (1, held.record.bytes().len()),
            Some(_) | None => (0, 0),
        };
        let replaced = Usage { records, bytes };
        let needed = self.ranking(class).excess(replaced, record.bytes().len());
        let Some(shed) = self.find_victims(class, rank, needed) else {
            return Insertion::of(Outcome::Full);
        };
        for victim in &shed {
            self.remove(victim);
        }
        self.remove(&key);
        self.add(Entry { record, provenance, source, place: None });
        Insertion { outcome, shed }
    }

    /// The record under `key` that others may be given at `now`.
    #[must_use]
    pub fn find_published(&self, key: &RecordKey, now: UnixTime) -> Option<&Record> {
        let entry = self.entries.get(key)?;
        match entry.provenance {
            Provenance::Published if entry.record.is_alive(now) => Some(&entry.record),
            Provenance::Published | Provenance::Reply => None,
        }
    }

    /// The RouterInfo of `router`, for our own use.
    #[must_use]
    pub fn router(&self, router: &RouterHash) -> Option<&Arc<RouterInfo>> {
        match &self.entries.get(&RecordKey::from(*router))?.record {
            Record::RouterInfo(info) => Some(info),
            Record::LeaseSet(_) => None,
        }
    }

    /// Takes out the lease sets whose time is over, and at most `spare_routers` RouterInfos (see
    /// [`spare_routers`]) that are older than an hour, the oldest first.
    pub fn expire(&mut self, now: UnixTime, spare_routers: usize) -> Gone {
        let born = now - ROUTER_AGE_MAX;
        let old = self.routers.order.iter().take_while(|(published, _)| *published < born);
        let routers: Vec<_> = old.take(spare_routers).map(|(_, key)| *key).collect();
        let lease_sets = [&self.lease_sets, &self.meta_lease_sets].into_iter();
        let over =
            lease_sets.flat_map(|all| all.order.iter().take_while(|(expires, _)| *expires <= now));
        let lease_sets: Vec<_> = over.map(|(_, key)| *key).collect();
        for key in routers.iter().chain(&lease_sets) {
            self.remove(key);
        }
        Gone { routers: routers.iter().map(RecordKey::as_router).collect(), lease_sets }
    }

    /// Up to `count` routers that are not floodfills and may be told to others, drawn uniformly and sorted.
    #[must_use]
    pub fn sample_explorable(&self, rng: &mut ShardRng, count: usize) -> Vec<RouterHash> {
        let population = self.explorable.len();
        let count = count.min(population);
        // Floyd's draw: each round adds one place, the last of its range if the drawn one is taken already.
        let mut places = BTreeSet::new();
        for last in population - count..population {
            let drawn = rng.below(last + 1);
            if !places.insert(drawn) {
                places.insert(last);
            }
        }
        let mut sample: Vec<_> =
            places.iter().filter_map(|place| self.explorable.get(*place)).copied().collect();
        sample.sort_unstable();
        sample
    }

    /// All records, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&RecordKey, &Record)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.record))
    }

    /// All RouterInfos, in the order of their hashes.
    pub fn routers(&self) -> impl Iterator<Item = &Arc<RouterInfo>> {
        self.iter().filter_map(|(_, record)| match record {
            Record::RouterInfo(info) => Some(info),
            Record::LeaseSet(_) => None,
        })
    }

    /// How much there is of each kind.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            routers: self.routers.order.len(),
            explorable: self.explorable.len(),
            router_bytes: self.routers.bytes,
            lease_sets: self.lease_sets_by_kind,
            lease_set_bytes: self.lease_sets.bytes + self.meta_lease_sets.bytes,
        }
    }

    /// The RouterInfos by where they came from and by their age at `now`.
    #[must_use]
    pub fn tally_routers(&self, now: UnixTime) -> Tally {
        self.router_census.tally(now)
    }

    /// The lease sets of all types, likewise.
    #[must_use]
    pub fn tally_lease_sets(&self, now: UnixTime) -> Tally {
        self.lease_set_census.tally(now)
    }

    fn census(&mut self, kind: RecordKind) -> &mut Census {
        match kind {
            RecordKind::RouterInfo => &mut self.router_census,
            RecordKind::LeaseSet(_) => &mut self.lease_set_census,
        }
    }

    fn ranking(&self, class: Class) -> &Ranking {
        match class {
            Class::Router => &self.routers,
            Class::LeaseSet => &self.lease_sets,
            Class::MetaLeaseSet => &self.meta_lease_sets,
        }
    }

    fn ranking_mut(&mut self, class: Class) -> &mut Ranking {
        match class {
            Class::Router => &mut self.routers,
            Class::LeaseSet => &mut self.lease_sets,
            Class::MetaLeaseSet => &mut self.meta_lease_sets,
        }
    }

    /// The records that must go to free `needed` for a newcomer of this class and rank; none if it ranks below one
    /// of them, or if there is not as much to free.
    fn find_victims(
        &self,
        class: Class,
        newcomer: (UnixTime, RecordKey),
        needed: Usage,
    ) -> Option<Vec<RecordKey>> {
        let mut victims = Vec::new();
        let mut freed = Usage::default();
        let mut candidates = self.ranking(class).order.iter();
        while freed.records < needed.records || freed.bytes < needed.bytes {
            let candidate = candidates.next()?;
            if candidate.1 == newcomer.1 {
                continue;
            }
            if *candidate > newcomer {
                return None;
            }
            freed.records += 1;
            freed.bytes += self.entries.get(&candidate.1)?.record.bytes().len();
            victims.push(candidate.1);
        }
        Some(victims)
    }

    fn add(&mut self, mut entry: Entry) {
        let key = entry.record.key();
        let kind = entry.record.kind();
        if let RecordKind::LeaseSet(kind) = kind {
            *self.lease_sets_by_kind.of_mut(kind) += 1;
        }
        self.census(kind).add(entry.source, entry.record.published());
        let ranking = self.ranking_mut(kind.class());
        ranking.order.insert((entry.record.rank(), key));
        ranking.bytes += entry.record.bytes().len();
        debug_assert!(ranking.order.len() <= ranking.limits.records_max);
        debug_assert!(ranking.bytes <= ranking.limits.bytes_max);
        if entry.record.is_non_floodfill_router() && entry.provenance == Provenance::Published {
            entry.place = Some(self.explorable.len());
            self.explorable.push(key.as_router());
        }
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &RecordKey) {
        let Some(entry) = self.entries.remove(key) else { return };
        let kind = entry.record.kind();
        if let RecordKind::LeaseSet(kind) = kind {
            *self.lease_sets_by_kind.of_mut(kind) -= 1;
        }
        self.census(kind).remove(entry.source, entry.record.published());
        let ranking = self.ranking_mut(kind.class());
        ranking.order.remove(&(entry.record.rank(), *key));
        ranking.bytes -= entry.record.bytes().len();
        let Some(place) = entry.place else { return };
        self.explorable.swap_remove(place);
        if let Some(moved) = self.explorable.get(place)
            && let Some(moved) = self.entries.get_mut(&RecordKey::from(*moved))
        {
            moved.place = Some(place);
        }
    }
}

/// What part of a bound something takes.
#[derive(Clone, Copy, Default)]
struct Usage {
    records: usize,
    bytes: usize,
}

impl Ranking {
    fn new(limits: KindLimits) -> Self {
        Self { limits, order: BTreeSet::new(), bytes: 0 }
    }

    /// By how much the bounds would be exceeded with one more record of `bytes` bytes and without `replaced`.
    fn excess(&self, replaced: Usage, bytes: usize) -> Usage {
        let records = self.order.len() - replaced.records + 1;
        let bytes = self.bytes - replaced.bytes + bytes;
        Usage {
            records: records.saturating_sub(self.limits.records_max),
            bytes: bytes.saturating_sub(self.limits.bytes_max),
        }
    }
}

/// Whether `record` takes the place of `held`, as what, and who may then be given it.
///
/// A RouterInfo that was published once stays so: that its router exists is no secret any more. A lease set that we
/// looked up never touches the published one, or answers would show that we asked.
fn judge(held: &Entry, record: &Record, provenance: Provenance) -> Option<(Outcome, Provenance)> {
    let newer = record.published() > held.record.published();
    match (held.provenance, provenance) {
        (Provenance::Reply, Provenance::Published) => {
            (record.published() >= held.record.published()).then_some((Outcome::New, provenance))
        }
        (Provenance::Published, Provenance::Published) | (Provenance::Reply, Provenance::Reply) => {
            newer.then_some((Outcome::Newer, provenance))
        }
        (Provenance::Published, Provenance::Reply) => match record.kind() {
            RecordKind::RouterInfo => newer.then_some((Outcome::Newer, Provenance::Published)),
            RecordKind::LeaseSet(_) => None,
        },
    }
}

#[cfg(test)]
mod tests;
