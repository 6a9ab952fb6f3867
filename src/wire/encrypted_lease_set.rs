//! A lease set that only those can read who know its destination: EncryptedLeaseSet.
//!
//! A floodfill sees the outside alone: a blinded key, dates, a signature. What is inside, once opened, is in
//! [`layers`]. Spec: encrypted LeaseSet.

pub mod layers;

use std::ops::Range;

use crate::base::id::RecordKey;
use crate::base::limits::LEASE_SET_MAX;
use crate::base::time::UnixTime;
use crate::crypto::hash::sha256_parts;
use crate::crypto::signature::{SignatureType, SigningPublicKey};
use crate::wire::Malformed;
use crate::wire::lease_set::header::{Header, HeaderDraft};
use crate::wire::lease_set::{LeaseSetKind, Owner, SignedLeaseSet, at_most};
use crate::wire::reader::Reader;
use crate::wire::unverified::Unverified;

/// An encrypted lease set. The blinded key that it is dated by is that of the day on which it was signed.
pub type EncryptedLeaseSet = SignedLeaseSet<EncryptedLeaseSetContent>;

/// What an [`EncryptedLeaseSet`] has inside.
#[derive(Clone, Debug)]
pub struct EncryptedLeaseSetContent {
    ciphertext: Range<usize>,
}

impl EncryptedLeaseSet {
    /// Reads an encrypted lease set, from the type of its key to its signature.
    ///
    /// # Errors
    /// When it is longer than [`LEASE_SET_MAX`], when the size of its key is unknown, and when it ends early or goes
    /// on after its signature.
    pub fn parse(bytes: &[u8]) -> Result<Unverified<Self>, Malformed> {
        at_most("lease set", LEASE_SET_MAX, bytes.len())?;
        let mut reader = Reader::new(bytes);
        let code = reader.u16("blinded key type")?;
        let unsupported =
            Malformed::Unsupported { field: "blinded key type", found: u32::from(code) };
        let kind = SignatureType::from_code(code);
        let size = kind.public_key_size().ok_or(unsupported)?;
        let key = reader.take(size, "blinded key")?;
        let blinded = SigningPublicKey::new(kind, key).ok_or(unsupported)?;
        let header = Header::parse(&mut reader, kind)?;
        let size = usize::from(reader.u16("ciphertext length")?);
        let start = reader.position();
        reader.take(size, "ciphertext")?;
        let content = EncryptedLeaseSetContent { ciphertext: start..reader.position() };
        let owner = Owner { key: record_key(&blinded), signing: blinded };
        Self::finish(LeaseSetKind::EncryptedLeaseSet, owner, header, reader, content)
    }

    /// The key that it is signed with, or that signs the key that does. It is another one every day, and does not
    /// tell whose it is.
    #[must_use]
    pub fn blinded_key(&self) -> &SigningPublicKey {
        self.owner_key()
    }

    /// What only those can open who know the destination; see [`layers::SealedLayer`].
    #[must_use]
    pub fn ciphertext(&self) -> &[u8] {
        self.bytes().get(self.content.ciphertext.clone()).unwrap_or(&[])
    }
}

/// The key that the lease set of `blinded` stands under in the netdb.
#[must_use]
pub fn record_key(blinded: &SigningPublicKey) -> RecordKey {
    RecordKey(sha256_parts(&[&blinded.kind().code().to_be_bytes(), blinded.bytes()]))
}

/// An encrypted lease set to be signed.
#[derive(Clone, Debug)]
pub struct EncryptedLeaseSetDraft {
    /// The blinded key of the day of `published`.
    pub blinded: SigningPublicKey,
    /// When it is signed. What is below a second is cut off.
    pub published: UnixTime,
    /// How long it is valid, in seconds.
    pub expires_after_s: u16,
    /// Flags; that of a transient key is set by `offline`.
    pub flags: u16,
    /// What [`OfflineSignature::write`](crate::wire::offline_signature::OfflineSignature::write) gave, if a transient key signs.
    pub offline: Option<Vec<u8>>,
    /// The outer layer, sealed.
    pub ciphertext: Vec<u8>,
}

impl EncryptedLeaseSetDraft {
    /// The encrypted lease set. `sign` gives the signature of what it is handed, by the blinded or the transient
    /// key.
    ///
    /// # Errors
    /// When it is too long, and when a signature has another length than its type's.
    pub fn sign(
        self,
        sign: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<Unverified<EncryptedLeaseSet>, Malformed> {
        let mut signed = vec![LeaseSetKind::EncryptedLeaseSet.code()];
        signed.extend_from_slice(&self.blinded.kind().code().to_be_bytes());
        signed.extend_from_slice(self.blinded.bytes());
        HeaderDraft {
            published: self.published,
            expires_after_s: self.expires_after_s,
            flags: self.flags,
            offline: self.offline.as_deref(),
        }
        .write(&mut signed);
        let size = u16::try_from(self.ciphertext.len()).unwrap_or(u16::MAX);
        signed.extend_from_slice(&size.to_be_bytes());
        signed.extend_from_slice(&self.ciphertext);
        let signature = sign(&signed);
        signed.extend_from_slice(&signature);
        EncryptedLeaseSet::parse(signed.get(1..).unwrap_or(&[]))
    }
}

#[cfg(test)]
mod tests;
