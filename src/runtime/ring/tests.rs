//! The ring alone, on socket pairs.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use super::*;
use crate::runtime::sys;

const TAG: Tag = Tag::Listener;

fn ring(buffers: u16) -> (Ring, OwnedFd) {
    let notify = sys::event_counter().unwrap();
    let size = RingSize { buffers, ..RingSize::SMALL };
    (Ring::new(size, notify.as_fd()).unwrap(), notify)
}

fn pair() -> (Socket, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Rc::new(OwnedFd::from(ours)), theirs)
}

fn next(ring: &mut Ring) -> Outcome {
    loop {
        if let Some(completion) = ring.next_completion() {
            return completion.outcome;
        }
        ring.wait().unwrap();
    }
}

#[test]
fn one_receive_goes_on_until_the_end() {
    let (mut ring, _notify) = ring(8);
    let (ours, mut theirs) = pair();
    ring.receive(TAG, ours);
    for round in 0..100u8 {
        theirs.write_all(&[round; 3]).unwrap();
        let outcome = next(&mut ring);
        assert!(
            matches!(&outcome, Outcome::Received(bytes, Onward::More) if *bytes == [round; 3]),
            "{outcome:?}"
        );
        ring.give_buffers_back();
    }
    drop(theirs);
    assert!(matches!(next(&mut ring), Outcome::ReceivedEnd));
    assert!(!ring.has_work());
}

#[test]
fn without_buffers_the_bytes_wait_in_the_socket() {
    let (mut ring, _notify) = ring(2);
    let (ours, mut theirs) = pair();
    ring.receive(TAG, ours.clone());
    for _ in 0..2 {
        theirs.write_all(b"ab").unwrap();
        assert!(matches!(next(&mut ring), Outcome::Received(..)));
    }
    theirs.write_all(b"cd").unwrap();
    assert!(matches!(next(&mut ring), Outcome::NoBuffer));
    ring.give_buffers_back();
    ring.receive(TAG, ours);
    assert!(matches!(next(&mut ring), Outcome::Received(bytes, _) if bytes == b"cd"));
}

#[test]
fn buffers_that_are_not_needed_any_more_are_kept_back() {
    let (mut ring, _notify) = ring(64);
    let first = ring.buffers();
    ring.grow_buffers();
    assert_eq!(ring.buffers(), 2 * first);
    let (ours, mut theirs) = pair();
    ring.receive(TAG, ours);
    for round in 0..1000u32 {
        theirs.write_all(&round.to_be_bytes()).unwrap();
        let outcome = next(&mut ring);
        assert!(
            matches!(&outcome, Outcome::Received(bytes, Onward::More) if *bytes == round.to_be_bytes()),
            "{outcome:?}"
        );
        ring.give_buffers_back();
    }
    assert_eq!(ring.buffers(), first);
    // It ends at what there is.
    (0..3).for_each(|_| ring.grow_buffers());
    assert_eq!(ring.buffers(), 64);
}

#[test]
fn a_single_receive_takes_no_more_than_a_buffer() {
    let (mut ring, _notify) = ring(8);
    let (ours, mut theirs) = pair();
    theirs.write_all(&vec![7; 3 * RECEIVE_MAX / 2]).unwrap();
    for expected in [RECEIVE_MAX, RECEIVE_MAX / 2] {
        ring.receive_once(TAG, ours.clone());
        let outcome = next(&mut ring);
        let Outcome::Received(bytes, Onward::Ended) = outcome else { unreachable!("{outcome:?}") };
        assert_eq!(bytes.len(), expected);
    }
}

#[test]
fn a_send_keeps_its_bytes_until_the_kernel_has_them() {
    let (mut ring, _notify) = ring(8);
    let (ours, mut theirs) = pair();
    let mut outgoing = Outgoing::default();
    let mut expected = Vec::new();
    // More chunks than one send takes, and more bytes than the socket does.
    for number in 0..200u8 {
        outgoing.push(vec![number; 10_000]);
        expected.extend([number; 10_000]);
    }
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        all
    });
    let mut sends = 0;
    while outgoing.bytes() > 0 {
        ring.send(TAG, ours.clone(), outgoing);
        let outcome = next(&mut ring);
        let Outcome::Sent(left, Ok(1..)) = outcome else { unreachable!("{outcome:?}") };
        outgoing = left;
        sends += 1;
    }
    assert!(sends > 200 / 64, "{sends}");
    drop(ours);
    assert!(reader.join().unwrap() == expected);
}

#[test]
fn a_cancelled_operation_ends_and_lets_go_of_its_socket() {
    let (mut ring, _notify) = ring(8);
    let (ours, mut theirs) = pair();
    let receiving = ring.receive(TAG, ours.clone());
    ring.submit().unwrap();
    assert_eq!(Rc::strong_count(&ours), 2);
    ring.cancel(receiving);
    let outcome = next(&mut ring);
    let Outcome::ReceiveEnded(error) = outcome else { unreachable!("{outcome:?}") };
    assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    assert_eq!(Rc::strong_count(&ours), 1);
    // Too late, and for nobody.
    ring.cancel(receiving);
    drop(ours);
    ring.submit().unwrap();
    assert!(ring.next_completion().is_none());
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_ring_that_is_dropped_ends_what_is_under_way() {
    let (mut ring, _notify) = ring(8);
    let (ours, mut theirs) = pair();
    ring.receive(TAG, ours.clone());
    let mut outgoing = Outgoing::default();
    outgoing.push(vec![1; 4 << 20]);
    ring.send(TAG, ours.clone(), outgoing);
    ring.submit().unwrap();
    let Some(Completion { outcome: Outcome::Sent(left, Ok(_)), .. }) = ring.next_completion()
    else {
        unreachable!("a first part finds room")
    };
    // This one finds none, and this one is not even begun.
    ring.send(TAG, ours.clone(), left);
    ring.submit().unwrap();
    ring.receive_once(TAG, ours.clone());
    drop(ring);
    assert_eq!(Rc::strong_count(&ours), 1, "an operation still holds the socket");
    drop(ours);
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).unwrap();
    assert!(!all.is_empty() && all.len() < 4 << 20);
}

#[test]
fn more_operations_than_the_queue_has_places_all_start() {
    let (mut ring, _notify) = ring(64);
    ring.grow_buffers();
    let pairs: Vec<_> = (0..60).map(|_| pair()).collect();
    for (ours, _) in &pairs {
        ring.receive(TAG, ours.clone());
    }
    ring.submit().unwrap();
    for (_, theirs) in &pairs {
        (&*theirs).write_all(b"x").unwrap();
    }
    // Where completions find no room, the kernel ends the operation with what it has.
    for _ in 0..60 {
        assert!(matches!(next(&mut ring), Outcome::Received(_, Onward::More | Onward::Ended)));
    }
}

#[test]
fn an_armed_ring_notifies_and_another_does_not() {
    let (mut ring, notify) = ring(8);
    let (ours, mut theirs) = pair();
    ring.receive(TAG, ours);
    ring.submit().unwrap();
    ring.disarm();
    theirs.write_all(b"a").unwrap();
    assert!(!sys::is_readable(&notify), "it is not armed");
    assert!(ring.arm().unwrap(), "what came before is there");
    assert!(matches!(next(&mut ring), Outcome::Received(..)));
    assert!(!ring.arm().unwrap());
    // Taking the byte above may have been told; only what follows counts.
    if sys::is_readable(&notify) {
        std::fs::File::from(notify.try_clone().unwrap()).read_exact(&mut [0; 8]).unwrap();
    }
    theirs.write_all(b"b").unwrap();
    assert!(sys::is_readable(&notify), "it is armed");
    assert!(ring.has_work());
}
