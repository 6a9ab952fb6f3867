//! Recognises tunnel messages that came before.
//!
//! What is remembered of a message is its IV xor the first 16 bytes of its data: neither alone is enough, because
//! a hop's output depends on both. Spec: tunnel implementation, participant.

use std::time::Duration;

use crate::base::bloom::DecayingBloom;
use crate::base::limits::TUNNEL_DATA_SIZE;
use crate::base::recent_set::Novelty;
use crate::base::rng::ShardRng;
use crate::base::time::Instant;
use crate::crypto::siphash::{SipKey, siphash24};
use crate::wire::i2np::tunnel_data::TunnelData;

/// How long a message is remembered at least; twice that at most. No tunnel outlives two periods.
pub const IV_PERIOD: Duration = Duration::from_secs(600);

/// Room for this many times the messages that the bandwidth allows: one shard has more of them than its share, where few
/// neighbours bring most.
const HEAD_ROOM: u64 = 2;
/// The least that a filter takes, in bytes.
const BYTES_MIN: usize = 64 * 1024;

/// The replay filter of all transit tunnels of a shard.
///
/// It asks one cache line per message and takes 12.8 bytes for each of a period, as its pages fill: with 64 MiB that is
/// 10 minutes at 8,700 messages a second, and above that rate the window shrinks. When it is full it takes 8 in a
/// million new messages for repeated ones ([`DecayingBloom::FALSE_POSITIVES_MAX`]), which are then lost.
pub struct IvFilter {
    key: SipKey,
    seen: DecayingBloom,
    /// The filter before the last change of size, still asked until then.
    former: Option<(Instant, DecayingBloom)>,
    bytes: usize,
    early_rotations: u64,
}

impl IvFilter {
    /// Bytes for one of `shards` shards that share `bandwidth` bytes a second: as many as it may carry in
    /// [`IV_PERIOD`], with head room, at 12.8 each.
    #[must_use]
    pub fn bytes_for(bandwidth: u64, shards: u16) -> usize {
        const MESSAGE_SIZE: u64 = TUNNEL_DATA_SIZE as u64;
        let each = bandwidth / u64::from(shards.max(1));
        let messages = each.saturating_mul(IV_PERIOD.as_secs() * HEAD_ROOM) / MESSAGE_SIZE;
        DecayingBloom::bytes_for(messages).max(BYTES_MIN)
    }

    /// A filter of `bytes` bytes, keyed from `rng`.
    #[must_use]
    pub fn new(bytes: usize, now: Instant, rng: &mut ShardRng) -> Self {
        let key = SipKey::from_bytes(&rng.bytes());
        let seen = DecayingBloom::new(bytes, IV_PERIOD, now);
        Self { key, seen, former: None, bytes, early_rotations: 0 }
    }

    /// From the next message on it has another size, except that two changes have a period between them. What the former
    /// knew is known for another period.
    pub fn resize(&mut self, bytes: usize) {
        self.bytes = bytes;
    }

    /// Whether a message, as it came from the previous hop, is new; it is not from here on.
    pub fn check(&mut self, message: &TunnelData<'_>, now: Instant) -> Novelty {
        let hash = siphash24(&self.key, &message.replay_key());
        self.former.take_if(|(until, _)| *until <= now);
        if self.former.is_none() {
            self.take_size(now);
        }
        let known = self.former.as_mut().is_some_and(|(_, former)| former.contains(hash));
        let novelty = self.seen.insert(hash, now);
        if known { Novelty::Repeated } else { novelty }
    }

    /// Takes on the size that was asked for.
    fn take_size(&mut self, now: Instant) {
        if self.seen.bytes() == DecayingBloom::rounded(self.bytes) {
            return;
        }
        let fresh = DecayingBloom::new(self.bytes, IV_PERIOD, now);
        let former = std::mem::replace(&mut self.seen, fresh);
        self.early_rotations += former.early_rotations();
        self.former = Some((now + IV_PERIOD, former));
    }

    /// How often the window was cut short because more came than the filter has room for.
    #[must_use]
    pub fn early_rotations(&self) -> u64 {
        self.early_rotations + self.seen.early_rotations()
    }

    /// Bytes that it takes when all of it has been touched.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.seen.bytes() + self.former.as_ref().map_or(0, |(_, former)| former.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn it_is_as_large_as_the_bandwidth_asks() {
        let kilobytes = |rate, shards| IvFilter::bytes_for(rate, shards) / 1024;
        assert_eq!(kilobytes(1, 1), 64, "the least");
        assert_eq!(kilobytes(48 * 1024, 1), 717, "class L");
        assert_eq!(kilobytes(48 * 1024, 2), 358);
        assert_eq!(kilobytes(2_048 * 1024, 1), 30_600, "class P");
        // Room for all that the bandwidth can bring in a period.
        for rate in [48 * 1024, 2 << 20, 125_000_000_u64] {
            let keys = DecayingBloom::new(IvFilter::bytes_for(rate, 1), IV_PERIOD, Instant(0));
            assert!(keys.capacity() * 1028 >= rate * IV_PERIOD.as_secs(), "{rate}");
        }
        assert!(IvFilter::bytes_for(u64::MAX, 1) > 1 << 40, "bounded by the limits");
    }

    /// A filter of one shard at `rate` bytes a second, while `messages` come at `carried` bytes a second that all are
    /// new: how many it takes for repeated ones, and the computed bound of their share at its fullest.
    fn false_positives(rate: u64, carried: u64, messages: u64) -> (u64, f64) {
        let (mut rng, start) = (ShardRng::from_seed([6; 32]), Instant(1));
        let mut filter = IvFilter::new(IvFilter::bytes_for(rate, 1), start, &mut rng);
        let mut body = [0; TUNNEL_DATA_SIZE];
        body[0] = 1;
        let (mut lost, mut computed) = (0, 0.0_f64);
        for number in 0..messages {
            body[4..20].copy_from_slice(&rng.bytes::<16>());
            let micros = number * 1028 * 1_000_000 / carried;
            let message = TunnelData::parse(&mut body).unwrap();
            let novelty = filter.check(&message, start + Duration::from_micros(micros));
            lost += u64::from(novelty == Novelty::Repeated);
            if number % 1_000 == 0 {
                computed = computed.max(filter.seen.false_positive_rate());
            }
        }
        assert_eq!(filter.early_rotations(), 0, "it has room for all of a period");
        (lost, computed)
    }

    #[test]
    fn fewer_than_one_new_message_in_100_000_is_lost_at_the_bandwidth_and_at_all_of_the_head_room()
    {
        const MESSAGES: u64 = 1_000_000;
        for rate in [48 * 1024, 256 * 1024] {
            for carried in [rate, rate * HEAD_ROOM * 99 / 100] {
                let (lost, computed) = false_positives(rate, carried, MESSAGES);
                println!("{rate} bytes/s, {carried} carried: {lost} lost, {computed:.1e} computed");
                assert!(computed < 1e-5 && computed > 1e-7, "{computed}");
                assert!(lost * 100_000 < MESSAGES, "{lost}");
            }
        }
    }

    #[test]
    fn another_size_forgets_nothing_of_the_last_period() {
        let mut rng = ShardRng::from_seed([4; 32]);
        let (start, minute) = (Instant(1), Duration::from_secs(60));
        let mut filter = IvFilter::new(1 << 12, start, &mut rng);
        let mut bodies: [[u8; TUNNEL_DATA_SIZE]; 3] = std::array::from_fn(|_| rng.bytes());
        let mut check = |filter: &mut IvFilter, which: usize, now| {
            filter.check(&TunnelData::parse(&mut bodies[which]).unwrap(), now)
        };
        assert_eq!(check(&mut filter, 0, start), Novelty::New);
        filter.resize(1 << 14);
        assert_eq!(check(&mut filter, 1, start + minute), Novelty::New);
        assert_eq!(filter.bytes(), (1 << 12) + (1 << 14));
        assert_eq!(check(&mut filter, 0, start + 5 * minute), Novelty::Repeated);
        // A second change waits until nobody needs the first any more.
        filter.resize(1 << 13);
        assert_eq!(check(&mut filter, 2, start + 6 * minute), Novelty::New);
        assert_eq!(filter.bytes(), (1 << 12) + (1 << 14));
        assert_eq!(check(&mut filter, 1, start + 12 * minute), Novelty::Repeated);
        assert_eq!(filter.bytes(), (1 << 14) + (1 << 13));
        assert_eq!(check(&mut filter, 2, start + 13 * minute), Novelty::Repeated);
    }
}
