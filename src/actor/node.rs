//! What every shard of one router is told at its start, and again as a whole when something of it changes.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::base::id::RouterHash;
pub use crate::base::limits::ShardLimits;
use crate::base::time::UnixTime;
use crate::crypto::layer::Kernel;
use crate::proto::local::RouterKeys;
use crate::proto::tunnel::admission::Duty;
use crate::proto::tunnel::iv_filter::IvFilter;

/// Secret of the keyed placement: nobody outside can tell which shard owns what.
#[derive(Clone, Copy)]
pub struct PlacementSecret(pub [u8; 16]);

/// One router's settings, shared by its shards. While they run, only `floodfill`, `allow_private`, `bandwidth`,
/// `transit_bandwidth`, `bandwidth_class`, `duty` and the bound on transit tunnels may change.
#[derive(Clone)]
pub struct NodeConfig {
    /// Keys and identity.
    pub keys: Arc<RouterKeys>,
    /// Network id: 2 is the live network.
    pub network: u8,
    /// Address that we publish, listen on and dial from.
    pub published: SocketAddr,
    /// Whether we act as a floodfill.
    pub floodfill: bool,
    /// Whether reserved address ranges may be dialled.
    pub allow_private: bool,
    /// Bytes a second that the router may carry in each direction.
    pub bandwidth: u64,
    /// Those of them that may be transit.
    pub transit_bandwidth: u64,
    /// How long tunnel messages may wait, in a shard that is never idle, for others that go to the same peer.
    pub cork: Duration,
    /// Letter of the bandwidth class that we publish.
    pub bandwidth_class: char,
    /// How many shards there are.
    pub shards: u16,
    /// Secret of the placement.
    pub placement: PlacementSecret,
    /// Tunnel-layer kernel that this machine runs best.
    pub kernel: Kernel,
    /// Bounds of each shard.
    pub limits: ShardLimits,
    /// When the program started; the first RouterInfo carries it.
    pub started: UnixTime,
    /// Routers that we connect to at the start, in all.
    pub first_dials: usize,
    /// Whether new transit tunnels are taken.
    pub duty: Duty,
}

impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeConfig(with secrets)")
    }
}

impl NodeConfig {
    /// Our router hash.
    #[must_use]
    pub fn hash(&self) -> RouterHash {
        self.keys.ntcp2.router
    }

    /// Bytes of each shard's replay filter of tunnel messages: what the bandwidth asks, within the limits.
    #[must_use]
    pub fn iv_filter_bytes(&self) -> usize {
        IvFilter::bytes_for(self.bandwidth, self.shards).min(self.limits.iv_filter_bytes)
    }

    /// Whether our RouterInfo says the same under these settings and `others`.
    #[must_use]
    pub fn shows_as(&self, others: &NodeConfig) -> bool {
        let shown = |node: &NodeConfig| {
            (node.floodfill, node.bandwidth_class, node.takes_tunnels(), node.duty)
        };
        shown(self) == shown(others)
    }

    /// Whether tunnels of others may pass through this router, today or later.
    #[must_use]
    pub fn takes_tunnels(&self) -> bool {
        self.transit_bandwidth > 0
    }

    /// Whether what comes from this address is counted by source. Those from reserved ranges are not where the operator
    /// allows such: that is a test network, with hundreds of routers in one subnet.
    #[must_use]
    pub fn is_counted(&self, address: IpAddr) -> bool {
        !self.allow_private || is_public(address)
    }

    /// Whether we may dial this address: reserved ranges only where the operator allows them.
    #[must_use]
    pub fn may_dial(&self, address: &SocketAddr) -> bool {
        self.allow_private || is_public(address.ip())
    }
}

/// Whether an address lies in none of the reserved ranges, so that it can be reached over the Internet.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let benchmark = a == 198 && (b == 18 || b == 19);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || shared
                || benchmark)
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            (0x2000..0x4000).contains(&first) && (first, second) != (0x2001, 0xdb8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ranges_are_not_public() {
        for text in ["10.1.2.3", "127.0.0.1", "192.168.0.1", "100.64.0.1", "0.1.2.3", "224.0.0.1"] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["::1", "fe80::1", "2001:db8::1", "198.18.0.1", "255.255.255.255"] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["51.200.0.1", "8.8.8.8", "2a00:1450::1"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
