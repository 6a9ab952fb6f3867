//! Transit within the bandwidth: what goes to the layer kernel at once, what waits, and what is dropped.

use super::TransitTunnels;
use crate::actor::contract::Context;
use crate::actor::counters::Drop;
use crate::base::frame::Frame;
use crate::base::id::TunnelId;
use crate::proto::tunnel::limiter::{BLOCK_OVERHEAD, LimiterDrop, Passage, TransitRates};
use crate::wire::i2np::STANDARD_HEADER_SIZE;
use crate::wire::i2np::tunnel_gateway;

/// What the metrics show of the limiter of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimiterCounts {
    /// Bytes of transit a second that this shard may carry in each direction.
    pub rate: u64,
    /// Tunnel messages that wait for bandwidth.
    pub waiting: usize,
    /// Bytes of transit that were to be carried since the start, dropped ones included.
    pub offered: u64,
}

/// What this shard may carry now.
fn rates(cx: &Context<'_>) -> TransitRates {
    let part = cx.snapshot.part_of(cx.shard, cx.node.shards);
    TransitRates::new(part.of(cx.node.bandwidth), part.of(cx.node.transit_bandwidth))
}

impl TransitTunnels {
    /// Begins a turn: what has waited for bandwidth goes on, as far as there is some.
    pub fn begin_turn(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        let rates = rates(cx);
        if rates != self.limiter.rates() {
            self.limiter.take_rates(rates, now);
            while let Some(frame) = self.limiter.push_out() {
                discard(LimiterDrop::Full, frame, cx);
            }
        }
        self.limiter.begin_turn(&cx.counters.traffic, now);
        while let Some((id, next)) = self.limiter.poll() {
            match next {
                Ok(frame) if self.tunnels.contains_key(&id) => self.waiting.push((id, frame)),
                Ok(frame) => {
                    cx.count_drop(Drop::TunnelUnknown);
                    cx.frames.give_back(frame);
                }
                Err((reason, frame)) => discard(reason, frame, cx),
            }
        }
        self.begin_wanting(cx);
    }

    /// What the limiter shows.
    #[must_use]
    pub fn limiter_counts(&self) -> LimiterCounts {
        LimiterCounts {
            rate: self.limiter.rates().transit(),
            waiting: self.limiter.waiting(),
            offered: self.limiter.offered(),
        }
    }

    /// A tunnel message that came goes on, as far as there is bandwidth.
    pub(super) fn pass(&mut self, id: TunnelId, frame: Frame, cx: &mut Context<'_>) {
        let passage = self.limiter.offer(id, self.grants.weight(id), frame, cx.rng);
        self.follow(id, passage, cx);
    }

    /// The same for one that a gateway of ours has made.
    pub(super) fn pass_made(&mut self, id: TunnelId, frame: Frame, cx: &mut Context<'_>) {
        let passage = self.limiter.offer_made(id, self.grants.weight(id), frame);
        self.follow(id, passage, cx);
    }

    fn follow(&mut self, id: TunnelId, passage: Passage<Frame>, cx: &mut Context<'_>) {
        match passage {
            Passage::Passes(frame) => self.waiting.push((id, frame)),
            Passage::Waits => {}
            Passage::Displaces(frame) => discard(LimiterDrop::Full, frame, cx),
            Passage::Dropped(reason, frame) => discard(reason, frame, cx),
        }
    }
}

fn discard(reason: LimiterDrop, frame: Frame, cx: &mut Context<'_>) {
    cx.count_drop(drop_reason(reason));
    cx.frames.give_back(frame);
}

/// How a drop for want of bandwidth is counted.
pub(super) fn drop_reason(reason: LimiterDrop) -> Drop {
    match reason {
        LimiterDrop::Early => Drop::TransitEarly,
        LimiterDrop::Full => Drop::TransitFull,
        LimiterDrop::Late => Drop::TransitLate,
    }
}

/// Bytes of a block in which a message comes or goes over a session.
pub(super) fn block(body: usize) -> u64 {
    u64::try_from(body + BLOCK_OVERHEAD).unwrap_or(u64::MAX)
}

/// The same for a message on its way to a gateway.
pub(super) fn gateway_block(body: usize) -> u64 {
    block(tunnel_gateway::HEADER_SIZE + STANDARD_HEADER_SIZE + body)
}
