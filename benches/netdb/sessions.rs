//! A shard that is a floodfill, and the sessions over which it is stored at and asked.

use std::net::SocketAddr;
use std::sync::Arc;

use floodway::actor::node::{NodeConfig, PlacementSecret, ShardLimits};
use floodway::base::frame::Frame;
use floodway::base::id::{ConnectionId, ConnectionOrigin, RecordKey, ShardId, TunnelId};
use floodway::base::rng::ShardRng;
use floodway::base::time::{Instant, Now, UnixTime};
use floodway::crypto::layer::Kernel;
use floodway::crypto::x25519::{X25519Public, public_key};
use floodway::proto::garlic::router_message;
use floodway::proto::local::RouterKeys;
use floodway::proto::tunnel::admission::Duty;
use floodway::shard::core::{Input, Output, Shard};
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::{I2npMessage, MessageType};
use loadtest::played::{PlayedConnection, PlayedRouter, Role};

const NETWORK: u8 = 99;
/// The time at which all of this happens.
pub const NOW: Now = Now { instant: Instant(5_000_000), unix: UnixTime(1_790_000_000_000) };
/// Sessions, of which each sends its share.
pub const SESSIONS: usize = 64;

/// How a lookup comes and how its answer goes.
#[derive(Clone, Copy)]
pub enum Way {
    /// Both over the session.
    Direct,
    /// The answer sealed to a tunnel.
    Tunnel,
    /// The same, and the lookup in garlic, which takes a Diffie-Hellman.
    Garlic,
}

impl Way {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Tunnel => "to a tunnel",
            Self::Garlic => "in garlic",
        }
    }
}

/// What one session sends at once.
pub struct Sealed {
    connection: ConnectionId,
    bytes: Vec<u8>,
}

impl Sealed {
    /// Bytes of memory that it takes.
    pub fn size(&self) -> usize {
        self.bytes.capacity()
    }
}

struct Peer {
    router: PlayedRouter,
    link: PlayedConnection,
    connection: ConnectionId,
}

/// The shard and its sessions.
pub struct Floodfill {
    shard: Shard,
    encryption: X25519Public,
    peers: Vec<Peer>,
}

impl Floodfill {
    /// A shard that knows nobody, with its sessions up.
    pub fn start() -> Self {
        // Of no session's seed, or that session would be the router itself.
        let mut rng = ShardRng::from_seed([200; 32]);
        let node = config(&mut rng);
        let encryption = public_key(&node.keys.encryption);
        let shard = Shard::new(Arc::new(node), ShardId(0), &[], rng, NOW);
        let mut floodfill = Self { shard, encryption, peers: Vec::new() };
        for number in 0..SESSIONS {
            let peer = floodfill.connect(number);
            floodfill.peers.push(peer);
        }
        floodfill
    }

    fn connect(&mut self, number: usize) -> Peer {
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        let address = SocketAddr::from(([10, number, 0, 1], 2_000));
        let role = Role { network: NETWORK, address, capabilities: "LR".to_owned() };
        let mut router = PlayedRouter::new(role, [number; 32], NOW.unix);
        let endpoint = self.shard.snapshot().router_info.ntcp2_endpoint().expect("it has one");
        let mut link = PlayedConnection::dial(&mut router, &endpoint, NOW).expect("a good key");
        let origin = ConnectionOrigin::Accepted;
        let connection = ConnectionId::new(ShardId(0), origin, u64::from(number));
        self.shard.handle(Input::Accepted { connection, peer: address }, NOW);
        // Message 1, message 3, and what both show each other behind the handshake.
        for _ in 0..3 {
            let bytes = link.take_output(&mut router, NOW);
            self.shard.handle(Input::Received { connection, bytes }, NOW);
            self.shard.turn(NOW);
            let mut events = Vec::new();
            while let Some(output) = self.shard.poll_output() {
                if let Output::Send { connection: to, mut bytes } = output
                    && to == connection
                {
                    let read = link.handle_bytes(&mut router, &mut bytes, NOW, &mut events);
                    read.expect("it keeps to the protocol");
                }
            }
        }
        assert!(link.is_established(), "a session comes up");
        Peer { router, link, connection }
    }

    /// What the sessions, in turns, send of these bodies.
    pub fn seal(&mut self, kind: MessageType, bodies: impl Iterator<Item = Frame>) -> Vec<Sealed> {
        let count = self.peers.len();
        let mut sealed = Vec::new();
        for (number, body) in bodies.enumerate() {
            let Some(peer) = self.peers.get_mut(number % count) else { continue };
            sealed.push(peer.seal(kind, body));
        }
        sealed
    }

    /// Lookups of these keys, each from the session that it comes over.
    pub fn seal_lookups(&mut self, keys: &[[u8; 32]], kind: LookupKind, way: Way) -> Vec<Sealed> {
        let (count, encryption) = (self.peers.len(), self.encryption);
        let mut sealed = Vec::new();
        for (number, key) in keys.iter().enumerate() {
            let Some(peer) = self.peers.get_mut(number % count) else { continue };
            let lookup = peer.lookup(RecordKey(*key), kind, way);
            let (kind, body) = match way {
                Way::Direct | Way::Tunnel => (MessageType::DatabaseLookup, lookup),
                Way::Garlic => {
                    let message = peer.router.message(MessageType::DatabaseLookup, lookup, NOW);
                    let rng = &mut peer.router.rng;
                    let garlic = router_message::seal(&encryption, &message, NOW.unix, rng);
                    (MessageType::Garlic, garlic.expect("a good key"))
                }
            };
            sealed.push(peer.seal(kind, body));
        }
        sealed
    }

    /// Gives all of it to the shard, in turns of so many.
    pub fn take_all(&mut self, sealed: Vec<Sealed>, turn: usize) {
        let mut sealed = sealed.into_iter().peekable();
        while sealed.peek().is_some() {
            for frame in sealed.by_ref().take(turn) {
                self.take(frame);
            }
            self.turn();
        }
    }

    /// Gives one to the shard.
    pub fn take(&mut self, Sealed { connection, bytes }: Sealed) {
        self.shard.handle(Input::Received { connection, bytes }, NOW);
    }

    /// One turn, after which all that was sent is written.
    pub fn turn(&mut self) {
        self.shard.turn(NOW);
        while let Some(output) = self.shard.poll_output() {
            if let Output::Send { connection, bytes } = output {
                self.shard.handle(Input::Sent { connection, bytes: bytes.len() }, NOW);
            }
        }
    }

    /// A count of the shard, summed over all samples that have these labels.
    pub fn count(&self, name: &str, labels: &[&str]) -> u64 {
        let samples = self.shard.report().samples;
        let wanted = samples.iter().filter(|sample| {
            let has = |label: &&str| sample.labels.iter().any(|(_, value)| value == *label);
            sample.name == name && labels.iter().all(has)
        });
        wanted.map(|sample| sample.value).sum()
    }
}

impl Peer {
    fn seal(&mut self, kind: MessageType, body: Frame) -> Sealed {
        let message: I2npMessage = self.router.message(kind, body, NOW);
        self.link.send(&message);
        let bytes = self.link.take_output(&mut self.router, NOW);
        Sealed { connection: self.connection, bytes }
    }

    fn lookup(&mut self, key: RecordKey, kind: LookupKind, way: Way) -> Frame {
        let rng = &mut self.router.rng;
        let (reply_tunnel, encryption) = match way {
            Way::Direct => (None, LookupEncryption::None),
            Way::Tunnel | Way::Garlic => {
                let encryption = LookupEncryption::Ecies { key: rng.bytes(), tag: rng.bytes() };
                (TunnelId::new(rng.id()), encryption)
            }
        };
        let lookup = DatabaseLookup {
            key,
            from: self.router.hash(),
            reply_tunnel,
            kind,
            excluded: &[],
            encryption,
            unknown_flags: 0,
        };
        lookup.write()
    }
}

fn config(rng: &mut ShardRng) -> NodeConfig {
    NodeConfig {
        keys: Arc::new(RouterKeys::generate(rng)),
        network: NETWORK,
        published: SocketAddr::from(([10, 200, 0, 1], 2_000)),
        floodfill: true,
        // So that sources are not counted: these are few, and store for all.
        allow_private: true,
        bandwidth: 1 << 27,
        transit_bandwidth: 1 << 27,
        cork: std::time::Duration::ZERO,
        bandwidth_class: 'X',
        shards: 1,
        placement: PlacementSecret(rng.bytes()),
        kernel: Kernel::detect(),
        limits: ShardLimits::share_of(1),
        started: NOW.unix,
        first_dials: 0,
        duty: Duty::Serving,
    }
}
