//! Lease sets of every type: stored by one router, flooded to another, looked up by a third.

use floodway::base::id::{RecordKey, TunnelId};
use floodway::crypto::aes::cbc_decrypt;
use floodway::crypto::hash::sha256;
use floodway::crypto::secret::AeadKey;
use floodway::proto::garlic::tagged_reply;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_search_reply::DatabaseSearchReply;
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData, StoreReply};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::i2np::garlic::aes_block::AesBlock;
use floodway::wire::i2np::garlic::clove_set::{CloveSet, SetClove};
use floodway::wire::i2np::garlic::{CloveDelivery, GarlicMessage};
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::lease_set::{AnyLeaseSet, LeaseSetKind};
use loadtest::lease_sets::lease_set;

use super::node::{Node, Player, rng};
use super::{expect_store, lookup, out_of_gateway, wait_until_referred};

const KEY: [u8; 32] = [0x77; 32];
const TAG: [u8; 8] = [0x88; 8];
const SESSION_TAG: [u8; 32] = [0x99; 32];
const SEALINGS: [LookupEncryption<'_>; 3] = [
    LookupEncryption::None,
    LookupEncryption::Ecies { key: KEY, tag: TAG },
    LookupEncryption::Aes { key: KEY, tags: &[SESSION_TAG, [0xaa; 32]] },
];

/// Stores a lease set, and waits until that is confirmed.
fn store(storer: &mut Player, set: &AnyLeaseSet, token: u32) {
    let store = DatabaseStore {
        key: set.key(),
        reply: Some(StoreReply { token, tunnel: None, gateway: storer.hash() }),
        data: StoreData::lease_set(set.kind(), set.bytes()),
    };
    storer.send(MessageType::DatabaseStore, store.write());
    let status = storer.expect(MessageType::DeliveryStatus);
    assert_eq!(DeliveryStatus::parse(&status.body).unwrap().id.0, token);
}

/// What is in a reply under [`KEY`] and [`SESSION_TAG`], opened as the specification has it.
fn open_aes(body: &[u8]) -> I2npMessage {
    let (tag, block) = GarlicMessage::payload(body).unwrap().split_first_chunk().unwrap();
    assert_eq!(*tag, SESSION_TAG, "the first of the tags");
    let mut block = block.to_vec();
    let iv = sha256(tag);
    cbc_decrypt(&KEY, *iv.first_chunk().unwrap(), &mut block);
    let set = CloveSet::parse(AesBlock::parse(&block).unwrap().payload).unwrap();
    let [clove]: [SetClove; 1] = set.cloves.try_into().unwrap();
    assert_eq!(clove.delivery, CloveDelivery::Local);
    clove.message
}

/// Asks for `key` in this way and opens the reply.
fn ask(
    asker: &mut Player,
    gateway: &mut Player,
    key: RecordKey,
    way: (Option<TunnelId>, LookupEncryption<'_>),
) -> I2npMessage {
    let (reply_tunnel, encryption) = way;
    let from = reply_tunnel.map_or(asker.hash(), |_| gateway.hash());
    let ask =
        DatabaseLookup { reply_tunnel, encryption, ..lookup(key, from, LookupKind::LeaseSet) };
    asker.send(MessageType::DatabaseLookup, ask.write());
    let Some(tunnel) = reply_tunnel else { return expect_store(asker, key) };
    let mut reply = out_of_gateway(&gateway.expect(MessageType::TunnelGateway), tunnel);
    let is_sealed = encryption != LookupEncryption::None;
    assert_eq!(reply.kind == MessageType::Garlic, is_sealed);
    match encryption {
        LookupEncryption::None => reply,
        LookupEncryption::Ecies { key, tag } => {
            tagged_reply::open(&AeadKey::from_bytes(key), tag, &mut reply.body).unwrap()
        }
        LookupEncryption::Aes { .. } => open_aes(&reply.body),
    }
}

#[test]
fn lease_sets_of_every_type_are_stored_flooded_and_found_in_every_way() {
    let node = Node::start(|_| {});
    let mut storer = Player::join(&node, 1, "OR");
    let mut asker = Player::join(&node, 2, "OR");
    let mut gateway = Player::join(&node, 3, "OR");
    let mut floodfill = Player::join(&node, 4, "XfR");
    wait_until_referred(&node, &mut asker, &floodfill);
    let (tunnel, mut rng) = (TunnelId::new(0x0102_0304), rng(6));
    for (kind, token) in LeaseSetKind::ALL.into_iter().zip(9..) {
        let set = lease_set(kind, node.clock.now().unix, &mut rng).unwrap();
        let expected = DatabaseStore {
            key: set.key(),
            reply: None,
            data: StoreData::lease_set(kind, set.bytes()),
        };
        store(&mut storer, &set, token);
        let flooded = expect_store(&mut floodfill, set.key());
        assert_eq!(DatabaseStore::parse(&flooded.body), Ok(expected));
        for reply_tunnel in [None, tunnel] {
            for encryption in SEALINGS {
                let way = (reply_tunnel, encryption);
                let found = ask(&mut asker, &mut gateway, set.key(), way);
                assert_eq!(found.kind, MessageType::DatabaseStore);
                assert_eq!(DatabaseStore::parse(&found.body), Ok(expected), "{way:?}");
            }
        }
    }
    // What we do not have is told under the same keys.
    for encryption in SEALINGS {
        let key = RecordKey([0x5a; 32]);
        let told = ask(&mut asker, &mut gateway, key, (tunnel, encryption));
        assert_eq!(told.kind, MessageType::DatabaseSearchReply);
        assert_eq!(DatabaseSearchReply::parse(&told.body).unwrap().peers, [floodfill.hash()]);
    }
    let metrics = node.metrics();
    for kind in LeaseSetKind::ALL.map(LeaseSetKind::label) {
        let of = |name, result| {
            let labels = [("kind", "lease_set"), ("type", kind), ("result", result)];
            metrics.sum(name, labels.get(..if result.is_empty() { 2 } else { 3 }).unwrap())
        };
        assert_eq!(of("netdb_records", ""), 1.0, "{kind}");
        assert_eq!(of("netdb_stores_total", "stored"), 1.0, "{kind}");
        assert_eq!(of("netdb_lookups_total", "found"), 6.0, "{kind}");
    }
    let lease_sets =
        |label| metrics.sum("netdb_records_by_source", &[("kind", "lease_set"), label]);
    assert_eq!(lease_sets(("source", "owner")), 4.0);
    let young = [("kind", "lease_set"), ("age", "below_10_min")];
    assert_eq!(metrics.sum("netdb_records_by_age", &young), 4.0);
    // Every answer went out over a session, so each has its delay.
    let answers = ["found", "referred"];
    let answers = answers.map(|result| metrics.sum("netdb_lookups_total", &[("result", result)]));
    assert_eq!(metrics.sum("lookup_delay_seconds_count", &[]), answers.iter().sum::<f64>());
    assert_eq!(metrics.sum("netdb_replies_total", &[("sealed", "ecies")]), 5.0);
    assert_eq!(metrics.sum("netdb_replies_total", &[("sealed", "aes")]), 5.0);
    node.stop();
}
