//! Today's key of a record, and which routers are closest to it.
//!
//! A record is kept by the floodfills closest to its routing key, which changes at midnight UTC so that nobody
//! can settle next to a record for long. Only the record's key is rotated; the routers' hashes stand as they are.

use crate::base::id::{RecordKey, RouterHash};
use crate::base::time::UnixTime;
use crate::crypto::hash::sha256_parts;

/// Bits of a routing key.
const KEY_BITS: usize = 256;

/// The key by which distances to a record are measured on one day. It never leaves this router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoutingKey([u8; 32]);

/// How far a router is from a routing key: their exclusive or, as a 256-bit number. Smaller is closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distance([u8; 32]);

/// The routing key of `key` on the UTC day of `now`: the hash of the key and the date as eight digits.
///
/// Spec: network database, routing key.
#[must_use]
pub fn routing_key(key: &RecordKey, now: UnixTime) -> RoutingKey {
    RoutingKey(sha256_parts(&[&key.0, &date_digits(now.days())]))
}

impl RoutingKey {
    /// The distance from here to `router`.
    #[must_use]
    pub fn distance(&self, router: &RouterHash) -> Distance {
        let mut distance = self.0;
        for (byte, other) in distance.iter_mut().zip(&router.0) {
            *byte ^= other;
        }
        Distance(distance)
    }

    /// The `count` routers closest to this key, closest first, without those that `excluded` names.
    ///
    /// `candidates` must be sorted. The cost grows with `count` and with the excluded routers that are close,
    /// not with the number of candidates.
    #[must_use]
    pub fn closest(
        &self,
        candidates: &[RouterHash],
        excluded: &dyn Fn(&RouterHash) -> bool,
        count: usize,
    ) -> Vec<RouterHash> {
        debug_assert!(candidates.is_sorted(), "candidates are a sorted snapshot");
        let mut found = Vec::with_capacity(count.min(candidates.len()));
        // In a sorted slice the routers that share a prefix stand together. Halving by the next bit and taking the
        // half that agrees with the key first visits them in order of distance. The far halves wait on a stack,
        // which is never deeper than a key has bits.
        let mut waiting: Vec<(&[RouterHash], usize)> = vec![(candidates, 0)];
        while let Some((group, depth)) = waiting.pop() {
            if found.len() >= count {
                break;
            }
            if group.len() <= 1 || depth >= KEY_BITS {
                let wanted = group.iter().filter(|router| !excluded(router));
                found.extend(wanted.take(count - found.len()));
                continue;
            }
            let (zeros, ones) =
                group.split_at(group.partition_point(|router| !bit(&router.0, depth)));
            let (near, far) = if bit(&self.0, depth) { (ones, zeros) } else { (zeros, ones) };
            waiting.push((far, depth + 1));
            waiting.push((near, depth + 1));
        }
        found
    }
}

/// The `count` routers of the sorted slice `candidates` that are closest to `key` on the day of `now`, closest
/// first, without those that `excluded` names.
#[must_use]
pub fn closest(
    key: &RecordKey,
    now: UnixTime,
    candidates: &[RouterHash],
    excluded: &dyn Fn(&RouterHash) -> bool,
    count: usize,
) -> Vec<RouterHash> {
    routing_key(key, now).closest(candidates, excluded, count)
}

/// The bit at `position`, counted from the most significant.
fn bit(bytes: &[u8; 32], position: usize) -> bool {
    bytes.get(position / 8).is_some_and(|byte| byte << (position % 8) & 0x80 != 0)
}

/// A day, counted from 1970-01-01, as `yyyyMMdd`.
fn date_digits(days: u64) -> [u8; 8] {
    let (year, month, day) = civil_date(days);
    let number = year % 10_000 * 10_000 + month * 100 + day;
    let mut digits = [b'0'; 8];
    let mut left = number;
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
    }
    digits
}

/// Year, month and day of a day counted from 1970-01-01, by the Gregorian rules.
///
/// Years are counted from March, so that the leap day is the last of its year and every month but the last has a
/// length that a line of slope 153/5 gives.
#[must_use]
pub fn civil_date(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468; // from 1 March of the year 0
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days + DAYS_BEFORE_1970;
    let (cycle, day_of_cycle) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let leap_days = day_of_cycle / 1_460 - day_of_cycle / 36_524 + day_of_cycle / 146_096;
    let year_of_cycle = (day_of_cycle - leap_days) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, year_after) =
        if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (cycle * 400 + year_of_cycle + year_after, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_MS: u64 = 86_400_000;
    /// 2026-01-01 00:00 UTC.
    const NEW_YEAR_2026: UnixTime = UnixTime(20_454 * DAY_MS);

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn routing_key_of_zeros_is_the_known_one() {
        let key = routing_key(&RecordKey([0; 32]), NEW_YEAR_2026);
        let known = "b9f603f7367ff7f402bd133059f16030903372a0af2b2d6dcb43a219c353f7e3";
        assert_eq!(hex(&key.0), known);
        let last = routing_key(&RecordKey([0; 32]), UnixTime(NEW_YEAR_2026.0 + DAY_MS - 1));
        assert_eq!(key, last, "the whole day has one key");
        let next = routing_key(&RecordKey([0; 32]), UnixTime(NEW_YEAR_2026.0 + DAY_MS));
        assert_ne!(key, next);
    }

    #[test]
    fn dates_follow_the_calendar() {
        let known: [(u64, &[u8; 8]); 9] = [
            (0, b"19700101"),
            (58, b"19700228"),
            (59, b"19700301"),
            (11_016, b"20000229"),
            (11_017, b"20000301"),
            (20_453, b"20251231"),
            (20_454, b"20260101"),
            (47_540, b"21000228"),
            (47_541, b"21000301"),
        ];
        for (days, digits) in known {
            assert_eq!(&date_digits(days), digits, "day {days}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let length = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(4)
                && (!year.is_multiple_of(100) || year.is_multiple_of(400)) =>
            {
                29
            }
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(civil_date(days), expected);
            let (year, month, day) = expected;
            expected = if day < length(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
        }
    }

    #[test]
    fn a_far_date_is_eight_digits_too() {
        assert!(date_digits(UnixTime(u64::MAX).days()).iter().all(u8::is_ascii_digit));
    }

    #[test]
    fn no_candidates_no_result() {
        assert!(closest(&RecordKey([1; 32]), NEW_YEAR_2026, &[], &|_| false, 3).is_empty());
        let one = [RouterHash([5; 32])];
        assert!(closest(&RecordKey([1; 32]), NEW_YEAR_2026, &one, &|_| false, 0).is_empty());
        assert!(closest(&RecordKey([1; 32]), NEW_YEAR_2026, &one, &|_| true, 3).is_empty());
    }

    /// Hashes that differ in few bits, so that long common prefixes occur.
    fn similar_hash() -> impl Strategy<Value = RouterHash> {
        (any::<u8>(), any::<u8>(), 0usize..32).prop_map(|(first, other, at)| {
            let mut bytes = [0xA5; 32];
            bytes[0] = first & 0x83;
            bytes[at] ^= other;
            RouterHash(bytes)
        })
    }

    proptest! {
        #[test]
        fn closest_agrees_with_sorting_by_distance(
            mut candidates in proptest::collection::vec(similar_hash(), 0..60),
            key in any::<[u8; 32]>(),
            near in any::<bool>(),
            count in 0usize..20,
            odd in any::<bool>(),
        ) {
            candidates.sort();
            // A key inside the cluster exercises the deep levels.
            let key = if near { RoutingKey([0xA5; 32]) } else { RoutingKey(key) };
            let excluded = |router: &RouterHash| (router.0[1] & 1 == 1) == odd;
            let found = key.closest(&candidates, &excluded, count);
            let mut expected: Vec<_> = candidates.iter().copied().filter(|r| !excluded(r)).collect();
            expected.sort_by_key(|router| key.distance(router));
            expected.truncate(count);
            prop_assert_eq!(found, expected);
        }
    }
}
