//! Copies of the router's keys, for a safe place or for another router.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::app::identity::key_file::{self, write_new};
use crate::app::identity::layouts::{IdentityKeys, LayoutError, TransportKeys};
use crate::proto::local::RouterSecrets;

/// How a copy is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One file, which `identity import --from floodway` reads.
    #[default]
    Floodway,
    /// A directory with the key files of an i2pd.
    I2pd,
}

/// A copy cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file would be overwritten.
    #[error("{} exists already, and keys are never overwritten: give another place", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The keys do not belong together.
    #[error("nothing was exported: {0}")]
    Keys(#[from] LayoutError),
}

/// Writes a copy of the secrets to `target`, readable by its owner alone; the files that it consists of.
///
/// # Errors
/// When one of them exists or cannot be written, and when the keys are not those of the identity.
pub fn write(
    format: ExportFormat,
    target: &Path,
    secrets: RouterSecrets,
) -> Result<Vec<PathBuf>, ExportError> {
    let content = key_file::encode(&secrets);
    let RouterSecrets { identity, signing, encryption, .. } = secrets;
    let keys = IdentityKeys::new(identity, encryption, signing)?;
    let files = match format {
        ExportFormat::Floodway => vec![(target.to_owned(), content)],
        ExportFormat::I2pd => {
            let ntcp2 = TransportKeys { secret: secrets.ntcp2_static, intro: secrets.ntcp2_iv };
            let ssu2 = TransportKeys { secret: secrets.ssu2_static, intro: secrets.ssu2_intro };
            make_directory(target)?;
            vec![
                (target.join("router.keys"), keys.write()),
                (target.join("ntcp2.keys"), ntcp2.write_i2pd()),
                (target.join("ssu2.keys"), ssu2.write_i2pd()),
            ]
        }
    };
    // All or none: half of one router and half of another would be worse than nothing.
    if let Some((path, _)) = files.iter().find(|(path, _)| path.symlink_metadata().is_ok()) {
        return Err(ExportError::Exists { path: path.clone() });
    }
    for (path, content) in &files {
        let failed = |error| ExportError::Write { path: path.clone(), error };
        write_new(path, content).map_err(failed)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn make_directory(path: &Path) -> Result<(), ExportError> {
    let failed = |error| ExportError::Write { path: path.to_owned(), error };
    fs::DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(failed)
}
