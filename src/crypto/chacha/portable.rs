//! ChaCha20-Poly1305 by the RustCrypto crates: always built, and the oracle of any other implementation.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Tag};

use super::{TAG_SIZE, Unauthentic, counter_nonce};
use crate::crypto::secret::AeadKey;

pub(super) fn seal(key: &AeadKey, nonce: u64, ad: &[u8], data: &mut [u8]) -> [u8; TAG_SIZE] {
    let cipher = ChaCha20Poly1305::new(key.expose().into());
    cipher
        .encrypt_inout_detached(&counter_nonce(nonce).into(), ad, data.into())
        .expect("a message in memory is shorter than 256 GiB")
        .into()
}

pub(super) fn open<'a>(
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
