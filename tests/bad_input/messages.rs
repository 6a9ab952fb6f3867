//! Bad I2NP messages of no particular kind, and bad garlic.

use std::time::Duration;

use floodway::base::frame::Frame;
use floodway::base::id::{MessageId, RecordKey, RouterHash, TunnelId};
use floodway::base::rng::ShardRng;
use floodway::crypto::noise::SymmetricState;
use floodway::crypto::secret::X25519Secret;
use floodway::crypto::x25519::{X25519Public, diffie_hellman, public_key};
use floodway::wire::i2np::database_search_reply::DatabaseSearchReply;
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::i2np::garlic::{CloveDelivery, GarlicMessage, append_clove, append_date_time};
use floodway::wire::i2np::{I2npMessage, MessageType};

use super::bench::{Bench, NONE, Neighbour, own_lookup};

/// Messages of the wrong type, of the wrong time, or that nobody asked for.
pub fn envelopes(bench: &mut Bench, sender: &mut Neighbour) {
    let body = own_lookup(&bench.endpoint, &sender.router);
    for (input, code, counter) in [
        ("I2NP of unknown type", 200, "unknown_type"),
        ("Data outside of any tunnel", 20, "unknown_type"),
        ("OutboundTunnelBuildReply outside of garlic", 26, "unknown_type"),
    ] {
        let message = sender.message(MessageType::from_code(code), body.clone());
        bench.message(input, counter, sender, &message);
    }
    let now = bench.clock.now().unix;
    let span = Duration::from_secs(200);
    for (input, expiration, counter) in [
        ("I2NP expired", now - span, "expired"),
        ("I2NP that expires too far ahead", now + span, "far_future"),
    ] {
        let usual = sender.message(MessageType::DatabaseLookup, body.clone());
        bench.message(input, counter, sender, &I2npMessage { expiration, ..usual });
    }
    let status = DeliveryStatus { id: MessageId(77), timestamp: now }.write();
    let reply = DatabaseSearchReply {
        key: RecordKey([7; 32]),
        peers: vec![RouterHash([8; 32])],
        from: sender.router.hash(),
    };
    for (input, kind, body, counter) in [
        ("DeliveryStatus unasked", MessageType::DeliveryStatus, status, "unasked"),
        ("DeliveryStatus malformed", MessageType::DeliveryStatus, short(5), "malformed"),
        ("DatabaseSearchReply unasked", MessageType::DatabaseSearchReply, reply.write(), "unasked"),
        ("DatabaseSearchReply malformed", MessageType::DatabaseSearchReply, short(40), "malformed"),
    ] {
        let message = sender.message(kind, body);
        bench.message(input, counter, sender, &message);
    }
}

/// So many bytes.
pub fn short(count: usize) -> Frame {
    vec![0x11; count].into()
}

/// Noise N to a router: the ephemeral key in front of what is sealed.
pub fn seal_to(key: &X25519Public, mut cleartext: Vec<u8>, rng: &mut ShardRng) -> Vec<u8> {
    let secret = X25519Secret::from_bytes(rng.bytes());
    let ephemeral = public_key(&secret);
    let mut state = SymmetricState::tunnel_record(key);
    state.mix_hash(&ephemeral.0);
    let seal = state.mix_key(&diffie_hellman(&secret, key).unwrap());
    let tag = state.seal_and_hash(&seal, 0, &mut cleartext);
    [&ephemeral.0[..], &cleartext, &tag].concat()
}

/// Bad garlic.
pub fn garlic(bench: &mut Bench, sender: &mut Neighbour, other: RouterHash) {
    let key = bench.hop.static_key;
    let now = bench.clock.now().unix;
    let body = own_lookup(&bench.endpoint, &sender.router);
    let lookup = sender.message(MessageType::DatabaseLookup, body);
    let nested = sender.message(MessageType::Garlic, short(60));
    let dated = |time| {
        let mut blocks = Vec::new();
        append_date_time(&mut blocks, time);
        blocks
    };
    let clove = |delivery, message: &I2npMessage| {
        let mut blocks = dated(now);
        append_clove(&mut blocks, &delivery, message);
        blocks
    };
    let into = CloveDelivery::Tunnel { gateway: other, tunnel: TunnelId::new(5).unwrap() };
    let mut undated = Vec::new();
    append_clove(&mut undated, &CloveDelivery::Local, &lookup);
    let span = Duration::from_secs(600);
    let garbage = sender.router.rng.bytes::<200>().to_vec();
    let mut rng = ShardRng::from_seed([50; 32]);
    let mut seal = |blocks| seal_to(&key, blocks, &mut rng);
    let good = seal(clove(CloveDelivery::Local, &lookup));
    let mut changed = seal(clove(CloveDelivery::Local, &lookup));
    changed[60] ^= 1;
    let mut overrun = dated(now);
    overrun.extend_from_slice(&[11, 0xff, 0]);

    for (input, payload, counter) in [
        ("garlic too short", vec![1; 20], "malformed"),
        ("garlic that is garbage", garbage, "garlic_unauthentic"),
        ("garlic with a flipped bit", changed, "garlic_unauthentic"),
        ("garlic with a weak key", vec![0; 100], "weak_key"),
        ("garlic without a date", seal(undated), "garlic_unauthentic"),
        ("garlic with an overrunning block", seal(overrun), "garlic_unauthentic"),
        ("garlic of 10 minutes ago", seal(dated(now - span)), "garlic_stale"),
        ("garlic from the future", seal(dated(now + span)), "garlic_stale"),
        (
            "garlic to be sent on to a router",
            seal(clove(CloveDelivery::Router(other), &lookup)),
            "garlic_forwarding",
        ),
        ("garlic to be sent into a tunnel", seal(clove(into, &lookup)), "garlic_forwarding"),
        (
            "garlic to a destination",
            seal(clove(CloveDelivery::Destination(RecordKey([3; 32])), &lookup)),
            "garlic_forwarding",
        ),
        ("garlic in garlic", seal(clove(CloveDelivery::Local, &nested)), "unknown_type"),
        ("garlic that is good (for comparison)", good.clone(), NONE),
        ("garlic replayed", good, "garlic_stale"),
    ] {
        let message = sender.message(MessageType::Garlic, GarlicMessage::write(&payload));
        bench.message(input, counter, sender, &message);
    }
}
