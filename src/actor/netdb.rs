//! One slice of the netdb and its floodfill duties.

mod asking;

use self::asking::tell_of;

use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::contract::{Actor, Context, TransportEffect};
use super::counters::{Drop, LookupCounts, Refusals, StoreCounts};
use super::message::{
    Candidate, CandidateRecord, DialerMessage, FloodWish, LocalRouterMessage, Message,
    NetdbMessage, Origin, Unknown, Verified,
};
use super::node::NodeConfig;
use crate::base::frame::Frame;
use crate::base::id::{RecordKey, RouterHash, ShardId};
use crate::base::limits::ROUTER_INFO_MAX;
use crate::base::rng::ShardRng;
use crate::base::time::{Instant, UnixTime};
use crate::crypto::secret::{AeadKey, SessionKey};
use crate::proto::garlic::{session_tag_reply, tagged_reply};
use crate::proto::netdb::acceptance::{self, Conditions, Rejection};
use crate::proto::netdb::exploration::Exploration;
use crate::proto::netdb::floodfill::{self, Answerer, Flood, LookupAnswer, ReplyRoute};
use crate::proto::netdb::lookup::Lookups;
use crate::proto::netdb::store::{
    Counts, KindLimits, Outcome, Record, RecordKind, Source, Store, StoreLimits, Tally,
    spare_routers,
};
use crate::proto::peer::conduct::{BanReason, Deed};
use crate::wire::gzip::Gzip;
use crate::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use crate::wire::i2np::database_store::{DatabaseStore, StoreData};
use crate::wire::i2np::{I2npMessage, MessageType};
use crate::wire::lease_set::{AnyLeaseSet, LeaseSetKind};
use crate::wire::router_info::RouterInfo;
use crate::wire::unverified::Unverified;

/// How often the slice is swept and its size told to the owner of our RouterInfo.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Lookups of our own that one shard has under way at once.
const LOOKUPS_MAX: usize = 256;
/// Known routers below which we explore.
const ROUTERS_WANTED: usize = 2_500;
/// The shard that decides when to explore.
const EXPLORING_SHARD: ShardId = ShardId(0);
/// Routers from which an exploration is answered.
const EXPLORATION_SAMPLE: usize = 256;

/// The slice of one shard.
pub struct Netdb {
    store: Store,
    gzip: Gzip,
    lookups: Lookups,
    exploration: Exploration,
    explores: bool,
    started: Instant,
    next_sweep: Instant,
    told: Option<(usize, usize)>,
}

impl Netdb {
    /// The empty slice of one shard.
    #[must_use]
    pub fn new(node: &NodeConfig, shard: ShardId, now: Instant, rng: &mut ShardRng) -> Self {
        let part = |sixteenths: usize| KindLimits {
            records_max: (node.limits.netdb_records * sixteenths / 16).max(1),
            bytes_max: node.limits.netdb_bytes / 16 * sixteenths,
        };
        let limits =
            StoreLimits { routers: part(8), lease_sets: part(7), meta_lease_sets: part(1) };
        Self {
            store: Store::new(limits),
            gzip: Gzip::new(),
            lookups: Lookups::new(node.hash(), LOOKUPS_MAX),
            exploration: Exploration::new(node.hash(), ROUTERS_WANTED, now, rng),
            explores: shard == EXPLORING_SHARD,
            started: now,
            next_sweep: now + Duration::from_secs(1),
            told: None,
        }
    }

    /// How much the slice holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.store.counts()
    }

    /// What it holds by source and by age at `now`: of RouterInfos, and of lease sets.
    #[must_use]
    pub fn tallies(&self, now: UnixTime) -> [Tally; 2] {
        [self.store.tally_routers(now), self.store.tally_lease_sets(now)]
    }

    /// Takes in the verified RouterInfos that the router starts with, and has some of them visited.
    pub fn seed(&mut self, seeds: Vec<Arc<RouterInfo>>, cx: &mut Context<'_>) {
        let visits = cx.node.first_dials.div_ceil(usize::from(cx.node.shards.max(1)));
        let mut dialable: Vec<RouterHash> = Vec::new();
        for info in seeds {
            if info.hash() == cx.node.hash() {
                continue;
            }
            if info.ntcp2_endpoint().is_some() {
                dialable.push(info.hash());
            }
            self.insert(Record::RouterInfo(info), Source::Seed, cx);
        }
        for _ in 0..visits.min(dialable.len()) {
            let router = dialable.swap_remove(cx.rng.below(dialable.len()));
            cx.send(Address::Here, Message::Dialer(DialerMessage::Visit(router)));
        }
    }

    fn store_message(&mut self, origin: Origin, body: &Frame, cx: &mut Context<'_>) {
        let Ok(message) = DatabaseStore::parse(body) else {
            cx.counters.netdb_refusals.stores.count(Refusals::MALFORMED);
            cx.count_drop(Drop::Malformed);
            return;
        };
        // Acknowledged before its fate is known: senders wait 1.6 s only, and a signature may have to queue.
        if let Some(owed) = floodfill::acknowledge(message.reply.as_ref(), accepted_as(origin)) {
            let body = floodfill::delivery_status_body(owed.token, cx.now.unix, cx.rng);
            let status = cx.message(MessageType::DeliveryStatus, body);
            send_by(owed.route, status, None, cx);
        }
        let flood = if message.reply.is_some() { FloodWish::Flood } else { FloodWish::Keep };
        let (kind, lease_set) = match message.data {
            StoreData::RouterInfo { gzip } => {
                return match self.gzip.inflate(gzip, ROUTER_INFO_MAX) {
                    Ok(info) => {
                        let shown =
                            ShownInfo { key: message.key, info: &info, flood, shown_by: None };
                        self.consider_router_info(&shown, origin, cx);
                    }
                    Err(_) => {
                        refuse(RecordKind::RouterInfo, Drop::Malformed, Refusals::MALFORMED, cx);
                    }
                };
            }
            StoreData::LeaseSet(bytes) => (LeaseSetKind::LeaseSet, bytes),
            StoreData::LeaseSet2(bytes) => (LeaseSetKind::LeaseSet2, bytes),
            StoreData::EncryptedLeaseSet(bytes) => (LeaseSetKind::EncryptedLeaseSet, bytes),
            StoreData::MetaLeaseSet(bytes) => (LeaseSetKind::MetaLeaseSet, bytes),
        };
        let Ok(lease_set) = AnyLeaseSet::parse(kind, lease_set) else {
            let kind = RecordKind::LeaseSet(kind);
            return refuse(kind, Drop::Malformed, Refusals::MALFORMED, cx);
        };
        self.consider_lease_set(message.key, lease_set, origin, flood, cx);
    }

    fn conditions<'a>(&self, our: &'a RouterHash, cx: &Context<'_>) -> Conditions<'a> {
        Conditions {
            now: cx.now.unix,
            network: cx.node.network,
            our,
            floodfill: cx.node.floodfill,
            known_routers: self.store.counts().routers * usize::from(cx.node.shards),
        }
    }

    fn consider_router_info(
        &mut self,
        shown: &ShownInfo<'_>,
        origin: Origin,
        cx: &mut Context<'_>,
    ) {
        let ShownInfo { key, info, flood, shown_by } = *shown;
        let Ok(unverified) = RouterInfo::parse(info) else {
            return refuse(RecordKind::RouterInfo, Drop::Malformed, Refusals::MALFORMED, cx);
        };
        let own = origin.peer() == Some(unverified.peek().hash());
        let source = match flood {
            FloodWish::Flood => Source::Owner,
            FloodWish::Keep if self.lookups.is_under_way(&key) => Source::Reply,
            FloodWish::Keep if own => Source::Session,
            FloodWish::Keep => Source::Flood,
        };
        let from = origin.peer();
        if source == Source::Reply
            && let Some(floodfill) = from.filter(|from| self.lookups.was_asked(&key, from))
        {
            tell_of(floodfill, Deed::Answered, cx);
        }
        let held = self.store.held(&key, source.provenance());
        let our = cx.node.hash();
        let conditions = self.conditions(&our, cx);
        match acceptance::check_router_info(&key, &unverified, held, &conditions) {
            Ok(()) => {
                let record = CandidateRecord::RouterInfo(unverified);
                let candidate = Candidate { record, from, flood, source, shown_by };
                cx.effects.verifications.push(candidate);
            }
            Err(rejection) => {
                if let (Some(router), Rejection::OtherNetwork { .. }) = (shown_by, &rejection) {
                    tell_of(router, Deed::Offence(BanReason::Network), cx);
                }
                reject(RecordKind::RouterInfo, rejection, cx);
            }
        }
    }

    fn consider_lease_set(
        &mut self,
        key: RecordKey,
        unverified: Unverified<AnyLeaseSet>,
        origin: Origin,
        flood: FloodWish,
        cx: &mut Context<'_>,
    ) {
        let source = match flood {
            FloodWish::Flood => Source::Owner,
            FloodWish::Keep => Source::Flood,
        };
        let held = self.store.held(&key, source.provenance());
        let our = cx.node.hash();
        let conditions = self.conditions(&our, cx);
        let kind = RecordKind::LeaseSet(unverified.peek().kind());
        let origin_kind = accepted_as(origin);
        match acceptance::check_lease_set(&key, &unverified, origin_kind, held, &conditions) {
            Ok(()) => {
                let record = CandidateRecord::LeaseSet(unverified);
                let from = origin.peer();
                let candidate = Candidate { record, from, flood, source, shown_by: None };
                cx.effects.verifications.push(candidate);
            }
            Err(rejection) => reject(kind, rejection, cx),
        }
    }

    fn verified(&mut self, verified: Verified, cx: &mut Context<'_>) {
        let Verified { kind, record, from, flood, source, shown_by } = verified;
        let Ok(record) = record else {
            if let Some(router) = shown_by {
                tell_of(router, Deed::Offence(BanReason::Forged), cx);
            }
            return refuse(kind, Drop::StoreSignature, Refusals::SIGNATURE, cx);
        };
        match self.insert(record.clone(), source, cx) {
            Outcome::New | Outcome::Newer => {
                stores(kind, cx).stored += 1;
                if flood == FloodWish::Flood && cx.node.floodfill {
                    self.flood(&record, from, cx);
                }
            }
            Outcome::NotNewer => stores(kind, cx).known += 1,
            Outcome::Full => refuse(kind, Drop::StoreFull, Refusals::FULL, cx),
        }
    }

    fn flood(&mut self, record: &Record, from: Option<RouterHash>, cx: &mut Context<'_>) {
        let our = cx.node.hash();
        let key = record.key();
        let flood = Flood {
            key: &key,
            kind: record.kind(),
            our: &our,
            sender: from.as_ref(),
            floodfills: &cx.snapshot.floodfills,
        };
        let targets = flood.targets(cx.now.unix);
        if targets.is_empty() {
            return;
        }
        let body = floodfill::store_body(record, None, &mut self.gzip);
        for target in targets {
            cx.counters.floods += 1;
            let message = cx.message(MessageType::DatabaseStore, body.clone());
            cx.deliver(target, message, Unknown::Drop);
        }
    }

    /// Puts a verified record into the slice and tells those whom it concerns.
    fn insert(&mut self, record: Record, source: Source, cx: &mut Context<'_>) -> Outcome {
        let insertion = self.store.insert(record.clone(), source);
        let stored = match insertion.outcome {
            Outcome::New | Outcome::Newer => true,
            Outcome::NotNewer | Outcome::Full => false,
        };
        if let Record::RouterInfo(info) = &record {
            for gone in &insertion.shed {
                forget(gone.as_router(), cx);
            }
            let router = info.hash();
            if stored {
                let message = if floodfill::is_usable_floodfill(info) {
                    LocalRouterMessage::FloodfillSeen(router)
                } else {
                    LocalRouterMessage::FloodfillGone(router)
                };
                cx.send(Address::LocalRouter, Message::LocalRouter(message));
                // What only answered a question of ours is not for the disk: it would tell what we asked.
                if self.store.find_published(&router.into(), cx.now.unix).is_some() {
                    remember(router, Some(Arc::clone(info.bytes())), cx);
                }
            }
            if self.lookups.handle_stored(&router.into()) {
                cx.counters.own_lookups.found += 1;
                let found = DialerMessage::Found(Arc::clone(info));
                cx.send(Address::Here, Message::Dialer(found));
            }
        }
        insertion.outcome
    }

    fn lookup(&mut self, body: &Frame, arrived: Instant, cx: &mut Context<'_>) {
        let Ok(lookup) = DatabaseLookup::parse(body) else {
            cx.counters.netdb_refusals.lookups.count(Refusals::MALFORMED);
            cx.count_drop(Drop::Malformed);
            return;
        };
        if !cx.node.floodfill {
            return refuse_lookup(lookup.kind, Refusals::NOT_FLOODFILL, cx);
        }
        let our = cx.node.hash();
        let own = Record::RouterInfo(Arc::clone(&cx.snapshot.router_info));
        let mut explorable = match lookup.kind {
            LookupKind::Exploration => self.store.sample_explorable(cx.rng, EXPLORATION_SAMPLE),
            LookupKind::Any | LookupKind::RouterInfo | LookupKind::LeaseSet => Vec::new(),
        };
        explorable.sort_unstable();
        let answerer = Answerer {
            our: &our,
            own: Some(&own),
            store: &self.store,
            floodfills: &cx.snapshot.floodfills,
            explorable: &explorable,
        };
        let reply = match floodfill::decide(&lookup, &answerer, cx.now.unix) {
            Ok(LookupAnswer::Record(record)) => {
                match record.kind() {
                    RecordKind::RouterInfo => lookups(lookup.kind, cx).found += 1,
                    RecordKind::LeaseSet(kind) => *cx.counters.lease_sets_found.of_mut(kind) += 1,
                }
                let body = floodfill::store_body(&record, None, &mut self.gzip);
                cx.message(MessageType::DatabaseStore, body)
            }
            Ok(LookupAnswer::Peers(peers)) => {
                lookups(lookup.kind, cx).referred += 1;
                let body = floodfill::search_reply_body(lookup.key, peers, our);
                cx.message(MessageType::DatabaseSearchReply, body)
            }
            Err(refusal) => return refuse_lookup(lookup.kind, refusal.reason(), cx),
        };
        answer(&lookup, arrived, reply, cx);
    }

    fn sweep(&mut self, cx: &mut Context<'_>) {
        self.next_sweep = cx.now.instant + SWEEP_INTERVAL;
        let shards = usize::from(cx.node.shards);
        let known = self.store.counts().routers * shards;
        let spare = spare_routers(known, shards, cx.now.instant.since(self.started));
        for gone in self.store.expire(cx.now.unix, spare).routers {
            forget(gone, cx);
        }
        let counts = self.store.counts();
        let told = (counts.routers, counts.all_lease_sets());
        if self.told != Some(told) {
            self.told = Some(told);
            let (routers, lease_sets) = told;
            let known = LocalRouterMessage::Known { shard: cx.shard, routers, lease_sets };
            cx.send(Address::LocalRouter, Message::LocalRouter(known));
        }
    }
}

impl Actor for Netdb {
    type Message = NetdbMessage;

    fn handle(&mut self, message: NetdbMessage, cx: &mut Context<'_>) {
        match message {
            NetdbMessage::Store { origin, body } => self.store_message(origin, &body, cx),
            NetdbMessage::Lookup { body, arrived } => self.lookup(&body, arrived, cx),
            NetdbMessage::SearchReply { origin, body } => self.search_reply(origin, &body, cx),
            NetdbMessage::Find { router, unknown } => self.find(router, unknown, cx),
            NetdbMessage::Learned(router) => self.learned(router, cx),
            NetdbMessage::Explore(explore) => self.explore(explore, cx),
            NetdbMessage::Met(info) => {
                // Verified in the handshake, where its age and network were checked as well.
                self.insert(Record::RouterInfo(info), Source::Session, cx);
            }
            NetdbMessage::Shown { from, key, info, flood } => {
                let shown_by = (RecordKey::from(from) == key).then_some(from);
                let shown = ShownInfo { key, info: &info, flood, shown_by };
                self.consider_router_info(&shown, Origin::Session(from), cx);
            }
            NetdbMessage::Verified(verified) => self.verified(*verified, cx),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let exploration = self.explores.then(|| self.exploration.deadline());
        [self.lookups.deadline(), exploration, Some(self.next_sweep)].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        self.lookups.handle_timeout(cx.now.instant);
        self.drain_lookups(cx);
        if self.explores && self.exploration.deadline() <= cx.now.instant {
            self.consider_exploring(cx);
        }
        if self.next_sweep <= cx.now.instant {
            self.sweep(cx);
        }
    }
}

/// A RouterInfo that came, uncompressed.
struct ShownInfo<'a> {
    /// The key that it came under.
    key: RecordKey,
    info: &'a [u8],
    flood: FloodWish,
    /// The router that it is about, if that showed it over its own session.
    shown_by: Option<RouterHash>,
}

/// Sends the reply to a lookup the way that the lookup asks for.
fn answer(lookup: &DatabaseLookup<'_>, arrived: Instant, reply: I2npMessage, cx: &mut Context<'_>) {
    let answers = Some(arrived);
    let route = floodfill::reply_route(lookup);
    let counts = &mut cx.counters.lookup_replies;
    let sealed = match (&lookup.encryption, &route) {
        // Others encrypt replies only where they go down a tunnel: over a session they are sealed already.
        (LookupEncryption::None, _) | (_, ReplyRoute::Direct(_)) => {
            counts.plain += 1;
            return send_by(route, reply, answers, cx);
        }
        (LookupEncryption::Ecies { key, tag }, ReplyRoute::Tunnel { .. }) => {
            counts.ecies += 1;
            tagged_reply::seal(&AeadKey::from_bytes(*key), *tag, &reply)
        }
        (LookupEncryption::Aes { key, tags: [tag, ..] }, ReplyRoute::Tunnel { .. }) => {
            counts.aes += 1;
            session_tag_reply::seal(&SessionKey::from_bytes(*key), tag, reply, cx.rng)
        }
        // Lookups without a tag do not parse.
        (LookupEncryption::Aes { tags: [], .. }, ReplyRoute::Tunnel { .. }) => {
            return cx.count_drop(Drop::Malformed);
        }
    };
    let sealed = cx.message(MessageType::Garlic, sealed);
    send_by(route, sealed, answers, cx);
}

/// Sends what is owed for a store, or for a lookup that came at `answers`.
fn send_by(
    route: ReplyRoute,
    message: I2npMessage,
    answers: Option<Instant>,
    cx: &mut Context<'_>,
) {
    let message = match route {
        ReplyRoute::Direct(_) => message,
        ReplyRoute::Tunnel { tunnel, .. } => cx.wrap_for_tunnel(tunnel, &message),
    };
    cx.deliver_answer(route.router(), message, Unknown::LookUp, answers);
}

fn accepted_as(origin: Origin) -> acceptance::Origin {
    match origin {
        Origin::Session(_) | Origin::Ourselves => acceptance::Origin::Session,
        Origin::Garlic => acceptance::Origin::Garlic,
    }
}

/// Tells those whom it concerns that a router is known no more.
fn forget(router: RouterHash, cx: &mut Context<'_>) {
    let gone = LocalRouterMessage::FloodfillGone(router);
    cx.send(Address::LocalRouter, Message::LocalRouter(gone));
    remember(router, None, cx);
}

/// Has the netdb's file hold this of a router.
fn remember(router: RouterHash, info: Option<Arc<[u8]>>, cx: &mut Context<'_>) {
    cx.effects.transport.push_back(TransportEffect::Remember { router, info });
}

fn stores<'a>(kind: RecordKind, cx: &'a mut Context<'_>) -> &'a mut StoreCounts {
    match kind {
        RecordKind::RouterInfo => &mut cx.counters.stores_router_info,
        RecordKind::LeaseSet(kind) => cx.counters.stores_lease_set.of_mut(kind),
    }
}

fn lookups<'a>(kind: LookupKind, cx: &'a mut Context<'_>) -> &'a mut LookupCounts {
    match kind {
        LookupKind::Any | LookupKind::RouterInfo => &mut cx.counters.lookups_router_info,
        LookupKind::LeaseSet => &mut cx.counters.lookups_lease_set,
        LookupKind::Exploration => &mut cx.counters.lookups_exploration,
    }
}

fn refuse(kind: RecordKind, drop: Drop, reason: &'static str, cx: &mut Context<'_>) {
    stores(kind, cx).refused += 1;
    cx.counters.netdb_refusals.stores.count(reason);
    cx.count_drop(drop);
}

fn refuse_lookup(kind: LookupKind, reason: &'static str, cx: &mut Context<'_>) {
    lookups(kind, cx).refused += 1;
    cx.counters.netdb_refusals.lookups.count(reason);
    cx.count_drop(Drop::LookupRefused);
}

fn reject(kind: RecordKind, rejection: Rejection, cx: &mut Context<'_>) {
    match rejection {
        Rejection::NotNewer { .. } => stores(kind, cx).known += 1,
        Rejection::ForeignKey
        | Rejection::Own
        | Rejection::Future { .. }
        | Rejection::Old { .. }
        | Rejection::Expired { .. }
        | Rejection::KeyExpired { .. }
        | Rejection::FarExpiry { .. }
        | Rejection::BlindedKeyType { .. }
        | Rejection::Unpublished
        | Rejection::NoNetwork
        | Rejection::OtherNetwork { .. }
        | Rejection::NoVersion
        | Rejection::NoAddress
        | Rejection::NotFloodfill
        | Rejection::Indirect => refuse(kind, Drop::StoreRefused, rejection.reason(), cx),
    }
}
