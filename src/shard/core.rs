//! One shard: inputs in, actors run until idle, the turn's shared work, outputs out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::dispatch::dispatch;
use super::envelope::{Envelope, Lane};
use super::mailbox::Mailbox;
use super::placement::{LOCAL_ROUTER_SHARD, Placement};
use super::report::{self, ShardReport};
use super::work::{self, HandshakeWork};
use crate::actor::build::BuildOpener;
use crate::actor::contract::{Actor, Close, Context, Effects, Effort, Strain, TransportEffect};
use crate::actor::counters::{Batches, Counters, Drop};
use crate::actor::dialer::Dialer;
use crate::actor::garlic::GarlicOpener;
use crate::actor::local_router::{LocalRouter, first_snapshot};
use crate::actor::message::{Message, SessionMessage};
use crate::actor::netdb::Netdb;
use crate::actor::node::NodeConfig;
use crate::actor::session_table::SessionTable;
use crate::actor::snapshot::Snapshot;
use crate::actor::transit::TransitTunnels;
use crate::base::frame::FramePool;
use crate::base::id::{ConnectionId, RouterHash, ShardId};
use crate::base::rng::ShardRng;
use crate::base::time::{Instant, Now, UnixTime};
use crate::crypto::x25519::public_key;
use crate::proto::local::HopIdentity;
use crate::proto::ntcp2::Local;
use crate::proto::peer::conduct::Profile;
use crate::wire::router_info::RouterInfo;

/// What happens to a shard.
#[derive(Debug)]
pub enum Input {
    /// A peer connected.
    Accepted {
        /// The new connection.
        connection: ConnectionId,
        /// Where it comes from.
        peer: SocketAddr,
    },
    /// A connection that the shard asked for is up.
    Connected {
        /// Which.
        connection: ConnectionId,
    },
    /// A connection that the shard asked for did not come up.
    ConnectFailed {
        /// Which.
        connection: ConnectionId,
    },
    /// Bytes arrived.
    Received {
        /// On which connection.
        connection: ConnectionId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Bytes that the shard sent have been written.
    Sent {
        /// On which connection.
        connection: ConnectionId,
        /// How many.
        bytes: usize,
    },
    /// A connection is gone; nothing more comes of it.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// Another shard sent something.
    Envelope(Envelope),
    /// The router's settings are these from now on.
    Settings(Arc<NodeConfig>),
    /// How much this shard has had to do over about a second.
    Effort(Effort),
    /// More routers are known, verified; each shard keeps its own share.
    Seeds(Arc<[Arc<RouterInfo>]>),
    /// What earlier runs have seen of routers; each shard keeps its own share.
    Profiles(Arc<[(RouterHash, Profile)]>),
    /// The router stops: peers are told, connections end.
    Stop,
}

/// What a shard wants done.
#[derive(Debug)]
pub enum Output {
    /// Open a connection, from the published address.
    Connect {
        /// Its name.
        connection: ConnectionId,
        /// Where to.
        address: SocketAddr,
    },
    /// Write bytes, after all earlier ones.
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// End a connection.
    Close {
        /// Which.
        connection: ConnectionId,
        /// How.
        how: Close,
    },
    /// Move a connection to another shard, which gets the envelope before anything that the connection receives.
    HandOver {
        /// Which.
        connection: ConnectionId,
        /// Where to.
        to: ShardId,
        /// What introduces it there.
        envelope: Envelope,
    },
    /// Pass something to another shard.
    Envelope {
        /// Where to.
        to: ShardId,
        /// In which lane.
        lane: Lane,
        /// What.
        envelope: Envelope,
    },
    /// The outputs before this one answer lookups, which arrived at these times: how long that took is known once they
    /// have been carried out.
    Answered(Vec<Instant>),
    /// Write our RouterInfo to the data directory.
    SaveRouterInfo(Arc<[u8]>),
    /// Write to the netdb's file what is now known of a router's behaviour.
    RememberPeer {
        /// Which router.
        router: RouterHash,
        /// Its profile as stored; absent where it is known no more.
        profile: Option<Arc<[u8]>>,
    },
    /// Write to the netdb's file what the netdb now holds of a router.
    Remember {
        /// Which router.
        router: RouterHash,
        /// Its RouterInfo as signed; absent where it is gone.
        info: Option<Arc<[u8]>>,
    },
}

/// Rounds of actors and shared work in one turn; what is left waits for the next, so that a turn ends.
const ROUNDS_MAX: usize = 8;

/// How long it counts what was told of our effort. It is told each second while there are inputs; without any, nothing
/// waits.
const EFFORT_LIFE: Duration = Duration::from_secs(3);

/// Everything that one core owns.
pub struct Shard {
    node: Arc<NodeConfig>,
    id: ShardId,
    placement: Placement,
    snapshot: Arc<Snapshot>,
    rng: ShardRng,
    counters: Counters,
    frames: FramePool,
    effects: Effects,
    mailbox: Mailbox,
    outputs: VecDeque<Output>,
    /// Envelopes sent to each shard, ourselves at zero.
    sent_to: Vec<u64>,
    stopped: bool,
    /// When it was told, and what.
    effort: (Instant, Effort),
    /// The time of the last turn.
    turned: UnixTime,
    actors: Actors,
}

struct Actors {
    sessions: SessionTable,
    dialer: Dialer,
    netdb: Netdb,
    garlic: GarlicOpener,
    build: BuildOpener,
    transit: TransitTunnels,
    /// On one shard only.
    local_router: Option<LocalRouter>,
}

impl Shard {
    /// A shard at its start. `seeds` are verified RouterInfos; each shard keeps its own share.
    #[must_use]
    pub fn new(
        node: Arc<NodeConfig>,
        id: ShardId,
        seeds: &[Arc<RouterInfo>],
        mut rng: ShardRng,
        now: Now,
    ) -> Self {
        let placement = Placement::new(&node.placement, node.shards);
        let snapshot = Arc::new(first_snapshot(&node));
        let encryption = public_key(&node.keys.encryption);
        let hop = || HopIdentity::new(node.hash(), &encryption);
        let limits = node.limits;
        let actors = Actors {
            sessions: SessionTable::new(&node.limits, &mut rng),
            dialer: Dialer::new(&node.limits),
            netdb: Netdb::new(&node, id, now.instant, &mut rng),
            garlic: GarlicOpener::new(hop(), limits.garlic_replay_slots, &mut rng),
            build: BuildOpener::new(hop(), &limits, now.instant, &mut rng),
            transit: TransitTunnels::new(&node, now.instant, &mut rng),
            local_router: (id == LOCAL_ROUTER_SHARD).then(|| LocalRouter::new(&node, now.instant)),
        };
        let mut shard = Self {
            mailbox: Mailbox::new(node.limits.mailbox),
            frames: FramePool::new(id, node.shards.max(1)),
            sent_to: vec![0; usize::from(node.shards.max(1))],
            node,
            id,
            placement,
            snapshot,
            rng,
            counters: Counters::default(),
            effects: Effects::default(),
            outputs: VecDeque::new(),
            stopped: false,
            effort: (now.instant, Effort::default()),
            turned: now.unix,
            actors,
        };
        shard.seed(seeds, now);
        shard.announce(now);
        shard
    }

    fn seed(&mut self, seeds: &[Arc<RouterInfo>], now: Now) {
        let (placement, id) = (&self.placement, self.id);
        let own: Vec<_> =
            seeds.iter().filter(|s| placement.of_router(&s.hash()) == id).cloned().collect();
        let (actors, mut cx) = self.split(now);
        actors.netdb.seed(own, &mut cx);
        self.collect();
    }

    fn restore(&mut self, profiles: &[(RouterHash, Profile)], now: Now) {
        let (placement, id) = (&self.placement, self.id);
        let own = profiles.iter().filter(|(router, _)| placement.of_router(router) == id);
        let own: Vec<_> = own.copied().collect();
        let (actors, mut cx) = self.split(now);
        actors.dialer.restore(own, &mut cx);
        self.collect();
    }

    fn announce(&mut self, now: Now) {
        let (actors, mut cx) = self.split(now);
        if let Some(local_router) = &actors.local_router {
            local_router.announce_first(&mut cx);
        }
        self.collect();
    }

    fn take_settings(&mut self, node: Arc<NodeConfig>, now: Now) {
        let shown = self.node.shows_as(&node);
        self.node = node;
        let (actors, mut cx) = self.split(now);
        actors.transit.take_settings(cx.node);
        match &mut actors.local_router {
            Some(local_router) if !shown => local_router.change(&mut cx),
            Some(_) | None => {}
        }
        self.collect();
    }

    /// Takes in one thing that happened. Actors run in [`Shard::turn`].
    pub fn handle(&mut self, input: Input, now: Now) {
        let (actors, mut cx) = self.split(now);
        let cx = &mut cx;
        match input {
            Input::Accepted { connection, peer } => {
                actors.sessions.handle_accepted(connection, peer, cx);
            }
            Input::Connected { connection } => actors.sessions.handle_connected(connection, cx),
            Input::ConnectFailed { connection } => {
                actors.sessions.handle_connect_failed(connection, cx);
            }
            Input::Received { connection, mut bytes } => {
                actors.sessions.handle_received(connection, &mut bytes, cx);
            }
            Input::Sent { connection, bytes } => actors.sessions.handle_sent(connection, bytes),
            Input::Closed { connection } => actors.sessions.handle_closed(connection, cx),
            Input::Envelope(Envelope(message)) => {
                self.post(message);
            }
            Input::Settings(node) => return self.take_settings(node, now),
            Input::Effort(effort) => {
                self.effort = (now.instant, effort);
                return;
            }
            Input::Seeds(seeds) => return self.seed(&seeds, now),
            Input::Profiles(profiles) => return self.restore(&profiles, now),
            Input::Stop => {
                actors.sessions.stop(cx);
                self.stopped = true;
            }
        }
        self.collect();
    }

    /// One turn: timers, actors until idle, shared work in batches, and everything that is to be sent.
    pub fn turn(&mut self, now: Now) {
        self.turned = now.unix;
        let (actors, cx) = self.split(now);
        actors.sessions.begin_turn(&cx);
        actors.build.begin_turn(&cx);
        self.run_timeouts(now);
        let (actors, mut cx) = self.split(now);
        actors.transit.begin_turn(&mut cx);
        for _ in 0..ROUNDS_MAX {
            self.run_actors(now);
            self.run_work(now);
            let Actors { sessions, build, .. } = &self.actors;
            if self.mailbox.is_empty() && !sessions.can_work() && !build.can_work() {
                break;
            }
        }
        let (actors, mut cx) = self.split(now);
        actors.sessions.flush(&mut cx);
        self.collect();
        while let Some((lender, frames)) = self.frames.take_owed() {
            self.send_to(lender, Message::Frames(frames));
        }
    }

    /// The next thing to be done outside.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the next turn is due, whatever happens. In the past when one is due at once.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let actors = &self.actors;
        if !self.mailbox.is_empty() || actors.sessions.has_work() || actors.build.waiting() > 0 {
            return Some(Instant(0));
        }
        let local_router = actors.local_router.as_ref().and_then(Actor::deadline);
        [
            actors.sessions.deadline(),
            actors.dialer.deadline(),
            actors.netdb.deadline(),
            actors.transit.deadline(),
            local_router,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What the metrics show of this shard.
    #[must_use]
    pub fn report(&self) -> ShardReport {
        let live = report::Live {
            clock: self.actors.local_router.as_ref().map(LocalRouter::clock),
            sessions: self.actors.sessions.counts(),
            tunnels: self.actors.transit.counts(),
            records: self.actors.netdb.counts(),
            tallies: self.actors.netdb.tallies(self.turned),
            dials: self.actors.dialer.len(),
            builds_waiting: self.actors.build.waiting(),
            profiles: self.actors.dialer.profiles().len(),
            bans: self.actors.dialer.profiles().bans(),
            frames: self.frames.counts(),
            limiter: self.actors.transit.limiter_counts(),
            iv_filter_bytes: self.actors.transit.filter_bytes(),
            early_rotations: report::EarlyRotations {
                tunnel: self.actors.transit.early_rotations(),
                build: self.actors.build.early_rotations(),
                garlic: self.actors.garlic.early_rotations(),
            },
        };
        report::report(self.id, &self.counters, &live, &self.sent_to)
    }

    /// The snapshot that this shard works with.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    fn split(&mut self, now: Now) -> (&mut Actors, Context<'_>) {
        let (told, effort) = self.effort;
        let fresh = now.instant.since(told) < EFFORT_LIFE;
        let Effort { queue_delay, busy } = if fresh { effort } else { Effort::default() };
        let strain =
            Strain { queue_delay, busy, waiting_bytes: self.actors.sessions.waiting_bytes() };
        let cx = Context {
            now,
            node: &self.node,
            shard: self.id,
            snapshot: &self.snapshot,
            strain,
            rng: &mut self.rng,
            counters: &mut self.counters,
            frames: &mut self.frames,
            effects: &mut self.effects,
        };
        (&mut self.actors, cx)
    }

    fn run_timeouts(&mut self, now: Now) {
        fn due<A: Actor>(actor: &mut A, cx: &mut Context<'_>) {
            if actor.deadline().is_some_and(|deadline| deadline <= cx.now.instant) {
                actor.handle_timeout(cx);
            }
        }
        let (actors, mut cx) = self.split(now);
        due(&mut actors.sessions, &mut cx);
        due(&mut actors.dialer, &mut cx);
        due(&mut actors.netdb, &mut cx);
        due(&mut actors.transit, &mut cx);
        if let Some(local_router) = &mut actors.local_router {
            due(local_router, &mut cx);
        }
        self.collect();
    }

    fn run_actors(&mut self, now: Now) {
        // What the actors say to each other in this round is handled in it as well; the mailbox's bound ends it.
        let mut budget = self.node.limits.mailbox;
        while let Some(message) = self.mailbox.pop() {
            self.run_one(message, now);
            budget -= 1;
            if budget == 0 {
                break;
            }
        }
    }

    fn run_one(&mut self, message: Message, now: Now) {
        let (actors, mut cx) = self.split(now);
        let cx = &mut cx;
        match message {
            Message::Inbound(inbound) => dispatch(inbound, cx),
            Message::Session(message) => actors.sessions.handle(message, cx),
            Message::Dialer(message) => actors.dialer.handle(message, cx),
            Message::Netdb(message) => actors.netdb.handle(message, cx),
            Message::Garlic(message) => actors.garlic.handle(message, cx),
            Message::Build(message) => actors.build.handle(message, cx),
            Message::Transit(message) => actors.transit.handle(message, cx),
            Message::LocalRouter(message) => {
                if let Some(local_router) = &mut actors.local_router {
                    local_router.handle(message, cx);
                }
            }
            Message::Snapshot(snapshot) => self.take_snapshot(snapshot),
            Message::Frames(frames) => {
                frames.into_iter().for_each(|frame| cx.frames.take_back(frame));
            }
        }
        self.collect();
    }

    fn run_work(&mut self, now: Now) {
        let (actors, mut cx) = self.split(now);
        let keys = actors.sessions.take_work(&mut cx);
        actors.build.take_work(&mut cx);
        let diffie_hellmans = std::mem::take(&mut self.effects.diffie_hellmans);
        let verifications = std::mem::take(&mut self.effects.verifications);
        let (mut results, mut done) = (Vec::new(), Vec::new());
        {
            let keys_of_ours = &self.node.keys;
            let router_info = self.snapshot.router_info.bytes();
            let local =
                Local { keys: &keys_of_ours.ntcp2, network: self.node.network, router_info };
            let mut handshakes = HandshakeWork::default();
            for key in keys {
                if let Some(work) = self.actors.sessions.work(key, &local) {
                    handshakes.push(key, work);
                }
            }
            let count = diffie_hellmans.len() + handshakes.diffie_hellmans();
            if count > 0 {
                Batches::record(&mut self.counters.batches.diffie_hellmans, count);
                let secret = &keys_of_ours.encryption;
                let send = |message| results.push(message);
                work::run_diffie_hellmans(
                    diffie_hellmans,
                    secret,
                    &mut handshakes,
                    &mut done,
                    send,
                );
            }
            let send = |message| results.push(message);
            let count = work::run_verifications(verifications, &mut handshakes, &mut done, send);
            Batches::record(&mut self.counters.batches.signatures, count);
        }
        results.into_iter().for_each(|message| self.post(message));
        let (actors, mut cx) = self.split(now);
        for (key, result) in done {
            actors.sessions.handle_work(key, result, &mut cx);
        }
        self.collect();
        if self.actors.transit.has_waiting() {
            let (actors, mut cx) = self.split(now);
            actors.transit.run_layers(&mut cx);
            self.collect();
        }
    }

    fn take_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        let fresh = snapshot.router_info.published() > self.snapshot.router_info.published();
        if fresh {
            self.actors.sessions.show_router_info(&snapshot.router_info);
        }
        self.snapshot = snapshot;
    }

    fn post(&mut self, message: Message) {
        if self.mailbox.push(message).is_err() {
            self.counters.count_drop(Drop::MailboxFull);
        }
    }

    /// Carries the actors' effects to where they belong.
    fn collect(&mut self) {
        while let Some((address, message)) = self.effects.mail.pop_front() {
            let owner = self.placement.owner(&address, self.id);
            self.send_to(owner, message);
        }
        while let Some(effect) = self.effects.transport.pop_front() {
            self.carry_out(effect);
        }
        for knock in std::mem::take(&mut self.effects.knocks) {
            for shard in (0..self.node.shards).map(ShardId) {
                if shard != self.id {
                    self.send_to(shard, Message::Session(SessionMessage::Knock(knock)));
                }
            }
        }
        if let Some(snapshot) = self.effects.snapshot.take() {
            for shard in 0..self.node.shards {
                if ShardId(shard) != self.id {
                    self.send_to(ShardId(shard), Message::Snapshot(Arc::clone(&snapshot)));
                }
            }
            self.take_snapshot(snapshot);
        }
    }

    fn send_to(&mut self, owner: ShardId, message: Message) {
        if owner == self.id {
            return self.post(message);
        }
        if let Some(count) = self.sent_to.get_mut(owner.index()) {
            *count += 1;
        }
        let envelope = Envelope(message);
        self.outputs.push_back(Output::Envelope { to: owner, lane: envelope.lane(), envelope });
    }

    fn carry_out(&mut self, effect: TransportEffect) {
        let output = match effect {
            TransportEffect::Connect { connection, address } => {
                Output::Connect { connection, address }
            }
            TransportEffect::Send { connection, bytes } => Output::Send { connection, bytes },
            TransportEffect::Close { connection, how } => Output::Close { connection, how },
            TransportEffect::Answered(arrived) => Output::Answered(arrived),
            TransportEffect::SaveRouterInfo(info) => Output::SaveRouterInfo(info),
            TransportEffect::RememberPeer { router, profile } => {
                Output::RememberPeer { router, profile }
            }
            TransportEffect::Remember { router, info } => Output::Remember { router, info },
            TransportEffect::HandOver { connection, router, message } => {
                return self.hand_over(connection, &router, message);
            }
        };
        self.outputs.push_back(output);
    }

    fn hand_over(&mut self, connection: ConnectionId, router: &RouterHash, message: Message) {
        let to = self.placement.of_router(router);
        if to == self.id {
            return self.post(message);
        }
        if let Some(count) = self.sent_to.get_mut(to.index()) {
            *count += 1;
        }
        self.outputs.push_back(Output::HandOver { connection, to, envelope: Envelope(message) });
    }
}
