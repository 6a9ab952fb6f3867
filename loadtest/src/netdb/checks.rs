//! Whether a record that comes is the one that was stored.

use floodway::base::id::RecordKey;
use floodway::base::limits::ROUTER_INFO_MAX;
use floodway::crypto::hash::sha256;
use floodway::wire::gzip::Gzip;
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData};

use crate::records::Kept;

/// What a record that came is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The record that was stored.
    Right,
    /// Another: under another key, of another type, with other content, or with nothing that can be read.
    Wrong,
}

/// The key under which a store carries its record; `None` if it cannot be read.
pub(super) fn key_of(body: &[u8]) -> Option<RecordKey> {
    DatabaseStore::parse(body).ok().map(|store| store.key)
}

/// Judges the body of a DatabaseStore that should carry `kept`, whoever may have compressed it anew on the way.
pub(super) fn judge(kept: &Kept, body: &[u8], gzip: &mut Gzip) -> Verdict {
    // What is the same to the last byte need not be hashed.
    if *body == *kept.store {
        return Verdict::Right;
    }
    let (Ok(came), Ok(stored)) = (DatabaseStore::parse(body), DatabaseStore::parse(&kept.store))
    else {
        return Verdict::Wrong;
    };
    if came.key != kept.key || came.data.code() != stored.data.code() {
        return Verdict::Wrong;
    }
    let content = match came.data {
        StoreData::RouterInfo { gzip: packed } => {
            gzip.inflate(packed, ROUTER_INFO_MAX).ok().map(|info| sha256(&info))
        }
        StoreData::LeaseSet(bytes)
        | StoreData::LeaseSet2(bytes)
        | StoreData::EncryptedLeaseSet(bytes)
        | StoreData::MetaLeaseSet(bytes) => Some(sha256(bytes)),
    };
    if content == Some(kept.content) { Verdict::Right } else { Verdict::Wrong }
}

#[cfg(test)]
mod tests {
    use floodway::base::id::RouterHash;
    use floodway::base::time::UnixTime;
    use floodway::wire::i2np::database_store::StoreReply;

    use crate::records::{Plan, Records};

    use super::*;

    fn records() -> Records {
        let published = UnixTime(1_790_000_000_000);
        let plan = Plan { routers: 3, lease_sets: 6, floodfill_every: None, published, seed: 5 };
        Records::make(&plan).unwrap()
    }

    fn judged(kept: &Kept, body: &[u8]) -> Verdict {
        judge(kept, body, &mut Gzip::new())
    }

    #[test]
    fn what_was_stored_is_right() {
        let records = records();
        for kept in records.routers.iter().chain(&records.lease_sets) {
            assert_eq!(judged(kept, &kept.store), Verdict::Right);
            assert_eq!(key_of(&kept.store), Some(kept.key));
            // With a token, and so not the same bytes.
            let mut store = DatabaseStore::parse(&kept.store).unwrap();
            store.reply = Some(StoreReply { token: 1, tunnel: None, gateway: RouterHash([1; 32]) });
            assert_eq!(judged(kept, &store.write()), Verdict::Right);
        }
    }

    #[test]
    fn a_router_info_that_was_compressed_in_another_way_is_right() {
        let records = records();
        let kept = &records.routers[0];
        let info = kept.info.as_deref().unwrap();
        // One stored block instead of a compressed one.
        let size = u16::try_from(info.len()).unwrap().to_le_bytes();
        let whole = Gzip::new().deflate(info);
        let trailer = &whole[whole.len() - 8..];
        let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
        let inverted = size.map(|byte| !byte);
        let packed = [&head[..], &size, &inverted, info, trailer].concat();
        let data = StoreData::RouterInfo { gzip: &packed };
        let store = DatabaseStore { key: kept.key, reply: None, data };
        assert_ne!(store.write()[..], kept.store[..]);
        assert_eq!(judged(kept, &store.write()), Verdict::Right);
    }

    #[test]
    fn another_record_under_the_right_key_is_wrong() {
        let records = records();
        for (kept, other) in [
            (&records.routers[0], &records.routers[1]),
            (&records.lease_sets[4], &records.lease_sets[5]),
            (&records.lease_sets[4], &records.lease_sets[0]),
            (&records.routers[0], &records.lease_sets[4]),
        ] {
            assert_eq!(judged(kept, &other.store), Verdict::Wrong);
            let mut store = DatabaseStore::parse(&other.store).unwrap();
            store.key = kept.key;
            assert_eq!(judged(kept, &store.write()), Verdict::Wrong);
        }
    }

    #[test]
    fn one_changed_byte_anywhere_is_wrong() {
        let records = records();
        for kept in [&records.routers[0], &records.lease_sets[1], &records.lease_sets[4]] {
            let at = kept.store.len() - 1;
            // Behind the reply token, which is nobody's concern: the type, the record, its end.
            for at in [0, 31, 32, 40, 60, at / 2, at] {
                let mut body = kept.store.to_vec();
                body[at] ^= 1;
                assert_eq!(judged(kept, &body), Verdict::Wrong, "byte {at}");
            }
            for length in [0, 10, 36, at / 2, at] {
                assert_eq!(judged(kept, &kept.store[..length]), Verdict::Wrong, "{length} bytes");
            }
        }
    }
}
