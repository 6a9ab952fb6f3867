//! `loadtest flood` against the program, with few requests: what is asked is answered, and what is sent arrives.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "live/node.rs"]
#[allow(dead_code, reason = "shared by several tests, each of which uses a part")]
mod node;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use loadtest::flood::{FloodOptions, besiege};

use node::Node;

const OPTIONS: FloodOptions = FloodOptions {
    tunnels: 12,
    rate: 300,
    peers: 3,
    requests: 600,
    window: Duration::from_secs(1),
    pairs: 2,
    seed: 22,
};

#[test]
fn requests_are_answered_beside_data_that_arrives() {
    let mut node = Node::start(|options| options.strict = true);
    let stop = Arc::new(AtomicBool::new(false));
    let report = besiege(&mut node.target, &OPTIONS, node.clock, &stop, &mut |_| {}).unwrap();
    assert_eq!(report.tunnels, 12, "{report}");
    assert_eq!((report.calm.len(), report.flooded.len()), (2, 2), "{report}");
    for window in report.calm.iter().chain(report.flooded.iter().map(|flooded| &flooded.window)) {
        assert!(window.sent > 0 && window.delivered > 0, "{report}");
    }
    for flooded in &report.flooded {
        assert_eq!((flooded.requests_sent, flooded.requests_held_back), (600, 0), "{report}");
        // Fewer than what one neighbour may ask for at once; on a machine that does other things some come late.
        let dropped = |reason: &str| flooded.drops_by_its_own_account.get(reason).copied();
        assert_eq!(dropped("build_rate"), None, "{report}");
        let accepted = flooded.accepted_by_its_own_account;
        assert!(flooded.answers > 0 && accepted <= 600.0, "{report}");
        let lost = ["build_late", "build_queue_full"].map(|reason| dropped(reason).unwrap_or(0.0));
        assert!(accepted + lost.iter().sum::<f64>() > 300.0, "{report}");
    }
    assert!(report.kept() > 0.0, "{report}");
    node.stop();
}
