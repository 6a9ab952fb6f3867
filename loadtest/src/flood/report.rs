//! What a flood of build requests comes to, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::swarm::DelaySummary;
use crate::system::Machine;

use super::FloodOptions;

/// How it was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Tunnel messages a second that were offered.
    pub rate: u64,
    /// Routers that flooded.
    pub peers: u8,
    /// Build requests a second that they were to send.
    pub requests: u32,
    /// Seconds of a window.
    pub window: f64,
    /// Seed of the run.
    pub seed: u64,
}

impl Settings {
    pub(super) fn new(options: &FloodOptions) -> Self {
        Self {
            rate: options.rate,
            peers: options.peers,
            requests: options.requests,
            window: options.window.as_secs_f64(),
            seed: options.seed,
        }
    }
}

/// What went through the tunnels in one window.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// Its length.
    pub seconds: f64,
    /// Messages sent.
    pub sent: u64,
    /// Right messages that arrived.
    pub delivered: u64,
    /// From sending to arrival, in microseconds.
    pub delay_micros: DelaySummary,
    /// Processors that the router under test kept busy.
    pub cpu_cores: f64,
    /// Share of the time for which one of its threads could have run and waited for a processor, threads added up.
    pub waited_for_cpu: f64,
    /// The same of this program.
    pub tool_waited_for_cpu: f64,
}

impl Window {
    fn per_second(&self) -> f64 {
        as_float(self.delivered) / self.seconds.max(1e-6)
    }
}

/// One window under the flood.
#[derive(Clone, Debug, Serialize)]
pub struct Flooded {
    /// What went through the tunnels.
    pub window: Window,
    /// Build requests sent.
    pub requests_sent: u64,
    /// Build requests that were due, and not sent because the router under test did not read.
    pub requests_held_back: u64,
    /// Build requests that were answered.
    pub answers: u64,
    /// Tunnels that it says it took.
    pub accepted_by_its_own_account: f64,
    /// Tunnels that it says it refused.
    pub refused_by_its_own_account: f64,
    /// What it says it dropped, by reason.
    pub drops_by_its_own_account: BTreeMap<String, f64>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct FloodReport {
    /// Name and version of this program.
    pub tool: String,
    /// When.
    pub date: String,
    /// The machine.
    pub machine: Machine,
    /// Name, version and settings of the router under test.
    pub target: String,
    /// How it was measured.
    pub settings: Settings,
    /// Tunnels that carried data.
    pub tunnels: u64,
    /// The windows without a flood.
    pub calm: Vec<Window>,
    /// Those with one, in turns with them.
    pub flooded: Vec<Flooded>,
}

impl FloodReport {
    /// What arrived under the flood, as a part of what arrived without it in the window before: the least of all pairs.
    #[must_use]
    pub fn kept(&self) -> f64 {
        let pairs = self.calm.iter().zip(&self.flooded);
        pairs
            .map(|(calm, flooded)| flooded.window.per_second() / calm.per_second().max(1e-6))
            .fold(f64::INFINITY, f64::min)
    }
}

impl fmt::Display for FloodReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { rate, peers, requests, window, .. } = self.settings;
        writeln!(f, "{}", self.target)?;
        let Machine { cpu, cores, kernel } = &self.machine;
        writeln!(f, "  {}; {cpu}, {cores} cores, Linux {kernel}", self.date)?;
        writeln!(
            f,
            "  {} tunnels, {rate} messages/s offered; {peers} peers with {requests} build requests/s; windows of {window} s",
            self.tunnels
        )?;
        for (calm, flooded) in self.calm.iter().zip(&self.flooded) {
            write!(f, "  without: {calm}  under:   {}", flooded.window)?;
            writeln!(
                f,
                "    {} requests sent, {} held back, {} answered; by its own account {} accepted, {} refused",
                flooded.requests_sent,
                flooded.requests_held_back,
                flooded.answers,
                flooded.accepted_by_its_own_account,
                flooded.refused_by_its_own_account
            )?;
            let drops = flooded.drops_by_its_own_account.iter();
            let drops: Vec<_> = drops.map(|(reason, count)| format!("{reason} {count}")).collect();
            if !drops.is_empty() {
                writeln!(f, "    dropped: {}", drops.join(", "))?;
            }
        }
        writeln!(f, "  kept under the flood: {:.1} % of the messages", self.kept() * 100.0)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DelaySummary { p50, p99, max, .. } = self.delay_micros;
        writeln!(
            f,
            "{:.0} messages/s of {:.0}, after {p50} us (p50), {p99} us (p99), {max} us at most",
            self.per_second(),
            as_float(self.sent) / self.seconds.max(1e-6)
        )?;
        writeln!(
            f,
            "    {:.2} cores busy; it waited for a processor for {:.1} % of the time, this program for {:.1} %",
            self.cpu_cores,
            self.waited_for_cpu * 100.0,
            self.tool_waited_for_cpu * 100.0
        )
    }
}

fn as_float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn window(delivered: u64) -> Window {
        Window {
            seconds: 10.0,
            sent: 1000,
            delivered,
            delay_micros: DelaySummary::default(),
            cpu_cores: 0.5,
            waited_for_cpu: 0.0,
            tool_waited_for_cpu: 0.0,
        }
    }

    fn flooded(delivered: u64) -> Flooded {
        Flooded {
            window: window(delivered),
            requests_sent: 500,
            requests_held_back: 3,
            answers: 20,
            accepted_by_its_own_account: 20.0,
            refused_by_its_own_account: 0.0,
            drops_by_its_own_account: BTreeMap::from([("build_rate".to_owned(), 480.0)]),
        }
    }

    #[test]
    fn the_worst_pair_counts_and_everything_is_shown() {
        let options = crate::flood::FloodOptions {
            tunnels: 1,
            rate: 100,
            peers: 2,
            requests: 50,
            window: Duration::from_secs(10),
            pairs: 2,
            seed: 1,
        };
        let report = FloodReport {
            tool: "loadtest".to_owned(),
            date: "2026-01-31 23:59".to_owned(),
            machine: Machine { cpu: "a".to_owned(), cores: 2, kernel: "b".to_owned() },
            target: "c".to_owned(),
            settings: Settings::new(&options),
            tunnels: 1,
            calm: vec![window(1000), window(800)],
            flooded: vec![flooded(940), flooded(720)],
        };
        assert!((report.kept() - 0.9).abs() < 1e-9);
        let text = report.to_string();
        for part in ["94 messages/s of 100", "3 held back", "build_rate 480", "90.0 %"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
