//! A lease set that only those can read who know its destination: EncryptedLeaseSet.
//!
//! A floodfill sees the outside alone: a blinded key, dates, a signature. What is inside, once opened, is in
//! [`layers`]. Spec: encrypted LeaseSet.

pub mod layers;

use std::ops::Range;
use std::sync::Arc;

use crate::base::id::RecordKey;
use crate::base::limits::LEASE_SET_MAX;
use crate::base::time::UnixTime;
use crate::crypto::hash::sha256_parts;
use crate::crypto::signature::{SignatureCheck, SignatureType, SigningPublicKey};
use crate::wire::Malformed;
use crate::wire::lease_set::at_most;
use crate::wire::lease_set::header::{FLAG_UNPUBLISHED, Header, HeaderDraft};
use crate::wire::offline_signature::OfflineSignature;
use crate::wire::reader::Reader;
use crate::wire::unverified::{Signed, Unverified};

/// Type of the record in the netdb, and the byte that is signed in front of it.
const STORE_TYPE: u8 = 5;

/// An encrypted lease set, verified. It does not change; share it in an [`Arc`].
#[derive(Clone, Debug)]
pub struct EncryptedLeaseSet {
    bytes: Arc<[u8]>,
    signed: usize,
    blinded: SigningPublicKey,
    header: Header,
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
        let ciphertext = start..reader.position();
        let signed = header.read_signature(&mut reader, kind)?;
        reader.finish()?;
        let bytes = Arc::from(bytes);
        Ok(Unverified::new(Self { bytes, signed, blinded, header, ciphertext }))
    }

    /// The key that it stands under in the netdb: the hash of the blinded key and its type.
    #[must_use]
    pub fn key(&self) -> RecordKey {
        record_key(&self.blinded)
    }

    /// The key that it is signed with, or that signs the key that does. It is another one every day, and does not
    /// tell whose it is.
    #[must_use]
    pub fn blinded_key(&self) -> &SigningPublicKey {
        &self.blinded
    }

    /// When it was signed, in whole seconds. The blinded key is that of this day.
    #[must_use]
    pub fn published(&self) -> UnixTime {
        self.header.published
    }

    /// When it loses its meaning: at most 65,535 s after it was signed.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.header.expires
    }

    /// Whether it is meant for those it is sent to only, and not for a floodfill to give out.
    #[must_use]
    pub fn is_unpublished(&self) -> bool {
        self.header.flags & FLAG_UNPUBLISHED != 0
    }

    /// All flags, those without a meaning that we know included.
    #[must_use]
    pub fn flags(&self) -> u16 {
        self.header.flags
    }

    /// The transient key that signed it; `None` when the blinded key signed it itself.
    #[must_use]
    pub fn offline_signature(&self) -> Option<&OfflineSignature> {
        self.header.offline.as_ref()
    }

    /// What only those can open who know the destination; see [`layers::SealedLayer`].
    #[must_use]
    pub fn ciphertext(&self) -> &[u8] {
        self.bytes.get(self.ciphertext.clone()).unwrap_or(&[])
    }

    /// The encrypted lease set as it came, to be stored and passed on.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

impl Signed for EncryptedLeaseSet {
    fn check(&self) -> SignatureCheck<'_> {
        self.header.check(&self.blinded, &[STORE_TYPE], &self.bytes, self.signed)
    }

    fn delegation_check(&self) -> Option<SignatureCheck<'_>> {
        self.header.offline_check(&self.blinded, &self.bytes)
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
    /// What [`OfflineSignature::write`] gave, if a transient key signs.
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
        let mut signed = vec![STORE_TYPE];
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
mod tests {
    use super::*;
    use crate::crypto::hash::sha256;
    use crate::crypto::secret::Ed25519Seed;
    use crate::crypto::signature::Signer;
    use crate::wire::testing::assert_survives_changes;
    use crate::wire::unverified::SignatureRefused;

    const PUBLISHED: UnixTime = UnixTime(1_700_000_000_000);

    /// RedDSA signatures are checked as those of Ed25519 are, so what an Ed25519 key signs holds here.
    fn signer(seed: u8) -> Signer {
        Signer::from_seed(&Ed25519Seed::from_bytes([seed; 32]))
    }

    fn red(seed: u8) -> SigningPublicKey {
        SigningPublicKey::new(SignatureType::RedDsa, signer(seed).public_key().bytes()).unwrap()
    }

    fn draft() -> EncryptedLeaseSetDraft {
        EncryptedLeaseSetDraft {
            blinded: red(1),
            published: PUBLISHED,
            expires_after_s: 600,
            flags: 0,
            offline: None,
            ciphertext: vec![7; 100],
        }
    }

    fn signed() -> EncryptedLeaseSet {
        draft().sign(|message| signer(1).sign(message).to_vec()).unwrap().verify().unwrap()
    }

    fn signed_offline() -> EncryptedLeaseSet {
        let by_owner = |message: &[u8]| signer(1).sign(message).to_vec();
        let proof = OfflineSignature::write(PUBLISHED, &red(2), by_owner);
        let draft = EncryptedLeaseSetDraft { offline: Some(proof), ..draft() };
        draft.sign(|message| signer(2).sign(message).to_vec()).unwrap().verify().unwrap()
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let set = signed();
        let bytes = set.bytes();
        assert_eq!(bytes[..2], [0, 11]);
        assert_eq!(bytes[2..34], *red(1).bytes());
        assert_eq!(bytes[34..44], [0x65, 0x53, 0xf1, 0x00, 0x02, 0x58, 0, 0, 0, 100]);
        assert_eq!(bytes[44..144], [7; 100]);
        assert_eq!(bytes.len(), 144 + 64);
        let message = [&[5], &bytes[..144]].concat();
        assert_eq!(bytes[144..], signer(1).sign(&message));
        assert_eq!(set.key().0, sha256(&bytes[..34]));
    }

    #[test]
    fn the_fields_read_back() {
        for set in [signed(), signed_offline()] {
            let set = EncryptedLeaseSet::parse(set.bytes()).unwrap().verify().unwrap();
            assert_eq!(set.blinded_key(), &red(1));
            assert_eq!(set.key(), record_key(&red(1)));
            assert_eq!(set.published(), PUBLISHED);
            assert_eq!(set.expires().since(PUBLISHED).as_secs(), 600);
            assert_eq!(set.ciphertext(), [7; 100]);
            assert!(!set.is_unpublished());
        }
        assert_eq!(signed_offline().offline_signature().map(OfflineSignature::key), Some(&red(2)));
        assert_eq!((signed().flags(), signed_offline().flags()), (0, 1));
    }

    #[test]
    fn unknown_flags_are_kept_and_unknown_keys_refused() {
        let draft = EncryptedLeaseSetDraft { flags: 0xfffe, ..draft() };
        let sign = |message: &[u8]| signer(1).sign(message).to_vec();
        let set = draft.sign(sign).unwrap().verify().unwrap();
        assert_eq!(set.flags(), 0xfffe);
        assert!(set.is_unpublished());
        let mut bytes = set.bytes().to_vec();
        bytes[1] = 12;
        let refused = Malformed::Unsupported { field: "blinded key type", found: 12 };
        assert_eq!(EncryptedLeaseSet::parse(&bytes).err(), Some(refused));
    }

    #[test]
    fn a_changed_one_is_refused() {
        for set in [signed(), signed_offline()] {
            assert_survives_changes(set.bytes(), |bytes| EncryptedLeaseSet::parse(bytes).map(drop));
            for at in [36, 38, 60, set.bytes().len() - 1] {
                let mut changed = set.bytes().to_vec();
                changed[at] ^= 0x40;
                let refused = EncryptedLeaseSet::parse(&changed).unwrap().verify().err();
                assert_eq!(refused, Some(SignatureRefused::Invalid), "byte {at}");
            }
        }
    }
}
