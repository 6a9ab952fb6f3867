//! From the type of an I2NP message to the actor that it is for. Nothing more is parsed on the wrong shard.

use crate::actor::address::Address;
use crate::actor::contract::Context;
use crate::actor::counters::Drop;
use crate::actor::message::{
    BuildActorMessage, GarlicMessage, Inbound, LocalRouterMessage, Message, NetdbMessage, Origin,
    TransitMessage,
};
use crate::base::frame::Frame;
use crate::base::id::RecordKey;
use crate::base::limits::{MESSAGE_AHEAD_MAX, MESSAGE_LATE_MAX};
use crate::proto::tunnel::build_form::BuildForm;
use crate::wire::i2np::MessageType;
use crate::wire::i2np::delivery_status::DeliveryStatus;
use crate::wire::i2np::tunnel_gateway::TunnelGateway;

/// Sends an I2NP message on to its actor, or counts why not.
pub fn dispatch(inbound: Inbound, cx: &mut Context<'_>) {
    let Inbound { origin, message, arrived } = inbound;
    let now = cx.now.unix;
    if now.since(message.expiration) > MESSAGE_LATE_MAX {
        return cx.count_drop(Drop::Expired);
    }
    if message.expiration.since(now) > MESSAGE_AHEAD_MAX {
        return cx.count_drop(Drop::FarFuture);
    }
    let body = message.body;
    match message.kind {
        MessageType::TunnelData => {
            cx.send(Address::Here, Message::Transit(TransitMessage::Data { origin, body }));
        }
        MessageType::TunnelGateway => gateway(origin, body, cx),
        MessageType::ShortTunnelBuild => build(origin, BuildForm::Short, body, cx),
        MessageType::VariableTunnelBuild => build(origin, BuildForm::Variable, body, cx),
        MessageType::TunnelBuild => build(origin, BuildForm::Fixed, body, cx),
        MessageType::Garlic => {
            cx.send(Address::Here, Message::Garlic(GarlicMessage::Open(body)));
        }
        MessageType::DatabaseStore => match record_key(&body) {
            Some(key) => {
                let store = NetdbMessage::Store { origin, body };
                cx.send(Address::Record(key), Message::Netdb(store));
            }
            None => cx.count_drop(Drop::Malformed),
        },
        MessageType::DatabaseLookup => match record_key(&body) {
            Some(key) => {
                let lookup = NetdbMessage::Lookup { body, arrived };
                cx.send(Address::Record(key), Message::Netdb(lookup));
            }
            None => cx.count_drop(Drop::Malformed),
        },
        MessageType::DatabaseSearchReply => match record_key(&body) {
            Some(key) => {
                cx.send(
                    Address::Record(key),
                    Message::Netdb(NetdbMessage::SearchReply { origin, body }),
                );
            }
            None => cx.count_drop(Drop::Malformed),
        },
        MessageType::DeliveryStatus => match DeliveryStatus::parse(&body) {
            Ok(status) => {
                let confirmed = LocalRouterMessage::Confirmed(status.id.0);
                cx.send(Address::LocalRouter, Message::LocalRouter(confirmed));
            }
            Err(_) => cx.count_drop(Drop::Malformed),
        },
        MessageType::Data
        | MessageType::TunnelBuildReply
        | MessageType::VariableTunnelBuildReply
        | MessageType::OutboundTunnelBuildReply
        | MessageType::Unknown(_) => cx.count_drop(Drop::UnknownType),
    }
}

fn build(origin: Origin, form: BuildForm, body: Frame, cx: &mut Context<'_>) {
    cx.send(Address::Here, Message::Build(BuildActorMessage::Request { origin, form, body }));
}

/// Stores, lookups and search replies all begin with the key that they are about.
fn record_key(body: &Frame) -> Option<RecordKey> {
    body.first_chunk::<32>().map(|key| RecordKey(*key))
}

fn gateway(origin: Origin, mut body: Frame, cx: &mut Context<'_>) {
    match TunnelGateway::parse(&body) {
        Ok(TunnelGateway { tunnel, inner }) => {
            body.trim_front(body.len() - inner.len());
            let fed = TransitMessage::Gateway { origin, tunnel, inner: body };
            cx.send(Address::Gateway(tunnel), Message::Transit(fed));
        }
        Err(_) => cx.count_drop(Drop::Malformed),
    }
}
