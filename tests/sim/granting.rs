//! Bandwidth that creators ask for by the options of proposal 168: what they are told, and what they get.

use std::num::NonZeroU32;
use std::time::Duration;

use floodway::proto::tunnel::bandwidth::BandwidthRequest;
use floodway::proto::tunnel::limiter::TUNNEL_BLOCK;
use floodway::wire::i2np::MessageType;
use loadtest::checker::Stamp;
use loadtest::tunnels::{BuildFailure, CONTENT_USUAL, Role, Tunnel};

use super::siege::Siege;

/// Tunnel messages a second that the node carries.
const SHARE: u64 = 2000;

fn siege(seed: u64) -> Siege {
    Siege::new(seed, 3, |node| {
        node.bandwidth = 2 * SHARE * TUNNEL_BLOCK;
        node.transit_bandwidth = SHARE * TUNNEL_BLOCK;
    })
}

fn asking(minimum: u32, requested: u32, limit: u32) -> BandwidthRequest {
    BandwidthRequest {
        minimum: NonZeroU32::new(minimum),
        requested: NonZeroU32::new(requested),
        limit: NonZeroU32::new(limit),
    }
}

/// Asks for one tunnel, and reads the answer.
fn build(
    siege: &mut Siege,
    role: Role,
    bandwidth: BandwidthRequest,
) -> Result<Tunnel, BuildFailure> {
    siege.bandwidth = bandwidth;
    let (request, asked) = siege.request(role, (0, 1));
    siege.send(0, &request);
    siege.world.run_for(Duration::from_secs(1));
    let received = &siege.world.played[siege.peers[1]].received;
    let reply = received.iter().map(|(_, _, message)| message).find(|m| asked.is_reply(m));
    asked.settle(&reply.expect("an answer").clone())
}

#[test]
fn who_asks_is_told_what_is_set_aside_and_who_cannot_have_its_minimum_is_refused() {
    let mut siege = siege(71);
    for role in [Role::Participant, Role::Gateway, Role::Endpoint] {
        let mut granted = |bandwidth| {
            let tunnel = build(&mut siege, role, bandwidth);
            tunnel.map(|tunnel| tunnel.granted().map_or(0, NonZeroU32::get)).ok()
        };
        assert_eq!(granted(asking(0, 0, 0)), Some(0), "nothing asked, nothing told");
        assert_eq!(granted(asking(5, 0, 0)), Some(5));
        assert_eq!(granted(asking(5, 20, 0)), Some(20));
        // No tunnel gets more than a twentieth.
        assert_eq!(granted(asking(0, 500, 500)), Some(100));
        assert_eq!(granted(asking(101, 500, 0)), None);
    }
    let refused = |reason| siege.world.metric(siege.node, "build_refusals_total", reason);
    assert_eq!(refused("minimum"), 3);
    assert_eq!(refused("record"), 0);
}

#[test]
fn what_is_promised_is_not_promised_again_until_those_tunnels_end() {
    let mut siege = siege(72);
    let granted = |siege: &mut Siege| {
        let tunnel = build(siege, Role::Gateway, asking(10, 100, 0));
        tunnel.ok().map(|tunnel| tunnel.granted().map_or(0, NonZeroU32::get))
    };
    let given: Vec<_> = (0..60).map(|_| granted(&mut siege)).collect();
    let some: Vec<_> = given.iter().flatten().copied().collect();
    // In full as long as a quarter of what is left is that much, then ever less, down to the minimum.
    assert!(some.iter().take(16).all(|messages| *messages == 100), "{some:?}");
    assert!(some.is_sorted_by(|before, after| before >= after), "{some:?}");
    assert!(some.iter().map(|messages| u64::from(*messages)).sum::<u64>() <= SHARE, "{some:?}");
    assert_eq!(given.last(), Some(&None), "{given:?}");
    assert!(build(&mut siege, Role::Gateway, asking(0, 0, 0)).is_ok(), "who asks for none");
    // They live for eleven minutes, the idle sessions do not.
    siege.world.run_for(Duration::from_secs(661));
    siege.dial_again();
    assert_eq!(granted(&mut siege), Some(100));
}

/// Sends messages of a usual size into `tunnel`, that many a second; how many tunnel messages come out.
fn feed(siege: &mut Siege, tunnels: &[&Tunnel], per_second: u64, seconds: u64) -> Vec<usize> {
    let (from, to) = (siege.peers[0], siege.peers[1]);
    let seen = siege.world.played[to].received.len();
    for number in 0..per_second * seconds {
        for (stream, tunnel) in (0..).zip(tunnels) {
            let now = siege.world.now();
            let router = &mut siege.world.played[from].router;
            let stamp = Stamp { stream, number, sent_micros: 0 };
            let mut out = Vec::new();
            tunnel.pack(1, stamp, CONTENT_USUAL, router, now, &mut out);
            for message in out {
                siege.send(0, &message);
            }
        }
        siege.world.run_for(Duration::from_micros(1_000_000 / per_second));
    }
    siege.world.run_for(Duration::from_secs(1));
    let received = &siege.world.played[to].received[seen..];
    let of = |tunnel: &&Tunnel| {
        let id = tunnel.arrives().to_wire();
        received
            .iter()
            .filter(|(_, _, message)| {
                message.kind == MessageType::TunnelData && message.body.starts_with(&id)
            })
            .count()
    };
    tunnels.iter().map(of).collect()
}

#[test]
fn a_gateway_lets_in_no_more_than_its_creator_wants() {
    let mut siege = siege(73);
    let limited = build(&mut siege, Role::Gateway, asking(0, 0, 50)).unwrap();
    let free = build(&mut siege, Role::Gateway, asking(0, 0, 0)).unwrap();
    // A limit is none of a participant's business.
    let participant = build(&mut siege, Role::Participant, asking(0, 0, 50)).unwrap();
    let came = feed(&mut siege, &[&limited, &free, &participant], 200, 5);
    // 1024 bytes fifty times a second for five seconds, and at the start as much as the largest message has.
    assert!((320..=340).contains(&came[0]), "{came:?}");
    assert_eq!((came[1], came[2]), (1000, 1000));
    let throttled = siege.drops("transit_throttled");
    assert_eq!(usize::try_from(throttled).unwrap() + came[0], 1000);
}

#[test]
fn where_bandwidth_is_short_each_tunnel_gets_its_share_by_what_was_granted() {
    let mut siege = siege(74);
    let plain: Vec<_> =
        (0..4).map(|_| build(&mut siege, Role::Participant, asking(0, 0, 0)).unwrap()).collect();
    // Three times sixteen messages: four shares.
    let granted: Vec<_> =
        (0..4).map(|_| build(&mut siege, Role::Participant, asking(1, 48, 0)).unwrap()).collect();
    let mut config = siege.world.nodes[siege.node].config.as_ref().clone();
    config.transit_bandwidth = 400 * TUNNEL_BLOCK;
    siege.world.settle(siege.node, config);
    let tunnels: Vec<&Tunnel> = plain.iter().chain(&granted).collect();
    // Twice, since what may pass after a rest passes first.
    feed(&mut siege, &tunnels, 200, 1);
    let came = feed(&mut siege, &tunnels, 200, 10);
    let (plain, granted) = came.split_at(4);
    let all: usize = came.iter().sum();
    println!("of {all}: {plain:?} {granted:?}");
    for one in plain {
        assert!((one * 20).abs_diff(all) * 10 <= all, "a twentieth: {came:?}");
    }
    for one in granted {
        assert!((one * 5).abs_diff(all) * 10 <= all, "a fifth: {came:?}");
    }
}
