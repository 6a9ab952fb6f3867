//! Zip files of router infos, read within bounds and written as i2pd and Java read them.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;

use super::{FILE_MAX, FILES_MAX, Refusal, Seeds, is_seed};
use crate::wire::base64;
use crate::wire::router_info::RouterInfo;

/// A zip cannot be read, or not written: what the packer says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ArchiveError(pub String);

impl From<ZipError> for ArchiveError {
    fn from(error: ZipError) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// The router infos in a zip: of each file no more is unpacked than a router info may have, and of all no more than
/// [`FILES_MAX`] are looked at, whatever it announces.
///
/// # Errors
/// When it is no zip.
pub fn read(bytes: &[u8], network: u8) -> Result<Seeds, ArchiveError> {
    let mut archive = zip::ZipArchive::new(io::Cursor::new(bytes))?;
    let mut seeds = Seeds::default();
    for index in 0..archive.len().min(FILES_MAX) {
        let entry = archive.by_index(index)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if entry.is_dir() || !is_seed(Path::new(&name)) {
            continue;
        }
        let mut bytes = Vec::new();
        match entry.take(FILE_MAX + 1).read_to_end(&mut bytes) {
            Ok(_) => seeds.take(name, &bytes, network),
            Err(_) => seeds.refused.push((name, Refusal::Unpacking)),
        }
    }
    Ok(seeds)
}

/// A zip of `routers`, each in a file that is named after its hash.
///
/// # Errors
/// What the packer reports.
pub fn write(routers: &[Arc<RouterInfo>]) -> Result<Vec<u8>, ArchiveError> {
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for info in routers {
        let name = format!("routerInfo-{}.dat", base64::encode(&info.hash().0));
        writer.start_file(name, SimpleFileOptions::default())?;
        writer.write_all(info.bytes())?;
    }
    Ok(writer.finish()?.into_inner())
}
