//! Keys in the data directories of other routers: read, checked against each other, and never changed.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::app::identity::key_file::{self, KEY_FILE, KeyFileError, SecretFile};
use crate::app::identity::layouts::{
    IdentityKeys, JavaTransportKeys, LayoutError, TransportKeys, parse_single_key,
};
use crate::base::limits::ROUTER_INFO_MAX;
use crate::base::rng::ShardRng;
use crate::crypto::secret::{Ed25519Seed, X25519Secret};
use crate::crypto::x25519::public_key;
use crate::proto::local::RouterSecrets;
use crate::wire::base64;
use crate::wire::identity::RouterIdentity;
use crate::wire::router_address::TransportStyle;
use crate::wire::router_info::RouterInfo;

/// Longest file that is read; Java's settings are the longest.
const FILE_MAX: usize = 256 * 1024;
/// What each router calls the RouterInfo that it published last.
const ROUTER_INFO: &str = "router.info";

/// A router whose keys can be moved here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Origin {
    /// The data directory of an i2pd.
    I2pd,
    /// The configuration directory of a Java router.
    Java,
    /// The base directory of an emissary.
    Emissary,
    /// A data directory of Floodway, or a file that `identity export` wrote.
    Floodway,
}

impl Origin {
    fn name(self) -> &'static str {
        match self {
            Self::I2pd => "i2pd",
            Self::Java => "Java I2P",
            Self::Emissary => "emissary",
            Self::Floodway => "Floodway",
        }
    }

    /// Where such a router usually keeps its keys.
    fn usual_place(self) -> &'static str {
        match self {
            Self::I2pd => "/var/lib/i2pd or ~/.i2pd",
            Self::Java => "/var/lib/i2p/i2p-config or ~/.i2p",
            Self::Emissary => "~/.emissary",
            Self::Floodway => "/var/lib/floodway or ~/.local/share/floodway",
        }
    }
}

/// Keys cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// A file is not there.
    #[error(
        "there is no {file} in {}: give the directory where {} keeps its keys, usually {}",
        directory.display(), origin.name(), origin.usual_place()
    )]
    Missing {
        /// Where it was looked for.
        directory: PathBuf,
        /// Its name.
        file: &'static str,
        /// Whose directory it was said to be.
        origin: Origin,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {error}; run this as a user who may", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {error}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: LayoutError,
    },
    /// The RouterInfo beside the keys is that of another router.
    #[error(
        "{} is the router info of {}, but the keys are those of {}: if the keys are the right ones, remove it",
        path.display(), .published, .keys
    )]
    OtherRouter {
        /// The file.
        path: PathBuf,
        /// Hash in the RouterInfo.
        published: String,
        /// Hash that belongs to the keys.
        keys: String,
    },
    /// A key file of our own cannot be used.
    #[error(transparent)]
    Own(#[from] KeyFileError),
}

/// What was found in a data directory.
#[derive(Debug)]
pub struct Found {
    /// The router's keys.
    pub secrets: RouterSecrets,
    /// Transports whose keys were not there and are new.
    pub renewed: Vec<&'static str>,
    /// Where others know the router to be, by the RouterInfo beside the keys.
    pub published: Vec<(&'static str, SocketAddr)>,
    /// Key files that others can read.
    pub exposed: Vec<PathBuf>,
    /// Transports whose published key is not the one that was found.
    pub outdated: Vec<&'static str>,
}

/// The keys of the router of kind `origin` in `place`; `rng` makes those of a transport that it did not use.
///
/// # Errors
/// When a file is missing or damaged, and when files do not belong together.
pub fn read(origin: Origin, place: &Path, rng: &mut ShardRng) -> Result<Found, ForeignError> {
    let directory = Directory { path: place, origin };
    let mut reading = Reading { exposed: Vec::new(), renewed: Vec::new(), rng };
    let secrets = match origin {
        Origin::I2pd => directory.i2pd(&mut reading)?,
        Origin::Java => directory.java(&mut reading)?,
        Origin::Emissary => directory.emissary(&mut reading)?,
        Origin::Floodway if place.is_dir() => key_file::read(&place.join(KEY_FILE))?,
        Origin::Floodway => key_file::read(place)?,
    };
    let mut found = Found {
        secrets,
        renewed: reading.renewed,
        published: Vec::new(),
        exposed: reading.exposed,
        outdated: Vec::new(),
    };
    if let Some(info) = directory.router_info()? {
        compare(&mut found, &info, &place.join(ROUTER_INFO))?;
    }
    Ok(found)
}

/// What is collected on the way.
struct Reading<'a> {
    exposed: Vec<PathBuf>,
    renewed: Vec<&'static str>,
    rng: &'a mut ShardRng,
}

impl Reading<'_> {
    /// The keys of a transport, new ones where there are none.
    fn or_new<const N: usize>(
        &mut self,
        keys: Option<TransportKeys<N>>,
        transport: &'static str,
    ) -> TransportKeys<N> {
        keys.unwrap_or_else(|| {
            self.renewed.push(transport);
            let secret = X25519Secret::from_bytes(self.rng.bytes());
            TransportKeys { secret, intro: self.rng.bytes() }
        })
    }
}

struct Directory<'a> {
    path: &'a Path,
    origin: Origin,
}

impl Directory<'_> {
    fn i2pd(&self, reading: &mut Reading<'_>) -> Result<RouterSecrets, ForeignError> {
        let keys = self.needed("router.keys", reading, IdentityKeys::parse)?;
        let ntcp2 = self.optional("ntcp2.keys", reading, TransportKeys::parse_i2pd)?;
        let ssu2 = self.optional("ssu2.keys", reading, TransportKeys::parse_i2pd)?;
        Ok(assemble(keys, ntcp2, ssu2, reading))
    }

    fn java(&self, reading: &mut Reading<'_>) -> Result<RouterSecrets, ForeignError> {
        let keys = self.needed("router.keys.dat", reading, IdentityKeys::parse)?;
        let config = self.optional("router.config", reading, |bytes| {
            // Only the four settings matter, and these are ASCII.
            JavaTransportKeys::parse(&zeroize::Zeroizing::new(
                String::from_utf8_lossy(bytes).into_owned(),
            ))
        })?;
        let (ntcp2, ssu2) = config.map_or((None, None), |keys| (keys.ntcp2, keys.ssu2));
        Ok(assemble(keys, ntcp2, ssu2, reading))
    }

    /// emissary keeps its identity nowhere but in its RouterInfo.
    fn emissary(&self, reading: &mut Reading<'_>) -> Result<RouterSecrets, ForeignError> {
        let encryption = self.needed("static.key", reading, parse_single_key)?;
        let signing = self.needed("signing.key", reading, parse_single_key)?;
        let info = self.router_info()?.ok_or_else(|| self.missing(ROUTER_INFO))?;
        let identity: RouterIdentity = info.identity().clone();
        let encryption = X25519Secret::from_bytes(encryption);
        let keys = IdentityKeys::new(identity, encryption, Ed25519Seed::from_bytes(signing))
            .map_err(|error| self.layout(ROUTER_INFO, error))?;
        let ntcp2 = self.optional("ntcp2.keys", reading, TransportKeys::parse_emissary)?;
        let ssu2 = self.optional("ssu2.keys", reading, TransportKeys::parse_emissary)?;
        Ok(assemble(keys, ntcp2, ssu2, reading))
    }

    fn needed<T>(
        &self,
        file: &'static str,
        reading: &mut Reading<'_>,
        parse: impl FnOnce(&[u8]) -> Result<T, LayoutError>,
    ) -> Result<T, ForeignError> {
        self.optional(file, reading, parse)?.ok_or_else(|| self.missing(file))
    }

    fn optional<T>(
        &self,
        file: &'static str,
        reading: &mut Reading<'_>,
        parse: impl FnOnce(&[u8]) -> Result<T, LayoutError>,
    ) -> Result<Option<T>, ForeignError> {
        let path = self.path.join(file);
        let Some(secret) = if_there(&path, FILE_MAX)? else { return Ok(None) };
        let parsed = parse(&secret.bytes).map_err(|error| self.layout(file, error))?;
        if secret.is_exposed() {
            reading.exposed.push(path);
        }
        Ok(Some(parsed))
    }

    fn router_info(&self) -> Result<Option<RouterInfo>, ForeignError> {
        let path = self.path.join(ROUTER_INFO);
        // The keys that signed it will be checked against those in the files; its signature proves no more.
        let Some(file) = if_there(&path, ROUTER_INFO_MAX)? else { return Ok(None) };
        let parsed = RouterInfo::parse(&file.bytes);
        let info = parsed.map_err(|error| self.layout(ROUTER_INFO, error.into()))?;
        Ok(Some(info.peek().clone()))
    }

    fn missing(&self, file: &'static str) -> ForeignError {
        let directory = self.path.to_owned();
        ForeignError::Missing { directory, file, origin: self.origin }
    }

    fn layout(&self, file: &str, error: LayoutError) -> ForeignError {
        ForeignError::Layout { path: self.path.join(file), error }
    }
}

fn if_there(path: &Path, limit: usize) -> Result<Option<SecretFile>, ForeignError> {
    match SecretFile::read(path, limit) {
        Ok(file) => Ok(Some(file)),
        // A file in the place of the directory holds no files either.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(ForeignError::Read { path: path.to_owned(), error }),
    }
}

fn assemble(
    keys: IdentityKeys,
    ntcp2: Option<TransportKeys<16>>,
    ssu2: Option<TransportKeys<32>>,
    reading: &mut Reading<'_>,
) -> RouterSecrets {
    let ntcp2 = reading.or_new(ntcp2, "NTCP2");
    let ssu2 = reading.or_new(ssu2, "SSU2");
    RouterSecrets {
        identity: keys.identity,
        signing: keys.signing,
        encryption: keys.encryption,
        ntcp2_static: ntcp2.secret,
        ntcp2_iv: ntcp2.intro,
        ssu2_static: ssu2.secret,
        ssu2_intro: ssu2.intro,
    }
}

/// Sees whether the published RouterInfo is of the router whose keys were found, and what it says of its place.
fn compare(found: &mut Found, info: &RouterInfo, path: &Path) -> Result<(), ForeignError> {
    if info.hash() != found.secrets.identity.hash() {
        return Err(ForeignError::OtherRouter {
            path: path.to_owned(),
            published: base64::encode(&info.hash().0),
            keys: base64::encode(&found.secrets.identity.hash().0),
        });
    }
    for address in info.addresses() {
        let (transport, secret) = match address.style {
            TransportStyle::Ntcp2 => ("NTCP2", &found.secrets.ntcp2_static),
            TransportStyle::Ssu2 => ("SSU2", &found.secrets.ssu2_static),
            TransportStyle::Other(_) => continue,
        };
        if let Some(endpoint) = address.endpoint() {
            found.published.push((transport, endpoint));
        }
        let same = address.static_key() == Some(public_key(secret));
        if !same && !found.outdated.contains(&transport) {
            found.outdated.push(transport);
        }
    }
    Ok(())
}
