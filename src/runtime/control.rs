//! The control thread: signals, metrics over HTTP and the local control socket, on tokio, away from the data path.
//!
//! It reaches a shard by a bounded channel and the shard's bell; a shard answers through [`ReplyTo`]. What is said to
//! whom is the [`Program`]'s: here is how it gets there.

mod http;
pub mod socket;

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::actor::node::NodeConfig;
use crate::base::id::RouterHash;
use crate::base::limits::TRANSIT_LIFE;
use crate::base::time::Instant;
use crate::runtime::clock::Clock;
use crate::runtime::mesh::Bell;
use crate::shard::report::{Sample, ShardReport};
use crate::wire::router_info::RouterInfo;

/// Commands that wait for one shard.
pub const COMMANDS_MAX: usize = 16;
/// Time that shards have to answer before the metrics go out without them.
const REPORT_MAX: Duration = Duration::from_secs(1);

/// How often the program looks after what nobody has asked for.
const WATCH_INTERVAL: Duration = Duration::from_secs(60);
/// How often a draining router looks whether tunnels are left.
const DRAIN_LOOK: Duration = Duration::from_secs(1);
/// How often a command is offered to a shard whose queue is full, and the pause between.
const TELL_TRIES: usize = 100;
const TELL_PAUSE: Duration = Duration::from_millis(10);

/// What the control thread wants of a shard.
pub enum Command {
    /// Its counts.
    Report(ReplyTo),
    /// The router's settings from now on.
    Settings(Arc<NodeConfig>),
    /// More routers to know.
    Seeds(Arc<[Arc<RouterInfo>]>),
    /// To say goodbye to its peers and end.
    Stop,
}

/// Where a shard's report goes.
pub struct ReplyTo {
    reports: Sender<ShardReport>,
    arrived: Arc<Notify>,
}

impl ReplyTo {
    /// Sends the report; in vain where nobody waits any more.
    pub fn send(&self, report: ShardReport) {
        if self.reports.try_send(report).is_ok() {
            self.arrived.notify_one();
        }
    }
}

/// How to reach one shard.
#[derive(Clone)]
pub struct ShardLine {
    /// Its commands.
    pub commands: Sender<Command>,
    /// How it is woken for them.
    pub bell: Arc<Bell>,
}

impl ShardLine {
    /// Sends a command. False where the shard has ended, or does not keep up.
    pub fn send(&self, command: Command) -> bool {
        let sent = self.commands.try_send(command).is_ok();
        if sent {
            self.bell.ring();
        }
        sent
    }
}

/// Where the router stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It serves.
    Running,
    /// It takes no new tunnels, serves those that there are, and stops when none is left or at this time.
    Draining {
        /// The end of it, whatever lives then.
        until: Instant,
    },
    /// It says its goodbyes.
    Stopping,
}

impl Phase {
    /// Its name for people and scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Running => "running",
            Phase::Draining { .. } => "draining",
            Phase::Stopping => "stopping",
        }
    }
}

/// What a new reading of the configuration comes to.
pub struct Reloaded {
    /// The settings from now on.
    pub settings: Arc<NodeConfig>,
    /// Routers to know beside those that are known.
    pub seeds: Vec<Arc<RouterInfo>>,
    /// What was applied and what was not, for whoever asked.
    pub answer: Value,
}

/// Why something that was asked for is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// What the control thread asks of the program above it.
pub trait Program: Send + Sync + 'static {
    /// The text of `/metrics`, of the shards' reports in the order of their numbers.
    fn metrics(&self, reports: &[ShardReport]) -> String;
    /// The answer to `status`.
    fn status(&self, reports: &[ShardReport], phase: Phase) -> Value;
    /// Looks after what nobody has asked for, now and then.
    fn watch(&self, reports: &[ShardReport]);
    /// Reads the whole configuration anew and checks it. May take as long as disks do.
    ///
    /// # Errors
    /// When something of it is wrong; then nothing may have changed.
    fn reload(&self) -> Result<Reloaded, Refused>;
    /// RouterInfos of the netdb's file, for [`socket::Request::Records`]. Waits for the disk.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn records(&self, after: Option<RouterHash>, count: u16) -> Result<Value, Refused>;
    /// The settings under which no new transit tunnels are taken.
    fn draining(&self) -> Arc<NodeConfig>;
}

/// Sockets and signals that are ready before the shards are, so that nothing is missed and mistakes show early.
pub struct Prepared {
    runtime: Runtime,
    metrics: Option<tokio::net::TcpListener>,
    socket: Option<tokio::net::UnixListener>,
    signals: Signals,
}

/// What the control thread works with.
pub struct ControlPlan {
    /// All shards.
    pub shards: Vec<ShardLine>,
    /// Who knows what to say.
    pub program: Arc<dyn Program>,
    /// The process's clock.
    pub clock: Clock,
}

/// The control thread while it runs.
pub struct ControlThread {
    end: Arc<Notify>,
    thread: JoinHandle<()>,
}

/// Shared by all that the control thread does.
#[derive(Clone)]
struct Control {
    shards: Arc<[ShardLine]>,
    program: Arc<dyn Program>,
    clock: Clock,
    phase: Arc<Mutex<Phase>>,
    /// Told when the last transit tunnel of a draining router is gone.
    drained: Arc<Notify>,
    /// One configuration is read at a time.
    reloading: Arc<tokio::sync::Mutex<()>>,
}

/// Tells all shards to stop. Each ends once its peers have taken its goodbye, within seconds.
pub fn stop_all(shards: &[ShardLine]) {
    for shard in shards {
        shard.send(Command::Stop);
    }
}

/// Takes over the sockets and begins to listen for signals: SIGTERM, SIGINT and SIGHUP wait from here on for
/// [`Prepared::start`].
///
/// # Errors
/// When the system has no descriptor left.
pub fn prepare(metrics: Option<TcpListener>, socket: Option<UnixListener>) -> io::Result<Prepared> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()?;
    let inside = runtime.enter();
    let metrics = match metrics {
        Some(listener) => {
            listener.set_nonblocking(true)?;
            Some(tokio::net::TcpListener::from_std(listener)?)
        }
        None => None,
    };
    let socket = match socket {
        Some(listener) => {
            listener.set_nonblocking(true)?;
            Some(tokio::net::UnixListener::from_std(listener)?)
        }
        None => None,
    };
    let signals = Signals {
        stop: StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        },
        hangup: signal(SignalKind::hangup())?,
    };
    drop(inside);
    Ok(Prepared { runtime, metrics, socket, signals })
}

impl Prepared {
    /// Starts the thread: SIGTERM and SIGINT stop the shards in good order, a second one ends the process at once with 128
    /// and its number; SIGHUP has the configuration read anew.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(self, plan: ControlPlan) -> io::Result<ControlThread> {
        let control = Control {
            shards: plan.shards.into(),
            program: plan.program,
            clock: plan.clock,
            phase: Arc::new(Mutex::new(Phase::Running)),
            drained: Arc::new(Notify::new()),
            reloading: Arc::new(tokio::sync::Mutex::new(())),
        };
        let end = Arc::new(Notify::new());
        let ended = Arc::clone(&end);
        let Self { runtime, metrics, socket, signals } = self;
        let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            runtime.block_on(async {
                if let Some(listener) = metrics {
                    tokio::spawn(http::serve(listener, control.clone()));
                }
                if let Some(listener) = socket {
                    tokio::spawn(socket::serve(listener, control.clone()));
                }
                tokio::select! {
                    () = run(control, signals) => {}
                    () = ended.notified() => {}
                }
            });
        })?;
        Ok(ControlThread { end, thread })
    }
}

impl ControlThread {
    /// Ends the thread and all that it serves, and waits for that.
    pub fn finish(self) {
        self.end.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("the control thread failed");
        }
    }
}

async fn run(control: Control, mut signals: Signals) {
    let mut watch = tokio::time::interval(WATCH_INTERVAL);
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = signals.stop.next() => {
                tracing::info!("stopping; a second signal ends at once");
                break;
            }
            () = control.drained.notified() => break,
            _ = watch.tick() => {
                let control = control.clone();
                tokio::spawn(async move { control.program.watch(&control.reports().await) });
            }
            _ = signals.hangup.recv() => {
                let control = control.clone();
                // Beside the loop: a signal to stop does not wait for a disk.
                tokio::spawn(async move { control.reload().await });
            }
        }
    }
    control.enter(Phase::Stopping);
    stop_all(&control.shards);
    let number = signals.stop.next().await;
    std::process::exit(128 + number);
}

struct Signals {
    stop: StopSignals,
    hangup: Signal,
}

struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Number of the next signal to stop.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => libc::SIGTERM,
            _ = self.interrupt.recv() => libc::SIGINT,
        }
    }
}

impl Control {
    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Reports of all shards that answer in time, in the order of their numbers.
    async fn reports(&self) -> Vec<ShardReport> {
        let (reports, arriving) = bounded(self.shards.len().max(1));
        let arrived = Arc::new(Notify::new());
        let mut asked = 0;
        for shard in self.shards.iter() {
            let reply = ReplyTo { reports: reports.clone(), arrived: arrived.clone() };
            asked += usize::from(shard.send(Command::Report(reply)));
        }
        let mut answers = Vec::with_capacity(asked);
        let all = collect(&arriving, &arrived, asked, &mut answers);
        // Whoever does not answer in time is missing: better some numbers than none.
        let _ = tokio::time::timeout(REPORT_MAX, all).await;
        answers.sort_by_key(|report| report.shard);
        answers
    }

    async fn status(&self) -> Value {
        let reports = self.reports().await;
        self.program.status(&reports, self.phase())
    }

    async fn records(&self, after: Option<RouterHash>, count: u16) -> Result<Value, Refused> {
        let program = Arc::clone(&self.program);
        let answer = tokio::task::spawn_blocking(move || program.records(after, count)).await;
        answer.unwrap_or_else(|error| Err(Refused(error.to_string())))
    }

    /// Reads the configuration anew and gives the shards what has changed. Logged, since a signal gets no answer.
    async fn reload(&self) -> Result<Value, Refused> {
        let _alone = self.reloading.lock().await;
        let program = Arc::clone(&self.program);
        let outcome = tokio::task::spawn_blocking(move || program.reload()).await;
        let outcome = outcome.unwrap_or_else(|error| Err(Refused(error.to_string())));
        let reloaded = outcome.inspect_err(|reason| {
            tracing::warn!(%reason, "the configuration is left as it was");
        })?;
        self.tell_all(|| Command::Settings(Arc::clone(&reloaded.settings))).await?;
        if !reloaded.seeds.is_empty() {
            let seeds: Arc<[Arc<RouterInfo>]> = reloaded.seeds.into();
            self.tell_all(|| Command::Seeds(Arc::clone(&seeds))).await?;
        }
        tracing::info!(outcome = %reloaded.answer, "the configuration was read anew");
        Ok(reloaded.answer)
    }

    /// Has the router take no new tunnels, and stop when those that there are have ended.
    async fn drain(&self) -> Result<Value, Refused> {
        match self.phase() {
            Phase::Stopping => return Err(Refused("the router is stopping already".to_owned())),
            Phase::Draining { .. } => return Ok(self.status().await),
            Phase::Running => {}
        }
        let until = self.clock.instant() + TRANSIT_LIFE;
        self.enter(Phase::Draining { until });
        tracing::info!(
            "draining: no new tunnels, and the end when those that there are have ended"
        );
        let settings = self.program.draining();
        self.tell_all(|| Command::Settings(Arc::clone(&settings))).await?;
        let control = self.clone();
        tokio::spawn(async move { control.wait_until_drained(until).await });
        Ok(self.status().await)
    }

    async fn wait_until_drained(&self, until: Instant) {
        loop {
            // Before the first look, too: whoever asked a router without tunnels is to get their answer.
            tokio::time::sleep(DRAIN_LOOK).await;
            let reports = self.reports().await;
            let tunnels = total(&reports, "transit_tunnels");
            let all_answer = reports.len() == self.shards.len();
            if (all_answer && tunnels == 0) || self.clock.instant() >= until {
                tracing::info!(tunnels, "drained");
                return self.drained.notify_one();
            }
        }
    }

    /// Sends every shard a command, waiting a little for those that are behind.
    async fn tell_all(&self, command: impl Fn() -> Command) -> Result<(), Refused> {
        for (number, shard) in self.shards.iter().enumerate() {
            let mut tries = 0;
            while !shard.send(command()) {
                tries += 1;
                if tries > TELL_TRIES {
                    return Err(Refused(format!("shard {number} takes no commands")));
                }
                tokio::time::sleep(TELL_PAUSE).await;
            }
        }
        Ok(())
    }
}

/// The sum over all shards and labels of one of their numbers.
#[must_use]
pub fn total(reports: &[ShardReport], name: &str) -> u64 {
    samples(reports, name).map(|sample| sample.value).sum()
}

/// The sum over all shards of one of their numbers, where one of its labels has this value.
#[must_use]
pub fn total_of(reports: &[ShardReport], name: &str, label: &str) -> u64 {
    let labelled = |sample: &&Sample| sample.labels.iter().any(|(_, value)| value == label);
    samples(reports, name).filter(labelled).map(|sample| sample.value).sum()
}

fn samples<'a>(reports: &'a [ShardReport], name: &'a str) -> impl Iterator<Item = &'a Sample> {
    let all = reports.iter().flat_map(|report| &report.samples);
    all.filter(move |sample| sample.name == name)
}

async fn collect(
    arriving: &Receiver<ShardReport>,
    arrived: &Notify,
    count: usize,
    answers: &mut Vec<ShardReport>,
) {
    while answers.len() < count {
        match arriving.try_recv() {
            Ok(report) => answers.push(report),
            Err(_) => arrived.notified().await,
        }
    }
}
