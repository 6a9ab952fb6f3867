//! A floodfill's duties: answer lookups, acknowledge stores, pass new records on.
//!
//! These are decisions and message bodies; sending is the caller's.

use std::time::Duration;

use crate::base::frame::Frame;
use crate::base::id::{MessageId, RecordKey, RouterHash, TunnelId};
use crate::base::rng::ShardRng;
use crate::base::time::UnixTime;
use crate::wire::gzip::Gzip;
use crate::wire::i2np::database_lookup::{DatabaseLookup, LookupKind};
use crate::wire::i2np::database_search_reply::DatabaseSearchReply;
use crate::wire::i2np::database_store::{DatabaseStore, StoreData, StoreReply};
use crate::wire::i2np::delivery_status::DeliveryStatus;
use crate::wire::router_info::{RouterInfo, Version};

use super::acceptance::Origin;
use super::routing_key::{closest, routing_key};
use super::store::{Record, RecordKind, Store};

/// Floodfills named in an ordinary answer.
pub const ANSWER_PEERS: usize = 3;
/// Routers named in the answer to an exploration.
pub const EXPLORATION_PEERS: usize = 16;
/// Floodfills that a new record is passed on to.
pub const FLOOD_TARGETS: usize = 3;
/// Floodfills closest by tomorrow's key that it is passed on to as well, shortly before midnight.
pub const FLOOD_TARGETS_TOMORROW: usize = 2;
/// How long before midnight UTC RouterInfos go to tomorrow's floodfills too.
pub const TOMORROW_ROUTER_INFO: Duration = Duration::from_secs(45 * 60);
/// How long before midnight UTC lease sets go to tomorrow's floodfills too.
pub const TOMORROW_LEASE_SET: Duration = Duration::from_secs(10 * 60);
/// How far back the date of an acknowledgement may lie, so that it does not tell our exact clock.
const TIMESTAMP_BLUR_MS: usize = 3000;

const DAY: Duration = Duration::from_secs(86_400);
/// Oldest version that counts as floodfill: others store at none older.
const FLOODFILL_VERSION_MIN: Version = Version { major: 0, minor: 9, patch: 59 };

/// Whether others would use this router as a floodfill: its capabilities say so, it is reachable and not hidden, and
/// its version is recent enough.
#[must_use]
pub fn is_usable_floodfill(info: &RouterInfo) -> bool {
    let capabilities = info.capabilities();
    capabilities.is_floodfill()
        && !capabilities.is_hidden()
        && !capabilities.is_unreachable()
        && info.version().is_some_and(|version| version >= FLOODFILL_VERSION_MIN)
}

/// What answers draw on.
#[derive(Clone, Copy)]
pub struct Answerer<'a> {
    /// Our own hash.
    pub our: &'a RouterHash,
    /// Our own RouterInfo, which the store never holds.
    pub own: Option<&'a Record>,
    /// The slice that owns the key.
    pub store: &'a Store,
    /// All known floodfills, sorted.
    pub floodfills: &'a [RouterHash],
    /// Some routers that are not floodfills, sorted: see [`Store::sample_explorable`].
    pub explorable: &'a [RouterHash],
}

/// The answer to a lookup.
#[derive(Clone)]
pub enum LookupAnswer {
    /// The record itself, for a DatabaseStore.
    Record(Record),
    /// Routers to ask instead, for a DatabaseSearchReply; possibly none.
    Peers(Vec<RouterHash>),
}

/// Why a lookup is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupRefusal {
    /// It asks for the key of 32 zero bytes, which nobody has.
    #[error("lookup of the zero key")]
    ZeroKey,
    /// The answer would go to the hash of 32 zero bytes.
    #[error("lookup with no one to answer to")]
    NoRequester,
}

impl LookupRefusal {
    /// All that [`LookupRefusal::reason`] says.
    pub const REASONS: &'static [&'static str] = &["zero_key", "no_requester"];

    /// The reason as a metrics label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ZeroKey => "zero_key",
            Self::NoRequester => "no_requester",
        }
    }
}

/// Answers `lookup` at `now`.
///
/// Spec: I2NP, DatabaseLookup. Ordinary lookups get the record or the three closest floodfills; an exploration gets
/// routers near the key that are not floodfills. Nobody is told of themselves, of us, or of whom they excluded.
///
/// # Errors
/// [`LookupRefusal`] when the lookup deserves no answer.
pub fn decide(
    lookup: &DatabaseLookup<'_>,
    from: &Answerer<'_>,
    now: UnixTime,
) -> Result<LookupAnswer, LookupRefusal> {
    const ZERO: [u8; 32] = [0; 32];
    if lookup.key.0 == ZERO {
        return Err(LookupRefusal::ZeroKey);
    }
    if lookup.from.0 == ZERO {
        return Err(LookupRefusal::NoRequester);
    }
    if let Some(record) = find(lookup, from, now) {
        return Ok(LookupAnswer::Record(record.clone()));
    }
    // Zero entries mark explorations of an old style; they exclude nobody, since no router has that hash.
    let mut excluded: Vec<RouterHash> =
        lookup.excluded.iter().map(|hash| RouterHash(*hash)).collect();
    excluded.sort_unstable();
    let is_excluded = |router: &RouterHash| {
        router == from.our || *router == lookup.from || excluded.binary_search(router).is_ok()
    };
    let (candidates, count) = match lookup.kind {
        LookupKind::Any | LookupKind::RouterInfo | LookupKind::LeaseSet => {
            (from.floodfills, ANSWER_PEERS)
        }
        LookupKind::Exploration => (from.explorable, EXPLORATION_PEERS),
    };
    Ok(LookupAnswer::Peers(closest(&lookup.key, now, candidates, &is_excluded, count)))
}

fn find<'a>(lookup: &DatabaseLookup<'_>, from: &Answerer<'a>, now: UnixTime) -> Option<&'a Record> {
    let record = if lookup.key == RecordKey::from(*from.our) {
        from.own
    } else {
        from.store.find_published(&lookup.key, now)
    }?;
    let is_wanted = match lookup.kind {
        LookupKind::Any => true,
        LookupKind::RouterInfo => record.kind() == RecordKind::RouterInfo,
        LookupKind::LeaseSet => record.kind() != RecordKind::RouterInfo,
        LookupKind::Exploration => false,
    };
    is_wanted.then_some(record)
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyRoute {
    /// To this router.
    Direct(RouterHash),
    /// In a TunnelGateway to this gateway, down this tunnel.
    Tunnel {
        /// The router that is the tunnel's gateway.
        gateway: RouterHash,
        /// The tunnel, as its gateway knows it.
        tunnel: TunnelId,
    },
}

impl ReplyRoute {
    /// To `gateway`, down `tunnel` if there is one.
    #[must_use]
    pub fn new(gateway: RouterHash, tunnel: Option<TunnelId>) -> Self {
        match tunnel {
            Some(tunnel) => Self::Tunnel { gateway, tunnel },
            None => Self::Direct(gateway),
        }
    }

    /// The router that the answer is sent to.
    #[must_use]
    pub fn router(&self) -> RouterHash {
        match self {
            Self::Direct(router) => *router,
            Self::Tunnel { gateway, .. } => *gateway,
        }
    }
}

/// Where the answer to `lookup` goes.
#[must_use]
pub fn reply_route(lookup: &DatabaseLookup<'_>) -> ReplyRoute {
    ReplyRoute::new(lookup.from, lookup.reply_tunnel)
}

/// A DeliveryStatus that we owe for a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The id that it confirms.
    pub token: u32,
    /// Where it goes.
    pub route: ReplyRoute,
}

/// What we owe for a store with these reply fields, whatever becomes of the record.
///
/// Every token but zero is acknowledged. A store that came down one of our own tunnels is not: its sender could
/// otherwise learn whose tunnel it is.
#[must_use]
pub fn acknowledge(reply: Option<&StoreReply>, origin: Origin) -> Option<Acknowledgement> {
    let reply = reply?;
    match origin {
        Origin::Session | Origin::Garlic => {}
        Origin::OwnTunnel => return None,
    }
    if reply.token == 0 || reply.gateway.0 == [0; 32] {
        return None;
    }
    let route = ReplyRoute::new(reply.gateway, reply.tunnel);
    Some(Acknowledgement { token: reply.token, route })
}

/// What a new record is passed on by.
#[derive(Clone, Copy, Debug)]
pub struct Flood<'a> {
    /// The record's key.
    pub key: &'a RecordKey,
    /// Its kind.
    pub kind: RecordKind,
    /// Our own hash.
    pub our: &'a RouterHash,
    /// Who stored it here, as far as known.
    pub sender: Option<&'a RouterHash>,
    /// All known floodfills, sorted.
    pub floodfills: &'a [RouterHash],
}

impl Flood<'_> {
    /// Whom the record goes to: the closest floodfills by today's key and, near midnight, some by tomorrow's.
    /// Neither ourselves, nor the record's own router, nor who sent it. Nobody twice.
    #[must_use]
    pub fn targets(&self, now: UnixTime) -> Vec<RouterHash> {
        let own_router = self.key.as_router();
        let is_excluded = |router: &RouterHash| {
            router == self.our || *router == own_router || Some(router) == self.sender
        };
        let mut targets = closest(self.key, now, self.floodfills, &is_excluded, FLOOD_TARGETS);
        let window = match self.kind {
            RecordKind::RouterInfo => TOMORROW_ROUTER_INFO,
            RecordKind::LeaseSet(_) => TOMORROW_LEASE_SET,
        };
        if until_midnight(now) <= window {
            let tomorrow = routing_key(self.key, now + DAY);
            let is_taken = |router: &RouterHash| is_excluded(router) || targets.contains(router);
            let more = tomorrow.closest(self.floodfills, &is_taken, FLOOD_TARGETS_TOMORROW);
            targets.extend(more);
        }
        targets
    }
}

fn until_midnight(now: UnixTime) -> Duration {
    let day = u64::try_from(DAY.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(day - now.0 % day)
}

/// Body of the DatabaseStore that carries `record`; with `reply`, one that asks for an acknowledgement.
#[must_use]
pub fn store_body(record: &Record, reply: Option<StoreReply>, gzip: &mut Gzip) -> Frame {
    let key = record.key();
    match record {
        Record::RouterInfo(info) => {
            let gzip = gzip.member(info.bytes());
            DatabaseStore { key, reply, data: StoreData::RouterInfo { gzip: &gzip } }.write()
        }
        Record::LeaseSet(lease_set) => {
            let data = StoreData::lease_set(lease_set.kind(), lease_set.bytes());
            DatabaseStore { key, reply, data }.write()
        }
    }
}

/// Body of the DatabaseSearchReply that names `peers` for `key`, from us.
#[must_use]
pub fn search_reply_body(key: RecordKey, peers: Vec<RouterHash>, our: RouterHash) -> Frame {
    DatabaseSearchReply { key, peers, from: our }.write()
}

/// Body of the DeliveryStatus that confirms `token`, dated up to 3 s back so that it does not tell our exact clock.
#[must_use]
pub fn delivery_status_body(token: u32, now: UnixTime, rng: &mut ShardRng) -> Frame {
    let back = u64::try_from(rng.below(TIMESTAMP_BLUR_MS)).unwrap_or(0);
    let timestamp = now - Duration::from_millis(back);
    DeliveryStatus { id: MessageId(token), timestamp }.write()
}

#[cfg(test)]
mod tests {
    use super::super::store::{KindLimits, Source, StoreLimits};
    use super::super::testing::{
        FLOODFILL, NOON, ROUTER, hash, lease_set, lease_set_of, router_info,
    };
    use super::*;
    use crate::wire::i2np::database_lookup::LookupEncryption;
    use crate::wire::i2np::database_store::inflate;
    use crate::wire::lease_set::LeaseSetKind;

    const US: RouterHash = RouterHash([0xEE; 32]);
    const ASKER: RouterHash = RouterHash([0xDD; 32]);

    fn lookup(key: RecordKey, kind: LookupKind) -> DatabaseLookup<'static> {
        DatabaseLookup {
            key,
            from: ASKER,
            reply_tunnel: None,
            kind,
            unknown_flags: 0,
            excluded: &[],
            encryption: LookupEncryption::None,
        }
    }

    fn sorted(range: std::ops::RangeInclusive<u8>) -> Vec<RouterHash> {
        let mut all: Vec<_> = range.map(|n| RouterHash([n; 32])).chain([US, ASKER]).collect();
        all.sort();
        all
    }

    fn full_store() -> Store {
        let limits = KindLimits { records_max: 10, bytes_max: 1 << 16 };
        let mut store = Store::new(StoreLimits {
            routers: limits,
            lease_sets: limits,
            meta_lease_sets: limits,
        });
        let records = [
            (Record::RouterInfo(router_info(1, NOON, ROUTER)), Source::Owner),
            (Record::LeaseSet(lease_set(2, NOON, 600)), Source::Owner),
            (Record::RouterInfo(router_info(3, NOON, ROUTER)), Source::Reply),
            (Record::LeaseSet(lease_set(4, NOON, 600)), Source::Reply),
        ];
        for (record, provenance) in records {
            let _ = store.insert(record, provenance);
        }
        store
    }

    fn peers(answer: Result<LookupAnswer, LookupRefusal>) -> Vec<RouterHash> {
        match answer {
            Ok(LookupAnswer::Peers(peers)) => peers,
            Ok(LookupAnswer::Record(record)) => panic!("a record: {:?}", record.key()),
            Err(refusal) => panic!("{refusal}"),
        }
    }

    #[test]
    fn who_gets_a_record() {
        let store = full_store();
        let floodfills = sorted(1..=9);
        let own = Record::RouterInfo(router_info(9, NOON, FLOODFILL));
        let our = hash(9);
        let from = Answerer {
            our: &our,
            own: Some(&own),
            store: &store,
            floodfills: &floodfills,
            explorable: &[],
        };
        let any = LookupKind::Any;
        let routers = LookupKind::RouterInfo;
        let lease_sets = LookupKind::LeaseSet;
        let exploration = LookupKind::Exploration;
        let table = [
            (1, [(any, true), (routers, true), (lease_sets, false), (exploration, false)]),
            (2, [(any, true), (routers, false), (lease_sets, true), (exploration, false)]),
            (3, [(any, false), (routers, false), (lease_sets, false), (exploration, false)]),
            (4, [(any, false), (routers, false), (lease_sets, false), (exploration, false)]),
            (9, [(any, true), (routers, true), (lease_sets, false), (exploration, false)]),
        ];
        for (seed, rows) in table {
            for (kind, is_given) in rows {
                let key = RecordKey::from(hash(seed));
                let is_found = match decide(&lookup(key, kind), &from, NOON) {
                    Ok(LookupAnswer::Record(record)) => {
                        assert_eq!(record.key(), key);
                        true
                    }
                    Ok(LookupAnswer::Peers(_)) => false,
                    Err(refusal) => panic!("{refusal}"),
                };
                assert_eq!(is_found, is_given, "{seed} {kind:?}");
            }
        }
        for kind in LeaseSetKind::ALL {
            let mut store = full_store();
            let set = lease_set_of(kind, 20, NOON, 600);
            let _ = store.insert(Record::LeaseSet(set.clone()), Source::Owner);
            let from = Answerer { store: &store, ..from };
            let found = decide(&lookup(set.key(), lease_sets), &from, NOON);
            let Ok(LookupAnswer::Record(Record::LeaseSet(found))) = found else {
                panic!("{kind:?} is not found");
            };
            assert_eq!((found.kind(), found.bytes()), (kind, set.bytes()));
        }
        let later = NOON + Duration::from_secs(600);
        let gone = decide(&lookup(hash(2).into(), lease_sets), &from, later);
        assert_eq!(peers(gone).len(), ANSWER_PEERS);
    }

    #[test]
    fn others_get_the_closest_floodfills() {
        let store = full_store();
        let floodfills = sorted(1..=20);
        let from = Answerer {
            our: &US,
            own: None,
            store: &store,
            floodfills: &floodfills,
            explorable: &[],
        };
        let key = RecordKey([0x77; 32]);
        let usual = lookup(key, LookupKind::RouterInfo);
        let first = peers(decide(&usual, &from, NOON));
        let is_excluded = |router: &RouterHash| *router == US || *router == ASKER;
        assert_eq!(first, closest(&key, NOON, &floodfills, &is_excluded, 3));
        let excluded = [first[0].0, [0; 32], first[2].0];
        let second = peers(decide(&DatabaseLookup { excluded: &excluded, ..usual }, &from, NOON));
        assert_eq!(second.len(), 3);
        assert_eq!(second[0], first[1]);
        assert!(!second.contains(&first[0]) && !second.contains(&first[2]));
        let all: Vec<_> = floodfills.iter().map(|router| router.0).collect();
        let none = peers(decide(&DatabaseLookup { excluded: &all, ..usual }, &from, NOON));
        assert!(none.is_empty());
    }

    #[test]
    fn explorers_get_routers_that_are_no_floodfills() {
        let store = full_store();
        let floodfills = sorted(1..=20);
        let explorable = sorted(30..=80);
        let from = Answerer {
            our: &US,
            own: None,
            store: &store,
            floodfills: &floodfills,
            explorable: &explorable,
        };
        let found = peers(decide(&lookup(hash(1).into(), LookupKind::Exploration), &from, NOON));
        assert_eq!(found.len(), EXPLORATION_PEERS);
        assert!(found.iter().all(|router| (30..=80).contains(&router.0[0])));
    }

    #[test]
    fn lookups_that_deserve_no_answer() {
        let store = full_store();
        let from =
            Answerer { our: &US, own: None, store: &store, floodfills: &[], explorable: &[] };
        let zero = decide(&lookup(RecordKey([0; 32]), LookupKind::Any), &from, NOON);
        assert_eq!(zero.err(), Some(LookupRefusal::ZeroKey));
        let usual = lookup(RecordKey([1; 32]), LookupKind::Any);
        let nobody = DatabaseLookup { from: RouterHash([0; 32]), ..usual };
        assert_eq!(decide(&nobody, &from, NOON).err(), Some(LookupRefusal::NoRequester));
        assert!(peers(decide(&usual, &from, NOON)).is_empty());
    }

    #[test]
    fn answers_go_where_they_are_wanted() {
        let direct = lookup(RecordKey([1; 32]), LookupKind::Any);
        assert_eq!(reply_route(&direct), ReplyRoute::Direct(ASKER));
        let tunnel = TunnelId::new(7).unwrap();
        let tunnelled = DatabaseLookup { reply_tunnel: Some(tunnel), ..direct };
        assert_eq!(reply_route(&tunnelled), ReplyRoute::Tunnel { gateway: ASKER, tunnel });
        assert_eq!(reply_route(&tunnelled).router(), ASKER);
    }

    #[test]
    fn what_is_acknowledged() {
        let reply = StoreReply { token: 5, tunnel: None, gateway: ASKER };
        let zero_token = StoreReply { token: 0, ..reply };
        let nobody = StoreReply { gateway: RouterHash([0; 32]), ..reply };
        let highest = StoreReply { token: u32::MAX, tunnel: TunnelId::new(1), ..reply };
        let table = [
            (None, Origin::Session, None),
            (Some(&reply), Origin::Session, Some(5)),
            (Some(&reply), Origin::Garlic, Some(5)),
            (Some(&reply), Origin::OwnTunnel, None),
            (Some(&zero_token), Origin::Session, None),
            (Some(&nobody), Origin::Session, None),
            (Some(&highest), Origin::Session, Some(u32::MAX)),
        ];
        for (reply, origin, token) in table {
            assert_eq!(acknowledge(reply, origin).map(|ack| ack.token), token);
        }
        let route = acknowledge(Some(&highest), Origin::Session).map(|ack| ack.route);
        let tunnel = TunnelId::new(1).unwrap();
        assert_eq!(route, Some(ReplyRoute::Tunnel { gateway: ASKER, tunnel }));
    }

    #[test]
    fn floods_go_to_the_closest_but_not_back() {
        let floodfills = sorted(1..=20);
        let key = RecordKey([9; 32]);
        let kind = RecordKind::RouterInfo;
        let flood =
            Flood { key: &key, kind, our: &US, sender: Some(&ASKER), floodfills: &floodfills };
        let targets = flood.targets(NOON);
        assert_eq!(targets.len(), FLOOD_TARGETS);
        for not in [US, ASKER, key.as_router()] {
            assert!(!targets.contains(&not));
        }
        let few = [US, key.as_router(), ASKER];
        let mut few = few.to_vec();
        few.sort();
        assert!(Flood { floodfills: &few, ..flood }.targets(NOON).is_empty());
        assert_eq!(Flood { floodfills: &few, sender: None, ..flood }.targets(NOON), [ASKER]);
    }

    #[test]
    fn near_midnight_floods_go_to_tomorrows_floodfills_too() {
        let floodfills = sorted(1..=200);
        let key = RecordKey([9; 32]);
        let midnight = NOON + Duration::from_secs(12 * 3600);
        let minute = Duration::from_secs(60);
        let table = [
            (RecordKind::RouterInfo, 46, 3),
            (RecordKind::RouterInfo, 45, 5),
            (RecordKind::RouterInfo, 1, 5),
            (RecordKind::LeaseSet(LeaseSetKind::LeaseSet2), 11, 3),
            (RecordKind::LeaseSet(LeaseSetKind::LeaseSet), 10, 5),
            (RecordKind::LeaseSet(LeaseSetKind::EncryptedLeaseSet), 10, 5),
            (RecordKind::LeaseSet(LeaseSetKind::MetaLeaseSet), 0, 3),
        ];
        for (kind, minutes, count) in table {
            let flood = Flood { key: &key, kind, our: &US, sender: None, floodfills: &floodfills };
            let mut targets = flood.targets(midnight - minutes * minute);
            assert_eq!(targets.len(), count, "{kind:?}, {minutes} min");
            if count == 5 {
                let tomorrow = closest(&key, midnight, &floodfills, &|_| false, 1);
                assert!(targets.contains(&tomorrow[0]));
            }
            targets.sort();
            targets.dedup();
            assert_eq!(targets.len(), count, "nobody twice");
        }
    }

    #[test]
    fn who_counts_as_floodfill() {
        let table = [
            ("XfR", Some("0.9.59"), true),
            ("Xf", Some("0.9.67"), true),
            ("XfR", Some("0.10.0"), true),
            ("XfR", Some("0.9.58"), false),
            ("XfR", Some("0.8.99"), false),
            ("XfR", None, false),
            ("XR", Some("0.9.67"), false),
            ("XfU", Some("0.9.67"), false),
            ("XfHR", Some("0.9.67"), false),
        ];
        for (caps, version, expected) in table {
            let mut options = vec![("caps", caps), ("netId", "99")];
            options.extend(version.map(|version| ("router.version", version)));
            let info = router_info(1, NOON, &options);
            assert_eq!(is_usable_floodfill(&info), expected, "{caps} {version:?}");
        }
    }

    #[test]
    fn bodies_read_back() {
        let reply = StoreReply { token: 5, tunnel: None, gateway: ASKER };
        let info = router_info(1, NOON, ROUTER);
        let body = store_body(&Record::RouterInfo(info.clone()), Some(reply), &mut Gzip::new());
        let store = DatabaseStore::parse(&body).unwrap();
        assert_eq!((store.key, store.reply), (hash(1).into(), Some(reply)));
        let StoreData::RouterInfo { gzip } = store.data else { panic!("{:?}", store.data) };
        assert_eq!(inflate(gzip, 3072).unwrap(), info.bytes()[..]);

        for kind in LeaseSetKind::ALL {
            let leases = lease_set_of(kind, 2, NOON, 600);
            let body = store_body(&Record::LeaseSet(leases.clone()), None, &mut Gzip::new());
            let store = DatabaseStore::parse(&body).unwrap();
            assert_eq!((store.key, store.reply), (leases.key(), None));
            assert_eq!(store.data, StoreData::lease_set(kind, leases.bytes()));
        }

        let body = search_reply_body(RecordKey([1; 32]), vec![ASKER], US);
        let reply = DatabaseSearchReply::parse(&body).unwrap();
        assert_eq!((reply.key, reply.peers, reply.from), (RecordKey([1; 32]), vec![ASKER], US));

        let mut rng = ShardRng::from_seed([1; 32]);
        let body = delivery_status_body(77, NOON, &mut rng);
        let status = DeliveryStatus::parse(&body).unwrap();
        assert_eq!(status.id, MessageId(77));
        assert!(status.timestamp <= NOON && NOON.since(status.timestamp).as_millis() < 3000);
    }
}
