//! Packs I2NP messages into tunnel messages: several into one where they fit, a large one into several.
//!
//! Spec: tunnel message, delivery instructions; tunnel implementation, gateway processing.

use crate::base::id::MessageId;
use crate::base::limits::I2NP_BODY_MAX;
use crate::base::rng::ShardRng;
use crate::wire::delivery::{
    Delivery, FOLLOW_INSTRUCTIONS_SIZE, FRAGMENTS_MAX, Fragment, TUNNEL_SPACE,
    TunnelMessageBuilder, split_instructions_size, whole_instructions_size,
};
use crate::wire::i2np::tunnel_data::TUNNEL_LAYER_SIZE;
use crate::wire::i2np::{I2npMessage, STANDARD_HEADER_SIZE};

/// Data that a follow-on fragment holds.
const FOLLOW_DATA_MAX: usize = TUNNEL_SPACE - FOLLOW_INSTRUCTIONS_SIZE;
/// The largest instructions before the first of several fragments.
const SPLIT_INSTRUCTIONS_MAX: usize = 43;
/// Data that makes it worth while to start a message in the rest of another tunnel message.
const START_DATA_MIN: usize = 64;

const _: () = assert!(
    STANDARD_HEADER_SIZE + I2NP_BODY_MAX
        <= TUNNEL_SPACE - SPLIT_INSTRUCTIONS_MAX + (FRAGMENTS_MAX - 1) * FOLLOW_DATA_MAX
);

/// The message is larger than any I2NP message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message of {bytes} bytes, the limit is {limit}")]
pub struct MessageTooLarge {
    /// Its size with its standard header.
    pub bytes: usize,
    /// What 64 fragments hold.
    pub limit: usize,
}

/// A message for the end of a tunnel to deliver.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Where it goes from there.
    pub delivery: Delivery,
    /// Its id, which also ties its fragments together.
    pub id: MessageId,
    /// The message under its standard header.
    pub bytes: &'a [u8],
}

/// The one tunnel message that is being filled. Holds at most its 1003 bytes.
#[derive(Debug, Default)]
pub struct Fragmenter {
    builder: TunnelMessageBuilder,
}

impl Fragmenter {
    /// An empty fragmenter; it takes no memory before its first message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message. Tunnel messages that are full as a result go to `out`: IV and payload, no layer applied.
    /// The last stays open for what comes next, until [`Fragmenter::flush`].
    ///
    /// # Errors
    /// [`MessageTooLarge`]; nothing was added then.
    pub fn push(
        &mut self,
        message: &Outgoing<'_>,
        rng: &mut ShardRng,
        out: &mut Vec<[u8; TUNNEL_LAYER_SIZE]>,
    ) -> Result<(), MessageTooLarge> {
        let (bytes, limit) = (message.bytes.len(), STANDARD_HEADER_SIZE + I2NP_BODY_MAX);
        if bytes > limit {
            return Err(MessageTooLarge { bytes, limit });
        }
        if !self.builder.is_empty() && !self.is_worth_filling(message) {
            out.push(self.builder.finish(rng));
        }
        if whole_instructions_size(&message.delivery) + bytes <= self.builder.left() {
            let whole =
                Fragment::First { delivery: message.delivery, message: None, data: message.bytes };
            self.append(&whole);
        } else {
            self.split(message, rng, out);
        }
        Ok(())
    }

    /// As [`Fragmenter::push`], for a message that is not yet encoded.
    ///
    /// # Errors
    /// [`MessageTooLarge`].
    pub fn push_message(
        &mut self,
        delivery: Delivery,
        message: &I2npMessage,
        rng: &mut ShardRng,
        out: &mut Vec<[u8; TUNNEL_LAYER_SIZE]>,
    ) -> Result<(), MessageTooLarge> {
        let bytes = message.encode_standard();
        self.push(&Outgoing { delivery, id: message.id, bytes: &bytes }, rng, out)
    }

    /// Closes the tunnel message that is being filled, if there is one.
    pub fn flush(&mut self, rng: &mut ShardRng, out: &mut Vec<[u8; TUNNEL_LAYER_SIZE]>) {
        if !self.builder.is_empty() {
            out.push(self.builder.finish(rng));
        }
    }

    /// Takes a buffer out of `spare`, unless it has one or there is none.
    pub fn take_buffer(&mut self, spare: &mut Vec<Vec<u8>>) {
        self.builder.take_buffer(spare);
    }

    /// Gives its buffer away, for another to fill; none while something waits for [`Fragmenter::flush`].
    #[must_use]
    pub fn give_buffer(&mut self) -> Option<Vec<u8>> {
        self.builder.give_buffer()
    }

    /// Whether nothing waits for [`Fragmenter::flush`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// Whether starting the message in what is left of the open tunnel message saves one: a message that is spread
    /// over more tunnel messages than it must be is lost more easily.
    fn is_worth_filling(&self, message: &Outgoing<'_>) -> bool {
        let alone = parts(message, TUNNEL_SPACE).unwrap_or(FRAGMENTS_MAX);
        parts(message, self.builder.left())
            .is_some_and(|here| here <= alone && here <= FRAGMENTS_MAX)
    }

    fn split(
        &mut self,
        message: &Outgoing<'_>,
        rng: &mut ShardRng,
        out: &mut Vec<[u8; TUNNEL_LAYER_SIZE]>,
    ) {
        let room = self.builder.left().saturating_sub(split_instructions_size(&message.delivery));
        let (first, rest) = message.bytes.split_at(room.min(message.bytes.len()));
        let MessageId(id) = message.id;
        self.append(&Fragment::First {
            delivery: message.delivery,
            message: Some(id),
            data: first,
        });
        let count = rest.len().div_ceil(FOLLOW_DATA_MAX);
        for (data, number) in rest.chunks(FOLLOW_DATA_MAX).zip(1u8..) {
            out.push(self.builder.finish(rng));
            let last = usize::from(number) == count;
            self.append(&Fragment::Follow { message: id, number, last, data });
        }
    }

    fn append(&mut self, fragment: &Fragment<'_>) {
        let pushed = self.builder.push(fragment);
        debug_assert!(pushed.is_ok(), "a fragment larger than the room that was computed for it");
    }
}

/// How many tunnel messages hold a part of `message` when it starts in one with `room` bytes left; `None` when
/// too little of it would be in the first.
fn parts(message: &Outgoing<'_>, room: usize) -> Option<usize> {
    let bytes = message.bytes.len();
    if whole_instructions_size(&message.delivery) + bytes <= room {
        return Some(1);
    }
    let first = room.checked_sub(split_instructions_size(&message.delivery))?;
    if first < START_DATA_MIN {
        return None;
    }
    Some(1 + bytes.saturating_sub(first).div_ceil(FOLLOW_DATA_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::RouterHash;
    use crate::wire::delivery::parse_tunnel_payload;

    const ROUTER: Delivery = Delivery::Router(RouterHash([9; 32]));

    fn rng() -> ShardRng {
        ShardRng::from_seed([5; 32])
    }

    fn pack(sizes: &[usize], delivery: Delivery) -> Vec<Vec<(Option<u32>, usize)>> {
        let (mut fragmenter, mut rng, mut out) = (Fragmenter::new(), rng(), Vec::new());
        for (&size, id) in sizes.iter().zip(1..) {
            let bytes = vec![1; size];
            let message = Outgoing { delivery, id: MessageId(id), bytes: &bytes };
            fragmenter.push(&message, &mut rng, &mut out).unwrap();
        }
        fragmenter.flush(&mut rng, &mut out);
        assert!(fragmenter.is_empty());
        let describe = |fragment: Fragment<'_>| match fragment {
            Fragment::First { message, data, .. } => (message, data.len()),
            Fragment::Follow { message, data, .. } => (Some(message), data.len()),
        };
        let payloads = out.iter().map(|payload| parse_tunnel_payload(payload).unwrap());
        payloads.map(|fragments| fragments.map(|f| describe(f.unwrap())).collect()).collect()
    }

    #[test]
    fn small_messages_share_a_tunnel_message() {
        assert_eq!(
            pack(&[100, 200, 300], Delivery::Local),
            [[(None, 100), (None, 200), (None, 300)]]
        );
        assert_eq!(pack(&[968, 968], ROUTER), [[(None, 968)], [(None, 968)]]);
        assert_eq!(pack(&[1000], Delivery::Local), [[(None, 1000)]]);
    }

    #[test]
    fn a_message_one_byte_too_large_takes_two() {
        assert_eq!(pack(&[969], ROUTER), [[(Some(1), 964)], [(Some(1), 5)]]);
    }

    #[test]
    fn what_is_left_is_used_only_when_that_saves_a_tunnel_message() {
        let saves = pack(&[500, 1400], Delivery::Local);
        assert_eq!(saves, [vec![(None, 500), (Some(2), 493)], vec![(Some(2), 907)]]);
        let saves_none = pack(&[500, 900], Delivery::Local);
        assert_eq!(saves_none, [[(None, 500)], [(None, 900)]]);
        let tail = pack(&[1100, 300], Delivery::Local);
        assert_eq!(tail, [vec![(Some(1), 996)], vec![(Some(1), 104), (None, 300)]]);
    }

    #[test]
    fn the_largest_message_fits_and_a_larger_one_does_not() {
        let largest = STANDARD_HEADER_SIZE + I2NP_BODY_MAX;
        for delivery in [Delivery::Local, ROUTER] {
            let packed = pack(&[900, largest], delivery);
            assert!(packed.len() <= 1 + FRAGMENTS_MAX);
            let bytes: usize = packed.iter().flatten().map(|(_, size)| size).sum();
            assert_eq!(bytes, 900 + largest);
        }
        let bytes = vec![0; largest + 1];
        let message = Outgoing { delivery: ROUTER, id: MessageId(1), bytes: &bytes };
        let refused = Fragmenter::new().push(&message, &mut rng(), &mut Vec::new());
        assert_eq!(refused, Err(MessageTooLarge { bytes: largest + 1, limit: largest }));
    }
}
