//! Whatever a peer does to a message, its parser gives an error or a value: prefixes, flipped bits, appended bytes.

use floodway::base::frame::Frame;
use floodway::base::id::{MessageId, RecordKey, RouterHash, TunnelId};
use floodway::base::rng::ShardRng;
use floodway::base::time::UnixTime;
use floodway::wire::build_record::{HopRole, SHORT_REPLY_SIZE, ShortBuildReply, ShortBuildRequest};
use floodway::wire::delivery::{
    Delivery, Fragment, TUNNEL_SPACE, TunnelMessageBuilder, parse_tunnel_payload,
};
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_search_reply::DatabaseSearchReply;
use floodway::wire::i2np::database_store::{
    DatabaseStore, StoreData, StoreReply, deflate, inflate,
};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::i2np::garlic::{self, CloveDelivery, GarlicMessage};
use floodway::wire::i2np::tunnel_build::{BuildMessage, RecordSize};
use floodway::wire::i2np::tunnel_data::TunnelData;
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::mapping::Mapping;
use floodway::wire::ntcp2::{self, FloodRequest, Message1Options, Message2Options};
use proptest::prelude::*;

const ROUTER: RouterHash = RouterHash([2; 32]);

/// One valid sample of every format that peers send.
fn samples() -> Vec<Vec<u8>> {
    let message = message();
    let mut blocks = Vec::new();
    ntcp2::append_date_time(&mut blocks, 1_700_000_000);
    ntcp2::append_router_info(&mut blocks, FloodRequest::Requested, &[5; 40]);
    ntcp2::append_i2np(&mut blocks, &message);
    ntcp2::append_termination(&mut blocks, 7, ntcp2::TerminationReason::Normal);
    ntcp2::append_padding(&mut blocks, 9);
    let mut cloves = Vec::new();
    garlic::append_date_time(&mut cloves, UnixTime(1_700_000_000_000));
    for delivery in
        [CloveDelivery::Local, CloveDelivery::Tunnel { gateway: ROUTER, tunnel: tunnel() }]
    {
        garlic::append_clove(&mut cloves, &delivery, &message);
    }
    garlic::append_padding(&mut cloves, 9);
    let frames = [
        message.encode_standard(),
        lookup().write(),
        store(&deflate(b"a router info of sorts")).write(),
        DatabaseSearchReply { key: RecordKey([1; 32]), peers: vec![ROUTER; 3], from: ROUTER }
            .write(),
        DeliveryStatus { id: MessageId(1), timestamp: UnixTime(2) }.write(),
        GarlicMessage::write(&[1; 60]),
        TunnelData::write(tunnel(), &[1; 1024]),
        TunnelGateway::write(tunnel(), &message),
        BuildMessage::write(&[[1; 218]; 4]).expect("four records"),
    ];
    let mut samples: Vec<Vec<u8>> = frames.iter().map(|frame| frame.to_vec()).collect();
    samples.extend([blocks, cloves, request().write(&mut ShardRng::from_seed([1; 32])).to_vec()]);
    samples.push(tunnel_message().to_vec());
    samples.push(deflate(&[7; 500]));
    samples
}

fn tunnel() -> TunnelId {
    TunnelId::new(7).expect("7 is not zero")
}

fn message() -> I2npMessage {
    I2npMessage {
        kind: MessageType::DatabaseLookup,
        id: MessageId(3),
        expiration: UnixTime(1_700_000_000_000),
        body: Frame::copy_of(&[4; 30]),
    }
}

fn lookup() -> DatabaseLookup<'static> {
    DatabaseLookup {
        key: RecordKey([1; 32]),
        from: ROUTER,
        reply_tunnel: Some(tunnel()),
        kind: LookupKind::LeaseSet,
        unknown_flags: 0,
        excluded: &[[0; 32], [4; 32]],
        encryption: LookupEncryption::Ecies { key: [5; 32], tag: [6; 8] },
    }
}

fn store(gzip: &[u8]) -> DatabaseStore<'_> {
    DatabaseStore {
        key: RecordKey([1; 32]),
        reply: Some(StoreReply { token: 9, tunnel: None, gateway: ROUTER }),
        data: StoreData::RouterInfo { gzip },
    }
}

fn request() -> ShortBuildRequest {
    ShortBuildRequest {
        receive_tunnel: tunnel(),
        next_tunnel: tunnel(),
        next_hop: ROUTER,
        role: HopRole::Participant,
        layer_type: 0,
        request_minutes: 28_000_000,
        expiration_s: 600,
        next_message: MessageId(5),
        options: Mapping::default(),
    }
}

fn tunnel_message() -> [u8; 1024] {
    let mut builder = TunnelMessageBuilder::new();
    for fragment in [
        Fragment::First { delivery: Delivery::Router(ROUTER), message: Some(1), data: &[1; 90] },
        Fragment::Follow { message: 1, number: 1, last: true, data: &[2; 90] },
    ] {
        builder.push(&fragment).expect("both fit");
    }
    builder.finish(&mut ShardRng::from_seed([1; 32]))
}

/// Gives `bytes` to every parser of this part of the wire, and looks at all that they make of it.
fn parse_as_everything(bytes: &[u8]) {
    let _ = I2npMessage::parse_short(bytes);
    if let Ok((_, consumed)) = I2npMessage::parse_standard(bytes) {
        assert!(consumed <= bytes.len());
    }
    if let Ok(lookup) = DatabaseLookup::parse(bytes) {
        assert_eq!(&lookup.write()[..], &bytes[..lookup.write().len()]);
    }
    if let Ok(store) = DatabaseStore::parse(bytes)
        && let StoreData::RouterInfo { gzip } = store.data
        && let Ok(info) = inflate(gzip, 300)
    {
        assert!(info.len() <= 300);
    }
    let _ = inflate(bytes, 300);
    let _ = DatabaseSearchReply::parse(bytes);
    let _ = DeliveryStatus::parse(bytes);
    let _ = GarlicMessage::payload(bytes);
    let _ = TunnelGateway::parse(bytes).map(|gateway| gateway.message());
    assert!(garlic::parse_blocks(bytes).count() <= bytes.len());
    assert!(ntcp2::parse_blocks(bytes).count() <= bytes.len());
    parse_in_place(bytes);
    parse_fixed(bytes);
}

fn parse_in_place(bytes: &[u8]) {
    let mut copy = bytes.to_vec();
    let _ = GarlicMessage::payload_mut(&mut copy);
    if let Ok(mut data) = TunnelData::parse(&mut copy) {
        data.set_tunnel(tunnel());
        data.layer_mut().fill(0);
    }
    let mut copy = bytes.to_vec();
    if let Ok(mut build) = BuildMessage::parse(&mut copy, RecordSize::Short) {
        assert_eq!(build.records_mut().len(), build.count());
    }
}

fn parse_fixed(bytes: &[u8]) {
    if let Some(options) = bytes.first_chunk() {
        let _ = Message1Options::parse(options);
        let _ = Message2Options::parse(options);
    }
    if let Some(request) = bytes.first_chunk() {
        let _ = ShortBuildRequest::parse(request);
    }
    if let Some(reply) = bytes.first_chunk::<SHORT_REPLY_SIZE>() {
        let _ = ShortBuildReply::parse(reply);
    }
    if let Some(cleartext) = bytes.first_chunk()
        && let Ok(fragments) = parse_tunnel_payload(cleartext)
    {
        assert!(fragments.count() <= TUNNEL_SPACE);
    }
}

#[test]
fn every_prefix_and_every_flipped_bit() {
    for sample in samples() {
        for length in 0..=sample.len() {
            parse_as_everything(&sample[..length]);
        }
        for at in 0..sample.len().min(300) {
            let mut flipped = sample.clone();
            for bit in 0..8 {
                flipped[at] = sample[at] ^ (1 << bit);
                parse_as_everything(&flipped);
            }
        }
    }
}

proptest! {
    #[test]
    fn changes_and_extensions(
        which in 0usize..14,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        tail in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut bytes = samples().swap_remove(which);
        for (at, value) in changes {
            let place = at.index(bytes.len());
            bytes[place] = value;
        }
        bytes.extend_from_slice(&tail);
        parse_as_everything(&bytes);
    }

    #[test]
    fn noise(bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
        parse_as_everything(&bytes);
    }
}
