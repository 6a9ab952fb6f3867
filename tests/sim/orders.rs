//! What a test has a world do to one of its nodes, beside letting time pass.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use floodway::actor::contract::Effort;
use floodway::actor::node::NodeConfig;
use floodway::base::id::ConnectionId;
use floodway::shard::core::Input;
use floodway::wire::router_info::RouterInfo;

use super::{Place, World};

impl World {
    /// Somebody connects to a node from this address and says nothing; the shard and the connection.
    pub fn connect_silently(&mut self, node: usize, from: SocketAddr) -> (usize, ConnectionId) {
        let published = self.nodes[node].config.published;
        let Some(Place::Shard { shard, connection, .. }) = self.listener(published) else {
            unreachable!("a node listens at its address");
        };
        self.input(node, shard, Input::Accepted { connection, peer: from });
        (shard, connection)
    }

    /// Somebody who has connected silently says this.
    pub fn say(&mut self, node: usize, line: (usize, ConnectionId), bytes: Vec<u8>) {
        let (shard, connection) = line;
        self.input(node, shard, Input::Received { connection, bytes });
    }

    /// Sets the clocks of all on by so much, at once, as somebody does who sets clocks; nothing else moves.
    pub fn jump(&mut self, by: Duration) {
        self.set_on += u64::try_from(by.as_millis()).unwrap();
    }

    /// Tells a node of more routers while it runs.
    pub fn introduce(&mut self, node: usize, routers: &[Arc<RouterInfo>]) {
        for shard in 0..self.nodes[node].shards.len() {
            self.input(node, shard, Input::Seeds(routers.into()));
        }
    }

    /// Gives a node other settings while it runs.
    pub fn settle(&mut self, node: usize, config: NodeConfig) {
        let config = Arc::new(config);
        self.nodes[node].config = Arc::clone(&config);
        for shard in 0..self.nodes[node].shards.len() {
            self.input(node, shard, Input::Settings(Arc::clone(&config)));
        }
    }

    /// Tells a node's shards how much they have had to do.
    pub fn exert(&mut self, node: usize, effort: Effort) {
        for shard in 0..self.nodes[node].shards.len() {
            self.input(node, shard, Input::Effort(effort));
        }
    }
}
