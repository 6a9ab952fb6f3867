//! One private key of any type: for su3 files, for destinations of every kind, and for tests.

use std::fmt;

use super::{RedDsaSigner, SignatureType, Signer, SigningPublicKey, dsa, ecdsa, rsa};
use crate::crypto::hash::sha512_parts;
use crate::crypto::secret::{Ed25519Seed, RedDsaSecret};

/// Private signing key of any known type. Erased on drop.
pub struct SigningSecret(Kind);

enum Kind {
    DsaSha1(dsa::Secret),
    EcdsaP256(ecdsa::p256::Secret),
    EcdsaP384(ecdsa::p384::Secret),
    EcdsaP521(ecdsa::p521::Secret),
    Rsa(rsa::Secret),
    Ed25519(Signer),
    Ed25519Ph(Signer),
    RedDsa(RedDsaSigner),
}

/// Why bytes are no private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningSecretError {
    /// Keys of this type are not known here.
    #[error("signature type {} is unknown", .0.code())]
    Unknown(SignatureType),
    /// The length is not the type's.
    #[error("a private key of {kind:?} has {expected} bytes, not {found}")]
    Length {
        /// Type that was asked for.
        kind: SignatureType,
        /// Bytes of its private keys.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// The number is zero, not below the group order, or does not belong to its modulus.
    #[error("the private key of {0:?} is out of range")]
    Range(SignatureType),
}

impl SignatureType {
    /// Bytes of a private key in key files; `None` where the type is unknown. Spec: common structures.
    #[must_use]
    pub fn private_key_size(self) -> Option<usize> {
        match self {
            Self::DsaSha1 => Some(20),
            Self::EcdsaP256 | Self::Ed25519 | Self::Ed25519Ph | Self::RedDsa => Some(32),
            Self::EcdsaP384 => Some(48),
            Self::EcdsaP521 => Some(66),
            Self::Rsa2048 => Some(512),
            Self::Rsa3072 => Some(768),
            Self::Rsa4096 => Some(1024),
            Self::Unknown(_) => None,
        }
    }
}

impl SigningSecret {
    /// The key of type `kind` in `bytes`: a number, big-endian; for RSA modulus ‖ private exponent; for Ed25519 the
    /// seed; for RedDSA the number, little-endian.
    pub fn new(kind: SignatureType, bytes: &[u8]) -> Result<Self, SigningSecretError> {
        let expected = kind.private_key_size().ok_or(SigningSecretError::Unknown(kind))?;
        if bytes.len() != expected {
            return Err(SigningSecretError::Length { kind, expected, found: bytes.len() });
        }
        let of_32 = || <[u8; 32]>::try_from(bytes).ok();
        let signer = || Some(Signer::from_seed(&Ed25519Seed::from_bytes(of_32()?)));
        let secret = match kind {
            SignatureType::DsaSha1 => dsa::Secret::new(bytes).map(Kind::DsaSha1),
            SignatureType::EcdsaP256 => ecdsa::p256::Secret::new(bytes).map(Kind::EcdsaP256),
            SignatureType::EcdsaP384 => ecdsa::p384::Secret::new(bytes).map(Kind::EcdsaP384),
            SignatureType::EcdsaP521 => ecdsa::p521::Secret::new(bytes).map(Kind::EcdsaP521),
            SignatureType::Rsa2048 | SignatureType::Rsa3072 | SignatureType::Rsa4096 => {
                rsa::Secret::new(kind, bytes).map(Kind::Rsa)
            }
            SignatureType::Ed25519 => signer().map(Kind::Ed25519),
            SignatureType::Ed25519Ph => signer().map(Kind::Ed25519Ph),
            SignatureType::RedDsa => of_32()
                .and_then(|bytes| RedDsaSigner::from_secret(&RedDsaSecret::from_bytes(bytes)))
                .map(Kind::RedDsa),
            SignatureType::Unknown(_) => return Err(SigningSecretError::Unknown(kind)),
        };
        secret.map(Self).ok_or(SigningSecretError::Range(kind))
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> SignatureType {
        match &self.0 {
            Kind::DsaSha1(_) => SignatureType::DsaSha1,
            Kind::EcdsaP256(_) => SignatureType::EcdsaP256,
            Kind::EcdsaP384(_) => SignatureType::EcdsaP384,
            Kind::EcdsaP521(_) => SignatureType::EcdsaP521,
            Kind::Rsa(secret) => secret.kind(),
            Kind::Ed25519(_) => SignatureType::Ed25519,
            Kind::Ed25519Ph(_) => SignatureType::Ed25519Ph,
            Kind::RedDsa(_) => SignatureType::RedDsa,
        }
    }

    /// The key that its signatures are checked with.
    #[must_use]
    pub fn public_key(&self) -> SigningPublicKey {
        let bytes = match &self.0 {
            Kind::DsaSha1(secret) => secret.public_key(),
            Kind::EcdsaP256(secret) => secret.public_key(),
            Kind::EcdsaP384(secret) => secret.public_key(),
            Kind::EcdsaP521(secret) => secret.public_key(),
            Kind::Rsa(secret) => secret.public_key(),
            Kind::Ed25519(signer) | Kind::Ed25519Ph(signer) => signer.public_key().bytes,
            Kind::RedDsa(signer) => signer.public_key().bytes,
        };
        SigningPublicKey { kind: self.kind(), bytes }
    }

    /// The signature of `message`. `random` must be fresh for every signature; only RedDSA takes its nonce from it,
    /// the others from key and message.
    ///
    /// # Panics
    ///
    /// Where the processor has miscalculated an RSA signature, which must not be given out.
    #[must_use]
    pub fn sign(&self, random: &[u8; 80], message: &[u8]) -> Box<[u8]> {
        match &self.0 {
            Kind::DsaSha1(secret) => secret.sign(message),
            Kind::EcdsaP256(secret) => secret.sign(message),
            Kind::EcdsaP384(secret) => secret.sign(message),
            Kind::EcdsaP521(secret) => secret.sign(message),
            Kind::Rsa(secret) => secret.sign(message).expect("the key has signed when it was made"),
            Kind::Ed25519(signer) => signer.sign(message).into(),
            Kind::Ed25519Ph(signer) => signer.sign(&sha512_parts(&[message])).into(),
            Kind::RedDsa(signer) => signer.sign(random, message).into(),
        }
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningSecret({:?}, secret)", self.kind())
    }
}
