//! Many routers on one thread, a virtual clock, and links with latency, loss and partitions, all from one seed.

#[path = "orders.rs"]
mod orders;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use floodway::actor::node::NodeConfig;
use floodway::base::id::{ConnectionId, ConnectionOrigin, RouterHash, ShardId};
use floodway::base::rng::ShardRng;
use floodway::base::time::{Instant, Now, UnixTime};
use floodway::crypto::hash::sha256_parts;
use floodway::shard::core::{Input, Output, Shard};
use floodway::shard::report::ShardReport;
use floodway::wire::i2np::I2npMessage;
use floodway::wire::ntcp2::{FloodRequest, TerminationReason};
use floodway::wire::router_address::Ntcp2Endpoint;
use floodway::wire::router_info::RouterInfo;
use loadtest::played::{PlayedConnection, PlayedEvent, PlayedRouter, Role};

use super::labour::Labour;
use super::weather::{Fate, Weather};

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
    /// A connection attempt reaches the other side, or is given up.
    Dialled {
        from: Place,
        address: SocketAddr,
        fate: Fate,
    },
    Connected {
        end: End,
    },
    Bytes {
        to: End,
        bytes: Vec<u8>,
    },
    Closed {
        to: End,
    },
    /// The connection is lost.
    Broken {
        to: End,
    },
    /// What a partition has held back is not waited for any longer, if it is still there.
    GiveUp {
        link: u64,
        since: u64,
    },
    Wake {
        node: usize,
        shard: usize,
    },
}

struct Link {
    places: [Place; 2],
    /// When the last bytes each way arrive: later ones never overtake.
    busy: [u64; 2],
    open: bool,
    /// What a partition holds back: to which side, and since when.
    held: Vec<(usize, u64, Vec<u8>)>,
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
    /// Why the other end said that it closed a session.
    pub terminations: Vec<(Now, TerminationReason)>,
}

/// The world.
pub struct World {
    now: u64,
    /// How far the clocks of all have been set on.
    set_on: u64,
    /// Nodes whose clocks are behind, with the milliseconds.
    pub behind: HashMap<usize, u64>,
    sequence: u64,
    rng: ShardRng,
    queue: BTreeMap<(u64, u64), Event>,
    links: BTreeMap<u64, Link>,
    ends: HashMap<Place, End>,
    next_link: u64,
    pub nodes: Vec<Node>,
    pub played: Vec<Played>,
    trace: [u8; 32],
    pub weather: Weather,
    /// Nodes on the far side of a partition.
    apart: Vec<usize>,
    /// When each shard is next woken: one wake per shard, the earliest.
    wakes: HashMap<(usize, usize), u64>,
    /// Played routers that read nothing any more: what is sent to them is never written.
    pub stalled: Vec<usize>,
    /// Shards whose work takes time.
    labour: Option<Labour>,
    /// How long lookups took from their arrival to the answer, per node.
    pub answered: HashMap<usize, Vec<Duration>>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        println!("simulation seed {seed}");
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            now: 1_000_000,
            set_on: 0,
            behind: HashMap::new(),
            sequence: 0,
            rng: ShardRng::from_seed(bytes),
            queue: BTreeMap::new(),
            links: BTreeMap::new(),
            ends: HashMap::new(),
            next_link: 0,
            nodes: Vec::new(),
            played: Vec::new(),
            trace: [0; 32],
            weather: Weather::default(),
            apart: Vec::new(),
            wakes: HashMap::new(),
            stalled: Vec::new(),
            labour: None,
            answered: HashMap::new(),
        }
    }

    /// From now on the work of a node's shards takes time.
    pub fn put_to_labour(&mut self, mut labour: Labour, node: usize) {
        for (shard, machine) in self.nodes[node].shards.iter().enumerate() {
            labour.charge((node, shard), machine, self.now);
        }
        self.labour = Some(labour);
    }

    pub fn now(&self) -> Now {
        Now { instant: Instant(self.now), unix: UnixTime(EPOCH.0 + self.set_on + self.now / 1000) }
    }

    /// The time as a node sees it.
    fn now_at(&self, node: usize) -> Now {
        let mut now = self.now();
        now.unix.0 -= self.behind.get(&node).copied().unwrap_or(0);
        now
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
        let now = self.now_at(node);
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
            terminations: Vec::new(),
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
        // What is sent on a connection that has broken is lost, as it would be.
        let Some(position) = self.connection_to(router, to) else { return };
        self.played[router].connections[position].1.send(message);
        self.flush_played(router, position);
    }

    /// A played router shows a router that it is connected to a RouterInfo.
    pub fn show(&mut self, router: usize, to: RouterHash, info: &[u8]) {
        let Some(position) = self.connection_to(router, to) else { return };
        let connection = &mut self.played[router].connections[position].1;
        connection.send_router_info(info, FloodRequest::NotRequested);
        self.flush_played(router, position);
    }

    pub fn is_connected(&self, router: usize, to: RouterHash) -> bool {
        self.connection_to(router, to).is_some()
    }

    /// The newest session of a played router with another, if its connection lives.
    fn connection_to(&self, router: usize, to: RouterHash) -> Option<usize> {
        let connections = self.played[router].connections.iter().enumerate();
        let lives = |connection| self.ends.contains_key(&Place::Played { router, connection });
        let mut found = connections.filter(|(position, (peer, connection))| {
            *peer == to && connection.is_established() && lives(*position)
        });
        found.next_back().map(|(position, _)| position)
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

    /// Cuts these nodes off from all others, whose connections to them are held and, in time, lost. None heals it.
    pub fn partition(&mut self, apart: Vec<usize>) {
        self.apart = apart;
        let links: Vec<u64> = self.links.keys().copied().collect();
        for link in links {
            let state = &self.links[&link];
            if state.held.is_empty() || self.is_cut(state.places[0], state.places[1]) {
                continue;
            }
            let held = std::mem::take(&mut self.links.get_mut(&link).unwrap().held);
            for (to, _, bytes) in held {
                self.transmit((link, 1 - to), bytes);
            }
        }
    }

    fn is_cut(&self, one: Place, other: Place) -> bool {
        let side = |place| match place {
            Place::Shard { node, .. } => self.apart.contains(&node),
            Place::Played { .. } => false,
        };
        side(one) != side(other)
    }

    fn note(&mut self, kind: &[u8], which: u64, what: &[u8]) {
        let (now, which) = (self.now.to_be_bytes(), which.to_be_bytes());
        self.trace = sha256_parts(&[&self.trace, &now, kind, &which, what]);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Dialled { from, address, fate } => {
                self.note(b"dialled", 0, address.to_string().as_bytes());
                self.arrive(from, address, fate);
            }
            Event::Connected { end } => {
                self.note(b"connected", end.0, &[]);
                let link = &self.links[&end.0];
                match link.places[end.1] {
                    Place::Shard { node, shard, connection } => {
                        self.input(node, shard, Input::Connected { connection });
                    }
                    Place::Played { router, connection } => self.flush_played(router, connection),
                }
            }
            Event::Bytes { to, bytes } => {
                self.note(b"bytes", to.0, &bytes);
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
                self.note(b"closed", to.0, &[]);
                let Some(link) = self.links.get_mut(&to.0).filter(|link| link.open) else { return };
                link.open = false;
                let place = link.places[to.1];
                self.ends.remove(&place);
                if let Place::Shard { node, shard, connection } = place {
                    self.input(node, shard, Input::Closed { connection });
                }
            }
            Event::Broken { to } => {
                self.note(b"broken", to.0, &[]);
                let place = self.links[&to.0].places[to.1];
                if self.ends.get(&place) != Some(&to) {
                    return;
                }
                self.ends.remove(&place);
                self.links.get_mut(&to.0).unwrap().open = false;
                if let Place::Shard { node, shard, connection } = place {
                    self.input(node, shard, Input::Closed { connection });
                }
            }
            Event::GiveUp { link, since } => {
                let state = &self.links[&link];
                if state.open && state.held.first().is_some_and(|(_, at, _)| *at == since) {
                    self.note(b"given up", link, &[]);
                    self.break_link(link);
                }
            }
            Event::Wake { node, shard } => {
                if self.wakes.get(&(node, shard)) == Some(&self.now) {
                    self.wakes.remove(&(node, shard));
                    self.note(b"wake", u64::try_from(node << 16 | shard).unwrap(), &[]);
                    // It may have got busy since this was planned.
                    let until = self.labour.as_ref().map_or(0, |l| l.until((node, shard)));
                    if until > self.now {
                        return self.wake_at(until, node, shard);
                    }
                    self.turn(node, shard);
                }
            }
        }
    }

    fn input(&mut self, node: usize, shard: usize, input: Input) {
        match self.labour.as_mut().filter(|labour| labour.is_of(node)) {
            Some(labour) => {
                let until = labour.put(shard, input, self.now);
                if until > self.now {
                    return self.wake_at(until, node, shard);
                }
            }
            None => {
                let now = self.now_at(node);
                self.nodes[node].shards[shard].handle(input, now);
            }
        }
        self.turn(node, shard);
    }

    fn turn(&mut self, node: usize, shard: usize) {
        let now = self.now_at(node);
        let place = (node, shard);
        for input in self.labour.as_mut().map_or(Vec::new(), |labour| labour.take(place, self.now))
        {
            self.nodes[node].shards[shard].handle(input, now);
        }
        self.nodes[node].shards[shard].turn(now);
        let (mut ready, mut more) = (self.now + 1, false);
        if let Some(labour) = &mut self.labour {
            let (until, waits) = labour.charge(place, &self.nodes[node].shards[shard], self.now);
            (ready, more) = (ready.max(until), waits);
        }
        while let Some(output) = self.nodes[node].shards[shard].poll_output() {
            self.output(node, shard, output);
        }
        if more {
            self.wake_at(ready, node, shard);
        }
        if let Some(deadline) = self.nodes[node].shards[shard].deadline() {
            self.wake_at(deadline.0.max(ready), node, shard);
        }
    }

    fn wake_at(&mut self, at: u64, node: usize, shard: usize) {
        if self.wakes.get(&(node, shard)).is_none_or(|planned| at < *planned) {
            self.wakes.insert((node, shard), at);
            self.schedule(at, Event::Wake { node, shard });
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
                    let other = self.links[&end.0].places[1 - end.1];
                    if matches!(other, Place::Played { router, .. } if self.stalled.contains(&router))
                    {
                        return;
                    }
                    self.transmit(end, bytes);
                    let now = self.now_at(node);
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
            Output::Answered(arrived) => {
                let now = self.now().instant;
                let delays = arrived.into_iter().map(|at| now.since(at));
                self.answered.entry(node).or_default().extend(delays);
            }
            // These routers do not come back.
            Output::Remember { .. } | Output::RememberPeer { .. } => {}
        }
    }

    fn connect(&mut self, from: Place, address: SocketAddr) {
        let cut =
            self.nodes.iter().position(|n| n.config.published == address).is_some_and(|node| {
                let side = self.apart.contains(&node);
                let own = matches!(from, Place::Shard { node, .. } if self.apart.contains(&node));
                side != own
            });
        let (delay, fate) = self.weather.dial(cut, &mut self.rng);
        self.schedule(self.now + delay, Event::Dialled { from, address, fate });
    }

    fn arrive(&mut self, from: Place, address: SocketAddr, fate: Fate) {
        let listener = match fate {
            Fate::Arrives => self.listener(address),
            Fate::Lost => None,
        };
        let Some(to) = listener else {
            if let Place::Shard { node, shard, connection } = from {
                self.input(node, shard, Input::ConnectFailed { connection });
            }
            return;
        };
        let latency = self.weather.latency(&mut self.rng);
        let link = self.next_link;
        self.next_link += 1;
        let places = [from, to];
        self.links.insert(link, Link { places, busy: [0; 2], open: true, held: Vec::new() });
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
        let connection = PlayedConnection::accept(&mut played.router, now);
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
        let (link, side) = from;
        let to = 1 - side;
        let state = &self.links[&link];
        if self.is_cut(state.places[0], state.places[1]) {
            let since = self.now;
            if state.held.is_empty() {
                let at = since + self.weather.patience();
                self.schedule(at, Event::GiveUp { link, since });
            }
            return self.links.get_mut(&link).unwrap().held.push((to, since, bytes));
        }
        let (delay, fate) = self.weather.carry(bytes.len(), &mut self.rng);
        match fate {
            Fate::Arrives => {
                let state = self.links.get_mut(&link).unwrap();
                // In order on one connection, whatever is lost and sent again; connections overtake each other.
                let at = (self.now + delay).max(state.busy[to] + 1);
                state.busy[to] = at;
                self.schedule(at, Event::Bytes { to: (link, to), bytes });
            }
            Fate::Lost => self.break_link(link),
        }
    }

    /// Both ends hear of a broken connection, as soon as what is under way has arrived.
    fn break_link(&mut self, link: u64) {
        for side in 0..2 {
            let at = self.links[&link].busy[side].max(self.now + 1);
            self.schedule(at, Event::Broken { to: (link, side) });
        }
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
                PlayedEvent::Terminated(reason) => {
                    played.terminations.push((now, reason));
                }
            }
        }
        self.flush_played(router, connection);
    }
}
