//! Names of things: small types that cannot be confused with one another.

use std::fmt;
use std::num::NonZeroU32;

/// SHA-256 of a router's identity: the name of a router.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterHash(pub [u8; 32]);

/// Key of a netdb record as it stands on the wire: the hash of a router's identity, of a destination, or of a
/// blinded key. Never the daily routing key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(pub [u8; 32]);

impl From<RouterHash> for RecordKey {
    fn from(hash: RouterHash) -> Self {
        Self(hash.0)
    }
}

impl RecordKey {
    /// The router whose RouterInfo would stand under this key.
    #[must_use]
    pub fn as_router(&self) -> RouterHash {
        RouterHash(self.0)
    }
}

// Debug output names a hash by four bytes only, so that no log line identifies a router in full by accident.
impl fmt::Debug for RouterHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Router({})", short_hex(&self.0))
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({})", short_hex(&self.0))
    }
}

fn short_hex(bytes: &[u8; 32]) -> String {
    bytes.iter().take(4).map(|b| format!("{b:02x}")).collect()
}

/// A tunnel as named by the hop that receives on it. Zero is not a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId(NonZeroU32);

impl TunnelId {
    /// The id with this number, unless it is zero.
    #[must_use]
    pub fn new(raw: u32) -> Option<Self> {
        NonZeroU32::new(raw).map(Self)
    }

    /// The id as four big-endian bytes name it, unless they are zero.
    #[must_use]
    pub fn from_wire(raw: [u8; 4]) -> Option<Self> {
        Self::new(u32::from_be_bytes(raw))
    }

    /// Big-endian bytes.
    #[must_use]
    pub fn to_wire(self) -> [u8; 4] {
        self.0.get().to_be_bytes()
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.get()
    }
}

/// Id of one I2NP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(pub u32);

/// One shard of the process, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// Position in a table that has one entry per shard.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One transport connection of the process. Whoever opens it draws the number: the runtime for accepted
/// connections, the shard for those that it dials; the upper bits name the shard that drew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// Who drew a [`ConnectionId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionOrigin {
    /// The runtime, when a peer connected to us.
    Accepted,
    /// The shard, when it wanted a connection.
    Dialled,
}

impl ConnectionId {
    const COUNTER_BITS: u32 = 47;

    /// The `counter`-th connection that `shard` opened in this way.
    #[must_use]
    pub fn new(shard: ShardId, origin: ConnectionOrigin, counter: u64) -> Self {
        let side = match origin {
            ConnectionOrigin::Accepted => 0,
            ConnectionOrigin::Dialled => 1u64 << Self::COUNTER_BITS,
        };
        let counter = counter & ((1 << Self::COUNTER_BITS) - 1);
        Self(u64::from(shard.0) << 48 | side | counter)
    }
}
