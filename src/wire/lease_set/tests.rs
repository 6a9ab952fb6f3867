//! Lease sets as destinations write them, and as they should not.

use std::time::Duration;

use super::*;
use crate::crypto::secret::Ed25519Seed;
use crate::crypto::signature::{SignatureType, Signer, Verdict, verify};
use crate::wire::identity::DestinationKeys;
use crate::wire::unverified::SignatureRefused;
use proptest::prelude::*;

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/", $name))
    };
}

const ED25519: &[u8] = sample!("lease_set2_ed25519.dat");
const OFFLINE: &[u8] = sample!("lease_set2_offline.dat");
const REDDSA: &[u8] = sample!("lease_set2_reddsa.dat");
const DSA: &[u8] = sample!("lease_set2_dsa.dat");
const P521: &[u8] = sample!("lease_set2_p521.dat");

const PUBLISHED: UnixTime = UnixTime(1_700_000_000_000);
const HEADER: usize = 391;

fn keys() -> DestinationKeys {
    DestinationKeys::new(&Ed25519Seed::from_bytes([1; 32]), [2; 32])
}

fn transient() -> Signer {
    Signer::from_seed(&Ed25519Seed::from_bytes([3; 32]))
}

fn lease(number: u8) -> Lease2 {
    Lease2 {
        gateway: RouterHash([number; 32]),
        tunnel: TunnelId::new(u32::from(number) + 1).unwrap(),
        expires: PUBLISHED + Duration::from_secs(600),
    }
}

fn draft(leases: u8) -> LeaseSet2Draft {
    LeaseSet2Draft {
        destination: keys().destination,
        published: PUBLISHED + Duration::from_millis(999),
        expires_after_s: 660,
        encryption: X25519Public([4; 32]),
        leases: (0..leases).map(lease).collect(),
    }
}

fn signed() -> LeaseSet2 {
    draft(3).sign(&keys().signer).unwrap()
}

fn signed_offline() -> LeaseSet2 {
    let end = PUBLISHED + Duration::from_secs(86_400);
    draft(3).sign_offline(&keys().signer, &transient(), end).unwrap()
}

/// A lease set of the destination with this between its flags and its signature.
fn with_body(flags: u16, body: &[u8]) -> Vec<u8> {
    let keys = keys();
    let mut bytes = vec![LeaseSetKind::LeaseSet2.code()];
    bytes.extend_from_slice(keys.destination.bytes());
    bytes.extend_from_slice(&PUBLISHED.seconds_up().to_be_bytes());
    bytes.extend_from_slice(&660u16.to_be_bytes());
    bytes.extend_from_slice(&flags.to_be_bytes());
    bytes.extend_from_slice(body);
    let signature = keys.signer.sign(&bytes);
    bytes.extend_from_slice(&signature);
    bytes.remove(0);
    bytes
}

fn refused(bytes: &[u8]) -> Option<Malformed> {
    LeaseSet2::parse(bytes).err()
}

/// The only difference between the lease sets that Java made is who signed.
fn assert_made_by_java(set: &LeaseSet2) {
    assert_eq!(set.leases().len(), 3);
    for (lease, number) in set.leases().iter().zip(1u8..) {
        assert_eq!(lease.gateway, RouterHash([number; 32]));
        assert_eq!(lease.tunnel.number(), 999 + u32::from(number));
        let last = set.expires() - Duration::from_secs(3) + Duration::from_secs(u64::from(number));
        assert_eq!(lease.expires, last);
    }
    assert!(set.encryption_key().is_some());
    assert!(!set.is_unpublished());
    let options: Vec<_> = set.options().iter().collect();
    assert_eq!(options, [("a", "1"), ("b", "2")]);
}

#[test]
fn all_encryption_keys_are_kept_in_their_order() {
    let unverified = LeaseSet2::parse(ED25519).unwrap();
    let keys: Vec<_> = unverified.peek().encryption_keys().collect();
    let sizes: Vec<_> = keys.iter().map(|key| (key.kind, key.key.len())).collect();
    assert_eq!(sizes, [(EncryptionType::X25519, 32), (EncryptionType::ElGamal, 256)]);
    let first: [u8; 32] = keys[0].key.try_into().unwrap();
    assert_eq!(unverified.peek().encryption_key(), Some(X25519Public(first)));

    let hybrid =
        [&[0, 0, 3, 0, 6, 0, 32][..], &[6; 32], &[0, 4, 0, 32], &[4; 32], &[9, 9, 0, 1, 7], &[0]];
    let set = LeaseSet2::parse(&with_body(4, &hybrid.concat())).unwrap().verify().unwrap();
    let keys: Vec<_> = set.encryption_keys().collect();
    assert_eq!(keys[0], EncryptionKey { kind: EncryptionType::MlKem768X25519, key: &[6; 32] });
    assert_eq!(keys[2], EncryptionKey { kind: EncryptionType::Unknown(0x0909), key: &[7] });
    assert_eq!(set.encryption_key(), Some(X25519Public([4; 32])));
    assert!(set.is_blinded());
    assert_eq!(set.flags(), 4);
}

#[test]
fn lease_sets_made_by_java_verify() {
    for (bytes, kind) in [
        (ED25519, SignatureType::Ed25519),
        (OFFLINE, SignatureType::Ed25519),
        (REDDSA, SignatureType::RedDsa),
        (DSA, SignatureType::DsaSha1),
        (P521, SignatureType::EcdsaP521),
    ] {
        let set = LeaseSet2::parse(bytes).unwrap().verify().unwrap();
        assert_eq!(set.destination().signing_key().kind(), kind);
        assert_eq!(&**set.bytes(), bytes);
        assert_made_by_java(&set);
        assert_eq!(set.delegation_expires().is_some(), bytes == OFFLINE);
        assert!(set.delegation_expires().is_none_or(|end| end > set.expires()));
    }
}

#[test]
fn a_signed_draft_reads_back() {
    let bytes = signed().bytes().clone();
    let unverified = LeaseSet2::parse(&bytes).unwrap();
    assert_eq!(unverified.checks().count(), 1);
    let set = unverified.verify().unwrap();
    assert_eq!(set.key(), keys().destination.hash());
    assert_eq!(set.destination(), &keys().destination);
    assert_eq!(set.published(), PUBLISHED);
    assert_eq!(set.expires(), PUBLISHED + Duration::from_secs(660));
    assert_eq!(set.encryption_key(), Some(X25519Public([4; 32])));
    assert_eq!(set.leases(), [lease(0), lease(1), lease(2)]);
    assert_eq!(set.delegation_expires(), None);
    assert!(!set.is_unpublished());
    assert_eq!(set.bytes(), &bytes);
}

#[test]
fn the_layout_is_that_of_the_specification() {
    let bytes = signed().bytes().clone();
    assert_eq!(bytes.len(), HEADER + 8 + 2 + 1 + 36 + 1 + 3 * 40 + 64);
    assert_eq!(bytes[HEADER..HEADER + 4], 1_700_000_000u32.to_be_bytes());
    assert_eq!(bytes[HEADER + 4..HEADER + 15], [0x02, 0x94, 0, 0, 0, 0, 1, 0, 4, 0, 32]);
    let message = [&[3], &bytes[..bytes.len() - 64]].concat();
    assert_eq!(bytes[bytes.len() - 64..], keys().signer.sign(&message));
}

#[test]
fn a_transient_key_signs_in_place_of_the_destination() {
    let bytes = signed_offline().bytes().clone();
    let unverified = LeaseSet2::parse(&bytes).unwrap();
    let checks: Vec<_> = unverified.checks().collect();
    assert_eq!(checks.len(), 2);
    assert_eq!(checks[0].key, keys().destination.signing_key());
    assert_eq!(checks[0].message, &bytes[HEADER + 8..HEADER + 8 + 38]);
    assert_eq!(checks[1].key, &transient().public_key());
    assert!(checks.iter().all(|check| verify(check) == Verdict::Valid));
    let set = unverified.verify().unwrap();
    assert_eq!(set.delegation_expires(), Some(PUBLISHED + Duration::from_secs(86_400)));
    assert_eq!(set.leases().len(), 3);
}

#[test]
fn both_signatures_have_to_hold() {
    let bytes = signed_offline().bytes().clone();
    let transient_key_end = HEADER + 8;
    let delegation_signature = transient_key_end + 38;
    let last_lease = bytes.len() - 65;
    for at in [transient_key_end, delegation_signature, last_lease, bytes.len() - 1] {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        let refused = LeaseSet2::parse(&changed).unwrap().verify().err();
        assert_eq!(refused, Some(SignatureRefused::Invalid), "byte {at}");
    }
    // A transient key that the destination never saw signs the lease set as it should be signed.
    let stranger = Signer::from_seed(&Ed25519Seed::from_bytes([9; 32]));
    let mut forged = bytes.to_vec();
    let key = transient_key_end + 6;
    forged[key..key + 32].copy_from_slice(stranger.public_key().bytes());
    let end = forged.len() - 64;
    let signature = stranger.sign(&[&[3], &forged[..end]].concat());
    forged[end..].copy_from_slice(&signature);
    let unverified = LeaseSet2::parse(&forged).unwrap();
    assert_eq!(verify(&unverified.check()), Verdict::Valid);
    assert_eq!(unverified.verify().err(), Some(SignatureRefused::Invalid));
}

#[test]
fn one_verdict_does_not_settle_two_signatures() {
    let bytes = signed_offline().bytes().clone();
    let unverified = LeaseSet2::parse(&bytes).unwrap();
    let unchecked = SignatureRefused::Unchecked { signatures: 2, verdicts: 1 };
    assert_eq!(unverified.clone().settle(Verdict::Valid).err(), Some(unchecked));
    let verdicts = [Verdict::Valid, Verdict::Unsupported];
    let unsupported = Some(SignatureRefused::Unsupported);
    assert_eq!(unverified.clone().settle_all(&verdicts).err(), unsupported);
    assert!(unverified.settle_all(&[Verdict::Valid; 2]).is_ok());
    let single = LeaseSet2::parse(signed().bytes()).unwrap();
    assert_eq!(single.clone().settle(Verdict::Invalid).err(), Some(SignatureRefused::Invalid));
    assert!(single.settle(Verdict::Valid).is_ok());
}

#[test]
fn the_type_byte_is_signed() {
    let keys = keys();
    let mut bytes = signed().bytes().to_vec();
    let end = bytes.len() - 64;
    let signature = keys.signer.sign(&bytes[..end]);
    bytes[end..].copy_from_slice(&signature);
    let refused = LeaseSet2::parse(&bytes).unwrap().verify().err();
    assert_eq!(refused, Some(SignatureRefused::Invalid));
}

#[test]
fn flags_options_and_unknown_keys_are_taken() {
    let mut body = vec![0, 6, 1, b'a', b'=', 1, b'b', b';', 3];
    body.extend_from_slice(&[0x12, 0x34, 0, 2, 7, 7]);
    body.extend_from_slice(&[0, 4, 0, 32]);
    body.extend_from_slice(&[5; 32]);
    body.extend_from_slice(&[0, 4, 0, 32]);
    body.extend_from_slice(&[6; 32]);
    body.push(0);
    let set = LeaseSet2::parse(&with_body(0xfffe, &body)).unwrap().verify().unwrap();
    assert!(set.is_unpublished());
    assert_eq!(set.encryption_key(), Some(X25519Public([5; 32])));
    assert_eq!(set.leases(), []);

    let only_unknown = with_body(0, &[0, 0, 1, 0x12, 0x34, 0, 0, 0]);
    let set = LeaseSet2::parse(&only_unknown).unwrap().verify().unwrap();
    assert_eq!(set.encryption_key(), None);
}

#[test]
fn limits_hold() {
    assert_eq!(draft(16).sign(&keys().signer).unwrap().leases().len(), 16);
    let leases = Malformed::TooLarge { field: "lease count", limit: 16, found: 17 };
    assert_eq!(draft(17).sign(&keys().signer).err(), Some(leases));

    let eight = [&[0, 0, 8][..], &[9, 9, 0, 0].repeat(8), &[0]].concat();
    assert_eq!(refused(&with_body(0, &eight)), None);
    let nine = [&[0, 0, 9][..], &[9, 9, 0, 0].repeat(9), &[0]].concat();
    let keys = Malformed::TooLarge { field: "encryption key count", limit: 8, found: 9 };
    assert_eq!(refused(&with_body(0, &nine)), Some(keys));

    let large = Malformed::TooLarge { field: "lease set", limit: 8192, found: 8193 };
    assert_eq!(refused(&[0; 8193]), Some(large));
}

#[test]
fn malformed_parts_are_named() {
    let no_keys = Malformed::Value { field: "encryption key count", found: 0 };
    assert_eq!(refused(&with_body(0, &[0, 0, 0, 0])), Some(no_keys));
    let short_key = Malformed::Length { field: "encryption key", expected: 32, found: 1 };
    assert_eq!(refused(&with_body(0, &[0, 0, 1, 0, 4, 0, 1, 7, 0])), Some(short_key));
    let mut lease = vec![0, 0, 1, 9, 9, 0, 0, 1];
    lease.extend_from_slice(&[0; 40]);
    let no_tunnel = Malformed::ZeroTunnelId { field: "lease tunnel" };
    assert_eq!(refused(&with_body(0, &lease)), Some(no_tunnel));
    let transient = Malformed::Unsupported { field: "transient key type", found: 99 };
    assert_eq!(refused(&with_body(1, &[0, 0, 0, 0, 0, 99])), Some(transient));
}

#[test]
fn a_dsa_destination_is_read_and_its_signature_checked() {
    let mut bytes = vec![1; 384];
    bytes.extend_from_slice(&[0, 0, 0]);
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[0, 0, 1, 0, 0, 1, 0]);
    bytes.extend_from_slice(&[2; 256]);
    bytes.push(0);
    bytes.extend_from_slice(&[3; 40]);
    let unverified = LeaseSet2::parse(&bytes).unwrap();
    assert_eq!(unverified.peek().destination().signing_key().kind(), SignatureType::DsaSha1);
    assert_eq!(unverified.check().signature, [3; 40]);
    assert_eq!(unverified.verify().err(), Some(SignatureRefused::Invalid));
}

#[test]
fn every_prefix_and_every_extension_is_an_error() {
    for set in [signed(), signed_offline()] {
        let bytes = set.bytes();
        for length in 0..bytes.len() {
            let refused = refused(&bytes[..length]);
            assert!(matches!(refused, Some(Malformed::Truncated { .. })), "{length}: {refused:?}");
        }
        let longer = [&bytes[..], &[0; 3]].concat();
        assert_eq!(refused(&longer), Some(Malformed::Trailing { left: 3 }));
    }
}

proptest! {
    #[test]
    fn no_flipped_bit_verifies(
        offline: bool,
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let set = if offline { signed_offline() } else { signed() };
        let mut bytes = set.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        if let Ok(unverified) = LeaseSet2::parse(&bytes) {
            prop_assert!(unverified.verify().is_err());
        }
    }

    #[test]
    fn any_body_is_a_lease_set_or_an_error(flags: u16, body: Vec<u8>) {
        let _ = LeaseSet2::parse(&with_body(flags, &body));
    }
}
