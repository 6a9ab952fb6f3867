//! The proof that an owner lets another key sign in its place, until a date.
//!
//! It stands in lease sets of types 3, 5 and 7, whose readers share this. Spec: common structures, OfflineSignature.

use std::ops::Range;

use crate::base::time::UnixTime;
use crate::crypto::signature::{SignatureCheck, SignatureType, SigningPublicKey};
use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// A transient key, and where the proof that its owner signed it stands in the record around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfflineSignature {
    expires: UnixTime,
    key: SigningPublicKey,
    signed: Range<usize>,
    signature: Range<usize>,
}

impl OfflineSignature {
    /// Reads the proof that a key of type `owner` signed.
    ///
    /// # Errors
    /// `Truncated` when it ends early, `Unsupported` when one of the two types has no known size.
    pub fn parse(reader: &mut Reader<'_>, owner: SignatureType) -> Result<Self, Malformed> {
        let start = reader.position();
        let expires = UnixTime::from_seconds(reader.u32("transient key end")?);
        let code = reader.u16("transient key type")?;
        let unsupported =
            Malformed::Unsupported { field: "transient key type", found: u32::from(code) };
        let kind = SignatureType::from_code(code);
        let size = kind.public_key_size().ok_or(unsupported)?;
        let key = reader.take(size, "transient key")?;
        let key = SigningPublicKey::new(kind, key).ok_or(unsupported)?;
        let end = reader.position();
        reader.take(signature_size(owner)?, "transient key signature")?;
        Ok(Self { expires, key, signed: start..end, signature: end..reader.position() })
    }

    /// The proof in bytes. `sign` gives the owner's signature of what it is handed.
    #[must_use]
    pub fn write(
        expires: UnixTime,
        key: &SigningPublicKey,
        sign: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Vec<u8> {
        let mut proof = expires.seconds_up().to_be_bytes().to_vec();
        proof.extend_from_slice(&key.kind().code().to_be_bytes());
        proof.extend_from_slice(key.bytes());
        let signature = sign(&proof);
        proof.extend_from_slice(&signature);
        proof
    }

    /// When the transient key loses its meaning, in whole seconds.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// The transient key.
    #[must_use]
    pub fn key(&self) -> &SigningPublicKey {
        &self.key
    }

    /// The owner's signature of the transient key, to be checked; `record` is what this was read from.
    #[must_use]
    pub fn check<'a>(&self, owner: &'a SigningPublicKey, record: &'a [u8]) -> SignatureCheck<'a> {
        let part = |range: &Range<usize>| record.get(range.clone()).unwrap_or(&[]);
        let (message, signature) = (part(&self.signed), part(&self.signature));
        SignatureCheck { key: owner, prefix: &[], message, signature }
    }
}

/// Bytes of a signature by a key of type `kind`.
pub(super) fn signature_size(kind: SignatureType) -> Result<usize, Malformed> {
    kind.signature_size()
        .ok_or(Malformed::Unsupported { field: "signing key type", found: u32::from(kind.code()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::Ed25519Seed;
    use crate::crypto::signature::{Signer, Verdict, verify};

    fn signer(seed: u8) -> Signer {
        Signer::from_seed(&Ed25519Seed::from_bytes([seed; 32]))
    }

    fn proof() -> Vec<u8> {
        let end = UnixTime::from_seconds(0x6600_0000);
        let sign = |message: &[u8]| signer(1).sign(message).to_vec();
        OfflineSignature::write(end, &signer(2).public_key(), sign)
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let bytes = proof();
        assert_eq!(bytes[..6], [0x66, 0, 0, 0, 0, 7]);
        assert_eq!(bytes[6..38], *signer(2).public_key().bytes());
        assert_eq!(bytes[38..], signer(1).sign(&bytes[..38]));
    }

    #[test]
    fn the_owner_is_checked_where_the_reader_stood() {
        let bytes = [vec![9; 5], proof(), vec![9; 2]].concat();
        let mut reader = Reader::new(&bytes);
        reader.take(5, "before").unwrap();
        let read = OfflineSignature::parse(&mut reader, SignatureType::Ed25519).unwrap();
        assert_eq!(reader.left(), 2);
        assert_eq!(read.expires(), UnixTime::from_seconds(0x6600_0000));
        assert_eq!(read.key(), &signer(2).public_key());
        let owner = signer(1).public_key();
        assert_eq!(verify(&read.check(&owner, &bytes)), Verdict::Valid);
        let mut changed = bytes.clone();
        changed[6] ^= 1;
        assert_eq!(verify(&read.check(&owner, &changed)), Verdict::Invalid);
        assert_eq!(verify(&read.check(&owner, &[])), Verdict::Invalid);
    }

    #[test]
    fn sizes_come_from_both_types() {
        let bytes = proof();
        let parse = |bytes: &[u8], owner| OfflineSignature::parse(&mut Reader::new(bytes), owner);
        for length in 0..bytes.len() {
            let refused = parse(&bytes[..length], SignatureType::Ed25519);
            assert!(matches!(refused, Err(Malformed::Truncated { .. })), "{length}");
        }
        let rsa = Malformed::Truncated { field: "transient key signature", needed: 512, left: 64 };
        assert_eq!(parse(&bytes, SignatureType::Rsa4096), Err(rsa));
        let owner = Malformed::Unsupported { field: "signing key type", found: 99 };
        assert_eq!(parse(&bytes, SignatureType::Unknown(99)), Err(owner));
        let mut unknown = bytes;
        unknown[5] = 99;
        let transient = Malformed::Unsupported { field: "transient key type", found: 99 };
        assert_eq!(parse(&unknown, SignatureType::Ed25519), Err(transient));
    }
}
