//! Replies under a key and tag that were agreed on beforehand: of lookups and of outbound builds.
//!
//! `length (4) || tag (8) || AEAD(blocks)`, key as agreed, nonce 0, the tag as associated data; the blocks are one
//! clove for local delivery. Spec: I2NP, DatabaseLookup, encrypted replies; tunnel creation (ECIES), endpoint.

use crate::base::frame::Frame;
use crate::crypto::chacha::{self, TAG_SIZE};
use crate::crypto::secret::AeadKey;
use crate::wire::i2np::I2npMessage;
use crate::wire::i2np::garlic::{
    CloveDelivery, GarlicBlock, GarlicMessage, append_clove, parse_blocks,
};
use crate::wire::reader::Malformed;

/// Size of a tag.
pub const REPLY_TAG_SIZE: usize = 8;

/// Why a reply does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyOpenError {
    /// It carries another tag: it is for somebody else.
    #[error("another tag")]
    OtherTag,
    /// It was not sealed under the agreed key, or was changed.
    #[error("tagged reply does not authenticate")]
    Unauthentic,
    /// It breaks the format.
    #[error("tagged reply: {0}")]
    Malformed(#[from] Malformed),
    /// It holds no message for its receiver.
    #[error("no clove for local delivery")]
    Empty,
}

/// Seals a message under `key` and `tag`: the body of a Garlic message.
#[must_use]
pub fn seal(key: &AeadKey, tag: [u8; REPLY_TAG_SIZE], message: &I2npMessage) -> Frame {
    let mut blocks = Vec::new();
    append_clove(&mut blocks, &CloveDelivery::Local, message);
    seal_blocks(key, tag, blocks)
}

fn seal_blocks(key: &AeadKey, tag: [u8; REPLY_TAG_SIZE], mut blocks: Vec<u8>) -> Frame {
    let authenticator = chacha::seal_in_place(key, 0, &tag, &mut blocks);
    let mut sealed = Vec::with_capacity(REPLY_TAG_SIZE + blocks.len() + TAG_SIZE);
    sealed.extend_from_slice(&tag);
    sealed.extend_from_slice(&blocks);
    sealed.extend_from_slice(&authenticator);
    GarlicMessage::write(&sealed)
}

/// Opens a Garlic body that was sealed under `key` and `tag`, and returns its message.
///
/// # Errors
/// [`ReplyOpenError`].
pub fn open(
    key: &AeadKey,
    tag: [u8; REPLY_TAG_SIZE],
    body: &mut [u8],
) -> Result<I2npMessage, ReplyOpenError> {
    let payload = GarlicMessage::payload_mut(body)?;
    let (found, sealed) = payload.split_first_chunk_mut().ok_or(ReplyOpenError::Unauthentic)?;
    if *found != tag {
        return Err(ReplyOpenError::OtherTag);
    }
    let blocks =
        chacha::open_in_place(key, 0, &tag, sealed).map_err(|_| ReplyOpenError::Unauthentic)?;
    for block in parse_blocks(blocks) {
        match block? {
            GarlicBlock::Clove(clove) if clove.delivery == CloveDelivery::Local => {
                return Ok(clove.message);
            }
            GarlicBlock::Clove(_)
            | GarlicBlock::DateTime(_)
            | GarlicBlock::Session(_)
            | GarlicBlock::Padding(_)
            | GarlicBlock::Unknown { .. } => {}
        }
    }
    Err(ReplyOpenError::Empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::MessageId;
    use crate::base::time::UnixTime;
    use crate::crypto::testing::unhex;
    use crate::wire::i2np::MessageType;
    use crate::wire::i2np::garlic::append_padding;

    fn message() -> I2npMessage {
        I2npMessage {
            kind: MessageType::DatabaseSearchReply,
            id: MessageId(1),
            expiration: UnixTime(1_700_000_000_000),
            body: Frame::copy_of(&[1, 2, 3]),
        }
    }

    #[test]
    fn the_known_reply_is_sealed() {
        let mut blocks = Vec::new();
        append_padding(&mut blocks, 4);
        let body = seal_blocks(&AeadKey::from_bytes([0x10; 32]), [0x11; 8], blocks);
        let known = unhex("1111111111111111f3fa9784d81d534596a790b42bbe7ae8a3541d92d41169");
        assert_eq!(body[4..], known);
        assert_eq!(body[..4], u32::try_from(known.len()).unwrap().to_be_bytes());
    }

    #[test]
    fn a_reply_opens_under_its_key_and_tag_alone() {
        let key = AeadKey::from_bytes([1; 32]);
        let body = seal(&key, [2; 8], &message());
        assert_eq!(open(&key, [2; 8], &mut body.to_vec()), Ok(message()));
        assert_eq!(open(&key, [3; 8], &mut body.to_vec()), Err(ReplyOpenError::OtherTag));
        let other = AeadKey::from_bytes([4; 32]);
        assert_eq!(open(&other, [2; 8], &mut body.to_vec()), Err(ReplyOpenError::Unauthentic));
        for cut in 0..body.len() {
            assert!(open(&key, [2; 8], &mut body[..cut].to_vec()).is_err());
        }
        for bit in 0..body.len() * 8 {
            let mut flipped = body.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, [2; 8], &mut flipped).is_err(), "bit {bit}");
        }
    }
}
