//! `loadtest netdb`: how many records a floodfill takes and gives over sessions, what each costs it, and whether what it
//! gives is what it was given.

mod asking;
mod checks;
mod floods;
mod report;
mod window;

use std::iter;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Result, bail};
use floodway::wire::i2np::database_lookup::LookupKind;

use crate::clock::Clock;
use crate::metrics::{self, Metrics};
use crate::records::{Kept, Plan, Records};
use crate::swarm::{SwarmConfig, summary};
use crate::system::{self, Machine};
use crate::target::{NETWORK, Target};

use asking::{Askers, Pace};
use floods::{FloodCounts, Floodfills};

pub use asking::SESSIONS_MAX;
pub use report::{LookupFigures, NetdbReport, Settings, StoreFigures};

/// Played floodfills: one more than a record is passed on to.
pub const FLOODFILLS: u8 = 4;
/// Floodfills that a record is passed on to, as long as midnight UTC is not near.
const FLOOD_TARGETS: u64 = 3;
/// Time for the router under test to file what the handshakes told it, and to come to rest before its memory is read.
const REST: Duration = Duration::from_secs(2);
/// How long nothing may be passed on before what is missing is given up.
const SILENCE_MAX: Duration = Duration::from_millis(1500);

/// What is to be stored and looked up.
#[derive(Clone, Debug)]
pub struct NetdbOptions {
    /// RouterInfos that the router under test knows in the end, with those of the played routers.
    pub routers: usize,
    /// Lease sets.
    pub lease_sets: usize,
    /// Sessions that store and look up, 1 to 64.
    pub sessions: u8,
    /// Length of each measurement of lookups.
    pub duration: Duration,
    /// Lookups a second, above 0, that are measured besides "as fast as answers come" and half of that.
    pub rates: Vec<u32>,
    /// What everything random follows from.
    pub seed: u64,
}

/// One kind of record.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// Its label in the metrics of Floodway.
    label: &'static str,
    lookup: LookupKind,
    of: fn(&Records) -> &[Kept],
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "RouterInfo",
        label: "router_info",
        lookup: LookupKind::RouterInfo,
        of: |records| &records.routers,
    },
    Kind {
        name: "lease set",
        label: "lease_set",
        lookup: LookupKind::LeaseSet,
        of: |records| &records.lease_sets,
    },
];

/// Stores all records at `target`, then looks them up: as fast as it answers, at half of that rate, and at those given.
///
/// # Errors
/// When a session is lost for good, the target ends, or `stop` is set by a signal.
pub fn measure(
    target: &mut Target,
    options: &NetdbOptions,
    clock: Clock,
    stop: &Arc<AtomicBool>,
    say: &mut dyn FnMut(&str),
) -> Result<NetdbReport> {
    let played = usize::from(options.sessions) + usize::from(FLOODFILLS);
    let plan = Plan {
        routers: options.routers.saturating_sub(played),
        lease_sets: options.lease_sets,
        // None that nobody plays: the router under test would pass records on to them in vain.
        floodfill_every: None,
        published: clock.now().unix,
        seed: options.seed,
    };
    if plan.routers == 0 && plan.lease_sets == 0 {
        bail!("there is nothing to store: {played} routers are played");
    }
    say(&format!("making {} RouterInfos and {} lease sets", plan.routers, plan.lease_sets));
    let records = Arc::new(Records::make(&plan)?);
    let floodfills = swarm_config(options, 1, FLOODFILLS, "XfR");
    let mut floodfills =
        Floodfills::start(floodfills, target.subject, Arc::clone(&records), clock, stop)?;
    let sessions = swarm_config(options, 0, options.sessions, "LR");
    let mut askers = Askers::join(sessions, target.subject, clock, stop)?;
    askers.rest(REST)?;
    let ours = system::cpu_time(std::process::id())?;
    let mut run = Run { target, records, askers: &mut askers, floodfills: &floodfills, clock };
    let (mut stores, mut lookups) = (Vec::new(), Vec::new());
    for kind in KINDS {
        let count = (kind.of)(&run.records).len();
        if count > 0 {
            say(&format!("storing records of {count}: {}", kind.name));
            stores.push(run.store(kind)?);
        }
    }
    for kind in KINDS {
        if (kind.of)(&run.records).is_empty() {
            continue;
        }
        say(&format!("looking up: {}, as fast as answers come", kind.name));
        let fastest = run.look_up(kind, Pace::Window, options.duration)?;
        let half = fastest.answers_per_second / 2.0;
        lookups.push(fastest);
        for rate in iter::once(half).chain(options.rates.iter().copied().map(f64::from)) {
            say(&format!("looking up: {}, {rate:.0} a second", kind.name));
            lookups.push(run.look_up(kind, Pace::Rate(rate), options.duration)?);
        }
    }
    let redials = askers.close();
    floodfills.stop()?;
    Ok(NetdbReport {
        tool: format!("loadtest {}", env!("CARGO_PKG_VERSION")),
        date: system::date(clock.now().unix),
        machine: Machine::this(),
        target: format!("{} {} ({})", target.kind, target.version, target.settings),
        settings: Settings::new(options),
        stores,
        lookups,
        redials,
        tool_cpu_seconds: system::cpu_time(std::process::id())?.saturating_sub(ours).as_secs_f64(),
        drops_by_its_own_account: metrics_of(target)?.drops(),
    })
}

fn swarm_config(options: &NetdbOptions, index: u8, routers: u8, capabilities: &str) -> SwarmConfig {
    SwarmConfig {
        index,
        routers,
        network: NETWORK,
        seed: options.seed,
        capabilities: capabilities.to_owned(),
        content_size: 0,
    }
}

/// What the router under test says of itself; nothing if it has no metrics.
fn metrics_of(target: &Target) -> Result<Metrics> {
    Ok(target.metrics.map(metrics::scrape).transpose()?.unwrap_or_default())
}

fn as_float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn a_second(count: u64, time: Duration) -> f64 {
    as_float(count) / time.as_secs_f64().max(1e-6)
}

/// Processors that were busy for this.
fn cores(cpu: Duration, time: Duration) -> f64 {
    cpu.as_secs_f64() / time.as_secs_f64().max(1e-6)
}

/// All that a measurement needs.
struct Run<'a> {
    target: &'a mut Target,
    records: Arc<Records>,
    askers: &'a mut Askers,
    floodfills: &'a Floodfills,
    clock: Clock,
}

impl Run<'_> {
    fn check_alive(&mut self) -> Result<()> {
        match self.target.ended() {
            Some(status) => bail!("the router under test has ended ({status})"),
            None => Ok(()),
        }
    }

    fn store(&mut self, kind: Kind) -> Result<StoreFigures> {
        let records = Arc::clone(&self.records);
        let kept = (kind.of)(&records);
        let expected = u64::try_from(kept.len())? * FLOOD_TARGETS.min(u64::from(FLOODFILLS));
        let floods = self.floodfills.counts();
        let (memory, _) = system::memory(self.target.pid())?;
        let told = self.stored_by_its_own_account(kind)?;
        let (cpu, begun) = (self.target.cpu_time()?, self.clock.elapsed());
        let stored = self.askers.store(kept)?;
        let flooded = self.settle(floods, expected)?;
        let cpu = self.target.cpu_time()?.saturating_sub(cpu);
        self.check_alive()?;
        self.askers.rest(REST)?;
        let told = self.stored_by_its_own_account(kind)? - told;
        let grown = system::memory(self.target.pid())?.0.saturating_sub(memory);
        let until_flooded = flooded.last.saturating_sub(begun).max(stored.took);
        let for_each = |value: f64| value / as_float(stored.asked.max(1));
        Ok(StoreFigures {
            kind: kind.name,
            sent: stored.asked,
            acknowledged: stored.right,
            lost: stored.lost,
            wrong: stored.wrong,
            seconds: stored.took.as_secs_f64(),
            acknowledged_per_second: a_second(stored.right, stored.took),
            seconds_until_flooded: until_flooded.as_secs_f64(),
            flooded_per_second: a_second(stored.asked, until_flooded),
            cpu_micros_per_store: for_each(cpu.as_secs_f64() * 1e6),
            cpu_cores: cores(cpu, until_flooded),
            floods_expected: expected,
            floods: flooded.right,
            floods_wrong: flooded.wrong,
            stored_by_its_own_account: told,
            // In KiB, so that it fits a number that a float holds exactly.
            memory_bytes_per_record: for_each(as_float(grown >> 10) * 1024.0),
            signed_bytes: kept.iter().map(|kept| kept.signed).sum::<usize>() / kept.len().max(1),
            delay_micros: summary(&stored.delays),
        })
    }

    /// How many records of this kind the router under test says that it has stored; 0 if it says nothing.
    fn stored_by_its_own_account(&self, kind: Kind) -> Result<f64> {
        let labels = [("kind", kind.label), ("result", "stored")];
        Ok(metrics_of(self.target)?.sum("netdb_stores_total", &labels))
    }

    /// Waits for the copies that go to the played floodfills: until all have come, or none has for a while. What has
    /// come since `before`.
    fn settle(&mut self, before: FloodCounts, expected: u64) -> Result<FloodCounts> {
        let mut last = (before, self.clock.elapsed());
        loop {
            let (counts, now) = (self.floodfills.counts(), self.clock.elapsed());
            if counts != last.0 {
                last = (counts, now);
            }
            let since = FloodCounts {
                right: counts.right - before.right,
                wrong: counts.wrong - before.wrong,
                last: counts.last,
            };
            if since.right + since.wrong >= expected || now.saturating_sub(last.1) > SILENCE_MAX {
                return Ok(since);
            }
            self.askers.rest(Duration::from_millis(10))?;
        }
    }

    /// How long the router under test, and this program, have waited for a processor.
    fn waiting_times(&self) -> Result<(Duration, Duration)> {
        let of = system::waiting_time;
        Ok((of(self.target.pid())?, of(std::process::id())?))
    }

    fn look_up(&mut self, kind: Kind, pace: Pace, duration: Duration) -> Result<LookupFigures> {
        let records = Arc::clone(&self.records);
        let kept = (kind.of)(&records);
        let cpu = self.target.cpu_time()?;
        let waited = self.waiting_times()?;
        let told = metrics_of(self.target)?;
        let answered = self.askers.look_up(kept, kind.lookup, pace, duration)?;
        let cpu = self.target.cpu_time()?.saturating_sub(cpu);
        let waits = self.waiting_times()?;
        let share = |to: Duration, from| cores(to.saturating_sub(from), answered.took);
        self.check_alive()?;
        if answered.lost > 0 {
            // What comes late is not to be taken for an answer to what is asked next.
            self.askers.rest(REST)?;
        }
        Ok(LookupFigures {
            kind: kind.name,
            offered_per_second: match pace {
                Pace::Window => None,
                Pace::Rate(rate) => Some(rate),
            },
            asked: answered.asked,
            answered: answered.right,
            wrong: answered.wrong,
            referred: answered.referred,
            lost: answered.lost,
            held_back: answered.held_back,
            records: kept.len(),
            seconds: answered.took.as_secs_f64(),
            answers_per_second: a_second(answered.right, answered.took),
            cpu_micros_per_answer: cpu.as_secs_f64() * 1e6 / as_float(answered.right.max(1)),
            cpu_cores: cores(cpu, answered.took),
            waited_for_cpu: share(waits.0, waited.0),
            tool_waited_for_cpu: share(waits.1, waited.1),
            delay_micros: summary(&answered.delays),
            delay_since_sent_micros: summary(&answered.delays_since_sent),
            tool_late_micros: summary(&answered.lateness),
            own_delay_p99_micros: metrics_of(self.target)?
                .bound(&told, "lookup_delay_seconds", 0.99)
                .map(|seconds| seconds * 1e6),
        })
    }
}
