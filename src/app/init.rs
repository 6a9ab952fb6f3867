//! `floodway init`: a configuration file with every key explained.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::app::args::InitArgs;
use crate::app::config::{ConfigError, file_of, resolve_data_dir};

/// The configuration that is written: all keys, at their defaults, as comments.
pub const DEFAULT_CONFIG: &str = include_str!("init/floodway.toml");

/// The file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The data directory is unknown.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is one already.
    #[error("{} exists already: edit it, or remove it first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Writes the default configuration and says where.
///
/// # Errors
/// When a file is there already, or cannot be written.
pub fn run(args: &InitArgs) -> Result<(), InitError> {
    let mut out = io::stdout();
    let stdout = |error| InitError::Write { path: "standard output".into(), error };
    if args.stdout {
        return out.write_all(DEFAULT_CONFIG.as_bytes()).map_err(stdout);
    }
    let path = match &args.common.config {
        Some(path) => path.clone(),
        None => file_of(&resolve_data_dir(args.common.data_dir.as_deref())?),
    };
    write_new(&path)?;
    writeln!(out, "{}", path.display()).map_err(stdout)
}

fn write_new(path: &Path) -> Result<(), InitError> {
    let failed = |error| InitError::Write { path: path.to_owned(), error };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(InitError::Exists { path: path.to_owned() });
        }
        Err(error) => return Err(failed(error)),
    };
    file.write_all(DEFAULT_CONFIG.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)
}
