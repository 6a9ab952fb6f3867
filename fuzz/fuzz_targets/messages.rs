//! What peers send inside sessions: I2NP messages, garlic, tunnel messages, build records, NTCP2 blocks.

use floodway::base::id::TunnelId;
use floodway::base::limits::ROUTER_INFO_MAX;
use floodway::crypto::hash::sha256_parts;
use floodway::wire::build_record::elgamal::ElGamalBuildRequest;
use floodway::wire::build_record::long::{LongBuildReply, LongBuildRequest};
use floodway::wire::build_record::{SHORT_REPLY_SIZE, ShortBuildReply, ShortBuildRequest};
use floodway::wire::delivery::{Fragment, TUNNEL_SPACE, append_fragment, parse_tunnel_payload};
use floodway::wire::i2np::data::DataMessage;
use floodway::wire::i2np::database_lookup::DatabaseLookup;
use floodway::wire::i2np::database_search_reply::DatabaseSearchReply;
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData, inflate};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::i2np::garlic::aes_block::AesBlock;
use floodway::wire::i2np::garlic::clove_set::CloveSet;
use floodway::wire::i2np::garlic::{self, GarlicMessage};
use floodway::wire::i2np::tunnel_build::{BuildMessage, LONG_RECORD_SIZE, RECORDS_MAX, RecordSize};
use floodway::wire::i2np::tunnel_data::TunnelData;
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::ntcp2::{self, Message1Options, Message2Options};
use floodway::wire::reader::Reader;
use floodway::wire::router_info::RouterInfo;
use floodway::wire::ssu2_block;
use floodway::wire::ssu2_header::{LongHeader, ShortHeader};

use crate::Target;
use crate::samples;

pub const TARGETS: &[Target] = &[
    Target { name: "i2np", run: i2np, seeds: i2np_seeds },
    Target { name: "database_store", run: database_store, seeds: samples::stores },
    Target { name: "database_lookup", run: database_lookup, seeds: || vec![samples::lookup()] },
    Target {
        name: "small_messages",
        run: small_messages,
        seeds: || vec![samples::search_reply(), samples::delivery_status()],
    },
    Target {
        name: "garlic_blocks",
        run: garlic_blocks,
        seeds: || vec![samples::garlic_blocks(), samples::garlic()],
    },
    Target { name: "old_garlic", run: old_garlic, seeds: old_garlic_seeds },
    Target {
        name: "ssu2_headers",
        run: ssu2_headers,
        seeds: || vec![[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 99, 0].repeat(2), vec![6; 16]],
    },
    Target {
        name: "tunnel_messages",
        run: tunnel_messages,
        seeds: || vec![samples::tunnel_data(), samples::tunnel_gateway(), samples::tunnel_build()],
    },
    Target { name: "build_record", run: build_record, seeds: record_seeds },
    Target { name: "delivery", run: delivery, seeds: delivery_seeds },
    Target { name: "ntcp2_blocks", run: ntcp2_blocks, seeds: || vec![samples::ntcp2_blocks()] },
    Target { name: "ssu2_blocks", run: ssu2_blocks, seeds: ssu2_block_seeds },
];

fn i2np(bytes: &[u8]) {
    if let Ok((message, consumed)) = I2npMessage::parse_standard(bytes) {
        // All but the checksum, in which routers differ, is written as it was read.
        let written = message.encode_standard();
        assert_eq!((&written[..15], &written[16..]), (&bytes[..15], &bytes[16..consumed]));
        assert_eq!(message.into_standard().len(), consumed);
    }
    if let Ok(message) = I2npMessage::parse_short(bytes) {
        assert!(bytes.ends_with(&message.body));
        assert!(bytes.starts_with(&message.short_header()));
    }
}

fn database_store(bytes: &[u8]) {
    let Ok(store) = DatabaseStore::parse(bytes) else { return };
    let written = store.write();
    assert!(written.starts_with(&bytes[..32]));
    assert_eq!(DatabaseStore::parse(&written), Ok(store));
    if let StoreData::RouterInfo { gzip } = store.data
        && let Ok(info) = inflate(gzip, ROUTER_INFO_MAX)
    {
        assert!(info.len() <= ROUTER_INFO_MAX);
        let _ = RouterInfo::parse(&info);
    }
}

fn database_lookup(bytes: &[u8]) {
    let Ok(lookup) = DatabaseLookup::parse(bytes) else { return };
    let written = lookup.write();
    assert_eq!(&written[..], &bytes[..written.len()]);
    let _ = (lookup.is_exploration(), lookup.excludes(&samples::ROUTER));
}

fn small_messages(bytes: &[u8]) {
    if let Ok(reply) = DatabaseSearchReply::parse(bytes) {
        assert!(bytes.starts_with(&reply.write()));
    }
    if let Ok(status) = DeliveryStatus::parse(bytes) {
        assert!(bytes.starts_with(&status.write()));
    }
}

fn garlic_blocks(bytes: &[u8]) {
    assert!(garlic::parse_blocks(bytes).count() <= bytes.len());
    let payload = GarlicMessage::payload(bytes).map(<[u8]>::to_vec);
    let mut copy = bytes.to_vec();
    assert_eq!(GarlicMessage::payload_mut(&mut copy).map(|payload| payload.to_vec()), payload);
}

fn tunnel_messages(bytes: &[u8]) {
    let mut copy = bytes.to_vec();
    if let Ok(mut data) = TunnelData::parse(&mut copy) {
        assert_eq!(Some(data.tunnel()), TunnelData::tunnel_of(bytes));
        let _ = data.replay_key();
        data.set_tunnel(TunnelId::new(9).expect("9 is not zero"));
        data.layer_mut().fill(0);
    }
    if let Ok(gateway) = TunnelGateway::parse(bytes) {
        let _ = gateway.message();
    }
    let mut copy = bytes.to_vec();
    if let Ok(mut build) = BuildMessage::parse(&mut copy, RecordSize::Short) {
        assert_eq!(build.records_mut().len(), build.count());
        assert!(build.record(build.count()).is_none());
    }
    let mut copy = bytes.to_vec();
    if let Ok(mut build) = BuildMessage::<LONG_RECORD_SIZE>::parse_variable(&mut copy) {
        assert_eq!(build.records_mut().len(), build.count());
        let written = BuildMessage::write_variable(build.records()).expect("as many as there were");
        assert!(bytes.starts_with(&written));
    }
    let mut copy = bytes.to_vec();
    if let Ok(build) = BuildMessage::<LONG_RECORD_SIZE>::parse_fixed(&mut copy) {
        assert_eq!(build.count(), RECORDS_MAX);
    }
}

/// What routers with ElGamal keys send inside garlic, and what applications send.
fn old_garlic(bytes: &[u8]) {
    if let Ok(block) = AesBlock::parse(bytes) {
        let mut written = Vec::new();
        block.write(&mut written);
        assert!(AesBlock::parse(&written).is_ok());
    }
    if let Ok(set) = CloveSet::parse(bytes) {
        let mut written = Vec::new();
        set.write(&mut written);
        assert!(CloveSet::parse(&written).is_ok());
    }
    if let Ok(payload) = DataMessage::payload(bytes) {
        assert!(bytes.starts_with(&DataMessage::write(payload)));
    }
}

fn ssu2_blocks(bytes: &[u8]) {
    assert!(ssu2_block::parse_blocks(bytes).count() <= bytes.len());
    for block in ssu2_block::parse_blocks(bytes).flatten() {
        let mut written = Vec::new();
        ssu2_block::append_block(&mut written, &block);
        assert_eq!(ssu2_block::parse_blocks(&written).next(), Some(Ok(block)));
    }
}

/// One block of each type with a body of zeros, and one of an I2NP message.
fn ssu2_block_seeds() -> Vec<Vec<u8>> {
    let block = |kind: u8, body: &[u8]| [&[kind, 0, body.len() as u8][..], body].concat();
    let message = samples::message(MessageType::DeliveryStatus, &samples::delivery_status());
    let i2np = [&message.short_header()[..], &message.body].concat();
    let mut seeds: Vec<Vec<u8>> = (0..24).map(|kind| block(kind, &[0; 40])).collect();
    seeds.push([block(0, &[1; 7]), block(3, &i2np), block(12, &[2; 8]), block(254, &[])].concat());
    seeds
}

fn ssu2_headers(bytes: &[u8]) {
    if let Ok(header) = LongHeader::parse(&mut Reader::new(bytes)) {
        assert!(bytes.starts_with(&header.write()));
        let _ = header.check(99);
    }
    if let Ok(header) = ShortHeader::parse(&mut Reader::new(bytes)) {
        assert!(bytes.starts_with(&header.write()));
    }
}

fn build_record(bytes: &[u8]) {
    if let Some(request) = bytes.first_chunk()
        && let Ok(request) = ShortBuildRequest::parse(request)
    {
        let again = request.write(&mut samples::rng());
        let again = ShortBuildRequest::parse(&again).expect("what we write, we read");
        assert_eq!(format!("{request:?}"), format!("{again:?}"));
    }
    if let Some(request) = bytes.first_chunk()
        && let Ok(request) = LongBuildRequest::parse(request)
    {
        assert!(LongBuildRequest::parse(&request.write(&mut samples::rng())).is_ok());
    }
    if let Some(request) = bytes.first_chunk()
        && let Ok(request) = ElGamalBuildRequest::parse(request)
    {
        assert!(ElGamalBuildRequest::parse(&request.write(&mut samples::rng())).is_ok());
    }
    if let Some(reply) = bytes.first_chunk()
        && let Ok(reply) = LongBuildReply::parse(reply)
    {
        assert!(LongBuildReply::parse(&reply.write()).is_ok());
    }
    if let Some(reply) = bytes.first_chunk::<SHORT_REPLY_SIZE>()
        && let Ok(reply) = ShortBuildReply::parse(reply)
    {
        assert!(ShortBuildReply::parse(&reply.write()).is_ok());
    }
}

/// The cleartext of a tunnel message that holds `space` behind its padding, with the right checksum: without one, no
/// input would come further.
pub fn tunnel_payload(space: &[u8]) -> [u8; 1024] {
    let space = &space[..space.len().min(TUNNEL_SPACE)];
    let mut payload = [0x55; 1024];
    let start = payload.len() - space.len();
    payload[start..].copy_from_slice(space);
    payload[start - 1] = 0;
    let [a, b, c, d, ..] = sha256_parts(&[space, &payload[..16]]);
    payload[16..20].copy_from_slice(&[a, b, c, d]);
    payload
}

fn delivery(bytes: &[u8]) {
    if let Some(cleartext) = bytes.first_chunk::<1024>() {
        let _ = parse_tunnel_payload(cleartext).map(Iterator::count);
    }
    let payload = tunnel_payload(bytes);
    let fragments = parse_tunnel_payload(&payload).expect("the checksum is right");
    for fragment in fragments.flatten() {
        assert!(fragment.data().len() <= TUNNEL_SPACE);
        let mut written = Vec::new();
        append_fragment(&mut written, &fragment);
        assert_eq!(written.len(), fragment.size());
        let again = tunnel_payload(&written);
        let mut again = parse_tunnel_payload(&again).expect("the checksum is right");
        assert_eq!(again.next(), Some(Ok(fragment)));
    }
}

fn ntcp2_blocks(bytes: &[u8]) {
    assert!(ntcp2::parse_blocks(bytes).count() <= bytes.len());
    if let Some(options) = bytes.first_chunk() {
        let one = Message1Options::parse(options);
        assert_eq!(Message1Options::parse(&one.write()).write(), one.write());
        let two = Message2Options::parse(options);
        assert_eq!(Message2Options::parse(&two.write()).write(), two.write());
    }
}

fn i2np_seeds() -> Vec<Vec<u8>> {
    samples::messages().iter().map(|message| message.encode_standard().to_vec()).collect()
}

/// Empty lists in front of an empty set; a set of no clove; five bytes of data.
fn old_garlic_seeds() -> Vec<Vec<u8>> {
    vec![[0; 64].to_vec(), [0; 16].to_vec(), [0, 0, 0, 5, 1, 2, 3, 4, 5].to_vec()]
}

fn record_seeds() -> Vec<Vec<u8>> {
    let request = samples::build_request().write(&mut samples::rng());
    vec![request.to_vec(), [0; SHORT_REPLY_SIZE].to_vec(), [1; 528].to_vec()]
}

pub fn delivery_seeds() -> Vec<Vec<u8>> {
    use floodway::wire::delivery::Delivery;
    let mut space = Vec::new();
    for fragment in [
        Fragment::First {
            delivery: Delivery::Tunnel { gateway: samples::ROUTER, tunnel: samples::tunnel() },
            message: None,
            data: &samples::message(MessageType::DatabaseLookup, &samples::lookup())
                .encode_standard(),
        },
        Fragment::First {
            delivery: Delivery::Router(samples::ROUTER),
            message: Some(1),
            data: &[1; 90],
        },
        Fragment::Follow { message: 1, number: 1, last: true, data: &[2; 90] },
    ] {
        append_fragment(&mut space, &fragment);
    }
    vec![space]
}
