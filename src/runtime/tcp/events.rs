//! What happened to connections and was not yet told.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::base::id::ConnectionId;
use crate::base::slab::SlabKey;
use crate::base::time::Instant;

/// Something that happened to a connection.
#[derive(Debug)]
pub enum Event {
    /// A peer has connected to us.
    Accepted {
        /// The name of the connection.
        connection: ConnectionId,
        /// Its other end.
        peer: SocketAddr,
    },
    /// A connection that we asked for is up.
    Connected {
        /// Which.
        connection: ConnectionId,
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
        /// The bytes, at least one; in the queue none, since they stay with the connection until they are told.
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

/// Whether an event is worth a turn of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It is.
    Now,
    /// It can wait until there is one.
    Later,
}

/// An event in the queue.
pub struct Waiting {
    /// When it was added.
    pub at: Instant,
    /// The connection's place; absent for one that has none, as when it could not be begun.
    pub key: Option<SlabKey>,
    /// What happened.
    pub event: Event,
    urgency: Urgency,
}

/// Events in order.
///
/// Bounded by the network, which collects nothing while there are many.
#[derive(Default)]
pub struct Events {
    queue: VecDeque<Waiting>,
    urgent: usize,
}

impl Events {
    /// Adds an event.
    pub fn push(&mut self, at: Instant, key: Option<SlabKey>, event: Event, urgency: Urgency) {
        self.urgent += usize::from(urgency == Urgency::Now);
        self.queue.push_back(Waiting { at, key, event, urgency });
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.queue.pop_front()?;
        self.urgent -= usize::from(waiting.urgency == Urgency::Now);
        Some(waiting)
    }

    /// Takes out those of one connection, in order.
    pub fn take_of(&mut self, key: SlabKey) -> Vec<Event> {
        let (taken, kept): (Vec<_>, Vec<_>) =
            self.queue.drain(..).partition(|waiting| waiting.key == Some(key));
        self.queue.extend(kept);
        self.urgent -= taken.iter().filter(|waiting| waiting.urgency == Urgency::Now).count();
        taken.into_iter().map(|waiting| waiting.event).collect()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether one waits that wants a turn.
    pub fn has_urgent(&self) -> bool {
        self.urgent > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{ConnectionOrigin, ShardId};

    #[test]
    fn events_of_one_connection_are_taken_in_order() {
        let mut events = Events::default();
        let id = |counter| ConnectionId::new(ShardId(0), ConnectionOrigin::Accepted, counter);
        let now = Instant::default();
        let key = |bits| Some(SlabKey::from_bits(bits));
        let received = Event::Received { connection: id(1), bytes: vec![1] };
        events.push(now, key(1), received, Urgency::Now);
        events.push(now, key(2), Event::Closed { connection: id(2) }, Urgency::Now);
        events.push(now, key(1), Event::Sent { connection: id(1), bytes: 7 }, Urgency::Later);
        let taken = events.take_of(SlabKey::from_bits(1));
        assert!(matches!(&taken[0], Event::Received { bytes, .. } if *bytes == [1]));
        assert!(matches!(taken[1], Event::Sent { bytes: 7, .. }));
        assert_eq!((taken.len(), events.len()), (2, 1));
        assert!(events.has_urgent());
        assert!(matches!(events.pop().unwrap().event, Event::Closed { .. }));
        assert!(!events.has_urgent() && events.pop().is_none());
    }
}
