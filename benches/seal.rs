//! Sealing and opening NTCP2 frames of 1046 bytes: one tunnel message, 1040 bytes with its headers, and a little
//! padding.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use floodway::crypto::chacha::{
    OpenJob, SealJob, TAG_SIZE, Unauthentic, open_batch, open_in_place, seal_batch, seal_in_place,
};
use floodway::crypto::secret::AeadKey;

/// Plaintext bytes of a frame.
const FRAME: usize = 1046;

/// Frames in a batch.
const BATCH: u8 = 16;

fn seal(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal");
    group.throughput(Throughput::Bytes(1046));
    let key = AeadKey::from_bytes([7; 32]);
    let mut data = vec![0x5a; FRAME];
    let mut nonce = 0;
    group.bench_function("1046 bytes", |b| {
        b.iter(|| {
            nonce += 1;
            seal_in_place(&key, nonce, b"", black_box(&mut data))
        });
    });
    group.throughput(Throughput::Bytes(1046 * u64::from(BATCH)));
    let keys: Vec<_> = (0..BATCH).map(|n| AeadKey::from_bytes([n; 32])).collect();
    let mut frames = vec![[0x5a; FRAME]; keys.len()];
    group.bench_function("16 of 1046 bytes", |b| {
        b.iter(|| {
            nonce += 1;
            let mut jobs: Vec<_> = keys
                .iter()
                .zip(&mut frames)
                .map(|(key, data)| SealJob { key, nonce, ad: b"", data, tag: [0; TAG_SIZE] })
                .collect();
            seal_batch(black_box(&mut jobs));
        });
    });
    group.finish();
}

fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("open");
    group.throughput(Throughput::Bytes(1046));
    let keys: Vec<_> = (0..BATCH).map(|n| AeadKey::from_bytes([n; 32])).collect();
    let sealed: Vec<Vec<u8>> = keys
        .iter()
        .map(|key| {
            let mut frame = vec![0x5a; FRAME];
            let tag = seal_in_place(key, 1, b"", &mut frame);
            frame.extend_from_slice(&tag);
            frame
        })
        .collect();
    let [first, ..] = sealed.as_slice() else { return };
    let [key, ..] = keys.as_slice() else { return };
    group.bench_function("1046 bytes", |b| {
        b.iter_batched_ref(
            || first.clone(),
            |frame| open_in_place(key, 1, b"", frame).is_ok(),
            BatchSize::SmallInput,
        );
    });
    group.throughput(Throughput::Bytes(1046 * u64::from(BATCH)));
    group.bench_function("16 of 1046 bytes", |b| {
        b.iter_batched_ref(
            || sealed.clone(),
            |frames| {
                let mut jobs: Vec<_> = keys
                    .iter()
                    .zip(frames)
                    .map(|(key, sealed)| OpenJob {
                        key,
                        nonce: 1,
                        ad: b"",
                        sealed,
                        outcome: Err(Unauthentic),
                    })
                    .collect();
                open_batch(&mut jobs);
                jobs.iter().all(|job| job.outcome.is_ok())
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, seal, open);
criterion_main!(benches);
