//! A router that is full says so: with its answers at once, and with the letters of its RouterInfo after minutes.

use std::sync::Arc;
use std::time::Duration;

use floodway::actor::node::NodeConfig;
use floodway::wire::router_info::RouterInfo;

use super::labour::{Labour, Prices};
use super::tunnels::{self, PlayedTunnel};
use super::{Trio, shown_capabilities, trio};

const MINUTE: Duration = Duration::from_secs(60);

/// A trio whose player is connected to the first, which runs under other settings.
fn changed(seed: u64, shards: u16, change: impl FnOnce(&mut NodeConfig)) -> Trio {
    let mut trio = trio(seed, shards);
    let first = trio.first;
    trio.connect(first);
    let mut node = NodeConfig::clone(&trio.world.nodes[first].config);
    change(&mut node);
    trio.world.settle(first, node);
    trio
}

/// Bytes a second that transit may take, in a router that may take more.
fn limit(node: &mut NodeConfig, rate: u64) {
    (node.bandwidth, node.transit_bandwidth) = (rate * 2, rate);
}

impl Trio {
    fn path(&self) -> [Arc<RouterInfo>; 2] {
        [self.info(self.first), self.info(self.second)]
    }

    fn build(&mut self, path: &[Arc<RouterInfo>]) -> PlayedTunnel {
        tunnels::try_outbound(&mut self.world, self.player, path).unwrap()
    }

    fn congestion(&self) -> Option<char> {
        let capabilities = shown_capabilities(&self.world, self.first);
        capabilities.chars().find(|letter| "DEG".contains(*letter))
    }

    fn refused(&self, reason: &str) -> u64 {
        self.world.metric(self.first, "build_refusals_total", reason)
    }

    /// Runs for so long while the session with the first is kept up.
    fn wait(&mut self, minutes: u32, tunnel: &mut PlayedTunnel) {
        for n in 0..minutes {
            tunnel.send_numbered(&mut self.world, n, 100);
            self.world.run_for(MINUTE);
        }
    }
}

#[test]
fn letters_follow_the_number_of_tunnels_over_minutes() {
    let mut trio = changed(71, 1, |node| node.limits.transit_tunnels = 20);
    let path = trio.path();
    let mut built = Vec::new();
    let mut letters = Vec::new();
    let mut carrier = trio.build(&path);
    for (upto, minutes) in [(12, 1), (15, 4), (19, 4)] {
        while built.len() + 1 < upto {
            built.push(trio.build(&path));
        }
        // Nothing of it shows at once, all of it when the average and the minute between publications are over.
        let before = trio.congestion();
        trio.world.run_for(Duration::from_secs(15));
        assert_eq!(trio.congestion(), before);
        trio.wait(minutes, &mut carrier);
        letters.push(trio.congestion());
    }
    assert_eq!(letters, [None, Some('D'), Some('E')]);
    assert_eq!(trio.refused("tunnels"), 0);
    // All end, and after minutes there is no letter any more.
    trio.world.run_for(16 * MINUTE);
    assert_eq!(trio.world.metric(trio.first, "transit_tunnels", ""), 0);
    assert_eq!(trio.congestion(), None);
}

#[test]
fn a_router_that_shares_nothing_says_so_and_takes_no_tunnel() {
    let mut trio = changed(37, 1, |node| node.transit_bandwidth = 0);
    // What is published anew is so once a minute at most.
    trio.world.run_for(Duration::from_secs(61));
    assert_eq!(trio.congestion(), Some('G'));
    let path = trio.path();
    tunnels::ask_for_outbound(&mut trio.world, trio.player, &path[..1]);
    assert_eq!(trio.refused("bandwidth"), 1);
    assert_eq!(trio.world.metric(trio.first, "transit_tunnels", ""), 0);
}

#[test]
fn a_router_that_takes_no_tunnel_for_minutes_says_so_until_it_does_again() {
    let mut trio = changed(72, 2, |node| node.limits.transit_tunnels = 0);
    let path = trio.path();
    // On both shards, so that both are seen to be full: a gateway is where its tunnel id is.
    for _ in 0..8 {
        let player = trio.player;
        tunnels::ask_for_inbound(&mut trio.world, player, &path);
    }
    assert_eq!(trio.refused("tunnels"), 8);
    trio.world.run_for(5 * MINUTE);
    assert_eq!(trio.congestion(), Some('G'));
    let mut roomy = NodeConfig::clone(&trio.world.nodes[trio.first].config);
    roomy.limits.transit_tunnels = 100;
    trio.world.settle(trio.first, roomy);
    trio.world.run_for(5 * MINUTE);
    assert_eq!(trio.congestion(), None);
}

#[test]
fn high_congestion_is_told_anew_before_others_take_it_for_less() {
    // Five messages a second, in their frames, are nineteen twentieths of it.
    let mut trio = changed(75, 2, |node| limit(node, 5_700));
    let path = trio.path();
    let mut signed = Vec::new();
    for _ in 0..3 {
        let mut tunnel = trio.build(&path);
        for n in 0..3_000 {
            tunnel.send_numbered(&mut trio.world, n, 900);
            trio.world.run_for(Duration::from_millis(200));
            let info = trio.world.nodes[trio.first].router_info.as_ref().unwrap();
            let published = RouterInfo::parse(info).unwrap().peek().published();
            if trio.congestion() == Some('E') && signed.last() != Some(&published) {
                signed.push(published);
            }
        }
    }
    assert!(signed.len() >= 3, "{signed:?}");
    let limit = Duration::from_secs(12 * 60);
    assert!(signed.windows(2).all(|pair| pair[1].since(pair[0]) < limit), "{signed:?}");
}

#[test]
fn tunnels_are_refused_while_the_bandwidth_is_used_up() {
    let mut trio = changed(73, 2, |node| limit(node, 10_000));
    let path = trio.path();
    let mut tunnel = trio.build(&path);
    // Twice as much as it may be.
    for n in 0..600 {
        tunnel.send_numbered(&mut trio.world, n, 900);
        trio.world.run_for(Duration::from_millis(50));
    }
    tunnels::ask_for_outbound(&mut trio.world, trio.player, &path);
    assert_eq!(trio.refused("bandwidth"), 1);
    trio.wait(1, &mut tunnel);
    trio.build(&path);
    assert_eq!(trio.refused("bandwidth"), 1);
}

#[test]
fn tunnels_are_refused_while_inputs_wait_for_the_shard() {
    let mut trio = changed(74, 1, |_| {});
    let (first, path) = (trio.first, trio.path());
    let mut tunnel = trio.build(&path);
    let prices = Prices { diffie_hellman: 0, received: 10_000, carried: 10_000 };
    trio.world.put_to_labour(Labour::of(first, prices), first);
    // A shard that is half busy takes tunnels.
    for n in 0..100 {
        tunnel.send_numbered(&mut trio.world, n, 900);
        trio.world.run_for(Duration::from_millis(40));
    }
    let mut other = trio.build(&path);
    // One that has more to do than it gets done does not.
    for n in 100..300 {
        tunnel.send_numbered(&mut trio.world, n, 900);
        other.send_numbered(&mut trio.world, n, 900);
        trio.world.run_for(Duration::from_millis(30));
    }
    tunnels::ask_for_outbound(&mut trio.world, trio.player, &path);
    assert_eq!(trio.refused("queue_delay"), 1);
    trio.wait(1, &mut tunnel);
    trio.build(&path);
    assert_eq!(trio.refused("queue_delay"), 1);
}
