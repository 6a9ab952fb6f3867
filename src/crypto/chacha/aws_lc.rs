//! ChaCha20-Poly1305 by aws-lc-rs, several times as fast as the portable crates.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::{TAG_SIZE, Unauthentic, counter_nonce};
use crate::crypto::secret::AeadKey;

fn ready(key: &AeadKey) -> LessSafeKey {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.expose());
    LessSafeKey::new(key.expect("32 bytes are a key"))
}

pub(super) fn seal(key: &AeadKey, nonce: u64, ad: &[u8], data: &mut [u8]) -> [u8; TAG_SIZE] {
    let nonce = Nonce::assume_unique_for_key(counter_nonce(nonce));
    let tag = ready(key)
        .seal_in_place_separate_tag(nonce, Aad::from(ad), data)
        .expect("a message in memory is shorter than 256 GiB");
    tag.as_ref().try_into().expect("a tag is 16 bytes")
}

pub(super) fn open<'a>(
    key: &AeadKey,
    nonce: u64,
    ad: &[u8],
    sealed: &'a mut [u8],
) -> Result<&'a mut [u8], Unauthentic> {
    let nonce = Nonce::assume_unique_for_key(counter_nonce(nonce));
    ready(key).open_in_place(nonce, Aad::from(ad), sealed).map_err(|_| Unauthentic)
}
