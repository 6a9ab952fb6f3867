//! SipHash-2-4 with a 64-bit result: NTCP2's length masks, and keyed placement.

use std::fmt;

use siphasher::sip::SipHasher24;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Key of SipHash: two 64-bit words. Erased on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SipKey {
    k0: u64,
    k1: u64,
}

impl SipKey {
    /// The key of these two words, in the order of the reference.
    #[must_use]
    pub fn new(k0: u64, k1: u64) -> Self {
        Self { k0, k1 }
    }

    /// The key in `bytes`: first word first, each little-endian.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        let both = u128::from_le_bytes(*bytes);
        let [a, b, c, d, e, f, g, h, ..] = *bytes;
        let k0 = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let k1 = u64::try_from(both >> 64).expect("the upper half of 128 bits");
        Self { k0, k1 }
    }
}

impl fmt::Debug for SipKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SipKey(secret)")
    }
}

/// SipHash-2-4 of `data` under `key`.
#[must_use]
pub fn siphash24(key: &SipKey, data: &[u8]) -> u64 {
    SipHasher24::new_with_keys(key.k0, key.k1).hash(data)
}
