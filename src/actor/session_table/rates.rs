//! How much work of ours one router, and one subnet, may cause: records of the netdb, and Diffie-Hellmans.
//!
//! Counted where a message arrives, before anything of it is parsed and before its record's shard hears of it.

use super::SessionTable;
use crate::actor::contract::Context;
use crate::actor::counters::{Drop, Refusals};
use crate::actor::node::ShardLimits;
use crate::base::rng::ShardRng;
use crate::base::slab::SlabKey;
use crate::proto::ntcp2::Admission;
use crate::wire::i2np::MessageType;

/// What sources have brought.
pub(super) struct MessageRates {
    stores: Admission,
    lookups: Admission,
    builds: Admission,
    garlic: Admission,
}

impl MessageRates {
    /// Unused rates, with a place for each session that there may be.
    pub(super) fn new(limits: &ShardLimits, rng: &mut ShardRng) -> Self {
        let mut unused = |rates| Admission::new(rates, limits.sessions, rng);
        Self {
            stores: unused(limits.stores),
            lookups: unused(limits.lookups),
            builds: unused(limits.builds),
            garlic: unused(limits.garlic),
        }
    }

    /// The rate that a message of this type counts in, and the reason for which it is dropped beyond it.
    fn of(&mut self, kind: MessageType) -> Option<(&mut Admission, Drop)> {
        match kind {
            MessageType::DatabaseStore => Some((&mut self.stores, Drop::StoreRate)),
            MessageType::DatabaseLookup => Some((&mut self.lookups, Drop::LookupRate)),
            MessageType::ShortTunnelBuild
            | MessageType::VariableTunnelBuild
            | MessageType::TunnelBuild => Some((&mut self.builds, Drop::BuildRate)),
            MessageType::Garlic => Some((&mut self.garlic, Drop::GarlicRate)),
            MessageType::DatabaseSearchReply
            | MessageType::DeliveryStatus
            | MessageType::TunnelData
            | MessageType::TunnelGateway
            | MessageType::Data
            | MessageType::TunnelBuildReply
            | MessageType::VariableTunnelBuildReply
            | MessageType::OutboundTunnelBuildReply
            | MessageType::Unknown(_) => None,
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
        let Some((admission, reason)) = self.rates.of(kind) else { return true };
        let remote = self.sessions.find(key).and_then(|session| session.remote());
        let Some(remote) = remote.filter(|remote| cx.node.is_counted(remote.ip())) else {
            return true;
        };
        let admitted = admission.admit(remote.ip(), cx.now.instant).is_ok();
        if !admitted {
            let refusals = &mut cx.counters.netdb_refusals;
            if reason == Drop::StoreRate {
                refusals.stores.count(Refusals::RATE);
            } else if reason == Drop::LookupRate {
                refusals.lookups.count(Refusals::RATE);
            }
            cx.count_drop(reason);
        }
        admitted
    }
}
