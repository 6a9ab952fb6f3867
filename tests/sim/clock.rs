//! A router whose clock is wrong learns it from those that it dials, as long as they still talk to it and after.

use std::sync::Arc;
use std::time::Duration;

use super::config;
use super::world::World;

/// What a router says of its clock that is so far behind, among `others`: how many have told theirs, and by how many
/// seconds it is behind; then how many sessions it has.
fn behind(seed: u64, milliseconds: u64, others: u8) -> (u64, u64, u64) {
    let mut world = World::new(seed);
    let nodes: Vec<_> = (0..others)
        .map(|n| {
            let node = config(&mut world, 10 + n, 1, true);
            world.add_node(node, &[])
        })
        .collect();
    let infos: Vec<_> = nodes
        .iter()
        .map(|node| Arc::clone(&world.nodes[*node].shards[0].snapshot().router_info))
        .collect();
    world.run_for(Duration::from_secs(10));
    let late = config(&mut world, 1, 2, false);
    let late = world.reserve_node(late);
    world.behind.insert(late, milliseconds);
    world.start_node(late, &infos);
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.metric(late, "clock_skew_seconds", "ahead"), 0);
    let metric = |name, label| world.metric(late, name, label);
    (metric("clock_witnesses", ""), metric("clock_skew_seconds", "behind"), metric("sessions", ""))
}

#[test]
fn a_clock_is_compared_with_those_of_routers_that_were_dialled() {
    assert_eq!(behind(101, 0, 6), (6, 0, 6));
    assert_eq!(behind(102, 42_000, 6), (6, 42, 6));
    // Four are too few to say anything.
    assert_eq!(behind(103, 42_000, 4), (4, 0, 4));
}

#[test]
fn one_that_nobody_takes_any_more_still_learns_why() {
    assert_eq!(behind(104, 90_000, 6), (6, 90, 0));
}
