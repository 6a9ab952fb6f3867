//! Secret keys as types of their own: erased when dropped, mute in logs, compared in constant time, never copied
//! by accident.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The key made of `bytes`. The caller's own copy stays the caller's to erase.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The key itself, for the primitive or the key file that needs it.
            #[must_use]
            pub fn expose(&self) -> &[u8; 32] {
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
