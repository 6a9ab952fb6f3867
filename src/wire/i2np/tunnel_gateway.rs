//! TunnelGateway: a message for the gateway of an inbound tunnel to send down. Spec: I2NP, TunnelGateway.

use crate::base::frame::Frame;
use crate::base::id::TunnelId;
use crate::base::limits::I2NP_BODY_MAX;
use crate::wire::Malformed;
use crate::wire::i2np::{I2npMessage, STANDARD_HEADER_SIZE};
use crate::wire::reader::Reader;

/// Bytes in front of the inner message: tunnel and size.
pub const HEADER_SIZE: usize = 6;

const _: () = assert!(STANDARD_HEADER_SIZE + I2NP_BODY_MAX <= u16::MAX as usize);

/// A TunnelGateway message, viewed in the buffer that it arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelGateway<'a> {
    /// The tunnel, as its gateway names it.
    pub tunnel: TunnelId,
    /// The message to send down, under its standard header; not looked into.
    pub inner: &'a [u8],
}

impl<'a> TunnelGateway<'a> {
    /// Views `body`; bytes behind the inner message are ignored.
    ///
    /// # Errors
    /// `Truncated` when a field is cut, `ZeroTunnelId` for tunnel zero.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let field = "tunnel of TunnelGateway";
        let tunnel = TunnelId::from_wire(*reader.array::<4>(field)?)
            .ok_or(Malformed::ZeroTunnelId { field })?;
        let size = usize::from(reader.u16("size of TunnelGateway")?);
        let inner = reader.take(size, "message of TunnelGateway")?;
        Ok(Self { tunnel, inner })
    }

    /// The inner message, parsed.
    ///
    /// # Errors
    /// As [`I2npMessage::parse_standard`].
    pub fn message(&self) -> Result<I2npMessage, Malformed> {
        I2npMessage::parse_standard(self.inner).map(|(message, _)| message)
    }

    /// The body that carries `message` to the gateway of `tunnel`.
    #[must_use]
    pub fn write(tunnel: TunnelId, message: &I2npMessage) -> Frame {
        let size = STANDARD_HEADER_SIZE + message.body.len();
        let mut frame = Frame::with_capacity(HEADER_SIZE + size);
        frame.append(&tunnel.to_wire());
        frame.append(&u16::try_from(size).unwrap_or(u16::MAX).to_be_bytes());
        frame.append(&message.standard_header());
        frame.append(&message.body);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::MessageId;
    use crate::base::time::UnixTime;
    use crate::wire::i2np::MessageType;

    #[test]
    fn byte_by_byte() {
        let message = I2npMessage {
            kind: MessageType::Data,
            id: MessageId(1),
            expiration: UnixTime(2),
            body: Frame::copy_of(b"abc"),
        };
        let body = TunnelGateway::write(TunnelId::new(7).unwrap(), &message);
        let expected = [
            0, 0, 0, 7, 0, 19, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0xba, b'a', b'b', b'c',
        ];
        assert_eq!(&body[..], &expected);
        let view = TunnelGateway::parse(&body).unwrap();
        assert_eq!((view.tunnel.number(), view.inner), (7, &expected[6..]));
        assert_eq!(view.message(), Ok(message));
        for length in 0..expected.len() {
            assert!(TunnelGateway::parse(&expected[..length]).is_err());
        }
    }

    #[test]
    fn tunnel_zero_is_refused_and_a_tail_ignored() {
        let zero = Malformed::ZeroTunnelId { field: "tunnel of TunnelGateway" };
        assert_eq!(TunnelGateway::parse(&[0; 6]), Err(zero));
        let view = TunnelGateway::parse(&[0, 0, 0, 1, 0, 1, 5, 6, 7]).unwrap();
        assert_eq!(view.inner, &[5]);
        assert!(view.message().is_err());
    }
}
