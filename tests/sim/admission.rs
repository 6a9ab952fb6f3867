//! Floods of connections that say nothing, or say again what somebody else has said.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use floodway::base::id::{ConnectionId, ConnectionOrigin, RouterHash, ShardId};
use floodway::base::limits::{SESSION_IDLE_MAX, SESSION_IDLE_MIN};
use floodway::base::rng::ShardRng;
use floodway::base::time::{Instant, Now};
use floodway::shard::core::{Input, Output, Shard};
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use loadtest::played::PlayedConnection;

use super::world::World;
use super::{config, role};

/// Connections of a flood.
const FLOOD: u16 = 10_000;

/// A Floodway of `shards` shards and a played router that has a session with it.
struct Pair {
    world: World,
    node: usize,
    hash: RouterHash,
    peer: usize,
}

impl Pair {
    fn new(seed: u64, shards: u16) -> Self {
        let mut world = World::new(seed);
        let node_config = config(&mut world, 1, shards, true);
        let hash = node_config.hash();
        let node = world.add_node(node_config, &[]);
        let peer = world.add_played(role(9, "OR"));
        let mut pair = Self { world, node, hash, peer };
        pair.connect(peer);
        pair
    }

    /// A played router dials, and has its session within two seconds.
    fn connect(&mut self, peer: usize) {
        let info = Arc::clone(&self.world.nodes[self.node].shards[0].snapshot().router_info);
        self.world.dial(peer, &info.ntcp2_endpoint().unwrap());
        self.world.run_for(Duration::from_secs(2));
        assert!(self.world.is_connected(peer, self.hash));
    }

    /// Whether a lookup of the node's own RouterInfo is answered within a second.
    fn is_served(&mut self) -> bool {
        let lookup = DatabaseLookup {
            key: self.hash.into(),
            from: self.world.played[self.peer].router.hash(),
            reply_tunnel: None,
            kind: LookupKind::RouterInfo,
            unknown_flags: 0,
            excluded: &[],
            encryption: LookupEncryption::None,
        };
        let now = self.world.now();
        let player = &mut self.world.played[self.peer];
        let message = player.router.message(MessageType::DatabaseLookup, lookup.write(), now);
        let before = player.received.len();
        self.world.send(self.peer, self.hash, &message);
        self.world.run_for(Duration::from_secs(1));
        let received = &self.world.played[self.peer].received[before..];
        received.iter().any(|(_, _, message)| message.kind == MessageType::DatabaseStore)
    }

    fn metric(&self, name: &str, label: &str) -> u64 {
        self.world.metric(self.node, name, label)
    }

    /// Ten thousand connections within ten seconds, from where `source` says, with a lookup of the peer each second. The
    /// most handshakes that were open at once.
    fn flood(&mut self, source: impl Fn(u16) -> SocketAddr) -> u64 {
        let mut most = 0;
        for number in 0..FLOOD {
            self.world.connect_silently(self.node, source(number));
            if number % 1000 == 999 {
                most = most.max(self.metric("handshakes_unfinished", ""));
                assert!(self.is_served(), "after {number} connections");
            }
        }
        most
    }
}

#[test]
fn a_flood_from_one_subnet_leaves_the_others_their_sessions_and_handshakes() {
    for shards in [1, 2] {
        let mut pair = Pair::new(41, shards);
        let host = |number: u16| number.to_be_bytes()[1];
        let most = pair.flood(|number| SocketAddr::from(([77, 1, 2, host(number)], 2000 + number)));
        // A burst of 128 and 32 a second, on one shard or spread over two.
        assert!((100..=128 + 32 * 11).contains(&most), "{most}");
        let refused = pair.metric("drops_total", "handshake_subnet_rate")
            + pair.metric("drops_total", "handshake_address_rate");
        assert!(refused > u64::from(FLOOD) * 9 / 10, "{refused}");
        let newcomer = pair.world.add_played(role(10, "OR"));
        pair.connect(newcomer);
        // What was let in has said nothing, and is gone after its time.
        pair.world.run_for(Duration::from_secs(12));
        assert_eq!(pair.metric("handshakes_unfinished", ""), 0);
        let ended = pair.metric("drops_total", "handshake_timeout");
        assert_eq!(refused + ended, u64::from(FLOOD));
        assert!(pair.is_served());
    }
}

#[test]
fn a_flood_from_everywhere_is_bounded_and_gives_way_to_newcomers() {
    let mut pair = Pair::new(42, 1);
    let most = pair.flood(|number| {
        let [high, low] = number.to_be_bytes();
        SocketAddr::from(([77, high, low, 1], 2000))
    });
    let bound = u64::try_from(pair.world.nodes[pair.node].config.limits.handshakes).unwrap();
    assert_eq!(most, bound);
    assert_eq!(pair.metric("drops_total", "handshake_subnet_rate"), 0);
    assert!(pair.metric("drops_total", "handshakes_full") > 0);
    let newcomer = pair.world.add_played(role(10, "OR"));
    pair.connect(newcomer);
    assert!(pair.is_served());
}

/// Those that are finished count no more: who takes his time is given up for others that do, and for nobody else.
#[test]
fn finished_handshakes_leave_their_room_to_others() {
    let mut world = World::new(47);
    let mut node = config(&mut world, 1, 1, true);
    Arc::get_mut(&mut node).unwrap().limits.handshakes = 4;
    let hash = node.hash();
    let node = world.add_node(node, &[]);
    let peer = world.add_played(role(9, "OR"));
    let mut pair = Pair { world, node, hash, peer };
    let source = |number| SocketAddr::from(([78, 1, number, 3], 2000));
    pair.world.connect_silently(node, source(0));
    for number in 10..13 {
        let newcomer = pair.world.add_played(role(number, "OR"));
        pair.connect(newcomer);
    }
    for number in 1..4 {
        pair.world.connect_silently(node, source(number));
    }
    assert_eq!(pair.metric("handshakes_unfinished", ""), 4);
    assert_eq!(pair.metric("drops_total", "handshakes_full"), 0);
    pair.world.connect_silently(node, source(4));
    assert_eq!(pair.metric("handshakes_unfinished", ""), 4);
    assert_eq!(pair.metric("drops_total", "handshakes_full"), 1);
}

#[test]
fn a_message_1_is_replayed_in_vain_on_every_shard() {
    let mut pair = Pair::new(43, 3);
    let info = Arc::clone(&pair.world.nodes[pair.node].shards[0].snapshot().router_info);
    let now = pair.world.now();
    let player = &mut pair.world.played[pair.peer].router;
    let endpoint = info.ntcp2_endpoint().unwrap();
    let mut dialling = PlayedConnection::dial(player, &endpoint, now).unwrap();
    let request = dialling.take_output(player, now);
    for round in 0..6 {
        let source = SocketAddr::from(([78, 1, 2, 3], 2000 + round));
        let line = pair.world.connect_silently(pair.node, source);
        pair.world.say(pair.node, line, request.clone());
        let replayed = pair.metric("drops_total", "handshake_replayed");
        assert_eq!(replayed, u64::from(round), "the first alone is answered");
    }
}

/// One shard alone, and message 1 of `count` routers, each on a connection of its own.
fn besieged(seed: u64, work_per_turn: usize, count: u16) -> (Shard, Now) {
    let mut world = World::new(seed);
    let mut node = config(&mut world, 1, 1, true);
    Arc::get_mut(&mut node).unwrap().limits.handshake_work_per_turn = work_per_turn;
    let now = world.now();
    let rng = ShardRng::from_seed(world.rng().bytes());
    let mut shard = Shard::new(node, ShardId(0), &[], rng, now);
    let endpoint = shard.snapshot().router_info.ntcp2_endpoint().unwrap();
    let player = world.add_played(role(9, "OR"));
    let player = &mut world.played[player].router;
    for number in 1..=count {
        let mut dialling = PlayedConnection::dial(player, &endpoint, now).unwrap();
        let bytes = dialling.take_output(player, now);
        let id = u64::from(number);
        let connection = ConnectionId::new(ShardId(0), ConnectionOrigin::Accepted, id);
        let [high, low] = number.to_be_bytes();
        let peer = SocketAddr::from(([79, high, low, 1], 2000));
        shard.handle(Input::Accepted { connection, peer }, now);
        shard.handle(Input::Received { connection, bytes }, now);
    }
    (shard, now)
}

fn sample(shard: &Shard, name: &str, label: &str) -> u64 {
    let samples = shard.report().samples;
    let wanted = samples.iter().filter(|s| {
        s.name == name && (label.is_empty() || s.labels.iter().any(|(_, v)| v == label))
    });
    wanted.map(|s| s.value).sum()
}

/// What a turn wants done: messages sent, and connections closed.
fn turn(shard: &mut Shard, now: Now) -> (usize, usize) {
    shard.turn(now);
    let (mut sent, mut closed) = (0, 0);
    while let Some(output) = shard.poll_output() {
        match output {
            Output::Send { .. } => sent += 1,
            Output::Close { .. } => closed += 1,
            Output::Connect { .. }
            | Output::HandOver { .. }
            | Output::Envelope { .. }
            | Output::SaveRouterInfo(_)
            | Output::Answered(_)
            | Output::RememberPeer { .. }
            | Output::Remember { .. } => {}
        }
    }
    (sent, closed)
}

#[test]
fn handshakes_of_one_turn_share_their_batches() {
    let (mut shard, now) = besieged(44, 256, 32);
    assert_eq!(turn(&mut shard, now), (32, 0), "each has its message 2");
    // Two for each: one opens message 1, one makes message 2.
    let report = shard.report();
    let batches = report.histograms.iter().find(|h| h.name == "diffie_hellman_batch").unwrap();
    assert_eq!((batches.histogram.sum(), batches.histogram.count()), (64, 2));
}

#[test]
fn a_turn_does_no_more_than_its_share_and_the_next_goes_on() {
    let (mut shard, now) = besieged(45, 16, 32);
    let mut answered = Vec::new();
    for _ in 0..4 {
        assert_eq!(shard.deadline(), Some(Instant(0)), "the next turn is due at once");
        answered.push(turn(&mut shard, now).0);
    }
    // All are opened before the first is answered: first come, first served.
    assert_eq!(answered, [0, 0, 16, 16]);
    assert_ne!(shard.deadline(), Some(Instant(0)));
}

#[test]
fn work_that_has_waited_too_long_is_given_up_the_oldest_first() {
    let (mut shard, now) = besieged(46, 0, 3);
    assert_eq!(turn(&mut shard, now), (0, 0));
    let later = |seconds| Now { instant: now.instant + Duration::from_secs(seconds), ..now };
    assert_eq!(turn(&mut shard, later(2)), (0, 0));
    assert_eq!(turn(&mut shard, later(3)), (0, 3));
    assert_eq!(sample(&shard, "drops_total", "handshake_overload"), 3);
    assert_eq!(sample(&shard, "handshakes_unfinished", ""), 0);
}

#[test]
fn the_end_of_a_session_is_counted_with_who_ended_it_and_why() {
    let mut pair = Pair::new(5, 2);
    assert!(pair.is_served());
    assert_eq!(pair.metric("sessions_ended_total", ""), 0);
    pair.world.run_for(SESSION_IDLE_MAX + Duration::from_secs(60));
    assert!(!pair.world.is_connected(pair.peer, pair.hash));
    assert_eq!(pair.metric("sessions_ended_total", "idle_timeout"), 1);
    assert_eq!(pair.metric("sessions_ended_total", ""), 1);
}

/// Whoever says something within that time stays.
#[test]
fn where_there_is_no_room_left_the_silent_make_room_sooner() {
    let mut world = World::new(48);
    let mut node = config(&mut world, 1, 1, true);
    Arc::get_mut(&mut node).unwrap().limits.sessions = 4;
    let hash = node.hash();
    let node = world.add_node(node, &[]);
    let peer = world.add_played(role(9, "OR"));
    let mut pair = Pair { world, node, hash, peer };
    pair.connect(peer);
    let silent: Vec<usize> =
        (10..13).map(|number| pair.world.add_played(role(number, "OR"))).collect();
    for newcomer in &silent {
        pair.connect(*newcomer);
    }
    assert_eq!(pair.metric("sessions", ""), 4);
    let step = SESSION_IDLE_MIN / 3;
    for _ in 0..6 {
        pair.world.run_for(step);
        assert!(pair.is_served());
    }
    // A minute, in which nobody would have had to leave otherwise.
    let left = silent.iter().filter(|silent| pair.world.is_connected(**silent, hash)).count();
    assert!(
        (1..3).contains(&left),
        "{left} of three are left: with room for others they may stay longer"
    );
    assert!(pair.metric("sessions_ended_total", "idle_timeout") >= 1);
}
