//! Bounds that more than one module holds to, with the relations between them asserted at compile time. A bound that one
//! module alone holds to stands there, next to what it bounds; what an operator's machine decides is in
//! [`ShardLimits`].

use std::time::Duration;

use crate::base::rate::Rate;

/// Largest body of an I2NP message that we take or send: what 64 tunnel fragments hold.
pub const I2NP_BODY_MAX: usize = 62_708;
/// Largest RouterInfo, uncompressed; other routers refuse more.
pub const ROUTER_INFO_MAX: usize = 3072;
/// Largest lease set of any kind.
pub const LEASE_SET_MAX: usize = 8192;
/// Body of a TunnelData message.
pub const TUNNEL_DATA_SIZE: usize = 1028;
/// Largest NTCP2 frame, with its authentication tag.
pub const NTCP2_FRAME_MAX: usize = 65_535;
/// Largest padding in NTCP2 messages 1 and 2 that other routers accept.
pub const NTCP2_PADDING_MAX: usize = 223;
/// Peers excluded in one lookup.
pub const LOOKUP_EXCLUDED_MAX: usize = 512;

/// Clock difference at which a handshake fails.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);
/// Life of a transit tunnel: two margins of 30 s more than the 600 s that its creator counts on.
pub const TRANSIT_LIFE: Duration = Duration::from_secs(660);
/// Life of an I2NP message that we make: what i2pd gives its own.
pub const MESSAGE_LIFE: Duration = Duration::from_secs(8);
/// How long past its expiration a message is still taken, since clocks differ.
pub const MESSAGE_LATE_MAX: Duration = Duration::from_secs(60);
/// How far ahead a message's expiration may lie.
pub const MESSAGE_AHEAD_MAX: Duration = Duration::from_secs(180);
/// Silence in both directions after which a session is closed, as other routers do at 115 to 125 s.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(120);
/// The same where there is no room for one more session.
pub const SESSION_IDLE_MIN: Duration = Duration::from_secs(30);

// What is carried fits into what carries it: a tunnel message or a record into an I2NP body (a lookup's hashes of
// excluded peers with its other fields), and that, with a block's and a message's header and a tag, into a frame.
const _: () = assert!(TUNNEL_DATA_SIZE <= I2NP_BODY_MAX);
const _: () = assert!(ROUTER_INFO_MAX <= LEASE_SET_MAX && LEASE_SET_MAX <= I2NP_BODY_MAX);
const _: () = assert!(32 * LOOKUP_EXCLUDED_MAX + 256 <= I2NP_BODY_MAX);
const _: () = assert!(I2NP_BODY_MAX + 3 + 16 + 16 <= NTCP2_FRAME_MAX);
// What we send is within what we ourselves would take, even from a router whose clock is as wrong as a session allows.
const _: () =
    assert!(MESSAGE_LIFE.as_secs() + CLOCK_SKEW_MAX.as_secs() <= MESSAGE_AHEAD_MAX.as_secs());
const _: () = assert!(CLOCK_SKEW_MAX.as_secs() <= MESSAGE_LATE_MAX.as_secs());
// No message outlives the tunnel that it could be sent through.
const _: () =
    assert!(MESSAGE_AHEAD_MAX.as_secs() + MESSAGE_LATE_MAX.as_secs() < TRANSIT_LIFE.as_secs());
/// What one session takes at most beside its queue, in bytes: keys, tables, one incomplete frame of 16 KiB.
const SESSION_MEMORY: usize = 24 * 1024;
/// What one transit tunnel takes at most beside incomplete messages, in bytes.
const TUNNEL_MEMORY: usize = 1024;
/// What a byte of a netdb record takes with its share of tables, in quarters.
const RECORD_QUARTERS: usize = 6;
/// What a message takes that waits for a dial, for bandwidth or in a run queue, in bytes: tunnel data, as nearly all are.
const MESSAGE_MEMORY: usize = 1536;
/// What a build request takes that waits, in bytes: one of eight long records, the largest.
const BUILD_MEMORY: usize = 5 * 1024;
/// What a place of a replay filter takes, in bytes: two generations of 8 with half of the places empty.
const SLOT_MEMORY: usize = 16;
/// What a counted source takes, in bytes: its bucket and that of its subnet.
const SOURCE_MEMORY: usize = 48;
/// What is remembered of a router's behaviour, in bytes: its profile, in four orders.
const PROFILE_MEMORY: usize = 512;
/// What a shard takes when it is idle, in bytes: rings, queues, code, stacks.
const SHARD_MEMORY: usize = 8 * 1024 * 1024;
/// What the process takes beside its shards, in bytes.
const PROCESS_MEMORY: usize = 48 * 1024 * 1024;
/// Parts of the memory that a machine has that we may fill: the kernel's socket buffers need the rest.
const MEMORY_SHARE: (usize, usize) = (3, 4);

/// How often one source may do something to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRates {
    /// One IPv4 address, or one IPv6 /64, whose addresses a single host can have all.
    pub address: Rate,
    /// One IPv4 /24, or one IPv6 /56.
    pub subnet: Rate,
}

/// Bounds of one shard, divided from those of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardLimits {
    /// Transport sessions, handshakes in progress included.
    pub sessions: usize,
    /// Handshakes that peers have begun and not finished; beyond it the oldest is given up.
    pub handshakes: usize,
    /// Diffie-Hellmans and signatures of handshakes in one turn; the others wait for the next.
    pub handshake_work_per_turn: usize,
    /// How often one source may connect to this shard.
    pub admission: SourceRates,
    /// How many records one source may store here.
    pub stores: SourceRates,
    /// How many lookups one source may bring here: its own, and those that come out of tunnels which end at it.
    pub lookups: SourceRates,
    /// How many build requests one source may send here.
    pub builds: SourceRates,
    /// How much garlic for this router one source may bring here: its own, and what comes out of tunnels which end at it.
    pub garlic: SourceRates,
    /// How many build requests may come out of garlic and of tunnels that end here, from all together: nobody vouches
    /// for them.
    pub builds_unvouched: Rate,
    /// Sources of connections that are counted at a time, at [`SOURCE_MEMORY`] bytes each.
    pub admission_slots: usize,
    /// Bytes that wait in one session for the peer to read.
    pub session_queue_bytes: usize,
    /// Bytes that wait in all sessions together, those included that the kernel has not taken yet.
    pub queued_bytes: usize,
    /// Transit tunnels in all roles.
    pub transit_tunnels: usize,
    /// Tunnel messages that may wait for bandwidth, however much that is.
    pub transit_waiting: usize,
    /// Bytes of incomplete messages that all outbound endpoints may hold together.
    pub reassembly_bytes: usize,
    /// Records in the slice of the netdb.
    pub netdb_records: usize,
    /// Bytes of those records.
    pub netdb_bytes: usize,
    /// Routers for which messages wait until they are found and dialled.
    pub dials: usize,
    /// Routers of whose behaviour something is remembered, at [`PROFILE_MEMORY`] bytes each.
    pub profiles: usize,
    /// Messages that wait for one such router.
    pub messages_per_dial: usize,
    /// Build requests that the replay filter has room for, at 8 bytes each.
    pub build_replay_slots: usize,
    /// Garlic messages that the replay filter has room for, at 8 bytes each.
    pub garlic_replay_slots: usize,
    /// Bytes of the replay filter of tunnel messages, which cost it 12.8 each, however much the bandwidth asks; twice that
    /// for ten minutes after the bandwidth was changed.
    pub iv_filter_bytes: usize,
    /// Build requests that wait for their Diffie-Hellman; beyond it the oldest is dropped.
    pub builds_waiting: usize,
    /// Diffie-Hellmans of build requests in one turn; the others wait for the next.
    pub builds_per_turn: usize,
    /// Diffie-Hellmans of garlic that one turn takes on; what exceeds them is dropped.
    pub diffie_hellmans_per_turn: usize,
    /// Messages in the shard's run queue.
    pub mailbox: usize,
}

/// The memory does not do for this number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{allowed} MiB of memory are allowed, and {shards} shards need {needed} MiB at the least: allow more, or run fewer \
     shards with --shards"
)]
pub struct TooLittleMemory {
    /// What there is, in MiB.
    pub allowed: u64,
    /// What it takes, in MiB.
    pub needed: u64,
    /// For how many shards.
    pub shards: u16,
}

impl ShardLimits {
    /// The bounds of one of `shards` shards, for a machine of ordinary size.
    #[must_use]
    pub fn share_of(shards: u16) -> Self {
        Self::part_of(shards, (1, 1))
    }

    /// The largest bounds with which `shards` shards stay within a machine's memory, in bytes; those of a machine of
    /// ordinary size where there is more, or where nobody says.
    ///
    /// # Errors
    /// When the least that a router can be does not fit.
    pub fn within(shards: u16, memory: Option<u64>) -> Result<Self, TooLittleMemory> {
        /// Steps from all down to the least.
        const STEPS: usize = 64;
        let (part, of) = MEMORY_SHARE;
        let Some(memory) = memory else { return Ok(Self::share_of(shards)) };
        let usable = usize::try_from(memory).unwrap_or(usize::MAX) / of * part;
        let mut candidates = (1..=STEPS).rev().map(|step| Self::part_of(shards, (step, STEPS)));
        candidates.find(|limits| limits.process_memory(shards) <= usable).ok_or_else(|| {
            let mebibytes = |bytes: usize| u64::try_from(bytes >> 20).unwrap_or(u64::MAX);
            let least = Self::part_of(shards, (1, STEPS)).process_memory(shards);
            TooLittleMemory { allowed: memory >> 20, needed: mebibytes(least / part * of), shards }
        })
    }

    fn part_of(shards: u16, (part, of): (usize, usize)) -> Self {
        // The kernel spreads the connections of one source over all shards, but not evenly.
        let each = |total: u64, least: u64| (total / u64::from(shards.max(1))).max(least);
        let admission = SourceRates {
            address: Rate::new(each(2, 1), each(16, 8)),
            subnet: Rate::new(each(32, 4), each(128, 32)),
        };
        // A router is on one shard. A floodfill passes on to its neighbours what ten thousands of routers store at it, and
        // a large router brings the lookups of all whose tunnels it ends: both are far from these, and floods above.
        let stores = SourceRates {
            address: Rate::new(100, 1_000),
            subnet: Rate::new(each(1_000, 250), each(8_000, 2_000)),
        };
        let lookups = SourceRates {
            address: Rate::new(250, 2_500),
            subnet: Rate::new(each(2_500, 600), each(16_000, 5_000)),
        };
        // A hundred builds a second are 66,000 tunnels of one neighbour that live through us, six times as many as i2pd
        // takes from all (10,000), and 400 times the rate that Java lets a neighbour have (7 to 27 in 110 s): a large router
        // that creates through us alone, or passes on what ten thousands create, stays below it, and a restart of all its
        // tunnels at once within the burst.
        let builds = SourceRates {
            address: Rate::new(100, 1_000),
            subnet: Rate::new(each(1_000, 250), each(8_000, 2_000)),
        };
        // Lookups, stores and builds for gateways come in garlic: as much as of all three together.
        let garlic = SourceRates {
            address: Rate::new(500, 5_000),
            subnet: Rate::new(each(5_000, 1_250), each(32_000, 10_000)),
        };
        // Of the tunnels that may live here, begun anew every ten minutes, a third has its gateway here, and even where
        // nine builds of ten fail at others these are 1,700 requests a second.
        let builds_unvouched = Rate::new(each(2_000, 250), each(16_000, 2_000));
        let shards = usize::from(shards.max(1));
        let share = |all: usize, least: usize| (all * part / of / shards).max(least);
        Self {
            sessions: share(16_384, 256),
            handshakes: share(4_096, 128),
            handshake_work_per_turn: 256,
            admission,
            stores,
            lookups,
            builds,
            garlic,
            builds_unvouched,
            admission_slots: share(1 << 17, 1 << 10),
            session_queue_bytes: 512 * 1024,
            queued_bytes: share(256 << 20, 1 << 20),
            transit_tunnels: share(100_000, 1_000),
            // A tenth of a second at 2.7 Gbit/s.
            transit_waiting: share(1 << 15, 1 << 8),
            reassembly_bytes: share(128 << 20, 1 << 20),
            // Half of them RouterInfos: 60,000, and a fifth more since slices are uneven.
            netdb_records: share(144_000, 1_000),
            netdb_bytes: share(256 << 20, 4 << 20),
            dials: share(4_096, 64),
            profiles: share(32_768, 512),
            messages_per_dial: 128,
            build_replay_slots: share(1 << 20, 1 << 10),
            garlic_replay_slots: share(1 << 19, 1 << 10),
            iv_filter_bytes: share(64 << 20, 1 << 20),
            // A quarter of a second's work, so that the deadline of a second is met by all that are not pushed out.
            builds_waiting: share(8_192, 256),
            // Less than a millisecond of work. A core that is full of tunnel data has turns of ten: builds then take a
            // fifteenth of it; where nothing else is to do, turns are short and the rate is what a core can do.
            builds_per_turn: 32,
            diffie_hellmans_per_turn: 4_096,
            mailbox: share(1 << 17, 1 << 12),
        }
    }

    /// The sum over all holders of memory of one shard at their bounds, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let slots = self.build_replay_slots + self.garlic_replay_slots;
        SHARD_MEMORY
            + self.sessions * SESSION_MEMORY
            + self.queued_bytes
            + self.transit_tunnels * TUNNEL_MEMORY
            + self.transit_waiting * MESSAGE_MEMORY
            + self.reassembly_bytes
            + self.netdb_bytes / 4 * RECORD_QUARTERS
            + self.dials * self.messages_per_dial * MESSAGE_MEMORY
            + self.profiles * PROFILE_MEMORY
            + slots * SLOT_MEMORY
            + 2 * self.iv_filter_bytes
            + self.admission_slots * SOURCE_MEMORY
            // Of stores, lookups, builds and garlic, for each router that can be connected.
            + 4 * self.sessions * SOURCE_MEMORY
            + self.builds_waiting * BUILD_MEMORY
            + self.mailbox * MESSAGE_MEMORY
    }

    /// The same for the whole process of `shards` shards.
    #[must_use]
    pub fn process_memory(&self, shards: u16) -> usize {
        PROCESS_MEMORY + self.memory() * usize::from(shards.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_follow_the_memory() {
        for shards in [1, 2, 8, 64] {
            let full = ShardLimits::share_of(shards);
            assert_eq!(ShardLimits::within(shards, None), Ok(full));
            assert_eq!(ShardLimits::within(shards, Some(1 << 40)), Ok(full));
            for memory in [1 << 30, 2 << 30, 4 << 30, 16 << 30] {
                let Ok(limits) = ShardLimits::within(shards, Some(memory)) else { continue };
                let sum = u64::try_from(limits.process_memory(shards)).unwrap();
                assert!(sum <= memory / 4 * 3, "{shards} shards: {sum} of {memory}");
                assert!(limits.sessions <= full.sessions && limits.mailbox <= full.mailbox);
            }
        }
        let small = ShardLimits::within(2, Some(1 << 30)).unwrap();
        assert!(small.transit_tunnels < ShardLimits::share_of(2).transit_tunnels, "{small:?}");
    }

    #[test]
    fn too_little_memory_is_said_with_what_it_takes() {
        let error = ShardLimits::within(2, Some(64 << 20)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("64 MiB") && text.contains("2 shards") && text.contains("--shards"));
        let enough = (error.needed + 2) << 20;
        assert!(ShardLimits::within(2, Some(enough)).is_ok(), "{text}");
    }
}
