//! What a reseed source gives: verified router infos, and what else was found. It knows nothing of where they come from.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use crate::base::limits::ROUTER_INFO_MAX;
use crate::base::time::UnixTime;
use crate::wire::reader::Malformed;
use crate::wire::router_info::RouterInfo;
use crate::wire::unverified::SignatureRefused;

/// Files of one directory or zip that are looked at.
pub const FILES_MAX: usize = 1000;
/// Bytes of one file that are read: more than a router info may have.
pub const FILE_MAX: u64 = 4096;

const _: () = assert!(ROUTER_INFO_MAX < 4096);

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

impl Seeds {
    /// Takes in one file of a source.
    pub fn take(&mut self, name: String, bytes: &[u8], network: u8) {
        match read_router(bytes) {
            Ok(info) if info.network() == Some(network) => self.routers.push(Arc::new(info)),
            Ok(_) => self.foreign += 1,
            Err(reason) => self.refused.push((name, reason)),
        }
    }

    /// How many of the routers have published since `date`.
    #[must_use]
    pub fn count_since(&self, date: UnixTime) -> usize {
        self.routers.iter().filter(|info| info.published() >= date).count()
    }

    /// Adds what another source gave. The same router may stand in both; its newest record counts.
    pub fn add(&mut self, other: Seeds) {
        self.routers.extend(other.routers);
        self.foreign += other.foreign;
        self.refused.extend(other.refused);
        self.routers.sort_by_key(|info| (info.hash(), std::cmp::Reverse(info.published())));
        self.routers.dedup_by_key(|info| info.hash());
    }
}

/// Whether a name is one that router infos have.
pub fn is_seed(path: &Path) -> bool {
    matches!(path.extension().and_then(OsStr::to_str), Some("dat" | "info"))
}

/// The router info that a file holds, verified.
///
/// # Errors
/// Why it holds none.
pub fn read_router(bytes: &[u8]) -> Result<RouterInfo, Refusal> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX {
        return Err(Refusal::TooLarge);
    }
    Ok(RouterInfo::parse(bytes)?.verify()?)
}
