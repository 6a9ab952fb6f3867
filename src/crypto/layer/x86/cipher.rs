//! AES-256 over registers of any width, and the tunnel layer made of it. Safe code: see `vector.rs`.
//!
//! Encryption chains the blocks of one message, so only other messages fill the pipeline: each lane is a message
//! with keys of its own. Decryption does not chain: the lanes are neighbouring blocks of one message.

use super::vector::{Block, Vector, erase};
use crate::crypto::layer::{LAYER_SIZE, LayerKeys};

/// Blocks of a message: the IV and 63 of payload.
pub(super) const BLOCKS: usize = LAYER_SIZE / 16;

/// Round keys of AES-256.
const ROUND_KEYS: usize = 15;

/// Round constants of the key expansion (FIPS 197, section 5.2), as far as AES-256 needs them.
const ROUND_CONSTANTS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Registers in flight during decryption: enough to hide the latency of a round on every CPU so far.
const FLIGHT: usize = 8;

/// One message of a group.
pub(super) struct Row<'a> {
    /// Keys of its tunnel.
    pub(super) keys: &'a LayerKeys,
    /// IV, then payload.
    pub(super) blocks: &'a mut [Block; BLOCKS],
}

/// Round keys of all lanes of `N` registers.
struct Schedule<V, const N: usize>([[V; N]; ROUND_KEYS]);

impl<V: Vector, const N: usize> Schedule<V, N> {
    /// Room for a schedule; the keys come with [`expand`](Self::expand).
    #[inline(always)]
    fn new(proof: V::Proof) -> Self {
        Self([[V::repeat(proof, 0); N]; ROUND_KEYS])
    }

    /// Makes the round keys out of both halves of each key. `half(v, 0)` is the first half for register `v`.
    ///
    /// SubWord comes from the last round of the cipher: where all columns of a block are the same, ShiftRows
    /// changes nothing. The instruction that is made for key expansion is many times slower and has one lane.
    #[inline(always)]
    fn expand(&mut self, proof: V::Proof, half: impl Fn(usize, usize) -> V) {
        let zero = V::repeat(proof, 0);
        for v in 0..N {
            self.0[0][v] = half(v, 0);
            self.0[1][v] = half(v, 1);
        }
        for (index, constant) in ROUND_CONSTANTS.into_iter().enumerate() {
            let constant = V::repeat(proof, constant);
            for v in 0..N {
                let (before, last) = (self.0[2 * index][v], self.0[2 * index + 1][v]);
                let word = last.last_word().rotate_words().encrypt_last(constant);
                let even = before.running_sum().xor(word);
                self.0[2 * index + 2][v] = even;
                if index + 1 < ROUND_CONSTANTS.len() {
                    let word = even.last_word().encrypt_last(zero);
                    self.0[2 * index + 3][v] = last.running_sum().xor(word);
                }
            }
        }
    }

    /// Turns the keys of the cipher into those of the equivalent inverse cipher, still in the order of the cipher.
    ///
    /// InvMixColumns is an inner round of the inverse cipher behind a last round of the cipher: everything else
    /// in them cancels.
    #[inline(always)]
    fn invert(&mut self, proof: V::Proof) {
        let zero = V::repeat(proof, 0);
        for round in &mut self.0[1..ROUND_KEYS - 1] {
            for key in round {
                *key = key.encrypt_last(zero).decrypt_round(zero);
            }
        }
    }

    /// Encrypts each register with its own keys.
    #[inline(always)]
    fn encrypt(&self, state: &mut [V; N]) {
        let [first, inner @ .., last] = &self.0;
        for v in 0..N {
            state[v] = state[v].xor(first[v]);
        }
        for keys in inner {
            for v in 0..N {
                state[v] = state[v].encrypt_round(keys[v]);
            }
        }
        for v in 0..N {
            state[v] = state[v].encrypt_last(last[v]);
        }
    }

    /// Decrypts all registers with the keys in `column`, which [`invert`](Self::invert) has turned.
    #[inline(always)]
    fn decrypt<const S: usize>(&self, column: usize, state: &mut [V; S]) {
        let [last, inner @ .., first] = &self.0;
        for register in &mut *state {
            *register = register.xor(first[column]);
        }
        for keys in inner.iter().rev() {
            for register in &mut *state {
                *register = register.decrypt_round(keys[column]);
            }
        }
        for register in state {
            *register = register.decrypt_last(last[column]);
        }
    }

    /// Overwrites the keys. What the compiler has kept of them in registers or spilled is not erased.
    #[inline(always)]
    fn erase(&mut self, proof: V::Proof) {
        for keys in &mut self.0 {
            erase(proof, keys);
        }
    }
}

#[inline(always)]
fn half(key: &[u8; 32], which: usize) -> &Block {
    &key.as_chunks().0[which]
}

/// Applies to `M` messages, as many as `N` registers have lanes, the layer of each.
#[inline(always)]
pub(super) fn encrypt<V: Vector, const N: usize, const M: usize>(
    proof: V::Proof,
    rows: &mut [Row<'_>; M],
) {
    const { assert!(M == N * V::LANES, "one message to a lane") };
    let mut iv_keys = Schedule::<V, N>::new(proof);
    let mut layer_keys = Schedule::<V, N>::new(proof);
    iv_keys.expand(proof, |v, which| {
        V::gather(proof, |lane| half(rows[v * V::LANES + lane].keys.iv.expose(), which))
    });
    layer_keys.expand(proof, |v, which| {
        V::gather(proof, |lane| half(rows[v * V::LANES + lane].keys.layer.expose(), which))
    });
    let mut state = [V::repeat(proof, 0); N];
    for v in 0..N {
        state[v] = V::gather(proof, |lane| &rows[v * V::LANES + lane].blocks[0]);
    }
    iv_keys.encrypt(&mut state);
    let mut iv = state;
    iv_keys.encrypt(&mut iv);
    for v in 0..N {
        iv[v].scatter(|lane, block| rows[v * V::LANES + lane].blocks[0] = block);
    }
    for index in 1..BLOCKS {
        for v in 0..N {
            let text = V::gather(proof, |lane| &rows[v * V::LANES + lane].blocks[index]);
            state[v] = state[v].xor(text);
        }
        layer_keys.encrypt(&mut state);
        for v in 0..N {
            state[v].scatter(|lane, block| rows[v * V::LANES + lane].blocks[index] = block);
        }
    }
    iv_keys.erase(proof);
    layer_keys.erase(proof);
}

/// Takes from one message the layer of `keys`.
#[inline(always)]
pub(super) fn decrypt<V: Vector>(proof: V::Proof, row: &mut Row<'_>) {
    const { assert!(BLOCKS.is_multiple_of(FLIGHT * V::LANES), "no block is left over") };
    const LAYER: usize = 0;
    const IV: usize = 1;
    let keys = [row.keys.layer.expose(), row.keys.iv.expose()];
    let mut schedule = Schedule::<V, 2>::new(proof);
    schedule.expand(proof, |column, which| V::splat(proof, half(keys[column], which)));
    schedule.invert(proof);
    let blocks = &mut *row.blocks;
    let mut iv = [V::splat(proof, &blocks[0])];
    schedule.decrypt(IV, &mut iv);
    // The payload chains from the IV between its two decryptions, so that stands in front while the payload is done.
    blocks[0] = iv[0].first();
    schedule.decrypt(IV, &mut iv);
    // From the back, for each block needs the ciphertext before it.
    for start in (0..BLOCKS).step_by(FLIGHT * V::LANES).rev() {
        let mut state = [V::repeat(proof, 0); FLIGHT];
        let mut chain = state;
        for v in 0..FLIGHT {
            let at = start + v * V::LANES;
            state[v] = V::load(proof, &blocks[at..]);
            chain[v] = match at.checked_sub(1) {
                Some(before) => V::load(proof, &blocks[before..]),
                // Before the IV there is nothing; its own lane is overwritten below.
                None => V::gather(proof, |lane| &blocks[lane.saturating_sub(1)]),
            };
        }
        schedule.decrypt(LAYER, &mut state);
        for v in 0..FLIGHT {
            state[v].xor(chain[v]).store(&mut blocks[start + v * V::LANES..]);
        }
    }
    blocks[0] = iv[0].first();
    schedule.erase(proof);
}
