//! Connections by their names.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::base::id::ConnectionId;
use crate::base::slab::SlabKey;

/// Where the connection of each name is.
pub type Names = HashMap<ConnectionId, SlabKey, BuildHasherDefault<Mix>>;

/// Spreads numbers that nobody outside chooses, as are the names of connections, which we count up; for these the keyed hash
/// of the standard library is needless.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix(u64);

/// An odd number without a pattern: the golden ratio's digits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // The table uses the lowest bits and the highest ones: both depend on all bits of the number.
        let product = u128::from(self.0 ^ number) * u128::from(FACTOR);
        let bytes = product.to_be_bytes();
        let (high, low) = bytes.split_at(8);
        let half = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        self.0 = half(high) ^ half(low);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use super::*;
    use crate::base::id::{ConnectionOrigin, ShardId};

    #[test]
    fn names_that_are_counted_up_are_spread() {
        let hash = |id: ConnectionId| BuildHasherDefault::<Mix>::default().hash_one(id);
        let ids = (0..1024).flat_map(|counter| {
            [ConnectionOrigin::Accepted, ConnectionOrigin::Dialled]
                .map(|origin| ConnectionId::new(ShardId(3), origin, counter))
        });
        let hashes: Vec<u64> = ids.map(hash).collect();
        let places: HashSet<u64> = hashes.iter().map(|hash| hash % 4096).collect();
        let tags: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        // By chance it would be some 1600 of 4096 places, and all 128 tags.
        assert!(places.len() > 1400 && tags.len() == 128, "{} {}", places.len(), tags.len());
    }
}
