//! Garlic: the frame of the message, and the blocks inside once it is opened. Spec: I2NP, Garlic; ECIES, payload.

use crate::base::frame::Frame;
use crate::base::id::{RecordKey, RouterHash, TunnelId};
use crate::base::limits::I2NP_BODY_MAX;
use crate::base::time::UnixTime;
use crate::wire::Malformed;
use crate::wire::i2np::{I2npMessage, SHORT_HEADER_SIZE};
use crate::wire::reader::Reader;

/// Bytes of a block's header: type 1, size 2.
pub const BLOCK_HEADER_SIZE: usize = 3;

const DATE_TIME: u8 = 0;
const CLOVE: u8 = 11;
const PADDING: u8 = 254;

/// The largest delivery instructions: flag 1, hash 32, tunnel id 4.
const DELIVERY_MAX: usize = 37;

const _: () = assert!(DELIVERY_MAX + SHORT_HEADER_SIZE + I2NP_BODY_MAX <= u16::MAX as usize);

/// The body of a Garlic message: a length and what it counts, still sealed.
pub struct GarlicMessage;

impl GarlicMessage {
    /// The sealed bytes; those behind them are ignored.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than the length says.
    pub fn payload(body: &[u8]) -> Result<&[u8], Malformed> {
        let mut reader = Reader::new(body);
        let size = reader.u32("size of garlic")?;
        reader.take(usize::try_from(size).unwrap_or(usize::MAX), "garlic")
    }

    /// The sealed bytes, to be opened in place.
    ///
    /// # Errors
    /// As [`GarlicMessage::payload`].
    pub fn payload_mut(body: &mut [u8]) -> Result<&mut [u8], Malformed> {
        let size = Self::payload(body)?.len();
        let left = body.len();
        body.get_mut(4..4 + size).ok_or(Malformed::Truncated {
            field: "garlic",
            needed: size,
            left,
        })
    }

    /// The body that carries these sealed bytes.
    #[must_use]
    pub fn write(sealed: &[u8]) -> Frame {
        let mut frame = Frame::with_capacity(4 + sealed.len());
        frame.append(&u32::try_from(sealed.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.append(sealed);
        frame
    }
}

/// Where the message in a clove goes. The order of fields differs from that inside tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloveDelivery {
    /// To whoever opens the clove.
    Local,
    /// To a destination of the router that opens the clove.
    Destination(RecordKey),
    /// To a router.
    Router(RouterHash),
    /// Into a tunnel.
    Tunnel {
        /// The tunnel's gateway.
        gateway: RouterHash,
        /// The tunnel, as its gateway names it.
        tunnel: TunnelId,
    },
}

/// One message inside garlic, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clove {
    /// Where it goes.
    pub delivery: CloveDelivery,
    /// The message.
    pub message: I2npMessage,
}

/// One block of an opened garlic message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GarlicBlock {
    /// The sender's clock.
    DateTime(UnixTime),
    /// A message.
    Clove(Clove),
    /// This many bytes of padding.
    Padding(usize),
    /// A block of another type.
    Unknown {
        /// Its type.
        kind: u8,
        /// Bytes behind its header.
        size: usize,
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

impl Iterator for GarlicBlocks<'_> {
    type Item = Result<GarlicBlock, Malformed>;

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

impl GarlicBlocks<'_> {
    fn read_block(&mut self) -> Result<GarlicBlock, Malformed> {
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
                Ok(GarlicBlock::Padding(size))
            }
            _ => Ok(GarlicBlock::Unknown { kind, size }),
        }
    }
}

fn parse_clove(data: &[u8]) -> Result<Clove, Malformed> {
    let mut reader = Reader::new(data);
    let flag = reader.u8("flag of clove")?;
    let field = "delivery of clove";
    let delivery = match (flag >> 5) & 3 {
        0 => CloveDelivery::Local,
        1 => CloveDelivery::Destination(RecordKey(*reader.array::<32>(field)?)),
        2 => CloveDelivery::Router(RouterHash(*reader.array::<32>(field)?)),
        _ => {
            let gateway = RouterHash(*reader.array::<32>(field)?);
            let tunnel = TunnelId::from_wire(*reader.array::<4>(field)?)
                .ok_or(Malformed::ZeroTunnelId { field })?;
            CloveDelivery::Tunnel { gateway, tunnel }
        }
    };
    let message = I2npMessage::parse_short(reader.rest())?;
    Ok(Clove { delivery, message })
}

/// Appends a DateTime block, rounded to the nearest second.
pub fn append_date_time(out: &mut Vec<u8>, time: UnixTime) {
    append_header(out, DATE_TIME, 4);
    out.extend_from_slice(&time.seconds_rounded().to_be_bytes());
}

/// Appends a clove with `message` for `delivery`.
pub fn append_clove(out: &mut Vec<u8>, delivery: &CloveDelivery, message: &I2npMessage) {
    let mut instructions = Vec::with_capacity(DELIVERY_MAX);
    match delivery {
        CloveDelivery::Local => instructions.push(0),
        CloveDelivery::Destination(key) => {
            instructions.push(1 << 5);
            instructions.extend_from_slice(&key.0);
        }
        CloveDelivery::Router(router) => {
            instructions.push(2 << 5);
            instructions.extend_from_slice(&router.0);
        }
        CloveDelivery::Tunnel { gateway, tunnel } => {
            instructions.push(3 << 5);
            instructions.extend_from_slice(&gateway.0);
            instructions.extend_from_slice(&tunnel.to_wire());
        }
    }
    append_header(out, CLOVE, instructions.len() + SHORT_HEADER_SIZE + message.body.len());
    out.extend_from_slice(&instructions);
    out.extend_from_slice(&message.short_header());
    out.extend_from_slice(&message.body);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::id::MessageId;
    use crate::wire::i2np::MessageType;

    fn message() -> I2npMessage {
        I2npMessage {
            kind: MessageType::DatabaseLookup,
            id: MessageId(0x0102_0304),
            expiration: UnixTime(5_000),
            body: Frame::copy_of(&[0xaa, 0xbb]),
        }
    }

    fn all(bytes: &[u8]) -> Result<Vec<GarlicBlock>, Malformed> {
        parse_blocks(bytes).collect()
    }

    #[test]
    fn the_frame_is_a_length_and_what_it_counts() {
        let mut body = GarlicMessage::write(&[7, 8, 9]);
        assert_eq!(&body[..], &[0, 0, 0, 3, 7, 8, 9]);
        assert_eq!(GarlicMessage::payload(&body), Ok(&[7, 8, 9][..]));
        body.append(&[1]);
        assert_eq!(GarlicMessage::payload_mut(&mut body), Ok(&mut [7, 8, 9][..]));
        assert!(GarlicMessage::payload(&body[..6]).is_err());
        assert!(GarlicMessage::payload(&[0xff; 64]).is_err());
        assert!(GarlicMessage::payload_mut(&mut [0xff; 3]).is_err());
    }

    #[test]
    fn blocks_byte_by_byte() {
        let mut out = Vec::new();
        append_date_time(&mut out, UnixTime(1_500));
        append_clove(&mut out, &CloveDelivery::Local, &message());
        append_padding(&mut out, 2);
        let expected = [
            0, 0, 4, 0, 0, 0, 2, 11, 0, 12, 0, 2, 1, 2, 3, 4, 0, 0, 0, 5, 0xaa, 0xbb, 254, 0, 2, 0,
            0,
        ];
        assert_eq!(out, expected);
        let clove = Clove { delivery: CloveDelivery::Local, message: message() };
        assert_eq!(
            all(&out).unwrap(),
            [
                GarlicBlock::DateTime(UnixTime(2_000)),
                GarlicBlock::Clove(clove),
                GarlicBlock::Padding(2),
            ]
        );
    }

    #[test]
    fn deliveries_byte_by_byte() {
        let gateway = RouterHash([3; 32]);
        let tunnel = TunnelId::new(6).unwrap();
        for (delivery, flag, fields) in [
            (CloveDelivery::Local, 0x00, vec![]),
            (CloveDelivery::Destination(RecordKey([1; 32])), 0x20, vec![1; 32]),
            (CloveDelivery::Router(RouterHash([2; 32])), 0x40, vec![2; 32]),
            (
                CloveDelivery::Tunnel { gateway, tunnel },
                0x60,
                [&[3; 32][..], &[0, 0, 0, 6]].concat(),
            ),
        ] {
            let mut out = Vec::new();
            append_clove(&mut out, &delivery, &message());
            assert_eq!(out[3], flag);
            assert_eq!(out[4..4 + fields.len()], fields);
            let clove = Clove { delivery, message: message() };
            assert_eq!(all(&out), Ok(vec![GarlicBlock::Clove(clove)]));
            for length in 1..out.len() {
                assert!(all(&out[..length]).is_err());
            }
        }
    }

    #[test]
    fn nothing_follows_padding_and_tunnel_zero_is_refused() {
        assert!(all(&[254, 0, 0, 0, 0, 4, 0, 0, 0, 1]).is_err());
        assert_eq!(all(&[5, 0, 1, 9]), Ok(vec![GarlicBlock::Unknown { kind: 5, size: 1 }]));
        let mut clove = vec![11, 0, 46, 0x60];
        clove.extend_from_slice(&[0; 45]);
        let refusal = Malformed::ZeroTunnelId { field: "delivery of clove" };
        assert_eq!(all(&clove), Err(refusal));
    }

    proptest! {
        #[test]
        fn any_bytes_give_errors_or_blocks(bytes in proptest::collection::vec(0u8..16, 0..200)) {
            prop_assert!(parse_blocks(&bytes).count() <= bytes.len());
        }

        #[test]
        fn changed_blocks_give_errors_or_blocks(at in 0usize..30, flip: u8, cut in 0usize..80, tail: u64) {
            let mut out = Vec::new();
            append_date_time(&mut out, UnixTime(1));
            append_clove(&mut out, &CloveDelivery::Router(RouterHash([1; 32])), &message());
            out[at] ^= flip;
            out.truncate(cut);
            out.extend_from_slice(&tail.to_be_bytes());
            prop_assert!(parse_blocks(&out).count() <= out.len());
        }
    }
}
