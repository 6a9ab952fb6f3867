//! RouterInfos and lease sets in great number, signed by routers and destinations that are made up: the same for the
//! same plan, on however many processors.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread;

use anyhow::{Result, anyhow};
use floodway::base::frame::Frame;
use floodway::base::id::RecordKey;
use floodway::base::rng::ShardRng;
use floodway::base::time::UnixTime;
use floodway::crypto::hash::sha256;
use floodway::crypto::secret::Ed25519Seed;
use floodway::crypto::signature::Signer;
use floodway::crypto::x25519::X25519Public;
use floodway::wire::gzip::Gzip;
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData};
use floodway::wire::identity::RouterIdentity;
use floodway::wire::lease_set::LeaseSetKind;
use floodway::wire::mapping::Mapping;
use floodway::wire::router_address::RouterAddress;
use floodway::wire::router_info::{RouterInfo, RouterInfoDraft};

use crate::lease_sets::lease_set;
use crate::target::NETWORK;

/// Threads that make them.
const MAKERS: usize = 2;
/// Subnets of 256 addresses over which routers are spread, each of which has one before any has two: 127.64.0.0 and up,
/// so that whoever dials such a router stays on the machine.
const SUBNETS: usize = 192 * 256;
/// Hosts of one subnet that are used.
const HOSTS: usize = 250;

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// RouterInfos.
    pub routers: usize,
    /// Lease sets.
    pub lease_sets: usize,
    /// One router in so many says that it is a floodfill; none does if `None`.
    pub floodfill_every: Option<NonZeroUsize>,
    /// The date of all records; lease sets live for ten minutes from it.
    pub published: UnixTime,
    /// What everything random follows from.
    pub seed: u64,
}

/// One record, as it is stored.
pub struct Kept {
    /// Its key.
    pub key: RecordKey,
    /// Body of the DatabaseStore that carries it, without a reply token.
    pub store: Frame,
    /// SHA-256 of the record as it is signed, with the signature.
    pub content: [u8; 32],
    /// Bytes of that.
    pub signed: usize,
    /// A RouterInfo as signed; `None` for a lease set, which the store carries as it is.
    pub info: Option<Vec<u8>>,
}

/// All records.
pub struct Records {
    /// RouterInfos.
    pub routers: Vec<Kept>,
    /// Lease sets of all types, most of them of the second.
    pub lease_sets: Vec<Kept>,
}

impl Records {
    /// Makes all that `plan` asks for.
    ///
    /// # Errors
    /// When its date lies at the end of time.
    pub fn make(plan: &Plan) -> Result<Self> {
        let routers = spread(plan.routers, |number, gzip| {
            let info = router_info(plan, number)?;
            let (key, gzip) = (RecordKey::from(info.hash()), gzip.deflate(info.bytes()));
            let data = StoreData::RouterInfo { gzip: &gzip };
            Ok(Kept { info: Some(info.bytes().to_vec()), ..kept(key, data, info.bytes()) })
        })?;
        let lease_sets = spread(plan.lease_sets, |number, _| {
            let kind = match number % 16 {
                0 => LeaseSetKind::LeaseSet,
                1 | 2 => LeaseSetKind::EncryptedLeaseSet,
                3 => LeaseSetKind::MetaLeaseSet,
                _ => LeaseSetKind::LeaseSet2,
            };
            let set = lease_set(kind, plan.published, &mut rng(plan.seed, 1, number))?;
            Ok(kept(set.key(), StoreData::lease_set(kind, set.bytes()), set.bytes()))
        })?;
        Ok(Self { routers, lease_sets })
    }
}

fn kept(key: RecordKey, data: StoreData<'_>, signed: &[u8]) -> Kept {
    let store = DatabaseStore { key, reply: None, data }.write();
    Kept { key, store, content: sha256(signed), signed: signed.len(), info: None }
}

/// Makes records 0 to `count` on all makers: first those of the first maker, then those of the next.
fn spread(
    count: usize,
    make: impl Fn(usize, &mut Gzip) -> Result<Kept> + Sync,
) -> Result<Vec<Kept>> {
    let make = &make;
    thread::scope(|scope| {
        let part = |maker: usize| {
            scope.spawn(move || {
                let mut gzip = Gzip::new();
                let numbers = (maker..count).step_by(MAKERS);
                numbers.map(|number| make(number, &mut gzip)).collect::<Result<Vec<_>>>()
            })
        };
        let makers: Vec<_> = (0..MAKERS).map(part).collect();
        let mut all = Vec::with_capacity(count);
        for maker in makers {
            all.append(&mut maker.join().map_err(|_| anyhow!("a thread has failed"))??);
        }
        Ok(all)
    })
}

/// The randomness of one record; `kind` is 0 for a RouterInfo and 1 for a lease set.
fn rng(seed: u64, kind: u8, number: usize) -> ShardRng {
    let mut bytes = [7; 32];
    let parts = seed.to_be_bytes().into_iter().chain([kind]).chain(number.to_be_bytes());
    bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    ShardRng::from_seed(bytes)
}

/// Where router `number` says that it is.
fn place(number: usize) -> SocketAddr {
    let byte = |value: usize| u8::try_from(value % 256).unwrap_or(0);
    let (subnet, turn) = (number % SUBNETS, number / SUBNETS);
    let host = [127, 64 + byte(subnet / 256), byte(subnet), 1 + byte(turn % HOSTS)];
    SocketAddr::from((host, 9_000 + u16::from(byte(number))))
}

/// A RouterInfo as the network has them, with two addresses.
fn router_info(plan: &Plan, number: usize) -> Result<RouterInfo> {
    let rng = &mut rng(plan.seed, 0, number);
    let signer = Signer::from_seed(&Ed25519Seed::from_bytes(rng.bytes()));
    let identity =
        RouterIdentity::build(&signer.public_key(), X25519Public(rng.bytes()), rng.bytes());
    let host = place(number);
    let mut second = RouterAddress::ntcp2(Some(host), X25519Public(rng.bytes()), rng.bytes(), 8);
    second.options.insert("caps", "BC")?;
    second.options.insert("mtu", "1500")?;
    let first = RouterAddress::ntcp2(Some(host), X25519Public(rng.bytes()), rng.bytes(), 3);
    let mut options = Mapping::new();
    let is_floodfill = plan.floodfill_every.is_some_and(|every| number.is_multiple_of(every.get()));
    let capabilities = if is_floodfill { "XfR" } else { "LR" };
    let network = NETWORK.to_string();
    for (key, value) in [("caps", capabilities), ("netId", &network), ("router.version", "0.9.67")]
    {
        options.insert(key, value)?;
    }
    if is_floodfill {
        options.insert("netdb.knownLeaseSets", "1234")?;
        options.insert("netdb.knownRouters", "12345")?;
    }
    let published = plan.published;
    let draft = RouterInfoDraft { identity, published, addresses: vec![first, second], options };
    Ok(draft.sign(&signer)?)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use floodway::wire::lease_set::AnyLeaseSet;

    use super::*;

    const PLAN: Plan = Plan {
        routers: 40,
        lease_sets: 32,
        floodfill_every: None,
        published: UnixTime(1_790_000_000_000),
        seed: 3,
    };

    #[test]
    fn sixty_thousand_routers_are_spread_over_thousands_of_subnets_of_the_loopback() {
        let mut subnets = BTreeMap::new();
        let mut places = HashSet::new();
        for number in 0..60_000 {
            let place = place(number);
            assert!(place.ip().is_loopback() && places.insert(place.ip()), "{place}");
            let std::net::IpAddr::V4(host) = place.ip() else { panic!("{place}") };
            let [a, b, c, _] = host.octets();
            *subnets.entry([a, b, c]).or_insert(0) += 1;
        }
        assert_eq!(subnets.len(), SUBNETS);
        assert!(subnets.values().all(|count| *count <= 2));
    }

    #[test]
    fn each_router_info_is_signed_and_none_is_a_floodfill() {
        let records = Records::make(&PLAN).unwrap();
        assert_eq!(records.routers.len(), PLAN.routers);
        let mut gzip = Gzip::new();
        for kept in &records.routers {
            let store = DatabaseStore::parse(&kept.store).unwrap();
            let StoreData::RouterInfo { gzip: packed } = store.data else { panic!("{store:?}") };
            let bytes = gzip.inflate(packed, 10_000).unwrap();
            assert_eq!(kept.info.as_deref(), Some(&bytes[..]));
            assert_eq!((kept.content, kept.signed), (sha256(&bytes), bytes.len()));
            let info = RouterInfo::parse(&bytes).unwrap().verify().unwrap();
            assert_eq!((RecordKey::from(info.hash()), store.reply), (kept.key, None));
            assert_eq!((info.network(), info.published()), (Some(NETWORK), PLAN.published));
            assert!(!info.capabilities().is_floodfill());
        }
        let every = Plan { floodfill_every: NonZeroUsize::new(10), lease_sets: 0, ..PLAN };
        let floodfills = Records::make(&every).unwrap().routers.into_iter().filter(|kept| {
            let info = RouterInfo::parse(kept.info.as_deref().unwrap()).unwrap();
            info.peek().capabilities().is_floodfill()
        });
        assert_eq!(floodfills.count(), 4);
    }

    #[test]
    fn lease_sets_are_signed_and_of_all_types() {
        let records = Records::make(&PLAN).unwrap();
        let mut kinds = BTreeMap::new();
        for kept in &records.lease_sets {
            let store = DatabaseStore::parse(&kept.store).unwrap();
            let (StoreData::LeaseSet(bytes)
            | StoreData::LeaseSet2(bytes)
            | StoreData::EncryptedLeaseSet(bytes)
            | StoreData::MetaLeaseSet(bytes)) = store.data
            else {
                panic!("{store:?}")
            };
            assert_eq!((kept.content, kept.signed), (sha256(bytes), bytes.len()));
            let code = store.data.code();
            let kind = LeaseSetKind::ALL.into_iter().find(|kind| kind.code() == code).unwrap();
            let set = AnyLeaseSet::parse(kind, bytes).unwrap().verify().unwrap();
            assert_eq!(set.key(), kept.key);
            *kinds.entry(code).or_insert(0) += 1;
        }
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [(1, 2), (3, 24), (5, 4), (7, 2)]);
    }

    #[test]
    fn the_same_plan_makes_the_same_records_and_another_seed_others() {
        let keys = |plan: &Plan| -> Vec<RecordKey> {
            let Records { routers, lease_sets } = Records::make(plan).unwrap();
            routers.iter().chain(&lease_sets).map(|kept| kept.key).collect()
        };
        let first = keys(&PLAN);
        assert_eq!(first, keys(&PLAN));
        let others = keys(&Plan { seed: 4, ..PLAN });
        let all: HashSet<RecordKey> = first.iter().chain(&others).copied().collect();
        assert_eq!(all.len(), first.len() + others.len(), "no key twice");
    }
}
