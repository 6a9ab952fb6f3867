//! The first routers: router infos out of directories, zip files and signed bundles, each verified before it counts.
//!
//! Files are read before the router starts, and a mistake in them ends it with a message. Hosts are asked while it runs
//! already, since they may all be away and others can connect in the meantime.

mod archive;
pub mod background;
pub mod bundle;
pub mod hosts;
pub mod https;
pub mod key;
pub mod make;
mod seeds;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use self::bundle::{BUNDLE_MAX, BundleError, Trust};
use self::hosts::HostUrl;
use self::seeds::{FILE_MAX, is_seed};
pub use self::seeds::{FILES_MAX, Refusal, Seeds};
use crate::app::config::{Config, LIVE_NETWORK};
use crate::app::signers::{SignerError, Signers};
use crate::base::time::UnixTime;
use crate::wire::su3::SU3_MAGIC;

/// Bytes of a zip file.
const ZIP_MAX: u64 = 4 * 1024 * 1024;
/// First bytes of a zip file.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
const ZIP_EMPTY_MAGIC: &[u8] = b"PK\x05\x06";

/// Where router infos come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A directory, a zip file, a signed bundle or one router info, by its path.
    File(PathBuf),
    /// A signed bundle on a host.
    Host(HostUrl),
}

/// The seeds cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReseedError {
    /// It does not exist, or cannot be read.
    #[error("cannot read the reseed source {}: {error}", path.display())]
    Read {
        /// The source.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A signed bundle is refused.
    #[error("the reseed bundle {} is refused: {reason}", path.display())]
    Bundle {
        /// The source.
        path: PathBuf,
        /// Why.
        reason: BundleError,
    },
    /// It is neither directory, zip, bundle nor router info.
    #[error("{} is no directory, no zip, no su3 and no router info: {reason}", path.display())]
    Kind {
        /// The source.
        path: PathBuf,
        /// Why it is no router info.
        reason: Refusal,
    },
    /// The zip is too large.
    #[error("{} has {found} bytes; a reseed zip has at most {ZIP_MAX}", path.display())]
    ZipTooLarge {
        /// The source.
        path: PathBuf,
        /// Its size.
        found: u64,
    },
    /// The zip is damaged.
    #[error("{} is no zip that can be read: {reason}", path.display())]
    Zip {
        /// The source.
        path: PathBuf,
        /// What the unpacker says.
        reason: String,
    },
    /// It holds files, but not one router info of our network.
    #[error(
        "{} holds no valid router info of network {network}: {refused} files are none, {foreign} are of other \
         networks{}", path.display(), First(first)
    )]
    NoRouter {
        /// The source.
        path: PathBuf,
        /// Our network.
        network: u8,
        /// Files that are no router infos.
        refused: usize,
        /// Router infos of other networks.
        foreign: usize,
        /// The first file that is none, and why.
        first: Option<(String, Refusal)>,
    },
    /// The certificates of signers cannot be read.
    #[error("cannot read the certificates of reseed signers in {}: {error}", path.display())]
    Signers {
        /// Their directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A certificate of a signer cannot be used.
    #[error("the certificate {} of a reseed signer: {error}", path.display())]
    Signer {
        /// The file.
        path: PathBuf,
        /// Why.
        error: SignerError,
    },
}

struct First<'a>(&'a Option<(String, Refusal)>);

impl std::fmt::Display for First<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some((name, reason)) => write!(f, " ({name}: {reason})"),
            None => Ok(()),
        }
    }
}

/// Whose bundles count: those of the signers that this program carries, on the live network alone, and those of the
/// operator's own.
///
/// # Errors
/// When a certificate of the operator's cannot be used.
pub fn signers(config: &Config) -> Result<Signers, ReseedError> {
    let mut all = match config.network {
        LIVE_NETWORK => Signers::carried(),
        _ => Signers::default(),
    };
    if let Some(path) = &config.reseed_signers {
        let (own, refused) = Signers::load(path)
            .map_err(|error| ReseedError::Signers { path: path.clone(), error })?;
        if let Some((path, error)) = refused.into_iter().next() {
            return Err(ReseedError::Signer { path, error });
        }
        all.extend(own);
    }
    Ok(all)
}

/// Reads all sources that are files. What one file in them gets wrong is noted; what a whole source gets wrong is an
/// error. `now` is what certificates and bundles are dated against.
///
/// # Errors
/// When a source does not exist, is of no kind that we read, is a bundle that does not count, or is not empty and yet
/// holds no router of our network; and where the signers cannot be had.
pub fn load(config: &Config, now: UnixTime) -> Result<Seeds, ReseedError> {
    let signers = signers(config)?;
    load_files(&config.reseed, config.network, &Trust { signers: &signers, now })
}

fn load_files(sources: &[Source], network: u8, trust: &Trust<'_>) -> Result<Seeds, ReseedError> {
    let mut all = Seeds::default();
    for source in sources {
        let Source::File(path) = source else { continue };
        let found = load_one(path, network, trust)?;
        let is_empty = found.routers.is_empty() && found.foreign == 0 && found.refused.is_empty();
        if found.routers.is_empty() && !is_empty {
            return Err(ReseedError::NoRouter {
                path: path.clone(),
                network,
                refused: found.refused.len(),
                foreign: found.foreign,
                first: found.refused.into_iter().next(),
            });
        }
        all.add(found);
    }
    Ok(all)
}

fn load_one(path: &Path, network: u8, trust: &Trust<'_>) -> Result<Seeds, ReseedError> {
    let failed = |error| ReseedError::Read { path: path.to_owned(), error };
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return load_directory(path, network);
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let mut read_to = |bytes: &mut Vec<u8>, limit: u64| {
        let limit = limit + 1 - u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        file.by_ref().take(limit).read_to_end(bytes).map_err(failed)
    };
    read_to(&mut bytes, FILE_MAX)?;
    if bytes.starts_with(SU3_MAGIC) {
        read_to(&mut bytes, BUNDLE_MAX)?;
        let opened = bundle::open(&bytes, network, trust);
        return opened.map_err(|reason| ReseedError::Bundle { path: path.to_owned(), reason });
    }
    if bytes.starts_with(ZIP_MAGIC) || bytes.starts_with(ZIP_EMPTY_MAGIC) {
        if metadata.len() > ZIP_MAX {
            return Err(ReseedError::ZipTooLarge { path: path.to_owned(), found: metadata.len() });
        }
        read_to(&mut bytes, ZIP_MAX)?;
        let unpacked = archive::read(&bytes, network);
        return unpacked
            .map_err(|error| ReseedError::Zip { path: path.to_owned(), reason: error.0 });
    }
    let mut seeds = Seeds::default();
    seeds.take(path.display().to_string(), &bytes, network);
    match seeds.refused.pop() {
        Some((_, reason)) => Err(ReseedError::Kind { path: path.to_owned(), reason }),
        None => Ok(seeds),
    }
}

fn load_directory(path: &Path, network: u8) -> Result<Seeds, ReseedError> {
    let failed = |error| ReseedError::Read { path: path.to_owned(), error };
    let mut seeds = Seeds::default();
    for path in files_of(path).map_err(failed)?.into_iter().take(FILES_MAX) {
        let failed = |error| ReseedError::Read { path: path.clone(), error };
        let file = File::open(&path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            continue;
        }
        let mut bytes = Vec::new();
        file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        seeds.take(path.display().to_string(), &bytes, network);
    }
    Ok(seeds)
}

/// Files of a directory that are named as router infos are, in order.
fn files_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: Vec<_> = fs::read_dir(directory)?.collect::<io::Result<_>>()?;
    let mut paths: Vec<_> =
        entries.iter().map(fs::DirEntry::path).filter(|path| is_seed(path)).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
