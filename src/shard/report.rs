//! What the metrics show of one shard: names, labels and numbers, without knowledge of any text format.

use crate::actor::counters::{
    Batches, Counters, Drop, LookupCounts, ReasonCounts, SessionEnd, StoreCounts,
};
use crate::actor::session_table::SessionCounts;
use crate::actor::transit::{LimiterCounts, TransitCounts};
use crate::base::frame::FrameCounts;
use crate::base::histogram::Histogram;
use crate::base::id::ShardId;
use crate::proto::netdb::store::{Counts, Tally};
use crate::proto::ntcp2::ClockEstimate;
use crate::proto::peer::conduct::BanReason;
use crate::wire::lease_set::LeaseSetKind;

/// All samples of one shard at one moment.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// Which shard.
    pub shard: ShardId,
    /// The samples, those of one name together.
    pub samples: Vec<Sample>,
    /// Distributions.
    pub histograms: Vec<Distribution>,
}

impl ShardReport {
    /// The report of a machine that counts nothing.
    #[must_use]
    pub fn empty(shard: ShardId) -> Self {
        Self { shard, samples: Vec::new(), histograms: Vec::new() }
    }
}

/// One distribution.
#[derive(Clone, Copy, Debug)]
pub struct Distribution {
    /// Name, without the prefix `floodway_`.
    pub name: &'static str,
    /// What it shows, for people.
    pub help: &'static str,
    /// What its numbers are.
    pub unit: Unit,
    /// The counts.
    pub histogram: Histogram,
}

/// What the numbers of a distribution are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds, shown as seconds.
    Microseconds,
    /// Things that were counted.
    Pieces,
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
pub struct Live<'a> {
    /// What others say of our clock, on the shard that is told.
    pub clock: Option<&'a ClockEstimate>,
    /// Established sessions.
    pub sessions: SessionCounts,
    /// Transit tunnels.
    pub tunnels: TransitCounts,
    /// Netdb records.
    pub records: Counts,
    /// RouterInfos, and lease sets, by source and age.
    pub tallies: [Tally; 2],
    /// Routers being found or dialled.
    pub dials: usize,
    /// Build requests that wait for their Diffie-Hellman.
    pub builds_waiting: usize,
    /// Routers of whose behaviour something is remembered.
    pub profiles: usize,
    /// Routers that are banned, by reason in the order of [`BanReason::ALL`].
    pub bans: [usize; BanReason::ALL.len()],
    /// Buffers of messages.
    pub frames: FrameCounts,
    /// Transit that the bandwidth limits.
    pub limiter: LimiterCounts,
    /// Bytes that the replay filter of tunnel messages takes when it is full.
    pub iv_filter_bytes: usize,
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
pub fn report(
    shard: ShardId,
    counters: &Counters,
    live: &Live<'_>,
    sent_to: &[u64],
) -> ShardReport {
    let mut samples = Samples(Vec::new());
    sessions(&mut samples, counters, live);
    transit(&mut samples, counters, live);
    netdb(&mut samples, counters, live);
    peers(&mut samples, counters, live);
    let help = "Buffers of messages, by what was done with them.";
    let counts = live.frames;
    for (what, count) in
        [("lent", counts.lent), ("allocated", counts.allocated), ("returned", counts.returned)]
    {
        samples.counter("frames_total", help, &[("what", what)], count);
    }
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
    ShardReport { shard, samples: samples.0, histograms: batches(&counters.batches) }
}

fn batches(batches: &Batches) -> Vec<Distribution> {
    let of = |name, help, histogram| Distribution { name, help, unit: Unit::Pieces, histogram };
    let layers = "Tunnel messages that one turn gave to the layer kernel.";
    let diffie_hellmans = "Diffie-Hellmans that one round of a turn did together.";
    let signatures = "Signatures that one round of a turn checked together.";
    let sealings = "Sessions that one turn sealed for.";
    vec![
        of("layer_batch_messages", layers, batches.layers),
        of("diffie_hellman_batch", diffie_hellmans, batches.diffie_hellmans),
        of("signature_batch", signatures, batches.signatures),
        of("sealing_batch_sessions", sealings, batches.sealings),
    ]
}

const DROPS: &str = "Messages, records and connections that went no further, by reason.";
const CROSSINGS: &str = "Messages that one shard sent to another.";

fn sessions(samples: &mut Samples, counters: &Counters, live: &Live<'_>) {
    let help = "Established transport sessions.";
    let labels = |direction| [("transport", "ntcp2"), ("direction", direction)];
    samples.gauge("sessions", help, &labels("inbound"), live.sessions.inbound);
    samples.gauge("sessions", help, &labels("outbound"), live.sessions.outbound);
    let help = "Handshakes that peers have begun and not finished.";
    samples.gauge("handshakes_unfinished", help, &[], live.sessions.handshakes);
    samples.gauge("dials", "Routers that are being found or dialled.", &[], live.dials);
    let help = "Handshakes that ended in a session.";
    samples.counter("handshakes_total", help, &[], counters.handshakes_done);
    let help = "Sessions that ended, by who ended them and why.";
    for (end, count) in counters.session_ends.iter() {
        let (by, reason) = match end {
            SessionEnd::ByPeer(reason) => ("peer", reason.label()),
            SessionEnd::ByUs(reason) => ("us", reason.label()),
            SessionEnd::Lost => ("nobody", "connection_lost"),
        };
        samples.counter("sessions_ended_total", help, &[("by", by), ("reason", reason)], count);
    }
    let help = "I2NP messages over sessions.";
    let labels = |direction| [("direction", direction)];
    samples.counter("messages_total", help, &labels("received"), counters.messages_received);
    samples.counter("messages_total", help, &labels("sent"), counters.messages_sent);
    let help = "Bytes given to sockets and taken from them.";
    let traffic = counters.traffic;
    samples.counter("bytes_total", help, &labels("received"), traffic.received.socket);
    samples.counter("bytes_total", help, &labels("sent"), traffic.sent.socket);
}

fn peers(samples: &mut Samples, counters: &Counters, live: &Live<'_>) {
    let help = "Routers of whose behaviour something is remembered.";
    samples.gauge("peers_known", help, &[], live.profiles);
    for ((reason, banned), bans) in BanReason::ALL.iter().zip(live.bans).zip(counters.bans) {
        let labels = [("reason", reason.label())];
        samples.gauge("peers_banned", "Routers that are banned now.", &labels, banned);
        samples.counter("bans_total", "Bans, each of which ends in time.", &labels, bans);
    }
    let Some(clock) = live.clock else { return };
    let help = "Routers that we have dialled whose latest word of the time counts.";
    samples.gauge("clock_witnesses", help, &[], clock.witnesses());
    let Some(ahead) = clock.seconds_ahead() else { return };
    let help = "How far our clock is from the median of theirs; others refuse us from 60 s on.";
    let distance = |is: bool| if is { ahead.unsigned_abs() } else { 0 };
    for (clock, distance) in [("ahead", distance(ahead < 0)), ("behind", distance(ahead > 0))] {
        let labels = [("clock", clock)];
        samples.push("clock_skew_seconds", help, &labels, distance, SampleKind::Gauge);
    }
}

fn transit(samples: &mut Samples, counters: &Counters, live: &Live<'_>) {
    let help = "Transit tunnels that pass through this router.";
    let labels = |role| [("role", role)];
    samples.gauge("transit_tunnels", help, &labels("participant"), live.tunnels.participants);
    samples.gauge("transit_tunnels", help, &labels("gateway"), live.tunnels.gateways);
    samples.gauge("transit_tunnels", help, &labels("endpoint"), live.tunnels.endpoints);
    let (help, begun) = ("Transit tunnels that were accepted since the start.", counters.begun);
    let name = "transit_tunnels_begun_total";
    samples.counter(name, help, &labels("participant"), begun.participants);
    samples.counter(name, help, &labels("gateway"), begun.gateways);
    samples.counter(name, help, &labels("endpoint"), begun.endpoints);
    let help = "Tunnel messages carried.";
    samples.counter("transit_messages_total", help, &[], counters.transit_messages);
    let help = "Bytes of tunnel messages carried.";
    samples.counter("transit_bytes_total", help, &[], counters.transit_bytes);
    let limiter = live.limiter;
    let help = "Bytes of transit, as on sockets, that were to be carried, dropped ones included.";
    samples.counter("transit_offered_bytes_total", help, &[], limiter.offered);
    let help = "Bytes of transit a second that may be carried in each direction.";
    let rate = usize::try_from(limiter.rate).unwrap_or(usize::MAX);
    samples.gauge("transit_rate_limit_bytes", help, &[], rate);
    let help = "Tunnel messages that wait for bandwidth.";
    samples.gauge("transit_waiting", help, &[], limiter.waiting);
    let help = "Tunnel build requests that were answered.";
    let labels = |result| [("result", result)];
    samples.counter("builds_total", help, &labels("accepted"), counters.builds_accepted);
    samples.counter("builds_total", help, &labels("refused"), counters.builds_refused);
    let help = "Tunnel build requests that were refused with an answer, by reason.";
    let counts = counters.refusals;
    for (reason, count) in [
        ("record", counts.record),
        ("tunnel_taken", counts.tunnel_taken),
        ("tunnels", counts.tunnels),
        ("bandwidth", counts.bandwidth),
        ("minimum", counts.minimum),
        ("queue_delay", counts.queue_delay),
        ("memory", counts.memory),
        ("draining", counts.draining),
    ] {
        samples.counter("build_refusals_total", help, &[("reason", reason)], count);
    }
    let help = "Bytes that the replay filter of tunnel messages takes when it is full.";
    samples.gauge("iv_filter_bytes", help, &[], live.iv_filter_bytes);
    let help = "Build requests that wait for their Diffie-Hellman.";
    samples.gauge("builds_waiting", help, &[], live.builds_waiting);
    let help = "Build requests whose previous hop is also the next.";
    samples.counter("builds_there_and_back_total", help, &[], counters.builds_there_and_back);
}

const LOOKUPS: &str = "netdb_lookups_total";
const LOOKUPS_HELP: &str = "Lookups received.";

fn netdb(samples: &mut Samples, counters: &Counters, live: &Live<'_>) {
    let help = "Records in the netdb.";
    let labels = |kind| [("kind", kind)];
    samples.gauge("netdb_records", help, &labels("router_info"), live.records.routers);
    for kind in LeaseSetKind::ALL {
        let labels = [("kind", "lease_set"), ("type", kind.label())];
        samples.gauge("netdb_records", help, &labels, *live.records.lease_sets.of(kind));
    }
    for (kind, tally) in ["router_info", "lease_set"].into_iter().zip(live.tallies) {
        tallies(samples, kind, &tally);
    }
    stores(samples, &[("kind", "router_info")], counters.stores_router_info);
    for kind in LeaseSetKind::ALL {
        let labels = [("kind", "lease_set"), ("type", kind.label())];
        stores(samples, &labels, *counters.stores_lease_set.of(kind));
    }
    lookups(samples, "router_info", counters.lookups_router_info);
    lookups(samples, "exploration", counters.lookups_exploration);
    lookups_of_lease_sets(samples, counters);
    let help = "Replies to lookups, by how they were sealed.";
    let replies = counters.lookup_replies;
    for (sealed, count) in [("no", replies.plain), ("ecies", replies.ecies), ("aes", replies.aes)] {
        samples.counter("netdb_replies_total", help, &[("sealed", sealed)], count);
    }
    own_lookups(samples, counters);
    refusals(
        samples,
        ("netdb_stores_refused_total", "Stores refused."),
        &counters.netdb_refusals.stores,
    );
    let name = ("netdb_lookups_refused_total", "Lookups refused.");
    refusals(samples, name, &counters.netdb_refusals.lookups);
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

fn tallies(samples: &mut Samples, kind: &str, tally: &Tally) {
    let help = "Records in the netdb, by how they came to us.";
    for (source, count) in tally.sources() {
        let labels = [("kind", kind), ("source", source.label())];
        samples.gauge("netdb_records_by_source", help, &labels, count);
    }
    let help = "Records in the netdb, by the age of their dates; each in one class.";
    for (age, count) in tally.ages() {
        samples.gauge("netdb_records_by_age", help, &[("kind", kind), ("age", age)], count);
    }
}

fn own_lookups(samples: &mut Samples, counters: &Counters) {
    let help = "Lookups that this router began itself, by what became of them.";
    let counts = counters.own_lookups;
    let results = [
        ("begun", counts.begun),
        ("found", counts.found),
        ("failed", counts.failed),
        ("busy", counts.busy),
        ("no_floodfill", counts.no_floodfill),
    ];
    for (result, count) in results {
        samples.counter("netdb_own_lookups_total", help, &[("result", result)], count);
    }
    let help = "Questions that these lookups sent to floodfills.";
    samples.counter("netdb_asked_total", help, &[], counts.asked);
}

fn refusals(
    samples: &mut Samples,
    (name, help): (&'static str, &'static str),
    counts: &ReasonCounts,
) {
    for (reason, count) in counts.iter() {
        samples.counter(name, help, &[("reason", reason)], count);
    }
}

fn stores(samples: &mut Samples, kind: &[(&'static str, &str)], counts: StoreCounts) {
    let results = [("stored", counts.stored), ("known", counts.known), ("refused", counts.refused)];
    for (result, count) in results {
        let labels = [kind, &[("result", result)]].concat();
        samples.counter("netdb_stores_total", "Stores received.", &labels, count);
    }
}

fn lookups(samples: &mut Samples, kind: &str, counts: LookupCounts) {
    let results =
        [("found", counts.found), ("referred", counts.referred), ("refused", counts.refused)];
    for (result, count) in results {
        let labels = [("kind", kind), ("result", result)];
        samples.counter(LOOKUPS, LOOKUPS_HELP, &labels, count);
    }
}

fn lookups_of_lease_sets(samples: &mut Samples, counters: &Counters) {
    for kind in LeaseSetKind::ALL {
        let labels = [("kind", "lease_set"), ("type", kind.label()), ("result", "found")];
        samples.counter(LOOKUPS, LOOKUPS_HELP, &labels, *counters.lease_sets_found.of(kind));
    }
    let counts = counters.lookups_lease_set;
    for (result, count) in [("referred", counts.referred), ("refused", counts.refused)] {
        let labels = [("kind", "lease_set"), ("result", result)];
        samples.counter(LOOKUPS, LOOKUPS_HELP, &labels, count);
    }
}
