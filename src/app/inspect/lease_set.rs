//! What lease sets of each type say, and what floodfills would say to them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::args::InspectKind;
use crate::app::inspect::report::{
    Report, Signature, b32, date_text, encryption_name, options, signature_name,
};
use crate::base::id::RecordKey;
use crate::crypto::signature::SignatureType;
use crate::proto::netdb::acceptance::LEASE_SET_AHEAD_MAX;
use crate::wire::Malformed;
use crate::wire::base64;
use crate::wire::encrypted_lease_set::EncryptedLeaseSet;
use crate::wire::identity::{Destination, EncryptionType};
use crate::wire::lease_set::legacy::LeaseSet;
use crate::wire::lease_set::{LeaseSet2, SignedLeaseSet};
use crate::wire::meta_lease_set::{MetaLeaseKind, MetaLeaseSet};

/// Most entries of a meta lease set that Java takes.
const META_LEASES_MAX: usize = 16;

/// Describes a LeaseSet of the first type.
///
/// # Errors
/// When the bytes are none.
pub fn describe_legacy(bytes: &[u8]) -> Result<Report, Malformed> {
    let unverified = LeaseSet::parse(bytes)?;
    let set = unverified.peek();
    let signature = Signature::of_record(&unverified);
    let mut report = Report::new(InspectKind::LeaseSet, Some(hash(&set.key())), signature);
    if set.leases().is_empty() {
        report.refuse("no lease");
    }
    destination(&mut report, set.destination());
    if !set.leases().is_empty() {
        report.date("expires", set.expires());
    }
    let leases = set.leases().iter().map(|lease| {
        json!({
            "gateway": base64::encode(&lease.gateway.0),
            "tunnel": lease.tunnel.number(),
            "expires": date_text(lease.expires),
        })
    });
    report.field("leases", leases.collect::<Vec<_>>());
    report.field("size", bytes.len());
    Ok(report)
}

/// Describes a LeaseSet2.
///
/// # Errors
/// When the bytes are none.
pub fn describe_2(bytes: &[u8]) -> Result<Report, Malformed> {
    let unverified = LeaseSet2::parse(bytes)?;
    let set = unverified.peek();
    let signature = Signature::of_record(&unverified);
    let mut report = Report::new(InspectKind::LeaseSet2, Some(hash(&set.key())), signature);
    judge(&mut report, set);
    judge_life(&mut report, set);
    if set.leases().is_empty() {
        report.refuse("no lease");
    }
    if set.encryption_keys().all(|key| matches!(key.kind, EncryptionType::Unknown(_))) {
        report.note("no encryption key of a known type");
    }
    destination(&mut report, set.destination());
    describe_head(&mut report, set);
    report.field("blinded", set.is_blinded());
    report.field("options", options(set.options()));
    let keys = set.encryption_keys().map(|key| {
        json!({
            "type": key.kind.code(),
            "name": encryption_name(key.kind),
            "key": base64::encode(key.key),
        })
    });
    report.field("encryption_keys", keys.collect::<Vec<_>>());
    let leases = set.leases().iter().map(|lease| {
        json!({
            "gateway": base64::encode(&lease.gateway.0),
            "tunnel": lease.tunnel.number(),
            "expires": date_text(lease.expires),
        })
    });
    report.field("leases", leases.collect::<Vec<_>>());
    report.field("size", bytes.len());
    Ok(report)
}

/// Describes an EncryptedLeaseSet, of which only the outside can be read.
///
/// # Errors
/// When the bytes are none.
pub fn describe_encrypted(bytes: &[u8]) -> Result<Report, Malformed> {
    let unverified = EncryptedLeaseSet::parse(bytes)?;
    let set = unverified.peek();
    let signature = Signature::of_record(&unverified);
    let kind = InspectKind::EncryptedLeaseSet;
    let mut report = Report::new(kind, Some(hash(&set.key())), signature);
    judge(&mut report, set);
    judge_life(&mut report, set);
    let blinded = set.blinded_key();
    if blinded.kind() != SignatureType::RedDsa {
        report.refuse("the blinded key is not RedDSA (11)");
    }
    if set.offline_signature().is_some_and(|offline| offline.key().kind() != SignatureType::RedDsa)
    {
        report.refuse("the transient key is not RedDSA (11), which Java refuses");
    }
    report.field("signature_type", blinded.kind().code());
    report.field("signature_type_name", signature_name(blinded.kind()));
    report.field("blinded_key", base64::encode(blinded.bytes()));
    describe_head(&mut report, set);
    report.field("ciphertext_size", set.ciphertext().len());
    report.field("size", bytes.len());
    Ok(report)
}

/// Describes a MetaLeaseSet.
///
/// # Errors
/// When the bytes are none.
pub fn describe_meta(bytes: &[u8]) -> Result<Report, Malformed> {
    let unverified = MetaLeaseSet::parse(bytes)?;
    let set = unverified.peek();
    let signature = Signature::of_record(&unverified);
    let kind = InspectKind::MetaLeaseSet;
    let mut report = Report::new(kind, Some(hash(&set.key())), signature);
    judge(&mut report, set);
    if set.leases().len() > META_LEASES_MAX {
        report.refuse("more than 16 entries, which Java refuses");
    }
    if !set.revocations().is_empty() {
        report.refuse("revocations, which Java refuses");
    }
    if set.leases().iter().map(|lease| lease.expires).max() != Some(set.expires()) {
        report.refuse("it does not expire with its last entry, which Java refuses");
    }
    destination(&mut report, set.destination());
    describe_head(&mut report, set);
    report.field("options", options(set.options()));
    let leases = set.leases().iter().map(|lease| {
        json!({
            "key": hash(&lease.key),
            "kind": meta_kind(lease.kind()),
            "cost": lease.cost,
            "expires": date_text(lease.expires),
        })
    });
    report.field("leases", leases.collect::<Vec<_>>());
    let revoked: Vec<_> = set.revocations().iter().map(hash).collect();
    report.field("revocations", revoked);
    report.field("size", bytes.len());
    Ok(report)
}

fn hash(key: &RecordKey) -> String {
    base64::encode(&key.0)
}

fn meta_kind(kind: MetaLeaseKind) -> Value {
    match kind {
        MetaLeaseKind::Unspecified => Value::Null,
        MetaLeaseKind::LeaseSet => json!("lease_set"),
        MetaLeaseKind::LeaseSet2 => json!("lease_set2"),
        MetaLeaseKind::MetaLeaseSet => json!("meta_lease_set"),
        MetaLeaseKind::Unknown(code) => json!(format!("unknown ({code})")),
    }
}

fn destination(report: &mut Report, destination: &Destination) {
    report.field("address", b32(&destination.hash().0));
    let signing = destination.signing_key().kind();
    report.key_types(signing, destination.encryption_type(), destination.certificate_kind());
}

fn describe_head<C>(report: &mut Report, set: &SignedLeaseSet<C>) {
    report.date("published", set.published());
    report.date("expires", set.expires());
    report.field("flags", set.flags());
    report.field("unpublished", set.is_unpublished());
    let offline = set.offline_signature().map(|offline| {
        json!({
            "type": offline.key().kind().code(),
            "name": signature_name(offline.key().kind()),
            "key": base64::encode(offline.key().bytes()),
            "expires": date_text(offline.expires()),
        })
    });
    report.field("transient_key", offline);
}

fn judge<C>(report: &mut Report, set: &SignedLeaseSet<C>) {
    if set.is_unpublished() {
        report.refuse("flagged as not to be published: floodfills do not keep it");
    }
    if set.offline_signature().is_some_and(|offline| offline.expires() <= set.published()) {
        report.refuse("the transient key had expired when this was signed");
    }
    if set.expires() <= set.published() {
        report.refuse("it had expired when it was signed");
    }
}

/// Leases end within minutes, and floodfills refuse what claims to last longer.
fn judge_life<C>(report: &mut Report, set: &SignedLeaseSet<C>) {
    let life: Duration = set.expires().since(set.published());
    if life > LEASE_SET_AHEAD_MAX {
        let (life, limit) = (life.as_secs(), LEASE_SET_AHEAD_MAX.as_secs());
        report.refuse(format!("it lasts {life} s, and floodfills take {limit} s at most"));
    }
}
