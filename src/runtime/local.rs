//! The queue by which the tasks of one executor reach its pump, and the flag that wakes it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::Waker;

use glommio::net::TcpStream;

use crate::base::id::ConnectionId;
use crate::base::time::Instant;
use crate::runtime::clock::Clock;

/// Something that happened to a socket.
pub enum Event {
    /// A peer has connected to us.
    Accepted {
        /// The connection.
        stream: TcpStream,
        /// Its other end.
        peer: SocketAddr,
    },
    /// A connection that we asked for is up.
    Connected {
        /// Which.
        connection: ConnectionId,
        /// The connection.
        stream: TcpStream,
    },
    /// A connection that we asked for did not come up.
    ConnectFailed {
        /// Which.
        connection: ConnectionId,
    },
    /// Bytes arrived.
    Received {
        /// Where.
        connection: ConnectionId,
        /// The bytes, at least one.
        bytes: Vec<u8>,
    },
    /// Bytes were written.
    Sent {
        /// Where.
        connection: ConnectionId,
        /// How many.
        bytes: usize,
    },
    /// The peer has closed, or the connection broke.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
}

impl Event {
    /// The connection that it is about; a new one has no name yet.
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        match self {
            Event::Accepted { .. } => None,
            Event::Connected { connection, .. }
            | Event::ConnectFailed { connection }
            | Event::Received { connection, .. }
            | Event::Sent { connection, .. }
            | Event::Closed { connection } => Some(*connection),
        }
    }
}

/// Events waiting for the pump.
///
/// Bounded by its writers: each connection has at most one read outstanding and one writer, and the acceptor pauses
/// while [`Local::is_crowded`].
pub struct Local {
    clock: Clock,
    events: RefCell<VecDeque<Waiting>>,
    /// How many of them want a turn.
    urgent: Cell<usize>,
    awake: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

struct Waiting {
    at: Instant,
    urgency: Urgency,
    event: Event,
}

enum Urgency {
    Now,
    Later,
}

/// Events in the queue at which nothing more is accepted.
const CROWDED: usize = 4096;

impl Local {
    /// An empty queue.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            events: RefCell::new(VecDeque::new()),
            urgent: Cell::new(0),
            awake: Cell::new(false),
            waker: Cell::new(None),
        }
    }

    /// Adds an event and wakes the pump.
    pub fn push(&self, event: Event) {
        self.add(event, Urgency::Now);
        self.urgent.set(self.urgent.get() + 1);
        self.wake();
    }

    /// Adds an event that can wait until the pump next has something to do.
    pub fn push_quietly(&self, event: Event) {
        self.add(event, Urgency::Later);
    }

    fn add(&self, event: Event, urgency: Urgency) {
        let waiting = Waiting { at: self.clock.instant(), urgency, event };
        self.events.borrow_mut().push_back(waiting);
    }

    /// Takes the oldest event, and when it was added.
    #[must_use]
    pub fn pop(&self) -> Option<(Instant, Event)> {
        let waiting = self.events.borrow_mut().pop_front()?;
        self.uncount(&waiting);
        Some((waiting.at, waiting.event))
    }

    /// Whether an event waits that wants a turn.
    #[must_use]
    pub fn has_urgent(&self) -> bool {
        self.urgent.get() > 0
    }

    /// Takes the events of one connection out of the queue, in order.
    #[must_use]
    pub fn take_of(&self, connection: ConnectionId) -> Vec<Event> {
        let mut events = self.events.borrow_mut();
        let (taken, kept): (Vec<_>, Vec<_>) =
            events.drain(..).partition(|waiting| waiting.event.connection() == Some(connection));
        events.extend(kept);
        taken.iter().for_each(|waiting| self.uncount(waiting));
        taken.into_iter().map(|waiting| waiting.event).collect()
    }

    fn uncount(&self, waiting: &Waiting) {
        match waiting.urgency {
            Urgency::Now => self.urgent.set(self.urgent.get().saturating_sub(1)),
            Urgency::Later => {}
        }
    }

    /// Whether so much waits that the acceptor should pause.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.events.borrow().len() >= CROWDED
    }

    /// Wakes the pump, now or when it next wants to sleep.
    pub fn wake(&self) {
        self.awake.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Whether the pump was woken since this was last asked.
    #[must_use]
    pub fn take_wake(&self) -> bool {
        self.awake.replace(false)
    }

    /// Whom to wake.
    pub fn register(&self, waker: &Waker) {
        self.waker.set(Some(waker.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{ConnectionOrigin, ShardId};

    #[test]
    fn events_of_one_connection_are_taken_in_order() {
        let local = Local::new(Clock::start());
        let id = |counter| ConnectionId::new(ShardId(0), ConnectionOrigin::Accepted, counter);
        local.push(Event::Received { connection: id(1), bytes: vec![1] });
        local.push(Event::Closed { connection: id(2) });
        local.push_quietly(Event::Sent { connection: id(1), bytes: 7 });
        assert!(local.take_wake() && !local.take_wake());
        let taken = local.take_of(id(1));
        assert!(matches!(&taken[0], Event::Received { bytes, .. } if *bytes == [1]));
        assert!(matches!(taken[1], Event::Sent { bytes: 7, .. }));
        assert_eq!(taken.len(), 2);
        assert!(matches!(local.pop(), Some((_, Event::Closed { .. }))));
        assert!(!local.has_urgent() && local.pop().is_none());
    }
}
