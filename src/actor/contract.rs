//! What an actor is, and the context through which it acts.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::counters::{Counters, Drop};
use super::message::{
    DiffieHellman, Inbound, Knock, Message, Origin, SessionMessage, Unknown, Verification,
};
use super::node::NodeConfig;
use super::snapshot::Snapshot;
use crate::base::frame::{Frame, FramePool};
use crate::base::id::{ConnectionId, MessageId, RouterHash, ShardId, TunnelId};
use crate::base::limits::MESSAGE_LIFE;
use crate::base::permille::Permille;
use crate::base::rng::ShardRng;
use crate::base::time::{Instant, Now};
use crate::wire::i2np::tunnel_gateway::TunnelGateway;
use crate::wire::i2np::{I2npMessage, MessageType};

/// One actor: it takes a message, runs to the end, and leaves its effects in the context.
pub trait Actor {
    /// What it takes.
    type Message;

    /// Handles one message.
    fn handle(&mut self, message: Self::Message, cx: &mut Context<'_>);

    /// When [`Actor::handle_timeout`] is next due.
    fn deadline(&self) -> Option<Instant>;

    /// Does what is due by now; called once the deadline has passed, and harmless before.
    fn handle_timeout(&mut self, cx: &mut Context<'_>);
}

/// What the transport is asked to do.
#[derive(Debug)]
pub enum TransportEffect {
    /// Open a connection.
    Connect {
        /// Name of the new connection.
        connection: ConnectionId,
        /// Where to.
        address: SocketAddr,
    },
    /// Hand bytes to a connection.
    Send {
        /// Which connection.
        connection: ConnectionId,
        /// The bytes, in order after all earlier ones.
        bytes: Vec<u8>,
    },
    /// End a connection.
    Close {
        /// Which connection.
        connection: ConnectionId,
        /// How.
        how: Close,
    },
    /// Move a connection to the shard that owns its router, with the message that introduces it there.
    HandOver {
        /// Which connection.
        connection: ConnectionId,
        /// Whose router it turned out to be.
        router: RouterHash,
        /// What its new owner is told.
        message: Message,
    },
    /// These lookups have been answered by what the turn has sent; when each arrived.
    Answered(Vec<Instant>),
    /// Keep our RouterInfo where operators and other routers find it.
    SaveRouterInfo(Arc<[u8]>),
    /// Keep what is now known of a router's behaviour, so that it is there after a restart.
    RememberPeer {
        /// Which router.
        router: RouterHash,
        /// Its profile as stored; absent where it is known no more.
        profile: Option<Arc<[u8]>>,
    },
    /// Keep what the netdb now holds of a router, so that it is there after a restart.
    Remember {
        /// Which router.
        router: RouterHash,
        /// Its RouterInfo as signed; absent where it is gone.
        info: Option<Arc<[u8]>>,
    },
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// After what was sent has left.
    AfterFlush,
    /// At once, with a reset: nothing is owed to the peer.
    Reset,
}

/// What actors left to be done, in the order in which they asked for it.
#[derive(Default)]
pub struct Effects {
    /// Messages to other actors.
    pub mail: VecDeque<(Address, Message)>,
    /// Orders to the transport.
    pub transport: VecDeque<TransportEffect>,
    /// Diffie-Hellmans with our encryption key, done together later in the turn.
    pub diffie_hellmans: Vec<DiffieHellman>,
    /// Signatures to check, done together later in the turn.
    pub verifications: Vec<Verification>,
    /// Peers that have just begun a handshake here; all shards are told.
    pub knocks: Vec<Knock>,
    /// A new snapshot for all shards.
    pub snapshot: Option<Arc<Snapshot>>,
}

/// How much a shard has had to do over about a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// How long inputs have waited for its turn, on average.
    pub queue_delay: Duration,
    /// How much of the time turns took.
    pub busy: Permille,
}

/// How much the shard has to do, as of this turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strain {
    /// How long inputs have waited for the shard's turn, on average over the last second.
    pub queue_delay: Duration,
    /// How much of the last second turns took.
    pub busy: Permille,
    /// Bytes that wait in sessions for peers to read.
    pub waiting_bytes: usize,
}

/// Everything outside itself that an actor may see or touch.
pub struct Context<'a> {
    /// Both clocks, as of this turn.
    pub now: Now,
    /// The router's settings.
    pub node: &'a NodeConfig,
    /// The shard that the actor lives on.
    pub shard: ShardId,
    /// What all shards agree on.
    pub snapshot: &'a Snapshot,
    /// How much the shard has to do.
    pub strain: Strain,
    /// The shard's randomness.
    pub rng: &'a mut ShardRng,
    /// The shard's counters.
    pub counters: &'a mut Counters,
    /// The shard's buffers: what a frame held goes back to them when it has been done with.
    pub frames: &'a mut FramePool,
    /// Where effects go.
    pub effects: &'a mut Effects,
}

impl Context<'_> {
    /// Sends to another actor.
    pub fn send(&mut self, to: Address, message: Message) {
        self.effects.mail.push_back((to, message));
    }

    /// Counts something that goes no further.
    pub fn count_drop(&mut self, reason: Drop) {
        self.counters.count_drop(reason);
    }

    /// Sends an I2NP message to a router, ourselves included. A router that we have no session with is dialled; one
    /// that we do not know is looked up first, or not, as `unknown` says.
    pub fn deliver(&mut self, to: RouterHash, message: I2npMessage, unknown: Unknown) {
        self.deliver_answer(to, message, unknown, None);
    }

    /// The same for what answers a lookup that arrived then, so that its delay is measured.
    pub fn deliver_answer(
        &mut self,
        to: RouterHash,
        message: I2npMessage,
        unknown: Unknown,
        answers: Option<Instant>,
    ) {
        if to == self.node.hash() {
            let arrived = self.now.instant;
            let inbound = Inbound { origin: Origin::Ourselves, message, arrived };
            self.send(Address::Here, Message::Inbound(inbound));
            return;
        }
        let deliver = SessionMessage::Deliver { to, message, unknown, answers };
        self.send(Address::Router(to), Message::Session(deliver));
    }

    /// Sends an I2NP message into a tunnel whose gateway is `gateway`, ourselves included.
    pub fn deliver_to_tunnel(
        &mut self,
        gateway: RouterHash,
        tunnel: TunnelId,
        inner: &I2npMessage,
    ) {
        let outer = self.wrap_for_tunnel(tunnel, inner);
        self.deliver(gateway, outer, Unknown::LookUp);
    }

    /// The message that brings `inner` to the gateway of a tunnel.
    pub fn wrap_for_tunnel(&mut self, tunnel: TunnelId, inner: &I2npMessage) -> I2npMessage {
        I2npMessage {
            kind: MessageType::TunnelGateway,
            id: self.message_id(),
            expiration: inner.expiration,
            body: TunnelGateway::write(tunnel, inner),
        }
    }

    /// A fresh message id.
    pub fn message_id(&mut self) -> MessageId {
        MessageId(self.rng.id())
    }

    /// A message of our own, with the life that other routers expect.
    pub fn message(&mut self, kind: MessageType, body: Frame) -> I2npMessage {
        I2npMessage { kind, id: self.message_id(), expiration: self.now.unix + MESSAGE_LIFE, body }
    }
}
