//! What was granted to single tunnels: most ask for nothing and stand in no table here.

use std::collections::HashMap;
use std::num::{NonZeroU16, NonZeroU32};

use super::TransitTunnels;
use crate::actor::contract::Context;
use crate::base::id::TunnelId;
use crate::base::limits::I2NP_BODY_MAX;
use crate::base::rate::{Rate, TokenBucket};
use crate::base::time::Instant;
use crate::crypto::layer::LAYER_SIZE;
use crate::proto::tunnel::bandwidth::{BandwidthRequest, Room, Scarce};
use crate::proto::tunnel::limiter::{TUNNEL_BLOCK, Weight};
use crate::wire::build_record::HopRole;

/// A tunnel to which this many messages a second were granted has twice the share of one that asked for none, and so on.
const MESSAGES_PER_WEIGHT: u32 = 16;
/// No tunnel has a larger share than this: what was granted is a promise, not all that there is.
const WEIGHT_MAX: u16 = 64;

/// What was granted, by tunnel.
#[derive(Default)]
pub(super) struct Grants {
    by_tunnel: HashMap<TunnelId, Grant>,
    /// Messages a second that are granted in all.
    reserved: u64,
}

struct Grant {
    /// Messages a second; none if only a limit was asked for.
    messages: Option<NonZeroU32>,
    throttle: Option<Throttle>,
}

/// Lets no more into a tunnel than its creator wants.
struct Throttle {
    rate: Rate,
    bucket: TokenBucket,
}

impl Throttle {
    fn new(limit: NonZeroU32, now: Instant) -> Self {
        let unit = u64::try_from(LAYER_SIZE).unwrap_or(u64::MAX);
        let bytes = u64::from(limit.get()) * unit;
        // A second's worth, and never less than the largest message, which could not pass at all otherwise.
        let rate = Rate::new(bytes, bytes.max(u64::try_from(I2NP_BODY_MAX).unwrap_or(u64::MAX)));
        Self { rate, bucket: TokenBucket::full(&rate, now) }
    }
}

impl Grants {
    /// The share of this tunnel beside those of others.
    pub(super) fn weight(&self, tunnel: TunnelId) -> Weight {
        let messages = self.by_tunnel.get(&tunnel).and_then(|grant| grant.messages);
        messages.map_or(Weight::ONE, |messages| {
            let more = messages.get() / MESSAGES_PER_WEIGHT;
            let weight = u16::try_from(more).unwrap_or(WEIGHT_MAX).saturating_add(1);
            Weight(NonZeroU16::new(weight.min(WEIGHT_MAX)).unwrap_or(NonZeroU16::MIN))
        })
    }

    /// Whether so many bytes may be let into this tunnel now.
    pub(super) fn let_in(&mut self, tunnel: TunnelId, bytes: usize, now: Instant) -> bool {
        let grant = self.by_tunnel.get_mut(&tunnel);
        let Some(throttle) = grant.and_then(|grant| grant.throttle.as_mut()) else { return true };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        throttle.bucket.take(bytes, &throttle.rate, now)
    }

    fn enter(&mut self, tunnel: TunnelId, grant: Grant) {
        if grant.messages.is_some() || grant.throttle.is_some() {
            self.reserved += grant.messages.map_or(0, |messages| u64::from(messages.get()));
            self.by_tunnel.insert(tunnel, grant);
        }
    }

    /// The tunnel has ended.
    pub(super) fn forget(&mut self, tunnel: TunnelId) {
        if self.by_tunnel.is_empty() {
            return;
        }
        let messages = self.by_tunnel.remove(&tunnel).and_then(|grant| grant.messages);
        self.reserved -= messages.map_or(0, |messages| u64::from(messages.get()));
        if self.by_tunnel.is_empty() {
            self.by_tunnel.shrink_to_fit();
        }
    }

    /// Bytes of sockets a second that are granted in all.
    fn reserved_bytes(&self) -> u64 {
        self.reserved.saturating_mul(TUNNEL_BLOCK)
    }
}

impl TransitTunnels {
    /// What is set aside for one more tunnel.
    pub(super) fn grant(
        &self,
        request: &BandwidthRequest,
        cx: &Context<'_>,
    ) -> Result<Option<NonZeroU32>, Scarce> {
        // The other shards have as many tunnels as this one, or would have.
        let reserved = self.grants.reserved_bytes().saturating_mul(u64::from(cx.node.shards));
        let used = cx.snapshot.transit_rate.max(reserved);
        request.grant(&Room { share: cx.node.transit_bandwidth, used })
    }

    /// Holds a tunnel that was built to what was agreed.
    pub(super) fn enter_grant(
        &mut self,
        tunnel: TunnelId,
        role: HopRole,
        request: &BandwidthRequest,
        messages: Option<NonZeroU32>,
        now: Instant,
    ) {
        let limit = match role {
            HopRole::InboundGateway => request.limit,
            HopRole::Participant | HopRole::OutboundEndpoint => None,
        };
        let throttle = limit.map(|limit| Throttle::new(limit, now));
        self.grants.enter(tunnel, Grant { messages, throttle });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Instant = Instant(5_000_000);

    fn tunnel(n: u32) -> TunnelId {
        TunnelId::new(n).unwrap()
    }

    fn messages(n: u32) -> Grant {
        Grant { messages: NonZeroU32::new(n), throttle: None }
    }

    #[test]
    fn who_was_granted_more_has_a_larger_share_within_bounds() {
        let mut grants = Grants::default();
        let mut weight = |n| {
            grants.enter(tunnel(n), messages(n));
            grants.weight(tunnel(n)).0.get()
        };
        assert_eq!([1, 15, 16, 64, 1007, 1008, 5000].map(&mut weight), [1, 1, 2, 5, 63, 64, 64]);
        assert_eq!(weight(u32::MAX), 64);
        assert_eq!(grants.weight(tunnel(9)), Weight::ONE, "it asked for nothing");
    }

    #[test]
    fn what_ended_tunnels_were_granted_is_free_again() {
        let mut grants = Grants::default();
        grants.enter(tunnel(1), messages(10));
        grants.enter(tunnel(2), messages(u32::MAX));
        grants.enter(tunnel(3), messages(0));
        assert_eq!(grants.reserved, 10 + u64::from(u32::MAX));
        assert_eq!(grants.by_tunnel.len(), 2, "one without terms takes no place");
        for n in [2, 2, 3, 7] {
            grants.forget(tunnel(n));
        }
        assert_eq!(grants.reserved, 10);
        grants.forget(tunnel(1));
        assert_eq!((grants.reserved, grants.by_tunnel.capacity()), (0, 0));
    }

    #[test]
    fn a_gateway_lets_in_what_its_creator_wants_and_no_more() {
        let mut grants = Grants::default();
        let throttle = Some(Throttle::new(NonZeroU32::new(100).unwrap(), NOW));
        grants.enter(tunnel(1), Grant { messages: None, throttle });
        let mut count = |at| (0..1000).filter(|_| grants.let_in(tunnel(1), 1024, at)).count();
        assert_eq!(count(NOW), 100);
        assert_eq!(count(NOW + Duration::from_millis(500)), 50);
        assert_eq!(count(NOW + Duration::from_secs(60)), 100);
        assert!(grants.let_in(tunnel(2), 1 << 20, NOW), "nobody limits this one");
    }

    #[test]
    fn the_largest_message_passes_the_smallest_limit() {
        let mut grants = Grants::default();
        let throttle = Some(Throttle::new(NonZeroU32::MIN, NOW));
        grants.enter(tunnel(1), Grant { messages: None, throttle });
        assert!(grants.let_in(tunnel(1), I2NP_BODY_MAX, NOW));
        assert!(!grants.let_in(tunnel(1), I2NP_BODY_MAX, NOW + Duration::from_secs(60)));
        assert!(grants.let_in(tunnel(1), I2NP_BODY_MAX, NOW + Duration::from_secs(64)));
    }
}
