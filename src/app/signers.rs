//! Who may sign su3 files: self-signed X.509 certificates, as routers ship them.
//!
//! A certificate only carries a key and the time in which that counts; its own signature is not checked. It counts
//! because the operator put it there, or because this program carries it. Spec: updates, su3, and reseed.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, DecodePem, Reader, SliceReader};
use x509_cert::time::Time;

use crate::base::time::UnixTime;
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

/// Certificates that the program carries, by their names: of those who run the reseed hosts of the live network.
const CARRIED: [(&str, &str); 12] = [
    ("acetone_at_mail.i2p", include_str!("reseed/certificates/acetone_at_mail.i2p.crt")),
    ("admin_at_stormycloud.org", include_str!("reseed/certificates/admin_at_stormycloud.org.crt")),
    (
        "creativecowpat_at_mail.i2p",
        include_str!("reseed/certificates/creativecowpat_at_mail.i2p.crt"),
    ),
    ("echelon3_at_mail.i2p", include_str!("reseed/certificates/echelon3_at_mail.i2p.crt")),
    (
        "hankhill19580_at_gmail.com",
        include_str!("reseed/certificates/hankhill19580_at_gmail.com.crt"),
    ),
    ("i2p-reseed_at_mk16.de", include_str!("reseed/certificates/i2p-reseed_at_mk16.de.crt")),
    ("igor_at_novg.net", include_str!("reseed/certificates/igor_at_novg.net.crt")),
    ("lazygravy_at_mail.i2p", include_str!("reseed/certificates/lazygravy_at_mail.i2p.crt")),
    ("orignal_at_mail.i2p", include_str!("reseed/certificates/orignal_at_mail.i2p.crt")),
    ("r4sas-reseed_at_mail.i2p", include_str!("reseed/certificates/r4sas-reseed_at_mail.i2p.crt")),
    ("rambler_at_mail.i2p", include_str!("reseed/certificates/rambler_at_mail.i2p.crt")),
    ("reseed_at_diva.exchange", include_str!("reseed/certificates/reseed_at_diva.exchange.crt")),
];

/// A key that signs, and when it counts.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The key.
    pub key: SigningPublicKey,
    /// First moment of its certificate.
    pub from: UnixTime,
    /// Last moment of it.
    pub until: UnixTime,
}

/// Keys of those who may sign, by their names.
#[derive(Clone, Debug, Default)]
pub struct Signers {
    keys: Vec<(String, Certified)>,
}

impl Signers {
    /// Those whose certificates the program carries.
    #[must_use]
    pub fn carried() -> Self {
        let mut signers = Self::default();
        for (stem, text) in CARRIED {
            // What cannot be read is missing, and a test says so.
            if let Ok((names, key)) = parse(stem, text.as_bytes()) {
                signers.insert(names, &key);
            }
        }
        signers
    }

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
                Ok((names, key)) => signers.insert(names, &key),
                Err(error) => refused.push((path, error)),
            }
        }
        Ok((signers, refused))
    }

    /// The keys of the signer of this name; several when there are several certificates.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Certified> {
        self.keys.iter().filter(move |(other, _)| other == name).map(|(_, key)| key)
    }

    /// One signer alone.
    #[cfg(test)]
    pub fn of_one(name: &str, certified: Certified) -> Self {
        Self { keys: vec![(name.to_owned(), certified)] }
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Signers) {
        self.keys.extend(other.keys);
    }

    fn insert(&mut self, names: Vec<String>, key: &Certified) {
        self.keys.extend(names.into_iter().map(|name| (name, key.clone())));
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
fn read(path: &Path) -> Result<(Vec<String>, Certified), SignerError> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    parse(stem, &bytes)
}

fn parse(stem: &str, bytes: &[u8]) -> Result<(Vec<String>, Certified), SignerError> {
    let certificate = Certificate::from_pem(bytes).or_else(|_| Certificate::from_der(bytes))?;
    let mut names = vec![stem.replace("_at_", "@")];
    let common_name = common_name(&certificate);
    names.extend(common_name.filter(|name| !names.contains(name)));
    let validity = certificate.tbs_certificate().validity();
    let date = |time: &Time| UnixTime::default() + time.to_unix_duration();
    let certified = Certified {
        key: public_key(&certificate)?,
        from: date(&validity.not_before),
        until: date(&validity.not_after),
    };
    Ok((names, certified))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_carried_certificates_are_read_and_are_what_hosts_sign_with() {
        let signers = Signers::carried();
        for (stem, text) in CARRIED {
            let (names, certified) = parse(stem, text.as_bytes()).unwrap();
            assert_eq!(names, [stem.replace("_at_", "@")], "named as its owner");
            assert_eq!(certified.key.kind(), SignatureType::Rsa4096, "{stem}");
            assert!(certified.from < certified.until, "{stem}");
            assert_eq!(signers.of(&names[0]).count(), 1);
        }
        let expiry = signers.of("creativecowpat@mail.i2p").next().unwrap().until;
        // openssl x509 -enddate: May 26 19:44:39 2027 GMT.
        assert_eq!(expiry, UnixTime::from_seconds(1_811_360_679));
    }
}
