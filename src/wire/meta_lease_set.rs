//! A lease set of lease sets: where the lease sets of a destination's many servers stand.
//!
//! Rare, but floodfills keep them. Java checks the signature without some of the bytes (the expiry, the upper flags
//! of each entry, revocations it did not expect), so nothing may be decided by those. Spec: common structures,
//! MetaLeaseSet.

use crate::base::id::RecordKey;
use crate::base::limits::LEASE_SET_MAX;
use crate::base::time::UnixTime;
use crate::wire::Malformed;
use crate::wire::identity::Destination;
use crate::wire::lease_set::header::{Header, HeaderDraft};
use crate::wire::lease_set::{LeaseSetKind, Owner, SignedLeaseSet, at_most};
use crate::wire::mapping::Mapping;
use crate::wire::reader::Reader;
use crate::wire::unverified::Unverified;

/// What an entry of a meta lease set leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaLeaseKind {
    /// Code 0: not said.
    Unspecified,
    /// Code 1: a LeaseSet of the first kind.
    LeaseSet,
    /// Code 3: a LeaseSet2.
    LeaseSet2,
    /// Code 5: another meta lease set.
    MetaLeaseSet,
    /// Any other code, below 16.
    Unknown(u8),
}

impl MetaLeaseKind {
    fn from_flags(flags: u32) -> Self {
        match flags & 0x0f {
            0 => Self::Unspecified,
            1 => Self::LeaseSet,
            3 => Self::LeaseSet2,
            5 => Self::MetaLeaseSet,
            other => Self::Unknown(u8::try_from(other).unwrap_or(0x0f)),
        }
    }
}

/// One lease set among those of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaLease {
    /// The key that it stands under.
    pub key: RecordKey,
    /// 24 bits; the lowest four say what it is, see [`MetaLease::kind`].
    pub flags: u32,
    /// Lower is preferred.
    pub cost: u8,
    /// When this entry loses its meaning, in whole seconds.
    pub expires: UnixTime,
}

impl MetaLease {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let key = RecordKey(*reader.array("meta lease key")?);
        let [a, b, c] = *reader.array("meta lease flags")?;
        let flags = u32::from_be_bytes([0, a, b, c]);
        let cost = reader.u8("meta lease cost")?;
        let expires = UnixTime::from_seconds(reader.u32("meta lease end")?);
        Ok(Self { key, flags, cost, expires })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let [_, a, b, c] = self.flags.to_be_bytes();
        out.extend_from_slice(&self.key.0);
        out.extend_from_slice(&[a, b, c, self.cost]);
        out.extend_from_slice(&self.expires.seconds_up().to_be_bytes());
    }

    /// What stands under the key.
    #[must_use]
    pub fn kind(&self) -> MetaLeaseKind {
        MetaLeaseKind::from_flags(self.flags)
    }
}

/// The lease sets of a destination.
pub type MetaLeaseSet = SignedLeaseSet<MetaLeaseSetContent>;

/// What a [`MetaLeaseSet`] has inside.
#[derive(Clone, Debug)]
pub struct MetaLeaseSetContent {
    destination: Destination,
    options: Mapping,
    leases: Box<[MetaLease]>,
    revocations: Box<[RecordKey]>,
}

impl MetaLeaseSet {
    /// Reads a meta lease set, from its destination to its signature.
    ///
    /// # Errors
    /// When it is longer than [`LEASE_SET_MAX`] or has no entries, when it ends early or goes on after its
    /// signature, and when a part of it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Unverified<Self>, Malformed> {
        at_most("lease set", LEASE_SET_MAX, bytes.len())?;
        let mut reader = Reader::new(bytes);
        let destination = Destination::parse(&mut reader)?;
        let owner = Owner::of(&destination);
        let header = Header::parse(&mut reader, owner.signing.kind())?;
        let options = Mapping::parse(&mut reader)?;
        let count = reader.u8("meta lease count")?;
        if count == 0 {
            return Err(Malformed::Value { field: "meta lease count", found: 0 });
        }
        let leases = (0..count).map(|_| MetaLease::parse(&mut reader)).collect::<Result<_, _>>()?;
        let count = usize::from(reader.u8("revocation count")?);
        let (revoked, _) = reader.take(count * 32, "revocations")?.as_chunks::<32>();
        let revocations = revoked.iter().copied().map(RecordKey).collect();
        let content = MetaLeaseSetContent { destination, options, leases, revocations };
        Self::finish(LeaseSetKind::MetaLeaseSet, owner, header, reader, content)
    }

    /// Whose it is.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.content.destination
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> &Mapping {
        &self.content.options
    }

    /// Its entries, at least one.
    #[must_use]
    pub fn leases(&self) -> &[MetaLease] {
        &self.content.leases
    }

    /// Keys of lease sets that must not be used any more.
    #[must_use]
    pub fn revocations(&self) -> &[RecordKey] {
        &self.content.revocations
    }
}

/// A meta lease set to be signed.
#[derive(Clone, Debug)]
pub struct MetaLeaseSetDraft {
    /// Whose it is.
    pub destination: Destination,
    /// When it is signed. What is below a second is cut off.
    pub published: UnixTime,
    /// How long it is valid, in seconds.
    pub expires_after_s: u16,
    /// Flags; that of a transient key is set by `offline`.
    pub flags: u16,
    /// What [`OfflineSignature::write`](crate::wire::offline_signature::OfflineSignature::write) gave, if a transient key signs.
    pub offline: Option<Vec<u8>>,
    /// Its options.
    pub options: Mapping,
    /// Its entries.
    pub leases: Vec<MetaLease>,
    /// Keys of lease sets that must not be used any more.
    pub revocations: Vec<RecordKey>,
}

impl MetaLeaseSetDraft {
    /// The meta lease set. `sign` gives the signature of what it is handed, by the destination or the transient key.
    ///
    /// # Errors
    /// When it has no entries, or more of something than a byte can count; when a signature has another length than
    /// its type's.
    pub fn sign(
        self,
        sign: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<Unverified<MetaLeaseSet>, Malformed> {
        let mut signed = vec![LeaseSetKind::MetaLeaseSet.code()];
        signed.extend_from_slice(self.destination.bytes());
        HeaderDraft {
            published: self.published,
            expires_after_s: self.expires_after_s,
            flags: self.flags,
            offline: self.offline.as_deref(),
        }
        .write(&mut signed);
        self.options.write(&mut signed);
        signed.push(u8::try_from(self.leases.len()).unwrap_or(u8::MAX));
        for lease in &self.leases {
            lease.write(&mut signed);
        }
        signed.push(u8::try_from(self.revocations.len()).unwrap_or(u8::MAX));
        for key in &self.revocations {
            signed.extend_from_slice(&key.0);
        }
        let signature = sign(&signed);
        signed.extend_from_slice(&signature);
        MetaLeaseSet::parse(signed.get(1..).unwrap_or(&[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::Ed25519Seed;
    use crate::crypto::signature::Signer;
    use crate::wire::identity::DestinationKeys;
    use crate::wire::lease_set::header::FLAG_UNPUBLISHED;
    use crate::wire::offline_signature::OfflineSignature;
    use crate::wire::testing::assert_survives_changes;
    use crate::wire::unverified::SignatureRefused;

    const PUBLISHED: UnixTime = UnixTime(1_700_000_000_000);

    fn keys() -> DestinationKeys {
        DestinationKeys::new(&Ed25519Seed::from_bytes([1; 32]), [2; 32])
    }

    fn transient() -> Signer {
        Signer::from_seed(&Ed25519Seed::from_bytes([3; 32]))
    }

    fn lease(number: u8) -> MetaLease {
        MetaLease {
            key: RecordKey([number; 32]),
            flags: 0x00ab_cd03,
            cost: number,
            expires: PUBLISHED,
        }
    }

    fn draft() -> MetaLeaseSetDraft {
        let mut options = Mapping::new();
        options.insert("a", "1").unwrap();
        MetaLeaseSetDraft {
            destination: keys().destination,
            published: PUBLISHED,
            expires_after_s: u16::MAX,
            flags: FLAG_UNPUBLISHED,
            offline: None,
            options,
            leases: vec![lease(4), lease(5)],
            revocations: vec![RecordKey([6; 32])],
        }
    }

    fn signed() -> MetaLeaseSet {
        draft().sign(|message| keys().signer.sign(message).to_vec()).unwrap().verify().unwrap()
    }

    fn signed_offline() -> MetaLeaseSet {
        let by_owner = |message: &[u8]| keys().signer.sign(message).to_vec();
        let proof = OfflineSignature::write(PUBLISHED, &transient().public_key(), by_owner);
        let draft = MetaLeaseSetDraft { offline: Some(proof), ..draft() };
        draft.sign(|message| transient().sign(message).to_vec()).unwrap().verify().unwrap()
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let set = signed();
        let bytes = set.bytes();
        assert_eq!(bytes[391..399], [0x65, 0x53, 0xf1, 0x00, 0xff, 0xff, 0, 2]);
        assert_eq!(bytes[399..407], [0, 6, 1, b'a', b'=', 1, b'1', b';']);
        assert_eq!(bytes[407], 2);
        assert_eq!(bytes[408..440], [4; 32]);
        assert_eq!(bytes[440..448], [0xab, 0xcd, 0x03, 4, 0x65, 0x53, 0xf1, 0x00]);
        assert_eq!(bytes[488], 1);
        assert_eq!(bytes[489..521], [6; 32]);
        assert_eq!(bytes.len(), 521 + 64);
        let message = [&[7], &bytes[..521]].concat();
        assert_eq!(bytes[521..], keys().signer.sign(&message));
    }

    #[test]
    fn the_fields_read_back() {
        for set in [signed(), signed_offline()] {
            let set = MetaLeaseSet::parse(set.bytes()).unwrap().verify().unwrap();
            assert_eq!(set.key(), keys().destination.hash());
            assert_eq!(set.destination(), &keys().destination);
            assert_eq!(set.published(), PUBLISHED);
            assert_eq!(set.expires().since(PUBLISHED).as_secs(), 65_535);
            assert!(set.is_unpublished());
            assert_eq!(set.options().find("a"), Some("1"));
            assert_eq!(set.leases(), [lease(4), lease(5)]);
            assert_eq!(set.leases()[0].kind(), MetaLeaseKind::LeaseSet2);
            assert_eq!(set.revocations(), [RecordKey([6; 32])]);
        }
        let offline = signed_offline();
        assert_eq!(offline.offline_signature().unwrap().key(), &transient().public_key());
        assert_eq!(offline.flags(), 3);
    }

    #[test]
    fn one_made_by_java_verifies() {
        let bytes = include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/vectors/meta_lease_set.dat"
        ));
        let set = MetaLeaseSet::parse(bytes).unwrap().verify().unwrap();
        assert_eq!(set.options().find("a"), Some("1"));
        let kinds: Vec<_> = set.leases().iter().map(|lease| (lease.cost, lease.kind())).collect();
        assert_eq!(
            kinds,
            [
                (1, MetaLeaseKind::LeaseSet2),
                (2, MetaLeaseKind::MetaLeaseSet),
                (3, MetaLeaseKind::LeaseSet2),
            ]
        );
        assert_eq!(set.leases()[2].key, RecordKey([3; 32]));
        assert_eq!(set.leases()[2].expires, set.expires());
        assert_eq!(set.revocations(), []);
        assert_eq!(set.bytes()[..], bytes[..]);
    }

    #[test]
    fn kinds_are_the_lowest_four_bits() {
        for (flags, kind) in [
            (0x00ff_fff0, MetaLeaseKind::Unspecified),
            (1, MetaLeaseKind::LeaseSet),
            (5, MetaLeaseKind::MetaLeaseSet),
            (0x0000_001e, MetaLeaseKind::Unknown(14)),
        ] {
            assert_eq!(MetaLease { flags, ..lease(1) }.kind(), kind);
        }
    }

    #[test]
    fn an_empty_one_and_one_too_long_are_refused() {
        let empty = MetaLeaseSetDraft { leases: vec![], ..draft() };
        let refused = Malformed::Value { field: "meta lease count", found: 0 };
        assert_eq!(empty.sign(|_| vec![0; 64]).err(), Some(refused));
        let long = Malformed::TooLarge { field: "lease set", limit: 8192, found: 8193 };
        assert_eq!(MetaLeaseSet::parse(&[0; 8193]).err(), Some(long));
    }

    #[test]
    fn a_changed_one_is_refused() {
        for set in [signed(), signed_offline()] {
            assert_survives_changes(set.bytes(), |bytes| MetaLeaseSet::parse(bytes).map(drop));
            for at in [391, 420, set.bytes().len() - 1] {
                let mut changed = set.bytes().to_vec();
                changed[at] ^= 0x40;
                let refused = MetaLeaseSet::parse(&changed).unwrap().verify().err();
                assert_eq!(refused, Some(SignatureRefused::Invalid), "byte {at}");
            }
        }
    }
}
