//! Many routers on one thread, a virtual clock, and links with latency, all from one seed.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use floodway::actor::node::NodeConfig;
use floodway::base::id::{ConnectionId, ConnectionOrigin, RouterHash, ShardId};
use floodway::base::rng::ShardRng;
use floodway::base::time::{Instant, Now, UnixTime};
use floodway::crypto::hash::sha256_parts;
use floodway::shard::core::{Input, Output, Shard};
use floodway::shard::report::ShardReport;
use floodway::wire::i2np::I2npMessage;
use floodway::wire::router_address::Ntcp2Endpoint;
use floodway::wire::router_info::RouterInfo;
use loadtest::played::{PlayedConnection, PlayedEvent, PlayedRouter, Role};

/// 2026-01-15 12:00 UTC: the epoch of every simulated world.
pub const EPOCH: UnixTime = UnixTime(1_768_478_400_000);

/// One way of the wire: (link, side).
type End = (u64, usize);

/// Where the end of a link is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Shard { node: usize, shard: usize, connection: ConnectionId },
    Played { router: usize, connection: usize },
}

enum Event {
    Connected { end: End },
    Bytes { to: End, bytes: Vec<u8> },
    Closed { to: End },
    Wake { node: usize, shard: usize },
}

struct Link {
    places: [Place; 2],
    /// When the last bytes each way arrive: later ones never overtake.
    busy: [u64; 2],
    open: bool,
}

/// One Floodway: its shards.
pub struct Node {
    pub config: Arc<NodeConfig>,
    pub shards: Vec<Shard>,
    next_accept: u64,
    pub router_info: Option<Arc<[u8]>>,
}

/// A played router and its connections.
pub struct Played {
    pub router: PlayedRouter,
    pub connections: Vec<(RouterHash, PlayedConnection)>,
    /// I2NP messages that came, with the time.
    pub received: Vec<(Now, RouterHash, I2npMessage)>,
    /// RouterInfo blocks that came.
    pub router_infos: Vec<(Now, Vec<u8>)>,
}

/// The world.
pub struct World {
    now: u64,
    sequence: u64,
    rng: ShardRng,
    queue: BTreeMap<(u64, u64), Event>,
    links: HashMap<u64, Link>,
    ends: HashMap<Place, End>,
    next_link: u64,
    pub nodes: Vec<Node>,
    pub played: Vec<Played>,
    trace: [u8; 32],
    /// When each shard is next woken: one wake per shard, the earliest.
    wakes: HashMap<(usize, usize), u64>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        println!("simulation seed {seed}");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            now: 1_000_000,
            sequence: 0,
            rng: ShardRng::from_seed(bytes),
            queue: BTreeMap::new(),
            links: HashMap::new(),
            ends: HashMap::new(),
            next_link: 0,
            nodes: Vec::new(),
            played: Vec::new(),
            trace: [0; 32],
            wakes: HashMap::new(),
        }
    }

    pub fn now(&self) -> Now {
        Now { instant: Instant(self.now), unix: UnixTime(EPOCH.0 + self.now / 1000) }
    }

    /// Hash over everything that happened, in order, with its time.
    pub fn trace(&self) -> [u8; 32] {
        self.trace
    }

    pub fn rng(&mut self) -> &mut ShardRng {
        &mut self.rng
    }

    /// Adds a router and starts it.
    pub fn add_node(&mut self, config: Arc<NodeConfig>, seeds: &[Arc<RouterInfo>]) -> usize {
        let node = self.reserve_node(config);
        self.start_node(node, seeds);
        node
    }

    /// Adds a router that listens, and runs once it is started.
    pub fn reserve_node(&mut self, config: Arc<NodeConfig>) -> usize {
        self.nodes.push(Node { config, shards: Vec::new(), next_accept: 0, router_info: None });
        self.nodes.len() - 1
    }

    /// Starts a router that was added before.
    pub fn start_node(&mut self, node: usize, seeds: &[Arc<RouterInfo>]) {
        let now = self.now();
        let config = Arc::clone(&self.nodes[node].config);
        for shard in 0..config.shards {
            let rng = ShardRng::from_seed(self.rng.bytes());
            let shard = Shard::new(Arc::clone(&config), ShardId(shard), seeds, rng, now);
            self.nodes[node].shards.push(shard);
        }
        for shard in 0..usize::from(config.shards) {
            self.schedule(self.now + 1, Event::Wake { node, shard });
            self.wakes.insert((node, shard), self.now + 1);
        }
    }

    pub fn add_played(&mut self, role: Role) -> usize {
        let router = PlayedRouter::new(role, self.rng.bytes(), self.now().unix);
        self.played.push(Played {
            router,
            connections: Vec::new(),
            received: Vec::new(),
            router_infos: Vec::new(),
        });
        self.played.len() - 1
    }

    /// A played router dials a node or another router by its RouterInfo.
    pub fn dial(&mut self, router: usize, endpoint: &Ntcp2Endpoint) {
        let now = self.now();
        let played = &mut self.played[router];
        let connection = PlayedConnection::dial(&mut played.router, endpoint, now).unwrap();
        played.connections.push((endpoint.router, connection));
        let place = Place::Played { router, connection: played.connections.len() - 1 };
        self.connect(place, endpoint.address);
    }

    /// A played router sends to a router that it is connected to.
    pub fn send(&mut self, router: usize, to: RouterHash, message: &I2npMessage) {
        let played = &mut self.played[router];
        let position = played
            .connections
            .iter()
            .rposition(|(peer, connection)| *peer == to && connection.is_established())
            .expect("the played router is connected");
        played.connections[position].1.send(message);
        self.flush_played(router, position);
    }

    pub fn is_connected(&self, router: usize, to: RouterHash) -> bool {
        self.played[router].connections.iter().any(|(peer, c)| *peer == to && c.is_established())
    }

    /// Runs until this much more time has passed.
    pub fn run_for(&mut self, duration: std::time::Duration) {
        let end = self.now + u64::try_from(duration.as_micros()).unwrap();
        while let Some(((at, _), _)) = self.queue.first_key_value() {
            if *at > end {
                break;
            }
            let ((at, _), event) = self.queue.pop_first().unwrap();
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = end;
    }

    /// One metric of one node, summed over shards and over all labels that contain `label`.
    pub fn metric(&self, node: usize, name: &str, label: &str) -> u64 {
        let reports: Vec<ShardReport> = self.nodes[node].shards.iter().map(Shard::report).collect();
        reports
            .iter()
            .flat_map(|report| &report.samples)
            .filter(|s| {
                s.name == name && (label.is_empty() || s.labels.iter().any(|(_, v)| v == label))
            })
            .map(|s| s.value)
            .sum()
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    fn latency(&mut self) -> u64 {
        5_000 + u64::try_from(self.rng.below(45_000)).unwrap()
    }

    fn note(&mut self, what: &[u8]) {
        self.trace = sha256_parts(&[&self.trace, &self.now.to_be_bytes(), what]);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Connected { end } => {
                self.note(b"connected");
                let link = &self.links[&end.0];
                match link.places[end.1] {
                    Place::Shard { node, shard, connection } => {
                        self.input(node, shard, Input::Connected { connection });
                    }
                    Place::Played { router, connection } => self.flush_played(router, connection),
                }
            }
            Event::Bytes { to, bytes } => {
                self.note(&bytes);
                let Some(link) = self.links.get(&to.0).filter(|link| link.open) else { return };
                match link.places[to.1] {
                    Place::Shard { node, shard, connection } => {
                        self.input(node, shard, Input::Received { connection, bytes });
                    }
                    Place::Played { router, connection } => {
                        self.played_bytes(router, connection, bytes);
                    }
                }
            }
            Event::Closed { to } => {
                self.note(b"closed");
                let Some(link) = self.links.get_mut(&to.0).filter(|link| link.open) else { return };
                link.open = false;
                if let Place::Shard { node, shard, connection } = link.places[to.1] {
                    self.input(node, shard, Input::Closed { connection });
                }
            }
            Event::Wake { node, shard } => {
                if self.wakes.get(&(node, shard)) == Some(&self.now) {
                    self.wakes.remove(&(node, shard));
                    self.turn(node, shard);
                }
            }
        }
    }

    fn input(&mut self, node: usize, shard: usize, input: Input) {
        let now = self.now();
        self.nodes[node].shards[shard].handle(input, now);
        self.turn(node, shard);
    }

    fn turn(&mut self, node: usize, shard: usize) {
        let now = self.now();
        self.nodes[node].shards[shard].turn(now);
        while let Some(output) = self.nodes[node].shards[shard].poll_output() {
            self.output(node, shard, output);
        }
        if let Some(deadline) = self.nodes[node].shards[shard].deadline() {
            let at = deadline.0.max(self.now + 1);
            if self.wakes.get(&(node, shard)).is_none_or(|planned| at < *planned) {
                self.wakes.insert((node, shard), at);
                self.schedule(at, Event::Wake { node, shard });
            }
        }
    }

    fn output(&mut self, node: usize, shard: usize, output: Output) {
        match output {
            Output::Connect { connection, address } => {
                self.connect(Place::Shard { node, shard, connection }, address);
            }
            Output::Send { connection, bytes } => {
                let place = Place::Shard { node, shard, connection };
                let sent = bytes.len();
                if let Some(end) = self.ends.get(&place).copied() {
                    self.transmit(end, bytes);
                    let now = self.now();
                    let written = Input::Sent { connection, bytes: sent };
                    self.nodes[node].shards[shard].handle(written, now);
                }
            }
            Output::Close { connection, .. } => {
                let place = Place::Shard { node, shard, connection };
                if let Some((link, side)) = self.ends.remove(&place) {
                    let at = self.links[&link].busy[1 - side].max(self.now + 1);
                    self.schedule(at, Event::Closed { to: (link, 1 - side) });
                }
            }
            Output::HandOver { connection, to, envelope } => {
                let place = Place::Shard { node, shard, connection };
                let moved = Place::Shard { node, shard: to.index(), connection };
                if let Some(end) = self.ends.remove(&place) {
                    self.ends.insert(moved, end);
                    self.links.get_mut(&end.0).unwrap().places[end.1] = moved;
                }
                self.input(node, to.index(), Input::Envelope(envelope));
            }
            Output::Envelope { to, envelope, .. } => {
                self.input(node, to.index(), Input::Envelope(envelope));
            }
            Output::SaveRouterInfo(info) => self.nodes[node].router_info = Some(info),
        }
    }

    fn connect(&mut self, from: Place, address: SocketAddr) {
        let latency = self.latency();
        let Some(to) = self.listener(address) else {
            if let Place::Shard { node, shard, connection } = from {
                self.input(node, shard, Input::ConnectFailed { connection });
            }
            return;
        };
        let link = self.next_link;
        self.next_link += 1;
        let places = [from, to];
        self.links.insert(link, Link { places, busy: [0; 2], open: true });
        self.ends.insert(from, (link, 0));
        self.ends.insert(to, (link, 1));
        if let Place::Shard { node, shard, connection } = to {
            let peer = self.address_of(from);
            self.input(node, shard, Input::Accepted { connection, peer });
        }
        self.schedule(self.now + latency, Event::Connected { end: (link, 0) });
    }

    fn listener(&mut self, address: SocketAddr) -> Option<Place> {
        let now = self.now();
        if let Some(node) = self.nodes.iter().position(|n| n.config.published == address) {
            let target = &mut self.nodes[node];
            target.next_accept += 1;
            let count = target.next_accept;
            let shard = usize::try_from(count).unwrap() % target.shards.len();
            let id = ShardId(u16::try_from(shard).unwrap());
            let connection = ConnectionId::new(id, ConnectionOrigin::Accepted, count);
            return Some(Place::Shard { node, shard, connection });
        }
        let router = self.played.iter().position(|p| {
            p.router.info.ntcp2_endpoint().is_some_and(|endpoint| endpoint.address == address)
        })?;
        let played = &mut self.played[router];
        let connection = PlayedConnection::accept(&played.router, now);
        played.connections.push((RouterHash([0; 32]), connection));
        Some(Place::Played { router, connection: played.connections.len() - 1 })
    }

    fn address_of(&self, place: Place) -> SocketAddr {
        match place {
            Place::Shard { node, .. } => self.nodes[node].config.published,
            Place::Played { router, .. } => {
                self.played[router].router.info.ntcp2_endpoint().unwrap().address
            }
        }
    }

    fn transmit(&mut self, from: End, bytes: Vec<u8>) {
        let latency = self.latency();
        let (link, side) = from;
        let to = 1 - side;
        let link_state = self.links.get_mut(&link).unwrap();
        let at = (self.now + latency).max(link_state.busy[to] + 1);
        link_state.busy[to] = at;
        self.schedule(at, Event::Bytes { to: (link, to), bytes });
    }

    fn flush_played(&mut self, router: usize, connection: usize) {
        let now = self.now();
        let played = &mut self.played[router];
        let bytes = played.connections[connection].1.take_output(&mut played.router, now);
        if bytes.is_empty() {
            return;
        }
        if let Some(end) = self.ends.get(&Place::Played { router, connection }).copied() {
            self.transmit(end, bytes);
        }
    }

    fn played_bytes(&mut self, router: usize, connection: usize, mut bytes: Vec<u8>) {
        let now = self.now();
        let played = &mut self.played[router];
        let mut events = Vec::new();
        let (peer, machine) = &mut played.connections[connection];
        machine.handle_bytes(&mut played.router, &mut bytes, now, &mut events).unwrap();
        for event in events {
            match event {
                PlayedEvent::Established(router) => *peer = router,
                PlayedEvent::Message(message) => played.received.push((now, *peer, message)),
                PlayedEvent::RouterInfo(info) => played.router_infos.push((now, info)),
                PlayedEvent::Terminated(_) => {}
            }
        }
        self.flush_played(router, connection);
    }
}
