//! DeliveryStatus: a message has arrived. Spec: I2NP, DeliveryStatus.

use crate::base::frame::Frame;
use crate::base::id::MessageId;
use crate::base::time::UnixTime;
use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// Says that a message, or a store with a reply token, has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryStatus {
    /// The message's id; after a store, its reply token.
    pub id: MessageId,
    /// When it arrived, by the sender's word.
    pub timestamp: UnixTime,
}

impl DeliveryStatus {
    /// Reads the body; bytes behind it are ignored.
    ///
    /// # Errors
    /// `Truncated` below 12 bytes.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let id = MessageId(reader.u32("id of DeliveryStatus")?);
        let timestamp = UnixTime(reader.u64("time of DeliveryStatus")?);
        Ok(Self { id, timestamp })
    }

    /// The body.
    #[must_use]
    pub fn write(&self) -> Frame {
        let mut frame = Frame::with_capacity(12);
        frame.append(&self.id.0.to_be_bytes());
        frame.append(&self.timestamp.0.to_be_bytes());
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_by_byte() {
        let status = DeliveryStatus { id: MessageId(0x0102_0304), timestamp: UnixTime(0x0506) };
        let bytes = [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 5, 6];
        assert_eq!(&status.write()[..], &bytes);
        assert_eq!(DeliveryStatus::parse(&bytes), Ok(status));
        for length in 0..bytes.len() {
            assert!(DeliveryStatus::parse(&bytes[..length]).is_err());
        }
    }
}
