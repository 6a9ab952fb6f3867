//! The cleartext of a tunnel message: delivery instructions and the fragments behind them. Spec: Tunnel message.
//!
//! A cleartext is IV 16, checksum 4, padding without zeros, one zero, then instructions and fragments to its end.

use crate::base::id::{RouterHash, TunnelId};
use crate::base::rng::ShardRng;
use crate::crypto::hash::sha256_parts;
use crate::wire::Malformed;
use crate::wire::i2np::tunnel_data::{TUNNEL_IV_SIZE, TUNNEL_LAYER_SIZE};
use crate::wire::reader::Reader;

/// Most bytes of instructions and fragments in one tunnel message.
pub const TUNNEL_SPACE: usize = TUNNEL_LAYER_SIZE - TUNNEL_IV_SIZE - CHECKSUM_SIZE - 1;
/// Most fragments of one message: the first and 63 that follow.
pub const FRAGMENTS_MAX: usize = 64;
/// Bytes of the instructions before a follow-on fragment.
pub const FOLLOW_INSTRUCTIONS_SIZE: usize = 7;

const CHECKSUM_SIZE: usize = 4;
const FOLLOW_BIT: u8 = 0x80;
const LAST_BIT: u8 = 0x01;
const DELAY_BIT: u8 = 0x10;
const FRAGMENTED_BIT: u8 = 0x08;
const EXTENDED_BIT: u8 = 0x04;

const _: () = assert!(TUNNEL_SPACE == 1003);

/// Where the end of a tunnel sends a message. The order of fields differs from that in garlic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Nowhere: it is for the end of the tunnel itself. In inbound tunnels only.
    Local,
    /// To a router.
    Router(RouterHash),
    /// Into another tunnel.
    Tunnel {
        /// That tunnel's gateway.
        gateway: RouterHash,
        /// The tunnel, as its gateway names it.
        tunnel: TunnelId,
    },
}

/// A message inside a tunnel, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment<'a> {
    /// A whole message, or the first part of one.
    First {
        /// Where the message goes.
        delivery: Delivery,
        /// `None` for a whole message; otherwise the id that the following fragments repeat.
        message: Option<u32>,
        /// The message's bytes, from its standard header on.
        data: &'a [u8],
    },
    /// A later part.
    Follow {
        /// The id that the first fragment gave.
        message: u32,
        /// Its place, 1 to 63.
        number: u8,
        /// Whether it is the last.
        last: bool,
        /// The bytes that come next.
        data: &'a [u8],
    },
}

impl<'a> Fragment<'a> {
    /// The fragment's bytes, without its instructions.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        match self {
            Self::First { data, .. } | Self::Follow { data, .. } => data,
        }
    }

    /// Bytes that the fragment takes in a tunnel message, with its instructions.
    #[must_use]
    pub fn size(&self) -> usize {
        let instructions = match self {
            Self::First { delivery, message, .. } => {
                first_instructions_size(delivery, message.is_some())
            }
            Self::Follow { .. } => FOLLOW_INSTRUCTIONS_SIZE,
        };
        instructions + self.data().len()
    }
}

/// Bytes of the instructions before a whole message: 3, 35 or 39.
#[must_use]
pub fn whole_instructions_size(delivery: &Delivery) -> usize {
    first_instructions_size(delivery, false)
}

/// Bytes of the instructions before the first part of a message: 7, 39 or 43.
#[must_use]
pub fn split_instructions_size(delivery: &Delivery) -> usize {
    first_instructions_size(delivery, true)
}

fn first_instructions_size(delivery: &Delivery, split: bool) -> usize {
    let place = match delivery {
        Delivery::Local => 0,
        Delivery::Router(_) => 32,
        Delivery::Tunnel { .. } => 36,
    };
    3 + place + if split { 4 } else { 0 }
}

/// The fragments of one tunnel message, in order; made by [`parse_tunnel_payload`]. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Fragments<'a> {
    reader: Reader<'a>,
    failed: bool,
}

/// Checks the cleartext of a tunnel message and reads its fragments. One that is all padding has none.
///
/// # Errors
/// `Truncated` when no zero ends the padding, `Checksum` when the checksum is not that of what follows.
pub fn parse_tunnel_payload(
    cleartext: &[u8; TUNNEL_LAYER_SIZE],
) -> Result<Fragments<'_>, Malformed> {
    let mut reader = Reader::new(cleartext);
    let iv = reader.array::<TUNNEL_IV_SIZE>("IV of tunnel message")?;
    let checksum = reader.array::<CHECKSUM_SIZE>("checksum of tunnel message")?;
    let padded = reader.rest();
    let end = padded.iter().position(|byte| *byte == 0).ok_or(Malformed::Truncated {
        field: "padding of tunnel message",
        needed: padded.len() + 1,
        left: padded.len(),
    })?;
    let space = padded.get(end + 1..).unwrap_or(&[]);
    if checksum_of(space, iv) != *checksum {
        return Err(Malformed::Checksum { field: "tunnel message" });
    }
    Ok(Fragments { reader: Reader::new(space), failed: false })
}

fn checksum_of(space: &[u8], iv: &[u8; TUNNEL_IV_SIZE]) -> [u8; CHECKSUM_SIZE] {
    let [a, b, c, d, ..] = sha256_parts(&[space, iv]);
    [a, b, c, d]
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Result<Fragment<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.left() == 0 {
            return None;
        }
        let fragment = read_fragment(&mut self.reader);
        self.failed = fragment.is_err();
        Some(fragment)
    }
}

fn read_fragment<'a>(reader: &mut Reader<'a>) -> Result<Fragment<'a>, Malformed> {
    let flag = reader.u8("flag of fragment")?;
    if flag & FOLLOW_BIT != 0 {
        return read_follow(reader, flag);
    }
    let delivery = read_delivery(reader, flag)?;
    if flag & DELAY_BIT != 0 {
        reader.u8("delay of fragment")?;
    }
    let message = match flag & FRAGMENTED_BIT {
        0 => None,
        _ => Some(reader.u32("message id of fragment")?),
    };
    if flag & EXTENDED_BIT != 0 {
        let size = reader.u8("extended options of fragment")?;
        reader.take(usize::from(size), "extended options of fragment")?;
    }
    Ok(Fragment::First { delivery, message, data: read_data(reader)? })
}

fn read_follow<'a>(reader: &mut Reader<'a>, flag: u8) -> Result<Fragment<'a>, Malformed> {
    let number = (flag >> 1) & 0x3f;
    if number == 0 {
        return Err(Malformed::Value { field: "number of follow-on fragment", found: 0 });
    }
    let message = reader.u32("message id of fragment")?;
    let last = flag & LAST_BIT != 0;
    Ok(Fragment::Follow { message, number, last, data: read_data(reader)? })
}

fn read_delivery(reader: &mut Reader<'_>, flag: u8) -> Result<Delivery, Malformed> {
    let field = "delivery of fragment";
    match (flag >> 5) & 3 {
        0 => Ok(Delivery::Local),
        1 => {
            let tunnel = TunnelId::from_wire(*reader.array::<4>(field)?)
                .ok_or(Malformed::ZeroTunnelId { field })?;
            let gateway = RouterHash(*reader.array::<32>(field)?);
            Ok(Delivery::Tunnel { gateway, tunnel })
        }
        2 => Ok(Delivery::Router(RouterHash(*reader.array::<32>(field)?))),
        _ => Err(Malformed::Value { field, found: u32::from(flag) }),
    }
}

fn read_data<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let size = reader.u16("size of fragment")?;
    reader.take(usize::from(size), "data of fragment")
}

/// Appends `fragment` with its instructions.
pub fn append_fragment(out: &mut Vec<u8>, fragment: &Fragment<'_>) {
    match *fragment {
        Fragment::First { delivery, message, data: _ } => {
            let split = if message.is_some() { FRAGMENTED_BIT } else { 0 };
            append_delivery(out, &delivery, split);
            if let Some(message) = message {
                out.extend_from_slice(&message.to_be_bytes());
            }
        }
        Fragment::Follow { message, number, last, data: _ } => {
            debug_assert!((1..64).contains(&number), "follow-on fragment {number}");
            let last = if last { LAST_BIT } else { 0 };
            out.push(FOLLOW_BIT | ((number & 0x3f) << 1) | last);
            out.extend_from_slice(&message.to_be_bytes());
        }
    }
    let data = fragment.data();
    debug_assert!(data.len() <= TUNNEL_SPACE, "fragment of {} bytes", data.len());
    out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(data);
}

fn append_delivery(out: &mut Vec<u8>, delivery: &Delivery, flags: u8) {
    match delivery {
        Delivery::Local => out.push(flags),
        Delivery::Tunnel { gateway, tunnel } => {
            out.push(flags | 1 << 5);
            out.extend_from_slice(&tunnel.to_wire());
            out.extend_from_slice(&gateway.0);
        }
        Delivery::Router(router) => {
            out.push(flags | 2 << 5);
            out.extend_from_slice(&router.0);
        }
    }
}

/// Fills the cleartexts of tunnel messages, one after the other.
#[derive(Debug, Default)]
pub struct TunnelMessageBuilder {
    space: Vec<u8>,
}

impl TunnelMessageBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self { space: Vec::with_capacity(TUNNEL_SPACE) }
    }

    /// Takes a buffer out of `spare`, unless it has one or there is none. What is in the buffer is discarded.
    pub fn take_buffer(&mut self, spare: &mut Vec<Vec<u8>>) {
        if self.space.capacity() == 0
            && let Some(mut buffer) = spare.pop()
        {
            buffer.clear();
            self.space = buffer;
        }
    }

    /// Gives its buffer away, for another to fill; none while something has been pushed.
    #[must_use]
    pub fn give_buffer(&mut self) -> Option<Vec<u8>> {
        let idle = self.space.is_empty() && self.space.capacity() > 0;
        idle.then(|| std::mem::take(&mut self.space))
    }

    /// Bytes that are left for instructions and fragments, at most [`TUNNEL_SPACE`].
    #[must_use]
    pub fn left(&self) -> usize {
        TUNNEL_SPACE.saturating_sub(self.space.len())
    }

    /// Whether nothing has been pushed since the last message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.space.is_empty()
    }

    /// Adds a fragment with its instructions.
    ///
    /// # Errors
    /// `TooLarge`, and nothing changes, when it takes more than [`TunnelMessageBuilder::left`].
    pub fn push(&mut self, fragment: &Fragment<'_>) -> Result<(), Malformed> {
        let (limit, found) = (self.left(), fragment.size());
        if found > limit {
            return Err(Malformed::TooLarge { field: "fragment", limit, found });
        }
        append_fragment(&mut self.space, fragment);
        Ok(())
    }

    /// The message's cleartext, with a random IV and random padding; the builder is empty afterwards.
    #[must_use]
    pub fn finish(&mut self, rng: &mut ShardRng) -> [u8; TUNNEL_LAYER_SIZE] {
        let mut cleartext: [u8; TUNNEL_LAYER_SIZE] = rng.bytes();
        let (iv, rest) = cleartext.split_at_mut(TUNNEL_IV_SIZE);
        let (checksum, rest) = rest.split_at_mut(CHECKSUM_SIZE);
        let (padding, rest) = rest.split_at_mut(self.left());
        let iv: &[u8; TUNNEL_IV_SIZE] = (&*iv).try_into().expect("split at the size of an IV");
        checksum.copy_from_slice(&checksum_of(&self.space, iv));
        for byte in padding.iter_mut().filter(|byte| **byte == 0) {
            *byte = u8::try_from(1 + rng.below(255)).unwrap_or(1);
        }
        if let Some((zero, space)) = rest.split_first_mut() {
            *zero = 0;
            space.copy_from_slice(&self.space);
        }
        self.space.clear();
        cleartext
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GATEWAY: RouterHash = RouterHash([0x11; 32]);

    fn rng() -> ShardRng {
        ShardRng::from_seed([7; 32])
    }

    fn into_tunnel() -> Delivery {
        Delivery::Tunnel { gateway: GATEWAY, tunnel: TunnelId::new(0x0102_0304).unwrap() }
    }

    fn first(delivery: Delivery, message: Option<u32>, data: &[u8]) -> Fragment<'_> {
        Fragment::First { delivery, message, data }
    }

    fn all(cleartext: &[u8; 1024]) -> Result<Vec<Fragment<'_>>, Malformed> {
        parse_tunnel_payload(cleartext)?.collect()
    }

    /// A cleartext without padding check: `space` stands at the end, behind padding of 0xff.
    fn around(space: &[u8]) -> [u8; 1024] {
        let mut cleartext = [0xff; 1024];
        let start = 1024 - space.len();
        cleartext[start..].copy_from_slice(space);
        cleartext[start - 1] = 0;
        let sum = checksum_of(space, &[0xff; 16]);
        cleartext[16..20].copy_from_slice(&sum);
        cleartext
    }

    #[test]
    fn instructions_byte_by_byte() {
        let follow = Fragment::Follow { message: 5, number: 3, last: true, data: &[9] };
        let more = Fragment::Follow { message: 5, number: 63, last: false, data: &[9] };
        let hash = [0x11; 32];
        for (fragment, expected) in [
            (first(Delivery::Local, None, &[8, 9]), vec![0, 0, 2, 8, 9]),
            (first(Delivery::Local, Some(5), &[9]), vec![0x08, 0, 0, 0, 5, 0, 1, 9]),
            (
                first(Delivery::Router(GATEWAY), None, &[9]),
                [&[0x40][..], &hash, &[0, 1, 9]].concat(),
            ),
            (
                first(Delivery::Router(GATEWAY), Some(5), &[9]),
                [&[0x48][..], &hash, &[0, 0, 0, 5, 0, 1, 9]].concat(),
            ),
            (
                first(into_tunnel(), None, &[9]),
                [&[0x20, 1, 2, 3, 4][..], &hash, &[0, 1, 9]].concat(),
            ),
            (
                first(into_tunnel(), Some(5), &[9]),
                [&[0x28, 1, 2, 3, 4][..], &hash, &[0, 0, 0, 5, 0, 1, 9]].concat(),
            ),
            (follow, vec![0x87, 0, 0, 0, 5, 0, 1, 9]),
            (more, vec![0xfe, 0, 0, 0, 5, 0, 1, 9]),
        ] {
            let mut out = Vec::new();
            append_fragment(&mut out, &fragment);
            assert_eq!(out, expected);
            assert_eq!(fragment.size(), expected.len());
            assert_eq!(all(&around(&out)), Ok(vec![fragment]));
            for length in 1..out.len() {
                assert!(all(&around(&out[..length])).is_err(), "{length} of {}", out.len());
            }
        }
    }

    #[test]
    fn instruction_sizes_are_those_of_the_specification() {
        for (delivery, whole, split) in
            [(Delivery::Local, 3, 7), (Delivery::Router(GATEWAY), 35, 39), (into_tunnel(), 39, 43)]
        {
            assert_eq!(whole_instructions_size(&delivery), whole);
            assert_eq!(split_instructions_size(&delivery), split);
        }
    }

    #[test]
    fn delay_and_extended_options_are_passed_over() {
        let space = [0x1c, 77, 0, 0, 0, 5, 2, 1, 1, 0, 1, 9];
        let expected = first(Delivery::Local, Some(5), &[9]);
        assert_eq!(all(&around(&space)), Ok(vec![expected]));
    }

    #[test]
    fn what_no_router_sends_is_refused() {
        assert!(matches!(all(&around(&[0x60, 0, 0])), Err(Malformed::Value { found: 0x60, .. })));
        let zero = [0x80, 0, 0, 0, 1, 0, 0];
        assert!(matches!(all(&around(&zero)), Err(Malformed::Value { found: 0, .. })));
        let mut tunnel_zero = [0; 40];
        tunnel_zero[0] = 0x20;
        assert!(matches!(all(&around(&tunnel_zero)), Err(Malformed::ZeroTunnelId { .. })));
        let unended = Err(Malformed::Truncated {
            field: "padding of tunnel message",
            needed: 1005,
            left: 1004,
        });
        assert_eq!(all(&[1; 1024]), unended);
        let mut cleartext = around(&[0, 0, 1, 7]);
        cleartext[1023] ^= 1;
        assert_eq!(all(&cleartext), Err(Malformed::Checksum { field: "tunnel message" }));
    }

    #[test]
    fn a_message_is_padded_in_front_without_zeros() {
        let mut builder = TunnelMessageBuilder::new();
        assert!(builder.is_empty());
        builder.push(&first(Delivery::Local, None, &[1, 2])).unwrap();
        builder.push(&first(into_tunnel(), Some(9), &[3])).unwrap();
        assert_eq!(builder.left(), 1003 - 5 - 44);
        let cleartext = builder.finish(&mut rng());
        assert!(builder.is_empty());
        let padding = &cleartext[20..20 + 954];
        assert!(padding.iter().all(|byte| *byte != 0));
        assert!(padding.iter().any(|byte| *byte != padding[0]));
        assert_eq!(cleartext[974], 0);
        assert_eq!(cleartext[975..980], [0, 0, 2, 1, 2]);
        let expected = [first(Delivery::Local, None, &[1, 2]), first(into_tunnel(), Some(9), &[3])];
        assert_eq!(all(&cleartext).unwrap(), expected);
    }

    #[test]
    fn a_full_and_an_empty_message_hold() {
        let mut builder = TunnelMessageBuilder::new();
        let data = [5; 1000];
        builder.push(&first(Delivery::Local, None, &data)).unwrap();
        assert_eq!(builder.left(), 0);
        let refusal = Malformed::TooLarge { field: "fragment", limit: 0, found: 3 };
        assert_eq!(builder.push(&first(Delivery::Local, None, &[])), Err(refusal));
        let cleartext = builder.finish(&mut rng());
        assert_eq!(cleartext[20], 0);
        assert_eq!(all(&cleartext).unwrap(), [first(Delivery::Local, None, &data)]);
        assert_eq!(all(&builder.finish(&mut rng())), Ok(vec![]));
    }

    fn any_fragment() -> impl Strategy<Value = (u8, u32, u32, u8, Vec<u8>)> {
        (0u8..7, 1u32.., any::<u32>(), 1u8..64, proptest::collection::vec(any::<u8>(), 0..300))
    }

    fn make(parts: &(u8, u32, u32, u8, Vec<u8>)) -> Fragment<'_> {
        let (kind, tunnel, message, number, data) = parts;
        let tunnel = TunnelId::new(*tunnel).unwrap();
        let delivery = match kind % 3 {
            0 => Delivery::Local,
            1 => Delivery::Router(GATEWAY),
            _ => Delivery::Tunnel { gateway: GATEWAY, tunnel },
        };
        match kind {
            0..3 => first(delivery, None, data),
            3..6 => first(delivery, Some(*message), data),
            _ => Fragment::Follow {
                message: *message,
                number: *number,
                last: message % 2 == 0,
                data,
            },
        }
    }

    proptest! {
        #[test]
        fn any_fragments_survive(parts in proptest::collection::vec(any_fragment(), 0..6), seed: [u8; 32]) {
            let mut builder = TunnelMessageBuilder::new();
            let mut pushed = Vec::new();
            for fragment in parts.iter().map(make) {
                if builder.push(&fragment).is_ok() {
                    pushed.push(fragment);
                }
            }
            let cleartext = builder.finish(&mut ShardRng::from_seed(seed));
            prop_assert_eq!(all(&cleartext), Ok(pushed));
        }

        #[test]
        fn any_instructions_give_errors_or_fragments(space in proptest::collection::vec(any::<u8>(), 1..300)) {
            let cleartext = around(&space);
            prop_assert!(parse_tunnel_payload(&cleartext).unwrap().count() <= space.len());
        }

        #[test]
        fn a_flipped_bit_is_noticed_behind_the_padding(at in 0usize..1000, bit in 0u8..8) {
            let mut builder = TunnelMessageBuilder::new();
            builder.push(&first(Delivery::Local, None, &[5; 997])).unwrap();
            let mut cleartext = builder.finish(&mut rng());
            cleartext[24 + at] ^= 1 << bit;
            prop_assert_eq!(all(&cleartext), Err(Malformed::Checksum { field: "tunnel message" }));
        }
    }
}
