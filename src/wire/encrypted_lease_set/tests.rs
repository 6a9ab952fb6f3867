//! Encrypted lease sets as Java makes them, opened down to the lease set inside, and our own.

use super::layers::{ClientAuth, InnerLayer, OuterLayer, SealedLayer};
use super::*;
use crate::crypto::chacha;
use crate::crypto::hash::{hkdf, sha256};
use crate::crypto::secret::{AeadKey, Ed25519Seed};
use crate::crypto::signature::Signer;
use crate::wire::base64;
use crate::wire::lease_set::LeaseSet2;
use crate::wire::offline_signature::OfflineSignature;
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

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/", $name))
    };
}

/// Encrypted lease sets made by Java, with the key of the destination and the key that Java stores each under.
const MADE_BY_JAVA: [(&[u8], &str, &str); 3] = [
    (
        sample!("encrypted_lease_set.dat"),
        "9kVio104Hrmfebl0hU5NHiuzM6TROQlBduqmH-ea1HQ=",
        "ZsAZPRTfu4e9VFfFhQsSAGrkjXEcWbYxg4wrsTQ74zk=",
    ),
    (
        sample!("encrypted_lease_set_dh.dat"),
        "CcNUnT2Ijv2xBoPNOj7cltb3KCiZ4HKnux~zze3qnBI=",
        "qorGtYvf8aqv0Xu0Im3Gphv8XzW7hc3mNG8zmOTazb0=",
    ),
    (
        sample!("encrypted_lease_set_psk.dat"),
        "VRHVKtI65gfTFIplC3Kvl5tkMb9XsRy3oKzsn~gCJro=",
        "yB9MGIpK2FxVJG9YdW6qDiJ42Knk0oiEM2pIlSN-POo=",
    ),
];

/// What opens the layers for those who know the destination's key. Spec: encrypted LeaseSet, keys.
fn subcredential(key: &str, blinded: &SigningPublicKey) -> [u8; 32] {
    let key = base64::decode(key).unwrap();
    let types = [0, 11, 0, 11];
    let credential = sha256_parts(&[b"credential", &key, &types]);
    sha256_parts(&[b"subcredential", &credential, blinded.bytes()])
}

fn open(
    layer: &SealedLayer<'_>,
    set: &EncryptedLeaseSet,
    secret: &[u8; 32],
    info: &[u8],
) -> Vec<u8> {
    let published = set.published().seconds_up().to_be_bytes();
    let (key, iv) = hkdf(layer.salt, &[&secret[..], &published].concat(), info);
    let mut opened = layer.ciphertext.to_vec();
    chacha::stream(&AeadKey::from_bytes(key), *iv.first_chunk().unwrap(), &mut opened);
    opened
}

#[test]
fn those_made_by_java_verify_and_open() {
    for (index, (bytes, key, name)) in MADE_BY_JAVA.into_iter().enumerate() {
        let set = EncryptedLeaseSet::parse(bytes).unwrap().verify().unwrap();
        assert_eq!(set.bytes()[..], *bytes);
        assert_eq!(base64::encode(&set.key().0), name);
        assert_eq!(set.blinded_key().kind(), SignatureType::RedDsa);
        let secret = subcredential(key, set.blinded_key());
        let sealed = SealedLayer::parse(set.ciphertext()).unwrap();
        let opened = open(&sealed, &set, &secret, b"ELS2_L1K");
        let outer = OuterLayer::parse(&opened).unwrap();
        let clients = match outer.auth {
            ClientAuth::Open => 0,
            ClientAuth::DiffieHellman { clients, .. } => clients.len() + 10,
            ClientAuth::PreShared { clients, .. } => clients.len() + 20,
        };
        assert_eq!(clients, [0, 12, 22][index]);
        let mut written = Vec::new();
        outer.write(&mut written);
        assert_eq!(written, opened);
        if outer.auth == ClientAuth::Open {
            let opened = open(&outer.inner, &set, &secret, b"ELS2_L2K");
            let Ok(InnerLayer::LeaseSet2(inner)) = InnerLayer::parse(&opened) else {
                panic!("there is a lease set inside");
            };
            let inner = LeaseSet2::parse(inner).unwrap().verify().unwrap();
            assert_eq!(inner.leases().len(), 3);
            assert_eq!(inner.destination().signing_key().bytes(), base64::decode(key).unwrap());
        }
    }
}
