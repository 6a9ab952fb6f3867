//! SHA-256, HMAC-SHA-256 (RFC 2104) and the network's form of HKDF (RFC 5869).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of all `parts`, one after the other with nothing between them.
#[must_use]
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// HMAC-SHA-256 of all `parts`, one after the other, under a `key` of any length.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    authenticate(keyed(key), parts)
}

/// The first 64 bytes of HKDF-SHA-256, in two halves. Where a formula asks for 32 bytes, those are the first half.
#[must_use]
pub fn hkdf(salt: &[u8; 32], ikm: &[u8], info: &[u8]) -> ([u8; 32], [u8; 32]) {
    let expand = keyed(&hmac_sha256(salt, &[ikm]));
    let first = authenticate(expand.clone(), &[info, &[1]]);
    let second = authenticate(expand, &[&first, info, &[2]]);
    (first, second)
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn authenticate(mut mac: Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
