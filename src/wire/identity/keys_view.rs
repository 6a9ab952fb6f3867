//! An identity as its bytes say it, whatever the types of its keys.

use crate::crypto::hash::sha256;
use crate::crypto::signature::SigningPublicKey;
use crate::crypto::x25519::X25519Public;
use crate::wire::Malformed;
use crate::wire::identity::{Certificate, ENCRYPTION_SLOT, EncryptionType, SIGNING_SLOT};
use crate::wire::reader::Reader;

/// Keys and certificate of a router or a destination, viewed in the buffer that they arrived in. Keys of unknown
/// types are kept as bytes; who can do nothing with those wants `RouterIdentity` or `Destination` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysView<'a> {
    bytes: &'a [u8],
    encryption_slot: &'a [u8; ENCRYPTION_SLOT],
    signing_slot: &'a [u8; SIGNING_SLOT],
    certificate: Certificate<'a>,
}

impl<'a> KeysView<'a> {
    /// Reads the keys and the certificate.
    ///
    /// # Errors
    /// When they end early, and when the certificate does not hold what its key types need.
    pub fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut whole = reader.clone();
        let encryption_slot = reader.array("encryption key")?;
        let signing_slot = reader.array("signing key")?;
        let certificate = Certificate::parse(reader)?;
        let bytes = whole.take(reader.position() - whole.position(), "identity")?;
        Ok(Self { bytes, encryption_slot, signing_slot, certificate })
    }

    /// All of it, as it came.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// SHA-256 of all of it: the hash of the router, or the key of the destination's lease set.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.bytes)
    }

    /// The certificate behind the keys.
    #[must_use]
    pub fn certificate(&self) -> Certificate<'a> {
        self.certificate
    }

    /// The signing key: the end of its slot, and what the certificate holds of it. `None` if its type is unknown.
    #[must_use]
    pub fn signing_key(&self) -> Option<SigningPublicKey> {
        let kind = self.certificate.signing_type();
        let size = kind.public_key_size()?;
        let (_, in_slot) = self.signing_slot.split_at(SIGNING_SLOT.saturating_sub(size));
        match self.certificate.signing_excess() {
            [] => SigningPublicKey::new(kind, in_slot),
            excess => SigningPublicKey::new(kind, &[in_slot, excess].concat()),
        }
    }

    /// The encryption key: the start of its slot. `None` if its type is unknown.
    #[must_use]
    pub fn encryption_key(&self) -> Option<&'a [u8]> {
        self.encryption_slot.get(..self.certificate.encryption_type().public_key_size()?)
    }

    /// The encryption key, if it is of type 4.
    #[must_use]
    pub fn x25519_key(&self) -> Option<X25519Public> {
        let key = self.encryption_slot.first_chunk()?;
        (self.certificate.encryption_type() == EncryptionType::X25519).then_some(X25519Public(*key))
    }
}
