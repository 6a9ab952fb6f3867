//! Recognises build records that came before, by their ephemeral keys, before anything is computed for them.

use std::time::Duration;

use crate::base::recent_set::{Novelty, RecentSet};
use crate::base::rng::ShardRng;
use crate::base::time::Instant;
use crate::crypto::siphash::{SipKey, siphash24};
use crate::crypto::x25519::X25519Public;

use super::build_request::{BuildRequestError, REQUEST_AGE_MAX, REQUEST_AHEAD_MAX};

/// How long a key is remembered at least. Requests count in whole minutes, so that one is acceptable a minute
/// longer than its two limits together.
pub const BUILD_REPLAY_PERIOD: Duration = Duration::from_secs(14 * 60);

const _: () = assert!(
    BUILD_REPLAY_PERIOD.as_secs() >= REQUEST_AGE_MAX.as_secs() + REQUEST_AHEAD_MAX.as_secs() + 60
);

/// The ephemeral keys of the requests that this shard has seen.
///
/// It takes 8 bytes per slot as it fills and remembers at least half as many keys as it has slots; with 2^20 slots
/// that is 8 MiB and 624 requests a second. Above that rate the window shrinks.
pub struct BuildReplayFilter {
    key: SipKey,
    seen: RecentSet,
}

impl BuildReplayFilter {
    /// A filter with `slots` slots, keyed from `rng`.
    #[must_use]
    pub fn new(slots: usize, rng: &mut ShardRng) -> Self {
        Self {
            key: SipKey::from_bytes(&rng.bytes()),
            seen: RecentSet::new(slots, BUILD_REPLAY_PERIOD),
        }
    }

    /// Enters the ephemeral key of a record that is addressed to us.
    ///
    /// # Errors
    /// [`BuildRequestError::Replayed`] when it was there before.
    pub fn check(
        &mut self,
        ephemeral: &X25519Public,
        now: Instant,
    ) -> Result<(), BuildRequestError> {
        // Two encodings of one point differ in the top bit; both give the same secret.
        let mut bytes = ephemeral.0;
        let [.., last] = &mut bytes;
        *last &= 0x7f;
        match self.seen.insert(siphash24(&self.key, &bytes), now) {
            Novelty::New => Ok(()),
            Novelty::Repeated => Err(BuildRequestError::Replayed),
        }
    }

    /// How often the window was cut short because more came than the filter has room for.
    #[must_use]
    pub fn early_rotations(&self) -> u64 {
        self.seen.early_rotations()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_once_in_the_time_that_its_request_is() {
        let mut filter = BuildReplayFilter::new(1024, &mut ShardRng::from_seed([4; 32]));
        let start = Instant(77_000_000_000);
        let key = X25519Public([5; 32]);
        assert_eq!(filter.check(&key, start), Ok(()));
        let last = start + Duration::from_secs(14 * 60 - 1);
        assert_eq!(filter.check(&key, last), Err(BuildRequestError::Replayed));
        let mut twin = [5; 32];
        twin[31] |= 0x80;
        assert_eq!(filter.check(&X25519Public(twin), last), Err(BuildRequestError::Replayed));
        assert_eq!(filter.check(&X25519Public([6; 32]), last), Ok(()));
    }
}
