//! Lease sets of every type, signed by destinations that are made up.

use std::time::Duration;

use anyhow::{Context, Result};
use floodway::base::id::{RecordKey, RouterHash, TunnelId};
use floodway::base::rng::ShardRng;
use floodway::base::time::UnixTime;
use floodway::crypto::secret::Ed25519Seed;
use floodway::crypto::signature::{RedDsaSigner, Signer};
use floodway::crypto::x25519::X25519Public;
use floodway::wire::encrypted_lease_set::EncryptedLeaseSetDraft;
use floodway::wire::identity::Destination;
use floodway::wire::lease_set::legacy::{LEASE_LIFE, Lease, LeaseSetDraft};
use floodway::wire::lease_set::{AnyLeaseSet, Lease2, LeaseSet2Draft, LeaseSetKind};
use floodway::wire::mapping::Mapping;
use floodway::wire::meta_lease_set::{MetaLease, MetaLeaseSetDraft};

/// The lease set of this type of a destination with keys out of `rng`, which lives for ten minutes.
///
/// # Errors
/// When `published` lies at the end of time.
pub fn lease_set(
    kind: LeaseSetKind,
    published: UnixTime,
    rng: &mut ShardRng,
) -> Result<AnyLeaseSet> {
    let seed = Ed25519Seed::from_bytes(rng.bytes());
    let signer = Signer::from_seed(&seed);
    let destination = Destination::build(&signer.public_key(), rng.bytes());
    let expires = published + LEASE_LIFE;
    let expires_after_s = 600;
    let gateway = RouterHash(rng.bytes());
    let tunnel = TunnelId::new(rng.id()).context("an id is never zero")?;
    let sign = |message: &[u8]| signer.sign(message).to_vec();
    let set = match kind {
        LeaseSetKind::LeaseSet => {
            let leases = vec![Lease { gateway, tunnel, expires }];
            let (encryption, revocation) = (rng.bytes(), rng.bytes::<32>().to_vec());
            let draft = LeaseSetDraft { destination, encryption, revocation, leases };
            draft.sign(sign)?.verify()?.without_content()
        }
        LeaseSetKind::LeaseSet2 => {
            let expires = expires - Duration::from_secs(100);
            let draft = LeaseSet2Draft {
                destination,
                published,
                expires_after_s,
                encryption: X25519Public(rng.bytes()),
                leases: vec![Lease2 { gateway, tunnel, expires }],
            };
            draft.sign(&signer)?.without_content()
        }
        LeaseSetKind::EncryptedLeaseSet => {
            let signer = RedDsaSigner::from_ed25519(&seed);
            let (ciphertext, random) = (rng.bytes::<600>().to_vec(), rng.bytes());
            let draft = EncryptedLeaseSetDraft {
                blinded: signer.public_key(),
                published,
                expires_after_s,
                flags: 0,
                offline: None,
                ciphertext,
            };
            let set = draft.sign(|message| signer.sign(&random, message).to_vec())?;
            set.verify()?.without_content()
        }
        LeaseSetKind::MetaLeaseSet => {
            let lease = MetaLease { key: RecordKey(rng.bytes()), flags: 3, cost: 1, expires };
            let draft = MetaLeaseSetDraft {
                destination,
                published,
                expires_after_s,
                flags: 0,
                offline: None,
                options: Mapping::new(),
                leases: vec![lease],
                revocations: Vec::new(),
            };
            draft.sign(sign)?.verify()?.without_content()
        }
    };
    Ok(set)
}
