//! Tunnels that a played router builds through simulated routers, and numbered messages through them.

use std::sync::Arc;
use std::time::Duration;

use floodway::base::frame::Frame;
use floodway::base::id::{MessageId, RouterHash, TunnelId};
use floodway::base::time::Now;
use floodway::crypto::layer::Kernel;
use floodway::proto::garlic::tagged_reply;
use floodway::proto::tunnel::bandwidth::BandwidthRequest;
use floodway::proto::tunnel::build_creator::{
    BuildKind, BuildPlan, CreatorHop, PendingBuild, TunnelHops, all_accepted, create,
};
use floodway::proto::tunnel::fragmenter::Fragmenter;
use floodway::proto::tunnel::reassembler::{
    LocalDelivery, Reassembled, Reassembler, ReassemblyLimits,
};
use floodway::wire::delivery::Delivery;
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::router_info::RouterInfo;

use super::world::World;

/// A tunnel of the played router `player`.
pub struct PlayedTunnel {
    player: usize,
    hops: TunnelHops,
    way: Way,
}

enum Way {
    Outbound,
    Inbound { arrives: TunnelId },
}

fn path_of(path: &[Arc<RouterInfo>]) -> Vec<CreatorHop> {
    path.iter()
        .map(|info| CreatorHop {
            hash: info.hash(),
            static_key: info.identity().encryption_key().unwrap(),
        })
        .collect()
}

fn begin(
    world: &mut World,
    player: usize,
    path: &[Arc<RouterInfo>],
    kind: BuildKind,
) -> PendingBuild {
    let now = world.now();
    let hops = path_of(path);
    let router = &mut world.played[player].router;
    let reply_message = MessageId(router.rng.id());
    let plan =
        BuildPlan { path: &hops, kind, reply_message, bandwidth: BandwidthRequest::default() };
    let created = create(&plan, now.unix, &mut router.rng).unwrap();
    let request = router.message(MessageType::ShortTunnelBuild, created.body, now);
    world.send(player, created.first_hop, &request);
    world.run_for(Duration::from_secs(5));
    created.pending
}

/// Asks for an outbound tunnel, whatever the answer.
pub fn ask_for_outbound(world: &mut World, player: usize, path: &[Arc<RouterInfo>]) {
    let gateway = world.played[player].router.hash();
    let tunnel = TunnelId::new(world.rng().id()).unwrap();
    begin(world, player, path, BuildKind::Outbound { gateway, tunnel });
}

/// Asks for an inbound tunnel, whatever the answer.
pub fn ask_for_inbound(world: &mut World, player: usize, path: &[Arc<RouterInfo>]) {
    let creator = world.played[player].router.hash();
    let tunnel = TunnelId::new(world.rng().id()).unwrap();
    begin(world, player, path, BuildKind::Inbound { creator, tunnel });
}

/// Builds an outbound tunnel where the network lets it come about.
pub fn try_outbound(
    world: &mut World,
    player: usize,
    path: &[Arc<RouterInfo>],
) -> Option<PlayedTunnel> {
    let gateway = world.played[player].router.hash();
    let tunnel = TunnelId::new(world.rng().id()).unwrap();
    let pending = begin(world, player, path, BuildKind::Outbound { gateway, tunnel });
    let garlic = pending.garlic().unwrap();
    let replies = received(world, player, MessageType::TunnelGateway);
    let mut reply = replies.into_iter().find_map(|(_, message)| {
        let outer = TunnelGateway::parse(&message.body).ok()?;
        let inner = outer.message().ok().filter(|_| outer.tunnel == tunnel)?;
        tagged_reply::open(&garlic.key, garlic.tag, &mut inner.body.to_vec()).ok()
    })?;
    let statuses = pending.read_reply(&mut reply.body).unwrap();
    all_accepted(&statuses).then(|| PlayedTunnel {
        player,
        hops: pending.into_tunnel(),
        way: Way::Outbound,
    })
}

/// Builds an outbound tunnel; its reply comes straight to the player as the reply tunnel's gateway.
pub fn build_outbound(world: &mut World, player: usize, path: &[Arc<RouterInfo>]) -> PlayedTunnel {
    let gateway = world.played[player].router.hash();
    let tunnel = TunnelId::new(world.rng().id()).unwrap();
    let pending = begin(world, player, path, BuildKind::Outbound { gateway, tunnel });
    let garlic = pending.garlic().unwrap();
    let reply = received(world, player, MessageType::TunnelGateway)
        .into_iter()
        .find_map(|(_, message)| {
            let outer = TunnelGateway::parse(&message.body).ok()?;
            assert_eq!(outer.tunnel, tunnel);
            let inner = outer.message().ok()?;
            assert_eq!(inner.kind, MessageType::Garlic);
            tagged_reply::open(&garlic.key, garlic.tag, &mut inner.body.to_vec()).ok()
        })
        .expect("a build reply");
    outbound(player, pending, reply)
}

/// Builds an outbound tunnel whose reply comes back through an inbound tunnel of the player. Where the endpoint is that
/// tunnel's gateway itself, the creator expects it without garlic.
pub fn build_outbound_by_way_of(
    world: &mut World,
    player: usize,
    path: &[Arc<RouterInfo>],
    back: &PlayedTunnel,
) -> PlayedTunnel {
    let entry = &back.hops.hops()[0];
    let kind = BuildKind::Outbound { gateway: entry.router, tunnel: entry.tunnel };
    let alone = path.last().is_some_and(|endpoint| endpoint.hash() == entry.router);
    let pending = begin(world, player, path, kind);
    let garlic = pending.garlic().unwrap();
    let message = back.received_messages(world).pop().expect("a build reply");
    let reply = if alone {
        message
    } else {
        assert_eq!(message.kind, MessageType::Garlic);
        tagged_reply::open(&garlic.key, garlic.tag, &mut message.body.to_vec()).unwrap()
    };
    outbound(player, pending, reply)
}

fn outbound(player: usize, pending: PendingBuild, mut reply: I2npMessage) -> PlayedTunnel {
    assert_eq!(reply.kind, MessageType::OutboundTunnelBuildReply);
    assert_eq!(reply.id, pending.reply_message());
    let statuses = pending.read_reply(&mut reply.body).unwrap();
    assert!(all_accepted(&statuses), "{statuses:?}");
    PlayedTunnel { player, hops: pending.into_tunnel(), way: Way::Outbound }
}

/// Builds an inbound tunnel whose gateway is a neighbour of the player.
pub fn build_inbound(world: &mut World, player: usize, path: &[Arc<RouterInfo>]) -> PlayedTunnel {
    let creator = world.played[player].router.hash();
    let arrives = TunnelId::new(world.rng().id()).unwrap();
    let pending = begin(world, player, path, BuildKind::Inbound { creator, tunnel: arrives });
    let mut reply = received(world, player, MessageType::ShortTunnelBuild)
        .into_iter()
        .map(|(_, message)| message)
        .find(|message| message.id == pending.reply_message())
        .expect("a build reply");
    let statuses = pending.read_reply(&mut reply.body).unwrap();
    assert!(all_accepted(&statuses), "{statuses:?}");
    PlayedTunnel { player, hops: pending.into_tunnel(), way: Way::Inbound { arrives } }
}

fn received(world: &World, player: usize, kind: MessageType) -> Vec<(Now, I2npMessage)> {
    world.played[player]
        .received
        .iter()
        .filter(|(_, _, message)| message.kind == kind)
        .map(|(at, _, message)| (*at, message.clone()))
        .collect()
}

impl PlayedTunnel {
    /// Sends message number `n`, padded to `size` bytes, to the player itself.
    pub fn send_numbered(&mut self, world: &mut World, n: u32, size: usize) {
        let now = world.now();
        let router = &mut world.played[self.player].router;
        let me = router.hash();
        let mut body = vec![0xab; size.max(4)];
        body[..4].copy_from_slice(&n.to_be_bytes());
        let message = router.message(MessageType::Data, Frame::copy_of(&body), now);
        match self.way {
            Way::Outbound => self.send_to(world, me, &message),
            Way::Inbound { .. } => {
                let gateway = &self.hops.hops()[0];
                let outer = TunnelGateway::write(gateway.tunnel, &message);
                let to = gateway.router;
                let outer = world.played[self.player].router.message(
                    MessageType::TunnelGateway,
                    outer,
                    now,
                );
                world.send(self.player, to, &outer);
            }
        }
    }

    /// Sends a message out of the endpoint to a router.
    pub fn send_to(&mut self, world: &mut World, to: RouterHash, message: &I2npMessage) {
        let now = world.now();
        let router = &mut world.played[self.player].router;
        let mut fragmenter = Fragmenter::new();
        let mut payloads = Vec::new();
        let delivery = Delivery::Router(to);
        fragmenter.push_message(delivery, message, &mut router.rng, &mut payloads).unwrap();
        fragmenter.flush(&mut router.rng, &mut payloads);
        self.hops.outbound_encrypt(Kernel::Portable, &mut payloads);
        let first = &self.hops.hops()[0];
        for payload in payloads {
            let mut body = Frame::copy_of(&first.tunnel.to_wire());
            body.append(&payload);
            let data = world.played[self.player].router.message(MessageType::TunnelData, body, now);
            world.send(self.player, first.router, &data);
        }
    }

    /// The numbers of the messages that have arrived, in order; each is checked for its content.
    pub fn received_numbers(&self, world: &World) -> Vec<u32> {
        self.received_messages(world)
            .iter()
            .map(|message| {
                assert!(message.body[4..].iter().all(|byte| *byte == 0xab));
                u32::from_be_bytes(message.body[..4].try_into().unwrap())
            })
            .collect()
    }

    fn received_messages(&self, world: &World) -> Vec<I2npMessage> {
        match self.way {
            Way::Outbound => received(world, self.player, MessageType::Data)
                .into_iter()
                .map(|(_, message)| message)
                .collect(),
            Way::Inbound { arrives } => {
                let limits = ReassemblyLimits::default();
                let mut reassembler = Reassembler::new(limits, LocalDelivery::Taken);
                let mut out = Reassembled::default();
                let mut data = received(world, self.player, MessageType::TunnelData);
                data.retain(|(_, message)| message.body[..4] == arrives.to_wire());
                for (at, message) in data {
                    let mut payload = [<[u8; 1024]>::try_from(&message.body[4..]).unwrap()];
                    self.hops.inbound_decrypt(Kernel::Portable, &mut payload);
                    reassembler.handle_payload(&payload[0], at.instant, &mut out);
                }
                assert_eq!(out.dropped, []);
                out.delivered.into_iter().map(|delivered| delivered.message).collect()
            }
        }
    }
}
