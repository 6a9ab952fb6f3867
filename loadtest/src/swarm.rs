//! Many played routers on one thread, each with its own address, around one router under test.
//!
//! One epoll set over all sockets, nothing blocks, and what is sent to one neighbour in one round goes out in one
//! write: the tool must cost less than what it measures. A swarm shares nothing with another swarm.

mod build;
mod load;
mod report;
mod socket;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use floodway::base::id::{RouterHash, TunnelId};
use floodway::proto::tunnel::build_creator::CreatorHop;
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::router_address::Ntcp2Endpoint;
use rustix::event::epoll;

use crate::clock::Clock;
use crate::driver::{Link, LinkError, listen};
use crate::played::{self, PlayedEvent, PlayedRouter};
use crate::tunnels::AskError;

pub use build::BuildCounts;
pub use load::{Pace, Stream};
pub use report::{DelaySummary, RoleReport, SwarmReport};
pub(crate) use report::{delays, summary};
use socket::{Socket, Token};

/// Messages that nobody has asked the swarm for yet; the oldest give way.
pub(crate) const UNCLAIMED_MAX: usize = 4096;
/// Longest sleep of one round.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// What a swarm is made of.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// Number of the swarm, from 0: swarms of one run have different addresses and streams.
    pub index: u8,
    /// Played routers, 2 to 250.
    pub routers: u8,
    /// Network id.
    pub network: u8,
    /// Everything random follows from it.
    pub seed: u64,
    /// Capabilities that the routers publish.
    pub capabilities: String,
    /// Bytes of content in the messages of gateways and endpoints.
    pub content_size: usize,
}

/// Why a swarm cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// A socket, or epoll.
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
    /// No session with the router under test.
    #[error("played router {router} has no session with the router under test: {error}")]
    Link {
        /// Which router.
        router: usize,
        /// Why not.
        error: LinkError,
    },
    /// A build request cannot be made.
    #[error("build request: {0}")]
    Ask(#[from] AskError),
    /// A signal asked for the end.
    #[error("interrupted")]
    Interrupted,
}

/// The router under test, as its neighbours know it.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Where it listens, and the keys for that.
    pub endpoint: Ntcp2Endpoint,
    /// What build requests to it are made with.
    pub hop: CreatorHop,
}

/// One played router with its sockets.
struct Member {
    router: PlayedRouter,
    address: IpAddr,
    listener: std::net::TcpListener,
    /// The session that is used for sending, an index into `Swarm::sockets`.
    session: Option<usize>,
    /// Where what comes under a tunnel id belongs, an index into `Swarm::streams`.
    arrivals: HashMap<TunnelId, usize>,
}

/// The swarm.
pub struct Swarm {
    clock: Clock,
    stop: Arc<AtomicBool>,
    epoll: rustix::fd::OwnedFd,
    members: Vec<Member>,
    sockets: Vec<Option<Socket>>,
    /// Sockets that have something queued.
    dirty: Vec<usize>,
    subject: Option<Subject>,
    streams: Vec<Stream>,
    builds: build::Builds,
    load: load::Load,
    unclaimed: VecDeque<(usize, I2npMessage)>,
    buffer: Vec<u8>,
    events: Vec<PlayedEvent>,
    redials: u64,
}

impl Swarm {
    /// Makes up the routers and lets them listen: router `k` of swarm `i` on 127.`1 + i`.0.`1 + k`. When `stop` is set,
    /// whatever runs ends with [`SwarmError::Interrupted`].
    ///
    /// # Errors
    /// When an address is taken.
    pub fn new(
        config: SwarmConfig,
        clock: Clock,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, SwarmError> {
        let network = config.index.saturating_add(1);
        let address = |router: u8| Ipv4Addr::new(127, network, 0, router.saturating_add(1));
        Self::listen_at(&address, &config, clock, stop)
    }

    /// The same with each router in a subnet of its own: router `k` of swarm `i` on 127.`1 + i`.`1 + k`.1.
    ///
    /// # Errors
    /// As [`Swarm::new`].
    pub fn in_many_subnets(
        config: &SwarmConfig,
        clock: Clock,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, SwarmError> {
        let network = config.index.saturating_add(1);
        let address = |router: u8| Ipv4Addr::new(127, network, router.saturating_add(1), 1);
        Self::listen_at(&address, config, clock, stop)
    }

    fn listen_at(
        address: &dyn Fn(u8) -> Ipv4Addr,
        config: &SwarmConfig,
        clock: Clock,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, SwarmError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        let mut members = Vec::new();
        for index in 0..config.routers {
            let member = Member::new(config, address(index), index, clock)?;
            let token = Token::Listener(usize::from(index));
            socket::watch(&epoll, &member.listener, token)?;
            members.push(member);
        }
        Ok(Self {
            load: load::Load::new(config),
            clock,
            stop,
            epoll,
            members,
            sockets: Vec::new(),
            dirty: Vec::new(),
            subject: None,
            streams: Vec::new(),
            builds: build::Builds::default(),
            unclaimed: VecDeque::new(),
            buffer: vec![0; 256 * 1024],
            events: Vec::new(),
            redials: 0,
        })
    }

    /// The RouterInfo files of the played routers, for a router under test that reads them at its start.
    pub fn router_infos(&self) -> impl Iterator<Item = (RouterHash, &[u8])> {
        self.members.iter().map(|member| (member.router.hash(), &**member.router.info.bytes()))
    }

    /// The time, by the clock of the swarm.
    #[must_use]
    pub fn now(&self) -> floodway::base::time::Now {
        self.clock.now()
    }

    /// The hash of a played router.
    #[must_use]
    pub fn hash_of(&self, member: usize) -> Option<RouterHash> {
        self.members.get(member).map(|member| member.router.hash())
    }

    /// How many routers are played.
    #[must_use]
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Opens a session from every played router to the router under test, which learns their RouterInfos by it.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn introduce(&mut self, subject: Subject) -> Result<(), SwarmError> {
        self.subject = Some(subject);
        for member in 0..self.members.len() {
            self.check_stop()?;
            self.dial(member)?;
        }
        Ok(())
    }

    fn dial(&mut self, member: usize) -> Result<(), SwarmError> {
        let (Some(subject), Some(from)) = (self.subject, self.members.get_mut(member)) else {
            return Ok(());
        };
        from.router.resign(self.clock.now().unix);
        let link = Link::dial(&mut from.router, &subject.endpoint, from.address, self.clock)
            .map_err(|error| SwarmError::Link { router: member, error })?;
        let (stream, connection, events) = link.into_parts();
        let socket = self.adopt(member, stream, connection)?;
        for event in events {
            self.handle_event(member, socket, event);
        }
        Ok(())
    }

    /// Runs for `duration`: receives, answers, and sends as the pace says.
    ///
    /// # Errors
    /// When a session is lost for good, or a signal came.
    pub fn run(&mut self, duration: Duration) -> Result<(), SwarmError> {
        let end = self.clock.elapsed() + duration;
        while self.clock.elapsed() < end {
            self.round(end)?;
        }
        Ok(())
    }

    /// One round of at most `patience`: writes out what is queued, waits until something comes, and takes it. What comes in
    /// one round and belongs to nobody is to be fetched before the next with [`Swarm::next_unclaimed`].
    ///
    /// # Errors
    /// As [`Swarm::run`].
    pub fn step(&mut self, patience: Duration) -> Result<(), SwarmError> {
        self.round(self.clock.elapsed() + patience)
    }

    /// One round: sends what is due, then waits for what comes, at most until `end`.
    fn round(&mut self, end: Duration) -> Result<(), SwarmError> {
        self.check_stop()?;
        self.redial_lost()?;
        let wake = self.send_due().unwrap_or(SLEEP_MAX);
        self.flush_all();
        let left = end.saturating_sub(self.clock.elapsed());
        self.wait(wake.min(left).min(SLEEP_MAX))
    }

    fn check_stop(&self) -> Result<(), SwarmError> {
        if self.stop.load(Ordering::Relaxed) { Err(SwarmError::Interrupted) } else { Ok(()) }
    }

    fn redial_lost(&mut self) -> Result<(), SwarmError> {
        if self.subject.is_none() {
            return Ok(());
        }
        while let Some(lost) = self.members.iter().position(|member| member.session.is_none()) {
            self.redials += 1;
            self.dial(lost)?;
        }
        Ok(())
    }

    /// Queues a message of a played router for the router under test.
    pub fn send(&mut self, member: usize, message: &I2npMessage) {
        let Some(index) = self.members.get(member).and_then(|member| member.session) else {
            return;
        };
        if let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) {
            if !socket.is_dirty() {
                self.dirty.push(index);
            }
            socket.queue(message);
        }
    }

    /// A played router, to make messages with.
    pub fn router_mut(&mut self, member: usize) -> Option<&mut PlayedRouter> {
        self.members.get_mut(member).map(|member| &mut member.router)
    }

    /// The next message that belongs to no build and no stream, with the played router that it came to.
    pub fn next_unclaimed(&mut self) -> Option<(usize, I2npMessage)> {
        self.unclaimed.pop_front()
    }

    fn handle_event(&mut self, member: usize, socket: usize, event: PlayedEvent) {
        match event {
            PlayedEvent::Established(peer) => {
                let wanted = self.subject.is_some_and(|subject| subject.endpoint.router == peer);
                if let Some(member) = self.members.get_mut(member).filter(|_| wanted) {
                    member.session = Some(socket);
                }
            }
            PlayedEvent::Message(message) => self.handle_message(member, message),
            PlayedEvent::RouterInfo(_) => {}
            PlayedEvent::Terminated(_) => self.close(socket),
        }
    }

    fn handle_message(&mut self, member: usize, message: I2npMessage) {
        let claimed = match message.kind {
            MessageType::TunnelData => self.arrive_in_tunnel(member, &message),
            MessageType::Data => self.arrive_plain(member, &message),
            MessageType::TunnelGateway => {
                self.settle_build(member, &message) || self.arrive_by_gateway(member, &message)
            }
            MessageType::ShortTunnelBuild => self.settle_build(member, &message),
            MessageType::DatabaseStore
            | MessageType::DatabaseLookup
            | MessageType::DatabaseSearchReply
            | MessageType::DeliveryStatus
            | MessageType::Garlic
            | MessageType::TunnelBuild
            | MessageType::TunnelBuildReply
            | MessageType::VariableTunnelBuild
            | MessageType::VariableTunnelBuildReply
            | MessageType::OutboundTunnelBuildReply
            | MessageType::Unknown(_) => false,
        };
        if !claimed {
            if self.unclaimed.len() >= UNCLAIMED_MAX {
                self.unclaimed.pop_front();
            }
            self.unclaimed.push_back((member, message));
        }
    }

    /// Says goodbye everywhere.
    pub fn close_all(&mut self) {
        self.subject = None;
        for index in 0..self.sockets.len() {
            if let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) {
                socket.say_goodbye();
            }
            self.flush(index);
            self.close(index);
        }
    }
}

impl Member {
    fn new(
        config: &SwarmConfig,
        address: Ipv4Addr,
        index: u8,
        clock: Clock,
    ) -> Result<Self, SwarmError> {
        let listener = listen(SocketAddr::V4(SocketAddrV4::new(address, 0)))?;
        let role = played::Role {
            network: config.network,
            address: listener.local_addr()?,
            capabilities: config.capabilities.clone(),
        };
        let mut seed = [0; 32];
        for (to, from) in seed.iter_mut().zip(config.seed.to_le_bytes()) {
            *to = from;
        }
        let [.., swarm, router] = &mut seed;
        (*swarm, *router) = (config.index, index);
        let router = PlayedRouter::new(role, seed, clock.now().unix);
        let address = IpAddr::V4(address);
        Ok(Self { router, address, listener, session: None, arrivals: HashMap::new() })
    }
}
