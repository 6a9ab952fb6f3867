//! Tunnel build messages: an array of sealed records, one for each hop and some to mislead.
//!
//! There are short records, in messages 25 and 26, and long ones: counted in messages 23 and 24, always eight in
//! messages 21 and 22. Spec: I2NP, TunnelBuild to OutboundTunnelBuildReply.

use crate::base::frame::Frame;
use crate::wire::Malformed;

/// Bytes of a sealed short record.
pub const SHORT_RECORD_SIZE: usize = 218;
/// Bytes of a sealed long record.
pub const LONG_RECORD_SIZE: usize = 528;
/// Most records in one message.
pub const RECORDS_MAX: usize = 8;

/// The form of the records in a build message that counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordSize {
    /// 218 bytes, as messages 25 and 26 have them.
    Short,
}

/// A build message or its reply, viewed in the buffer that it arrived in. Records are short unless said otherwise.
#[derive(Debug)]
pub struct BuildMessage<'a, const SIZE: usize = SHORT_RECORD_SIZE> {
    records: &'a mut [[u8; SIZE]],
}

/// A build message of long records, or its reply.
pub type LongBuildMessage<'a> = BuildMessage<'a, LONG_RECORD_SIZE>;

impl<'a> BuildMessage<'a> {
    /// Views `body`.
    ///
    /// # Errors
    /// `Truncated` for an empty body, `Value` unless the count is 1 to 8, `Length` unless exactly that many
    /// records follow.
    pub fn parse(body: &'a mut [u8], size: RecordSize) -> Result<Self, Malformed> {
        match size {
            RecordSize::Short => counted(body).map(|records| Self { records }),
        }
    }

    /// The body that consists of `records`, 1 to 8 of them; `None` for another number.
    #[must_use]
    pub fn write(records: &[[u8; SHORT_RECORD_SIZE]]) -> Option<Frame> {
        write_counted(records)
    }
}

impl<'a> LongBuildMessage<'a> {
    /// Views the body of message 23 or 24.
    ///
    /// # Errors
    /// As [`BuildMessage::parse`].
    pub fn parse_variable(body: &'a mut [u8]) -> Result<Self, Malformed> {
        counted(body).map(|records| Self { records })
    }

    /// Views the body of message 21 or 22.
    ///
    /// # Errors
    /// `Length` unless it has eight records and nothing else.
    pub fn parse_fixed(body: &'a mut [u8]) -> Result<Self, Malformed> {
        let (expected, found) = (RECORDS_MAX * LONG_RECORD_SIZE, body.len());
        if found != expected {
            return Err(Malformed::Length { field: "build message", expected, found });
        }
        let (records, _) = body.as_chunks_mut();
        Ok(Self { records })
    }

    /// The body of message 23 or 24 that consists of `records`, 1 to 8 of them; `None` for another number.
    #[must_use]
    pub fn write_variable(records: &[[u8; LONG_RECORD_SIZE]]) -> Option<Frame> {
        write_counted(records)
    }

    /// The body of message 21 or 22.
    #[must_use]
    pub fn write_fixed(records: &[[u8; LONG_RECORD_SIZE]; RECORDS_MAX]) -> Frame {
        Frame::copy_of(records.as_flattened())
    }
}

impl<const SIZE: usize> BuildMessage<'_, SIZE> {
    /// How many records there are, 1 to 8.
    #[must_use]
    pub fn count(&self) -> usize {
        self.records.len()
    }

    /// The record in `slot`, counted from 0.
    #[must_use]
    pub fn record(&self, slot: usize) -> Option<&[u8; SIZE]> {
        self.records.get(slot)
    }

    /// The record in `slot`, to be changed in place.
    pub fn record_mut(&mut self, slot: usize) -> Option<&mut [u8; SIZE]> {
        self.records.get_mut(slot)
    }

    /// All records, slot by slot.
    #[must_use]
    pub fn records(&self) -> &[[u8; SIZE]] {
        self.records
    }

    /// All records, slot by slot, to be changed in place.
    pub fn records_mut(&mut self) -> &mut [[u8; SIZE]] {
        self.records
    }
}

/// The records behind their count.
fn counted<const SIZE: usize>(body: &mut [u8]) -> Result<&mut [[u8; SIZE]], Malformed> {
    let found = body.len();
    let cut = Malformed::Truncated { field: "records of build message", needed: 1, left: 0 };
    let (count, records) = body.split_first_mut().ok_or(cut)?;
    let count = usize::from(*count);
    if count == 0 || count > RECORDS_MAX {
        let found = u32::try_from(count).unwrap_or(u32::MAX);
        return Err(Malformed::Value { field: "records of build message", found });
    }
    let expected = 1 + count * SIZE;
    if found != expected {
        return Err(Malformed::Length { field: "build message", expected, found });
    }
    Ok(records.as_chunks_mut().0)
}

fn write_counted<const SIZE: usize>(records: &[[u8; SIZE]]) -> Option<Frame> {
    let count = u8::try_from(records.len()).ok()?;
    if records.is_empty() || records.len() > RECORDS_MAX {
        return None;
    }
    let mut frame = Frame::with_capacity(1 + SIZE * records.len());
    frame.append(&[count]);
    frame.append(records.as_flattened());
    Some(frame)
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

    #[test]
    fn long_records_are_counted_or_eight() {
        let records = [[1; 528], [2; 528]];
        let mut body = LongBuildMessage::write_variable(&records).unwrap();
        assert_eq!((body.len(), body[0], body[529]), (1057, 2, 2));
        let message = LongBuildMessage::parse_variable(&mut body).unwrap();
        assert_eq!(message.records(), records);
        assert_eq!(LongBuildMessage::write_variable(&[[0; 528]; 9]), None);

        let records = [[3; 528]; 8];
        let mut body = LongBuildMessage::write_fixed(&records);
        assert_eq!(body.len(), 4224);
        let message = LongBuildMessage::parse_fixed(&mut body).unwrap();
        assert_eq!((message.count(), message.records()), (8, &records[..]));
        for length in [0, 528, 4223, 4225] {
            let refused =
                Malformed::Length { field: "build message", expected: 4224, found: length };
            let mut body = vec![1; length];
            assert_eq!(LongBuildMessage::parse_fixed(&mut body).err(), Some(refused));
        }
        assert!(LongBuildMessage::parse_variable(&mut [1; 219]).is_err());
    }
}
