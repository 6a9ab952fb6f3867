//! Tunnel build messages: an array of sealed records, one for each hop and some to mislead. Spec: I2NP, ShortTunnelBuild
//! and OutboundTunnelBuildReply.

use crate::base::frame::Frame;
use crate::wire::Malformed;

/// Bytes of a sealed short record.
pub const SHORT_RECORD_SIZE: usize = 218;
/// Most records in one message.
pub const RECORDS_MAX: usize = 8;

/// The form of the records in a build message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordSize {
    /// 218 bytes, as messages 25 and 26 have them.
    Short,
}

impl RecordSize {
    /// Bytes of one record.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Short => SHORT_RECORD_SIZE,
        }
    }
}

/// A build message or its reply, viewed in the buffer that it arrived in.
#[derive(Debug)]
pub struct BuildMessage<'a> {
    records: &'a mut [[u8; SHORT_RECORD_SIZE]],
}

impl<'a> BuildMessage<'a> {
    /// Views `body`.
    ///
    /// # Errors
    /// `Truncated` for an empty body, `Value` unless the count is 1 to 8, `Length` unless exactly that many
    /// records follow.
    pub fn parse(body: &'a mut [u8], size: RecordSize) -> Result<Self, Malformed> {
        let found = body.len();
        let cut = Malformed::Truncated { field: "records of build message", needed: 1, left: 0 };
        let (count, records) = body.split_first_mut().ok_or(cut)?;
        let count = usize::from(*count);
        if count == 0 || count > RECORDS_MAX {
            let found = u32::try_from(count).unwrap_or(u32::MAX);
            return Err(Malformed::Value { field: "records of build message", found });
        }
        let expected = 1 + count * size.bytes();
        if found != expected {
            return Err(Malformed::Length { field: "build message", expected, found });
        }
        let (records, _) = records.as_chunks_mut();
        Ok(Self { records })
    }

    /// The body that consists of `records`, 1 to 8 of them; `None` for another number.
    #[must_use]
    pub fn write(records: &[[u8; SHORT_RECORD_SIZE]]) -> Option<Frame> {
        let count = u8::try_from(records.len()).ok()?;
        if records.is_empty() || records.len() > RECORDS_MAX {
            return None;
        }
        let mut frame = Frame::with_capacity(1 + SHORT_RECORD_SIZE * records.len());
        frame.append(&[count]);
        frame.append(records.as_flattened());
        Some(frame)
    }

    /// How many records there are, 1 to 8.
    #[must_use]
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// The record in `slot`, counted from 0.
    #[must_use]
    pub fn record(&self, slot: usize) -> Option<&[u8; SHORT_RECORD_SIZE]> {
        self.records.get(slot)
    }

    /// The record in `slot`, to be changed in place.
    pub fn record_mut(&mut self, slot: usize) -> Option<&mut [u8; SHORT_RECORD_SIZE]> {
        self.records.get_mut(slot)
    }

    /// All records, slot by slot.
    #[must_use]
    pub fn records(&self) -> &[[u8; SHORT_RECORD_SIZE]] {
        self.records
    }

    /// All records, slot by slot, to be changed in place.
    pub fn records_mut(&mut self) -> &mut [[u8; SHORT_RECORD_SIZE]] {
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_viewed_in_place() {
        let mut body = BuildMessage::write(&[[1; 218], [2; 218], [3; 218]]).unwrap();
        assert_eq!((body.len(), body[0]), (655, 3));
        let mut message = BuildMessage::parse(&mut body, RecordSize::Short).unwrap();
        assert_eq!(message.count(), 3);
        assert_eq!(message.record(1), Some(&[2; 218]));
        assert_eq!(message.record(3), None);
        message.record_mut(2).unwrap()[217] = 9;
        message.records_mut()[0][0] = 8;
        assert_eq!(message.records()[0][0], 8);
        assert_eq!((body[1], body[654]), (8, 9));
    }

    #[test]
    fn one_to_eight_records_and_not_a_byte_more_or_less() {
        assert_eq!(BuildMessage::write(&[]), None);
        assert_eq!(BuildMessage::write(&[[0; 218]; 9]), None);
        for count in 0..=u8::MAX {
            let length = 1 + 218 * usize::from(count);
            for (found, fits) in [(length, true), (length - 1, false), (length + 1, false)] {
                let mut body = vec![0; found];
                if let Some(first) = body.first_mut() {
                    *first = count;
                }
                let ok = fits && (1..=8).contains(&count);
                assert_eq!(BuildMessage::parse(&mut body, RecordSize::Short).is_ok(), ok);
            }
        }
    }
}
