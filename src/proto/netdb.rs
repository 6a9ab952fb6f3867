//! The network database: who is closest to a key, what may be stored, what is answered, and how others are asked
//! and told.
//!
//! Nothing here sends or waits. An actor per shard owns a slice of the records ([`store::Store`]) and the machines
//! that look up, explore and publish; it gives them the time and a sorted snapshot of the known floodfills.

pub mod acceptance;
pub mod exploration;
pub mod floodfill;
pub mod lookup;
pub mod publication;
pub mod routing_key;
pub mod store;

/// Records for tests.
#[cfg(test)]
pub(crate) mod testing {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use crate::base::id::{RecordKey, RouterHash, TunnelId};
    use crate::base::time::UnixTime;
    use crate::crypto::secret::Ed25519Seed;
    use crate::crypto::signature::{SignatureType, Signer, SigningPublicKey};
    use crate::crypto::x25519::X25519Public;
    use crate::wire::encrypted_lease_set::EncryptedLeaseSetDraft;
    use crate::wire::identity::{Destination, RouterIdentity};
    use crate::wire::lease_set::legacy::{LEASE_LIFE, Lease, LeaseSetDraft};
    use crate::wire::lease_set::{AnyLeaseSet, Lease2, LeaseSet2Draft, LeaseSetKind};
    use crate::wire::mapping::Mapping;
    use crate::wire::meta_lease_set::{MetaLease, MetaLeaseSetDraft};
    use crate::wire::reader::Reader;
    use crate::wire::router_address::RouterAddress;
    use crate::wire::router_info::{RouterInfo, RouterInfoDraft};

    /// 2026-01-01 12:00 UTC: no midnight near.
    pub const NOON: UnixTime = UnixTime(1_767_268_800_000);
    /// Options of a router that everyone takes.
    pub const ROUTER: &[(&str, &str)] =
        &[("caps", "XR"), ("netId", "99"), ("router.version", "0.9.67")];
    /// Options of a floodfill that everyone takes.
    pub const FLOODFILL: &[(&str, &str)] =
        &[("caps", "XfR"), ("netId", "99"), ("router.version", "0.9.67")];

    fn signer(seed: u8) -> Signer {
        Signer::from_seed(&Ed25519Seed::from_bytes([seed; 32]))
    }

    fn identity(seed: u8) -> RouterIdentity {
        RouterIdentity::build(&signer(seed).public_key(), X25519Public([seed; 32]), [seed; 32])
    }

    /// The hash of the router with this seed.
    pub fn hash(seed: u8) -> RouterHash {
        identity(seed).hash()
    }

    /// A RouterInfo with an NTCP2 address.
    pub fn router_info(seed: u8, published: UnixTime, options: &[(&str, &str)]) -> Arc<RouterInfo> {
        let host = SocketAddr::from(([127, 0, 0, seed], 9000));
        let address = RouterAddress::ntcp2(Some(host), X25519Public([5; 32]), [6; 16], 3);
        router_info_at(seed, published, options, vec![address])
    }

    /// A RouterInfo with these addresses.
    pub fn router_info_at(
        seed: u8,
        published: UnixTime,
        options: &[(&str, &str)],
        addresses: Vec<RouterAddress>,
    ) -> Arc<RouterInfo> {
        let mut mapping = Mapping::new();
        for (key, value) in options {
            mapping.insert(key, value).unwrap();
        }
        let identity = identity(seed);
        let draft = RouterInfoDraft { identity, published, addresses, options: mapping };
        Arc::new(draft.sign(&signer(seed)).unwrap())
    }

    /// A LeaseSet2 that lives for `seconds`.
    pub fn lease_set(seed: u8, published: UnixTime, seconds: u16) -> Arc<AnyLeaseSet> {
        lease_set_of(LeaseSetKind::LeaseSet2, seed, published, seconds)
    }

    /// A lease set of this type that lives for `seconds`; of the first type for [`LEASE_LIFE`] or more.
    pub fn lease_set_of(
        kind: LeaseSetKind,
        seed: u8,
        published: UnixTime,
        seconds: u16,
    ) -> Arc<AnyLeaseSet> {
        let identity = identity(seed);
        let destination = Destination::parse(&mut Reader::new(identity.bytes())).unwrap();
        let sign = |message: &[u8]| signer(seed).sign(message).to_vec();
        let expires = UnixTime(published.0 + 1000 * u64::from(seconds));
        let (gateway, tunnel) = (RouterHash([3; 32]), TunnelId::new(4).unwrap());
        let set = match kind {
            LeaseSetKind::LeaseSet => {
                let leases = [published + LEASE_LIFE, expires]
                    .map(|expires| Lease { gateway, tunnel, expires })
                    .to_vec();
                let draft = LeaseSetDraft {
                    destination,
                    encryption: [8; 256],
                    revocation: vec![9; 32],
                    leases,
                };
                draft.sign(sign).unwrap().verify().unwrap().without_content()
            }
            LeaseSetKind::LeaseSet2 => {
                let draft = LeaseSet2Draft {
                    destination,
                    published,
                    expires_after_s: seconds,
                    encryption: X25519Public([8; 32]),
                    leases: vec![Lease2 { gateway, tunnel, expires }],
                };
                draft.sign(&signer(seed)).unwrap().without_content()
            }
            LeaseSetKind::EncryptedLeaseSet => {
                let key = signer(seed).public_key();
                let draft = EncryptedLeaseSetDraft {
                    blinded: SigningPublicKey::new(SignatureType::RedDsa, key.bytes()).unwrap(),
                    published,
                    expires_after_s: seconds,
                    flags: 0,
                    offline: None,
                    ciphertext: vec![7; 100],
                };
                draft.sign(sign).unwrap().verify().unwrap().without_content()
            }
            LeaseSetKind::MetaLeaseSet => {
                let key = RecordKey([7; 32]);
                let draft = MetaLeaseSetDraft {
                    destination,
                    published,
                    expires_after_s: seconds,
                    flags: 0,
                    offline: None,
                    options: Mapping::new(),
                    leases: vec![MetaLease { key, flags: 3, cost: 1, expires }],
                    revocations: Vec::new(),
                };
                draft.sign(sign).unwrap().verify().unwrap().without_content()
            }
        };
        Arc::new(set)
    }
}
