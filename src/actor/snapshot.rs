//! The read-mostly view of the router that every shard holds: our own RouterInfo who the floodfills are, how much is
//! carried, and how the bandwidth is divided.
//!
//! The shard that owns our RouterInfo makes a new snapshot when one of them changes and sends it to all.

use std::sync::Arc;

use crate::base::id::{RouterHash, ShardId};
use crate::proto::tunnel::limiter::Part;
use crate::wire::router_info::RouterInfo;

/// What all shards agree on, as of one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Our RouterInfo, signed.
    pub router_info: Arc<RouterInfo>,
    /// Every floodfill whose RouterInfo we hold, ourselves and those that are banned excluded, in the order of their
    /// hashes.
    pub floodfills: Arc<[RouterHash]>,
    /// Those of them that are asked and told of ourselves: that can be reached and answer, as far as we know. All of them
    /// where none does.
    pub asked: Arc<[RouterHash]>,
    /// Bytes of transit a second, of all shards over the last seconds; told only where it comes near the bandwidth.
    pub transit_rate: u64,
    /// Parts of the bandwidth by shard; equal ones as long as there are none.
    pub parts: Arc<[Part]>,
}

impl Snapshot {
    /// The part of the bandwidth that one of `shards` shards may use.
    #[must_use]
    pub fn part_of(&self, shard: ShardId, shards: u16) -> Part {
        self.parts.get(shard.index()).copied().unwrap_or_else(|| Part::equal(shards))
    }
}
