//! Public-key work that a handshake waits for, so that a turn can do that of many together.

use crate::crypto::secret::SharedSecret;
use crate::crypto::signature::{SignatureCheck, Verdict, verify};
use crate::crypto::x25519::{DhJob, WeakKey, diffie_hellman};

/// What has to be computed before a handshake goes on.
pub enum Work<'a> {
    /// A Diffie-Hellman.
    DiffieHellman(DhJob<'a>),
    /// The signature of the peer's RouterInfo.
    Signature(SignatureCheck<'a>),
}

/// What came of it; of the same kind as the work.
#[derive(Debug)]
pub enum WorkResult {
    /// The secret, unless the other key is of low order.
    DiffieHellman(Result<SharedSecret, WeakKey>),
    /// Whether the signature holds.
    Signature(Verdict),
}

impl Work<'_> {
    /// Does it here and now: for callers that have no batch.
    #[must_use]
    pub fn run(&self) -> WorkResult {
        match self {
            Self::DiffieHellman(job) => {
                WorkResult::DiffieHellman(diffie_hellman(job.secret, &job.public))
            }
            Self::Signature(check) => WorkResult::Signature(verify(check)),
        }
    }
}
