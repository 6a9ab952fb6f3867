//! Keys and certificates of those who sign bundles: read from PEM, or made.
//!
//! i2pd and Java take RSA with 4096 bits alone, in a certificate whose common name is the signer's.

use std::io;
use std::path::{Path, PathBuf};

use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef, UintRef};
use x509_cert::der::{self, Decode, Reader, SecretDocument, SliceReader};
use zeroize::Zeroizing;

#[cfg(feature = "accelerated")]
use crate::app::identity::key_file;
use crate::app::identity::key_file::SecretFile;
use crate::base::time::UnixTime;
use crate::crypto::signature::{SignatureType, SigningSecret, SigningSecretError};

/// Bytes of a key file that are read.
const FILE_MAX: usize = 16 * 1024;
/// Bytes of the modulus, and of the private exponent filled up to it.
const MODULUS_SIZE: usize = 512;
/// Labels of PEM blocks: any key, and an RSA key alone.
const PKCS8_LABEL: &str = "PRIVATE KEY";
const PKCS1_LABEL: &str = "RSA PRIVATE KEY";
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A signer's key cannot be used, or not made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key {}: {error}{}", path.display(), Hint(error))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Others can read it.
    #[error(
        "others can read the key {} (mode {mode:03o}): run `chmod 600` on it, and take a new key if someone may have",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no PEM file of an RSA key.
    #[error("{} holds no RSA key in PEM: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key is of another size.
    #[error("the key {} has {bits} bits; others take 4096 alone", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Bits of its modulus.
        bits: usize,
    },
    /// Its numbers do not belong together.
    #[error("the key {}: {error}", path.display())]
    Numbers {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: SigningSecretError,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The library makes none.
    #[error("cannot make a key: {0}")]
    Generate(String),
    /// This program was built without that library.
    #[cfg(not(feature = "accelerated"))]
    #[error(
        "this program was built without the feature `accelerated` and makes no RSA keys: make one with \
         `openssl genrsa 4096`, and its certificate with `openssl req -x509`"
    )]
    NoGenerator,
}

struct Hint<'a>(&'a io::Error);

impl std::fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let missing = self.0.kind() == io::ErrorKind::NotFound;
        f.write_str(if missing { "; --new-key makes one" } else { "" })
    }
}

/// The key in the PEM file at `path`, PKCS #8 or PKCS #1, not encrypted.
///
/// # Errors
/// When others can read the file, and when it holds no RSA key of 4096 bits.
pub fn read(path: &Path) -> Result<SigningSecret, KeyError> {
    let owned = || path.to_owned();
    let file = SecretFile::read(path, FILE_MAX);
    let file = file.map_err(|error| KeyError::Read { path: owned(), error })?;
    if file.is_exposed() {
        return Err(KeyError::Exposed { path: owned(), mode: file.mode });
    }
    let no_key = |reason: String| KeyError::Pem { path: owned(), reason };
    let text = str::from_utf8(&file.bytes).map_err(|_| no_key("it is no text".to_owned()))?;
    let numbers = numbers(text).map_err(no_key)?;
    match numbers {
        Numbers::Good(bytes) => SigningSecret::new(SignatureType::Rsa4096, &bytes)
            .map_err(|error| KeyError::Numbers { path: owned(), error }),
        Numbers::OtherSize { bits } => Err(KeyError::Size { path: owned(), bits }),
    }
}

enum Numbers {
    /// Modulus and private exponent, as [`SigningSecret`] wants them.
    Good(Zeroizing<Vec<u8>>),
    OtherSize {
        bits: usize,
    },
}

fn numbers(text: &str) -> Result<Numbers, String> {
    let said = |error: der::Error| error.to_string();
    let (label, document) = SecretDocument::from_pem(text).map_err(said)?;
    match label {
        PKCS1_LABEL => pkcs1(document.as_bytes()).map_err(said),
        PKCS8_LABEL => {
            let inner = pkcs8(document.as_bytes()).map_err(said)?;
            pkcs1(inner.ok_or("its key is of another type")?).map_err(said)
        }
        other => Err(format!("it is {other:?}")),
    }
}

/// The RSA key inside a `PrivateKeyInfo` (RFC 5208, section 5); `None` where it holds a key of another type.
fn pkcs8(bytes: &[u8]) -> der::Result<Option<&[u8]>> {
    let mut reader = SliceReader::new(bytes)?;
    reader.sequence(|reader| {
        let _version: UintRef<'_> = reader.decode()?;
        let algorithm: ObjectIdentifier = reader.sequence(|reader| {
            let algorithm = reader.decode()?;
            let _parameters: Option<AnyRef<'_>> = reader.decode()?;
            Ok::<_, der::Error>(algorithm)
        })?;
        let key: &OctetStringRef = reader.decode()?;
        while !reader.is_finished() {
            let _attribute = AnyRef::decode(reader)?;
        }
        Ok((algorithm == RSA).then_some(key.as_bytes()))
    })
}

/// The numbers of an `RSAPrivateKey` (RFC 8017, appendix A.1.2) that signing takes.
fn pkcs1(bytes: &[u8]) -> der::Result<Numbers> {
    let mut reader = SliceReader::new(bytes)?;
    reader.sequence(|reader| {
        let mut number = || UintRef::decode(reader);
        let (_version, modulus, _public, private) = (number()?, number()?, number()?, number()?);
        for _prime_and_what_follows_of_it in 0..5 {
            number()?;
        }
        let (modulus, private) = (modulus.as_bytes(), private.as_bytes());
        let Some(filling) = MODULUS_SIZE.checked_sub(private.len()) else {
            return Ok(Numbers::OtherSize { bits: modulus.len() * 8 });
        };
        if modulus.len() != MODULUS_SIZE {
            return Ok(Numbers::OtherSize { bits: modulus.len() * 8 });
        }
        let mut all = Zeroizing::new(Vec::with_capacity(2 * MODULUS_SIZE));
        all.extend_from_slice(modulus);
        all.resize(MODULUS_SIZE + filling, 0);
        all.extend_from_slice(private);
        Ok(Numbers::Good(all))
    })
}

/// Where the certificate of a key goes: beside it, under the name that Java and i2pd look for.
#[must_use]
pub fn certificate_beside(key: &Path, signer: &str) -> PathBuf {
    let name = signer.replace('@', "_at_").replace('/', "_");
    key.with_file_name(format!("{name}.crt"))
}

/// Makes a key and a self-signed certificate of `signer` that counts for ten years from a day before `now` on: clocks
/// differ. The key goes to `path`, for its owner alone, the certificate beside it; no file is replaced. Gives the path of
/// the certificate.
///
/// # Errors
/// When one of them is there already, or cannot be written.
#[cfg(feature = "accelerated")]
pub fn generate(path: &Path, signer: &str, now: UnixTime) -> Result<PathBuf, KeyError> {
    let failed = |error: rcgen::Error| KeyError::Generate(error.to_string());
    let certificate_path = certificate_beside(path, signer);
    if certificate_path.exists() {
        let error = io::ErrorKind::AlreadyExists.into();
        return Err(KeyError::Write { path: certificate_path, error });
    }
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA512, rcgen::RsaKeySize::_4096)
        .map_err(failed)?;
    let certificate = certificate_params(signer, now).self_signed(&key).map_err(failed)?;
    let write = |path: &Path, result: io::Result<()>| {
        result.map_err(|error| KeyError::Write { path: path.to_owned(), error })
    };
    let pem = Zeroizing::new(key.serialize_pem());
    write(path, key_file::write_new(path, pem.as_bytes()))?;
    let written =
        crate::runtime::disk::replace_file(&certificate_path, certificate.pem().as_bytes());
    write(&certificate_path, written)?;
    Ok(certificate_path)
}

/// What the certificates of other reseed signers say, too.
#[cfg(feature = "accelerated")]
fn certificate_params(signer: &str, now: UnixTime) -> rcgen::CertificateParams {
    use std::time::Duration;

    use rcgen::DnType;

    const DAY: Duration = Duration::from_secs(86_400);
    /// Ten years, with their leap days.
    const LIFE: Duration = Duration::from_secs(3653 * 86_400);
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in [
        (DnType::CountryName, "XX"),
        (DnType::OrganizationName, "I2P Anonymous Network"),
        (DnType::OrganizationalUnitName, "I2P"),
        (DnType::CommonName, signer),
    ] {
        params.distinguished_name.push(kind, value);
    }
    let date = |time: UnixTime| {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(time.seconds_rounded().into())
    };
    params.not_before = date(now - DAY);
    params.not_after = date(now + LIFE);
    params
}

/// Makes nothing.
///
/// # Errors
/// Always.
#[cfg(not(feature = "accelerated"))]
pub fn generate(_path: &Path, _signer: &str, _now: UnixTime) -> Result<PathBuf, KeyError> {
    Err(KeyError::NoGenerator)
}
