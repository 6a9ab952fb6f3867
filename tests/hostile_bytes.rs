//! Whatever a peer does to a message, its parser gives an error or a value: prefixes, flipped bits, appended bytes.

use floodway::base::frame::Frame;
use floodway::base::id::{MessageId, RecordKey, RouterHash, TunnelId};
use floodway::base::rng::ShardRng;
use floodway::base::time::UnixTime;
use floodway::wire::build_record::elgamal::ElGamalBuildRequest;
use floodway::wire::build_record::long::{LongBuildReply, LongBuildRequest, SealedLongRequest};
use floodway::wire::build_record::{HopRole, SHORT_REPLY_SIZE, ShortBuildReply, ShortBuildRequest};
use floodway::wire::delivery::{
    Delivery, Fragment, TUNNEL_SPACE, TunnelMessageBuilder, parse_tunnel_payload,
};
use floodway::wire::encrypted_lease_set::EncryptedLeaseSet;
use floodway::wire::encrypted_lease_set::layers::{InnerLayer, OuterLayer, SealedLayer};
use floodway::wire::i2np::data::DataMessage;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_search_reply::DatabaseSearchReply;
use floodway::wire::i2np::database_store::{
    DatabaseStore, StoreData, StoreReply, deflate, inflate,
};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::i2np::garlic::aes_block::AesBlock;
use floodway::wire::i2np::garlic::clove_set::{CloveSet, SetClove};
use floodway::wire::i2np::garlic::{self, CloveDelivery, GarlicMessage, NextKey, SessionBlock};
use floodway::wire::i2np::tunnel_build::{BuildMessage, LongBuildMessage, RecordSize};
use floodway::wire::i2np::tunnel_data::TunnelData;
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::identity::{Destination, KeysView, RouterIdentity};
use floodway::wire::lease_set::LeaseSet2;
use floodway::wire::lease_set::legacy::LeaseSet;
use floodway::wire::mapping::Mapping;
use floodway::wire::meta_lease_set::MetaLeaseSet;
use floodway::wire::ntcp2::{self, FloodRequest, Message1Options, Message2Options};
use floodway::wire::reader::Reader;
use floodway::wire::router_info::RouterInfo;
use floodway::wire::ssu2_block::{
    self, Ack, PeerTest, PeerTestTerms, RelayAnswer, RelayResponse, Ssu2Block,
};
use floodway::wire::ssu2_header::{LongHeader, ShortHeader, Token};
use floodway::wire::su3::Su3;
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
    let next = NextKey {
        id: 1,
        key: Some(&[2; 32]),
        is_reverse: true,
        requests_reverse: false,
        unused_flags: 0,
    };
    garlic::append_session(&mut cloves, &SessionBlock::NextKey(next));
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
    samples.extend([old_garlic(), ssu2_blocks()]);
    samples.push(LongBuildMessage::write_variable(&[[1; 528]; 2]).expect("two records").to_vec());
    samples.extend(VECTORS.map(<[u8]>::to_vec));
    samples
}

/// Structures that other routers made.
const VECTORS: [&[u8]; 9] = [
    include_bytes!("vectors/router_info_java_2.7.0.dat"),
    include_bytes!("vectors/lease_set_ed25519.dat"),
    include_bytes!("vectors/lease_set_p521.dat"),
    include_bytes!("vectors/lease_set2_ed25519.dat"),
    include_bytes!("vectors/lease_set2_offline.dat"),
    include_bytes!("vectors/lease_set2_dsa.dat"),
    include_bytes!("vectors/encrypted_lease_set.dat"),
    include_bytes!("vectors/meta_lease_set.dat"),
    include_bytes!("vectors/reseed_java_2.7.0.su3"),
];

/// How many samples there are.
const SAMPLES: usize = 14 + 3 + VECTORS.len();

/// A clove set in an AES block, behind the session blocks of the newer form.
fn old_garlic() -> Vec<u8> {
    let clove = SetClove {
        delivery: CloveDelivery::Router(ROUTER),
        message: message(),
        id: 1,
        expiration: UnixTime(2),
    };
    let mut payload = Vec::new();
    CloveSet { cloves: vec![clove], id: MessageId(3), expiration: UnixTime(4) }.write(&mut payload);
    let mut block = Vec::new();
    AesBlock { tags: &[[1; 32]], new_key: None, payload: &payload }.write(&mut block);
    block
}

fn ssu2_blocks() -> Vec<u8> {
    let address = "192.0.2.1:5000".parse().expect("an address");
    let answer = RelayAnswer { timestamp: 1, version: 2, address: Some(address) };
    let terms = PeerTestTerms { version: 2, nonce: 3, timestamp: 4, address };
    let router = Some(ROUTER);
    let mut out = Vec::new();
    for block in [
        Ssu2Block::DateTime(1_700_000_000),
        Ssu2Block::Address(address),
        Ssu2Block::Ack(Ack::new(90, 3, &[[1, 2], [3, 4]]).expect("no empty range")),
        Ssu2Block::RelayResponse(RelayResponse {
            flag: 0,
            code: 0,
            nonce: 5,
            answer: Some(answer),
            signature: &[6; 64],
            token: Some(Token([7; 8])),
        }),
        Ssu2Block::PeerTest(PeerTest {
            message: 2,
            code: 0,
            flag: 0,
            router,
            terms,
            signature: &[8; 64],
        }),
    ] {
        ssu2_block::append_block(&mut out, &block);
    }
    ssu2_block::append_padding(&mut out, 9);
    out
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
    let _ = DataMessage::payload(bytes);
    let _ = AesBlock::parse(bytes).map(|block| CloveSet::parse(block.payload));
    let _ = CloveSet::parse(bytes);
    parse_in_place(bytes);
    parse_fixed(bytes);
    parse_signed(bytes);
    parse_ssu2(bytes);
}

/// What carries a signature, read but not verified: a record that is taken is kept as it came.
fn parse_signed(bytes: &[u8]) {
    let kept = [
        RouterInfo::parse(bytes).map(|info| info.peek().bytes().clone()),
        LeaseSet::parse(bytes).map(|set| set.peek().bytes().clone()),
        LeaseSet2::parse(bytes).map(|set| set.peek().bytes().clone()),
        EncryptedLeaseSet::parse(bytes).map(|set| set.peek().bytes().clone()),
        MetaLeaseSet::parse(bytes).map(|set| set.peek().bytes().clone()),
    ];
    for record in kept.iter().flatten() {
        assert_eq!(record[..], *bytes);
    }
    if let Ok(file) = Su3::parse(bytes) {
        assert_eq!([file.signed(), file.signature()].concat(), bytes);
    }
    if let Ok(keys) = KeysView::parse(&mut Reader::new(bytes)) {
        assert_eq!(keys.bytes(), &bytes[..keys.bytes().len()]);
    }
    let _ = RouterIdentity::parse(&mut Reader::new(bytes));
    let _ = Destination::parse(&mut Reader::new(bytes));
    let _ = SealedLayer::parse(bytes);
    let _ = InnerLayer::parse(bytes);
    if let Ok(layer) = OuterLayer::parse(bytes) {
        let mut written = Vec::new();
        layer.write(&mut written);
        assert_eq!(written, bytes);
    }
}

fn parse_ssu2(bytes: &[u8]) {
    let mut written = Vec::new();
    let mut all_taken = true;
    for block in ssu2_block::parse_blocks(bytes) {
        match block {
            Ok(block) => {
                ssu2_block::append_block(&mut written, &block);
                if let Ssu2Block::Ack(ack) = block {
                    assert!(ack.arrived().count() <= bytes.len());
                }
            }
            Err(_) => all_taken = false,
        }
    }
    assert_eq!(written, &bytes[..written.len()]);
    assert!(!all_taken || written.len() == bytes.len());
    if let Ok(header) = LongHeader::parse(&mut Reader::new(bytes)) {
        assert_eq!(header.write(), bytes[..32]);
        let _ = header.check(99);
    }
    if let Ok(header) = ShortHeader::parse(&mut Reader::new(bytes)) {
        assert_eq!(header.write(), bytes[..16]);
    }
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
    let mut copy = bytes.to_vec();
    let _ = LongBuildMessage::parse_variable(&mut copy).map(|build| build.count());
    let _ = LongBuildMessage::parse_fixed(&mut copy).map(|build| build.count());
}

fn parse_fixed(bytes: &[u8]) {
    if let Some(options) = bytes.first_chunk() {
        let _ = Message1Options::parse(options);
        let _ = Message2Options::parse(options);
    }
    if let Some(request) = bytes.first_chunk() {
        let _ = ShortBuildRequest::parse(request);
    }
    if let Some(record) = bytes.first_chunk() {
        let _ = SealedLongRequest::view(record);
    }
    if let Some(request) = bytes.first_chunk() {
        let _ = LongBuildRequest::parse(request);
    }
    if let Some(request) = bytes.first_chunk() {
        let _ = ElGamalBuildRequest::parse(request);
    }
    if let Some(reply) = bytes.first_chunk() {
        let _ = LongBuildReply::parse(reply);
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
    assert_eq!(samples().len(), SAMPLES);
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
        which in 0usize..SAMPLES,
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
