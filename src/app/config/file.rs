//! The configuration file as it is written, before anything is checked.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ConfigError, FloodfillMode};
use crate::app::log::{LogFormat, LogLevel};

/// Keys of the file.
pub const KEYS: [&str; 15] = [
    "network_id",
    "host",
    "port",
    "floodfill",
    "reseed",
    "reseed_signers",
    "reseed_ca",
    "allow_private",
    "shards",
    "bandwidth",
    "transit_share",
    "cork",
    "metrics",
    "log_level",
    "log_format",
];

/// What stands in the file; the options of the same names say what it means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the keys are explained in the default configuration and the options"
)]
pub struct RawConfig {
    pub network_id: Option<u8>,
    pub host: Option<IpAddr>,
    pub port: Option<u16>,
    pub floodfill: Option<FloodfillMode>,
    #[serde(default)]
    pub reseed: Vec<String>,
    pub reseed_signers: Option<PathBuf>,
    pub reseed_ca: Option<PathBuf>,
    pub allow_private: Option<bool>,
    pub shards: Option<u16>,
    pub bandwidth: Option<String>,
    pub transit_share: Option<u8>,
    pub cork: Option<u16>,
    pub metrics: Option<SocketAddr>,
    pub log_level: Option<LogLevel>,
    pub log_format: Option<LogFormat>,
}

impl RawConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, has unknown keys, or values of wrong types.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        Self::parse(&text, path)
    }

    /// Reads the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// When it has unknown keys, or values of wrong types.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let syntax = |error| ConfigError::Syntax { path: path.to_owned(), error };
        let table: toml::Table = toml::from_str(text).map_err(syntax)?;
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let nearest = nearest(key);
            return Err(ConfigError::UnknownKey {
                path: path.to_owned(),
                key: key.clone(),
                nearest,
            });
        }
        toml::from_str(text).map_err(syntax)
    }
}

/// The key that someone who wrote `key` has meant, if one is close.
fn nearest(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let distances = KEYS.iter().map(|known| (distance(&key, known), *known));
    let (edits, known) = distances.min_by_key(|(edits, _)| *edits)?;
    (edits <= 1 + known.len() / 4).then_some(known)
}

/// How many letters have to be put in, taken out or changed to make `right` of `left`.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    // Row `i` of the table holds the distances between the first `i` letters and all beginnings of `right`.
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, letter) in left.chars().enumerate() {
        let mut below = vec![i + 1];
        for (pair, other) in row.windows(2).zip(&right) {
            let [diagonal, above] = pair else { continue };
            let changed = diagonal + usize::from(letter != *other);
            let before = below.last().copied().unwrap_or(usize::MAX - 1);
            below.push(changed.min(above + 1).min(before + 1));
        }
        row = below;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        assert_eq!(distance("port", "port"), 0);
        assert_eq!(distance("prot", "port"), 2);
        assert_eq!(distance("ports", "port"), 1);
        assert_eq!(distance("", "port"), 4);
    }

    #[test]
    fn the_nearest_key_is_found_or_none() {
        assert_eq!(nearest("netwrok_id"), Some("network_id"));
        assert_eq!(nearest("network-id"), Some("network_id"));
        assert_eq!(nearest("Port"), Some("port"));
        assert_eq!(nearest("floodfil"), Some("floodfill"));
        assert_eq!(nearest("quota"), None);
    }
}
