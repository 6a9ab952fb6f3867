//! Build requests: as many as a large router makes, and more than a shard gets done.

use std::sync::Arc;
use std::time::Duration;

use floodway::actor::node::NodeConfig;
use floodway::base::id::RouterHash;
use floodway::base::limits::SourceRates;
use floodway::base::rate::Rate;
use floodway::proto::tunnel::build_creator::CreatorHop;
use floodway::wire::i2np::I2npMessage;
use loadtest::tunnels::{AskedTunnel, Role, ask};

use super::labour::{Labour, Prices};
use super::world::World;
use super::{config, role};

/// A Floodway of one shard, and played routers that have sessions with it.
struct Siege {
    world: World,
    node: usize,
    hop: CreatorHop,
    peers: Vec<usize>,
}

impl Siege {
    fn new(seed: u64, peers: u8, change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut world = World::new(seed);
        let mut node_config = config(&mut world, 1, 1, true);
        change(Arc::get_mut(&mut node_config).unwrap());
        let node = world.add_node(node_config, &[]);
        let info = Arc::clone(&world.nodes[node].shards[0].snapshot().router_info);
        let static_key = info.identity().encryption_key().unwrap();
        let hop = CreatorHop { hash: info.hash(), static_key };
        let endpoint = info.ntcp2_endpoint().unwrap();
        let peers: Vec<_> = (0..peers).map(|n| world.add_played(role(20 + n, "OR"))).collect();
        for peer in &peers {
            world.dial(*peer, &endpoint);
        }
        world.run_for(Duration::from_secs(3));
        assert!(peers.iter().all(|peer| world.is_connected(*peer, hop.hash)));
        Self { world, node, hop, peers }
    }

    fn hash(&self, peer: usize) -> RouterHash {
        self.world.played[self.peers[peer]].router.hash()
    }

    /// The request of `sender` for a tunnel to `receiver`.
    fn request(
        &mut self,
        role: Role,
        (sender, receiver): (usize, usize),
    ) -> (I2npMessage, AskedTunnel) {
        let (to, now) = (self.hash(receiver), self.world.now());
        let router = &mut self.world.played[self.peers[sender]].router;
        ask(role, self.hop, router, to, now).unwrap()
    }

    fn send(&mut self, sender: usize, message: &I2npMessage) {
        self.world.send(self.peers[sender], self.hop.hash, message);
    }

    /// Sends that many requests, and gives what their answers are known by.
    fn ask(&mut self, count: usize, between: (usize, usize)) -> Vec<AskedTunnel> {
        let requests: Vec<_> = (0..count).map(|_| self.request(Role::Gateway, between)).collect();
        let send = |(request, asked)| {
            self.send(between.0, &request);
            asked
        };
        requests.into_iter().map(send).collect()
    }

    /// How many of them `receiver` has an answer of.
    fn answered(&self, asked: &[AskedTunnel], receiver: usize) -> usize {
        let received = &self.world.played[self.peers[receiver]].received;
        let is_answered =
            |asked: &&AskedTunnel| received.iter().any(|(_, _, message)| asked.is_reply(message));
        asked.iter().filter(is_answered).count()
    }

    fn drops(&self, reason: &str) -> u64 {
        self.world.metric(self.node, "drops_total", reason)
    }
}

#[test]
fn a_large_router_that_builds_all_its_tunnels_through_us_is_never_cut_off() {
    let mut siege = Siege::new(61, 3, |_| {});
    // All tunnels at once, as after a restart; then as many each second as 50,000 tunnels take that live ten minutes.
    let mut asked = siege.ask(800, (0, 1));
    for _ in 0..5 {
        siege.world.run_for(Duration::from_secs(1));
        asked.extend(siege.ask(80, (0, 1)));
    }
    siege.world.run_for(Duration::from_secs(2));
    assert_eq!(siege.answered(&asked, 1), 1200);
    for reason in ["build_rate", "build_queue_full", "build_late", "build_unvouched_rate"] {
        assert_eq!(siege.drops(reason), 0, "{reason}");
    }
}

#[test]
fn who_asks_for_more_is_cut_off_alone() {
    let rate = Rate::new(10, 20);
    let mut siege = Siege::new(62, 3, |node| {
        node.limits.builds = SourceRates { address: rate, subnet: Rate::new(100, 1000) };
    });
    let flood = siege.ask(100, (0, 1));
    siege.world.run_for(Duration::from_millis(500));
    let answered = siege.answered(&flood, 1);
    assert!((20..=25).contains(&answered), "{answered}");
    assert_eq!(siege.drops("build_rate"), 100 - u64::try_from(answered).unwrap());
    let neighbour = siege.ask(15, (2, 1));
    siege.world.run_for(Duration::from_millis(500));
    assert_eq!(siege.answered(&neighbour, 1), 15);
    // In time it may ask again.
    let later = siege.ask(5, (0, 1));
    siege.world.run_for(Duration::from_secs(1));
    assert_eq!(siege.answered(&later, 1), 5);
}

#[test]
fn a_turn_does_its_share_of_builds_and_what_waits_too_long_is_dropped_the_oldest_first() {
    let mut siege = Siege::new(63, 2, |node| {
        node.limits.builds_per_turn = 2;
        node.limits.builds_waiting = 8;
    });
    let labour =
        Labour::of(siege.node, Prices { diffie_hellman: 300_000, received: 0, carried: 0 });
    let node = siege.node;
    siege.world.put_to_labour(labour, node);
    // The first comes alone and keeps the shard busy while the others come.
    let mut asked = siege.ask(1, (0, 1));
    siege.world.run_for(Duration::from_millis(280));
    asked.extend(siege.ask(19, (0, 1)));
    siege.world.run_for(Duration::from_secs(5));
    let answered: Vec<_> =
        asked.iter().map(|asked| siege.answered(std::slice::from_ref(asked), 1)).collect();
    // Of 19, 8 find room; two turns of two are done within the second.
    let expected = [vec![1], vec![0; 11], vec![1; 4], vec![0; 4]].concat();
    assert_eq!(answered, expected);
    assert_eq!((siege.drops("build_queue_full"), siege.drops("build_late")), (11, 4));
    assert_eq!(siege.world.metric(siege.node, "builds_waiting", ""), 0);
}
