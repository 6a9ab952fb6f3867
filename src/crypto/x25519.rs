//! X25519 key agreement (RFC 7748), one or a batch.

use std::fmt;

use x25519_dalek::{PublicKey, StaticSecret};

use crate::crypto::secret::{SharedSecret, X25519Secret};

/// X25519 public key in its wire form: 32 bytes, little-endian u coordinate.
///
/// Any bytes are a key; the top bit is ignored by the function (RFC 7748, section 5), so whoever wants it clear
/// checks that for himself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct X25519Public(pub [u8; 32]);

// Four bytes only: no log line identifies a router in full by accident.
impl fmt::Debug for X25519Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "X25519Public({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

/// The other side's point has low order: the result is all zero whatever our secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("public key is a point of low order")]
pub struct WeakKey;

/// The public key that belongs to `secret`.
#[must_use]
pub fn public_key(secret: &X25519Secret) -> X25519Public {
    X25519Public(PublicKey::from(&dalek(secret)).to_bytes())
}

/// X25519 of `secret` and `public`, refused where the result would be all zero.
pub fn diffie_hellman(
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

/// One Diffie-Hellman of a batch.
#[derive(Debug)]
pub struct DhJob<'a> {
    /// Our side.
    pub secret: &'a X25519Secret,
    /// The other side.
    pub public: X25519Public,
}

/// Runs every job and appends its result to `out`, in the order of `jobs`. One weak key does not disturb the others.
pub fn diffie_hellman_batch(jobs: &[DhJob<'_>], out: &mut Vec<Result<SharedSecret, WeakKey>>) {
    out.reserve(jobs.len());
    out.extend(jobs.iter().map(|job| diffie_hellman(job.secret, &job.public)));
}

// dalek's own type erases its copy on drop.
fn dalek(secret: &X25519Secret) -> StaticSecret {
    StaticSecret::from(*secret.expose())
}
