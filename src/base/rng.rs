//! The seeded random source of one shard. System entropy enters once, as its seed, in `runtime`.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// A ChaCha20 stream from a seed: unpredictable with a random seed, repeatable with a known one.
pub struct ShardRng(ChaCha20Rng);

impl ShardRng {
    /// The stream that belongs to `seed`.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// `N` random bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// Any 32-bit number.
    #[must_use]
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Any 64-bit number.
    #[must_use]
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 when `bound` is 0.
    #[must_use]
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias of a 64-bit remainder over bounds that fit in memory is below 2^-30: no choice here is a key.
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.u64() % bound).unwrap_or(0)
    }

    /// A random 32-bit number other than 0 and 0xFFFFFFFF, which peers treat as special in ids and tokens.
    #[must_use]
    pub fn id(&mut self) -> u32 {
        loop {
            let id = self.u32();
            if id != 0 && id != u32::MAX {
                return id;
            }
        }
    }
}
