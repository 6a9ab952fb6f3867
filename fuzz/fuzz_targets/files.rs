//! Files that come from outside: signed bundles, zips and router infos to begin with, keys of other routers.

use std::io::Write;

use floodway::crypto::signature::{SignatureType, SigningPublicKey};
use floodway::proto::peer::conduct::{Profile, STORED_SIZE};
use floodway::wire::gzip::Gzip;
use floodway::wire::su3::Su3;

use crate::Target;
use crate::layouts::{IdentityKeys, JavaTransportKeys, TransportKeys, parse_single_key};
use crate::reseed::archive;
use crate::samples;
use crate::seeds::{FILES_MAX, read_router};

pub const TARGETS: &[Target] = &[
    Target { name: "su3", run: su3, seeds: su3_seeds },
    Target { name: "key_layouts", run: key_layouts, seeds: samples::key_files },
    Target { name: "reseed", run: reseed, seeds: reseed_seeds },
    Target { name: "gzip", run: gzip, seeds: gzip_seeds },
    Target { name: "profile", run: profile, seeds: profile_seeds },
];

/// What the sizes of records are bounded by on their way.
const INFLATED_MAX: usize = 3072;

fn su3(bytes: &[u8]) {
    let Ok(file) = Su3::parse(bytes) else { return };
    assert!(file.peek_content().len() + file.signature().len() < bytes.len());
    assert!(bytes.starts_with(file.signed()));
    if let Some(key) = SigningPublicKey::new(SignatureType::Ed25519, &[0x58; 32]) {
        let _ = file.verify(&key);
    }
}

/// Keys of other routers, in each of the forms that they have.
fn key_layouts(bytes: &[u8]) {
    if let Ok(keys) = IdentityKeys::parse(bytes) {
        assert!(bytes.starts_with(&keys.write()));
    }
    let _ = TransportKeys::<16>::parse_i2pd(bytes);
    let _ = TransportKeys::<32>::parse_emissary(bytes);
    let _ = parse_single_key(bytes);
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = JavaTransportKeys::parse(text);
    }
}

/// A zip, and what each file in it is taken for.
fn reseed(bytes: &[u8]) {
    if let Ok(seeds) = archive::read(bytes, 99) {
        assert!(seeds.routers.len() + seeds.foreign + seeds.refused.len() <= FILES_MAX);
    }
    let _ = read_router(bytes);
}

/// The input as a member and as what goes into one, one behind the other with the same tables: whatever came before, what
/// we write is read again.
fn gzip(bytes: &[u8]) {
    let mut gzip = Gzip::new();
    if let Ok(out) = gzip.inflate(bytes, INFLATED_MAX) {
        assert!(out.len() <= INFLATED_MAX);
        assert_eq!(Gzip::new().inflate(bytes, out.len()).as_deref(), Ok(&out[..]));
        for member in [gzip.member(&out), gzip.deflate(&out)] {
            assert_eq!(gzip.inflate(&member, out.len()).as_deref(), Ok(&out[..]));
        }
    }
    for member in [gzip.member(bytes), gzip.deflate(bytes)] {
        assert_eq!(gzip.inflate(&member, bytes.len()).as_deref(), Ok(bytes));
        assert!(bytes.is_empty() || gzip.inflate(&member, bytes.len() - 1).is_err());
        assert!(gzip.inflate(&member[..member.len() - 1], bytes.len()).is_err());
    }
}

/// What is known of a router, as it is kept on the disk: read is what was written.
fn profile(bytes: &[u8]) {
    let Some(profile) = Profile::read(bytes) else { return };
    let written = profile.write();
    assert_eq!(Profile::read(&written), Some(profile));
    assert_eq!(bytes.len(), STORED_SIZE);
    // Without a ban the time of one means nothing.
    assert!(profile.ban.is_none() || bytes == written);
}

fn su3_seeds() -> Vec<Vec<u8>> {
    let header = |signature: u16, size: u16, content: &[u8]| {
        let mut file = b"I2Psu3\0\0".to_vec();
        file.extend(signature.to_be_bytes());
        file.extend(size.to_be_bytes());
        file.extend([0, 16, 0, 17]);
        file.extend((content.len() as u64).to_be_bytes());
        file.extend([0, 0, 0, 3]);
        file.extend([0; 12]);
        file.extend(b"1768478400\0\0\0\0\0\0");
        file.extend(b"someone@mail.i2p.");
        file.extend(content);
        file.resize(file.len() + usize::from(size), 9);
        file
    };
    let zip = zip_of(&[("routerInfo-a.dat", &samples::router_infos()[2])]);
    vec![header(6, 512, &zip), header(7, 64, b"text")]
}

fn reseed_seeds() -> Vec<Vec<u8>> {
    let infos = samples::router_infos();
    let mut seeds = vec![
        zip_of(&[("routerInfo-a.dat", &infos[2]), ("x.txt", b"x"), ("b.info", &infos[3])]),
        zip_of(&[]),
        infos[0].clone(),
    ];
    seeds.extend(su3_seeds());
    seeds
}

fn gzip_seeds() -> Vec<Vec<u8>> {
    let mut gzip = Gzip::new();
    let infos = samples::router_infos();
    let mut seeds = vec![gzip.deflate(&infos[2]), gzip.member(b"short"), gzip.deflate(&[0; 4000])];
    // With a name, a comment and a field of its own.
    let mut whole = gzip.member(b"x");
    whole[3] = 0x1c;
    whole.splice(10..10, *b"\x02\x00exname\0comment\0");
    seeds.push(whole);
    seeds.push(infos[0].clone());
    seeds
}

fn profile_seeds() -> Vec<Vec<u8>> {
    let mut plain = Profile::default().write();
    plain[4] = 3;
    let mut banned = plain;
    banned[25] = 1;
    banned[26..].copy_from_slice(&1_764_547_200_000_000_u64.to_be_bytes());
    vec![plain.to_vec(), banned.to_vec()]
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).expect("a name of a few letters");
        writer.write_all(bytes).expect("memory can be written");
    }
    writer.finish().expect("memory can be written").into_inner()
}
