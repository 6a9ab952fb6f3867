//! What it costs to view the messages that a busy floodfill and transit router gets most of.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use floodway::base::id::{RecordKey, RouterHash, TunnelId};
use floodway::base::limits::ROUTER_INFO_MAX;
use floodway::base::rng::ShardRng;
use floodway::wire::delivery::{
    Delivery, Fragment, TunnelMessageBuilder, parse_tunnel_payload, whole_instructions_size,
};
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData, deflate, inflate};
use floodway::wire::i2np::tunnel_data::{TUNNEL_LAYER_SIZE, TunnelData};

fn tunnel_data(criterion: &mut Criterion) {
    let tunnel = TunnelId::new(7).expect("7 is not zero");
    let next = TunnelId::new(8).expect("8 is not zero");
    let mut body = TunnelData::write(tunnel, &[1; TUNNEL_LAYER_SIZE]);
    criterion.bench_function("parse/tunnel_data", |bencher| {
        bencher.iter(|| {
            let mut view = TunnelData::parse(black_box(&mut body)).expect("a whole message");
            let replay_key = view.replay_key();
            view.set_tunnel(next);
            (view.tunnel(), replay_key)
        });
    });
}

fn database_lookup(criterion: &mut Criterion) {
    let excluded: Vec<[u8; 32]> = (0..32).map(|byte| [byte; 32]).collect();
    let body = DatabaseLookup {
        key: RecordKey([1; 32]),
        from: RouterHash([2; 32]),
        reply_tunnel: TunnelId::new(7),
        kind: LookupKind::LeaseSet,
        unknown_flags: 0,
        excluded: &excluded,
        encryption: LookupEncryption::Ecies { key: [3; 32], tag: [4; 8] },
    }
    .write();
    criterion.bench_function("parse/database_lookup", |bencher| {
        bencher
            .iter(|| DatabaseLookup::parse(black_box(&body)).is_ok_and(|it| it.is_exploration()));
    });
}

fn database_store(criterion: &mut Criterion) {
    let info = router_info_like();
    let gzip = deflate(&info);
    let store = DatabaseStore {
        key: RecordKey([1; 32]),
        reply: None,
        data: StoreData::RouterInfo { gzip: &gzip },
    };
    let body = store.write();
    let mut group = criterion.benchmark_group("parse/database_store");
    group.throughput(Throughput::Bytes(info.len() as u64));
    group.bench_function("view", |bencher| {
        bencher.iter(|| DatabaseStore::parse(black_box(&body)).is_ok());
    });
    group.bench_function("view_and_inflate", |bencher| {
        bencher.iter(|| match DatabaseStore::parse(black_box(&body)).map(|store| store.data) {
            Ok(StoreData::RouterInfo { gzip }) => inflate(gzip, ROUTER_INFO_MAX).ok(),
            other => unreachable!("{other:?} was written as a RouterInfo"),
        });
    });
    group.bench_function("deflate", |bencher| bencher.iter(|| deflate(black_box(&info))));
    group.finish();
}

fn tunnel_payload(criterion: &mut Criterion) {
    let mut rng = ShardRng::from_seed([1; 32]);
    let delivery = Delivery::Router(RouterHash([2; 32]));
    let data = vec![3; 1003 - whole_instructions_size(&delivery)];
    let fragment = Fragment::First { delivery, message: None, data: &data };
    let mut builder = TunnelMessageBuilder::new();
    let mut fill = || {
        builder.push(&fragment).expect("an empty builder takes 1003 bytes");
        builder.finish(&mut rng)
    };
    let cleartext = fill();
    let mut group = criterion.benchmark_group("parse/tunnel_payload");
    group.bench_function("fragments", |bencher| {
        bencher.iter(|| parse_tunnel_payload(black_box(&cleartext)).map(Iterator::count).ok());
    });
    group.bench_function("build", |bencher| {
        bencher.iter_batched(|| (), |()| fill(), BatchSize::SmallInput);
    });
    group.finish();
}

/// As many bytes as a usual RouterInfo, and about as compressible: keys, repeated padding, options, signature.
fn router_info_like() -> Vec<u8> {
    let mut rng = ShardRng::from_seed([9; 32]);
    let mut info: Vec<u8> = rng.bytes::<32>().to_vec();
    let padding = rng.bytes::<32>();
    for _ in 0..10 {
        info.extend_from_slice(&padding);
    }
    info.extend_from_slice(&rng.bytes::<40>());
    for port in [1234, 5678] {
        let options =
            format!("caps=BC;host=192.0.2.77;i={};mtu=1500;port={port};", "k3Jx9".repeat(9));
        info.extend_from_slice(options.as_bytes());
        info.extend_from_slice(&rng.bytes::<32>());
    }
    info.extend_from_slice(b"caps=XfR;netId=2;netdb.knownRouters=8123;router.version=0.9.67;");
    info.extend_from_slice(&rng.bytes::<64>());
    info
}

criterion_group!(parse, tunnel_data, database_lookup, database_store, tunnel_payload);
criterion_main!(parse);
