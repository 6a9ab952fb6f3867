//! The tunnel layer: 16 messages of 16 tunnels as one batch, and one message at a time.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use floodway::crypto::layer::{
    Kernel, LAYER_SIZE, LayerJob, LayerKeys, decrypt_batch, encrypt_batch,
};
use floodway::crypto::secret::{IvKey, LayerKey};

/// Messages in a batch: what one turn of a busy shard collects.
const BATCH: u8 = 16;

type Transform = fn(Kernel, &mut [LayerJob<'_>]);

fn layer(c: &mut Criterion) {
    let kernel = Kernel::detect();
    let keys: Vec<LayerKeys> = (0..BATCH)
        .map(|n| LayerKeys {
            layer: LayerKey::from_bytes([n; 32]),
            iv: IvKey::from_bytes([n ^ 0xff; 32]),
        })
        .collect();
    let mut data = vec![[0x5a; LAYER_SIZE]; keys.len()];
    let transforms: [(&str, Transform); 2] =
        [("encrypt", encrypt_batch), ("decrypt", decrypt_batch)];
    for (name, transform) in transforms {
        let mut group = c.benchmark_group(format!("layer/{name}"));
        group.throughput(Throughput::Elements(u64::from(BATCH)));
        group.bench_function("batch of 16", |b| {
            b.iter(|| {
                let mut jobs: Vec<_> = keys
                    .iter()
                    .zip(&mut data)
                    .map(|(keys, data)| LayerJob { keys, data })
                    .collect();
                transform(kernel, black_box(&mut jobs));
            });
        });
        group.bench_function("16 one at a time", |b| {
            b.iter(|| {
                for (keys, data) in keys.iter().zip(&mut data) {
                    transform(kernel, black_box(&mut [LayerJob { keys, data }]));
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, layer);
criterion_main!(benches);
