//! `floodway inspect`: what files hold, for people or as JSON.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::app::args::InspectArgs;
use crate::base::limits::ROUTER_INFO_MAX;
use crate::crypto::signature::{SignatureType, Verdict, verify};
use crate::wire::base64;
use crate::wire::router_address::{RouterAddress, TransportStyle};
use crate::wire::router_info::{RouterInfo, Version};
use crate::wire::unverified::Unverified;

/// Oldest version of the protocols that other routers still use for tunnels and stores.
const VERSION_MIN: Version = Version { major: 0, minor: 9, patch: 59 };

/// What became of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All are decoded whole, and their signatures hold.
    AllGood,
    /// At least one is not.
    SomeBad,
}

/// One file, looked into.
struct Findings {
    object: Map<String, Value>,
    good: bool,
}

/// Looks into each file and writes what it holds to standard output.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &InspectArgs) -> io::Result<Outcome> {
    let mut out = io::stdout().lock();
    let mut outcome = Outcome::AllGood;
    for path in &args.files {
        let findings = inspect(path);
        if args.json {
            writeln!(out, "{}", Value::Object(findings.object))?;
        } else {
            write_text(&mut out, &findings.object)?;
        }
        if !findings.good {
            outcome = Outcome::SomeBad;
        }
    }
    Ok(outcome)
}

fn inspect(path: &Path) -> Findings {
    let file = path.display().to_string();
    match read(path) {
        Ok(bytes) => match RouterInfo::parse(&bytes) {
            Ok(info) => describe(file, &info),
            Err(error) => undecoded(file, &error.to_string()),
        },
        Err(error) => undecoded(file, &format!("cannot be read: {error}")),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than a router info may have is enough to see that it is too large.
    let limit = u64::try_from(ROUTER_INFO_MAX + 1).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn undecoded(file: String, problem: &str) -> Findings {
    let object = json!({
        "file": file,
        "kind": "router_info",
        "hash": null,
        "signature": "absent",
        "accepted": false,
        "problems": [problem],
    });
    Findings { object: object.as_object().cloned().unwrap_or_default(), good: false }
}

fn describe(file: String, unverified: &Unverified<RouterInfo>) -> Findings {
    let info = unverified.peek();
    let verdict = verify(&unverified.check());
    let signature = match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        Verdict::Unsupported => "unsupported",
    };
    let problems = problems(info, verdict);
    let options: Map<_, _> =
        info.options().iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    let version = info.version().map(|v| format!("{}.{}.{}", v.major, v.minor, v.patch));
    let object = json!({
        "file": file,
        "kind": "router_info",
        "hash": base64::encode(&info.hash().0),
        "signature": signature,
        "accepted": problems.is_empty(),
        "problems": problems,
        "published_ms": info.published().0,
        "network": info.network(),
        "version": version,
        "capabilities": info.options().find("caps"),
        "floodfill": info.capabilities().is_floodfill(),
        "signature_type": info.identity().signing_key().kind().code(),
        "encryption_type": info.identity().encryption_key().map(|_| 4),
        "size": info.bytes().len(),
        "addresses": info.addresses().iter().map(address).collect::<Vec<_>>(),
        "options": options,
    });
    let object = object.as_object().cloned().unwrap_or_default();
    Findings { object, good: verdict == Verdict::Valid }
}

fn address(address: &RouterAddress) -> Value {
    let style = match &address.style {
        TransportStyle::Ntcp2 => "NTCP2",
        TransportStyle::Ssu2 => "SSU2",
        TransportStyle::Other(name) => name.as_str(),
    };
    let options: Map<_, _> =
        address.options.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
    json!({
        "style": style,
        "cost": address.cost,
        "endpoint": address.endpoint().map(|endpoint| endpoint.to_string()),
        "options": options,
    })
}

/// Why a router of today would not take this record, its dates aside.
fn problems(info: &RouterInfo, verdict: Verdict) -> Vec<String> {
    let mut problems = Vec::new();
    let mut note = |text: &str| problems.push(text.to_owned());
    match verdict {
        Verdict::Valid => {}
        Verdict::Invalid => note("the signature does not hold"),
        Verdict::Unsupported => note("the signature is of a type that is not checked"),
    }
    let kind = info.identity().signing_key().kind();
    if kind != SignatureType::Ed25519 && kind != SignatureType::RedDsa {
        note("the identity's signing key is not Ed25519");
    }
    if info.identity().encryption_key().is_none() {
        note("the identity's encryption key is not X25519");
    }
    if info.network().is_none() {
        note("no network id");
    }
    match info.version() {
        None => note("no router version"),
        Some(version) if version < VERSION_MIN => note("the router version is below 0.9.59"),
        Some(_) => {}
    }
    problems
}

/// A line per field; lists and objects indented below their name.
fn write_text(out: &mut impl Write, object: &Map<String, Value>) -> io::Result<()> {
    let file = object.get("file").and_then(Value::as_str).unwrap_or_default();
    writeln!(out, "{}", printable(file))?;
    for (name, value) in object.iter().filter(|(name, _)| *name != "file") {
        write_field(out, 1, name, value)?;
    }
    Ok(())
}

fn write_field(out: &mut impl Write, depth: usize, name: &str, value: &Value) -> io::Result<()> {
    let indent = "  ".repeat(depth);
    let name = printable(name);
    match value {
        Value::Null => writeln!(out, "{indent}{name}: none"),
        Value::Bool(true) => writeln!(out, "{indent}{name}: yes"),
        Value::Bool(false) => writeln!(out, "{indent}{name}: no"),
        Value::Number(number) => writeln!(out, "{indent}{name}: {number}"),
        Value::String(text) => writeln!(out, "{indent}{name}: {}", printable(text)),
        Value::Array(items) => {
            writeln!(out, "{indent}{name}: {}", if items.is_empty() { "none" } else { "" })?;
            let numbered = items.iter().zip(1..);
            numbered.into_iter().try_for_each(|(item, number)| {
                write_field(out, depth + 1, &format!("{number}"), item)
            })
        }
        Value::Object(fields) => {
            writeln!(out, "{indent}{name}:")?;
            fields.iter().try_for_each(|(name, value)| write_field(out, depth + 1, name, value))
        }
    }
}

/// Text of a stranger without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const I2PD: &[u8] = include_bytes!("../../tests/vectors/router_info_i2pd_2.59.0.dat");

    fn findings(bytes: &[u8]) -> Findings {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("router.info");
        std::fs::write(&path, bytes).unwrap();
        inspect(&path)
    }

    #[test]
    fn a_good_router_info_is_described() {
        let Findings { object, good } = findings(I2PD);
        assert!(good);
        assert_eq!(object["kind"], "router_info");
        assert_eq!(object["signature"], "valid");
        assert_eq!(object["accepted"], true);
        assert_eq!(object["network"], 99);
        assert_eq!(object["hash"].as_str().unwrap().len(), 44);
        assert_eq!(object["addresses"].as_array().unwrap().len(), 2);
        assert_eq!(object["addresses"][0]["options"]["v"], "2");
        let mut text = Vec::new();
        write_text(&mut text, &object).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("  signature: valid\n") && text.contains("  problems: none\n"),
            "{text}"
        );
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
            let Findings { object, good } = findings(bytes);
            assert!(!good);
            assert_eq!(object["problems"].as_array().unwrap().len(), 1);
            assert_eq!(object["signature"], "absent");
        }
        assert!(!inspect(Path::new("/nonexistent")).good);
    }

    #[test]
    fn terminals_are_told_nothing() {
        assert_eq!(printable("a\u{1b}[31m\n"), "a\u{fffd}[31m\u{fffd}");
    }
}
