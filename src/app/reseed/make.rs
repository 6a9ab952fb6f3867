//! `floodway reseed make`: a signed bundle of router infos for others to begin with.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::archive::{self, ArchiveError};
use super::bundle::{BUNDLE_MAX, Trust};
use super::key::{self, KeyError};
use super::{ReseedError, Seeds, load_directory, load_one};
use crate::app::args::{ReseedCommand, ReseedMakeArgs};
use crate::app::config::{ConfigError, resolve_data_dir};
use crate::app::netdb::{self, SourceError};
use crate::app::signers::Signers;
use crate::base::rng::ShardRng;
use crate::base::time::UnixTime;
use crate::crypto::signature::SigningSecret;
use crate::runtime::clock;
use crate::runtime::disk::replace_file;
use crate::runtime::entropy::{self, NoEntropy};
use crate::wire::base64;
use crate::wire::router_address::RouterAddress;
use crate::wire::router_info::RouterInfo;
use crate::wire::su3::{Su3ContentType, Su3Draft, Su3FileType};
use crate::wire::writer::Overflow;

/// Directories in a netDb directory that are looked into: i2pd and Java have one for each letter of their base64.
const SHELVES_MAX: usize = 64;

/// The bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The router infos cannot be read.
    #[error(transparent)]
    Source(#[from] ReseedError),
    /// The data directory is unknown.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Our own netdb cannot be read.
    #[error(transparent)]
    Netdb(#[from] SourceError),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The name of the signer.
    #[error("{found:?} is no name of a signer: it is like a mail address, with at most 255 bytes")]
    Signer {
        /// The name.
        found: String,
    },
    /// There is nothing to put into it.
    #[error(
        "there is no router info to put into it: {foreign} are of other networks than {network}, {old} are older than \
         {age_max_hours} hours, {unusable} have no address to begin at, {refused} files are none"
    )]
    Empty {
        /// The network that was asked for.
        network: u8,
        /// The age that was asked for.
        age_max_hours: u32,
        /// Router infos of other networks.
        foreign: usize,
        /// Router infos that are too old.
        old: usize,
        /// Router infos without a published address.
        unusable: usize,
        /// Files that are no router infos.
        refused: usize,
    },
    /// The zip cannot be made.
    #[error("cannot pack the router infos: {0}")]
    Zip(#[from] ArchiveError),
    /// Something does not fit into a su3 file.
    #[error("cannot write the bundle: {0}")]
    Overflow(#[from] Overflow),
    /// Nobody would take it.
    #[error(
        "the bundle would have {found} bytes, and others take {BUNDLE_MAX}: put fewer routers into it with --count"
    )]
    TooLarge {
        /// Its size.
        found: usize,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No randomness to pick routers by.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// The result cannot be written to standard output.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// Obeys a command of `floodway reseed`.
///
/// # Errors
/// Why no bundle was made.
pub fn run(command: &ReseedCommand) -> Result<(), MakeError> {
    let ReseedCommand::Make(args) = command;
    let now = clock::unix_time();
    check_signer(&args.signer)?;
    // Before a key is made: what is missing shows first.
    let mut rng = entropy::rng()?;
    let choice = choose(args, now, &mut rng)?;
    let certificate = match args.new_key {
        true => Some(key::generate(&args.key, &args.signer, now)?),
        false => None,
    };
    let key = key::read(&args.key)?;
    let bundle =
        write_bundle(&choice.routers, &args.signer, &key, Occasion { now, rng: &mut rng })?;
    replace_file(&args.out, &bundle)
        .map_err(|error| MakeError::Write { path: args.out.clone(), error })?;
    say(args, &choice, certificate.as_deref()).map_err(MakeError::Output)
}

fn check_signer(name: &str) -> Result<(), MakeError> {
    let usual = |sign: char| !sign.is_control() && !sign.is_whitespace() && sign != '/';
    match (1..=255).contains(&name.len()) && name.chars().all(usual) {
        true => Ok(()),
        false => Err(MakeError::Signer { found: name.to_owned() }),
    }
}

/// The routers of a bundle, and how many were left out for what.
struct Choice {
    routers: Vec<Arc<RouterInfo>>,
    found: usize,
    foreign: usize,
    old: usize,
    unusable: usize,
    refused: usize,
}

fn choose(args: &ReseedMakeArgs, now: UnixTime, rng: &mut ShardRng) -> Result<Choice, MakeError> {
    let mut seeds = Seeds::default();
    for path in &args.from {
        seeds.add(gather(path, args.network_id, now)?);
    }
    if args.from.is_empty() {
        seeds.add(own_netdb(args)?);
    }
    let age_max = Duration::from_secs(3600 * u64::from(args.age_max_hours));
    let found = seeds.routers.len();
    let mut routers = seeds.routers;
    routers.retain(|info| now.since(info.published()) <= age_max);
    let recent = routers.len();
    routers.retain(|info| is_beginning(info));
    let (old, unusable) = (found - recent, recent - routers.len());
    let (foreign, refused) = (seeds.foreign, seeds.refused.len());
    if routers.is_empty() {
        let (network, age_max_hours) = (args.network_id, args.age_max_hours);
        return Err(MakeError::Empty { network, age_max_hours, foreign, old, unusable, refused });
    }
    while routers.len() > usize::from(args.count) {
        routers.swap_remove(rng.below(routers.len()));
    }
    Ok(Choice { routers, found, foreign, old, unusable, refused })
}

/// The router infos of the data directory.
fn own_netdb(args: &ReseedMakeArgs) -> Result<Seeds, MakeError> {
    let source = netdb::Source::open(&resolve_data_dir(args.common.data_dir.as_deref())?)?;
    let mut seeds = Seeds::default();
    source.for_each(|router, info| {
        seeds.take(base64::encode(&router.0), info, args.network_id);
        Ok::<(), MakeError>(())
    })?;
    Ok(seeds)
}

/// The router infos at `path`, of a directory also those in the directories in it.
fn gather(path: &Path, network: u8, now: UnixTime) -> Result<Seeds, ReseedError> {
    // A bundle of others is not made into one of ours: nobody's signature counts here.
    let nobody = Signers::default();
    let mut seeds = load_one(path, network, &Trust { signers: &nobody, now })?;
    if !path.is_dir() {
        return Ok(seeds);
    }
    let failed = |error| ReseedError::Read { path: path.to_owned(), error };
    let entries = fs::read_dir(path).map_err(failed)?;
    let mut shelves = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            shelves.push(entry.path());
        }
    }
    shelves.sort();
    for shelf in shelves.into_iter().take(SHELVES_MAX) {
        seeds.add(load_directory(&shelf, network)?);
    }
    Ok(seeds)
}

/// Whether someone who knows nobody can begin at this router: it says where it is, and does not hide.
fn is_beginning(info: &RouterInfo) -> bool {
    let capabilities = info.capabilities();
    let has_address =
        info.addresses().iter().any(|address| RouterAddress::endpoint(address).is_some());
    has_address && !capabilities.is_hidden() && !capabilities.is_unreachable()
}

/// When a bundle is signed, and with what randomness.
struct Occasion<'a> {
    now: UnixTime,
    rng: &'a mut ShardRng,
}

fn write_bundle(
    routers: &[Arc<RouterInfo>],
    signer: &str,
    key: &SigningSecret,
    occasion: Occasion<'_>,
) -> Result<Vec<u8>, MakeError> {
    let content = archive::write(routers)?;
    let draft = Su3Draft {
        signature_type: key.kind(),
        file_type: Su3FileType::Zip,
        content_type: Su3ContentType::Reseed,
        version: &occasion.now.seconds_rounded().to_string(),
        signer,
        content: &content,
    };
    let mut bundle = Vec::new();
    draft.write(&mut bundle, |message| key.sign(&occasion.rng.bytes(), message).into())?;
    if u64::try_from(bundle.len()).unwrap_or(u64::MAX) > BUNDLE_MAX {
        return Err(MakeError::TooLarge { found: bundle.len() });
    }
    Ok(bundle)
}

fn say(args: &ReseedMakeArgs, choice: &Choice, certificate: Option<&Path>) -> io::Result<()> {
    let (file, routers) = (args.out.display().to_string(), choice.routers.len());
    let certificate = certificate.map(|path| path.display().to_string());
    let mut out = io::stdout();
    if args.json {
        let object = json!({
            "file": file,
            "routers": routers,
            "found": choice.found,
            "foreign": choice.foreign,
            "old": choice.old,
            "unusable": choice.unusable,
            "refused": choice.refused,
            "signer": args.signer,
            "certificate": certificate,
        });
        return writeln!(out, "{object}");
    }
    let Choice { found, old, unusable, foreign, refused, .. } = choice;
    writeln!(out, "{file}: {routers} of {found} routers, signed by {}", args.signer)?;
    writeln!(
        out,
        "left out: {old} too old, {unusable} without an address, {foreign} of other networks, {refused} no router infos"
    )?;
    match certificate {
        Some(path) => writeln!(out, "certificate for others: {path}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
