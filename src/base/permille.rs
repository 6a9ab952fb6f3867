//! Shares in thousandths.

/// A share in thousandths, a thousand at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permille(u16);

impl Permille {
    /// So many thousandths, or the whole.
    #[must_use]
    pub const fn new(thousandths: u16) -> Self {
        Self(if thousandths < 1000 { thousandths } else { 1000 })
    }

    /// Its thousandths, 0 to 1000.
    #[must_use]
    pub const fn thousandths(self) -> u16 {
        self.0
    }

    /// How much of `limit` `used` is. Of no limit nothing is ever used, of a limit of zero all.
    #[must_use]
    pub fn of(used: u64, limit: Option<u64>) -> Self {
        let Some(limit) = limit else { return Self(0) };
        let share = (u128::from(used) * 1000).checked_div(u128::from(limit)).unwrap_or(1000);
        Self(u16::try_from(share).unwrap_or(1000).min(1000))
    }

    /// The mean of `shares` over `count` of them; those that are missing are zero.
    #[must_use]
    pub fn mean(shares: impl Iterator<Item = Self>, count: usize) -> Self {
        let sum: u64 = shares.map(|share| u64::from(share.0)).sum();
        Self::of(sum, Some(1000 * u64::try_from(count.max(1)).unwrap_or(u64::MAX)))
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_nothing_and_of_everything() {
        assert_eq!(Permille::of(5, None), Permille::new(0));
        assert_eq!(Permille::of(0, Some(0)), Permille::new(1000));
        assert_eq!(Permille::of(u64::MAX, Some(1)), Permille::new(1000));
        assert_eq!(Permille::of(u64::MAX / 2, Some(u64::MAX)), Permille::new(499));
        assert_eq!(Permille::mean([Permille::new(900)].into_iter(), 2), Permille::new(450));
        assert_eq!(Permille::mean(std::iter::empty(), 0), Permille::new(0));
    }
}
