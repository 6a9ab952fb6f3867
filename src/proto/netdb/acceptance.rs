//! What makes a record storable: every check but the signature, cheapest first.
//!
//! A signature costs more than all of this together, so callers check it afterwards, in batches, for what passed.

use std::time::Duration;

use crate::base::id::{RecordKey, RouterHash};
use crate::base::time::UnixTime;
use crate::crypto::signature::SignatureType;
use crate::wire::lease_set::{AnyLeaseSet, LeaseSetKind};
use crate::wire::router_info::RouterInfo;
use crate::wire::unverified::Unverified;

/// How far ahead of our clock a record may have been published.
pub const FUTURE_MAX: Duration = Duration::from_secs(2 * 60);
/// Age limit of a RouterInfo while we know few routers.
pub const ROUTER_AGE_MAX_FEW: Duration = Duration::from_secs(27 * 3600);
/// Age limit of a RouterInfo once we know more than [`KNOWN_ROUTERS_FEW`].
pub const ROUTER_AGE_MAX: Duration = Duration::from_secs(3600);
/// Up to this many known routers count as few: old ones are better than none.
pub const KNOWN_ROUTERS_FEW: usize = 90;
/// How far ahead a lease set may expire. Meta lease sets may as far as they can say, for 18 hours.
pub const LEASE_SET_AHEAD_MAX: Duration = Duration::from_secs(16 * 60);

const _: () = assert!(ROUTER_AGE_MAX.as_secs() < ROUTER_AGE_MAX_FEW.as_secs());

/// How a message came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Over a session, from the router at its other end.
    Session,
    /// Down one of our own tunnels, in garlic or not: whoever sent it reached us through it.
    OwnTunnel,
    /// In garlic to this router that came over a session: the session's router need not be the sender.
    Garlic,
}

/// What a record is judged by, besides itself.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// The time now.
    pub now: UnixTime,
    /// The network's id.
    pub network: u8,
    /// Our own hash.
    pub our: &'a RouterHash,
    /// Whether we act as floodfill, and so keep lease sets at all.
    pub floodfill: bool,
    /// Routers known, by all shards together.
    pub known_routers: usize,
}

impl Conditions<'_> {
    /// How old a RouterInfo may be.
    #[must_use]
    pub fn router_age_max(&self) -> Duration {
        if self.known_routers > KNOWN_ROUTERS_FEW { ROUTER_AGE_MAX } else { ROUTER_AGE_MAX_FEW }
    }
}

/// Why a record is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The key it came under is not its own.
    #[error("stored under another key than its own")]
    ForeignKey,
    /// It is about this router.
    #[error("record of this router itself")]
    Own,
    /// It was published after our now, by more than clocks may differ.
    #[error("published {ahead:?} ahead, the limit is {FUTURE_MAX:?}")]
    Future {
        /// How far ahead.
        ahead: Duration,
    },
    /// It is a RouterInfo older than the limit.
    #[error("{age:?} old, the limit is {limit:?}")]
    Old {
        /// Its age.
        age: Duration,
        /// The limit that held.
        limit: Duration,
    },
    /// It is a lease set whose time is over.
    #[error("expired {ago:?} ago")]
    Expired {
        /// How long ago.
        ago: Duration,
    },
    /// It is a lease set signed by a key whose own time is over.
    #[error("signing key expired {ago:?} ago")]
    KeyExpired {
        /// How long ago.
        ago: Duration,
    },
    /// It is a lease set that claims too long a life.
    #[error("expires {ahead:?} ahead, the limit is {LEASE_SET_AHEAD_MAX:?}")]
    FarExpiry {
        /// How far ahead.
        ahead: Duration,
    },
    /// It is an encrypted lease set under a key that nobody can have blinded.
    #[error("blinded key of type {found}, not RedDSA")]
    BlindedKeyType {
        /// The code of its type.
        found: u16,
    },
    /// It is a lease set that its owner does not want in the netdb.
    #[error("flagged as not to be published")]
    Unpublished,
    /// It is a RouterInfo without a network id.
    #[error("no network id")]
    NoNetwork,
    /// It is a RouterInfo of another network.
    #[error("network {found}, ours is {expected}")]
    OtherNetwork {
        /// Ours.
        expected: u8,
        /// Its own.
        found: u8,
    },
    /// It is a RouterInfo without a readable version.
    #[error("no router version")]
    NoVersion,
    /// It is a RouterInfo without any address.
    #[error("no address")]
    NoAddress,
    /// It is a lease set and we are not a floodfill.
    #[error("lease set, and this router is not a floodfill")]
    NotFloodfill,
    /// It is a lease set that came down one of our own tunnels.
    #[error("lease set out of one of our own tunnels")]
    Indirect,
    /// What we have is as new, or newer.
    #[error("published {published:?}, the record held is of {held:?}")]
    NotNewer {
        /// Its own date.
        published: UnixTime,
        /// The date of ours.
        held: UnixTime,
    },
}

impl Rejection {
    /// All that [`Rejection::reason`] says, but of a record that is not newer, which is no refusal.
    pub const REASONS: &'static [&'static str] = &[
        "foreign_key",
        "own",
        "future",
        "old",
        "expired",
        "key_expired",
        "far_expiry",
        "blinded_key_type",
        "unpublished",
        "no_network",
        "other_network",
        "no_version",
        "no_address",
        "not_floodfill",
        "indirect",
    ];

    /// The reason as a metrics label.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ForeignKey => "foreign_key",
            Self::Own => "own",
            Self::Future { .. } => "future",
            Self::Old { .. } => "old",
            Self::Expired { .. } => "expired",
            Self::KeyExpired { .. } => "key_expired",
            Self::FarExpiry { .. } => "far_expiry",
            Self::BlindedKeyType { .. } => "blinded_key_type",
            Self::Unpublished => "unpublished",
            Self::NoNetwork => "no_network",
            Self::OtherNetwork { .. } => "other_network",
            Self::NoVersion => "no_version",
            Self::NoAddress => "no_address",
            Self::NotFloodfill => "not_floodfill",
            Self::Indirect => "indirect",
            Self::NotNewer { .. } => "not_newer",
        }
    }
}

/// Checks a RouterInfo that came under `key`; `held` is the date of the record that we have under that key.
///
/// # Errors
/// The first [`Rejection`] that holds.
pub fn check_router_info(
    key: &RecordKey,
    info: &Unverified<RouterInfo>,
    held: Option<UnixTime>,
    conditions: &Conditions<'_>,
) -> Result<(), Rejection> {
    let info = info.peek();
    if RecordKey::from(info.hash()) != *key {
        return Err(Rejection::ForeignKey);
    }
    if info.hash() == *conditions.our {
        return Err(Rejection::Own);
    }
    let published = info.published();
    check_not_future(published, conditions.now)?;
    let (age, limit) = (conditions.now.since(published), conditions.router_age_max());
    if age > limit {
        return Err(Rejection::Old { age, limit });
    }
    check_newer(published, held)?;
    let found = info.network().ok_or(Rejection::NoNetwork)?;
    if found != conditions.network {
        return Err(Rejection::OtherNetwork { expected: conditions.network, found });
    }
    if info.version().is_none() {
        return Err(Rejection::NoVersion);
    }
    if info.addresses().is_empty() {
        return Err(Rejection::NoAddress);
    }
    Ok(())
}

/// Checks a lease set of any type that came under `key`; `held` is the date of the record that we have under that key.
///
/// # Errors
/// The first [`Rejection`] that holds.
pub fn check_lease_set(
    key: &RecordKey,
    lease_set: &Unverified<AnyLeaseSet>,
    origin: Origin,
    held: Option<UnixTime>,
    conditions: &Conditions<'_>,
) -> Result<(), Rejection> {
    if !conditions.floodfill {
        return Err(Rejection::NotFloodfill);
    }
    match origin {
        Origin::Session | Origin::Garlic => {}
        Origin::OwnTunnel => return Err(Rejection::Indirect),
    }
    let lease_set = lease_set.peek();
    if lease_set.key() != *key {
        return Err(Rejection::ForeignKey);
    }
    if key.as_router() == *conditions.our {
        return Err(Rejection::Own);
    }
    let owner = lease_set.owner_key().kind();
    if lease_set.kind() == LeaseSetKind::EncryptedLeaseSet && owner != SignatureType::RedDsa {
        return Err(Rejection::BlindedKeyType { found: owner.code() });
    }
    if lease_set.is_unpublished() {
        return Err(Rejection::Unpublished);
    }
    check_not_future(lease_set.published(), conditions.now)?;
    let expires = lease_set.expires();
    if expires <= conditions.now {
        return Err(Rejection::Expired { ago: conditions.now.since(expires) });
    }
    if let Some(key_expires) = lease_set.delegation_expires()
        && key_expires <= conditions.now
    {
        return Err(Rejection::KeyExpired { ago: conditions.now.since(key_expires) });
    }
    let ahead = expires.since(conditions.now);
    match lease_set.kind() {
        LeaseSetKind::LeaseSet | LeaseSetKind::LeaseSet2 | LeaseSetKind::EncryptedLeaseSet => {
            if ahead > LEASE_SET_AHEAD_MAX {
                return Err(Rejection::FarExpiry { ahead });
            }
        }
        LeaseSetKind::MetaLeaseSet => {}
    }
    check_newer(lease_set.published(), held)
}

fn check_not_future(published: UnixTime, now: UnixTime) -> Result<(), Rejection> {
    let ahead = published.since(now);
    if ahead > FUTURE_MAX { Err(Rejection::Future { ahead }) } else { Ok(()) }
}

fn check_newer(published: UnixTime, held: Option<UnixTime>) -> Result<(), Rejection> {
    match held {
        Some(held) if published <= held => Err(Rejection::NotNewer { published, held }),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        NOON, ROUTER, hash, lease_set, lease_set_of, router_info, router_info_at,
    };
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const US: RouterHash = RouterHash([0xEE; 32]);

    fn conditions(known_routers: usize) -> Conditions<'static> {
        Conditions { now: NOON, network: 99, our: &US, floodfill: true, known_routers }
    }

    fn parsed(info: &RouterInfo) -> Unverified<RouterInfo> {
        RouterInfo::parse(info.bytes()).unwrap()
    }

    fn judge(
        published: UnixTime,
        options: &[(&str, &str)],
        held: Option<UnixTime>,
        known_routers: usize,
    ) -> Result<(), Rejection> {
        let info = parsed(&router_info(1, published, options));
        check_router_info(&hash(1).into(), &info, held, &conditions(known_routers))
    }

    #[test]
    fn dates_of_router_infos() {
        let hour = 60 * MINUTE;
        let second = Duration::from_secs(1);
        let old = |age, limit| Err(Rejection::Old { age, limit });
        let table = [
            (NOON, 10, Ok(())),
            (NOON + 2 * MINUTE, 10, Ok(())),
            (NOON + 2 * MINUTE + second, 10, Err(Rejection::Future { ahead: 2 * MINUTE + second })),
            (NOON - 27 * hour, 90, Ok(())),
            (NOON - 27 * hour - second, 90, old(27 * hour + second, 27 * hour)),
            (NOON - hour, 91, Ok(())),
            (NOON - hour - second, 91, old(hour + second, hour)),
            (UnixTime(0), 10, old(NOON.since(UnixTime(0)), 27 * hour)),
        ];
        for (published, known, expected) in table {
            assert_eq!(judge(published, ROUTER, None, known), expected, "{published:?}, {known}");
        }
    }

    #[test]
    fn only_what_is_strictly_newer() {
        for (held, is_taken) in [(NOON - MINUTE, true), (NOON, false), (NOON + MINUTE, false)] {
            let expected =
                if is_taken { Ok(()) } else { Err(Rejection::NotNewer { published: NOON, held }) };
            assert_eq!(judge(NOON, ROUTER, Some(held), 10), expected);
        }
    }

    #[test]
    fn options_of_router_infos() {
        let caps = ("caps", "XR");
        let version = ("router.version", "0.9.67");
        let other = |found| Rejection::OtherNetwork { expected: 99, found };
        let table: [(&[(&str, &str)], Rejection); 6] = [
            (&[caps, version], Rejection::NoNetwork),
            (&[caps, ("netId", "2"), version], other(2)),
            (&[caps, ("netId", "99x"), version], Rejection::NoNetwork),
            (&[caps, ("netId", "355"), version], Rejection::NoNetwork),
            (&[caps, ("netId", "99")], Rejection::NoVersion),
            (&[caps, ("netId", "99"), ("router.version", "new")], Rejection::NoVersion),
        ];
        for (options, rejection) in table {
            assert_eq!(judge(NOON, options, None, 10), Err(rejection), "{options:?}");
        }
    }

    #[test]
    fn whose_router_infos() {
        let info = parsed(&router_info(1, NOON, ROUTER));
        let foreign = check_router_info(&hash(2).into(), &info, None, &conditions(10));
        assert_eq!(foreign, Err(Rejection::ForeignKey));
        let our = hash(1);
        let as_us = Conditions { our: &our, ..conditions(10) };
        let own = check_router_info(&hash(1).into(), &info, None, &as_us);
        assert_eq!(own, Err(Rejection::Own));
        let mute = parsed(&router_info_at(1, NOON, ROUTER, Vec::new()));
        let mute = check_router_info(&hash(1).into(), &mute, None, &conditions(10));
        assert_eq!(mute, Err(Rejection::NoAddress));
    }

    fn check_dates(kind: LeaseSetKind, published: UnixTime, seconds: u16) -> Result<(), Rejection> {
        let lease_set = lease_set_of(kind, 1, published, seconds);
        let parsed = AnyLeaseSet::parse(kind, lease_set.bytes()).unwrap();
        check_lease_set(&lease_set.key(), &parsed, Origin::Session, None, &conditions(10))
    }

    #[test]
    fn dates_of_lease_sets() {
        let second = Duration::from_secs(1);
        let far = Err(Rejection::FarExpiry { ahead: 16 * MINUTE + second });
        let table = [
            (NOON, 600, Ok(())),
            (NOON - 9 * MINUTE, 600, Ok(())),
            (NOON - 10 * MINUTE, 600, Err(Rejection::Expired { ago: Duration::ZERO })),
            (NOON - 11 * MINUTE, 600, Err(Rejection::Expired { ago: MINUTE })),
            (NOON, 960, Ok(())),
            (NOON, 961, far),
            (NOON + 2 * MINUTE, 600, Ok(())),
            (NOON + 3 * MINUTE, 600, Err(Rejection::Future { ahead: 3 * MINUTE })),
        ];
        for kind in LeaseSetKind::ALL {
            for (published, seconds, expected) in table {
                let may_last = kind == LeaseSetKind::MetaLeaseSet && expected == far;
                let expected = if may_last { Ok(()) } else { expected };
                let found = check_dates(kind, published, seconds);
                assert_eq!(found, expected, "{kind:?} {published:?} {seconds}");
            }
        }
        let meta = LeaseSetKind::MetaLeaseSet;
        assert_eq!(check_dates(meta, NOON + 2 * MINUTE, u16::MAX), Ok(()));
        assert_eq!(check_dates(meta, NOON - 18 * 60 * MINUTE, u16::MAX), Ok(()));
    }

    #[test]
    fn a_lease_set_without_leases_has_expired() {
        let set = lease_set_of(LeaseSetKind::LeaseSet, 1, NOON, 600);
        let mut bytes = set.bytes().to_vec();
        // Destination, encryption key, revocation key, then the count; leases of 44 bytes.
        bytes[391 + 256 + 32] = 0;
        bytes.drain(391 + 256 + 33..bytes.len() - 64);
        let parsed = AnyLeaseSet::parse(LeaseSetKind::LeaseSet, &bytes).unwrap();
        let found = check_lease_set(&set.key(), &parsed, Origin::Session, None, &conditions(10));
        assert_eq!(found, Err(Rejection::Expired { ago: NOON.since(UnixTime(0)) }));
    }

    #[test]
    fn whose_lease_sets_and_how_they_came() {
        for kind in LeaseSetKind::ALL {
            let made = lease_set_of(kind, 1, NOON, 600);
            let parsed = AnyLeaseSet::parse(kind, made.bytes()).unwrap();
            let check = |key: &RecordKey, origin, held, conditions: &Conditions<'_>| {
                check_lease_set(key, &parsed, origin, held, conditions)
            };
            let key = made.key();
            let usual = conditions(10);
            assert_eq!(check(&key, Origin::Garlic, None, &usual), Ok(()));
            assert_eq!(check(&key, Origin::OwnTunnel, None, &usual), Err(Rejection::Indirect));
            let foreign = check(&RecordKey([1; 32]), Origin::Session, None, &usual);
            assert_eq!(foreign, Err(Rejection::ForeignKey));
            let held = Some(NOON);
            let same = check(&key, Origin::Session, held, &usual);
            assert_eq!(same, Err(Rejection::NotNewer { published: NOON, held: NOON }));
            assert_eq!(check(&key, Origin::Session, Some(NOON - MINUTE), &usual), Ok(()));
            let no_floodfill = Conditions { floodfill: false, ..usual };
            let refused = check(&key, Origin::Session, None, &no_floodfill);
            assert_eq!(refused, Err(Rejection::NotFloodfill));
            let our = key.as_router();
            let own = check(&key, Origin::Session, None, &Conditions { our: &our, ..usual });
            assert_eq!(own, Err(Rejection::Own));
        }
    }

    #[test]
    fn only_blinded_keys_encrypt() {
        let kind = LeaseSetKind::EncryptedLeaseSet;
        let mut bytes = lease_set_of(kind, 1, NOON, 600).bytes().to_vec();
        // The type of the key stands in front: Ed25519.
        bytes[1] = 7;
        let parsed = AnyLeaseSet::parse(kind, &bytes).unwrap();
        let key = parsed.peek().key();
        let found = check_lease_set(&key, &parsed, Origin::Session, None, &conditions(10));
        assert_eq!(found, Err(Rejection::BlindedKeyType { found: 7 }));
    }

    /// A lease set whose flags are these, with `inserted` behind them. Signatures are not looked at here.
    fn flagged(flags: u8, inserted: &[u8]) -> Unverified<AnyLeaseSet> {
        let mut bytes = lease_set(1, NOON, 600).bytes().to_vec();
        // Flags follow the destination (391), the date (4) and the life (2).
        bytes[391 + 6 + 1] = flags;
        bytes.splice(399..399, inserted.iter().copied());
        AnyLeaseSet::parse(LeaseSetKind::LeaseSet2, &bytes).unwrap()
    }

    #[test]
    fn lease_sets_that_are_not_for_the_netdb() {
        let key = RecordKey::from(hash(1));
        let usual = conditions(10);
        let check = |parsed| check_lease_set(&key, &parsed, Origin::Session, None, &usual);
        assert_eq!(check(flagged(0, &[])), Ok(()));
        assert_eq!(check(flagged(2, &[])), Err(Rejection::Unpublished));
        // An offline signature: the expiry, type 7, the key, and the signature.
        let delegation = |expires: UnixTime| {
            [&expires.seconds_up().to_be_bytes()[..], &[0, 7], &[1; 32], &[2; 64]].concat()
        };
        assert_eq!(check(flagged(1, &delegation(NOON + MINUTE))), Ok(()));
        let late = check(flagged(1, &delegation(NOON - MINUTE)));
        assert_eq!(late, Err(Rejection::KeyExpired { ago: MINUTE }));
    }
}
