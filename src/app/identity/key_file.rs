//! `router.keys`: all that makes this router the same after a restart, in one file that only its owner can read.
//!
//! A line that names the format, the identity, the secrets in a fixed order, and a SHA-256 of all that, so that a
//! file cut short or changed by a fault is refused instead of becoming another router. Version 1 had 32 bytes of
//! padding where version 2 has the identity; it is still read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::crypto::hash::sha256;
use crate::crypto::secret::{Ed25519Seed, X25519Secret};
use crate::proto::local::{RouterSecrets, identity_of};
use crate::runtime::disk::sync_directory_of;
use crate::wire::Malformed;
use crate::wire::base64;
use crate::wire::identity::{CERTIFICATE_MAX, RouterIdentity};
use crate::wire::reader::Reader;

/// Name of the key file in the data directory.
pub const KEY_FILE: &str = "router.keys";
/// First bytes of a key file of each version, of one length.
const HEADER_1: &[u8; 24] = b"floodway router keys v1\n";
const HEADER_2: &[u8; 24] = b"floodway router keys v2\n";
/// Bytes of the checksum.
const CHECKSUM_SIZE: usize = 32;
/// More than any key file has.
const FILE_MAX: usize = 2048;
/// Permissions of the owner alone.
const OWNER_ONLY: u32 = 0o600;
/// Earlier identities that are kept under one name and a number.
const KEPT_MAX: u32 = 99;

const _: () = assert!(24 + 384 + 3 + CERTIFICATE_MAX + 6 * 32 + CHECKSUM_SIZE < FILE_MAX);

/// The key file cannot be had or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("cannot read the keys in {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the keys to {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Others can read the file.
    #[error(
        "{} can be read by others (mode {mode:03o}): whoever has it can be this router; if nobody has copied it, run \
         `chmod 600 {}`", path.display(), path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is of another kind or version.
    #[error("{} is no key file of this version of Floodway", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error(
        "{} is damaged ({problem}, {found} bytes in all): restore it from a copy, or remove it to become a new router",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: KeyFileDamage,
        /// Its size.
        found: usize,
    },
    /// There is no file.
    #[error("{} does not exist: `floodway identity generate` makes one", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is a file already.
    #[error(
        "{} exists already: if this router shall become another, give --replace, which keeps it under another name",
        path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
}

/// What is wrong with the content of a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileDamage {
    /// It is not of a known version.
    #[error("it does not begin as a key file of this version")]
    Header,
    /// Its content is not what was written.
    #[error("its checksum is wrong")]
    Checksum,
    /// A part is not what it should be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// What becomes of a key file that is there when another is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is written.
    Refuse,
    /// It is kept under another name.
    Keep,
}

/// The secrets in the file at `path`.
///
/// # Errors
/// When there is no such file, when others can read it, and when it is not a whole key file.
pub fn read(path: &Path) -> Result<RouterSecrets, KeyFileError> {
    let owned = || path.to_owned();
    let failed = |error: io::Error| match error.kind() == io::ErrorKind::NotFound {
        true => KeyFileError::Missing { path: owned() },
        false => KeyFileError::Read { path: owned(), error },
    };
    let secret = SecretFile::read(path, FILE_MAX).map_err(failed)?;
    if secret.is_exposed() {
        return Err(KeyFileError::Exposed { path: owned(), mode: secret.mode });
    }
    decode(&secret.bytes).map_err(|problem| match problem {
        KeyFileDamage::Header => KeyFileError::Unknown { path: owned() },
        KeyFileDamage::Checksum | KeyFileDamage::Malformed(_) => {
            KeyFileError::Damaged { path: owned(), problem, found: secret.bytes.len() }
        }
    })
}

/// Writes the secrets to a file at `path`; where one was and is kept, its new name.
///
/// # Errors
/// When the file system refuses, and when there is a file that is to stay.
pub fn write(
    path: &Path,
    secrets: &RouterSecrets,
    existing: Existing,
) -> Result<Option<PathBuf>, KeyFileError> {
    let bytes = encode(secrets);
    let failed = |error: io::Error| match error.kind() == io::ErrorKind::AlreadyExists {
        true => KeyFileError::Exists { path: path.to_owned() },
        false => KeyFileError::Write { path: path.to_owned(), error },
    };
    // A link that leads nowhere is a file that somebody wants to have there, too.
    match (path.symlink_metadata().is_ok(), existing) {
        (true, Existing::Keep) => replace(path, &bytes).map(Some).map_err(failed),
        (true, Existing::Refuse) => Err(KeyFileError::Exists { path: path.to_owned() }),
        (false, _) => write_new(path, &bytes).map(|()| None).map_err(failed),
    }
}

/// Writes a file of secrets that did not exist, for the owner alone, and makes sure that it stays.
///
/// # Errors
/// What the file system reports; nothing of the file is then left.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // A file cut short would be refused at the next start.
        let _ = fs::remove_file(path);
    }
    written?;
    sync_directory_of(path)
}

/// Puts a new file in the place of one that gets another name. At every moment one of the two stands at `path`.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let name = kept_name(path);
    let new = with_suffix(path, "new");
    // Left by a replacement that was cut off.
    let _ = fs::remove_file(&new);
    write_new(&new, bytes)?;
    let kept = (1..=KEPT_MAX).map(|number| match number {
        1 => with_suffix(path, &name),
        more => with_suffix(path, &format!("{name}.{more}")),
    });
    let mut outcome = Err(io::Error::other("there are too many earlier identities beside it"));
    for kept in kept {
        outcome = fs::hard_link(path, &kept).map(|()| kept);
        if !outcome.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
    }
    let outcome = outcome.and_then(|kept| fs::rename(&new, path).map(|()| kept));
    if outcome.is_err() {
        let _ = fs::remove_file(&new);
    }
    let kept = outcome?;
    sync_directory_of(path)?;
    Ok(kept)
}

/// What a key file is called once it is no longer used: after its router.
fn kept_name(path: &Path) -> String {
    let Ok(secrets) = read(path) else { return "old".to_owned() };
    base64::encode(&secrets.identity.hash().0).chars().take(8).collect()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// The content of a key file.
#[must_use]
pub fn encode(secrets: &RouterSecrets) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_MAX));
    bytes.extend_from_slice(HEADER_2);
    bytes.extend_from_slice(secrets.identity.bytes());
    bytes.extend_from_slice(secrets.signing.expose());
    bytes.extend_from_slice(secrets.encryption.expose());
    bytes.extend_from_slice(secrets.ntcp2_static.expose());
    bytes.extend_from_slice(&secrets.ntcp2_iv);
    bytes.extend_from_slice(secrets.ssu2_static.expose());
    bytes.extend_from_slice(&secrets.ssu2_intro);
    let checksum = sha256(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// The secrets in the content of a key file of any version. Whether they belong to the identity is for
/// [`RouterKeys::from_secrets`](crate::proto::local::RouterKeys::from_secrets) to find out.
///
/// # Errors
/// When the content is not a whole key file.
pub fn decode(bytes: &[u8]) -> Result<RouterSecrets, KeyFileDamage> {
    if !is_key_file(bytes) {
        return Err(KeyFileDamage::Header);
    }
    let (content, checksum) =
        bytes.split_last_chunk::<CHECKSUM_SIZE>().ok_or(KeyFileDamage::Checksum)?;
    if sha256(content) != *checksum {
        return Err(KeyFileDamage::Checksum);
    }
    let mut reader = Reader::new(content);
    let secrets = match reader.array("header")? {
        HEADER_1 => decode_1(&mut reader)?,
        _ => decode_2(&mut reader)?,
    };
    reader.finish()?;
    Ok(secrets)
}

/// Whether the bytes begin as a key file of ours, whole or not.
#[must_use]
pub fn is_key_file(bytes: &[u8]) -> bool {
    bytes.starts_with(HEADER_1) || bytes.starts_with(HEADER_2)
}

fn decode_1(reader: &mut Reader<'_>) -> Result<RouterSecrets, Malformed> {
    let signing = Ed25519Seed::from_bytes(*reader.array("signing key")?);
    let encryption = X25519Secret::from_bytes(*reader.array("encryption key")?);
    let identity = identity_of(&signing, &encryption, *reader.array("padding")?);
    transports(reader, identity, signing, encryption)
}

fn decode_2(reader: &mut Reader<'_>) -> Result<RouterSecrets, Malformed> {
    let identity = RouterIdentity::parse(reader)?;
    let signing = Ed25519Seed::from_bytes(*reader.array("signing key")?);
    let encryption = X25519Secret::from_bytes(*reader.array("encryption key")?);
    transports(reader, identity, signing, encryption)
}

fn transports(
    reader: &mut Reader<'_>,
    identity: RouterIdentity,
    signing: Ed25519Seed,
    encryption: X25519Secret,
) -> Result<RouterSecrets, Malformed> {
    Ok(RouterSecrets {
        identity,
        signing,
        encryption,
        ntcp2_static: X25519Secret::from_bytes(*reader.array("NTCP2 key")?),
        ntcp2_iv: *reader.array("NTCP2 IV")?,
        ssu2_static: X25519Secret::from_bytes(*reader.array("SSU2 key")?),
        ssu2_intro: *reader.array("SSU2 introduction key")?,
    })
}

/// A file that may hold secrets: its content is erased when it is dropped.
#[derive(Debug)]
pub struct SecretFile {
    /// Its content, at most as much as was asked for and one byte.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Its permissions.
    pub mode: u32,
}

impl SecretFile {
    /// Reads a file, and of a longer one than `limit` one byte more, which shows that it is longer.
    ///
    /// # Errors
    /// What the system reports.
    pub fn read(path: &Path, limit: usize) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mode = metadata.mode() & 0o777;
        // Room for all at once: what grows leaves copies behind that nobody erases.
        let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX).min(limit) + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(size));
        let limit = u64::try_from(limit + 1).unwrap_or(u64::MAX);
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(Self { bytes, mode })
    }

    /// Whether others than its owner can read it, or change it.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.mode & 0o077 != 0
    }
}
