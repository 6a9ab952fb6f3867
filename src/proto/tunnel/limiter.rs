//! Holds transit within the bandwidth, in both directions and fairly between tunnels.
//!
//! What is counted are bytes of sockets: a message with its block, and its share of the frames around it, as measured
//! ([`Overhead`]). Four meters are charged, two for each direction: one of transit, and one of all that the router sends or
//! receives, on which transit, which can wait, gives way to what cannot. A message passes when all four are open; while
//! that is so and none waits, nothing else happens. Otherwise messages wait in a [`FairQueue`] for a tenth of a second at
//! most, on average, and are dropped by lot before that is full.
//!
//! Outbound the limit is one on what is given to sockets. Inbound it cannot be one on what comes: a sender cannot be told to
//! stop without its session's other messages being stopped, too, since an NTCP2 session is one stream. What can be limited
//! is what is *taken*: a message is dropped on receipt, before any cryptography, and who sends too much sees losses and
//! slows down. So inbound meters count messages as they are let through, not those that are dropped.

mod division;
mod fair_queue;

use std::time::Duration;

pub use self::division::{Part, divide};
pub use self::fair_queue::{FairQueue, Weight};
use crate::base::id::TunnelId;
use crate::base::limits::TUNNEL_DATA_SIZE;
use crate::base::meter::Meter;
use crate::base::rate::Rate;
use crate::base::rng::ShardRng;
use crate::base::time::Instant;
use crate::wire::i2np::SHORT_HEADER_SIZE;
use crate::wire::ntcp2::BLOCK_HEADER_SIZE;

/// Bytes of a message's block in a frame beside its body.
pub const BLOCK_OVERHEAD: usize = BLOCK_HEADER_SIZE + SHORT_HEADER_SIZE;
/// Bytes of a tunnel message's block.
pub const TUNNEL_BLOCK: u64 = (TUNNEL_DATA_SIZE + BLOCK_OVERHEAD) as u64;

/// What may pass at once after a rest, as time at the full rate: a turn that comes late by less loses nothing, and over a
/// second no more than a hundredth too much passes.
const BURST_TIME: Duration = Duration::from_millis(10);
/// The least of that, in bytes. One more message may pass, since meters may be overdrawn by one.
const BURST_MIN: u64 = 512;
/// What may wait, as time at the full rate.
const QUEUE_TIME: Duration = Duration::from_millis(100);
/// The least of that, in messages.
const QUEUE_MIN: usize = 8;
/// How long a message may wait at most: in a queue of ordinary length none does.
pub const WAIT_MAX: Duration = Duration::from_secs(1);
/// Between two turns whose only reason is that messages may pass: several together cost less.
const PACE: Duration = Duration::from_millis(1);
/// For how long what is not transit can keep transit from passing after it has ended.
const DEBT_MAX: Duration = Duration::from_secs(1);

/// Bytes of one direction over all sessions, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkBytes {
    /// Given to sockets, or taken from them.
    pub socket: u64,
    /// Those of them that are blocks of messages, or of a handshake; the others are frames and padding around them.
    pub blocks: u64,
    /// Those of them that are blocks of transit messages.
    pub transit: u64,
}

impl LinkBytes {
    /// Adds what went over a socket, the blocks in it, and those of transit among them.
    pub fn record(&mut self, socket: usize, blocks: usize, transit: usize) {
        let count = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        self.socket += count(socket);
        self.blocks += count(blocks);
        self.transit += count(transit);
    }
}

/// Bytes of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What came.
    pub received: LinkBytes,
    /// What went.
    pub sent: LinkBytes,
}

/// Bytes of blocks that one message is in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toll {
    /// As it came.
    pub received: u64,
    /// As it goes.
    pub sent: u64,
}

impl Toll {
    /// Of a message that comes and goes as a tunnel message.
    pub const THROUGH: Self = Self { received: TUNNEL_BLOCK, sent: TUNNEL_BLOCK };
    /// Of a tunnel message that was made here.
    pub const MADE_HERE: Self = Self { received: 0, sent: TUNNEL_BLOCK };
}

/// What one shard may carry, the same in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransitRates {
    router: Rate,
    transit: Rate,
}

impl TransitRates {
    /// Bytes a second of all, and of transit, that never is more than all.
    #[must_use]
    pub fn new(router: u64, transit: u64) -> Self {
        let rate = |per_second: u64| {
            let burst = u128::from(per_second) * BURST_TIME.as_micros() / 1_000_000;
            Rate::new(per_second, u64::try_from(burst).unwrap_or(u64::MAX).max(BURST_MIN))
        };
        Self { router: rate(router.max(1)), transit: rate(transit.clamp(1, router.max(1))) }
    }

    /// Bytes a second of all that the shard sends or receives.
    #[must_use]
    pub fn router(&self) -> u64 {
        self.router.per_second()
    }

    /// Bytes of transit a second.
    #[must_use]
    pub fn transit(&self) -> u64 {
        self.transit.per_second()
    }

    /// Messages that may wait, `most` at the most.
    fn queue(&self, most: usize) -> usize {
        let bytes = u128::from(self.transit()) * QUEUE_TIME.as_micros() / 1_000_000;
        let messages = bytes / u128::from(TUNNEL_BLOCK);
        usize::try_from(messages).unwrap_or(usize::MAX).clamp(QUEUE_MIN, most.max(QUEUE_MIN))
    }
}

/// How many bytes of a socket a byte of blocks is, as measured over about the last megabyte.
#[derive(Clone, Copy, Debug)]
pub struct Overhead {
    socket: u64,
    blocks: u64,
}

impl Overhead {
    /// What is assumed before anything was seen counts as so many messages that were.
    const ASSUMED: u64 = 64;
    /// Of one message alone in a frame: the length, the tag, and three percent of padding on average.
    const FRAME: u64 = 2 + 16 + 31;
    /// How many bytes of blocks are remembered.
    const WINDOW: u64 = 1 << 20;

    /// What is likely before anything was seen.
    #[must_use]
    pub fn assumed() -> Self {
        let blocks = Self::ASSUMED * TUNNEL_BLOCK;
        Self { socket: blocks + Self::ASSUMED * Self::FRAME, blocks }
    }

    fn observe(&mut self, socket: u64, blocks: u64) {
        self.socket += socket;
        self.blocks += blocks;
        while self.blocks > Self::WINDOW {
            self.socket /= 2;
            self.blocks /= 2;
        }
        // Nobody pads more; what comes in parts is not counted in the same turn in both.
        self.socket = self.socket.clamp(self.blocks, self.blocks + self.blocks / 4);
    }

    /// Bytes of a socket that so many bytes of blocks are.
    #[must_use]
    pub fn on_socket(&self, blocks: u64) -> u64 {
        let bytes = u128::from(blocks) * u128::from(self.socket) / u128::from(self.blocks.max(1));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// The limits of one direction.
struct Way {
    router: Meter,
    transit: Meter,
    overhead: Overhead,
    /// What a tunnel message takes.
    usual: u64,
    seen: LinkBytes,
    /// Bytes that were not transit.
    other: u64,
}

impl Way {
    fn new(rates: &TransitRates, now: Instant) -> Self {
        Self {
            router: Meter::full(&rates.router, now),
            transit: Meter::full(&rates.transit, now),
            overhead: Overhead::assumed(),
            usual: Overhead::assumed().on_socket(TUNNEL_BLOCK),
            seen: LinkBytes::default(),
            other: 0,
        }
    }

    fn refill(&mut self, rates: &TransitRates, now: Instant) {
        self.router.refill(&rates.router, now);
        self.transit.refill(&rates.transit, now);
    }

    /// Takes into account what sessions have sent or received since the last time.
    fn follow(&mut self, total: LinkBytes, rates: &TransitRates) {
        let socket = total.socket - self.seen.socket;
        let transit = total.transit - self.seen.transit;
        self.overhead.observe(socket, total.blocks - self.seen.blocks);
        self.usual = self.overhead.on_socket(TUNNEL_BLOCK);
        self.seen = total;
        // Transit is charged when it passes; so are its frames, by what is usual. Only what differs is left.
        let charged = self.overhead.on_socket(transit);
        let other = socket.saturating_sub(charged);
        self.other += other;
        self.router.give_back(charged.saturating_sub(socket));
        self.router.charge_within(other, &rates.router, DEBT_MAX);
    }

    /// Bytes of the socket that a message takes.
    fn cost(&self, blocks: u64) -> u64 {
        match blocks {
            0 => 0,
            TUNNEL_BLOCK => self.usual,
            blocks => self.overhead.on_socket(blocks),
        }
    }

    fn charge(&mut self, blocks: u64) {
        let bytes = self.cost(blocks);
        self.router.charge(bytes);
        self.transit.charge(bytes);
    }

    fn is_open(&self) -> bool {
        self.router.is_open() && self.transit.is_open()
    }

    fn opens_at(&self, rates: &TransitRates) -> Option<Instant> {
        let router = self.router.opens_at(&rates.router)?;
        Some(router.max(self.transit.opens_at(&rates.transit)?))
    }
}

/// Why a message does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimiterDrop {
    /// By lot, before the queue is full.
    #[error("dropped by lot while messages wait for bandwidth")]
    Early,
    /// There is no room for it.
    #[error("as many messages as may wait for bandwidth already do")]
    Full,
    /// It has waited for longer than [`WAIT_MAX`].
    #[error("waited too long for bandwidth")]
    Late,
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Passage<T> {
    /// It goes on at once.
    Passes(T),
    /// It waits.
    Waits,
    /// It waits, and this one is dropped instead.
    Displaces(T),
    /// It is dropped.
    Dropped(LimiterDrop, T),
}

/// What becomes of a message that has waited: it passes, or is dropped.
pub type Waited<T> = Result<T, (LimiterDrop, T)>;

/// The limiter of one shard.
pub struct TransitLimiter<T> {
    rates: TransitRates,
    received: Way,
    sent: Way,
    queue: FairQueue<Waiting<T>>,
    queue_max: usize,
    /// When the meters were last refilled.
    now: Instant,
    offered: u64,
}

struct Waiting<T> {
    since: Instant,
    toll: Toll,
    message: T,
}

impl<T> TransitLimiter<T> {
    /// A limiter of which nothing has been asked; at most `queue_max` messages ever wait.
    #[must_use]
    pub fn new(rates: TransitRates, queue_max: usize, now: Instant) -> Self {
        Self {
            rates,
            received: Way::new(&rates, now),
            sent: Way::new(&rates, now),
            queue: FairQueue::new(rates.queue(queue_max)),
            queue_max,
            now,
            offered: 0,
        }
    }

    /// Begins a turn: what has come meanwhile may pass, less what the sessions have carried beside transit. `traffic` are
    /// the sums since the start.
    pub fn begin_turn(&mut self, traffic: &Traffic, now: Instant) {
        self.now = now;
        for (way, total) in [(&mut self.received, traffic.received), (&mut self.sent, traffic.sent)]
        {
            way.refill(&self.rates, now);
            way.follow(total, &self.rates);
        }
    }

    /// Other rates from now on. What does not wait any longer is for [`TransitLimiter::push_out`].
    pub fn take_rates(&mut self, rates: TransitRates, now: Instant) {
        for way in [&mut self.received, &mut self.sent] {
            way.refill(&self.rates, now);
            way.refill(&rates, now);
        }
        self.rates = rates;
        self.queue.set_capacity(rates.queue(self.queue_max));
    }

    /// What the shard may carry.
    #[must_use]
    pub fn rates(&self) -> TransitRates {
        self.rates
    }

    /// Messages that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of transit that were to be carried since the start, in the direction in which they were more, dropped ones
    /// included.
    #[must_use]
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// The same with what was carried beside transit: what the shard would use if nothing limited it.
    #[must_use]
    pub fn wanted(&self) -> u64 {
        self.offered + self.received.other.max(self.sent.other)
    }

    /// A tunnel message has come: it passes, waits, or is dropped by lot.
    pub fn offer(
        &mut self,
        flow: TunnelId,
        weight: Weight,
        message: T,
        rng: &mut ShardRng,
    ) -> Passage<T> {
        if self.queue.draw(flow, rng) {
            self.note(Toll::THROUGH);
            return Passage::Dropped(LimiterDrop::Early, message);
        }
        self.pass(flow, weight, Toll::THROUGH, message)
    }

    /// A message of so many bytes in a block has come for a gateway. It is dropped whole or not at all, since a part of it is
    /// of no use: where this is no error, give [`TransitLimiter::offer_made`] the tunnel messages that are made of it.
    ///
    /// # Errors
    /// When it is to be dropped, by lot.
    pub fn admit(
        &mut self,
        flow: TunnelId,
        received: u64,
        rng: &mut ShardRng,
    ) -> Result<(), LimiterDrop> {
        if self.queue.draw(flow, rng) {
            let sent = received.div_ceil(TUNNEL_BLOCK) * TUNNEL_BLOCK;
            self.note(Toll { received, sent });
            return Err(LimiterDrop::Early);
        }
        self.received.charge(received);
        Ok(())
    }

    /// The same for a tunnel message that a gateway here has made: it passes, waits, or there is no room.
    pub fn offer_made(&mut self, flow: TunnelId, weight: Weight, message: T) -> Passage<T> {
        self.pass(flow, weight, Toll::MADE_HERE, message)
    }

    fn pass(&mut self, flow: TunnelId, weight: Weight, toll: Toll, message: T) -> Passage<T> {
        self.note(toll);
        if self.queue.is_empty() && self.is_open() {
            self.charge(toll);
            return Passage::Passes(message);
        }
        let waiting = Waiting { since: self.now, toll, message };
        match self.queue.push(flow, weight, waiting) {
            None => Passage::Waits,
            Some(out) => Passage::Displaces(out.message),
        }
    }

    /// The next message that has waited and may pass now, or has waited in vain.
    pub fn poll(&mut self) -> Option<(TunnelId, Waited<T>)> {
        if !self.is_open() {
            return None;
        }
        let (flow, Waiting { since, toll, message }) = self.queue.pop()?;
        if self.now.since(since) > WAIT_MAX {
            return Some((flow, Err((LimiterDrop::Late, message))));
        }
        self.charge(toll);
        Some((flow, Ok(message)))
    }

    /// A message that has to give up waiting since the queue has become shorter.
    pub fn push_out(&mut self) -> Option<T> {
        self.queue.push_out().map(|waiting| waiting.message)
    }

    /// A tunnel message that passed ends at our endpoint: it is not sent on. What it was charged for comes back.
    pub fn arrive(&mut self) {
        let bytes = self.sent.usual;
        self.sent.router.give_back(bytes);
        self.sent.transit.give_back(bytes);
    }

    /// Our endpoint delivers a message of so many bytes in a block to another router. The session's shard counts them as
    /// sent, so that they are charged as transit only.
    pub fn deliver(&mut self, blocks: u64) {
        self.sent.transit.charge(self.sent.cost(blocks));
    }

    /// Forgets a tunnel.
    pub fn forget(&mut self, flow: TunnelId) {
        self.queue.forget(flow);
    }

    /// When messages that wait may pass.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.queue.is_empty() {
            return None;
        }
        let received = self.received.opens_at(&self.rates)?;
        let sent = self.sent.opens_at(&self.rates)?;
        Some(received.max(sent).max(self.now + PACE))
    }

    fn is_open(&self) -> bool {
        self.received.is_open() && self.sent.is_open()
    }

    fn charge(&mut self, toll: Toll) {
        self.received.charge(toll.received);
        self.sent.charge(toll.sent);
    }

    fn note(&mut self, toll: Toll) {
        self.offered += self.received.cost(toll.received).max(self.sent.cost(toll.sent));
    }
}

#[cfg(test)]
mod tests;
