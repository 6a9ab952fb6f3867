//! I2NP messages: their types, and the two headers that they travel under. Spec: I2NP, common header.
//!
//! Bodies are opaque here; the modules below view them, each in the buffer that it arrived in.

pub mod data;
pub mod database_lookup;
pub mod database_search_reply;
pub mod database_store;
pub mod delivery_status;
pub mod garlic;
pub mod tunnel_build;
pub mod tunnel_data;
pub mod tunnel_gateway;

use crate::base::frame::{Frame, FramePool};
use crate::base::id::MessageId;
use crate::base::limits::I2NP_BODY_MAX;
use crate::base::time::UnixTime;
use crate::crypto::hash::sha256;
use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// Bytes of the standard header: type 1, id 4, expiration in ms 8, body size 2, checksum 1.
pub const STANDARD_HEADER_SIZE: usize = 16;
/// Bytes of the short header: type 1, id 4, expiration in seconds 4.
pub const SHORT_HEADER_SIZE: usize = 9;

const _: () = assert!(I2NP_BODY_MAX <= u16::MAX as usize);

/// What an I2NP message is, by the code in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// Code 1.
    DatabaseStore,
    /// Code 2.
    DatabaseLookup,
    /// Code 3.
    DatabaseSearchReply,
    /// Code 10.
    DeliveryStatus,
    /// Code 11.
    Garlic,
    /// Code 18.
    TunnelData,
    /// Code 19.
    TunnelGateway,
    /// Code 20.
    Data,
    /// Code 21: eight long records, obsolete.
    TunnelBuild,
    /// Code 22: eight long records, obsolete.
    TunnelBuildReply,
    /// Code 23: long records.
    VariableTunnelBuild,
    /// Code 24: long records.
    VariableTunnelBuildReply,
    /// Code 25: short records.
    ShortTunnelBuild,
    /// Code 26: short records, from an outbound endpoint to the creator.
    OutboundTunnelBuildReply,
    /// Any other code.
    Unknown(u8),
}

impl MessageType {
    /// The type that `code` stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => Self::DatabaseStore,
            2 => Self::DatabaseLookup,
            3 => Self::DatabaseSearchReply,
            10 => Self::DeliveryStatus,
            11 => Self::Garlic,
            18 => Self::TunnelData,
            19 => Self::TunnelGateway,
            20 => Self::Data,
            21 => Self::TunnelBuild,
            22 => Self::TunnelBuildReply,
            23 => Self::VariableTunnelBuild,
            24 => Self::VariableTunnelBuildReply,
            25 => Self::ShortTunnelBuild,
            26 => Self::OutboundTunnelBuildReply,
            other => Self::Unknown(other),
        }
    }

    /// The code in the header.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::DatabaseStore => 1,
            Self::DatabaseLookup => 2,
            Self::DatabaseSearchReply => 3,
            Self::DeliveryStatus => 10,
            Self::Garlic => 11,
            Self::TunnelData => 18,
            Self::TunnelGateway => 19,
            Self::Data => 20,
            Self::TunnelBuild => 21,
            Self::TunnelBuildReply => 22,
            Self::VariableTunnelBuild => 23,
            Self::VariableTunnelBuildReply => 24,
            Self::ShortTunnelBuild => 25,
            Self::OutboundTunnelBuildReply => 26,
            Self::Unknown(code) => code,
        }
    }
}

/// One I2NP message, owned: what its header says, and its body.
///
/// A body taken from the wire has at most [`I2NP_BODY_MAX`] bytes; whoever makes one keeps to that too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct I2npMessage {
    /// What the body is.
    pub kind: MessageType,
    /// Its id, random unless the protocol prescribes one.
    pub id: MessageId,
    /// When routers stop handling it.
    pub expiration: UnixTime,
    /// The bytes behind the header.
    pub body: Frame,
}

impl I2npMessage {
    /// A message under the short header, which says no size: the body is the rest of `bytes`.
    ///
    /// # Errors
    /// `Truncated` when the header is cut, `TooLarge` past [`I2NP_BODY_MAX`].
    pub fn parse_short(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::parse_short_with(bytes, Frame::copy_of)
    }

    /// The same, its body in a buffer of this pool.
    ///
    /// # Errors
    /// As [`I2npMessage::parse_short`].
    pub fn parse_short_into(frames: &mut FramePool, bytes: &[u8]) -> Result<Self, Malformed> {
        Self::parse_short_with(bytes, |body| frames.copy_of(body))
    }

    fn parse_short_with(
        bytes: &[u8],
        frame: impl FnOnce(&[u8]) -> Frame,
    ) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = MessageType::from_code(reader.u8("message type")?);
        let id = MessageId(reader.u32("message id")?);
        let expiration = UnixTime::from_seconds(reader.u32("message expiration")?);
        let body = check_body(reader.rest())?;
        Ok(Self { kind, id, expiration, body: frame(body) })
    }

    /// The short header. The expiration is rounded up to whole seconds.
    #[must_use]
    pub fn short_header(&self) -> [u8; SHORT_HEADER_SIZE] {
        let mut header = [0; SHORT_HEADER_SIZE];
        let [kind, fields @ ..] = &mut header;
        *kind = self.kind.code();
        let (id, expiration) = fields.split_at_mut(4);
        id.copy_from_slice(&self.id.0.to_be_bytes());
        expiration.copy_from_slice(&self.expiration.seconds_up().to_be_bytes());
        header
    }

    /// A message under the standard header at the start of `bytes`, and how many bytes it takes there.
    ///
    /// The checksum is not compared: every carrier of this form authenticates what it carries, and routers differ in
    /// what they write.
    ///
    /// # Errors
    /// `Truncated` when header or body is cut, `TooLarge` past [`I2NP_BODY_MAX`].
    pub fn parse_standard(bytes: &[u8]) -> Result<(Self, usize), Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = MessageType::from_code(reader.u8("message type")?);
        let id = MessageId(reader.u32("message id")?);
        let expiration = UnixTime(reader.u64("message expiration")?);
        let size = usize::from(reader.u16("message size")?);
        reader.u8("message checksum")?;
        let body = check_body(reader.take(size, "message body")?)?;
        let message = Self { kind, id, expiration, body: Frame::copy_of(body) };
        Ok((message, reader.position()))
    }

    /// The standard header, with size and checksum of the body.
    #[must_use]
    pub fn standard_header(&self) -> [u8; STANDARD_HEADER_SIZE] {
        debug_assert!(self.body.len() <= I2NP_BODY_MAX, "body of {} bytes", self.body.len());
        let size = u16::try_from(self.body.len()).unwrap_or(u16::MAX);
        let [checksum, ..] = sha256(&self.body);
        let mut header = [0; STANDARD_HEADER_SIZE];
        let [kind, fields @ .., last] = &mut header;
        *kind = self.kind.code();
        *last = checksum;
        let (id, fields) = fields.split_at_mut(4);
        let (expiration, length) = fields.split_at_mut(8);
        id.copy_from_slice(&self.id.0.to_be_bytes());
        expiration.copy_from_slice(&self.expiration.0.to_be_bytes());
        length.copy_from_slice(&size.to_be_bytes());
        header
    }

    /// The message under its standard header, in a frame of its own.
    #[must_use]
    pub fn encode_standard(&self) -> Frame {
        let mut frame = Frame::with_capacity(STANDARD_HEADER_SIZE + self.body.len());
        frame.append(&self.standard_header());
        frame.append(&self.body);
        frame
    }

    /// The message under its standard header, in the frame of its body: nothing is copied if there is headroom.
    #[must_use]
    pub fn into_standard(self) -> Frame {
        let header = self.standard_header();
        let mut frame = self.body;
        frame.prepend(&header);
        frame
    }
}

fn check_body(body: &[u8]) -> Result<&[u8], Malformed> {
    if body.len() > I2NP_BODY_MAX {
        return Err(Malformed::TooLarge {
            field: "message body",
            limit: I2NP_BODY_MAX,
            found: body.len(),
        });
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message() -> I2npMessage {
        I2npMessage {
            kind: MessageType::DeliveryStatus,
            id: MessageId(0x0102_0304),
            expiration: UnixTime(0x0000_018f_0000_0001),
            body: Frame::copy_of(b"abc"),
        }
    }

    #[test]
    fn standard_header_byte_by_byte() {
        // SHA-256("abc") starts with ba.
        let expected = [10, 1, 2, 3, 4, 0, 0, 1, 0x8f, 0, 0, 0, 1, 0, 3, 0xba, b'a', b'b', b'c'];
        assert_eq!(&message().encode_standard()[..], &expected);
        assert_eq!(&message().into_standard()[..], &expected);
        let mut longer = expected.to_vec();
        longer.push(9);
        assert_eq!(I2npMessage::parse_standard(&longer), Ok((message(), 19)));
    }

    #[test]
    fn short_header_byte_by_byte_rounds_the_expiration_up() {
        let mut short = message();
        short.expiration = UnixTime(5_001);
        assert_eq!(short.short_header(), [10, 1, 2, 3, 4, 0, 0, 0, 6]);
        let parsed = I2npMessage::parse_short(&[10, 1, 2, 3, 4, 0, 0, 0, 6, 7, 8]).unwrap();
        assert_eq!(parsed.expiration, UnixTime(6_000));
        assert_eq!(&parsed.body[..], &[7, 8]);
    }

    #[test]
    fn a_wrong_checksum_is_read_past() {
        let mut bytes = message().encode_standard();
        bytes[15] ^= 1;
        assert!(I2npMessage::parse_standard(&bytes).is_ok());
    }

    #[test]
    fn bodies_past_the_limit_are_refused() {
        let body = vec![0; SHORT_HEADER_SIZE + I2NP_BODY_MAX + 1];
        assert!(matches!(I2npMessage::parse_short(&body), Err(Malformed::TooLarge { .. })));
        assert!(I2npMessage::parse_short(&body[1..]).is_ok());
    }

    #[test]
    fn codes_survive() {
        for code in 0..=u8::MAX {
            assert_eq!(MessageType::from_code(code).code(), code);
        }
    }

    proptest! {
        #[test]
        fn any_message_survives_both_headers(
            code: u8, id: u32, seconds: u32, body in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let message = I2npMessage {
                kind: MessageType::from_code(code),
                id: MessageId(id),
                expiration: UnixTime::from_seconds(seconds),
                body: Frame::copy_of(&body),
            };
            let mut short = message.short_header().to_vec();
            short.extend_from_slice(&body);
            prop_assert_eq!(I2npMessage::parse_short(&short), Ok(message.clone()));
            let bytes = message.encode_standard();
            prop_assert_eq!(I2npMessage::parse_standard(&bytes), Ok((message, bytes.len())));
        }

        #[test]
        fn any_bytes_give_an_error_or_a_value(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = I2npMessage::parse_short(&bytes);
            let _ = I2npMessage::parse_standard(&bytes);
        }
    }
}
