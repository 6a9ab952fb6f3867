//! A router that takes part in tunnels in all roles over real sockets, and does one thing wrong.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use floodway::base::id::{RouterHash, TunnelId};
use floodway::crypto::layer::{self, Kernel, LayerJob, LayerKeys};
use floodway::crypto::x25519::{diffie_hellman, public_key};
use floodway::proto::garlic::tagged_reply;
use floodway::proto::local::HopIdentity;
use floodway::proto::tunnel::build_creator::CreatorHop;
use floodway::proto::tunnel::build_reply::{Answer, seal_reply};
use floodway::proto::tunnel::build_request::{
    STATUS_ACCEPTED, ephemeral_key, find_slot, open_record,
};
use floodway::proto::tunnel::fragmenter::Fragmenter;
use floodway::proto::tunnel::reassembler::{
    LocalDelivery, Reassembled, Reassembler, ReassemblyLimits,
};
use floodway::wire::build_record::HopRole;
use floodway::wire::delivery::Delivery;
use floodway::wire::i2np::tunnel_build::{BuildMessage, RecordSize};
use floodway::wire::i2np::tunnel_data::{TUNNEL_LAYER_SIZE, TunnelData};
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};
use loadtest::clock::Clock;
use loadtest::driver::listen;
use loadtest::played::{PlayedConnection, PlayedEvent, PlayedRouter, Role};
use loadtest::swarm::Subject;
use loadtest::target::NETWORK;

/// The fault happens to one in so many messages.
pub const EVERY: u64 = 1000;
/// So many messages of the same tunnel overtake one that is held back.
const OVERTAKING: usize = 3;
/// Rounds without anything to read after which what is held back goes on: the load is over.
const IDLE_ROUNDS: u32 = 200;

/// What the relay does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    Drop,
    Corrupt,
    Duplicate,
    Reorder,
    Misdeliver,
}

struct Hop {
    role: HopRole,
    keys: LayerKeys,
    next_hop: RouterHash,
    next_tunnel: TunnelId,
    reassembler: Reassembler,
    held: Vec<(RouterHash, I2npMessage)>,
    overtaken: usize,
}

struct Neighbour {
    stream: TcpStream,
    connection: PlayedConnection,
    peer: Option<RouterHash>,
    unsent: Vec<u8>,
}

/// The relay.
pub struct Relay {
    fault: Fault,
    clock: Clock,
    router: PlayedRouter,
    identity: HopIdentity,
    listener: TcpListener,
    neighbours: Vec<Neighbour>,
    hops: HashMap<TunnelId, Hop>,
    relayed: u64,
    /// Faults that have not happened yet.
    due: u64,
    faults: Arc<AtomicU64>,
}

impl Relay {
    pub fn new(fault: Fault, clock: Clock) -> Self {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let listener = listen(address).unwrap();
        let role = Role {
            network: NETWORK,
            address: listener.local_addr().unwrap(),
            capabilities: "OR".to_owned(),
        };
        let router = PlayedRouter::new(role, [9; 32], clock.now().unix);
        let identity = HopIdentity::new(router.hash(), &public_key(&router.keys.encryption));
        Self {
            fault,
            clock,
            router,
            identity,
            listener,
            neighbours: Vec::new(),
            hops: HashMap::new(),
            relayed: 0,
            due: 0,
            faults: Arc::default(),
        }
    }

    pub fn subject(&self) -> Subject {
        let endpoint = self.router.info.ntcp2_endpoint().unwrap();
        let static_key = public_key(&self.router.keys.encryption);
        Subject { endpoint, hop: CreatorHop { hash: self.router.hash(), static_key } }
    }

    /// How often it has misbehaved, while it runs.
    pub fn faults(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.faults)
    }

    /// Relays until `stop` is set.
    pub fn run(mut self, stop: &AtomicBool) {
        let mut buffer = vec![0; 64 * 1024];
        let mut idle_rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            if let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(true).unwrap();
                stream.set_nodelay(true).unwrap();
                let connection = PlayedConnection::accept(&mut self.router, self.clock.now());
                let unsent = Vec::new();
                self.neighbours.push(Neighbour { stream, connection, peer: None, unsent });
            }
            let mut idle = true;
            for index in 0..self.neighbours.len() {
                match self.neighbours[index].stream.read(&mut buffer) {
                    Ok(count) if count > 0 => {
                        idle = false;
                        self.handle_bytes(index, &mut buffer[..count]);
                    }
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            self.flush();
            idle_rounds = if idle { idle_rounds + 1 } else { 0 };
            if idle {
                std::thread::sleep(Duration::from_millis(1));
            }
            if idle_rounds == IDLE_ROUNDS {
                let tunnels: Vec<TunnelId> = self.hops.keys().copied().collect();
                tunnels.into_iter().for_each(|tunnel| self.let_go(tunnel));
            }
        }
    }

    fn handle_bytes(&mut self, index: usize, bytes: &mut [u8]) {
        let now = self.clock.now();
        let mut events = Vec::new();
        let neighbour = &mut self.neighbours[index];
        neighbour.connection.handle_bytes(&mut self.router, bytes, now, &mut events).unwrap();
        for event in events {
            match event {
                PlayedEvent::Established(peer) => self.neighbours[index].peer = Some(peer),
                PlayedEvent::Message(message) => self.handle_message(message),
                PlayedEvent::RouterInfo(_) | PlayedEvent::Terminated(_) => {}
            }
        }
    }

    fn flush(&mut self) {
        let now = self.clock.now();
        for neighbour in &mut self.neighbours {
            let bytes = neighbour.connection.take_output(&mut self.router, now);
            neighbour.unsent.extend_from_slice(&bytes);
            while !neighbour.unsent.is_empty() {
                match neighbour.stream.write(&neighbour.unsent) {
                    Ok(count) => drop(neighbour.unsent.drain(..count)),
                    Err(_) => break,
                }
            }
        }
    }

    fn handle_message(&mut self, message: I2npMessage) {
        let tunnel = message.body.first_chunk().and_then(|id| TunnelId::from_wire(*id));
        match message.kind {
            MessageType::ShortTunnelBuild => self.take_part(message),
            MessageType::TunnelData => self.relay_data(tunnel.unwrap(), &message),
            MessageType::TunnelGateway => self.relay_into(tunnel.unwrap(), &message),
            other => panic!("{other:?} is not for a relay"),
        }
    }

    fn take_part(&mut self, mut message: I2npMessage) {
        let mut build = BuildMessage::parse(&mut message.body, RecordSize::Short).unwrap();
        let slot = find_slot(&build, &self.router.hash()).unwrap();
        let record = build.record(slot).unwrap();
        let shared = diffie_hellman(&self.router.keys.encryption, &ephemeral_key(record)).unwrap();
        let opened = open_record(&self.identity, record, &shared).unwrap();
        seal_reply(&mut build, slot, &opened, Answer::plain(STATUS_ACCEPTED));
        let request = opened.request;
        let now = self.clock.now();
        message.id = request.next_message;
        if let Some(garlic) = &opened.garlic {
            message.kind = MessageType::OutboundTunnelBuildReply;
            let sealed = tagged_reply::seal(&garlic.key, garlic.tag, &message);
            let inner = self.router.message(MessageType::Garlic, sealed, now);
            let body = TunnelGateway::write(request.next_tunnel, &inner);
            message = self.router.message(MessageType::TunnelGateway, body, now);
        }
        let hop = Hop {
            role: request.role,
            keys: opened.keys,
            next_hop: request.next_hop,
            next_tunnel: request.next_tunnel,
            reassembler: Reassembler::new(ReassemblyLimits::default(), LocalDelivery::Refused),
            held: Vec::new(),
            overtaken: 0,
        };
        self.hops.insert(request.receive_tunnel, hop);
        self.send(request.next_hop, &message);
    }

    fn relay_data(&mut self, tunnel: TunnelId, message: &I2npMessage) {
        let hop = self.hops.get_mut(&tunnel).unwrap();
        let mut data = [<[u8; TUNNEL_LAYER_SIZE]>::try_from(&message.body[4..]).unwrap()];
        encrypt(&hop.keys, &mut data);
        match hop.role {
            HopRole::Participant => {
                let (next, body) = (hop.next_hop, TunnelData::write(hop.next_tunnel, &data[0]));
                let onward = self.router.message(MessageType::TunnelData, body, self.clock.now());
                self.pass_on(tunnel, next, onward);
            }
            HopRole::OutboundEndpoint => {
                let mut out = Reassembled::default();
                hop.reassembler.handle_payload(&data[0], self.clock.now().instant, &mut out);
                assert_eq!(out.dropped, []);
                for delivered in out.delivered {
                    self.deliver(tunnel, delivered.delivery, delivered.message);
                }
            }
            HopRole::InboundGateway => panic!("tunnel data at a gateway"),
        }
    }

    fn deliver(&mut self, tunnel: TunnelId, delivery: Delivery, message: I2npMessage) {
        match delivery {
            Delivery::Local => panic!("local delivery at an endpoint"),
            Delivery::Router(to) => self.pass_on(tunnel, to, message),
            Delivery::Tunnel { gateway, tunnel: into } => {
                let body = TunnelGateway::write(into, &message);
                let kind = MessageType::TunnelGateway;
                let onward = self.router.message(kind, body, self.clock.now());
                self.pass_on(tunnel, gateway, onward);
            }
        }
    }

    fn relay_into(&mut self, tunnel: TunnelId, message: &I2npMessage) {
        let inner = TunnelGateway::parse(&message.body).unwrap().message().unwrap();
        let hop = &self.hops[&tunnel];
        let (next, next_tunnel) = (hop.next_hop, hop.next_tunnel);
        let (mut fragmenter, mut data) = (Fragmenter::new(), Vec::new());
        let rng = &mut self.router.rng;
        fragmenter.push_message(Delivery::Local, &inner, rng, &mut data).unwrap();
        fragmenter.flush(rng, &mut data);
        encrypt(&hop.keys, &mut data);
        for layer in data {
            let body = TunnelData::write(next_tunnel, &layer);
            let onward = self.router.message(MessageType::TunnelData, body, self.clock.now());
            self.pass_on(tunnel, next, onward);
        }
    }

    /// The place where things go wrong.
    fn pass_on(&mut self, tunnel: TunnelId, to: RouterHash, mut message: I2npMessage) {
        self.relayed += 1;
        if self.relayed.is_multiple_of(EVERY) {
            self.due += 1;
        }
        // Only what names no tunnel is a right message at a wrong place.
        let fits = self.fault != Fault::Misdeliver || message.kind == MessageType::Data;
        let wrong = self.fault != Fault::None && fits && self.due > 0;
        if wrong {
            self.due -= 1;
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        match self.fault {
            Fault::Drop if wrong => return,
            Fault::Corrupt if wrong => {
                // Behind tunnel id and headers, which are not content.
                let length = message.body.len();
                let bit = (self.router.rng.below(length - 40) + 40) * 8 + self.router.rng.below(8);
                message.body[bit / 8] ^= 1 << (bit % 8);
            }
            Fault::Duplicate if wrong => self.send(to, &message),
            Fault::Misdeliver if wrong => {
                let other = self.neighbours.iter().filter_map(|n| n.peer).find(|peer| *peer != to);
                return self.send(other.unwrap(), &message);
            }
            Fault::Reorder if wrong => {
                self.hops.get_mut(&tunnel).unwrap().held.push((to, message));
                return;
            }
            Fault::None
            | Fault::Drop
            | Fault::Corrupt
            | Fault::Duplicate
            | Fault::Misdeliver
            | Fault::Reorder => {}
        }
        self.send(to, &message);
        self.release(tunnel);
    }

    fn release(&mut self, tunnel: TunnelId) {
        let hop = self.hops.get_mut(&tunnel).unwrap();
        if hop.held.is_empty() {
            return;
        }
        hop.overtaken += 1;
        if hop.overtaken == OVERTAKING {
            self.let_go(tunnel);
        }
    }

    fn let_go(&mut self, tunnel: TunnelId) {
        let hop = self.hops.get_mut(&tunnel).unwrap();
        hop.overtaken = 0;
        for (to, message) in std::mem::take(&mut hop.held) {
            self.send(to, &message);
        }
    }

    fn send(&mut self, to: RouterHash, message: &I2npMessage) {
        let neighbour = self.neighbours.iter_mut().find(|n| n.peer == Some(to)).unwrap();
        neighbour.connection.send(message);
    }
}

fn encrypt(keys: &LayerKeys, data: &mut [[u8; TUNNEL_LAYER_SIZE]]) {
    let jobs = data.iter_mut().map(|data| LayerJob { keys, data });
    layer::encrypt_batch(Kernel::detect(), &mut jobs.collect::<Vec<_>>());
}
