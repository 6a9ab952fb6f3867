//! The file of the router's keys: loaded at each start, made at the first, and read by nobody else.
//!
//! `router.keys` is a line that names the format, the secrets in a fixed order, and a SHA-256 of all that, so that a
//! file cut short or changed by a fault is refused instead of becoming another router.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;
use zeroize::Zeroizing;

use crate::app::args::{IdentityCommand, IdentityShowArgs};
use crate::app::config::{ConfigError, resolve_data_dir};
use crate::base::id::RouterHash;
use crate::crypto::hash::sha256;
use crate::crypto::secret::{Ed25519Seed, X25519Secret};
use crate::proto::local::{RouterKeys, RouterSecrets};
use crate::runtime::disk::sync_directory_of;
use crate::runtime::entropy::{self, NoEntropy};
use crate::wire::base64;

/// Name of the key file in the data directory.
pub const KEY_FILE: &str = "router.keys";
/// First bytes of a key file of the only version there is.
const HEADER: &[u8; 24] = b"floodway router keys v1\n";
/// Bytes of the secrets: six of 32 bytes and an IV of 16.
const SECRETS_SIZE: usize = 6 * 32 + 16;
/// Bytes of the checksum.
const CHECKSUM_SIZE: usize = 32;
/// Bytes of a key file.
const FILE_SIZE: usize = HEADER.len() + SECRETS_SIZE + CHECKSUM_SIZE;
/// Permissions of the owner alone.
const OWNER_ONLY: u32 = 0o600;
/// Ports that routers choose by themselves, as the specification suggests: this many from this one on.
const PORTS: (u16, u16) = (9111, 21_666);

/// The keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The data directory is unknown.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No randomness for new keys.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The data directory cannot be made or used.
    #[error(
        "cannot use the data directory {}: {error}; give one that this user may write with --data-dir", path.display()
    )]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
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
        "{} is damaged ({found} bytes of {FILE_SIZE}, or a wrong checksum): restore it from a copy, or remove it to \
         become a new router", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
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
    #[error("{} exists already: remove it first, if this router shall become another", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The result cannot be written to standard output.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// The keys in the data directory, made at the first start.
///
/// # Errors
/// When the directory or the file cannot be used, or others can read the file.
pub fn load_or_create(data_dir: &Path) -> Result<RouterKeys, IdentityError> {
    prepare_data_dir(data_dir)?;
    match load(data_dir) {
        Err(IdentityError::Missing { .. }) => create(data_dir),
        result => result,
    }
}

/// The port that a router uses whose configuration names none. It follows from its identity.
#[must_use]
pub fn default_port(hash: &RouterHash) -> u16 {
    let [high, low, ..] = sha256(&hash.0);
    let (first, count) = PORTS;
    first + u16::from_be_bytes([high, low]) % count
}

/// The keys in the data directory, if there are any; nothing is written.
///
/// # Errors
/// When the file cannot be used, or others can read it.
pub fn load_existing(data_dir: &Path) -> Result<Option<RouterKeys>, IdentityError> {
    match load(data_dir) {
        Ok(keys) => Ok(Some(keys)),
        Err(IdentityError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the data directory where there is none, for its owner alone, and makes sure that files can be written there.
///
/// # Errors
/// When they cannot.
pub fn prepare_data_dir(data_dir: &Path) -> Result<(), IdentityError> {
    let failed = |error| IdentityError::DataDir { path: data_dir.to_owned(), error };
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(data_dir).map_err(failed)?;
    // What cannot be written must show now, not when the first file is to be kept.
    let probe = data_dir.join(".writable");
    File::create(&probe).map_err(failed)?;
    fs::remove_file(&probe).map_err(failed)
}

fn load(data_dir: &Path) -> Result<RouterKeys, IdentityError> {
    let path = data_dir.join(KEY_FILE);
    let failed = |error: io::Error| match error.kind() == io::ErrorKind::NotFound {
        true => IdentityError::Missing { path: path.clone() },
        false => IdentityError::Read { path: path.clone(), error },
    };
    let file = File::open(&path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed { path, mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_SIZE + 1));
    // One byte more than there may be shows a file that is too long.
    let limit = u64::try_from(FILE_SIZE + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if !bytes.starts_with(HEADER) {
        return Err(IdentityError::Unknown { path });
    }
    let secrets = decode(&bytes).ok_or(IdentityError::Damaged { path, found: bytes.len() })?;
    Ok(RouterKeys::from_secrets(secrets))
}

fn create(data_dir: &Path) -> Result<RouterKeys, IdentityError> {
    let secrets = RouterSecrets::generate(&mut entropy::rng()?);
    let path = data_dir.join(KEY_FILE);
    write_new(&path, &encode(&secrets)).map_err(|error| {
        match error.kind() == io::ErrorKind::AlreadyExists {
            true => IdentityError::Exists { path: path.clone() },
            false => IdentityError::Write { path: path.clone(), error },
        }
    })?;
    Ok(RouterKeys::from_secrets(secrets))
}

/// Writes a file that did not exist, for the owner alone, and makes sure that it stays.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // A file cut short would be refused at the next start.
        let _ = fs::remove_file(path);
    }
    written?;
    sync_directory_of(path)
}

fn encode(secrets: &RouterSecrets) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_SIZE));
    bytes.extend_from_slice(HEADER);
    bytes.extend_from_slice(secrets.signing.expose());
    bytes.extend_from_slice(secrets.encryption.expose());
    bytes.extend_from_slice(&secrets.padding);
    bytes.extend_from_slice(secrets.ntcp2_static.expose());
    bytes.extend_from_slice(&secrets.ntcp2_iv);
    bytes.extend_from_slice(secrets.ssu2_static.expose());
    bytes.extend_from_slice(&secrets.ssu2_intro);
    let checksum = sha256(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

fn decode(bytes: &[u8]) -> Option<RouterSecrets> {
    let (content, checksum) = bytes.split_last_chunk::<CHECKSUM_SIZE>()?;
    if bytes.len() != FILE_SIZE || sha256(content) != *checksum {
        return None;
    }
    let mut rest = content.strip_prefix(HEADER)?;
    fn next<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
        let (field, behind) = rest.split_first_chunk::<N>()?;
        *rest = behind;
        Some(*field)
    }
    Some(RouterSecrets {
        signing: Ed25519Seed::from_bytes(next(&mut rest)?),
        encryption: X25519Secret::from_bytes(next(&mut rest)?),
        padding: next(&mut rest)?,
        ntcp2_static: X25519Secret::from_bytes(next(&mut rest)?),
        ntcp2_iv: next(&mut rest)?,
        ssu2_static: X25519Secret::from_bytes(next(&mut rest)?),
        ssu2_intro: next(&mut rest)?,
    })
}

/// `floodway identity`.
///
/// # Errors
/// As [`load_or_create`]; also when there is a key file where one is to be made, or none where one is to be shown.
pub fn run(command: &IdentityCommand) -> Result<(), IdentityError> {
    let directory = |args: &IdentityShowArgs| resolve_data_dir(args.common.data_dir.as_deref());
    match command {
        IdentityCommand::Show(args) => show(&load(&directory(args)?)?, args),
        IdentityCommand::Generate(args) => {
            let directory = directory(args)?;
            prepare_data_dir(&directory)?;
            show(&create(&directory)?, args)
        }
    }
}

fn show(keys: &RouterKeys, args: &IdentityShowArgs) -> Result<(), IdentityError> {
    let hash = base64::encode(&keys.identity.hash().0);
    let identity = base64::encode(keys.identity.bytes());
    let text = if args.json {
        json!({ "kind": "keys", "hash": hash, "identity": identity }).to_string()
    } else {
        format!("hash      {hash}\nidentity  {identity}")
    };
    writeln!(io::stdout(), "{text}").map_err(IdentityError::Output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn text(error: IdentityError) -> String {
        error.to_string()
    }

    #[test]
    fn a_restart_is_the_same_router() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("a/b");
        let first = load_or_create(&data_dir).unwrap();
        let second = load_or_create(&data_dir).unwrap();
        assert_eq!(first.identity.hash(), second.identity.hash());
        assert!(first.ntcp2.static_secret.ct_eq(&second.ntcp2.static_secret));
        assert!(first.ssu2_static.ct_eq(&second.ssu2_static));
        assert_eq!((first.ntcp2.iv, first.ssu2_intro), (second.ntcp2.iv, second.ssu2_intro));
        let mode = fs::metadata(data_dir.join(KEY_FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = fs::read_dir(&data_dir).unwrap().count();
        assert_eq!(files, 1);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        load_or_create(directory.path()).unwrap();
        let path = directory.path().join(KEY_FILE);
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let text = text(load_or_create(directory.path()).unwrap_err());
            assert!(text.contains("chmod 600") && text.contains(&format!("{mode:o}")), "{text}");
        }
    }

    #[test]
    fn damage_is_seen_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        load_or_create(directory.path()).unwrap();
        let path = directory.path().join(KEY_FILE);
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[100] ^= 1;
        let mut longer = good.clone();
        longer.push(0);
        for bad in [&flipped[..], &good[..200], &good[..24], &longer[..]] {
            fs::write(&path, bad).unwrap();
            let error = load_or_create(directory.path()).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. }), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bad);
        }
        fs::write(&path, b"something else").unwrap();
        assert!(matches!(load(directory.path()), Err(IdentityError::Unknown { .. })));
        fs::write(&path, b"").unwrap();
        assert!(load_or_create(directory.path()).is_err());
    }

    #[test]
    fn an_existing_file_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        create(directory.path()).unwrap();
        assert!(matches!(create(directory.path()), Err(IdentityError::Exists { .. })));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let text = text(load_or_create(Path::new("/proc/floodway")).unwrap_err());
        assert!(text.contains("/proc/floodway") && text.contains("--data-dir"), "{text}");
    }

    #[test]
    fn ports_follow_from_the_identity() {
        let port = |byte| default_port(&RouterHash([byte; 32]));
        assert_eq!(port(1), port(1));
        assert_ne!(port(1), port(2));
        assert!((0..=255).all(|byte| (9111..30_777).contains(&port(byte))));
    }
}
