//! X25519 by x25519-dalek: always built, and the oracle of any other implementation.

use x25519_dalek::{PublicKey, StaticSecret};

use super::{WeakKey, X25519Public};
use crate::crypto::secret::{SharedSecret, X25519Secret};

pub(super) fn public_key(secret: &X25519Secret) -> X25519Public {
    X25519Public(PublicKey::from(&dalek(secret)).to_bytes())
}

pub(super) fn diffie_hellman(
    secret: &X25519Secret,
    public: &X25519Public,
) -> Result<SharedSecret, WeakKey> {
    let shared = dalek(secret).diffie_hellman(&PublicKey::from(public.0));
    if shared.was_contributory() {
        Ok(SharedSecret::from_bytes(shared.to_bytes()))
    } else {
        Err(WeakKey)
    }
}

// dalek's own type erases its copy on drop.
fn dalek(secret: &X25519Secret) -> StaticSecret {
    StaticSecret::from(*secret.expose())
}
