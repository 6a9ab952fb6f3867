//! How much bandwidth this shard would use, told to the owner of our RouterInfo, who divides it anew.

use std::time::Duration;

use super::TransitTunnels;
use crate::actor::address::Address;
use crate::actor::contract::Context;
use crate::actor::message::{LocalRouterMessage, Message};
use crate::base::time::Instant;

/// How often it is told.
const INTERVAL: Duration = Duration::from_secs(1);
/// A shard that wants less than this part of what it may have tells nobody.
const SHOWN: u64 = 4;

/// When it is told next, and what was wanted by the last time.
#[derive(Clone, Copy, Default)]
pub(super) struct Wanting {
    due: Option<Instant>,
    since: Instant,
    bytes: u64,
}

impl Wanting {
    /// When it is told next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

impl TransitTunnels {
    /// From the time on at which something worth telling has come, it is told each second.
    pub(super) fn begin_wanting(&mut self, cx: &Context<'_>) {
        if self.wanting.due.is_some() || cx.node.shards < 2 {
            return;
        }
        let now = cx.now.instant;
        let bytes = self.limiter.wanted();
        // What has come since the last second began is what a second brings, at the least.
        if now.since(self.wanting.since) > INTERVAL {
            self.wanting = Wanting { due: None, since: now, bytes };
        } else if bytes - self.wanting.bytes > self.limiter.rates().router() / SHOWN {
            self.wanting.due = Some(self.wanting.since + INTERVAL);
        }
    }

    /// Tells how much is wanted, if it is time.
    pub(super) fn tell_wanted(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.instant;
        if self.wanting.due.is_none_or(|due| due > now) {
            return;
        }
        let bytes = self.limiter.wanted();
        let micros = now.since(self.wanting.since).as_micros().max(1);
        let rate = u128::from(bytes - self.wanting.bytes) * 1_000_000 / micros;
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let wanted = LocalRouterMessage::Wanted { shard: cx.shard, rate };
        cx.send(Address::LocalRouter, Message::LocalRouter(wanted));
        // The last that is told is that it is little.
        let more = rate > self.limiter.rates().router() / SHOWN;
        self.wanting = Wanting { due: more.then(|| now + INTERVAL), since: now, bytes };
    }
}
