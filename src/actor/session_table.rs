//! All sessions of one shard: finds the one for a connection or a router, and keeps their deadlines.

mod accepting;
mod flushing;
mod rates;
mod working;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use self::rates::MessageRates;
use super::address::Address;
use super::contract::{Actor, Close, Context, TransportEffect};
use super::counters::{Drop, SessionEnd};
use super::message::{
    Adoption, DialerMessage, Direction, FloodWish, Inbound, LocalRouterMessage, Message,
    NetdbMessage, Origin, SessionMessage, Unknown,
};
use super::node::ShardLimits;
use super::session::{Progress, SessionActor};
use crate::base::id::{ConnectionId, ConnectionOrigin, RouterHash, ShardId};
use crate::base::limits::SESSION_IDLE_MIN;
use crate::base::rng::ShardRng;
use crate::base::slab::{Slab, SlabKey};
use crate::base::time::Instant;
use crate::proto::ntcp2::{Admission, Established, Event, ReplayFilter, idle_allowance};
use crate::proto::tunnel::limiter::{BLOCK_OVERHEAD, LinkBytes};
use crate::wire::i2np::{I2npMessage, MessageType};
use crate::wire::ntcp2::{BLOCK_HEADER_SIZE, FloodRequest, TerminationReason};
use crate::wire::router_address::Ntcp2Endpoint;
use crate::wire::router_info::RouterInfo;

/// Sessions that one router may have with us at once. Two, because when both sides dial each other at the same moment
/// and each closed what it thinks the duplicate, none would be left.
const SESSIONS_PER_ROUTER: usize = 2;

/// The sessions of one shard.
pub struct SessionTable {
    sessions: Slab<SessionActor>,
    by_connection: HashMap<ConnectionId, SlabKey>,
    /// Established sessions, the newest last; that one takes what we send.
    by_router: HashMap<RouterHash, Vec<SlabKey>>,
    dialling: HashMap<RouterHash, SlabKey>,
    deadlines: BinaryHeap<Reverse<(Instant, SlabKey)>>,
    dirty: Vec<SlabKey>,
    /// Sessions whose tunnel messages wait for more, and until when the first of them does.
    corked: Vec<SlabKey>,
    corked_until: Option<Instant>,
    /// Bytes that wait in all sessions, as of the last that was done with each.
    waiting_bytes: usize,
    admission: Admission,
    rates: MessageRates,
    /// Handshakes that peers have begun and not finished, the oldest first.
    handshakes: BTreeSet<(Instant, SlabKey)>,
    /// Handshakes that wait for public-key work, and until when.
    waiting: VecDeque<(Instant, SlabKey)>,
    work_left: usize,
    replay: ReplayFilter,
    events: Vec<Event>,
    dialled: u64,
    reached: bool,
    /// Until when dials to an address stand back, because somebody there has just begun a handshake with us.
    knocks: BTreeMap<IpAddr, Instant>,
    /// Dials that stand back, by the time at which they are taken up again.
    postponed: BTreeMap<(Instant, RouterHash), Ntcp2Endpoint>,
    /// When the lookups arrived whose answers sessions were given in this turn.
    answered: Vec<Instant>,
}

/// Counts of established sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Opened by peers.
    pub inbound: usize,
    /// Opened by us.
    pub outbound: usize,
    /// Opened by peers whose handshake is not done.
    pub handshakes: usize,
}

impl SessionTable {
    /// A table with room for as many connections as the limits say.
    #[must_use]
    pub fn new(limits: &ShardLimits, rng: &mut ShardRng) -> Self {
        Self {
            sessions: Slab::new(limits.sessions),
            admission: Admission::new(limits.admission, limits.admission_slots, rng),
            rates: MessageRates::new(limits, rng),
            handshakes: BTreeSet::new(),
            by_connection: HashMap::new(),
            by_router: HashMap::new(),
            dialling: HashMap::new(),
            deadlines: BinaryHeap::new(),
            dirty: Vec::new(),
            corked: Vec::new(),
            corked_until: None,
            waiting_bytes: 0,
            waiting: VecDeque::new(),
            work_left: limits.handshake_work_per_turn,
            replay: ReplayFilter::new(),
            events: Vec::new(),
            dialled: 0,
            reached: false,
            knocks: BTreeMap::new(),
            postponed: BTreeMap::new(),
            answered: Vec::new(),
        }
    }

    /// How many sessions are established.
    #[must_use]
    pub fn counts(&self) -> SessionCounts {
        let mut counts =
            SessionCounts { handshakes: self.handshakes.len(), ..SessionCounts::default() };
        for (_, session) in self.sessions.iter().filter(|(_, s)| s.peer().is_some()) {
            match session.direction() {
                Direction::Inbound => counts.inbound += 1,
                Direction::Outbound => counts.outbound += 1,
            }
        }
        counts
    }

    /// Bytes that wait in all sessions for peers to read, as of the last that was done with each.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// A connection that we asked for is up.
    pub fn handle_connected(&mut self, connection: ConnectionId, cx: &mut Context<'_>) {
        let Some(key) = self.by_connection.get(&connection).copied() else { return };
        let Some(session) = self.sessions.find_mut(key) else { return };
        let progress = session.handle_connected(cx);
        self.follow(key, progress, cx);
    }

    /// A connection that we asked for did not come up.
    pub fn handle_connect_failed(&mut self, connection: ConnectionId, cx: &mut Context<'_>) {
        self.handle_closed(connection, cx);
    }

    /// Bytes arrived.
    pub fn handle_received(
        &mut self,
        connection: ConnectionId,
        bytes: &mut [u8],
        cx: &mut Context<'_>,
    ) {
        let Some(key) = self.by_connection.get(&connection).copied() else { return };
        let Some(session) = self.sessions.find_mut(key) else { return };
        if session.is_dial()
            && let Some(until) = session.remote().and_then(|r| self.knocks.get(&r.ip()))
            && *until > cx.now.instant
        {
            session.hold(bytes, *until);
            self.deadlines.push(Reverse((*until, key)));
            return;
        }
        // Of a session the blocks are counted when they are known.
        let blocks = if session.peer().is_some() { 0 } else { bytes.len() };
        cx.counters.traffic.received.record(bytes.len(), blocks, 0);
        let waited = session.is_working();
        let mut events = std::mem::take(&mut self.events);
        let progress = session.handle_bytes(bytes, &mut self.replay, &mut events, cx);
        let peer = session.peer();
        self.follow(key, progress, cx);
        if !waited {
            self.await_work(key, cx);
        }
        if let Some(peer) = peer {
            self.publish_events(key, peer, &mut events, cx);
        }
        events.clear();
        self.events = events;
    }

    /// The transport has written bytes.
    pub fn handle_sent(&mut self, connection: ConnectionId, bytes: usize) {
        let Some(key) = self.by_connection.get(&connection).copied() else { return };
        let Some(session) = self.sessions.find_mut(key) else { return };
        if session.handle_sent(bytes) {
            self.dirty.push(key);
        }
        session.settle(&mut self.waiting_bytes);
    }

    /// A connection is gone.
    pub fn handle_closed(&mut self, connection: ConnectionId, cx: &mut Context<'_>) {
        let Some(key) = self.by_connection.get(&connection).copied() else { return };
        if self.sessions.find(key).is_some_and(|session| session.peer().is_some()) {
            cx.counters.session_ends.record(SessionEnd::Lost);
        }
        self.forget(key, cx);
    }

    /// Our RouterInfo has changed: every peer is shown the new one.
    pub fn show_router_info(&mut self, info: &Arc<RouterInfo>) {
        let keys: Vec<SlabKey> = self.sessions.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(session) = self.sessions.find_mut(key)
                && session.peer().is_some()
            {
                session.show_router_info(info);
                self.dirty.push(key);
            }
        }
    }

    /// Says goodbye to all peers and ends every connection.
    pub fn stop(&mut self, cx: &mut Context<'_>) {
        for router in std::mem::take(&mut self.dialling).into_keys() {
            cx.send(Address::Here, Message::Dialer(DialerMessage::NotDialled(router)));
        }
        let keys: Vec<SlabKey> = self.sessions.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(session) = self.sessions.find_mut(key) {
                session.terminate(TerminationReason::RouterShutdown, cx);
            }
            self.forget(key, cx);
        }
    }

    fn deliver(
        &mut self,
        to: RouterHash,
        message: I2npMessage,
        unknown: Unknown,
        answers: Option<Instant>,
        cx: &mut Context<'_>,
    ) {
        let newest = self.by_router.get(&to).and_then(|keys| keys.last()).copied();
        if let Some(key) = newest
            && let Some(session) = self.sessions.find_mut(key)
        {
            // Nobody may have more than is left for the others: who does not read finds its share shrink with theirs.
            let left = cx.node.limits.queued_bytes.saturating_sub(self.waiting_bytes);
            if session.waiting_bytes() + message.body.len() > left {
                cx.count_drop(Drop::QueuedBytesFull);
                return cx.frames.give_back(message.body);
            }
            if session.send(&message, cx) {
                self.answered.extend(answers);
            }
            cx.frames.give_back(message.body);
            session.settle(&mut self.waiting_bytes);
            self.dirty.push(key);
            return;
        }
        let hold = DialerMessage::Hold { to, message, unknown };
        cx.send(Address::Here, Message::Dialer(hold));
    }

    fn dial(&mut self, endpoint: Ntcp2Endpoint, cx: &mut Context<'_>) {
        let router = endpoint.router;
        if self.by_router.contains_key(&router) {
            cx.send(Address::Here, Message::Dialer(DialerMessage::Connected(router)));
            return;
        }
        if self.dialling.contains_key(&router) {
            return;
        }
        if let Some(until) = self.standing_back(&endpoint.address.ip(), cx) {
            self.postponed.insert((until, router), endpoint);
            return;
        }
        let connection = self.next_connection(cx.shard);
        let address = endpoint.address;
        let session = SessionActor::dialling(connection, endpoint, cx.now);
        match self.insert(session, cx) {
            Some(key) => {
                self.dialling.insert(router, key);
                let connect = TransportEffect::Connect { connection, address };
                cx.effects.transport.push_back(connect);
            }
            None => cx.send(Address::Here, Message::Dialer(DialerMessage::NotDialled(router))),
        }
    }

    /// Ends our own dial to a router that has come to us meanwhile.
    pub(super) fn give_up_dial(&mut self, router: &RouterHash, cx: &mut Context<'_>) {
        let Some(key) = self.dialling.remove(router) else { return };
        let Some(session) = self.sessions.remove(key) else { return };
        let connection = session.connection();
        self.by_connection.remove(&connection);
        let close = TransportEffect::Close { connection, how: Close::Reset };
        cx.effects.transport.push_back(close);
    }

    fn next_connection(&mut self, shard: ShardId) -> ConnectionId {
        self.dialled += 1;
        ConnectionId::new(shard, ConnectionOrigin::Dialled, self.dialled)
    }

    fn adopt(&mut self, adoption: Adoption, cx: &mut Context<'_>) {
        let Adoption { connection, remote, session, peer: info, mut unread } = adoption;
        let peer = info.hash();
        let session = SessionActor::adopted((connection, remote), session, peer, cx.now);
        if self.sessions.is_full() {
            self.give_up_oldest_handshake(cx);
        }
        let Some(key) = self.insert(session, cx) else { return };
        self.give_up_dial(&peer, cx);
        self.welcome(key, peer, cx);
        let met = NetdbMessage::Met(info);
        cx.send(Address::Router(peer), Message::Netdb(met));
        // The peer was told our RouterInfo by somebody; it may be an old one.
        if let Some(session) = self.sessions.find_mut(key) {
            session.show_router_info(&cx.snapshot.router_info);
        }
        if !unread.is_empty() {
            self.handle_received(connection, &mut unread, cx);
        }
    }

    fn insert(&mut self, session: SessionActor, cx: &mut Context<'_>) -> Option<SlabKey> {
        let connection = session.connection();
        match self.sessions.insert(session) {
            Ok(key) => {
                self.by_connection.insert(connection, key);
                self.watch(key, cx);
                Some(key)
            }
            Err(_) => {
                cx.count_drop(Drop::SessionsFull);
                let close = TransportEffect::Close { connection, how: Close::Reset };
                cx.effects.transport.push_back(close);
                None
            }
        }
    }

    fn follow(&mut self, key: SlabKey, progress: Progress, cx: &mut Context<'_>) {
        match progress {
            Progress::Nothing => {}
            Progress::Sooner => self.watch(key, cx),
            Progress::Ended => self.forget(key, cx),
            Progress::Established(established) => self.establish(key, *established, cx),
        }
    }

    fn establish(&mut self, key: SlabKey, established: Established, cx: &mut Context<'_>) {
        cx.counters.handshakes_done += 1;
        let Established { peer, router_info, session, mut unread, skew } = established;
        if let Some(skew) = skew {
            let clock = LocalRouterMessage::Clock(peer, skew);
            cx.send(Address::LocalRouter, Message::LocalRouter(clock));
        }
        let Some(actor) = self.sessions.find_mut(key) else { return };
        match actor.direction() {
            Direction::Outbound => {
                let connection = actor.connection();
                actor.establish(session, peer);
                self.dialling.remove(&peer);
                self.welcome(key, peer, cx);
                if !unread.is_empty() {
                    self.handle_received(connection, &mut unread, cx);
                }
            }
            Direction::Inbound => {
                let (connection, remote) = (actor.connection(), actor.remote());
                let opened = actor.opened();
                self.note_reach(key, cx);
                let Some(info) = router_info else { return };
                let info = Arc::new(info);
                let adoption = Adoption { connection, remote, session, peer: info, unread };
                let message = Message::Session(SessionMessage::Adopt(Box::new(adoption)));
                self.by_connection.remove(&connection);
                self.handshakes.remove(&(opened, key));
                self.sessions.remove(key);
                let hand_over = TransportEffect::HandOver { connection, router: peer, message };
                cx.effects.transport.push_back(hand_over);
            }
        }
    }

    fn note_reach(&mut self, key: SlabKey, cx: &mut Context<'_>) {
        let remote = self.sessions.find(key).and_then(SessionActor::remote);
        if let Some(remote) = remote
            && !self.reached
            && is_elsewhere(remote.ip(), cx.node.published.ip())
        {
            self.reached = true;
            let reached = LocalRouterMessage::Reached;
            cx.send(Address::LocalRouter, Message::LocalRouter(reached));
        }
    }

    /// An established session takes its place; the dialler is told.
    fn welcome(&mut self, key: SlabKey, router: RouterHash, cx: &mut Context<'_>) {
        let sessions = self.by_router.entry(router).or_default();
        sessions.push(key);
        let oldest =
            if sessions.len() > SESSIONS_PER_ROUTER { sessions.first().copied() } else { None };
        if let Some(oldest) = oldest {
            if let Some(session) = self.sessions.find_mut(oldest) {
                session.terminate(TerminationReason::Normal, cx);
            }
            self.forget(oldest, cx);
        }
        self.dirty.push(key);
        cx.send(Address::Here, Message::Dialer(DialerMessage::Connected(router)));
    }

    fn publish_events(
        &mut self,
        key: SlabKey,
        peer: RouterHash,
        events: &mut Vec<Event>,
        cx: &mut Context<'_>,
    ) {
        for event in events.drain(..) {
            count_blocks(&mut cx.counters.traffic.received, &event);
            match event {
                Event::Message(message) => {
                    cx.counters.messages_received += 1;
                    if !self.may_ask(key, message.kind, cx) {
                        cx.frames.give_back(message.body);
                        continue;
                    }
                    let (origin, arrived) = (Origin::Session(peer), cx.now.instant);
                    let inbound = Inbound { origin, message, arrived };
                    cx.send(Address::Here, Message::Inbound(inbound));
                }
                Event::RouterInfo { info, flood } => {
                    if self.may_ask(key, MessageType::DatabaseStore, cx) {
                        show_to_netdb(peer, info, flood, cx);
                    }
                }
                Event::Terminated(reason) => {
                    cx.counters.session_ends.record(SessionEnd::ByPeer(reason));
                    if let Some(session) = self.sessions.find(key) {
                        let connection = session.connection();
                        let close = TransportEffect::Close { connection, how: Close::AfterFlush };
                        cx.effects.transport.push_back(close);
                    }
                    self.forget(key, cx);
                }
                Event::ClockSkew { .. } => {
                    cx.count_drop(Drop::SessionClockSkew);
                    if let Some(session) = self.sessions.find_mut(key) {
                        session.terminate(TerminationReason::ClockSkew, cx);
                    }
                    self.forget(key, cx);
                }
            }
        }
    }

    /// How long a session may be silent, as full as it is here now.
    fn silence_allowed(&self, cx: &Context<'_>) -> Duration {
        idle_allowance(self.sessions.len(), cx.node.limits.sessions)
    }

    /// Looks at a session again at its deadline, and before that in case the time for silence becomes shorter.
    fn watch(&mut self, key: SlabKey, cx: &Context<'_>) {
        let Some(session) = self.sessions.find(key) else { return };
        let deadline = session.deadline(self.silence_allowed(cx));
        let soon = cx.now.instant + SESSION_IDLE_MIN;
        self.deadlines.push(Reverse((deadline.min(soon), key)));
    }

    /// Drops every trace of a connection.
    pub(super) fn forget(&mut self, key: SlabKey, cx: &mut Context<'_>) {
        let Some(session) = self.sessions.remove(key) else { return };
        session.settle_last(&mut self.waiting_bytes);
        self.by_connection.remove(&session.connection());
        self.handshakes.remove(&(session.opened(), key));
        let Some(router) = session.router() else {
            self.forget_dial(key, cx);
            return;
        };
        if let Some(keys) = self.by_router.get_mut(&router) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_router.remove(&router);
            }
        }
        self.forget_dial(key, cx);
    }

    fn forget_dial(&mut self, key: SlabKey, cx: &mut Context<'_>) {
        let router = self.dialling.iter().find(|(_, k)| **k == key).map(|(router, _)| *router);
        if let Some(router) = router {
            self.dialling.remove(&router);
            cx.send(Address::Here, Message::Dialer(DialerMessage::Failed(router)));
        }
    }
}

impl Actor for SessionTable {
    type Message = SessionMessage;

    fn handle(&mut self, message: SessionMessage, cx: &mut Context<'_>) {
        match message {
            SessionMessage::Deliver { to, message, unknown, answers } => {
                self.deliver(to, message, unknown, answers, cx);
            }
            SessionMessage::Knock(knock) => self.note_knock(knock, cx),
            SessionMessage::Dial(endpoint) => self.dial_soon(endpoint, cx),
            SessionMessage::Ban(router) => self.end_all_with(&router, cx),
            SessionMessage::Adopt(adoption) => self.adopt(*adoption, cx),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let sessions = self.deadlines.peek().map(|Reverse((deadline, _))| *deadline);
        let dials = self.postponed.first_key_value().map(|((until, _), _)| *until);
        [sessions, dials, self.corked_until].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some(entry) = self.postponed.first_entry()
            && entry.key().0 <= cx.now.instant
        {
            let endpoint = entry.remove();
            self.dial(endpoint, cx);
        }
        let silence = self.silence_allowed(cx);
        while let Some(Reverse((deadline, key))) = self.deadlines.peek().copied() {
            if deadline > cx.now.instant {
                break;
            }
            self.deadlines.pop();
            let Some(session) = self.sessions.find_mut(key) else { continue };
            if let Some(mut held) = session.take_held(cx.now.instant) {
                let connection = session.connection();
                self.handle_received(connection, &mut held, cx);
            }
            let Some(session) = self.sessions.find_mut(key) else { continue };
            let progress = session.handle_timeout(silence, cx);
            self.follow(key, progress, cx);
            // A session that lives on has moved its deadline meanwhile.
            self.watch(key, cx);
        }
    }
}

/// Counts the block that brought an event. Tunnels of others are all that tunnel messages can be for.
fn count_blocks(received: &mut LinkBytes, event: &Event) {
    match event {
        Event::Message(message) => {
            let block = message.body.len() + BLOCK_OVERHEAD;
            let transit = match message.kind {
                MessageType::TunnelData | MessageType::TunnelGateway => block,
                MessageType::DatabaseStore
                | MessageType::DatabaseLookup
                | MessageType::DatabaseSearchReply
                | MessageType::DeliveryStatus
                | MessageType::Garlic
                | MessageType::Data
                | MessageType::TunnelBuild
                | MessageType::TunnelBuildReply
                | MessageType::VariableTunnelBuild
                | MessageType::VariableTunnelBuildReply
                | MessageType::ShortTunnelBuild
                | MessageType::OutboundTunnelBuildReply
                | MessageType::Unknown(_) => 0,
            };
            received.record(0, block, transit);
        }
        Event::RouterInfo { info, .. } => received.record(0, info.len() + BLOCK_HEADER_SIZE + 1, 0),
        Event::Terminated(_) | Event::ClockSkew { .. } => {}
    }
}

fn show_to_netdb(from: RouterHash, info: Vec<u8>, flood: FloodRequest, cx: &mut Context<'_>) {
    let Ok(unverified) = RouterInfo::parse(&info) else {
        cx.count_drop(Drop::Malformed);
        return;
    };
    let flood = match flood {
        FloodRequest::Requested => FloodWish::Flood,
        FloodRequest::NotRequested => FloodWish::Keep,
    };
    let router = unverified.peek().hash();
    let shown = NetdbMessage::Shown { from, key: router.into(), info, flood };
    cx.send(Address::Router(router), Message::Netdb(shown));
}

/// Whether an address lies in another /16 (IPv6: another /32) than ours: a router there proves that we can be reached.
fn is_elsewhere(theirs: IpAddr, ours: IpAddr) -> bool {
    match (theirs, ours) {
        (IpAddr::V4(theirs), IpAddr::V4(ours)) => {
            theirs.octets().first_chunk::<2>() != ours.octets().first_chunk::<2>()
        }
        (IpAddr::V6(theirs), IpAddr::V6(ours)) => {
            theirs.octets().first_chunk::<4>() != ours.octets().first_chunk::<4>()
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}
