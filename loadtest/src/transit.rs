//! `loadtest transit`: how many tunnel messages a router relays, what becomes of each, and what it costs.

mod report;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::clock::Clock;
use crate::metrics;
use crate::swarm::{BuildCounts, Pace, Swarm, SwarmConfig, SwarmError, SwarmReport};
use crate::system::{self, Machine};
use crate::target::{NETWORK, Target};
use crate::tunnels::{ROLES, Role};

pub use report::{RoleFigures, Settings, TargetFigures, TransitReport};

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct TransitOptions {
    /// Played routers, at least 2 for each thread.
    pub routers: u8,
    /// Tunnels in each role.
    pub tunnels: usize,
    /// Roles that the router under test is to have.
    pub roles: Vec<Role>,
    /// How much is sent, over all tunnels.
    pub pace: Pace,
    /// Time before the measurement.
    pub warm_up: Duration,
    /// Time of the measurement.
    pub duration: Duration,
    /// Everything random on our side follows from it.
    pub seed: u64,
    /// Bytes of content in the messages of gateways and endpoints.
    pub content_size: usize,
    /// Threads of the load tool.
    pub threads: u8,
}

/// What a thread has done when it is through.
struct Worked {
    builds: Vec<(Role, BuildCounts)>,
    report: SwarmReport,
}

/// Times that all threads keep, in microseconds of the clock; set once the tunnels stand.
#[derive(Default)]
struct Schedule {
    start: AtomicU64,
}

/// What the router under test, or we, have used up at some time.
struct Reading {
    target: Duration,
    ours: Duration,
    at: Duration,
}

/// Measures `target`.
///
/// # Errors
/// When no session comes about, when the target ends, or when `stop` is set by a signal.
pub fn measure(
    target: &mut Target,
    options: &TransitOptions,
    clock: Clock,
    stop: &Arc<AtomicBool>,
    progress: &mut dyn FnMut(&str),
) -> Result<TransitReport> {
    let threads = options.threads.clamp(1, options.routers / 2);
    if options.routers < 2 {
        bail!("at least 2 routers are needed, {} were asked for", options.routers);
    }
    let ready = Arc::new(Barrier::new(usize::from(threads) + 1));
    let schedule = Arc::new(Schedule::default());
    let failed = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for index in 0..threads {
        let worker = Worker {
            swarm: swarm_config(options, index, threads),
            options: options.clone(),
            tunnels: share(options.tunnels, index, threads),
            pace: share_of_pace(options.pace, index, threads),
            subject: target.subject,
            clock,
            stop: Arc::clone(stop),
            failed: Arc::clone(&failed),
            ready: Arc::clone(&ready),
            schedule: Arc::clone(&schedule),
        };
        workers.push(thread::Builder::new().name(format!("swarm-{index}")).spawn(|| worker.run())?);
    }
    progress("introducing the played routers and building tunnels");
    ready.wait();
    let start = clock.elapsed() + options.warm_up;
    schedule.start.store(micros(start), Ordering::Release);
    ready.wait();
    let readings = if failed.load(Ordering::Acquire) {
        Err(anyhow!("the load did not start"))
    } else {
        watch(target, options, start, clock, stop, progress)
    };
    if readings.is_err() {
        stop.store(true, Ordering::Release);
    }
    let mut worked = Vec::new();
    for worker in workers {
        let outcome = worker.join().map_err(|_| anyhow!("a thread of the load tool broke"))?;
        worked.push(outcome?);
    }
    let (from, to) = readings?;
    let memory = system::memory(target.pid()).unwrap_or_default();
    progress("done");
    Ok(assemble(target, options, threads, &worked, &from, &to, memory, clock))
}

fn swarm_config(options: &TransitOptions, index: u8, threads: u8) -> SwarmConfig {
    let routers = share(usize::from(options.routers), index, threads);
    SwarmConfig {
        index,
        routers: u8::try_from(routers).unwrap_or(u8::MAX),
        network: NETWORK,
        seed: options.seed,
        // G: others need not try to build through routers that only pretend.
        capabilities: "ORG".to_owned(),
        content_size: options.content_size,
    }
}

/// The part of `whole` that thread `index` of `threads` does.
fn share(whole: usize, index: u8, threads: u8) -> usize {
    let (index, threads) = (usize::from(index), usize::from(threads));
    whole / threads + usize::from(index < whole % threads)
}

fn share_of_pace(pace: Pace, index: u8, threads: u8) -> Pace {
    match pace {
        Pace::Idle => Pace::Idle,
        Pace::Rate(rate) => {
            let whole = usize::try_from(rate).unwrap_or(usize::MAX);
            Pace::Rate(u64::try_from(share(whole, index, threads)).unwrap_or(u64::MAX))
        }
        Pace::Window(window) => Pace::Window(window),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Waits through warm-up and measurement, and reads what was used at its beginning and end.
fn watch(
    target: &mut Target,
    options: &TransitOptions,
    start: Duration,
    clock: Clock,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&str),
) -> Result<(Reading, Reading)> {
    progress(&format!("warming up for {} s", options.warm_up.as_secs()));
    wait_until(start, target, clock, stop)?;
    let from = read(target, clock)?;
    progress(&format!("measuring for {} s", options.duration.as_secs()));
    wait_until(start + options.duration, target, clock, stop)?;
    let to = read(target, clock)?;
    progress("waiting for the last messages");
    Ok((from, to))
}

fn wait_until(end: Duration, target: &mut Target, clock: Clock, stop: &AtomicBool) -> Result<()> {
    loop {
        if stop.load(Ordering::Acquire) {
            bail!("interrupted");
        }
        if let Some(status) = target.ended() {
            bail!("the router under test has ended ({status})");
        }
        let left = end.saturating_sub(clock.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(100)));
    }
}

fn read(target: &Target, clock: Clock) -> Result<Reading> {
    Ok(Reading {
        target: target.cpu_time()?,
        ours: system::cpu_time(std::process::id())?,
        at: clock.elapsed(),
    })
}

/// One thread of the load tool.
struct Worker {
    swarm: SwarmConfig,
    options: TransitOptions,
    tunnels: usize,
    pace: Pace,
    subject: crate::swarm::Subject,
    clock: Clock,
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
    ready: Arc<Barrier>,
    schedule: Arc<Schedule>,
}

impl Worker {
    fn run(self) -> Result<Worked> {
        let prepared = self.prepare();
        if prepared.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        // Everybody comes to both meetings, whatever has happened before.
        self.ready.wait();
        self.ready.wait();
        let (mut swarm, builds) = prepared.context("preparing the load")?;
        let outcome = self.load(&mut swarm);
        swarm.close_all();
        outcome.context("under load")?;
        Ok(Worked { builds, report: swarm.report() })
    }

    fn prepare(&self) -> Result<(Swarm, Vec<(Role, BuildCounts)>), SwarmError> {
        let mut swarm = Swarm::new(self.swarm.clone(), self.clock, Arc::clone(&self.stop))?;
        swarm.introduce(self.subject)?;
        // Long enough for the router under test to file what the handshakes told it.
        swarm.run(Duration::from_secs(2))?;
        let mut builds = Vec::new();
        for role in &self.options.roles {
            builds.push((*role, swarm.build(*role, self.tunnels)?));
        }
        Ok((swarm, builds))
    }

    fn load(&self, swarm: &mut Swarm) -> Result<(), SwarmError> {
        let start = Duration::from_micros(self.schedule.start.load(Ordering::Acquire));
        if self.failed.load(Ordering::Acquire) {
            return Err(SwarmError::Interrupted);
        }
        swarm.set_pace(self.pace);
        swarm.run(start.saturating_sub(self.clock.elapsed()))?;
        swarm.mark_start();
        let end = start + self.options.duration;
        swarm.run(end.saturating_sub(self.clock.elapsed()))?;
        swarm.mark_end();
        swarm.drain()
    }
}

#[expect(clippy::too_many_arguments, reason = "one place where everything measured comes together")]
fn assemble(
    target: &Target,
    options: &TransitOptions,
    threads: u8,
    worked: &[Worked],
    from: &Reading,
    to: &Reading,
    memory: (u64, u64),
    clock: Clock,
) -> TransitReport {
    let mut report = TransitReport {
        tool: format!("loadtest {}", env!("CARGO_PKG_VERSION")),
        date: system::date(clock.now().unix),
        machine: Machine::this(),
        target: TargetFigures {
            kind: target.kind.to_owned(),
            version: target.version.clone(),
            settings: target.settings.clone(),
            threads: system::threads(target.pid()),
            cpu_seconds: to.target.saturating_sub(from.target).as_secs_f64(),
            cpu_micros_per_message: 0.0,
            memory_bytes: memory.0,
            memory_bytes_max: memory.1,
            drops_by_its_own_account: target
                .metrics
                .and_then(|address| metrics::scrape(address).ok())
                .map(|metrics| metrics.drops())
                .unwrap_or_default(),
        },
        settings: Settings::new(options, threads),
        seconds: to.at.saturating_sub(from.at).as_secs_f64(),
        roles: std::collections::BTreeMap::new(),
        total: RoleFigures::default(),
        held_back: worked.iter().map(|worked| worked.report.held_back).sum(),
        redials: worked.iter().map(|worked| worked.report.redials).sum(),
        tool_cpu_seconds: to.ours.saturating_sub(from.ours).as_secs_f64(),
    };
    let mut total = crate::swarm::RoleReport::empty();
    let mut all_builds = BuildCounts::default();
    for role in ROLES.into_iter().filter(|role| options.roles.contains(role)) {
        let mut sum = crate::swarm::RoleReport::empty();
        let mut builds = BuildCounts::default();
        for worked in worked {
            if let Some(found) = worked.report.roles.get(&role) {
                sum.add(found);
            }
            for (_, found) in worked.builds.iter().filter(|(of, _)| *of == role) {
                builds.add(found);
            }
        }
        total.add(&sum);
        all_builds.add(&builds);
        report.roles.insert(role, RoleFigures::new(builds, &sum, report.seconds));
    }
    report.total = RoleFigures::new(all_builds, &total, report.seconds);
    let delivered = report.total.delivered.max(1);
    report.target.cpu_micros_per_message =
        report.target.cpu_seconds * 1e6 / report::as_float(delivered);
    report
}
