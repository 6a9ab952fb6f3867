//! Bundles over HTTPS, with `ureq`: blocking, bounded in time and size, and deaf to proxies in the environment.
//!
//! TLS only keeps others from seeing that a router starts here; what counts is the bundle's signature.

use std::io;
use std::path::{Path, PathBuf};

use super::bundle::BUNDLE_MAX;

/// Why nothing was fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The host answered otherwise than with the file.
    #[error("it answers with HTTP status {0}")]
    Status(u16),
    /// The file is larger than any bundle.
    #[error("it sends more than {BUNDLE_MAX} bytes")]
    TooLarge,
    /// The connection failed.
    #[error("it cannot be reached: {0}")]
    Connection(String),
    /// This program was built without TLS.
    #[error(
        "this program was built without the feature `accelerated`, and so without TLS: give it files"
    )]
    NoTls,
}

/// The authorities that hosts are checked by cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The file cannot be read.
    #[error("cannot read the certificates of authorities in {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is no PEM file of certificates.
    #[error("{} holds no certificate in PEM: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[cfg(feature = "accelerated")]
pub use self::with_tls::Client;

#[cfg(feature = "accelerated")]
mod with_tls {
    use std::sync::Arc;
    use std::time::Duration;

    use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

    use super::{BUNDLE_MAX, CaError, FetchError, Path};

    /// Time for a host to be reached.
    const CONNECT_TIME_MAX: Duration = Duration::from_secs(15);
    /// Time for the whole bundle.
    const FETCH_TIME_MAX: Duration = Duration::from_secs(60);
    /// Redirections that are followed, to HTTPS alone.
    const REDIRECTS_MAX: u32 = 2;
    /// The name that all routers give themselves there: another one would tell them apart.
    const USER_AGENT: &str = "Wget/1.11.4";

    /// Fetches bundles.
    pub struct Client(ureq::Agent);

    impl Client {
        /// A client that takes hosts which the authorities in the PEM file `ca` vouch for, or where there is none those
        /// of Mozilla's list.
        ///
        /// # Errors
        /// When the file cannot be read, or holds no certificate.
        pub fn new(ca: Option<&Path>) -> Result<Self, CaError> {
            let roots = match ca {
                Some(path) => RootCerts::Specific(Arc::new(read_authorities(path)?)),
                None => RootCerts::WebPki,
            };
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let tls = TlsConfig::builder()
                .root_certs(roots)
                .unversioned_rustls_crypto_provider(provider)
                .build();
            let config = ureq::Agent::config_builder()
                .tls_config(tls)
                .https_only(true)
                .proxy(None)
                .max_redirects(REDIRECTS_MAX)
                .user_agent(USER_AGENT)
                .timeout_connect(Some(CONNECT_TIME_MAX))
                .timeout_global(Some(FETCH_TIME_MAX))
                .build();
            Ok(Self(config.into()))
        }

        /// The file at `url`.
        ///
        /// # Errors
        /// Why it did not arrive whole.
        pub fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
            let failed = |error: ureq::Error| {
                if let ureq::Error::StatusCode(status) = error {
                    return FetchError::Status(status);
                }
                if let ureq::Error::BodyExceedsLimit(_) = error {
                    return FetchError::TooLarge;
                }
                FetchError::Connection(error.to_string())
            };
            let mut response = self.0.get(url).call().map_err(failed)?;
            response.body_mut().with_config().limit(BUNDLE_MAX).read_to_vec().map_err(failed)
        }
    }

    fn read_authorities(path: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>, CaError> {
        let text =
            std::fs::read(path).map_err(|error| CaError::Read { path: path.to_owned(), error })?;
        let failed = |reason| CaError::Pem { path: path.to_owned(), reason };
        let mut found = Vec::new();
        for item in parse_pem(&text) {
            let item = item.map_err(|error| failed(error.to_string()))?;
            if let PemItem::Certificate(certificate) = item {
                found.push(certificate);
            }
        }
        if found.is_empty() {
            return Err(failed("there is none in it".to_owned()));
        }
        Ok(found)
    }
}

/// Fetches nothing.
#[cfg(not(feature = "accelerated"))]
pub struct Client;

#[cfg(not(feature = "accelerated"))]
impl Client {
    /// A client that says of every host that it cannot be reached.
    ///
    /// # Errors
    /// When the file `ca` cannot be read.
    pub fn new(ca: Option<&Path>) -> Result<Self, CaError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| CaError::Read { path: path.to_owned(), error })
        };
        ca.map(read).transpose().map(|_| Self)
    }

    /// Nothing.
    ///
    /// # Errors
    /// Always.
    pub fn get(&self, _url: &str) -> Result<Vec<u8>, FetchError> {
        Err(FetchError::NoTls)
    }
}
