//! Recognises tunnel messages that came before.
//!
//! What is remembered of a message is its IV xor the first 16 bytes of its data: neither alone is enough, because
//! a hop's output depends on both. Spec: tunnel implementation, participant.

use std::time::Duration;

use crate::base::bloom::DecayingBloom;
use crate::base::recent_set::Novelty;
use crate::base::rng::ShardRng;
use crate::base::time::Instant;
use crate::crypto::siphash::{SipKey, siphash24};
use crate::wire::i2np::tunnel_data::TunnelData;

/// How long a message is remembered at least; twice that at most. No tunnel outlives two periods.
pub const IV_PERIOD: Duration = Duration::from_secs(600);

/// The replay filter of all transit tunnels of a shard.
///
/// It asks one cache line per message and takes 12.8 bytes for each of a period, as its pages fill: with 64 MiB that is
/// 10 minutes at 8,700 messages a second, and above that rate the window shrinks. When it is full it takes 8 in a
/// million new messages for repeated ones ([`DecayingBloom::FALSE_POSITIVES_MAX`]), which are then lost.
pub struct IvFilter {
    key: SipKey,
    seen: DecayingBloom,
}

impl IvFilter {
    /// A filter of `bytes` bytes, keyed from `rng`.
    #[must_use]
    pub fn new(bytes: usize, now: Instant, rng: &mut ShardRng) -> Self {
        let key = SipKey::from_bytes(&rng.bytes());
        Self { key, seen: DecayingBloom::new(bytes, IV_PERIOD, now) }
    }

    /// Whether a message, as it came from the previous hop, is new; it is not from here on.
    pub fn check(&mut self, message: &TunnelData<'_>, now: Instant) -> Novelty {
        self.seen.insert(siphash24(&self.key, &message.replay_key()), now)
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
    use crate::base::limits::TUNNEL_DATA_SIZE;

    #[test]
    fn a_message_is_new_once() {
        let mut rng = ShardRng::from_seed([3; 32]);
        let now = Instant(1);
        let mut filter = IvFilter::new(1 << 12, now, &mut rng);
        let mut body: [u8; TUNNEL_DATA_SIZE] = rng.bytes();
        let mut check = |body: &mut [u8; TUNNEL_DATA_SIZE], now| {
            filter.check(&TunnelData::parse(body).unwrap(), now)
        };
        assert_eq!(check(&mut body, now), Novelty::New);
        assert_eq!(check(&mut body, now + IV_PERIOD), Novelty::Repeated);
        body[0] ^= 1;
        body[1000] ^= 1;
        assert_eq!(check(&mut body, now), Novelty::Repeated, "IV and first block decide");
        body[24] ^= 1;
        assert_eq!(check(&mut body, now), Novelty::New);
    }
}
