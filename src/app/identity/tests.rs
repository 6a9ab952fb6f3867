use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::app::identity::layouts::{IdentityKeys, JavaTransportKeys, TransportKeys};
use crate::base::rng::ShardRng;
use crate::crypto::secret::{Ed25519Seed, X25519Secret};
use crate::wire::router_info::RouterInfo;

/// The data directories that real routers wrote, and the hashes that these showed.
const PEERS: [(Origin, &str, &str); 5] = [
    (Origin::I2pd, "i2pd-2.45.1", "kxbn9OC0IXV~I4aqjm2T7g4ldW8fveppTF0HjEKfGVw="),
    (Origin::I2pd, "i2pd-2.56.0", "QnOpuXwglxxQpw4~BGT7WJqLNb-tqzDdNnG-YW~bEHI="),
    (Origin::I2pd, "i2pd-2.59.0", "cU1UNoSJ~Axl2T2ugJ5FuzGMe-baDNtyYbLxfoeis~g="),
    (Origin::Emissary, "emissary-0.4.0", "LQ7L~zNj10v3Ll-OXNSpLHGB4FUwDrj6ZywpnMfWFaM="),
    (Origin::Java, "java-2.7.0", "7xcb0NhIjTwPMHaZZEws044EYaC12ndoaXodi0IaGWM="),
];

fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/peers").join(name)
}

fn rng() -> ShardRng {
    ShardRng::from_seed([1; 32])
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A copy of a peer's directory, to be changed.
fn copy_of(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(peer(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), directory.path().join(entry.file_name())).unwrap();
    }
    directory
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_restart_is_the_same_router() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("a/b");
    let first = load_or_create(&data_dir).unwrap();
    let second = load_or_create(&data_dir).unwrap();
    assert_eq!(first.identity.hash(), second.identity.hash());
    assert!(first.ntcp2.static_secret.ct_eq(&second.ntcp2.static_secret));
    assert!(first.ssu2_static.ct_eq(&second.ssu2_static));
    assert_eq!((first.ntcp2.iv, first.ssu2_intro), (second.ntcp2.iv, second.ssu2_intro));
    let mode = fs::metadata(data_dir.join(KEY_FILE)).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    let files = fs::read_dir(&data_dir).unwrap().count();
    assert_eq!(files, 1);
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    load_or_create(directory.path()).unwrap();
    let path = directory.path().join(KEY_FILE);
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let text = text(load_or_create(directory.path()).unwrap_err());
        assert!(text.contains("chmod 600") && text.contains(&format!("{mode:o}")), "{text}");
    }
}

#[test]
fn damage_is_seen_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    load_or_create(directory.path()).unwrap();
    let path = directory.path().join(KEY_FILE);
    let good = fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    let mut longer = good.clone();
    longer.push(0);
    let endless = [good.clone(), vec![0; 10_000]].concat();
    for bad in [&flipped[..], &good[..200], &good[..24], &longer[..], &endless[..]] {
        fs::write(&path, bad).unwrap();
        let error = load_or_create(directory.path()).unwrap_err();
        assert!(matches!(error, IdentityError::KeyFile(KeyFileError::Damaged { .. })), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
    for unknown in [&b"something else"[..], b"floodway router keys v3\n", b""] {
        fs::write(&path, unknown).unwrap();
        let error = load_or_create(directory.path()).unwrap_err();
        assert!(text(error).contains("no key file of this version"));
    }
}

#[test]
fn a_key_file_of_version_1_is_read() {
    let content = [
        &b"floodway router keys v1\n"[..],
        &[1; 32],
        &[2; 32],
        &[3; 32],
        &[4; 32],
        &[5; 16],
        &[6; 32],
        &[7; 32],
    ]
    .concat();
    let file = [&content[..], &sha256(&content)].concat();
    let secrets = key_file::decode(&file).unwrap();
    assert_eq!(secrets.identity.bytes()[32..352], [3; 320]);
    assert_eq!(secrets.ntcp2_static.expose(), &[4; 32]);
    assert_eq!((secrets.ntcp2_iv, secrets.ssu2_intro), ([5; 16], [7; 32]));
    assert_eq!(secrets.ssu2_static.expose(), &[6; 32]);
    let again = key_file::decode(&key_file::encode(&secrets)).unwrap();
    assert_eq!(again.identity, secrets.identity);
    assert!(RouterKeys::from_secrets(again).is_ok());
    // A whole file of version 2 whose keys are not those of its identity.
    let foreign = RouterSecrets { signing: Ed25519Seed::from_bytes([9; 32]), ..secrets };
    let directory = tempfile::tempdir().unwrap();
    key_file::write(&directory.path().join(KEY_FILE), &foreign, Existing::Refuse).unwrap();
    let text = text(load_or_create(directory.path()).unwrap_err());
    assert!(text.contains("signing key does not belong"), "{text}");
}

#[test]
fn an_existing_file_is_replaced_on_request_only_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let first = create(directory.path(), Existing::Refuse).unwrap().0;
    let error = create(directory.path(), Existing::Refuse).unwrap_err();
    assert!(text(error).contains("--replace"));
    let path = directory.path().join(KEY_FILE);
    let bytes = fs::read(&path).unwrap();
    let (second, kept) = create(directory.path(), Existing::Keep).unwrap();
    assert_ne!(first.identity.hash(), second.identity.hash());
    assert_eq!(load(directory.path()).unwrap().identity, second.identity);
    let kept = kept.unwrap();
    assert_eq!(fs::read(&kept).unwrap(), bytes);
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
    let hash = base64::encode(&first.identity.hash().0);
    let name = format!("{KEY_FILE}.{}", &hash[..8]);
    assert_eq!(kept.file_name().unwrap().to_str().unwrap(), name);

    // The same again: nothing that was kept is overwritten.
    fs::write(&path, &bytes).unwrap();
    let (_, again) = create(directory.path(), Existing::Keep).unwrap();
    assert_eq!(again.unwrap().file_name().unwrap().to_str().unwrap(), format!("{name}.2"));
    fs::write(&path, b"damaged").unwrap();
    let (_, old) = create(directory.path(), Existing::Keep).unwrap();
    assert_eq!(old.unwrap().file_name().unwrap().to_str().unwrap(), "router.keys.old");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let text = text(load_or_create(Path::new("/proc/floodway")).unwrap_err());
    assert!(text.contains("/proc/floodway") && text.contains("--data-dir"), "{text}");
}

#[test]
fn ports_follow_from_the_identity() {
    let port = |byte| default_port(&RouterHash([byte; 32]));
    assert_eq!(port(1), port(1));
    assert_ne!(port(1), port(2));
    assert!((0..=255).all(|byte| (9111..30_777).contains(&port(byte))));
}

#[test]
fn routers_keep_their_hash_and_their_transport_keys() {
    for (origin, name, hash) in PEERS {
        let found = foreign::read(origin, &peer(name), &mut rng()).unwrap();
        assert_eq!(base64::encode(&found.secrets.identity.hash().0), hash, "{name}");
        assert!(found.renewed.is_empty() && found.outdated.is_empty(), "{name}: {found:?}");
        assert_eq!(found.published.len(), 2, "{name}");
        let bytes = fs::read(peer(name).join("router.info")).unwrap();
        let info = RouterInfo::parse(&bytes).unwrap().verify().unwrap();
        assert_eq!(info.ntcp2_endpoint().unwrap().iv, found.secrets.ntcp2_iv, "{name}");
        let keys = RouterKeys::from_secrets(found.secrets).unwrap();
        assert!(info.has_ntcp2_static_key(&keys.ntcp2.static_public), "{name}");
        assert_eq!(&keys.identity, info.identity(), "{name}");
        let intro = base64::encode(&keys.ssu2_intro);
        let ssu2 = info.addresses().iter().find(|one| one.options.find("i") == Some(&intro));
        assert!(ssu2.is_some(), "{name}");
    }
}

#[test]
fn what_was_moved_in_survives_our_own_file() {
    for (origin, name, hash) in PEERS {
        let directory = tempfile::tempdir().unwrap();
        let found = foreign::read(origin, &peer(name), &mut rng()).unwrap();
        let path = directory.path().join(KEY_FILE);
        key_file::write(&path, &found.secrets, Existing::Refuse).unwrap();
        let keys = load(directory.path()).unwrap();
        assert_eq!(base64::encode(&keys.identity.hash().0), hash);
        assert!(keys.ntcp2.static_secret.ct_eq(&found.secrets.ntcp2_static));
        assert!(keys.ssu2_static.ct_eq(&found.secrets.ssu2_static));
        let again = foreign::read(Origin::Floodway, directory.path(), &mut rng()).unwrap();
        assert_eq!(again.secrets.identity, found.secrets.identity);
    }
}

#[test]
fn key_files_are_written_as_they_were_read() {
    for (origin, name, _) in PEERS {
        let file = |file: &str| fs::read(peer(name).join(file)).unwrap();
        match origin {
            Origin::I2pd => {
                let keys = IdentityKeys::parse(&file("router.keys")).unwrap();
                assert_eq!(*keys.write(), file("router.keys"));
                let keys = TransportKeys::<16>::parse_i2pd(&file("ntcp2.keys")).unwrap();
                assert_eq!(*keys.write_i2pd(), file("ntcp2.keys"));
                let keys = TransportKeys::<32>::parse_i2pd(&file("ssu2.keys")).unwrap();
                assert_eq!(*keys.write_i2pd(), file("ssu2.keys"));
            }
            Origin::Emissary => {
                let keys = TransportKeys::<16>::parse_emissary(&file("ntcp2.keys")).unwrap();
                assert_eq!(*keys.write_emissary(), file("ntcp2.keys"));
                let keys = TransportKeys::<32>::parse_emissary(&file("ssu2.keys")).unwrap();
                assert_eq!(*keys.write_emissary(), file("ssu2.keys"));
                for one in ["static.key", "signing.key"] {
                    assert_eq!(layouts::parse_single_key(&file(one)).unwrap()[..], file(one));
                }
            }
            Origin::Java => {
                let keys = IdentityKeys::parse(&file("router.keys.dat")).unwrap();
                assert_eq!(*keys.write(), file("router.keys.dat"));
                let config = String::from_utf8(file("router.config")).unwrap();
                let keys = JavaTransportKeys::parse(&config).unwrap();
                let secret = base64::encode(keys.ssu2.unwrap().secret.expose());
                assert!(config.contains(&format!("\ni2np.ssu2.sp={secret}\n")));
            }
            Origin::Floodway => panic!("{name} is no peer"),
        }
    }
}

#[test]
fn an_export_for_i2pd_is_what_i2pd_wrote() {
    for (origin, name, _) in PEERS {
        let found = foreign::read(origin, &peer(name), &mut rng()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("new/i2pd");
        let files = export::write(export::ExportFormat::I2pd, &target, found.secrets).unwrap();
        assert_eq!(files.len(), 3);
        for file in &files {
            assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
            if origin == Origin::I2pd {
                let original = fs::read(peer(name).join(file.file_name().unwrap())).unwrap();
                assert_eq!(fs::read(file).unwrap(), original, "{name}");
            }
        }
        let again = foreign::read(Origin::I2pd, &target, &mut rng()).unwrap();
        assert!(again.exposed.is_empty() && again.renewed.is_empty());
        let error = export::write(export::ExportFormat::I2pd, &target, again.secrets).unwrap_err();
        assert!(text(error).contains("exists already"));
    }
}

#[test]
fn keys_that_do_not_belong_together_are_refused() {
    let refused = |name: &str, origin: Origin, change: &dyn Fn(&Path)| {
        let directory = copy_of(name);
        change(directory.path());
        text(foreign::read(origin, directory.path(), &mut rng()).unwrap_err())
    };
    let i2pd = |change: &dyn Fn(&Path)| refused("i2pd-2.56.0", Origin::I2pd, change);
    let table = [
        (i2pd(&|d| flip(&d.join("router.keys"), 430)), "signing key does not belong"),
        (i2pd(&|d| flip(&d.join("router.keys"), 400)), "encryption key does not belong"),
        (i2pd(&|d| flip(&d.join("ntcp2.keys"), 0)), "public key does not belong"),
        (i2pd(&|d| flip(&d.join("ssu2.keys"), 40)), "public key does not belong"),
        (i2pd(&|d| fs::write(d.join("ssu2.keys"), [0; 95]).unwrap()), "needs 32 bytes, 31 are"),
        (i2pd(&|d| fs::remove_file(d.join("router.keys")).unwrap()), "no router.keys in"),
        (
            i2pd(&|d| {
                fs::copy(peer("i2pd-2.45.1").join("router.info"), d.join("router.info")).unwrap();
            }),
            "is the router info of kxbn9OC0",
        ),
        (
            refused("java-2.7.0", Origin::Java, &|d| {
                let config = fs::read_to_string(d.join("router.config")).unwrap();
                let bad = config.replace("i2np.ssu2.ikey=", "i2np.ssu2.ikey=A");
                fs::write(d.join("router.config"), bad).unwrap();
            }),
            "i2np.ssu2.ikey is not 32 bytes",
        ),
        (refused("i2pd-2.45.1", Origin::Java, &|_| ()), "usually /var/lib/i2p/i2p-config"),
        (
            refused("emissary-0.4.0", Origin::Emissary, &|d| flip(&d.join("static.key"), 5)),
            "encryption key does not belong",
        ),
        (
            refused("emissary-0.4.0", Origin::Emissary, &|d| {
                fs::remove_file(d.join("router.info")).unwrap();
            }),
            "no router.info in",
        ),
    ];
    for (found, expected) in table {
        assert!(found.contains(expected), "{expected:?} is not in: {found}");
        assert!(!found.contains("i2np.ssu2.ikey="), "a secret is shown: {found}");
    }
}

#[test]
fn transports_that_were_off_get_new_keys_and_changed_ones_are_noted() {
    let directory = copy_of("i2pd-2.59.0");
    fs::remove_file(directory.path().join("ssu2.keys")).unwrap();
    let secret = X25519Secret::from_bytes([9; 32]);
    let keys = TransportKeys::<16> { secret, intro: [8; 16] };
    fs::write(directory.path().join("ntcp2.keys"), keys.write_i2pd()).unwrap();
    let exposed = directory.path().join("router.keys");
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o640)).unwrap();
    let found = foreign::read(Origin::I2pd, directory.path(), &mut rng()).unwrap();
    assert_eq!(found.renewed, ["SSU2"]);
    assert_eq!(found.outdated, ["NTCP2", "SSU2"]);
    let notes = notes_on(Origin::I2pd, &found).join("\n");
    for part in [
        "can be read by others",
        "no keys of SSU2 were there",
        "the NTCP2 key in its router.info is another",
        "--host 51.4.0.1 --port 15003",
        "stop the old router",
    ] {
        assert!(notes.contains(part), "{part} is not in:\n{notes}");
    }
    assert!(!notes.contains("the SSU2 key in its router.info"), "{notes}");
}
