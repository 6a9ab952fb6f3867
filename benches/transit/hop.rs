//! One shard that is a hop of many tunnels between played routers, over real sessions and without sockets.
//!
//! Each tunnel is asked for as its creator does it and settled by its answer, and carries a message whose content is
//! checked where it comes out. What the shard takes for it, memory and time, is measured around its calls alone.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use floodway::actor::node::{NodeConfig, PlacementSecret, ShardLimits};
use floodway::base::id::{ConnectionId, ConnectionOrigin, MessageId, ShardId, TunnelId};
use floodway::base::limits::SourceRates;
use floodway::base::rate::Rate;
use floodway::base::rng::ShardRng;
use floodway::base::time::{Instant, Now, UnixTime};
use floodway::crypto::layer::Kernel;
use floodway::crypto::x25519::public_key;
use floodway::proto::local::RouterKeys;
use floodway::proto::tunnel::admission::Duty;
use floodway::proto::tunnel::build_creator::CreatorHop;
use floodway::shard::core::{Input, Output, Shard};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};
use loadtest::checker::Stamp;
use loadtest::played::{self, PlayedConnection, PlayedEvent, PlayedRouter};
use loadtest::tunnels::{Arrival, AskedTunnel, CONTENT_USUAL, ROLES, Tunnel, ask, read_data};

const NETWORK: u8 = 99;
const START: Now = Now { instant: Instant(5_000_000), unix: UnixTime(1_790_000_000_000) };
/// Time from one turn to the next while something is sent.
const TURN: Duration = Duration::from_millis(1);
/// Time between signs of life of the played routers, shorter than that after which an idle session ends.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);
/// Messages that are made before the shard gets the first of them.
const MADE_AHEAD: usize = 4_096;
/// Build requests of one turn: as many as the shard has Diffie-Hellmans for.
const BUILDS_PER_TURN: usize = 32;
/// Messages of one turn.
const MESSAGES_PER_TURN: usize = 64;
/// Content of the messages follows from it.
const SEED: u64 = 8;

/// How memory and time are measured.
#[derive(Clone, Copy)]
pub struct Gauge {
    /// Bytes that this thread holds.
    pub held: fn() -> usize,
    /// Time since some moment: of the CPU, and of a clock.
    pub spent: fn() -> Spent,
}

/// Time of the CPU, and of a clock.
#[derive(Clone, Copy, Default)]
pub struct Spent {
    /// Of this thread on a CPU.
    pub cpu: Duration,
    /// Of a clock.
    pub wall: Duration,
}

impl Spent {
    /// Since an earlier reading.
    pub fn since(self, earlier: Self) -> Self {
        Self { cpu: self.cpu - earlier.cpu, wall: self.wall - earlier.wall }
    }

    fn add(&mut self, more: Self) {
        self.cpu += more.cpu;
        self.wall += more.wall;
    }
}

/// The shard, and the routers around it.
pub struct Hop {
    shard: Shard,
    hop: CreatorHop,
    peers: Vec<Peer>,
    now: Now,
    gauge: Gauge,
    held: usize,
    spent: Spent,
    asked: usize,
    tunnels: Vec<Through>,
}

struct Peer {
    router: PlayedRouter,
    link: PlayedConnection,
    connection: ConnectionId,
    /// Tunnels whose answers come here, in the order of the requests.
    asked: VecDeque<(usize, AskedTunnel)>,
    /// Tunnels by the id under which their messages come here.
    arriving: HashMap<TunnelId, usize>,
}

/// A tunnel, and which router sends into it.
struct Through {
    sender: usize,
    tunnel: Tunnel,
}

/// What one session sends at once.
struct Sealed {
    connection: ConnectionId,
    bytes: Vec<u8>,
}

impl Hop {
    /// A shard with so many sessions, 2 at the least, each with a router of another subnet.
    pub fn start(sessions: u8, gauge: Gauge) -> Self {
        // Of no session's seed, or that session would be the router itself.
        let mut rng = ShardRng::from_seed([200; 32]);
        let node = config(&mut rng);
        let hop = CreatorHop { hash: node.hash(), static_key: public_key(&node.keys.encryption) };
        let shard = Shard::new(Arc::new(node), ShardId(0), &[], rng, START);
        let mut started = Self {
            shard,
            hop,
            peers: Vec::new(),
            now: START,
            gauge,
            held: 0,
            spent: Spent::default(),
            asked: 0,
            tunnels: Vec::new(),
        };
        for number in 0..sessions {
            started.connect(number);
        }
        // From here on.
        (started.held, started.spent) = (0, Spent::default());
        started
    }

    fn connect(&mut self, number: u8) {
        let address = SocketAddr::from(([51, number, 0, 1], 2_000));
        let role = played::Role { network: NETWORK, address, capabilities: "LR".to_owned() };
        let mut router = PlayedRouter::new(role, [number; 32], self.now.unix);
        let endpoint = self.shard.snapshot().router_info.ntcp2_endpoint().expect("it has one");
        let link = PlayedConnection::dial(&mut router, &endpoint, self.now).expect("a good key");
        let origin = ConnectionOrigin::Accepted;
        let connection = ConnectionId::new(ShardId(0), origin, u64::from(number));
        self.shard.handle(Input::Accepted { connection, peer: address }, self.now);
        let (asked, arriving) = (VecDeque::new(), HashMap::new());
        self.peers.push(Peer { router, link, connection, asked, arriving });
        // Message 1, message 3, and what both show each other behind the handshake.
        for _ in 0..3 {
            let peer = self.peers.last_mut().expect("just pushed");
            let bytes = peer.link.take_output(&mut peer.router, self.now);
            let sent = self.turn(vec![Sealed { connection, bytes }]);
            self.receive(sent);
        }
        assert!(self.peers.iter().all(|peer| peer.link.is_established()), "a session comes up");
    }

    /// Bytes that the shard holds now and did not hold when its sessions had come up.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Time that the shard has taken since the last time it was asked.
    pub fn take_spent(&mut self) -> Spent {
        std::mem::take(&mut self.spent)
    }

    /// Live tunnels in which the shard is participant, gateway, and endpoint.
    pub fn live(&self) -> [u64; 3] {
        ["participant", "gateway", "endpoint"].map(|role| self.count("transit_tunnels", role))
    }

    /// A count of the shard's, by its name and one of its labels.
    pub fn count(&self, name: &str, label: &str) -> u64 {
        let samples = self.shard.report().samples;
        let wanted = samples.iter().filter(|sample| {
            sample.name == name && sample.labels.iter().any(|(_, value)| value == label)
        });
        wanted.map(|sample| sample.value).sum()
    }

    /// Diffie-Hellmans of the shard, and batches of them.
    pub fn diffie_hellmans(&self) -> (u64, u64) {
        let report = self.shard.report();
        let batches = report.histograms.iter().find(|d| d.name == "diffie_hellman_batch");
        let batches = batches.expect("it is reported").histogram;
        (batches.sum(), batches.count())
    }

    /// Tunnels that have been built.
    pub fn tunnels(&self) -> usize {
        self.tunnels.len()
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now.instant
    }

    /// Builds so many more tunnels, of all roles in turns; gives how many requests that took: where the creator drew an
    /// id that is taken it asks once more.
    pub fn build(&mut self, count: usize) -> usize {
        let wanted = self.tunnels.len() + count;
        let before = self.asked;
        while self.tunnels.len() < wanted {
            let missing = (wanted - self.tunnels.len()).min(MADE_AHEAD);
            let requests = (0..missing).map(|_| self.request()).collect();
            self.send_all(requests, BUILDS_PER_TURN, Self::settle);
            let unanswered: usize = self.peers.iter().map(|peer| peer.asked.len()).sum();
            assert_eq!(unanswered, 0, "each request is answered in its turn");
        }
        self.asked - before
    }

    fn request(&mut self) -> Sealed {
        let (number, count) = (self.asked, self.peers.len());
        self.asked += 1;
        let role = ROLES[number % ROLES.len()];
        let sender = number % count;
        let receiver = (sender + 1 + number / count % (count - 1)) % count;
        let (to, hop, now) = (self.peers[receiver].router.hash(), self.hop, self.now);
        let router = &mut self.peers[sender].router;
        let (request, asked) = ask(role, hop, router, to, now).expect("a good key");
        self.peers[receiver].asked.push_back((sender, asked));
        self.peers[sender].seal(&request, now)
    }

    /// A message that came to a router is the answer that it waits for next.
    fn settle(&mut self, receiver: usize, message: &I2npMessage) {
        let peer = &mut self.peers[receiver];
        let (sender, asked) = peer.asked.pop_front().expect("nothing comes but answers");
        assert!(asked.is_reply(message), "answers come in the order of the requests");
        let arrives = asked.arrives();
        if let Ok(tunnel) = asked.settle(message) {
            peer.arriving.insert(arrives, self.tunnels.len());
            self.tunnels.push(Through { sender, tunnel });
        }
    }

    /// Sends one message through each of the tunnels from number `first` on, and checks what comes out.
    pub fn carry(&mut self, first: usize) {
        let mut arrived = vec![false; self.tunnels.len()];
        let numbers: Vec<usize> = (first..self.tunnels.len()).collect();
        for part in numbers.chunks(MADE_AHEAD) {
            let messages = part.iter().map(|number| self.pack(*number)).collect();
            self.send_all(messages, MESSAGES_PER_TURN, |hop, receiver, message| {
                let number = hop.unpack(receiver, message);
                assert!(!std::mem::replace(&mut arrived[number], true), "{number} came twice");
            });
        }
        let lost = arrived.iter().skip(first).filter(|arrived| !**arrived).count();
        assert_eq!(lost, 0, "a message of each tunnel arrives");
    }

    fn pack(&mut self, number: usize) -> Sealed {
        let Through { sender, tunnel } = &self.tunnels[number];
        let peer = &mut self.peers[*sender];
        let stamp = stamp(number);
        let mut out = Vec::new();
        tunnel.pack(SEED, stamp, CONTENT_USUAL, &mut peer.router, self.now, &mut out);
        let [message] = out.as_slice() else { unreachable!("it fills one tunnel message") };
        peer.seal(message, self.now)
    }

    /// The number of the tunnel that a message came out of, whole and at the right router.
    fn unpack(&mut self, receiver: usize, message: &I2npMessage) -> usize {
        let arrival = if message.kind == MessageType::TunnelData {
            let id = message.body.first_chunk().copied().and_then(TunnelId::from_wire);
            let number = id.and_then(|id| self.peers[receiver].arriving.get(&id).copied());
            let through = &mut self.tunnels[number.expect("the id of a tunnel")];
            let mut arrivals = Vec::new();
            through.tunnel.unpack(SEED, &message.body, self.now.instant, &mut arrivals);
            arrivals.pop()
        } else if message.kind == MessageType::TunnelGateway {
            let outer = TunnelGateway::parse(&message.body).expect("it parses");
            Some(read_data(SEED, &outer.message().expect("it parses")))
        } else {
            assert_eq!(message.kind, MessageType::Data, "nothing else comes out of a tunnel");
            Some(read_data(SEED, message))
        };
        let Some(Arrival::Whole(found)) = arrival else {
            unreachable!("a message that is not as it was sent")
        };
        let number = usize::try_from(found.stream).expect("a small number");
        assert_eq!(found, stamp(number));
        let receivers = self.tunnels[number].tunnel.receiver();
        assert_eq!(self.peers[receiver].router.hash(), receivers, "at the right router");
        number
    }

    /// Lets time pass until then; the routers stay connected and send nothing through tunnels.
    pub fn wait(&mut self, until: Instant) {
        while self.now.instant < until {
            let step = until.since(self.now.instant).min(SIGN_OF_LIFE);
            self.now = later(self.now, step);
            let now = self.now;
            let status = DeliveryStatus { id: MessageId(0), timestamp: now.unix };
            let signs = self.peers.iter_mut().map(|peer| {
                let sign = peer.router.message(MessageType::DeliveryStatus, status.write(), now);
                peer.seal(&sign, now)
            });
            let signs = signs.collect();
            let sent = self.turn(signs);
            self.receive(sent);
        }
    }

    /// Gives all of it to the shard, in turns of so many, and what comes of it to `taken` with the number of its router.
    fn send_all(
        &mut self,
        sealed: Vec<Sealed>,
        per_turn: usize,
        mut taken: impl FnMut(&mut Self, usize, &I2npMessage),
    ) {
        let mut sealed = sealed.into_iter().peekable();
        while sealed.peek().is_some() {
            let turn = sealed.by_ref().take(per_turn).collect();
            let sent = self.turn(turn);
            for (receiver, message) in self.receive(sent) {
                taken(self, receiver, &message);
            }
            self.now = later(self.now, TURN);
        }
    }

    /// One turn of the shard with all that it is given and all that it sends, which is measured.
    fn turn(&mut self, given: Vec<Sealed>) -> Vec<Sealed> {
        let taken_in = size(&given);
        let (held, spent) = ((self.gauge.held)(), (self.gauge.spent)());
        for Sealed { connection, bytes } in given {
            self.shard.handle(Input::Received { connection, bytes }, self.now);
        }
        self.shard.turn(self.now);
        let mut sent = Vec::new();
        while let Some(output) = self.shard.poll_output() {
            if let Output::Send { connection, bytes } = output {
                let written = Input::Sent { connection, bytes: bytes.len() };
                self.shard.handle(written, self.now);
                sent.push(Sealed { connection, bytes });
            }
        }
        self.spent.add((self.gauge.spent)().since(spent));
        let gained = (self.gauge.held)().wrapping_sub(held);
        self.held = self.held.wrapping_add(gained).wrapping_add(taken_in).wrapping_sub(size(&sent));
        sent
    }

    /// What the routers make of what was sent to them.
    fn receive(&mut self, sent: Vec<Sealed>) -> Vec<(usize, I2npMessage)> {
        let mut messages = Vec::new();
        for Sealed { connection, mut bytes } in sent {
            let number = self.peers.iter().position(|peer| peer.connection == connection);
            let number = number.expect("a connection of one of them");
            let (peer, mut events) = (&mut self.peers[number], Vec::new());
            let read = peer.link.handle_bytes(&mut peer.router, &mut bytes, self.now, &mut events);
            read.expect("it keeps to the protocol");
            messages.extend(events.into_iter().filter_map(|event| match event {
                PlayedEvent::Message(message) => Some((number, message)),
                PlayedEvent::Established(_) | PlayedEvent::RouterInfo(_) => None,
                PlayedEvent::Terminated(reason) => unreachable!("a goodbye: {reason:?}"),
            }));
        }
        messages
    }
}

impl Peer {
    fn seal(&mut self, message: &I2npMessage, now: Now) -> Sealed {
        self.link.send(message);
        let bytes = self.link.take_output(&mut self.router, now);
        Sealed { connection: self.connection, bytes }
    }
}

/// Bytes of memory that these take.
fn size(sealed: &Vec<Sealed>) -> usize {
    let contents: usize = sealed.iter().map(|sealed| sealed.bytes.capacity()).sum();
    contents + sealed.capacity() * size_of::<Sealed>()
}

/// Names the message that goes through tunnel `number`.
fn stamp(number: usize) -> Stamp {
    let stream = u32::try_from(number).expect("a small number");
    Stamp { stream, number: u64::from(stream / 3), sent_micros: 0 }
}

fn later(now: Now, step: Duration) -> Now {
    Now { instant: now.instant + step, unix: now.unix + step }
}

fn config(rng: &mut ShardRng) -> NodeConfig {
    let mut limits = ShardLimits::share_of(1);
    // Sources are counted as always, and may bring what these few bring.
    let plenty = Rate::new(100_000, 1_000_000);
    limits.builds = SourceRates { address: plenty, subnet: plenty };
    NodeConfig {
        keys: Arc::new(RouterKeys::generate(rng)),
        network: NETWORK,
        published: SocketAddr::from(([52, 200, 0, 1], 2_000)),
        floodfill: true,
        allow_private: false,
        bandwidth: 1 << 27,
        transit_bandwidth: 1 << 27,
        cork: Duration::ZERO,
        bandwidth_class: 'X',
        shards: 1,
        placement: PlacementSecret(rng.bytes()),
        kernel: Kernel::detect(),
        limits,
        started: START.unix,
        first_dials: 0,
        duty: Duty::Serving,
    }
}
