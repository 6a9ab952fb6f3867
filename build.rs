//! Notes the date of the build, below which no right clock can be: SOURCE_DATE_EPOCH where builds are to be the same, now
//! otherwise. The note stays until that variable or this file changes; an older date is as good.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<u32>().ok());
    println!("cargo::rustc-env=FLOODWAY_BUILT={}", given.unwrap_or_else(now));
}

#[expect(clippy::disallowed_methods, reason = "a build has no other clock")]
fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(0)
}
