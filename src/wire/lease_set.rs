//! Where the tunnels to a destination begin, for a few minutes: LeaseSet2, signed.
//!
//! The signature is over a type byte and the bytes as they came. It is the destination's own, or that of a
//! transient key which the destination signed offline; then both have to hold. Spec: common structures, LeaseSet2
//! and OfflineSignature.

mod draft;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::base::id::{RecordKey, RouterHash, TunnelId};
use crate::base::limits::LEASE_SET_MAX;
use crate::base::time::UnixTime;
use crate::crypto::signature::{SignatureCheck, SignatureType, SigningPublicKey};
use crate::crypto::x25519::X25519Public;
use crate::wire::Malformed;
use crate::wire::identity::Destination;
use crate::wire::mapping::Mapping;
use crate::wire::reader::Reader;
use crate::wire::unverified::{Signed, Unverified};

pub use draft::LeaseSet2Draft;

/// Most leases in one lease set.
pub const LEASES_MAX: usize = 16;
/// Most encryption keys in one lease set.
pub const ENCRYPTION_KEYS_MAX: usize = 8;

/// Type of the record in the netdb, and the byte that is signed in front of it.
const STORE_TYPE: u8 = 3;
const FLAG_OFFLINE: u16 = 1;
const FLAG_UNPUBLISHED: u16 = 1 << 1;
const ENCRYPTION_X25519: u16 = 4;

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

/// The tunnels to a destination, verified. It does not change; share it in an [`Arc`].
#[derive(Clone, Debug)]
pub struct LeaseSet2 {
    bytes: Arc<[u8]>,
    signed: usize,
    destination: Destination,
    published: UnixTime,
    expires: UnixTime,
    flags: u16,
    delegation: Option<Delegation>,
    encryption: Option<X25519Public>,
    leases: Box<[Lease2]>,
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
        let published = UnixTime::from_seconds(reader.u32("lease set date")?);
        let life = Duration::from_secs(u64::from(reader.u16("lease set life")?));
        let flags = reader.u16("lease set flags")?;
        let delegation = match flags & FLAG_OFFLINE {
            0 => None,
            _ => Some(Delegation::parse(&mut reader, destination.signing_key().kind())?),
        };
        Mapping::parse(&mut reader)?;
        let encryption = encryption_keys(&mut reader)?;
        let leases = leases(&mut reader)?;
        let signed = reader.position();
        let signing = delegation.as_ref().map_or(destination.signing_key(), |by| &by.key);
        reader.take(signature_size(signing.kind())?, "lease set signature")?;
        reader.finish()?;
        Ok(Unverified::new(Self {
            bytes: Arc::from(bytes),
            signed,
            destination,
            published,
            expires: published + life,
            flags,
            delegation,
            encryption,
            leases,
        }))
    }

    /// The key that it stands under in the netdb.
    #[must_use]
    pub fn key(&self) -> RecordKey {
        self.destination.hash()
    }

    /// Whose it is.
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// When it was signed, in whole seconds.
    #[must_use]
    pub fn published(&self) -> UnixTime {
        self.published
    }

    /// When it loses its meaning: at most 65,535 s after it was signed.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// When the transient key that signed it loses its meaning; `None` when the destination signed it itself.
    #[must_use]
    pub fn delegation_expires(&self) -> Option<UnixTime> {
        self.delegation.as_ref().map(|by| by.expires)
    }

    /// Whether it is meant for those it is sent to only, and not for a floodfill to give out.
    #[must_use]
    pub fn is_unpublished(&self) -> bool {
        self.flags & FLAG_UNPUBLISHED != 0
    }

    /// The X25519 key that messages may be encrypted to; `None` when it has keys of other types only.
    #[must_use]
    pub fn encryption_key(&self) -> Option<X25519Public> {
        self.encryption
    }

    /// The tunnels, at most [`LEASES_MAX`].
    #[must_use]
    pub fn leases(&self) -> &[Lease2] {
        &self.leases
    }

    /// The lease set as it came, to be stored and passed on.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    fn range(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or(&[])
    }
}

impl Signed for LeaseSet2 {
    fn check(&self) -> SignatureCheck<'_> {
        let (message, signature) =
            self.bytes.split_at_checked(self.signed).unwrap_or((&self.bytes, &[]));
        let key = self.delegation.as_ref().map_or(self.destination.signing_key(), |by| &by.key);
        SignatureCheck { key, prefix: &[STORE_TYPE], message, signature }
    }

    fn delegation_check(&self) -> Option<SignatureCheck<'_>> {
        self.delegation.as_ref().map(|by| SignatureCheck {
            key: self.destination.signing_key(),
            prefix: &[],
            message: self.range(&by.signed),
            signature: self.range(&by.signature),
        })
    }
}

/// The transient key that a destination made sign in its place, and where the proof of that stands.
#[derive(Clone, Debug)]
struct Delegation {
    expires: UnixTime,
    key: SigningPublicKey,
    signed: Range<usize>,
    signature: Range<usize>,
}

impl Delegation {
    /// Reads an OfflineSignature by a key of type `owner`.
    fn parse(reader: &mut Reader<'_>, owner: SignatureType) -> Result<Self, Malformed> {
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
}

/// Reads the encryption keys; of these the first X25519 key is kept. Keys of other types are skipped by the length
/// that stands with them.
fn encryption_keys(reader: &mut Reader<'_>) -> Result<Option<X25519Public>, Malformed> {
    let count = reader.u8("encryption key count")?;
    if count == 0 {
        return Err(Malformed::Value { field: "encryption key count", found: 0 });
    }
    at_most("encryption key count", ENCRYPTION_KEYS_MAX, usize::from(count))?;
    let mut found = None;
    for _ in 0..count {
        let kind = reader.u16("encryption key type")?;
        let size = usize::from(reader.u16("encryption key length")?);
        let key = reader.take(size, "encryption key")?;
        if kind == ENCRYPTION_X25519 {
            let key = key.try_into().map_err(|_| Malformed::Length {
                field: "encryption key",
                expected: 32,
                found: size,
            })?;
            found = found.or(Some(X25519Public(key)));
        }
    }
    Ok(found)
}

fn leases(reader: &mut Reader<'_>) -> Result<Box<[Lease2]>, Malformed> {
    let count = usize::from(reader.u8("lease count")?);
    at_most("lease count", LEASES_MAX, count)?;
    (0..count).map(|_| Lease2::parse(reader)).collect()
}

fn signature_size(kind: SignatureType) -> Result<usize, Malformed> {
    kind.signature_size()
        .ok_or(Malformed::Unsupported { field: "signing key type", found: u32::from(kind.code()) })
}

fn at_most(field: &'static str, limit: usize, found: usize) -> Result<(), Malformed> {
    if found > limit {
        return Err(Malformed::TooLarge { field, limit, found });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
