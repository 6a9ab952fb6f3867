//! A router that the load tool plays: an identity, and NTCP2 connections without sockets.
//!
//! It speaks the protocol through the router's own `proto` floor but decides nothing by itself: whoever drives it says
//! what is sent and looks at what comes. The same type serves live targets, integration tests and the simulator.

use std::net::SocketAddr;
use std::sync::Arc;

use floodway::base::frame::{Frame, FramePool};
use floodway::base::id::{MessageId, RouterHash};
use floodway::base::rng::ShardRng;
use floodway::base::time::{Now, UnixTime};
use floodway::proto::local::RouterKeys;
use floodway::proto::ntcp2::{
    Event, Handshake, HandshakeError, Local, ReplayFilter, Session, SessionError,
};
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::mapping::Mapping;
use floodway::wire::ntcp2::{FloodRequest, TerminationReason};
use floodway::wire::router_address::Ntcp2Endpoint;
use floodway::wire::router_address::RouterAddress;
use floodway::wire::router_info::{RouterInfo, RouterInfoDraft};

/// What a played router says about itself.
#[derive(Clone, Debug)]
pub struct Role {
    /// Network id.
    pub network: u8,
    /// Address that it publishes, unless its capabilities say that it cannot be reached.
    pub address: SocketAddr,
    /// Its capabilities, for example `OR`, `XfR` for a floodfill, or `LU` for one that cannot be reached.
    pub capabilities: String,
}

/// An identity with its RouterInfo.
pub struct PlayedRouter {
    /// All private keys.
    pub keys: RouterKeys,
    /// The RouterInfo that it shows.
    pub info: Arc<RouterInfo>,
    /// Its randomness.
    pub rng: ShardRng,
    role: Role,
    replay: ReplayFilter,
    frames: FramePool,
}

impl PlayedRouter {
    /// Makes up a router; the same seed gives the same one.
    #[must_use]
    pub fn new(role: Role, seed: [u8; 32], now: UnixTime) -> Self {
        let mut rng = ShardRng::from_seed(seed);
        let keys = RouterKeys::generate(&mut rng);
        let info = Arc::new(sign(&keys, address(&keys, &role), &role, now));
        Self { keys, info, rng, role, replay: ReplayFilter::new(), frames: FramePool::alone() }
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> RouterHash {
        self.info.hash()
    }

    /// Signs its RouterInfo anew, with this date.
    pub fn resign(&mut self, now: UnixTime) {
        self.info = Arc::new(sign(&self.keys, address(&self.keys, &self.role), &self.role, now));
    }

    /// Signs its RouterInfo anew with another address: one that is wrong, for example.
    pub fn resign_with(&mut self, address: RouterAddress, now: UnixTime) {
        self.info = Arc::new(sign(&self.keys, address, &self.role, now));
    }

    /// A message of this router's, with a random id and a life of 8 s.
    pub fn message(&mut self, kind: MessageType, body: Frame, now: Now) -> I2npMessage {
        let expiration = now.unix + floodway::base::limits::MESSAGE_LIFE;
        I2npMessage { kind, id: MessageId(self.rng.id()), expiration, body }
    }

    fn local(&self) -> Local<'_> {
        Local { keys: &self.keys.ntcp2, network: self.role.network, router_info: self.info.bytes() }
    }
}

/// The NTCP2 address of a router in this role.
fn address(keys: &RouterKeys, role: &Role) -> RouterAddress {
    let host = (!role.capabilities.contains('U')).then_some(role.address);
    RouterAddress::ntcp2(host, keys.ntcp2.static_public, keys.ntcp2.iv, 3)
}

fn sign(keys: &RouterKeys, address: RouterAddress, role: &Role, published: UnixTime) -> RouterInfo {
    let mut options = Mapping::new();
    let network = role.network.to_string();
    for (key, value) in
        [("caps", role.capabilities.as_str()), ("netId", &network), ("router.version", "0.9.67")]
    {
        options.insert(key, value).expect("each key once, and short values");
    }
    let identity = keys.identity.clone();
    let draft = RouterInfoDraft { identity, published, addresses: vec![address], options };
    draft.sign(&keys.signer).expect("one address and three options stay within all bounds")
}

/// What came over a connection.
#[derive(Debug)]
pub enum PlayedEvent {
    /// The handshake is done; this is the router at the other end.
    Established(RouterHash),
    /// An I2NP message.
    Message(I2npMessage),
    /// A RouterInfo block.
    RouterInfo(Vec<u8>),
    /// The other side said goodbye.
    Terminated(TerminationReason),
}

/// Why a connection broke.
#[derive(Debug, thiserror::Error)]
pub enum PlayedError {
    /// In the handshake.
    #[error("handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// Afterwards.
    #[error("session: {0}")]
    Session(#[from] SessionError),
}

/// One NTCP2 connection of a played router.
pub struct PlayedConnection {
    phase: Phase,
    outgoing: Vec<u8>,
}

enum Phase {
    Handshaking(Box<Handshake>),
    Established(Box<Session>),
}

impl PlayedConnection {
    /// Dials: message 1 is ready to be sent.
    ///
    /// # Errors
    /// When the endpoint's keys cannot be used.
    pub fn dial(
        router: &mut PlayedRouter,
        endpoint: &Ntcp2Endpoint,
        now: Now,
    ) -> Result<Self, PlayedError> {
        let mut rng = router.split_rng();
        let handshake = Handshake::initiate(&router.local(), endpoint, now, &mut rng)?;
        let mut connection =
            Self { phase: Phase::Handshaking(Box::new(handshake)), outgoing: Vec::new() };
        connection.drain_handshake();
        Ok(connection)
    }

    /// Waits for the other side's message 1.
    #[must_use]
    pub fn accept(router: &mut PlayedRouter, now: Now) -> Self {
        let handshake = Handshake::respond(now, &mut router.rng);
        Self { phase: Phase::Handshaking(Box::new(handshake)), outgoing: Vec::new() }
    }

    /// Whether the handshake is done.
    #[must_use]
    pub fn is_established(&self) -> bool {
        match &self.phase {
            Phase::Handshaking(_) => false,
            Phase::Established(_) => true,
        }
    }

    /// Takes bytes in; what they mean is appended to `events`.
    ///
    /// # Errors
    /// When the other side breaks the protocol; the connection is of no more use then.
    pub fn handle_bytes(
        &mut self,
        router: &mut PlayedRouter,
        bytes: &mut [u8],
        now: Now,
        events: &mut Vec<PlayedEvent>,
    ) -> Result<(), PlayedError> {
        match &mut self.phase {
            Phase::Handshaking(handshake) => {
                let mut rng = router.split_rng();
                let mut replay = std::mem::replace(&mut router.replay, ReplayFilter::new());
                let local = router.local();
                let outcome = handshake
                    .handle_bytes(&local, bytes, now, &mut rng, &mut replay)
                    .and_then(|()| handshake.work_alone(&local, now, &mut rng, &mut replay));
                router.replay = replay;
                let established = handshake.poll_established();
                self.drain_handshake();
                outcome?;
                let Some(mut established) = established else { return Ok(()) };
                self.phase = Phase::Established(Box::new(established.session));
                events.push(PlayedEvent::Established(established.peer));
                if established.unread.is_empty() {
                    return Ok(());
                }
                self.handle_bytes(router, &mut established.unread, now, events)
            }
            Phase::Established(session) => {
                let mut raw = Vec::new();
                let outcome = session.handle_bytes(bytes, now, &mut router.frames, &mut raw);
                events.extend(raw.into_iter().filter_map(translate));
                Ok(outcome?)
            }
        }
    }

    /// Queues a message; nothing happens before the handshake is done.
    pub fn send(&mut self, message: &I2npMessage) {
        if let Phase::Established(session) = &mut self.phase {
            session.queue_message(message);
        }
    }

    /// Queues a RouterInfo block.
    pub fn send_router_info(&mut self, info: &[u8], flood: FloodRequest) {
        if let Phase::Established(session) = &mut self.phase {
            session.queue_router_info(info, flood);
        }
    }

    /// Says goodbye.
    pub fn terminate(&mut self, reason: TerminationReason) {
        if let Phase::Established(session) = &mut self.phase {
            session.queue_termination(reason);
        }
    }

    /// Bytes to be sent now, in order.
    #[must_use]
    pub fn take_output(&mut self, router: &mut PlayedRouter, now: Now) -> Vec<u8> {
        if let Phase::Established(session) = &mut self.phase
            && session.queued_bytes() > 0
        {
            session.flush(now, &mut router.rng, &mut self.outgoing);
        }
        std::mem::take(&mut self.outgoing)
    }

    fn drain_handshake(&mut self) {
        if let Phase::Handshaking(handshake) = &mut self.phase {
            while let Some(frame) = handshake.poll_transmit() {
                self.outgoing.extend_from_slice(&frame);
            }
        }
    }
}

impl PlayedRouter {
    /// A second stream of randomness, so that the first can stay borrowed with the router.
    fn split_rng(&mut self) -> ShardRng {
        ShardRng::from_seed(self.rng.bytes())
    }
}

fn translate(event: Event) -> Option<PlayedEvent> {
    match event {
        Event::Message(message) => Some(PlayedEvent::Message(message)),
        Event::RouterInfo { info, .. } => Some(PlayedEvent::RouterInfo(info)),
        Event::Terminated(reason) => Some(PlayedEvent::Terminated(reason)),
        Event::ClockSkew { .. } => None,
    }
}
