//! Builds at the edge of what is taken, and fragments that do not fit together.

use std::thread;
use std::time::Duration;

use floodway::base::time::UnixTime;
use floodway::wire::build_record::{HopRole, ShortBuildRequest};
use floodway::wire::delivery::{Delivery, Fragment};
use floodway::wire::i2np::tunnel_data::TunnelData;
use floodway::wire::i2np::tunnel_gateway::TunnelGateway;
use floodway::wire::i2np::{I2npMessage, MessageType};

use super::bench::{Bench, GOES_ON, MUTE, NONE, Neighbour, REFUSED_BUILDS, THERE_AND_BACK};
use super::messages::{seal_to, short};
use super::tunnels::{Endpoint, REPLY_MESSAGE, around, participant, tunnel};

/// Messages that never come to an end, and how many of them an endpoint keeps.
const UNFINISHED: u32 = 1_000;
const KEPT: u32 = 32;

/// The message that asks for what `request` says.
fn asking(bench: &Bench, request: &ShortBuildRequest, sender: &mut Neighbour) -> I2npMessage {
    let cleartext = request.write(&mut sender.router.rng);
    let sealed = seal_to(&bench.hop.static_key, cleartext.to_vec(), &mut sender.router.rng);
    let body = around(&bench.hop, &sealed, sender);
    sender.message(MessageType::ShortTunnelBuild, body)
}

/// The time, not so shortly before a full minute that it could be another one when the program looks.
fn early_in_a_minute(bench: &Bench) -> UnixTime {
    const LATE_MS: u64 = 50_000;
    let now = bench.clock.now().unix;
    let into = now.0 % 60_000;
    if into > LATE_MS {
        thread::sleep(Duration::from_millis(60_000 - into));
    }
    bench.clock.now().unix
}

/// Builds dated a minute on either side of what is taken.
pub fn times(bench: &mut Bench, sender: &mut Neighbour, receiver: &mut Neighbour) {
    let now = early_in_a_minute(bench);
    let minute = now.minutes();
    for (number, (input, minutes, counter)) in (0..).zip([
        ("build of 8 minutes ago, which is the limit", minute - 8, NONE),
        ("build of 9 minutes ago", minute - 9, "build_stale"),
        ("build dated 5 minutes ahead, which is the limit", minute + 5, NONE),
        ("build dated 6 minutes ahead", minute + 6, "build_stale"),
    ]) {
        let usual = participant(receiver.router.hash(), now);
        let receive_tunnel = tunnel(720 + number);
        let request = ShortBuildRequest { receive_tunnel, request_minutes: minutes, ..usual };
        let message = asking(bench, &request, sender);
        bench.message(input, counter, sender, &message);
        if counter == NONE {
            let answer = receiver.receive(MessageType::ShortTunnelBuild).unwrap();
            assert_eq!(answer.id, REPLY_MESSAGE, "{input}");
        }
    }
}

/// Builds with odd hops and taken ids, and messages for tunnels that take none of their kind.
pub fn hops(bench: &mut Bench, sender: &mut Neighbour, receiver: &mut Neighbour) {
    let now = bench.clock.now().unix;
    let usual = participant(receiver.router.hash(), now);
    let itself = ShortBuildRequest { next_hop: bench.hop.hash, ..participant(usual.next_hop, now) };
    let message = asking(bench, &itself, sender);
    bench.message("participant whose next hop is the program", "build_invalid", sender, &message);

    let back = participant(sender.router.hash(), now);
    let back = ShortBuildRequest { receive_tunnel: tunnel(730), ..back };
    let message = asking(bench, &back, sender);
    sender.send(&message);
    let answer = sender.receive(MessageType::ShortTunnelBuild);
    let seen = if answer.is_some_and(|answer| answer.id == REPLY_MESSAGE) { GOES_ON } else { MUTE };
    bench.row("participant between one and the same router", (GOES_ON, seen), THERE_AND_BACK);

    let (gateway, middle) = (tunnel(741), tunnel(740));
    for (input, role, receive_tunnel, refused) in [
        ("participant (for comparison)", HopRole::Participant, middle, false),
        ("participant under an id that is taken", HopRole::Participant, middle, true),
        ("gateway (for comparison)", HopRole::InboundGateway, gateway, false),
        ("gateway under an id that is taken", HopRole::InboundGateway, gateway, true),
        ("endpoint under an id that is taken", HopRole::OutboundEndpoint, middle, true),
    ] {
        let usual = participant(receiver.router.hash(), now);
        let request = ShortBuildRequest { role, receive_tunnel, ..usual };
        let message = asking(bench, &request, sender);
        sender.send(&message);
        let answer = receiver.receive(match role {
            HopRole::Participant | HopRole::InboundGateway => MessageType::ShortTunnelBuild,
            HopRole::OutboundEndpoint => MessageType::TunnelGateway,
        });
        let wanted = if refused { "refused with an answer" } else { "answered" };
        let seen = if answer.is_some() { wanted } else { MUTE };
        bench.row(input, (wanted, seen), if refused { REFUSED_BUILDS } else { NONE });
    }
    let inner = sender.message(MessageType::Data, short(100));
    let data = TunnelData::write(gateway, &sender.router.rng.bytes());
    let fed = TunnelGateway::write(middle, &inner);
    for (input, kind, body) in [
        ("TunnelData for a gateway", MessageType::TunnelData, data),
        ("TunnelGateway for a participant", MessageType::TunnelGateway, fed),
    ] {
        let message = sender.message(kind, body);
        bench.message(input, "tunnel_unknown", sender, &message);
    }
}

/// Fragments at an endpoint that contradict each other, or never become a message.
pub fn fragments(bench: &mut Bench, sender: &mut Neighbour, receiver: &mut Neighbour) {
    let endpoint = Endpoint::open(bench, sender, receiver);
    let delivery = Delivery::Router(receiver.router.hash());
    let (one, other) = ([1; 300], [2; 300]);
    let first = |message, data| Fragment::First { delivery, message: Some(message), data };
    let follow = |message, number, last, data| Fragment::Follow { message, number, last, data };
    for (input, message, second) in [
        ("fragment repeated", 1, follow(1, 1, false, &one)),
        ("fragment over another", 2, follow(2, 1, false, &other)),
    ] {
        let begun = [first(message, &one), follow(message, 1, false, &one), second];
        let packed = endpoint.pack_all(&begun, sender);
        bench.message(input, "tunnel_content", sender, &packed);
    }
    let past = [follow(3, 2, true, &one), follow(3, 3, false, &one)];
    let packed = endpoint.pack_all(&past, sender);
    bench.message("fragment behind the last", "tunnel_content", sender, &packed);
    // Each claims 64 KiB: the first fragment and the last of 64.
    for message in 10..10 + UNFINISHED {
        let claim = [first(message, &one), follow(message, 63, true, &one)];
        let packed = endpoint.pack_all(&claim, sender);
        sender.send(&packed);
    }
    let given_up = 3 + UNFINISHED - KEPT;
    let seen = if sender.is_answered(&bench.endpoint) { GOES_ON } else { MUTE };
    let counter = format!("tunnel_content by {given_up}");
    bench.row("1000 messages that claim 64 KiB", (GOES_ON, seen), &counter);
}
