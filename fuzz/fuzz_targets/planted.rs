//! A bug planted on purpose, which `fuzz/run` wants found before it believes that nothing else was.
//!
//! It lies where real ones would: behind a checksum, a parser, and two conditions on what was parsed, one of them four bytes
//! wide. The seed meets neither.

use floodway::wire::delivery::{Delivery, Fragment, append_fragment, parse_tunnel_payload};

use crate::Target;
use crate::messages::tunnel_payload;

pub const TARGET: Target = Target { name: crate::PLANTED, run, seeds };

/// Short, so that the bug is found in seconds on a slow machine too.
fn seeds() -> Vec<Vec<u8>> {
    let mut space = Vec::new();
    for fragment in [
        Fragment::First { delivery: Delivery::Local, message: Some(1), data: &[1; 4] },
        Fragment::Follow { message: 1, number: 1, last: true, data: &[2; 4] },
    ] {
        append_fragment(&mut space, &fragment);
    }
    vec![space]
}

fn run(bytes: &[u8]) {
    let payload = tunnel_payload(bytes);
    let Ok(fragments) = parse_tunnel_payload(&payload) else { return };
    for fragment in fragments.flatten() {
        if let Fragment::Follow { message, number: 37, .. } = fragment {
            on_a_path_of_its_own(message);
        }
    }
}

/// Not inlined, or the compiler would join both conditions to one that shows no progress on the way to it.
#[inline(never)]
fn on_a_path_of_its_own(message: u32) {
    assert!(std::hint::black_box(message) != 0x0b57_ac1e, "the planted bug");
}
