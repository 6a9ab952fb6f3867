//! Cloves as they stand in an AES block: under standard headers, counted, with certificates that certify nothing.
//!
//! Spec: I2NP, GarlicClove and Garlic.

use crate::base::id::MessageId;
use crate::base::time::UnixTime;
use crate::wire::Malformed;
use crate::wire::i2np::I2npMessage;
use crate::wire::i2np::garlic::CloveDelivery;
use crate::wire::reader::Reader;

const NULL_CERTIFICATE: [u8; 3] = [0; 3];

/// One message of a clove set, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetClove {
    /// Where it goes.
    pub delivery: CloveDelivery,
    /// The message.
    pub message: I2npMessage,
    /// A random number.
    pub id: u32,
    /// When the clove is not to be handled any more.
    pub expiration: UnixTime,
}

/// The payload of an AES block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloveSet {
    /// The cloves, at most 255.
    pub cloves: Vec<SetClove>,
    /// A random number.
    pub id: MessageId,
    /// When nothing of it is to be handled any more.
    pub expiration: UnixTime,
}

impl CloveSet {
    /// Reads a clove set. What certificates hold is passed over, as are bytes behind the set.
    ///
    /// # Errors
    /// `Truncated` when it ends early, and what a clove's delivery or message is refused for.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let count = reader.u8("clove count")?;
        let cloves = (0..count).map(|_| parse_clove(&mut reader)).collect::<Result<_, _>>()?;
        skip_certificate(&mut reader)?;
        let id = MessageId(reader.u32("clove set id")?);
        let expiration = UnixTime(reader.u64("clove set expiration")?);
        Ok(Self { cloves, id, expiration })
    }

    /// Appends the clove set; cloves past the 255th are left out.
    pub fn write(&self, out: &mut Vec<u8>) {
        let cloves = self.cloves.get(..usize::from(u8::MAX)).unwrap_or(&self.cloves);
        out.push(u8::try_from(cloves.len()).unwrap_or(u8::MAX));
        for clove in cloves {
            clove.delivery.write(out);
            out.extend_from_slice(&clove.message.standard_header());
            out.extend_from_slice(&clove.message.body);
            out.extend_from_slice(&clove.id.to_be_bytes());
            out.extend_from_slice(&clove.expiration.0.to_be_bytes());
            out.extend_from_slice(&NULL_CERTIFICATE);
        }
        out.extend_from_slice(&NULL_CERTIFICATE);
        out.extend_from_slice(&self.id.0.to_be_bytes());
        out.extend_from_slice(&self.expiration.0.to_be_bytes());
    }
}

fn parse_clove(reader: &mut Reader<'_>) -> Result<SetClove, Malformed> {
    let delivery = CloveDelivery::parse(reader)?;
    let (message, size) = I2npMessage::parse_standard(reader.clone().rest())?;
    reader.take(size, "message of clove")?;
    let id = reader.u32("clove id")?;
    let expiration = UnixTime(reader.u64("clove expiration")?);
    skip_certificate(reader)?;
    Ok(SetClove { delivery, message, id, expiration })
}

fn skip_certificate(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let field = "certificate of clove";
    reader.u8(field)?;
    let size = reader.u16(field)?;
    reader.take(usize::from(size), field)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::frame::Frame;
    use crate::base::id::{RecordKey, RouterHash, TunnelId};
    use crate::wire::i2np::MessageType;
    use proptest::prelude::*;

    fn clove(delivery: CloveDelivery) -> SetClove {
        let message = I2npMessage {
            kind: MessageType::Data,
            id: MessageId(0x0102_0304),
            expiration: UnixTime(5),
            body: Frame::copy_of(b"abc"),
        };
        SetClove { delivery, message, id: 6, expiration: UnixTime(7) }
    }

    fn written(set: &CloveSet) -> Vec<u8> {
        let mut out = Vec::new();
        set.write(&mut out);
        out
    }

    #[test]
    fn a_set_byte_by_byte() {
        let cloves = vec![clove(CloveDelivery::Local)];
        let set = CloveSet { cloves, id: MessageId(8), expiration: UnixTime(9) };
        // SHA-256("abc") starts with ba.
        let expected = [
            1, 0, 20, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 3, 0xba, b'a', b'b', b'c', 0, 0, 0, 6,
            0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9,
        ];
        assert_eq!(written(&set), expected);
        assert_eq!(CloveSet::parse(&expected), Ok(set));
        for length in 0..expected.len() {
            let refused = CloveSet::parse(&expected[..length]);
            assert!(matches!(refused, Err(Malformed::Truncated { .. })), "{length}");
        }
    }

    #[test]
    fn every_delivery_survives() {
        let tunnel = TunnelId::new(6).unwrap();
        let cloves = [
            CloveDelivery::Local,
            CloveDelivery::Destination(RecordKey([1; 32])),
            CloveDelivery::Router(RouterHash([2; 32])),
            CloveDelivery::Tunnel { gateway: RouterHash([3; 32]), tunnel },
        ];
        let cloves = cloves.into_iter().map(clove).collect();
        let set = CloveSet { cloves, id: MessageId(8), expiration: UnixTime(9) };
        assert_eq!(CloveSet::parse(&written(&set)), Ok(set));
    }

    #[test]
    fn certificates_are_passed_over() {
        let set = CloveSet { cloves: vec![], id: MessageId(8), expiration: UnixTime(9) };
        let mut bytes = written(&set);
        bytes.splice(1..4, [5, 0, 2, 7, 7]);
        assert_eq!(CloveSet::parse(&bytes), Ok(set));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_set_or_an_error(
            count in 0u8..3, bytes in proptest::collection::vec(0u8..4, 0..200),
        ) {
            let _ = CloveSet::parse(&[&[count][..], &bytes].concat());
        }
    }
}
