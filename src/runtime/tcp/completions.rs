//! What the ring's completions mean for connections.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::connection::Phase;
use super::events::{Event, Urgency};
use super::{Network, SENT_PROMPT, socket};
use crate::base::id::{ConnectionId, ConnectionOrigin};
use crate::base::slab::SlabKey;
use crate::base::time::Instant;
use crate::runtime::ring::{Completion, Onward, Outcome, Outgoing, Tag};

impl Network {
    /// Takes all completions that are there.
    pub(super) fn reap(&mut self) {
        let now = self.clock.instant();
        while let Some(Completion { tag, outcome }) = self.ring.next_completion() {
            match tag {
                Tag::Listener => self.reap_listener(outcome, now),
                Tag::Connection(key) => self.reap_connection(key, outcome, now),
            }
        }
    }

    fn reap_listener(&mut self, outcome: Outcome, now: Instant) {
        let ended = match outcome {
            Outcome::Accepted(socket, onward) => {
                self.accept(socket, now);
                match onward {
                    Onward::More => return,
                    Onward::Ended => None,
                }
            }
            Outcome::AcceptEnded(error) => Some(error),
            // A listener neither sends nor receives.
            Outcome::Received(..)
            | Outcome::ReceivedEnd
            | Outcome::NoBuffer
            | Outcome::ReceiveEnded(_)
            | Outcome::Sent(..)
            | Outcome::Connected(_) => return,
        };
        if let Some(acceptor) = &mut self.acceptor {
            self.counts.without_descriptor += acceptor.ended(ended.as_ref(), now);
        }
    }

    fn reap_connection(&mut self, key: SlabKey, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Received(bytes, onward) => self.received(key, bytes, onward, now),
            Outcome::ReceivedEnd => self.peer_done(key),
            Outcome::NoBuffer => {
                self.starved = true;
                self.receive_again(key);
            }
            Outcome::ReceiveEnded(error) if is_passing(&error) => self.receive_again(key),
            Outcome::ReceiveEnded(_) => {
                if let Some(open) = self.connections.find_mut(key) {
                    open.receiving = None;
                }
                self.broken(key);
            }
            Outcome::Sent(outgoing, result) => self.sent(key, outgoing, result, now),
            Outcome::Connected(result) => self.connected(key, &result, now),
            // A connection does not accept.
            Outcome::Accepted(..) | Outcome::AcceptEnded(_) => {}
        }
    }

    fn accept(&mut self, socket: OwnedFd, now: Instant) {
        if self.acceptor.is_none() {
            return socket::reset_on_close(&socket);
        }
        if self.is_full() {
            self.counts.turned_away += 1;
            return socket::reset_on_close(&socket);
        }
        // A peer that is gone again has no address.
        let Ok(peer) = socket::prepare_accepted(&socket) else { return };
        let connection =
            ConnectionId::new(self.shard, ConnectionOrigin::Accepted, self.accepted + 1);
        let Some(key) = self.insert(connection, Rc::new(socket), Phase::Open) else { return };
        self.accepted += 1;
        self.counts.accepted += 1;
        let event = Event::Accepted { connection, peer };
        self.events.push(now, Some(key), event, Urgency::Now);
        self.receive(key);
    }

    fn connected(&mut self, key: SlabKey, result: &io::Result<()>, now: Instant) {
        let Some(open) = self.connections.find_mut(key) else { return };
        open.connecting = None;
        if open.phase != Phase::Dialling {
            return;
        }
        match result {
            Ok(()) => {
                open.phase = Phase::Open;
                let event = Event::Connected { connection: open.id };
                self.events.push(now, Some(key), event, Urgency::Now);
                self.receive(key);
            }
            Err(_) => self.dial_failed(key, now),
        }
    }

    /// A dial has failed or takes too long: the shard is told, and then it goes.
    pub(super) fn dial_failed(&mut self, key: SlabKey, now: Instant) {
        let Some(open) = self.connections.find_mut(key) else { return };
        open.phase = Phase::Over;
        if let Some(operation) = open.connecting {
            self.ring.cancel(operation);
        }
        self.counts.connect_failed += 1;
        let event = Event::ConnectFailed { connection: open.id };
        self.events.push(now, Some(key), event, Urgency::Now);
    }

    fn received(&mut self, key: SlabKey, bytes: Vec<u8>, onward: Onward, now: Instant) {
        let length = bytes.len();
        self.counts.received_bytes += u64::try_from(length).unwrap_or(0);
        self.collected += length;
        let Some(open) = self.connections.find_mut(key) else { return };
        match open.phase {
            Phase::Open | Phase::Leaving if open.inbox.is_empty() => {
                open.inbox = bytes;
                let event = Event::Received { connection: open.id, bytes: Vec::new() };
                self.events.push(now, Some(key), event, Urgency::Now);
            }
            // Told as one: whoever hands a connection over at its first bytes must find all later ones untold.
            Phase::Open | Phase::Leaving => open.inbox.extend_from_slice(&bytes),
            Phase::Dialling | Phase::Over | Phase::Flushing { .. } | Phase::Parting => {}
        }
        if open.received == 0 {
            self.served.push(key);
        }
        open.received += length;
        if onward == Onward::Ended {
            self.receive_again(key);
        }
    }

    /// Receiving has ended for a reason of its own; the next flush begins it again.
    fn receive_again(&mut self, key: SlabKey) {
        if let Some(open) = self.connections.find_mut(key) {
            open.receiving = None;
            self.unread.push_back(key);
        }
    }

    fn peer_done(&mut self, key: SlabKey) {
        let Some(open) = self.connections.find_mut(key) else { return };
        open.receiving = None;
        match open.phase {
            Phase::Open => self.give_up(key),
            Phase::Flushing { .. } => open.phase = Phase::Flushing { peer_done: true },
            Phase::Parting => self.remove(key),
            Phase::Dialling | Phase::Over | Phase::Leaving => {}
        }
    }

    /// A connection has failed.
    fn broken(&mut self, key: SlabKey) {
        let Some(open) = self.connections.find(key) else { return };
        match open.phase {
            Phase::Open => self.give_up(key),
            Phase::Flushing { .. } | Phase::Parting => self.reset(key),
            Phase::Dialling | Phase::Over | Phase::Leaving => {}
        }
    }

    fn sent(
        &mut self,
        key: SlabKey,
        mut outgoing: Outgoing,
        result: io::Result<usize>,
        now: Instant,
    ) {
        let count = result.as_ref().copied().unwrap_or(0);
        self.counts.sent_bytes += u64::try_from(count).unwrap_or(0);
        let Some(open) = self.connections.find_mut(key) else { return };
        let begun = open.sending.take().map(|sending| sending.flush);
        outgoing.append(&mut open.queued);
        open.queued = outgoing;
        let left = open.queued.bytes();
        let tells = matches!(open.phase, Phase::Open | Phase::Leaving);
        if count > 0 && tells {
            // Only one that waits for room cares to hear of it soon.
            let at_once = begun == Some(self.flushes) && left == 0 && count < SENT_PROMPT;
            let urgency = if at_once { Urgency::Later } else { Urgency::Now };
            let event = Event::Sent { connection: open.id, bytes: count };
            self.events.push(now, Some(key), event, urgency);
        }
        match result {
            Err(error) if !is_passing(&error) => self.broken(key),
            Ok(_) | Err(_) if left > 0 => self.send_on(key),
            Ok(_) | Err(_) => {
                if matches!(open.phase, Phase::Flushing { .. }) {
                    self.part(key);
                }
            }
        }
    }
}

/// Whether an operation was only interrupted, by us or by the kernel, and may begin again.
fn is_passing(error: &io::Error) -> bool {
    let passing = [libc::ECANCELED, libc::EINTR, libc::EAGAIN];
    error.raw_os_error().is_some_and(|number| passing.contains(&number))
}
