//! Handshakes that must fail, each with its verdict.

use super::super::{
    ConfirmedError, CreatedError, DialError, Event, Handshake, HandshakeError, Local, OnFailure,
    RequestError,
};
use super::{Draft, NETWORK, Outcome, Router, at, now, run};
use crate::base::frame::FramePool;
use crate::base::limits::ROUTER_INFO_MAX;
use crate::base::rng::ShardRng;
use crate::crypto::aes::cbc_encrypt;
use crate::crypto::secret::X25519Secret;
use crate::crypto::x25519::X25519Public;
use crate::wire::ntcp2::TerminationReason;

fn verdict(error: HandshakeError) -> OnFailure {
    error.verdict(&mut ShardRng::from_seed([0; 32]))
}

/// The u coordinates of low order, by their canonical encodings.
fn low_order_points() -> Vec<[u8; 32]> {
    let small = |byte| {
        let mut point = [0; 32];
        point[0] = byte;
        point
    };
    let large = |byte| {
        let mut point = [0xff; 32];
        point[0] = byte;
        point[31] = 0x7f;
        point
    };
    let eight = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ];
    let mut points = vec![small(0), small(1), large(0xec), large(0xed), large(0xee)];
    points.extend(eight.map(crate::crypto::testing::unhex_array));
    points
}

/// A refusal of message 1: silence, then a reset after some more bytes.
fn assert_silent(outcome: &Outcome, expected: RequestError) {
    let Err(error) = outcome.bob else { panic!("Bob accepts") };
    assert_eq!(error, HandshakeError::Request(expected));
    let OnFailure::ReadOn { bytes: 0..=287, wait } = verdict(error) else {
        panic!("{error} gets an answer");
    };
    assert!(wait < std::time::Duration::from_secs(1));
    assert!(matches!(outcome.alice, Ok(None)), "Bob has answered");
    assert!(outcome.last.is_none());
}

#[test]
fn a_foreign_network_gets_no_answer() {
    let (mut alice, mut bob) = (Router::new(1), Router::new(2));
    alice.network = 2;
    let outcome = run(&mut alice, &mut bob, |_, _| {});
    assert_silent(&outcome, RequestError::Network { found: 2, expected: NETWORK });
    alice.network = 0;
    let outcome = run(&mut alice, &mut bob, |_, _| {});
    assert!(matches!(outcome.bob, Ok(Some(_))));
}

#[test]
fn a_wrong_key_iv_or_hash_gets_no_answer() {
    for change in 0..3 {
        let (mut alice, mut bob) = (Router::new(1), Router::new(2));
        let mut remote = bob.endpoint();
        match change {
            0 => remote.static_key = alice.keys.ntcp2.static_public,
            1 => remote.iv[0] ^= 1,
            _ => remote.router = alice.keys.identity.hash(),
        }
        let request = alice.dial(&remote).poll_transmit().unwrap();
        let mut listening = bob.listen();
        let error = bob.give(&mut listening, &request).unwrap_err();
        assert!(matches!(verdict(error), OnFailure::ReadOn { .. }), "{error}");
        assert!(listening.poll_transmit().is_none());
        assert_eq!(bob.give(&mut listening, &request), Err(HandshakeError::Over));
    }
}

#[test]
fn a_replayed_request_gets_no_answer() {
    let (mut alice, mut bob) = (Router::new(1), Router::new(2));
    let request = alice.dial(&bob.endpoint()).poll_transmit().unwrap();
    let mut first = bob.listen();
    bob.give(&mut first, &request).unwrap();
    assert!(first.poll_transmit().is_some());
    for seconds in [0, 30, 59] {
        bob.clock = at(seconds);
        let mut second = bob.listen();
        let error = bob.give(&mut second, &request[..64]).unwrap_err();
        assert_eq!(error, HandshakeError::Request(RequestError::Replayed));
        assert!(matches!(verdict(error), OnFailure::ReadOn { .. }));
        assert!(second.poll_transmit().is_none());
    }
}

#[test]
fn weak_and_reserved_ephemeral_keys_are_refused() {
    for point in low_order_points() {
        for top_bit in [0, 0x80] {
            let (mut alice, mut bob) = (Router::new(1), Router::new(2));
            let mut key = point;
            key[31] |= top_bit;
            let Router { keys, .. } = Router::new(2);
            let outcome = run(&mut alice, &mut bob, |_, bytes| {
                let mut hidden = key;
                cbc_encrypt(&keys.ntcp2.router.0, keys.ntcp2.iv, &mut hidden);
                bytes[..32].copy_from_slice(&hidden);
            });
            let is_invalid = point == [0; 32] || top_bit != 0;
            let error = if is_invalid { RequestError::InvalidKey } else { RequestError::WeakKey };
            assert_silent(&outcome, error);

            let mut iv = [0; 16];
            let outcome = run(&mut alice, &mut bob, |number, bytes| match number {
                1 => iv.copy_from_slice(&bytes[16..32]),
                _ => {
                    let mut hidden = key;
                    cbc_encrypt(&keys.ntcp2.router.0, iv, &mut hidden);
                    bytes[..32].copy_from_slice(&hidden);
                }
            });
            let error = if is_invalid { CreatedError::InvalidKey } else { CreatedError::WeakKey };
            let found = outcome.alice.err();
            assert_eq!(found, Some(HandshakeError::Created(error)));
            assert_eq!(found.map(verdict), Some(OnFailure::Close));
        }
    }
}

#[test]
fn weak_static_keys_are_refused() {
    for point in low_order_points() {
        let (mut alice, mut bob) = (Router::new(1), Router::new(2));
        let mut remote = bob.endpoint();
        remote.static_key = X25519Public(point);
        let Router { keys, info, rng, .. } = &mut alice;
        let local = Local { keys: &keys.ntcp2, network: NETWORK, router_info: info };
        let error = Handshake::initiate(&local, &remote, now(), rng).err();
        assert_eq!(error, Some(HandshakeError::Dial(DialError::WeakStaticKey)));

        alice.keys.ntcp2.static_public = X25519Public(point);
        let outcome = run(&mut alice, &mut bob, |_, _| {});
        let error = outcome.bob.err();
        assert_eq!(error, Some(HandshakeError::Confirmed(ConfirmedError::WeakKey)));
        assert_eq!(error.map(verdict), Some(OnFailure::Close));
        assert!(outcome.last.is_none());
    }
}

#[test]
fn clocks_may_differ_by_a_minute() {
    for (seconds, fails) in [(58, false), (-58, false), (62, true), (-62, true)] {
        let (mut alice, mut bob) = (Router::new(1), Router::new(2));
        bob.clock = at(seconds);
        let outcome = run(&mut alice, &mut bob, |_, _| {});
        if !fails {
            assert!(matches!(outcome.bob, Ok(Some(_))), "{seconds} s");
            continue;
        }
        // Bob tells Alice the time, and both close.
        let Err(error) = outcome.bob else { panic!("{seconds} s") };
        assert!(matches!(error, HandshakeError::Request(RequestError::ClockSkew(_))));
        assert_eq!(verdict(error), OnFailure::SendThenClose);
        let Err(error) = outcome.alice else { panic!("{seconds} s") };
        let HandshakeError::Created(CreatedError::ClockSkew(skew)) = error else {
            panic!("{error}");
        };
        assert!((61..=63).contains(&skew.distance().as_secs()), "{skew:?}");
        assert_eq!(verdict(error), OnFailure::Close);
    }
}

#[test]
fn bytes_out_of_turn_are_refused() {
    let (mut alice, mut bob) = (Router::new(1), Router::new(2));
    let outcome = run(&mut alice, &mut bob, |_, bytes| bytes.extend([1, 2, 3]));
    assert_silent(&outcome, RequestError::ExtraBytes { count: 3 });
    let outcome = run(&mut alice, &mut bob, |number, bytes| {
        if number == 2 {
            bytes.push(0);
        }
    });
    let expected = HandshakeError::Created(CreatedError::ExtraBytes { count: 1 });
    assert_eq!(outcome.alice.err(), Some(expected));
}

#[test]
fn a_router_info_of_ours_that_is_too_long_is_not_sent() {
    let mut alice = Router::new(1);
    alice.info = vec![0; ROUTER_INFO_MAX + 1];
    let remote = Router::new(2).endpoint();
    let local = Local { keys: &alice.keys.ntcp2, network: NETWORK, router_info: &alice.info };
    let error = Handshake::initiate(&local, &remote, now(), &mut alice.rng).err();
    let found = ROUTER_INFO_MAX + 1;
    assert_eq!(error, Some(HandshakeError::Dial(DialError::RouterInfoSize { found })));
}

/// Lets Alice send `info` in message 3; Bob must refuse, and tell her why.
fn assert_told(info: Vec<u8>, expected: TerminationReason, is_it: impl Fn(ConfirmedError) -> bool) {
    let (mut alice, mut bob) = (Router::new(1), Router::new(2));
    alice.info = info;
    let outcome = run(&mut alice, &mut bob, |_, _| {});
    let Err(error) = outcome.bob else { panic!("Bob accepts") };
    let HandshakeError::Confirmed(confirmed) = error else { panic!("{error}") };
    assert!(is_it(confirmed), "{confirmed}");
    assert_eq!(verdict(error), OnFailure::SendThenClose);
    let mut session = outcome.alice.unwrap().unwrap().session;
    let (mut bytes, mut events) = (outcome.last.unwrap().to_vec(), Vec::new());
    session.handle_bytes(&mut bytes, now(), &mut FramePool::alone(), &mut events).unwrap();
    assert!(matches!(&events[..], [Event::Terminated(reason)] if *reason == expected));
}

#[test]
fn a_router_info_that_does_not_fit_is_refused_with_a_reason() {
    use TerminationReason as Reason;
    let Router { keys, info, .. } = Router::new(1);
    let draft = |draft: Draft| draft.sign(&keys).bytes().to_vec();

    let old = draft(Draft { published: at(-91 * 60).unix, ..Draft::default() });
    assert_told(old, Reason::Message3Error, |e| matches!(e, ConfirmedError::Stale { .. }));
    let ahead = draft(Draft { published: at(121).unix, ..Draft::default() });
    assert_told(ahead, Reason::Message3Error, |e| matches!(e, ConfirmedError::Future { .. }));
    for network in ["2", "256", ""] {
        let foreign = draft(Draft { network, ..Draft::default() });
        assert_told(foreign, Reason::Message3Error, |e| {
            matches!(e, ConfirmedError::Network { expected: NETWORK, .. })
        });
    }
    let static_key = Some(X25519Secret::from_bytes([9; 32]));
    let other_key = draft(Draft { static_key, ..Draft::default() });
    assert_told(other_key, Reason::StaticKeyMismatch, |e| e == ConfirmedError::StaticKey);
    let mut forged = info.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_told(forged, Reason::RouterInfoSignature, |e| e == ConfirmedError::Signature);
    let mut longer = info.clone();
    longer.push(0);
    let is_malformed = |e| matches!(e, ConfirmedError::RouterInfo(_));
    assert_told(longer, Reason::Message3Error, is_malformed);
    assert_told(info[..info.len() - 1].to_vec(), Reason::Message3Error, is_malformed);
    assert_told(Vec::new(), Reason::Message3Error, is_malformed);
    assert_told(Router::new(2).info, Reason::Message3Error, |e| e == ConfirmedError::OwnIdentity);
    assert_told(Router::new(3).info, Reason::StaticKeyMismatch, |e| e == ConfirmedError::StaticKey);

    let (mut alice, mut bob) = (Router::new(1), Router::new(2));
    alice.info = draft(Draft { published: at(-89 * 60).unix, ..Draft::default() });
    assert!(matches!(run(&mut alice, &mut bob, |_, _| {}).bob, Ok(Some(_))));
}
