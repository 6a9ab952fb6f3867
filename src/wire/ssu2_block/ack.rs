//! Which packets have arrived. Spec: SSU2, Ack.

use std::ops::RangeInclusive;

use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// Two runs of packets, downwards: first those that have not arrived, then those that have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckRange {
    /// Packets that have not arrived, 0 to 255.
    pub missing: u8,
    /// Packets below them that have, 0 to 255; not zero if `missing` is.
    pub arrived: u8,
}

/// Packets that have arrived, viewed in their block. Below the last range nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The highest packet that has arrived.
    pub through: u32,
    /// How many packets below that have arrived without a gap.
    pub further: u8,
    ranges: &'a [[u8; 2]],
}

impl<'a> Ack<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let through = reader.u32("Ack block")?;
        let further = reader.u8("Ack block")?;
        let (ranges, odd) = reader.rest().as_chunks();
        if !odd.is_empty() {
            return Err(Malformed::Truncated { field: "range of Ack block", needed: 2, left: 1 });
        }
        if ranges.contains(&[0, 0]) {
            return Err(Malformed::Value { field: "range of Ack block", found: 0 });
        }
        Ok(Self { through, further, ranges })
    }

    /// What a block says that has these ranges; `None` when one of them is empty. Each is a number of packets
    /// that have not arrived and one of packets that have.
    #[must_use]
    pub fn new(through: u32, further: u8, ranges: &'a [[u8; 2]]) -> Option<Self> {
        (!ranges.contains(&[0, 0])).then_some(Self { through, further, ranges })
    }

    /// The ranges below the first run.
    pub fn ranges(&self) -> impl Iterator<Item = AckRange> + 'a {
        self.ranges
            .iter()
            .map(|[missing, arrived]| AckRange { missing: *missing, arrived: *arrived })
    }

    /// The runs of packets that have arrived, downwards. They end where the numbers would go below zero, whatever
    /// the block says further.
    pub fn arrived(&self) -> impl Iterator<Item = RangeInclusive<u32>> + 'a {
        let first = AckRange { missing: 0, arrived: self.further };
        // The first run has one packet more than it counts: the highest itself.
        let start = self.through.saturating_sub(u32::from(first.arrived));
        let mut next = start.checked_sub(1);
        let rest = self.ranges().map_while(move |range| {
            let high = next?.checked_sub(u32::from(range.missing))?;
            let low = high.saturating_sub(u32::from(range.arrived).saturating_sub(1));
            if range.arrived == 0 {
                next = Some(high);
                return Some(None);
            }
            next = low.checked_sub(1);
            Some(Some(low..=high))
        });
        std::iter::once(start..=self.through).chain(rest.flatten())
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.through.to_be_bytes());
        out.push(self.further);
        out.extend_from_slice(self.ranges.as_flattened());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arrived(through: u32, further: u8, ranges: &[[u8; 2]]) -> Vec<RangeInclusive<u32>> {
        Ack::new(through, further, ranges).unwrap().arrived().collect()
    }

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(arrived(10, 0, &[]), [10..=10]);
        assert_eq!(arrived(10, 2, &[]), [8..=10]);
        assert_eq!(arrived(10, 2, &[[1, 2], [2, 3]]), [8..=10, 5..=6, 0..=2]);
    }

    #[test]
    fn long_runs_take_several_ranges() {
        // Packets 1000 to 301 have arrived, 300 to 1 have not, 0 has.
        let ranges = [[0, 255], [0, 189], [255, 0], [45, 1]];
        assert_eq!(arrived(1000, 255, &ranges), [745..=1000, 490..=744, 301..=489, 0..=0]);
    }

    #[test]
    fn numbers_do_not_go_below_zero() {
        assert_eq!(arrived(3, 255, &[[1, 1]]), [0..=3]);
        assert_eq!(arrived(3, 1, &[[3, 1]]), [2..=3]);
        assert_eq!(arrived(3, 1, &[[1, 9], [1, 1]]), [2..=3, 0..=0]);
        assert_eq!(Ack::new(3, 1, &[[0, 0]]), None);
    }

    proptest! {
        #[test]
        fn runs_go_down_and_do_not_touch_twice(
            through: u32, further: u8, ranges in proptest::collection::vec(any::<[u8; 2]>(), 0..20),
        ) {
            let Some(ack) = Ack::new(through, further, &ranges) else { return Ok(()) };
            let mut below = u64::from(through) + 1;
            for run in ack.arrived() {
                prop_assert!(run.start() <= run.end());
                prop_assert!(u64::from(*run.end()) < below);
                below = u64::from(*run.start());
            }
        }
    }
}
