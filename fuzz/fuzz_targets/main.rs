//! All fuzz targets in one program: `FUZZ_TARGET` names the one that runs. One program, since with one for each target
//! most of the build would be linking.
//!
//! Besides libFuzzer's own options, by environment: `FUZZ_TARGET=list` prints the names; `FUZZ_SEEDS=DIR` writes the seeds
//! of the target there; `FUZZ_TARGET=coverage FUZZ_COVERAGE=DIR` runs the inputs in `DIR/TARGET` of every target once and
//! prints what they reach of each source file.

#![no_main]

mod coverage;
mod files;
mod machines;
mod messages;
mod planted;
mod records;
mod samples;
mod shard;

// The readers of whole files stand on an upper floor, but decide like the lower ones: they are compiled here as they are.
#[path = "../../src/app/identity/layouts.rs"]
#[expect(dead_code, reason = "the fuzz targets read and do not write")]
mod layouts;
#[path = "../../src/app/reseed/seeds.rs"]
#[expect(dead_code, reason = "the fuzz targets read single sources")]
mod seeds;
#[path = "../../src/app/reseed"]
mod reseed {
    pub use crate::seeds::{FILE_MAX, FILES_MAX, Refusal, Seeds, is_seed};
    pub mod archive;
}
// What they know by `crate::`.
pub(crate) use floodway::{base, crypto, proto, wire};

use std::env;
use std::path::Path;
use std::process::exit;
use std::sync::OnceLock;

/// Something to be tried with any bytes.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Valid inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// The target that is there to be found: see `planted.rs`.
const PLANTED: &str = "planted";

static CHOSEN: OnceLock<Target> = OnceLock::new();

fn targets() -> Vec<Target> {
    [records::TARGETS, messages::TARGETS, machines::TARGETS, files::TARGETS, shard::TARGETS]
        .concat()
}

fn choose() {
    let wanted = env::var("FUZZ_TARGET").unwrap_or_default();
    if wanted == "list" {
        targets().iter().for_each(|target| println!("{}", target.name));
        exit(0);
    }
    if let Ok(folder) = env::var("FUZZ_COVERAGE") {
        coverage::report(&targets(), Path::new(&folder));
        exit(0);
    }
    let mut known = targets();
    known.push(planted::TARGET);
    let Some(target) = known.into_iter().find(|target| target.name == wanted) else {
        eprintln!("FUZZ_TARGET={wanted} is no target; FUZZ_TARGET=list names them");
        exit(2);
    };
    if let Ok(folder) = env::var("FUZZ_SEEDS") {
        write_seeds(&target, Path::new(&folder));
        exit(0);
    }
    if CHOSEN.set(target).is_err() {
        eprintln!("libFuzzer has begun twice");
        exit(2);
    }
}

fn write_seeds(target: &Target, folder: &Path) {
    std::fs::create_dir_all(folder).expect("the folder of seeds can be made");
    for (number, seed) in (target.seeds)().iter().enumerate() {
        let file = folder.join(format!("seed-{number:02}"));
        std::fs::write(file, seed).expect("a seed can be written");
    }
}

libfuzzer_sys::fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        (target.run)(data);
    }
});
