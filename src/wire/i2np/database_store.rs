//! DatabaseStore: keep this record, and say so if a token asks for it. Spec: I2NP, DatabaseStore.

use crate::base::frame::Frame;
use crate::base::id::{RecordKey, RouterHash, TunnelId};
use crate::wire::Malformed;
use crate::wire::gzip::Gzip;
use crate::wire::lease_set::LeaseSetKind;
use crate::wire::reader::Reader;

const ROUTER_INFO: u8 = 0;
const LEASE_SET: u8 = LeaseSetKind::LeaseSet.code();
const LEASE_SET_2: u8 = LeaseSetKind::LeaseSet2.code();
const ENCRYPTED_LEASE_SET: u8 = LeaseSetKind::EncryptedLeaseSet.code();
const META_LEASE_SET: u8 = LeaseSetKind::MetaLeaseSet.code();
const KIND_MASK: u8 = 0x0f;

/// Where the acknowledgement of a store goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreReply {
    /// The id that the DeliveryStatus has to carry. Not zero.
    pub token: u32,
    /// The tunnel at `gateway` that it goes into; `None` if it goes to `gateway` itself.
    pub tunnel: Option<TunnelId>,
    /// The router that it goes to.
    pub gateway: RouterHash,
}

/// The record in a store, unverified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreData<'a> {
    /// Type 0.
    RouterInfo {
        /// The RouterInfo, compressed; see [`inflate`].
        gzip: &'a [u8],
    },
    /// Type 1: a LeaseSet of the first kind.
    LeaseSet(&'a [u8]),
    /// Type 3.
    LeaseSet2(&'a [u8]),
    /// Type 5.
    EncryptedLeaseSet(&'a [u8]),
    /// Type 7.
    MetaLeaseSet(&'a [u8]),
}

impl<'a> StoreData<'a> {
    /// A lease set of this type.
    #[must_use]
    pub fn lease_set(kind: LeaseSetKind, bytes: &'a [u8]) -> Self {
        match kind {
            LeaseSetKind::LeaseSet => Self::LeaseSet(bytes),
            LeaseSetKind::LeaseSet2 => Self::LeaseSet2(bytes),
            LeaseSetKind::EncryptedLeaseSet => Self::EncryptedLeaseSet(bytes),
            LeaseSetKind::MetaLeaseSet => Self::MetaLeaseSet(bytes),
        }
    }

    /// The type in the message, which is also what the signatures of types 3, 5 and 7 start from.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::RouterInfo { .. } => ROUTER_INFO,
            Self::LeaseSet(_) => LEASE_SET,
            Self::LeaseSet2(_) => LEASE_SET_2,
            Self::EncryptedLeaseSet(_) => ENCRYPTED_LEASE_SET,
            Self::MetaLeaseSet(_) => META_LEASE_SET,
        }
    }
}

/// A store, viewed in the buffer that it arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseStore<'a> {
    /// The record's key, by the sender's word.
    pub key: RecordKey,
    /// Who wants an acknowledgement; `None` for token zero, which is also what flooding uses.
    pub reply: Option<StoreReply>,
    /// The record.
    pub data: StoreData<'a>,
}

impl<'a> DatabaseStore<'a> {
    /// Reads the body. Bytes behind a compressed RouterInfo are ignored; a lease set is all the rest.
    ///
    /// # Errors
    /// `Truncated` when a field is cut, `Unsupported` for an unknown type of record.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let key = RecordKey(*reader.array::<32>("key of store")?);
        let kind = reader.u8("type of store")?;
        let reply = read_reply(&mut reader)?;
        let data = match kind & KIND_MASK {
            ROUTER_INFO => {
                let size = usize::from(reader.u16("size of RouterInfo")?);
                StoreData::RouterInfo { gzip: reader.take(size, "compressed RouterInfo")? }
            }
            LEASE_SET => StoreData::LeaseSet(reader.rest()),
            LEASE_SET_2 => StoreData::LeaseSet2(reader.rest()),
            ENCRYPTED_LEASE_SET => StoreData::EncryptedLeaseSet(reader.rest()),
            META_LEASE_SET => StoreData::MetaLeaseSet(reader.rest()),
            _ => {
                let found = u32::from(kind);
                return Err(Malformed::Unsupported { field: "type of store", found });
            }
        };
        Ok(Self { key, reply, data })
    }

    /// The body.
    #[must_use]
    pub fn write(&self) -> Frame {
        let (size, record) = match self.data {
            StoreData::RouterInfo { gzip } => {
                debug_assert!(gzip.len() <= usize::from(u16::MAX), "{} bytes", gzip.len());
                (Some(u16::try_from(gzip.len()).unwrap_or(u16::MAX)), gzip)
            }
            StoreData::LeaseSet(record)
            | StoreData::LeaseSet2(record)
            | StoreData::EncryptedLeaseSet(record)
            | StoreData::MetaLeaseSet(record) => (None, record),
        };
        let mut frame = Frame::with_capacity(75 + record.len());
        frame.append(&self.key.0);
        frame.append(&[self.data.code()]);
        match self.reply {
            Some(StoreReply { token, tunnel, gateway }) => {
                debug_assert!(token != 0, "a reply token of zero asks for no reply");
                frame.append(&token.to_be_bytes());
                frame.append(&tunnel.map_or([0; 4], TunnelId::to_wire));
                frame.append(&gateway.0);
            }
            None => frame.append(&[0; 4]),
        }
        if let Some(size) = size {
            frame.append(&size.to_be_bytes());
        }
        frame.append(record);
        frame
    }
}

fn read_reply(reader: &mut Reader<'_>) -> Result<Option<StoreReply>, Malformed> {
    let token = reader.u32("reply token of store")?;
    if token == 0 {
        return Ok(None);
    }
    let tunnel = TunnelId::from_wire(*reader.array::<4>("reply tunnel of store")?);
    let gateway = RouterHash(*reader.array::<32>("reply gateway of store")?);
    Ok(Some(StoreReply { token, tunnel, gateway }))
}

/// Decompresses one gzip member into at most `limit` bytes, with tables of its own: see [`Gzip::inflate`].
///
/// # Errors
/// `TooLarge` when more than `limit` bytes would come out, `Compression` for anything but a whole gzip member.
pub fn inflate(gzip: &[u8], limit: usize) -> Result<Vec<u8>, Malformed> {
    Gzip::new().inflate(gzip, limit)
}

/// Compresses `bytes` into one gzip member, with tables of its own: see [`Gzip::deflate`].
#[must_use]
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    Gzip::new().deflate(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REPLY: StoreReply =
        StoreReply { token: 0x0102_0304, tunnel: None, gateway: RouterHash([9; 32]) };

    #[test]
    fn a_flooded_router_info_byte_by_byte() {
        let store = DatabaseStore {
            key: RecordKey([1; 32]),
            reply: None,
            data: StoreData::RouterInfo { gzip: &[7, 8, 9] },
        };
        let expected = [&[1; 32][..], &[0, 0, 0, 0, 0, 0, 3, 7, 8, 9]].concat();
        assert_eq!(&store.write()[..], &expected);
        assert_eq!(DatabaseStore::parse(&expected), Ok(store));
        let longer = [&expected[..], &[0xff; 5]].concat();
        assert_eq!(DatabaseStore::parse(&longer), Ok(store));
        for length in 0..expected.len() {
            assert!(DatabaseStore::parse(&expected[..length]).is_err());
        }
    }

    #[test]
    fn a_lease_set_with_reply_byte_by_byte() {
        let direct = DatabaseStore {
            key: RecordKey([1; 32]),
            reply: Some(REPLY),
            data: StoreData::LeaseSet2(&[7, 8]),
        };
        let expected = [&[1; 32][..], &[3, 1, 2, 3, 4, 0, 0, 0, 0], &[9; 32], &[7, 8]].concat();
        assert_eq!(&direct.write()[..], &expected);
        assert_eq!(DatabaseStore::parse(&expected), Ok(direct));
        let tunnelled = StoreReply { tunnel: TunnelId::new(5), ..REPLY };
        let store = DatabaseStore { reply: Some(tunnelled), ..direct };
        assert_eq!(store.write()[37..41], [0, 0, 0, 5]);
        assert_eq!(DatabaseStore::parse(&store.write()), Ok(store));
    }

    #[test]
    fn lease_sets_stand_under_the_codes_of_their_types() {
        for (kind, code) in LeaseSetKind::ALL.into_iter().zip([1, 3, 5, 7]) {
            let data = StoreData::lease_set(kind, &[7, 8]);
            let store = DatabaseStore { key: RecordKey([1; 32]), reply: None, data };
            assert_eq!((store.write()[32], data.code()), (code, code));
            assert_eq!(DatabaseStore::parse(&store.write()), Ok(store));
        }
    }

    #[test]
    fn four_bits_of_the_type_count() {
        let mut bytes = [0; 37];
        for kind in 0..=u8::MAX {
            bytes[32] = kind;
            let known = matches!(kind & 0x0f, 1 | 3 | 5 | 7);
            assert_eq!(DatabaseStore::parse(&bytes).is_ok(), known, "type {kind}");
        }
    }

    #[test]
    fn compressed_records_look_like_those_of_other_routers() {
        let gzip = deflate(b"a router info");
        assert_eq!(gzip[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff]);
        assert_eq!(inflate(&gzip, 100).unwrap(), b"a router info");
    }

    #[test]
    fn stored_blocks_inflate_too() {
        // One stored block "abc"; CRC-32 352441c2, size 3.
        let gzip = [
            0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 3, 0, 0xfc, 0xff, b'a', b'b', b'c', 0xc2,
            0x41, 0x24, 0x35, 3, 0, 0, 0,
        ];
        assert_eq!(inflate(&gzip, 3).unwrap(), b"abc");
        let mut wrong_size = gzip;
        wrong_size[22] = 4;
        let refusal = Err(Malformed::Compression { field: "compressed record" });
        assert_eq!(inflate(&wrong_size, 3), refusal);
        let mut wrong_checksum = gzip;
        wrong_checksum[18] ^= 1;
        assert_eq!(inflate(&wrong_checksum, 3), refusal);
        let followed = [&gzip[..], b"anything"].concat();
        assert_eq!(inflate(&followed, 3).unwrap(), b"abc");
        for length in 0..gzip.len() {
            assert_eq!(inflate(&gzip[..length], 3), refusal);
        }
    }

    #[test]
    fn the_limit_is_exact_and_holds_against_bombs() {
        let gzip = deflate(&[0; 3072]);
        assert_eq!(inflate(&gzip, 3072).unwrap().len(), 3072);
        assert!(matches!(inflate(&gzip, 3071), Err(Malformed::TooLarge { limit: 3071, .. })));
        let bomb = deflate(&vec![0; 10_000_000]);
        assert!(matches!(inflate(&bomb, 3072), Err(Malformed::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn any_record_survives(
            key: [u8; 32], token: u32, tunnel: u32, kind in 0usize..5,
            record in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let data = [
                StoreData::RouterInfo { gzip: &record },
                StoreData::LeaseSet(&record),
                StoreData::LeaseSet2(&record),
                StoreData::EncryptedLeaseSet(&record),
                StoreData::MetaLeaseSet(&record),
            ][kind];
            let reply = StoreReply { token, tunnel: TunnelId::new(tunnel), gateway: RouterHash(key) };
            let store = DatabaseStore {
                key: RecordKey(key),
                reply: (token != 0).then_some(reply),
                data,
            };
            let body = store.write();
            prop_assert_eq!(DatabaseStore::parse(&body), Ok(store));
        }

        #[test]
        fn any_bytes_survive_compression(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(inflate(&deflate(&bytes), 3000), Ok(bytes));
        }

        #[test]
        fn changed_gzip_gives_an_error_or_a_value(
            bytes in proptest::collection::vec(0u8..4, 0..500), at: prop::sample::Index, flip: u8,
            cut: prop::sample::Index, tail: u64,
        ) {
            let mut gzip = deflate(&bytes);
            let place = at.index(gzip.len());
            gzip[place] ^= flip;
            gzip.truncate(cut.index(gzip.len() + 1));
            gzip.extend_from_slice(&tail.to_be_bytes());
            if let Ok(out) = inflate(&gzip, 400) {
                prop_assert!(out.len() <= 400);
            }
        }
    }
}
