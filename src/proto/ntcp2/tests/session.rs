//! Established sessions: what goes through, what ends them, what they hold.

use std::time::Duration;

use proptest::prelude::*;

use super::super::framing::{DataKeys, Opener, Sealer};
use super::super::{ClockSkew, Direction, Event, Session, SessionError};
use super::{at, established, now};
use crate::base::frame::FramePool;
use crate::base::id::MessageId;
use crate::base::limits::{I2NP_BODY_MAX, ROUTER_INFO_MAX};
use crate::base::rng::ShardRng;
use crate::crypto::noise::SymmetricState;
use crate::wire::i2np::{I2npMessage, MessageType};
use crate::wire::ntcp2::{
    FloodRequest, TerminationReason, append_date_time, append_i2np, append_options, append_padding,
};

fn message(id: u32, length: usize) -> I2npMessage {
    let body = vec![u8::try_from(id % 251).unwrap(); length].into();
    let expiration = now().unix + Duration::from_secs(8);
    I2npMessage { kind: MessageType::TunnelData, id: MessageId(id), expiration, body }
}

fn rng() -> ShardRng {
    ShardRng::from_seed([3; 32])
}

fn flushed(session: &mut Session) -> Vec<u8> {
    let mut bytes = Vec::new();
    session.flush(now(), &mut rng(), &mut bytes);
    bytes
}

fn received(session: &mut Session, mut bytes: Vec<u8>) -> (Vec<Event>, Result<(), SessionError>) {
    let mut events = Vec::new();
    let outcome = session.handle_bytes(&mut bytes, now(), &mut FramePool::alone(), &mut events);
    (events, outcome)
}

/// The bodies and ids of the messages among `events`, which must be nothing else.
fn messages(events: &[Event]) -> Vec<(u32, usize)> {
    let one = |event: &Event| {
        let Event::Message(message) = event else { panic!("{event:?}") };
        (message.id.0, message.body.len())
    };
    events.iter().map(one).collect()
}

/// A sealer that writes frames as it likes, and the session that receives them.
fn raw() -> (Sealer, Session) {
    let noise = SymmetricState::ntcp2();
    let keys = DataKeys::derive(&noise);
    let session = Session::new(Direction::Inbound, DataKeys::derive(&noise), now().instant);
    (Sealer::new(keys.alice_to_bob), session)
}

/// The lengths of the cleartexts of frames that a new inbound session sends.
fn frame_lengths(bytes: &mut [u8]) -> Vec<usize> {
    let mut opener = Opener::new(DataKeys::derive(&SymmetricState::ntcp2()).bob_to_alice);
    let (mut input, mut lengths) = (bytes, Vec::new());
    while let Some(frame) = opener.next_frame(&mut input).unwrap() {
        lengths.push(frame.len());
    }
    lengths
}

#[test]
fn messages_of_all_sizes_arrive_in_order() {
    let (mut alice, mut bob) = established();
    let sizes = [0, 1, 1028, 16_000, I2NP_BODY_MAX, 2, I2NP_BODY_MAX, 40];
    let mut expected = Vec::new();
    for (id, size) in (0u32..).zip(sizes) {
        alice.queue_message(&message(id, size));
        expected.push((id, size));
    }
    assert!(alice.queued_bytes() > 2 * I2NP_BODY_MAX);
    let (events, outcome) = received(&mut bob, flushed(&mut alice));
    assert_eq!((messages(&events), outcome), (expected, Ok(())));
    let Event::Message(last) = &events[4] else { panic!() };
    assert_eq!((last.kind, last.expiration.0), (MessageType::TunnelData, 1_790_000_009_000));
    assert_eq!(last.body[..], message(4, I2NP_BODY_MAX).body[..]);
    assert_eq!(alice.queued_bytes(), 0);
    assert!(flushed(&mut alice).is_empty());
}

#[test]
fn blocks_share_frames_up_to_the_target() {
    let (_, mut session) = raw();
    for id in 0..64 {
        session.queue_message(&message(id, 1028));
    }
    let queued = session.queued_bytes();
    assert_eq!(queued, 64 * (3 + 9 + 1028));
    let mut bytes = flushed(&mut session);
    let lengths = frame_lengths(&mut bytes);
    assert_eq!(lengths.len(), 5);
    assert!(lengths.iter().all(|length| length + 2 + 16 <= 16 * 1024));
    assert!(bytes.len() <= queued * 106 / 100 + 5 * 18);
}

#[test]
fn padding_is_small_and_varies() {
    let mut rng = rng();
    let mut seen = std::collections::BTreeSet::new();
    let (_, mut session) = raw();
    let mut bytes = Vec::new();
    for id in 0..200 {
        session.queue_message(&message(id, 4));
        session.flush(now(), &mut rng, &mut bytes);
    }
    for length in frame_lengths(&mut bytes) {
        assert!(length <= 16 + 256 * 6 / 100, "{length}");
        seen.insert(length);
    }
    assert!(seen.len() > 8, "{seen:?}");
}

#[test]
fn router_infos_and_times_go_through() {
    let (mut alice, mut bob) = established();
    alice.queue_router_info(&[7; ROUTER_INFO_MAX], FloodRequest::Requested);
    alice.queue_router_info(&[8; 3], FloodRequest::NotRequested);
    alice.queue_date_time(now());
    let (events, outcome) = received(&mut bob, flushed(&mut alice));
    outcome.unwrap();
    let [Event::RouterInfo { info, flood }, Event::RouterInfo { info: other, flood: no }] =
        &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((info.len(), *flood), (ROUTER_INFO_MAX, FloodRequest::Requested));
    assert_eq!((&other[..], *no), (&[8; 3][..], FloodRequest::NotRequested));

    alice.queue_date_time(at(61));
    let (events, _) = received(&mut bob, flushed(&mut alice));
    assert!(matches!(&events[..], [Event::ClockSkew(ClockSkew::Ahead(_))]), "{events:?}");
    alice.queue_date_time(at(-62));
    let (events, _) = received(&mut bob, flushed(&mut alice));
    assert!(matches!(&events[..], [Event::ClockSkew(ClockSkew::Behind(_))]), "{events:?}");
}

#[test]
fn unknown_blocks_and_oversized_router_infos_are_passed_over() {
    let (mut sealer, mut session) = raw();
    let mut bytes = Vec::new();
    sealer.seal(&mut bytes, |out| {
        out.extend([200, 0, 2, 1, 2]);
        append_options(out, &[0; 12]);
        append_date_time(out, now().unix.seconds_rounded());
        append_i2np(out, &message(1, 5));
        out.extend([2, 0x20, 0]);
        out.extend([0; 0x2000]);
        out.extend([255, 0, 0]);
        append_i2np(out, &message(2, 6));
        append_padding(out, 100);
    });
    sealer.seal(&mut bytes, |_| {});
    sealer.seal(&mut bytes, |out| append_i2np(out, &message(3, 7)));
    let (events, outcome) = received(&mut session, bytes);
    outcome.unwrap();
    assert_eq!(messages(&events), [(1, 5), (2, 6), (3, 7)]);
    assert_eq!(session.refused_blocks(), 1);
}

#[test]
fn a_termination_ends_both_directions() {
    let (mut alice, mut bob) = established();
    alice.queue_message(&message(1, 10));
    alice.queue_termination(TerminationReason::RouterShutdown);
    alice.queue_termination(TerminationReason::Banned);
    alice.queue_message(&message(2, 10));
    bob.queue_message(&message(3, 10));
    let mut stream = flushed(&mut alice);
    stream.extend([0; 100]);
    let (events, outcome) = received(&mut bob, stream);
    outcome.unwrap();
    assert!(matches!(
        &events[..],
        [Event::Message(_), Event::Terminated(TerminationReason::RouterShutdown)]
    ));
    assert!(flushed(&mut bob).is_empty());
    bob.queue_message(&message(4, 10));
    assert_eq!(bob.queued_bytes(), 0);
    assert_eq!(received(&mut bob, vec![0]).1, Err(SessionError::Over));
    assert!(flushed(&mut alice).is_empty());
}

#[test]
fn a_broken_frame_ends_the_session_and_is_told() {
    let reason_after = |bytes: Vec<u8>| {
        let (mut alice, mut bob) = established();
        bob.queue_message(&message(1, 10));
        let (events, outcome) = received(&mut bob, bytes);
        assert!(events.is_empty());
        let error = outcome.unwrap_err();
        let (events, outcome) = received(&mut alice, flushed(&mut bob));
        outcome.unwrap();
        let [Event::Terminated(reason)] = events[..] else { panic!("{events:?}") };
        assert_eq!(reason, error.reason());
        assert_eq!(received(&mut bob, vec![1, 2, 3]).1, Err(SessionError::Over));
        reason
    };
    let (mut alice, _) = established();
    alice.queue_message(&message(2, 100));
    let good = flushed(&mut alice);
    let mut changed = good.clone();
    changed[60] ^= 1;
    assert_eq!(reason_after(changed), TerminationReason::DataUnauthentic);
    let mask = u16::from_be_bytes([good[0], good[1]]) ^ u16::try_from(good.len() - 2).unwrap();
    let short = (mask ^ 15).to_be_bytes().to_vec();
    assert_eq!(reason_after(short), TerminationReason::FramingError);
}

#[test]
fn malformed_blocks_end_the_session() {
    for blocks in
        [&[3, 0, 9, 1][..], &[3, 0, 0], &[0, 0, 3, 1, 1, 1], &[254, 0, 0, 254, 0, 0], &[3]]
    {
        let (mut sealer, mut session) = raw();
        let mut bytes = Vec::new();
        sealer.seal(&mut bytes, |out| out.extend(blocks));
        let (_, outcome) = received(&mut session, bytes);
        assert!(matches!(outcome, Err(SessionError::Blocks(_))), "{blocks:?}");
        assert_eq!(frame_lengths(&mut flushed(&mut session)).len(), 1);
    }
}

#[test]
fn a_changed_byte_anywhere_gives_no_event() {
    let length = {
        let (mut alice, _) = established();
        alice.queue_message(&message(1, 40));
        flushed(&mut alice).len()
    };
    let noise = SymmetricState::ntcp2();
    for position in 0..length {
        let mut session =
            Session::new(Direction::Outbound, DataKeys::derive(&noise), now().instant);
        session.queue_message(&message(1, 40));
        let mut bytes = flushed(&mut session);
        if position >= bytes.len() {
            break;
        }
        bytes[position] ^= 1 << (position % 8);
        bytes.resize(70_000, 0);
        let mut receiver =
            Session::new(Direction::Inbound, DataKeys::derive(&noise), now().instant);
        let (events, outcome) = received(&mut receiver, bytes);
        assert!(events.is_empty() && outcome.is_err(), "byte {position}");
    }
}

#[test]
fn times_of_activity_are_kept() {
    let (mut alice, mut bob) = established();
    let start = now().instant;
    assert_eq!((bob.last_received(), alice.last_sent()), (start, start));
    alice.queue_message(&message(1, 10));
    let mut bytes = Vec::new();
    alice.flush(at(5), &mut rng(), &mut bytes);
    assert_eq!(alice.last_sent(), at(5).instant);
    let (mut events, half) = (Vec::new(), bytes.len() / 2);
    bob.handle_bytes(&mut bytes[..half], at(6), &mut FramePool::alone(), &mut events).unwrap();
    assert_eq!(bob.last_received(), start);
    bob.handle_bytes(&mut bytes[half..], at(7), &mut FramePool::alone(), &mut events).unwrap();
    assert_eq!((bob.last_received(), events.len()), (at(7).instant, 1));
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Session>() <= 256, "{}", size_of::<Session>());
    let noise = SymmetricState::ntcp2();
    let mut opener = Opener::new(DataKeys::derive(&noise).alice_to_bob);
    let mut sealer = Sealer::new(DataKeys::derive(&noise).alice_to_bob);
    let mut bytes = Vec::new();
    sealer.seal(&mut bytes, |out| append_padding(out, 60_000));
    let (first, second) = bytes.split_at_mut(50_000);
    let mut input = first;
    assert!(opener.next_frame(&mut input).unwrap().is_none());
    assert!((49_998..=65_535).contains(&opener.buffered()));
    let mut input = second;
    assert!(opener.next_frame(&mut input).unwrap().is_some());
    assert_eq!(opener.buffered(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_messages(
        sizes in proptest::collection::vec(0usize..3000, 1..40),
        pieces in proptest::collection::vec(1usize..5000, 1..20),
        flush_every in 1usize..10,
    ) {
        let noise = SymmetricState::ntcp2();
        let mut alice = Session::new(Direction::Outbound, DataKeys::derive(&noise), now().instant);
        let mut bob = Session::new(Direction::Inbound, DataKeys::derive(&noise), now().instant);
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        let mut rng = rng();
        for (id, size) in (0u32..).zip(&sizes) {
            alice.queue_message(&message(id, *size));
            expected.push((id, *size));
            if expected.len() % flush_every == 0 {
                alice.flush(now(), &mut rng, &mut stream);
            }
        }
        alice.flush(now(), &mut rng, &mut stream);
        let mut events = Vec::new();
        let mut pieces = pieces.into_iter().cycle();
        let mut rest = &mut stream[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at_mut(pieces.next().unwrap().min(rest.len()));
            bob.handle_bytes(piece, now(), &mut FramePool::alone(), &mut events).unwrap();
            rest = behind;
        }
        prop_assert_eq!(messages(&events), expected);
    }

    #[test]
    fn any_blocks_give_events_or_an_error(
        blocks in proptest::collection::vec(0u8..6, 0..200),
    ) {
        let (mut sealer, mut session) = raw();
        let mut bytes = Vec::new();
        sealer.seal(&mut bytes, |out| out.extend(&blocks));
        let (events, _) = received(&mut session, bytes);
        prop_assert!(events.len() <= blocks.len());
    }
}
