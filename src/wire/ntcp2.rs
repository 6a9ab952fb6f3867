//! Layouts of NTCP2: the options of messages 1 and 2, and the blocks of everything after them.

use crate::base::time::UnixTime;
use crate::wire::Malformed;
use crate::wire::i2np::{I2npMessage, MessageType, SHORT_HEADER_SIZE};
use crate::wire::reader::Reader;

/// Bytes of the options in messages 1 and 2.
pub const OPTIONS_SIZE: usize = 16;
/// Bytes of a block's header: type 1, size 2.
pub const BLOCK_HEADER_SIZE: usize = 3;

const DATE_TIME: u8 = 0;
const OPTIONS: u8 = 1;
const ROUTER_INFO: u8 = 2;
const I2NP: u8 = 3;
const TERMINATION: u8 = 4;
const PADDING: u8 = 254;

const OPTIONS_BLOCK_MIN: usize = 12;

/// The options of message 1, as they stand there: nothing is judged here. Spec: NTCP2, message 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message1Options {
    /// Network id; 0 means "do not check".
    pub network: u8,
    /// Protocol version; 2 is the only one.
    pub version: u8,
    /// Bytes of padding behind message 1.
    pub padding: u16,
    /// Bytes of message 3 part 2, with its tag.
    pub part2: u16,
    /// The initiator's clock, in seconds since 1970.
    pub timestamp: u32,
}

impl Message1Options {
    /// Reads the options; any 16 bytes are some.
    #[must_use]
    pub fn parse(bytes: &[u8; OPTIONS_SIZE]) -> Self {
        let [network, version, p0, p1, m0, m1, _, _, t0, t1, t2, t3, ..] = *bytes;
        Self {
            network,
            version,
            padding: u16::from_be_bytes([p0, p1]),
            part2: u16::from_be_bytes([m0, m1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        }
    }

    /// The 16 bytes, reserved ones zero.
    #[must_use]
    pub fn write(&self) -> [u8; OPTIONS_SIZE] {
        let [p0, p1] = self.padding.to_be_bytes();
        let [m0, m1] = self.part2.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        [self.network, self.version, p0, p1, m0, m1, 0, 0, t0, t1, t2, t3, 0, 0, 0, 0]
    }
}

/// The options of message 2, as they stand there. Spec: NTCP2, message 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message2Options {
    /// Bytes of padding behind message 2.
    pub padding: u16,
    /// The responder's clock, in seconds since 1970.
    pub timestamp: u32,
}

impl Message2Options {
    /// Reads the options; any 16 bytes are some.
    #[must_use]
    pub fn parse(bytes: &[u8; OPTIONS_SIZE]) -> Self {
        let [_, _, p0, p1, _, _, _, _, t0, t1, t2, t3, ..] = *bytes;
        Self {
            padding: u16::from_be_bytes([p0, p1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        }
    }

    /// The 16 bytes, reserved ones zero.
    #[must_use]
    pub fn write(&self) -> [u8; OPTIONS_SIZE] {
        let [p0, p1] = self.padding.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        [0, 0, p0, p1, 0, 0, 0, 0, t0, t1, t2, t3, 0, 0, 0, 0]
    }
}

/// Whether the sender of a RouterInfo block asks the receiver to flood it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloodRequest {
    /// Flag bit 0 is clear.
    NotRequested,
    /// Flag bit 0 is set.
    Requested,
}

/// Why a session ends, as its Termination block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TerminationReason {
    /// Code 0: normal close, or not said.
    Normal,
    /// Code 1: answer to a termination.
    TerminationReceived,
    /// Code 2.
    IdleTimeout,
    /// Code 3.
    RouterShutdown,
    /// Code 4: a frame of the data phase does not authenticate.
    DataUnauthentic,
    /// Code 5.
    IncompatibleOptions,
    /// Code 6.
    IncompatibleSignatureType,
    /// Code 7.
    ClockSkew,
    /// Code 8.
    PaddingViolation,
    /// Code 9.
    FramingError,
    /// Code 10.
    PayloadFormat,
    /// Code 11.
    Message1Error,
    /// Code 12.
    Message2Error,
    /// Code 13: also for a RouterInfo that is too old or too new.
    Message3Error,
    /// Code 14.
    FrameTimeout,
    /// Code 15.
    RouterInfoSignature,
    /// Code 16: the static key is missing from the RouterInfo, or another one.
    StaticKeyMismatch,
    /// Code 17.
    Banned,
    /// Any other code.
    Unknown(u8),
}

impl TerminationReason {
    /// The reason that `code` stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Normal,
            1 => Self::TerminationReceived,
            2 => Self::IdleTimeout,
            3 => Self::RouterShutdown,
            4 => Self::DataUnauthentic,
            5 => Self::IncompatibleOptions,
            6 => Self::IncompatibleSignatureType,
            7 => Self::ClockSkew,
            8 => Self::PaddingViolation,
            9 => Self::FramingError,
            10 => Self::PayloadFormat,
            11 => Self::Message1Error,
            12 => Self::Message2Error,
            13 => Self::Message3Error,
            14 => Self::FrameTimeout,
            15 => Self::RouterInfoSignature,
            16 => Self::StaticKeyMismatch,
            17 => Self::Banned,
            other => Self::Unknown(other),
        }
    }

    /// The code in the block.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::TerminationReceived => 1,
            Self::IdleTimeout => 2,
            Self::RouterShutdown => 3,
            Self::DataUnauthentic => 4,
            Self::IncompatibleOptions => 5,
            Self::IncompatibleSignatureType => 6,
            Self::ClockSkew => 7,
            Self::PaddingViolation => 8,
            Self::FramingError => 9,
            Self::PayloadFormat => 10,
            Self::Message1Error => 11,
            Self::Message2Error => 12,
            Self::Message3Error => 13,
            Self::FrameTimeout => 14,
            Self::RouterInfoSignature => 15,
            Self::StaticKeyMismatch => 16,
            Self::Banned => 17,
            Self::Unknown(code) => code,
        }
    }

    /// The reason in a word for the metrics; all unknown ones have the same.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::TerminationReceived => "termination_received",
            Self::IdleTimeout => "idle_timeout",
            Self::RouterShutdown => "router_shutdown",
            Self::DataUnauthentic => "data_unauthentic",
            Self::IncompatibleOptions => "incompatible_options",
            Self::IncompatibleSignatureType => "incompatible_signature_type",
            Self::ClockSkew => "clock_skew",
            Self::PaddingViolation => "padding_violation",
            Self::FramingError => "framing_error",
            Self::PayloadFormat => "payload_format",
            Self::Message1Error => "message_1_error",
            Self::Message2Error => "message_2_error",
            Self::Message3Error => "message_3_error",
            Self::FrameTimeout => "frame_timeout",
            Self::RouterInfoSignature => "router_info_signature",
            Self::StaticKeyMismatch => "static_key_mismatch",
            Self::Banned => "banned",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// One block of message 3 or of a data frame, viewed in the opened frame. Spec: NTCP2, block format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// The sender's clock, in seconds since 1970.
    DateTime(u32),
    /// Padding and delay parameters, at least 12 bytes, not read further.
    Options(&'a [u8]),
    /// A RouterInfo, uncompressed and unverified.
    RouterInfo {
        /// Whether the sender wants it flooded.
        flood: FloodRequest,
        /// The RouterInfo's bytes.
        info: &'a [u8],
    },
    /// An I2NP message under its short header.
    I2np(&'a [u8]),
    /// The sender is about to close.
    Termination {
        /// Valid frames that the sender has received.
        received: u64,
        /// Why.
        reason: TerminationReason,
    },
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

/// The blocks of one frame, in order; made by [`parse_blocks`].
///
/// Ends after the first error. A block behind padding, or one other than padding behind a termination, is an error.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    reader: Reader<'a>,
    stage: Stage,
}

/// What may still follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Terminated,
    Padded,
    Failed,
}

/// Reads the blocks of one opened frame.
#[must_use]
pub fn parse_blocks(bytes: &[u8]) -> Blocks<'_> {
    Blocks { reader: Reader::new(bytes), stage: Stage::Open }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stage == Stage::Failed || self.reader.left() == 0 {
            return None;
        }
        let block = self.read_block();
        if block.is_err() {
            self.stage = Stage::Failed;
        }
        Some(block)
    }
}

impl<'a> Blocks<'a> {
    fn read_block(&mut self) -> Result<Block<'a>, Malformed> {
        let kind = self.reader.u8("block type")?;
        let size = usize::from(self.reader.u16("block size")?);
        let data = self.reader.take(size, "block data")?;
        self.check_order(kind)?;
        match kind {
            DATE_TIME => parse_date_time(data),
            OPTIONS => parse_options(data),
            ROUTER_INFO => parse_router_info(data),
            I2NP => parse_i2np(data),
            TERMINATION => parse_termination(data),
            PADDING => Ok(Block::Padding(size)),
            _ => Ok(Block::Unknown { kind, size }),
        }
    }

    fn check_order(&mut self, kind: u8) -> Result<(), Malformed> {
        let allowed = match self.stage {
            Stage::Open => true,
            Stage::Terminated => kind == PADDING,
            Stage::Padded | Stage::Failed => false,
        };
        if !allowed {
            return Err(Malformed::Value { field: "order of blocks", found: u32::from(kind) });
        }
        match kind {
            TERMINATION => self.stage = Stage::Terminated,
            PADDING => self.stage = Stage::Padded,
            _ => {}
        }
        Ok(())
    }
}

fn parse_date_time(data: &[u8]) -> Result<Block<'_>, Malformed> {
    let mut reader = Reader::new(data);
    let seconds = reader.u32("DateTime block")?;
    reader.finish()?;
    Ok(Block::DateTime(seconds))
}

fn parse_options(data: &[u8]) -> Result<Block<'_>, Malformed> {
    if data.len() < OPTIONS_BLOCK_MIN {
        return Err(Malformed::Truncated {
            field: "Options block",
            needed: OPTIONS_BLOCK_MIN,
            left: data.len(),
        });
    }
    Ok(Block::Options(data))
}

fn parse_router_info(data: &[u8]) -> Result<Block<'_>, Malformed> {
    let mut reader = Reader::new(data);
    let flood = match reader.u8("flag of RouterInfo block")? & 1 {
        0 => FloodRequest::NotRequested,
        _ => FloodRequest::Requested,
    };
    Ok(Block::RouterInfo { flood, info: reader.rest() })
}

fn parse_i2np(data: &[u8]) -> Result<Block<'_>, Malformed> {
    if data.len() < SHORT_HEADER_SIZE {
        return Err(Malformed::Truncated {
            field: "I2NP block",
            needed: SHORT_HEADER_SIZE,
            left: data.len(),
        });
    }
    Ok(Block::I2np(data))
}

fn parse_termination(data: &[u8]) -> Result<Block<'_>, Malformed> {
    let mut reader = Reader::new(data);
    let received = reader.u64("Termination block")?;
    let reason = TerminationReason::from_code(reader.u8("Termination block")?);
    Ok(Block::Termination { received, reason })
}

/// Appends a DateTime block.
pub fn append_date_time(out: &mut Vec<u8>, seconds: u32) {
    append_block(out, DATE_TIME, &[&seconds.to_be_bytes()]);
}

/// Appends an Options block of these bytes, at least 12.
pub fn append_options(out: &mut Vec<u8>, options: &[u8]) {
    debug_assert!(options.len() >= OPTIONS_BLOCK_MIN, "{} bytes of options", options.len());
    append_block(out, OPTIONS, &[options]);
}

/// Appends a RouterInfo block.
pub fn append_router_info(out: &mut Vec<u8>, flood: FloodRequest, info: &[u8]) {
    let flag = match flood {
        FloodRequest::NotRequested => 0,
        FloodRequest::Requested => 1,
    };
    append_block(out, ROUTER_INFO, &[&[flag], info]);
}

/// Appends an I2NP block with `message` under its short header.
pub fn append_i2np(out: &mut Vec<u8>, message: &I2npMessage) {
    append_block(out, I2NP, &[&message.short_header(), &message.body]);
}

/// What kind of I2NP message a whole block holds, and when that expires; nothing of another block.
#[must_use]
pub fn peek_i2np(block: &[u8]) -> Option<(MessageType, UnixTime)> {
    let (head, message) = block.split_first_chunk::<BLOCK_HEADER_SIZE>()?;
    let [kind, .., a, b, c, d] = *message.first_chunk::<SHORT_HEADER_SIZE>()?;
    let expiration = UnixTime::from_seconds(u32::from_be_bytes([a, b, c, d]));
    (head.first() == Some(&I2NP)).then_some((MessageType::from_code(kind), expiration))
}

/// Appends a Termination block; `received` counts the valid frames that came in.
pub fn append_termination(out: &mut Vec<u8>, received: u64, reason: TerminationReason) {
    append_block(out, TERMINATION, &[&received.to_be_bytes(), &[reason.code()]]);
}

/// Appends a Padding block of `length` zero bytes. Nothing may follow it in its frame.
pub fn append_padding(out: &mut Vec<u8>, length: u16) {
    out.push(PADDING);
    out.extend_from_slice(&length.to_be_bytes());
    out.resize(out.len() + usize::from(length), 0);
}

/// Appends a block whose data is the concatenation of `parts`: what is ours to send fits a frame.
fn append_block(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let size: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(size <= usize::from(u16::MAX), "block of {size} bytes");
    out.reserve(BLOCK_HEADER_SIZE + size);
    out.push(kind);
    out.extend_from_slice(&u16::try_from(size).unwrap_or(u16::MAX).to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::frame::Frame;
    use crate::base::id::MessageId;
    use crate::base::time::UnixTime;
    use crate::wire::i2np::MessageType;

    fn all(bytes: &[u8]) -> Result<Vec<Block<'_>>, Malformed> {
        parse_blocks(bytes).collect()
    }

    #[test]
    fn options_byte_by_byte() {
        let first = Message1Options {
            network: 2,
            version: 2,
            padding: 0x0102,
            part2: 0x0304,
            timestamp: 0x6600_0000,
        };
        let bytes = [2, 2, 1, 2, 3, 4, 0, 0, 0x66, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(first.write(), bytes);
        assert_eq!(Message1Options::parse(&bytes), first);
        let second = Message2Options { padding: 3, timestamp: 0x6600_0001 };
        let bytes = [0, 0, 0, 3, 0, 0, 0, 0, 0x66, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(second.write(), bytes);
        assert_eq!(Message2Options::parse(&bytes), second);
    }

    #[test]
    fn blocks_byte_by_byte() {
        let message = I2npMessage {
            kind: MessageType::Data,
            id: MessageId(7),
            expiration: UnixTime(9_000),
            body: Frame::copy_of(&[0xaa]),
        };
        let mut out = Vec::new();
        append_date_time(&mut out, 0x6600_0000);
        append_options(&mut out, &[1; 12]);
        append_router_info(&mut out, FloodRequest::Requested, &[5, 6]);
        append_i2np(&mut out, &message);
        append_termination(&mut out, 258, TerminationReason::Banned);
        append_padding(&mut out, 2);
        let mut expected = vec![0, 0, 4, 0x66, 0, 0, 0, 1, 0, 12];
        expected.extend_from_slice(&[1; 12]);
        expected.extend_from_slice(&[2, 0, 3, 1, 5, 6]);
        expected.extend_from_slice(&[3, 0, 10, 20, 0, 0, 0, 7, 0, 0, 0, 9, 0xaa]);
        expected.extend_from_slice(&[4, 0, 9, 0, 0, 0, 0, 0, 0, 1, 2, 17]);
        expected.extend_from_slice(&[254, 0, 2, 0, 0]);
        assert_eq!(out, expected);
        assert_eq!(
            all(&out).unwrap(),
            [
                Block::DateTime(0x6600_0000),
                Block::Options(&[1; 12]),
                Block::RouterInfo { flood: FloodRequest::Requested, info: &[5, 6] },
                Block::I2np(&[20, 0, 0, 0, 7, 0, 0, 0, 9, 0xaa]),
                Block::Termination { received: 258, reason: TerminationReason::Banned },
                Block::Padding(2),
            ]
        );
    }

    #[test]
    fn unknown_blocks_are_passed_over() {
        let bytes = [99, 0, 1, 5, 0, 0, 4, 0, 0, 0, 1];
        assert_eq!(all(&bytes), Ok(vec![Block::Unknown { kind: 99, size: 1 }, Block::DateTime(1)]));
    }

    #[test]
    fn only_padding_follows_a_termination_and_nothing_follows_padding() {
        let mut out = Vec::new();
        append_termination(&mut out, 0, TerminationReason::Normal);
        append_date_time(&mut out, 1);
        assert!(matches!(all(&out), Err(Malformed::Value { found: 0, .. })));
        out.clear();
        append_padding(&mut out, 0);
        append_padding(&mut out, 0);
        assert!(matches!(all(&out), Err(Malformed::Value { found: 254, .. })));
    }

    #[test]
    fn blocks_that_run_over_or_fall_short_end_the_frame() {
        for bytes in [&[0u8, 0][..], &[0, 0, 5, 1, 2, 3, 4], &[0, 0, 5, 1, 2, 3, 4, 5]] {
            let mut blocks = parse_blocks(bytes);
            assert!(blocks.next().is_some_and(|block| block.is_err()));
            assert_eq!(blocks.next(), None);
        }
        assert!(all(&[3, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(all(&[1, 0, 1, 0]).is_err());
        assert!(all(&[2, 0, 0]).is_err());
        assert!(all(&[4, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn reason_codes_survive() {
        for code in 0..=u8::MAX {
            assert_eq!(TerminationReason::from_code(code).code(), code);
        }
    }

    proptest! {
        #[test]
        fn any_frame_gives_errors_or_blocks(bytes in proptest::collection::vec(0u8..8, 0..200)) {
            prop_assert!(parse_blocks(&bytes).count() <= bytes.len());
        }

        #[test]
        fn a_changed_frame_gives_errors_or_blocks(at in 0usize..40, flip: u8, cut in 0usize..60, tail: u64) {
            let mut out = Vec::new();
            append_date_time(&mut out, 1);
            append_router_info(&mut out, FloodRequest::NotRequested, &[3; 20]);
            append_termination(&mut out, 1, TerminationReason::Normal);
            out[at] ^= flip;
            out.truncate(cut);
            out.extend_from_slice(&tail.to_be_bytes());
            prop_assert!(parse_blocks(&out).count() <= out.len());
        }
    }
}
