//! ChaCha20-Poly1305 (RFC 8439) and plain ChaCha20, all in place.
//!
//! The nonce of an authenticated message is a counter: 4 zero bytes, then the counter in 8 bytes little-endian,
//! as Noise has it.

#[cfg(feature = "accelerated")]
mod aws_lc;
#[cfg_attr(
    all(feature = "accelerated", not(test)),
    expect(dead_code, reason = "the oracle of tests")
)]
mod portable;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};

#[cfg(feature = "accelerated")]
use self::aws_lc as provider;
#[cfg(not(feature = "accelerated"))]
use self::portable as provider;
use crate::crypto::secret::AeadKey;

/// Bytes of the tag that authenticates a message.
pub const TAG_SIZE: usize = 16;

/// Bytes of a ChaCha20 block; block 0 makes the Poly1305 key, so text starts at block 1.
const BLOCK_SIZE: u64 = 64;

/// Bytes of four blocks, which the cipher makes together where the CPU can: fewer take as long, and a last block that is
/// not whole is made by itself.
const STRIDE: usize = 256;

/// The tag does not belong to this key, nonce, associated data and ciphertext, or there is no room for a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message does not authenticate")]
pub struct Unauthentic;

/// Encrypts `data` in place and returns the tag over it and `ad`.
///
/// A nonce serves once per key: a second message under it gives both away.
#[must_use]
pub fn seal_in_place(key: &AeadKey, nonce: u64, ad: &[u8], data: &mut [u8]) -> [u8; TAG_SIZE] {
    provider::seal(key, nonce, ad, data)
}

/// Checks and decrypts `sealed`, which is ciphertext and tag, in place; returns the plaintext at its front.
///
/// On failure the content of `sealed` is of no use: it is neither promised to be kept nor to be erased.
pub fn open_in_place<'a>(
    key: &AeadKey,
    nonce: u64,
    ad: &[u8],
    sealed: &'a mut [u8],
) -> Result<&'a mut [u8], Unauthentic> {
    provider::open(key, nonce, ad, sealed)
}

/// One message of a batch to be sealed.
pub struct SealJob<'a> {
    /// Key of this message.
    pub key: &'a AeadKey,
    /// Counter of this message under its key.
    pub nonce: u64,
    /// Associated data: authenticated, not encrypted.
    pub ad: &'a [u8],
    /// Plaintext before, ciphertext after.
    pub data: &'a mut [u8],
    /// The tag, once the batch has run.
    pub tag: [u8; TAG_SIZE],
}

/// Seals every job as [`seal_in_place`] would.
pub fn seal_batch(jobs: &mut [SealJob<'_>]) {
    for job in jobs {
        job.tag = seal_in_place(job.key, job.nonce, job.ad, job.data);
    }
}

/// One message of a batch to be opened.
pub struct OpenJob<'a> {
    /// Key of this message.
    pub key: &'a AeadKey,
    /// Counter of this message under its key.
    pub nonce: u64,
    /// Associated data: authenticated, not encrypted.
    pub ad: &'a [u8],
    /// Ciphertext and tag before; plaintext and a spent tag after.
    pub sealed: &'a mut [u8],
    /// Whether it was authentic, once the batch has run. Start it as `Err(Unauthentic)`.
    pub outcome: Result<(), Unauthentic>,
}

/// Opens every job as [`open_in_place`] would. One false message does not disturb the others.
pub fn open_batch(jobs: &mut [OpenJob<'_>]) {
    for job in jobs {
        job.outcome = open_in_place(job.key, job.nonce, job.ad, job.sealed).map(|_| ());
    }
}

/// Applies the ChaCha20 key stream to `data`, from block 1 on; a second application undoes the first.
///
/// Nothing is authenticated. Spec: tunnel creation, other records of a short build reply.
pub fn stream(key: &AeadKey, nonce: [u8; 12], data: &mut [u8]) {
    let mut cipher = ChaCha20::new(key.expose().into(), &nonce.into());
    cipher.seek(BLOCK_SIZE);
    let (strides, rest) = data.as_chunks_mut::<STRIDE>();
    cipher.apply_keystream(strides.as_flattened_mut());
    let mut last = [0; STRIDE];
    if !rest.is_empty()
        && let Some(front) = last.get_mut(..rest.len())
    {
        front.copy_from_slice(rest);
        cipher.apply_keystream(&mut last);
        for (to, from) in rest.iter_mut().zip(last) {
            *to = from;
        }
    }
}

fn counter_nonce(counter: u64) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = counter.to_le_bytes();
    [0, 0, 0, 0, a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::hash::sha256;
    use crate::crypto::testing::{hex, unhex, unhex_array};

    fn key(text: &str) -> AeadKey {
        AeadKey::from_bytes(unhex_array(text))
    }

    // RFC 8439, section 2.4.2: a nonce that is no counter.
    #[test]
    fn rfc_8439_stream() {
        let mut data = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one \
            tip for the future, sunscreen would be it.";
        let text = data;
        let key = key("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
        let nonce = unhex_array("000000000000004a00000000");
        stream(&key, nonce, &mut data);
        assert_eq!(
            data.to_vec(),
            unhex(
                "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b
                f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8
                07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736
                5af90bbf74a35be6b40b8eedf2785e42874d"
            )
        );
        stream(&key, nonce, &mut data);
        assert_eq!(data, text);
    }

    // RFC 8439, appendix A.5: the example whose nonce starts with 4 zero bytes.
    #[test]
    fn rfc_8439_sealed() {
        let key = key("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
        let ad = unhex("f33388860000000000004e91");
        let nonce = 0x0807_0605_0403_0201;
        let text = "Internet-Drafts are draft documents valid for a maximum of six months and may \
            be updated, replaced, or obsoleted by other documents at any time. It is inappropriate \
            to use Internet-Drafts as reference material or to cite them other than as \
            /\u{201c}work in progress./\u{201d}";
        let expected = unhex(
            "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2
            4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf
            332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855
            9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4
            b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e
            af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a
            0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10
            49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29
            a6ad5cb4022b02709b",
        );
        let mut data = text.as_bytes().to_vec();
        let tag = seal_in_place(&key, nonce, &ad, &mut data);
        assert_eq!(data, expected);
        assert_eq!(hex(&tag), "eead9d67890cbb22392336fea1851f38");
        data.extend_from_slice(&tag);
        let opened = open_in_place(&key, nonce, &ad, &mut data).unwrap();
        assert_eq!(opened, text.as_bytes());
    }

    // A reply under an agreed tag: one padding block of 4 bytes, the tag as associated data.
    #[test]
    fn tagged_reply() {
        let mut data = unhex("fe000400000000");
        let tag = seal_in_place(&AeadKey::from_bytes([0x10; 32]), 0, &[0x11; 8], &mut data);
        assert_eq!(hex(&data) + &hex(&tag), "f3fa9784d81d534596a790b42bbe7ae8a3541d92d41169");
    }

    // Other records of a short build reply: byte 4 of the nonce is the record's slot.
    #[test]
    fn other_build_records() {
        let key = key("da7cff29cefb074dae37954093e20bfc9d397665ebb63e98e739d2f07d83a943");
        for (slot, start, hash) in [
            (
                0,
                "8bed0901b6dd73a2c16990cfebc4e463",
                "bb169852144e2f952aabc4eb4a0db42fc4074c89ae7c0d2a8c4a34921debbde9",
            ),
            (
                1,
                "5f2d9e77152b5e7b810d21f5b0199f7a",
                "7afdc5107d2113315031f97473c737e6d74e0742c870c989a0c6400a2bbd50a6",
            ),
        ] {
            let mut record = [0; 218];
            stream(&key, counter_nonce(slot), &mut record);
            assert_eq!(hex(&record[..16]), start);
            assert_eq!(hex(&sha256(&record)), hash);
        }
    }

    #[test]
    fn what_has_no_room_for_a_tag_is_unauthentic() {
        let key = AeadKey::from_bytes([1; 32]);
        for length in 0..TAG_SIZE {
            let mut sealed = vec![0; length];
            assert_eq!(open_in_place(&key, 0, b"", &mut sealed).err(), Some(Unauthentic));
        }
        let mut empty = seal_in_place(&key, 0, b"ad", &mut []);
        assert_eq!(open_in_place(&key, 0, b"ad", &mut empty).unwrap().len(), 0);
    }

    fn open(key: &AeadKey, nonce: u64, ad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unauthentic> {
        open_in_place(key, nonce, ad, &mut sealed.to_vec()).map(|data| data.to_vec())
    }

    type Message = ([u8; 32], u64, Vec<u8>, Vec<u8>);

    fn messages() -> impl Strategy<Value = Vec<Message>> {
        let ad = prop::collection::vec(any::<u8>(), 0..48);
        let text = prop::collection::vec(any::<u8>(), 0..1200);
        prop::collection::vec((any::<[u8; 32]>(), any::<u64>(), ad, text), 1..12)
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_unauthentic(
            key in any::<[u8; 32]>(),
            nonce in any::<u64>(),
            ad in prop::collection::vec(any::<u8>(), 1..48),
            text in prop::collection::vec(any::<u8>(), 0..1200),
            at in any::<prop::sample::Index>(),
            bit in 0..8u32,
        ) {
            let aead_key = AeadKey::from_bytes(key);
            let mut sealed = text.clone();
            let tag = seal_in_place(&aead_key, nonce, &ad, &mut sealed);
            sealed.extend_from_slice(&tag);
            prop_assert_eq!(open(&aead_key, nonce, &ad, &sealed), Ok(text));

            let flip = |bytes: &[u8]| {
                let mut flipped = bytes.to_vec();
                flipped[at.index(bytes.len())] ^= 1u8 << bit;
                flipped
            };
            let refused = Err(Unauthentic);
            prop_assert_eq!(open(&aead_key, nonce, &ad, &flip(&sealed)), refused.clone());
            prop_assert_eq!(open(&aead_key, nonce, &flip(&ad), &sealed), refused.clone());
            let false_key = AeadKey::from_bytes(flip(&key).try_into().unwrap());
            prop_assert_eq!(open(&false_key, nonce, &ad, &sealed), refused.clone());
            let false_nonce = nonce ^ 1 << at.index(64);
            prop_assert_eq!(open(&aead_key, false_nonce, &ad, &sealed), refused);
        }

        #[test]
        fn providers_agree(messages in messages(), spoilt in any::<prop::sample::Index>()) {
            for (key, nonce, ad, text) in messages {
                let key = AeadKey::from_bytes(key);
                let (mut ours, mut oracle) = (text.clone(), text.clone());
                let tag = provider::seal(&key, nonce, &ad, &mut ours);
                prop_assert_eq!(tag, portable::seal(&key, nonce, &ad, &mut oracle));
                prop_assert_eq!(&ours, &oracle);
                for sealed in [&mut ours, &mut oracle] {
                    sealed.extend_from_slice(&tag);
                }
                let mut changed = ours.clone();
                changed[spoilt.index(ours.len())] ^= 0x40;
                let mut same = changed.clone();
                prop_assert_eq!(provider::open(&key, nonce, &ad, &mut changed), Err(Unauthentic));
                prop_assert_eq!(portable::open(&key, nonce, &ad, &mut same), Err(Unauthentic));
                prop_assert_eq!(provider::open(&key, nonce, &ad, &mut ours), Ok(&mut text.clone()[..]));
                prop_assert_eq!(portable::open(&key, nonce, &ad, &mut oracle), Ok(&mut text.clone()[..]));
            }
        }

        #[test]
        fn batch_equals_single(messages in messages(), spoilt in any::<prop::sample::Index>()) {
            let keys: Vec<_> = messages.iter().map(|m| AeadKey::from_bytes(m.0)).collect();
            let mut texts: Vec<_> = messages.iter().map(|m| m.3.clone()).collect();
            let mut jobs: Vec<_> = keys
                .iter()
                .zip(&messages)
                .zip(&mut texts)
                .map(|((key, m), data)| SealJob { key, nonce: m.1, ad: &m.2, data, tag: [0; 16] })
                .collect();
            seal_batch(&mut jobs);
            let mut sealed = Vec::new();
            for (job, message) in jobs.iter().zip(&messages) {
                let mut single = message.3.clone();
                let tag = seal_in_place(job.key, job.nonce, job.ad, &mut single);
                prop_assert_eq!(&single[..], &*job.data);
                prop_assert_eq!(tag, job.tag);
                single.extend_from_slice(&tag);
                sealed.push(single);
            }
            let spoilt = spoilt.index(messages.len());
            sealed[spoilt][0] ^= 1;
            let mut jobs: Vec<_> = keys
                .iter()
                .zip(&messages)
                .zip(&mut sealed)
                .map(|((key, m), sealed)| {
                    OpenJob { key, nonce: m.1, ad: &m.2, sealed, outcome: Err(Unauthentic) }
                })
                .collect();
            open_batch(&mut jobs);
            for (index, (job, message)) in jobs.iter().zip(&messages).enumerate() {
                if index == spoilt {
                    prop_assert_eq!(job.outcome, Err(Unauthentic));
                } else {
                    prop_assert_eq!(job.outcome, Ok(()));
                    prop_assert_eq!(&job.sealed[..message.3.len()], &message.3[..]);
                }
            }
        }

        #[test]
        fn the_stream_is_its_own_inverse(
            key in any::<[u8; 32]>(),
            nonce in any::<[u8; 12]>(),
            text in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let key = AeadKey::from_bytes(key);
            let mut data = text.clone();
            stream(&key, nonce, &mut data);
            stream(&key, nonce, &mut data);
            prop_assert_eq!(data, text);
        }

        #[test]
        fn the_stream_is_that_of_a_sealed_message(
            key in any::<[u8; 32]>(),
            counter in any::<u64>(),
            text in prop::collection::vec(any::<u8>(), 0..1200),
        ) {
            let key = AeadKey::from_bytes(key);
            let (mut data, mut sealed) = (text.clone(), text);
            stream(&key, counter_nonce(counter), &mut data);
            _ = portable::seal(&key, counter, b"", &mut sealed);
            prop_assert_eq!(data, sealed);
        }
    }
}
