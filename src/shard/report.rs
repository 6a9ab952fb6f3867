//! What the metrics show of one shard: names, labels and numbers, without knowledge of any text format.

use crate::actor::counters::{Counters, Drop, LookupCounts, StoreCounts};
use crate::actor::session_table::SessionCounts;
use crate::actor::transit::TransitCounts;
use crate::base::id::ShardId;
use crate::proto::netdb::store::Counts;

/// All samples of one shard at one moment.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// Which shard.
    pub shard: ShardId,
    /// The samples, those of one name together.
    pub samples: Vec<Sample>,
}

/// One number.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Name, without the prefix `floodway_`.
    pub name: &'static str,
    /// What it counts, for people.
    pub help: &'static str,
    /// Labels beside the shard.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: u64,
    /// Whether it only grows.
    pub kind: SampleKind,
}

/// How a number moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// Grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// What is counted by looking, not by adding up.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// Established sessions.
    pub sessions: SessionCounts,
    /// Transit tunnels.
    pub tunnels: TransitCounts,
    /// Netdb records.
    pub records: Counts,
    /// Routers being found or dialled.
    pub dials: usize,
    /// How often each replay filter was too small for its period.
    pub early_rotations: EarlyRotations,
}

/// How often the window of a replay filter was cut short, because more came than it has room for.
#[derive(Clone, Copy, Debug)]
pub struct EarlyRotations {
    /// Of tunnel messages.
    pub tunnel: u64,
    /// Of build requests.
    pub build: u64,
    /// Of garlic.
    pub garlic: u64,
}

struct Samples(Vec<Sample>);

impl Samples {
    fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: u64,
    ) {
        self.push(name, help, labels, value, SampleKind::Counter);
    }

    fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: usize,
    ) {
        self.push(name, help, labels, u64::try_from(value).unwrap_or(u64::MAX), SampleKind::Gauge);
    }

    fn push(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: u64,
        kind: SampleKind,
    ) {
        let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        self.0.push(Sample { name, help, labels, value, kind });
    }
}

/// Puts together the report of one shard. `sent_to` counts envelopes per receiving shard.
#[must_use]
pub fn report(shard: ShardId, counters: &Counters, live: &Live, sent_to: &[u64]) -> ShardReport {
    let mut samples = Samples(Vec::new());
    sessions(&mut samples, counters, live);
    transit(&mut samples, counters, live);
    netdb(&mut samples, counters, live);
    let help =
        "Windows of replay filters that were cut short, because more came than they have room for.";
    let cut = live.early_rotations;
    for (filter, count) in [("tunnel", cut.tunnel), ("build", cut.build), ("garlic", cut.garlic)] {
        let labels = [("filter", filter)];
        samples.counter("replay_windows_cut_total", help, &labels, count);
    }
    for reason in Drop::ALL {
        let labels = [("reason", reason.label())];
        samples.counter("drops_total", DROPS, &labels, counters.drops(*reason));
    }
    let from = shard.0.to_string();
    for (to, count) in sent_to.iter().enumerate().filter(|(to, _)| *to != shard.index()) {
        let labels = [("from", from.as_str()), ("to", &to.to_string())];
        samples.counter("shard_messages_total", CROSSINGS, &labels, *count);
    }
    ShardReport { shard, samples: samples.0 }
}

const DROPS: &str = "Messages, records and connections that went no further, by reason.";
const CROSSINGS: &str = "Messages that one shard sent to another.";

fn sessions(samples: &mut Samples, counters: &Counters, live: &Live) {
    let help = "Established transport sessions.";
    let labels = |direction| [("transport", "ntcp2"), ("direction", direction)];
    samples.gauge("sessions", help, &labels("inbound"), live.sessions.inbound);
    samples.gauge("sessions", help, &labels("outbound"), live.sessions.outbound);
    samples.gauge("dials", "Routers that are being found or dialled.", &[], live.dials);
    let help = "Handshakes that ended in a session.";
    samples.counter("handshakes_total", help, &[], counters.handshakes_done);
    let help = "I2NP messages over sessions.";
    let labels = |direction| [("direction", direction)];
    samples.counter("messages_total", help, &labels("received"), counters.messages_received);
    samples.counter("messages_total", help, &labels("sent"), counters.messages_sent);
}

fn transit(samples: &mut Samples, counters: &Counters, live: &Live) {
    let help = "Transit tunnels that pass through this router.";
    let labels = |role| [("role", role)];
    samples.gauge("transit_tunnels", help, &labels("participant"), live.tunnels.participants);
    samples.gauge("transit_tunnels", help, &labels("gateway"), live.tunnels.gateways);
    samples.gauge("transit_tunnels", help, &labels("endpoint"), live.tunnels.endpoints);
    let help = "Tunnel messages carried.";
    samples.counter("transit_messages_total", help, &[], counters.transit_messages);
    let help = "Bytes of tunnel messages carried.";
    samples.counter("transit_bytes_total", help, &[], counters.transit_bytes);
    let help = "Tunnel build requests that were answered.";
    let labels = |result| [("result", result)];
    samples.counter("builds_total", help, &labels("accepted"), counters.builds_accepted);
    samples.counter("builds_total", help, &labels("refused"), counters.builds_refused);
    let help = "Build requests whose previous hop is also the next.";
    samples.counter("builds_there_and_back_total", help, &[], counters.builds_there_and_back);
    let help = "Batches given to the tunnel-layer kernel.";
    samples.counter("layer_batches_total", help, &[], counters.layer_batches);
    let help = "Tunnel messages in those batches.";
    samples.counter("layer_messages_total", help, &[], counters.layer_messages);
    let help = "Batches of Diffie-Hellman operations.";
    samples.counter("diffie_hellman_batches_total", help, &[], counters.diffie_hellman_batches);
    let help = "Diffie-Hellman operations in those batches.";
    samples.counter("diffie_hellmans_total", help, &[], counters.diffie_hellmans);
}

fn netdb(samples: &mut Samples, counters: &Counters, live: &Live) {
    let help = "Records in the netdb.";
    let labels = |kind| [("kind", kind)];
    samples.gauge("netdb_records", help, &labels("router_info"), live.records.routers);
    samples.gauge("netdb_records", help, &labels("lease_set"), live.records.lease_sets);
    stores(samples, "router_info", counters.stores_router_info);
    stores(samples, "lease_set", counters.stores_lease_set);
    lookups(samples, "router_info", counters.lookups_router_info);
    lookups(samples, "lease_set", counters.lookups_lease_set);
    lookups(samples, "exploration", counters.lookups_exploration);
    let help = "Explorations of ours, by what became of them.";
    for (result, count) in
        [("asked", counters.explorations_asked), ("answered", counters.explorations_answered)]
    {
        samples.counter("explorations_total", help, &[("result", result)], count);
    }
    let help = "Copies of records that were flooded.";
    samples.counter("netdb_floods_total", help, &[], counters.floods);
    let help = "Publications of our RouterInfo that a floodfill confirmed.";
    samples.counter("publications_confirmed_total", help, &[], counters.publications_confirmed);
}

fn stores(samples: &mut Samples, kind: &str, counts: StoreCounts) {
    let results = [("stored", counts.stored), ("known", counts.known), ("refused", counts.refused)];
    for (result, count) in results {
        let labels = [("kind", kind), ("result", result)];
        samples.counter("netdb_stores_total", "Stores received.", &labels, count);
    }
}

fn lookups(samples: &mut Samples, kind: &str, counts: LookupCounts) {
    let results =
        [("found", counts.found), ("referred", counts.referred), ("refused", counts.refused)];
    for (result, count) in results {
        let labels = [("kind", kind), ("result", result)];
        samples.counter("netdb_lookups_total", "Lookups received.", &labels, count);
    }
}
