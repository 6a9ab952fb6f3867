//! Secret keys as types of their own: erased when dropped, mute in logs, compared in constant time, never copied
//! by accident.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        secret! { $(#[$doc])* $name, 32 }
    };
    ($(#[$doc:meta])* $name:ident, $size:literal) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; $size]);

        impl $name {
            /// The key made of `bytes`. The caller's own copy stays the caller's to erase.
            #[must_use]
            pub fn from_bytes(bytes: [u8; $size]) -> Self {
                Self(bytes)
            }

            /// The key itself, for the primitive or the key file that needs it.
            #[must_use]
            pub fn expose(&self) -> &[u8; $size] {
                &self.0
            }

            /// Whether both are the same key, in a time that does not depend on where they differ.
            #[must_use]
            pub fn ct_eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(secret)"))
            }
        }
    };
}

secret! {
    /// Key of ChaCha20, with or without Poly1305.
    AeadKey
}
secret! {
    /// Noise chaining key: what a handshake has agreed on so far.
    ChainKey
}
secret! {
    /// AES-256 key a hop applies to the payload of every message in one tunnel.
    LayerKey
}
secret! {
    /// AES-256 key a hop applies to the IV of every message in one tunnel, before and after the payload.
    IvKey
}
secret! {
    /// AES-256 key a hop applies to the records of a build message with long records.
    LongRecordKey
}
secret! {
    /// AES-256 key of garlic of the old kind, between two ends that share session tags.
    SessionKey
}
secret! {
    /// Result of a Diffie-Hellman, still to be hashed into a key.
    SharedSecret
}
secret! {
    /// X25519 private key, any 32 bytes; clamped when used (RFC 7748, section 5).
    X25519Secret
}
secret! {
    /// Ed25519 private key in its 32-byte seed form (RFC 8032, section 5.1.5).
    Ed25519Seed
}
secret! {
    /// RedDSA private key: a scalar below the group order, little-endian, not clamped.
    RedDsaSecret
}
secret! {
    /// ElGamal private key: an exponent of 2048 bits, big-endian.
    ElGamalSecret, 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_says_only_that_it_is_secret() {
        let text = format!("{:?}", LayerKey::from_bytes([0xab; 32]));
        assert_eq!(text, "LayerKey(secret)");
        assert_eq!(format!("{:#?}", SharedSecret::from_bytes([1; 32])), "SharedSecret(secret)");
    }

    #[test]
    fn comparison_finds_a_difference_in_any_byte() {
        let key = AeadKey::from_bytes([7; 32]);
        assert!(key.ct_eq(&AeadKey::from_bytes([7; 32])));
        for at in 0..32 {
            let mut bytes = [7; 32];
            bytes[at] ^= 0x80;
            assert!(!key.ct_eq(&AeadKey::from_bytes(bytes)), "byte {at}");
        }
    }

    #[test]
    fn erasing_leaves_zeros() {
        let mut key = Ed25519Seed::from_bytes([9; 32]);
        key.zeroize();
        assert_eq!(key.expose(), &[0; 32]);
    }

    #[test]
    fn every_secret_is_erased_on_drop() {
        fn erased<T: ZeroizeOnDrop>() -> bool {
            std::mem::needs_drop::<T>()
        }
        assert!(erased::<AeadKey>() && erased::<ChainKey>() && erased::<LayerKey>());
        assert!(erased::<IvKey>() && erased::<SessionKey>() && erased::<SharedSecret>());
        assert!(erased::<X25519Secret>() && erased::<Ed25519Seed>());
        assert!(erased::<RedDsaSecret>() && erased::<ElGamalSecret>());
    }
}
