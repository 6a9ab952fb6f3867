//! RouterInfos and lease sets, signed by routers and destinations that are made up: on both CPUs, and the same each time.

use std::net::SocketAddr;

use floodway::base::frame::Frame;
use floodway::base::id::RecordKey;
use floodway::base::rng::ShardRng;
use floodway::crypto::secret::Ed25519Seed;
use floodway::crypto::signature::Signer;
use floodway::crypto::x25519::X25519Public;
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData, deflate};
use floodway::wire::identity::RouterIdentity;
use floodway::wire::lease_set::LeaseSetKind;
use floodway::wire::mapping::Mapping;
use floodway::wire::router_address::RouterAddress;
use floodway::wire::router_info::{RouterInfo, RouterInfoDraft};
use loadtest::lease_sets::lease_set;

use crate::sessions::NOW;

/// Threads that make them.
const MAKERS: usize = 2;
/// One router in so many is a floodfill.
const FLOODFILL_EVERY: usize = 30;

/// One record, as it is stored.
pub struct Kept {
    /// Its key.
    pub key: RecordKey,
    /// Body of the DatabaseStore that carries it, without a reply token.
    pub store: Frame,
    /// Bytes that are signed, with the signature.
    pub signed: usize,
    /// A RouterInfo as signed.
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
    /// Makes so many RouterInfos and lease sets.
    pub fn make(routers: usize, lease_sets: usize) -> Self {
        Self { routers: spread(routers, router), lease_sets: spread(lease_sets, leases) }
    }
}

fn spread(count: usize, make: fn(usize, &mut ShardRng) -> Kept) -> Vec<Kept> {
    std::thread::scope(|scope| {
        let part = |maker: usize| {
            scope.spawn(move || {
                let numbers = (maker..count).step_by(MAKERS);
                numbers.map(|number| make(number, &mut rng(number))).collect::<Vec<_>>()
            })
        };
        let makers: Vec<_> = (0..MAKERS).map(part).collect();
        makers.into_iter().flat_map(|maker| maker.join().expect("records can be made")).collect()
    })
}

fn rng(number: usize) -> ShardRng {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    ShardRng::from_seed(seed)
}

fn router(number: usize, rng: &mut ShardRng) -> Kept {
    let info = router_info(number, rng);
    let gzip = deflate(info.bytes());
    let key = RecordKey::from(info.hash());
    let store = DatabaseStore { key, reply: None, data: StoreData::RouterInfo { gzip: &gzip } };
    let signed = info.bytes().len();
    Kept { key, store: store.write(), signed, info: Some(info.bytes().to_vec()) }
}

/// A RouterInfo as the network has them: two addresses, in one of thousands of /24.
fn router_info(number: usize, rng: &mut ShardRng) -> RouterInfo {
    let signer = Signer::from_seed(&Ed25519Seed::from_bytes(rng.bytes()));
    let identity =
        RouterIdentity::build(&signer.public_key(), X25519Public(rng.bytes()), rng.bytes());
    let [_, a, b, c] = u32::try_from(number).unwrap_or_default().to_be_bytes();
    let host = SocketAddr::from(([60 + a, c, b, 1 + c % 250], 9_000 + u16::from(c)));
    let mut second = RouterAddress::ntcp2(Some(host), X25519Public(rng.bytes()), rng.bytes(), 8);
    second.options.insert("caps", "BC").expect("a short value");
    second.options.insert("mtu", "1500").expect("a short value");
    let first = RouterAddress::ntcp2(Some(host), X25519Public(rng.bytes()), rng.bytes(), 3);
    let mut options = Mapping::new();
    let is_floodfill = number.is_multiple_of(FLOODFILL_EVERY);
    let capabilities = if is_floodfill { "XfR" } else { "LR" };
    for (key, value) in [("caps", capabilities), ("netId", "99"), ("router.version", "0.9.67")] {
        options.insert(key, value).expect("each key once, and short values");
    }
    if is_floodfill {
        options.insert("netdb.knownLeaseSets", "1234").expect("a short value");
        options.insert("netdb.knownRouters", "12345").expect("a short value");
    }
    let draft =
        RouterInfoDraft { identity, published: NOW.unix, addresses: vec![first, second], options };
    draft.sign(&signer).expect("two addresses and five options stay within all bounds")
}

fn leases(number: usize, rng: &mut ShardRng) -> Kept {
    let kind = match number % 16 {
        0 => LeaseSetKind::LeaseSet,
        1 | 2 => LeaseSetKind::EncryptedLeaseSet,
        3 => LeaseSetKind::MetaLeaseSet,
        _ => LeaseSetKind::LeaseSet2,
    };
    let set = lease_set(kind, NOW.unix, rng).expect("a date of this century");
    let data = StoreData::lease_set(kind, set.bytes());
    let store = DatabaseStore { key: set.key(), reply: None, data };
    Kept { key: set.key(), store: store.write(), signed: set.bytes().len(), info: None }
}
