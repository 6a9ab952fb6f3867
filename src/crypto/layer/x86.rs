//! Kernels for x86-64: the CPU's AES instructions over many messages at once.
//!
//! What the CPU has is asked in one place, `Features`. A kernel holds the proof of its features, and
//! nothing else makes one, so a kernel that exists may run.

#![expect(
    unsafe_code,
    reason = "entering functions that need features of the CPU, which a proof shows"
)]

mod cipher;
mod vector;

use std::array;

use self::cipher::{BLOCKS, Row};
use self::vector::{Block, Xmm, Ymm, Zmm};
use super::{LAYER_SIZE, LayerJob};

/// The CPU has AES-NI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AesNi(());

/// The CPU has VAES and AVX2, and the system keeps their registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vaes256(());

/// The CPU has VAES and AVX-512 F and BW, and the system keeps their registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vaes512(());

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    AesNi(AesNi),
    Vaes256(Vaes256),
    Vaes512(Vaes512),
}

/// Features of a CPU that a kernel needs, and the system with it where registers must be kept.
#[derive(Clone, Copy, Debug)]
struct Features {
    aes: bool,
    vaes: bool,
    avx2: bool,
    avx512f: bool,
    avx512bw: bool,
}

impl Features {
    fn of_this_cpu() -> Self {
        Self {
            aes: is_x86_feature_detected!("aes"),
            vaes: is_x86_feature_detected!("vaes"),
            avx2: is_x86_feature_detected!("avx2"),
            avx512f: is_x86_feature_detected!("avx512f"),
            avx512bw: is_x86_feature_detected!("avx512bw"),
        }
    }
}

/// Names of those features that this CPU has.
pub(super) fn features() -> impl Iterator<Item = &'static str> {
    let Features { aes, vaes, avx2, avx512f, avx512bw } = Features::of_this_cpu();
    let named = [
        ("aes", aes),
        ("vaes", vaes),
        ("avx2", avx2),
        ("avx512f", avx512f),
        ("avx512bw", avx512bw),
    ];
    named.into_iter().filter(|(_, has)| *has).map(|(name, _)| name)
}

/// A kernel that this CPU runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Proof);

impl Kernel {
    /// What this CPU runs, the fastest first.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        let Features { aes, vaes, avx2, avx512f, avx512bw } = Features::of_this_cpu();
        let proofs = [
            (vaes && avx512f && avx512bw).then_some(Proof::Vaes512(Vaes512(()))),
            (vaes && avx2).then_some(Proof::Vaes256(Vaes256(()))),
            aes.then_some(Proof::AesNi(AesNi(()))),
        ];
        proofs.into_iter().flatten().map(Self)
    }

    /// Its name, for people and scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            Proof::AesNi(_) => "aes-ni",
            Proof::Vaes256(_) => "vaes-256",
            Proof::Vaes512(_) => "vaes-512",
        }
    }

    pub(super) fn encrypt(self, jobs: &mut [LayerJob<'_>]) {
        match self.0 {
            Proof::AesNi(proof) => groups(jobs, 8, |group| encrypt_xmm_any(proof, group)),
            Proof::Vaes256(proof) => groups(jobs, 16, |group| encrypt_ymm_any(proof, group)),
            Proof::Vaes512(proof) => groups(jobs, 24, |group| encrypt_zmm_any(proof, group)),
        }
    }

    pub(super) fn decrypt(self, jobs: &mut [LayerJob<'_>]) {
        for job in jobs {
            let mut row = row(job);
            // SAFETY: the proof shows that the CPU has what the function needs.
            unsafe {
                match self.0 {
                    Proof::AesNi(proof) => decrypt_xmm(proof, &mut row),
                    Proof::Vaes256(proof) => decrypt_ymm(proof, &mut row),
                    Proof::Vaes512(proof) => decrypt_zmm(proof, &mut row),
                }
            }
        }
    }
}

/// Runs `each` over all jobs in as few groups of at most `most` as there can be, each about as large.
fn groups<'a>(jobs: &mut [LayerJob<'a>], most: usize, each: impl Fn(&mut [LayerJob<'a>])) {
    let count = jobs.len().div_ceil(most);
    if count > 0 {
        jobs.chunks_mut(jobs.len().div_ceil(count)).for_each(each);
    }
}

fn row<'a>(job: &'a mut LayerJob<'_>) -> Row<'a> {
    let (blocks, _) = job.data.as_chunks_mut();
    Row { keys: job.keys, blocks: blocks.try_into().expect("a message is 64 blocks") }
}

fn encrypt_xmm_any(proof: AesNi, jobs: &mut [LayerJob<'_>]) {
    // SAFETY: the proof shows that the CPU has AES-NI.
    unsafe {
        match jobs.len() {
            0 => {}
            1 => encrypt_xmm::<1>(proof, jobs),
            2 => encrypt_xmm::<2>(proof, jobs),
            3 => encrypt_xmm::<3>(proof, jobs),
            4 => encrypt_xmm::<4>(proof, jobs),
            5 => encrypt_xmm::<5>(proof, jobs),
            6 => encrypt_xmm::<6>(proof, jobs),
            7 => encrypt_xmm::<7>(proof, jobs),
            _ => encrypt_xmm::<8>(proof, jobs),
        }
    }
}

fn encrypt_ymm_any(proof: Vaes256, jobs: &mut [LayerJob<'_>]) {
    // SAFETY: the proof shows that the CPU has VAES and AVX2.
    unsafe {
        match jobs.len() {
            0 => {}
            1..=2 => encrypt_ymm::<1, 2>(proof, jobs),
            3..=4 => encrypt_ymm::<2, 4>(proof, jobs),
            5..=8 => encrypt_ymm::<4, 8>(proof, jobs),
            9..=12 => encrypt_ymm::<6, 12>(proof, jobs),
            _ => encrypt_ymm::<8, 16>(proof, jobs),
        }
    }
}

fn encrypt_zmm_any(proof: Vaes512, jobs: &mut [LayerJob<'_>]) {
    // SAFETY: the proof shows that the CPU has VAES and AVX-512.
    unsafe {
        match jobs.len() {
            0 => {}
            1..=4 => encrypt_zmm::<1, 4>(proof, jobs),
            5..=8 => encrypt_zmm::<2, 8>(proof, jobs),
            9..=12 => encrypt_zmm::<3, 12>(proof, jobs),
            13..=16 => encrypt_zmm::<4, 16>(proof, jobs),
            17..=20 => encrypt_zmm::<5, 20>(proof, jobs),
            _ => encrypt_zmm::<6, 24>(proof, jobs),
        }
    }
}

/// Most lanes of a group that can be left without a message.
const SPARE: usize = 3;

/// The messages of a group, one to a lane; lanes that have none get one of `spare`, under the keys of the first job.
#[inline(always)]
fn fill<'a, const M: usize>(
    jobs: &'a mut [LayerJob<'_>],
    spare: &'a mut [[Block; BLOCKS]; SPARE],
) -> [Row<'a>; M] {
    let keys = jobs.first().expect("a group has a job").keys;
    let spare = spare.iter_mut().map(|blocks| Row { keys, blocks });
    let mut rows = jobs.iter_mut().map(row).chain(spare);
    array::from_fn(|_| rows.next().expect("a group leaves no more lanes than there are spares"))
}

#[target_feature(enable = "aes")]
fn encrypt_xmm<const N: usize>(proof: AesNi, jobs: &mut [LayerJob<'_>]) {
    let mut rows = jobs.iter_mut().map(row);
    let mut rows: [Row<'_>; N] = array::from_fn(|_| rows.next().expect("a job for each lane"));
    cipher::encrypt::<Xmm, N, N>(proof, &mut rows);
}

#[target_feature(enable = "avx2,vaes")]
fn encrypt_ymm<const N: usize, const M: usize>(proof: Vaes256, jobs: &mut [LayerJob<'_>]) {
    let mut spare = [[[0; 16]; BLOCKS]; SPARE];
    cipher::encrypt::<Ymm, N, M>(proof, &mut fill(jobs, &mut spare));
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn encrypt_zmm<const N: usize, const M: usize>(proof: Vaes512, jobs: &mut [LayerJob<'_>]) {
    let mut spare = [[[0; 16]; BLOCKS]; SPARE];
    cipher::encrypt::<Zmm, N, M>(proof, &mut fill(jobs, &mut spare));
}

#[target_feature(enable = "aes")]
fn decrypt_xmm(proof: AesNi, row: &mut Row<'_>) {
    cipher::decrypt::<Xmm>(proof, row);
}

#[target_feature(enable = "avx2,vaes")]
fn decrypt_ymm(proof: Vaes256, row: &mut Row<'_>) {
    cipher::decrypt::<Ymm>(proof, row);
}

#[target_feature(enable = "avx512f,avx512bw,vaes")]
fn decrypt_zmm(proof: Vaes512, row: &mut Row<'_>) {
    cipher::decrypt::<Zmm>(proof, row);
}

const _: () = assert!(LAYER_SIZE == BLOCKS * 16);
