//! Who signs: the identities of routers and of destinations.
//!
//! Both are a block of 384 bytes with an encryption key at its start and a signing key at its end, and a
//! certificate that names the types of the keys and holds what of them did not fit. Their hash covers all of it,
//! padding included, so the bytes are kept as they came. Spec: common structures, KeysAndCert.

mod certificate;
mod keys_view;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::base::id::{RecordKey, RouterHash};
use crate::crypto::hash::sha256;
use crate::crypto::secret::Ed25519Seed;
use crate::crypto::signature::{Signer, SigningPublicKey};
use crate::crypto::x25519::X25519Public;
use crate::wire::Malformed;
use crate::wire::reader::Reader;

pub use certificate::{CERTIFICATE_MAX, Certificate, CertificateKind, EncryptionType};
pub use keys_view::KeysView;

const ENCRYPTION_SLOT: usize = 256;
const SIGNING_SLOT: usize = 128;
const KEYS_SIZE: usize = ENCRYPTION_SLOT + SIGNING_SLOT;
const PADDING_SIZE: usize = 32;

/// What a router calls itself: the keys it is named by.
#[derive(Clone, PartialEq, Eq)]
pub struct RouterIdentity(KeysAndCert);

impl RouterIdentity {
    /// Reads an identity.
    ///
    /// # Errors
    /// When it ends early, when the certificate does not hold what its key types need, and when the size of its
    /// signing key is unknown. [`KeysView`] reads the last of these too.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        KeysAndCert::parse(reader, Kept::copy).map(Self)
    }

    /// The same for the identity at the start of `record`, which it keeps instead of a copy of its own.
    pub(super) fn at_start_of(
        record: &Arc<[u8]>,
        reader: &mut Reader<'_>,
    ) -> Result<Self, Malformed> {
        KeysAndCert::parse(reader, |bytes| Kept::Start(Arc::clone(record), bytes.len())).map(Self)
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

    /// The kind of its certificate.
    #[must_use]
    pub fn certificate_kind(&self) -> CertificateKind {
        self.0.certificate
    }

    /// The type of its encryption key.
    #[must_use]
    pub fn encryption_type(&self) -> EncryptionType {
        self.0.encryption_type
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
    /// signing key is unknown. [`KeysView`] reads the last of these too.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        KeysAndCert::parse(reader, Kept::copy).map(Self)
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

    /// The kind of its certificate.
    #[must_use]
    pub fn certificate_kind(&self) -> CertificateKind {
        self.0.certificate
    }

    /// The type of the encryption key in it, which nobody uses.
    #[must_use]
    pub fn encryption_type(&self) -> EncryptionType {
        self.0.encryption_type
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

/// Where the bytes of an identity are.
#[derive(Clone)]
enum Kept {
    Own(Box<[u8]>),
    /// So many at the start of a record.
    Start(Arc<[u8]>, usize),
}

impl Kept {
    fn copy(bytes: &[u8]) -> Self {
        Self::Own(bytes.into())
    }
}

impl Deref for Kept {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Start(record, size) => record.get(..*size).unwrap_or_default(),
        }
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Kept {}

/// The keys and the certificate, owned, with a signing key whose type is known.
#[derive(Clone, PartialEq, Eq)]
struct KeysAndCert {
    bytes: Kept,
    hash: [u8; 32],
    signing: SigningPublicKey,
    encryption: Option<X25519Public>,
    certificate: CertificateKind,
    encryption_type: EncryptionType,
}

impl KeysAndCert {
    fn parse(reader: &mut Reader<'_>, keep: impl Fn(&[u8]) -> Kept) -> Result<Self, Malformed> {
        let view = KeysView::parse(reader)?;
        let certificate = view.certificate();
        let code = u32::from(certificate.signing_type().code());
        let unsupported = Malformed::Unsupported { field: "signing key type", found: code };
        Ok(Self {
            bytes: keep(view.bytes()),
            hash: sha256(view.bytes()),
            signing: view.signing_key().ok_or(unsupported)?,
            encryption: view.x25519_key(),
            certificate: certificate.kind(),
            encryption_type: certificate.encryption_type(),
        })
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
        certificate::write_key(signing.kind(), EncryptionType::X25519, excess, &mut bytes);
        Self {
            hash: sha256(&bytes),
            bytes: Kept::Own(bytes.into()),
            signing: signing.clone(),
            encryption: Some(encryption),
            certificate: CertificateKind::Key,
            encryption_type: EncryptionType::X25519,
        }
    }
}

#[cfg(test)]
mod tests;
