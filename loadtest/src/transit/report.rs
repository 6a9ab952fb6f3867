//! The figures of a measurement, as text, JSON and a row of a table.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::swarm::{BuildCounts, DelaySummary, Pace, RoleReport};
use crate::system::Machine;
use crate::tunnels::Role;

use super::TransitOptions;

/// How the load was set.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Played routers.
    pub routers: u8,
    /// Tunnels in each role.
    pub tunnels_per_role: usize,
    /// Messages offered a second; none when as many as arrive are sent.
    pub rate: Option<u64>,
    /// Messages under way in each tunnel; none at a fixed rate.
    pub window: Option<u64>,
    /// Seconds before the measurement.
    pub warm_up_seconds: f64,
    /// Seconds of the measurement, as asked for.
    pub duration_seconds: f64,
    /// Bytes of content in the messages of gateways and endpoints.
    pub content_bytes: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Threads of the load tool.
    pub threads: u8,
}

impl Settings {
    pub(super) fn new(options: &TransitOptions, threads: u8) -> Self {
        let (rate, window) = match options.pace {
            Pace::Idle => (Some(0), None),
            Pace::Rate(rate) => (Some(rate), None),
            Pace::Window(window) => (None, Some(window)),
        };
        Self {
            routers: options.routers,
            tunnels_per_role: options.tunnels,
            rate,
            window,
            warm_up_seconds: options.warm_up.as_secs_f64(),
            duration_seconds: options.duration.as_secs_f64(),
            content_bytes: options.content_size,
            seed: options.seed,
            threads,
        }
    }
}

/// What the router under test is and what it used during the measurement.
#[derive(Clone, Debug, Serialize)]
pub struct TargetFigures {
    /// `floodway` or `i2pd`.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// How it was set.
    pub settings: String,
    /// Its threads.
    pub threads: usize,
    /// CPU time of all of its threads, user and system.
    pub cpu_seconds: f64,
    /// The same for each delivered message.
    pub cpu_micros_per_message: f64,
    /// Resident memory at the end.
    pub memory_bytes: u64,
    /// The most resident memory.
    pub memory_bytes_max: u64,
    /// What it says that it dropped since its start, by reason: for whoever looks for the cause of a loss.
    pub drops_by_its_own_account: BTreeMap<String, f64>,
}

/// What the messages of one role came to, or of all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RoleFigures {
    /// How the builds went.
    pub builds: BuildCounts,
    /// Messages sent during the measurement.
    pub sent: u64,
    /// Right messages that arrived during the measurement.
    pub delivered: u64,
    /// The same for each second.
    pub delivered_per_second: f64,
    /// Messages sent during the measurement that never arrived.
    pub lost: u64,
    /// Share of those sent.
    pub loss: f64,
    /// Right messages behind one with a higher number.
    pub reordered: u64,
    /// Messages that came again.
    pub duplicates: u64,
    /// Messages whose content was changed.
    pub corrupt: u64,
    /// Messages at the wrong end.
    pub misdelivered: u64,
    /// Delays in microseconds.
    pub delay_micros: DelaySummary,
}

impl RoleFigures {
    pub(super) fn new(builds: BuildCounts, report: &RoleReport, seconds: f64) -> Self {
        Self {
            builds,
            sent: report.sent,
            delivered: report.delivered,
            delivered_per_second: as_float(report.delivered) / seconds.max(0.001),
            lost: report.lost,
            loss: as_float(report.lost) / as_float(report.sent.max(1)),
            reordered: report.reordered,
            duplicates: report.duplicates,
            corrupt: report.corrupt,
            misdelivered: report.misdelivered,
            delay_micros: report.delay(),
        }
    }
}

/// All that a measurement gave.
#[derive(Clone, Debug, Serialize)]
pub struct TransitReport {
    /// Name and version of the load tool.
    pub tool: String,
    /// When, UTC.
    pub date: String,
    /// On what.
    pub machine: Machine,
    /// The router under test.
    pub target: TargetFigures,
    /// The load.
    pub settings: Settings,
    /// Seconds that were measured.
    pub seconds: f64,
    /// By role of the router under test.
    pub roles: BTreeMap<Role, RoleFigures>,
    /// All roles together.
    pub total: RoleFigures,
    /// Messages that were due but not sent because the router under test did not read.
    pub held_back: u64,
    /// Sessions that were lost and opened again.
    pub redials: u64,
    /// CPU time of the load tool during the measurement.
    pub tool_cpu_seconds: f64,
}

impl TransitReport {
    /// Whether the router under test did what a relay must: all tunnels stand, and nothing was changed, doubled or
    /// sent astray. Loss is a figure, not a fault.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let asked = self.settings.tunnels_per_role * self.roles.len();
        let faults = self.total.corrupt + self.total.duplicates + self.total.misdelivered;
        faults == 0 && u64::try_from(asked).is_ok_and(|asked| asked == self.total.builds.built)
    }

    /// The head of a table of reports.
    #[must_use]
    pub fn table_head() -> &'static str {
        "| router | version | delivered/s | loss | duplicates, reordered, corrupt | delay p50 / p99 | CPU a message \
         | CPU cores | memory |\n|---|---|---|---|---|---|---|---|---|"
    }

    /// This report as a row of that table.
    #[must_use]
    pub fn table_row(&self) -> String {
        let total = &self.total;
        format!(
            "| {} | {} | {:.0} | {} | {}, {}, {} | {} / {} | {:.1} µs | {:.2} | {} MB |",
            self.target.kind,
            self.target.version,
            total.delivered_per_second,
            percent(total.loss),
            total.duplicates,
            total.reordered,
            total.corrupt,
            millis(total.delay_micros.p50),
            millis(total.delay_micros.p99),
            self.target.cpu_micros_per_message,
            self.target.cpu_seconds / self.seconds.max(0.001),
            self.target.memory_bytes_max / 1_000_000,
        )
    }
}

impl fmt::Display for TransitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = &self.target;
        writeln!(f, "{} {} ({})", target.kind, target.version, target.settings)?;
        writeln!(f, "  {}; {}; {}", self.date, self.machine, self.tool)?;
        let set = &self.settings;
        let pace = match (set.rate, set.window) {
            (Some(rate), _) => format!("{rate} messages a second offered"),
            (None, Some(window)) => format!("{window} messages under way in each tunnel"),
            (None, None) => "nothing sent".to_owned(),
        };
        writeln!(
            f,
            "  {} played routers, {} tunnels in each role, {pace}, {:.1} s measured after {:.0} s",
            set.routers, set.tunnels_per_role, self.seconds, set.warm_up_seconds
        )?;
        writeln!(
            f,
            "\n  {:<12}{:>8}{:>12}{:>11}{:>8}{:>10}{:>10}{:>9}{:>10}{:>10}",
            "role",
            "tunnels",
            "delivered/s",
            "sent",
            "lost",
            "reordered",
            "duplicate",
            "corrupt",
            "p50 ms",
            "p99 ms"
        )?;
        for (role, figures) in &self.roles {
            write_row(f, &role.to_string(), figures)?;
        }
        write_row(f, "all", &self.total)?;
        writeln!(f)?;
        let builds = &self.total.builds;
        writeln!(
            f,
            "  builds: {} requests, {} built, {} refused, {} unanswered, {} unreadable",
            builds.requests, builds.built, builds.refused, builds.unanswered, builds.unreadable
        )?;
        if self.total.misdelivered + self.held_back + self.redials > 0 {
            writeln!(
                f,
                "  misdelivered {}, held back because it did not read {}, sessions opened again {}",
                self.total.misdelivered, self.held_back, self.redials
            )?;
        }
        writeln!(
            f,
            "  CPU of the router: {:.2} s, {:.1} µs for each message delivered, {:.2} cores, {} threads",
            target.cpu_seconds,
            target.cpu_micros_per_message,
            target.cpu_seconds / self.seconds.max(0.001),
            target.threads
        )?;
        writeln!(
            f,
            "  memory of the router: {} MB, at most {} MB",
            target.memory_bytes / 1_000_000,
            target.memory_bytes_max / 1_000_000
        )?;
        if self.total.lost > 0 && !target.drops_by_its_own_account.is_empty() {
            let drops = &target.drops_by_its_own_account;
            let drops: Vec<String> = drops.iter().map(|(why, n)| format!("{why} {n}")).collect();
            writeln!(f, "  dropped by its own account: {}", drops.join(", "))?;
        }
        write!(f, "  CPU of the load tool: {:.2} s", self.tool_cpu_seconds)
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, name: &str, figures: &RoleFigures) -> fmt::Result {
    writeln!(
        f,
        "  {:<12}{:>8}{:>12.0}{:>11}{:>8}{:>10}{:>10}{:>9}{:>10}{:>10}",
        name,
        figures.builds.built,
        figures.delivered_per_second,
        figures.sent,
        figures.lost,
        figures.reordered,
        figures.duplicates,
        figures.corrupt,
        millis(figures.delay_micros.p50),
        millis(figures.delay_micros.p99),
    )
}

/// A count as a float: exact below 2^53, which no count here reaches.
#[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^53")]
pub(super) fn as_float(count: u64) -> f64 {
    count as f64
}

fn millis(micros: u64) -> String {
    format!("{:.2}", as_float(micros) / 1000.0)
}

fn percent(share: f64) -> String {
    if share == 0.0 { "0".to_owned() } else { format!("{:.4} %", share * 100.0) }
}
