//! TCP connections of one shard: accepted, dialled, adopted from other shards, and handed over to them.
//!
//! Connections are plain values; what is under way on them is the ring's. Reading: one operation per connection goes on
//! for as long as the connection lives. One that takes more than its share of a turn is stopped and receives at most
//! [`READ_MAX`] bytes per turn until it has caught up; and all that a shard receives in one turn has to fit its receive
//! buffers, which are the kernel's again only at the end of the turn. Writing: at the end of a turn everything for one
//! connection leaves as one gathered send, of which one per connection is under way at a time.

mod acceptor;
mod completions;
mod connection;
mod events;
mod names;
mod socket;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use self::acceptor::Acceptor;
use self::connection::{Connection, Phase, Reading, Sending};
pub use self::events::Event;
use self::events::{Events, Urgency, Waiting};
use self::names::Names;
pub use self::socket::{ListenError, LocalSide, listen};
use crate::base::id::{ConnectionId, ShardId};
use crate::base::slab::{Slab, SlabKey};
use crate::base::time::Instant;
use crate::runtime::clock::Clock;
use crate::runtime::ring::{Operation, RECEIVE_MAX, Ring, Socket, Tag};

/// Bytes of one read.
pub const READ_MAX: usize = RECEIVE_MAX;
/// Bytes that wait in one connection for its peer to read; over it the connection is reset.
pub const EGRESS_MAX: usize = 2 * 1024 * 1024;
/// Bytes that a connection may bring in one turn before it is held to [`READ_MAX`] per turn.
const SHARE_MAX: usize = 2 * READ_MAX;
/// Bytes written at once from which on the shard is told without delay, since it may hold more back.
const SENT_PROMPT: usize = 32 * 1024;
/// Events in the queue at which no more are collected: what happens then waits in the kernel.
const EVENTS_MAX: usize = 1024;
/// Bytes received in one turn at which no more are collected: what a turn works on shall fit the CPU's cache.
const COLLECT_MAX: usize = 64 * 1024;
/// Calls into the kernel of one flush at most; each starts what the completions of the one before led to.
const ROUNDS_MAX: usize = 64;
/// Time for a connection of ours to come up.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Time for the last bytes of a connection to leave and for its peer to take note.
const FAREWELL_MAX: Duration = Duration::from_secs(4);

/// How a connection of ours ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// When all that was sent has left.
    AfterFlush,
    /// At once, with a reset.
    Reset,
}

/// Counts of one shard's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounts {
    /// Connections now.
    pub open: u64,
    /// Connections that peers opened.
    pub accepted: u64,
    /// Connections that were turned away because there were too many.
    pub turned_away: u64,
    /// Connections that were turned away for want of a descriptor.
    pub without_descriptor: u64,
    /// Connections of ours that did not come up.
    pub connect_failed: u64,
    /// Connections that were reset because the peer did not read.
    pub overflowed: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes written.
    pub sent_bytes: u64,
    /// Calls into the kernel by the ring.
    pub calls: u64,
}

/// A connection between two shards: its descriptor, what is still to be written, and what was not yet told.
pub struct Detached {
    descriptor: OwnedFd,
    unsent: Vec<Vec<u8>>,
    untold: Vec<Untold>,
}

/// What happened to a connection on its way between two shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untold {
    /// Bytes arrived.
    Received(Vec<u8>),
    /// Bytes were written.
    Sent(usize),
}

/// The connections of one shard.
pub struct Network {
    /// Dropped first: it ends what is under way.
    ring: Ring,
    shard: ShardId,
    clock: Clock,
    dial_from: Option<IpAddr>,
    connections_max: usize,
    names: Names,
    connections: Slab<Connection>,
    events: Events,
    acceptor: Option<Acceptor>,
    accepted: u64,
    /// Connections with something to send.
    touched: Vec<SlabKey>,
    /// Connections that received in this turn.
    served: Vec<SlabKey>,
    /// Connections whose receiving has ended and has to begin again, those that wait longest first.
    unread: VecDeque<SlabKey>,
    /// Whether a receive found no buffer in this turn.
    starved: bool,
    /// Bytes received in this turn.
    collected: usize,
    dials: VecDeque<(Instant, SlabKey)>,
    farewells: VecDeque<(Instant, SlabKey)>,
    flushes: u64,
    counts: TcpCounts,
}

impl Network {
    /// No connections, of at most `connections_max`.
    #[must_use]
    pub fn new(
        shard: ShardId,
        ring: Ring,
        clock: Clock,
        dial_from: Option<IpAddr>,
        connections_max: usize,
    ) -> Self {
        Self {
            ring,
            shard,
            clock,
            dial_from,
            connections_max,
            names: Names::default(),
            connections: Slab::new(connections_max),
            events: Events::default(),
            acceptor: None,
            accepted: 0,
            touched: Vec::new(),
            served: Vec::new(),
            unread: VecDeque::new(),
            starved: false,
            collected: 0,
            dials: VecDeque::new(),
            farewells: VecDeque::new(),
            flushes: 0,
            counts: TcpCounts::default(),
        }
    }

    /// Accepts on this socket from the next flush on.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn start_accepting(&mut self, listener: TcpListener) -> io::Result<()> {
        self.acceptor = Some(Acceptor::new(listener, &mut self.ring)?);
        Ok(())
    }

    /// Accepts nothing any more.
    pub fn stop_accepting(&mut self) {
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.stop(&mut self.ring);
        }
    }

    /// Starts to connect; [`Event::Connected`] or [`Event::ConnectFailed`] follows.
    pub fn connect(&mut self, connection: ConnectionId, address: SocketAddr) {
        let now = self.clock.instant();
        if self.is_full() {
            self.counts.turned_away += 1;
            return self.fail_to_connect(connection, now);
        }
        let Ok(socket) = socket::dialling(address, self.dial_from) else {
            return self.fail_to_connect(connection, now);
        };
        let socket: Socket = Rc::new(socket);
        let Some(key) = self.insert(connection, socket.clone(), Phase::Dialling) else { return };
        let operation = self.ring.connect(Tag::Connection(key), socket, address.into());
        if let Some(open) = self.connections.find_mut(key) {
            open.connecting = Some(operation);
        }
        self.dials.push_back((now + CONNECT_MAX, key));
    }

    fn fail_to_connect(&mut self, connection: ConnectionId, now: Instant) {
        self.counts.connect_failed += 1;
        self.events.push(now, None, Event::ConnectFailed { connection }, Urgency::Now);
    }

    /// Queues bytes, in order after all earlier ones; [`Network::flush`] sends them.
    pub fn send(&mut self, connection: ConnectionId, bytes: Vec<u8>) {
        let Some(&key) = self.names.get(&connection) else { return };
        let Some(open) = self.connections.find_mut(key) else { return };
        if open.phase != Phase::Open || bytes.is_empty() {
            return;
        }
        if open.unsent() + bytes.len() > EGRESS_MAX {
            self.counts.overflowed += 1;
            let _ = open.queued.take();
            socket::reset_on_close(&open.socket);
            // The shard did not ask for this end, so it is told; the connection goes when it is.
            return self.give_up(key);
        }
        open.queued.push(bytes);
        if !std::mem::replace(&mut open.touched, true) {
            self.touched.push(key);
        }
    }

    /// Ends a connection; nothing more is heard of it.
    pub fn close(&mut self, connection: ConnectionId, ending: Ending) {
        let Some(key) = self.names.remove(&connection) else { return };
        let Some(open) = self.connections.find_mut(key) else { return };
        let peer_done = match (open.phase, ending) {
            (Phase::Open, Ending::AfterFlush) => false,
            (Phase::Over, Ending::AfterFlush) => true,
            (Phase::Open | Phase::Over, Ending::Reset) | (Phase::Dialling, _) => {
                return self.reset(key);
            }
            // These have no name any more.
            (Phase::Flushing { .. } | Phase::Parting | Phase::Leaving, _) => return,
        };
        open.phase = Phase::Flushing { peer_done };
        let unsent = open.unsent();
        if !std::mem::replace(&mut open.touched, true) {
            self.touched.push(key);
        }
        self.farewells.push_back((self.clock.instant() + FAREWELL_MAX, key));
        if unsent == 0 {
            self.part(key);
        }
    }

    /// Takes a connection out, to be handed to another shard: nothing is under way on it any more, no byte is lost, and
    /// the order holds.
    ///
    /// # Errors
    /// When the ring is broken or the process has no descriptor left; the connection is then closed.
    pub fn detach(&mut self, connection: ConnectionId) -> Option<io::Result<Detached>> {
        let key = self.names.remove(&connection)?;
        let open = self.connections.find_mut(key)?;
        if open.phase == Phase::Dialling {
            self.reset(key);
            return None;
        }
        open.phase = Phase::Leaving;
        open.operations().for_each(|operation| self.ring.cancel(operation));
        if let Err(error) = self.settle(key) {
            self.reset(key);
            return Some(Err(error));
        }
        let mut open = self.connections.remove(key)?;
        let mut inbox = std::mem::take(&mut open.inbox);
        let untold = self.events.take_of(key).into_iter();
        let untold = untold.filter_map(|event| untold_of(event, &mut inbox)).collect();
        let unsent = open.queued.take();
        let descriptor = match Rc::try_unwrap(open.socket) {
            Ok(descriptor) => Ok(descriptor),
            Err(shared) => shared.try_clone(),
        };
        Some(descriptor.map(|descriptor| Detached { descriptor, unsent, untold }))
    }

    /// Waits until nothing is under way on a connection. What was cancelled ends at once.
    fn settle(&mut self, key: SlabKey) -> io::Result<()> {
        while self.connections.find(key).is_some_and(|open| open.operations().next().is_some()) {
            self.ring.wait()?;
            self.reap();
        }
        Ok(())
    }

    /// Goes on with a connection of another shard. What was not told there is for the shard to hear next.
    pub fn adopt(&mut self, connection: ConnectionId, detached: Detached) -> Vec<Untold> {
        let Detached { descriptor, unsent, untold } = detached;
        let Some(key) = self.insert(connection, Rc::new(descriptor), Phase::Open) else {
            // One too many: the shard hears of it first and then of its end, so that nobody waits for it.
            self.counts.turned_away += 1;
            let closed = Event::Closed { connection };
            self.events.push(self.clock.instant(), None, closed, Urgency::Now);
            return untold;
        };
        self.receive(key);
        if let Some(open) = self.connections.find_mut(key) {
            unsent.into_iter().for_each(|bytes| open.queued.push(bytes));
            open.touched = true;
            self.touched.push(key);
        }
        untold
    }

    /// Ends a turn: buffers go back to the kernel, what was queued is sent, those whose bytes were dealt with receive on,
    /// times are looked at, and what has completed meanwhile becomes events.
    ///
    /// # Errors
    /// When the ring is broken.
    pub fn flush(&mut self) -> io::Result<()> {
        self.flushes += 1;
        self.collected = 0;
        self.expire(self.clock.instant());
        self.ring.give_buffers_back();
        self.share_out();
        for key in std::mem::take(&mut self.touched) {
            if let Some(open) = self.connections.find_mut(key) {
                open.touched = false;
                self.send_on(key);
            }
        }
        // Most of them have bytes that wait: no more than there are buffers for, or the kernel would try them all in vain.
        let ready = self.unread.len().min(usize::from(self.ring.buffers() / 2).max(1));
        for _ in 0..ready {
            if let Some(key) = self.unread.pop_front() {
                self.receive(key);
            }
        }
        for _ in 0..ROUNDS_MAX {
            if self.events.len() >= EVENTS_MAX || self.collected >= COLLECT_MAX {
                return self.ring.submit_only();
            }
            self.ring.submit()?;
            self.reap();
            // Those without a buffer find one after the turn.
            if self.starved || !self.ring.has_work() {
                break;
            }
        }
        Ok(())
    }

    /// Holds those back that took more than their share of this turn, and lets those stream again that have caught up.
    fn share_out(&mut self) {
        if std::mem::take(&mut self.starved)
            && self.served.len() > usize::from(self.ring.buffers() / 2)
        {
            self.ring.grow_buffers();
        }
        for key in self.served.drain(..) {
            let Some(open) = self.connections.find_mut(key) else { continue };
            let received = std::mem::take(&mut open.received);
            match (open.reading, open.receiving) {
                (Reading::Streaming, Some(operation)) if received > SHARE_MAX => {
                    open.reading = Reading::Halting;
                    self.ring.cancel(operation);
                }
                // It has ended by itself, as for want of buffers, and does not stream on.
                (Reading::Streaming, None) if received > SHARE_MAX => {
                    open.reading = Reading::Metered;
                }
                (Reading::Metered, None) if received < READ_MAX => {
                    open.reading = Reading::Streaming;
                }
                (Reading::Streaming | Reading::Halting | Reading::Metered, _) => {}
            }
        }
    }

    /// Ends dials and farewells that take too long, and accepts again after a pause.
    fn expire(&mut self, now: Instant) {
        while let Some((_, key)) = self.dials.pop_front_if(|(at, _)| *at <= now) {
            if self.connections.find(key).is_some_and(|open| open.phase == Phase::Dialling) {
                self.dial_failed(key, now);
            }
        }
        while let Some((_, key)) = self.farewells.pop_front_if(|(at, _)| *at <= now) {
            self.reset(key);
        }
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.resume(&mut self.ring, now);
        }
    }

    /// When [`Network::flush`] has something to do although nothing happens.
    #[must_use]
    pub fn deadline(&mut self) -> Option<Instant> {
        // Most of these end before their time.
        while let Some((_, key)) = self.dials.front()
            && self.connections.find(*key).is_none_or(|open| open.phase != Phase::Dialling)
        {
            self.dials.pop_front();
        }
        while let Some((_, key)) = self.farewells.front()
            && self.connections.find(*key).is_none()
        {
            self.farewells.pop_front();
        }
        let first = |queue: &VecDeque<(Instant, SlabKey)>| queue.front().map(|(at, _)| *at);
        let resume = self.acceptor.as_ref().and_then(Acceptor::deadline);
        [first(&self.dials), first(&self.farewells), resume].into_iter().flatten().min()
    }

    /// The oldest event that was not yet told, and when it happened. Between two flushes at most one of them tells of bytes
    /// that a connection received.
    pub fn next_event(&mut self) -> Option<(Instant, Event)> {
        loop {
            let Waiting { at, key, mut event, .. } = self.events.pop()?;
            let Some(key) = key else { return Some((at, event)) };
            // Nothing is told of a connection that the shard has closed meanwhile.
            let named = [Phase::Dialling, Phase::Open, Phase::Over];
            let Some(open) = self.connections.find_mut(key) else { continue };
            if !named.contains(&open.phase) {
                continue;
            }
            match &mut event {
                Event::Received { bytes, .. } => *bytes = std::mem::take(&mut open.inbox),
                Event::Closed { connection } | Event::ConnectFailed { connection } => {
                    self.names.remove(connection);
                    self.remove(key);
                }
                Event::Accepted { .. } | Event::Connected { .. } | Event::Sent { .. } => {}
            }
            return Some((at, event));
        }
    }

    /// Whether an event waits that wants a turn, or a connection that only a flush brings on.
    #[must_use]
    pub fn wants_turn(&self) -> bool {
        self.events.has_urgent() || !self.unread.is_empty() || !self.touched.is_empty()
    }

    /// Before the shard sleeps: from here on it is woken when something happens. True where something already has.
    ///
    /// # Errors
    /// When the ring is broken.
    pub fn arm(&mut self) -> io::Result<bool> {
        let has_work = self.ring.arm()?;
        if has_work {
            self.reap();
        }
        Ok(self.wants_turn() || self.ring.has_work())
    }

    /// After the shard has slept.
    pub fn disarm(&mut self) {
        self.ring.disarm();
    }

    /// Whether no connection is left, nor one that waits for its last bytes to leave.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.connections.is_empty()
    }

    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> TcpCounts {
        let open = u64::try_from(self.names.len()).unwrap_or(0);
        TcpCounts { open, calls: self.ring.calls(), ..self.counts }
    }

    fn is_full(&self) -> bool {
        self.connections.len() >= self.connections_max
    }

    fn insert(&mut self, id: ConnectionId, socket: Socket, phase: Phase) -> Option<SlabKey> {
        let key = self.connections.insert(Connection::new(id, socket, phase)).ok()?;
        self.names.insert(id, key);
        Some(key)
    }

    /// Begins to receive, where that is called for and not under way.
    fn receive(&mut self, key: SlabKey) {
        let Some(open) = self.connections.find_mut(key) else { return };
        let wanted = match open.phase {
            Phase::Open | Phase::Parting | Phase::Flushing { peer_done: false } => true,
            Phase::Dialling
            | Phase::Over
            | Phase::Leaving
            | Phase::Flushing { peer_done: true } => false,
        };
        if !wanted || open.receiving.is_some() {
            return;
        }
        let (tag, socket) = (Tag::Connection(key), open.socket.clone());
        let operation: Operation;
        (open.reading, operation) = match open.reading {
            Reading::Streaming => (Reading::Streaming, self.ring.receive(tag, socket)),
            Reading::Halting | Reading::Metered => {
                (Reading::Metered, self.ring.receive_once(tag, socket))
            }
        };
        open.receiving = Some(operation);
    }

    /// Sends what is queued, where no send is under way.
    fn send_on(&mut self, key: SlabKey) {
        let Some(open) = self.connections.find_mut(key) else { return };
        let wanted = match open.phase {
            Phase::Open | Phase::Flushing { .. } => true,
            Phase::Dialling | Phase::Over | Phase::Parting | Phase::Leaving => false,
        };
        if !wanted || open.sending.is_some() || open.queued.bytes() == 0 {
            return;
        }
        let outgoing = std::mem::take(&mut open.queued);
        let bytes = outgoing.bytes();
        let operation = self.ring.send(Tag::Connection(key), open.socket.clone(), outgoing);
        open.sending = Some(Sending { operation, bytes, flush: self.flushes });
    }

    /// All is sent: closes our side and waits for the peer to close its own. A socket closed earlier, with bytes unread,
    /// would send a reset that can overtake the last words.
    fn part(&mut self, key: SlabKey) {
        let Some(open) = self.connections.find_mut(key) else { return };
        if open.phase == (Phase::Flushing { peer_done: true })
            || socket::close_our_side(&open.socket).is_err()
        {
            self.remove(key);
            return;
        }
        open.phase = Phase::Parting;
        self.receive(key);
    }

    /// A connection has ended by itself: the shard is told, and then it goes.
    fn give_up(&mut self, key: SlabKey) {
        let now = self.clock.instant();
        let Some(open) = self.connections.find_mut(key) else { return };
        if open.phase == Phase::Open {
            open.phase = Phase::Over;
            let closed = Event::Closed { connection: open.id };
            self.events.push(now, Some(key), closed, Urgency::Now);
        }
    }

    /// Lets a connection go, with a reset.
    fn reset(&mut self, key: SlabKey) {
        if let Some(open) = self.connections.find(key) {
            socket::reset_on_close(&open.socket);
        }
        self.remove(key);
    }

    /// Lets a connection go: what is under way is cancelled, and the socket closed when that has ended.
    fn remove(&mut self, key: SlabKey) {
        if let Some(open) = self.connections.remove(key) {
            open.operations().for_each(|operation| self.ring.cancel(operation));
        }
    }
}

fn untold_of(event: Event, inbox: &mut Vec<u8>) -> Option<Untold> {
    match event {
        Event::Received { .. } => Some(Untold::Received(std::mem::take(inbox))),
        Event::Sent { bytes, .. } => Some(Untold::Sent(bytes)),
        // An end is seen again by whoever reads next.
        Event::Closed { .. }
        | Event::Accepted { .. }
        | Event::Connected { .. }
        | Event::ConnectFailed { .. } => None,
    }
}
