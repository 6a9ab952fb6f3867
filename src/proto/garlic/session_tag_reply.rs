//! Replies under an AES key and a session tag, which destinations with ElGamal keys put into their lookups.
//!
//! `length (4) || tag (32) || AES-256-CBC(block)`, key and tag as agreed, the IV the first half of the tag's hash; the
//! block has no new tags, and a clove set of one clove for local delivery. Spec: I2NP, DatabaseLookup, encrypted
//! replies; ElGamal/AES, existing session.

use crate::base::frame::Frame;
use crate::base::id::MessageId;
use crate::base::rng::ShardRng;
use crate::crypto::aes;
use crate::crypto::hash::sha256;
use crate::crypto::secret::SessionKey;
use crate::wire::i2np::I2npMessage;
use crate::wire::i2np::garlic::aes_block::AesBlock;
use crate::wire::i2np::garlic::clove_set::{CloveSet, SetClove};
use crate::wire::i2np::garlic::{CloveDelivery, GarlicMessage};

/// Size of a session tag.
pub const SESSION_TAG_SIZE: usize = 32;

/// Seals a message under `key` and `tag`, which may serve once: the body of a Garlic message.
#[must_use]
pub fn seal(
    key: &SessionKey,
    tag: &[u8; SESSION_TAG_SIZE],
    message: I2npMessage,
    rng: &mut ShardRng,
) -> Frame {
    let expiration = message.expiration;
    let clove = SetClove { delivery: CloveDelivery::Local, message, id: rng.id(), expiration };
    seal_set(key, tag, &CloveSet { cloves: vec![clove], id: MessageId(rng.id()), expiration })
}

fn seal_set(key: &SessionKey, tag: &[u8; SESSION_TAG_SIZE], set: &CloveSet) -> Frame {
    let mut payload = Vec::new();
    set.write(&mut payload);
    let mut block = Vec::with_capacity(payload.len() + aes::BLOCK_SIZE + 128);
    AesBlock { tags: &[], new_key: None, payload: &payload }.write(&mut block);
    let hash = sha256(tag);
    let iv = hash.first_chunk().expect("a hash of 32 bytes has 16");
    aes::cbc_encrypt(key.expose(), *iv, &mut block);
    GarlicMessage::write(&[&tag[..], &block].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixTime;
    use crate::crypto::testing::{hex, unhex};
    use crate::wire::i2np::MessageType;

    fn message(body: &[u8]) -> I2npMessage {
        I2npMessage {
            kind: MessageType::Data,
            id: MessageId(0x0102_0304),
            expiration: UnixTime(5),
            body: Frame::copy_of(body),
        }
    }

    /// What stands inside, opened step by step.
    fn opened(key: &SessionKey, tag: &[u8; 32], body: &[u8]) -> Vec<u8> {
        assert_eq!(body[4..36], *tag);
        let mut block = body[36..].to_vec();
        let iv = sha256(tag);
        aes::cbc_decrypt(key.expose(), iv[..16].try_into().unwrap(), &mut block);
        block
    }

    // Hash and cipher by OpenSSL, the layout by hand after the specification.
    #[test]
    fn the_known_reply_is_sealed() {
        let clove = SetClove {
            delivery: CloveDelivery::Local,
            message: message(b"abc"),
            id: 6,
            expiration: UnixTime(7),
        };
        let set = CloveSet { cloves: vec![clove], id: MessageId(8), expiration: UnixTime(9) };
        let body = seal_set(&SessionKey::from_bytes([0x10; 32]), &[0x11; 32], &set);
        let known = "6e8f4914f87b8dd91a2c4822898112bffb8a37815008d498de2db542433fb5df
            da3b71c7c65c426d62a8a814e49e3895dd335a89bcfa0d21c5fe955bcab8ddf6
            614de0aadd5c02d4cb2f4beb4a47502089dea40c4dfb31d1f6eedbe30cd2b9e2
            a7672d032ce20f3de4036d0f139d1a108ac141a8a06dfe6c44067bf2f4a90eb3";
        assert_eq!(body[..4], [0, 0, 0, 160]);
        assert_eq!(body[4..36], [0x11; 32]);
        assert_eq!(hex(&body[36..]), hex(&unhex(known)));
    }

    #[test]
    fn a_reply_opens_to_one_clove_for_its_reader() {
        let mut rng = ShardRng::from_seed([3; 32]);
        let (key, tag) = (SessionKey::from_bytes([1; 32]), [2; 32]);
        for size in [0, 1, 15, 16, 17, 500, 8192] {
            let sent = message(&vec![7; size]);
            let body = seal(&key, &tag, sent.clone(), &mut rng);
            let block = opened(&key, &tag, &body);
            let block = AesBlock::parse(&block).unwrap();
            assert_eq!((block.tags.len(), block.new_key), (0, None));
            let set = CloveSet::parse(block.payload).unwrap();
            assert_eq!(set.expiration, sent.expiration);
            assert_eq!(set.cloves.len(), 1);
            assert_eq!(set.cloves[0].delivery, CloveDelivery::Local);
            assert_eq!(set.cloves[0].message, sent);
        }
        let other = SessionKey::from_bytes([4; 32]);
        let body = seal(&key, &tag, message(b"abc"), &mut rng);
        assert!(AesBlock::parse(&opened(&other, &tag, &body)).is_err());
    }
}
