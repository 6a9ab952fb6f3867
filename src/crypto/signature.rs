//! Signature types of the network behind one enum; Ed25519 and RedDSA verified, single or a batch; Ed25519 signed.
//!
//! # Which Ed25519 signatures hold
//!
//! Routers must agree on this to the bit, or a record that one floods is refused by the next. The rule, for
//! single and batch alike, is that of RFC 8032, section 5.1.7, in its form without the cofactor:
//!
//! * `S` must be below the group order `L`.
//! * `S·B − k·A`, with `k = SHA-512(R ‖ A ‖ message)` over the bytes as sent, must encode to exactly the 32 bytes
//!   `R`. So an `R` that is not canonical, or not a point, is refused.
//! * The key `A` may be any encoding that decodes to a point of the curve: a y coordinate of `p` or more is
//!   reduced, the sign bit of x = 0 is ignored, and points of low order are not refused. A key of low order
//!   proves nothing about its owner, but it harms only what is published under it.
//!
//! RedDSA (Spec: Red25519) draws its nonce in another way and verifies by this same rule.

use std::fmt;

use ed25519_dalek::ed25519::signature::MultipartVerifier;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::crypto::secret::Ed25519Seed;

/// Kind of a signing key, by the code in certificates. Spec: common structures, key certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureType {
    /// DSA with SHA-1, 1024 bits: the type of identities without a key certificate.
    DsaSha1,
    /// ECDSA with SHA-256 on P-256.
    EcdsaP256,
    /// ECDSA with SHA-384 on P-384.
    EcdsaP384,
    /// ECDSA with SHA-512 on P-521.
    EcdsaP521,
    /// RSA-2048 with SHA-256.
    Rsa2048,
    /// RSA-3072 with SHA-384.
    Rsa3072,
    /// RSA-4096 with SHA-512.
    Rsa4096,
    /// EdDSA with SHA-512 on Ed25519: the type of nearly every router.
    Ed25519,
    /// Ed25519 over a hash of the message.
    Ed25519Ph,
    /// RedDSA with SHA-512 on Ed25519: blinded keys, and some destinations.
    RedDsa,
    /// A code whose sizes are not known here.
    Unknown(u16),
}

impl SignatureType {
    /// The type that `code` names; every code names one.
    #[must_use]
    pub fn from_code(code: u16) -> Self {
        match code {
            0 => Self::DsaSha1,
            1 => Self::EcdsaP256,
            2 => Self::EcdsaP384,
            3 => Self::EcdsaP521,
            4 => Self::Rsa2048,
            5 => Self::Rsa3072,
            6 => Self::Rsa4096,
            7 => Self::Ed25519,
            8 => Self::Ed25519Ph,
            11 => Self::RedDsa,
            other => Self::Unknown(other),
        }
    }

    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::DsaSha1 => 0,
            Self::EcdsaP256 => 1,
            Self::EcdsaP384 => 2,
            Self::EcdsaP521 => 3,
            Self::Rsa2048 => 4,
            Self::Rsa3072 => 5,
            Self::Rsa4096 => 6,
            Self::Ed25519 => 7,
            Self::Ed25519Ph => 8,
            Self::RedDsa => 11,
            Self::Unknown(code) => code,
        }
    }

    /// Bytes of a public key; `None` where the type is unknown.
    #[must_use]
    pub fn public_key_size(self) -> Option<usize> {
        match self {
            Self::DsaSha1 => Some(128),
            Self::EcdsaP256 => Some(64),
            Self::EcdsaP384 => Some(96),
            Self::EcdsaP521 => Some(132),
            Self::Rsa2048 => Some(256),
            Self::Rsa3072 => Some(384),
            Self::Rsa4096 => Some(512),
            Self::Ed25519 | Self::Ed25519Ph | Self::RedDsa => Some(32),
            Self::Unknown(_) => None,
        }
    }

    /// Bytes of a signature; `None` where the type is unknown.
    #[must_use]
    pub fn signature_size(self) -> Option<usize> {
        match self {
            Self::DsaSha1 => Some(40),
            Self::EcdsaP256 | Self::Ed25519 | Self::Ed25519Ph | Self::RedDsa => Some(64),
            Self::EcdsaP384 => Some(96),
            Self::EcdsaP521 => Some(132),
            Self::Rsa2048 => Some(256),
            Self::Rsa3072 => Some(384),
            Self::Rsa4096 => Some(512),
            Self::Unknown(_) => None,
        }
    }
}

/// Public signing key of a known type and of that type's length. Whether the bytes are a point of the curve
/// shows only when a signature is checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SigningPublicKey {
    kind: SignatureType,
    bytes: Box<[u8]>,
}

impl SigningPublicKey {
    /// The key of type `kind` in `bytes`; `None` for an unknown type or a length that is not the type's.
    #[must_use]
    pub fn new(kind: SignatureType, bytes: &[u8]) -> Option<Self> {
        (kind.public_key_size() == Some(bytes.len())).then(|| Self { kind, bytes: bytes.into() })
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> SignatureType {
        self.kind
    }

    /// Its bytes as on the wire, without the padding that identities put around short keys.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Ed25519 private key, ready to sign. Erased on drop.
pub struct Signer(SigningKey);

impl Signer {
    /// The signer that `seed` expands to.
    #[must_use]
    pub fn from_seed(seed: &Ed25519Seed) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The key that its signatures are checked with.
    #[must_use]
    pub fn public_key(&self) -> SigningPublicKey {
        SigningPublicKey {
            kind: SignatureType::Ed25519,
            bytes: self.0.verifying_key().as_bytes().as_slice().into(),
        }
    }

    /// The signature of `message`: the same for the same message, since Ed25519 draws no randomness.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(secret)")
    }
}

/// One signature to be checked: is `signature` that of `key` over `prefix ‖ message`?
#[derive(Clone, Copy, Debug)]
pub struct SignatureCheck<'a> {
    /// Who is said to have signed.
    pub key: &'a SigningPublicKey,
    /// Bytes signed before the message but not sent with it, such as the type byte of a LeaseSet2; often empty.
    pub prefix: &'a [u8],
    /// What was signed.
    pub message: &'a [u8],
    /// The signature; one of a length that is not the type's is invalid.
    pub signature: &'a [u8],
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key's owner signed this message.
    Valid,
    /// He did not, or not so as the module's rule wants it.
    Invalid,
    /// Signatures of this type are not checked here, so nothing is known.
    Unsupported,
}

/// Checks one signature.
#[must_use]
pub fn verify(check: &SignatureCheck<'_>) -> Verdict {
    match check.key.kind {
        SignatureType::Ed25519 | SignatureType::RedDsa => verify_ed25519(check),
        SignatureType::DsaSha1
        | SignatureType::EcdsaP256
        | SignatureType::EcdsaP384
        | SignatureType::EcdsaP521
        | SignatureType::Rsa2048
        | SignatureType::Rsa3072
        | SignatureType::Rsa4096
        | SignatureType::Ed25519Ph
        | SignatureType::Unknown(_) => Verdict::Unsupported,
    }
}

/// Checks every signature and appends its verdict to `out`, in the order of `checks`. Each verdict is what
/// [`verify`] says of that check alone.
pub fn verify_batch(checks: &[SignatureCheck<'_>], out: &mut Vec<Verdict>) {
    out.reserve(checks.len());
    out.extend(checks.iter().map(verify));
}

fn verify_ed25519(check: &SignatureCheck<'_>) -> Verdict {
    let Ok(key) = VerifyingKey::try_from(check.key.bytes()) else {
        return Verdict::Invalid;
    };
    let Ok(signature) = Signature::from_slice(check.signature) else {
        return Verdict::Invalid;
    };
    match key.multipart_verify(&[check.prefix, check.message], &signature) {
        Ok(()) => Verdict::Valid,
        Err(_) => Verdict::Invalid,
    }
}
