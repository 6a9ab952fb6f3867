//! Puts the messages of a tunnel together again at its end, whatever order their fragments come in.
//!
//! Everything it holds is bounded; at a bound the oldest message gives way. What is dropped is reported with its
//! reason. Spec: tunnel message, fragmentation; tunnel implementation, endpoint processing.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::time::Instant;
use crate::wire::delivery::{Delivery, Fragment, parse_tunnel_payload};
use crate::wire::i2np::I2npMessage;
use crate::wire::i2np::tunnel_data::TUNNEL_LAYER_SIZE;
use crate::wire::reader::Malformed;

/// Whether the end of a tunnel takes messages for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalDelivery {
    /// It does: the tunnel is an inbound one of ours.
    Taken,
    /// It does not: an endpoint works for somebody else.
    Refused,
}

/// What a reassembler may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReassemblyLimits {
    /// Bytes of one message.
    pub message_bytes_max: usize,
    /// Bytes of all incomplete messages.
    pub tunnel_bytes_max: usize,
    /// Incomplete messages.
    pub messages_max: usize,
    /// How long a message may stay incomplete.
    pub age_max: Duration,
}

impl Default for ReassemblyLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 64 * 1024,
            tunnel_bytes_max: 256 * 1024,
            messages_max: 32,
            age_max: Duration::from_secs(60),
        }
    }
}

/// A whole message out of a tunnel. Its expiration has not been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Where it goes.
    pub delivery: Delivery,
    /// The message.
    pub message: I2npMessage,
}

/// Why something that came down a tunnel is dropped. `message` is the id that ties fragments together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReassemblyError {
    /// Tunnel message, instructions or the message inside break the format; a wrong checksum too.
    #[error("tunnel message: {0}")]
    Malformed(#[from] Malformed),
    /// A message for the endpoint itself.
    #[error("local delivery at an outbound endpoint")]
    LocalRefused,
    /// The same fragment again.
    #[error("fragment {number} of message {message:#010x} came again")]
    Repeated {
        /// Of which message.
        message: u32,
        /// Its place.
        number: u8,
    },
    /// Another fragment in a place that is taken; the first is kept.
    #[error("fragment {number} of message {message:#010x} came with other content")]
    Overlapping {
        /// Of which message.
        message: u32,
        /// Its place.
        number: u8,
    },
    /// A fragment behind the one that is marked as the last, or a mark before one that is there.
    #[error("fragment {number} of message {message:#010x} contradicts its end")]
    PastEnd {
        /// Of which message.
        message: u32,
        /// Its place.
        number: u8,
    },
    /// The fragments are more than a message may be; all are dropped.
    #[error("message {message:#010x} of {bytes} bytes and more, the limit is {limit}")]
    TooLarge {
        /// Which message.
        message: u32,
        /// Bytes that there are.
        bytes: usize,
        /// Bytes that there may be.
        limit: usize,
    },
    /// An incomplete message had to give way to a newer one.
    #[error("message {message:#010x} with {bytes} bytes gave way to a newer one")]
    CrowdedOut {
        /// Which message.
        message: u32,
        /// Bytes that were there.
        bytes: usize,
    },
    /// A message was not complete in time.
    #[error("message {message:#010x} with {bytes} bytes was not complete in time")]
    TimedOut {
        /// Which message.
        message: u32,
        /// Bytes that were there.
        bytes: usize,
    },
}

/// What came of tunnel messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reassembled {
    /// Whole messages, in the order in which they became whole.
    pub delivered: Vec<Delivered>,
    /// What was dropped.
    pub dropped: Vec<ReassemblyError>,
}

/// The incomplete messages of one tunnel.
#[derive(Debug)]
pub struct Reassembler {
    limits: ReassemblyLimits,
    local: LocalDelivery,
    /// In the order in which they began.
    partial: VecDeque<Partial>,
    bytes: usize,
}

#[derive(Debug)]
struct Partial {
    message: u32,
    started: Instant,
    /// From the first fragment.
    delivery: Option<Delivery>,
    /// Number of the last fragment, from that fragment.
    last: Option<u8>,
    /// Ordered by number; the first fragment is 0.
    parts: Vec<(u8, Vec<u8>)>,
    bytes: usize,
}

/// A fragment of an incomplete message, whatever its kind.
#[derive(Clone, Copy)]
struct Part<'a> {
    message: u32,
    number: u8,
    delivery: Option<Delivery>,
    last: bool,
    data: &'a [u8],
}

impl Reassembler {
    /// An empty reassembler.
    #[must_use]
    pub fn new(limits: ReassemblyLimits, local: LocalDelivery) -> Self {
        Self { limits, local, partial: VecDeque::new(), bytes: 0 }
    }

    /// Takes a tunnel message with all layers off: IV and payload.
    pub fn handle_payload(
        &mut self,
        cleartext: &[u8; TUNNEL_LAYER_SIZE],
        now: Instant,
        out: &mut Reassembled,
    ) {
        self.expire(now, out);
        let fragments = match parse_tunnel_payload(cleartext) {
            Ok(fragments) => fragments,
            Err(error) => return out.dropped.push(error.into()),
        };
        for fragment in fragments {
            let result = fragment.map_err(ReassemblyError::from);
            match result.and_then(|fragment| self.handle_fragment(fragment, now, out)) {
                Ok(Some(delivered)) => out.delivered.push(delivered),
                Ok(None) => {}
                Err(error) => out.dropped.push(error),
            }
        }
    }

    /// Drops what was not complete in time.
    pub fn expire(&mut self, now: Instant, out: &mut Reassembled) {
        while let Some(oldest) = self.partial.front()
            && now.since(oldest.started) >= self.limits.age_max
        {
            let (message, bytes) = (oldest.message, oldest.bytes);
            self.remove(0);
            out.dropped.push(ReassemblyError::TimedOut { message, bytes });
        }
    }

    /// When [`Reassembler::expire`] has something to do next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.partial.front().map(|oldest| oldest.started + self.limits.age_max)
    }

    /// Bytes of all incomplete messages.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// How many messages are incomplete.
    #[must_use]
    pub fn held_messages(&self) -> usize {
        self.partial.len()
    }

    fn handle_fragment(
        &mut self,
        fragment: Fragment<'_>,
        now: Instant,
        out: &mut Reassembled,
    ) -> Result<Option<Delivered>, ReassemblyError> {
        let part = match fragment {
            Fragment::First { delivery, message: None, data } => {
                self.check_delivery(&delivery)?;
                return deliver(delivery, data).map(Some);
            }
            Fragment::First { delivery, message: Some(message), data } => {
                if let Err(error) = self.check_delivery(&delivery) {
                    self.forget(message);
                    return Err(error);
                }
                Part { message, number: 0, delivery: Some(delivery), last: false, data }
            }
            Fragment::Follow { message, number, last, data } => {
                Part { message, number, delivery: None, last, data }
            }
        };
        self.keep(part, now, out)
    }

    fn check_delivery(&self, delivery: &Delivery) -> Result<(), ReassemblyError> {
        match (delivery, self.local) {
            (Delivery::Local, LocalDelivery::Refused) => Err(ReassemblyError::LocalRefused),
            (Delivery::Local, LocalDelivery::Taken)
            | (Delivery::Router(_) | Delivery::Tunnel { .. }, _) => Ok(()),
        }
    }

    /// Adds a fragment to its message, which is taken out if it is complete then.
    fn keep(
        &mut self,
        part: Part<'_>,
        now: Instant,
        out: &mut Reassembled,
    ) -> Result<Option<Delivered>, ReassemblyError> {
        let message = part.message;
        let found = self.partial.iter().position(|partial| partial.message == message);
        let index = found.unwrap_or_else(|| self.begin(message, now, out));
        let Some(partial) = self.partial.get_mut(index) else { return Ok(None) };
        partial.add(part)?;
        self.bytes += part.data.len();
        let (bytes, limit) = (partial.bytes, self.limits.message_bytes_max);
        if bytes > limit {
            self.remove(index);
            return Err(ReassemblyError::TooLarge { message, bytes, limit });
        }
        if let Some((delivery, whole)) = partial.complete() {
            self.remove(index);
            return deliver(delivery, &whole).map(Some);
        }
        self.make_room(message, out);
        Ok(None)
    }

    /// Makes a place for a new message, and says where.
    fn begin(&mut self, message: u32, now: Instant, out: &mut Reassembled) -> usize {
        if self.partial.len() >= self.limits.messages_max {
            self.crowd_out(0, out);
        }
        self.partial.push_back(Partial {
            message,
            started: now,
            delivery: None,
            last: None,
            parts: Vec::new(),
            bytes: 0,
        });
        self.partial.len() - 1
    }

    /// Drops the oldest messages other than `kept` until all fit.
    fn make_room(&mut self, kept: u32, out: &mut Reassembled) {
        while self.bytes > self.limits.tunnel_bytes_max {
            let Some(index) = self.partial.iter().position(|other| other.message != kept) else {
                return;
            };
            self.crowd_out(index, out);
        }
    }

    fn crowd_out(&mut self, index: usize, out: &mut Reassembled) {
        if let Some(Partial { message, bytes, .. }) = self.remove(index) {
            out.dropped.push(ReassemblyError::CrowdedOut { message, bytes });
        }
    }

    fn forget(&mut self, message: u32) {
        if let Some(index) = self.partial.iter().position(|partial| partial.message == message) {
            self.remove(index);
        }
    }

    fn remove(&mut self, index: usize) -> Option<Partial> {
        let partial = self.partial.remove(index)?;
        self.bytes = self.bytes.saturating_sub(partial.bytes);
        if self.partial.is_empty() {
            // Most tunnels are idle most of the time, and keep nothing for the next message.
            self.partial = VecDeque::new();
        }
        Some(partial)
    }
}

impl Partial {
    fn add(&mut self, part: Part<'_>) -> Result<(), ReassemblyError> {
        let Part { message, number, .. } = part;
        let place = match self.parts.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(taken) => {
                let same = self.parts.get(taken).is_some_and(|(_, data)| data == part.data);
                return Err(if same {
                    ReassemblyError::Repeated { message, number }
                } else {
                    ReassemblyError::Overlapping { message, number }
                });
            }
            Err(place) => place,
        };
        let is_past = self.last.is_some_and(|last| number > last || part.last);
        let is_early = part.last && self.parts.last().is_some_and(|(end, _)| *end > number);
        if is_past || is_early {
            return Err(ReassemblyError::PastEnd { message, number });
        }
        self.parts.insert(place, (number, part.data.to_vec()));
        self.bytes += part.data.len();
        self.delivery = self.delivery.or(part.delivery);
        if part.last {
            self.last = Some(number);
        }
        Ok(())
    }

    /// The message and its destination, if every fragment is there.
    fn complete(&self) -> Option<(Delivery, Vec<u8>)> {
        let delivery = self.delivery?;
        if self.parts.len() != usize::from(self.last?) + 1 {
            return None;
        }
        let mut whole = Vec::with_capacity(self.bytes);
        for (_, data) in &self.parts {
            whole.extend_from_slice(data);
        }
        Some((delivery, whole))
    }
}

fn deliver(delivery: Delivery, bytes: &[u8]) -> Result<Delivered, ReassemblyError> {
    let (message, size) = I2npMessage::parse_standard(bytes)?;
    let left = bytes.len().saturating_sub(size);
    if left > 0 {
        return Err(Malformed::Trailing { left }.into());
    }
    Ok(Delivered { delivery, message })
}

#[cfg(test)]
mod tests;
