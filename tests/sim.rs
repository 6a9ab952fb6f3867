//! The router's own shards in a simulated world: many routers, one thread, virtual time, one seed.
//!
//! The shards run here exactly as on their cores; only sockets, queues and clocks are made up. A failure prints the seed
//! of its world.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; outside of #[test] functions clippy cannot tell"
)]

#[path = "sim/admission.rs"]
mod admission;

#[path = "sim/world.rs"]
mod world;

#[path = "sim/weather.rs"]
mod weather;

#[path = "sim/tunnels.rs"]
mod tunnels;

#[path = "sim/conduct.rs"]
mod conduct;

#[path = "sim/clock.rs"]
mod clock;

#[path = "sim/cork.rs"]
mod cork;

#[path = "sim/fifty.rs"]
mod fifty;

#[path = "sim/idle.rs"]
mod idle;

#[path = "sim/granting.rs"]
mod granting;

#[path = "sim/midnight.rs"]
mod midnight;

#[path = "sim/source_rates.rs"]
mod source_rates;

#[path = "sim/labour.rs"]
mod labour;

#[path = "sim/siege.rs"]
mod siege;

#[path = "sim/builds.rs"]
mod builds;

#[path = "sim/bandwidth.rs"]
mod bandwidth;

#[path = "sim/congestion.rs"]
mod congestion;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use floodway::actor::node::{NodeConfig, PlacementSecret, ShardLimits};
use floodway::base::rng::ShardRng;
use floodway::base::time::UnixTime;
use floodway::crypto::layer::Kernel;
use floodway::proto::local::RouterKeys;
use floodway::proto::tunnel::admission::Duty;
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::router_info::RouterInfo;
use loadtest::played::Role;
use world::{EPOCH, World};

const NETWORK: u8 = 99;

fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([51, 100 + n, 0, 1], 15_000 + u16::from(n)))
}

fn config(world: &mut World, n: u8, shards: u16, floodfill: bool) -> Arc<NodeConfig> {
    let mut rng = ShardRng::from_seed(world.rng().bytes());
    let mut limits = ShardLimits::share_of(shards);
    limits.build_replay_slots = 1 << 12;
    limits.garlic_replay_slots = 1 << 12;
    limits.iv_filter_bytes = 1 << 18;
    Arc::new(NodeConfig {
        keys: Arc::new(RouterKeys::generate(&mut rng)),
        network: NETWORK,
        published: address(n),
        floodfill,
        allow_private: true,
        bandwidth: 12_500_000,
        transit_bandwidth: 10_000_000,
        cork: Duration::from_micros(500),
        bandwidth_class: 'X',
        shards,
        placement: PlacementSecret(rng.bytes()),
        kernel: Kernel::detect(),
        limits,
        started: EPOCH,
        first_dials: 8,
        duty: Duty::Serving,
    })
}

fn role(n: u8, capabilities: &str) -> Role {
    Role { network: NETWORK, address: address(n), capabilities: capabilities.to_owned() }
}

/// Two Floodways of `shards` shards that know each other, and a played router that both know.
struct Trio {
    world: World,
    first: usize,
    second: usize,
    player: usize,
}

fn trio(seed: u64, shards: u16) -> Trio {
    let mut world = World::new(seed);
    let player = world.add_played(role(9, "OR"));
    let player_info = Arc::clone(&world.played[player].router.info);
    let first_config = config(&mut world, 1, shards, true);
    let first = world.add_node(first_config, &[Arc::clone(&player_info)]);
    let first_info = Arc::clone(&world.nodes[first].shards[0].snapshot().router_info);
    let second_config = config(&mut world, 2, shards, true);
    let second = world.add_node(second_config, &[player_info, first_info]);
    world.run_for(Duration::from_secs(2));
    Trio { world, first, second, player }
}

impl Trio {
    fn info(&self, node: usize) -> Arc<RouterInfo> {
        Arc::clone(&self.world.nodes[node].shards[0].snapshot().router_info)
    }

    fn connect(&mut self, node: usize) {
        let info = self.info(node);
        let endpoint = info.ntcp2_endpoint().unwrap();
        if !self.world.is_connected(self.player, info.hash()) {
            self.world.dial(self.player, &endpoint);
            self.world.run_for(Duration::from_secs(2));
        }
        assert!(self.world.is_connected(self.player, info.hash()));
    }
}

#[test]
fn routers_meet_and_show_each_other_their_router_infos() {
    for shards in [1, 2, 3] {
        let trio = trio(1, shards);
        let sessions = |node| {
            trio.world.metric(node, "sessions", "inbound")
                + trio.world.metric(node, "sessions", "outbound")
        };
        // Each with the other and with the played router.
        assert!(sessions(trio.first) >= 2, "{}", sessions(trio.first));
        assert!(sessions(trio.second) >= 2, "{}", sessions(trio.second));
        assert_eq!(trio.world.metric(trio.first, "netdb_records", "router_info"), 2);
        assert_eq!(trio.world.metric(trio.second, "netdb_records", "router_info"), 2);
    }
}

#[test]
fn a_tunnel_over_both_passes_data_and_the_same_seed_gives_the_same_trace() {
    let traces: Vec<_> = [7, 7, 8]
        .into_iter()
        .map(|seed| {
            let mut trio = trio(seed, 2);
            let first = trio.first;
            trio.connect(first);
            let path = [trio.info(trio.first), trio.info(trio.second)];
            let mut tunnel = tunnels::build_outbound(&mut trio.world, trio.player, &path);
            for n in 0..50u32 {
                tunnel.send_numbered(&mut trio.world, n, 1 + 60 * usize::try_from(n).unwrap());
                trio.world.run_for(Duration::from_millis(20));
            }
            trio.world.run_for(Duration::from_secs(3));
            assert_eq!(tunnel.received_numbers(&trio.world), (0..50).collect::<Vec<_>>());
            assert_eq!(trio.world.metric(trio.first, "transit_tunnels", "participant"), 1);
            assert_eq!(trio.world.metric(trio.second, "transit_tunnels", "endpoint"), 1);
            trio.world.trace()
        })
        .collect();
    assert_eq!(traces[0], traces[1]);
    assert_ne!(traces[0], traces[2]);
}

#[test]
fn an_inbound_tunnel_over_both_passes_data() {
    let mut trio = trio(11, 2);
    let first = trio.first;
    trio.connect(first);
    let path = [trio.info(trio.first), trio.info(trio.second)];
    let mut tunnel = tunnels::build_inbound(&mut trio.world, trio.player, &path);
    for n in 0..50u32 {
        tunnel.send_numbered(&mut trio.world, n, 1 + 60 * usize::try_from(n).unwrap());
        trio.world.run_for(Duration::from_millis(20));
    }
    trio.world.run_for(Duration::from_secs(3));
    assert_eq!(tunnel.received_numbers(&trio.world), (0..50).collect::<Vec<_>>());
    assert_eq!(trio.world.metric(trio.first, "transit_tunnels", "gateway"), 1);
    assert_eq!(trio.world.metric(trio.second, "transit_tunnels", "participant"), 1);
}

#[test]
fn build_replies_through_a_gateway_of_ours_come_as_creators_expect() {
    for seed in 20..24 {
        let mut trio = trio(seed, 2);
        let (first, second) = (trio.first, trio.second);
        trio.connect(first);
        trio.connect(second);
        let (first, second) = (trio.info(first), trio.info(second));
        for path in [vec![Arc::clone(&second)], vec![second, Arc::clone(&first)]] {
            let world = &mut trio.world;
            let back = tunnels::build_inbound(world, trio.player, &[Arc::clone(&first)]);
            let mut tunnel = tunnels::build_outbound_by_way_of(world, trio.player, &path, &back);
            let before = tunnel.received_numbers(world).len();
            tunnel.send_numbered(world, 1, 2_000);
            world.run_for(Duration::from_secs(2));
            assert_eq!(tunnel.received_numbers(world)[before..], [1]);
        }
    }
}

#[test]
fn tunnels_live_for_600_seconds_and_are_gone_after_660() {
    let mut trio = trio(3, 2);
    let first = trio.first;
    trio.connect(first);
    let path = [trio.info(trio.first), trio.info(trio.second)];
    let mut tunnel = tunnels::build_outbound(&mut trio.world, trio.player, &path);
    let live = |trio: &Trio, node, role| trio.world.metric(node, "transit_tunnels", role);
    // Traffic every minute keeps the sessions up.
    for minute in 0..10u32 {
        trio.world.run_for(Duration::from_secs(60));
        tunnel.send_numbered(&mut trio.world, minute, 100);
        trio.world.run_for(Duration::from_secs(1));
    }
    assert_eq!(tunnel.received_numbers(&trio.world), (0..10).collect::<Vec<_>>());
    assert_eq!(live(&trio, trio.first, "participant"), 1);
    assert_eq!(live(&trio, trio.second, "endpoint"), 1);
    trio.world.run_for(Duration::from_secs(52));
    assert_eq!(live(&trio, trio.first, "participant"), 0);
    assert_eq!(live(&trio, trio.second, "endpoint"), 0);
    tunnel.send_numbered(&mut trio.world, 99, 100);
    trio.world.run_for(Duration::from_secs(2));
    assert!(!tunnel.received_numbers(&trio.world).contains(&99));
    assert_eq!(trio.world.metric(trio.first, "drops_total", "tunnel_unknown"), 1);
}

#[test]
fn a_router_that_knows_one_floodfill_gets_to_know_the_others_by_exploring() {
    let mut world = World::new(31);
    let seeds: Vec<_> = (0..6)
        .map(|n| {
            let player = world.add_played(role(30 + n, "OR"));
            Arc::clone(&world.played[player].router.info)
        })
        .collect();
    let floodfill = config(&mut world, 1, 2, true);
    let floodfill = world.add_node(floodfill, &seeds);
    let floodfill_info = Arc::clone(&world.nodes[floodfill].shards[0].snapshot().router_info);
    let learner = config(&mut world, 2, 2, false);
    let learner = world.add_node(learner, &[floodfill_info]);
    world.run_for(Duration::from_secs(40));
    assert_eq!(world.metric(learner, "netdb_records", "router_info"), 1);
    // An answer names a few routers only; an exploration comes every 55 to 225 s.
    world.run_for(Duration::from_secs(1_500));
    assert!(world.metric(learner, "explorations_total", "answered") > 0);
    assert_eq!(world.metric(learner, "netdb_records", "router_info"), 7);
    // Where records came from is seen at both, and how old they are.
    let by_source = |node, source| world.metric(node, "netdb_records_by_source", source);
    assert_eq!((by_source(floodfill, "seed"), by_source(learner, "reply")), (6, 6));
    assert_eq!(by_source(floodfill, "router_info"), 7);
    assert_eq!(world.metric(learner, "netdb_records_by_age", "router_info"), 7);
    assert!(world.metric(learner, "netdb_records_by_age", "below_1_h") > 0);
    let own = |result| world.metric(learner, "netdb_own_lookups_total", result);
    assert_eq!((own("begun"), own("found"), own("failed")), (6, 6, 0));
    assert_eq!(world.metric(learner, "netdb_asked_total", ""), 6);
    // Each answer went out over a session, and its time was taken.
    let answers = |result| world.metric(floodfill, "netdb_lookups_total", result);
    let answered = &world.answered[&floodfill];
    assert_eq!(answered.len() as u64, answers("found") + answers("referred"));
    assert!(answered.iter().all(|delay| *delay < Duration::from_millis(1)), "{answered:?}");
}

#[test]
fn a_draining_router_keeps_its_tunnels_takes_no_more_and_says_so() {
    let mut trio = trio(31, 2);
    let first = trio.first;
    trio.connect(first);
    let path = [trio.info(trio.first), trio.info(trio.second)];
    let mut tunnel = tunnels::build_outbound(&mut trio.world, trio.player, &path);
    let node = NodeConfig::clone(&trio.world.nodes[first].config);
    trio.world.settle(first, NodeConfig { duty: Duty::Draining, ..node });
    tunnels::ask_for_outbound(&mut trio.world, trio.player, &path);
    let builds = |trio: &Trio, result| trio.world.metric(first, "builds_total", result);
    assert_eq!((builds(&trio, "accepted"), builds(&trio, "refused")), (1, 1));
    tunnel.send_numbered(&mut trio.world, 1, 2_000);
    trio.world.run_for(Duration::from_secs(100));
    assert_eq!(tunnel.received_numbers(&trio.world), [1]);
    assert!(shown_capabilities(&trio.world, first).contains('G'));
}

#[test]
fn all_sessions_together_queue_no_more_than_they_may() {
    let mut trio = trio(33, 2);
    let first = trio.first;
    trio.connect(first);
    let path = [trio.info(trio.first), trio.info(trio.second)];
    let mut tunnel = tunnels::build_outbound(&mut trio.world, trio.player, &path);
    let mut node = NodeConfig::clone(&trio.world.nodes[first].config);
    tunnel.send_numbered(&mut trio.world, 1, 500);
    trio.world.run_for(Duration::from_secs(2));
    // Less than one tunnel message.
    node.limits.queued_bytes = 1_000;
    trio.world.settle(first, node.clone());
    tunnel.send_numbered(&mut trio.world, 2, 500);
    trio.world.run_for(Duration::from_secs(2));
    assert_eq!(trio.world.metric(first, "drops_total", "queued_bytes_full"), 1);
    // Room for one: each leaves before the next, and none of them stays in the sum.
    node.limits.queued_bytes = 1_200;
    trio.world.settle(first, node);
    for n in 3..20 {
        tunnel.send_numbered(&mut trio.world, n, 500);
        trio.world.run_for(Duration::from_secs(1));
    }
    let expected: Vec<u32> = [1].into_iter().chain(3..20).collect();
    assert_eq!(tunnel.received_numbers(&trio.world), expected);
}

#[test]
fn settings_that_others_see_are_published_anew() {
    let mut trio = trio(32, 2);
    let node = trio.second;
    trio.world.run_for(Duration::from_secs(90));
    assert_eq!(shown_capabilities(&trio.world, node), "Xf");
    let config = NodeConfig::clone(&trio.world.nodes[node].config);
    let changed = NodeConfig { floodfill: false, bandwidth_class: 'N', ..config };
    trio.world.settle(node, changed);
    trio.world.run_for(Duration::from_secs(90));
    assert_eq!(shown_capabilities(&trio.world, node), "N");
}

/// The option `caps` of the RouterInfo that a node has written last.
fn shown_capabilities(world: &World, node: usize) -> String {
    let info = world.nodes[node].router_info.as_ref().unwrap();
    let info = RouterInfo::parse(info).unwrap().verify().unwrap();
    info.options().find("caps").unwrap().to_owned()
}

#[test]
fn we_are_republished_within_30_minutes() {
    let mut world = World::new(5);
    let floodfill = config(&mut world, 1, 1, true);
    let floodfill = world.add_node(floodfill, &[]);
    let floodfill_info = Arc::clone(&world.nodes[floodfill].shards[0].snapshot().router_info);
    let router = config(&mut world, 2, 2, false);
    let hash = router.hash();
    let router = world.add_node(router, &[floodfill_info]);
    let mut seen: Vec<UnixTime> = Vec::new();
    for _ in 0..90 * 4 {
        world.run_for(Duration::from_secs(15));
        let published = RouterInfo::parse(world.nodes[router].router_info.as_ref().unwrap())
            .unwrap()
            .verify()
            .unwrap()
            .published();
        if seen.last() != Some(&published) {
            seen.push(published);
        }
    }
    assert!(seen.len() >= 4, "{seen:?}");
    for pair in seen.windows(2) {
        assert!(pair[1].since(pair[0]) < Duration::from_secs(30 * 60), "{seen:?}");
    }
    assert!(world.metric(router, "publications_confirmed_total", "") >= 3);
    assert_eq!(hash, world.nodes[router].config.hash());
}

#[test]
fn a_message_for_an_unknown_router_is_dropped_and_counted_within_its_time() {
    let mut trio = trio(21, 2);
    let first = trio.first;
    trio.connect(first);
    let path = [trio.info(trio.first)];
    let mut tunnel = tunnels::build_outbound(&mut trio.world, trio.player, &path);
    let stranger = floodway::base::id::RouterHash([0xee; 32]);
    let now = trio.world.now();
    let status = DeliveryStatus { id: floodway::base::id::MessageId(1), timestamp: now.unix };
    let message = trio.world.played[trio.player].router.message(
        MessageType::DeliveryStatus,
        status.write(),
        now,
    );
    tunnel.send_to(&mut trio.world, stranger, &message);
    trio.world.run_for(Duration::from_secs(7));
    assert_eq!(trio.world.metric(trio.first, "drops_total", "router_unknown"), 1);
}

#[test]
fn two_that_dial_each_other_at_once_end_up_with_a_session() {
    let mut with_one = 0;
    for seed in 0..20 {
        let mut world = World::new(100 + seed);
        let configs = [config(&mut world, 1, 2, true), config(&mut world, 2, 2, false)];
        let infos: Vec<_> = configs
            .iter()
            .map(|c| {
                // A throw-away shard signs what the real one will sign as well: its date is that of the start.
                let rng = ShardRng::from_seed([1; 32]);
                let shard = floodway::shard::core::Shard::new(
                    Arc::clone(c),
                    floodway::base::id::ShardId(0),
                    &[],
                    rng,
                    world.now(),
                );
                Arc::clone(&shard.snapshot().router_info)
            })
            .collect();
        // Each knows the other from the start, and visits it.
        let [first, second] = configs;
        let second_info = Arc::clone(&infos[1]);
        let first = world.reserve_node(first);
        let second = world.reserve_node(second);
        world.start_node(first, &[second_info]);
        world.start_node(second, &[Arc::clone(&infos[0])]);
        world.run_for(Duration::from_secs(10));
        let sessions = [first, second].map(|node| {
            world.metric(node, "sessions", "inbound") + world.metric(node, "sessions", "outbound")
        });
        // Dials that cross within the time that a packet takes leave two sessions, side by side on both ends.
        assert!(sessions == [1, 1] || sessions == [2, 2], "seed {seed}: {sessions:?}");
        with_one += u32::from(sessions == [1, 1]);
    }
    assert!(with_one >= 16, "{with_one} of 20 have one session");
}

#[test]
fn another_bandwidth_resizes_the_replay_filter_and_the_tunnels_live_on() {
    let mut trio = trio(34, 1);
    let first = trio.first;
    trio.connect(first);
    let path = [trio.info(trio.first), trio.info(trio.second)];
    let mut tunnel = tunnels::build_outbound(&mut trio.world, trio.player, &path);
    let bytes = |trio: &Trio| trio.world.metric(first, "iv_filter_bytes", "");
    // As much as the limits of these tests allow.
    assert_eq!(bytes(&trio), 1 << 18);
    tunnel.send_numbered(&mut trio.world, 1, 500);
    trio.world.run_for(Duration::from_secs(1));
    let node = NodeConfig::clone(&trio.world.nodes[first].config);
    trio.world.settle(first, NodeConfig { bandwidth: 6 * 1024, ..node });
    tunnel.send_numbered(&mut trio.world, 2, 500);
    trio.world.run_for(Duration::from_secs(1));
    let small = bytes(&trio) - (1 << 18);
    assert!((64 << 10..128 << 10).contains(&small), "{small}");
    assert_eq!(tunnel.received_numbers(&trio.world), [1, 2]);
    assert_eq!(trio.world.metric(first, "replay_windows_cut_total", "tunnel"), 0);
}
