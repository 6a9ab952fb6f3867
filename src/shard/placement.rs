//! The only place that decides which shard owns a thing.
//!
//! One rule: everything about router X lives on `keyed_hash(X)`. The key is a secret of the process, so that nobody
//! outside can aim load at one core.

use crate::actor::address::Address;
use crate::actor::node::PlacementSecret;
use crate::base::id::{RouterHash, ShardId, TunnelId};
use crate::crypto::siphash::{SipKey, siphash24};

/// The shard that signs and publishes our RouterInfo.
pub const LOCAL_ROUTER_SHARD: ShardId = ShardId(0);

/// Decides owners. The same on all shards of a process.
pub struct Placement {
    key: SipKey,
    shards: u16,
}

impl Placement {
    /// The placement of a process with this many shards.
    #[must_use]
    pub fn new(secret: &PlacementSecret, shards: u16) -> Self {
        Self { key: SipKey::from_bytes(&secret.0), shards: shards.max(1) }
    }

    /// The owner of what an address means, seen from `here`.
    #[must_use]
    pub fn owner(&self, address: &Address, here: ShardId) -> ShardId {
        match address {
            Address::Here => here,
            Address::Router(router) => self.of_router(router),
            Address::Record(key) => self.of_key(&key.0),
            Address::Gateway(tunnel) => self.of_gateway(*tunnel),
            Address::LocalRouter => LOCAL_ROUTER_SHARD,
        }
    }

    /// The owner of a router: of its session, its dials and its RouterInfo.
    #[must_use]
    pub fn of_router(&self, router: &RouterHash) -> ShardId {
        self.of_key(&router.0)
    }

    /// The owner of an inbound gateway, since anyone may send to it.
    #[must_use]
    pub fn of_gateway(&self, tunnel: TunnelId) -> ShardId {
        self.of_key(&tunnel.to_wire())
    }

    fn of_key(&self, key: &[u8]) -> ShardId {
        let hash = siphash24(&self.key, key);
        // The remainder is below a 16-bit number.
        ShardId(u16::try_from(hash % u64::from(self.shards)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::RecordKey;

    #[test]
    fn a_router_its_record_and_its_session_share_an_owner() {
        let placement = Placement::new(&PlacementSecret([7; 16]), 8);
        let mut used = [0; 8];
        for n in 0..=255 {
            let router = RouterHash([n; 32]);
            let owner = placement.owner(&Address::Router(router), ShardId(3));
            assert_eq!(
                placement.owner(&Address::Record(RecordKey::from(router)), ShardId(5)),
                owner
            );
            used[owner.index()] += 1;
        }
        assert!(used.iter().all(|count| (10..60).contains(count)), "{used:?}");
    }

    #[test]
    fn another_secret_places_differently() {
        let one = Placement::new(&PlacementSecret([1; 16]), 2);
        let two = Placement::new(&PlacementSecret([2; 16]), 2);
        let differ = (0..=255u8)
            .filter(|n| {
                one.of_router(&RouterHash([*n; 32])) != two.of_router(&RouterHash([*n; 32]))
            })
            .count();
        assert!((64..192).contains(&differ), "{differ}");
    }
}
