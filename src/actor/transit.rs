//! Every transit tunnel of this shard, in all three roles.
//!
//! A tunnel message is checked when it arrives and then waits for the turn's layer batch ([`TransitTunnels::run_layers`]), so
//! that the kernel sees many messages at once.

mod granting;
mod limiting;
mod load;
mod wanting;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use self::granting::Grants;
pub use self::limiting::LimiterCounts;
use self::limiting::{block, drop_reason, gateway_block};
use self::load::Telling;
use self::wanting::Wanting;
use super::contract::{Actor, Context};
use super::counters::{Batches, Drop};
use super::message::{OpenedBuild, Origin, TransitMessage, Unknown};
use super::node::NodeConfig;
use crate::base::frame::Frame;
use crate::base::id::TunnelId;
use crate::base::limits::{MESSAGE_AHEAD_MAX, MESSAGE_LATE_MAX, TRANSIT_LIFE};
use crate::base::rng::ShardRng;
use crate::base::time::Instant;
use crate::crypto::layer::{self, LayerJob};
use crate::proto::garlic::tagged_reply;
use crate::proto::tunnel::admission::{self, Admission};
use crate::proto::tunnel::bandwidth::Scarce;
use crate::proto::tunnel::build_reply::Answer;
use crate::proto::tunnel::build_request::{HopRequest, STATUS_ACCEPTED, STATUS_REFUSED};
use crate::proto::tunnel::hop::{NextHop, TransitDrop};
use crate::proto::tunnel::inbound_gateway::{GatewayDrop, InboundGateway};
use crate::proto::tunnel::iv_filter::IvFilter;
use crate::proto::tunnel::limiter::{Part, TransitLimiter, TransitRates};
use crate::proto::tunnel::outbound_endpoint::OutboundEndpoint;
use crate::proto::tunnel::participant::Participant;
use crate::proto::tunnel::reassembler::{
    Delivered, Reassembled, ReassemblyError, ReassemblyLimits,
};
use crate::wire::build_record::HopRole;
use crate::wire::delivery::Delivery;
use crate::wire::i2np::MessageType;
use crate::wire::i2np::tunnel_data::{TUNNEL_LAYER_SIZE, TunnelData};
use crate::wire::i2np::tunnel_gateway::HEADER_SIZE;

/// How often incomplete messages are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Buffers of gateways that are kept for the next turn, of 1 KiB each.
const SPARE_BUFFERS_MAX: usize = 256;
/// Places that the table of tunnels keeps, however few there are.
const PLACES_MIN: usize = 1024;

/// The transit tunnels of one shard.
pub struct TransitTunnels {
    tunnels: HashMap<TunnelId, Tunnel>,
    /// All tunnels live equally long, so the order of their builds is the order of their ends.
    ends: VecDeque<(Instant, TunnelId)>,
    seen: IvFilter,
    limiter: TransitLimiter<Frame>,
    grants: Grants,
    wanting: Wanting,
    /// Gateways that were fed since the last layer batch.
    fed: Vec<TunnelId>,
    waiting: Vec<(TunnelId, Frame)>,
    /// Buffers for the gateways that are fed in a turn; between turns they have none.
    spare: Vec<Vec<u8>>,
    payloads: Vec<[u8; TUNNEL_LAYER_SIZE]>,
    reassembled: Reassembled,
    /// Endpoints that hold incomplete messages, and how many bytes all of them hold.
    incomplete: BTreeSet<TunnelId>,
    incomplete_bytes: usize,
    next_sweep: Option<Instant>,
    telling: Telling,
}

// Each in its own memory, so that the table is small, and so that keys stay where they are when it grows and are erased
// with their tunnel.
enum Tunnel {
    Participant(Box<Participant>),
    Gateway(Box<InboundGateway>),
    Endpoint(Box<OutboundEndpoint>),
}

/// How many tunnels of each role there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransitCounts {
    /// Middle hops.
    pub participants: usize,
    /// Inbound gateways.
    pub gateways: usize,
    /// Outbound endpoints.
    pub endpoints: usize,
}

impl TransitTunnels {
    /// No tunnels yet, under these settings.
    #[must_use]
    pub fn new(node: &NodeConfig, now: Instant, rng: &mut ShardRng) -> Self {
        let part = Part::equal(node.shards);
        let rates = TransitRates::new(part.of(node.bandwidth), part.of(node.transit_bandwidth));
        Self {
            tunnels: HashMap::new(),
            ends: VecDeque::new(),
            seen: IvFilter::new(node.iv_filter_bytes(), now, rng),
            limiter: TransitLimiter::new(rates, node.limits.transit_waiting, now),
            grants: Grants::default(),
            wanting: Wanting::default(),
            fed: Vec::new(),
            waiting: Vec::new(),
            spare: Vec::new(),
            payloads: Vec::new(),
            reassembled: Reassembled::default(),
            incomplete: BTreeSet::new(),
            incomplete_bytes: 0,
            next_sweep: None,
            telling: Telling::default(),
        }
    }

    /// The bandwidth may have changed, and with it the size of the replay filter.
    pub fn take_settings(&mut self, node: &NodeConfig) {
        self.seen.resize(node.iv_filter_bytes());
    }

    /// Bytes that the replay filter takes when it is full.
    #[must_use]
    pub fn filter_bytes(&self) -> usize {
        self.seen.bytes()
    }

    /// How often the replay filter was too small for its period.
    #[must_use]
    pub fn early_rotations(&self) -> u64 {
        self.seen.early_rotations()
    }

    /// Tunnels by role.
    #[must_use]
    pub fn counts(&self) -> TransitCounts {
        let mut counts = TransitCounts::default();
        for tunnel in self.tunnels.values() {
            match tunnel {
                Tunnel::Participant(_) => counts.participants += 1,
                Tunnel::Gateway(_) => counts.gateways += 1,
                Tunnel::Endpoint(_) => counts.endpoints += 1,
            }
        }
        counts
    }

    fn data(&mut self, origin: Origin, mut body: Frame, cx: &mut Context<'_>) {
        let Ok(data) = TunnelData::parse(&mut body) else {
            cx.count_drop(Drop::Malformed);
            return;
        };
        let id = data.tunnel();
        match self.check(&origin, &data, cx.now.instant) {
            Ok(()) => self.pass(id, body, cx),
            Err(reason) => {
                cx.count_drop(reason);
                cx.frames.give_back(body);
            }
        }
    }

    /// Whether this tunnel message is one of ours, from whom it has to come, for the first time.
    fn check(&mut self, origin: &Origin, data: &TunnelData<'_>, now: Instant) -> Result<(), Drop> {
        let from = origin.peer().ok_or(Drop::TunnelWrongHop)?;
        let checked = match self.tunnels.get(&data.tunnel()) {
            Some(Tunnel::Participant(hop)) => hop.check(&from, data, &mut self.seen, now),
            Some(Tunnel::Endpoint(hop)) => hop.check(&from, data, &mut self.seen, now),
            // A gateway is fed by TunnelGateway messages only.
            Some(Tunnel::Gateway(_)) | None => return Err(Drop::TunnelUnknown),
        };
        checked.map_err(|reason| match reason {
            TransitDrop::WrongPrevious => Drop::TunnelWrongHop,
            TransitDrop::Replayed => Drop::TunnelReplayed,
        })
    }

    fn gateway(&mut self, origin: Origin, id: TunnelId, inner: &[u8], cx: &mut Context<'_>) {
        let Some(Tunnel::Gateway(gateway)) = self.tunnels.get_mut(&id) else {
            cx.count_drop(Drop::TunnelUnknown);
            return;
        };
        if !self.grants.let_in(id, inner.len(), cx.now.instant) {
            cx.count_drop(Drop::TransitThrottled);
            return;
        }
        // What comes from ourselves came over no session, or was counted there as what it was in.
        let received = origin.peer().map_or(0, |_| block(inner.len() + HEADER_SIZE));
        if let Err(reason) = self.limiter.admit(id, received, cx.rng) {
            cx.count_drop(drop_reason(reason));
            return;
        }
        gateway.take_buffer(&mut self.spare);
        self.fed.push(id);
        let mut payloads = std::mem::take(&mut self.payloads);
        match gateway.handle_message(inner, cx.now.unix, cx.rng, &mut payloads) {
            Ok(()) => {}
            Err(GatewayDrop::Expired { .. }) => cx.count_drop(Drop::Expired),
            Err(GatewayDrop::Ahead { .. }) => cx.count_drop(Drop::FarFuture),
            Err(GatewayDrop::Malformed(_) | GatewayDrop::TooLarge(_)) => {
                cx.count_drop(Drop::Malformed);
            }
        }
        self.await_layer(id, payloads, cx);
    }

    /// Puts payloads that a gateway made where the next layer batch finds them.
    fn await_layer(
        &mut self,
        id: TunnelId,
        mut payloads: Vec<[u8; TUNNEL_LAYER_SIZE]>,
        cx: &mut Context<'_>,
    ) {
        for payload in payloads.drain(..) {
            let mut frame = cx.frames.copy_of(&payload);
            frame.prepend(&id.to_wire());
            self.pass_made(id, frame, cx);
        }
        self.payloads = payloads;
    }

    /// Closes what the gateways were filling, several small messages to one tunnel message.
    fn drain_gateways(&mut self, cx: &mut Context<'_>) {
        let mut fed = std::mem::take(&mut self.fed);
        fed.sort_unstable();
        fed.dedup();
        for id in fed.drain(..) {
            let Some(Tunnel::Gateway(gateway)) = self.tunnels.get_mut(&id) else { continue };
            let mut payloads = std::mem::take(&mut self.payloads);
            gateway.flush(cx.rng, &mut payloads);
            let buffer = gateway.give_buffer();
            self.spare.extend(buffer.filter(|_| self.spare.len() < SPARE_BUFFERS_MAX));
            self.await_layer(id, payloads, cx);
        }
        self.fed = fed;
    }

    /// Whether tunnel messages wait for the layer kernel.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() || !self.fed.is_empty()
    }

    /// Puts this turn's tunnel messages through the layer kernel, all in one batch, and sends them on.
    pub fn run_layers(&mut self, cx: &mut Context<'_>) {
        self.drain_gateways(cx);
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut jobs = Vec::with_capacity(waiting.len());
        for (id, frame) in &mut waiting {
            let keys = match self.tunnels.get(id) {
                Some(Tunnel::Participant(participant)) => &participant.keys,
                Some(Tunnel::Gateway(gateway)) => &gateway.keys,
                Some(Tunnel::Endpoint(endpoint)) => &endpoint.keys,
                None => continue,
            };
            if let Some(data) = frame.get_mut(4..).and_then(|d| d.first_chunk_mut()) {
                jobs.push(LayerJob { keys, data });
            }
        }
        if !jobs.is_empty() {
            Batches::record(&mut cx.counters.batches.layers, jobs.len());
            layer::encrypt_batch(cx.node.kernel, &mut jobs);
        }
        drop(jobs);
        for (id, frame) in waiting.drain(..) {
            self.send_on(id, frame, cx);
        }
        self.waiting = waiting;
    }

    fn send_on(&mut self, id: TunnelId, mut frame: Frame, cx: &mut Context<'_>) {
        cx.counters.transit_messages += 1;
        cx.counters.transit_bytes += u64::try_from(frame.len()).unwrap_or(0);
        let next = match self.tunnels.get_mut(&id) {
            Some(Tunnel::Participant(participant)) => participant.next,
            Some(Tunnel::Gateway(gateway)) => gateway.next,
            Some(Tunnel::Endpoint(endpoint)) => {
                let before = endpoint.held_bytes();
                if let Some(payload) = frame.get(4..).and_then(|data| data.first_chunk()) {
                    endpoint.handle_payload(payload, cx.now.instant, &mut self.reassembled);
                }
                let limit = cx.node.limits.reassembly_bytes;
                if self.incomplete_bytes - before + endpoint.held_bytes() > limit {
                    // Whoever overruns the bound loses what it began, not its neighbours.
                    endpoint.expire(Instant(u64::MAX), &mut self.reassembled);
                }
                let after = endpoint.held_bytes();
                self.incomplete_bytes = self.incomplete_bytes - before + after;
                if after > 0 {
                    self.incomplete.insert(id);
                    self.next_sweep.get_or_insert(cx.now.instant + SWEEP_INTERVAL);
                } else if before > 0 {
                    self.incomplete.remove(&id);
                }
                cx.frames.give_back(frame);
                self.limiter.arrive();
                return self.deliver_all(cx);
            }
            None => return,
        };
        if let Some(head) = frame.first_chunk_mut::<4>() {
            *head = next.tunnel.to_wire();
        }
        let message = cx.message(MessageType::TunnelData, frame);
        cx.deliver(next.router, message, Unknown::LookUp);
    }

    /// Drops the messages that were not complete in time, of tunnels that have fallen silent as well.
    fn sweep_incomplete(&mut self, cx: &mut Context<'_>) {
        for id in std::mem::take(&mut self.incomplete) {
            let Some(Tunnel::Endpoint(endpoint)) = self.tunnels.get_mut(&id) else { continue };
            let before = endpoint.held_bytes();
            endpoint.expire(cx.now.instant, &mut self.reassembled);
            let after = endpoint.held_bytes();
            self.incomplete_bytes = self.incomplete_bytes - before + after;
            if after > 0 {
                self.incomplete.insert(id);
            }
        }
        let more = !self.incomplete.is_empty();
        self.next_sweep = more.then(|| cx.now.instant + SWEEP_INTERVAL);
        self.deliver_all(cx);
    }

    /// Gives memory back that more tunnels took than there are now.
    fn shrink(&mut self) {
        let (live, places) = (self.tunnels.len(), self.tunnels.capacity());
        if places > PLACES_MIN && live < places / 4 {
            // Twice what there is, so that neither those that end next nor those that come change it again at once.
            let places = (live * 2).max(PLACES_MIN / 2);
            self.tunnels.shrink_to(places);
            self.ends.shrink_to(places);
        }
    }

    /// Whether one more tunnel is taken, and what is set aside for it.
    fn answer(&self, request: &HopRequest, refusal: Option<u8>, cx: &mut Context<'_>) -> Answer {
        if let Some(status) = refusal {
            cx.counters.refusals.record += 1;
            return Answer::plain(status);
        }
        if self.tunnels.contains_key(&request.receive_tunnel) {
            cx.counters.refusals.tunnel_taken += 1;
            return Answer::plain(STATUS_REFUSED);
        }
        if let Admission::Refuse(reason) = admission::decide(&self.load(cx)) {
            cx.counters.refusals.count(reason);
            return Answer::plain(STATUS_REFUSED);
        }
        match self.grant(&request.bandwidth.unwrap_or_default(), cx) {
            Ok(bandwidth) => Answer { status: STATUS_ACCEPTED, bandwidth },
            Err(Scarce { .. }) => {
                cx.counters.refusals.minimum += 1;
                Answer::plain(STATUS_REFUSED)
            }
        }
    }

    fn install(&mut self, build: OpenedBuild, cx: &mut Context<'_>) {
        let OpenedBuild { previous, form, mut body, slot, opened, refusal } = build;
        let request = opened.request();
        self.begin_telling(cx);
        let answer = self.answer(request, refusal, cx);
        form.seal_reply(&mut body, slot, &opened, answer);

        let role = request.role;
        let receive = request.receive_tunnel;
        let next = NextHop { router: request.next_hop, tunnel: request.next_tunnel };
        let next_message = request.next_message;
        let bandwidth = request.bandwidth.unwrap_or_default();
        let (keys, garlic) = opened.into_keys();
        if answer.status == STATUS_ACCEPTED {
            cx.counters.builds_accepted += 1;
            let tunnel = match (role, previous) {
                (HopRole::InboundGateway, _) => {
                    Tunnel::Gateway(Box::new(InboundGateway::new(keys, next)))
                }
                (HopRole::Participant, Some(previous)) => {
                    Tunnel::Participant(Box::new(Participant { keys, next, previous }))
                }
                (HopRole::OutboundEndpoint, Some(previous)) => Tunnel::Endpoint(Box::new(
                    OutboundEndpoint::new(keys, previous, ReassemblyLimits::default()),
                )),
                (HopRole::Participant | HopRole::OutboundEndpoint, None) => return,
            };
            *match role {
                HopRole::Participant => &mut cx.counters.begun.participants,
                HopRole::InboundGateway => &mut cx.counters.begun.gateways,
                HopRole::OutboundEndpoint => &mut cx.counters.begun.endpoints,
            } += 1;
            // Installed before anything is forwarded, so that its first message cannot overtake it.
            self.tunnels.insert(receive, tunnel);
            self.ends.push_back((cx.now.instant + TRANSIT_LIFE, receive));
            self.enter_grant(receive, role, &bandwidth, answer.bandwidth, cx.now.instant);
        } else {
            cx.counters.builds_refused += 1;
        }
        match role {
            HopRole::Participant | HopRole::InboundGateway => {
                let mut forward = cx.message(form.request_type(), body);
                forward.id = next_message;
                cx.deliver(next.router, forward, Unknown::LookUp);
            }
            HopRole::OutboundEndpoint => {
                let mut reply = cx.message(form.reply_type(), body);
                reply.id = next_message;
                // To a gateway of our own the reply goes without garlic: only for a reply that passes through another
                // router does a creator (i2pd seen) remember the key.
                let garlic = garlic.filter(|_| next.router != cx.node.hash());
                // Replies of long records are sealed one by one and go as they are.
                let Some(garlic) = garlic else {
                    return cx.deliver_to_tunnel(next.router, next.tunnel, &reply);
                };
                let sealed = tagged_reply::seal(&garlic.key, garlic.tag, &reply);
                let wrapped = cx.message(MessageType::Garlic, sealed);
                cx.deliver_to_tunnel(next.router, next.tunnel, &wrapped);
            }
        }
    }

    fn deliver_all(&mut self, cx: &mut Context<'_>) {
        for error in self.reassembled.dropped.drain(..) {
            cx.count_drop(drop_of_content(error));
        }
        for delivered in self.reassembled.delivered.drain(..) {
            deliver(delivered, &mut self.limiter, cx);
        }
    }
}

fn drop_of_content(error: ReassemblyError) -> Drop {
    match error {
        ReassemblyError::LocalRefused => Drop::TunnelDeliveryLocal,
        ReassemblyError::Malformed(_)
        | ReassemblyError::Repeated { .. }
        | ReassemblyError::Overlapping { .. }
        | ReassemblyError::PastEnd { .. }
        | ReassemblyError::TooLarge { .. }
        | ReassemblyError::CrowdedOut { .. }
        | ReassemblyError::TimedOut { .. } => Drop::TunnelContent,
    }
}

fn deliver(delivered: Delivered, limiter: &mut TransitLimiter<Frame>, cx: &mut Context<'_>) {
    let Delivered { delivery, message } = delivered;
    if cx.now.unix.since(message.expiration) > MESSAGE_LATE_MAX {
        cx.count_drop(Drop::Expired);
        return;
    }
    if message.expiration.since(cx.now.unix) > MESSAGE_AHEAD_MAX {
        cx.count_drop(Drop::FarFuture);
        return;
    }
    let ourselves = cx.node.hash();
    match delivery {
        Delivery::Local => cx.count_drop(Drop::TunnelDeliveryLocal),
        Delivery::Router(to) => {
            if to != ourselves {
                limiter.deliver(block(message.body.len()));
            }
            cx.deliver(to, message, Unknown::LookUp);
        }
        Delivery::Tunnel { gateway, tunnel } => {
            if gateway != ourselves {
                limiter.deliver(gateway_block(message.body.len()));
            }
            cx.deliver_to_tunnel(gateway, tunnel, &message);
        }
    }
}

impl Actor for TransitTunnels {
    type Message = TransitMessage;

    fn handle(&mut self, message: TransitMessage, cx: &mut Context<'_>) {
        match message {
            TransitMessage::Data { origin, body } => self.data(origin, body, cx),
            TransitMessage::Gateway { origin, tunnel, inner } => {
                self.gateway(origin, tunnel, &inner, cx);
                cx.frames.give_back(inner);
            }
            TransitMessage::Install(build) => self.install(*build, cx),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let end = self.ends.front().map(|(end, _)| *end);
        let told = [self.telling.deadline(), self.wanting.deadline()];
        let due = [end, self.next_sweep, self.limiter.deadline()];
        due.into_iter().chain(told).flatten().min()
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        while let Some((end, id)) = self.ends.front().copied() {
            if end > cx.now.instant {
                break;
            }
            self.ends.pop_front();
            self.limiter.forget(id);
            self.grants.forget(id);
            if let Some(Tunnel::Endpoint(endpoint)) = self.tunnels.remove(&id)
                && self.incomplete.remove(&id)
            {
                self.incomplete_bytes -= endpoint.held_bytes();
            }
        }
        self.shrink();
        if self.next_sweep.is_some_and(|due| due <= cx.now.instant) {
            self.sweep_incomplete(cx);
        }
        self.tell_load(cx);
        self.tell_wanted(cx);
    }
}
