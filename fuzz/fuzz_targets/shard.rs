//! The whole Shard, two of them as one router, fed with anything that can happen to it: connections, bytes, messages over
//! sessions and out of garlic, builds, tunnel traffic, time, and the end. An input is a list of such steps.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use floodway::actor::message::{Inbound, Message, Origin};
use floodway::actor::node::{NodeConfig, PlacementSecret, ShardLimits};
use floodway::actor::contract::Effort;
use floodway::base::frame::{Frame, FramePool};
use floodway::base::id::{
    ConnectionId, ConnectionOrigin, MessageId, RouterHash, ShardId, TunnelId,
};
use floodway::base::permille::Permille;
use floodway::base::rng::ShardRng;
use floodway::base::time::{Now, UnixTime};
use floodway::crypto::layer::Kernel;
use floodway::crypto::x25519::{X25519Public, public_key};
use floodway::proto::local::RouterKeys;
use floodway::proto::ntcp2::{Handshake, ReplayFilter, Session};
use floodway::proto::peer::conduct::Profile;
use floodway::proto::tunnel::admission::Duty;
use floodway::proto::tunnel::bandwidth::BandwidthRequest;
use floodway::proto::tunnel::build_creator::{
    BuildKind, BuildPlan, CreatorHop, TunnelHops, create,
};
use floodway::shard::core::{Input, Output, Shard};
use floodway::shard::envelope::Envelope;
use floodway::wire::i2np::garlic::GarlicMessage;
use floodway::wire::i2np::tunnel_build::BuildMessage;
use floodway::wire::i2np::tunnel_data::TunnelData;
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::router_info::RouterInfo;

use crate::Target;
use crate::machines::{ALICE, Ephemeral, NETWORK, SEALED_MAX, now, sealed_record};
use crate::messages::{delivery_seeds, tunnel_payload};
use crate::samples::{self, NOW};

pub const TARGETS: &[Target] =
    &[Target { name: "shard", run: |bytes| World::new().run(bytes), seeds }];

const SHARDS: u16 = 2;
/// Steps of one input: an input is not better for being long.
const STEPS_MAX: usize = 64;
/// Ephemeral keys that are at hand; a replayed one is refused, which is tried by the way.
const EPHEMERALS: usize = 4;
/// Where the peer dials from.
const PEER: ([u8; 4], u16) = ([51, 100, 0, 1], 40_000);

/// What all runs share, since making it is dear.
struct Fixed {
    node: Arc<NodeConfig>,
    peer: Arc<RouterInfo>,
    encryption: X25519Public,
    ephemerals: Vec<Ephemeral>,
}

fn fixed() -> &'static Fixed {
    static FIXED: OnceLock<Fixed> = OnceLock::new();
    FIXED.get_or_init(|| {
        let mut rng = samples::rng();
        let keys = RouterKeys::generate(&mut rng);
        let encryption = public_key(&keys.encryption);
        let mut limits = ShardLimits::share_of(SHARDS);
        (limits.build_replay_slots, limits.garlic_replay_slots) = (64, 64);
        (limits.iv_filter_bytes, limits.transit_tunnels) = (4096, 8);
        (limits.netdb_records, limits.dials, limits.sessions) = (8, 4, 8);
        let node = NodeConfig {
            keys: Arc::new(keys),
            network: NETWORK,
            published: ([51, 100, 0, 2], 15_000).into(),
            floodfill: true,
            allow_private: true,
            bandwidth: 12_500_000,
            transit_bandwidth: 10_000_000,
            cork: Duration::from_millis(2),
            bandwidth_class: 'X',
            shards: SHARDS,
            placement: PlacementSecret(rng.bytes()),
            kernel: Kernel::detect(),
            limits,
            started: NOW,
            first_dials: 2,
            duty: Duty::Serving,
        };
        let peer = RouterInfo::parse(&ALICE().info).expect("valid").verify().expect("signed");
        let ephemerals = (20..).take(EPHEMERALS).map(|seed| Ephemeral::new(seed, &encryption));
        let ephemerals = ephemerals.collect();
        Fixed { node: Arc::new(node), peer: Arc::new(peer), encryption, ephemerals }
    })
}

/// The peer's end of a connection: a handshake, then a session.
struct Link {
    connection: ConnectionId,
    owner: usize,
    handshake: Option<Handshake>,
    session: Option<Session>,
}

struct World {
    shards: Vec<Shard>,
    now: Now,
    rng: ShardRng,
    replay: ReplayFilter,
    connections: u64,
    link: Option<Link>,
    /// Connections that the shards asked for, and those that strangers opened.
    dialled: VecDeque<(usize, ConnectionId)>,
    strangers: VecDeque<(usize, ConnectionId)>,
    tunnels: Vec<TunnelHops>,
    outputs: usize,
}

/// Cuts pieces off an input.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    /// As many bytes as the next two say, or what there is.
    fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        let (piece, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        piece
    }
}

impl World {
    fn new() -> Self {
        let fixed = fixed();
        let mut rng = samples::rng();
        let seeds = [Arc::clone(&fixed.peer)];
        let shards = (0..SHARDS).map(|id| {
            let rng = ShardRng::from_seed(rng.bytes());
            Shard::new(Arc::clone(&fixed.node), ShardId(id), &seeds, rng, now())
        });
        Self {
            shards: shards.collect(),
            now: now(),
            rng: samples::rng(),
            replay: ReplayFilter::new(),
            connections: 0,
            link: None,
            dialled: VecDeque::new(),
            strangers: VecDeque::new(),
            tunnels: Vec::new(),
            outputs: 0,
        }
    }

    fn run(mut self, bytes: &[u8]) {
        let mut input = Bytes(bytes);
        for _ in 0..STEPS_MAX {
            if input.0.is_empty() {
                break;
            }
            let step = input.byte();
            self.step(step, &mut input);
            self.turn();
        }
        for shard in &self.shards {
            let _ = (shard.report(), shard.deadline());
        }
        // No step brings about more than a bounded number of effects.
        assert!(self.outputs <= 200 * (STEPS_MAX + bytes.len()), "{} outputs", self.outputs);
    }

    fn step(&mut self, step: u8, input: &mut Bytes<'_>) {
        match step % 13 {
            0 => {
                let kind = MessageType::from_code(input.byte());
                let origin = origin(input.byte());
                self.inbound(origin, kind, input.piece());
            }
            1 => self.build(input),
            2 => self.garlic(input),
            3 => self.own_tunnel(input),
            4 => self.tunnel_data(input),
            5 => self.stranger(input),
            6 => self.dial_outcome(input),
            7 => {
                let millis = u64::from(input.byte()).pow(3);
                self.now.instant = self.now.instant + Duration::from_millis(millis);
                self.now.unix = self.now.unix + Duration::from_millis(millis);
            }
            8 => self.join(),
            9 => self.seal(input.piece()),
            10 => self.gateway(input),
            11 => {
                let busy = Permille::new(u16::from(input.byte()) * 4);
                let effort = Effort { queue_delay: Duration::ZERO, busy };
                self.shards[0].handle(Input::Effort(effort), self.now);
            }
            _ => {
                let owner = usize::from(input.byte() & 1);
                self.shards[owner].handle(Input::Stop, self.now);
            }
        }
    }

    fn inbound(&mut self, origin: Origin, kind: MessageType, body: &[u8]) {
        let expiration = UnixTime(self.now.unix.0 + 8_000);
        let message =
            I2npMessage { kind, id: MessageId(7), expiration, body: Frame::copy_of(body) };
        let arrived = self.now.instant;
        let envelope = Envelope(Message::Inbound(Inbound { origin, message, arrived }));
        self.shards[0].handle(Input::Envelope(envelope), self.now);
    }

    /// A build message with a record for us that says anything.
    fn build(&mut self, input: &mut Bytes<'_>) {
        let fixed = fixed();
        let (choice, from) = (input.byte(), origin(input.byte()));
        let ephemeral = &fixed.ephemerals[usize::from(choice) % EPHEMERALS];
        let request = input.piece();
        let record = sealed_record(ephemeral, &fixed.node.hash(), &fixed.encryption, request);
        let mut records = [[0; 218]; 4];
        records[usize::from(choice >> 6)] = record;
        let body = BuildMessage::write(&records).expect("four records");
        self.inbound(from, MessageType::ShortTunnelBuild, &body);
    }

    /// Garlic for us with any blocks in it.
    fn garlic(&mut self, input: &mut Bytes<'_>) {
        let fixed = fixed();
        let ephemeral = &fixed.ephemerals[usize::from(input.byte()) % EPHEMERALS];
        let sealed = ephemeral.seal(&fixed.encryption, input.piece());
        self.inbound(peer(), MessageType::Garlic, &GarlicMessage::write(&sealed));
    }

    /// A tunnel of one hop through us, properly built.
    fn own_tunnel(&mut self, input: &mut Bytes<'_>) {
        let fixed = fixed();
        let hop = CreatorHop { hash: fixed.node.hash(), static_key: fixed.encryption };
        let tunnel = samples::tunnel();
        let (creator, gateway) = (ALICE().keys.identity.hash(), samples::ROUTER);
        let kind = match input.byte() & 1 {
            0 => BuildKind::Outbound { gateway, tunnel },
            _ => BuildKind::Inbound { creator, tunnel },
        };
        let plan = BuildPlan { path: &[hop], kind, reply_message: MessageId(11), bandwidth: BandwidthRequest::default() };
        let Ok(created) = create(&plan, self.now.unix, &mut self.rng) else { return };
        self.inbound(peer(), MessageType::ShortTunnelBuild, &created.body);
        self.tunnels.push(created.pending.into_tunnel());
    }

    /// A tunnel message with any fragments in it, for a tunnel of ours or for any other.
    fn tunnel_data(&mut self, input: &mut Bytes<'_>) {
        let choice = usize::from(input.byte());
        let mut payload = tunnel_payload(input.piece());
        // Each message has an IV of its own, or the replay filter would have all but the first.
        payload = with_iv(payload, self.rng.bytes());
        let mut tunnel = samples::tunnel();
        if let Some(hops) = self.tunnels.get(choice % 8) {
            hops.outbound_encrypt(fixed().node.kernel, std::slice::from_mut(&mut payload));
            tunnel = hops.hops().first().map_or(tunnel, |hop| hop.tunnel);
        }
        self.inbound(peer(), MessageType::TunnelData, &TunnelData::write(tunnel, &payload));
    }

    /// Any message for a gateway of ours.
    fn gateway(&mut self, input: &mut Bytes<'_>) {
        let choice = usize::from(input.byte());
        let hops = self.tunnels.get(choice % 8).and_then(|hops| hops.hops().first());
        let tunnel: TunnelId = hops.map_or(samples::tunnel(), |hop| hop.tunnel);
        let kind = MessageType::from_code(input.byte());
        let inner = samples::message(kind, input.piece());
        self.inbound(peer(), MessageType::TunnelGateway, &TunnelGateway::write(tunnel, &inner));
    }

    /// A new connection, or more bytes on one, or its end.
    fn stranger(&mut self, input: &mut Bytes<'_>) {
        let choice = input.byte();
        if choice & 3 == 0 || self.strangers.is_empty() {
            let owner = usize::from(choice >> 2 & 1);
            let peer = ([51, 100, choice, 9], 1000).into();
            let connection = self.accept(owner, peer);
            self.strangers.push_back((owner, connection));
        }
        let Some((owner, connection)) = self.strangers.pop_front() else { return };
        if choice & 3 == 3 {
            return self.shards[owner].handle(Input::Closed { connection }, self.now);
        }
        let bytes = input.piece().to_vec();
        self.shards[owner].handle(Input::Received { connection, bytes }, self.now);
        self.strangers.push_back((owner, connection));
    }

    fn accept(&mut self, owner: usize, peer: SocketAddr) -> ConnectionId {
        self.connections += 1;
        let id = ShardId(u16::try_from(owner).unwrap_or(0));
        let connection = ConnectionId::new(id, ConnectionOrigin::Accepted, self.connections);
        self.shards[owner].handle(Input::Accepted { connection, peer }, self.now);
        connection
    }

    /// What becomes of a connection that a shard asked for.
    fn dial_outcome(&mut self, input: &mut Bytes<'_>) {
        let Some((owner, connection)) = self.dialled.pop_front() else { return };
        let choice = input.byte();
        let event = match choice & 3 {
            0 => Input::ConnectFailed { connection },
            1 => Input::Connected { connection },
            2 => Input::Closed { connection },
            _ => Input::Received { connection, bytes: input.piece().to_vec() },
        };
        self.shards[owner].handle(event, self.now);
        if matches!(choice & 3, 1 | 3) {
            self.dialled.push_back((owner, connection));
        }
    }

    /// The peer connects and shakes hands, as it should.
    fn join(&mut self) {
        if self.link.is_some() {
            return;
        }
        let node = &fixed().node;
        let mut endpoint = ALICE().endpoint();
        endpoint.router = node.hash();
        endpoint.static_key = node.keys.ntcp2.static_public;
        endpoint.iv = node.keys.ntcp2.iv;
        let local = ALICE().local(&ALICE().info);
        let handshake = Handshake::initiate(&local, &endpoint, self.now, &mut self.rng);
        let Ok(mut handshake) = handshake else { return };
        let request = handshake.poll_transmit().map(|request| request.to_vec());
        let connection = self.accept(0, PEER.into());
        self.link = Some(Link { connection, owner: 0, handshake: Some(handshake), session: None });
        let bytes = request.unwrap_or_default();
        self.shards[0].handle(Input::Received { connection, bytes }, self.now);
    }

    /// A frame with anything in it, over the peer's session.
    fn seal(&mut self, bytes: &[u8]) {
        let Some(link) = &mut self.link else { return };
        let Some(session) = &mut link.session else { return };
        let mut wire = Vec::new();
        session.seal_anything(&bytes[..bytes.len().min(SEALED_MAX)], &mut wire);
        let input = Input::Received { connection: link.connection, bytes: wire };
        self.shards[link.owner].handle(input, self.now);
    }

    /// A turn of both shards, and of what they say to each other and to the peer.
    fn turn(&mut self) {
        for _ in 0..4 {
            for index in 0..self.shards.len() {
                self.shards[index].turn(self.now);
                while let Some(output) = self.shards[index].poll_output() {
                    self.outputs += 1;
                    self.output(index, output);
                }
            }
        }
    }

    fn output(&mut self, index: usize, output: Output) {
        match output {
            Output::Connect { connection, .. } => self.dialled.push_back((index, connection)),
            Output::Send { connection, bytes } => {
                let length = bytes.len();
                self.peer_reads(connection, bytes);
                let sent = Input::Sent { connection, bytes: length };
                self.shards[index].handle(sent, self.now);
            }
            Output::Close { connection, .. } => {
                self.dialled.retain(|(_, other)| *other != connection);
                self.strangers.retain(|(_, other)| *other != connection);
                if self.link.as_ref().is_some_and(|link| link.connection == connection) {
                    self.link = None;
                }
            }
            Output::HandOver { connection, to, envelope } => {
                if let Some(link) = self.link.as_mut().filter(|l| l.connection == connection) {
                    link.owner = to.index();
                }
                self.shards[to.index()].handle(Input::Envelope(envelope), self.now);
            }
            Output::Envelope { to, envelope, .. } => {
                self.shards[to.index()].handle(Input::Envelope(envelope), self.now);
            }
            Output::Answered(arrived) => assert!(arrived.iter().all(|at| *at <= self.now.instant)),
            Output::SaveRouterInfo(info) => {
                assert!(RouterInfo::parse(&info).is_ok_and(|info| info.verify().is_ok()));
            }
            Output::RememberPeer { profile, .. } => {
                assert!(profile.is_none_or(|profile| Profile::read(&profile).is_some()));
            }
            Output::Remember { router, info } => {
                let verified = |info: &[u8]| RouterInfo::parse(info).ok()?.verify().ok();
                assert!(info.is_none_or(|info| verified(&info).is_some_and(|i| i.hash() == router)));
            }
        }
    }

    /// What we send over a session, the other end understands, whatever it has sent before.
    fn peer_reads(&mut self, connection: ConnectionId, mut bytes: Vec<u8>) {
        let Self { link, now, rng, replay, .. } = self;
        let Some(link) = link.as_mut().filter(|link| link.connection == connection) else { return };
        if let Some(session) = &mut link.session {
            let mut events = Vec::new();
            let read = session.handle_bytes(&mut bytes, *now, &mut FramePool::alone(), &mut events);
            assert!(read.is_ok(), "{read:?}");
        } else if let Some(handshake) = &mut link.handshake {
            let local = ALICE().local(&ALICE().info);
            if handshake.handle_bytes(&local, &bytes, *now, rng, replay).is_err() {
                return;
            }
            let Some(confirmed) = handshake.poll_transmit() else { return };
            link.session = handshake.poll_established().map(|established| established.session);
            let input = Input::Received { connection, bytes: confirmed.to_vec() };
            let owner = link.owner;
            self.shards[owner].handle(input, self.now);
        }
    }
}

fn with_iv(payload: [u8; 1024], iv: [u8; 16]) -> [u8; 1024] {
    let start = 21 + payload[20..].iter().position(|byte| *byte == 0).unwrap_or(0);
    let mut changed = payload;
    changed[..16].copy_from_slice(&iv);
    let [a, b, c, d, ..] =
        floodway::crypto::hash::sha256_parts(&[&payload[start.min(1024)..], &iv]);
    changed[16..20].copy_from_slice(&[a, b, c, d]);
    changed
}

fn peer() -> Origin {
    Origin::Session(ALICE().keys.identity.hash())
}

fn origin(choice: u8) -> Origin {
    match choice & 3 {
        0 => peer(),
        1 => Origin::Session(RouterHash([choice; 32])),
        2 => Origin::Ourselves,
        _ => Origin::Garlic,
    }
}

fn piece(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    // Each message from the peer, and time to work on it.
    for message in samples::messages() {
        seeds.push([&[0, message.kind.code(), 0][..], &piece(&message.body), &[7, 20]].concat());
    }
    let request = samples::build_request().write(&mut samples::rng());
    seeds.push([&[1, 0, 0][..], &piece(&request), &[7, 40, 7, 90]].concat());
    seeds.push([&[2, 1][..], &piece(&samples::garlic_blocks())].concat());
    let fragments = piece(&delivery_seeds()[0]);
    seeds.push([&[3, 0, 4, 0][..], &fragments, &[4, 0], &fragments, &[7, 200]].concat());
    let inner = piece(&samples::delivery_status());
    seeds.push([&[3, 1, 10, 0, 10][..], &inner, &[7, 90]].concat());
    seeds.push([&[5, 0][..], &piece(&[1; 80]), &[5, 1], &piece(&[2; 80]), &[5, 3]].concat());
    seeds.push([7, 20, 6, 1, 7, 20, 6, 0, 7, 200, 11, 0].to_vec());
    let blocks = piece(&samples::ntcp2_blocks());
    seeds.push([&[8, 7, 1, 9][..], &blocks, &[7, 10, 9], &blocks].concat());
    seeds
}
