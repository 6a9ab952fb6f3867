use proptest::prelude::*;

use super::super::testing::{FLOODFILL, NOON, ROUTER, hash, lease_set, lease_set_of, router_info};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const WIDE: KindLimits = KindLimits { records_max: 100, bytes_max: 1 << 20 };

fn each(limits: KindLimits) -> StoreLimits {
    StoreLimits { routers: limits, lease_sets: limits, meta_lease_sets: limits }
}

fn wide() -> Store {
    Store::new(each(WIDE))
}

fn narrow(records_max: usize) -> Store {
    Store::new(each(KindLimits { records_max, ..WIDE }))
}

fn router(seed: u8, published: UnixTime) -> Record {
    Record::RouterInfo(router_info(seed, published, ROUTER))
}

fn leases(seed: u8, published: UnixTime) -> Record {
    Record::LeaseSet(lease_set(seed, published, 600))
}

/// Makers of every kind of record.
fn makers() -> impl Iterator<Item = impl Fn(u8, UnixTime) -> Record> {
    let kinds = std::iter::once(None).chain(LeaseSetKind::ALL.map(Some));
    kinds.map(|kind| {
        move |seed, published| match kind {
            None => router(seed, published),
            Some(kind) => Record::LeaseSet(lease_set_of(kind, seed, published, 600)),
        }
    })
}

fn stored(outcome: Outcome) -> Insertion {
    Insertion::of(outcome)
}

#[test]
fn newer_replaces_older() {
    for make in makers() {
        let mut store = wide();
        let mut insert = |record| store.insert(record, Source::Owner);
        assert_eq!(insert(make(1, NOON)), stored(Outcome::New));
        assert_eq!(insert(make(1, NOON)), stored(Outcome::NotNewer));
        assert_eq!(insert(make(1, NOON - MINUTE)), stored(Outcome::NotNewer));
        assert_eq!(insert(make(1, NOON + MINUTE)), stored(Outcome::Newer));
        let key = make(1, NOON).key();
        let held = store.find_published(&key, NOON).unwrap();
        assert_eq!(held.published(), NOON + MINUTE);
        assert_eq!(store.held(&key, Provenance::Published), Some(NOON + MINUTE));
    }
}

#[test]
fn what_we_looked_up_is_ours_alone_until_it_is_published() {
    for make in makers() {
        let mut store = wide();
        let record = make(1, NOON);
        let key = record.key();
        assert_eq!(store.insert(record.clone(), Source::Reply), stored(Outcome::New));
        assert!(store.find_published(&key, NOON).is_none());
        assert_eq!(store.counts().explorable, 0);
        assert_eq!(store.held(&key, Provenance::Reply), Some(NOON));
        assert_eq!(store.held(&key, Provenance::Published), None);
        let older = make(1, NOON - MINUTE);
        assert_eq!(store.insert(older, Source::Owner), stored(Outcome::NotNewer));
        assert_eq!(store.insert(record, Source::Owner), stored(Outcome::New));
        assert!(store.find_published(&key, NOON).is_some());
    }
}

#[test]
fn a_reply_renews_a_published_router_but_not_a_lease_set() {
    let mut store = wide();
    for (make, outcome) in [(router as fn(_, _) -> _, Outcome::Newer), (leases, Outcome::NotNewer)]
    {
        let key = make(1, NOON).key();
        // The seed's router and destination share a key: one at a time.
        let _ = store.insert(make(1, NOON), Source::Owner);
        let insertion = store.insert(make(1, NOON + MINUTE), Source::Reply);
        assert_eq!(insertion.outcome, outcome);
        assert!(store.find_published(&key, NOON).is_some());
        store = wide();
    }
}

#[test]
fn routers_are_found_for_ourselves_however_they_came() {
    let mut store = wide();
    let _ = store.insert(router(1, NOON), Source::Reply);
    let _ = store.insert(leases(2, NOON), Source::Owner);
    assert_eq!(store.router(&hash(1)).unwrap().hash(), hash(1));
    assert!(store.router(&hash(2)).is_none(), "a lease set is no router");
    assert!(store.router(&hash(3)).is_none());
    assert_eq!(store.routers().count(), 1);
}

#[test]
fn the_least_life_gives_way() {
    for make in makers() {
        let mut store = narrow(2);
        let _ = store.insert(make(1, NOON), Source::Owner);
        let _ = store.insert(make(2, NOON + MINUTE), Source::Owner);
        let refused = store.insert(make(3, NOON - MINUTE), Source::Owner);
        assert_eq!(refused, stored(Outcome::Full));
        let insertion = store.insert(make(3, NOON + 2 * MINUTE), Source::Owner);
        assert_eq!(insertion, Insertion { outcome: Outcome::New, shed: vec![make(1, NOON).key()] });
        let renewed = store.insert(make(2, NOON + 3 * MINUTE), Source::Owner);
        assert_eq!(renewed, stored(Outcome::Newer), "in its own place: nobody else goes");
    }
}

#[test]
fn one_kind_cannot_displace_the_other() {
    let mut store = narrow(1);
    let _ = store.insert(router(1, NOON), Source::Owner);
    let insertion = store.insert(leases(2, NOON + MINUTE), Source::Owner);
    assert_eq!(insertion, stored(Outcome::New));
    assert_eq!((store.counts().routers, store.counts().all_lease_sets()), (1, 1));
}

#[test]
fn of_two_types_under_one_key_the_later_stays() {
    // The encrypted one stands under another key.
    let kinds = [LeaseSetKind::LeaseSet, LeaseSetKind::LeaseSet2, LeaseSetKind::MetaLeaseSet];
    for held in kinds {
        for newcomer in kinds {
            let mut store = wide();
            let mut insert = |kind, published, seconds| {
                let set = lease_set_of(kind, 1, published, seconds);
                store.insert(Record::LeaseSet(set), Source::Owner)
            };
            assert_eq!(insert(held, NOON, 600), stored(Outcome::New));
            // However long it lives.
            assert_eq!(insert(newcomer, NOON - MINUTE, 900), stored(Outcome::NotNewer));
            assert_eq!(insert(newcomer, NOON, 900), stored(Outcome::NotNewer));
            assert_eq!(insert(newcomer, NOON + MINUTE, 600), stored(Outcome::Newer));
            let counts = store.counts();
            assert_eq!((*counts.lease_sets.of(newcomer), counts.all_lease_sets()), (1, 1));
        }
    }
}

#[test]
fn meta_lease_sets_have_bounds_of_their_own() {
    let mut store = narrow(1);
    let of = |kind, seed, seconds| Record::LeaseSet(lease_set_of(kind, seed, NOON, seconds));
    let meta = of(LeaseSetKind::MetaLeaseSet, 1, u16::MAX);
    assert_eq!(store.insert(meta, Source::Owner), stored(Outcome::New));
    for (kind, seed) in [(LeaseSetKind::LeaseSet2, 2), (LeaseSetKind::EncryptedLeaseSet, 3)] {
        let insertion = store.insert(of(kind, seed, 600 + u16::from(seed)), Source::Owner);
        assert_eq!(insertion.outcome, Outcome::New);
        assert_eq!(insertion.shed.len(), usize::from(seed) - 2, "by one of its own bounds");
    }
    let lesser = of(LeaseSetKind::MetaLeaseSet, 4, u16::MAX - 1);
    assert_eq!(store.insert(lesser, Source::Owner), stored(Outcome::Full));
    let counts = store.counts();
    assert_eq!(*counts.lease_sets.of(LeaseSetKind::MetaLeaseSet), 1);
    assert_eq!(counts.all_lease_sets(), 2);
    assert_eq!(store.expire(NOON + 11 * MINUTE, 0).lease_sets.len(), 1);
    assert_eq!(store.expire(NOON + 19 * 60 * MINUTE, 0).lease_sets.len(), 1);
    assert_eq!(store.counts(), Counts::default());
}

#[test]
fn bytes_are_bounded_too() {
    let size = router(1, NOON).bytes().len();
    let bytes_max = 2 * size + size / 2;
    let mut store = Store::new(each(KindLimits { records_max: 100, bytes_max }));
    for seed in 1..=3 {
        let published = NOON + u32::from(seed) * MINUTE;
        let _ = store.insert(router(seed, published), Source::Owner);
    }
    assert_eq!(store.counts().routers, 2);
    assert!(store.router(&hash(1)).is_none());
    let tiny = KindLimits { records_max: 100, bytes_max: size - 1 };
    let mut store = Store::new(each(tiny));
    let insertion = store.insert(router(1, NOON), Source::Owner);
    assert_eq!(insertion, stored(Outcome::Full));
}

#[test]
fn lease_sets_go_when_their_time_is_over() {
    for make in makers().skip(1) {
        let mut store = wide();
        let _ = store.insert(make(1, NOON), Source::Owner);
        let key = make(1, NOON).key();
        let end = NOON + 10 * MINUTE;
        let before = end - Duration::from_millis(1);
        assert!(store.find_published(&key, before).is_some());
        assert!(store.find_published(&key, end).is_none(), "not answered even if still held");
        assert_eq!(store.expire(before, 0), Gone::default());
        assert_eq!(store.expire(end, 0), Gone { routers: vec![], lease_sets: vec![key] });
        assert_eq!(store.counts(), Counts::default());
    }
}

#[test]
fn old_routers_go_only_when_they_can_be_spared() {
    let mut store = wide();
    for seed in 1..=4 {
        let published = NOON + u32::from(seed) * MINUTE;
        let _ = store.insert(router(seed, published), Source::Owner);
    }
    let hour_later = NOON + 63 * MINUTE;
    assert_eq!(store.expire(hour_later, 0), Gone::default());
    let gone = |seed| Gone { routers: vec![hash(seed)], lease_sets: vec![] };
    assert_eq!(store.expire(hour_later, 1), gone(1));
    assert_eq!(store.expire(hour_later, 10), gone(2), "the third is an hour old, not more");
    assert_eq!(store.counts().routers, 2);
}

#[test]
fn how_many_can_be_spared() {
    let hour = Duration::from_secs(3600);
    let table = [(90, 1, 0), (91, 1, 1), (100, 2, 5), (0, 4, 0), (1090, 4, 250), (100, 0, 10)];
    for (known, shards, spare) in table {
        assert_eq!(spare_routers(known, shards, hour), spare);
        assert_eq!(spare_routers(known, shards, hour - MINUTE), 0);
    }
}

#[test]
fn samples_hold_published_routers_that_are_no_floodfills() {
    let mut store = wide();
    let mut rng = ShardRng::from_seed([1; 32]);
    for seed in 1..=30 {
        let _ = store.insert(router(seed, NOON), Source::Owner);
    }
    let _ = store.insert(router(31, NOON), Source::Reply);
    let floodfill = Record::RouterInfo(router_info(32, NOON, FLOODFILL));
    let _ = store.insert(floodfill, Source::Owner);
    let _ = store.insert(leases(33, NOON), Source::Owner);
    let mut expected: Vec<_> = (1..=30).map(hash).collect();
    expected.sort();
    assert_eq!(store.sample_explorable(&mut rng, 100), expected);
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let sample = store.sample_explorable(&mut rng, 5);
        assert_eq!(sample.len(), 5);
        assert!(sample.is_sorted_by(|a, b| a < b));
        seen.extend(sample);
    }
    assert_eq!(seen.len(), 30, "everyone is drawn some time");
    assert!(wide().sample_explorable(&mut rng, 5).is_empty());
}

#[test]
fn a_router_that_becomes_floodfill_leaves_the_sample() {
    let mut store = wide();
    let _ = store.insert(router(1, NOON), Source::Owner);
    let _ = store.insert(router(2, NOON), Source::Owner);
    let newer = router_info(1, NOON + MINUTE, FLOODFILL);
    let _ = store.insert(Record::RouterInfo(newer), Source::Owner);
    assert_eq!(store.explorable, [hash(2)]);
}

/// Everything that must hold between the parts of a store.
fn check(store: &Store, limits: StoreLimits, now: UnixTime) -> Result<(), TestCaseError> {
    let counts = store.counts();
    prop_assert!(counts.routers <= limits.routers.records_max);
    let metas = *counts.lease_sets.of(LeaseSetKind::MetaLeaseSet);
    prop_assert!(metas <= limits.meta_lease_sets.records_max);
    prop_assert!(counts.all_lease_sets() - metas <= limits.lease_sets.records_max);
    for kind in LeaseSetKind::ALL {
        let held = store.iter().filter(|(_, record)| record.kind() == RecordKind::LeaseSet(kind));
        prop_assert_eq!(held.count(), *counts.lease_sets.of(kind));
    }
    prop_assert!(counts.router_bytes <= limits.routers.bytes_max);
    prop_assert!(store.lease_sets.bytes <= limits.lease_sets.bytes_max);
    prop_assert!(store.meta_lease_sets.bytes <= limits.meta_lease_sets.bytes_max);
    prop_assert_eq!(counts.routers + counts.all_lease_sets(), store.iter().count());
    let keys: Vec<_> = store.iter().map(|(key, _)| *key).collect();
    prop_assert!(keys.is_sorted_by(|a, b| a < b));
    let mut bytes = 0;
    for (key, record) in store.iter() {
        prop_assert_eq!(*key, record.key());
        bytes += record.bytes().len();
        if let Some(found) = store.find_published(key, now) {
            prop_assert!(found.is_alive(now));
        }
    }
    prop_assert_eq!(bytes, counts.router_bytes + counts.lease_set_bytes);
    for (tally, kinds) in [
        (store.tally_routers(now), counts.routers),
        (store.tally_lease_sets(now), counts.all_lease_sets()),
    ] {
        prop_assert_eq!(tally.ages().map(|(_, count)| count).sum::<usize>(), kinds);
        prop_assert_eq!(tally.sources().map(|(_, count)| count).sum::<usize>(), kinds);
    }
    for (place, router) in store.explorable.iter().enumerate() {
        let entry = store.entries.get(&RecordKey::from(*router)).unwrap();
        prop_assert_eq!(entry.place, Some(place));
        prop_assert_eq!(entry.provenance, Provenance::Published);
    }
    let placed = store.entries.values().filter(|entry| entry.place.is_some()).count();
    prop_assert_eq!(placed, counts.explorable);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bounds_hold_and_all_parts_agree(
        steps in proptest::collection::vec((1u8..12, 0u8..9, 0u32..120, any::<bool>()), 1..60),
        records_max in 1usize..6,
        bytes_max in 500usize..4000,
    ) {
        let limits = each(KindLimits { records_max, bytes_max });
        let mut store = Store::new(limits);
        let mut now = NOON;
        for (seed, step, minutes, is_published) in steps {
            let published = NOON + minutes * MINUTE;
            let sources = if is_published { &Source::ALL[..3] } else { &[Source::Reply] };
            let source = sources[usize::from(seed) % sources.len()];
            let options = if seed % 3 == 0 { FLOODFILL } else { ROUTER };
            let record = match step {
                0..=3 => Record::RouterInfo(router_info(seed, published, options)),
                4..=7 => {
                    let kind = LeaseSetKind::ALL[usize::from(step) - 4];
                    Record::LeaseSet(lease_set_of(kind, seed + 100, published, 600))
                }
                _ => {
                    now = now.max(published);
                    let Gone { routers, lease_sets } = store.expire(now, usize::from(seed));
                    for key in routers.into_iter().map(RecordKey::from).chain(lease_sets) {
                        prop_assert!(store.find_published(&key, now).is_none());
                    }
                    check(&store, limits, now)?;
                    continue;
                }
            };
            let before = store.entries.len();
            let had = store.entries.contains_key(&record.key());
            let insertion = store.insert(record.clone(), source);
            let is_stored = matches!(insertion.outcome, Outcome::New | Outcome::Newer);
            prop_assert!(is_stored || insertion.shed.is_empty());
            for key in &insertion.shed {
                prop_assert!(!store.entries.contains_key(key));
                prop_assert!(*key != record.key());
            }
            let grown = usize::from(is_stored && !had);
            prop_assert_eq!(store.entries.len(), before + grown - insertion.shed.len());
            if is_stored {
                prop_assert_eq!(store.entries[&record.key()].record.bytes(), record.bytes());
            }
            check(&store, limits, now)?;
        }
    }
}
