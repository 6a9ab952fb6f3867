//! Signature types of the network behind one face: a check names its key, and the key's type decides the rule.
//!
//! Each type's rule stands in the module that checks it; single and batch give the same verdict.

use std::fmt;

mod dsa;
mod ecdsa;
mod ed25519;
mod reddsa;
mod rsa;
mod secret;

pub use ed25519::Signer;
pub use reddsa::RedDsaSigner;
pub use secret::{SigningSecret, SigningSecretError};

use crate::crypto::hash::sha512_parts;

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
#[derive(Clone, PartialEq, Eq, Hash)]
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

// Four bytes only: no log line identifies an owner in full by accident.
impl fmt::Debug for SigningPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(", self.kind)?;
        for byte in self.bytes.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// One signature to be checked: is `signature` that of `key` over `prefix ‖ message`?
#[derive(Clone, Copy)]
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
    /// The key's type is unknown, so nothing is known of the signature.
    Unsupported,
}

/// Checks one signature.
#[must_use]
pub fn verify(check: &SignatureCheck<'_>) -> Verdict {
    let holds = match check.key.kind {
        SignatureType::Ed25519 | SignatureType::RedDsa => return ed25519::verify(check),
        SignatureType::Ed25519Ph => return verify_prehashed(check),
        SignatureType::DsaSha1 => dsa::check(check),
        SignatureType::EcdsaP256 => ecdsa::p256::check(check),
        SignatureType::EcdsaP384 => ecdsa::p384::check(check),
        SignatureType::EcdsaP521 => ecdsa::p521::check(check),
        SignatureType::Rsa2048 | SignatureType::Rsa3072 | SignatureType::Rsa4096 => {
            rsa::check(check)
        }
        SignatureType::Unknown(_) => return Verdict::Unsupported,
    };
    match holds {
        Some(()) => Verdict::Valid,
        None => Verdict::Invalid,
    }
}

/// Ed25519ph as I2P has it: Ed25519 of the SHA-512 digest, without the domain prefix of RFC 8032, which came
/// later. Only su3 files may have it. Source: Java's signature type 8, the one implementation known.
fn verify_prehashed(check: &SignatureCheck<'_>) -> Verdict {
    let digest = sha512_parts(&[check.prefix, check.message]);
    ed25519::verify(&SignatureCheck { prefix: b"", message: &digest, ..*check })
}

/// Checks every signature and appends its verdict to `out`, in the order of `checks`. Each verdict is what
/// [`verify`] says of that check alone.
pub fn verify_batch(checks: &[SignatureCheck<'_>], out: &mut Vec<Verdict>) {
    let start = out.len();
    out.extend(checks.iter().map(|check| match ed25519::checks(check.key.kind) {
        true => Verdict::Unsupported,
        false => verify(check),
    }));
    ed25519::verify_batch(checks, out.split_at_mut(start).1);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::secret::Ed25519Seed;
    use crate::crypto::testing::unhex;

    fn check(key: &SigningPublicKey, message: &[u8], signature: &[u8]) -> Verdict {
        verify(&SignatureCheck { key, prefix: b"", message, signature })
    }

    #[test]
    fn the_prefix_is_signed_before_the_message() {
        let signer = Signer::from_seed(&Ed25519Seed::from_bytes([7; 32]));
        let (key, signature) = (signer.public_key(), signer.sign(b"\x03lease set"));
        let with = |prefix, message| {
            verify(&SignatureCheck { key: &key, prefix, message, signature: &signature })
        };
        assert_eq!(with(b"\x03", b"lease set"), Verdict::Valid);
        assert_eq!(with(b"", b"\x03lease set"), Verdict::Valid);
        assert_eq!(with(b"\x05", b"lease set"), Verdict::Invalid);
        assert_eq!(with(b"", b"lease set"), Verdict::Invalid);
    }

    #[test]
    fn unknown_types_are_unsupported() {
        let key = SigningPublicKey { kind: SignatureType::Unknown(12), bytes: [1; 32].into() };
        assert_eq!(check(&key, b"m", &[1; 64]), Verdict::Unsupported);
        let refused = SigningSecret::new(SignatureType::Unknown(12), &[]).err();
        assert_eq!(refused, Some(SigningSecretError::Unknown(SignatureType::Unknown(12))));
    }

    // Made with another implementation of Ed25519 from the formula: no official vectors of this form exist.
    #[test]
    fn prehashed_ed25519() {
        let secret = SigningSecret::new(SignatureType::Ed25519Ph, &[1; 32]).unwrap();
        let signature = unhex(
            "4c6889b3787502ba320f43b8e8777b4ad37f0d710a8d48f71f4f7a4da0718033
             824d83c0730f893634094a6dee287f67b1c69f4d5c5bbbb8c85d73756939ab0b",
        );
        let key = secret.public_key();
        assert_eq!(check(&key, b"abc", &signature), Verdict::Valid);
        let split =
            SignatureCheck { key: &key, prefix: b"a", message: b"bc", signature: &signature };
        assert_eq!(verify(&split), Verdict::Valid);
        assert_eq!(check(&key, b"abd", &signature), Verdict::Invalid);
        assert_eq!(secret.sign(&[0; 80], b"abc").to_vec(), signature);
        let plain = SigningPublicKey::new(SignatureType::Ed25519, key.bytes()).unwrap();
        assert_eq!(check(&plain, b"abc", &signature), Verdict::Invalid);
    }

    /// A secret of each type but RSA, which has tests of its own.
    fn secrets() -> Vec<SigningSecret> {
        [0, 1, 2, 3, 7, 8, 11]
            .map(|code| {
                let kind = SignatureType::from_code(code);
                let mut bytes = vec![1; kind.private_key_size().unwrap()];
                // An order of 521 bits has only one bit in its first byte.
                bytes[0] = u8::from(code != 3);
                SigningSecret::new(kind, &bytes).unwrap()
            })
            .into()
    }

    #[test]
    fn every_type_signs_and_is_checked_alone_and_in_a_batch() {
        let secrets = secrets();
        let signed: Vec<_> = secrets
            .iter()
            .map(|secret| (secret.public_key(), secret.sign(&[7; 80], b"\x03message")))
            .collect();
        // Each signature under its own key, then under the key of the next.
        let next = signed.iter().cycle().skip(1);
        let mut checks = Vec::new();
        for ((key, signature), (other, _)) in signed.iter().zip(next) {
            for key in [key, other] {
                let (prefix, message) = (&b"\x03"[..], &b"message"[..]);
                checks.push(SignatureCheck { key, prefix, message, signature });
            }
        }
        let mut batch = vec![Verdict::Unsupported];
        verify_batch(&checks, &mut batch);
        assert_eq!(batch.remove(0), Verdict::Unsupported, "what stood in the list stays");
        let single: Vec<_> = checks.iter().map(verify).collect();
        assert_eq!(batch, single);
        for (check, verdicts) in checks.chunks(2).zip(single.chunks(2)) {
            assert_eq!(verdicts, [Verdict::Valid, Verdict::Invalid], "{:?}", check[0].key);
        }
    }

    #[test]
    fn secrets_have_the_length_of_their_type_and_are_mute() {
        for secret in secrets() {
            let kind = secret.kind();
            assert_eq!(secret.public_key().kind(), kind);
            assert_eq!(format!("{secret:?}"), format!("SigningSecret({kind:?}, secret)"));
            let expected = kind.private_key_size().unwrap();
            for found in [0, expected - 1, expected + 1] {
                let refused = SigningSecret::new(kind, &vec![1; found]).err();
                assert_eq!(refused, Some(SigningSecretError::Length { kind, expected, found }));
            }
        }
    }

    #[test]
    fn keys_have_the_length_of_their_type() {
        assert!(SigningPublicKey::new(SignatureType::Ed25519, &[0; 31]).is_none());
        assert!(SigningPublicKey::new(SignatureType::EcdsaP521, &[0; 132]).is_some());
        assert!(SigningPublicKey::new(SignatureType::Unknown(12), &[]).is_none());
    }

    #[test]
    fn debug_shows_nothing_of_a_signer_and_four_bytes_of_a_key() {
        let signer = Signer::from_seed(&Ed25519Seed::from_bytes([8; 32]));
        assert_eq!(format!("{signer:?}"), "Signer(secret)");
        assert_eq!(format!("{:?}", signer.public_key()), "Ed25519(1398f62c)");
    }

    type Case = ([u8; 32], Vec<u8>, Vec<u8>, Option<(usize, u32)>);

    fn cases() -> impl Strategy<Value = Vec<Case>> {
        let prefix = prop::collection::vec(any::<u8>(), 0..3);
        let message = prop::collection::vec(any::<u8>(), 0..200);
        let flip = prop::option::of((0..64usize, 0..8u32));
        prop::collection::vec((any::<[u8; 32]>(), prefix, message, flip), 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn codes_survive(code in any::<u16>()) {
            prop_assert_eq!(SignatureType::from_code(code).code(), code);
        }

        #[test]
        fn batch_equals_single_and_flipped_bits_are_invalid(cases in cases()) {
            let signed: Vec<_> = cases
                .iter()
                .map(|(seed, prefix, message, flip)| {
                    let signer = Signer::from_seed(&Ed25519Seed::from_bytes(*seed));
                    let mut signature = signer.sign(&[&prefix[..], message].concat());
                    if let Some((byte, bit)) = flip {
                        signature[*byte] ^= 1 << bit;
                    }
                    (signer.public_key(), signature)
                })
                .collect();
            let checks: Vec<_> = cases
                .iter()
                .zip(&signed)
                .map(|((_, prefix, message, _), (key, signature))| {
                    SignatureCheck { key, prefix, message, signature }
                })
                .collect();
            let mut batch = Vec::new();
            verify_batch(&checks, &mut batch);
            let single: Vec<_> = checks.iter().map(verify).collect();
            prop_assert_eq!(&batch, &single);
            for (case, verdict) in cases.iter().zip(batch) {
                let expected = if case.3.is_none() { Verdict::Valid } else { Verdict::Invalid };
                prop_assert_eq!(verdict, expected);
            }
        }

        #[test]
        fn any_bytes_of_any_type_get_a_verdict(
            code in prop::sample::select(vec![0_u16, 1, 2, 3, 4, 5, 6, 7, 8, 11]),
            bytes in prop::collection::vec(any::<u8>(), 1024),
            length in prop::option::of(0..600_usize),
            message in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let kind = SignatureType::from_code(code);
            let (key, rest) = bytes.split_at(kind.public_key_size().unwrap());
            let length = length.or(kind.signature_size()).unwrap().min(rest.len());
            let key = SigningPublicKey::new(kind, key).unwrap();
            prop_assert_eq!(check(&key, &message, &rest[..length]), Verdict::Invalid);
        }
    }
}
