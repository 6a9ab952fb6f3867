//! Tunnels through the router under test, made as a creator makes them, and numbered messages in their packaging.
//!
//! The router under test is always one hop, between two routers that are played here. What it sees is what any hop
//! sees; who plays knows the keys of all, so one layer comes off at the end and the content lies open.

use std::fmt;
use std::num::NonZeroU32;

use floodway::base::frame::Frame;
use floodway::base::id::{MessageId, RouterHash, TunnelId};
use floodway::base::time::{Instant, Now};
use floodway::crypto::layer::{self, Kernel, LayerJob};
use floodway::crypto::x25519::{diffie_hellman, public_key};
use floodway::proto::garlic::tagged_reply;
use floodway::proto::local::HopIdentity;
use floodway::proto::tunnel::bandwidth::BandwidthRequest;
use floodway::proto::tunnel::build_creator::{
    BuildKind, BuildPlan, CreateError, CreatorHop, PendingBuild, ReplyError, TunnelHop, TunnelHops,
    create,
};
use floodway::proto::tunnel::build_reply::{Answer, seal_reply};
use floodway::proto::tunnel::build_request::{
    STATUS_ACCEPTED, ephemeral_key, find_slot, open_record,
};
use floodway::proto::tunnel::fragmenter::Fragmenter;
use floodway::proto::tunnel::reassembler::{
    LocalDelivery, Reassembled, Reassembler, ReassemblyLimits,
};
use floodway::wire::delivery::Delivery;
use floodway::wire::i2np::tunnel_build::{BuildMessage, RecordSize};
use floodway::wire::i2np::tunnel_data::{TUNNEL_LAYER_SIZE, TunnelData};
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};
use serde::Serialize;

use crate::checker::{CONTENT_MIN, Stamp, read_content, write_content};
use crate::played::PlayedRouter;

/// Content of a message that fills one tunnel message, whatever its delivery.
pub const CONTENT_USUAL: usize = 940;
/// Content of the largest message.
pub const CONTENT_MAX: usize = 61_000;
/// A Data message starts with its length.
const DATA_LENGTH_SIZE: usize = 4;

/// What the router under test is in a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// In the middle: TunnelData in, TunnelData out.
    Participant,
    /// First of an inbound tunnel: TunnelGateway in, TunnelData out.
    Gateway,
    /// Last of an outbound tunnel: TunnelData in, messages to routers and to tunnels out.
    Endpoint,
}

/// All roles.
pub const ROLES: [Role; 3] = [Role::Participant, Role::Gateway, Role::Endpoint];

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Participant => "participant",
            Self::Gateway => "gateway",
            Self::Endpoint => "endpoint",
        })
    }
}

/// Why a tunnel could not be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The request cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The played hop before the router under test cannot take part: an error of ours.
    #[error("the played hop cannot open its own record")]
    PlayedHop,
}

/// Why a reply does not give a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildFailure {
    /// The router under test does not want to.
    #[error("refused with status {status}")]
    Refused {
        /// Its reason.
        status: u8,
    },
    /// The reply cannot be read.
    #[error("unreadable reply: {0}")]
    Reply(#[from] ReplyError),
    /// The reply is not packed as it should be.
    #[error("a reply that is no build reply")]
    Packaging,
}

/// A tunnel that has been asked for.
pub struct AskedTunnel {
    role: Role,
    receiver: RouterHash,
    arrives: TunnelId,
    pending: PendingBuild,
}

/// Asks `target` to be a hop in `role` between `sender` and `receiver`: what `sender` has to send to it, and what to
/// keep until `receiver` gets the reply.
///
/// # Errors
/// [`AskError`] when the target's key is unusable.
pub fn ask(
    role: Role,
    target: CreatorHop,
    sender: &mut PlayedRouter,
    receiver: RouterHash,
    now: Now,
) -> Result<(I2npMessage, AskedTunnel), AskError> {
    ask_for(BandwidthRequest::default(), role, target, sender, receiver, now)
}

/// The same, for a tunnel that is to have some bandwidth.
///
/// # Errors
/// As [`ask`].
pub fn ask_for(
    bandwidth: BandwidthRequest,
    role: Role,
    target: CreatorHop,
    sender: &mut PlayedRouter,
    receiver: RouterHash,
    now: Now,
) -> Result<(I2npMessage, AskedTunnel), AskError> {
    let tunnel = fresh_tunnel(sender);
    let reply_message = MessageId(sender.rng.id());
    let played =
        CreatorHop { hash: sender.hash(), static_key: public_key(&sender.keys.encryption) };
    let inbound = BuildKind::Inbound { creator: receiver, tunnel };
    let (path, kind) = match role {
        Role::Participant => (vec![played, target], inbound),
        Role::Gateway => (vec![target], inbound),
        Role::Endpoint => (vec![target], BuildKind::Outbound { gateway: receiver, tunnel }),
    };
    let plan = BuildPlan { path: &path, kind, reply_message, bandwidth };
    let created = create(&plan, now.unix, &mut sender.rng)?;
    let mut body = created.body;
    let mut request = sender.message(MessageType::ShortTunnelBuild, Frame::default(), now);
    if role == Role::Participant {
        request.id = take_part(sender, &mut body).ok_or(AskError::PlayedHop)?;
    }
    request.body = body;
    let asked = AskedTunnel { role, receiver, arrives: tunnel, pending: created.pending };
    Ok((request, asked))
}

fn fresh_tunnel(router: &mut PlayedRouter) -> TunnelId {
    loop {
        if let Some(tunnel) = TunnelId::new(router.rng.id()) {
            return tunnel;
        }
    }
}

/// The played first hop accepts: its answer goes into the message. Gives the id under which the message goes on.
fn take_part(router: &PlayedRouter, body: &mut [u8]) -> Option<MessageId> {
    let mut message = BuildMessage::parse(body, RecordSize::Short).ok()?;
    let slot = find_slot(&message, &router.hash())?;
    let record = message.record(slot)?;
    let shared = diffie_hellman(&router.keys.encryption, &ephemeral_key(record)).ok()?;
    let hop = HopIdentity::new(router.hash(), &public_key(&router.keys.encryption));
    let opened = open_record(&hop, record, &shared).ok()?;
    seal_reply(&mut message, slot, &opened, Answer::plain(STATUS_ACCEPTED));
    Some(opened.request.next_message)
}

impl AskedTunnel {
    /// The role that was asked for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The router that gets the reply, and later the messages.
    #[must_use]
    pub fn receiver(&self) -> RouterHash {
        self.receiver
    }

    /// The tunnel id under which the reply (of an endpoint) and the messages come to the receiver.
    #[must_use]
    pub fn arrives(&self) -> TunnelId {
        self.arrives
    }

    /// Whether `message`, which came to the receiver, is the reply.
    #[must_use]
    pub fn is_reply(&self, message: &I2npMessage) -> bool {
        match self.role {
            Role::Participant | Role::Gateway => {
                message.kind == MessageType::ShortTunnelBuild
                    && message.id == self.pending.reply_message()
            }
            Role::Endpoint => {
                message.kind == MessageType::TunnelGateway
                    && TunnelGateway::parse(&message.body)
                        .is_ok_and(|outer| outer.tunnel == self.arrives)
            }
        }
    }

    /// Reads the reply.
    ///
    /// # Errors
    /// [`BuildFailure`] when the tunnel does not exist.
    pub fn settle(self, reply: &I2npMessage) -> Result<Tunnel, BuildFailure> {
        let mut body = match self.role {
            Role::Participant | Role::Gateway => reply.body.clone(),
            Role::Endpoint => self.unwrap(reply).ok_or(BuildFailure::Packaging)?,
        };
        let answers = self.pending.read_answers(&mut body)?;
        if let Some(refusal) = answers.iter().find(|answer| answer.status != STATUS_ACCEPTED) {
            return Err(BuildFailure::Refused { status: refusal.status });
        }
        let reassembler = Reassembler::new(ReassemblyLimits::default(), LocalDelivery::Taken);
        Ok(Tunnel {
            role: self.role,
            receiver: self.receiver,
            arrives: self.arrives,
            hops: self.pending.into_tunnel(),
            granted: answers.last().and_then(|answer| answer.bandwidth),
            reassembler,
            kernel: Kernel::detect(),
        })
    }

    /// The build reply out of the garlic out of the reply tunnel.
    fn unwrap(&self, reply: &I2npMessage) -> Option<Frame> {
        let garlic = self.pending.garlic()?;
        let inner = TunnelGateway::parse(&reply.body).ok()?.message().ok()?;
        if inner.kind != MessageType::Garlic {
            return None;
        }
        let mut body = inner.body;
        let message = tagged_reply::open(&garlic.key, garlic.tag, &mut body).ok()?;
        (message.kind == MessageType::OutboundTunnelBuildReply).then_some(message.body)
    }
}

/// A tunnel through the router under test.
pub struct Tunnel {
    role: Role,
    receiver: RouterHash,
    arrives: TunnelId,
    hops: TunnelHops,
    granted: Option<NonZeroU32>,
    reassembler: Reassembler,
    kernel: Kernel,
}

/// What came out at the end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A message with its content as it was sent.
    Whole(Stamp),
    /// Something else.
    Corrupt,
}

impl Tunnel {
    /// What the router under test is in it.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Where its messages come out.
    #[must_use]
    pub fn receiver(&self) -> RouterHash {
        self.receiver
    }

    /// Tunnel messages a second that the router under test has set aside for it, if it was asked to.
    #[must_use]
    pub fn granted(&self) -> Option<NonZeroU32> {
        self.granted
    }

    /// The tunnel id under which messages come to the receiver.
    #[must_use]
    pub fn arrives(&self) -> TunnelId {
        self.arrives
    }

    /// The router under test as a hop: always the last of the path.
    fn target(&self) -> Option<&TunnelHop> {
        self.hops.hops().last()
    }

    /// Packs the message named by `stamp` into what `sender` has to send, usually one message. `content_size` counts
    /// for gateways and endpoints; a participant's tunnel message has one size.
    pub fn pack(
        &self,
        seed: u64,
        stamp: Stamp,
        content_size: usize,
        sender: &mut PlayedRouter,
        now: Now,
        out: &mut Vec<I2npMessage>,
    ) {
        let Some(target) = self.target() else { return };
        match self.role {
            Role::Participant => {
                // A participant cannot look inside: the content is the whole layer, IV included.
                let mut layer = [0; TUNNEL_LAYER_SIZE];
                write_content(seed, stamp, &mut layer);
                let body = TunnelData::write(target.tunnel, &layer);
                out.push(sender.message(MessageType::TunnelData, body, now));
            }
            Role::Gateway => {
                let inner = data_message(seed, stamp, content_size, sender, now);
                let body = TunnelGateway::write(target.tunnel, &inner);
                out.push(sender.message(MessageType::TunnelGateway, body, now));
            }
            Role::Endpoint => {
                let inner = data_message(seed, stamp, content_size, sender, now);
                // Both ways out of an endpoint in turn.
                let delivery = if stamp.number.is_multiple_of(2) {
                    Delivery::Router(self.receiver)
                } else {
                    Delivery::Tunnel { gateway: self.receiver, tunnel: self.arrives }
                };
                let (mut fragmenter, mut layers) = (Fragmenter::new(), Vec::new());
                let pushed =
                    fragmenter.push_message(delivery, &inner, &mut sender.rng, &mut layers);
                debug_assert!(pushed.is_ok(), "content of {content_size} bytes");
                fragmenter.flush(&mut sender.rng, &mut layers);
                self.undo(&mut layers);
                for layer in &layers {
                    let body = TunnelData::write(target.tunnel, layer);
                    out.push(sender.message(MessageType::TunnelData, body, now));
                }
            }
        }
    }

    /// Takes a TunnelData that came to the receiver under [`Tunnel::arrives`].
    pub fn unpack(&mut self, seed: u64, body: &[u8], now: Instant, out: &mut Vec<Arrival>) {
        let layer = body.get(4..).and_then(|layer| <[u8; TUNNEL_LAYER_SIZE]>::try_from(layer).ok());
        let Some(layer) = layer else { return out.push(Arrival::Corrupt) };
        let mut layers = [layer];
        self.undo(&mut layers);
        let [layer] = layers;
        match self.role {
            Role::Participant => out.push(judge(seed, &layer)),
            Role::Gateway => {
                let mut found = Reassembled::default();
                self.reassembler.handle_payload(&layer, now, &mut found);
                out.extend(found.delivered.iter().map(|d| read_data(seed, &d.message)));
                out.extend(found.dropped.iter().map(|_| Arrival::Corrupt));
            }
            // An endpoint's messages never come as TunnelData.
            Role::Endpoint => out.push(Arrival::Corrupt),
        }
    }

    /// Undoes the layer of the router under test, beforehand or afterwards.
    fn undo(&self, layers: &mut [[u8; TUNNEL_LAYER_SIZE]]) {
        if let Some(target) = self.target() {
            let jobs = layers.iter_mut().map(|data| LayerJob { keys: &target.keys, data });
            layer::decrypt_batch(self.kernel, &mut jobs.collect::<Vec<_>>());
        }
    }
}

fn data_message(
    seed: u64,
    stamp: Stamp,
    content_size: usize,
    sender: &mut PlayedRouter,
    now: Now,
) -> I2npMessage {
    let size = content_size.clamp(CONTENT_MIN, CONTENT_MAX);
    let mut body = vec![0; DATA_LENGTH_SIZE + size];
    let (length, content) = body.split_at_mut(DATA_LENGTH_SIZE);
    length.copy_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
    write_content(seed, stamp, content);
    sender.message(MessageType::Data, body.into(), now)
}

/// Reads a Data message that came out of a tunnel, however it came.
#[must_use]
pub fn read_data(seed: u64, message: &I2npMessage) -> Arrival {
    match message.body.get(DATA_LENGTH_SIZE..) {
        Some(content) if message.kind == MessageType::Data => judge(seed, content),
        Some(_) | None => Arrival::Corrupt,
    }
}

fn judge(seed: u64, content: &[u8]) -> Arrival {
    read_content(seed, content).map_or(Arrival::Corrupt, Arrival::Whole)
}
