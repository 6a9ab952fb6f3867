//! Sending numbered messages through the tunnels of a swarm at a pace, and entering what arrives.

use std::ops::Range;
use std::time::Duration;

use floodway::wire::i2np::I2npMessage;
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;

use crate::checker::{Finding, Stamp, StreamBook};
use crate::tunnels::{Arrival, Role, Tunnel, read_data};

use super::report::Books;
use super::{Swarm, SwarmConfig};

/// Messages sent through one tunnel before the next has its turn: they share a write.
const BURST: u64 = 4;
/// A rate that could not be kept up is not made up for beyond this.
const BACKLOG_MAX: Duration = Duration::from_millis(100);
/// A message that takes longer no longer occupies the window of its tunnel. It is still counted when it comes.
const WINDOW_PATIENCE: Duration = Duration::from_secs(2);

/// How much is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Nothing.
    Idle,
    /// So many messages a second, over all tunnels of the swarm.
    Rate(u64),
    /// So many messages under way in every tunnel: as fast as they arrive.
    Window(u64),
}

/// One tunnel with its books.
pub struct Stream {
    pub(super) sender: usize,
    pub(super) receiver: usize,
    pub(super) tunnel: Tunnel,
    pub(super) book: StreamBook,
    /// Numbers that belong to the measurement.
    pub(super) counted: Range<u64>,
    /// Messages that are taken for lost: they no longer hold the window.
    written_off: u64,
    /// When something last arrived, or the window was opened again.
    progress: Duration,
}

impl Stream {
    pub(super) fn new(sender: usize, receiver: usize, tunnel: Tunnel) -> Self {
        Self {
            sender,
            receiver,
            tunnel,
            book: StreamBook::new(),
            counted: u64::MAX..u64::MAX,
            written_off: 0,
            progress: Duration::ZERO,
        }
    }

    fn under_way(&self) -> u64 {
        self.book.sent().saturating_sub(self.book.distinct()).saturating_sub(self.written_off)
    }
}

pub(super) struct Load {
    seed: u64,
    content_size: usize,
    /// Added to the index of a stream, so that streams of several swarms differ.
    first_stream: u32,
    pace: Pace,
    started: Duration,
    /// Messages that the rate has called for since `started`, sent or held back.
    called_for: u64,
    /// Messages that were not sent because the router under test did not read.
    pub(super) held_back: u64,
    /// Indices of streams, those of one sender together.
    order: Vec<usize>,
    cursor: usize,
    burst: u64,
    pub(super) books: Books,
    outgoing: Vec<I2npMessage>,
    arrivals: Vec<Arrival>,
}

impl Load {
    pub(super) fn new(config: &SwarmConfig) -> Self {
        Self {
            seed: config.seed,
            content_size: config.content_size,
            first_stream: u32::from(config.index) << 24,
            pace: Pace::Idle,
            started: Duration::ZERO,
            called_for: 0,
            held_back: 0,
            order: Vec::new(),
            cursor: 0,
            burst: 0,
            books: Books::new(),
            outgoing: Vec::new(),
            arrivals: Vec::new(),
        }
    }

    fn stream_id(&self, index: usize) -> u32 {
        self.first_stream | u32::try_from(index).unwrap_or(u32::MAX)
    }

    fn stream_index(&self, id: u32) -> Option<usize> {
        usize::try_from(id.checked_sub(self.first_stream)?).ok()
    }
}

impl Swarm {
    /// Changes the pace from now on.
    pub fn set_pace(&mut self, pace: Pace) {
        let now = self.clock.elapsed();
        self.load.pace = pace;
        self.load.started = now;
        self.load.called_for = 0;
        self.load.order = (0..self.streams.len()).collect();
        let streams = &self.streams;
        self.load.order.sort_by_key(|index| streams.get(*index).map(|stream| stream.sender));
        for stream in &mut self.streams {
            stream.progress = now;
        }
    }

    /// Sends what is due; when to come again, if ever.
    pub(super) fn send_due(&mut self) -> Option<Duration> {
        if self.load.order.is_empty() {
            return None;
        }
        match self.load.pace {
            Pace::Idle => None,
            Pace::Rate(0) | Pace::Window(0) => None,
            Pace::Rate(rate) => {
                self.send_rate(rate);
                Some(Duration::from_millis(1))
            }
            Pace::Window(window) => {
                self.send_window(window);
                Some(Duration::from_millis(10))
            }
        }
    }

    fn send_rate(&mut self, rate: u64) {
        let elapsed = self.clock.elapsed().saturating_sub(self.load.started);
        let due = u128::from(rate) * elapsed.as_micros() / 1_000_000;
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        let backlog = rate * u64::try_from(BACKLOG_MAX.as_millis()).unwrap_or(0) / 1000;
        let behind = due.saturating_sub(self.load.called_for);
        if behind > backlog.max(BURST) {
            let skipped = behind - backlog;
            self.load.called_for += skipped;
            self.load.held_back += skipped;
        }
        while self.load.called_for < due {
            self.load.called_for += 1;
            let Some(index) = self.load.order.get(self.load.cursor).copied() else { return };
            if !self.send_numbered(index) {
                self.load.held_back += 1;
            }
            self.load.burst += 1;
            if self.load.burst >= BURST {
                self.load.burst = 0;
                self.load.cursor = (self.load.cursor + 1) % self.load.order.len();
            }
        }
    }

    fn send_window(&mut self, window: u64) {
        let now = self.clock.elapsed();
        for place in 0..self.load.order.len() {
            let Some(index) = self.load.order.get(place).copied() else { return };
            let Some(stream) = self.streams.get_mut(index) else { return };
            let stuck = now.saturating_sub(stream.progress) > WINDOW_PATIENCE;
            if stuck && stream.under_way() > 0 {
                stream.written_off += stream.under_way();
                stream.progress = now;
            }
            let room = window.saturating_sub(stream.under_way());
            // Half a window at a time, so that messages share writes.
            if room * 2 < window {
                continue;
            }
            for _ in 0..room {
                if !self.send_numbered(index) {
                    break;
                }
            }
        }
    }

    /// Sends the next message of a stream; `false` when its session takes no more at the moment.
    fn send_numbered(&mut self, index: usize) -> bool {
        let Some(sender) = self.streams.get(index).map(|stream| stream.sender) else {
            return false;
        };
        if !self.takes_more(sender) {
            return false;
        }
        let now = self.clock.now();
        let stream_id = self.load.stream_id(index);
        let (Some(stream), Some(member)) =
            (self.streams.get_mut(index), self.members.get_mut(sender))
        else {
            return false;
        };
        let Some(number) = stream.book.next_number() else { return false };
        let stamp = Stamp { stream: stream_id, number, sent_micros: self.clock.micros() };
        let mut outgoing = std::mem::take(&mut self.load.outgoing);
        let (seed, size) = (self.load.seed, self.load.content_size);
        stream.tunnel.pack(seed, stamp, size, &mut member.router, now, &mut outgoing);
        for message in outgoing.drain(..) {
            self.send(sender, &message);
        }
        self.load.outgoing = outgoing;
        true
    }

    /// Takes a TunnelData of a played router; whether it belongs to a stream.
    pub(super) fn arrive_in_tunnel(&mut self, member: usize, message: &I2npMessage) -> bool {
        let Some(index) = self.stream_by_tunnel(member, &message.body) else { return false };
        let now = self.clock.now().instant;
        let mut arrivals = std::mem::take(&mut self.load.arrivals);
        if let Some(stream) = self.streams.get_mut(index) {
            stream.tunnel.unpack(self.load.seed, &message.body, now, &mut arrivals);
        }
        for arrival in arrivals.drain(..) {
            self.enter(Some(index), member, arrival);
        }
        self.load.arrivals = arrivals;
        true
    }

    /// Takes a message that an endpoint delivered to a tunnel of which the played router is the gateway.
    pub(super) fn arrive_by_gateway(&mut self, member: usize, message: &I2npMessage) -> bool {
        let Some(index) = self.stream_by_tunnel(member, &message.body) else { return false };
        let inner = TunnelGateway::parse(&message.body).and_then(|outer| outer.message());
        let arrival = inner.map_or(Arrival::Corrupt, |inner| read_data(self.load.seed, &inner));
        self.enter(Some(index), member, arrival);
        true
    }

    /// Takes a message that an endpoint delivered to the played router itself.
    pub(super) fn arrive_plain(&mut self, member: usize, message: &I2npMessage) -> bool {
        let arrival = read_data(self.load.seed, message);
        self.enter(None, member, arrival);
        true
    }

    fn stream_by_tunnel(&self, member: usize, body: &[u8]) -> Option<usize> {
        let tunnel = floodway::base::id::TunnelId::from_wire(*body.first_chunk()?)?;
        self.members.get(member)?.arrivals.get(&tunnel).copied()
    }

    /// Enters an arrival that came by the tunnel of stream `by`, if it is known, to `member`.
    fn enter(&mut self, by: Option<usize>, member: usize, arrival: Arrival) {
        let role = by
            .and_then(|index| self.streams.get(index))
            .map_or(Role::Endpoint, |stream| stream.tunnel.role());
        let stamp = match arrival {
            Arrival::Whole(stamp) => stamp,
            Arrival::Corrupt => return self.load.books.corrupt(role),
        };
        let index = self.load.stream_index(stamp.stream);
        let stream = index.and_then(|index| self.streams.get_mut(index));
        let Some(stream) = stream.filter(|stream| {
            stream.receiver == member
                && by.is_none_or(|by| Some(by) == index)
                && stream.tunnel.role() == role
        }) else {
            return self.load.books.finding(role, Finding::NeverSent);
        };
        let finding = stream.book.enter(stamp.number);
        stream.progress = self.clock.elapsed();
        self.load.books.finding(role, finding);
        match finding {
            Finding::InOrder | Finding::Reordered if stream.counted.contains(&stamp.number) => {
                let delay = self.clock.micros().saturating_sub(stamp.sent_micros);
                self.load.books.delay(role, delay);
            }
            Finding::InOrder | Finding::Reordered | Finding::Duplicate | Finding::NeverSent => {}
        }
    }

    /// Messages sent, and messages delivered, since the first.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        self.streams.iter().fold((0, 0), |(sent, delivered), stream| {
            (sent + stream.book.sent(), delivered + stream.book.distinct())
        })
    }

    /// Messages that were due and not sent since the start, because the router under test did not read.
    #[must_use]
    pub fn held_back(&self) -> u64 {
        self.load.held_back
    }

    /// How many tunnels there are in this role.
    #[must_use]
    pub fn tunnels(&self, role: Role) -> usize {
        self.streams.iter().filter(|stream| stream.tunnel.role() == role).count()
    }
}
