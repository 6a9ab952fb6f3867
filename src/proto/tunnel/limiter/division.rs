//! How the router's bandwidth is divided among its shards, each of which holds to its part without asking anybody.

/// The parts of a whole.
const WHOLE: u64 = 1 << 32;
/// What each shard has whatever it wants, as this part of an equal share: what begins there while others use up the rest is
/// not cut off until the next division, and they miss little by it.
const RESERVE: u64 = 32;

/// The part of the router's bandwidth that one shard may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part(u64);

impl Part {
    /// What each of `shards` shards has as long as nobody wants more than others.
    #[must_use]
    pub fn equal(shards: u16) -> Self {
        Self(WHOLE / u64::from(shards.max(1)))
    }

    /// As much of `bandwidth`, rounded down.
    #[must_use]
    pub fn of(self, bandwidth: u64) -> u64 {
        let part = u128::from(bandwidth) * u128::from(self.0) / u128::from(WHOLE);
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// Whether it is so much like `other`, to a thirty-second, that nobody has to be told.
    #[must_use]
    pub fn is_near(self, other: Self) -> bool {
        self.0.abs_diff(other.0) <= self.0.max(other.0) / 32
    }
}

/// The parts of shards that want so many bytes a second of a bandwidth: each what it wants, and none more than another that
/// does not get what it wants; what is left is divided equally. Together they are never more than all.
#[must_use]
pub fn divide(bandwidth: u64, wants: &[u64]) -> Vec<Part> {
    let shards = u64::try_from(wants.len()).unwrap_or(u64::MAX).max(1);
    let bandwidth = bandwidth.max(1);
    let least = WHOLE / shards / RESERVE;
    let part_of = |want: u64| {
        // A fifth more, so that what grows is not held back until the next division.
        let want = u128::from(want) * 6 / 5;
        let part = want * u128::from(WHOLE) / u128::from(bandwidth);
        u64::try_from(part).unwrap_or(WHOLE).min(WHOLE).max(least)
    };
    let mut parts: Vec<u64> = wants.iter().map(|want| part_of(*want)).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|shard| parts.get(*shard).copied());
    let (mut left, mut shards_left) = (WHOLE, shards);
    for shard in order {
        let Some(part) = parts.get_mut(shard) else { continue };
        *part = (*part).min(left / shards_left.max(1));
        left -= *part;
        shards_left = shards_left.saturating_sub(1);
    }
    parts.into_iter().map(|part| Part(part + left / shards)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(bandwidth: u64, wants: &[u64]) -> Vec<u64> {
        divide(bandwidth, wants).into_iter().map(|part| part.of(bandwidth)).collect()
    }

    #[test]
    fn who_wants_more_gets_what_others_do_not_want() {
        let near = |found: Vec<u64>, expected: &[u64]| {
            let close = |(a, b): (&u64, &u64)| a.abs_diff(*b) <= 2;
            assert!(found.iter().zip(expected).all(close), "{found:?} for {expected:?}");
        };
        near(bytes(1_000, &[0, 0, 0, 0]), &[250; 4]);
        near(bytes(1_000, &[9_000, 9_000]), &[500; 2]);
        // A little is kept for who wants nothing.
        near(bytes(1_000, &[9_000, 0]), &[985, 15]);
        near(bytes(1_000, &[9_000, 250]), &[700, 300]);
        near(bytes(1_000, &[500, 250]), &[650, 350]);
        near(bytes(1_000, &[u64::MAX, 100, 100, 600]), &[380, 120, 120, 380]);
        near(bytes(1_000, &[7]), &[1_000]);
        assert!(divide(1_000, &[]).is_empty());
        assert_eq!(Part::equal(1).of(u64::MAX), u64::MAX);
    }

    #[test]
    fn small_differences_are_not_told() {
        let [one, other] = divide(1_000, &[400, 410])[..] else { panic!("two parts") };
        assert!(one.is_near(other) && one.is_near(one));
        let [one, other] = divide(1_000, &[400, 500])[..] else { panic!("two parts") };
        assert!(!one.is_near(other));
    }

    proptest! {
        #[test]
        fn parts_are_all_and_no_more(
            bandwidth in 1u64..u64::MAX,
            wants in proptest::collection::vec(any::<u64>(), 1..65),
        ) {
            let parts = divide(bandwidth, &wants);
            let shards = u64::try_from(wants.len()).unwrap();
            let sum: u64 = parts.iter().map(|part| part.0).sum();
            prop_assert!(sum <= WHOLE && sum + shards * 2 >= WHOLE, "{sum}");
            prop_assert!(parts.iter().all(|part| part.0 >= WHOLE / shards / RESERVE));
            // Who wants more never gets less.
            for (one, want) in parts.iter().zip(&wants) {
                for (other, other_want) in parts.iter().zip(&wants) {
                    prop_assert!(want < other_want || one.0 + 1 >= other.0);
                }
            }
        }
    }
}
