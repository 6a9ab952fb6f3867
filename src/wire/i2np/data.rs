//! Data: what destinations send each other, inside garlic only. Spec: I2NP, Data.

use crate::base::frame::Frame;
use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// The body of a Data message: a length and what it counts.
pub struct DataMessage;

impl DataMessage {
    /// What the message carries; bytes behind that are ignored.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than the length says.
    pub fn payload(body: &[u8]) -> Result<&[u8], Malformed> {
        let mut reader = Reader::new(body);
        let size = reader.u32("size of Data")?;
        reader.take(usize::try_from(size).unwrap_or(usize::MAX), "Data")
    }

    /// The body that carries `payload`.
    #[must_use]
    pub fn write(payload: &[u8]) -> Frame {
        let mut frame = Frame::with_capacity(4 + payload.len());
        frame.append(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.append(payload);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_by_byte() {
        let body = DataMessage::write(&[7, 8]);
        assert_eq!(&body[..], &[0, 0, 0, 2, 7, 8]);
        assert_eq!(DataMessage::payload(&body), Ok(&[7, 8][..]));
        assert_eq!(DataMessage::payload(&[0, 0, 0, 1, 7, 8]), Ok(&[7][..]));
        for length in 0..body.len() {
            let refused = DataMessage::payload(&body[..length]);
            assert!(matches!(refused, Err(Malformed::Truncated { .. })), "{length}");
        }
        assert!(DataMessage::payload(&[0xff; 100]).is_err());
    }
}
