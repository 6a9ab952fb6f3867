//! The two headers of SSU2 packets, unmasked, and what follows them in the handshake's cleartext parts.
//!
//! Only the layout is known here: masking, tokens and packet numbers are the protocol's affair. Any bytes of the right
//! number are a header; what may not be in one is told by [`LongHeader::check`]. Spec: SSU2, packet header.

use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// Bytes of the long header.
pub const LONG_HEADER_SIZE: usize = 32;
/// Bytes of the short header.
pub const SHORT_HEADER_SIZE: usize = 16;
/// Fewest bytes of a packet: a short header, 8 bytes of payload, a tag.
pub const PACKET_MIN: usize = 40;
/// Most bytes of a packet over IPv4: an MTU of 1500 without the headers of IP and UDP.
pub const PACKET_IPV4_MAX: usize = 1472;
/// Most bytes of a packet over IPv6.
pub const PACKET_IPV6_MAX: usize = 1452;
/// The protocol's version, the only one.
pub const SSU2_VERSION: u8 = 2;

const IMMEDIATE_ACK: u8 = 1;

/// A side of a session, as the other side names it: 8 opaque bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionName(pub [u8; 8]);

/// Proof that its holder receives what is sent to its address; 8 opaque bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub [u8; 8]);

impl Token {
    /// What stands in place of a token where there is none.
    pub const NONE: Self = Self([0; 8]);
}

// Whoever reads a token in a log could use it.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::NONE { "Token(none)" } else { "Token(secret)" })
    }
}

/// What a packet is, by the code in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// Code 0, long header: the first message of a handshake.
    SessionRequest,
    /// Code 1, long header.
    SessionCreated,
    /// Code 2, short header.
    SessionConfirmed,
    /// Code 6, short header: everything in a session.
    Data,
    /// Code 7, long header: messages 5 to 7 of a peer test.
    PeerTest,
    /// Code 9, long header: a token, or why there is none.
    Retry,
    /// Code 10, long header.
    TokenRequest,
    /// Code 11, long header: from a firewalled router that was introduced.
    HolePunch,
    /// Any other code.
    Unknown(u8),
}

impl PacketType {
    /// The type that `code` names; every code names one.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::SessionRequest,
            1 => Self::SessionCreated,
            2 => Self::SessionConfirmed,
            6 => Self::Data,
            7 => Self::PeerTest,
            9 => Self::Retry,
            10 => Self::TokenRequest,
            11 => Self::HolePunch,
            other => Self::Unknown(other),
        }
    }

    /// The code in the header.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::SessionRequest => 0,
            Self::SessionCreated => 1,
            Self::SessionConfirmed => 2,
            Self::Data => 6,
            Self::PeerTest => 7,
            Self::Retry => 9,
            Self::TokenRequest => 10,
            Self::HolePunch => 11,
            Self::Unknown(code) => code,
        }
    }

    /// Whether packets of this type have the long header; `None` where that is not known.
    #[must_use]
    pub fn has_long_header(self) -> Option<bool> {
        match self {
            Self::SessionRequest
            | Self::SessionCreated
            | Self::PeerTest
            | Self::Retry
            | Self::TokenRequest
            | Self::HolePunch => Some(true),
            Self::SessionConfirmed | Self::Data => Some(false),
            Self::Unknown(_) => None,
        }
    }
}

/// The header of packets outside sessions, and of the first two of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongHeader {
    /// Who it is for, as the sender of the packet names it.
    pub destination: ConnectionName,
    /// A number of the packet; random outside sessions.
    pub packet_number: u32,
    /// What the packet is.
    pub kind: PacketType,
    /// The protocol's version.
    pub version: u8,
    /// The network.
    pub network: u8,
    /// A byte that means nothing yet.
    pub flag: u8,
    /// Who it is from.
    pub source: ConnectionName,
    /// The token, or [`Token::NONE`].
    pub token: Token,
}

impl LongHeader {
    /// Reads the header; any 32 bytes are one.
    ///
    /// # Errors
    /// `Truncated` when there are fewer.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bytes: &[u8; LONG_HEADER_SIZE] = reader.array("long header")?;
        let mut fields = Reader::new(bytes);
        Ok(Self {
            destination: ConnectionName(*fields.array("destination of header")?),
            packet_number: fields.u32("packet number")?,
            kind: PacketType::from_code(fields.u8("packet type")?),
            version: fields.u8("version of header")?,
            network: fields.u8("network of header")?,
            flag: fields.u8("flag of header")?,
            source: ConnectionName(*fields.array("source of header")?),
            token: Token(*fields.array("token of header")?),
        })
    }

    /// Refuses what no router sends: a type that has no long header, another version, one name for both sides.
    /// `network` is ours.
    ///
    /// # Errors
    /// `Value`, with the field that is wrong.
    pub fn check(&self, network: u8) -> Result<(), Malformed> {
        let wrong = |field, found: u8| Err(Malformed::Value { field, found: u32::from(found) });
        if self.kind.has_long_header() != Some(true) {
            return wrong("packet type", self.kind.code());
        }
        if self.version != SSU2_VERSION {
            return wrong("version of header", self.version);
        }
        if self.network != network {
            return wrong("network of header", self.network);
        }
        if self.source == self.destination {
            return wrong("source of header", 0);
        }
        Ok(())
    }

    /// The header's bytes.
    #[must_use]
    pub fn write(&self) -> [u8; LONG_HEADER_SIZE] {
        let mut bytes = [0; LONG_HEADER_SIZE];
        let mut rest = bytes.as_mut_slice();
        for field in [
            &self.destination.0[..],
            &self.packet_number.to_be_bytes(),
            &[self.kind.code(), self.version, self.network, self.flag],
            &self.source.0,
            &self.token.0,
        ] {
            put(&mut rest, field);
        }
        bytes
    }
}

/// What the short header says about its packet, besides who it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortHeaderKind {
    /// Session Confirmed, or one of several parts of it.
    SessionConfirmed {
        /// Which part, 0 to 14, below `parts`.
        part: u8,
        /// How many parts there are, 1 to 15.
        parts: u8,
        /// Bytes that mean nothing yet.
        unused: [u8; 2],
    },
    /// Data.
    Data {
        /// Whether the sender wants to hear at once that it has arrived.
        immediate_ack: bool,
        /// The other bits of the flag, and bytes that mean nothing yet.
        unused: [u8; 3],
    },
}

/// The header of packets inside sessions, and of the last of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortHeader {
    /// Who it is for.
    pub destination: ConnectionName,
    /// The packet's number.
    pub packet_number: u32,
    /// What the packet is.
    pub kind: ShortHeaderKind,
}

impl ShortHeader {
    /// Reads the header.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than 16 bytes, `Value` for a type without a short header, and for parts
    /// that cannot be.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let bytes: &[u8; SHORT_HEADER_SIZE] = reader.array("short header")?;
        let mut fields = Reader::new(bytes);
        let destination = ConnectionName(*fields.array("destination of header")?);
        let packet_number = fields.u32("packet number")?;
        let code = fields.u8("packet type")?;
        let [flag, a, b] = *fields.array("flags of header")?;
        let kind = match PacketType::from_code(code) {
            PacketType::SessionConfirmed => {
                let (part, parts) = (flag >> 4, flag & 0x0f);
                if part >= parts {
                    return Err(Malformed::Value { field: "part of header", found: flag.into() });
                }
                ShortHeaderKind::SessionConfirmed { part, parts, unused: [a, b] }
            }
            PacketType::Data => ShortHeaderKind::Data {
                immediate_ack: flag & IMMEDIATE_ACK != 0,
                unused: [flag & !IMMEDIATE_ACK, a, b],
            },
            PacketType::SessionRequest
            | PacketType::SessionCreated
            | PacketType::PeerTest
            | PacketType::Retry
            | PacketType::TokenRequest
            | PacketType::HolePunch
            | PacketType::Unknown(_) => {
                return Err(Malformed::Value { field: "packet type", found: u32::from(code) });
            }
        };
        Ok(Self { destination, packet_number, kind })
    }

    /// The header's bytes.
    #[must_use]
    pub fn write(&self) -> [u8; SHORT_HEADER_SIZE] {
        let rest = match self.kind {
            ShortHeaderKind::SessionConfirmed { part, parts, unused: [a, b] } => {
                debug_assert!(part < parts && parts < 16, "part {part} of {parts}");
                [PacketType::SessionConfirmed.code(), part << 4 | parts & 0x0f, a, b]
            }
            ShortHeaderKind::Data { immediate_ack, unused: [flag, a, b] } => {
                let immediate = if immediate_ack { IMMEDIATE_ACK } else { 0 };
                [PacketType::Data.code(), flag & !IMMEDIATE_ACK | immediate, a, b]
            }
        };
        let mut bytes = [0; SHORT_HEADER_SIZE];
        let mut left = bytes.as_mut_slice();
        for field in [&self.destination.0[..], &self.packet_number.to_be_bytes(), &rest] {
            put(&mut left, field);
        }
        bytes
    }
}

/// Copies `field` to the start of what is left of a header, and leaves the rest.
fn put(left: &mut &mut [u8], field: &[u8]) {
    if let Some((here, rest)) = std::mem::take(left).split_at_mut_checked(field.len()) {
        here.copy_from_slice(field);
        *left = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn long() -> LongHeader {
        LongHeader {
            destination: ConnectionName([0x11; 8]),
            packet_number: 0x0102_0304,
            kind: PacketType::TokenRequest,
            version: 2,
            network: 99,
            flag: 0,
            source: ConnectionName([0x22; 8]),
            token: Token([0x33; 8]),
        }
    }

    #[test]
    fn the_long_header_byte_by_byte() {
        let bytes = long().write();
        let expected =
            [&[0x11; 8][..], &[1, 2, 3, 4, 10, 2, 99, 0], &[0x22; 8], &[0x33; 8]].concat();
        assert_eq!(bytes[..], expected);
        assert_eq!(LongHeader::parse(&mut Reader::new(&bytes)), Ok(long()));
        let cut = Malformed::Truncated { field: "long header", needed: 32, left: 31 };
        assert_eq!(LongHeader::parse(&mut Reader::new(&bytes[..31])), Err(cut));
    }

    #[test]
    fn long_headers_that_no_router_sends_are_refused() {
        assert_eq!(long().check(99), Ok(()));
        let refused = |header: LongHeader| match header.check(99) {
            Err(Malformed::Value { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        for code in 0..=u8::MAX {
            let header = LongHeader { kind: PacketType::from_code(code), ..long() };
            assert_eq!(header.check(99).is_ok(), matches!(code, 0 | 1 | 7 | 9 | 10 | 11), "{code}");
        }
        assert_eq!(refused(LongHeader { version: 3, ..long() }), "version of header");
        assert_eq!(refused(LongHeader { network: 2, ..long() }), "network of header");
        let source = long().destination;
        assert_eq!(refused(LongHeader { source, ..long() }), "source of header");
    }

    #[test]
    fn short_headers_byte_by_byte() {
        let destination = ConnectionName([0x11; 8]);
        for (kind, rest) in [
            (
                ShortHeaderKind::SessionConfirmed { part: 1, parts: 2, unused: [0; 2] },
                [2, 0x12, 0, 0],
            ),
            (ShortHeaderKind::Data { immediate_ack: true, unused: [0; 3] }, [6, 1, 0, 0]),
            (ShortHeaderKind::Data { immediate_ack: false, unused: [0x80, 7, 8] }, [6, 0x80, 7, 8]),
        ] {
            let header = ShortHeader { destination, packet_number: 0x0102_0304, kind };
            let bytes = header.write();
            assert_eq!(bytes[..], [&[0x11; 8][..], &[1, 2, 3, 4], &rest].concat());
            assert_eq!(ShortHeader::parse(&mut Reader::new(&bytes)), Ok(header));
        }
    }

    #[test]
    fn parts_that_cannot_be_are_refused() {
        let mut bytes = [0; 16];
        bytes[12] = 2;
        for flag in [0x00, 0x10, 0x11, 0xff, 0x22] {
            bytes[13] = flag;
            let refused = Malformed::Value { field: "part of header", found: u32::from(flag) };
            assert_eq!(ShortHeader::parse(&mut Reader::new(&bytes)), Err(refused));
        }
        bytes[12] = 10;
        let refused = Malformed::Value { field: "packet type", found: 10 };
        assert_eq!(ShortHeader::parse(&mut Reader::new(&bytes)), Err(refused));
    }

    #[test]
    fn tokens_stay_out_of_debug_output() {
        assert_eq!(format!("{:?} {:?}", long().token, Token::NONE), "Token(secret) Token(none)");
    }

    proptest! {
        #[test]
        fn any_header_survives(bytes: [u8; 32]) {
            let header = LongHeader::parse(&mut Reader::new(&bytes)).unwrap();
            prop_assert_eq!(header.write(), bytes);
            if let Ok(header) = ShortHeader::parse(&mut Reader::new(&bytes)) {
                prop_assert_eq!(&header.write()[..], &bytes[..16]);
            }
        }

        #[test]
        fn any_short_header_survives(head: [u8; 12], kind in prop::sample::select(vec![2u8, 6]), rest: [u8; 3]) {
            let bytes = [&head[..], &[kind], &rest].concat();
            if let Ok(header) = ShortHeader::parse(&mut Reader::new(&bytes)) {
                prop_assert_eq!(&header.write()[..], &bytes[..]);
            }
        }
    }
}
