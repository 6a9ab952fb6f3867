//! X25519 by aws-lc, about twice as fast as the portable crate.
//!
//! By its C functions: the safe face of aws-lc-rs makes a key object of each secret, and with it the public key,
//! which costs half as much again as the agreement.

#![expect(unsafe_code, reason = "two C functions on arrays of 32 bytes")]

use super::{WeakKey, X25519Public};
use crate::crypto::secret::{SharedSecret, X25519Secret};

pub(super) fn public_key(secret: &X25519Secret) -> X25519Public {
    let mut public = [0; 32];
    // SAFETY: the function reads 32 bytes of the secret and writes 32 bytes, and both arrays have as many; it keeps
    // neither pointer.
    unsafe {
        aws_lc_sys::X25519_public_from_private(public.as_mut_ptr(), secret.expose().as_ptr());
    }
    X25519Public(public)
}

pub(super) fn diffie_hellman(
    secret: &X25519Secret,
    public: &X25519Public,
) -> Result<SharedSecret, WeakKey> {
    let mut shared = [0; 32];
    // SAFETY: the function reads 32 bytes of the secret and of the public key and writes 32 bytes, and all three
    // arrays have as many; it keeps none of the pointers.
    let contributory = unsafe {
        aws_lc_sys::X25519(shared.as_mut_ptr(), secret.expose().as_ptr(), public.0.as_ptr())
    };
    // Made before the verdict is looked at, so that the bytes are in a place that is erased.
    let shared_secret = SharedSecret::from_bytes(shared);
    zeroize::Zeroize::zeroize(&mut shared);
    if contributory == 1 { Ok(shared_secret) } else { Err(WeakKey) }
}
