//! Who stores, asks or builds more than a router does is cut off, and nobody else.

use std::time::Duration;

use floodway::base::frame::Frame;
use floodway::base::limits::ShardLimits;
use floodway::wire::i2np::MessageType;

use super::world::World;
use super::{config, role};

#[test]
fn a_source_that_floods_is_cut_off_alone() {
    let mut world = World::new(51);
    let node_config = config(&mut world, 1, 2, true);
    let limits: ShardLimits = node_config.limits;
    let node = world.add_node(node_config, &[]);
    let info = world.nodes[node].shards[0].snapshot().router_info.clone();
    let endpoint = info.ntcp2_endpoint().unwrap();
    let [flooder, other] = [60, 61].map(|n| world.add_played(role(n, "OR")));
    for player in [flooder, other] {
        world.dial(player, &endpoint);
        world.run_for(Duration::from_secs(2));
        assert!(world.is_connected(player, info.hash()));
    }
    let drops = |world: &World, reason| world.metric(node, "drops_total", reason);
    let send = |world: &mut World, player: usize, kind, count: u64| {
        let now = world.now();
        for _ in 0..count {
            // Too short to mean anything: what passes the rate is dropped for that.
            let body = Frame::copy_of(&[1; 40]);
            let message = world.played[player].router.message(kind, body, now);
            world.send(player, info.hash(), &message);
        }
        world.run_for(Duration::from_secs(1));
    };
    for (kind, rate, reason, of_netdb) in [
        (
            MessageType::DatabaseStore,
            limits.stores.address,
            "store_rate",
            Some("netdb_stores_refused_total"),
        ),
        (
            MessageType::DatabaseLookup,
            limits.lookups.address,
            "lookup_rate",
            Some("netdb_lookups_refused_total"),
        ),
        (MessageType::ShortTunnelBuild, limits.builds.address, "build_rate", None),
        (MessageType::Garlic, limits.garlic.address, "garlic_rate", None),
    ] {
        let malformed = drops(&world, "malformed");
        send(&mut world, flooder, kind, rate.burst() + 500);
        // A second of refilling at most has passed while they came.
        let refused = drops(&world, reason);
        assert!((500 - rate.per_second()..=500).contains(&refused), "{reason}: {refused}");
        let passed = drops(&world, "malformed") - malformed;
        assert_eq!(passed + refused, rate.burst() + 500);
        if let Some(name) = of_netdb {
            assert_eq!(world.metric(node, name, "rate"), refused);
            assert_eq!(world.metric(node, name, "malformed"), passed);
        }
        send(&mut world, other, kind, 100);
        assert_eq!(drops(&world, reason), refused, "a neighbour pays for nothing");
        // In time it may speak again.
        world.run_for(Duration::from_secs(30));
        send(&mut world, flooder, kind, 100);
        assert_eq!(drops(&world, reason), refused);
    }
}
