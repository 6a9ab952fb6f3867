//! Bad tunnel builds, and bad messages for tunnels.

use std::time::Duration;

use floodway::base::frame::Frame;
use floodway::base::id::{MessageId, RouterHash, TunnelId};
use floodway::base::time::UnixTime;
use floodway::crypto::layer::{Kernel, LAYER_SIZE, LayerKeys};
use floodway::crypto::secret::{IvKey, LayerKey, LongRecordKey};
use floodway::proto::garlic::router_message;
use floodway::proto::tunnel::bandwidth::BandwidthRequest;
use floodway::proto::tunnel::build_creator::{
    BuildKind, BuildPlan, CreatedBuild, CreatorHop, TunnelHops, create,
};
use floodway::wire::build_record::long::{LongBuildRequest, LongRecordKeys};
use floodway::wire::build_record::{HopRole, ShortBuildRequest};
use floodway::wire::delivery::{Delivery, Fragment, TunnelMessageBuilder};
use floodway::wire::i2np::tunnel_build::{BuildMessage, LongBuildMessage};
use floodway::wire::i2np::tunnel_data::TunnelData;
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::mapping::Mapping;
use loadtest::tunnels::{Role, ask};

use super::bench::{Bench, GOES_ON, MUTE, NONE, Neighbour, REFUSED_BUILDS};
use super::messages::{seal_to, short};

pub const REPLY_MESSAGE: MessageId = MessageId(0x0102_0304);

pub fn tunnel(number: u32) -> TunnelId {
    TunnelId::new(number).unwrap()
}

/// The build of a tunnel whose only hop is `hop`.
fn build(sender: &mut Neighbour, hop: CreatorHop, kind: BuildKind, now: UnixTime) -> CreatedBuild {
    let plan = BuildPlan {
        path: &[hop],
        kind,
        reply_message: REPLY_MESSAGE,
        bandwidth: BandwidthRequest::default(),
    };
    create(&plan, now, &mut sender.router.rng).unwrap()
}

/// A build message with one record for the program, as made by `sealed`, and three that are random.
pub fn around(hop: &CreatorHop, sealed: &[u8], sender: &mut Neighbour) -> Frame {
    let mut records: [[u8; 218]; 4] = std::array::from_fn(|_| sender.router.rng.bytes());
    records[2] = [&hop.hash.0[..16], sealed].concat().try_into().unwrap();
    BuildMessage::write(&records).unwrap()
}

/// The request for a tunnel in which the program is a participant.
pub fn participant(next_hop: RouterHash, now: UnixTime) -> ShortBuildRequest {
    ShortBuildRequest {
        receive_tunnel: tunnel(700),
        next_tunnel: tunnel(701),
        next_hop,
        role: HopRole::Participant,
        layer_type: 0,
        request_minutes: now.minutes(),
        expiration_s: 600,
        next_message: REPLY_MESSAGE,
        options: Mapping::new(),
    }
}

/// Build requests that do not lead to a tunnel.
pub fn builds(bench: &mut Bench, sender: &mut Neighbour, receiver: &mut Neighbour) {
    let (hop, now) = (bench.hop, bench.clock.now().unix);
    let inbound = BuildKind::Inbound { creator: receiver.router.hash(), tunnel: tunnel(9) };
    let to_itself = BuildKind::Inbound { creator: hop.hash, tunnel: tunnel(9) };
    let elsewhere = CreatorHop { hash: RouterHash([0x77; 32]), ..hop };
    let span = Duration::from_secs(10 * 60);
    let mut made = |hop, kind, time| build(sender, hop, kind, time).body;
    let not_for_us = made(elsewhere, inbound, now);
    let mut unauthentic = made(hop, inbound, now);
    let ours = unauthentic.windows(16).position(|bytes| bytes == &hop.hash.0[..16]).unwrap();
    unauthentic[ours + 100] ^= 1;
    let stale = made(hop, inbound, now - span);
    let ahead = made(hop, inbound, now + span);
    let itself = made(hop, to_itself, now);

    let request = participant(receiver.router.hash(), now).write(&mut sender.router.rng);
    let mut crafted = |at: usize, bytes: &[u8]| {
        let mut request = request;
        request[at..at + bytes.len()].copy_from_slice(bytes);
        let sealed = seal_to(&hop.static_key, request.to_vec(), &mut sender.router.rng);
        around(&hop, &sealed, sender)
    };
    let no_tunnel = crafted(0, &[0; 4]);
    let no_next_tunnel = crafted(4, &[0; 4]);
    let both_roles = crafted(40, &[0xc0]);
    let bad_options = crafted(56, &[0, 200]);
    let weak = around(&hop, &[0; 202], sender);

    for (input, body, counter) in [
        ("build without records", vec![0].into(), "malformed"),
        ("build cut short", short(300), "malformed"),
        ("build for another router", not_for_us, "build_not_for_us"),
        ("build with a flipped bit in its record", unauthentic, "build_unauthentic"),
        ("build with a weak key", weak, "weak_key"),
        ("build of 10 minutes ago", stale, "build_stale"),
        ("build from the future", ahead, "build_stale"),
        ("build with tunnel id 0", no_tunnel, "build_invalid"),
        ("build with next tunnel id 0", no_next_tunnel, "build_invalid"),
        ("build with both roles", both_roles, "build_invalid"),
        ("build with options that overrun", bad_options, "build_invalid"),
        ("build whose next hop is the program", itself, "build_invalid"),
    ] {
        let message = sender.message(MessageType::ShortTunnelBuild, body);
        bench.message(input, counter, sender, &message);
    }
    long_builds(bench, sender, receiver);
    replayed(bench, sender, receiver);
    odd_layer(bench, sender, receiver);
    from_nowhere(bench, sender, receiver);
}

/// A build message of eight long records, one of them for the program with `request` in it.
fn around_long(hop: &CreatorHop, request: &[u8], sender: &mut Neighbour) -> [[u8; 528]; 8] {
    let mut records: [[u8; 528]; 8] = std::array::from_fn(|_| sender.router.rng.bytes());
    let sealed = seal_to(&hop.static_key, request.to_vec(), &mut sender.router.rng);
    records[5] = [&hop.hash.0[..16], &sealed].concat().try_into().unwrap();
    records
}

/// Build requests in long records: bad ones of both forms, and one of each that is answered in its own form.
fn long_builds(bench: &mut Bench, sender: &mut Neighbour, receiver: &mut Neighbour) {
    let (hop, now) = (bench.hop, bench.clock.now().unix);
    let request = LongBuildRequest {
        receive_tunnel: tunnel(800),
        next_tunnel: tunnel(801),
        next_hop: receiver.router.hash(),
        layer: LayerKeys { layer: LayerKey::from_bytes([1; 32]), iv: IvKey::from_bytes([2; 32]) },
        reply: LongRecordKeys { key: LongRecordKey::from_bytes([3; 32]), iv: [4; 16] },
        role: HopRole::InboundGateway,
        request_minutes: now.minutes(),
        expiration_s: 600,
        next_message: REPLY_MESSAGE,
        options: Mapping::new(),
    };
    let good = request.write(&mut sender.router.rng);
    let crafted = |at: usize, bytes: &[u8]| {
        let mut request = good;
        request[at..at + bytes.len()].copy_from_slice(bytes);
        request
    };
    let stale = (now.minutes() - 10).to_be_bytes();
    for (input, request, counter) in [
        ("long build with tunnel id 0", crafted(0, &[0; 4]), "build_invalid"),
        ("long build with next tunnel id 0", crafted(4, &[0; 4]), "build_invalid"),
        ("long build to the program itself", crafted(8, &hop.hash.0), "build_invalid"),
        ("long build with both roles", crafted(152, &[0xc0]), "build_invalid"),
        ("long build of 10 minutes ago", crafted(156, &stale), "build_stale"),
        ("long build with options that overrun", crafted(168, &[200, 0]), "build_invalid"),
    ] {
        let records = around_long(&hop, &request, sender);
        let body = LongBuildMessage::write_variable(&records).unwrap();
        let message = sender.message(MessageType::VariableTunnelBuild, body);
        bench.message(input, counter, sender, &message);
    }
    let mut elgamal: [[u8; 528]; 8] = std::array::from_fn(|_| sender.router.rng.bytes());
    elgamal[1][..16].copy_from_slice(&hop.hash.0[..16]);
    let elgamal = LongBuildMessage::write_fixed(&elgamal);
    for (input, body, counter) in [
        ("TunnelBuild cut short", short(528), "malformed"),
        ("TunnelBuild with a record of ElGamal", elgamal, "build_unauthentic"),
    ] {
        let message = sender.message(MessageType::TunnelBuild, body);
        bench.message(input, counter, sender, &message);
    }
    let mut around = |id| around_long(&hop, &crafted(0, &tunnel(id).to_wire()), sender);
    let fixed = LongBuildMessage::write_fixed(&around(810));
    let counted = LongBuildMessage::write_variable(&around(811)).unwrap();
    for (input, kind, body) in [
        ("TunnelBuild that is good (for comparison)", MessageType::TunnelBuild, fixed),
        ("VariableTunnelBuild that is good", MessageType::VariableTunnelBuild, counted),
    ] {
        let message = sender.message(kind, body);
        bench.message(input, NONE, sender, &message);
        let answer = receiver.receive(kind).unwrap();
        assert_eq!((answer.id, answer.body.len()), (REPLY_MESSAGE, message.body.len()), "{input}");
        assert_ne!(answer.body, message.body);
    }
}

/// Sends a good request twice.
fn replayed(bench: &mut Bench, sender: &mut Neighbour, receiver: &mut Neighbour) {
    let now = bench.clock.now();
    let to = receiver.router.hash();
    let (request, asked) = ask(Role::Gateway, bench.hop, &mut sender.router, to, now).unwrap();
    bench.message("build that is good (for comparison)", NONE, sender, &request);
    let reply = receiver.receive(MessageType::ShortTunnelBuild).unwrap();
    assert!(asked.is_reply(&reply) && asked.settle(&reply).is_ok());
    let again = I2npMessage { id: MessageId(5), ..request };
    bench.message("build replayed", "build_replayed", sender, &again);
}

/// Asks for a layer encryption that there is none of: refused with an answer.
fn odd_layer(bench: &mut Bench, sender: &mut Neighbour, receiver: &mut Neighbour) {
    let next = participant(receiver.router.hash(), bench.clock.now().unix);
    let request = ShortBuildRequest { layer_type: 1, ..next }.write(&mut sender.router.rng);
    let sealed = seal_to(&bench.hop.static_key, request.to_vec(), &mut sender.router.rng);
    let body = around(&bench.hop, &sealed, sender);
    let message = sender.message(MessageType::ShortTunnelBuild, body);
    sender.send(&message);
    let answer = receiver.receive(MessageType::ShortTunnelBuild);
    let answered = answer.is_some_and(|answer| answer.id == REPLY_MESSAGE);
    let wanted = "refused with an answer";
    let seen = if answered { wanted } else { MUTE };
    bench.row("build with layer type 1", (wanted, seen), REFUSED_BUILDS);
}

/// Asks through garlic, which hides the previous hop that a participant needs.
fn from_nowhere(bench: &mut Bench, sender: &mut Neighbour, receiver: &Neighbour) {
    let now = bench.clock.now().unix;
    let request = participant(receiver.router.hash(), now).write(&mut sender.router.rng);
    let sealed = seal_to(&bench.hop.static_key, request.to_vec(), &mut sender.router.rng);
    let body = around(&bench.hop, &sealed, sender);
    let inner = sender.message(MessageType::ShortTunnelBuild, body);
    let key = bench.hop.static_key;
    let body = router_message::seal(&key, &inner, now, &mut sender.router.rng).unwrap();
    let message = sender.message(MessageType::Garlic, body);
    bench.message("build of a participant in garlic", "build_no_previous_hop", sender, &message);
}

/// A tunnel that ends at the program.
pub struct Endpoint(TunnelHops);

impl Endpoint {
    /// Builds it.
    pub fn open(bench: &Bench, sender: &mut Neighbour, receiver: &mut Neighbour) -> Self {
        let kind = BuildKind::Outbound { gateway: receiver.router.hash(), tunnel: tunnel(21) };
        let CreatedBuild { body, pending, .. } =
            build(sender, bench.hop, kind, bench.clock.now().unix);
        let request = sender.message(MessageType::ShortTunnelBuild, body);
        sender.send(&request);
        receiver.receive(MessageType::TunnelGateway).unwrap();
        Self(pending.into_tunnel())
    }

    fn id(&self) -> TunnelId {
        self.0.hops()[0].tunnel
    }

    /// The tunnel message that tells the endpoint to deliver `data` so.
    fn pack(&self, delivery: Delivery, data: &[u8], sender: &mut Neighbour) -> I2npMessage {
        self.pack_all(&[Fragment::First { delivery, message: None, data }], sender)
    }

    /// The tunnel message with these fragments.
    pub fn pack_all(&self, fragments: &[Fragment<'_>], sender: &mut Neighbour) -> I2npMessage {
        let mut builder = TunnelMessageBuilder::new();
        for fragment in fragments {
            builder.push(fragment).unwrap();
        }
        let mut layers: [[u8; LAYER_SIZE]; 1] = [builder.finish(&mut sender.router.rng)];
        self.0.outbound_encrypt(Kernel::detect(), &mut layers);
        let [layer] = layers;
        sender.message(MessageType::TunnelData, TunnelData::write(self.id(), &layer))
    }
}

/// Messages for tunnels that are not there, and for one that is.
pub fn data(bench: &mut Bench, sender: &mut Neighbour, receiver: &mut Neighbour) {
    let endpoint = Endpoint::open(bench, sender, receiver);
    let inner = sender.message(MessageType::Data, short(100));
    let now = bench.clock.now().unix;
    let late = I2npMessage { expiration: now - Duration::from_secs(200), ..inner.clone() };
    let garbage: [u8; LAYER_SIZE] = sender.router.rng.bytes();
    let fed = |number| TunnelGateway::write(number, &inner);
    let random = TunnelData::write(tunnel(0x7fff_0001), &sender.router.rng.bytes());
    let (to, whole) = (Delivery::Router(receiver.router.hash()), inner.encode_standard());
    let (feed, through) = (MessageType::TunnelGateway, MessageType::TunnelData);
    let rows = [
        ("TunnelData of 1000 bytes", through, short(1000), "malformed"),
        ("TunnelData for tunnel 0", through, vec![0; 1028].into(), "malformed"),
        ("TunnelData for an unknown tunnel", through, random, "tunnel_unknown"),
        ("TunnelGateway cut short", feed, short(5), "malformed"),
        ("TunnelGateway for an unknown tunnel", feed, fed(tunnel(0x7fff_0001)), "tunnel_unknown"),
        ("TunnelGateway for an endpoint", feed, fed(endpoint.id()), "tunnel_unknown"),
        (
            "TunnelData of garbage at an endpoint",
            through,
            TunnelData::write(endpoint.id(), &garbage),
            "tunnel_content",
        ),
    ];
    for (input, kind, body, counter) in rows {
        let message = sender.message(kind, body);
        bench.message(input, counter, sender, &message);
    }
    for (input, delivery, data, counter) in [
        (
            "endpoint told to deliver to itself",
            Delivery::Local,
            &whole[..],
            "tunnel_delivery_local",
        ),
        ("endpoint given no message", to, &[1, 2, 3][..], "tunnel_content"),
        ("endpoint given an expired message", to, &late.encode_standard()[..], "expired"),
    ] {
        let message = endpoint.pack(delivery, data, sender);
        bench.message(input, counter, sender, &message);
    }
    let good = endpoint.pack(to, &whole, sender);
    receiver.send(&good);
    let seen = if receiver.is_answered(&bench.endpoint) { GOES_ON } else { MUTE };
    bench.row("TunnelData from the wrong peer", (GOES_ON, seen), "tunnel_wrong_hop");
    bench.message("TunnelData that is good (for comparison)", NONE, sender, &good);
    assert!(receiver.receive(MessageType::Data).is_some(), "the good message has not come");
    bench.message("TunnelData repeated", "tunnel_replayed", sender, &good);
}
