//! X25519 with a static secret beside x25519-dalek.

use std::hint::black_box;

use floodway::crypto::secret::X25519Secret;
use floodway::crypto::x25519::{X25519Public, diffie_hellman, public_key};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::Pair;

const SECRET: [u8; 32] = [0x42; 32];

/// An agreement, and the public key of a secret.
pub fn pairs() -> Vec<Pair> {
    let other = public_key(&X25519Secret::from_bytes([0x17; 32]));
    let secret = X25519Secret::from_bytes(SECRET);
    let agree = move || {
        let X25519Public(public) = other;
        black_box(diffie_hellman(&secret, &X25519Public(black_box(public)))).expect("not weak");
    };
    let dalek = StaticSecret::from(SECRET);
    let agree_reference = move || {
        let shared = dalek.diffie_hellman(&PublicKey::from(black_box(other.0)));
        assert!(black_box(shared).was_contributory());
    };
    let secret = X25519Secret::from_bytes(SECRET);
    let make = move || {
        black_box(public_key(black_box(&secret)));
    };
    let dalek = StaticSecret::from(SECRET);
    let make_reference = move || {
        black_box(PublicKey::from(black_box(&dalek)));
    };
    vec![
        Pair {
            name: "x25519 agreement".to_owned(),
            units: 1,
            ours: Box::new(agree),
            reference: Box::new(agree_reference),
            asked: Some(0.6),
        },
        Pair {
            name: "x25519 public key".to_owned(),
            units: 1,
            ours: Box::new(make),
            reference: Box::new(make_reference),
            asked: None,
        },
    ]
}
