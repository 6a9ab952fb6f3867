//! `loadtest compare`: two routers in turn at one load, on one machine, in one table.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use serde::Serialize;

use crate::clock::Clock;
use crate::swarm::Pace;
use crate::target::{FloodwayOptions, I2pdOptions, Target, start_floodway, start_i2pd};
use crate::transit::{TransitOptions, TransitReport, measure};

/// What is compared.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// How often each router is measured.
    pub pairs: u32,
    /// The load, the same for both.
    pub load: TransitOptions,
    /// How Floodway is started.
    pub floodway: FloodwayOptions,
    /// How i2pd is started.
    pub i2pd: I2pdOptions,
}

/// All measurements, in the order in which they were made: Floodway, i2pd, Floodway, ...
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The measurements.
    pub reports: Vec<TransitReport>,
}

/// Measures Floodway and i2pd in turn, each time started anew.
///
/// # Errors
/// When one does not start or does not last.
pub fn compare(
    options: &CompareOptions,
    clock: Clock,
    stop: &Arc<AtomicBool>,
    progress: &mut dyn FnMut(&str),
) -> Result<Comparison> {
    let mut reports = Vec::new();
    for pair in 1..=options.pairs {
        let mut one = |target: Result<Target>| -> Result<TransitReport> {
            let mut target = target?;
            progress(&format!("pair {pair} of {}: {}", options.pairs, target.kind));
            let report = measure(&mut target, &options.load, clock, stop, progress);
            target.stop(clock)?;
            report
        };
        reports.push(one(start_floodway(&options.floodway, clock))?);
        reports.push(one(start_i2pd(&options.i2pd, clock))?);
    }
    Ok(Comparison { reports })
}

impl Comparison {
    /// Whether every single measurement was sound.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.reports.iter().all(TransitReport::is_sound)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.reports.first() else { return Ok(()) };
        let set = &first.settings;
        let pace = match (set.rate, set.window) {
            (Some(rate), _) => format!("{rate} messages a second offered"),
            (None, window) => format!("{} messages under way in each tunnel", window.unwrap_or(0)),
        };
        writeln!(
            f,
            "{}. {}. {} played routers, {} tunnels in each of {} roles, {pace}, {:.0} s measured after {:.0} s of \
             warm-up, every message checked; {}.\n",
            first.date,
            first.machine,
            set.routers,
            set.tunnels_per_role,
            first.roles.len(),
            set.duration_seconds,
            set.warm_up_seconds,
            first.tool,
        )?;
        writeln!(f, "{}", TransitReport::table_head())?;
        for report in &self.reports {
            writeln!(f, "{}", report.table_row())?;
        }
        let mut named: Vec<String> = self
            .reports
            .iter()
            .map(|report| format!("{}: {}", report.target.kind, report.target.settings))
            .collect();
        named.sort();
        named.dedup();
        write!(f, "\n{}.", named.join("; "))
    }
}

impl CompareOptions {
    /// Whether both routers get the same load whatever they can do.
    #[must_use]
    pub fn has_fixed_load(&self) -> bool {
        match self.load.pace {
            Pace::Rate(_) => true,
            Pace::Idle | Pace::Window(_) => false,
        }
    }
}
