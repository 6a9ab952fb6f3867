//! How much of the netdb one router, and one subnet, may use.
//!
//! Counted where a message arrives, before anything of it is parsed and before its record's shard hears of it.

use super::SessionTable;
use crate::actor::contract::Context;
use crate::actor::counters::Drop;
use crate::actor::node::ShardLimits;
use crate::base::rng::ShardRng;
use crate::base::slab::SlabKey;
use crate::proto::ntcp2::Admission;
use crate::wire::i2np::MessageType;

/// What sources have stored and looked up.
pub(super) struct NetdbRates {
    stores: Admission,
    lookups: Admission,
}

impl NetdbRates {
    /// Unused rates, with a place for each session that there may be.
    pub(super) fn new(limits: &ShardLimits, rng: &mut ShardRng) -> Self {
        Self {
            stores: Admission::new(limits.stores, limits.sessions, rng),
            lookups: Admission::new(limits.lookups, limits.sessions, rng),
        }
    }
}

impl SessionTable {
    /// Whether a message of this type may go on from this session; one that may not is counted.
    pub(super) fn may_ask(
        &mut self,
        key: SlabKey,
        kind: MessageType,
        cx: &mut Context<'_>,
    ) -> bool {
        let (admission, reason) = if kind == MessageType::DatabaseStore {
            (&mut self.rates.stores, Drop::StoreRate)
        } else if kind == MessageType::DatabaseLookup {
            (&mut self.rates.lookups, Drop::LookupRate)
        } else {
            return true;
        };
        let remote = self.sessions.find(key).and_then(|session| session.remote());
        let Some(remote) = remote.filter(|remote| cx.node.is_counted(remote.ip())) else {
            return true;
        };
        let admitted = admission.admit(remote.ip(), cx.now.instant).is_ok();
        if !admitted {
            cx.count_drop(reason);
        }
        admitted
    }
}
