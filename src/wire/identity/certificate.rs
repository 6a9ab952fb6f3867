//! Certificates: what follows the keys of an identity and names their types.
//!
//! Spec: common structures, Certificate and key certificates.

use crate::crypto::signature::SignatureType;
use crate::wire::Malformed;
use crate::wire::identity::SIGNING_SLOT;
use crate::wire::reader::Reader;

/// Longest certificate payload that we take: the types of the keys and what an RSA-4096 key needs, and some.
pub const CERTIFICATE_MAX: usize = 512;

const KEY_TYPES_SIZE: usize = 4;

/// Kind of a certificate. Only key certificates are still made; the others go with DSA and ElGamal keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateKind {
    /// Code 0: nothing is certified.
    Null,
    /// Code 1: a proof of work, never checked by anyone.
    HashCash,
    /// Code 2: a router that wants to stay unpublished.
    Hidden,
    /// Code 3: signed by another destination.
    Signed,
    /// Code 4: several certificates, one behind the other.
    Multiple,
    /// Code 5: types of the keys, and what of them did not fit.
    Key,
    /// Any other code.
    Unknown(u8),
}

impl CertificateKind {
    /// The kind that `code` names; every code names one.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Null,
            1 => Self::HashCash,
            2 => Self::Hidden,
            3 => Self::Signed,
            4 => Self::Multiple,
            5 => Self::Key,
            other => Self::Unknown(other),
        }
    }

    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Null => 0,
            Self::HashCash => 1,
            Self::Hidden => 2,
            Self::Signed => 3,
            Self::Multiple => 4,
            Self::Key => 5,
            Self::Unknown(code) => code,
        }
    }
}

/// Type of an encryption key, by the code in key certificates and in lease sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EncryptionType {
    /// Code 0: ElGamal, 2048 bits. The type of identities without a key certificate.
    ElGamal,
    /// Code 1: reserved for ECIES on P-256.
    EciesP256,
    /// Code 2: reserved for ECIES on P-384.
    EciesP384,
    /// Code 3: reserved for ECIES on P-521.
    EciesP521,
    /// Code 4: ECIES on X25519. The type of every router that can be a hop.
    X25519,
    /// Code 5: ML-KEM-512 beside X25519, whose key is all that stands here.
    MlKem512X25519,
    /// Code 6: ML-KEM-768 beside X25519, whose key is all that stands here.
    MlKem768X25519,
    /// Code 7: ML-KEM-1024 beside X25519, whose key is all that stands here.
    MlKem1024X25519,
    /// Code 255: no key at all.
    Absent,
    /// A code whose size is not known here.
    Unknown(u16),
}

impl EncryptionType {
    /// The type that `code` names; every code names one.
    #[must_use]
    pub fn from_code(code: u16) -> Self {
        match code {
            0 => Self::ElGamal,
            1 => Self::EciesP256,
            2 => Self::EciesP384,
            3 => Self::EciesP521,
            4 => Self::X25519,
            5 => Self::MlKem512X25519,
            6 => Self::MlKem768X25519,
            7 => Self::MlKem1024X25519,
            255 => Self::Absent,
            other => Self::Unknown(other),
        }
    }

    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::ElGamal => 0,
            Self::EciesP256 => 1,
            Self::EciesP384 => 2,
            Self::EciesP521 => 3,
            Self::X25519 => 4,
            Self::MlKem512X25519 => 5,
            Self::MlKem768X25519 => 6,
            Self::MlKem1024X25519 => 7,
            Self::Absent => 255,
            Self::Unknown(code) => code,
        }
    }

    /// Bytes of a public key as identities and lease sets hold it; `None` where the type is unknown.
    #[must_use]
    pub fn public_key_size(self) -> Option<usize> {
        match self {
            Self::ElGamal => Some(256),
            Self::EciesP256 => Some(64),
            Self::EciesP384 => Some(96),
            Self::EciesP521 => Some(132),
            Self::X25519 | Self::MlKem512X25519 | Self::MlKem768X25519 | Self::MlKem1024X25519 => {
                Some(32)
            }
            Self::Absent => Some(0),
            Self::Unknown(_) => None,
        }
    }
}

/// A certificate, viewed in the buffer that it arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    kind: CertificateKind,
    payload: &'a [u8],
    signing: SignatureType,
    encryption: EncryptionType,
    signing_excess: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads a certificate of any kind: those that are not about keys belong to DSA and ElGamal keys.
    ///
    /// # Errors
    /// `Truncated` when it ends early, also inside the part of a signing key that it holds, `TooLarge` past
    /// [`CERTIFICATE_MAX`], `Length` when the types of a key certificate are known and something else follows.
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let kind = CertificateKind::from_code(reader.u8("certificate type")?);
        let size = usize::from(reader.u16("certificate length")?);
        if size > CERTIFICATE_MAX {
            return Err(Malformed::TooLarge {
                field: "certificate length",
                limit: CERTIFICATE_MAX,
                found: size,
            });
        }
        let payload = reader.take(size, "certificate")?;
        match kind {
            CertificateKind::Key => Self::parse_key(payload),
            CertificateKind::Null
            | CertificateKind::HashCash
            | CertificateKind::Hidden
            | CertificateKind::Signed
            | CertificateKind::Multiple
            | CertificateKind::Unknown(_) => Ok(Self {
                kind,
                payload,
                signing: SignatureType::DsaSha1,
                encryption: EncryptionType::ElGamal,
                signing_excess: &[],
            }),
        }
    }

    fn parse_key(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let signing = SignatureType::from_code(reader.u16("signing key type")?);
        let encryption = EncryptionType::from_code(reader.u16("encryption key type")?);
        let excess = signing.public_key_size().map_or(0, |size| size.saturating_sub(SIGNING_SLOT));
        let signing_excess = reader.take(excess, "rest of the signing key")?;
        // No known encryption key is larger than its slot. What follows is the rest of a key that we do not know.
        let all_known =
            signing.public_key_size().is_some() && encryption.public_key_size().is_some();
        if all_known && reader.left() > 0 {
            return Err(Malformed::Length {
                field: "key certificate",
                expected: KEY_TYPES_SIZE + excess,
                found: payload.len(),
            });
        }
        Ok(Self { kind: CertificateKind::Key, payload, signing, encryption, signing_excess })
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> CertificateKind {
        self.kind
    }

    /// Everything behind its length, at most [`CERTIFICATE_MAX`] bytes.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The type of the signing key.
    #[must_use]
    pub fn signing_type(&self) -> SignatureType {
        self.signing
    }

    /// The type of the encryption key.
    #[must_use]
    pub fn encryption_type(&self) -> EncryptionType {
        self.encryption
    }

    /// What of the signing key did not fit in its slot: of P-521 and RSA keys.
    #[must_use]
    pub fn signing_excess(&self) -> &'a [u8] {
        self.signing_excess
    }

    /// Appends the certificate as it came.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind.code());
        out.extend_from_slice(&u16::try_from(self.payload.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(self.payload);
    }
}

/// Appends the key certificate of these types and this part of a signing key.
pub(super) fn write_key(
    signing: SignatureType,
    encryption: EncryptionType,
    signing_excess: &[u8],
    out: &mut Vec<u8>,
) {
    let size = KEY_TYPES_SIZE + signing_excess.len();
    out.push(CertificateKind::Key.code());
    out.extend_from_slice(&u16::try_from(size).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(&signing.code().to_be_bytes());
    out.extend_from_slice(&encryption.code().to_be_bytes());
    out.extend_from_slice(signing_excess);
}
