//! A live Floodway as other routers see it: over real sockets on the loopback, by routers that are played here.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking; outside of #[test] functions clippy cannot tell"
)]

#[path = "live/node.rs"]
mod node;
#[path = "played/records.rs"]
mod records;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use floodway::actor::node::PlacementSecret;
use floodway::base::id::{RecordKey, RouterHash, ShardId, TunnelId};
use floodway::crypto::secret::AeadKey;
use floodway::proto::garlic::tagged_reply;
use floodway::shard::placement::Placement;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_search_reply::DatabaseSearchReply;
use floodway::wire::i2np::database_store::{
    DatabaseStore, StoreData, StoreReply, deflate, inflate,
};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};
use loadtest::swarm::{Pace, RoleReport, Swarm, SwarmConfig};
use loadtest::target::NETWORK;
use loadtest::tunnels::ROLES;
use node::{Node, PATIENCE, Player, seed_name, unconnected, write_seeds};

fn lookup(key: RecordKey, from: RouterHash, kind: LookupKind) -> DatabaseLookup<'static> {
    DatabaseLookup {
        key,
        from,
        reply_tunnel: None,
        kind,
        unknown_flags: 0,
        excluded: &[],
        encryption: LookupEncryption::None,
    }
}

/// The router info in a store.
fn router_info_of(message: &I2npMessage) -> Vec<u8> {
    let store = DatabaseStore::parse(&message.body).unwrap();
    match store.data {
        StoreData::RouterInfo { gzip } => inflate(gzip, 4096).unwrap(),
        StoreData::LeaseSet(_)
        | StoreData::LeaseSet2(_)
        | StoreData::EncryptedLeaseSet(_)
        | StoreData::MetaLeaseSet(_) => panic!("{:?} is no router info", store.data),
    }
}

/// What came for a tunnel of which the player is the gateway.
fn out_of_gateway(message: &I2npMessage, tunnel: TunnelId) -> I2npMessage {
    let outer = TunnelGateway::parse(&message.body).unwrap();
    assert_eq!(outer.tunnel, tunnel);
    outer.message().unwrap()
}

/// The next store that is not the node's own router info, which it sends to everybody who connects.
fn expect_store(player: &mut Player, key: RecordKey) -> I2npMessage {
    loop {
        let message = player.expect(MessageType::DatabaseStore);
        if DatabaseStore::parse(&message.body).unwrap().key == key {
            return message;
        }
    }
}

/// Asks for a key that nobody has until the answer names the floodfill.
fn wait_until_referred(node: &Node, asker: &mut Player, floodfill: &Player) {
    let key = RecordKey([0x5a; 32]);
    let ask = lookup(key, asker.hash(), LookupKind::RouterInfo).write();
    let deadline = node.clock.elapsed() + PATIENCE;
    loop {
        asker.send(MessageType::DatabaseLookup, ask.clone());
        let reply = asker.expect(MessageType::DatabaseSearchReply);
        let reply = DatabaseSearchReply::parse(&reply.body).unwrap();
        assert_eq!((reply.key, reply.from), (key, node.hash()));
        // It has just met the floodfill, and may not have told all of itself yet.
        if reply.peers == [floodfill.hash()] {
            break;
        }
        assert_eq!(reply.peers, []);
        assert!(node.clock.elapsed() < deadline, "the floodfill is never named");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_unknown_key_is_referred_to_floodfills() {
    let node = Node::start(|_| {});
    let floodfill = Player::join(&node, 1, "XfR");
    let mut asker = Player::join(&node, 2, "OR");
    wait_until_referred(&node, &mut asker, &floodfill);
    node.stop();
}

#[test]
fn an_exploration_is_answered_without_floodfills() {
    let node = Node::start(|_| {});
    let floodfill = Player::join(&node, 1, "XfR");
    let others: Vec<Player> = (2..8).map(|n| Player::join(&node, n, "OR")).collect();
    let mut asker = Player::join(&node, 9, "OR");
    let known = others.len() + 2;
    node.metrics_when(|m| m.sum("netdb_records", &[("kind", "router_info")]) >= known as f64)
        .unwrap();
    let key = RecordKey([0xa5; 32]);
    asker.send(
        MessageType::DatabaseLookup,
        lookup(key, asker.hash(), LookupKind::Exploration).write(),
    );
    let reply = asker.expect(MessageType::DatabaseSearchReply);
    let reply = DatabaseSearchReply::parse(&reply.body).unwrap();
    assert_eq!((reply.key, reply.from), (key, node.hash()));
    assert!(!reply.peers.contains(&floodfill.hash()) && !reply.peers.contains(&node.hash()));
    for other in &others {
        assert!(reply.peers.contains(&other.hash()), "{:?} is not among {reply:?}", other.hash());
    }
    node.stop();
}

#[test]
fn a_store_is_confirmed_directly_and_through_a_tunnels_gateway() {
    let node = Node::start(|_| {});
    let mut storer = Player::join(&node, 1, "OR");
    let mut gateway = Player::join(&node, 2, "OR");
    let tunnel = TunnelId::new(77).unwrap();
    for (number, reply_tunnel) in [(3, None), (4, Some(tunnel))] {
        let (record, _, _listener) = unconnected(number, "OR", node.clock);
        let token = 1000 + u32::from(number);
        let to = reply_tunnel.map_or(storer.hash(), |_| gateway.hash());
        let gzip = deflate(record.info.bytes());
        let store = DatabaseStore {
            key: record.hash().into(),
            reply: Some(StoreReply { token, tunnel: reply_tunnel, gateway: to }),
            data: StoreData::RouterInfo { gzip: &gzip },
        };
        storer.send(MessageType::DatabaseStore, store.write());
        let status = match reply_tunnel {
            None => storer.expect(MessageType::DeliveryStatus),
            Some(_) => out_of_gateway(&gateway.expect(MessageType::TunnelGateway), tunnel),
        };
        assert_eq!(status.kind, MessageType::DeliveryStatus);
        assert_eq!(DeliveryStatus::parse(&status.body).unwrap().id.0, token);

        let ask = lookup(record.hash().into(), storer.hash(), LookupKind::RouterInfo);
        storer.send(MessageType::DatabaseLookup, ask.write());
        let found = expect_store(&mut storer, record.hash().into());
        assert_eq!(router_info_of(&found), record.info.bytes().to_vec());
    }
    node.stop();
}

#[test]
fn a_lookup_is_answered_by_every_route_and_under_the_keys_asked_for() {
    let node = Node::start(|_| {});
    let mut asker = Player::join(&node, 1, "OR");
    let mut gateway = Player::join(&node, 2, "OR");
    let wanted = Player::join(&node, 3, "OR");
    let key: RecordKey = wanted.hash().into();
    node.metrics_when(|m| m.sum("netdb_records", &[("kind", "router_info")]) >= 3.0).unwrap();
    let tunnel = TunnelId::new(0x0102_0304).unwrap();
    let sealed = LookupEncryption::Ecies { key: [0x77; 32], tag: [0x88; 8] };
    for reply_tunnel in [None, Some(tunnel)] {
        for encryption in [LookupEncryption::None, sealed] {
            let from = reply_tunnel.map_or(asker.hash(), |_| gateway.hash());
            let ask = DatabaseLookup {
                reply_tunnel,
                encryption,
                ..lookup(key, from, LookupKind::RouterInfo)
            };
            asker.send(MessageType::DatabaseLookup, ask.write());
            // Over a session a reply is sealed already: keys are for replies that go down a tunnel.
            let kind = match (encryption, reply_tunnel) {
                (LookupEncryption::None, _) | (_, None) => MessageType::DatabaseStore,
                (LookupEncryption::Ecies { .. } | LookupEncryption::Aes { .. }, Some(_)) => {
                    MessageType::Garlic
                }
            };
            let mut reply = match reply_tunnel {
                Some(tunnel) => out_of_gateway(&gateway.expect(MessageType::TunnelGateway), tunnel),
                None => expect_store(&mut asker, key),
            };
            assert_eq!(reply.kind, kind);
            if kind == MessageType::Garlic {
                let secret = AeadKey::from_bytes([0x77; 32]);
                reply = tagged_reply::open(&secret, [0x88; 8], &mut reply.body).unwrap();
            }
            assert_eq!(reply.kind, MessageType::DatabaseStore);
            assert_eq!(router_info_of(&reply), wanted.router.info.bytes().to_vec());
        }
    }
    node.stop();
}

#[test]
fn seeds_out_of_a_directory_and_out_of_a_zip_are_the_same() {
    let clock = loadtest::clock::Clock::start();
    let seeds: Vec<_> = (20..40).map(|n| unconnected(n, "OR", clock)).collect();
    let infos = || seeds.iter().map(|(router, _, _)| (router.hash(), &**router.info.bytes()));
    let folder = tempfile::tempdir().unwrap();
    write_seeds(folder.path(), infos());
    let zipped = tempfile::tempdir().unwrap();
    let zip = zipped.path().join("reseed.zip");
    let mut writer = zip::ZipWriter::new(File::create(&zip).unwrap());
    for (hash, bytes) in infos() {
        writer.start_file(seed_name(&hash), zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap();
    for source in [folder.path(), zip.as_path()] {
        let node = Node::start(|options| options.reseed = Some(source.to_owned()));
        let records =
            |m: &loadtest::metrics::Metrics| m.sum("netdb_records", &[("kind", "router_info")]);
        let metrics = node.metrics_when(|m| records(m) >= 20.0).unwrap();
        // Its own is there too, or is not: the same either way.
        assert!(records(&metrics) <= 21.0, "{} from {}", records(&metrics), source.display());
        let mut asker = Player::join(&node, 1, "OR");
        for (hash, bytes) in infos() {
            let ask = lookup(hash.into(), asker.hash(), LookupKind::RouterInfo);
            asker.send(MessageType::DatabaseLookup, ask.write());
            assert_eq!(router_info_of(&expect_store(&mut asker, hash.into())), bytes);
        }
        node.stop();
    }
}

/// A placement secret that puts half of the routers on each of two shards.
fn splitting_secret(routers: &[RouterHash]) -> [u8; 16] {
    (0..=u8::MAX)
        .map(|n| [n; 16])
        .find(|secret| {
            let placement = Placement::new(&PlacementSecret(*secret), 2);
            let first = routers.iter().filter(|r| placement.of_router(r) == ShardId(0)).count();
            first * 2 == routers.len()
        })
        .unwrap()
}

#[test]
fn tunnels_cross_two_shards_both_ways() {
    let clock = loadtest::clock::Clock::start();
    let config = SwarmConfig {
        index: 40,
        routers: 4,
        network: NETWORK,
        seed: 3,
        capabilities: "OR".to_owned(),
        content_size: 940,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let mut swarm = Swarm::new(config, clock, stop).unwrap();
    let routers: Vec<RouterHash> = (0..4).map(|n| swarm.hash_of(n).unwrap()).collect();
    let secret: String = splitting_secret(&routers).iter().map(|b| format!("{b:02x}")).collect();
    let node = Node::start(|options| {
        options.shards = Some(2);
        options.arguments = vec![OsString::from("--placement-secret"), OsString::from(secret)];
    });
    swarm.introduce(node.target.subject).unwrap();
    swarm.run(Duration::from_millis(200)).unwrap();
    for role in ROLES {
        assert_eq!(swarm.build(role, 8).unwrap().built, 8, "{role}");
    }
    let before = node.metrics();
    swarm.set_pace(Pace::Rate(400));
    swarm.mark_start();
    swarm.run(Duration::from_secs(3)).unwrap();
    swarm.mark_end();
    swarm.drain().unwrap();
    let after = node.metrics();

    let mut sum = RoleReport::empty();
    swarm.report().roles.values().for_each(|role| sum.add(role));
    assert!(sum.sent > 500, "{sum:?}");
    assert_eq!((sum.lost, sum.duplicates, sum.corrupt, sum.misdelivered), (0, 0, 0, 0), "{sum:?}");
    for shard in ["0", "1"] {
        assert_eq!(after.sum("sessions", &[("shard", shard)]), 2.0, "sessions of shard {shard}");
        assert!(after.sum("transit_tunnels", &[("shard", shard)]) > 0.0);
    }
    for way in [[("from", "0"), ("to", "1")], [("from", "1"), ("to", "0")]] {
        let crossed =
            after.sum("shard_messages_total", &way) - before.sum("shard_messages_total", &way);
        assert!(crossed > 100.0, "{way:?}: {crossed} messages");
    }
    swarm.close_all();
    node.stop();
}
