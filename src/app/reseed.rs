//! The first routers: router infos out of directories and zip files, each verified before it counts.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::limits::ROUTER_INFO_MAX;
use crate::wire::reader::Malformed;
use crate::wire::router_info::RouterInfo;
use crate::wire::unverified::SignatureRefused;

/// Files of one directory or zip that are looked at.
const FILES_MAX: usize = 1000;
/// Bytes of a zip file.
const ZIP_MAX: u64 = 4 * 1024 * 1024;
/// Bytes of one file that are read: more than a router info may have.
const FILE_MAX: u64 = 4096;
/// First bytes of a zip file, and of a signed reseed bundle.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
const ZIP_EMPTY_MAGIC: &[u8] = b"PK\x05\x06";
const SU3_MAGIC: &[u8] = b"I2Psu3";

const _: () = assert!(ROUTER_INFO_MAX < 4096);

/// Where router infos come from: a directory, a zip file, or one router info.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path.
    pub path: PathBuf,
}

/// Routers to begin with, and what was found beside them.
#[derive(Clone, Debug, Default)]
pub struct Seeds {
    /// Verified router infos of our network.
    pub routers: Vec<Arc<RouterInfo>>,
    /// Router infos of other networks.
    pub foreign: usize,
    /// Names of files that are no router infos, and why.
    pub refused: Vec<(String, Refusal)>,
}

/// Why a file gives no router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no router info.
    #[error("no router info: {0}")]
    Malformed(#[from] Malformed),
    /// Its signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureRefused),
    /// It is larger than any router info.
    #[error("more than {FILE_MAX} bytes")]
    TooLarge,
    /// The zip does not hold what it announces.
    #[error("cannot be unpacked")]
    Unpacking,
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
    /// It is a signed bundle.
    #[error(
        "{} is a signed bundle (su3), which this version does not read: unpack it to a directory of router infos",
        path.display()
    )]
    Su3 {
        /// The source.
        path: PathBuf,
    },
    /// It is neither directory, zip nor router info.
    #[error("{} is no directory, no zip and no router info: {reason}", path.display())]
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

/// Reads all sources. What one file gets wrong is noted; what a whole source gets wrong is an error.
///
/// # Errors
/// When a source does not exist, is of no kind that we read, or is not empty and yet holds no router of our network.
pub fn load(sources: &[Source], network: u8) -> Result<Seeds, ReseedError> {
    let mut all = Seeds::default();
    for source in sources {
        let found = load_one(&source.path, network)?;
        let is_empty = found.routers.is_empty() && found.foreign == 0 && found.refused.is_empty();
        if found.routers.is_empty() && !is_empty {
            return Err(ReseedError::NoRouter {
                path: source.path.clone(),
                network,
                refused: found.refused.len(),
                foreign: found.foreign,
                first: found.refused.into_iter().next(),
            });
        }
        all.routers.extend(found.routers);
        all.foreign += found.foreign;
        all.refused.extend(found.refused);
    }
    // The same router may stand in several sources; its newest record counts.
    all.routers.sort_by_key(|info| (info.hash(), std::cmp::Reverse(info.published())));
    all.routers.dedup_by_key(|info| info.hash());
    Ok(all)
}

fn load_one(path: &Path, network: u8) -> Result<Seeds, ReseedError> {
    let failed = |error| ReseedError::Read { path: path.to_owned(), error };
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return load_directory(path, network);
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut start = Vec::new();
    file.by_ref().take(FILE_MAX + 1).read_to_end(&mut start).map_err(failed)?;
    if start.starts_with(SU3_MAGIC) {
        return Err(ReseedError::Su3 { path: path.to_owned() });
    }
    if start.starts_with(ZIP_MAGIC) || start.starts_with(ZIP_EMPTY_MAGIC) {
        return load_zip(path, metadata.len(), network);
    }
    let mut seeds = Seeds::default();
    seeds.take(path.display().to_string(), &start, network);
    match seeds.refused.pop() {
        Some((_, reason)) => Err(ReseedError::Kind { path: path.to_owned(), reason }),
        None => Ok(seeds),
    }
}

fn load_directory(path: &Path, network: u8) -> Result<Seeds, ReseedError> {
    let failed = |error| ReseedError::Read { path: path.to_owned(), error };
    let entries: Vec<_> =
        fs::read_dir(path).map_err(failed)?.collect::<io::Result<_>>().map_err(failed)?;
    let mut paths: Vec<_> =
        entries.iter().map(fs::DirEntry::path).filter(|path| is_seed(path)).collect();
    paths.sort();
    let mut seeds = Seeds::default();
    for path in paths.into_iter().take(FILES_MAX) {
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

/// Whether a name is one that router infos have.
fn is_seed(path: &Path) -> bool {
    matches!(path.extension().and_then(OsStr::to_str), Some("dat" | "info"))
}

fn load_zip(path: &Path, size: u64, network: u8) -> Result<Seeds, ReseedError> {
    if size > ZIP_MAX {
        return Err(ReseedError::ZipTooLarge { path: path.to_owned(), found: size });
    }
    let damaged = |error: zip::result::ZipError| ReseedError::Zip {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let bytes =
        fs::read(path).map_err(|error| ReseedError::Read { path: path.to_owned(), error })?;
    let mut archive = zip::ZipArchive::new(io::Cursor::new(bytes)).map_err(damaged)?;
    let mut seeds = Seeds::default();
    for index in 0..archive.len().min(FILES_MAX) {
        let entry = archive.by_index(index).map_err(damaged)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if entry.is_dir() || !is_seed(Path::new(&name)) {
            continue;
        }
        let mut bytes = Vec::new();
        // The announced size is not believed: no more is unpacked than a router info may have.
        match entry.take(FILE_MAX + 1).read_to_end(&mut bytes) {
            Ok(_) => seeds.take(name, &bytes, network),
            Err(_) => seeds.refused.push((name, Refusal::Unpacking)),
        }
    }
    Ok(seeds)
}

impl Seeds {
    fn take(&mut self, name: String, bytes: &[u8], network: u8) {
        match read_router(bytes) {
            Ok(info) if info.network() == Some(network) => self.routers.push(Arc::new(info)),
            Ok(_) => self.foreign += 1,
            Err(reason) => self.refused.push((name, reason)),
        }
    }
}

fn read_router(bytes: &[u8]) -> Result<RouterInfo, Refusal> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX {
        return Err(Refusal::TooLarge);
    }
    Ok(RouterInfo::parse(bytes)?.verify()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    const I2PD: &[u8] = include_bytes!("../../tests/vectors/router_info_i2pd_2.59.0.dat");
    const JAVA: &[u8] = include_bytes!("../../tests/vectors/router_info_java_2.7.0.dat");
    /// Network of the samples.
    const NETWORK: u8 = 99;

    fn source(path: &Path) -> [Source; 1] {
        [Source { path: path.to_owned() }]
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
        let write =
            |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
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
        assert!(load(&source(&path), NETWORK).unwrap_err().to_string().contains("su3"));
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
}
