//! A cursor over received bytes that cannot run past their end.

/// Why bytes are not what their sender claims they are. Each fact names the field it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end inside a field.
    #[error("{field} needs {needed} bytes, {left} are left")]
    Truncated {
        /// The field that was being read.
        field: &'static str,
        /// Its size in bytes.
        needed: usize,
        /// Bytes that were left for it.
        left: usize,
    },
    /// Something has a size that its kind does not have.
    #[error("{field} is {found} bytes long, its kind has {expected}")]
    Length {
        /// What has the size.
        field: &'static str,
        /// The only size it may have, in bytes.
        expected: usize,
        /// The size it has, in bytes.
        found: usize,
    },
    /// A size or a count is above what we take.
    #[error("{field} is {found}, the limit is {limit}")]
    TooLarge {
        /// What is counted.
        field: &'static str,
        /// The most that we take.
        limit: usize,
        /// What was found.
        found: usize,
    },
    /// A field has a value that it may not have.
    #[error("{field} cannot be {found}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        found: u32,
    },
    /// A field names a kind that we do not know and whose size we therefore cannot tell.
    #[error("{field} {found} is not supported")]
    Unsupported {
        /// The field that names the kind.
        field: &'static str,
        /// The code of the kind.
        found: u32,
    },
    /// Bytes follow where the format ends.
    #[error("{left} bytes follow the end")]
    Trailing {
        /// How many.
        left: usize,
    },
    /// A tunnel id is zero, which names no tunnel.
    #[error("{field} is zero")]
    ZeroTunnelId {
        /// The field that holds the id.
        field: &'static str,
    },
    /// A key stands in a list of options more than once.
    #[error("{field} has a key twice")]
    Repeated {
        /// The list.
        field: &'static str,
    },
    /// Text is not UTF-8.
    #[error("{field} is not UTF-8")]
    Text {
        /// The text.
        field: &'static str,
    },
    /// A checksum does not belong to its data.
    #[error("{field} has another checksum")]
    Checksum {
        /// The data.
        field: &'static str,
    },
    /// Compressed data cannot be inflated.
    #[error("{field} cannot be inflated")]
    Compression {
        /// The data.
        field: &'static str,
    },
}

/// A cursor over received bytes. Integers are big-endian.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when fewer are left; the cursor then stays where it is.
    pub fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        let rest = self.remaining();
        let taken = rest.get(..count).ok_or(Malformed::Truncated {
            field,
            needed: count,
            left: rest.len(),
        })?;
        self.position += count;
        Ok(taken)
    }

    /// The next `N` bytes, as an array.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when fewer are left; the cursor then stays where it is.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N], Malformed> {
        let rest = self.remaining();
        let taken = rest.first_chunk().ok_or(Malformed::Truncated {
            field,
            needed: N,
            left: rest.len(),
        })?;
        self.position += N;
        Ok(taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] at the end.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        self.array(field).map(|&[byte]| byte)
    }

    /// The next two bytes, as a number.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when fewer are left.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// The next four bytes, as a number.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when fewer are left.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// The next eight bytes, as a number.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when fewer are left.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, Malformed> {
        self.array(field).map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// Everything that has not been read; the cursor then stands at the end.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.remaining();
        self.position = self.bytes.len();
        rest
    }

    /// How many bytes have not been read.
    #[must_use]
    pub fn left(&self) -> usize {
        self.remaining().len()
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Everything from the start to the cursor.
    #[must_use]
    pub fn read_so_far(&self) -> &'a [u8] {
        self.bytes.get(..self.position).unwrap_or(&[])
    }

    /// Ends the reading where the format ends.
    ///
    /// # Errors
    /// [`Malformed::Trailing`] when bytes are left.
    pub fn finish(self) -> Result<(), Malformed> {
        match self.left() {
            0 => Ok(()),
            left => Err(Malformed::Trailing { left }),
        }
    }

    fn remaining(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian_and_the_end_is_an_error() {
        let mut reader = Reader::new(&[1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 9, 9]);
        assert_eq!(reader.u8("a"), Ok(1));
        assert_eq!(reader.u16("b"), Ok(2));
        assert_eq!(reader.u32("c"), Ok(3));
        assert_eq!(reader.u64("d"), Ok(4));
        assert_eq!((reader.position(), reader.left()), (15, 2));
        let short = Malformed::Truncated { field: "e", needed: 4, left: 2 };
        assert_eq!(reader.u32("e"), Err(short));
        assert_eq!(reader.take(usize::MAX, "f").map_err(|e| e.to_string()), {
            Err(format!("f needs {} bytes, 2 are left", usize::MAX))
        });
        assert_eq!(reader.clone().finish(), Err(Malformed::Trailing { left: 2 }));
        assert_eq!(reader.take(1, "g"), Ok(&[9][..]));
        assert_eq!(reader.rest(), [9]);
        assert_eq!(reader.read_so_far().len(), 17);
        assert_eq!(reader.u8("h"), Err(Malformed::Truncated { field: "h", needed: 1, left: 0 }));
        assert_eq!(reader.finish(), Ok(()));
    }
}
