//! The bandwidth limit, in bytes that are given to sockets: as much as may, fairly between tunnels, and nothing else late.

use std::collections::BTreeMap;
use std::time::Duration;

use floodway::actor::node::NodeConfig;
use floodway::base::id::TunnelId;
use floodway::base::limits::SourceRates;
use floodway::base::rate::Rate;
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use loadtest::checker::Stamp;
use loadtest::tunnels::Tunnel;

use super::siege::Siege;

/// Bytes of a tunnel message on a socket, about.
const FRAMED: u64 = 1_080;
/// The played router that gets all, beside those that send.
const RECEIVER: usize = 0;

/// Tunnels through a node whose transit may take this many bytes a second.
struct Link {
    siege: Siege,
    /// Played routers that send, each into the next tunnel in turns.
    senders: Vec<usize>,
    tunnels: Vec<Tunnel>,
    rate: u64,
    /// Messages sent so far, by tunnel.
    sent: Vec<u64>,
    /// Received messages looked at.
    seen: usize,
}

/// What one stretch of time brought.
struct Stretch {
    /// Bytes given to sockets.
    bytes: u64,
    /// Messages that came out, by tunnel.
    came: Vec<u64>,
}

impl Link {
    fn new(seed: u64, shards: u16, rate: u64, tunnels: usize) -> Self {
        let many = Rate::new(1_000_000, 1_000_000);
        // With several shards, enough of them that each has some.
        let senders: Vec<usize> = if shards > 1 { (1..9).collect() } else { vec![1] };
        let mut siege = Siege::of_shards(shards, seed, 9, |node| {
            node.limits.builds = SourceRates { address: many, subnet: many };
            // The tunnels are built before it is limited.
            (node.bandwidth, node.transit_bandwidth) = (125_000_000, 125_000_000);
        });
        let tunnels = siege.build(tunnels, &senders, &[RECEIVER]);
        let sent = vec![0; tunnels.len()];
        let mut link = Self { siege, senders, tunnels, rate, sent, seen: 0 };
        link.limit(rate);
        link
    }

    /// The limit is this from now on, as after a reload.
    fn limit(&mut self, rate: u64) {
        let node = self.siege.node;
        let mut config = NodeConfig::clone(&self.siege.world.nodes[node].config);
        (config.bandwidth, config.transit_bandwidth) = (rate, rate);
        self.siege.world.settle(node, config);
        self.rate = rate;
    }

    fn bytes(&self) -> u64 {
        self.siege.world.metric(self.siege.node, "bytes_total", "sent")
    }

    /// Each tunnel gets its part of `times` what may pass, but every fourth four parts.
    fn run(&mut self, duration: Duration, times: u64) -> Stretch {
        let before = self.bytes();
        let flows: Vec<usize> = (0..self.tunnels.len())
            .flat_map(|flow| std::iter::repeat_n(flow, if flow % 4 == 0 { 4 } else { 1 }))
            .collect();
        let parts = u64::try_from(flows.len()).unwrap();
        let per_second = self.rate * times / FRAMED;
        let millis = u64::try_from(duration.as_millis()).unwrap();
        let mut number = 0;
        for ms in 1..=millis {
            for n in number..per_second * ms / 1_000 {
                // In an order that has no period in common with that of the flows.
                let place = usize::try_from(n * 7_919 % parts).unwrap();
                self.send(flows[place]);
            }
            number = per_second * ms / 1_000;
            self.siege.world.run_for(Duration::from_millis(1));
        }
        let came = self.take_received();
        Stretch { bytes: self.bytes() - before, came }
    }

    fn send(&mut self, flow: usize) {
        let (now, sender) = (self.siege.world.now(), self.senders[flow % self.senders.len()]);
        let router = &mut self.siege.world.played[self.siege.peers[sender]].router;
        let stream = u32::try_from(flow).unwrap();
        let stamp = Stamp { stream, number: self.sent[flow], sent_micros: 0 };
        self.sent[flow] += 1;
        let mut out = Vec::new();
        self.tunnels[flow].pack(1, stamp, 0, router, now, &mut out);
        for message in out {
            self.siege.send(sender, &message);
        }
    }

    /// Messages that have come since the last time, by tunnel.
    fn take_received(&mut self) -> Vec<u64> {
        let mut came: BTreeMap<TunnelId, u64> = BTreeMap::new();
        let received = &self.siege.world.played[self.siege.peers[RECEIVER]].received;
        for (_, _, message) in &received[self.seen..] {
            if message.kind == MessageType::TunnelData {
                let id = message.body.first_chunk().copied().and_then(TunnelId::from_wire);
                *came.entry(id.unwrap()).or_default() += 1;
            }
        }
        self.seen = received.len();
        let count = |tunnel: &Tunnel| came.get(&tunnel.arrives()).copied().unwrap_or(0);
        self.tunnels.iter().map(count).collect()
    }
}

fn is_within(found: u64, expected: u64, thousandths: u64) -> bool {
    found.abs_diff(expected) * 1_000 <= expected * thousandths
}

#[test]
fn as_much_goes_as_may_and_each_tunnel_has_its_share() {
    println!(
        "rate Mbit/s  tunnels  shards  sent of allowed  least and most of a tunnel  fair share"
    );
    for (mbit, seconds, tunnels, shards) in [
        (1, 10, 10, 1),
        (1, 60, 1_000, 1),
        (10, 1, 10, 1),
        (10, 8, 1_000, 1),
        (100, 1, 10, 1),
        (100, 1, 1_000, 1),
        (10, 1, 10, 2),
        (10, 1, 1_000, 2),
    ] {
        let rate = mbit * 125_000;
        let mut link = Link::new(90 + mbit, shards, rate, tunnels);
        // What may pass at once after a rest has passed, and several shards have divided it.
        link.run(Duration::from_secs(if shards > 1 { 4 } else { 1 }), 8);
        let stretch = link.run(Duration::from_secs(seconds), 8);
        let allowed = rate * seconds;
        let (least, most) =
            (stretch.came.iter().min().unwrap(), stretch.came.iter().max().unwrap());
        let fair = allowed / FRAMED / u64::try_from(tunnels).unwrap();
        println!(
            "{mbit:11}  {tunnels:7}  {shards:6}  {:14.3}  {least:13} {most:13} {fair:11}",
            stretch.bytes as f64 / allowed as f64
        );
        assert!(is_within(stretch.bytes, allowed, 20), "{} of {allowed}", stretch.bytes);
        for reason in ["tunnel_unknown", "session_overflow"] {
            assert_eq!(link.siege.drops(reason), 0, "{reason}");
        }
        assert!(link.siege.drops("transit_early") > 0);
        if shards > 1 {
            // Shards are equal among each other, and tunnels of one shard.
            continue;
        }
        // Within a twentieth, and two messages that fall to one side of the ends or the other.
        assert!(*least + 2 >= fair * 95 / 100, "{least} of {fair}");
        assert!(*most <= fair * 105 / 100 + 2, "{most} of {fair}");
    }
}

#[test]
fn another_limit_holds_from_the_next_second_on() {
    let mut link = Link::new(91, 1, 1_250_000, 10);
    for mbit in [10, 2, 40, 10] {
        link.limit(mbit * 125_000);
        link.run(Duration::from_millis(500), 4);
        let stretch = link.run(Duration::from_secs(2), 4);
        assert!(is_within(stretch.bytes, mbit * 250_000, 20), "{} at {mbit} Mbit/s", stretch.bytes);
    }
}

#[test]
fn below_the_limit_nothing_waits_and_nothing_is_lost() {
    let mut link = Link::new(92, 1, 1_250_000, 10);
    let mut rest = Link::new(92, 1, 125_000_000, 10);
    for link in [&mut link, &mut rest] {
        link.rate = 1_000_000;
        let stretch = link.run(Duration::from_secs(2), 1);
        link.siege.world.run_for(Duration::from_secs(1));
        let late = link.take_received();
        let came: u64 = stretch.came.iter().chain(&late).sum();
        assert_eq!(came, link.sent.iter().sum::<u64>());
        assert_eq!(link.siege.world.metric(link.siege.node, "transit_waiting", ""), 0);
    }
}

#[test]
fn what_does_not_come_out_waits_or_is_counted() {
    let mut link = Link::new(94, 1, 1_250_000, 10);
    let stretch = link.run(Duration::from_secs(2), 3);
    let metric = |link: &Link, name| link.siege.world.metric(link.siege.node, name, "");
    let waiting = metric(&link, "transit_waiting");
    assert!(waiting > 0);
    let came: u64 = stretch.came.iter().chain(&link.take_received()).sum();
    let dropped = |link: &Link| {
        let reasons = ["transit_early", "transit_full", "transit_late"];
        reasons.map(|reason| link.siege.drops(reason)).iter().sum::<u64>()
    };
    // The rest is under way, for no longer than a quarter of a second.
    let under_way = link.sent.iter().sum::<u64>() - came - waiting - dropped(&link);
    assert!(under_way <= 3 * 1_250_000 / FRAMED / 4, "{under_way}");
    link.siege.world.run_for(Duration::from_secs(3));
    let came = came + link.take_received().iter().sum::<u64>();
    assert_eq!(metric(&link, "transit_waiting"), 0);
    assert_eq!(link.sent.iter().sum::<u64>(), came + dropped(&link));
    assert_eq!(metric(&link, "drops_total"), dropped(&link));
}

#[test]
fn what_is_not_transit_does_not_wait_for_it() {
    let mut link = Link::new(93, 1, 1_250_000, 10);
    link.run(Duration::from_secs(1), 8);
    let (us, now) = (link.siege.hop.hash, link.siege.world.now());
    let asker = link.siege.peers[RECEIVER];
    let lookup = DatabaseLookup {
        key: us.into(),
        from: link.siege.world.played[asker].router.hash(),
        reply_tunnel: None,
        kind: LookupKind::RouterInfo,
        unknown_flags: 0,
        excluded: &[],
        encryption: LookupEncryption::None,
    };
    let router = &mut link.siege.world.played[asker].router;
    let message = router.message(MessageType::DatabaseLookup, lookup.write(), now);
    link.siege.send(RECEIVER, &message);
    link.run(Duration::from_millis(500), 8);
    let received = &link.siege.world.played[asker].received;
    let answer = received.iter().find(|(_, _, m)| m.kind == MessageType::DatabaseStore);
    let (at, ..) = answer.unwrap();
    // The way there and back, and a turn.
    let took = at.instant.since(now.instant);
    assert!(took < Duration::from_millis(250), "{took:?}");
}
