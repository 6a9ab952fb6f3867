//! The lease set before LeaseSet2, which destinations with ElGamal keys still publish.
//!
//! It has no date of its own: the earliest end of its leases says which of two is newer. Nothing is signed in front
//! of it. Spec: common structures, LeaseSet and Lease.

use std::ops::Range;
use std::time::Duration;

use crate::base::id::{RouterHash, TunnelId};
use crate::base::limits::LEASE_SET_MAX;
use crate::base::time::UnixTime;
use crate::wire::Malformed;
use crate::wire::identity::Destination;
use crate::wire::lease_set::header::Header;
use crate::wire::lease_set::{LEASES_MAX, LeaseSetKind, Owner, SignedLeaseSet, at_most};
use crate::wire::reader::Reader;
use crate::wire::unverified::Unverified;

/// How long a tunnel serves as a lease from the moment it is built, as all routers count it.
pub const LEASE_LIFE: Duration = Duration::from_secs(600);

const ELGAMAL_KEY_SIZE: usize = 256;

/// The beginning of one tunnel to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The router that takes messages for the tunnel.
    pub gateway: RouterHash,
    /// The tunnel as that router knows it.
    pub tunnel: TunnelId,
    /// When the tunnel ends, in milliseconds.
    pub expires: UnixTime,
}

impl Lease {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let gateway = RouterHash(*reader.array("lease gateway")?);
        let tunnel = TunnelId::from_wire(*reader.array("lease tunnel")?)
            .ok_or(Malformed::ZeroTunnelId { field: "lease tunnel" })?;
        Ok(Self { gateway, tunnel, expires: UnixTime(reader.u64("lease end")?) })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.gateway.0);
        out.extend_from_slice(&self.tunnel.to_wire());
        out.extend_from_slice(&self.expires.0.to_be_bytes());
    }
}

/// The tunnels to a destination in the old form.
pub type LeaseSet = SignedLeaseSet<LeaseSetContent>;

/// What a [`LeaseSet`] has inside.
#[derive(Clone, Debug)]
pub struct LeaseSetContent {
    destination: Destination,
    encryption: Range<usize>,
    revocation: Range<usize>,
    leases: Box<[Lease]>,
}

impl LeaseSet {
    /// Reads a lease set, from its destination to its signature.
    ///
    /// # Errors
    /// When it is longer than [`LEASE_SET_MAX`] or has more than [`LEASES_MAX`] leases, when it ends early or goes
    /// on after its signature, and when a part of it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Unverified<Self>, Malformed> {
        at_most("lease set", LEASE_SET_MAX, bytes.len())?;
        let mut reader = Reader::new(bytes);
        let destination = Destination::parse(&mut reader)?;
        let start = reader.position();
        reader.take(ELGAMAL_KEY_SIZE, "encryption key")?;
        let encryption = start..reader.position();
        reader.take(destination.signing_key().bytes().len(), "revocation key")?;
        let revocation = encryption.end..reader.position();
        let count = usize::from(reader.u8("lease count")?);
        at_most("lease count", LEASES_MAX, count)?;
        let leases = (0..count).map(|_| Lease::parse(&mut reader));
        let leases = leases.collect::<Result<Box<[Lease]>, _>>()?;
        let (owner, header) = (Owner::of(&destination), dates(&leases));
        let content = LeaseSetContent { destination, encryption, revocation, leases };
        Self::finish(LeaseSetKind::LeaseSet, owner, header, reader, content)
    }

    /// Whose it is.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.content.destination
    }

    /// The ElGamal key that messages are encrypted to: 256 bytes.
    #[must_use]
    pub fn encryption_key(&self) -> &[u8] {
        self.bytes().get(self.content.encryption.clone()).unwrap_or(&[])
    }

    /// A signing key of the destination's type that was meant to revoke the lease set, which nobody does.
    #[must_use]
    pub fn revocation_key(&self) -> &[u8] {
        self.bytes().get(self.content.revocation.clone()).unwrap_or(&[])
    }

    /// The tunnels, at most [`LEASES_MAX`].
    #[must_use]
    pub fn leases(&self) -> &[Lease] {
        &self.content.leases
    }
}

/// The dates that the leases imply.
fn dates(leases: &[Lease]) -> Header {
    let ends = || leases.iter().map(|lease| lease.expires);
    let (first, last) = (ends().min().unwrap_or_default(), ends().max().unwrap_or_default());
    Header { published: first - LEASE_LIFE, expires: last, flags: 0, offline: None }
}

/// A lease set in the old form, to be signed.
#[derive(Clone, Debug)]
pub struct LeaseSetDraft {
    /// Whose it is.
    pub destination: Destination,
    /// The ElGamal key that messages are encrypted to.
    pub encryption: [u8; ELGAMAL_KEY_SIZE],
    /// The key that is meant for revocation; of the length that keys of the destination's type have.
    pub revocation: Vec<u8>,
    /// The tunnels.
    pub leases: Vec<Lease>,
}

impl LeaseSetDraft {
    /// The lease set. `sign` gives the destination's signature of what it is handed.
    ///
    /// # Errors
    /// When it has too many leases, or keys or a signature of another length than their type's.
    pub fn sign(
        self,
        sign: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<Unverified<LeaseSet>, Malformed> {
        let mut bytes = self.destination.bytes().to_vec();
        bytes.extend_from_slice(&self.encryption);
        bytes.extend_from_slice(&self.revocation);
        bytes.push(u8::try_from(self.leases.len()).unwrap_or(u8::MAX));
        for lease in &self.leases {
            lease.write(&mut bytes);
        }
        let signature = sign(&bytes);
        bytes.extend_from_slice(&signature);
        LeaseSet::parse(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::Ed25519Seed;
    use crate::crypto::signature::{SignatureType, SigningPublicKey};
    use crate::wire::identity::DestinationKeys;
    use crate::wire::testing::assert_survives_changes;
    use crate::wire::unverified::SignatureRefused;

    fn keys() -> DestinationKeys {
        DestinationKeys::new(&Ed25519Seed::from_bytes([1; 32]), [2; 32])
    }

    fn lease(number: u8, end: u64) -> Lease {
        let tunnel = TunnelId::new(u32::from(number)).unwrap();
        Lease { gateway: RouterHash([number; 32]), tunnel, expires: UnixTime(end) }
    }

    fn draft() -> LeaseSetDraft {
        LeaseSetDraft {
            destination: keys().destination,
            encryption: [3; 256],
            revocation: vec![4; 32],
            leases: vec![lease(5, 1_700_000_000_002), lease(6, 1_700_000_000_001)],
        }
    }

    fn signed() -> LeaseSet {
        draft().sign(|message| keys().signer.sign(message).to_vec()).unwrap().verify().unwrap()
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let set = signed();
        let bytes = set.bytes();
        assert_eq!(bytes.len(), 391 + 256 + 32 + 1 + 2 * 44 + 64);
        assert_eq!(bytes[..391], *keys().destination.bytes());
        assert_eq!(bytes[391..647], [3; 256]);
        assert_eq!(bytes[647..679], [4; 32]);
        assert_eq!(bytes[679], 2);
        assert_eq!(bytes[680..712], [5; 32]);
        assert_eq!(bytes[712..716], [0, 0, 0, 5]);
        assert_eq!(bytes[716..724], 1_700_000_000_002u64.to_be_bytes());
        // Nothing is signed in front of it.
        let end = bytes.len() - 64;
        assert_eq!(bytes[end..], keys().signer.sign(&bytes[..end]));
    }

    #[test]
    fn the_fields_read_back() {
        let set = LeaseSet::parse(signed().bytes()).unwrap().verify().unwrap();
        assert_eq!(set.key(), keys().destination.hash());
        assert_eq!(set.encryption_key(), [3; 256]);
        assert_eq!(set.revocation_key(), [4; 32]);
        assert_eq!(set.leases(), draft().leases);
        assert_eq!(set.published(), UnixTime(1_700_000_000_001) - LEASE_LIFE);
        assert_eq!(set.expires(), UnixTime(1_700_000_000_002));
    }

    macro_rules! sample {
        ($name:literal) => {
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/", $name))
        };
    }

    #[test]
    fn lease_sets_made_by_java_are_read() {
        for (bytes, kind) in [
            (&sample!("lease_set_ed25519.dat")[..], SignatureType::Ed25519),
            (sample!("lease_set_dsa.dat"), SignatureType::DsaSha1),
            (sample!("lease_set_p521.dat"), SignatureType::EcdsaP521),
        ] {
            let unverified = LeaseSet::parse(bytes).unwrap();
            let set = unverified.peek();
            assert_eq!(set.destination().signing_key().kind(), kind);
            assert_eq!(set.revocation_key().len(), set.destination().signing_key().bytes().len());
            assert_eq!(set.encryption_key().len(), 256);
            for (lease, number) in set.leases().iter().zip(1u8..) {
                assert_eq!(lease.gateway, RouterHash([number; 32]));
                assert_eq!(lease.tunnel.number(), 999 + u32::from(number));
            }
            assert_eq!(set.leases().len(), 3);
            let span = set.expires().since(set.published());
            assert_eq!(span, LEASE_LIFE + Duration::from_secs(2));
            assert_eq!(&**set.bytes(), bytes);
            assert_ne!(unverified.verify().err(), Some(SignatureRefused::Invalid), "{kind:?}");
        }
        assert!(LeaseSet::parse(sample!("lease_set_ed25519.dat")).unwrap().verify().is_ok());
    }

    #[test]
    fn a_dsa_destination_has_keys_and_signature_of_its_sizes() {
        let bytes = [&[1; 384][..], &[0, 0, 0], &[2; 256], &[3; 128], &[0], &[4; 40]].concat();
        let unverified = LeaseSet::parse(&bytes).unwrap();
        let set = unverified.peek();
        assert_eq!(set.destination().signing_key().kind(), SignatureType::DsaSha1);
        assert_eq!(set.revocation_key(), [3; 128]);
        assert_eq!((set.published(), set.expires()), (UnixTime(0), UnixTime(0)));
        assert_eq!(unverified.check().signature, [4; 40]);
    }

    #[test]
    fn limits_hold() {
        let mut draft = draft();
        draft.leases = vec![lease(1, 1); 17];
        let sign = |message: &[u8]| keys().signer.sign(message).to_vec();
        let refused = Malformed::TooLarge { field: "lease count", limit: 16, found: 17 };
        assert_eq!(draft.clone().sign(sign).err(), Some(refused));
        draft.leases.pop();
        assert!(draft.sign(sign).is_ok());
        let large = Malformed::TooLarge { field: "lease set", limit: 8192, found: 8193 };
        assert_eq!(LeaseSet::parse(&[0; 8193]).err(), Some(large));
    }

    #[test]
    fn a_changed_lease_set_is_refused() {
        assert_survives_changes(signed().bytes(), |bytes| LeaseSet::parse(bytes).map(drop));
        let stranger = SigningPublicKey::new(SignatureType::Ed25519, &[9; 32]).unwrap();
        let destination = Destination::build(&stranger, [2; 32]);
        let forged = LeaseSetDraft { destination, ..draft() };
        let forged = forged.sign(|message| keys().signer.sign(message).to_vec()).unwrap();
        assert_eq!(forged.verify().err(), Some(SignatureRefused::Invalid));
    }
}
