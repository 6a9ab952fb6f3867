//! Plain integers that one shard counts with, and the reasons for which it drops things.

use crate::base::histogram::Histogram;
use crate::proto::netdb::acceptance::Rejection;
use crate::proto::netdb::floodfill::LookupRefusal;
use crate::proto::peer::conduct::BanReason;
use crate::proto::tunnel::admission::Refusal;
use crate::proto::tunnel::limiter::Traffic;
use crate::wire::lease_set::PerLeaseSetKind;
use crate::wire::ntcp2::TerminationReason;

/// Counts of one shard since its start. Summed over shards only when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Tunnel messages that left a transit tunnel of ours.
    pub transit_messages: u64,
    /// Bytes of those messages.
    pub transit_bytes: u64,
    /// Build requests that we accepted.
    pub builds_accepted: u64,
    /// Those in which we are a participant, a gateway, an endpoint.
    pub begun: Begun,
    /// Build requests that we refused with an answer.
    pub builds_refused: u64,
    /// Why they were refused.
    pub refusals: RefusalCounts,
    /// Build requests whose previous hop is also the next.
    pub builds_there_and_back: u64,
    /// I2NP messages received over sessions.
    pub messages_received: u64,
    /// I2NP messages given to sessions.
    pub messages_sent: u64,
    /// Bytes over sessions and handshakes.
    pub traffic: Traffic,
    /// Handshakes that ended in a session.
    pub handshakes_done: u64,
    /// How sessions ended.
    pub session_ends: SessionEnds,
    /// Publications of ours that a floodfill confirmed.
    pub publications_confirmed: u64,
    /// Explorations that we asked for.
    pub explorations_asked: u64,
    /// Explorations of ours that were answered in time.
    pub explorations_answered: u64,
    /// Stores of RouterInfos.
    pub stores_router_info: StoreCounts,
    /// Stores of lease sets, by their type.
    pub stores_lease_set: PerLeaseSetKind<StoreCounts>,
    /// Lookups of RouterInfos.
    pub lookups_router_info: LookupCounts,
    /// Lookups of lease sets; those that were found are in [`Counters::lease_sets_found`].
    pub lookups_lease_set: LookupCounts,
    /// Lookups that were answered with a lease set, by its type.
    pub lease_sets_found: PerLeaseSetKind<u64>,
    /// Explorations.
    pub lookups_exploration: LookupCounts,
    /// Replies to lookups.
    pub lookup_replies: ReplyCounts,
    /// Why stores and lookups were refused.
    pub netdb_refusals: Refusals,
    /// Lookups of our own.
    pub own_lookups: OwnLookupCounts,
    /// Records that we flooded, counted per copy.
    pub floods: u64,
    /// Bans, by their reasons in the order of [`BanReason::ALL`].
    pub bans: [u64; BanReason::ALL.len()],
    /// Sizes of the batches of shared work.
    pub batches: Batches,
    drops: DropCounts,
}

/// One count per reason.
#[derive(Clone, Debug)]
struct DropCounts([u64; Drop::COUNT]);

impl Default for DropCounts {
    fn default() -> Self {
        Self([0; Drop::COUNT])
    }
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The peer said goodbye.
    ByPeer(TerminationReason),
    /// We did.
    ByUs(TerminationReason),
    /// The connection ended without a word.
    Lost,
}

/// How many sessions ended in which way.
#[derive(Clone, Debug, Default)]
pub struct SessionEnds {
    by_peer: [u64; REASONS],
    by_us: [u64; REASONS],
    lost: u64,
}

/// Reasons to end a session that are counted apart: those that NTCP2 knows, and one for all others.
const REASONS: usize = 19;

impl SessionEnds {
    /// Counts the end of one session.
    pub fn record(&mut self, end: SessionEnd) {
        let (counts, reason) = match end {
            SessionEnd::ByPeer(reason) => (&mut self.by_peer, reason),
            SessionEnd::ByUs(reason) => (&mut self.by_us, reason),
            SessionEnd::Lost => {
                self.lost += 1;
                return;
            }
        };
        if let Some(count) = counts.get_mut(usize::from(reason.code()).min(REASONS - 1)) {
            *count += 1;
        }
    }

    /// All ways that have occurred, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (SessionEnd, u64)> {
        let reasons = || (0..=u8::MAX).map(TerminationReason::from_code);
        let by_peer = reasons().map(SessionEnd::ByPeer).zip(self.by_peer);
        let by_us = reasons().map(SessionEnd::ByUs).zip(self.by_us);
        let all = by_peer.chain(by_us).chain([(SessionEnd::Lost, self.lost)]);
        all.filter(|(_, count)| *count > 0)
    }
}

/// How much of each kind of shared work the turns did at once.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// Tunnel messages, through the layer kernel.
    pub layers: Histogram,
    /// Diffie-Hellmans.
    pub diffie_hellmans: Histogram,
    /// Signatures.
    pub signatures: Histogram,
    /// Sessions with something to seal.
    pub sealings: Histogram,
}

impl Default for Batches {
    fn default() -> Self {
        let empty = Histogram::new(Histogram::BATCH);
        Self { layers: empty, diffie_hellmans: empty, signatures: empty, sealings: empty }
    }
}

impl Batches {
    /// Counts a batch of `size`; none is no batch.
    pub fn record(histogram: &mut Histogram, size: usize) {
        if size > 0 {
            histogram.record(u64::try_from(size).unwrap_or(u64::MAX));
        }
    }
}

/// Transit tunnels that were accepted, by our role.
#[derive(Clone, Copy, Debug, Default)]
pub struct Begun {
    /// As a hop between others.
    pub participants: u64,
    /// As the first hop of an inbound tunnel.
    pub gateways: u64,
    /// As the last hop of an outbound tunnel.
    pub endpoints: u64,
}

/// What became of stores of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreCounts {
    /// Stored, as new or newer.
    pub stored: u64,
    /// Known already.
    pub known: u64,
    /// Refused.
    pub refused: u64,
}

/// Why build requests were refused with an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct RefusalCounts {
    /// They ask for what we do not do.
    pub record: u64,
    /// Their tunnel id is taken.
    pub tunnel_taken: u64,
    /// There are as many tunnels as may be.
    pub tunnels: u64,
    /// As much is carried as the bandwidth allows.
    pub bandwidth: u64,
    /// Their tunnel cannot have the bandwidth that it needs.
    pub minimum: u64,
    /// Inputs wait too long for the shard.
    pub queue_delay: u64,
    /// Too much waits for peers to read.
    pub memory: u64,
    /// The router is about to stop.
    pub draining: u64,
}

impl RefusalCounts {
    /// Counts a refusal by load.
    pub fn count(&mut self, reason: Refusal) {
        let count = match reason {
            Refusal::Tunnels { .. } => &mut self.tunnels,
            Refusal::Rate { .. } => &mut self.bandwidth,
            Refusal::QueueDelay { .. } => &mut self.queue_delay,
            Refusal::Memory { .. } => &mut self.memory,
            Refusal::Draining => &mut self.draining,
        };
        *count += 1;
    }
}

/// What became of lookups of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct LookupCounts {
    /// Answered with the record.
    pub found: u64,
    /// Answered with other routers to ask.
    pub referred: u64,
    /// Not answered.
    pub refused: u64,
}

/// Why stores and lookups were refused, by reasons that the metrics name.
#[derive(Clone, Debug)]
pub struct Refusals {
    /// Stores.
    pub stores: ReasonCounts,
    /// Lookups.
    pub lookups: ReasonCounts,
}

impl Refusals {
    /// It does not parse.
    pub const MALFORMED: &'static str = "malformed";
    /// Its source stores, or asks, too much.
    pub const RATE: &'static str = "rate";
    /// The record's signature does not hold.
    pub const SIGNATURE: &'static str = "signature";
    /// There is no room for the record.
    pub const FULL: &'static str = "full";
    /// It was asked of us and we are no floodfill.
    pub const NOT_FLOODFILL: &'static str = "not_floodfill";
}

impl Default for Refusals {
    fn default() -> Self {
        let stores = [Self::MALFORMED, Self::RATE, Self::SIGNATURE, Self::FULL];
        let lookups = [Self::MALFORMED, Self::RATE, Self::NOT_FLOODFILL];
        Self {
            stores: ReasonCounts::new(stores.iter().chain(Rejection::REASONS)),
            lookups: ReasonCounts::new(lookups.iter().chain(LookupRefusal::REASONS)),
        }
    }
}

/// Counts by reason, of reasons that are known at the start.
#[derive(Clone, Debug)]
pub struct ReasonCounts(Vec<(&'static str, u64)>);

impl ReasonCounts {
    fn new<'a>(reasons: impl Iterator<Item = &'a &'static str>) -> Self {
        Self(reasons.map(|reason| (*reason, 0)).collect())
    }

    /// Counts one more for this reason.
    pub fn count(&mut self, reason: &'static str) {
        let count = self.0.iter_mut().find(|(known, _)| *known == reason);
        debug_assert!(count.is_some(), "{reason} is not in the list of reasons");
        if let Some((_, count)) = count {
            *count += 1;
        }
    }

    /// All reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().copied()
    }

    /// The count of this reason.
    #[must_use]
    pub fn of(&self, reason: &str) -> u64 {
        self.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| count)
    }
}

/// What became of the lookups that we ourselves began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnLookupCounts {
    /// Begun.
    pub begun: u64,
    /// Ended with the record.
    pub found: u64,
    /// Ended without it.
    pub failed: u64,
    /// Not begun: as many as may be were under way.
    pub busy: u64,
    /// Not begun: no floodfill was known that could be asked.
    pub no_floodfill: u64,
    /// Questions that they sent to floodfills.
    pub asked: u64,
}

/// How replies to lookups went out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplyCounts {
    /// As they were.
    pub plain: u64,
    /// Under a key and tag of ECIES.
    pub ecies: u64,
    /// Under an AES key and session tag.
    pub aes: u64,
}

impl Counters {
    /// Counts a drop.
    pub fn count_drop(&mut self, reason: Drop) {
        if let Some(count) = self.drops.0.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// Drops so far for this reason.
    #[must_use]
    pub fn drops(&self, reason: Drop) -> u64 {
        self.drops.0.get(reason as usize).copied().unwrap_or(0)
    }
}

macro_rules! drops {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)+) => {
        /// Why something went no further.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Drop {
            $($(#[$doc])* $name,)+
        }

        impl Drop {
            /// All reasons, in order.
            pub const ALL: &'static [Drop] = &[$(Drop::$name),+];
            const COUNT: usize = Self::ALL.len();

            /// The reason as the metrics name it.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self {
                    $(Drop::$name => $label,)+
                }
            }
        }
    };
}

drops! {
    /// The bytes of an I2NP message do not parse.
    Malformed = "malformed",
    /// An I2NP message is past its expiration.
    Expired = "expired",
    /// An I2NP message claims to live longer than any may.
    FarFuture = "far_future",
    /// A message type that a router has no use for.
    UnknownType = "unknown_type",
    /// Handshake: the peer's bytes do not authenticate or make no sense.
    HandshakeInvalid = "handshake_invalid",
    /// Handshake: message 1 was seen before.
    HandshakeReplayed = "handshake_replayed",
    /// Handshake: clocks differ by a minute or more.
    HandshakeClockSkew = "handshake_clock_skew",
    /// Handshake: another network.
    HandshakeNetwork = "handshake_network",
    /// Handshake: the RouterInfo is not acceptable.
    HandshakeRouterInfo = "handshake_router_info",
    /// A connection whose address connects too often.
    HandshakeAddressRate = "handshake_address_rate",
    /// A connection whose subnet connects too often.
    HandshakeSubnetRate = "handshake_subnet_rate",
    /// Handshake: its public-key work could not be done in time.
    HandshakeOverload = "handshake_overload",
    /// Handshake: given up for newer ones, of which there are too many.
    HandshakesFull = "handshakes_full",
    /// Handshake: not finished in time.
    HandshakeTimeout = "handshake_timeout",
    /// The clock of an established session's peer has moved away from ours by a minute or more.
    SessionClockSkew = "session_clock_skew",
    /// A peer of an established session broke the protocol.
    SessionBroken = "session_broken",
    /// A block of a session: its message does not parse, or its RouterInfo is too large.
    BlockRefused = "block_refused",
    /// No room for another session.
    SessionsFull = "sessions_full",
    /// A session's queue is full: the peer does not read.
    SessionQueueFull = "session_queue_full",
    /// A message waited in a session's queue until it expired: the peer reads too slowly.
    SessionQueueExpired = "session_queue_expired",
    /// A session's share of the queues of all sessions together is full: at most as much as they leave free.
    QueuedBytesFull = "queued_bytes_full",
    /// Too many routers wait to be dialled.
    DialsFull = "dials_full",
    /// Too many messages wait for one router.
    DialQueueFull = "dial_queue_full",
    /// A router could not be found in the netdb.
    RouterUnknown = "router_unknown",
    /// A router has no address that we can dial.
    RouterUnreachable = "router_unreachable",
    /// A message for a router that is banned, or a session with one.
    RouterBanned = "router_banned",
    /// A dial failed, or the router failed to answer lately.
    DialFailed = "dial_failed",
    /// TunnelData or TunnelGateway for a tunnel that we do not have.
    TunnelUnknown = "tunnel_unknown",
    /// TunnelData from another router than the previous hop.
    TunnelWrongHop = "tunnel_wrong_hop",
    /// TunnelData that went through before.
    TunnelReplayed = "tunnel_replayed",
    /// Transit, dropped by lot because messages wait for bandwidth.
    TransitEarly = "transit_early",
    /// Transit, for which there is no more room among what waits for bandwidth.
    TransitFull = "transit_full",
    /// Transit that has waited for bandwidth too long.
    TransitLate = "transit_late",
    /// A message for a gateway whose creator wants no more let in.
    TransitThrottled = "transit_throttled",
    /// What an endpoint decrypted is no tunnel message, or its fragments do not fit together.
    TunnelContent = "tunnel_content",
    /// An endpoint was told to deliver to itself.
    TunnelDeliveryLocal = "tunnel_delivery_local",
    /// A build message without a record for us.
    BuildNotForUs = "build_not_for_us",
    /// A build record that does not authenticate.
    BuildUnauthentic = "build_unauthentic",
    /// A build record with fields that no honest creator writes.
    BuildInvalid = "build_invalid",
    /// A build record that was seen before.
    BuildReplayed = "build_replayed",
    /// A build record whose time is too far from ours.
    BuildStale = "build_stale",
    /// A build request from somebody who sends too many.
    BuildRate = "build_rate",
    /// A build request out of garlic or a tunnel, of which there are too many.
    BuildUnvouchedRate = "build_unvouched_rate",
    /// A build request, the oldest of too many that wait.
    BuildQueueFull = "build_queue_full",
    /// A build request that has waited for too long.
    BuildLate = "build_late",
    /// A build without a previous hop where one is needed.
    BuildNoPreviousHop = "build_no_previous_hop",
    /// A garlic message that does not open.
    GarlicUnauthentic = "garlic_unauthentic",
    /// A garlic message that was seen before, or is too old.
    GarlicStale = "garlic_stale",
    /// Garlic from somebody who sends too much.
    GarlicRate = "garlic_rate",
    /// A clove that asks us to forward it.
    GarlicForwarding = "garlic_forwarding",
    /// Garlic, more of it than a turn takes on.
    DiffieHellmanBudget = "diffie_hellman_budget",
    /// A key whose Diffie-Hellman yields nothing.
    WeakKey = "weak_key",
    /// A record from somebody who stores too many.
    StoreRate = "store_rate",
    /// A lookup from somebody who brings too many.
    LookupRate = "lookup_rate",
    /// A record that the netdb does not take.
    StoreRefused = "store_refused",
    /// A record whose signature does not hold.
    StoreSignature = "store_signature",
    /// No room for the record.
    StoreFull = "store_full",
    /// A lookup that is not answered: we are no floodfill, or it makes no sense.
    LookupRefused = "lookup_refused",
    /// A search reply or confirmation that nobody waits for.
    Unasked = "unasked",
    /// The shard's run queue is full.
    MailboxFull = "mailbox_full",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_reason() {
        let mut refusals = Refusals::default();
        let reasons: Vec<_> = refusals.stores.iter().map(|(reason, _)| reason).collect();
        assert!(reasons.contains(&"foreign_key") && reasons.contains(&"signature"));
        for reason in reasons {
            refusals.stores.count(reason);
            assert_eq!(refusals.stores.of(reason), 1, "each stands in the list once: {reason}");
        }
        refusals.lookups.count("zero_key");
        assert_eq!((refusals.lookups.of("zero_key"), refusals.lookups.of("rate")), (1, 0));
    }

    #[test]
    fn each_reason_has_its_own_label_and_count() {
        let mut counters = Counters::default();
        for (position, reason) in Drop::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, position);
            counters.count_drop(*reason);
            assert_eq!(counters.drops(*reason), 1, "{}", reason.label());
        }
        let mut labels: Vec<_> = Drop::ALL.iter().map(|r| r.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Drop::ALL.len());
    }
}
