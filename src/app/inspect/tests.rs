use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::base::id::{RecordKey, RouterHash, TunnelId};
use crate::base::time::UnixTime;
use crate::crypto::secret::Ed25519Seed;
use crate::crypto::signature::{SignatureType, Signer, SigningPublicKey};
use crate::wire::encrypted_lease_set::EncryptedLeaseSetDraft;
use crate::wire::identity::Destination;
use crate::wire::lease_set::legacy::{Lease, LeaseSetDraft};
use crate::wire::mapping::Mapping;
use crate::wire::meta_lease_set::{MetaLease, MetaLeaseSetDraft};
use crate::wire::offline_signature::OfflineSignature;
use crate::wire::router_info::RouterInfo;

const I2PD: &[u8] = include_bytes!("../../../tests/vectors/router_info_i2pd_2.59.0.dat");
const PUBLISHED: UnixTime = UnixTime(1_790_000_000_000);

/// What is said of bytes in a file of this name.
struct Findings {
    object: Value,
    good: bool,
}

fn findings_of(name: &str, bytes: &[u8], kind: Option<InspectKind>) -> Findings {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    look(&path, kind)
}

fn findings(bytes: &[u8]) -> Findings {
    findings_of("file", bytes, None)
}

fn look(path: &Path, kind: Option<InspectKind>) -> Findings {
    let report = inspect(path, kind, &Signers::default());
    let good = report.is_good();
    Findings { object: Value::Object(report.into_fields(path).into_iter().collect()), good }
}

fn problems(object: &Value) -> String {
    object["problems"].to_string()
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn signer() -> Signer {
    Signer::from_seed(&Ed25519Seed::from_bytes([7; 32]))
}

/// The router info of i2pd with these options, signed by another identity.
fn changed(change: impl FnOnce(&mut crate::wire::router_info::RouterInfoDraft)) -> Findings {
    let info = RouterInfo::parse(I2PD).unwrap().verify().unwrap();
    let signer = signer();
    let encryption = info.identity().encryption_key().unwrap();
    let identity =
        crate::wire::identity::RouterIdentity::build(&signer.public_key(), encryption, [3; 32]);
    let mut draft = crate::wire::router_info::RouterInfoDraft {
        identity,
        published: info.published(),
        addresses: info.addresses().to_vec(),
        options: info.options().clone(),
    };
    change(&mut draft);
    findings(draft.sign(&signer).unwrap().bytes())
}

#[test]
fn every_file_of_every_peer_is_decoded_whole() {
    let mut seen = 0;
    for directory in fs::read_dir(vectors().join("peers")).unwrap() {
        let directory = directory.unwrap().path();
        if !directory.is_dir() {
            continue;
        }
        for file in fs::read_dir(directory).unwrap() {
            let path = file.unwrap().path();
            let Findings { object, good } = look(&path, None);
            assert!(good, "{object}");
            let is_info = path.ends_with("router.info");
            assert_eq!(object["kind"], if is_info { "router_info" } else { "keys" });
            assert_eq!(object["signature"], if is_info { "valid" } else { "absent" });
            // i2pd 2.45.1 speaks 0.9.57, which others of today do not use any more.
            let old = is_info && path.to_string_lossy().contains("2.45.1");
            assert_eq!(object["accepted"], !old, "{object}");
            seen += 1;
        }
    }
    assert_eq!(seen, 20);
}

#[test]
fn key_files_of_one_router_have_one_hash_and_the_keys_it_published() {
    for name in ["i2pd-2.45.1", "i2pd-2.56.0", "i2pd-2.59.0", "java-2.7.0", "emissary-0.4.0"] {
        let directory = vectors().join("peers").join(name);
        let at = |file: &str| look(&directory.join(file), None).object;
        let info = at("router.info");
        let published = |style: &str| {
            let addresses = info["addresses"].as_array().unwrap().iter();
            let address = addresses.into_iter().find(|one| one["style"] == style).unwrap();
            address["options"]["s"].clone()
        };
        match name {
            "java-2.7.0" => {
                assert_eq!(at("router.keys.dat")["hash"], info["hash"]);
                assert_eq!(at("router.config")["ntcp2_static_key"], published("NTCP2"));
                assert_eq!(at("router.config")["ssu2_static_key"], published("SSU2"));
            }
            other => {
                if other != "emissary-0.4.0" {
                    assert_eq!(at("router.keys")["hash"], info["hash"], "{name}");
                }
                assert_eq!(at("ntcp2.keys")["ntcp2_static_key"], published("NTCP2"), "{name}");
                assert_eq!(at("ssu2.keys")["ssu2_static_key"], published("SSU2"), "{name}");
            }
        }
    }
}

#[test]
fn a_good_router_info_is_described() {
    let Findings { object, good } = findings(I2PD);
    assert!(good);
    assert_eq!(object["kind"], "router_info");
    assert_eq!(object["signature"], "valid");
    assert_eq!(object["accepted"], true);
    assert_eq!(object["problems"], json!([]));
    assert_eq!(object["network"], 99);
    assert_eq!(object["hash"].as_str().unwrap().len(), 44);
    assert_eq!(object["addresses"].as_array().unwrap().len(), 2);
    assert_eq!(object["addresses"][0]["options"]["v"], "2");
    assert_eq!((&object["signature_type"], &object["encryption_type"]), (&json!(7), &json!(4)));
    assert!(object["published"].as_str().unwrap().starts_with("20"));
}

#[test]
fn a_forged_one_is_shown_and_not_accepted() {
    let mut bytes = I2PD.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let Findings { object, good } = findings(&bytes);
    assert!(!good);
    assert_eq!(object["signature"], "invalid");
    assert_eq!(object["accepted"], false);
}

#[test]
fn what_is_none_says_why() {
    for bytes in [&I2PD[..300], b"", &[0; 10_000]] {
        for kind in [None, Some(InspectKind::LeaseSet2), Some(InspectKind::Keys)] {
            let Findings { object, good } = findings_of("file", bytes, kind);
            assert!(!good);
            assert_eq!(object["problems"].as_array().unwrap().len(), 1);
            assert_eq!(
                (&object["signature"], &object["accepted"]),
                (&json!("absent"), &json!(false))
            );
        }
    }
    assert!(!look(Path::new("/nonexistent"), None).good);
    assert!(!look(Path::new("/"), None).good);
    let longer = [I2PD, &[0]].concat();
    assert!(problems(&findings(&longer).object).contains("1 bytes follow the end"));
}

#[test]
fn what_other_routers_refuse_is_named() {
    let set = |key: &'static str, value: &'static str| {
        changed(move |draft| draft.options.insert(key, value).unwrap()).object
    };
    let unset = |key: &'static str| changed(move |draft| assert!(draft.options.remove(key))).object;
    let address = |key: &'static str, value: &'static str| {
        changed(move |draft| {
            for address in &mut draft.addresses {
                address.options.insert(key, value).unwrap();
            }
        })
        .object
    };
    for (object, expected) in [
        (set("netId", "x"), "netId) is no number"),
        (unset("netId"), "no network id"),
        (set("router.version", "0.9.58"), "below 0.9.59"),
        (set("router.version", "0.9.68-rc1"), "not three numbers"),
        (unset("router.version"), "no router version"),
        (set("caps", "fR"), "no bandwidth letter"),
        (unset("caps"), "no capabilities"),
        (set("x", "\u{e9}"), "not ASCII"),
        (address("i", "AAAA"), "`i` is not 24 characters long"),
        (address("v", "2,3"), "no usable address"),
        (address("s", "AAAA"), "no usable address"),
        (address("host", "router.example.org"), "no usable address"),
        (address("port", "0"), "no usable address"),
        (changed(|draft| draft.addresses.clear()).object, "no address"),
        (
            changed(|draft| {
                draft.options.insert("netId", "2").unwrap();
                for address in &mut draft.addresses {
                    address.options.insert("host", "10.1.2.3").unwrap();
                }
            })
            .object,
            "reserved range",
        ),
    ] {
        assert_eq!(object["signature"], "valid");
        assert_eq!(object["accepted"], false, "{expected}");
        assert!(problems(&object).contains(expected), "{expected:?} is not in {object}");
    }
    for (object, expected) in [
        (set("caps", "XfRG"), "congestion G"),
        (set("caps", "XfRU"), "both reachable (R) and unreachable (U)"),
        (set("family", "x"), "whose signature is not checked"),
        (address("host", "127.0.0.1"), "only test networks allow"),
    ] {
        assert_eq!(object["accepted"], true, "{expected}");
        assert!(problems(&object).contains(expected), "{expected:?} is not in {object}");
    }
}

#[test]
fn options_that_are_not_sorted_are_seen() {
    let signer = signer();
    let Findings { object, .. } = changed(|draft| draft.options = Mapping::new());
    assert!(!problems(&object).contains("not sorted"));
    let mut bytes = I2PD[..I2PD.len() - 64].to_vec();
    // The signing key is another's, and two options have changed places.
    bytes[352..384].copy_from_slice(signer.public_key().bytes());
    let place = |part: &[u8], bytes: &[u8]| {
        bytes.windows(part.len()).rposition(|window| window == part).unwrap()
    };
    let (caps, net) = (place(b"\x04caps=", &bytes), place(b"\x05netId=", &bytes));
    let (options, rest) = (bytes[caps..net].to_vec(), bytes[net..].to_vec());
    bytes.truncate(caps);
    bytes.extend_from_slice(&rest);
    bytes.extend_from_slice(&options);
    let signature = signer.sign(&bytes);
    bytes.extend_from_slice(&signature);
    let Findings { object, good } = findings(&bytes);
    assert!(good, "{object}");
    assert_eq!(object["accepted"], false);
    assert!(problems(&object).contains("not sorted by key"), "{object}");
}

#[test]
fn lease_sets_of_the_usual_type_are_described() {
    for (name, signing) in [("ed25519", 7), ("offline", 7), ("reddsa", 11), ("p521", 3), ("dsa", 0)]
    {
        let path = vectors().join(format!("lease_set2_{name}.dat"));
        for kind in [None, Some(InspectKind::LeaseSet2)] {
            let Findings { object, good } = look(&path, kind);
            assert!(good, "{object}");
            assert_eq!(object["kind"], "lease_set2");
            assert_eq!(object["signature"], "valid");
            assert_eq!(object["signature_type"], signing);
            assert_eq!(object["options"], json!({ "a": "1", "b": "2" }));
            assert_eq!(object["leases"].as_array().unwrap().len(), 3);
            assert_eq!(object["leases"][0]["tunnel"], 1000);
            assert_eq!(object["transient_key"].is_null(), name != "offline");
            assert!(object["address"].as_str().unwrap().ends_with(".b32.i2p"));
        }
    }
}

fn destination() -> Destination {
    Destination::build(&signer().public_key(), [1; 32])
}

fn sign(message: &[u8]) -> Vec<u8> {
    signer().sign(message).to_vec()
}

fn legacy(leases: usize) -> Vec<u8> {
    let lease = Lease {
        gateway: RouterHash([1; 32]),
        tunnel: TunnelId::new(5).unwrap(),
        expires: PUBLISHED,
    };
    let draft = LeaseSetDraft {
        destination: destination(),
        encryption: [9; 256],
        revocation: vec![8; 32],
        leases: vec![lease; leases],
    };
    draft.sign(sign).unwrap().peek().bytes().to_vec()
}

fn meta(leases: usize, revocations: usize) -> Vec<u8> {
    let expires = UnixTime(PUBLISHED.0 + 600_000);
    let lease = MetaLease { key: RecordKey([4; 32]), flags: 3, cost: 1, expires };
    let draft = MetaLeaseSetDraft {
        destination: destination(),
        published: PUBLISHED,
        expires_after_s: 600,
        flags: 0,
        offline: None,
        options: Mapping::new(),
        leases: vec![lease; leases],
        revocations: vec![RecordKey([5; 32]); revocations],
    };
    draft.sign(sign).unwrap().peek().bytes().to_vec()
}

fn encrypted(kind: SignatureType, life_s: u16, offline: Option<Vec<u8>>) -> Vec<u8> {
    let draft = EncryptedLeaseSetDraft {
        blinded: SigningPublicKey::new(kind, signer().public_key().bytes()).unwrap(),
        published: PUBLISHED,
        expires_after_s: life_s,
        flags: 0,
        offline,
        ciphertext: vec![6; 100],
    };
    draft.sign(sign).unwrap().peek().bytes().to_vec()
}

#[test]
fn lease_sets_of_the_other_types_are_told_apart() {
    let hash_of_destination = crate::wire::base64::encode(&destination().hash().0);
    for (kind, bytes) in [
        ("lease_set", legacy(2)),
        ("meta_lease_set", meta(2, 0)),
        ("encrypted_lease_set", encrypted(SignatureType::RedDsa, 600, None)),
    ] {
        let Findings { object, good } = findings(&bytes);
        assert!(good, "{object}");
        assert_eq!(object["kind"], kind);
        assert_eq!((&object["signature"], &object["accepted"]), (&json!("valid"), &json!(true)));
        assert_eq!(object["problems"], json!([]));
        let is_blinded = kind == "encrypted_lease_set";
        assert_eq!(object["hash"] == hash_of_destination.as_str(), !is_blinded);
        let mut forged = bytes.clone();
        *forged.last_mut().unwrap() ^= 1;
        let Findings { object, good } = findings(&forged);
        assert!(!good);
        assert_eq!((&object["signature"], &object["accepted"]), (&json!("invalid"), &json!(false)));
        assert_eq!(object["kind"], kind);
    }
    let blinded = [&[0, 11][..], signer().public_key().bytes()].concat();
    let key = crate::wire::base64::encode(&crate::crypto::hash::sha256(&blinded));
    assert_eq!(findings(&encrypted(SignatureType::RedDsa, 600, None)).object["hash"], key);
}

#[test]
fn lease_sets_that_floodfills_refuse_are_named() {
    let proof = |expires, kind| {
        let key = SigningPublicKey::new(kind, signer().public_key().bytes()).unwrap();
        Some(OfflineSignature::write(expires, &key, sign))
    };
    let later = UnixTime(PUBLISHED.0 + 86_400_000);
    for (bytes, expected) in [
        (legacy(0), "no lease"),
        (meta(17, 0), "more than 16 entries"),
        (meta(1, 1), "revocations"),
        (encrypted(SignatureType::Ed25519, 600, None), "not RedDSA"),
        (encrypted(SignatureType::RedDsa, 961, None), "it lasts 961 s"),
        (encrypted(SignatureType::RedDsa, 0, None), "had expired when it was signed"),
        (
            encrypted(SignatureType::RedDsa, 600, proof(later, SignatureType::Ed25519)),
            "the transient key is not RedDSA",
        ),
        (
            encrypted(SignatureType::RedDsa, 600, proof(PUBLISHED, SignatureType::RedDsa)),
            "the transient key had expired",
        ),
    ] {
        let Findings { object, good } = findings(&bytes);
        assert!(good, "{object}");
        assert_eq!(object["accepted"], false, "{expected}");
        assert!(problems(&object).contains(expected), "{expected:?} is not in {object}");
    }
}

#[test]
fn exposed_keys_are_warned_of_and_ours_refused() {
    let directory = tempfile::tempdir().unwrap();
    crate::app::identity::load_or_create(directory.path()).unwrap();
    let ours = directory.path().join("router.keys");
    let good = look(&ours, None);
    assert!(good.good && good.object["accepted"] == true, "{}", good.object);
    let theirs = directory.path().join("ntcp2.keys");
    fs::copy(vectors().join("peers/i2pd-2.56.0/ntcp2.keys"), &theirs).unwrap();
    for (path, accepted) in [(&ours, false), (&theirs, true)] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        let Findings { object, good } = look(path, None);
        assert!(good);
        assert_eq!(object["accepted"], accepted);
        assert!(problems(&object).contains("others can read it (mode 644)"), "{object}");
    }
}

#[test]
fn damaged_keys_are_seen_and_no_key_is_shown() {
    let peers = vectors().join("peers");
    let mut bytes = fs::read(peers.join("i2pd-2.56.0/router.keys")).unwrap();
    let Findings { object, .. } = findings_of("router.keys", &bytes, None);
    for secret in [&bytes[391..423], &bytes[423..]] {
        let secret = crate::wire::base64::encode(secret);
        assert!(!object.to_string().contains(&secret[..16]), "{object}");
    }
    bytes[430] ^= 1;
    // The name or the flag says that it should be keys.
    for (name, kind) in [("router.keys", None), ("backup", Some(InspectKind::Keys))] {
        let Findings { object, good } = findings_of(name, &bytes, kind);
        assert!(!good);
        assert!(problems(&object).contains("signing key does not belong"), "{object}");
    }
    let mut ours = b"floodway router keys v2\n".to_vec();
    ours.extend([0; 500]);
    let Findings { object, good } = findings_of("x", &ours, None);
    assert!(!good && problems(&object).contains("checksum"), "{object}");
    let config = findings_of("router.config", b"router.networkID=99\n", None);
    assert!(!config.good && problems(&config.object).contains("no keys of NTCP2"));
}

#[test]
fn su3_files_are_described_and_their_signers_looked_up() {
    let directory = vectors().join("su3");
    let (signers, refused) = Signers::load(&directory.join("certificates")).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    for (name, kind) in [("rsa4096", 6), ("p256", 1), ("ed25519", 7)] {
        let path = directory.join(format!("reseed_{name}.su3"));
        let Findings { object, good } = look(&path, None);
        assert!(!good);
        assert_eq!(
            (&object["kind"], &object["signature"]),
            (&json!("su3"), &json!("unknown_signer"))
        );
        assert_eq!(object["accepted"], false);
        assert!(problems(&object).contains("--certificates"), "{object}");
        assert_eq!(
            (&object["content_type"], &object["file_type"]),
            (&json!("reseed"), &json!("zip"))
        );
        assert_eq!(object["signer"], format!("{name}@floodway.test"));
        assert_eq!(object["version"], "1795500000");
        assert_eq!(object["made"], "2026-11-24T06:00:00Z");
        assert_eq!(object["signature_type"], kind);

        let bytes = fs::read(&path).unwrap();
        let report = su3::describe(&bytes, &signers).unwrap();
        let key = &signers.of(object["signer"].as_str().unwrap()).next().unwrap().key;
        assert_eq!(key.kind(), SignatureType::from_code(kind));
        assert_eq!(report.signature, Signature::Valid, "{name}");
        assert!(report.is_good());
        let mut forged = bytes;
        forged[100] ^= 1;
        let report = su3::describe(&forged, &signers).unwrap();
        assert!(!report.is_good());
    }
    assert!(signers.of("nobody@floodway.test").next().is_none());
}

#[test]
fn what_cannot_be_read_is_of_no_kind() {
    let directory = tempfile::tempdir().unwrap();
    let Findings { object, good } = look(directory.path(), None);
    assert!(!good && object["kind"] == "unknown", "{object}");
    assert!(object["problems"][0].as_str().unwrap().contains("cannot be read"), "{object}");
    let Findings { object, .. } = look(directory.path(), Some(InspectKind::Su3));
    assert_eq!(object["kind"], "su3");
}
