//! Sources of all kinds, whole and damaged.

use super::*;
use crate::wire::unverified::SignatureRefused;
use std::io::Write;
use zip::write::SimpleFileOptions;

const I2PD: &[u8] = include_bytes!("../../../tests/vectors/router_info_i2pd_2.59.0.dat");
const JAVA: &[u8] = include_bytes!("../../../tests/vectors/router_info_java_2.7.0.dat");
/// Network of the samples.
const NETWORK: u8 = 99;

fn source(path: &Path) -> [Source; 1] {
    [Source::File(path.to_owned())]
}

/// Reads sources where nobody's signature counts.
fn load(sources: &[Source], network: u8) -> Result<Seeds, ReseedError> {
    load_files(sources, network, &Trust { signers: &Signers::default(), now: UnixTime(0) })
}

fn zip_of(path: &Path, files: &[(&str, &[u8])]) {
    let mut writer = zip::ZipWriter::new(File::create(path).unwrap());
    for (name, bytes) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap();
}

fn forged() -> Vec<u8> {
    let mut bytes = I2PD.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

#[test]
fn directories_are_read_and_strange_files_named() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    write("routerInfo-a.dat", I2PD);
    write("java.info", JAVA);
    write("again.dat", JAVA);
    write("short.dat", b"short");
    write("forged.dat", &forged());
    write("large.dat", &[0; 5000]);
    write("notes.txt", b"not looked at");
    fs::create_dir(directory.path().join("sub.dat")).unwrap();
    let seeds = load(&source(directory.path()), NETWORK).unwrap();
    assert_eq!(seeds.routers.len(), 2);
    let refused: Vec<_> =
        seeds.refused.iter().map(|(name, _)| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(refused, ["forged.dat", "large.dat", "short.dat"]);
    assert_eq!(seeds.refused[0].1, Refusal::Signature(SignatureRefused::Invalid));
    assert_eq!(seeds.refused[1].1, Refusal::TooLarge);
}

#[test]
fn zips_are_read_within_bounds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seeds.zip");
    let bomb = vec![0; 3 << 20];
    zip_of(&path, &[("routerInfo-a.dat", I2PD), ("x.txt", b"x"), ("bomb.dat", &bomb)]);
    let seeds = load(&source(&path), NETWORK).unwrap();
    assert_eq!(seeds.routers.len(), 1);
    assert_eq!(seeds.refused, [("bomb.dat".to_owned(), Refusal::TooLarge)]);
    fs::write(&path, [ZIP_MAGIC, &[7; 100]].concat()).unwrap();
    assert!(matches!(load(&source(&path), NETWORK), Err(ReseedError::Zip { .. })));
    fs::write(&path, [ZIP_MAGIC, &vec![7; 5 << 20]].concat()).unwrap();
    assert!(matches!(load(&source(&path), NETWORK), Err(ReseedError::ZipTooLarge { .. })));
}

#[test]
fn a_single_router_info_is_a_source_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("router.info");
    fs::write(&path, I2PD).unwrap();
    assert_eq!(load(&source(&path), NETWORK).unwrap().routers.len(), 1);
    fs::write(&path, b"hello").unwrap();
    assert!(matches!(load(&source(&path), NETWORK), Err(ReseedError::Kind { .. })));
    fs::write(&path, b"I2Psu3\0\0").unwrap();
    let text = load(&source(&path), NETWORK).unwrap_err().to_string();
    assert!(text.contains("router.info is refused: no su3 file: su3 "), "{text}");
}

#[test]
fn a_source_without_a_router_is_an_error_unless_it_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    assert!(load(&source(directory.path()), NETWORK).unwrap().routers.is_empty());
    fs::write(directory.path().join("a.dat"), I2PD).unwrap();
    let text = load(&source(directory.path()), 98).unwrap_err().to_string();
    assert!(text.contains("network 98") && text.contains("1 are of other networks"), "{text}");
    fs::write(directory.path().join("a.dat"), b"x").unwrap();
    let text = load(&source(directory.path()), NETWORK).unwrap_err().to_string();
    assert!(text.contains("a.dat"), "{text}");
    let missing = directory.path().join("missing");
    let text = load(&source(&missing), NETWORK).unwrap_err().to_string();
    assert!(text.contains("missing"), "{text}");
}
