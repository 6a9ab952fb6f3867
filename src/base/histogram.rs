//! Counts of numbers in fixed buckets, as Prometheus wants them.

/// Most buckets of one histogram.
const BUCKETS_MAX: usize = 16;

/// How often which numbers were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    bounds: &'static [u64],
    buckets: [u64; BUCKETS_MAX],
    count: u64,
    sum: u64,
}

impl Histogram {
    /// Bounds for the length of a turn and the like, in microseconds.
    pub const MICROSECONDS: &'static [u64] = &[
        10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000,
    ];
    /// Bounds for the size of a batch.
    pub const BATCH: &'static [u64] = &[1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 1024];

    /// An empty histogram with these upper bounds of its buckets, ascending, at most 16; greater numbers count in the
    /// total alone.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        debug_assert!(bounds.len() <= BUCKETS_MAX && bounds.is_sorted(), "{bounds:?}");
        Self { bounds, buckets: [0; BUCKETS_MAX], count: 0, sum: 0 }
    }

    /// Counts one number.
    pub fn record(&mut self, number: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < number);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(number);
    }

    /// Upper bound and how many numbers lie at or below it, ascending.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        self.bounds.iter().copied().zip(counts)
    }

    /// How many numbers were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_land_in_their_buckets() {
        let mut histogram = Histogram::new(Histogram::MICROSECONDS);
        for us in [1, 10, 11, 999_999, 2_000_000] {
            histogram.record(us);
        }
        let counts: Vec<_> = histogram.cumulative().collect();
        assert_eq!(counts.len(), Histogram::MICROSECONDS.len());
        assert_eq!(counts[0], (10, 2));
        assert_eq!(counts[1], (25, 3));
        assert_eq!(counts[13], (1_000_000, 4));
        assert_eq!(histogram.count(), 5);
        assert_eq!(histogram.sum(), 3_000_021);
    }

    #[test]
    fn the_largest_number_is_counted_too() {
        let mut histogram = Histogram::new(Histogram::BATCH);
        histogram.record(u64::MAX);
        histogram.record(3);
        assert_eq!(histogram.cumulative().last(), Some((1024, 1)));
        assert_eq!((histogram.count(), histogram.sum()), (2, u64::MAX));
    }
}
