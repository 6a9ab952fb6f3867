//! `floodway inspect`: what it says of files, and its exit codes.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{failure, floodway, run_in};

fn vector(name: &str) -> String {
    format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn peers() -> Vec<PathBuf> {
    let directories = fs::read_dir(vector("peers")).unwrap().map(|entry| entry.unwrap().path());
    let files = directories
        .filter(|path| path.is_dir())
        .flat_map(|directory| fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()));
    files.collect()
}

/// Exit code and one object per line.
fn inspect(args: &[&str]) -> (i32, Vec<Value>) {
    let output = floodway(&["inspect", "--json"]).args(args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code().unwrap(), objects)
}

#[test]
fn all_files_of_all_peers_are_good() {
    let paths = peers();
    let args: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let (code, objects) = inspect(&args);
    assert_eq!(code, 0);
    assert_eq!(objects.len(), 20);
    for (object, path) in objects.iter().zip(&paths) {
        assert_eq!(object["file"], path.to_str().unwrap());
        for name in ["kind", "hash", "signature", "accepted", "problems"] {
            assert!(object.get(name).is_some(), "{name} is not in {object}");
        }
    }
    // The same for people.
    let output = floodway(&["inspect"]).args(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("  kind: router_info\n") && text.contains("  signature: valid\n"),
        "{text}"
    );
    assert!(text.contains("  accepted: yes\n") && text.contains("  format: emissary"), "{text}");
    assert!(!text.contains("_ms"), "{text}");
}

#[test]
fn one_bad_file_among_good_ones_decides() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.dat");
    let good = vector("router_info_i2pd_2.59.0.dat");
    let mut bytes = fs::read(&good).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let (code, objects) = inspect(&[&good, path.to_str().unwrap(), &good]);
    assert_eq!(code, 1);
    let signatures: Vec<_> = objects.iter().map(|object| object["signature"].clone()).collect();
    assert_eq!(signatures, ["valid", "invalid", "valid"]);

    fs::write(&path, b"x").unwrap();
    let output = run_in(directory.path(), &["inspect", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("accepted: no"));
    let (code, objects) = inspect(&["/nonexistent"]);
    assert_eq!(code, 1);
    assert!(objects[0]["problems"][0].as_str().unwrap().starts_with("cannot be read"));
}

#[test]
fn a_kind_can_be_given() {
    let lease_set = vector("lease_set2_ed25519.dat");
    for args in [&[lease_set.as_str()][..], &["--kind", "lease_set2", &lease_set]] {
        let (code, objects) = inspect(args);
        assert_eq!(code, 0);
        assert_eq!(objects[0]["kind"], "lease_set2");
    }
    for kind in ["router_info", "lease_set", "encrypted_lease_set", "meta_lease_set", "su3", "keys"]
    {
        let (code, objects) = inspect(&["--kind", kind, &lease_set]);
        assert_eq!(code, 1, "{kind}");
        assert_eq!(objects[0]["kind"], kind);
    }
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(failure(directory.path(), &["inspect", "--kind", "x", &lease_set]).0, 2);
    assert_eq!(failure(directory.path(), &["inspect"]).0, 2);
}

#[test]
fn su3_files_need_the_certificate_of_their_signer() {
    let file = vector("su3/reseed_rsa4096.su3");
    let (code, objects) = inspect(&[&file]);
    assert_eq!((code, &objects[0]["signature"]), (1, &"unknown_signer".into()));
    assert_eq!(objects[0]["kind"], "su3");
    let (code, objects) = inspect(&["--certificates", &vector("su3/certificates"), &file]);
    assert_eq!((code, &objects[0]["signature"]), (0, &"valid".into()));
    assert_eq!(objects[0]["accepted"], true);
    let directory = tempfile::tempdir().unwrap();
    let args = ["inspect", "--certificates", "/nonexistent", &file];
    let (code, text) = failure(directory.path(), &args);
    assert_eq!(code, 1);
    assert!(text.contains("cannot read the certificates in /nonexistent"), "{text}");
    fs::write(directory.path().join("x.crt"), b"x").unwrap();
    let here = directory.path().to_str().unwrap();
    let (code, text) = failure(directory.path(), &["inspect", "--certificates", here, &file]);
    assert_eq!(code, 1);
    assert!(text.contains("x.crt: no X.509 certificate"), "{text}");
}
