//! Registers of one, two or four AES blocks, and the instructions on them.
//!
//! The registers are types that only a proof of the CPU's features makes. So whoever has one may use its
//! instructions, and everything above this file is safe code.
//!
//! The methods are always inlined: the instructions are at hand only inside the entry points of `x86.rs`, which
//! enable the features for themselves.

#![expect(unsafe_code, reason = "vector instructions; each method names what it relies on")]

use std::arch::x86_64::*;

use super::{AesNi, Vaes256, Vaes512};

/// An AES block as it lies in memory.
pub(super) type Block = [u8; 16];

/// A register of AES blocks, each in a lane of its own. Keys of the lanes may differ.
pub(super) trait Vector: Copy {
    /// What shows that the CPU has the instructions.
    type Proof: Copy;

    /// Blocks in a register.
    const LANES: usize;

    /// A register with `word` in every 32 bits.
    fn repeat(proof: Self::Proof, word: u32) -> Self;

    /// A register with `block` in every lane.
    fn splat(proof: Self::Proof, block: &Block) -> Self;

    /// A register whose lane n is `block(n)`.
    fn gather<'a>(proof: Self::Proof, block: impl Fn(usize) -> &'a Block) -> Self;

    /// A register of the first [`LANES`](Self::LANES) of `blocks`, of which there must be as many.
    fn load(proof: Self::Proof, blocks: &[Block]) -> Self;

    /// Writes the lanes over the first [`LANES`](Self::LANES) of `blocks`, of which there must be as many.
    fn store(self, blocks: &mut [Block]);

    /// Hands out each lane with its number.
    fn scatter(self, put: impl FnMut(usize, Block));

    /// Lane 0.
    fn first(self) -> Block;

    /// Sum of both, bit by bit.
    fn xor(self, other: Self) -> Self;

    /// An inner round of the cipher (FIPS 197, section 5.1).
    fn encrypt_round(self, key: Self) -> Self;

    /// The last round of the cipher: no MixColumns.
    fn encrypt_last(self, key: Self) -> Self;

    /// An inner round of the equivalent inverse cipher (FIPS 197, section 5.3.5).
    fn decrypt_round(self, key: Self) -> Self;

    /// The last round of the inverse cipher.
    fn decrypt_last(self, key: Self) -> Self;

    /// The last 32-bit word of each lane in all four places of it.
    fn last_word(self) -> Self;

    /// Every 32-bit word turned by one byte: RotWord of FIPS 197, section 5.2.
    fn rotate_words(self) -> Self;

    /// In each lane word n plus all words before it: the chain of sums in the key expansion.
    fn running_sum(self) -> Self;
}

/// Overwrites `values` with zeros in a way that the compiler does not leave out.
#[inline(always)]
pub(super) fn erase<V: Vector, const N: usize>(proof: V::Proof, values: &mut [V; N]) {
    let zero = V::repeat(proof, 0);
    for value in values {
        // SAFETY: a reference points at memory that is valid, aligned and ours to write.
        unsafe { std::ptr::write_volatile(value, zero) }
    }
}

#[inline(always)]
fn bytes(register: __m128i) -> Block {
    // SAFETY: both are 16 bytes without padding, and every pattern of bits is a value of either.
    unsafe { std::mem::transmute::<__m128i, Block>(register) }
}

/// One block; AES-NI.
#[derive(Clone, Copy)]
pub(super) struct Xmm(__m128i);

/// Reads a block into a register. SSE2, which every x86-64 CPU has.
#[inline(always)]
fn read(block: &Block) -> __m128i {
    // SAFETY: a block is 16 readable bytes, and the load asks for no alignment.
    unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
}

// SAFETY of all blocks below: the instructions are SSE2, which x86-64 always has, and AES, which is there since
// `self` or a proof is an argument: an `Xmm` is made only of an `AesNi`, and that only where the CPU has it.
impl Vector for Xmm {
    type Proof = AesNi;

    const LANES: usize = 1;

    #[inline(always)]
    fn repeat(_: AesNi, word: u32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    fn splat(_: AesNi, block: &Block) -> Self {
        Self(read(block))
    }

    #[inline(always)]
    fn gather<'a>(_: AesNi, block: impl Fn(usize) -> &'a Block) -> Self {
        Self(read(block(0)))
    }

    #[inline(always)]
    fn load(_: AesNi, blocks: &[Block]) -> Self {
        Self(read(&blocks[0]))
    }

    #[inline(always)]
    fn store(self, blocks: &mut [Block]) {
        blocks[0] = bytes(self.0);
    }

    #[inline(always)]
    fn scatter(self, mut put: impl FnMut(usize, Block)) {
        put(0, bytes(self.0));
    }

    #[inline(always)]
    fn first(self) -> Block {
        bytes(self.0)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm_xor_si128(self.0, other.0) })
    }

    #[inline(always)]
    fn encrypt_round(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm_aesenc_si128(self.0, key.0) })
    }

    #[inline(always)]
    fn encrypt_last(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm_aesenclast_si128(self.0, key.0) })
    }

    #[inline(always)]
    fn decrypt_round(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm_aesdec_si128(self.0, key.0) })
    }

    #[inline(always)]
    fn decrypt_last(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm_aesdeclast_si128(self.0, key.0) })
    }

    #[inline(always)]
    fn last_word(self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm_shuffle_epi32::<0xff>(self.0) })
    }

    #[inline(always)]
    fn rotate_words(self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm_or_si128(_mm_srli_epi32::<8>(self.0), _mm_slli_epi32::<24>(self.0)) })
    }

    #[inline(always)]
    fn running_sum(self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let pairs = _mm_xor_si128(self.0, _mm_slli_si128::<4>(self.0));
            _mm_xor_si128(pairs, _mm_slli_si128::<8>(pairs))
        })
    }
}

/// Two blocks; VAES on AVX2.
#[derive(Clone, Copy)]
pub(super) struct Ymm(__m256i);

// SAFETY of all blocks below: the instructions are AVX2 and VAES, which are there since `self` or a proof is an
// argument: a `Ymm` is made only of a `Vaes256`, and that only where the CPU has both.
impl Vector for Ymm {
    type Proof = Vaes256;

    const LANES: usize = 2;

    #[inline(always)]
    fn repeat(_: Vaes256, word: u32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    fn splat(_: Vaes256, block: &Block) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_broadcastsi128_si256(read(block)) })
    }

    #[inline(always)]
    fn gather<'a>(_: Vaes256, block: impl Fn(usize) -> &'a Block) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_set_m128i(read(block(1)), read(block(0))) })
    }

    #[inline(always)]
    fn load(_: Vaes256, blocks: &[Block]) -> Self {
        let blocks = &blocks[..Self::LANES];
        // SAFETY: see above the impl; two blocks are 32 readable bytes, and the load asks for no alignment.
        Self(unsafe { _mm256_loadu_si256(blocks.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, blocks: &mut [Block]) {
        let blocks = &mut blocks[..Self::LANES];
        // SAFETY: see above the impl; two blocks are 32 writable bytes, and the store asks for no alignment.
        unsafe { _mm256_storeu_si256(blocks.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn scatter(self, mut put: impl FnMut(usize, Block)) {
        put(0, self.first());
        // SAFETY: see above the impl.
        put(1, bytes(unsafe { _mm256_extracti128_si256::<1>(self.0) }));
    }

    #[inline(always)]
    fn first(self) -> Block {
        // SAFETY: see above the impl.
        bytes(unsafe { _mm256_castsi256_si128(self.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    fn encrypt_round(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_aesenc_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn encrypt_last(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_aesenclast_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn decrypt_round(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_aesdec_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn decrypt_last(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_aesdeclast_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn last_word(self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm256_shuffle_epi32::<0xff>(self.0) })
    }

    #[inline(always)]
    fn rotate_words(self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            _mm256_or_si256(_mm256_srli_epi32::<8>(self.0), _mm256_slli_epi32::<24>(self.0))
        })
    }

    #[inline(always)]
    fn running_sum(self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let pairs = _mm256_xor_si256(self.0, _mm256_bslli_epi128::<4>(self.0));
            _mm256_xor_si256(pairs, _mm256_bslli_epi128::<8>(pairs))
        })
    }
}

/// Four blocks; VAES on AVX-512.
#[derive(Clone, Copy)]
pub(super) struct Zmm(__m512i);

// SAFETY of all blocks below: the instructions are AVX-512 F and BW and VAES, which are there since `self` or a
// proof is an argument: a `Zmm` is made only of a `Vaes512`, and that only where the CPU has all three.
impl Vector for Zmm {
    type Proof = Vaes512;

    const LANES: usize = 4;

    #[inline(always)]
    fn repeat(_: Vaes512, word: u32) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    fn splat(_: Vaes512, block: &Block) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_broadcast_i32x4(read(block)) })
    }

    #[inline(always)]
    fn gather<'a>(_: Vaes512, block: impl Fn(usize) -> &'a Block) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let register = _mm512_castsi128_si512(read(block(0)));
            let register = _mm512_inserti32x4::<1>(register, read(block(1)));
            let register = _mm512_inserti32x4::<2>(register, read(block(2)));
            _mm512_inserti32x4::<3>(register, read(block(3)))
        })
    }

    #[inline(always)]
    fn load(_: Vaes512, blocks: &[Block]) -> Self {
        let blocks = &blocks[..Self::LANES];
        // SAFETY: see above the impl; four blocks are 64 readable bytes, and the load asks for no alignment.
        Self(unsafe { _mm512_loadu_si512(blocks.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, blocks: &mut [Block]) {
        let blocks = &mut blocks[..Self::LANES];
        // SAFETY: see above the impl; four blocks are 64 writable bytes, and the store asks for no alignment.
        unsafe { _mm512_storeu_si512(blocks.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn scatter(self, mut put: impl FnMut(usize, Block)) {
        put(0, self.first());
        // SAFETY: see above the impl.
        unsafe {
            put(1, bytes(_mm512_extracti32x4_epi32::<1>(self.0)));
            put(2, bytes(_mm512_extracti32x4_epi32::<2>(self.0)));
            put(3, bytes(_mm512_extracti32x4_epi32::<3>(self.0)));
        }
    }

    #[inline(always)]
    fn first(self) -> Block {
        // SAFETY: see above the impl.
        bytes(unsafe { _mm512_castsi512_si128(self.0) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_xor_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn encrypt_round(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_aesenc_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn encrypt_last(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_aesenclast_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn decrypt_round(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_aesdec_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn decrypt_last(self, key: Self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_aesdeclast_epi128(self.0, key.0) })
    }

    #[inline(always)]
    fn last_word(self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_shuffle_epi32::<0xff>(self.0) })
    }

    #[inline(always)]
    fn rotate_words(self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe { _mm512_ror_epi32::<8>(self.0) })
    }

    #[inline(always)]
    fn running_sum(self) -> Self {
        // SAFETY: see above the impl.
        Self(unsafe {
            let pairs = _mm512_xor_si512(self.0, _mm512_bslli_epi128::<4>(self.0));
            _mm512_xor_si512(pairs, _mm512_bslli_epi128::<8>(pairs))
        })
    }
}
