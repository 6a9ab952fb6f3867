//! Tunnel messages of a busy shard wait a little for others, and for no longer than they may.

use std::collections::BTreeSet;
use std::time::Duration;

use floodway::actor::contract::Effort;
use floodway::base::permille::Permille;
use floodway::wire::i2np::MessageType;
use loadtest::checker::Stamp;
use loadtest::tunnels::Tunnel;

use super::siege::Siege;

/// Longer than the way to the router and from it takes at most.
const ON_THE_WAY: Duration = Duration::from_millis(110);

/// A tunnel from the first peer through a router that holds back for so long at most, to each of the others.
fn siege(seed: u64, peers: u8, cork: Duration) -> (Siege, Vec<Tunnel>) {
    let mut siege = Siege::new(seed, peers, |node| node.cork = cork);
    let receivers: Vec<_> = (1..usize::from(peers)).collect();
    let tunnels = siege.build(receivers.len(), &[0], &receivers);
    (siege, tunnels)
}

fn exert(siege: &mut Siege, thousandths: u16) {
    let effort = Effort { queue_delay: Duration::ZERO, busy: Permille::new(thousandths) };
    siege.world.exert(siege.node, effort);
}

/// Sends one message through each of these tunnels, so many times over.
fn send(siege: &mut Siege, tunnels: &[Tunnel], times: u64) {
    let mut out = Vec::new();
    // No two messages are the same.
    let first = siege.world.now().instant.0;
    for number in first..first + times {
        for (stream, tunnel) in (0..).zip(tunnels) {
            let (now, router) = (siege.world.now(), &mut siege.world.played[siege.peers[0]].router);
            tunnel.pack(1, Stamp { stream, number, sent_micros: 0 }, 900, router, now, &mut out);
        }
    }
    out.iter().for_each(|message| siege.send(0, message));
}

/// How many tunnel messages a peer has got, and at how many moments: what comes at one lay in one frame.
fn came(siege: &Siege, peer: usize) -> (usize, usize) {
    let received = &siege.world.played[siege.peers[peer]].received;
    let data = received.iter().filter(|(_, _, message)| message.kind == MessageType::TunnelData);
    let times: Vec<_> = data.map(|(at, ..)| at.instant).collect();
    (times.len(), times.iter().collect::<BTreeSet<_>>().len())
}

/// Frames that take 60 messages, one each two milliseconds.
fn frames(cork: Duration, busy: u16) -> usize {
    let (mut siege, tunnels) = siege(91, 2, cork);
    for _ in 0..60 {
        exert(&mut siege, busy);
        send(&mut siege, &tunnels, 1);
        siege.world.run_for(Duration::from_millis(2));
    }
    siege.world.run_for(cork + ON_THE_WAY);
    let (messages, frames) = came(&siege, 1);
    assert_eq!(messages, 60);
    frames
}

#[test]
fn messages_share_frames_where_a_shard_has_no_time_to_send_each() {
    let cork = Duration::from_millis(10);
    assert_eq!(frames(Duration::ZERO, 1000), 60);
    assert_eq!(frames(cork, 0), 60);
    assert_eq!(frames(cork, 500), 60);
    let busy = frames(cork, 1000);
    // They come in fits and starts, so not each ten milliseconds, and never more than a frame holds.
    assert!((4..=20).contains(&busy), "{busy}");
    let half = frames(cork, 750);
    assert!(busy < half && half < 60, "{half}");
}

#[test]
fn a_message_waits_for_as_long_as_it_may_and_no_longer() {
    let (mut siege, tunnels) = siege(92, 2, Duration::from_secs(1));
    for (busy, wait) in [(1000, 1000), (750, 500), (510, 20)] {
        let before = came(&siege, 1).0;
        exert(&mut siege, busy);
        send(&mut siege, &tunnels, 1);
        siege.world.run_for(Duration::from_millis(wait));
        assert_eq!(came(&siege, 1).0, before, "{busy}");
        siege.world.run_for(ON_THE_WAY);
        assert_eq!(came(&siege, 1).0, before + 1, "{busy}");
    }
}

#[test]
fn what_fills_a_frame_does_not_wait_nor_what_goes_with_something_urgent() {
    let (mut siege, tunnels) = siege(93, 2, Duration::from_secs(2));
    exert(&mut siege, 1000);
    send(&mut siege, &tunnels, 16);
    siege.world.run_for(ON_THE_WAY);
    assert_eq!(came(&siege, 1).0, 16);
    exert(&mut siege, 1000);
    send(&mut siege, &tunnels, 1);
    siege.world.run_for(ON_THE_WAY);
    assert_eq!(came(&siege, 1).0, 16);
    // The answer to a request goes to the same peer.
    let asked = siege.ask(1, (0, 1));
    siege.world.run_for(ON_THE_WAY);
    assert_eq!((siege.answered(&asked, 1), came(&siege, 1).0), (1, 17));
}

#[test]
fn what_a_peer_does_not_read_in_time_is_dropped_before_what_is_new() {
    let (mut siege, tunnels) = siege(94, 2, Duration::ZERO);
    siege.world.stalled.push(siege.peers[1]);
    let limits = siege.world.nodes[siege.node].config.limits;
    let room = u64::try_from(limits.session_queue_bytes / 1_040).unwrap();
    // The transport takes the first, up to 128 KiB and what comes in one turn.
    for _ in 0..30 {
        send(&mut siege, &tunnels, 25);
        siege.world.run_for(ON_THE_WAY);
    }
    let full = siege.drops("session_queue_full");
    assert!(full > 0);
    send(&mut siege, &tunnels, 10);
    siege.world.run_for(ON_THE_WAY);
    assert_eq!(siege.drops("session_queue_full"), full + 10);
    assert_eq!(siege.drops("session_queue_expired"), 0);
    siege.world.run_for(Duration::from_secs(10));
    send(&mut siege, &tunnels, 10);
    siege.world.run_for(Duration::from_secs(1));
    assert_eq!(siege.drops("session_queue_full"), full + 10, "what is new has room");
    let expired = siege.drops("session_queue_expired");
    assert!((room - 10..=room).contains(&expired), "{expired} of {room}");
}

#[test]
fn those_who_do_not_read_leave_room_for_others() {
    let bytes = 2_000_000;
    let (mut siege, tunnels) = siege(95, 12, Duration::ZERO);
    let mut node = siege.world.nodes[siege.node].config.as_ref().clone();
    (node.limits.queued_bytes, node.limits.session_queue_bytes) = (bytes, bytes);
    siege.world.settle(siege.node, node);
    // All but one.
    siege.world.stalled.extend(&siege.peers[2..]);
    for _ in 0..60 {
        send(&mut siege, &tunnels[1..], 10);
        siege.world.run_for(ON_THE_WAY);
    }
    assert!(siege.drops("queued_bytes_full") > 0);
    send(&mut siege, &tunnels[..1], 100);
    siege.world.run_for(Duration::from_secs(1));
    assert_eq!(came(&siege, 1).0, 100, "its neighbours had every byte");
}
