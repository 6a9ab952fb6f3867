//! What lease sets of every type have in common: the key that they stand under, their dates, and who signs them.
//!
//! Spec: common structures, LeaseSet and LeaseSet2; I2NP, DatabaseStore.

use std::sync::Arc;

use crate::base::id::RecordKey;
use crate::base::time::UnixTime;
use crate::crypto::signature::{SignatureCheck, SigningPublicKey};
use crate::wire::Malformed;
use crate::wire::encrypted_lease_set::EncryptedLeaseSet;
use crate::wire::identity::Destination;
use crate::wire::lease_set::LeaseSet2;
use crate::wire::lease_set::header::{FLAG_UNPUBLISHED, Header};
use crate::wire::lease_set::legacy::LeaseSet;
use crate::wire::meta_lease_set::MetaLeaseSet;
use crate::wire::offline_signature::{OfflineSignature, signature_size};
use crate::wire::reader::Reader;
use crate::wire::unverified::{Signed, Unverified};

/// The types of lease sets that floodfills keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseSetKind {
    /// The first type.
    LeaseSet,
    /// The usual type.
    LeaseSet2,
    /// Only for those who know the destination.
    EncryptedLeaseSet,
    /// A list of other lease sets.
    MetaLeaseSet,
}

impl LeaseSetKind {
    /// All types, in the order of their codes.
    pub const ALL: [Self; 4] =
        [Self::LeaseSet, Self::LeaseSet2, Self::EncryptedLeaseSet, Self::MetaLeaseSet];

    /// The code in a DatabaseStore.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::LeaseSet => 1,
            Self::LeaseSet2 => 3,
            Self::EncryptedLeaseSet => 5,
            Self::MetaLeaseSet => 7,
        }
    }

    /// The type as a metrics label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::LeaseSet => "lease_set",
            Self::LeaseSet2 => "lease_set2",
            Self::EncryptedLeaseSet => "encrypted_lease_set",
            Self::MetaLeaseSet => "meta_lease_set",
        }
    }

    /// What is signed in front of the bytes: the code, but nothing in the first type.
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::LeaseSet => &[],
            Self::LeaseSet2 => &[3],
            Self::EncryptedLeaseSet => &[5],
            Self::MetaLeaseSet => &[7],
        }
    }
}

/// One value for each type of lease set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerLeaseSetKind<T>([T; LeaseSetKind::ALL.len()]);

impl<T> PerLeaseSetKind<T> {
    /// The value of this type.
    #[must_use]
    pub fn of(&self, kind: LeaseSetKind) -> &T {
        let Self([first, second, encrypted, meta]) = self;
        match kind {
            LeaseSetKind::LeaseSet => first,
            LeaseSetKind::LeaseSet2 => second,
            LeaseSetKind::EncryptedLeaseSet => encrypted,
            LeaseSetKind::MetaLeaseSet => meta,
        }
    }

    /// The value of this type, to be changed.
    pub fn of_mut(&mut self, kind: LeaseSetKind) -> &mut T {
        let Self([first, second, encrypted, meta]) = self;
        match kind {
            LeaseSetKind::LeaseSet => first,
            LeaseSetKind::LeaseSet2 => second,
            LeaseSetKind::EncryptedLeaseSet => encrypted,
            LeaseSetKind::MetaLeaseSet => meta,
        }
    }
}

/// A lease set with what its type has inside, verified. It does not change; share it in an [`Arc`].
#[derive(Clone, Debug)]
pub struct SignedLeaseSet<C> {
    kind: LeaseSetKind,
    owner: Owner,
    header: Header,
    bytes: Arc<[u8]>,
    signed: usize,
    pub(in crate::wire) content: C,
}

/// A lease set of any type, as a floodfill needs it: whose it is, for how long, and its bytes.
pub type AnyLeaseSet = SignedLeaseSet<()>;

/// Whose a lease set is.
#[derive(Clone, Debug)]
pub(in crate::wire) struct Owner {
    /// The key that the lease set stands under.
    pub key: RecordKey,
    /// The key that signs it, or that signs the key that does.
    pub signing: SigningPublicKey,
}

impl Owner {
    /// The owner of what is not encrypted.
    pub fn of(destination: &Destination) -> Self {
        Self { key: destination.hash(), signing: destination.signing_key().clone() }
    }
}

impl AnyLeaseSet {
    /// Reads a lease set of this type by all its rules, and keeps what is common.
    ///
    /// # Errors
    /// As the reader of the type.
    pub fn parse(kind: LeaseSetKind, bytes: &[u8]) -> Result<Unverified<Self>, Malformed> {
        match kind {
            LeaseSetKind::LeaseSet => LeaseSet::parse(bytes).map(of_any_kind),
            LeaseSetKind::LeaseSet2 => LeaseSet2::parse(bytes).map(of_any_kind),
            LeaseSetKind::EncryptedLeaseSet => EncryptedLeaseSet::parse(bytes).map(of_any_kind),
            LeaseSetKind::MetaLeaseSet => MetaLeaseSet::parse(bytes).map(of_any_kind),
        }
    }
}

fn of_any_kind<C>(set: Unverified<SignedLeaseSet<C>>) -> Unverified<AnyLeaseSet> {
    set.map(SignedLeaseSet::without_content)
}

impl<C> SignedLeaseSet<C> {
    /// The end of every reader: behind `content`, where `reader` stands, come the signature and nothing more.
    pub(in crate::wire) fn finish(
        kind: LeaseSetKind,
        owner: Owner,
        header: Header,
        mut reader: Reader<'_>,
        content: C,
    ) -> Result<Unverified<Self>, Malformed> {
        let signed = reader.position();
        let signer = header.offline.as_ref().map_or(&owner.signing, OfflineSignature::key);
        reader.take(signature_size(signer.kind())?, "lease set signature")?;
        let bytes = reader.read_so_far();
        reader.finish()?;
        let bytes = Arc::from(bytes);
        Ok(Unverified::new(Self { kind, owner, header, bytes, signed, content }))
    }

    /// The same lease set, and the same signatures, without what only its type has.
    #[must_use]
    pub fn without_content(self) -> AnyLeaseSet {
        let Self { kind, owner, header, bytes, signed, content: _ } = self;
        SignedLeaseSet { kind, owner, header, bytes, signed, content: () }
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> LeaseSetKind {
        self.kind
    }

    /// The key that it stands under in the netdb: the hash of its destination, or of a blinded key and its type.
    #[must_use]
    pub fn key(&self) -> RecordKey {
        self.owner.key
    }

    /// The key that signs it, or that signs the key that does: a destination's, or a blinded one.
    #[must_use]
    pub fn owner_key(&self) -> &SigningPublicKey {
        &self.owner.signing
    }

    /// When it was signed, in whole seconds. One of the first type does not say; the date is then the earliest at
    /// which its tunnels can have been built, [`LEASE_LIFE`](super::legacy::LEASE_LIFE) before the first of them
    /// ends, and 0 without any.
    #[must_use]
    pub fn published(&self) -> UnixTime {
        self.header.published
    }

    /// When it loses its meaning: at most 65,535 s after it was signed. One of the first type ends with its last
    /// tunnel, in milliseconds; without any at 0.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.header.expires
    }

    /// Whether it is meant for those it is sent to only, and not for a floodfill to give out.
    #[must_use]
    pub fn is_unpublished(&self) -> bool {
        self.header.flags & FLAG_UNPUBLISHED != 0
    }

    /// All flags, those without a meaning that we know included; the first type has none.
    #[must_use]
    pub fn flags(&self) -> u16 {
        self.header.flags
    }

    /// The transient key that signed it; `None` when its owner signed it itself.
    #[must_use]
    pub fn offline_signature(&self) -> Option<&OfflineSignature> {
        self.header.offline.as_ref()
    }

    /// When the transient key that signed it loses its meaning; `None` when its owner signed it itself.
    #[must_use]
    pub fn delegation_expires(&self) -> Option<UnixTime> {
        self.header.offline.as_ref().map(OfflineSignature::expires)
    }

    /// The lease set as it came, to be stored and passed on.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

impl<C> Signed for SignedLeaseSet<C> {
    fn check(&self) -> SignatureCheck<'_> {
        let (message, signature) =
            self.bytes.split_at_checked(self.signed).unwrap_or((&self.bytes, &[]));
        let key = self.offline_signature().map_or(&self.owner.signing, OfflineSignature::key);
        SignatureCheck { key, prefix: self.kind.prefix(), message, signature }
    }

    fn delegation_check(&self) -> Option<SignatureCheck<'_>> {
        self.offline_signature().map(|by| by.check(&self.owner.signing, &self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! sample {
        ($name:literal) => {
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/", $name))
        };
    }

    #[test]
    fn the_code_is_signed_but_in_the_first_type() {
        for kind in LeaseSetKind::ALL {
            let expected = if kind == LeaseSetKind::LeaseSet { vec![] } else { vec![kind.code()] };
            assert_eq!(kind.prefix(), expected);
        }
    }

    #[test]
    fn those_made_by_java_are_the_same_without_their_content() {
        for (kind, bytes) in [
            (LeaseSetKind::LeaseSet, &sample!("lease_set_ed25519.dat")[..]),
            (LeaseSetKind::LeaseSet2, sample!("lease_set2_ed25519.dat")),
            (LeaseSetKind::LeaseSet2, sample!("lease_set2_offline.dat")),
            (LeaseSetKind::EncryptedLeaseSet, sample!("encrypted_lease_set_psk.dat")),
            (LeaseSetKind::MetaLeaseSet, sample!("meta_lease_set.dat")),
        ] {
            let set = AnyLeaseSet::parse(kind, bytes).unwrap().verify().unwrap();
            assert_eq!((set.kind(), &**set.bytes()), (kind, bytes));
            assert!(set.expires() > set.published() && !set.is_unpublished());
            for other in LeaseSetKind::ALL {
                let refused =
                    AnyLeaseSet::parse(other, bytes).map_or(true, |set| set.verify().is_err());
                assert_eq!(refused, other != kind, "{kind:?} as {other:?}");
            }
        }
    }
}
