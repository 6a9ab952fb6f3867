//! A Bloom filter that forgets: the store of a replay filter that is asked once per message, at the price of one
//! cache line.
//!
//! The filter is a row of blocks of 64 bytes. A key belongs to one block, in which eight of 248 bits are its own. Each
//! block has such a field for the newer and one for the older generation, and the low bits of the number of the
//! generation that wrote it last; a block that is behind catches up when it is next touched. So a rotation costs
//! nothing, whatever the size, and a look-up reads and writes one line.
//!
//! Generations rotate by time, and early by fill: when a generation holds five keys per block on average. At that
//! fill in both, the false positive rate is [`DecayingBloom::FALSE_POSITIVES_MAX`].
//!
//! Against [`RecentSet`](super::recent_set::RecentSet): a quarter of the lines, 12.8 bytes a key instead of 8 at the
//! same period, and a false positive rate of 8 in a million instead of one in a hundred million.
//!
//! The hash is the caller's, made with a secret key, so that nobody outside can choose keys that collide: this floor has
//! no cipher of its own, and callers already hold a SipHash key.

use std::time::Duration;

use super::recent_set::Novelty;
use super::time::Instant;

/// Bytes of a block: one cache line.
const BLOCK_BYTES: usize = 64;
/// Words of a block that hold one generation.
const FIELD_WORDS: usize = 4;
/// Bits of a generation's field: its words without the byte that holds half of the epoch.
const FIELD_BITS: u64 = 248;
/// Bits of one key: one for each byte of its hash.
const KEY_BITS: usize = 8;
/// Keys per block, on average, at which a generation is full.
const BLOCK_KEYS: u64 = 5;
/// Bits that the epoch leaves to the field in the last word.
const EPOCH_SHIFT: u32 = 56;

/// Words of a block.
const BLOCK_WORDS: usize = 2 * FIELD_WORDS;

const _: () =
    assert!(size_of::<Block>() == BLOCK_BYTES && size_of::<u64>() * BLOCK_WORDS == BLOCK_BYTES);
const _: () = assert!(FIELD_BITS == FIELD_WORDS as u64 * 64 - 8);

/// Remembers keys for one to two periods, in a fixed number of bytes.
pub struct DecayingBloom {
    blocks: Blocks,
    /// Rotations since the start; a block knows the low 16 bits of the one it has seen.
    epoch: u64,
    /// Keys of the newer and of the older generation.
    keys: [u64; 2],
    started: Instant,
    period: Duration,
    early_rotations: u64,
}

/// Fields of even and odd epochs. The top bytes of the two last words are the epoch.
type Block = [[u64; FIELD_WORDS]; 2];

/// Blocks in one piece of memory, each a cache line. They begin as zero pages, which the system hands out as they are
/// touched: of numbers, and not of a type of ours, the memory of a vector comes from the system as zeros and is not written.
struct Blocks {
    words: Vec<u64>,
    /// Words in front of the first cache line.
    skipped: usize,
    count: usize,
}

impl Blocks {
    fn new(count: usize) -> Self {
        let words = vec![0; (count + 1) * BLOCK_WORDS - 1];
        let skipped = words.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_WORDS - 1);
        Self { words, skipped, count }
    }

    /// The block of a key: by the hash as it is, scaled to the number of blocks, which need not be a power of two.
    fn of(&mut self, hash: u64) -> Option<&mut Block> {
        let count = u64::try_from(self.count).ok()?;
        let index = usize::try_from((u128::from(hash) * u128::from(count)) >> 64).ok()?;
        let words = self.words.get_mut(self.skipped + index * BLOCK_WORDS..)?;
        let (fields, _) = words.as_chunks_mut();
        fields.first_chunk_mut()
    }
}

impl DecayingBloom {
    /// Bound of the rate at which new keys are taken for repeated ones: with both generations full, for keys spread
    /// evenly, computed as in [`DecayingBloom::false_positive_rate`].
    pub const FALSE_POSITIVES_MAX: f64 = 8.0e-6;

    /// A filter of `bytes` bytes, rounded down to whole blocks, one at the least. It remembers for at least `period`
    /// what does not come faster than [`DecayingBloom::capacity`] keys in a period.
    #[must_use]
    pub fn new(bytes: usize, period: Duration, now: Instant) -> Self {
        let count = Self::rounded(bytes) / BLOCK_BYTES;
        Self {
            blocks: Blocks::new(count),
            epoch: 0,
            keys: [0; 2],
            started: now,
            period,
            early_rotations: 0,
        }
    }

    /// Bytes of a filter that was asked to have `bytes`.
    #[must_use]
    pub fn rounded(bytes: usize) -> usize {
        (bytes / BLOCK_BYTES).clamp(1, u32::MAX as usize) * BLOCK_BYTES
    }

    /// Bytes that a filter needs for `keys` keys in a period.
    #[must_use]
    pub fn bytes_for(keys: u64) -> usize {
        usize::try_from(keys.div_ceil(BLOCK_KEYS)).unwrap_or(usize::MAX).saturating_mul(BLOCK_BYTES)
    }

    /// Keys that one generation takes before it is rotated out early.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        u64::try_from(self.blocks.count).unwrap_or(u64::MAX).saturating_mul(BLOCK_KEYS)
    }

    /// Enters `hash`, which the caller has made with a secret key, and says whether it was there before: always true
    /// to a key of the last period, and wrong about a new one at the rate of [`DecayingBloom::false_positive_rate`].
    pub fn insert(&mut self, hash: u64, now: Instant) -> Novelty {
        self.advance(now);
        let epoch = self.epoch;
        let Some(block) = self.blocks.of(hash) else { return Novelty::New };
        catch_up(block, epoch);
        let key = key_bits(hash);
        let [even, odd] = block;
        let (newer, older) = if epoch.is_multiple_of(2) { (even, odd) } else { (odd, even) };
        if holds(newer, &key) {
            return Novelty::Repeated;
        }
        // What the older generation knows is entered again, so that it is remembered from now on.
        let known = holds(older, &key);
        newer.iter_mut().zip(key).for_each(|(word, bits)| *word |= bits);
        self.keys[0] += 1;
        if known { Novelty::Repeated } else { Novelty::New }
    }

    /// Whether `hash` is remembered, as of the last time that something was entered. It is not entered.
    #[must_use]
    pub fn contains(&mut self, hash: u64) -> bool {
        let Some(block) = self.blocks.of(hash) else { return false };
        catch_up(block, self.epoch);
        let key = key_bits(hash);
        block.iter().any(|field| holds(field, &key))
    }

    /// Bytes that it takes when all of it has been touched.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.blocks.count * BLOCK_BYTES
    }

    /// The share of new keys that is taken for repeated ones at the present fill.
    ///
    /// With λ keys per block on average, a block holds n of them by Poisson's law; each of the key's eight bits is
    /// then set with probability `1 - (1 - 1/248)^(8 n)`. Both generations are asked, so their rates add up.
    #[must_use]
    pub fn false_positive_rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate is an estimate")]
        let per_block = self.keys.map(|keys| keys as f64 / self.blocks.count as f64);
        per_block.into_iter().map(false_positive_rate).sum()
    }

    /// How often a generation was full before its period was over, since the start.
    #[must_use]
    pub fn early_rotations(&self) -> u64 {
        self.early_rotations
    }

    /// How many keys are remembered; one that was repeated across a rotation counts twice.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.keys[0] + self.keys[1]
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn advance(&mut self, now: Instant) {
        let age = now.since(self.started);
        if age >= self.period * 2 {
            self.rotate(now);
            self.rotate(now);
        } else if age >= self.period {
            // From when it was due and not from when somebody asked: no key is remembered for more than two periods.
            self.rotate(self.started + self.period);
        } else if self.keys[0] >= self.capacity() {
            self.early_rotations += 1;
            self.rotate(now);
        }
    }

    fn rotate(&mut self, now: Instant) {
        self.started = now;
        self.epoch += 1;
        self.keys = [0, self.keys[0]];
    }
}

/// Clears what this block has slept through: the field that is to become the newer one, or both.
///
/// A block that nothing touched for exactly 65,536 rotations would be taken for a fresh one, and answer from keys of
/// long ago; a full generation touches all blocks but one in 150, so no block sleeps through two of those.
fn catch_up(block: &mut Block, epoch: u64) {
    let [low, high, ..] = epoch.to_le_bytes();
    let now = u16::from_le_bytes([low, high]);
    let [even, odd] = block;
    let seen = u16::from_le_bytes([top_byte(even), top_byte(odd)]);
    match now.wrapping_sub(seen) {
        0 => return,
        1 if now.is_multiple_of(2) => *even = [0; FIELD_WORDS],
        1 => *odd = [0; FIELD_WORDS],
        _ => (*even, *odd) = ([0; FIELD_WORDS], [0; FIELD_WORDS]),
    }
    set_top_byte(even, low);
    set_top_byte(odd, high);
}

fn top_byte(field: &[u64; FIELD_WORDS]) -> u8 {
    let [.., last] = field;
    let [.., byte] = last.to_le_bytes();
    byte
}

fn set_top_byte(field: &mut [u64; FIELD_WORDS], byte: u8) {
    let [.., last] = field;
    *last = (*last & ((1 << EPOCH_SHIFT) - 1)) | (u64::from(byte) << EPOCH_SHIFT);
}

/// The bits of a key, by a mix of its hash: the block must tell nothing about them.
fn key_bits(hash: u64) -> [u64; FIELD_WORDS] {
    let mut bits = [0; FIELD_WORDS];
    for byte in mix(hash).to_le_bytes() {
        let at = (u64::from(byte) * FIELD_BITS) >> 8;
        if let Some(word) = usize::try_from(at / 64).ok().and_then(|word| bits.get_mut(word)) {
            *word |= 1 << (at % 64);
        }
    }
    bits
}

/// A bijection in which every input bit reaches every output bit (the finaliser of SplitMix64, Steele, Lea, Flood 2014).
/// It hides nothing and need not: the hash is secret already.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn holds(field: &[u64; FIELD_WORDS], key: &[u64; FIELD_WORDS]) -> bool {
    field.iter().zip(key).all(|(word, bits)| word & bits == *bits)
}

/// Of one generation with `per_block` keys per block on average.
fn false_positive_rate(per_block: f64) -> f64 {
    const KEYS_MAX: i32 = 64;
    let bits = f64::from(u32::try_from(KEY_BITS).unwrap_or(0));
    #[expect(clippy::cast_precision_loss, reason = "248")]
    let unset = 1.0 - 1.0 / FIELD_BITS as f64;
    let (mut weight, mut rate) = ((-per_block).exp(), 0.0);
    for keys in 1..=KEYS_MAX {
        weight *= per_block / f64::from(keys);
        let set = 1.0 - unset.powf(bits * f64::from(keys));
        rate += weight * set.powf(bits);
    }
    rate
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::base::rng::ShardRng;

    const PERIOD: Duration = Duration::from_secs(600);

    fn at(seconds: u64) -> Instant {
        Instant(9_000_000) + Duration::from_secs(seconds)
    }

    fn filter(keys: u64) -> DecayingBloom {
        DecayingBloom::new(DecayingBloom::bytes_for(keys), PERIOD, at(0))
    }

    #[test]
    fn a_key_is_remembered_for_one_to_two_periods() {
        let mut filter = filter(1000);
        assert_eq!(filter.insert(7, at(0)), Novelty::New);
        assert_eq!(filter.insert(7, at(1)), Novelty::Repeated);
        assert_eq!(filter.insert(7, at(600)), Novelty::Repeated, "in the older generation");
        assert_eq!(filter.insert(7, at(1200)), Novelty::Repeated, "the repetition counts too");
        assert_eq!(filter.insert(8, at(1799)), Novelty::New);
        assert_eq!(filter.insert(8, at(1801)), Novelty::Repeated);
        assert_eq!(filter.insert(8, at(4000)), Novelty::New, "two periods of silence");
        assert_eq!(filter.early_rotations(), 0);
    }

    #[test]
    fn a_full_generation_gives_way_and_the_last_capacity_is_kept() {
        let mut filter = filter(5000);
        let capacity = filter.capacity();
        assert_eq!(capacity, 5000);
        let mut rng = ShardRng::from_seed([1; 32]);
        let hashes: Vec<u64> = (0..4 * capacity).map(|_| rng.u64()).collect();
        let repeated = hashes.iter().filter(|h| filter.insert(**h, at(1)) == Novelty::Repeated);
        assert!(repeated.count() <= 3);
        assert_eq!(filter.early_rotations(), 3);
        assert!(filter.len() <= 2 * capacity);
        for hash in &hashes[hashes.len() - 5000..] {
            assert_eq!(filter.insert(*hash, at(2)), Novelty::Repeated);
        }
    }

    /// Full in both generations, a million new keys are asked for without being entered.
    #[test]
    fn the_rate_of_false_positives_is_the_computed_one_and_small_enough() {
        let mut filter = filter(100_000);
        let mut rng = ShardRng::from_seed([2; 32]);
        for second in [0, 600] {
            (0..filter.capacity() - 1).for_each(|_| _ = filter.insert(rng.u64(), at(second)));
        }
        let computed = filter.false_positive_rate();
        assert!(computed > 4e-6 && computed < DecayingBloom::FALSE_POSITIVES_MAX, "{computed}");
        const { assert!(DecayingBloom::FALSE_POSITIVES_MAX < 1e-5) };
        let asked = 1_000_000;
        let found = (0..asked).filter(|_| {
            let hash = rng.u64();
            filter.contains(hash)
        });
        let found = found.count();
        // About 7 are expected; 20 and more of a Poisson variable with this mean come once in ten thousand seeds.
        assert!((1..20).contains(&found), "{found} of {asked}, computed {computed}");
    }

    #[test]
    fn memory_is_taken_as_it_fills_and_each_block_is_one_cache_line() {
        let resident = || {
            let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
            pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
        };
        let (before, bytes) = (resident(), 1 << 30);
        let mut filter = DecayingBloom::new(bytes, PERIOD, at(0));
        assert_eq!(filter.bytes(), bytes);
        assert_eq!(filter.insert(u64::MAX, at(0)), Novelty::New);
        assert_eq!(filter.insert(0, at(0)), Novelty::New);
        // Other tests of this process take some meanwhile.
        let taken = resident().saturating_sub(before);
        assert!(taken < bytes / 2, "{taken} bytes");
        for hash in [0, u64::MAX / 3, u64::MAX] {
            let block = filter.blocks.of(hash).unwrap().as_ptr();
            assert_eq!(block.align_offset(BLOCK_BYTES), 0);
        }
    }

    #[test]
    fn to_ask_enters_nothing() {
        let mut filter = filter(1000);
        assert!(!filter.contains(7));
        assert_eq!(filter.insert(7, at(0)), Novelty::New);
        assert!(filter.contains(7));
        assert_eq!(filter.insert(8, at(601)), Novelty::New);
        assert!(filter.contains(7), "in the older generation");
        assert_eq!(filter.insert(9, at(1201)), Novelty::New);
        assert!(!filter.contains(7) && filter.contains(8));
    }

    #[test]
    fn a_filter_of_one_block_works_and_sleeps_through_rotations() {
        let mut filter = DecayingBloom::new(0, PERIOD, at(0));
        assert_eq!(filter.capacity(), 5);
        assert_eq!(filter.insert(u64::MAX, at(0)), Novelty::New);
        for rotation in 1..70_000u64 {
            let now = at(rotation * 1300);
            assert_eq!(filter.insert(rotation.wrapping_mul(0x9e37_79b9), now), Novelty::New);
        }
    }

    proptest! {
        /// What a set of the last period knows, the filter knows; what neither generation can know it hardly ever claims.
        #[test]
        fn it_forgets_nothing_of_the_last_period(
            keys in proptest::collection::vec((0u64..300, 0u64..100), 1..400),
            seed in any::<[u8; 32]>(),
        ) {
            let mut rng = ShardRng::from_seed(seed);
            let hashes: Vec<u64> = (0..300).map(|_| rng.u64()).collect();
            let mut filter = filter(100_000);
            let mut entered: Vec<(u64, u64)> = Vec::new();
            let (mut now, mut false_positives) = (0, 0);
            for (key, wait) in keys {
                now += wait;
                let within = |seconds| -> HashSet<u64> {
                    let recent = entered.iter().filter(|(_, when)| now - when < seconds);
                    recent.map(|(key, _)| *key).collect()
                };
                let novelty = filter.insert(hashes[usize::try_from(key).unwrap()], at(now));
                if within(600).contains(&key) {
                    prop_assert_eq!(novelty, Novelty::Repeated);
                } else if !within(1200).contains(&key) && novelty == Novelty::Repeated {
                    false_positives += 1;
                }
                entered.push((key, now));
            }
            prop_assert!(false_positives <= 1);
        }
    }
}
