//! The blocks of a garlic message that was sealed with ChaCha20-Poly1305.
//!
//! Spec: ECIES-X25519-AEAD-Ratchet, payload section.

use crate::base::limits::I2NP_BODY_MAX;
use crate::base::time::UnixTime;
use crate::wire::Malformed;
use crate::wire::i2np::garlic::{Clove, CloveDelivery, DELIVERY_MAX};
use crate::wire::i2np::{I2npMessage, SHORT_HEADER_SIZE};
use crate::wire::reader::Reader;

/// Bytes of a block's header: type 1, size 2.
pub const BLOCK_HEADER_SIZE: usize = 3;

const DATE_TIME: u8 = 0;
const TERMINATION: u8 = 4;
const OPTIONS: u8 = 5;
const MESSAGE_NUMBER: u8 = 6;
const NEXT_KEY: u8 = 7;
const ACK: u8 = 8;
const ACK_REQUEST: u8 = 9;
const CLOVE: u8 = 11;
const PADDING: u8 = 254;

const OPTIONS_BLOCK_MIN: usize = 21;

const FLAG_KEY: u8 = 0x01;
const FLAG_REVERSE: u8 = 0x02;
const FLAG_REQUEST_REVERSE: u8 = 0x04;
const NEXT_KEY_FLAGS: u8 = FLAG_KEY | FLAG_REVERSE | FLAG_REQUEST_REVERSE;

const _: () = assert!(DELIVERY_MAX + SHORT_HEADER_SIZE + I2NP_BODY_MAX <= u16::MAX as usize);

/// The key of the next ratchet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextKey<'a> {
    /// Its number, 0 to 32,767, which grows with every key of its sender.
    pub id: u16,
    /// The X25519 key; absent where the receiver has it already.
    pub key: Option<&'a [u8; 32]>,
    /// Whether it is for what the receiver sends, and not for what the sender of the block does.
    pub is_reverse: bool,
    /// Whether the receiver is asked for a key in return.
    pub requests_reverse: bool,
    /// Flag bits 7 to 3, which mean nothing yet.
    pub unused_flags: u8,
}

/// A message that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GarlicAck {
    /// Number of the tag set that its tag was from.
    pub tagset: u16,
    /// Number of its tag in there.
    pub message: u16,
}

/// Messages that have arrived, at least one, as they stand in their block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GarlicAcks<'a>(&'a [[u8; 4]]);

impl<'a> GarlicAcks<'a> {
    /// The messages in these bytes, two for the tag set and two for the message; `None` when there are none.
    #[must_use]
    pub fn new(acks: &'a [[u8; 4]]) -> Option<Self> {
        (!acks.is_empty()).then_some(Self(acks))
    }

    /// The messages, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = GarlicAck> + 'a {
        self.0.iter().map(|[a, b, c, d]| GarlicAck {
            tagset: u16::from_be_bytes([*a, *b]),
            message: u16::from_be_bytes([*c, *d]),
        })
    }
}

/// A block about the session of two destinations. Messages that stand for themselves, as routers send them, have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionBlock<'a> {
    /// The sender is about to forget the session.
    Termination {
        /// 0 for no reason, 1 as answer to a termination; others by agreement.
        reason: u8,
        /// Whatever else it says.
        data: &'a [u8],
    },
    /// Tag and padding parameters, at least 21 bytes, not read further: nobody sends them.
    Options(&'a [u8]),
    /// Number of the last message in the tag set before this one.
    MessageNumber(u16),
    /// The key of the next ratchet.
    NextKey(NextKey<'a>),
    /// Messages that have arrived.
    Acks(GarlicAcks<'a>),
    /// An acknowledgement is wanted. The byte means nothing yet.
    AckRequest(u8),
}

/// One block of an opened garlic message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GarlicBlock<'a> {
    /// The sender's clock.
    DateTime(UnixTime),
    /// A message.
    Clove(Clove),
    /// Something about the session.
    Session(SessionBlock<'a>),
    /// Padding.
    Padding(&'a [u8]),
    /// A block of another type.
    Unknown {
        /// Its type.
        kind: u8,
        /// What is behind its header.
        data: &'a [u8],
    },
}

/// The blocks of one opened garlic message, in order; made by [`parse_blocks`]. Ends after the first error.
#[derive(Clone, Debug)]
pub struct GarlicBlocks<'a> {
    reader: Reader<'a>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Padded,
    Failed,
}

/// Reads the blocks of an opened garlic message.
#[must_use]
pub fn parse_blocks(payload: &[u8]) -> GarlicBlocks<'_> {
    GarlicBlocks { reader: Reader::new(payload), state: State::Open }
}

impl<'a> Iterator for GarlicBlocks<'a> {
    type Item = Result<GarlicBlock<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Failed || self.reader.left() == 0 {
            return None;
        }
        let block = self.read_block();
        if block.is_err() {
            self.state = State::Failed;
        }
        Some(block)
    }
}

impl<'a> GarlicBlocks<'a> {
    fn read_block(&mut self) -> Result<GarlicBlock<'a>, Malformed> {
        let kind = self.reader.u8("garlic block type")?;
        let size = usize::from(self.reader.u16("garlic block size")?);
        let data = self.reader.take(size, "garlic block")?;
        if self.state == State::Padded {
            let found = u32::from(kind);
            return Err(Malformed::Value { field: "garlic block behind padding", found });
        }
        match kind {
            DATE_TIME => {
                let mut reader = Reader::new(data);
                let seconds = reader.u32("DateTime of garlic")?;
                reader.finish()?;
                Ok(GarlicBlock::DateTime(UnixTime::from_seconds(seconds)))
            }
            CLOVE => parse_clove(data).map(GarlicBlock::Clove),
            PADDING => {
                self.state = State::Padded;
                Ok(GarlicBlock::Padding(data))
            }
            TERMINATION | OPTIONS | MESSAGE_NUMBER | NEXT_KEY | ACK | ACK_REQUEST => {
                parse_session(kind, data).map(GarlicBlock::Session)
            }
            _ => Ok(GarlicBlock::Unknown { kind, data }),
        }
    }
}

fn parse_clove(data: &[u8]) -> Result<Clove, Malformed> {
    let mut reader = Reader::new(data);
    let delivery = CloveDelivery::parse(&mut reader)?;
    let message = I2npMessage::parse_short(reader.rest())?;
    Ok(Clove { delivery, message })
}

fn parse_session(kind: u8, data: &[u8]) -> Result<SessionBlock<'_>, Malformed> {
    let mut reader = Reader::new(data);
    let block = match kind {
        TERMINATION => {
            let reason = reader.u8("Termination of garlic")?;
            SessionBlock::Termination { reason, data: reader.rest() }
        }
        OPTIONS => {
            reader.clone().take(OPTIONS_BLOCK_MIN, "Options of garlic")?;
            SessionBlock::Options(reader.rest())
        }
        MESSAGE_NUMBER => SessionBlock::MessageNumber(reader.u16("MessageNumber of garlic")?),
        NEXT_KEY => SessionBlock::NextKey(parse_next_key(&mut reader)?),
        ACK => SessionBlock::Acks(parse_acks(&mut reader)?),
        _ => SessionBlock::AckRequest(reader.u8("AckRequest of garlic")?),
    };
    reader.finish()?;
    Ok(block)
}

fn parse_next_key<'a>(reader: &mut Reader<'a>) -> Result<NextKey<'a>, Malformed> {
    let field = "NextKey of garlic";
    let flags = reader.u8(field)?;
    let id = reader.u16(field)?;
    let key = match flags & FLAG_KEY {
        0 => None,
        _ => Some(reader.array(field)?),
    };
    Ok(NextKey {
        id,
        key,
        is_reverse: flags & FLAG_REVERSE != 0,
        requests_reverse: flags & FLAG_REQUEST_REVERSE != 0,
        unused_flags: flags & !NEXT_KEY_FLAGS,
    })
}

fn parse_acks<'a>(reader: &mut Reader<'a>) -> Result<GarlicAcks<'a>, Malformed> {
    let data = reader.rest();
    let (acks, odd) = data.as_chunks();
    if acks.is_empty() || !odd.is_empty() {
        let (expected, found) = (data.len().next_multiple_of(4).max(4), data.len());
        return Err(Malformed::Length { field: "Ack of garlic", expected, found });
    }
    Ok(GarlicAcks(acks))
}

/// Appends a DateTime block, rounded to the nearest second.
pub fn append_date_time(out: &mut Vec<u8>, time: UnixTime) {
    append_header(out, DATE_TIME, 4);
    out.extend_from_slice(&time.seconds_rounded().to_be_bytes());
}

/// Appends a clove with `message` for `delivery`.
pub fn append_clove(out: &mut Vec<u8>, delivery: &CloveDelivery, message: &I2npMessage) {
    let mut instructions = Vec::with_capacity(DELIVERY_MAX);
    delivery.write(&mut instructions);
    append_header(out, CLOVE, instructions.len() + SHORT_HEADER_SIZE + message.body.len());
    out.extend_from_slice(&instructions);
    out.extend_from_slice(&message.short_header());
    out.extend_from_slice(&message.body);
}

/// Appends a block about the session. Options are as long as the block says, so at least 21 bytes.
pub fn append_session(out: &mut Vec<u8>, block: &SessionBlock<'_>) {
    match block {
        SessionBlock::Termination { reason, data } => {
            append_header(out, TERMINATION, 1 + data.len());
            out.push(*reason);
            out.extend_from_slice(data);
        }
        SessionBlock::Options(options) => append_unknown(out, OPTIONS, options),
        SessionBlock::MessageNumber(number) => {
            append_unknown(out, MESSAGE_NUMBER, &number.to_be_bytes());
        }
        SessionBlock::NextKey(next) => append_next_key(out, next),
        SessionBlock::Acks(GarlicAcks(acks)) => append_unknown(out, ACK, acks.as_flattened()),
        SessionBlock::AckRequest(flags) => append_unknown(out, ACK_REQUEST, &[*flags]),
    }
}

fn append_next_key(out: &mut Vec<u8>, next: &NextKey<'_>) {
    let key: &[u8] = next.key.map_or(&[], |key| key);
    let mut flags = next.unused_flags & !NEXT_KEY_FLAGS;
    for (is_set, bit) in [
        (next.key.is_some(), FLAG_KEY),
        (next.is_reverse, FLAG_REVERSE),
        (next.requests_reverse, FLAG_REQUEST_REVERSE),
    ] {
        flags |= if is_set { bit } else { 0 };
    }
    append_header(out, NEXT_KEY, 3 + key.len());
    out.push(flags);
    out.extend_from_slice(&next.id.to_be_bytes());
    out.extend_from_slice(key);
}

/// Appends a block of any type, with this behind its header.
pub fn append_unknown(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    append_header(out, kind, data.len());
    out.extend_from_slice(data);
}

/// Appends a Padding block of `length` zero bytes. Nothing may follow it.
pub fn append_padding(out: &mut Vec<u8>, length: u16) {
    let length = usize::from(length);
    append_header(out, PADDING, length);
    out.resize(out.len() + length, 0);
}

fn append_header(out: &mut Vec<u8>, kind: u8, size: usize) {
    debug_assert!(size <= usize::from(u16::MAX), "garlic block of {size} bytes");
    out.reserve(BLOCK_HEADER_SIZE + size);
    out.push(kind);
    out.extend_from_slice(&u16::try_from(size).unwrap_or(u16::MAX).to_be_bytes());
}
