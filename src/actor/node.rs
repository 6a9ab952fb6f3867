//! What every shard of one router is told at its start, and again as a whole when something of it changes.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::base::id::RouterHash;
use crate::base::time::UnixTime;
use crate::crypto::layer::Kernel;
use crate::proto::local::RouterKeys;
use crate::proto::tunnel::admission::Duty;

/// Secret of the keyed placement: nobody outside can tell which shard owns what.
#[derive(Clone, Copy)]
pub struct PlacementSecret(pub [u8; 16]);

/// Bounds of one shard, divided from those of the process.
#[derive(Clone, Copy, Debug)]
pub struct ShardLimits {
    /// Transport sessions, handshakes in progress included.
    pub sessions: usize,
    /// Bytes that wait in one session for the peer to read.
    pub session_queue_bytes: usize,
    /// Transit tunnels in all roles.
    pub transit_tunnels: usize,
    /// Bytes of incomplete messages that all outbound endpoints may hold together.
    pub reassembly_bytes: usize,
    /// Records in the slice of the netdb.
    pub netdb_records: usize,
    /// Bytes of those records.
    pub netdb_bytes: usize,
    /// Routers for which messages wait until they are found and dialled.
    pub dials: usize,
    /// Messages that wait for one such router.
    pub messages_per_dial: usize,
    /// Build requests that the replay filter has room for, at 8 bytes each.
    pub build_replay_slots: usize,
    /// Garlic messages that the replay filter has room for, at 8 bytes each.
    pub garlic_replay_slots: usize,
    /// Tunnel messages that the replay filter has room for, at 8 bytes each.
    pub iv_replay_slots: usize,
    /// Diffie-Hellman operations that one turn takes on; what exceeds them is dropped.
    pub diffie_hellmans_per_turn: usize,
    /// Messages in the shard's run queue.
    pub mailbox: usize,
}

impl ShardLimits {
    /// The bounds of one of `shards` shards, for a machine of ordinary size.
    #[must_use]
    pub fn share_of(shards: u16) -> Self {
        let shards = usize::from(shards.max(1));
        Self {
            sessions: (16_384 / shards).max(256),
            session_queue_bytes: 512 * 1024,
            transit_tunnels: (100_000 / shards).max(1_000),
            reassembly_bytes: (128 * 1024 * 1024 / shards).max(1024 * 1024),
            netdb_records: (120_000 / shards).max(1_000),
            netdb_bytes: (256 * 1024 * 1024 / shards).max(4 * 1024 * 1024),
            dials: (4_096 / shards).max(64),
            messages_per_dial: 128,
            build_replay_slots: (1 << 20) / shards,
            garlic_replay_slots: (1 << 19) / shards,
            iv_replay_slots: (1 << 23) / shards,
            diffie_hellmans_per_turn: 4_096,
            mailbox: 65_536,
        }
    }
}

/// One router's settings, shared by its shards. While they run, only `floodfill`, `allow_private`, `bandwidth_class`,
/// `duty` and the bound on transit tunnels may change.
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

    /// Whether our RouterInfo says the same under these settings and `others`.
    #[must_use]
    pub fn shows_as(&self, others: &NodeConfig) -> bool {
        let shown = |node: &NodeConfig| (node.floodfill, node.bandwidth_class, node.duty);
        shown(self) == shown(others)
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
