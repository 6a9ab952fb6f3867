//! Handshakes that succeed, and what the bytes between may do to them.

use std::time::Duration;

use proptest::prelude::*;

use super::super::handshake::PADDING_OURS_MAX;
use super::super::{
    Direction, Event, HANDSHAKE_JITTER_MAX, HANDSHAKE_TIME_MAX, HandshakeError, initiator,
    responder,
};
use super::{Outcome, Router, now, run};
use crate::base::frame::FramePool;
use crate::base::id::MessageId;
use crate::base::rng::ShardRng;
use crate::wire::i2np::{I2npMessage, MessageType};

fn message(id: u32, length: usize) -> I2npMessage {
    I2npMessage {
        kind: MessageType::Data,
        id: MessageId(id),
        expiration: now().unix + Duration::from_secs(20),
        body: vec![0x5a; length].into(),
    }
}

#[test]
fn no_handshake_message_of_ours_is_without_padding() {
    let mut rng = ShardRng::from_seed([6; 32]);
    let (mut first, mut second): (Vec<_>, Vec<_>) = (0..4_000)
        .map(|_| {
            let alice = initiator::Choices::draw(&mut rng).padding.len();
            (alice, responder::Choices::draw(&mut rng).padding.len())
        })
        .unzip();
    for lengths in [&mut first, &mut second] {
        lengths.sort_unstable();
        lengths.dedup();
        assert_eq!(*lengths, (1..=PADDING_OURS_MAX).collect::<Vec<_>>());
    }
}

#[test]
fn both_ends_agree() {
    let (mut alice, mut bob) = (Router::new(1), Router::new(2));
    let Outcome { alice: one, bob: other, .. } = run(&mut alice, &mut bob, |_, _| {});
    let (mut one, mut other) = (one.unwrap().unwrap(), other.unwrap().unwrap());
    assert_eq!(one.peer, bob.keys.identity.hash());
    assert_eq!(other.peer, alice.keys.identity.hash());
    assert!(one.router_info.is_none());
    assert_eq!(other.router_info.as_ref().unwrap().bytes()[..], alice.info[..]);
    assert_eq!(one.session.direction(), Direction::Outbound);
    assert_eq!(other.session.direction(), Direction::Inbound);
    assert!(one.unread.is_empty() && other.unread.is_empty());
    let (mut bytes, mut events) = (Vec::new(), Vec::new());
    one.session.queue_message(&message(7, 100));
    one.session.flush(now(), &mut alice.rng, &mut bytes);
    other.session.handle_bytes(&mut bytes, now(), &mut FramePool::alone(), &mut events).unwrap();
    bytes.clear();
    other.session.queue_message(&message(8, 2000));
    other.session.flush(now(), &mut bob.rng, &mut bytes);
    one.session.handle_bytes(&mut bytes, now(), &mut FramePool::alone(), &mut events).unwrap();
    let [Event::Message(there), Event::Message(back)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((there.id, back.id), (MessageId(7), MessageId(8)));
}

#[test]
fn a_changed_byte_anywhere_ends_the_handshake() {
    let lengths = {
        let mut lengths = [0; 4];
        let (mut alice, mut bob) = (Router::new(1), Router::new(2));
        run(&mut alice, &mut bob, |number, bytes| lengths[usize::from(number)] = bytes.len());
        lengths
    };
    for number in 1..=3u8 {
        for position in 0..lengths[usize::from(number)] {
            let (mut alice, mut bob) = (Router::new(1), Router::new(2));
            let outcome = run(&mut alice, &mut bob, |n, bytes| {
                if n == number {
                    bytes[position] ^= 1 << (position % 8);
                }
            });
            assert!(!matches!(outcome.bob, Ok(Some(_))), "message {number}, byte {position}");
            match number {
                3 => assert!(outcome.bob.is_err() && outcome.last.is_none(), "byte {position}"),
                // The padding of message 2 is authenticated by message 3.
                2 if position >= 64 => assert!(outcome.bob.is_err(), "byte {position}"),
                _ => assert!(!matches!(outcome.alice, Ok(Some(_))), "{number}, byte {position}"),
            }
        }
    }
}

#[test]
fn a_truncated_message_is_waited_for_until_the_deadline() {
    let (mut alice, mut bob) = (Router::new(1), Router::new(2));
    let mut dialling = alice.dial(&bob.endpoint());
    let request = dialling.poll_transmit().unwrap();
    for length in 0..request.len() {
        let mut bob = Router::new(2);
        let mut listening = bob.listen();
        assert_eq!(bob.give(&mut listening, &request[..length]), Ok(()));
        assert!(listening.poll_transmit().is_none() && listening.poll_established().is_none());
        let earliest = now().instant + HANDSHAKE_TIME_MAX;
        let last = earliest + HANDSHAKE_JITTER_MAX;
        assert!((earliest..=last).contains(&listening.deadline()));
    }
    let mut listening = bob.listen();
    bob.give(&mut listening, &request).unwrap();
    let created = listening.poll_transmit().unwrap();
    alice.give(&mut dialling, &created[..created.len() - 1]).unwrap();
    assert!(dialling.poll_transmit().is_none() && dialling.poll_established().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_split_gives_the_same_session(
        seed: u8,
        sizes in proptest::collection::vec(1usize..200, 1..20),
    ) {
        let mut sizes = sizes.into_iter().cycle();
        let (mut alice, mut bob) = (Router::new(1), Router::new(2));
        alice.rng = crate::base::rng::ShardRng::from_seed([seed; 32]);
        let mut dialling = alice.dial(&bob.endpoint());
        let mut listening = bob.listen();
        let request = dialling.poll_transmit().unwrap();
        let mut rest = &request[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            bob.give(&mut listening, piece).unwrap();
            rest = behind;
        }
        let created = listening.poll_transmit().unwrap();
        let mut rest = &created[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            alice.give(&mut dialling, piece).unwrap();
            rest = behind;
        }
        let confirmed = dialling.poll_transmit().unwrap();
        let mut one = dialling.poll_established().unwrap();
        // The first frames go into the same write as message 3.
        let mut stream = confirmed.to_vec();
        for id in 0..3 {
            one.session.queue_message(&message(id, 300));
            one.session.flush(now(), &mut alice.rng, &mut stream);
        }
        let mut events = Vec::new();
        let mut other = None;
        while !stream.is_empty() {
            let mut piece = stream;
            stream = piece.split_off(sizes.next().unwrap().min(piece.len()));
            match &mut other {
                None => {
                    bob.give(&mut listening, &piece).unwrap();
                    other = listening.poll_established();
                    if let Some(established) = &mut other {
                        let mut unread = std::mem::take(&mut established.unread);
                        established.session.handle_bytes(&mut unread, now(), &mut FramePool::alone(), &mut events).unwrap();
                    }
                }
                Some(established) => {
                    established.session.handle_bytes(&mut piece, now(), &mut FramePool::alone(), &mut events).unwrap();
                }
            }
        }
        let ids: Vec<u32> = events
            .iter()
            .map(|event| {
                let Event::Message(message) = event else { panic!("{event:?}") };
                message.id.0
            })
            .collect();
        prop_assert_eq!(ids, [0, 1, 2]);
        prop_assert_eq!(other.unwrap().peer, alice.keys.identity.hash());
        prop_assert_eq!(bob.give(&mut listening, &[0]), Err(HandshakeError::Over));
    }

    #[test]
    fn noise_never_gets_an_answer(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        cut in 1usize..100,
    ) {
        let mut bob = Router::new(2);
        let mut listening = bob.listen();
        for piece in bytes.chunks(cut) {
            if bob.give(&mut listening, piece).is_err() {
                break;
            }
        }
        prop_assert!(listening.poll_transmit().is_none());
        prop_assert!(listening.poll_established().is_none());
    }
}
