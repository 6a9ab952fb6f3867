//! The keys of this router: what makes it the same router after a restart.

use crate::base::id::RouterHash;
use crate::base::rng::ShardRng;
use crate::crypto::noise::SymmetricState;
use crate::crypto::secret::{Ed25519Seed, X25519Secret};
use crate::crypto::signature::Signer;
use crate::crypto::x25519::{X25519Public, public_key};
use crate::proto::ntcp2;
use crate::wire::identity::RouterIdentity;

/// All that has to be kept, and kept secret, to remain the same router.
#[derive(Debug)]
pub struct RouterSecrets {
    /// Who the router is. Not secret, but kept with the secrets: its padding is part of what is hashed, and other
    /// routers pad as they like.
    pub identity: RouterIdentity,
    /// Seed of the signing key.
    pub signing: Ed25519Seed,
    /// Opens build records and garlic messages to the router.
    pub encryption: X25519Secret,
    /// Static key of NTCP2.
    pub ntcp2_static: X25519Secret,
    /// IV of NTCP2, published.
    pub ntcp2_iv: [u8; 16],
    /// Static key of SSU2.
    pub ssu2_static: X25519Secret,
    /// Introduction key of SSU2, published.
    pub ssu2_intro: [u8; 32],
}

impl RouterSecrets {
    /// Secrets of a router that did not exist before.
    #[must_use]
    pub fn generate(rng: &mut ShardRng) -> Self {
        let signing = Ed25519Seed::from_bytes(rng.bytes());
        let encryption = X25519Secret::from_bytes(rng.bytes());
        Self {
            identity: identity_of(&signing, &encryption, rng.bytes()),
            signing,
            encryption,
            ntcp2_static: X25519Secret::from_bytes(rng.bytes()),
            ntcp2_iv: rng.bytes(),
            ssu2_static: X25519Secret::from_bytes(rng.bytes()),
            ssu2_intro: rng.bytes(),
        }
    }
}

/// The identity whose keys these are, with `padding` repeated between them.
#[must_use]
pub fn identity_of(
    signing: &Ed25519Seed,
    encryption: &X25519Secret,
    padding: [u8; 32],
) -> RouterIdentity {
    let signing = Signer::from_seed(signing).public_key();
    RouterIdentity::build(&signing, public_key(encryption), padding)
}

/// Private keys are not those of the identity that stands with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignKey {
    /// The signing key.
    #[error("the private signing key does not belong to the identity")]
    Signing,
    /// The encryption key.
    #[error("the private encryption key does not belong to the identity")]
    Encryption,
}

/// The keys in the form in which they are used.
#[derive(Debug)]
pub struct RouterKeys {
    /// Who we are.
    pub identity: RouterIdentity,
    /// Signs what we publish.
    pub signer: Signer,
    /// Opens build records and garlic messages to the router.
    pub encryption: X25519Secret,
    /// Keys of the NTCP2 side.
    pub ntcp2: ntcp2::Keys,
    /// Static key of SSU2.
    pub ssu2_static: X25519Secret,
    /// Introduction key of SSU2, published.
    pub ssu2_intro: [u8; 32],
}

impl RouterKeys {
    /// The keys that follow from `secrets`.
    ///
    /// # Errors
    /// When the identity is not that of the private keys.
    pub fn from_secrets(secrets: RouterSecrets) -> Result<Self, ForeignKey> {
        let identity = secrets.identity;
        let signer = Signer::from_seed(&secrets.signing);
        if *identity.signing_key() != signer.public_key() {
            return Err(ForeignKey::Signing);
        }
        if identity.encryption_key() != Some(public_key(&secrets.encryption)) {
            return Err(ForeignKey::Encryption);
        }
        let ntcp2 = ntcp2::Keys::new(identity.hash(), secrets.ntcp2_static, secrets.ntcp2_iv);
        Ok(Self {
            identity,
            signer,
            encryption: secrets.encryption,
            ntcp2,
            ssu2_static: secrets.ssu2_static,
            ssu2_intro: secrets.ssu2_intro,
        })
    }

    /// Keys of a router that did not exist before and will not after.
    ///
    /// # Panics
    /// Never: these keys belong to their identity.
    #[must_use]
    pub fn generate(rng: &mut ShardRng) -> Self {
        Self::from_secrets(RouterSecrets::generate(rng))
            .expect("the identity was made of these keys")
    }
}

/// What a router needs to recognise and open what is sealed to it, build records and garlic: computed once.
#[derive(Debug)]
pub struct HopIdentity {
    hash: RouterHash,
    initial: SymmetricState,
}

impl HopIdentity {
    /// The identity of the router with this hash and encryption key.
    #[must_use]
    pub fn new(hash: RouterHash, encryption_key: &X25519Public) -> Self {
        Self { hash, initial: SymmetricState::tunnel_record(encryption_key) }
    }

    /// The router's hash.
    #[must_use]
    pub fn hash(&self) -> &RouterHash {
        &self.hash
    }

    /// The Noise state that every record and every garlic message for this router begins with.
    #[must_use]
    pub fn initial_state(&self) -> SymmetricState {
        self.initial.fork()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_secrets_make_the_same_router() {
        let keys = |seed| RouterKeys::generate(&mut ShardRng::from_seed([seed; 32]));
        let (one, same, other) = (keys(1), keys(1), keys(2));
        assert_eq!(one.identity.hash(), same.identity.hash());
        assert_ne!(one.identity.hash(), other.identity.hash());
        assert_eq!(one.ntcp2.router, one.identity.hash());
        assert_eq!(one.identity.encryption_key(), Some(public_key(&one.encryption)));
        assert_eq!(one.identity.signing_key(), &one.signer.public_key());
        assert_eq!(one.ntcp2.static_public, public_key(&one.ntcp2.static_secret));
    }

    #[test]
    fn keys_of_another_router_are_refused() {
        let secrets = |seed| RouterSecrets::generate(&mut ShardRng::from_seed([seed; 32]));
        let (one, other) = (secrets(1), secrets(2));
        let mixed = RouterSecrets { signing: other.signing, ..one };
        assert_eq!(RouterKeys::from_secrets(mixed).unwrap_err(), ForeignKey::Signing);
        let mixed = RouterSecrets { encryption: other.encryption, ..secrets(1) };
        assert_eq!(RouterKeys::from_secrets(mixed).unwrap_err(), ForeignKey::Encryption);
    }
}
