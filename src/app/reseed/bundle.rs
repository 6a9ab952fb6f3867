//! Signed bundles of router infos: su3 files of the content type for reseeding. Spec: updates, su3, and reseed.

use std::time::Duration;

use super::Seeds;
use super::archive::{self, ArchiveError};
use crate::app::inspect::report::date_text;
use crate::app::signers::{Certified, Signers};
use crate::base::time::UnixTime;
use crate::crypto::signature::SignatureType;
use crate::wire::reader::Malformed;
use crate::wire::su3::{Su3, Su3ContentType, Su3FileType};

/// Bytes of a bundle. Those of today's hosts have about a tenth of it; Java takes as much.
pub const BUNDLE_MAX: u64 = 1024 * 1024;
/// How old a bundle may be: most of the routers in it are then gone or have other addresses.
pub const AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// How far in the future its time may be: clocks differ.
const FUTURE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What a bundle is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// Whose bundles count.
    pub signers: &'a Signers,
    /// The time now.
    pub now: UnixTime,
}

/// A bundle does not count. Names and versions are shown quoted: whoever sent it chose them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It is larger than any bundle.
    #[error("it has more than {BUNDLE_MAX} bytes")]
    TooLarge,
    /// It is no su3 file, or not a whole one.
    #[error("no su3 file: {0}")]
    Malformed(#[from] Malformed),
    /// It is a su3 file of another kind.
    #[error("a su3 file with content type {found}, and not 3 (reseed)")]
    Content {
        /// Its content type.
        found: u8,
    },
    /// Its content is no zip.
    #[error("its content is of file type {found}, and not 0 (zip)")]
    FileType {
        /// Its file type.
        found: u8,
    },
    /// Nobody is known by the signer's name.
    #[error(
        "{signer:?} has signed it, of whom no certificate is known: give the directory that has it with --reseed-signers"
    )]
    ForeignSigner {
        /// The name.
        signer: String,
    },
    /// The signer's certificate does not count yet.
    #[error("the certificate of its signer {signer:?} counts from {from} on")]
    NotYetValid {
        /// The name.
        signer: String,
        /// The date.
        from: String,
    },
    /// The signer's certificate counts no longer.
    #[error("the certificate of its signer {signer:?} has expired on {until}")]
    Expired {
        /// The name.
        signer: String,
        /// The date.
        until: String,
    },
    /// The signature does not hold.
    #[error("its signature is not one of {signer:?}: it was damaged or changed on its way")]
    Signature {
        /// The name.
        signer: String,
    },
    /// Its signature is of a type that is not checked.
    #[error("its signature is of type {found}, which is not checked here")]
    SignatureType {
        /// The type.
        found: u16,
    },
    /// Its version is no time.
    #[error("its version {found:?} is no time in seconds")]
    Version {
        /// The version.
        found: String,
    },
    /// It was made long ago.
    #[error("it was made on {made}, more than {} days ago", AGE_MAX.as_secs() / 86_400)]
    Old {
        /// The date.
        made: String,
    },
    /// It is yet to be made.
    #[error("it was made on {made}, which is in the future: is this machine's clock right?")]
    Future {
        /// The date.
        made: String,
    },
    /// Its content cannot be unpacked.
    #[error("its content is no zip that can be read: {0}")]
    Zip(#[from] ArchiveError),
}

/// The router infos of a bundle that counts. The cheapest tests come first, and nothing is unpacked that is not signed.
///
/// # Errors
/// The first reason for which it does not count. A bundle without a router of `network` is none.
pub fn open(bytes: &[u8], network: u8, trust: &Trust<'_>) -> Result<Seeds, BundleError> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > BUNDLE_MAX {
        return Err(BundleError::TooLarge);
    }
    let file = Su3::parse(bytes)?;
    if file.content_type != Su3ContentType::Reseed {
        return Err(BundleError::Content { found: file.content_type.code() });
    }
    if file.file_type != Su3FileType::Zip {
        return Err(BundleError::FileType { found: file.file_type.code() });
    }
    let content = verified(&file, trust)?;
    check_age(file.version, trust.now)?;
    Ok(archive::read(content, network)?)
}

fn verified<'a>(file: &Su3<'a>, trust: &Trust<'_>) -> Result<&'a [u8], BundleError> {
    let signer = || file.signer.to_owned();
    if let SignatureType::Unknown(found) = file.signature_type {
        return Err(BundleError::SignatureType { found });
    }
    let mut refused = BundleError::ForeignSigner { signer: signer() };
    // Of several certificates of one signer, one that fits is enough.
    for certified in trust.signers.of(file.signer) {
        refused = match check_dates(certified, file.signer, trust.now) {
            Ok(()) => match file.verify(&certified.key) {
                Ok(content) => return Ok(content),
                Err(_) => BundleError::Signature { signer: signer() },
            },
            Err(error) => error,
        };
    }
    Err(refused)
}

fn check_dates(certified: &Certified, signer: &str, now: UnixTime) -> Result<(), BundleError> {
    let signer = signer.to_owned();
    if now < certified.from {
        return Err(BundleError::NotYetValid { signer, from: date_text(certified.from) });
    }
    if now > certified.until {
        return Err(BundleError::Expired { signer, until: date_text(certified.until) });
    }
    Ok(())
}

fn check_age(version: &str, now: UnixTime) -> Result<(), BundleError> {
    let Ok(seconds) = version.parse::<u32>() else {
        return Err(BundleError::Version { found: version.to_owned() });
    };
    let made = UnixTime::from_seconds(seconds);
    if made.since(now) > FUTURE_MAX {
        return Err(BundleError::Future { made: date_text(made) });
    }
    if now.since(made) > AGE_MAX {
        return Err(BundleError::Old { made: date_text(made) });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
