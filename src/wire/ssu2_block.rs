//! Blocks of SSU2: everything inside a packet that was opened. Spec: SSU2, payload format.
//!
//! Each block is viewed in the packet that it came in; those of unknown types are kept as they are.

mod ack;
mod relay;
mod write;

use std::net::{IpAddr, SocketAddr};

use crate::base::id::{MessageId, RouterHash};
use crate::wire::Malformed;
use crate::wire::i2np::SHORT_HEADER_SIZE;
use crate::wire::ntcp2::{FloodRequest, TerminationReason};
use crate::wire::reader::Reader;
use crate::wire::ssu2_header::Token;

pub use ack::{Ack, AckRange};
pub use relay::{
    PeerTest, PeerTestTerms, RelayAnswer, RelayIntro, RelayRequest, RelayResponse, RelayTag,
    RelayTerms,
};
pub use write::{append_block, append_padding};

/// Bytes of a block's header: type 1, size 2.
pub const BLOCK_HEADER_SIZE: usize = 3;

const DATE_TIME: u8 = 0;
const OPTIONS: u8 = 1;
const ROUTER_INFO: u8 = 2;
const I2NP: u8 = 3;
const FIRST_FRAGMENT: u8 = 4;
const FOLLOW_ON_FRAGMENT: u8 = 5;
const TERMINATION: u8 = 6;
const RELAY_REQUEST: u8 = 7;
const RELAY_RESPONSE: u8 = 8;
const RELAY_INTRO: u8 = 9;
const PEER_TEST: u8 = 10;
const NEXT_NONCE: u8 = 11;
const ACK: u8 = 12;
const ADDRESS: u8 = 13;
const RELAY_TAG_REQUEST: u8 = 15;
const RELAY_TAG: u8 = 16;
const NEW_TOKEN: u8 = 17;
const PATH_CHALLENGE: u8 = 18;
const PATH_RESPONSE: u8 = 19;
const FIRST_PACKET_NUMBER: u8 = 20;
const CONGESTION: u8 = 21;
const PADDING: u8 = 254;

const OPTIONS_BLOCK_MIN: usize = 12;
/// The only value of a RouterInfo's fragment byte: number 0 of 1.
const WHOLE_ROUTER_INFO: u8 = 0x01;
const FLAG_FLOOD: u8 = 0x01;
const FLAG_GZIP: u8 = 0x02;
const FLAG_LAST: u8 = 0x01;

/// Why a session ends, as its Termination block says: the codes of NTCP2, and five more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ssu2Reason {
    /// A code that means here what it means in NTCP2, or is unknown in both. Messages 1 to 3 are Session Request,
    /// Created and Confirmed.
    Common(TerminationReason),
    /// Code 18.
    BadToken,
    /// Code 19.
    ConnectionLimits,
    /// Code 20.
    IncompatibleVersion,
    /// Code 21.
    WrongNetwork,
    /// Code 22: there is a newer session.
    Replaced,
}

impl Ssu2Reason {
    /// The reason that `code` stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        match code {
            18 => Self::BadToken,
            19 => Self::ConnectionLimits,
            20 => Self::IncompatibleVersion,
            21 => Self::WrongNetwork,
            22 => Self::Replaced,
            other => Self::Common(TerminationReason::from_code(other)),
        }
    }

    /// The code in the block.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Common(reason) => reason.code(),
            Self::BadToken => 18,
            Self::ConnectionLimits => 19,
            Self::IncompatibleVersion => 20,
            Self::WrongNetwork => 21,
            Self::Replaced => 22,
        }
    }
}

/// Whether a RouterInfo block is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoEncoding {
    /// The RouterInfo itself.
    Plain,
    /// One gzip member.
    Gzip,
}

/// One block, viewed in the opened packet. What is signed is unverified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ssu2Block<'a> {
    /// The sender's clock, in seconds since 1970.
    DateTime(u32),
    /// Padding and delay parameters, at least 12 bytes, not read further.
    Options(&'a [u8]),
    /// A RouterInfo, unverified.
    RouterInfo {
        /// Whether the sender wants it flooded.
        flood: FloodRequest,
        /// Whether it is compressed.
        encoding: InfoEncoding,
        /// Flag bits 7 to 2, which mean nothing yet.
        unused_flags: u8,
        /// The RouterInfo's bytes.
        info: &'a [u8],
    },
    /// An I2NP message under its short header.
    I2np(&'a [u8]),
    /// The first part of an I2NP message, under its short header; there is at least one byte of body.
    FirstFragment(&'a [u8]),
    /// A later part of an I2NP message.
    FollowOnFragment {
        /// The message, as its first part names it.
        message: MessageId,
        /// Its place, 1 to 127.
        number: u8,
        /// Whether it is the last.
        last: bool,
        /// The bytes that come next, at least one.
        data: &'a [u8],
    },
    /// The sender is about to close.
    Termination {
        /// Valid packets that the sender has received.
        received: u64,
        /// Why.
        reason: Ssu2Reason,
        /// Whatever else it says.
        data: &'a [u8],
    },
    /// The sender wants to be introduced to a firewalled router.
    RelayRequest(RelayRequest<'a>),
    /// Whether an introduction takes place.
    RelayResponse(RelayResponse<'a>),
    /// Somebody wants to be introduced to the receiver.
    RelayIntro(RelayIntro<'a>),
    /// A step of a peer test.
    PeerTest(PeerTest<'a>),
    /// Reserved for a rotation of keys.
    NextNonce(&'a [u8]),
    /// Packets that have arrived.
    Ack(Ack<'a>),
    /// The receiver's address, as the sender sees it.
    Address(SocketAddr),
    /// The sender wants a tag, to be introduced by the receiver.
    RelayTagRequest,
    /// The tag by which the sender introduces the receiver.
    RelayTag(RelayTag),
    /// A token for the next session.
    NewToken {
        /// When it is not taken any more, in seconds since 1970.
        expires: u32,
        /// The token.
        token: Token,
    },
    /// Bytes that are to come back.
    PathChallenge(&'a [u8]),
    /// Bytes of a challenge.
    PathResponse(&'a [u8]),
    /// Reserved: the number of the first packet in the session.
    FirstPacketNumber(u32),
    /// Hints about congestion.
    Congestion {
        /// Bit 0 wants an acknowledgement at once, bit 1 tells of congestion on the way.
        flags: u8,
        /// Whatever else it says.
        data: &'a [u8],
    },
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

/// The blocks of one packet, in order; made by [`parse_blocks`].
///
/// Ends after the first error. A block behind padding, or one other than padding behind a termination, is an error.
#[derive(Clone, Debug)]
pub struct Ssu2Blocks<'a> {
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

/// Reads the blocks of one opened packet.
#[must_use]
pub fn parse_blocks(bytes: &[u8]) -> Ssu2Blocks<'_> {
    Ssu2Blocks { reader: Reader::new(bytes), stage: Stage::Open }
}

impl<'a> Iterator for Ssu2Blocks<'a> {
    type Item = Result<Ssu2Block<'a>, Malformed>;

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

impl<'a> Ssu2Blocks<'a> {
    fn read_block(&mut self) -> Result<Ssu2Block<'a>, Malformed> {
        let kind = self.reader.u8("block type")?;
        let size = usize::from(self.reader.u16("block size")?);
        let data = self.reader.take(size, "block data")?;
        self.check_order(kind)?;
        parse_block(kind, data)
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

/// Reads what stands behind the header of a block. A block that is longer than its kind is refused.
fn parse_block(kind: u8, data: &[u8]) -> Result<Ssu2Block<'_>, Malformed> {
    let mut reader = Reader::new(data);
    let block = match kind {
        DATE_TIME => Ssu2Block::DateTime(reader.u32("DateTime block")?),
        OPTIONS => Ssu2Block::Options(at_least(&mut reader, OPTIONS_BLOCK_MIN, "Options block")?),
        ROUTER_INFO => parse_router_info(&mut reader)?,
        I2NP => Ssu2Block::I2np(at_least(&mut reader, SHORT_HEADER_SIZE, "I2NP block")?),
        FIRST_FRAGMENT => {
            let field = "FirstFragment block";
            Ssu2Block::FirstFragment(at_least(&mut reader, SHORT_HEADER_SIZE + 1, field)?)
        }
        FOLLOW_ON_FRAGMENT => parse_follow_on(&mut reader)?,
        TERMINATION => parse_termination(&mut reader)?,
        RELAY_REQUEST => Ssu2Block::RelayRequest(RelayRequest::parse(&mut reader)?),
        RELAY_RESPONSE => Ssu2Block::RelayResponse(RelayResponse::parse(&mut reader)?),
        RELAY_INTRO => Ssu2Block::RelayIntro(RelayIntro::parse(&mut reader)?),
        PEER_TEST => Ssu2Block::PeerTest(PeerTest::parse(&mut reader)?),
        NEXT_NONCE => Ssu2Block::NextNonce(reader.rest()),
        ACK => Ssu2Block::Ack(Ack::parse(&mut reader)?),
        ADDRESS => parse_address(&mut reader)?,
        RELAY_TAG_REQUEST => Ssu2Block::RelayTagRequest,
        RELAY_TAG => Ssu2Block::RelayTag(RelayTag::parse(&mut reader)?),
        NEW_TOKEN => parse_new_token(&mut reader)?,
        PATH_CHALLENGE => Ssu2Block::PathChallenge(reader.rest()),
        PATH_RESPONSE => Ssu2Block::PathResponse(reader.rest()),
        FIRST_PACKET_NUMBER => Ssu2Block::FirstPacketNumber(reader.u32("FirstPacketNumber block")?),
        CONGESTION => {
            let flags = reader.u8("Congestion block")?;
            Ssu2Block::Congestion { flags, data: reader.rest() }
        }
        PADDING => Ssu2Block::Padding(reader.rest()),
        _ => Ssu2Block::Unknown { kind, data: reader.rest() },
    };
    reader.finish()?;
    Ok(block)
}

/// All the rest, if that is at least `needed` bytes.
fn at_least<'a>(
    reader: &mut Reader<'a>,
    needed: usize,
    field: &'static str,
) -> Result<&'a [u8], Malformed> {
    reader.clone().take(needed, field)?;
    Ok(reader.rest())
}

fn parse_router_info<'a>(reader: &mut Reader<'a>) -> Result<Ssu2Block<'a>, Malformed> {
    let flags = reader.u8("flag of RouterInfo block")?;
    let fragment = reader.u8("fragment of RouterInfo block")?;
    if fragment != WHOLE_ROUTER_INFO {
        let found = u32::from(fragment);
        return Err(Malformed::Value { field: "fragment of RouterInfo block", found });
    }
    let flood = match flags & FLAG_FLOOD {
        0 => FloodRequest::NotRequested,
        _ => FloodRequest::Requested,
    };
    let encoding = match flags & FLAG_GZIP {
        0 => InfoEncoding::Plain,
        _ => InfoEncoding::Gzip,
    };
    let unused_flags = flags & !(FLAG_FLOOD | FLAG_GZIP);
    Ok(Ssu2Block::RouterInfo { flood, encoding, unused_flags, info: reader.rest() })
}

fn parse_follow_on<'a>(reader: &mut Reader<'a>) -> Result<Ssu2Block<'a>, Malformed> {
    let field = "FollowOnFragment block";
    let flags = reader.u8(field)?;
    let number = flags >> 1;
    if number == 0 {
        return Err(Malformed::Value { field: "number of FollowOnFragment block", found: 0 });
    }
    let message = MessageId(reader.u32(field)?);
    let data = at_least(reader, 1, field)?;
    Ok(Ssu2Block::FollowOnFragment { message, number, last: flags & FLAG_LAST != 0, data })
}

fn parse_termination<'a>(reader: &mut Reader<'a>) -> Result<Ssu2Block<'a>, Malformed> {
    let received = reader.u64("Termination block")?;
    let reason = Ssu2Reason::from_code(reader.u8("Termination block")?);
    Ok(Ssu2Block::Termination { received, reason, data: reader.rest() })
}

fn parse_new_token<'a>(reader: &mut Reader<'_>) -> Result<Ssu2Block<'a>, Malformed> {
    let expires = reader.u32("NewToken block")?;
    Ok(Ssu2Block::NewToken { expires, token: Token(*reader.array("NewToken block")?) })
}

fn parse_address<'a>(reader: &mut Reader<'_>) -> Result<Ssu2Block<'a>, Malformed> {
    let field = "Address block";
    read_address(reader, reader.left(), field).map(Ssu2Block::Address)
}

/// Reads a port and an IP address, which take `size` bytes: 6 or 18.
fn read_address(
    reader: &mut Reader<'_>,
    size: usize,
    field: &'static str,
) -> Result<SocketAddr, Malformed> {
    let ip_size = match size {
        6 => 4,
        18 => 16,
        other => {
            let found = u32::try_from(other).unwrap_or(u32::MAX);
            return Err(Malformed::Value { field, found });
        }
    };
    let port = reader.u16(field)?;
    let ip = match ip_size {
        4 => IpAddr::from(*reader.array::<4>(field)?),
        _ => IpAddr::from(*reader.array::<16>(field)?),
    };
    Ok(SocketAddr::new(ip, port))
}

fn read_hash(reader: &mut Reader<'_>, field: &'static str) -> Result<RouterHash, Malformed> {
    reader.array(field).map(|hash| RouterHash(*hash))
}

#[cfg(test)]
mod tests;
