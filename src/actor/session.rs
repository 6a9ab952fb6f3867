//! One NTCP2 session of this shard: a connection, its handshake, then its traffic.

use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::contract::{Close, Context, TransportEffect};
use super::counters::{Drop, SessionEnd};
use super::message::{Direction, LocalRouterMessage, Message};
use crate::base::id::{ConnectionId, RouterHash};
use crate::base::time::{Instant, Now};
use crate::proto::ntcp2::{
    ConfirmedError, CreatedError, Established, Event, FRAME_TARGET, Handshake, HandshakeError,
    Local, OnFailure, ReplayFilter, RequestError, Session, Work, WorkResult,
};
use crate::proto::tunnel::limiter::BLOCK_OVERHEAD;
use crate::wire::i2np::{I2npMessage, MessageType};
use crate::wire::ntcp2::{FloodRequest, TerminationReason};
use crate::wire::router_address::Ntcp2Endpoint;
use crate::wire::router_info::RouterInfo;
use std::net::SocketAddr;

/// Bytes given to the transport and not yet written at which a session stops making frames: its queue then holds
/// messages, which can be dropped, instead of ciphertext, which cannot.
const IN_FLIGHT_MAX: usize = 128 * 1024;

/// How long messages wait for a peer before it is looked which of them have expired.
const EXPIRY_LOOK: Duration = Duration::from_secs(1);

/// A connection in one of its states.
pub struct SessionActor {
    connection: ConnectionId,
    direction: Direction,
    remote: Option<SocketAddr>,
    phase: Phase,
    in_flight: usize,
    /// Bytes of transit in what is queued.
    transit_queued: usize,
    /// When the first of what is queued came, or it was last looked whether any of it has expired.
    queued_since: Instant,
    /// What of it all counts in the sum over sessions.
    counted: usize,
    opened: Instant,
    held: Option<Held>,
}

/// What a router that we dial has answered, while it may be dialling us.
struct Held {
    bytes: Vec<u8>,
    until: Instant,
}

enum Phase {
    Connecting(Box<Ntcp2Endpoint>),
    Handshaking(Box<Handshake>),
    /// Nothing that the peer sends is answered any more: this many bytes are read and thrown away, and `wait` later, or
    /// at the deadline, the connection is reset.
    Swallowing {
        left: usize,
        wait: Duration,
        deadline: Instant,
    },
    Established {
        session: Box<Session>,
        peer: RouterHash,
    },
}

/// What became of the bytes that a connection received.
pub enum Progress {
    /// Nothing to report.
    Nothing,
    /// Its deadline has come nearer.
    Sooner,
    /// The handshake is done.
    Established(Box<Established>),
    /// The connection has been told to end; forget it.
    Ended,
}

impl SessionActor {
    /// A connection that a peer opened: it speaks first.
    pub fn accepted(connection: ConnectionId, remote: SocketAddr, cx: &mut Context<'_>) -> Self {
        let handshake = Handshake::respond(cx.now, cx.rng);
        Self {
            connection,
            direction: Direction::Inbound,
            remote: Some(remote),
            phase: Phase::Handshaking(Box::new(handshake)),
            in_flight: 0,
            transit_queued: 0,
            queued_since: cx.now.instant,
            counted: 0,
            held: None,
            opened: cx.now.instant,
        }
    }

    /// A connection that we asked for.
    pub fn dialling(connection: ConnectionId, endpoint: Ntcp2Endpoint, now: Now) -> Self {
        Self {
            connection,
            direction: Direction::Outbound,
            remote: Some(endpoint.address),
            phase: Phase::Connecting(Box::new(endpoint)),
            in_flight: 0,
            transit_queued: 0,
            queued_since: now.instant,
            counted: 0,
            held: None,
            opened: now.instant,
        }
    }

    /// A session that another shard accepted for us.
    pub fn adopted(
        (connection, remote): (ConnectionId, Option<SocketAddr>),
        session: Session,
        peer: RouterHash,
        now: Now,
    ) -> Self {
        Self {
            connection,
            direction: Direction::Inbound,
            remote,
            phase: Phase::Established { session: Box::new(session), peer },
            in_flight: 0,
            transit_queued: 0,
            queued_since: now.instant,
            counted: 0,
            held: None,
            opened: now.instant,
        }
    }

    /// The transport connection.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Who opened it.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// When it was opened; the session of a connection that another shard accepted, when this shard got it.
    #[must_use]
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Whether this is a dial that has not become a session.
    #[must_use]
    pub fn is_dial(&self) -> bool {
        match &self.phase {
            Phase::Connecting(_) => true,
            Phase::Handshaking(_) => self.direction == Direction::Outbound,
            Phase::Swallowing { .. } | Phase::Established { .. } => false,
        }
    }

    /// Keeps the answer to our message 1 until then, instead of finishing the handshake.
    pub fn hold(&mut self, bytes: &[u8], until: Instant) {
        let held = self.held.get_or_insert(Held { bytes: Vec::new(), until });
        // More than message 2 can be is of no use, and the handshake will say so.
        let room = HELD_MAX.saturating_sub(held.bytes.len()).min(bytes.len());
        held.bytes.extend_from_slice(bytes.get(..room).unwrap_or_default());
    }

    /// What was held, once its time has come.
    pub fn take_held(&mut self, now: Instant) -> Option<Vec<u8>> {
        let held = self.held.take_if(|held| held.until <= now)?;
        Some(held.bytes)
    }

    /// The other end's address, where this shard saw it.
    #[must_use]
    pub fn remote(&self) -> Option<SocketAddr> {
        self.remote
    }

    /// The router of an established session.
    #[must_use]
    pub fn peer(&self) -> Option<RouterHash> {
        match &self.phase {
            Phase::Established { peer, .. } => Some(*peer),
            Phase::Connecting(_) | Phase::Handshaking(_) | Phase::Swallowing { .. } => None,
        }
    }

    /// The router that we dial, or talk to.
    #[must_use]
    pub fn router(&self) -> Option<RouterHash> {
        match &self.phase {
            Phase::Connecting(endpoint) => Some(endpoint.router),
            Phase::Handshaking(handshake) => handshake.peer(),
            Phase::Swallowing { .. } => None,
            Phase::Established { peer, .. } => Some(*peer),
        }
    }

    /// The transport has connected: message 1 goes out.
    pub fn handle_connected(&mut self, cx: &mut Context<'_>) -> Progress {
        let Phase::Connecting(endpoint) = &self.phase else { return Progress::Nothing };
        let keys = &cx.node.keys.ntcp2;
        let router_info = cx.snapshot.router_info.bytes();
        let local = Local { keys, network: cx.node.network, router_info };
        match Handshake::initiate(&local, endpoint, cx.now, cx.rng) {
            Ok(handshake) => {
                self.phase = Phase::Handshaking(Box::new(handshake));
                self.transmit_handshake(cx);
                Progress::Nothing
            }
            Err(error) => self.fail_handshake(error, cx),
        }
    }

    /// Bytes arrived. I2NP messages and RouterInfos go to `events`.
    pub fn handle_bytes(
        &mut self,
        bytes: &mut [u8],
        replay: &mut ReplayFilter,
        events: &mut Vec<Event>,
        cx: &mut Context<'_>,
    ) -> Progress {
        match &mut self.phase {
            Phase::Connecting(_) => Progress::Nothing,
            Phase::Handshaking(handshake) => {
                let keys = &cx.node.keys.ntcp2;
                let router_info = cx.snapshot.router_info.bytes();
                let local = Local { keys, network: cx.node.network, router_info };
                let outcome = handshake.handle_bytes(&local, bytes, cx.now, cx.rng, replay);
                self.after_handshake_step(outcome, cx)
            }
            Phase::Swallowing { left, wait, deadline } => {
                // The rest is thrown away, too, and changes nothing.
                let last = *left > 0 && bytes.len() >= *left;
                *left = left.saturating_sub(bytes.len());
                if last {
                    *deadline = (cx.now.instant + *wait).min(*deadline);
                    return Progress::Sooner;
                }
                Progress::Nothing
            }
            Phase::Established { session, .. } => {
                // A Termination frame that says why is queued already.
                let refused = session.refused_blocks();
                let outcome = session.handle_bytes(bytes, cx.now, cx.frames, events);
                for _ in refused..session.refused_blocks() {
                    cx.count_drop(Drop::BlockRefused);
                }
                if let Err(error) = outcome {
                    cx.count_drop(Drop::SessionBroken);
                    cx.counters.session_ends.record(SessionEnd::ByUs(error.reason()));
                    self.flush(cx);
                    return self.close(Close::AfterFlush, cx);
                }
                Progress::Nothing
            }
        }
    }

    /// The public-key work that its handshake waits for.
    #[must_use]
    pub fn work<'a>(&'a self, local: &'a Local<'_>) -> Option<Work<'a>> {
        match &self.phase {
            Phase::Handshaking(handshake) => handshake.work(local),
            Phase::Connecting(_) | Phase::Swallowing { .. } | Phase::Established { .. } => None,
        }
    }

    /// Whether its handshake waits for public-key work.
    #[must_use]
    pub fn is_working(&self) -> bool {
        match &self.phase {
            Phase::Handshaking(handshake) => handshake.is_working(),
            Phase::Connecting(_) | Phase::Swallowing { .. } | Phase::Established { .. } => false,
        }
    }

    /// That work is done.
    pub fn handle_work(
        &mut self,
        result: WorkResult,
        replay: &mut ReplayFilter,
        cx: &mut Context<'_>,
    ) -> Progress {
        let Phase::Handshaking(handshake) = &mut self.phase else { return Progress::Nothing };
        let keys = &cx.node.keys.ntcp2;
        let router_info = cx.snapshot.router_info.bytes();
        let local = Local { keys, network: cx.node.network, router_info };
        let outcome = handshake.handle_work(&local, result, cx.now, cx.rng, replay);
        self.after_handshake_step(outcome, cx)
    }

    fn after_handshake_step(
        &mut self,
        outcome: Result<(), HandshakeError>,
        cx: &mut Context<'_>,
    ) -> Progress {
        self.transmit_handshake(cx);
        match outcome {
            Ok(()) => self.finish_handshake(),
            Err(error) => self.fail_handshake(error, cx),
        }
    }

    fn finish_handshake(&mut self) -> Progress {
        let Phase::Handshaking(handshake) = &mut self.phase else { return Progress::Nothing };
        match handshake.poll_established() {
            Some(established) => Progress::Established(Box::new(established)),
            None => Progress::Nothing,
        }
    }

    /// Goes on as an established session on this shard.
    pub fn establish(&mut self, session: Session, peer: RouterHash) {
        self.phase = Phase::Established { session: Box::new(session), peer };
    }

    fn fail_handshake(&mut self, error: HandshakeError, cx: &mut Context<'_>) -> Progress {
        cx.count_drop(drop_reason(error));
        if let HandshakeError::Created(CreatedError::ClockSkew(skew)) = error
            && let Some(peer) = self.router()
        {
            let clock = LocalRouterMessage::Clock(peer, skew);
            cx.send(Address::LocalRouter, Message::LocalRouter(clock));
        }
        match error.verdict(cx.rng) {
            OnFailure::ReadOn { bytes, wait } => {
                let deadline = match &self.phase {
                    Phase::Handshaking(handshake) => handshake.deadline(),
                    Phase::Connecting(_) | Phase::Swallowing { .. } | Phase::Established { .. } => {
                        cx.now.instant
                    }
                };
                // At least one more byte: who sends just one message and waits is reset like who sends none.
                self.phase = Phase::Swallowing { left: bytes.max(1), wait, deadline };
                Progress::Nothing
            }
            OnFailure::Close => self.close(Close::Reset, cx),
            OnFailure::SendThenClose => self.close(Close::AfterFlush, cx),
        }
    }

    fn transmit_handshake(&mut self, cx: &mut Context<'_>) {
        let Phase::Handshaking(handshake) = &mut self.phase else { return };
        while let Some(frame) = handshake.poll_transmit() {
            self.in_flight += frame.len();
            cx.counters.traffic.sent.record(frame.len(), frame.len(), 0);
            let send = TransportEffect::Send { connection: self.connection, bytes: frame.to_vec() };
            cx.effects.transport.push_back(send);
        }
    }

    /// Queues an I2NP message, or counts it where the peer does not keep up. Says whether it was queued.
    pub fn send(&mut self, message: &I2npMessage, cx: &mut Context<'_>) -> bool {
        let full = |session: &Session, cx: &Context<'_>| {
            session.queued_bytes() + message.body.len() > cx.node.limits.session_queue_bytes
        };
        let Phase::Established { session, .. } = &mut self.phase else { return false };
        if session.queued_bytes() == 0 {
            self.queued_since = cx.now.instant;
        }
        if full(session, cx) {
            self.drop_expired(cx);
        }
        let Phase::Established { session, .. } = &mut self.phase else { return false };
        if full(session, cx) {
            cx.count_drop(Drop::SessionQueueFull);
            return false;
        }
        cx.counters.messages_sent += 1;
        if message.kind == MessageType::TunnelData {
            self.transit_queued += message.body.len() + BLOCK_OVERHEAD;
        }
        session.queue_message(message);
        true
    }

    /// Bytes that wait for the peer to read, here and in the transport.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        match &self.phase {
            Phase::Established { session, .. } => session.queued_bytes() + self.in_flight,
            Phase::Connecting(_) | Phase::Handshaking(_) | Phase::Swallowing { .. } => {
                self.in_flight
            }
        }
    }

    /// Brings the sum over all sessions up to date with what waits here now.
    pub fn settle(&mut self, sum: &mut usize) {
        let waiting = self.waiting_bytes();
        *sum = sum.saturating_sub(self.counted) + waiting;
        self.counted = waiting;
    }

    /// Takes what waits here out of the sum over all sessions: this one ends.
    pub fn settle_last(&self, sum: &mut usize) {
        *sum = sum.saturating_sub(self.counted);
    }

    /// Queues our RouterInfo for the peer to keep.
    pub fn show_router_info(&mut self, info: &Arc<RouterInfo>) {
        if let Phase::Established { session, .. } = &mut self.phase {
            session.queue_router_info(info.bytes(), FloodRequest::NotRequested);
        }
    }

    /// Says goodbye and ends the connection once that has left.
    pub fn terminate(&mut self, reason: TerminationReason, cx: &mut Context<'_>) -> Progress {
        if let Phase::Established { session, .. } = &mut self.phase {
            cx.counters.session_ends.record(SessionEnd::ByUs(reason));
            session.queue_termination(reason);
            self.in_flight = 0;
            self.flush(cx);
        }
        self.close(Close::AfterFlush, cx)
    }

    /// Drops what has waited until it expired, if it has not been looked just now.
    fn drop_expired(&mut self, cx: &mut Context<'_>) {
        let Phase::Established { session, .. } = &mut self.phase else { return };
        if cx.now.instant.since(self.queued_since) < EXPIRY_LOOK {
            return;
        }
        self.queued_since = cx.now.instant;
        let expired = session.drop_expired(cx.now.unix);
        self.transit_queued = self.transit_queued.saturating_sub(expired.tunnel_bytes);
        for _ in 0..expired.messages {
            cx.count_drop(Drop::SessionQueueExpired);
        }
    }

    /// Until when what is queued waits for more, where tunnel messages wait for so long; none where it does not wait: it
    /// fills a frame, or there is something else among it.
    #[must_use]
    pub fn corked_until(&self, cork: Duration, now: Instant) -> Option<Instant> {
        let Phase::Established { session, .. } = &self.phase else { return None };
        let queued = session.queued_bytes();
        let until = self.queued_since + cork;
        let may_wait = (1..FRAME_TARGET).contains(&queued) && queued == self.transit_queued;
        (may_wait && until > now).then_some(until)
    }

    /// Turns what is queued into frames, unless the transport still holds enough.
    pub fn flush(&mut self, cx: &mut Context<'_>) {
        let Phase::Established { session, .. } = &mut self.phase else { return };
        if self.in_flight >= IN_FLIGHT_MAX || session.queued_bytes() == 0 {
            return;
        }
        self.drop_expired(cx);
        let Phase::Established { session, .. } = &mut self.phase else { return };
        let blocks = session.queued_bytes();
        // With room for padding and tags, so that it is not moved while it grows.
        let mut bytes = Vec::with_capacity(blocks / 15 * 16 + 512);
        session.flush(cx.now, cx.rng, &mut bytes);
        if !bytes.is_empty() {
            self.in_flight += bytes.len();
            let transit = std::mem::take(&mut self.transit_queued);
            cx.counters.traffic.sent.record(bytes.len(), blocks, transit);
            let send = TransportEffect::Send { connection: self.connection, bytes };
            cx.effects.transport.push_back(send);
        }
    }

    /// The transport has written this many bytes. True when there is more to flush.
    pub fn handle_sent(&mut self, bytes: usize) -> bool {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        match &self.phase {
            Phase::Established { session, .. } => session.queued_bytes() > 0,
            Phase::Connecting(_) | Phase::Handshaking(_) | Phase::Swallowing { .. } => false,
        }
    }

    /// When something must have happened, if sessions may be silent for so long.
    #[must_use]
    pub fn deadline(&self, silence: Duration) -> Instant {
        let own = self.phase_deadline(silence);
        self.held.as_ref().map_or(own, |held| held.until.min(own))
    }

    fn phase_deadline(&self, silence: Duration) -> Instant {
        match &self.phase {
            Phase::Connecting(_) => self.opened + CONNECT_MAX,
            Phase::Handshaking(handshake) => handshake.deadline(),
            Phase::Swallowing { deadline, .. } => *deadline,
            Phase::Established { session, .. } => {
                session.last_received().max(session.last_sent()) + silence
            }
        }
    }

    /// Ends the connection if its deadline has passed.
    pub fn handle_timeout(&mut self, silence: Duration, cx: &mut Context<'_>) -> Progress {
        if cx.now.instant < self.phase_deadline(silence) {
            return Progress::Nothing;
        }
        match &self.phase {
            Phase::Connecting(_) | Phase::Handshaking(_) => {
                cx.count_drop(Drop::HandshakeTimeout);
                self.close(Close::Reset, cx)
            }
            Phase::Swallowing { .. } => self.close(Close::Reset, cx),
            Phase::Established { .. } => self.terminate(TerminationReason::IdleTimeout, cx),
        }
    }

    fn close(&mut self, how: Close, cx: &mut Context<'_>) -> Progress {
        let close = TransportEffect::Close { connection: self.connection, how };
        cx.effects.transport.push_back(close);
        Progress::Ended
    }
}

/// Bytes of an answer that are held at most: message 2 with the most padding that routers accept.
const HELD_MAX: usize = 512;

/// Time for a TCP connection to come up.
const CONNECT_MAX: Duration = Duration::from_secs(6);

/// Every failure has one counter, so that a flood of one kind shows as what it is.
fn drop_reason(error: HandshakeError) -> Drop {
    match error {
        HandshakeError::Dial(_) => Drop::RouterUnreachable,
        HandshakeError::Request(RequestError::Replayed) => Drop::HandshakeReplayed,
        HandshakeError::Request(RequestError::Network { .. })
        | HandshakeError::Confirmed(ConfirmedError::Network { .. }) => Drop::HandshakeNetwork,
        HandshakeError::Request(RequestError::ClockSkew(_))
        | HandshakeError::Created(CreatedError::ClockSkew(_)) => Drop::HandshakeClockSkew,
        HandshakeError::Confirmed(
            ConfirmedError::NoRouterInfo
            | ConfirmedError::RouterInfo(_)
            | ConfirmedError::SignatureType
            | ConfirmedError::Signature
            | ConfirmedError::StaticKey
            | ConfirmedError::Stale { .. }
            | ConfirmedError::Future { .. }
            | ConfirmedError::OwnIdentity,
        ) => Drop::HandshakeRouterInfo,
        HandshakeError::Confirmed(
            ConfirmedError::Unauthentic
            | ConfirmedError::WeakKey
            | ConfirmedError::Blocks(_)
            | ConfirmedError::UnexpectedBlock,
        )
        | HandshakeError::Request(_)
        | HandshakeError::Created(_)
        | HandshakeError::Impatient
        | HandshakeError::Over => Drop::HandshakeInvalid,
    }
}
