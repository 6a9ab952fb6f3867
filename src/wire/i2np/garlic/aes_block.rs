//! What the AES half of a garlic message of the old kind holds: tags for later messages, and a checked payload.
//!
//! In front of it stands a session tag, or 514 bytes of ElGamal. The block is sealed with AES-256-CBC, which
//! authenticates nothing, so the hash inside is all there is. Spec: ElGamal/AES, AES block.

use std::fmt;

use crate::crypto::hash::sha256;
use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// Most session tags in one block.
pub const AES_TAGS_MAX: usize = 200;

/// Sizes of blocks are multiples of this, and no block is shorter than [`AES_BLOCK_MIN`].
const AES_UNIT: usize = 16;
/// Fewest bytes that other routers pad a block to.
pub const AES_BLOCK_MIN: usize = 128;

/// An opened block, viewed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AesBlock<'a> {
    /// Tags that the sender will use for later messages, at most [`AES_TAGS_MAX`]. Secret: whoever knows one knows
    /// which message it opens.
    pub tags: &'a [[u8; 32]],
    /// A key that replaces the session's; nobody sends one.
    pub new_key: Option<&'a [u8; 32]>,
    /// What the block is about, usually a clove set.
    pub payload: &'a [u8],
}

impl<'a> AesBlock<'a> {
    /// Views an opened block; padding behind its payload is ignored.
    ///
    /// # Errors
    /// `Truncated` when it ends early, `TooLarge` for more than [`AES_TAGS_MAX`] tags, `Value` for a flag that is
    /// neither 0 nor 1, `Checksum` when the payload has another hash: then the block was opened with a wrong key.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let field = "session tags of garlic";
        let count = usize::from(reader.u16(field)?);
        if count > AES_TAGS_MAX {
            return Err(Malformed::TooLarge { field, limit: AES_TAGS_MAX, found: count });
        }
        let (tags, _) = reader.take(count * 32, field)?.as_chunks();
        let size = reader.u32("payload size of garlic")?;
        let hash = reader.array("payload hash of garlic")?;
        let new_key = match reader.u8("flag of garlic")? {
            0 => None,
            1 => Some(reader.array("session key of garlic")?),
            other => {
                let found = u32::from(other);
                return Err(Malformed::Value { field: "flag of garlic", found });
            }
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let payload = reader.take(size, "payload of garlic")?;
        if sha256(payload) != *hash {
            return Err(Malformed::Checksum { field: "payload of garlic" });
        }
        Ok(Self { tags, new_key, payload })
    }

    /// Appends the block, to be sealed, with zeros behind the payload; tags past the 200th are left out.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let tags = self.tags.get(..AES_TAGS_MAX).unwrap_or(self.tags);
        out.extend_from_slice(&u16::try_from(tags.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(tags.as_flattened());
        let size = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(&sha256(self.payload));
        match self.new_key {
            None => out.push(0),
            Some(key) => {
                out.push(1);
                out.extend_from_slice(key);
            }
        }
        out.extend_from_slice(self.payload);
        let size = out.len() - start;
        out.resize(start + size.next_multiple_of(AES_UNIT).max(AES_BLOCK_MIN), 0);
    }
}

impl fmt::Debug for AesBlock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AesBlock({} tags, {} bytes)", self.tags.len(), self.payload.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // SHA-256("abc"), FIPS 180-4.
    const ABC: [u8; 4] = [0xba, 0x78, 0x16, 0xbf];

    fn written(block: &AesBlock<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        block.write(&mut out);
        out
    }

    #[test]
    fn a_block_byte_by_byte() {
        let block = AesBlock { tags: &[[7; 32]], new_key: None, payload: b"abc" };
        let bytes = written(&block);
        assert_eq!(bytes[..2], [0, 1]);
        assert_eq!(bytes[2..34], [7; 32]);
        assert_eq!(bytes[34..38], [0, 0, 0, 3]);
        assert_eq!(bytes[38..42], ABC);
        assert_eq!(bytes[70..74], [0, b'a', b'b', b'c']);
        assert_eq!((bytes.len(), &bytes[74..]), (128, &[0; 54][..]));
        assert_eq!(AesBlock::parse(&bytes), Ok(block));
        assert_eq!(format!("{block:?}"), "AesBlock(1 tags, 3 bytes)");
    }

    #[test]
    fn a_new_key_stands_before_the_payload() {
        let block = AesBlock { tags: &[], new_key: Some(&[9; 32]), payload: &[1; 60] };
        let bytes = written(&block);
        assert_eq!(bytes[38], 1);
        assert_eq!(bytes[39..71], [9; 32]);
        assert_eq!(bytes.len(), 144);
        assert_eq!(AesBlock::parse(&bytes), Ok(block));
    }

    #[test]
    fn malformed_blocks_are_refused() {
        let bytes = written(&AesBlock { tags: &[[7; 32]], new_key: None, payload: b"abc" });
        for length in 0..74 {
            let refused = AesBlock::parse(&bytes[..length]);
            assert!(matches!(refused, Err(Malformed::Truncated { .. })), "{length}");
        }
        let refused = |at: usize, value: u8| {
            let mut changed = bytes.clone();
            changed[at] = value;
            AesBlock::parse(&changed).err()
        };
        let tags = Malformed::TooLarge { field: "session tags of garlic", limit: 200, found: 257 };
        assert_eq!(refused(0, 1), Some(tags));
        let hash = Malformed::Checksum { field: "payload of garlic" };
        assert_eq!(refused(38, 0), Some(hash));
        assert_eq!(refused(71, 0), Some(hash));
        let flag = Malformed::Value { field: "flag of garlic", found: 2 };
        assert_eq!(refused(70, 2), Some(flag));
        let size = refused(34, 0xff);
        assert!(matches!(size, Some(Malformed::Truncated { field: "payload of garlic", .. })));
    }

    proptest! {
        #[test]
        fn any_block_survives(
            tags in proptest::collection::vec(any::<[u8; 32]>(), 0..4), key: [u8; 32], has_key: bool,
            payload in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let block = AesBlock { tags: &tags, new_key: has_key.then_some(&key), payload: &payload };
            let bytes = written(&block);
            prop_assert_eq!(bytes.len() % 16, 0);
            prop_assert_eq!(AesBlock::parse(&bytes), Ok(block));
        }
    }
}
