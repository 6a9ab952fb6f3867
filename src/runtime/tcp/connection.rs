//! One connection: its socket, what is under way on it, and what waits to be sent.

use crate::base::id::ConnectionId;
use crate::runtime::ring::{Operation, Outgoing, Socket};

/// A connection from its dial or its acceptance to its last byte.
pub struct Connection {
    /// How the shard calls it.
    pub id: ConnectionId,
    pub socket: Socket,
    pub phase: Phase,
    pub connecting: Option<Operation>,
    pub receiving: Option<Operation>,
    pub sending: Option<Sending>,
    /// What waits for the send under way to end.
    pub queued: Outgoing,
    /// Bytes that were received and not yet told.
    pub inbox: Vec<u8>,
    /// Bytes received in this turn.
    pub received: usize,
    pub reading: Reading,
    /// Whether it is in the network's list of connections with something to send.
    pub touched: bool,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is being made.
    Dialling,
    /// It is up.
    Open,
    /// It is over, and the shard will be told. Nothing is sent or received any more.
    Over,
    /// The shard is done with it: what is left is sent, and what comes is dropped.
    Flushing {
        /// Whether the peer has sent all that it will.
        peer_done: bool,
    },
    /// All is sent, our side is closed, and the peer has to close its own.
    Parting,
    /// It goes to another shard, as soon as nothing is under way on it any more.
    Leaving,
}

/// How a connection receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// By one operation that goes on as long as the connection.
    Streaming,
    /// That operation is being ended, since it took more than its share of a turn.
    Halting,
    /// By one operation per turn, since the peer sends as fast as we receive.
    Metered,
}

/// A send under way.
pub struct Sending {
    pub operation: Operation,
    /// Its bytes.
    pub bytes: usize,
    /// The flush that began it.
    pub flush: u64,
}

impl Connection {
    /// A connection with nothing under way.
    pub fn new(id: ConnectionId, socket: Socket, phase: Phase) -> Self {
        Self {
            id,
            socket,
            phase,
            connecting: None,
            receiving: None,
            sending: None,
            queued: Outgoing::default(),
            inbox: Vec::new(),
            received: 0,
            reading: Reading::Streaming,
            touched: false,
        }
    }

    /// Bytes that have not left.
    pub fn unsent(&self) -> usize {
        self.queued.bytes() + self.sending.as_ref().map_or(0, |sending| sending.bytes)
    }

    /// Everything that is under way.
    pub fn operations(&self) -> impl Iterator<Item = Operation> + use<> {
        let sending = self.sending.as_ref().map(|sending| sending.operation);
        [self.connecting, self.receiving, sending].into_iter().flatten()
    }
}
