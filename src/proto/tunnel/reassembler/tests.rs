use proptest::prelude::*;

use super::*;
use crate::base::frame::Frame;
use crate::base::id::{MessageId, RouterHash};
use crate::base::rng::ShardRng;
use crate::base::time::UnixTime;
use crate::proto::tunnel::fragmenter::Fragmenter;
use crate::wire::delivery::TunnelMessageBuilder;
use crate::wire::i2np::MessageType;

const ROUTER: Delivery = Delivery::Router(RouterHash([9; 32]));
const NOW: Instant = Instant(1_000_000);

fn message(id: u32, size: usize) -> I2npMessage {
    let body = (0..size).map(|n| u8::try_from((n * 7 + n / 256) % 256).unwrap());
    I2npMessage {
        kind: MessageType::Data,
        id: MessageId(id),
        expiration: UnixTime(5),
        body: Frame::copy_of(&body.collect::<Vec<u8>>()),
    }
}

fn payloads(delivery: Delivery, message: &I2npMessage) -> Vec<[u8; 1024]> {
    let (mut fragmenter, mut out) = (Fragmenter::new(), Vec::new());
    let mut rng = ShardRng::from_seed([message.id.0.to_be_bytes()[3]; 32]);
    fragmenter.push_message(delivery, message, &mut rng, &mut out).unwrap();
    fragmenter.flush(&mut rng, &mut out);
    out
}

fn payload_of(fragments: &[Fragment<'_>]) -> [u8; 1024] {
    let mut builder = TunnelMessageBuilder::new();
    for fragment in fragments {
        builder.push(fragment).unwrap();
    }
    builder.finish(&mut ShardRng::from_seed([1; 32]))
}

fn endpoint() -> Reassembler {
    Reassembler::new(ReassemblyLimits::default(), LocalDelivery::Refused)
}

fn give(
    reassembler: &mut Reassembler,
    payloads: impl IntoIterator<Item = [u8; 1024]>,
    now: Instant,
) -> Reassembled {
    let mut out = Reassembled::default();
    for payload in payloads {
        reassembler.handle_payload(&payload, now, &mut out);
    }
    out
}

fn first(message: u32, data: &[u8]) -> Fragment<'_> {
    Fragment::First { delivery: ROUTER, message: Some(message), data }
}

fn follow(message: u32, number: u8, last: bool, data: &[u8]) -> Fragment<'_> {
    Fragment::Follow { message, number, last, data }
}

#[test]
fn every_order_of_fragments_gives_the_message() {
    let message = message(7, 3500);
    let parts = payloads(ROUTER, &message);
    assert_eq!(parts.len(), 4);
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let mut reassembler = endpoint();
        let out = give(&mut reassembler, order.map(|n| parts[n]), NOW);
        assert_eq!(out.delivered, [Delivered { delivery: ROUTER, message: message.clone() }]);
        assert!(out.dropped.is_empty());
        assert_eq!((reassembler.held_bytes(), reassembler.held_messages()), (0, 0));
        assert_eq!(reassembler.deadline(), None);
    }
}

#[test]
fn repeated_and_overlapping_fragments_change_nothing() {
    let message = message(7, 1700);
    let parts = payloads(ROUTER, &message);
    let mut reassembler = endpoint();
    let other = payload_of(&[first(7, b"something else")]);
    let out = give(&mut reassembler, [parts[0], parts[0], other, parts[1]], NOW);
    assert_eq!(out.delivered, [Delivered { delivery: ROUTER, message }]);
    let (message, number) = (7, 0);
    let repeated = ReassemblyError::Repeated { message, number };
    assert_eq!(out.dropped, [repeated, ReassemblyError::Overlapping { message, number }]);
}

#[test]
fn the_end_of_a_message_does_not_move() {
    let mut reassembler = endpoint();
    let payload = payload_of(&[
        follow(7, 2, true, b"c"),
        follow(7, 3, false, b"d"),
        follow(7, 1, true, b"b"),
        follow(8, 5, false, b"f"),
        follow(8, 4, true, b"e"),
    ]);
    let out = give(&mut reassembler, [payload], NOW);
    let past = |message, number| ReassemblyError::PastEnd { message, number };
    assert_eq!(out.dropped, [past(7, 3), past(7, 1), past(8, 4)]);
    assert_eq!((reassembler.held_messages(), reassembler.held_bytes()), (2, 2));
}

#[test]
fn a_local_delivery_is_refused_by_an_endpoint_and_taken_by_a_creator() {
    let large = message(7, 1700);
    let parts: Vec<_> = [&message(6, 100), &large]
        .into_iter()
        .flat_map(|message| payloads(Delivery::Local, message))
        .collect();
    let mut reassembler = endpoint();
    let out = give(&mut reassembler, parts.iter().rev().copied(), NOW);
    assert_eq!(out.dropped, [ReassemblyError::LocalRefused, ReassemblyError::LocalRefused]);
    assert!(out.delivered.is_empty());
    assert_eq!(reassembler.held_messages(), 0, "its other fragments go with the first");

    let mut reassembler = Reassembler::new(ReassemblyLimits::default(), LocalDelivery::Taken);
    let out = give(&mut reassembler, parts, NOW);
    assert_eq!(out.delivered.len(), 2);
    assert_eq!(out.delivered[1], Delivered { delivery: Delivery::Local, message: large });
}

#[test]
fn what_never_completes_is_dropped_after_a_minute() {
    let mut reassembler = endpoint();
    let parts = payloads(ROUTER, &message(7, 3000));
    assert!(give(&mut reassembler, [parts[0]], NOW).dropped.is_empty());
    let age_max = Duration::from_secs(60);
    assert_eq!(reassembler.deadline(), Some(NOW + age_max));
    let mut out = Reassembled::default();
    reassembler.expire(NOW + Duration::from_secs(59), &mut out);
    assert!(out.dropped.is_empty());
    reassembler.expire(NOW + age_max, &mut out);
    assert_eq!(out.dropped, [ReassemblyError::TimedOut { message: 7, bytes: 964 }]);
    assert_eq!((reassembler.held_bytes(), reassembler.deadline()), (0, None));
}

#[test]
fn the_oldest_of_too_many_messages_gives_way() {
    let mut reassembler = endpoint();
    for message in 0..40 {
        let out = give(&mut reassembler, [payload_of(&[first(message, b"half")])], NOW);
        if message < 32 {
            assert!(out.dropped.is_empty());
        } else {
            let message = message - 32;
            assert_eq!(out.dropped, [ReassemblyError::CrowdedOut { message, bytes: 4 }]);
        }
    }
    assert_eq!((reassembler.held_messages(), reassembler.held_bytes()), (32, 128));
}

#[test]
fn bytes_are_bounded_for_a_message_and_for_a_tunnel() {
    let limits = ReassemblyLimits {
        message_bytes_max: 2000,
        tunnel_bytes_max: 3000,
        ..ReassemblyLimits::default()
    };
    let mut reassembler = Reassembler::new(limits, LocalDelivery::Refused);
    let data = [1; 900];
    let large: Vec<_> =
        (1..4).map(|number| payload_of(&[follow(1, number, false, &data)])).collect();
    let out = give(&mut reassembler, large, NOW);
    let too_large = ReassemblyError::TooLarge { message: 1, bytes: 2700, limit: 2000 };
    assert_eq!(out.dropped, [too_large]);
    assert_eq!(reassembler.held_bytes(), 0);

    let many: Vec<_> = (2..6).map(|message| payload_of(&[first(message, &data)])).collect();
    let out = give(&mut reassembler, many, NOW);
    assert_eq!(out.dropped, [ReassemblyError::CrowdedOut { message: 2, bytes: 900 }]);
    assert_eq!(reassembler.held_bytes(), 2700);
}

#[test]
fn a_bad_message_inside_does_not_stop_the_others() {
    let whole = |data| Fragment::First { delivery: ROUTER, message: None, data };
    let good = message(5, 20).encode_standard();
    let mut longer = good.clone();
    longer.append(&[0, 0]);
    let payload = payload_of(&[whole(b"no message"), whole(&longer), whole(&good)]);
    let out = give(&mut endpoint(), [payload, [0xff; 1024]], NOW);
    assert_eq!(out.delivered.len(), 1);
    assert_eq!(out.dropped.len(), 3);
    let trailing = Malformed::Trailing { left: 2 };
    assert_eq!(out.dropped[1], ReassemblyError::Malformed(trailing));
}

proptest! {
    #[test]
    fn whatever_comes_the_bounds_hold(
        fragments in proptest::collection::vec((0u32..50, 0u8..64, any::<bool>(), 0usize..900), 0..300),
    ) {
        let limits = ReassemblyLimits {
            message_bytes_max: 5_000,
            tunnel_bytes_max: 20_000,
            messages_max: 8,
            ..ReassemblyLimits::default()
        };
        let mut reassembler = Reassembler::new(limits, LocalDelivery::Refused);
        let data = [0; 900];
        for (count, (message, number, last, size)) in fragments.into_iter().enumerate() {
            let fragment = match number {
                0 => first(message, &data[..size]),
                number => follow(message, number, last, &data[..size]),
            };
            let now = NOW + Duration::from_secs(u64::try_from(count).unwrap());
            give(&mut reassembler, [payload_of(&[fragment])], now);
            prop_assert!(reassembler.held_messages() <= limits.messages_max);
            prop_assert!(reassembler.held_bytes() <= limits.tunnel_bytes_max);
            let held: usize = reassembler.partial.iter().map(|partial| partial.bytes).sum();
            prop_assert_eq!(held, reassembler.held_bytes());
        }
        reassembler.expire(NOW + Duration::from_secs(1_000), &mut Reassembled::default());
        prop_assert_eq!(reassembler.held_bytes(), 0);
    }
}
