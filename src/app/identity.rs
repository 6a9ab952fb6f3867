//! The router's keys: loaded at each start, made at the first, moved in from another router or out to a copy.

pub mod export;
pub mod foreign;
pub mod key_file;
pub mod layouts;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::app::args::{
    CommonArgs, IdentityCommand, IdentityExportArgs, IdentityImportArgs, IdentityShowArgs,
};
use crate::app::config::{ConfigError, resolve_data_dir};
use crate::app::identity::export::ExportError;
use crate::app::identity::foreign::{ForeignError, Found, Origin};
use crate::app::identity::key_file::{Existing, KEY_FILE, KeyFileError};
use crate::base::id::RouterHash;
use crate::crypto::hash::sha256;
use crate::proto::local::{ForeignKey, RouterKeys, RouterSecrets};
use crate::runtime::entropy::{self, NoEntropy};
use crate::wire::base64;
use crate::wire::identity::RouterIdentity;

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
    /// The key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The keys of another router cannot be used.
    #[error("nothing was imported: {0}")]
    Foreign(#[from] ForeignError),
    /// A whole key file has keys that do not belong together.
    #[error("{}: {error}; restore it from a copy", path.display())]
    Mixed {
        /// The file.
        path: PathBuf,
        /// What does not belong.
        error: ForeignKey,
    },
    /// A copy cannot be written.
    #[error(transparent)]
    Export(#[from] ExportError),
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
        Err(IdentityError::KeyFile(KeyFileError::Missing { .. })) => {
            create(data_dir, Existing::Refuse).map(|(keys, _)| keys)
        }
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
        Err(IdentityError::KeyFile(KeyFileError::Missing { .. })) => Ok(None),
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
    let secrets = key_file::read(&path)?;
    let keys = RouterKeys::from_secrets(secrets);
    keys.map_err(|error| IdentityError::Mixed { path, error })
}

/// Makes new keys; also says under which name the earlier ones are kept.
fn create(
    data_dir: &Path,
    existing: Existing,
) -> Result<(RouterKeys, Option<PathBuf>), IdentityError> {
    let secrets = RouterSecrets::generate(&mut entropy::rng()?);
    let path = data_dir.join(KEY_FILE);
    let kept = key_file::write(&path, &secrets, existing)?;
    let keys = RouterKeys::from_secrets(secrets);
    Ok((keys.map_err(|error| IdentityError::Mixed { path, error })?, kept))
}

/// `floodway identity`.
///
/// # Errors
/// As [`load_or_create`]; also when there is a key file where one is to be made, or none where one is to be shown,
/// and when what is to be imported is not whole.
pub fn run(command: &IdentityCommand) -> Result<(), IdentityError> {
    let directory = |common: &CommonArgs| resolve_data_dir(common.data_dir.as_deref());
    match command {
        IdentityCommand::Show(args) => {
            let keys = load(&directory(&args.common)?)?;
            report(&keys.identity, &[], args)
        }
        IdentityCommand::Generate(args) => {
            let directory = directory(&args.show.common)?;
            prepare_data_dir(&directory)?;
            let (keys, kept) = create(&directory, existing(args.replace))?;
            let notes: Vec<_> = kept.iter().map(|path| kept_note(path)).collect();
            report(&keys.identity, &[("notes", json!(notes))], &args.show)
        }
        IdentityCommand::Import(args) => import(&directory(&args.show.common)?, args),
        IdentityCommand::Export(args) => export(&directory(&args.common)?, args),
    }
}

fn existing(replace: bool) -> Existing {
    if replace { Existing::Keep } else { Existing::Refuse }
}

fn kept_note(path: &Path) -> String {
    format!("the earlier identity is kept in {}", path.display())
}

fn import(data_dir: &Path, args: &IdentityImportArgs) -> Result<(), IdentityError> {
    let found = foreign::read(args.from, &args.source, &mut entropy::rng()?)?;
    prepare_data_dir(data_dir)?;
    let path = data_dir.join(KEY_FILE);
    let kept = key_file::write(&path, &found.secrets, existing(args.replace))?;
    let mut notes = notes_on(args.from, &found);
    notes.extend(kept.iter().map(|path| kept_note(path)));
    let published: Vec<_> =
        found.published.iter().map(|(transport, at)| format!("{transport} {at}")).collect();
    let more = [("published", json!(published)), ("notes", json!(notes))];
    report(&found.secrets.identity, &more, &args.show)
}

/// What the operator should know about keys that were moved in.
fn notes_on(origin: Origin, found: &Found) -> Vec<String> {
    let mut notes = Vec::new();
    for path in &found.exposed {
        let path = path.display();
        notes.push(format!("{path} can be read by others: whoever copied it can be this router"));
    }
    for transport in &found.renewed {
        notes.push(format!("no keys of {transport} were there: it has new ones"));
    }
    for transport in found.outdated.iter().filter(|one| !found.renewed.contains(one)) {
        notes.push(format!(
            "the {transport} key in its router.info is another: until the next publication others cannot connect"
        ));
    }
    // The two transports may have ports of their own; NTCP2's is the one that counts.
    let ntcp2 = found.published.iter().find(|(transport, _)| *transport == "NTCP2");
    if let Some((_, at)) = ntcp2.or(found.published.first()) {
        notes.push(format!(
            "others know this router at {at}: to stay there, run it with --host {} --port {}",
            at.ip(),
            at.port()
        ));
    }
    notes.push(match origin {
        Origin::I2pd | Origin::Java | Origin::Emissary => {
            "stop the old router and never start it with these keys again: others ban an identity that is in two \
             places"
        }
        Origin::Floodway => "run one router with these keys: others ban an identity that is in two places",
    }
    .to_owned());
    notes
}

fn export(data_dir: &Path, args: &IdentityExportArgs) -> Result<(), IdentityError> {
    let secrets = key_file::read(&data_dir.join(KEY_FILE))?;
    let hash = base64::encode(&secrets.identity.hash().0);
    let written = export::write(args.to, &args.target, secrets)?;
    let files: Vec<_> = written.iter().map(|path| path.display().to_string()).collect();
    let text = if args.json {
        json!({ "kind": "keys", "hash": hash, "files": files }).to_string()
    } else {
        files.join("\n")
    };
    writeln!(io::stdout(), "{text}").map_err(IdentityError::Output)
}

/// Shows the public part, and what there is to say about it.
fn report(
    identity: &RouterIdentity,
    more: &[(&str, Value)],
    args: &IdentityShowArgs,
) -> Result<(), IdentityError> {
    let hash = base64::encode(&identity.hash().0);
    let mut fields =
        vec![("hash", json!(hash)), ("identity", json!(base64::encode(identity.bytes())))];
    fields.extend_from_slice(more);
    let mut out = io::stdout().lock();
    let written = if args.json {
        let named = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
        let object: Map<_, _> =
            [("kind".to_owned(), json!("keys"))].into_iter().chain(named).collect();
        writeln!(out, "{}", Value::Object(object))
    } else {
        fields.iter().try_for_each(|(name, value)| write_field(&mut out, name, value))
    };
    written.map_err(IdentityError::Output)
}

/// A line for a text, and one for each of a list; notes go to standard error.
fn write_field(out: &mut impl Write, name: &str, value: &Value) -> io::Result<()> {
    let one = value.as_str().into_iter();
    let many = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    for line in one.chain(many) {
        if name == "notes" {
            eprintln!("floodway: note: {line}");
        } else {
            writeln!(out, "{name:<9} {line}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
