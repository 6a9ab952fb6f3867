//! Parsing and verifying a RouterInfo beside the check of its signature alone.

use std::hint::black_box;

use floodway::crypto::signature::{Verdict, verify};
use floodway::wire::router_info::RouterInfo;

use crate::Pair;

const SAMPLES: [(&str, &[u8]); 2] = [
    ("i2pd", include_bytes!("../../tests/vectors/router_info_i2pd_2.59.0.dat")),
    ("java", include_bytes!("../../tests/vectors/router_info_java_2.7.0.dat")),
];

/// Router infos of two other routers.
pub fn pairs() -> Vec<Pair> {
    SAMPLES.into_iter().map(|(name, bytes)| pair(name, bytes)).collect()
}

fn pair(name: &str, bytes: &'static [u8]) -> Pair {
    let ours = move || {
        let parsed = RouterInfo::parse(black_box(bytes)).expect("a router info");
        black_box(parsed.verify().expect("a valid signature"));
    };
    let parsed = RouterInfo::parse(bytes).expect("a router info");
    let reference = move || assert_eq!(verify(black_box(&parsed.check())), Verdict::Valid);
    Pair {
        name: format!("router info of {name}, parse and verify"),
        units: 1,
        ours: Box::new(ours),
        reference: Box::new(reference),
        asked: Some(1.1),
    }
}
