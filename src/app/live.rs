//! The running router as the control thread asks it: its metrics, its status, and its configuration read anew.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::actor::node::NodeConfig;
use crate::app::args::RunArgs;
use crate::app::config::{Build, Config, Difference};
use crate::app::log::LogSwitch;
use crate::app::reseed::background::Reseeder;
use crate::app::{metrics, reseed, run};
use crate::base::id::RouterHash;
use crate::base::time::Instant;
use crate::proto::tunnel::admission::Duty;
use crate::runtime::clock::{self, Clock};
use crate::runtime::control::{Phase, Program, Refused, Reloaded, total, total_of};
use crate::runtime::disk::RecordReader;
use crate::shard::report::ShardReport;
use crate::wire::base64;

/// From so many seconds on a wrong clock is warned of: half of what others bear.
const CLOCK_WARNING: u64 = 30;

/// What a running router is asked through.
pub struct Live {
    args: RunArgs,
    log: LogSwitch,
    clock: Clock,
    started: Instant,
    published: SocketAddr,
    reseeder: Reseeder,
    records: Option<RecordReader>,
    state: Mutex<State>,
}

struct State {
    config: Config,
    node: Arc<NodeConfig>,
    /// Whether a wrong clock was warned of.
    clock_is_wrong: bool,
}

/// What a [`Live`] is put together from.
pub struct LiveParts {
    /// The arguments of the start: they win over the file at each reading as well.
    pub args: RunArgs,
    /// What was made of them.
    pub config: Config,
    /// The settings that the shards were started with.
    pub node: Arc<NodeConfig>,
    /// Sets how much is logged.
    pub log: LogSwitch,
    /// The process's clock.
    pub clock: Clock,
    /// Who asks reseed hosts.
    pub reseeder: Reseeder,
    /// Reads the netdb's file.
    pub records: Option<RecordReader>,
}

impl Live {
    /// The router that was started with `parts`, now.
    #[must_use]
    pub fn new(parts: LiveParts) -> Self {
        let LiveParts { args, config, node, log, clock, reseeder, records } = parts;
        let (published, started) = (node.published, clock.instant());
        let state = Mutex::new(State { config, node, clock_is_wrong: false });
        Self { args, log, clock, started, published, reseeder, records, state }
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// By how many seconds our clock is ahead of those of others, less than zero where it is behind; none where too few have
/// told theirs.
fn clock_ahead(reports: &[ShardReport]) -> Option<i64> {
    let samples = reports.iter().flat_map(|report| &report.samples);
    let mut found = samples.filter(|sample| sample.name == "clock_skew_seconds").peekable();
    found.peek()?;
    Some(found.fold(0, |sum, sample| {
        let seconds = i64::try_from(sample.value).unwrap_or(i64::MAX);
        let is_ahead = sample.labels.iter().any(|(_, value)| value == "ahead");
        if is_ahead { sum + seconds } else { sum - seconds }
    }))
}

impl Program for Live {
    fn metrics(&self, reports: &[ShardReport]) -> String {
        let of_disk = self.records.as_ref().map(RecordReader::samples);
        metrics::render(reports, &of_disk.unwrap_or_default())
    }

    fn status(&self, reports: &[ShardReport], phase: Phase) -> Value {
        let node = self.with_state(|state| Arc::clone(&state.node));
        let now = self.clock.instant();
        let left = match phase {
            Phase::Draining { until } => Some(until.since(now).as_secs()),
            Phase::Running | Phase::Stopping => None,
        };
        let of = |name, label| total_of(reports, name, label);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "phase": phase.name(),
            "stops_within_seconds": left,
            "uptime_seconds": now.since(self.started).as_secs(),
            "hash": base64::encode(&node.hash().0),
            "address": self.published,
            "network": node.network,
            "floodfill": node.floodfill,
            "bandwidth_class": node.bandwidth_class,
            "shards": node.shards,
            "shards_answering": reports.len(),
            "clock": {
                "seconds_ahead": clock_ahead(reports),
                "routers": total(reports, "clock_witnesses"),
            },
            "sessions": { "inbound": of("sessions", "inbound"), "outbound": of("sessions", "outbound") },
            "transit_tunnels": {
                "participant": of("transit_tunnels", "participant"),
                "gateway": of("transit_tunnels", "gateway"),
                "endpoint": of("transit_tunnels", "endpoint"),
            },
            "transit_messages": total(reports, "transit_messages_total"),
            "transit_bytes": total(reports, "transit_bytes_total"),
            "netdb": {
                "router_infos": of("netdb_records", "router_info"),
                "lease_sets": of("netdb_records", "lease_set"),
            },
        })
    }

    fn watch(&self, reports: &[ShardReport]) {
        let Some(ahead) = clock_ahead(reports) else { return };
        let was_wrong = self.with_state(|state| {
            std::mem::replace(&mut state.clock_is_wrong, ahead.unsigned_abs() >= CLOCK_WARNING)
        });
        if ahead.unsigned_abs() >= CLOCK_WARNING && !was_wrong {
            let seconds = ahead.unsigned_abs();
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            tracing::warn!(
                "the clock is {seconds} s {side} what other routers say: set it, and run an NTP client, since others refuse a \
                 router whose clock is a minute off"
            );
        } else if was_wrong && ahead.unsigned_abs() < CLOCK_WARNING {
            tracing::info!("the clock is right again, as other routers have it");
        }
    }

    fn reload(&self) -> Result<Reloaded, Refused> {
        let refused = |error: &dyn std::error::Error| Refused(error.to_string());
        let config = Config::load(&self.args, Build::this()).map_err(|error| refused(&error))?;
        let now = clock::unix_time();
        let seeds = reseed::load(&config, now).map_err(|error| refused(&error))?;
        // From here on nothing can fail.
        let difference = self.with_state(|state| {
            let difference = Difference::between(&state.config, &config);
            state.node = Arc::new(run::node_under(&state.node, &config));
            // What cannot change now counts as it was, so that it is named at each reading until the restart.
            state.config.take_live(&config);
            difference
        });
        self.log.set(config.log_level);
        if difference.applied.iter().any(|key| key.starts_with("reseed")) {
            // The signers were read a moment ago; should they be gone, the hosts wait for the next reading.
            if let Err(error) = self.reseeder.ask(&config) {
                tracing::warn!(%error, "no reseed host is asked");
            }
        }
        let answer = json!({
            "applied": difference.applied,
            "needs_restart": difference.needs_restart,
            "seeds": seeds.routers.len(),
            "seeds_left_out": seeds.refused.len() + seeds.foreign,
        });
        let settings = self.with_state(|state| Arc::clone(&state.node));
        Ok(Reloaded { settings, seeds: seeds.routers, answer })
    }

    fn records(&self, after: Option<RouterHash>, count: u16) -> Result<Value, Refused> {
        let Some(records) = &self.records else {
            return Err(Refused("this router keeps no file of its netdb".to_owned()));
        };
        let page = records.page(after, usize::from(count));
        let page = page.map_err(|error| Refused(error.to_string()))?;
        let records: Vec<_> = page
            .iter()
            .map(|(router, info)| {
                json!({ "router": base64::encode(&router.0), "info": base64::encode(info) })
            })
            .collect();
        Ok(json!({ "records": records }))
    }

    fn draining(&self) -> Arc<NodeConfig> {
        self.with_state(|state| {
            state.node =
                Arc::new(NodeConfig { duty: Duty::Draining, ..NodeConfig::clone(&state.node) });
            Arc::clone(&state.node)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ShardId;
    use crate::shard::report::{Sample, SampleKind};

    fn report(shard: u16, skew: &[(&str, u64)]) -> ShardReport {
        let sample = |(clock, value): &(&str, u64)| Sample {
            name: "clock_skew_seconds",
            help: "",
            labels: vec![("clock", (*clock).to_owned())],
            value: *value,
            kind: SampleKind::Gauge,
        };
        let samples = skew.iter().map(sample).collect();
        ShardReport { samples, ..ShardReport::empty(ShardId(shard)) }
    }

    #[test]
    fn one_shard_tells_how_far_the_clock_is_from_others() {
        assert_eq!(clock_ahead(&[report(0, &[]), report(1, &[])]), None);
        let skew = |ahead, behind| {
            clock_ahead(&[report(0, &[("ahead", ahead), ("behind", behind)]), report(1, &[])])
        };
        assert_eq!((skew(0, 0), skew(42, 0), skew(0, 7)), (Some(0), Some(42), Some(-7)));
    }
}
