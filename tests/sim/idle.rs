//! Sessions that nobody uses end, and both ends know why; those that are used stay.

use std::sync::Arc;
use std::time::Duration;

use floodway::base::limits::SESSION_IDLE_MAX;
use floodway::shard::core::Shard;
use floodway::shard::report::Sample;
use floodway::wire::ntcp2::TerminationReason;

use super::config;
use super::siege::Siege;
use super::world::World;

#[test]
fn who_is_silent_for_too_long_is_told_why_the_session_ends() {
    let mut siege = Siege::new(81, 2, |_| {});
    let begun = siege.world.now().instant;
    siege.world.run_for(SESSION_IDLE_MAX + Duration::from_secs(30));
    for peer in &siege.peers {
        let [(at, reason)] = siege.world.played[*peer].terminations[..] else {
            panic!("{:?}", siege.world.played[*peer].terminations);
        };
        assert_eq!(reason, TerminationReason::IdleTimeout);
        // Of the three seconds before, some belong to the handshake.
        let waited = at.instant.since(begun);
        assert!(waited + Duration::from_secs(3) >= SESSION_IDLE_MAX, "{waited:?}");
        assert!(!siege.world.is_connected(*peer, siege.hop.hash));
    }
}

#[test]
fn a_session_that_is_used_now_and_then_stays() {
    let mut siege = Siege::new(82, 2, |_| {});
    let tunnels = siege.build(1, &[0], &[1]);
    // As long as tunnels live, at the very end of what is allowed.
    for number in 0..5 {
        siege.world.run_for(SESSION_IDLE_MAX - Duration::from_secs(5));
        let (peer, now) = (siege.peers[0], siege.world.now());
        let mut out = Vec::new();
        let stamp = loadtest::checker::Stamp { stream: 0, number, sent_micros: 0 };
        let router = &mut siege.world.played[peer].router;
        tunnels[0].pack(1, stamp, 0, router, now, &mut out);
        siege.send(0, &out[0]);
        siege.world.run_for(Duration::from_secs(1));
    }
    assert_eq!(siege.world.metric(siege.node, "sessions_ended_total", ""), 0);
    assert!(siege.peers.iter().all(|peer| siege.world.played[*peer].terminations.is_empty()));
    assert_eq!(siege.world.metric(siege.node, "transit_messages_total", ""), 5);
}

/// How many idle sessions of `node` one side has ended.
fn ended(world: &World, node: usize, by: &str) -> u64 {
    let reports = world.nodes[node].shards.iter().map(Shard::report);
    let samples: Vec<_> = reports.flat_map(|report| report.samples).collect();
    let has = |sample: &Sample, value: &str| sample.labels.iter().any(|(_, found)| found == value);
    let ends = samples.iter().filter(|sample| sample.name == "sessions_ended_total");
    let idle = ends.filter(|sample| has(sample, by) && has(sample, "idle_timeout"));
    idle.map(|sample| sample.value).sum()
}

#[test]
fn two_ends_of_our_own_agree_about_the_end() {
    let mut world = World::new(83);
    let floodfill = config(&mut world, 1, 2, true);
    let floodfill = world.add_node(floodfill, &[]);
    let info = Arc::clone(&world.nodes[floodfill].shards[0].snapshot().router_info);
    let other = config(&mut world, 2, 2, false);
    let other = world.add_node(other, &[info]);
    // Now and then it publishes itself there, and then there is nothing to say.
    world.run_for(Duration::from_secs(60 * 60));
    // Both measure from the same message, so that now and then both say so before they hear it.
    let ends = [floodfill, other].map(|node| ["us", "peer"].map(|who| ended(&world, node, who)));
    println!("ended by us and by the other: {ends:?}");
    let [one, two] = ends.map(|of| of.iter().sum::<u64>());
    assert!(one > 0 && ends.iter().any(|[_, peer]| *peer > 0), "{ends:?}");
    assert_eq!(one, two);
    for node in [floodfill, other] {
        assert_eq!(world.metric(node, "sessions_ended_total", "connection_lost"), 0);
        assert_eq!(world.metric(node, "drops_total", "session_broken"), 0);
    }
}
