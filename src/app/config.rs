//! The configuration: file, environment and arguments put together and checked, once.

mod difference;
mod file;

use std::env;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use serde::Deserialize;

pub use self::difference::Difference;
pub use self::file::{KEYS, RawConfig};
use crate::app::args::RunArgs;
use crate::app::bandwidth::Bandwidth;
use crate::app::log::{LogFormat, LogLevel};
use crate::app::reseed::Source;
use crate::app::reseed::hosts::{self, NoHostUrl};
use crate::crypto::layer::Kernel;

/// How much of the bandwidth transit may take where nobody says, in percent: i2pd and Java leave as much or more to it, and
/// the rest does for the netdb of a floodfill.
const TRANSIT_SHARE: u8 = 80;

/// How long a busy shard may hold tunnel messages back where nobody says, in microseconds. Not at all: its turns collect
/// messages by themselves, and what a cork adds to that was measured and is little (ARCHITECTURE.md).
const CORK: u16 = 0;
/// The most that it may be set to.
const CORK_MAX: u16 = 10_000;

/// Number of the live network.
pub const LIVE_NETWORK: u8 = 2;

/// Whether to serve the network database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FloodfillMode {
    /// Once the router has proved to be stable.
    #[default]
    Auto,
    /// From the start.
    On,
    /// Never.
    Off,
}

/// A fixed secret of the placement, as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PlacementSecretHex(pub [u8; 16]);

impl fmt::Debug for PlacementSecretHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlacementSecretHex(secret)")
    }
}

/// The text is no placement secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a placement secret has 32 hexadecimal digits")]
pub struct NoPlacementSecret;

impl FromStr for PlacementSecretHex {
    type Err = NoPlacementSecret;

    fn from_str(text: &str) -> Result<Self, NoPlacementSecret> {
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NoPlacementSecret);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| NoPlacementSecret)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// What the router runs by, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Directory of keys and state.
    pub data_dir: PathBuf,
    /// Network id.
    pub network: u8,
    /// Address to publish; `None` is the public address of an interface.
    pub host: Option<IpAddr>,
    /// Port to publish; `None` is the one that follows from the identity.
    pub port: Option<u16>,
    /// Whether to serve the network database.
    pub floodfill: FloodfillMode,
    /// Where first routers come from.
    pub reseed: Vec<Source>,
    /// Certificates of those whose bundles count, beside the carried ones.
    pub reseed_signers: Option<PathBuf>,
    /// Authorities that vouch for reseed hosts; `None` is Mozilla's list.
    pub reseed_ca: Option<PathBuf>,
    /// Whether reserved address ranges are dialled.
    pub allow_private: bool,
    /// How many shards; `None` is one per CPU.
    pub shards: Option<u16>,
    /// Bandwidth to use in each direction.
    pub bandwidth: Bandwidth,
    /// How much of it transit may take, in percent.
    pub transit_share: u8,
    /// How long a busy shard may hold tunnel messages back, in microseconds.
    pub cork: u16,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// How much is logged.
    pub log_level: LogLevel,
    /// How the log is written.
    pub log_format: LogFormat,
    /// Fixed secret of the placement, on test networks.
    pub placement_secret: Option<PlacementSecretHex>,
    /// Tunnel-layer kernel, where the fastest is not wanted.
    pub layer_kernel: Option<Kernel>,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The home directory is unknown.
    #[error("no data directory: neither XDG_DATA_HOME nor HOME is set; give one with --data-dir")]
    NoDataDir,
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file has a key that does not exist.
    #[error("{}: unknown key `{key}`{}", path.display(), Suggestion(*nearest))]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The key that was meant, probably.
        nearest: Option<&'static str>,
    },
    /// The file is no TOML, or a value has the wrong type.
    #[error("{}: {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        error: toml::de::Error,
    },
    /// A value is out of its range.
    #[error("`{key}` cannot be {found}: {range}")]
    Range {
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        range: &'static str,
    },
    /// A bandwidth cannot be read.
    #[error("`bandwidth`: {0}")]
    Bandwidth(#[from] crate::app::bandwidth::BandwidthError),
    /// A reseed source is no URL that is fetched.
    #[error("cannot reseed from {url}: {reason}")]
    ReseedUrl {
        /// The source.
        url: String,
        /// Why.
        reason: NoHostUrl,
    },
    /// `none` beside other sources.
    #[error("reseed `none` stands beside other sources: give either")]
    ReseedNoneAndSome,
    /// More than one address.
    #[error("{count} addresses are given with --host; this version publishes one")]
    SeveralHosts {
        /// How many.
        count: usize,
    },
    /// A build for tests on the live network.
    #[error(
        "this is a debug build, and the live network (2) is no place for it: build with --release, or choose a test \
         network with --network-id"
    )]
    DebugOnLiveNetwork,
    /// A known secret on the live network.
    #[error(
        "a fixed placement secret lets others aim load at one shard: it is refused on the live network (2)"
    )]
    SecretOnLiveNetwork,
}

/// The end of a message about an unknown key.
struct Suggestion(Option<&'static str>);

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => write!(f, "; known are {}", KEYS.join(", ")),
        }
    }
}

/// The kind of build that checks a configuration: builds for tests keep off the live network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Built for use.
    Release,
    /// Built for tests.
    Debug,
}

impl Build {
    /// What this program is.
    #[must_use]
    pub fn this() -> Self {
        if cfg!(debug_assertions) { Build::Debug } else { Build::Release }
    }
}

impl Config {
    /// Reads the file, if there is one, and puts it together with the arguments.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(args: &RunArgs, build: Build) -> Result<Self, ConfigError> {
        let data_dir = resolve_data_dir(args.common.data_dir.as_deref())?;
        let raw = match &args.common.config {
            Some(path) => RawConfig::read(path)?,
            None => {
                let path = file_of(&data_dir);
                if path.exists() { RawConfig::read(&path)? } else { RawConfig::default() }
            }
        };
        Self::check(data_dir, args, raw, build)
    }

    /// Puts arguments and file together; arguments win.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(
        data_dir: PathBuf,
        args: &RunArgs,
        raw: RawConfig,
        build: Build,
    ) -> Result<Self, ConfigError> {
        let from_file = raw.bandwidth.as_deref().map(Bandwidth::from_str).transpose()?;
        let reseed = if args.reseed.is_empty() { raw.reseed } else { args.reseed.clone() };
        let network = args.network_id.or(raw.network_id).unwrap_or(LIVE_NETWORK);
        let config = Self {
            data_dir,
            network,
            host: one_host(&args.host)?.or(raw.host),
            port: args.port.or(raw.port),
            floodfill: args.floodfill.or(raw.floodfill).unwrap_or_default(),
            reseed: sources(&reseed, network)?,
            reseed_signers: args.reseed_signers.clone().or(raw.reseed_signers),
            reseed_ca: args.reseed_ca.clone().or(raw.reseed_ca),
            allow_private: args.allow_private.or(raw.allow_private).unwrap_or(false),
            shards: args.shards.or(raw.shards),
            bandwidth: args.bandwidth.or(from_file).unwrap_or_default(),
            transit_share: args.transit_share.or(raw.transit_share).unwrap_or(TRANSIT_SHARE),
            cork: args.cork.or(raw.cork).unwrap_or(CORK),
            metrics: args.metrics.or(raw.metrics),
            log_level: args.log_level.or(raw.log_level).unwrap_or_default(),
            log_format: args.log_format.or(raw.log_format).unwrap_or_default(),
            placement_secret: args.placement_secret,
            layer_kernel: args.layer_kernel,
        };
        config.check_ranges()?;
        config.check_network(build)?;
        Ok(config)
    }

    fn check_ranges(&self) -> Result<(), ConfigError> {
        let refuse = |key, found: &dyn fmt::Display, range| {
            Err(ConfigError::Range { key, found: found.to_string(), range })
        };
        if self.network == 0 {
            return refuse(
                "network_id",
                &self.network,
                "it is 2, or 1 to 255 for a private network",
            );
        }
        if self.port == Some(0) {
            return refuse("port", &0, "it is 1 to 65535");
        }
        if let Some(shards) = self.shards.filter(|shards| !(1..=1024).contains(shards)) {
            return refuse("shards", &shards, "it is 1 to 1024");
        }
        if self.transit_share > 100 {
            return refuse("transit_share", &self.transit_share, "it is 0 to 100, in percent");
        }
        if self.cork > CORK_MAX {
            return refuse("cork", &self.cork, "it is 0 to 10000, in microseconds");
        }
        if let Some(host) = self.host.filter(|host| host.is_unspecified() || host.is_multicast()) {
            return refuse("host", &host, "it is the address at which others reach this router");
        }
        Ok(())
    }

    /// Bytes a second of the bandwidth that transit may take in each direction; zero only where nothing is shared.
    #[must_use]
    pub fn transit_bandwidth(&self) -> u64 {
        let all = u128::from(self.bandwidth.bytes_per_second());
        let share = all * u128::from(self.transit_share) / 100;
        u64::try_from(share).unwrap_or(u64::MAX).max(u64::from(self.transit_share).min(1))
    }

    fn check_network(&self, build: Build) -> Result<(), ConfigError> {
        if self.network != LIVE_NETWORK {
            return Ok(());
        }
        if self.placement_secret.is_some() {
            return Err(ConfigError::SecretOnLiveNetwork);
        }
        match build {
            Build::Debug => Err(ConfigError::DebugOnLiveNetwork),
            Build::Release => Ok(()),
        }
    }
}

fn one_host(hosts: &[IpAddr]) -> Result<Option<IpAddr>, ConfigError> {
    match hosts {
        [] => Ok(None),
        [host] => Ok(Some(*host)),
        several => Err(ConfigError::SeveralHosts { count: several.len() }),
    }
}

fn sources(texts: &[String], network: u8) -> Result<Vec<Source>, ConfigError> {
    let nothing = |text: &String| text == "none";
    if texts.iter().any(nothing) {
        let alone = texts.iter().all(nothing);
        return if alone { Ok(Vec::new()) } else { Err(ConfigError::ReseedNoneAndSome) };
    }
    if texts.is_empty() {
        return Ok(hosts::usual(network).into_iter().map(Source::Host).collect());
    }
    texts.iter().map(|text| source(text)).collect()
}

fn source(text: &str) -> Result<Source, ConfigError> {
    /// What the URL of a local file begins with.
    const FILE_SCHEME: &str = "file://";
    if let Some(path) = text.strip_prefix(FILE_SCHEME) {
        return Ok(Source::File(PathBuf::from(path)));
    }
    if !text.contains("://") {
        return Ok(Source::File(PathBuf::from(text)));
    }
    let url =
        text.parse().map_err(|reason| ConfigError::ReseedUrl { url: text.to_owned(), reason });
    url.map(Source::Host)
}

/// The configuration file of a data directory.
#[must_use]
pub fn file_of(data_dir: &Path) -> PathBuf {
    data_dir.join("floodway.toml")
}

/// The data directory that was given, or that of the user: `/var/lib/floodway` for root, by XDG for others.
///
/// # Errors
/// When none is given and the environment names no home.
pub fn resolve_data_dir(given: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if let Some(state) = variable("XDG_DATA_HOME") {
        return Ok(state.join("floodway"));
    }
    match variable("HOME") {
        Some(home) if home == Path::new("/root") => Ok(PathBuf::from("/var/lib/floodway")),
        Some(home) => Ok(home.join(".local/share/floodway")),
        None => Err(ConfigError::NoDataDir),
    }
}

#[cfg(test)]
mod tests;
