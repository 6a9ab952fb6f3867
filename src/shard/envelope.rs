//! What crosses between shards.

use crate::actor::message::{
    LocalRouterMessage, Message, NetdbMessage, SessionMessage, TransitMessage,
};
use crate::wire::i2np::MessageType;

/// One actor message on its way to another shard.
#[derive(Debug)]
pub struct Envelope(pub Message);

/// The lane that an envelope takes; each has a bound of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Tunnel traffic: dropped and counted when the queue is full, since senders repeat what matters.
    Data,
    /// Everything else: waits for room.
    Control,
}

/// Envelopes are moved through queues, so they stay small; what is large is boxed.
const ENVELOPE_MAX: usize = 256;
const _: () = assert!(size_of::<Envelope>() <= ENVELOPE_MAX);

impl Envelope {
    /// Which lane it takes.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match &self.0 {
            Message::Transit(TransitMessage::Data { .. } | TransitMessage::Gateway { .. })
            // Lost, they are only memory that is asked for again.
            | Message::Frames(_) => Lane::Data,
            Message::Session(SessionMessage::Deliver { message, .. }) => match message.kind {
                // What an endpoint delivers keeps its order with what it passes into tunnels.
                MessageType::TunnelData | MessageType::TunnelGateway | MessageType::Data => {
                    Lane::Data
                }
                MessageType::DatabaseStore
                | MessageType::DatabaseLookup
                | MessageType::DatabaseSearchReply
                | MessageType::DeliveryStatus
                | MessageType::Garlic
                | MessageType::TunnelBuild
                | MessageType::TunnelBuildReply
                | MessageType::VariableTunnelBuild
                | MessageType::VariableTunnelBuildReply
                | MessageType::ShortTunnelBuild
                | MessageType::OutboundTunnelBuildReply
                | MessageType::Unknown(_) => Lane::Control,
            },
            Message::Session(
                SessionMessage::Knock(_)
                | SessionMessage::Dial(_)
                | SessionMessage::Ban(_)
                | SessionMessage::Adopt(_),
            )
            | Message::Transit(TransitMessage::Install(_))
            | Message::Inbound(_)
            | Message::Dialer(_)
            | Message::Netdb(
                NetdbMessage::Store { .. }
                | NetdbMessage::Lookup { .. }
                | NetdbMessage::SearchReply { .. }
                | NetdbMessage::Explore(_)
                | NetdbMessage::Find { .. }
                | NetdbMessage::Learned(_)
                | NetdbMessage::Met(_)
                | NetdbMessage::Shown { .. }
                | NetdbMessage::Verified(_),
            )
            | Message::Garlic(_)
            | Message::Build(_)
            | Message::LocalRouter(
                LocalRouterMessage::Confirmed(_)
                | LocalRouterMessage::FloodfillSeen(_)
                | LocalRouterMessage::FloodfillGone(_)
                | LocalRouterMessage::Known { .. }
                | LocalRouterMessage::Load { .. }
                | LocalRouterMessage::Wanted { .. }
                | LocalRouterMessage::Reached
                | LocalRouterMessage::Standing(..)
                | LocalRouterMessage::Clock(..),
            )
            | Message::Snapshot(_) => Lane::Control,
        }
    }
}
