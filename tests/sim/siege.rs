//! A Floodway among played routers that ask it for tunnels and send through them.

use std::sync::Arc;
use std::time::Duration;

use floodway::actor::node::NodeConfig;
use floodway::base::id::RouterHash;
use floodway::proto::tunnel::bandwidth::BandwidthRequest;
use floodway::proto::tunnel::build_creator::CreatorHop;
use floodway::wire::i2np::I2npMessage;
use loadtest::tunnels::{AskedTunnel, Role, Tunnel, ask_for};

use super::world::World;
use super::{config, role};

/// The node, and played routers that have sessions with it.
pub struct Siege {
    pub world: World,
    pub node: usize,
    pub hop: CreatorHop,
    pub peers: Vec<usize>,
    /// What is asked for with each tunnel from now on.
    pub bandwidth: BandwidthRequest,
}

impl Siege {
    /// A node of one shard.
    pub fn new(seed: u64, peers: u8, change: impl FnOnce(&mut NodeConfig)) -> Self {
        Self::of_shards(1, seed, peers, change)
    }

    pub fn of_shards(
        shards: u16,
        seed: u64,
        peers: u8,
        change: impl FnOnce(&mut NodeConfig),
    ) -> Self {
        let mut world = World::new(seed);
        let mut node_config = config(&mut world, 1, shards, true);
        change(Arc::get_mut(&mut node_config).unwrap());
        let node = world.add_node(node_config, &[]);
        let info = Arc::clone(&world.nodes[node].shards[0].snapshot().router_info);
        let static_key = info.identity().encryption_key().unwrap();
        let hop = CreatorHop { hash: info.hash(), static_key };
        let peers: Vec<_> = (0..peers).map(|n| world.add_played(role(20 + n, "OR"))).collect();
        let mut siege = Self { world, node, hop, peers, bandwidth: BandwidthRequest::default() };
        siege.dial_again();
        assert!(siege.peers.iter().all(|peer| siege.world.is_connected(*peer, hop.hash)));
        siege
    }

    /// Opens a session of each played router again.
    pub fn dial_again(&mut self) {
        let info = Arc::clone(&self.world.nodes[self.node].shards[0].snapshot().router_info);
        let endpoint = info.ntcp2_endpoint().unwrap();
        for peer in &self.peers {
            self.world.dial(*peer, &endpoint);
        }
        self.world.run_for(Duration::from_secs(3));
    }

    pub fn hash(&self, peer: usize) -> RouterHash {
        self.world.played[self.peers[peer]].router.hash()
    }

    /// The request of `sender` for a tunnel to `receiver`.
    pub fn request(
        &mut self,
        role: Role,
        (sender, receiver): (usize, usize),
    ) -> (I2npMessage, AskedTunnel) {
        let (to, now) = (self.hash(receiver), self.world.now());
        let router = &mut self.world.played[self.peers[sender]].router;
        ask_for(self.bandwidth, role, self.hop, router, to, now).unwrap()
    }

    pub fn send(&mut self, sender: usize, message: &I2npMessage) {
        self.world.send(self.peers[sender], self.hop.hash, message);
    }

    /// Sends that many requests, and gives what their answers are known by.
    pub fn ask(&mut self, count: usize, between: (usize, usize)) -> Vec<AskedTunnel> {
        let requests: Vec<_> = (0..count).map(|_| self.request(Role::Gateway, between)).collect();
        let send = |(request, asked)| {
            self.send(between.0, &request);
            asked
        };
        requests.into_iter().map(send).collect()
    }

    /// How many of them `receiver` has an answer of.
    pub fn answered(&self, asked: &[AskedTunnel], receiver: usize) -> usize {
        let received = &self.world.played[self.peers[receiver]].received;
        let is_answered =
            |asked: &&AskedTunnel| received.iter().any(|(_, _, message)| asked.is_reply(message));
        asked.iter().filter(is_answered).count()
    }

    /// That many tunnels in which the Floodway is a participant, from each of `senders` and to each of `receivers` in turns.
    pub fn build(&mut self, count: usize, senders: &[usize], receivers: &[usize]) -> Vec<Tunnel> {
        let between = senders.iter().cycle().zip(receivers.iter().cycle()).take(count);
        let ask = |(sender, receiver): (&usize, &usize)| {
            let (request, asked) = self.request(Role::Participant, (*sender, *receiver));
            self.send(*sender, &request);
            (*receiver, asked)
        };
        let asked: Vec<_> = between.map(ask).collect();
        self.world.run_for(Duration::from_secs(1));
        let settle = |(receiver, asked): (usize, AskedTunnel)| {
            let received = &self.world.played[self.peers[receiver]].received;
            let reply = received.iter().map(|(_, _, message)| message).find(|m| asked.is_reply(m));
            asked.settle(reply.unwrap()).map_err(|failure| failure.to_string()).unwrap()
        };
        asked.into_iter().map(settle).collect()
    }

    pub fn drops(&self, reason: &str) -> u64 {
        self.world.metric(self.node, "drops_total", reason)
    }
}
