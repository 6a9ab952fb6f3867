//! `loadtest flood`: what is left to tunnels while many neighbours ask for more of them than any router could build.
//!
//! Windows without and with the flood take turns, so that what else the machine does hits both. The requests are made before
//! their window: making one costs more than answering it.

mod report;
mod requests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use crate::clock::Clock;
use crate::metrics::{self, Metrics};
use crate::swarm::{Pace, Swarm, SwarmConfig};
use crate::system::{self, Machine};
use crate::target::{NETWORK, Target};
use crate::tunnels::Role;

pub use report::{FloodReport, Flooded, Settings, Window};
use requests::Flooders;

/// Played routers that carry data, beside those that flood.
const CARRIERS: u8 = 16;
/// Between two looks at whether the requests for the next window are made.
const LOOK: Duration = Duration::from_millis(200);
/// After a window with a flood, so that what it left is not counted in the next.
const REST: Duration = Duration::from_secs(2);
/// Time for the router under test to file what the handshakes told it.
const FILING: Duration = Duration::from_secs(2);

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct FloodOptions {
    /// Tunnels that carry data; the router under test is their participant.
    pub tunnels: usize,
    /// Tunnel messages a second that are offered, over all of them.
    pub rate: u64,
    /// Routers that flood, each in a subnet of its own, 2 to 200.
    pub peers: u8,
    /// Build requests a second, of all of them.
    pub requests: u32,
    /// Length of a window.
    pub window: Duration,
    /// Pairs of windows, one without and one with the flood.
    pub pairs: u32,
    /// What everything random follows from.
    pub seed: u64,
}

/// Measures how many messages `target` carries without and with a flood of build requests.
///
/// # Errors
/// When a session is lost for good, the target ends, or `stop` is set by a signal.
pub fn besiege(
    target: &mut Target,
    options: &FloodOptions,
    clock: Clock,
    stop: &Arc<AtomicBool>,
    say: &mut dyn FnMut(&str),
) -> Result<FloodReport> {
    let config = |index, routers| SwarmConfig {
        index,
        routers,
        network: NETWORK,
        seed: options.seed,
        capabilities: "ORG".to_owned(),
        content_size: 0,
    };
    let mut carriers = Swarm::new(config(0, CARRIERS), clock, Arc::clone(stop))?;
    carriers.introduce(target.subject)?;
    let flooding = Swarm::in_many_subnets(&config(1, options.peers), clock, Arc::clone(stop))?;
    let mut flooders = Flooders::join(flooding, target.subject)?;
    carriers.run(FILING)?;
    say(&format!("building {} tunnels", options.tunnels));
    let built = carriers.build(Role::Participant, options.tunnels)?;
    if built.built == 0 {
        bail!("no tunnel came to be: {built:?}");
    }
    carriers.set_pace(Pace::Rate(options.rate));
    carriers.run(REST)?;
    carriers.mark_start();
    let mut report = FloodReport {
        tool: format!("loadtest {}", env!("CARGO_PKG_VERSION")),
        date: system::date(clock.now().unix),
        machine: Machine::this(),
        target: format!("{} {} ({})", target.kind, target.version, target.settings),
        settings: Settings::new(options),
        tunnels: built.built,
        calm: Vec::new(),
        flooded: Vec::new(),
    };
    for pair in 1..=options.pairs {
        say(&format!("pair {pair} of {}: without the flood", options.pairs));
        report.calm.push(measure(target, &mut carriers, options.window, clock)?);
        say("making the requests");
        flooders = make(flooders, &mut carriers, options)?;
        say(&format!("pair {pair} of {}: under the flood", options.pairs));
        let (flooded, back) = flood(target, &mut carriers, flooders, options, clock)?;
        report.flooded.push(flooded);
        flooders = back;
        carriers.run(REST)?;
    }
    flooders.close();
    carriers.close_all();
    Ok(report)
}

/// Has `flooders` make what they send in the next window, while `carriers` go on.
fn make(flooders: Flooders, carriers: &mut Swarm, options: &FloodOptions) -> Result<Flooders> {
    let count = usize::try_from(options.requests)?
        .saturating_mul(usize::try_from(options.window.as_millis())?)
        / 1000;
    let making = thread::Builder::new().name("requests".to_owned()).spawn(move || {
        let mut flooders = flooders;
        flooders.make(count).map(|()| flooders)
    })?;
    while !making.is_finished() {
        carriers.run(LOOK)?;
    }
    making.join().map_err(|_| anyhow!("a thread of the load tool broke"))?
}

fn flood(
    target: &mut Target,
    carriers: &mut Swarm,
    flooders: Flooders,
    options: &FloodOptions,
    clock: Clock,
) -> Result<(Flooded, Flooders)> {
    let before = metrics_of(target)?;
    let (rate, length) = (options.requests, options.window);
    let flooding = thread::Builder::new().name("flood".to_owned()).spawn(move || {
        let mut flooders = flooders;
        flooders.flood(rate, length, clock).map(|sent| (sent, flooders))
    })?;
    let window = measure(target, carriers, length, clock)?;
    while !flooding.is_finished() {
        carriers.run(LOOK)?;
    }
    let (sent, flooders) =
        flooding.join().map_err(|_| anyhow!("a thread of the load tool broke"))??;
    let after = metrics_of(target)?;
    let since = |name, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    let earlier = before.drops();
    let drops = after.drops().into_iter().filter_map(|(reason, count)| {
        let count = count - earlier.get(&reason).copied().unwrap_or(0.0);
        (count > 0.0).then_some((reason, count))
    });
    let flooded = Flooded {
        window,
        requests_sent: sent.sent,
        requests_held_back: sent.held_back,
        answers: sent.answers,
        accepted_by_its_own_account: since("builds_total", &[("result", "accepted")]),
        refused_by_its_own_account: since("builds_total", &[("result", "refused")]),
        drops_by_its_own_account: drops.collect(),
    };
    Ok((flooded, flooders))
}

/// What goes through the tunnels of `carriers` for so long.
fn measure(
    target: &mut Target,
    carriers: &mut Swarm,
    length: Duration,
    clock: Clock,
) -> Result<Window> {
    let used = |target: &Target| -> Result<_> {
        let pids = [target.pid(), std::process::id()];
        let [waited, ours] = pids.map(system::waiting_time);
        Ok((target.cpu_time()?, waited?, ours?))
    };
    carriers.recent_delay();
    let (sent, delivered) = carriers.totals();
    let (cpu, waited, tool_waited) = used(target)?;
    let begun = clock.elapsed();
    carriers.run(length)?;
    let took = clock.elapsed().saturating_sub(begun);
    let (sent_by_now, delivered_by_now) = carriers.totals();
    let (cpu_by_now, waited_by_now, tool_waited_by_now) = used(target)?;
    if let Some(status) = target.ended() {
        bail!("the router under test has ended ({status})");
    }
    let share = |to: Duration, from: Duration| {
        to.saturating_sub(from).as_secs_f64() / took.as_secs_f64().max(1e-6)
    };
    Ok(Window {
        seconds: took.as_secs_f64(),
        sent: sent_by_now - sent,
        delivered: delivered_by_now - delivered,
        delay_micros: carriers.recent_delay(),
        cpu_cores: share(cpu_by_now, cpu),
        waited_for_cpu: share(waited_by_now, waited),
        tool_waited_for_cpu: share(tool_waited_by_now, tool_waited),
    })
}

fn metrics_of(target: &Target) -> Result<Metrics> {
    Ok(target.metrics.map(metrics::scrape).transpose()?.unwrap_or_default())
}
