//! Who may sign su3 files: self-signed X.509 certificates, as routers ship them.
//!
//! A certificate only carries a key here; nobody checks what it says of itself, neither its dates nor its own
//! signature. It counts because the operator put it there. Spec: updates, su3, and reseed.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, DecodePem, Reader, SliceReader};

use crate::crypto::signature::{SignatureType, SigningPublicKey};

/// Bytes of a certificate file that are read.
const FILE_MAX: u64 = 64 * 1024;
/// Certificates of one directory that are looked at.
const FILES_MAX: usize = 1000;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// The only public exponent that SigningPublicKey can mean.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];
/// First byte of a point of a curve that is written with both coordinates.
const UNCOMPRESSED: u8 = 4;

/// A certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is no certificate.
    #[error("no X.509 certificate: {0}")]
    Certificate(#[from] x509_cert::der::Error),
    /// Its key is of a type that nobody signs su3 files with.
    #[error("its key is of a type that is not used for su3 files")]
    KeyType,
}

/// Keys of those who may sign, by their names.
#[derive(Debug, Default)]
pub struct Signers {
    keys: Vec<(String, SigningPublicKey)>,
}

impl Signers {
    /// Reads all `.crt` files in `directory` and in the directories in it; also says which could not be used.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn load(directory: &Path) -> io::Result<(Self, Vec<(PathBuf, SignerError)>)> {
        let mut files = Vec::new();
        for path in entries(directory)? {
            if path.is_dir() {
                files.extend(entries(&path)?);
            } else {
                files.push(path);
            }
        }
        files.retain(|path| path.extension().is_some_and(|extension| extension == "crt"));
        let (mut signers, mut refused) = (Self::default(), Vec::new());
        for path in files.into_iter().take(FILES_MAX) {
            match read(&path) {
                Ok((names, key)) => {
                    signers.keys.extend(names.into_iter().map(|name| (name, key.clone())));
                }
                Err(error) => refused.push((path, error)),
            }
        }
        Ok((signers, refused))
    }

    /// The keys of the signer of this name; several when there are several certificates.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a SigningPublicKey> {
        self.keys.iter().filter(move |(other, _)| other == name).map(|(_, key)| key)
    }
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        paths.push(entry?.path());
    }
    // The order of a directory means nothing, and messages should not depend on it.
    paths.sort();
    Ok(paths)
}

/// The names and the key of a certificate: its common name, which i2pd goes by, and its file's, which Java goes by.
fn read(path: &Path) -> Result<(Vec<String>, SigningPublicKey), SignerError> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    let certificate = Certificate::from_pem(&bytes).or_else(|_| Certificate::from_der(&bytes))?;
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let mut names = vec![stem.replace("_at_", "@")];
    let common_name = common_name(&certificate);
    names.extend(common_name.filter(|name| !names.contains(name)));
    Ok((names, public_key(&certificate)?))
}

fn common_name(certificate: &Certificate) -> Option<String> {
    let subject = certificate.tbs_certificate().subject();
    let attributes = subject.iter().find(|attribute| attribute.oid == COMMON_NAME)?;
    str::from_utf8(attributes.value.value()).ok().map(str::to_owned)
}

fn public_key(certificate: &Certificate) -> Result<SigningPublicKey, SignerError> {
    let info = certificate.tbs_certificate().subject_public_key_info();
    let key = info.subject_public_key.as_bytes().ok_or(SignerError::KeyType)?;
    let found = match info.algorithm.oid {
        RSA => rsa(key)?,
        EC => ec(key),
        ED25519 => SigningPublicKey::new(SignatureType::Ed25519, key),
        _ => None,
    };
    found.ok_or(SignerError::KeyType)
}

/// An RSA key by its modulus, in as many bytes as its type has.
fn rsa(key: &[u8]) -> Result<Option<SigningPublicKey>, SignerError> {
    let mut reader = SliceReader::new(key)?;
    let (modulus, exponent) = reader.sequence(|reader| {
        let modulus: UintRef<'_> = reader.decode()?;
        let exponent: UintRef<'_> = reader.decode()?;
        Ok::<_, x509_cert::der::Error>((modulus, exponent))
    })?;
    let kind = match modulus.as_bytes().len() {
        256 => SignatureType::Rsa2048,
        384 => SignatureType::Rsa3072,
        512 => SignatureType::Rsa4096,
        _ => return Ok(None),
    };
    let usual = exponent.as_bytes() == RSA_EXPONENT;
    Ok(usual.then(|| SigningPublicKey::new(kind, modulus.as_bytes())).flatten())
}

/// A key of one of the three curves, by its size: both coordinates.
fn ec(key: &[u8]) -> Option<SigningPublicKey> {
    let (form, point) = key.split_first()?;
    let kind = match point.len() {
        64 => SignatureType::EcdsaP256,
        96 => SignatureType::EcdsaP384,
        132 => SignatureType::EcdsaP521,
        _ => return None,
    };
    (*form == UNCOMPRESSED).then(|| SigningPublicKey::new(kind, point)).flatten()
}
