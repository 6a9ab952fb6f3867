//! ChaCha20-Poly1305 (RFC 8439) and plain ChaCha20, all in place.
//!
//! The nonce of an authenticated message is a counter: 4 zero bytes, then the counter in 8 bytes little-endian,
//! as Noise has it.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Tag};

use crate::crypto::secret::AeadKey;

/// Bytes of the tag that authenticates a message.
pub const TAG_SIZE: usize = 16;

/// Bytes of a ChaCha20 block; block 0 makes the Poly1305 key, so text starts at block 1.
const BLOCK_SIZE: u64 = 64;

/// The tag does not belong to this key, nonce, associated data and ciphertext, or there is no room for a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message does not authenticate")]
pub struct Unauthentic;

/// Encrypts `data` in place and returns the tag over it and `ad`.
///
/// A nonce serves once per key: a second message under it gives both away.
#[must_use]
pub fn seal_in_place(key: &AeadKey, nonce: u64, ad: &[u8], data: &mut [u8]) -> [u8; TAG_SIZE] {
    let cipher = ChaCha20Poly1305::new(key.expose().into());
    cipher
        .encrypt_inout_detached(&counter_nonce(nonce).into(), ad, data.into())
        .expect("a message in memory is shorter than 256 GiB")
        .into()
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
    let (data, tag) = sealed.split_last_chunk_mut::<TAG_SIZE>().ok_or(Unauthentic)?;
    let cipher = ChaCha20Poly1305::new(key.expose().into());
    let tag: &Tag = (&*tag).into();
    cipher
        .decrypt_inout_detached(&counter_nonce(nonce).into(), ad, (&mut *data).into(), tag)
        .map_err(|_| Unauthentic)?;
    Ok(data)
}

/// One message of a batch to be sealed.
#[derive(Debug)]
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
#[derive(Debug)]
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
    cipher.apply_keystream(data);
}

fn counter_nonce(counter: u64) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = counter.to_le_bytes();
    [0, 0, 0, 0, a, b, c, d, e, f, g, h]
}
