//! Bad stores and lookups.

use std::time::Duration;

use floodway::base::frame::Frame;
use floodway::base::id::RecordKey;
use floodway::base::rng::ShardRng;
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData, deflate};
use floodway::wire::lease_set::LeaseSetKind;
use loadtest::lease_sets::lease_set;
use loadtest::played::PlayedRouter;
use loadtest::target::NETWORK;

use super::bench::{Bench, Neighbour, played, role};
use super::messages::short;

fn store(key: RecordKey, info: &[u8]) -> Frame {
    let gzip = deflate(info);
    DatabaseStore { key, reply: None, data: StoreData::RouterInfo { gzip: &gzip } }.write()
}

/// Records that must not get into the netdb.
pub fn stores(bench: &mut Bench, sender: &mut Neighbour) {
    let (clock, now) = (bench.clock, bench.clock.now().unix);
    let good = played(20, clock);
    let key = RecordKey::from(good.hash());
    let bytes = good.info.bytes();
    let mut unsigned = bytes.to_vec();
    *unsigned.last_mut().unwrap() ^= 1;
    let trailing = [&bytes[..], &[0; 4]].concat();
    let dated = |time| PlayedRouter::new(role(20, NETWORK), [20; 32], time);
    let ahead = dated(now + Duration::from_secs(300));
    let old = dated(now - Duration::from_secs(30 * 3600));
    let foreign = PlayedRouter::new(role(20, 2), [20; 32], now);
    let no_gzip =
        DatabaseStore { key, reply: None, data: StoreData::RouterInfo { gzip: &[9; 90] } };
    let mut unknown = store(key, bytes).to_vec();
    unknown[32] = 9;

    for (input, body, counter) in [
        ("store shorter than its key", short(20), "malformed"),
        ("store cut behind its key", short(34), "malformed"),
        ("store of an unknown kind of record", unknown.into(), "malformed"),
        ("store that is no gzip", no_gzip.write(), "malformed"),
        ("store that unpacks to 10 MB", store(key, &vec![0; 10_000_000]), "malformed"),
        ("store of a RouterInfo cut short", store(key, &bytes[..300]), "malformed"),
        ("store of a RouterInfo with bytes behind it", store(key, &trailing), "malformed"),
        ("store with a corrupted signature", store(key, &unsigned), "store_signature"),
        ("store under a foreign key", store(RecordKey([6; 32]), bytes), "store_refused"),
        ("store from the future", store(key, ahead.info.bytes()), "store_refused"),
        ("store of 30 hours ago", store(key, old.info.bytes()), "store_refused"),
        ("store of another network", store(key, foreign.info.bytes()), "store_refused"),
    ] {
        let message = sender.message(MessageType::DatabaseStore, body);
        bench.message(input, counter, sender, &message);
    }
}

/// Lease sets of every type that must not get into the netdb.
pub fn lease_sets(bench: &mut Bench, sender: &mut Neighbour) {
    let (now, mut rng) = (bench.clock.now().unix, ShardRng::from_seed([51; 32]));
    for kind in LeaseSetKind::ALL {
        let store = |key, bytes: &[u8]| {
            DatabaseStore { key, reply: None, data: StoreData::lease_set(kind, bytes) }.write()
        };
        let good = lease_set(kind, now, &mut rng).unwrap();
        let (key, bytes) = (good.key(), good.bytes());
        let mut unsigned = bytes.to_vec();
        *unsigned.last_mut().unwrap() ^= 1;
        let trailing = [&bytes[..], &[0; 4]].concat();
        let mut dated = |published| lease_set(kind, published, &mut rng).unwrap();
        let ahead = dated(now + Duration::from_secs(300));
        let over = dated(now - Duration::from_secs(660));

        for (input, body, counter) in [
            ("of garbage", store(key, &[7; 500]), "malformed"),
            ("cut short", store(key, &bytes[..bytes.len() - 1]), "malformed"),
            ("with bytes behind it", store(key, &trailing), "malformed"),
            ("with a corrupted signature", store(key, &unsigned), "store_signature"),
            ("under a foreign key", store(RecordKey([6; 32]), bytes), "store_refused"),
            ("from the future", store(ahead.key(), ahead.bytes()), "store_refused"),
            ("that has expired", store(over.key(), over.bytes()), "store_refused"),
        ] {
            let message = sender.message(MessageType::DatabaseStore, body);
            bench.message(&format!("{} {input}", kind.label()), counter, sender, &message);
        }
    }
}

/// Lookups that get no answer.
pub fn lookups(bench: &mut Bench, sender: &mut Neighbour) {
    let from = sender.router.hash();
    let excluded = [[5; 32]; 2];
    let lookup = DatabaseLookup {
        key: bench.endpoint.router.into(),
        from,
        reply_tunnel: None,
        kind: LookupKind::RouterInfo,
        unknown_flags: 0,
        excluded: &excluded,
        encryption: LookupEncryption::None,
    };
    let plain = lookup.write();
    let sealed = |encryption, count: u8| {
        let mut body = DatabaseLookup { encryption, excluded: &[], ..lookup }.write().to_vec();
        body[67 + 32] = count;
        Frame::from(body)
    };
    let aes = LookupEncryption::Aes { key: [3; 32], tags: &[[4; 32]] };
    let ecies = LookupEncryption::Ecies { key: [3; 32], tag: [4; 8] };
    let cut: Frame = plain[..plain.len() - 10].to_vec().into();
    let mut many = plain.to_vec();
    many[65..67].copy_from_slice(&513_u16.to_be_bytes());
    let mut zero_tunnel = plain[..64].to_vec();
    zero_tunnel.extend_from_slice(&[0x09, 0, 0, 0, 0, 0, 0]);

    for (input, body, counter) in [
        ("lookup shorter than its key", short(20), "malformed"),
        ("lookup cut in its excluded routers", cut, "malformed"),
        ("lookup with 513 excluded routers", many.into(), "malformed"),
        ("lookup with reply tunnel 0", zero_tunnel.into(), "malformed"),
        ("lookup without the AES tags that it wants", sealed(aes, 0), "malformed"),
        ("lookup with fewer AES tags than it says", sealed(aes, 2), "malformed"),
        ("lookup with two ECIES tags", sealed(ecies, 2), "malformed"),
    ] {
        let message = sender.message(MessageType::DatabaseLookup, body);
        bench.message(input, counter, sender, &message);
    }
}
