//! `floodway identity`: making, showing, moving in, copying.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{failure, floodway, run_in};

/// Hash of the i2pd whose files are in `vectors/peers/i2pd-2.56.0`.
const I2PD_HASH: &str = "QnOpuXwglxxQpw4~BGT7WJqLNb-tqzDdNnG-YW~bEHI=";
const JAVA_HASH: &str = "7xcb0NhIjTwPMHaZZEws044EYaC12ndoaXodi0IaGWM=";

fn peer(name: &str) -> String {
    format!("{}/tests/vectors/peers/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn json(directory: &Path, args: &[&str]) -> serde_json::Value {
    let output = run_in(directory, args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {errors}");
    assert_eq!(errors, "", "JSON says all there is to say");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_identity_moves_in_from_each_router_and_keeps_its_hash() {
    for (router, name, hash) in [
        ("i2pd", "i2pd-2.45.1", "kxbn9OC0IXV~I4aqjm2T7g4ldW8fveppTF0HjEKfGVw="),
        ("i2pd", "i2pd-2.56.0", I2PD_HASH),
        ("i2pd", "i2pd-2.59.0", "cU1UNoSJ~Axl2T2ugJ5FuzGMe-baDNtyYbLxfoeis~g="),
        ("java", "java-2.7.0", JAVA_HASH),
        ("emissary", "emissary-0.4.0", "LQ7L~zNj10v3Ll-OXNSpLHGB4FUwDrj6ZywpnMfWFaM="),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let imported = json(
            directory.path(),
            &["identity", "import", "--from", router, &peer(name), "--json"],
        );
        assert_eq!(imported["hash"], hash, "{name}");
        assert!(imported["published"].to_string().contains("\"NTCP2 51."), "{name}");
        assert!(imported["notes"].to_string().contains("stop the old router"), "{name}");
        let shown = json(directory.path(), &["identity", "show", "--json"]);
        assert_eq!(shown["hash"], hash, "{name}");
        assert_eq!(shown["identity"], imported["identity"]);
        assert_eq!(mode(&directory.path().join("router.keys")), 0o600);
    }
}

#[test]
fn an_import_does_not_overwrite_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let import = ["identity", "import", "--from", "i2pd", &peer("i2pd-2.56.0")];
    let generated = json(directory.path(), &["identity", "generate", "--json"]);
    let (code, text) = failure(directory.path(), &import);
    assert_eq!(code, 1);
    assert!(text.contains("exists already") && text.contains("--replace"), "{text}");
    let shown = json(directory.path(), &["identity", "show", "--json"]);
    assert_eq!(shown["hash"], generated["hash"]);

    let output = run_in(directory.path(), &[&import[..], &["--replace"]].concat());
    assert!(output.status.success());
    let (out, notes) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(out.contains(&format!("hash      {I2PD_HASH}\n")), "{out}");
    assert!(out.contains("published NTCP2 51.2.0.1:15001\n"), "{out}");
    assert!(notes.contains("floodway: note: the earlier identity is kept in"), "{notes}");
    assert!(notes.contains("--host 51.2.0.1 --port 15001"), "{notes}");
    let kept = &generated["hash"].as_str().unwrap()[..8];
    let kept = directory.path().join(format!("router.keys.{kept}"));
    assert_eq!(mode(&kept), 0o600);

    // Back to what was there, by its own name.
    let kept = kept.to_str().unwrap();
    let back = json(
        directory.path(),
        &["identity", "import", "--from", "floodway", kept, "--replace", "--json"],
    );
    assert_eq!(back["hash"], generated["hash"]);
}

#[test]
fn an_import_that_fails_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    for (router, source, expected) in [
        ("i2pd", peer("java-2.7.0"), "there is no router.keys in"),
        ("java", peer("i2pd-2.56.0"), "usually /var/lib/i2p/i2p-config or ~/.i2p"),
        ("i2pd", "/nonexistent".to_owned(), "usually /var/lib/i2pd or ~/.i2pd"),
        ("floodway", peer("i2pd-2.56.0"), "router.keys"),
        ("i2pd", peer("i2pd-2.56.0/router.keys"), "give the directory"),
    ] {
        let (code, text) = failure(&data, &["identity", "import", "--from", router, &source]);
        assert_eq!(code, 1);
        assert!(text.contains(expected), "{expected:?} is not in: {text}");
        assert!(!data.exists(), "{router}");
    }
    assert_eq!(failure(&data, &["identity", "import", &peer("i2pd-2.56.0")]).0, 2);
    assert_eq!(failure(&data, &["identity", "import", "--from", "i2p", "x"]).0, 2);
}

#[test]
fn copies_are_for_their_owner_and_never_overwrite() {
    let directory = tempfile::tempdir().unwrap();
    let inside = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (copy, i2pd) = (inside("copy"), inside("for-i2pd"));
    let data = directory.path().join("data");
    let (code, text) = failure(&data, &["identity", "export", &copy]);
    assert_eq!(code, 1);
    assert!(text.contains("identity generate"), "{text}");
    json(&data, &["identity", "import", "--from", "java", &peer("java-2.7.0"), "--json"]);

    let exported = json(&data, &["identity", "export", &copy, "--json"]);
    assert_eq!(exported["hash"], JAVA_HASH);
    assert_eq!(exported["files"][0], copy.as_str());
    let output = run_in(&data, &["identity", "export", "--to", "i2pd", &i2pd]);
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 3, "{lines}");
    for path in lines.lines().chain([copy.as_str()]) {
        assert_eq!(mode(Path::new(path)), 0o600, "{path}");
    }
    // The Java router's file and i2pd's have one layout.
    let original = fs::read(format!("{}/router.keys.dat", peer("java-2.7.0"))).unwrap();
    assert_eq!(fs::read(format!("{i2pd}/router.keys")).unwrap(), original);

    for args in [&["identity", "export", &copy][..], &["identity", "export", "--to", "i2pd", &i2pd]]
    {
        let (code, text) = failure(&data, args);
        assert_eq!(code, 1);
        assert!(text.contains("exists already"), "{text}");
    }
    let other = tempfile::tempdir().unwrap();
    for (router, source) in [("floodway", &copy), ("i2pd", &i2pd)] {
        let args = ["identity", "import", "--from", router, source, "--replace", "--json"];
        assert_eq!(json(other.path(), &args)["hash"], JAVA_HASH);
    }
}

#[test]
fn a_copy_that_others_can_read_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    json(directory.path(), &["identity", "generate", "--json"]);
    let path = directory.path().join("router.keys");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let path = path.to_str().unwrap();
    let other = tempfile::tempdir().unwrap();
    for args in [
        &["identity", "import", "--from", "floodway", path][..],
        &["identity", "show", "--data-dir", directory.path().to_str().unwrap()],
    ] {
        let (code, text) = failure(other.path(), args);
        assert_eq!(code, 1);
        assert!(text.contains("mode 640") && text.contains("chmod 600"), "{text}");
    }
}

#[test]
fn secrets_are_never_printed() {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy");
    let data = directory.path().join("data");
    let source = peer("java-2.7.0");
    let mut printed = String::new();
    for args in [
        &["identity", "import", "--from", "java", &source][..],
        &["identity", "show", "--json"],
        &["identity", "export", copy.to_str().unwrap()],
    ] {
        let output = run_in(&data, args);
        assert!(output.status.success());
        printed += &String::from_utf8(output.stdout).unwrap();
        printed += &String::from_utf8(output.stderr).unwrap();
    }
    let config = fs::read_to_string(format!("{source}/router.config")).unwrap();
    let secrets = config.lines().filter(|line| line.starts_with("i2np.") && line.contains("2.sp="));
    let mut seen = 0;
    for line in secrets {
        let (_, secret) = line.split_once('=').unwrap();
        assert!(!printed.contains(&secret[..20]), "{line}");
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn help_names_what_there_is() {
    for (args, parts) in [
        (&["identity", "--help"][..], &["show", "generate", "import", "export"][..]),
        (
            &["identity", "import", "--help"],
            &["--from <ROUTER>", "i2pd", "java", "emissary", "floodway", "--replace", "--json"],
        ),
        (&["identity", "export", "--help"], &["--to <ROUTER>", "<TARGET>", "--data-dir"]),
    ] {
        let output = floodway(args).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        for part in parts {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
    }
}
