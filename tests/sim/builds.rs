//! Build requests: as many as a large router makes, more than a shard gets done, and a flood of them beside data.

use std::time::Duration;

use floodway::base::frame::Frame;
use floodway::base::limits::SourceRates;
use floodway::base::rate::Rate;
use floodway::proto::tunnel::build_creator::CreatorHop;
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::tunnel_build::BuildMessage;
use loadtest::checker::Stamp;
use loadtest::tunnels::Role;

use super::labour::{Labour, Prices};
use super::siege::Siege;

#[test]
fn a_large_router_that_builds_all_its_tunnels_through_us_is_never_cut_off() {
    let mut siege = Siege::new(61, 3, |_| {});
    // All tunnels at once, as after a restart; then as many each second as 50,000 tunnels take that live ten minutes.
    let mut asked = siege.ask(800, (0, 1));
    for _ in 0..5 {
        siege.world.run_for(Duration::from_secs(1));
        asked.extend(siege.ask(80, (0, 1)));
    }
    siege.world.run_for(Duration::from_secs(2));
    assert_eq!(siege.answered(&asked, 1), 1200);
    for reason in ["build_rate", "build_queue_full", "build_late", "build_unvouched_rate"] {
        assert_eq!(siege.drops(reason), 0, "{reason}");
    }
}

#[test]
fn who_asks_for_more_is_cut_off_alone() {
    let rate = Rate::new(10, 20);
    let mut siege = Siege::new(62, 3, |node| {
        node.limits.builds = SourceRates { address: rate, subnet: Rate::new(100, 1000) };
    });
    let flood = siege.ask(100, (0, 1));
    siege.world.run_for(Duration::from_millis(500));
    let answered = siege.answered(&flood, 1);
    assert!((20..=25).contains(&answered), "{answered}");
    assert_eq!(siege.drops("build_rate"), 100 - u64::try_from(answered).unwrap());
    let neighbour = siege.ask(15, (2, 1));
    siege.world.run_for(Duration::from_millis(500));
    assert_eq!(siege.answered(&neighbour, 1), 15);
    // In time it may ask again.
    let later = siege.ask(5, (0, 1));
    siege.world.run_for(Duration::from_secs(1));
    assert_eq!(siege.answered(&later, 1), 5);
}

#[test]
fn a_turn_does_its_share_of_builds_and_what_waits_too_long_is_dropped_the_oldest_first() {
    let mut siege = Siege::new(63, 2, |node| {
        node.limits.builds_per_turn = 2;
        node.limits.builds_waiting = 8;
    });
    let labour =
        Labour::of(siege.node, Prices { diffie_hellman: 300_000, received: 0, carried: 0 });
    let node = siege.node;
    siege.world.put_to_labour(labour, node);
    // The first comes alone and keeps the shard busy while the others come.
    let mut asked = siege.ask(1, (0, 1));
    siege.world.run_for(Duration::from_millis(280));
    asked.extend(siege.ask(19, (0, 1)));
    siege.world.run_for(Duration::from_secs(5));
    let answered: Vec<_> =
        asked.iter().map(|asked| siege.answered(std::slice::from_ref(asked), 1)).collect();
    // Of 19, 8 find room; two turns of two are done within the second.
    let expected = [vec![1], vec![0; 11], vec![1; 4], vec![0; 4]].concat();
    assert_eq!(answered, expected);
    assert_eq!((siege.drops("build_queue_full"), siege.drops("build_late")), (11, 4));
    assert_eq!(siege.world.metric(siege.node, "builds_waiting", ""), 0);
}

#[test]
fn a_gateway_that_is_fed_faster_than_its_tunnel_drains_holds_what_one_session_may() {
    let mut siege = Siege::new(65, 3, |_| {});
    let mut build = |receiver| {
        let (request, asked) = siege.request(Role::Gateway, (0, receiver));
        siege.send(0, &request);
        siege.world.run_for(Duration::from_secs(1));
        let received = &siege.world.played[siege.peers[receiver]].received;
        let reply = received.iter().find(|(_, _, message)| asked.is_reply(message)).unwrap();
        asked.settle(&reply.2).map_err(|failure| failure.to_string()).unwrap()
    };
    let (blocked, free) = (build(1), build(2));
    siege.world.stalled.push(siege.peers[1]);
    let (sent, mut out) = (2_000, Vec::new());
    for number in 0..sent {
        for tunnel in [&blocked, &free] {
            let (now, router) = (siege.world.now(), &mut siege.world.played[siege.peers[0]].router);
            tunnel.pack(1, Stamp { stream: 0, number, sent_micros: 0 }, 900, router, now, &mut out);
        }
        for message in out.drain(..) {
            siege.send(0, &message);
        }
        siege.world.run_for(Duration::from_millis(1));
    }
    siege.world.run_for(Duration::from_secs(1));
    let limits = &siege.world.nodes[siege.node].config.limits;
    let held = u64::try_from(limits.session_queue_bytes / 1028).unwrap();
    // What the session holds, and a little that it had given to the transport before.
    let dropped = siege.drops("session_queue_full");
    assert!((sent - held - 150..=sent - held).contains(&dropped), "{dropped} of {sent}");
    let received = &siege.world.played[siege.peers[2]].received;
    let through = received.iter().filter(|(_, _, message)| message.kind == MessageType::TunnelData);
    assert_eq!(u64::try_from(through.count()).unwrap(), sent, "its neighbour loses nothing");
}

/// A machine a hundred times slower than one core of an ordinary server: 2,400 messages a second are 72 % of it, and 500
/// build requests more than all of it.
const PRICES: Prices = Prices { diffie_hellman: 2_300, received: 150, carried: 150 };
const DATA_PER_SECOND: u64 = 2_400;
const FLOOD_PER_SECOND: u64 = 500;
const FLOODERS: u8 = 50;
/// Routers that the tunnels lead to: one alone could not take what comes in one turn of a shard that is behind.
const RECEIVERS: u8 = 8;
/// Routers that the tunnels come from: each builds as many as one may at once under the quota.
const SENDERS: u8 = 50;
const SECONDS: u64 = 10;
const TUNNELS: usize = 500;

enum Flood {
    None,
    /// Against quotas that are a hundredth of the usual, as the machine is.
    Bounded,
    /// Against none.
    Unbounded,
}

/// A build message with a record for `hop` that does not open: what costs its sender least.
fn cheap_request(hop: &CreatorHop, router: &mut loadtest::played::PlayedRouter) -> Frame {
    let mut records: [[u8; 218]; 4] = std::array::from_fn(|_| router.rng.bytes());
    records[1][..16].copy_from_slice(&hop.hash.0[..16]);
    BuildMessage::write(&records).unwrap()
}

/// How many of the data messages of [`SECONDS`] came through within that time, of how many.
fn carried_beside(flood: &Flood) -> (u64, u64) {
    let mut siege = Siege::new(64, RECEIVERS + SENDERS + FLOODERS, |node| {
        // What this slow machine does in one long turn would be a burst beyond its bandwidth.
        (node.bandwidth, node.transit_bandwidth) = (1 << 30, 1 << 30);
        let limits = &mut node.limits;
        match flood {
            Flood::None | Flood::Bounded => {
                let address = Rate::new(1, 10);
                limits.builds = SourceRates { address, ..limits.builds };
            }
            Flood::Unbounded => {
                let none = Rate::new(1_000_000, 1_000_000);
                limits.builds = SourceRates { address: none, subnet: none };
                limits.builds_per_turn = 100_000;
                limits.builds_waiting = 100_000;
            }
        }
    });
    let receivers: Vec<_> = (0..usize::from(RECEIVERS)).collect();
    let senders: Vec<_> = (RECEIVERS..RECEIVERS + SENDERS).map(usize::from).collect();
    let tunnels = siege.build(TUNNELS, &senders, &receivers);
    siege.world.put_to_labour(Labour::of(siege.node, PRICES), siege.node);
    let start = siege.world.now().instant;
    let (mut number, mut requests) = (0, 0);
    for tick in 1..=SECONDS * 100 {
        while number < DATA_PER_SECOND * tick / 100 {
            let place = usize::try_from(number).unwrap() % tunnels.len();
            let (tunnel, sender) = (&tunnels[place], senders[place % senders.len()]);
            let (now, mut out) = (siege.world.now(), Vec::new());
            let router = &mut siege.world.played[siege.peers[sender]].router;
            tunnel.pack(1, Stamp { stream: 0, number, sent_micros: 0 }, 0, router, now, &mut out);
            siege.send(sender, &out[0]);
            number += 1;
        }
        while !matches!(flood, Flood::None) && requests < FLOOD_PER_SECOND * tick / 100 {
            let flooder = usize::try_from(requests).unwrap() % usize::from(FLOODERS);
            let sender = usize::from(RECEIVERS + SENDERS) + flooder;
            let now = siege.world.now();
            let router = &mut siege.world.played[siege.peers[sender]].router;
            let body = cheap_request(&siege.hop, router);
            let request = router.message(MessageType::ShortTunnelBuild, body, now);
            siege.send(sender, &request);
            requests += 1;
        }
        siege.world.run_for(Duration::from_millis(10));
    }
    let end = start + Duration::from_secs(SECONDS);
    siege.world.run_for(Duration::from_secs(20));
    let received = receivers.iter().flat_map(|to| &siege.world.played[siege.peers[*to]].received);
    let data = received.filter(|(_, _, message)| message.kind == MessageType::TunnelData);
    // All of them come in the end: nothing of the data is lost.
    assert_eq!(u64::try_from(data.clone().count()).unwrap(), number);
    // Each request is counted once, by what became of it.
    let reasons = ["build_rate", "build_queue_full", "build_late", "build_unauthentic"];
    let counted: Vec<_> = reasons.iter().map(|reason| siege.drops(reason)).collect();
    println!("{reasons:?} {counted:?}");
    assert_eq!(counted.iter().sum::<u64>(), requests);
    let in_time = data.filter(|(at, _, _)| at.instant <= end).count();
    (u64::try_from(in_time).unwrap(), number)
}

#[test]
fn a_flood_of_builds_leaves_data_nine_tenths_of_its_throughput() {
    let (alone, sent) = carried_beside(&Flood::None);
    assert!(alone * 100 >= sent * 97, "{alone} of {sent}");
    let (beside, _) = carried_beside(&Flood::Bounded);
    assert!(beside * 10 >= alone * 9, "{beside} of {alone}");
    // The same without quotas and shares, which shows that the flood is one.
    let (unprotected, _) = carried_beside(&Flood::Unbounded);
    println!("{alone} alone, {beside} beside a flood, {unprotected} where nothing holds it back");
    assert!(unprotected * 10 < alone * 9, "{unprotected} of {alone}");
}
