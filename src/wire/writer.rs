//! A cursor that appends to a buffer and never makes it longer than a limit.

/// More was written than the limit allows; the buffer ends before the first field that did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{needed} bytes were written, the limit is {limit}")]
pub struct Overflow {
    /// Bytes that everything written would have taken.
    pub needed: usize,
    /// Bytes that there was room for.
    pub limit: usize,
}

/// A cursor at the end of a buffer. Integers are big-endian.
///
/// A field that does not fit is not written, nor is any after it; [`Writer::finish`] tells.
#[derive(Debug)]
pub struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    written: usize,
    limit: usize,
}

impl<'a> Writer<'a> {
    /// A writer that appends at most `limit` bytes to `bytes`.
    #[must_use]
    pub fn new(bytes: &'a mut Vec<u8>, limit: usize) -> Self {
        Self { bytes, written: 0, limit }
    }

    /// Appends `field`.
    pub fn put(&mut self, field: &[u8]) {
        self.written = self.written.saturating_add(field.len());
        if self.written <= self.limit {
            self.bytes.extend_from_slice(field);
        }
    }

    /// Appends one byte.
    pub fn u8(&mut self, number: u8) {
        self.put(&[number]);
    }

    /// Appends two bytes.
    pub fn u16(&mut self, number: u16) {
        self.put(&number.to_be_bytes());
    }

    /// Appends four bytes.
    pub fn u32(&mut self, number: u32) {
        self.put(&number.to_be_bytes());
    }

    /// Appends eight bytes.
    pub fn u64(&mut self, number: u64) {
        self.put(&number.to_be_bytes());
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.written)
    }

    /// Ends the writing and tells how many bytes it appended.
    ///
    /// # Errors
    /// [`Overflow`] when something did not fit.
    pub fn finish(self) -> Result<usize, Overflow> {
        if self.written > self.limit {
            return Err(Overflow { needed: self.written, limit: self.limit });
        }
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut bytes = vec![7];
        let mut writer = Writer::new(&mut bytes, 7);
        writer.u8(1);
        writer.u16(2);
        assert_eq!(writer.room(), 4);
        writer.u32(3);
        assert_eq!(writer.finish(), Ok(7));
        assert_eq!(bytes, [7, 1, 0, 2, 0, 0, 0, 3]);

        let mut writer = Writer::new(&mut bytes, 9);
        writer.u64(4);
        writer.put(b"ab");
        writer.put(b"c");
        assert_eq!(writer.finish(), Err(Overflow { needed: 11, limit: 9 }));
        assert_eq!(bytes.len(), 16);
    }
}
