//! Where the tunnels to a destination begin, for a few minutes: LeaseSet2, signed, and the LeaseSet before it.
//!
//! The signature is over a type byte and the bytes as they came. It is the destination's own, or that of a
//! transient key which the destination signed offline; then both have to hold. Spec: common structures, LeaseSet2
//! and OfflineSignature.

mod draft;
pub(in crate::wire) mod header;
pub mod legacy;
mod signed;

use std::ops::Range;

use crate::base::id::{RouterHash, TunnelId};
use crate::base::limits::LEASE_SET_MAX;
use crate::base::time::UnixTime;
use crate::crypto::x25519::X25519Public;
use crate::wire::Malformed;
use crate::wire::identity::{Destination, EncryptionType};
use crate::wire::mapping::Mapping;
use crate::wire::reader::Reader;
use crate::wire::unverified::Unverified;

use header::{FLAG_BLINDED, Header};
pub(in crate::wire) use signed::Owner;

pub use draft::LeaseSet2Draft;
pub use signed::{AnyLeaseSet, LeaseSetKind, PerLeaseSetKind, SignedLeaseSet};

/// Most leases in one lease set.
pub const LEASES_MAX: usize = 16;
/// Most encryption keys in one lease set.
pub const ENCRYPTION_KEYS_MAX: usize = 8;

/// The beginning of one tunnel to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease2 {
    /// The router that takes messages for the tunnel.
    pub gateway: RouterHash,
    /// The tunnel as that router knows it.
    pub tunnel: TunnelId,
    /// When the tunnel ends, in whole seconds.
    pub expires: UnixTime,
}

impl Lease2 {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let gateway = RouterHash(*reader.array("lease gateway")?);
        let tunnel = TunnelId::from_wire(*reader.array("lease tunnel")?)
            .ok_or(Malformed::ZeroTunnelId { field: "lease tunnel" })?;
        let expires = UnixTime::from_seconds(reader.u32("lease end")?);
        Ok(Self { gateway, tunnel, expires })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.gateway.0);
        out.extend_from_slice(&self.tunnel.to_wire());
        out.extend_from_slice(&self.expires.seconds_up().to_be_bytes());
    }
}

/// The tunnels to a destination.
pub type LeaseSet2 = SignedLeaseSet<LeaseSet2Content>;

/// What a [`LeaseSet2`] has inside.
#[derive(Clone, Debug)]
pub struct LeaseSet2Content {
    destination: Destination,
    options: Mapping,
    encryption: Box<[KeyPlace]>,
    leases: Box<[Lease2]>,
}

/// An encryption key of a lease set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncryptionKey<'a> {
    /// Its type, which may be one that we do not know.
    pub kind: EncryptionType,
    /// Its bytes. Only those of an X25519 key are sure to have the length that the type has.
    pub key: &'a [u8],
}

/// Where in the lease set an encryption key stands.
#[derive(Clone, Debug)]
struct KeyPlace {
    kind: EncryptionType,
    range: Range<usize>,
}

impl LeaseSet2 {
    /// Reads a lease set, from its destination to its signature.
    ///
    /// # Errors
    /// When it is longer than [`LEASE_SET_MAX`], has more than [`LEASES_MAX`] leases, or none or more than
    /// [`ENCRYPTION_KEYS_MAX`] encryption keys; when it ends early or goes on after its signature; and when a part
    /// of it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Unverified<Self>, Malformed> {
        at_most("lease set", LEASE_SET_MAX, bytes.len())?;
        let mut reader = Reader::new(bytes);
        let destination = Destination::parse(&mut reader)?;
        let owner = Owner::of(&destination);
        let header = Header::parse(&mut reader, owner.signing.kind())?;
        let options = Mapping::parse(&mut reader)?;
        let encryption = encryption_keys(&mut reader)?;
        let leases = leases(&mut reader)?;
        let content = LeaseSet2Content { destination, options, encryption, leases };
        Self::finish(LeaseSetKind::LeaseSet2, owner, header, reader, content)
    }

    /// Whose it is.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.content.destination
    }

    /// Whether floodfills have it in encrypted form, which its owner says to those who open that.
    #[must_use]
    pub fn is_blinded(&self) -> bool {
        self.flags() & FLAG_BLINDED != 0
    }

    /// Its options, such as the services that the destination offers.
    #[must_use]
    pub fn options(&self) -> &Mapping {
        &self.content.options
    }

    /// All keys that messages may be encrypted to, 1 to [`ENCRYPTION_KEYS_MAX`], the preferred one first.
    pub fn encryption_keys(&self) -> impl Iterator<Item = EncryptionKey<'_>> {
        self.content.encryption.iter().map(|place| EncryptionKey {
            kind: place.kind,
            key: self.bytes().get(place.range.clone()).unwrap_or(&[]),
        })
    }

    /// The X25519 key that messages may be encrypted to; `None` when it has keys of other types only.
    #[must_use]
    pub fn encryption_key(&self) -> Option<X25519Public> {
        let first = self.encryption_keys().find(|key| key.kind == EncryptionType::X25519)?;
        first.key.try_into().ok().map(X25519Public)
    }

    /// The tunnels, at most [`LEASES_MAX`].
    #[must_use]
    pub fn leases(&self) -> &[Lease2] {
        &self.content.leases
    }
}

/// Reads the encryption keys. What has a type that we do not know is as long as it says.
fn encryption_keys(reader: &mut Reader<'_>) -> Result<Box<[KeyPlace]>, Malformed> {
    let count = reader.u8("encryption key count")?;
    if count == 0 {
        return Err(Malformed::Value { field: "encryption key count", found: 0 });
    }
    at_most("encryption key count", ENCRYPTION_KEYS_MAX, usize::from(count))?;
    (0..count).map(|_| encryption_key(reader)).collect()
}

fn encryption_key(reader: &mut Reader<'_>) -> Result<KeyPlace, Malformed> {
    let kind = EncryptionType::from_code(reader.u16("encryption key type")?);
    let found = usize::from(reader.u16("encryption key length")?);
    let start = reader.position();
    reader.take(found, "encryption key")?;
    // Java does not cover the length of the others by its check, so sets with odd ones may verify there.
    if kind == EncryptionType::X25519 && found != 32 {
        return Err(Malformed::Length { field: "encryption key", expected: 32, found });
    }
    Ok(KeyPlace { kind, range: start..reader.position() })
}

fn leases(reader: &mut Reader<'_>) -> Result<Box<[Lease2]>, Malformed> {
    let count = usize::from(reader.u8("lease count")?);
    at_most("lease count", LEASES_MAX, count)?;
    (0..count).map(|_| Lease2::parse(reader)).collect()
}

/// Refuses `found` above `limit`.
pub(super) fn at_most(field: &'static str, limit: usize, found: usize) -> Result<(), Malformed> {
    if found > limit {
        return Err(Malformed::TooLarge { field, limit, found });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
