//! `loadtest netdb` against the program, with few records: all that it stores is acknowledged, passed on, and found again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "live/node.rs"]
#[allow(dead_code, reason = "shared by several tests, each of which uses a part")]
mod node;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use loadtest::netdb::{NetdbOptions, measure};

use node::Node;

const OPTIONS: NetdbOptions = NetdbOptions {
    routers: 300,
    lease_sets: 128,
    sessions: 4,
    duration: Duration::from_millis(500),
    rates: Vec::new(),
    seed: 21,
};

#[test]
fn what_is_stored_over_sessions_is_flooded_and_found() {
    for shards in [1, 2] {
        let mut node = Node::start(|options| options.shards = Some(shards));
        let stop = Arc::new(AtomicBool::new(false));
        let report = measure(&mut node.target, &OPTIONS, node.clock, &stop, &mut |_| {}).unwrap();
        // The four that store and the four floodfills are among the routers.
        for (stores, count) in report.stores.iter().zip([292_u32, 128]) {
            assert_eq!(stores.stored_by_its_own_account, f64::from(count), "{report}");
            let count = u64::from(count);
            let found = (stores.sent, stores.acknowledged, stores.lost, stores.wrong);
            assert_eq!(found, (count, count, 0, 0), "{report}");
            // Three floodfills, before midnight UTC all four.
            assert!((3 * count..=4 * count).contains(&stores.floods), "{report}");
            assert_eq!(stores.floods_wrong, 0, "{report}");
        }
        assert_eq!((report.stores.len(), report.lookups.len()), (2, 4), "{report}");
        for lookups in &report.lookups {
            assert!(lookups.asked > 0 && lookups.answered == lookups.asked, "{report}");
            let amiss = (lookups.wrong, lookups.referred, lookups.lost);
            assert_eq!(amiss, (0, 0, 0), "{report}");
            assert!(lookups.delay_micros.p50 > 0, "{report}");
        }
        assert!(report.is_sound() && report.redials == 0, "{report}");
        node.stop();
    }
}
