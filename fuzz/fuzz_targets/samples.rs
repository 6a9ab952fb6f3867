//! Valid things to begin with: real files, and one of each message as our own writers make it.

use floodway::base::frame::Frame;
use floodway::base::id::{MessageId, RecordKey, RouterHash, TunnelId};
use floodway::base::rng::ShardRng;
use floodway::base::time::UnixTime;
use floodway::wire::build_record::{HopRole, ShortBuildRequest};
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_search_reply::DatabaseSearchReply;
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData, StoreReply, deflate};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::i2np::garlic::{self, CloveDelivery, GarlicMessage};
use floodway::wire::i2np::tunnel_build::BuildMessage;
use floodway::wire::i2np::tunnel_data::TunnelData;
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::lease_set::{AnyLeaseSet, LeaseSetKind};
use floodway::wire::mapping::Mapping;
use floodway::wire::ntcp2::{self, FloodRequest};

/// A file that a real router wrote.
macro_rules! real {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/vectors/", $name)).to_vec()
    };
}

pub const ROUTER: RouterHash = RouterHash([2; 32]);
/// The time of whatever is run: a few minutes behind the real files.
pub const NOW: UnixTime = UnixTime(1_768_478_400_000);

pub fn router_infos() -> Vec<Vec<u8>> {
    vec![
        real!("router_info_i2pd_2.45.1.dat"),
        real!("router_info_i2pd_2.56.0.dat"),
        real!("router_info_i2pd_2.59.0.dat"),
        real!("router_info_java_2.7.0.dat"),
        real!("router_info_emissary_0.4.0.dat"),
    ]
}

pub fn lease_sets(kind: LeaseSetKind) -> Vec<Vec<u8>> {
    match kind {
        LeaseSetKind::LeaseSet => vec![
            real!("lease_set_ed25519.dat"),
            real!("lease_set_dsa.dat"),
            real!("lease_set_p521.dat"),
        ],
        LeaseSetKind::LeaseSet2 => vec![
            real!("lease_set2_ed25519.dat"),
            real!("lease_set2_dsa.dat"),
            real!("lease_set2_offline.dat"),
            real!("lease_set2_p521.dat"),
            real!("lease_set2_reddsa.dat"),
        ],
        LeaseSetKind::EncryptedLeaseSet => vec![
            real!("encrypted_lease_set.dat"),
            real!("encrypted_lease_set_dh.dat"),
            real!("encrypted_lease_set_psk.dat"),
        ],
        LeaseSetKind::MetaLeaseSet => vec![real!("meta_lease_set.dat")],
    }
}

pub fn key_files() -> Vec<Vec<u8>> {
    vec![
        real!("peers/i2pd-2.59.0/router.keys"),
        real!("peers/i2pd-2.59.0/ntcp2.keys"),
        real!("peers/i2pd-2.59.0/ssu2.keys"),
        real!("peers/emissary-0.4.0/static.key"),
    ]
}

pub fn rng() -> ShardRng {
    ShardRng::from_seed([1; 32])
}

pub fn tunnel() -> TunnelId {
    TunnelId::new(7).expect("7 is not zero")
}

pub fn message(kind: MessageType, body: &[u8]) -> I2npMessage {
    let expiration = UnixTime(NOW.0 + 8_000);
    I2npMessage { kind, id: MessageId(3), expiration, body: Frame::copy_of(body) }
}

pub fn lookup() -> Vec<u8> {
    let lookup = DatabaseLookup {
        key: RecordKey([1; 32]),
        from: ROUTER,
        reply_tunnel: Some(tunnel()),
        kind: LookupKind::LeaseSet,
        unknown_flags: 0,
        excluded: &[[0; 32], [4; 32]],
        encryption: LookupEncryption::Ecies { key: [5; 32], tag: [6; 8] },
    };
    lookup.write().to_vec()
}

pub fn stores() -> Vec<Vec<u8>> {
    let gzip = deflate(&router_infos()[2]);
    let reply = || Some(StoreReply { token: 9, tunnel: Some(tunnel()), gateway: ROUTER });
    let key = RecordKey([1; 32]);
    let info = DatabaseStore { key, reply: reply(), data: StoreData::RouterInfo { gzip: &gzip } };
    let mut stores = vec![info.write().to_vec()];
    for kind in LeaseSetKind::ALL {
        for record in lease_sets(kind) {
            let set = AnyLeaseSet::parse(kind, &record).expect("Java wrote it");
            let data = StoreData::lease_set(kind, &record);
            let store = DatabaseStore { key: set.peek().key(), reply: None, data };
            stores.push(store.write().to_vec());
        }
    }
    stores
}

pub fn search_reply() -> Vec<u8> {
    let reply =
        DatabaseSearchReply { key: RecordKey([1; 32]), peers: vec![ROUTER; 3], from: ROUTER };
    reply.write().to_vec()
}

pub fn delivery_status() -> Vec<u8> {
    DeliveryStatus { id: MessageId(1), timestamp: NOW }.write().to_vec()
}

pub fn garlic_blocks() -> Vec<u8> {
    let inner = message(MessageType::DatabaseLookup, &lookup());
    let mut blocks = Vec::new();
    garlic::append_date_time(&mut blocks, NOW);
    for delivery in
        [CloveDelivery::Local, CloveDelivery::Tunnel { gateway: ROUTER, tunnel: tunnel() }]
    {
        garlic::append_clove(&mut blocks, &delivery, &inner);
    }
    garlic::append_padding(&mut blocks, 9);
    blocks
}

pub fn garlic() -> Vec<u8> {
    GarlicMessage::write(&[1; 60]).to_vec()
}

pub fn ntcp2_blocks() -> Vec<u8> {
    let mut blocks = Vec::new();
    ntcp2::append_date_time(&mut blocks, NOW.seconds_rounded());
    ntcp2::append_options(&mut blocks, &[0; 12]);
    ntcp2::append_router_info(&mut blocks, FloodRequest::Requested, &router_infos()[3]);
    ntcp2::append_i2np(&mut blocks, &message(MessageType::DatabaseLookup, &lookup()));
    ntcp2::append_termination(&mut blocks, 7, ntcp2::TerminationReason::Normal);
    ntcp2::append_padding(&mut blocks, 9);
    blocks
}

pub fn tunnel_data() -> Vec<u8> {
    TunnelData::write(tunnel(), &[1; 1024]).to_vec()
}

pub fn tunnel_gateway() -> Vec<u8> {
    TunnelGateway::write(tunnel(), &message(MessageType::Data, &[4; 30])).to_vec()
}

pub fn tunnel_build() -> Vec<u8> {
    BuildMessage::write(&[[1; 218]; 4]).expect("four records").to_vec()
}

pub fn build_request() -> ShortBuildRequest {
    ShortBuildRequest {
        receive_tunnel: tunnel(),
        next_tunnel: tunnel(),
        next_hop: ROUTER,
        role: HopRole::Participant,
        layer_type: 0,
        request_minutes: NOW.minutes(),
        expiration_s: 600,
        next_message: MessageId(5),
        options: Mapping::default(),
    }
}

/// Every message that a peer may send, by its type.
pub fn messages() -> Vec<I2npMessage> {
    let mut all = vec![
        message(MessageType::DatabaseLookup, &lookup()),
        message(MessageType::DatabaseSearchReply, &search_reply()),
        message(MessageType::DeliveryStatus, &delivery_status()),
        message(MessageType::Garlic, &garlic()),
        message(MessageType::TunnelData, &tunnel_data()),
        message(MessageType::TunnelGateway, &tunnel_gateway()),
        message(MessageType::ShortTunnelBuild, &tunnel_build()),
        message(MessageType::OutboundTunnelBuildReply, &tunnel_build()),
    ];
    all.extend(stores().iter().map(|store| message(MessageType::DatabaseStore, store)));
    all
}
