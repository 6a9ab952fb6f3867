//! The only loop of a shard: gather a bounded batch of inputs, run the shard, carry out its outputs, rest.

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crossbeam_channel::Receiver;
use glommio::io::BufferedFile;
use glommio::spawn_local;
use glommio::timer::Timer;

use crate::actor::contract::{Close, Effort};
use crate::base::histogram::Histogram;
use crate::base::id::{ConnectionId, ShardId};
use crate::base::permille::Permille;
use crate::base::time::{Instant, Now};
use crate::runtime::clock::Clock;
use crate::runtime::control::Command;
use crate::runtime::disk::{Change, Disk};
use crate::runtime::local::Local;
use crate::runtime::mesh::{Bell, MeshEnd, Queue};
use crate::runtime::record_file::Table;
use crate::runtime::sys;
use crate::runtime::tcp::{Detached, Ending, Event, Network, Untold};
use crate::shard::core::{Input, Output, Shard};
use crate::shard::envelope::{Envelope, Lane};
use crate::shard::report::{Distribution, Sample, SampleKind, ShardReport, Unit};

/// Socket events of one turn.
const EVENTS_PER_TURN: usize = 1024;
/// Items from other shards of one turn.
const PARCELS_PER_TURN: usize = 8192;
/// Time that peers have to take our goodbyes.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Pause while control messages wait for room in another shard's queue.
const BACKLOG_PAUSE: Duration = Duration::from_millis(1);

/// How often the shard is told how much it has had to do.
const EFFORT_INTERVAL: Duration = Duration::from_secs(1);

/// What the pump drives: plain synchronous code that is told everything.
pub trait Machine {
    /// Takes in one thing that happened.
    fn handle(&mut self, input: Input, now: Now);
    /// Does what is due, once per turn, after the turn's inputs.
    fn turn(&mut self, now: Now);
    /// The next thing to be done outside.
    fn poll_output(&mut self) -> Option<Output>;
    /// When the next turn is due, whatever happens.
    fn deadline(&self) -> Option<Instant>;
    /// Counts for the metrics.
    fn report(&self) -> ShardReport;
}

impl Machine for Shard {
    fn handle(&mut self, input: Input, now: Now) {
        Shard::handle(self, input, now);
    }

    fn turn(&mut self, now: Now) {
        Shard::turn(self, now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        Shard::poll_output(self)
    }

    fn deadline(&self) -> Option<Instant> {
        Shard::deadline(self)
    }

    fn report(&self) -> ShardReport {
        Shard::report(self)
    }
}

/// What one shard sends another.
pub struct Parcel {
    at: Instant,
    content: Content,
}

enum Content {
    Envelope(Envelope),
    HandOver(Box<HandOver>),
}

struct HandOver {
    connection: ConnectionId,
    /// Absent where the connection was lost on the way.
    detached: Option<Detached>,
    envelope: Envelope,
}

/// What a pump is put together from.
pub struct Parts<M> {
    /// The shard.
    pub machine: M,
    /// The process's clock.
    pub clock: Clock,
    /// What wakes it.
    pub local: Rc<Local>,
    /// Its connections.
    pub network: Network,
    /// Its end of the mesh.
    pub mesh: MeshEnd<Parcel>,
    /// How others wake it.
    pub bell: Arc<Bell>,
    /// What the control thread wants of it.
    pub commands: Receiver<Command>,
    /// Where files go.
    pub disk: Disk,
    /// Where our RouterInfo is written.
    pub router_info_path: PathBuf,
}

/// One shard's loop and all that it owns.
pub struct Pump<M> {
    parts: Parts<M>,
    parcels: Vec<(ShardId, Parcel)>,
    drain_until: Option<Instant>,
    turns: Histogram,
    queue_delays: Histogram,
    exertion: Exertion,
    lookup_delays: Histogram,
    saves_dropped: u64,
}

/// What the shard has had to do since a moment.
struct Exertion {
    since: Instant,
    inputs: u32,
    /// How long they have waited for the shard's turn, in all.
    waited: Duration,
    /// How long turns took, in all.
    worked: Duration,
}

impl Exertion {
    fn since(since: Instant) -> Self {
        Self { since, inputs: 0, waited: Duration::ZERO, worked: Duration::ZERO }
    }

    fn note_wait(&mut self, wait: Duration) {
        self.inputs = self.inputs.saturating_add(1);
        self.waited = self.waited.saturating_add(wait);
    }

    fn note_turn(&mut self, took: Duration) {
        self.worked = self.worked.saturating_add(took);
    }

    /// What it comes to, once each [`EFFORT_INTERVAL`], if there were inputs.
    fn take(&mut self, now: Instant) -> Option<Effort> {
        let over = now.since(self.since);
        if over < EFFORT_INTERVAL {
            return None;
        }
        let Self { inputs, waited, worked, .. } = std::mem::replace(self, Self::since(now));
        let queue_delay = waited.checked_div(inputs)?;
        Some(Effort {
            queue_delay,
            busy: Permille::of(microseconds(worked), Some(microseconds(over))),
        })
    }
}

impl<M: Machine> Pump<M> {
    /// A pump at rest.
    #[must_use]
    pub fn new(parts: Parts<M>) -> Self {
        Self {
            parts,
            parcels: Vec::new(),
            drain_until: None,
            turns: Histogram::new(Histogram::MICROSECONDS),
            queue_delays: Histogram::new(Histogram::MICROSECONDS),
            exertion: Exertion::since(Instant(0)),
            lookup_delays: Histogram::new(Histogram::MICROSECONDS),
            saves_dropped: 0,
        }
    }

    /// Runs until the shard was told to stop and has said its goodbyes.
    ///
    /// # Errors
    /// When the bell cannot be heard, or the network's ring is broken.
    pub async fn run(mut self) -> io::Result<()> {
        let descriptor = self.parts.bell.descriptor()?;
        let listening = listen_to_bell(sys::give(descriptor), self.parts.local.clone());
        let listener = spawn_local(listening);
        let outcome = self.turn_until_drained().await;
        // The executor would leave the descriptor of a task open that it cancels.
        self.parts.local.end();
        self.parts.bell.strike();
        listener.await;
        outcome
    }

    async fn turn_until_drained(&mut self) -> io::Result<()> {
        loop {
            let now = self.parts.clock.now();
            self.gather(now);
            self.parts.machine.turn(now);
            self.carry_out(now);
            self.parts.network.flush()?;
            self.parts.mesh.publish();
            let end = self.parts.clock.instant();
            let took = end.since(now.instant);
            self.turns.record(microseconds(took));
            self.exertion.note_turn(took);
            if self.is_drained(end) {
                return Ok(());
            }
            self.rest().await?;
        }
    }

    fn gather(&mut self, now: Now) {
        while let Ok(command) = self.parts.commands.try_recv() {
            self.obey(command, now);
        }
        let mut parcels = std::mem::take(&mut self.parcels);
        self.parts.mesh.receive(PARCELS_PER_TURN, &mut parcels);
        for (_, parcel) in parcels.drain(..) {
            self.note_wait(now.instant.since(parcel.at));
            self.unpack(parcel.content, now);
        }
        self.parcels = parcels;
        for _ in 0..EVENTS_PER_TURN {
            let Some((at, event)) = self.parts.network.next_event() else { break };
            // What was written is told without haste; its delay says nothing about ours.
            if !matches!(event, Event::Sent { .. }) {
                self.note_wait(now.instant.since(at));
            }
            self.parts.machine.handle(input(event), now);
        }
        if let Some(effort) = self.exertion.take(now.instant) {
            self.parts.machine.handle(Input::Effort(effort), now);
        }
    }

    fn note_wait(&mut self, wait: Duration) {
        self.queue_delays.record(microseconds(wait));
        self.exertion.note_wait(wait);
    }

    fn obey(&mut self, command: Command, now: Now) {
        match command {
            Command::Report(reply) => reply.send(self.report()),
            Command::Settings(node) => {
                self.parts.machine.handle(Input::Settings(node), now);
            }
            Command::Seeds(seeds) => self.parts.machine.handle(Input::Seeds(seeds), now),
            Command::Stop => {
                self.drain_until.get_or_insert(now.instant + DRAIN_MAX);
                self.parts.network.stop_accepting();
                self.parts.machine.handle(Input::Stop, now);
            }
        }
    }

    fn unpack(&mut self, content: Content, now: Now) {
        let Parts { machine, network, .. } = &mut self.parts;
        match content {
            Content::Envelope(envelope) => machine.handle(Input::Envelope(envelope), now),
            Content::HandOver(hand_over) => {
                let HandOver { connection, detached, envelope } = *hand_over;
                machine.handle(Input::Envelope(envelope), now);
                let Some(detached) = detached else {
                    return machine.handle(Input::Closed { connection }, now);
                };
                for untold in network.adopt(connection, detached) {
                    let input = match untold {
                        Untold::Received(bytes) => Input::Received { connection, bytes },
                        Untold::Sent(bytes) => Input::Sent { connection, bytes },
                    };
                    machine.handle(input, now);
                }
            }
        }
    }

    fn carry_out(&mut self, now: Now) {
        while let Some(output) = self.parts.machine.poll_output() {
            let Parts { network, mesh, .. } = &mut self.parts;
            match output {
                Output::Connect { connection, address } => network.connect(connection, address),
                Output::Send { connection, bytes } => network.send(connection, bytes),
                Output::Close { connection, how } => network.close(connection, ending(how)),
                Output::HandOver { connection, to, envelope } => {
                    let detached = network.detach(connection).and_then(Result::ok);
                    let hand_over = Box::new(HandOver { connection, detached, envelope });
                    let content = Content::HandOver(hand_over);
                    mesh.send(to, Queue::Control, Parcel { at: now.instant, content });
                }
                Output::Envelope { to, lane, envelope } => {
                    let content = Content::Envelope(envelope);
                    mesh.send(to, queue(lane), Parcel { at: now.instant, content });
                }
                Output::Answered(arrived) => {
                    let end = self.parts.clock.instant();
                    for at in arrived {
                        self.lookup_delays.record(microseconds(end.since(at)));
                    }
                }
                Output::SaveRouterInfo(bytes) => {
                    if !self.parts.disk.replace(&self.parts.router_info_path, bytes) {
                        self.saves_dropped += 1;
                    }
                }
                Output::Remember { router, info } => {
                    self.remember(Change { table: Table::RouterInfos, router, bytes: info });
                }
                Output::RememberPeer { router, profile } => {
                    self.remember(Change { table: Table::Profiles, router, bytes: profile });
                }
            }
        }
    }

    fn remember(&mut self, change: Change) {
        if !self.parts.disk.remember(change) {
            self.saves_dropped += 1;
        }
    }

    fn is_drained(&self, now: Instant) -> bool {
        self.drain_until.is_some_and(|until| now >= until || self.parts.network.is_idle())
    }

    /// Lets others run, and sleeps until something happens or is due.
    async fn rest(&mut self) -> io::Result<()> {
        let due = self.due();
        if self.has_waiting() || due.is_some_and(|due| due <= self.parts.clock.instant()) {
            // The executor's own events are looked at when its time slice ends, so a busy shard pays nothing for them.
            glommio::yield_if_needed().await;
            return Ok(());
        }
        self.parts.bell.doze();
        // What came before that rang no bell.
        if !self.parts.network.arm()? && !self.has_waiting() {
            self.sleep(due).await;
        }
        self.parts.network.disarm();
        self.parts.bell.rise();
        Ok(())
    }

    fn has_waiting(&self) -> bool {
        let Parts { local, network, mesh, commands, .. } = &self.parts;
        local.take_wake() || network.wants_turn() || !commands.is_empty() || mesh.has_waiting()
    }

    /// When the next turn is due although nothing happens.
    fn due(&mut self) -> Option<Instant> {
        let Parts { machine, network, mesh, clock, .. } = &mut self.parts;
        let backlog = mesh.has_backlog().then(|| clock.instant() + BACKLOG_PAUSE);
        let dues = [machine.deadline(), network.deadline(), self.drain_until, backlog];
        dues.into_iter().flatten().min()
    }

    async fn sleep(&self, until: Option<Instant>) {
        let Parts { local, clock, .. } = &self.parts;
        let mut timer = pin!(until.map(|until| Timer::new(until.since(clock.instant()))));
        poll_fn(|cx| {
            local.register(cx.waker());
            if local.take_wake() {
                return Poll::Ready(());
            }
            match timer.as_mut().as_pin_mut() {
                Some(timer) => timer.poll(cx).map(|_| ()),
                None => Poll::Pending,
            }
        })
        .await;
    }

    fn report(&self) -> ShardReport {
        let mut report = self.parts.machine.report();
        report.samples.extend(self.samples());
        let of = |name, help, histogram| Distribution {
            name,
            help,
            unit: Unit::Microseconds,
            histogram,
        };
        let turns = "Time that one turn of a shard took.";
        let delays = "Time that inputs of a shard waited for its turn.";
        report.histograms.push(of("turn_seconds", turns, self.turns));
        report.histograms.push(of("queue_delay_seconds", delays, self.queue_delays));
        let lookups = "Time from the beginning of the turn in which a lookup came to when its answer was given to the \
                       socket of a session; not of those for which a router had to be dialled.";
        report.histograms.push(of("lookup_delay_seconds", lookups, self.lookup_delays));
        report
    }

    fn samples(&self) -> Vec<Sample> {
        let tcp = self.parts.network.counts();
        let sample = |name, help, labels: &[(&'static str, &str)], value, kind| Sample {
            name,
            help,
            labels: labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
            value,
            kind,
        };
        let counter = |name, help, labels: &[(&'static str, &str)], value| {
            sample(name, help, labels, value, SampleKind::Counter)
        };
        let connections = "TCP connections, handshakes included.";
        let accepted = "TCP connections that peers opened.";
        let failed = "TCP connections of ours that did not come up.";
        let bytes = "Bytes over TCP.";
        let calls = "System calls that carried TCP.";
        let drops = "Messages, records and connections that went no further, by reason.";
        let (mut dropped_data, mut dropped_control) = (0, 0);
        for (_, counts) in self.parts.mesh.counts() {
            dropped_data += counts.dropped_data;
            dropped_control += counts.dropped_control;
        }
        vec![
            sample("tcp_connections", connections, &[], tcp.open, SampleKind::Gauge),
            counter("tcp_accepted_total", accepted, &[], tcp.accepted),
            counter("tcp_connect_failed_total", failed, &[], tcp.connect_failed),
            counter("tcp_bytes_total", bytes, &[("direction", "received")], tcp.received_bytes),
            counter("tcp_bytes_total", bytes, &[("direction", "sent")], tcp.sent_bytes),
            counter("tcp_calls_total", calls, &[], tcp.calls),
            counter("drops_total", drops, &[("reason", "connections_full")], tcp.turned_away),
            counter("drops_total", drops, &[("reason", "no_descriptor")], tcp.without_descriptor),
            counter("drops_total", drops, &[("reason", "peer_does_not_read")], tcp.overflowed),
            counter("drops_total", drops, &[("reason", "shard_queue_full_data")], dropped_data),
            counter(
                "drops_total",
                drops,
                &[("reason", "shard_queue_full_control")],
                dropped_control,
            ),
            counter("drops_total", drops, &[("reason", "disk_busy")], self.saves_dropped),
        ]
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn input(event: Event) -> Input {
    match event {
        Event::Accepted { connection, peer } => Input::Accepted { connection, peer },
        Event::Connected { connection } => Input::Connected { connection },
        Event::ConnectFailed { connection } => Input::ConnectFailed { connection },
        Event::Received { connection, bytes } => Input::Received { connection, bytes },
        Event::Sent { connection, bytes } => Input::Sent { connection, bytes },
        Event::Closed { connection } => Input::Closed { connection },
    }
}

fn ending(how: Close) -> Ending {
    match how {
        Close::AfterFlush => Ending::AfterFlush,
        Close::Reset => Ending::Reset,
    }
}

fn queue(lane: Lane) -> Queue {
    match lane {
        Lane::Data => Queue::Data,
        Lane::Control => Queue::Control,
    }
}

/// Passes every ringing of the bell on to the pump.
async fn listen_to_bell(counter: BufferedFile, local: Rc<Local>) {
    /// Bytes of the kernel's count.
    const COUNT_SIZE: usize = 8;
    while !local.is_over() {
        if let Err(error) = counter.read_at(0, COUNT_SIZE).await {
            tracing::error!(%error, "a shard cannot hear its bell");
            break;
        }
        local.wake();
    }
    if let Err(error) = counter.close().await {
        tracing::warn!(%error, "a bell stays open");
    }
}
