//! What is known of one file, before it is written as text or JSON.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::app::args::InspectKind;
use crate::base::time::UnixTime;
use crate::crypto::signature::{SignatureType, Verdict, verify};
use crate::proto::netdb::routing_key::civil_date;
use crate::wire::identity::{CertificateKind, EncryptionType};
use crate::wire::mapping::Mapping;
use crate::wire::unverified::{Signed, Unverified};

/// What is known of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// It holds.
    Valid,
    /// It does not.
    Invalid,
    /// It is of a type that is not checked here.
    Unsupported,
    /// The file has none, or was not understood so far.
    Absent,
    /// The certificate of who signed it is not known here.
    UnknownSigner,
}

impl Signature {
    fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Absent => "absent",
            Self::UnknownSigner => "unknown_signer",
        }
    }

    /// The outcome of one check.
    #[must_use]
    pub fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Valid => Self::Valid,
            Verdict::Invalid => Self::Invalid,
            Verdict::Unsupported => Self::Unsupported,
        }
    }

    /// All signatures of a record together: the worst of them.
    #[must_use]
    pub fn of_record<T: Signed>(record: &Unverified<T>) -> Self {
        record.checks().map(|check| Self::of(verify(&check))).fold(Self::Valid, |so_far, next| {
            match (so_far, next) {
                (Self::Invalid, _) | (_, Self::Invalid) => Self::Invalid,
                (Self::Valid, next) => next,
                (so_far, _) => so_far,
            }
        })
    }
}

/// Whether a file is what its kind wants it to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wholeness {
    /// It is decoded from its first byte to its last.
    Whole,
    /// It is not, or its parts do not belong together.
    Broken,
}

/// What one file holds.
#[derive(Debug)]
pub struct Report {
    /// Absent where nothing tells.
    kind: Option<InspectKind>,
    hash: Option<String>,
    /// What is known of its signature.
    pub signature: Signature,
    wholeness: Wholeness,
    accepted: bool,
    problems: Vec<String>,
    fields: Vec<(String, Value)>,
}

impl Report {
    /// A report on a file that is decoded whole; nothing speaks against it yet but its signature.
    #[must_use]
    pub fn new(
        kind: impl Into<Option<InspectKind>>,
        hash: Option<String>,
        signature: Signature,
    ) -> Self {
        let mut report = Self {
            kind: kind.into(),
            hash,
            signature,
            wholeness: Wholeness::Whole,
            accepted: true,
            problems: Vec::new(),
            fields: Vec::new(),
        };
        match signature {
            Signature::Valid | Signature::Absent | Signature::UnknownSigner => {}
            Signature::Invalid => report.refuse("the signature does not hold"),
            Signature::Unsupported => {
                report.refuse("the signature is of a type that is not checked");
            }
        }
        report
    }

    /// A report on a file that is not understood.
    #[must_use]
    pub fn broken(kind: impl Into<Option<InspectKind>>, problem: impl Into<String>) -> Self {
        let mut report = Self::new(kind, None, Signature::Absent);
        report.wholeness = Wholeness::Broken;
        report.refuse(problem);
        report
    }

    /// Adds a reason why others would not take or use it.
    pub fn refuse(&mut self, problem: impl Into<String>) {
        self.accepted = false;
        self.problems.push(problem.into());
    }

    /// Adds something that is odd, but keeps nobody from taking it.
    pub fn note(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Adds a decoded field.
    pub fn field(&mut self, name: &str, value: impl Into<Value>) {
        self.fields.push((name.to_owned(), value.into()));
    }

    /// Adds a date, for scripts and for people.
    pub fn date(&mut self, name: &str, date: UnixTime) {
        self.field(&format!("{name}_ms"), date.0);
        self.field(name, date_text(date));
    }

    /// Adds the types of the keys in an identity, and what certifies them.
    pub fn key_types(
        &mut self,
        signing: SignatureType,
        encryption: EncryptionType,
        certificate: CertificateKind,
    ) {
        self.field("signature_type", signing.code());
        self.field("signature_type_name", signature_name(signing));
        self.field("encryption_type", encryption.code());
        self.field("encryption_type_name", encryption_name(encryption));
        self.field("certificate", certificate_name(certificate));
    }

    /// Whether the file is decoded whole and its signature, if its kind has one, holds.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let held = match self.signature {
            Signature::Valid | Signature::Absent => true,
            Signature::Invalid | Signature::Unsupported | Signature::UnknownSigner => false,
        };
        held && self.wholeness == Wholeness::Whole
    }

    /// All fields of the object for the file at `path`, in the order in which people want to read them.
    #[must_use]
    pub fn into_fields(self, path: &Path) -> Vec<(String, Value)> {
        let head = [
            ("file", json!(path.display().to_string())),
            ("kind", json!(self.kind.map_or("unknown", InspectKind::name))),
            ("hash", json!(self.hash)),
            ("signature", json!(self.signature.name())),
            ("accepted", json!(self.accepted)),
            ("problems", json!(self.problems)),
        ];
        let head = head.into_iter().map(|(name, value)| (name.to_owned(), value));
        head.chain(self.fields).collect()
    }
}

/// Options as an object.
#[must_use]
pub fn options(options: &Mapping) -> Value {
    let all: Map<_, _> =
        options.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    Value::Object(all)
}

/// A date as RFC 3339 has it, in whole seconds.
#[must_use]
pub fn date_text(date: UnixTime) -> String {
    let (year, month, day) = civil_date(date.days());
    let seconds = date.0 / 1000 % 86_400;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The address of a destination whose hash this is, as browsers take it.
#[must_use]
pub fn b32(hash: &[u8; 32]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |at: usize| {
        let byte = hash.get(at / 8).copied().unwrap_or(0);
        usize::from(byte >> (7 - at % 8) & 1)
    };
    let digit = |place: usize| (place * 5..place * 5 + 5).fold(0, |value, at| value << 1 | bit(at));
    let digits = (0..52).filter_map(|place| DIGITS.get(digit(place)).copied().map(char::from));
    digits.chain(".b32.i2p".chars()).collect()
}

/// What people call a signature type.
#[must_use]
pub fn signature_name(kind: SignatureType) -> String {
    match kind {
        SignatureType::DsaSha1 => "DSA-SHA1",
        SignatureType::EcdsaP256 => "ECDSA-SHA256-P256",
        SignatureType::EcdsaP384 => "ECDSA-SHA384-P384",
        SignatureType::EcdsaP521 => "ECDSA-SHA512-P521",
        SignatureType::Rsa2048 => "RSA-SHA256-2048",
        SignatureType::Rsa3072 => "RSA-SHA384-3072",
        SignatureType::Rsa4096 => "RSA-SHA512-4096",
        SignatureType::Ed25519 => "Ed25519",
        SignatureType::Ed25519Ph => "Ed25519ph",
        SignatureType::RedDsa => "RedDSA-Ed25519",
        SignatureType::Unknown(code) => return format!("unknown ({code})"),
    }
    .to_owned()
}

/// What people call an encryption type.
#[must_use]
pub fn encryption_name(kind: EncryptionType) -> String {
    match kind {
        EncryptionType::ElGamal => "ElGamal",
        EncryptionType::EciesP256 => "ECIES-P256",
        EncryptionType::EciesP384 => "ECIES-P384",
        EncryptionType::EciesP521 => "ECIES-P521",
        EncryptionType::X25519 => "X25519",
        EncryptionType::MlKem512X25519 => "ML-KEM-512 and X25519",
        EncryptionType::MlKem768X25519 => "ML-KEM-768 and X25519",
        EncryptionType::MlKem1024X25519 => "ML-KEM-1024 and X25519",
        EncryptionType::Absent => "none",
        EncryptionType::Unknown(code) => return format!("unknown ({code})"),
    }
    .to_owned()
}

fn certificate_name(kind: CertificateKind) -> String {
    match kind {
        CertificateKind::Null => "null",
        CertificateKind::HashCash => "hashcash",
        CertificateKind::Hidden => "hidden",
        CertificateKind::Signed => "signed",
        CertificateKind::Multiple => "multiple",
        CertificateKind::Key => "key",
        CertificateKind::Unknown(code) => return format!("unknown ({code})"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date_text(UnixTime(0)), "1970-01-01T00:00:00Z");
        assert_eq!(date_text(UnixTime(1_709_210_096_999)), "2024-02-29T12:34:56Z");
        assert!(date_text(UnixTime(u64::MAX)).ends_with('Z'));
    }

    // RFC 4648, section 10, carries on from the first bytes: "foobar" is MZXW6YTBOI.
    #[test]
    fn b32_is_that_of_the_rfc() {
        let mut hash = [0; 32];
        hash[..6].copy_from_slice(b"foobar");
        let text = b32(&hash);
        assert!(text.starts_with("mzxw6ytboi"), "{text}");
        assert_eq!(text.len(), 52 + 8);
        // 256 bits are 51 digits and one bit, which stands highest in the last.
        assert_eq!(b32(&[0xff; 32]), format!("{}q.b32.i2p", "7".repeat(51)));
    }

    #[test]
    fn the_worst_of_two_signatures_counts() {
        assert_eq!(Signature::of(Verdict::Unsupported).name(), "unsupported");
        let mut report = Report::new(InspectKind::Su3, None, Signature::UnknownSigner);
        assert!(!report.is_good());
        report.signature = Signature::Valid;
        assert!(report.is_good());
        assert!(!Report::broken(InspectKind::Keys, "x").is_good());
    }
}
