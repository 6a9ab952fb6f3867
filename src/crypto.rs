//! Floor 1, lower: the primitives of the network, each behind one face that takes a single operation or a batch.
//!
//! Nothing here knows a message format. Keys are newtypes of [`secret`]; ciphers work in place; randomness never
//! enters, since whoever makes a key hands in its bytes.

pub mod aes;
pub mod blinding;
pub mod chacha;
pub mod elgamal;
pub mod hash;
pub mod layer;
pub mod noise;
pub mod secret;
pub mod signature;
pub mod siphash;
pub mod x25519;

/// Who computes ChaCha20-Poly1305 and X25519: `aws-lc`, or `portable` where built without the feature `accelerated`.
pub const PROVIDER: &str = if cfg!(feature = "accelerated") { "aws-lc" } else { "portable" };

#[cfg(test)]
pub(crate) mod testing;
