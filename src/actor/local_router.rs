//! Our own RouterInfo: what it says, when it is signed anew, who is told, and the snapshot that all shards hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::contract::{Actor, Context, TransportEffect};
use super::counters::Drop;
use super::message::{LocalRouterMessage, Unknown};
use super::node::NodeConfig;
use super::snapshot::Snapshot;
use crate::base::frame::Frame;
use crate::base::id::{RouterHash, ShardId, TunnelId};
use crate::base::permille::Permille;
use crate::base::time::{Instant, UnixTime};
use crate::proto::netdb::publication::{Publication, PublicationAction};
use crate::proto::ntcp2::ClockEstimate;
use crate::proto::peer::conduct::Standing;
use crate::proto::tunnel::admission::Duty;
use crate::proto::tunnel::congestion::{CongestionMeter, HIGH_CONGESTION_LIFE, LOAD_INTERVAL};
use crate::proto::tunnel::limiter::{Part, divide};
use crate::wire::capabilities::{Capabilities, Congestion, Reachability};
use crate::wire::i2np::MessageType;
use crate::wire::i2np::database_store::{DatabaseStore, StoreData, StoreReply, deflate};
use crate::wire::mapping::Mapping;
use crate::wire::router_address::RouterAddress;
use crate::wire::router_info::{RouterInfo, RouterInfoDraft};

/// The version of the protocol that we claim, and the least that other routers ask of a floodfill is 0.9.59.
const ROUTER_VERSION: &str = "0.9.67";
/// Cost of a published NTCP2 address, as other routers write it.
const ADDRESS_COST: u8 = 3;
/// At most this often a new snapshot goes out because the set of floodfills changed.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(20);
/// So long after a shard has told what it wants the bandwidth is divided, since others are about to tell, too.
const DIVISION_PAUSE: Duration = Duration::from_millis(100);

/// The owner of our RouterInfo.
pub struct LocalRouter {
    publication: Publication,
    floodfills: BTreeSet<RouterHash>,
    /// Routers that do not stand well with us: as many as all shards have profiles at the most.
    standings: BTreeMap<RouterHash, Standing>,
    known: BTreeMap<ShardId, (usize, usize)>,
    reached: bool,
    /// When the changed set of floodfills goes out.
    snapshot_due: Option<Instant>,
    /// How full each shard is, and how many bytes of transit a second it carries.
    loads: BTreeMap<ShardId, (Permille, u64)>,
    /// How many bytes a second each shard wants, as far as it has said so.
    wants: BTreeMap<ShardId, u64>,
    parts: Arc<[Part]>,
    /// When the bandwidth is next divided.
    division_due: Option<Instant>,
    congestion: CongestionMeter,
    /// When the loads are next looked at.
    loads_due: Option<Instant>,
    /// When our RouterInfo was last signed.
    signed: Instant,
    clock: ClockEstimate,
}

impl LocalRouter {
    /// The owner, as of the start of the program.
    #[must_use]
    pub fn new(node: &NodeConfig, now: Instant) -> Self {
        Self {
            publication: Publication::new(node.hash(), node.started, now),
            floodfills: BTreeSet::new(),
            standings: BTreeMap::new(),
            known: BTreeMap::new(),
            reached: false,
            snapshot_due: None,
            loads: BTreeMap::new(),
            wants: BTreeMap::new(),
            parts: Arc::from([]),
            division_due: None,
            congestion: CongestionMeter::default(),
            loads_due: None,
            signed: now,
            clock: ClockEstimate::default(),
        }
    }

    /// What routers that we have dialled say of our clock.
    #[must_use]
    pub fn clock(&self) -> &ClockEstimate {
        &self.clock
    }

    /// Keeps the first RouterInfo, the one that every shard has signed for itself at the start.
    pub fn announce_first(&self, cx: &mut Context<'_>) {
        let save = TransportEffect::SaveRouterInfo(Arc::clone(cx.snapshot.router_info.bytes()));
        cx.effects.transport.push_back(save);
    }

    /// What our RouterInfo says has changed: it is signed and published anew, at most once a minute.
    pub fn change(&mut self, cx: &mut Context<'_>) {
        self.publication.change(cx.now.instant);
        self.drain(cx);
    }

    fn snapshot(&mut self, info: Arc<RouterInfo>, cx: &mut Context<'_>) {
        self.snapshot_due = None;
        let (floodfills, asked) = (self.not_banned(), self.asked());
        let transit_rate = self.transit_rate();
        let parts = Arc::clone(&self.parts);
        let snapshot = Snapshot { router_info: info, floodfills, asked, transit_rate, parts };
        cx.effects.snapshot = Some(Arc::new(snapshot));
    }

    fn standing(&self, router: &RouterHash) -> Standing {
        self.standings.get(router).copied().unwrap_or(Standing::Good)
    }

    fn not_banned(&self) -> Arc<[RouterHash]> {
        let all = self.floodfills.iter();
        all.filter(|floodfill| self.standing(floodfill) != Standing::Banned).copied().collect()
    }

    /// The floodfills that nothing speaks against; where there are none, all that are not banned: it may be us whom nobody
    /// hears.
    fn asked(&self) -> Arc<[RouterHash]> {
        let all = self.floodfills.iter();
        let good: Arc<[RouterHash]> =
            all.filter(|floodfill| self.standing(floodfill) == Standing::Good).copied().collect();
        if good.is_empty() { self.not_banned() } else { good }
    }

    fn note_standing(&mut self, router: RouterHash, standing: Standing, cx: &Context<'_>) {
        let before = match standing {
            Standing::Good => self.standings.remove(&router),
            Standing::Poor | Standing::Banned => self.standings.insert(router, standing),
        };
        if before.unwrap_or(Standing::Good) != standing && self.floodfills.contains(&router) {
            self.mark_floodfills_changed(cx);
        }
    }

    fn mark_floodfills_changed(&mut self, cx: &Context<'_>) {
        if self.snapshot_due.is_none() {
            // The first floodfill is news at once: without one nothing can be looked up.
            let pause =
                if cx.snapshot.floodfills.is_empty() { Duration::ZERO } else { SNAPSHOT_INTERVAL };
            self.snapshot_due = Some(cx.now.instant + pause);
        }
    }

    /// Bytes of transit a second, of all shards.
    fn transit_rate(&self) -> u64 {
        self.loads.values().map(|(_, rate)| *rate).sum()
    }

    /// Looks at how busy the shards are: for the congestion that we publish, and for the rate at which all of them refuse
    /// tunnels.
    fn weigh_loads(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        let (rate, told, limit) =
            (self.transit_rate(), cx.snapshot.transit_rate, cx.node.transit_bandwidth);
        let shards = self.loads.values().map(|(fullness, _)| *fullness);
        let fullness = Permille::mean(shards, usize::from(cx.node.shards));
        let fullness = fullness.max(Permille::of(rate, Some(limit)));
        let changed = self.congestion.handle_sample(fullness);
        // `E` counts only while it is new.
        let fades = self.congestion.level() == Congestion::High
            && now.since(self.signed) >= HIGH_CONGESTION_LIFE;
        if changed || fades {
            self.publication.change(now);
        }
        // Far below the limit nobody needs to know.
        if rate != told && rate.max(told) >= limit / 2 {
            self.snapshot(Arc::clone(&cx.snapshot.router_info), cx);
        }
        let idle = fullness.is_zero() && self.congestion.is_quiet();
        self.loads_due = (!idle).then(|| now + LOAD_INTERVAL);
    }

    /// Divides the bandwidth among the shards by what each wants, and tells them where that makes a difference.
    fn divide_bandwidth(&mut self, cx: &mut Context<'_>) {
        self.division_due = None;
        let shards = (0..cx.node.shards).map(ShardId);
        let wants: Vec<u64> =
            shards.map(|shard| self.wants.get(&shard).copied().unwrap_or(0)).collect();
        let parts = divide(cx.node.bandwidth, &wants);
        let told = (0..cx.node.shards).map(|n| cx.snapshot.part_of(ShardId(n), cx.node.shards));
        if !parts.iter().zip(told).all(|(part, told)| part.is_near(told)) {
            self.parts = parts.into();
            self.snapshot(Arc::clone(&cx.snapshot.router_info), cx);
        }
    }

    fn resign(&mut self, published: UnixTime, cx: &mut Context<'_>) {
        let routers = self.known.values().map(|(routers, _)| *routers).sum();
        let lease_sets = self.known.values().map(|(_, lease_sets)| *lease_sets).sum();
        let congestion = self.congestion.level();
        let facts = Facts { published, reached: self.reached, congestion, routers, lease_sets };
        self.signed = cx.now.instant;
        let info = Arc::new(sign(cx.node, &facts));
        let save = TransportEffect::SaveRouterInfo(Arc::clone(info.bytes()));
        cx.effects.transport.push_back(save);
        self.snapshot(info, cx);
    }

    fn store(&self, to: RouterHash, token: u32, cx: &mut Context<'_>) {
        // The snapshot of this turn may already be on its way; what counts is that it is signed.
        let info = match &cx.effects.snapshot {
            Some(snapshot) => Arc::clone(&snapshot.router_info),
            None => Arc::clone(&cx.snapshot.router_info),
        };
        let gzip = deflate(info.bytes());
        let store = DatabaseStore {
            key: info.hash().into(),
            reply: Some(StoreReply { token, tunnel: None::<TunnelId>, gateway: info.hash() }),
            data: StoreData::RouterInfo { gzip: &gzip },
        };
        let body: Frame = store.write();
        let message = cx.message(MessageType::DatabaseStore, body);
        cx.deliver(to, message, Unknown::Drop);
    }

    fn drain(&mut self, cx: &mut Context<'_>) {
        while let Some(action) = self.publication.poll_action() {
            match action {
                PublicationAction::Resign { published } => self.resign(published, cx),
                PublicationAction::Store { to, token } => self.store(to, token, cx),
            }
        }
    }
}

impl Actor for LocalRouter {
    type Message = LocalRouterMessage;

    fn handle(&mut self, message: LocalRouterMessage, cx: &mut Context<'_>) {
        match message {
            LocalRouterMessage::Confirmed(token) => {
                if self.publication.handle_confirmed(token, cx.now.instant) {
                    cx.counters.publications_confirmed += 1;
                } else {
                    cx.count_drop(Drop::Unasked);
                }
            }
            LocalRouterMessage::FloodfillSeen(router) => {
                if router != cx.node.hash() && self.floodfills.insert(router) {
                    self.mark_floodfills_changed(cx);
                }
            }
            LocalRouterMessage::FloodfillGone(router) => {
                if self.floodfills.remove(&router) {
                    self.mark_floodfills_changed(cx);
                }
            }
            LocalRouterMessage::Known { shard, routers, lease_sets } => {
                self.known.insert(shard, (routers, lease_sets));
            }
            LocalRouterMessage::Load { shard, fullness, transit_rate } => {
                self.loads.insert(shard, (fullness, transit_rate));
                self.loads_due.get_or_insert(cx.now.instant + LOAD_INTERVAL);
            }
            LocalRouterMessage::Wanted { shard, rate } => {
                self.wants.insert(shard, rate);
                self.division_due.get_or_insert(cx.now.instant + DIVISION_PAUSE);
            }
            LocalRouterMessage::Standing(router, standing) => {
                self.note_standing(router, standing, cx);
            }
            LocalRouterMessage::Clock(router, skew) => return self.clock.note(router, skew),
            LocalRouterMessage::Reached => {
                if !self.reached {
                    self.reached = true;
                    self.publication.change(cx.now.instant);
                }
            }
        }
        self.drain(cx);
    }

    fn deadline(&self) -> Option<Instant> {
        let publication = Some(self.publication.deadline());
        let due = [publication, self.snapshot_due, self.loads_due, self.division_due];
        due.into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        if self.snapshot_due.is_some_and(|due| due <= cx.now.instant) {
            self.snapshot(Arc::clone(&cx.snapshot.router_info), cx);
        }
        if self.loads_due.is_some_and(|due| due <= cx.now.instant) {
            self.weigh_loads(cx);
        }
        if self.division_due.is_some_and(|due| due <= cx.now.instant) {
            self.divide_bandwidth(cx);
        }
        let floodfills = self.asked();
        self.publication.handle_timeout(cx.now, &floodfills, cx.rng);
        self.drain(cx);
    }
}

/// What our RouterInfo says beside what never changes.
struct Facts {
    published: UnixTime,
    reached: bool,
    congestion: Congestion,
    routers: usize,
    lease_sets: usize,
}

/// The snapshot that every shard starts with; all shards make the same one.
#[must_use]
pub fn first_snapshot(node: &NodeConfig) -> Snapshot {
    let facts = Facts {
        published: node.started,
        reached: false,
        congestion: Congestion::None,
        routers: 0,
        lease_sets: 0,
    };
    let router_info = Arc::new(sign(node, &facts));
    let (floodfills, asked, parts) = (Arc::from([]), Arc::from([]), Arc::from([]));
    Snapshot { router_info, floodfills, asked, transit_rate: 0, parts }
}

fn sign(node: &NodeConfig, facts: &Facts) -> RouterInfo {
    let congestion = match node.duty {
        Duty::Serving if node.takes_tunnels() => facts.congestion,
        Duty::Serving => Congestion::Full,
        Duty::Draining => Congestion::Full,
    };
    let reachability = if facts.reached { Reachability::Reachable } else { Reachability::Unknown };
    let capabilities = Capabilities::default()
        .with_bandwidth(node.bandwidth_class)
        .with_reachability(reachability)
        .with_congestion(congestion);
    let capabilities = if node.floodfill { capabilities.with_floodfill() } else { capabilities };
    let mut options = Mapping::new();
    insert(&mut options, "caps", &capabilities.to_text());
    insert(&mut options, "netId", &node.network.to_string());
    insert(&mut options, "router.version", ROUTER_VERSION);
    if node.floodfill {
        insert(&mut options, "netdb.knownLeaseSets", &facts.lease_sets.to_string());
        insert(&mut options, "netdb.knownRouters", &facts.routers.to_string());
    }
    let ntcp2 = &node.keys.ntcp2;
    let address =
        RouterAddress::ntcp2(Some(node.published), ntcp2.static_public, ntcp2.iv, ADDRESS_COST);
    let draft = RouterInfoDraft {
        identity: node.keys.identity.clone(),
        published: facts.published,
        addresses: vec![address],
        options,
    };
    draft
        .sign(&node.keys.signer)
        .expect("one address and five short options stay within all bounds")
}

fn insert(options: &mut Mapping, key: &str, value: &str) {
    options.insert(key, value).expect("keys are constants and values are short");
}
