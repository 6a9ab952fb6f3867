//! Bundles that count, and every way in which they do not.

use super::*;
use std::sync::Arc;

use crate::crypto::signature::{SigningPublicKey, SigningSecret};
use crate::proto::netdb::testing::{NOON, ROUTER, router_info};
use crate::wire::su3::Su3Draft;

const NETWORK: u8 = 99;
const NAME: &str = "someone@mail.example";
const DAY: Duration = Duration::from_secs(86_400);

fn secret(seed: u8) -> SigningSecret {
    SigningSecret::new(SignatureType::Ed25519, &[seed; 32]).unwrap()
}

fn certified(key: SigningPublicKey) -> Certified {
    Certified { key, from: NOON - DAY, until: NOON + DAY }
}

fn signers() -> Signers {
    Signers::of_one(NAME, certified(secret(1).public_key()))
}

fn content() -> Vec<u8> {
    let routers = [router_info(1, NOON, ROUTER), router_info(2, NOON, ROUTER)];
    archive::write(&routers).unwrap()
}

fn version() -> String {
    NOON.seconds_rounded().to_string()
}

struct Changed<'a> {
    version: &'a str,
    signer: &'a str,
    content: &'a [u8],
    content_type: Su3ContentType,
    file_type: Su3FileType,
}

fn bundle(change: impl FnOnce(&mut Changed<'_>)) -> Vec<u8> {
    let (version, content) = (version(), content());
    let mut changed = Changed {
        version: &version,
        signer: NAME,
        content: &content,
        content_type: Su3ContentType::Reseed,
        file_type: Su3FileType::Zip,
    };
    change(&mut changed);
    let draft = Su3Draft {
        signature_type: SignatureType::Ed25519,
        file_type: changed.file_type,
        content_type: changed.content_type,
        version: changed.version,
        signer: changed.signer,
        content: changed.content,
    };
    let mut bytes = Vec::new();
    draft.write(&mut bytes, |message| secret(1).sign(&[0; 80], message).into()).unwrap();
    bytes
}

fn opened(bytes: &[u8], signers: &Signers, now: UnixTime) -> Result<Seeds, BundleError> {
    open(bytes, NETWORK, &Trust { signers, now })
}

fn refusal(bytes: &[u8]) -> BundleError {
    opened(bytes, &signers(), NOON).unwrap_err()
}

#[test]
fn a_bundle_of_a_known_signer_is_opened() {
    let seeds = opened(&bundle(|_| ()), &signers(), NOON).unwrap();
    assert_eq!((seeds.routers.len(), seeds.foreign, seeds.refused.len()), (2, 0, 0));
    assert_eq!(
        open(&bundle(|_| ()), 98, &Trust { signers: &signers(), now: NOON }).unwrap().foreign,
        2
    );
}

#[test]
fn any_flipped_bit_is_seen() {
    let bytes = bundle(|_| ());
    // Bytes of the header that mean nothing are signed as well.
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(opened(&flipped, &signers(), NOON).is_err(), "byte {at}");
    }
    let mut flipped = bytes.clone();
    let middle = bytes.len() / 2;
    flipped[middle] ^= 1;
    assert_eq!(refusal(&flipped), BundleError::Signature { signer: NAME.to_owned() });
}

#[test]
fn a_bundle_cut_short_anywhere_is_seen() {
    let bytes = bundle(|_| ());
    for length in 0..bytes.len() {
        let error = refusal(&bytes[..length]);
        assert!(matches!(error, BundleError::Malformed(_)), "{length}: {error}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(matches!(refusal(&longer), BundleError::Malformed(_)));
}

#[test]
fn strangers_and_expired_certificates_are_refused_by_name() {
    let bytes = bundle(|_| ());
    let stranger = Signers::of_one(NAME, certified(secret(2).public_key()));
    let error = opened(&bytes, &stranger, NOON).unwrap_err();
    assert_eq!(error, BundleError::Signature { signer: NAME.to_owned() });
    let other = Signers::of_one("other@mail.example", certified(secret(1).public_key()));
    let text = opened(&bytes, &other, NOON).unwrap_err().to_string();
    assert!(text.contains(NAME) && text.contains("--reseed-signers"), "{text}");
    let late = NOON + 2 * DAY;
    let text = opened(&bytes, &signers(), late).unwrap_err().to_string();
    assert!(text.contains("has expired on 2026-01-02T12:00:00Z"), "{text}");
    let early = NOON - 2 * DAY;
    let text = opened(&bytes, &signers(), early).unwrap_err().to_string();
    assert!(text.contains("counts from 2025-12-31T12:00:00Z on"), "{text}");
    // A new certificate beside the expired one is enough.
    let mut both = signers();
    let renewed = Certified { until: NOON + 10 * DAY, ..certified(secret(1).public_key()) };
    both.extend(Signers::of_one(NAME, renewed));
    assert!(opened(&bytes, &both, late).is_ok());
}

#[test]
fn the_time_of_a_bundle_counts() {
    let at = |seconds: u32| {
        let version = seconds.to_string();
        let bytes = bundle(|b| b.version = String::leak(version));
        opened(&bytes, &signers(), NOON).err()
    };
    let now = NOON.seconds_rounded();
    let day = 86_400;
    assert_eq!(at(now - 30 * day), None);
    assert!(matches!(at(now - 30 * day - 1), Some(BundleError::Old { .. })));
    assert_eq!(at(now + day), None);
    assert!(matches!(at(now + day + 1), Some(BundleError::Future { .. })));
    let error = refusal(&bundle(|b| b.version = "0.9.68-something"));
    assert_eq!(error, BundleError::Version { found: "0.9.68-something".to_owned() });
}

#[test]
fn what_is_no_bundle_is_named() {
    assert!(matches!(refusal(b"<!DOCTYPE html>"), BundleError::Malformed(_)));
    let news = bundle(|b| b.content_type = Su3ContentType::News);
    assert_eq!(refusal(&news), BundleError::Content { found: 4 });
    let xml = bundle(|b| b.file_type = Su3FileType::Xml);
    assert_eq!(refusal(&xml), BundleError::FileType { found: 1 });
    assert!(matches!(refusal(&bundle(|b| b.content = b"no zip")), BundleError::Zip(_)));
    let large = vec![0; 1024 * 1024];
    assert_eq!(refusal(&bundle(|b| b.content = &large.clone().leak()[..])), BundleError::TooLarge);
}

#[test]
fn bundles_that_openssl_has_signed_are_opened() {
    let vectors = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/su3");
    let (signers, _) = Signers::load(&vectors.join("certificates")).unwrap();
    for name in ["rsa4096", "p256", "ed25519"] {
        let bytes = std::fs::read(vectors.join(format!("reseed_{name}.su3"))).unwrap();
        let signer = format!("{name}@floodway.test");
        let certified = signers.of(&signer).next().unwrap();
        // Whatever the dates are: they are not what this is about.
        let always =
            Certified { from: UnixTime(0), until: UnixTime(u64::MAX), ..certified.clone() };
        let signers = Signers::of_one(&signer, always);
        let now = UnixTime::from_seconds(1_795_500_000);
        let outcome = opened(&bytes, &signers, now);
        assert!(outcome.is_ok(), "{name}: {:?}", outcome.err());
    }
}

/// As a host would do it who wants to fill our memory.
#[test]
fn a_bomb_is_unpacked_no_further_than_a_router_info_goes() {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for n in 0..40 {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(format!("routerInfo-{n}.dat"), options).unwrap();
        writer.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = Arc::new(writer.finish().unwrap().into_inner());
    let seeds = opened(&bundle(|b| b.content = bomb.to_vec().leak()), &signers(), NOON).unwrap();
    assert_eq!(seeds.refused.len(), 40);
    assert!(seeds.refused.iter().all(|(_, why)| *why == super::super::Refusal::TooLarge));
}
