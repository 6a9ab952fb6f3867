//! Opens garlic that is addressed to this router and hands on its cloves.

use super::address::Address;
use super::contract::{Actor, Context};
use super::counters::Drop;
use super::message::{
    DiffieHellman, DiffieHellmanPurpose, GarlicMessage, Inbound, Message, Origin,
};
use crate::base::frame::Frame;
use crate::base::rng::ShardRng;
use crate::base::time::Instant;
use crate::crypto::secret::SharedSecret;
use crate::proto::garlic::router_message::{self, GarlicReplayFilter, OpenError};
use crate::proto::local::HopIdentity;
use crate::wire::i2np::MessageType;
use crate::wire::i2np::garlic::{CloveDelivery, GarlicMessage as GarlicBody};

/// The opener of garlic on one shard.
pub struct GarlicOpener {
    hop: HopIdentity,
    replay: GarlicReplayFilter,
}

impl GarlicOpener {
    /// An opener for the router that `hop` names.
    #[must_use]
    pub fn new(hop: HopIdentity, replay_slots: usize, rng: &mut ShardRng) -> Self {
        Self { hop, replay: GarlicReplayFilter::new(replay_slots, rng) }
    }

    /// How often the replay filter was too small for its period.
    #[must_use]
    pub fn early_rotations(&self) -> u64 {
        self.replay.early_rotations()
    }

    fn request(&mut self, body: Frame, cx: &mut Context<'_>) {
        let public = GarlicBody::payload(&body).ok().and_then(router_message::ephemeral_key);
        let Some(public) = public else {
            cx.count_drop(Drop::Malformed);
            return;
        };
        if cx.effects.diffie_hellmans.len() >= cx.node.limits.diffie_hellmans_per_turn {
            cx.count_drop(Drop::DiffieHellmanBudget);
            return;
        }
        let purpose = DiffieHellmanPurpose::Garlic(body);
        cx.effects.diffie_hellmans.push(DiffieHellman { public, purpose });
    }

    fn open(&mut self, mut body: Frame, shared: &SharedSecret, cx: &mut Context<'_>) {
        let opened = router_message::open(&self.hop, &mut body, shared, cx.now, &mut self.replay);
        let cloves = match opened {
            Ok(cloves) => cloves,
            Err(OpenError::Stale { .. } | OpenError::Ahead { .. } | OpenError::Replayed) => {
                cx.count_drop(Drop::GarlicStale);
                return;
            }
            Err(
                OpenError::Unauthentic
                | OpenError::Malformed(_)
                | OpenError::NoDateTime
                | OpenError::Cloves,
            ) => {
                cx.count_drop(Drop::GarlicUnauthentic);
                return;
            }
        };
        for clove in cloves {
            match clove.delivery {
                CloveDelivery::Local => {
                    if is_for_routers(clove.message.kind) {
                        // Its Diffie-Hellman was done in the turn in which it came, unless that was very full.
                        let arrived = cx.now.instant;
                        let message = clove.message;
                        let inbound = Inbound { origin: Origin::Garlic, message, arrived };
                        cx.send(Address::Here, Message::Inbound(inbound));
                    } else {
                        cx.count_drop(Drop::UnknownType);
                    }
                }
                // Forwarding for anyone who asks would make us an open relay.
                CloveDelivery::Destination(_)
                | CloveDelivery::Router(_)
                | CloveDelivery::Tunnel { .. } => cx.count_drop(Drop::GarlicForwarding),
            }
        }
    }
}

/// What garlic may bring to a router; garlic in garlic, tunnel data and replies have no business there.
fn is_for_routers(kind: MessageType) -> bool {
    match kind {
        MessageType::DatabaseStore
        | MessageType::DatabaseLookup
        | MessageType::ShortTunnelBuild
        | MessageType::TunnelBuild
        | MessageType::VariableTunnelBuild
        | MessageType::DeliveryStatus => true,
        MessageType::DatabaseSearchReply
        | MessageType::Garlic
        | MessageType::TunnelData
        | MessageType::TunnelGateway
        | MessageType::Data
        | MessageType::TunnelBuildReply
        | MessageType::VariableTunnelBuildReply
        | MessageType::OutboundTunnelBuildReply
        | MessageType::Unknown(_) => false,
    }
}

impl Actor for GarlicOpener {
    type Message = GarlicMessage;

    fn handle(&mut self, message: GarlicMessage, cx: &mut Context<'_>) {
        match message {
            GarlicMessage::Open(body) => self.request(body, cx),
            GarlicMessage::Shared { body, shared: Ok(shared) } => self.open(body, &shared, cx),
            GarlicMessage::Shared { shared: Err(_), .. } => cx.count_drop(Drop::WeakKey),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: &mut Context<'_>) {}
}
