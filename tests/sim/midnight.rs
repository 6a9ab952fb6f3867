//! The routing keys change at midnight UTC: those who will keep a record tomorrow are told today.

use std::sync::Arc;
use std::time::Duration;

use floodway::base::id::{RecordKey, RouterHash};
use floodway::base::rng::ShardRng;
use floodway::base::time::UnixTime;
use floodway::proto::netdb::routing_key::closest;
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData, StoreReply, deflate};
use floodway::wire::router_info::RouterInfo;
use loadtest::played::PlayedRouter;

use super::world::World;
use super::{config, role};

/// Floodfills in the world: enough that most are far from any one key.
const FLOODFILLS: u8 = 12;
const DAY: Duration = Duration::from_secs(86_400);

struct Network {
    world: World,
    player: usize,
    infos: Vec<Arc<RouterInfo>>,
}

impl Network {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let player = world.add_played(role(90, "OR"));
        let mut infos: Vec<Arc<RouterInfo>> = Vec::new();
        for n in 0..FLOODFILLS {
            let config = config(&mut world, n, 2, true);
            let node = world.add_node(config, &infos);
            infos.push(Arc::clone(&world.nodes[node].shards[0].snapshot().router_info));
        }
        for node in 0..infos.len() {
            world.introduce(node, &infos);
        }
        world.run_for(Duration::from_secs(30));
        Self { world, player, infos }
    }

    fn hashes(&self) -> Vec<RouterHash> {
        let mut hashes: Vec<_> = self.infos.iter().map(|info| info.hash()).collect();
        hashes.sort();
        hashes
    }

    /// Who keeps `key` at `now`, the closest first.
    fn keepers(&self, key: &RecordKey, now: UnixTime, count: usize) -> Vec<RouterHash> {
        closest(key, now, &self.hashes(), &|_| false, count)
    }

    fn connect(&mut self, to: RouterHash) {
        let info = self.infos.iter().find(|info| info.hash() == to).unwrap();
        if !self.world.is_connected(self.player, to) {
            let endpoint = info.ntcp2_endpoint().unwrap();
            let now = self.world.now().unix;
            // Nobody speaks with a router that is hours old.
            self.world.played[self.player].router.resign(now);
            self.world.dial(self.player, &endpoint);
            self.world.run_for(Duration::from_secs(2));
        }
        assert!(self.world.is_connected(self.player, to));
    }

    fn send(&mut self, to: RouterHash, kind: MessageType, body: floodway::base::frame::Frame) {
        self.connect(to);
        let now = self.world.now();
        let message = self.world.played[self.player].router.message(kind, body, now);
        self.world.send(self.player, to, &message);
        self.world.run_for(Duration::from_secs(10));
    }

    /// Stores what `subject` says of itself now, at one floodfill, which is to pass it on.
    fn store(&mut self, subject: &mut PlayedRouter, at: RouterHash) {
        subject.resign(self.world.now().unix);
        let gzip = deflate(subject.info.bytes());
        let gateway = self.world.played[self.player].router.hash();
        let store = DatabaseStore {
            key: subject.hash().into(),
            reply: Some(StoreReply { token: 7, tunnel: None, gateway }),
            data: StoreData::RouterInfo { gzip: &gzip },
        };
        self.send(at, MessageType::DatabaseStore, store.write());
    }

    /// Whether the floodfill `at` answers with the record.
    fn has(&mut self, at: RouterHash, key: RecordKey) -> bool {
        let lookup = DatabaseLookup {
            key,
            from: self.world.played[self.player].router.hash(),
            reply_tunnel: None,
            kind: LookupKind::RouterInfo,
            unknown_flags: 0,
            excluded: &[],
            encryption: LookupEncryption::None,
        };
        let before = self.world.played[self.player].received.len();
        self.send(at, MessageType::DatabaseLookup, lookup.write());
        let answers = &self.world.played[self.player].received[before..];
        answers.iter().any(|(_, from, message)| {
            let store = DatabaseStore::parse(&message.body);
            *from == at
                && message.kind == MessageType::DatabaseStore
                && store.is_ok_and(|store| store.key == key)
        })
    }
}

#[test]
fn tomorrows_floodfills_have_been_told_when_the_keys_rotate() {
    let mut network = Network::new(41);
    let noon = network.world.now().unix;
    // A router whose keepers of today and of tomorrow are different ones.
    let mut rng = ShardRng::from_seed([5; 32]);
    let mut subject = loop {
        let subject = PlayedRouter::new(role(91, "OR"), rng.bytes(), noon);
        let key = subject.hash().into();
        let today = network.keepers(&key, noon, 4);
        let tomorrow = network.keepers(&key, noon + DAY, 4);
        if tomorrow.iter().all(|keeper| !today.contains(keeper)) {
            break subject;
        }
    };
    let key = RecordKey::from(subject.hash());
    let today = network.keepers(&key, noon, 4);
    let tomorrow = network.keepers(&key, noon + DAY, 4);

    network.store(&mut subject, today[0]);
    for keeper in &today {
        assert!(network.has(*keeper, key), "stored at the first, passed on to the next three");
    }
    for keeper in &tomorrow {
        assert!(!network.has(*keeper, key), "at noon nobody thinks of tomorrow");
    }

    // The clocks of all are set on to 22:40, all have shown themselves anew by 23:25, and then it is past midnight.
    network.world.jump(Duration::from_secs(10 * 3600 + 40 * 60));
    network.world.run_for(Duration::from_secs(45 * 60));
    network.store(&mut subject, today[0]);
    network.world.jump(Duration::from_secs(45 * 60));
    assert_eq!(network.keepers(&key, network.world.now().unix, 4), tomorrow);
    for keeper in &tomorrow[..2] {
        assert!(network.has(*keeper, key), "told before midnight");
    }
    assert!(!network.has(tomorrow[3], key), "only the two closest were");

    // What is stored on the new day goes to the floodfills of the new day.
    network.store(&mut subject, tomorrow[0]);
    for keeper in &tomorrow {
        assert!(network.has(*keeper, key), "passed on by the new key");
    }
}
