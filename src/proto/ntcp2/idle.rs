//! How long a session may be silent: less where there is little room for others.

use std::time::Duration;

use crate::base::limits::{SESSION_IDLE_MAX, SESSION_IDLE_MIN};

/// Silence after which a session is closed, where there are so many `sessions` of `most` that there may be.
///
/// [`SESSION_IDLE_MAX`] up to half of them, from there on evenly less, and [`SESSION_IDLE_MIN`] where no room is left.
#[must_use]
pub fn idle_allowance(sessions: usize, most: usize) -> Duration {
    let half = most / 2;
    let over = sessions.saturating_sub(half).min(most - half);
    let parts = u128::try_from((most - half).max(1)).unwrap_or(u128::MAX);
    let less = (SESSION_IDLE_MAX - SESSION_IDLE_MIN).as_millis()
        * u128::try_from(over).unwrap_or(0)
        / parts;
    SESSION_IDLE_MAX - Duration::from_millis(u64::try_from(less).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_allowed_for_less_the_fuller_it_is() {
        for (sessions, seconds) in [(0, 120), (50, 120), (60, 102), (75, 75), (100, 30), (101, 30)]
        {
            assert_eq!(
                idle_allowance(sessions, 100),
                Duration::from_secs(seconds),
                "{sessions} sessions"
            );
        }
    }

    #[test]
    fn the_least_tables_have_an_answer() {
        assert_eq!(idle_allowance(0, 0), SESSION_IDLE_MAX);
        assert_eq!(idle_allowance(0, 1), SESSION_IDLE_MAX);
        assert_eq!(idle_allowance(1, 1), SESSION_IDLE_MIN);
        assert_eq!(idle_allowance(usize::MAX, usize::MAX), SESSION_IDLE_MIN);
    }
}
