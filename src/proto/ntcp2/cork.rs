//! How long tunnel messages may wait in a session for others with which they share a frame and a system call.

use std::time::Duration;

use crate::base::permille::Permille;

/// How much of its time a shard works when it begins to hold tunnel messages back. Below that there is time enough to
/// send each as it comes.
const BUSY: u16 = 500;

/// How long a shard that is so `busy` holds tunnel messages back, `most` where it has no moment of rest.
#[must_use]
pub fn cork(busy: Permille, most: Duration) -> Duration {
    let over = busy.thousandths().saturating_sub(BUSY);
    most * u32::from(over) / u32::from(1000 - BUSY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busier_the_longer() {
        let most = Duration::from_micros(800);
        for (busy, microseconds) in [(0, 0), (500, 0), (625, 200), (750, 400), (1000, 800)] {
            assert_eq!(
                cork(Permille::new(busy), most),
                Duration::from_micros(microseconds),
                "{busy}"
            );
        }
        assert_eq!(cork(Permille::new(1000), Duration::ZERO), Duration::ZERO);
    }
}
