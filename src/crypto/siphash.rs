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
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
        Self {
            k0: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            k1: u64::from_le_bytes([i, j, k, l, m, n, o, p]),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::testing::{hex, unhex, unhex_array};

    // The example of the SipHash paper, appendix A.
    #[test]
    fn reference_value() {
        let key = SipKey::from_bytes(&unhex_array("000102030405060708090a0b0c0d0e0f"));
        let data = unhex("000102030405060708090a0b0c0d0e");
        assert_eq!(siphash24(&key, &data), 0xa129_ca61_49be_45e5);
        let same = SipKey::new(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(siphash24(&same, &data), 0xa129_ca61_49be_45e5);
    }

    // NTCP2 length masks: each result, little-endian, is hashed for the next.
    #[test]
    fn ntcp2_mask_chain() {
        let key = SipKey::from_bytes(&unhex_array("5feab5b6e9c9875ce8b4ee9c401871a7"));
        let mut iv: [u8; 8] = unhex_array("28c68ef2944d8a3b");
        for (value, length_on_the_wire) in [
            ("4134d30556dab8c5", "3451"),
            ("eae87d9a45af42a9", "e8fa"),
            ("4d75a192867e9fd3", "755d"),
        ] {
            iv = siphash24(&key, &iv).to_le_bytes();
            assert_eq!(hex(&iv), value);
            let mask = u16::from_le_bytes([iv[0], iv[1]]);
            assert_eq!(hex(&(16 ^ mask).to_be_bytes()), length_on_the_wire);
        }
    }

    #[test]
    fn debug_is_mute() {
        assert_eq!(format!("{:?}", SipKey::new(1, 2)), "SipKey(secret)");
    }
}
