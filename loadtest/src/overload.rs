//! `loadtest overload`: what comes out of a router that is offered twice of what it can carry, and how late.
//!
//! Here the router gets a part of a processor, so that the load tool beside it is never what limits: what it carries at most
//! is measured first, by keeping every tunnel full.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::clock::Clock;
use crate::metrics;
use crate::quota::CpuQuota;
use crate::swarm::{DelaySummary, Pace, Swarm, SwarmConfig};
use crate::system::{self, Machine};
use crate::target::{NETWORK, Target};
use crate::tunnels::Role;

/// Time for the router under test to file what the handshakes told it.
const FILING: Duration = Duration::from_secs(2);
/// Messages under way in each tunnel while the most is looked for.
const WINDOW: u64 = 16;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct OverloadOptions {
    /// Played routers, 2 to 250.
    pub routers: u8,
    /// Tunnels of which the router under test is a participant.
    pub tunnels: usize,
    /// Percent of one processor that the router under test has.
    pub quota: u32,
    /// How much is offered, in percent of what it can carry: one part of the run each.
    pub offers: Vec<u32>,
    /// Length of each part.
    pub duration: Duration,
    /// What everything random follows from.
    pub seed: u64,
}

/// One part of the run.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Messages a second that were offered; `None` where every tunnel was kept full.
    pub offered_per_second: Option<f64>,
    /// Messages sent.
    pub sent: u64,
    /// Messages that were due and not sent, because the router under test did not read.
    pub held_back: u64,
    /// Right messages that arrived, for each second.
    pub delivered_per_second: f64,
    /// From sending to arrival, in microseconds.
    pub delay_micros: DelaySummary,
    /// Processors that the router under test kept busy.
    pub cpu_cores: f64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct OverloadReport {
    /// Name and version of this program.
    pub tool: String,
    /// When.
    pub date: String,
    /// The machine.
    pub machine: Machine,
    /// Name, version and settings of the router under test.
    pub target: String,
    /// Percent of a processor that it had.
    pub quota: u32,
    /// Tunnels.
    pub tunnels: u64,
    /// With every tunnel kept full.
    pub most: Part,
    /// At each of the rates.
    pub parts: Vec<Part>,
    /// What it says it dropped, by reason.
    pub drops_by_its_own_account: BTreeMap<String, f64>,
}

impl OverloadReport {
    /// The most that came out in any part, in messages a second.
    #[must_use]
    pub fn maximum(&self) -> f64 {
        let all = self.parts.iter().chain([&self.most]);
        all.map(|part| part.delivered_per_second).fold(0.0, f64::max)
    }
}

/// Measures `target`.
///
/// # Errors
/// When there is no quota to be had, a session is lost for good, the target ends, or `stop` is set by a signal.
pub fn overload(
    target: &mut Target,
    options: &OverloadOptions,
    clock: Clock,
    stop: &Arc<AtomicBool>,
    say: &mut dyn FnMut(&str),
) -> Result<OverloadReport> {
    let config = SwarmConfig {
        index: 0,
        routers: options.routers,
        network: NETWORK,
        seed: options.seed,
        capabilities: "ORG".to_owned(),
        content_size: 0,
    };
    let mut swarm = Swarm::new(config, clock, Arc::clone(stop))?;
    swarm.introduce(target.subject)?;
    swarm.run(FILING)?;
    say(&format!("building {} tunnels", options.tunnels));
    let built = swarm.build(Role::Participant, options.tunnels)?;
    if built.built == 0 {
        bail!("no tunnel came to be: {built:?}");
    }
    let quota = CpuQuota::new(target.pid(), options.quota)?;
    swarm.mark_start();
    say("every tunnel full");
    let most = run(target, &mut swarm, Pace::Window(WINDOW), options.duration, clock)?;
    let mut parts = Vec::new();
    for percent in &options.offers {
        let rate = most.delivered_per_second * f64::from(*percent) / 100.0;
        say(&format!("{rate:.0} messages a second, {percent} % of that"));
        let pace = Pace::Rate(as_count(rate));
        parts.push(run(target, &mut swarm, pace, options.duration, clock)?);
    }
    swarm.close_all();
    drop(quota);
    let told = target.metrics.map(metrics::scrape).transpose()?.unwrap_or_default();
    Ok(OverloadReport {
        tool: format!("loadtest {}", env!("CARGO_PKG_VERSION")),
        date: system::date(clock.now().unix),
        machine: Machine::this(),
        target: format!("{} {} ({})", target.kind, target.version, target.settings),
        quota: options.quota,
        tunnels: built.built,
        most,
        parts,
        drops_by_its_own_account: told.drops(),
    })
}

/// Half of `length` to come to rest at this pace, then `length` that counts, then a pause in which what is under way comes.
fn run(
    target: &mut Target,
    swarm: &mut Swarm,
    pace: Pace,
    length: Duration,
    clock: Clock,
) -> Result<Part> {
    swarm.set_pace(pace);
    swarm.run(length / 2)?;
    swarm.recent_delay();
    let ((sent, delivered), held_back) = (swarm.totals(), swarm.held_back());
    let (cpu, begun) = (target.cpu_time()?, clock.elapsed());
    swarm.run(length)?;
    let seconds = clock.elapsed().saturating_sub(begun).as_secs_f64().max(1e-6);
    let (sent_by_now, delivered_by_now) = swarm.totals();
    let part = Part {
        offered_per_second: match pace {
            Pace::Rate(rate) => Some(as_float(rate)),
            Pace::Idle | Pace::Window(_) => None,
        },
        sent: sent_by_now - sent,
        held_back: swarm.held_back() - held_back,
        delivered_per_second: as_float(delivered_by_now - delivered) / seconds,
        delay_micros: swarm.recent_delay(),
        cpu_cores: target.cpu_time()?.saturating_sub(cpu).as_secs_f64() / seconds,
    };
    if let Some(status) = target.ended() {
        bail!("the router under test has ended ({status})");
    }
    swarm.set_pace(Pace::Idle);
    swarm.run(FILING)?;
    Ok(part)
}

fn as_float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A rate of at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a float saturates, and a rate is not below zero"
)]
fn as_count(rate: f64) -> u64 {
    (rate as u64).max(1)
}

impl fmt::Display for OverloadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cores, kernel } = &self.machine;
        writeln!(f, "{}", self.target)?;
        writeln!(f, "  {}; {cpu}, {cores} cores, Linux {kernel}", self.date)?;
        writeln!(f, "  {} tunnels; it has {} % of a processor", self.tunnels, self.quota)?;
        write!(f, "  every tunnel full: {}", self.most)?;
        let maximum = self.maximum().max(1e-6);
        for part in &self.parts {
            let offered = part.offered_per_second.unwrap_or_default();
            write!(f, "  {offered:.0} messages/s offered: {part}")?;
            let of_maximum = part.delivered_per_second / maximum * 100.0;
            writeln!(f, "    {of_maximum:.1} % of the most that ever came out")?;
        }
        let drops = self.drops_by_its_own_account.iter();
        let drops: Vec<_> = drops.map(|(reason, count)| format!("{reason} {count}")).collect();
        if !drops.is_empty() {
            writeln!(f, "  dropped: {}", drops.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DelaySummary { p50, p99, max, .. } = self.delay_micros;
        writeln!(
            f,
            "{:.0} messages/s came out, after {p50} us (p50), {p99} us (p99), {max} us at most",
            self.delivered_per_second
        )?;
        writeln!(
            f,
            "    {} sent, {} held back; {:.2} cores busy",
            self.sent, self.held_back, self.cpu_cores
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(offered: Option<f64>, delivered: f64) -> Part {
        Part {
            offered_per_second: offered,
            sent: 2000,
            held_back: 7,
            delivered_per_second: delivered,
            delay_micros: DelaySummary::default(),
            cpu_cores: 0.2,
        }
    }

    #[test]
    fn a_part_is_shown_beside_the_most_of_all() {
        let report = OverloadReport {
            tool: "loadtest".to_owned(),
            date: "2026-01-31 23:59".to_owned(),
            machine: Machine { cpu: "a".to_owned(), cores: 2, kernel: "b".to_owned() },
            target: "c".to_owned(),
            quota: 20,
            tunnels: 1,
            most: part(None, 900.0),
            parts: vec![part(Some(1000.0), 1000.0), part(Some(2000.0), 950.0)],
            drops_by_its_own_account: BTreeMap::from([("late".to_owned(), 3.0)]),
        };
        assert!((report.maximum() - 1000.0).abs() < 1e-9);
        let text = report.to_string();
        for shown in ["95.0 % of the most", "7 held back", "late 3", "20 % of a processor"] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
    }

    #[test]
    fn a_rate_is_at_least_one() {
        assert_eq!([0.0, 0.4, 1.9, 1e6].map(as_count), [1, 1, 1, 1_000_000]);
    }
}
