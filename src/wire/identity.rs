//! Who signs: the identities of routers and of destinations.
//!
//! Both are a block of 384 bytes with an encryption key at its start and a signing key at its end, and a
//! certificate that names the types of the keys and holds what of them did not fit. Their hash covers all of it,
//! padding included, so the bytes are kept as they came. Spec: common structures, KeysAndCert.

use std::fmt;

use crate::base::id::{RecordKey, RouterHash};
use crate::crypto::hash::sha256;
use crate::crypto::secret::Ed25519Seed;
use crate::crypto::signature::{SignatureType, Signer, SigningPublicKey};
use crate::crypto::x25519::X25519Public;
use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// Longest certificate payload that we take: the types of the keys and what an RSA-4096 key needs, and some.
pub const CERTIFICATE_MAX: usize = 512;

const ENCRYPTION_SLOT: usize = 256;
const SIGNING_SLOT: usize = 128;
const KEYS_SIZE: usize = ENCRYPTION_SLOT + SIGNING_SLOT;
const PADDING_SIZE: usize = 32;

const KEY_CERTIFICATE: u8 = 5;
const KEY_TYPES_SIZE: usize = 4;
const ENCRYPTION_ELGAMAL: u16 = 0;
const ENCRYPTION_X25519: u16 = 4;

/// What a router calls itself: the keys it is named by.
#[derive(Clone, PartialEq, Eq)]
pub struct RouterIdentity(KeysAndCert);

impl RouterIdentity {
    /// Reads an identity.
    ///
    /// # Errors
    /// When it ends early, when the certificate does not hold what its key types need, and when the size of its
    /// signing key is unknown.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        KeysAndCert::parse(reader).map(Self)
    }

    /// The identity made of these keys. `padding` is repeated in the gap between them, which lets a RouterInfo
    /// compress well.
    #[must_use]
    pub fn build(
        signing: &SigningPublicKey,
        encryption: X25519Public,
        padding: [u8; PADDING_SIZE],
    ) -> Self {
        Self(KeysAndCert::build(signing, encryption, padding))
    }

    /// The name of the router.
    #[must_use]
    pub fn hash(&self) -> RouterHash {
        RouterHash(self.0.hash)
    }

    /// The key that the router's RouterInfo is signed with.
    #[must_use]
    pub fn signing_key(&self) -> &SigningPublicKey {
        &self.0.signing
    }

    /// The key that build records and garlic for the router are encrypted to; `None` for a router of another
    /// encryption type, which can be no hop.
    #[must_use]
    pub fn encryption_key(&self) -> Option<X25519Public> {
        self.0.encryption
    }

    /// The identity as it came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl fmt::Debug for RouterIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RouterIdentity({:?}, {:?})", self.hash(), self.0.signing.kind())
    }
}

/// Where a service can be reached, independent of any router: the keys it is named by. Lease sets carry the key
/// that messages are encrypted to; the one in here is not used.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination(KeysAndCert);

impl Destination {
    /// Reads a destination.
    ///
    /// # Errors
    /// When it ends early, when the certificate does not hold what its key types need, and when the size of its
    /// signing key is unknown.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        KeysAndCert::parse(reader).map(Self)
    }

    /// The destination that `signing` names, with `padding` in place of an encryption key and of what lies
    /// between the two.
    #[must_use]
    pub fn build(signing: &SigningPublicKey, padding: [u8; PADDING_SIZE]) -> Self {
        Self(KeysAndCert::build(signing, X25519Public(padding), padding))
    }

    /// The key that its lease set stands under.
    #[must_use]
    pub fn hash(&self) -> RecordKey {
        RecordKey(self.0.hash)
    }

    /// The key that its lease set is signed with, or that signs the key that does.
    #[must_use]
    pub fn signing_key(&self) -> &SigningPublicKey {
        &self.0.signing
    }

    /// The destination as it came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({:?}, {:?})", self.hash(), self.0.signing.kind())
    }
}

/// A destination of our own, and what signs for it.
#[derive(Debug)]
pub struct DestinationKeys {
    /// Its public part.
    pub destination: Destination,
    /// Its long-term key.
    pub signer: Signer,
}

impl DestinationKeys {
    /// The Ed25519 destination that belongs to `seed` and `padding`.
    #[must_use]
    pub fn new(seed: &Ed25519Seed, padding: [u8; PADDING_SIZE]) -> Self {
        let signer = Signer::from_seed(seed);
        Self { destination: Destination::build(&signer.public_key(), padding), signer }
    }
}

#[derive(Clone, PartialEq, Eq)]
struct KeysAndCert {
    bytes: Box<[u8]>,
    hash: [u8; 32],
    signing: SigningPublicKey,
    encryption: Option<X25519Public>,
}

impl KeysAndCert {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let whole = reader.clone();
        let encryption_slot: &[u8; ENCRYPTION_SLOT] = reader.array("encryption key")?;
        let signing_slot: &[u8; SIGNING_SLOT] = reader.array("signing key")?;
        let certificate = Certificate::parse(reader)?;
        let signing = certificate.signing_key(signing_slot)?;
        let encryption = match (certificate.encryption, encryption_slot.first_chunk()) {
            (ENCRYPTION_X25519, Some(key)) => Some(X25519Public(*key)),
            _ => None,
        };
        let size = reader.position() - whole.position();
        let bytes = Box::from(whole.clone().take(size, "identity")?);
        Ok(Self { hash: sha256(&bytes), bytes, signing, encryption })
    }

    fn build(
        signing: &SigningPublicKey,
        encryption: X25519Public,
        padding: [u8; PADDING_SIZE],
    ) -> Self {
        let key = signing.bytes();
        let (in_slot, excess) = key.split_at_checked(SIGNING_SLOT).unwrap_or((key, &[]));
        let mut bytes = encryption.0.to_vec();
        let gap = KEYS_SIZE - encryption.0.len() - in_slot.len();
        bytes.extend(padding.iter().cycle().take(gap));
        bytes.extend_from_slice(in_slot);
        bytes.push(KEY_CERTIFICATE);
        let payload = u16::try_from(KEY_TYPES_SIZE + excess.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&payload.to_be_bytes());
        bytes.extend_from_slice(&signing.kind().code().to_be_bytes());
        bytes.extend_from_slice(&ENCRYPTION_X25519.to_be_bytes());
        bytes.extend_from_slice(excess);
        Self {
            hash: sha256(&bytes),
            bytes: bytes.into(),
            signing: signing.clone(),
            encryption: Some(encryption),
        }
    }
}

/// What a certificate says about the keys in front of it.
struct Certificate<'a> {
    signing: SignatureType,
    encryption: u16,
    signing_excess: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads a certificate of any kind: those that are not about keys belong to DSA and ElGamal keys.
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let kind = reader.u8("certificate type")?;
        let size = usize::from(reader.u16("certificate length")?);
        if size > CERTIFICATE_MAX {
            return Err(Malformed::TooLarge {
                field: "certificate length",
                limit: CERTIFICATE_MAX,
                found: size,
            });
        }
        let payload = reader.take(size, "certificate")?;
        if kind == KEY_CERTIFICATE {
            return Self::parse_key(payload);
        }
        Ok(Self {
            signing: SignatureType::DsaSha1,
            encryption: ENCRYPTION_ELGAMAL,
            signing_excess: &[],
        })
    }

    fn parse_key(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        let code = reader.u16("signing key type")?;
        let encryption = reader.u16("encryption key type")?;
        let signing = SignatureType::from_code(code);
        let key_size = signing
            .public_key_size()
            .ok_or(Malformed::Unsupported { field: "signing key type", found: u32::from(code) })?;
        let excess = key_size.saturating_sub(SIGNING_SLOT);
        let signing_excess = reader.take(excess, "rest of the signing key")?;
        // No known encryption key is larger than its slot. What follows is the rest of one that we do not know.
        if is_known_encryption(encryption) && reader.left() > 0 {
            return Err(Malformed::Length {
                field: "key certificate",
                expected: KEY_TYPES_SIZE + excess,
                found: payload.len(),
            });
        }
        Ok(Self { signing, encryption, signing_excess })
    }

    /// The signing key: the end of its slot, and what the certificate holds of it.
    fn signing_key(&self, slot: &[u8; SIGNING_SLOT]) -> Result<SigningPublicKey, Malformed> {
        let unsupported = Malformed::Unsupported {
            field: "signing key type",
            found: u32::from(self.signing.code()),
        };
        let size = self.signing.public_key_size().ok_or(unsupported)?;
        let (_, in_slot) = slot.split_at(SIGNING_SLOT.saturating_sub(size));
        let key = [in_slot, self.signing_excess].concat();
        SigningPublicKey::new(self.signing, &key).ok_or(unsupported)
    }
}

/// Types up to ML-KEM-1024 with X25519, and 255, which is no key at all.
fn is_known_encryption(code: u16) -> bool {
    matches!(code, 0..=7 | 255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Result<Destination, Malformed> {
        let mut reader = Reader::new(bytes);
        let destination = Destination::parse(&mut reader)?;
        reader.finish()?;
        Ok(destination)
    }

    /// 384 bytes that count up, and a certificate.
    fn keys_with(certificate: &[u8]) -> Vec<u8> {
        (0..=255).cycle().take(KEYS_SIZE).chain(certificate.iter().copied()).collect()
    }

    #[test]
    fn a_router_identity_has_the_layout_of_the_specification() {
        let signer = Signer::from_seed(&Ed25519Seed::from_bytes([1; 32]));
        let identity = RouterIdentity::build(&signer.public_key(), X25519Public([2; 32]), [3; 32]);
        let bytes = identity.bytes();
        assert_eq!(bytes.len(), 391);
        assert_eq!(bytes[..32], [2; 32]);
        assert_eq!(bytes[32..352], [3; 320]);
        assert_eq!(bytes[352..384], *signer.public_key().bytes());
        assert_eq!(bytes[384..], [5, 0, 4, 0, 7, 0, 4]);
        assert_eq!(identity.hash().0, sha256(bytes));

        let mut reader = Reader::new(bytes);
        let read = RouterIdentity::parse(&mut reader).unwrap();
        assert_eq!(read, identity);
        assert_eq!(read.encryption_key(), Some(X25519Public([2; 32])));
        assert_eq!(read.signing_key(), &signer.public_key());
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn an_identity_is_read_from_where_the_reader_stands() {
        let bytes = [vec![9; 5], keys_with(&[0, 0, 0]), vec![9]].concat();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.take(5, "before").unwrap(), [9; 5]);
        let identity = RouterIdentity::parse(&mut reader).unwrap();
        assert_eq!(identity.bytes(), &bytes[5..392]);
        assert_eq!(reader.left(), 1);
    }

    #[test]
    fn a_null_certificate_means_dsa_and_elgamal() {
        let bytes = keys_with(&[0, 0, 0]);
        let destination = parse(&bytes).unwrap();
        assert_eq!(destination.signing_key().kind(), SignatureType::DsaSha1);
        assert_eq!(destination.signing_key().bytes(), &bytes[256..384]);
        assert_eq!(destination.hash().0, sha256(&bytes));
        assert_eq!(RouterIdentity::parse(&mut Reader::new(&bytes)).unwrap().encryption_key(), None);
    }

    #[test]
    fn keys_stand_at_the_end_of_their_slot_and_go_on_in_the_certificate() {
        for (code, size) in [
            (0, 128),
            (1, 64),
            (2, 96),
            (3, 132),
            (4, 256),
            (5, 384),
            (6, 512),
            (7, 32),
            (8, 32),
            (11, 32),
        ] {
            let excess = vec![0xee; size.max(128) - 128];
            let length = u16::try_from(4 + excess.len()).unwrap().to_be_bytes();
            let certificate = [&[5, length[0], length[1], 0, code, 0, 0][..], &excess].concat();
            let bytes = keys_with(&certificate);
            let destination = parse(&bytes).unwrap();
            let key = destination.signing_key();
            assert_eq!(key.kind().code(), u16::from(code));
            let in_slot = &bytes[384 - size.min(128)..384];
            assert_eq!(key.bytes(), [in_slot, &excess].concat());

            let built = Destination::build(key, [7; 32]);
            assert_eq!(parse(built.bytes()), Ok(built.clone()));
            assert_eq!(built.signing_key(), key);
        }
    }

    #[test]
    fn a_key_certificate_holds_what_its_types_need() {
        assert_eq!(
            parse(&keys_with(&[5, 0, 5, 0, 7, 0, 4, 0])),
            Err(Malformed::Length { field: "key certificate", expected: 4, found: 5 })
        );
        assert_eq!(
            parse(&keys_with(&[5, 0, 4, 0, 3, 0, 0])),
            Err(Malformed::Truncated { field: "rest of the signing key", needed: 4, left: 0 })
        );
        assert_eq!(
            parse(&keys_with(&[5, 0, 3, 0, 7, 0])),
            Err(Malformed::Truncated { field: "encryption key type", needed: 2, left: 1 })
        );
        assert_eq!(
            parse(&keys_with(&[5, 0, 4, 0, 12, 0, 4])),
            Err(Malformed::Unsupported { field: "signing key type", found: 12 })
        );
        assert_eq!(
            parse(&keys_with(&[5, 0xff, 0xff])),
            Err(Malformed::TooLarge { field: "certificate length", limit: 512, found: 65_535 })
        );
    }

    #[test]
    fn an_unknown_encryption_type_is_kept() {
        let bytes = keys_with(&[5, 0, 6, 0, 7, 0, 99, 1, 2]);
        let identity = RouterIdentity::parse(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(identity.encryption_key(), None);
        assert_eq!(identity.bytes(), bytes);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_identity_or_an_error(
            certificate in proptest::collection::vec(any::<u8>(), 0..40),
            cut in 0usize..500,
        ) {
            let bytes = keys_with(&certificate);
            let _ = parse(&bytes);
            let _ = parse(bytes.get(..cut).unwrap_or(&bytes));
        }
    }
}
