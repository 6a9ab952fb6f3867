//! A router that is asked to stop while it is driven as hard as the machine can.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "live/node.rs"]
#[allow(dead_code, reason = "shared by several tests, each of which uses a part")]
mod node;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use loadtest::swarm::{Pace, Swarm, SwarmConfig};
use loadtest::target::NETWORK;
use loadtest::tunnels::ROLES;

use node::Node;

/// Messages under way in each tunnel: more than a router on two cores gets rid of at once.
const WINDOW: u64 = 64;

#[test]
fn a_stop_under_full_load_is_in_time_and_in_order() {
    for shards in [1, 2] {
        let node = Node::start(|options| options.shards = Some(shards));
        let (clock, subject) = (node.clock, node.target.subject);
        let over = Arc::new(AtomicBool::new(false));
        let (loaded, when_loaded) = sync_channel(1);
        let ends = Arc::clone(&over);
        let load = thread::spawn(move || {
            let config = SwarmConfig {
                index: 220 + u8::try_from(shards).unwrap(),
                routers: 6,
                network: NETWORK,
                seed: 5,
                capabilities: "OR".to_owned(),
                content_size: 940,
            };
            let mut swarm = Swarm::new(config, clock, Arc::clone(&ends)).unwrap();
            swarm.introduce(subject).unwrap();
            for role in ROLES {
                assert!(swarm.build(role, 4).unwrap().built > 0, "{role}");
            }
            swarm.set_pace(Pace::Window(WINDOW));
            swarm.run(Duration::from_secs(1)).unwrap();
            loaded.send(swarm.totals().1).unwrap();
            // The load goes on while the router stops, and ends with it.
            while !ends.load(Ordering::Relaxed) && swarm.run(Duration::from_millis(20)).is_ok() {}
        });
        assert!(when_loaded.recv().unwrap() > 100, "nothing is carried");
        // Killed, and so not a success, if it takes more than 10 s.
        node.stop();
        over.store(true, Ordering::Relaxed);
        load.join().unwrap();
    }
}
