//! How busy the shard is: what decides about one more tunnel, and what the owner of our RouterInfo is told.

use super::TransitTunnels;
use crate::actor::address::Address;
use crate::actor::contract::Context;
use crate::actor::message::{LocalRouterMessage, Message};
use crate::base::time::Instant;
use crate::proto::tunnel::admission::Load;
use crate::proto::tunnel::congestion::LOAD_INTERVAL;

/// When the load is told next, and what was to be carried by the last time.
#[derive(Clone, Copy, Default)]
pub(super) struct Telling {
    due: Option<Instant>,
    since: Instant,
    bytes: u64,
}

impl Telling {
    /// When it is told next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

impl TransitTunnels {
    /// How busy the shard is, as far as it matters for a new tunnel.
    pub(super) fn load(&self, cx: &Context<'_>) -> Load {
        let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Load {
            transit_tunnels: self.tunnels.len(),
            limit: cx.node.limits.transit_tunnels,
            transit_rate: cx.snapshot.transit_rate,
            transit_rate_max: Some(cx.node.transit_bandwidth),
            queue_delay: cx.strain.queue_delay,
            waiting_bytes: bytes(cx.strain.waiting_bytes),
            waiting_bytes_max: Some(bytes(cx.node.limits.queued_bytes)),
            duty: cx.node.duty,
        }
    }

    /// Somebody asks for a tunnel: from now on the load is told, until there are none.
    pub(super) fn begin_telling(&mut self, cx: &Context<'_>) {
        if self.telling.due.is_none() {
            let now = cx.now.instant;
            let bytes = self.limiter.offered();
            self.telling = Telling { due: Some(now + LOAD_INTERVAL), since: now, bytes };
        }
    }

    /// Tells the owner of our RouterInfo how full this shard is, if it is time.
    pub(super) fn tell_load(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        if self.telling.due.is_none_or(|due| due > now) {
            return;
        }
        let bytes = self.limiter.offered();
        let seconds = now.since(self.telling.since).as_secs().max(1);
        let transit_rate = (bytes - self.telling.bytes) / seconds;
        let fullness = self.load(cx).fullness();
        let load = LocalRouterMessage::Load { shard: cx.shard, fullness, transit_rate };
        cx.send(Address::LocalRouter, Message::LocalRouter(load));
        // The last that is told is that there is nothing.
        let more = !self.tunnels.is_empty() || transit_rate > 0 || !fullness.is_zero();
        self.telling = Telling { due: more.then(|| now + LOAD_INTERVAL), since: now, bytes };
    }
}
