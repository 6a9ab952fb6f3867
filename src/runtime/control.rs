//! The control thread: signals and the metrics over HTTP, on tokio, away from the data path.
//!
//! It reaches a shard by a bounded channel and the shard's bell; a shard answers through [`ReplyTo`].

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::runtime::histogram::Histogram;
use crate::runtime::mesh::Bell;
use crate::shard::report::ShardReport;

/// Commands that wait for one shard.
pub const COMMANDS_MAX: usize = 16;
/// Time that shards have to answer before the metrics go out without them.
const REPORT_MAX: Duration = Duration::from_secs(1);

/// What the control thread wants of a shard.
pub enum Command {
    /// Its counts.
    Report(ReplyTo),
    /// To say goodbye to its peers and end.
    Stop,
}

/// All counts of one shard.
#[derive(Clone, Debug)]
pub struct Report {
    /// Plain numbers, those of the runtime included.
    pub shard: ShardReport,
    /// Distributions.
    pub histograms: Vec<ShardHistogram>,
}

/// One distribution.
#[derive(Clone, Copy, Debug)]
pub struct ShardHistogram {
    /// Name, without prefix.
    pub name: &'static str,
    /// What it shows, for people.
    pub help: &'static str,
    /// The counts.
    pub histogram: Histogram,
}

/// Where a shard's report goes.
pub struct ReplyTo {
    reports: Sender<Report>,
    arrived: Arc<Notify>,
}

impl ReplyTo {
    /// Sends the report; in vain where nobody waits any more.
    pub fn send(&self, report: Report) {
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

/// Makes the text of `/metrics` of the shards' reports, in the order of their numbers.
pub type Render = Arc<dyn Fn(&[Report]) -> String + Send + Sync>;

/// What the control thread works with.
pub struct ControlPlan {
    /// All shards.
    pub shards: Vec<ShardLine>,
    /// Where the metrics are served, if they are.
    pub metrics: Option<TcpListener>,
    /// How the metrics are written.
    pub render: Render,
}

/// Shared by the handlers of HTTP.
#[derive(Clone)]
struct Control {
    shards: Arc<[ShardLine]>,
    render: Render,
    stopping: Arc<AtomicBool>,
}

/// Tells all shards to stop. Each ends once its peers have taken its goodbye, within seconds.
pub fn stop_all(shards: &[ShardLine]) {
    for shard in shards {
        shard.send(Command::Stop);
    }
}

/// Starts the control thread: from here on SIGTERM and SIGINT stop the shards in good order, a second one ends the
/// process at once with 128 and its number.
///
/// # Errors
/// When the system has no thread or descriptor left.
pub fn start(plan: ControlPlan) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let metrics = match plan.metrics {
        Some(listener) => {
            listener.set_nonblocking(true)?;
            let _inside = runtime.enter();
            Some(tokio::net::TcpListener::from_std(listener)?)
        }
        None => None,
    };
    let signals = {
        let _inside = runtime.enter();
        Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        }
    };
    let control = Control {
        shards: plan.shards.into(),
        render: plan.render,
        stopping: Arc::new(AtomicBool::new(false)),
    };
    let thread = std::thread::Builder::new().name("control".to_owned());
    thread.spawn(move || runtime.block_on(run(control, metrics, signals)))?;
    Ok(())
}

async fn run(control: Control, metrics: Option<tokio::net::TcpListener>, mut signals: Signals) {
    if let Some(listener) = metrics {
        let router = Router::new()
            .route("/metrics", get(serve_metrics))
            .route("/health", get(serve_health))
            .with_state(control.clone());
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the metrics are not served any more");
            }
        });
    }
    let _ = signals.next().await;
    tracing::info!("stopping; a second signal ends at once");
    control.stopping.store(true, Ordering::Relaxed);
    stop_all(&control.shards);
    let number = signals.next().await;
    std::process::exit(128 + number);
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Number of the next signal.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => libc::SIGTERM,
            _ = self.interrupt.recv() => libc::SIGINT,
        }
    }
}

impl Control {
    /// Reports of all shards that answer in time, in the order of their numbers.
    async fn reports(&self) -> Vec<Report> {
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
        answers.sort_by_key(|report| report.shard.shard);
        answers
    }
}

async fn collect(
    arriving: &Receiver<Report>,
    arrived: &Notify,
    count: usize,
    answers: &mut Vec<Report>,
) {
    while answers.len() < count {
        match arriving.try_recv() {
            Ok(report) => answers.push(report),
            Err(_) => arrived.notified().await,
        }
    }
}

async fn serve_metrics(State(control): State<Control>) -> Response {
    let text = (control.render)(&control.reports().await);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn serve_health(State(control): State<Control>) -> Response {
    if control.stopping.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let answered = control.reports().await.len();
    let shards = control.shards.len();
    if answered < shards {
        let text = format!("{answered} of {shards} shards answer\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    "ok\n".into_response()
}
