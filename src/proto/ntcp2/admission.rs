//! Who may begin a handshake: token buckets per address and per subnet, in front of all public-key work.
//!
//! A source pays when it connects, whether or not it ever says a word, so the same buckets bound the connections that
//! it can hold half open. What exceeds them is closed without an answer.
//!
//! The table has a fixed size and is indexed by a keyed hash, so that nobody outside can choose whom to push out of it.
//! Where there is no room, the source that has used least of its rate is forgotten: that gives away least.

use std::net::IpAddr;

use crate::base::limits::SourceRates;
use crate::base::rate::{Rate, TokenBucket};
use crate::base::rng::ShardRng;
use crate::base::time::Instant;
use crate::crypto::siphash::{SipKey, siphash24};

/// Sources that share a row of a table; a new one has the choice between so many places.
const WAYS: usize = 8;

/// Why a connection is closed before it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionRefused {
    /// Its address connects too often.
    #[error("too many connections from one address")]
    Address,
    /// Its subnet connects too often.
    #[error("too many connections from one subnet")]
    Subnet,
}

/// The use that sources have made of their rates.
pub struct Admission {
    key: SipKey,
    rates: SourceRates,
    addresses: Table,
    subnets: Table,
}

impl Admission {
    /// Buckets for `slots` addresses and as many subnets, rounded up to a power of two: 48 bytes for each pair.
    #[must_use]
    pub fn new(rates: SourceRates, slots: usize, rng: &mut ShardRng) -> Self {
        Self {
            key: SipKey::from_bytes(&rng.bytes()),
            rates,
            addresses: Table::new(slots),
            subnets: Table::new(slots),
        }
    }

    /// Lets a connection from `address` begin a handshake, or says why not.
    ///
    /// The address pays first: one that floods is refused by itself and leaves its subnet to its neighbours.
    ///
    /// # Errors
    /// [`AdmissionRefused`] when the address or its subnet has used up its rate.
    pub fn admit(&mut self, address: IpAddr, now: Instant) -> Result<(), AdmissionRefused> {
        let source = Source::of(address);
        let (host, subnet) =
            (siphash24(&self.key, &source.host), siphash24(&self.key, &source.subnet));
        if !self.addresses.take(host, &self.rates.address, now) {
            return Err(AdmissionRefused::Address);
        }
        if !self.subnets.take(subnet, &self.rates.subnet, now) {
            return Err(AdmissionRefused::Subnet);
        }
        Ok(())
    }
}

/// The parts of an address that are counted by, each with a first byte that tells its kind.
struct Source {
    host: [u8; 9],
    subnet: [u8; 9],
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                Self { host: [4, a, b, c, d, 0, 0, 0, 0], subnet: [4, a, b, c, 0, 0, 0, 0, 0] }
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self { host: [6, a, b, c, d, e, f, g, h], subnet: [6, a, b, c, d, e, f, g, 0] }
            }
        }
    }
}

/// Buckets by hash, in rows of [`WAYS`].
struct Table {
    rows: Vec<[Place; WAYS]>,
}

#[derive(Clone, Copy)]
struct Place {
    /// The hash of the source; 0 is free.
    source: u64,
    bucket: TokenBucket,
}

impl Table {
    fn new(slots: usize) -> Self {
        let rows = slots.div_ceil(WAYS).next_power_of_two();
        let free = Place { source: 0, bucket: TokenBucket::full(&Rate::new(0, 0), Instant(0)) };
        Self { rows: vec![[free; WAYS]; rows] }
    }

    fn take(&mut self, hash: u64, rate: &Rate, now: Instant) -> bool {
        let source = hash.max(1);
        let mask = self.rows.len() - 1;
        let index = usize::try_from(hash >> 32).unwrap_or(0) & mask;
        let Some(row) = self.rows.get_mut(index) else { return false };
        if let Some(place) = row.iter_mut().find(|place| place.source == source) {
            return place.bucket.take(1, rate, now);
        }
        let worth = |place: &Place| match place.source {
            0 => u64::MAX,
            _ => place.bucket.available(rate, now),
        };
        let Some(place) = row.iter_mut().max_by_key(|place| worth(place)) else { return false };
        *place = Place { source, bucket: TokenBucket::full(rate, now) };
        place.bucket.take(1, rate, now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;

    const RATES: SourceRates = SourceRates { address: Rate::new(1, 4), subnet: Rate::new(2, 20) };

    fn admission(slots: usize) -> Admission {
        Admission::new(RATES, slots, &mut ShardRng::from_seed([1; 32]))
    }

    fn at(seconds: u64) -> Instant {
        Instant(9_000_000) + Duration::from_secs(seconds)
    }

    fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
        Ipv4Addr::new(a, b, c, d).into()
    }

    fn granted(admission: &mut Admission, addresses: impl Iterator<Item = IpAddr>) -> usize {
        addresses.filter(|address| admission.admit(*address, at(0)).is_ok()).count()
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let mut admission = admission(64);
        let address = v4(51, 1, 2, 3);
        assert_eq!(granted(&mut admission, std::iter::repeat_n(address, 100)), 4);
        assert_eq!(admission.admit(address, at(0)), Err(AdmissionRefused::Address));
        assert_eq!(admission.admit(address, at(1)), Ok(()));
        assert_eq!(admission.admit(address, at(1)), Err(AdmissionRefused::Address));
    }

    #[test]
    fn all_addresses_of_a_subnet_share_one_bucket() {
        let mut admission = admission(4096);
        let subnet = (0..=255).map(|host| v4(51, 1, 2, host));
        assert_eq!(granted(&mut admission, subnet), 20);
        assert_eq!(admission.admit(v4(51, 1, 2, 200), at(0)), Err(AdmissionRefused::Subnet));
        assert_eq!(admission.admit(v4(51, 1, 3, 1), at(0)), Ok(()));
        // An IPv4 address is the same one however it is written.
        let mapped = Ipv4Addr::new(51, 1, 2, 9).to_ipv6_mapped();
        assert_eq!(admission.admit(mapped.into(), at(0)), Err(AdmissionRefused::Subnet));
    }

    #[test]
    fn an_address_that_floods_leaves_its_subnet_to_the_others() {
        let mut admission = admission(4096);
        granted(&mut admission, std::iter::repeat_n(v4(51, 1, 2, 3), 10_000));
        assert_eq!(admission.admit(v4(51, 1, 2, 4), at(0)), Ok(()));
    }

    #[test]
    fn ipv6_counts_by_64_and_by_56() {
        let mut admission = admission(4096);
        let address = |subnet: u16, host: u16| {
            IpAddr::from(Ipv6Addr::new(0x2a00, 1, 2, subnet, 0, 0, 0, host))
        };
        let one_host = (0..1000).map(|host| address(0x0700, host));
        assert_eq!(granted(&mut admission, one_host), 4, "one /64");
        let one_subnet = (0x0701..0x0800).map(|subnet| address(subnet, 1));
        assert_eq!(granted(&mut admission, one_subnet), 16, "one /56, of which 4 are spent");
        assert_eq!(admission.admit(address(0x0800, 1), at(0)), Ok(()), "the next /56");
    }

    #[test]
    fn a_flood_of_sources_does_not_push_out_who_has_used_up_its_rate() {
        let mut admission = admission(64);
        let loud = v4(51, 1, 2, 3);
        assert_eq!(granted(&mut admission, std::iter::repeat_n(loud, 5)), 4);
        for number in 0..20_000u32 {
            let [_, a, b, c] = number.to_be_bytes();
            let _ = admission.admit(v4(60 + a, b, c, 1), at(0));
        }
        assert_eq!(admission.admit(loud, at(0)), Err(AdmissionRefused::Address));
    }

    #[test]
    fn who_has_waited_long_enough_has_all_of_it_again() {
        let mut admission = admission(64);
        let address = v4(51, 1, 2, 3);
        assert_eq!(granted(&mut admission, std::iter::repeat_n(address, 9)), 4);
        for _ in 0..4 {
            assert_eq!(admission.admit(address, at(60)), Ok(()));
        }
        assert_eq!(admission.admit(address, at(60)), Err(AdmissionRefused::Address));
    }
}
