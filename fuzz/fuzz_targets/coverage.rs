//! What the inputs of a target reach: counters of the compiler's instrumentation, summed by source file.
//!
//! The instrumentation keeps a byte for each edge of the program and a table of the addresses behind them. libFuzzer reads
//! both; here they are read after each input of a folder, and the addresses are traced back to source files.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::slice;

use crate::Target;

// Bounds of the sections that the instrumentation fills; the linker makes these names.
unsafe extern "C" {
    #[link_name = "__start___sancov_cntrs"]
    static mut COUNTERS_START: u8;
    #[link_name = "__stop___sancov_cntrs"]
    static mut COUNTERS_STOP: u8;
    #[link_name = "__start___sancov_pcs"]
    static PLACES_START: [usize; 2];
    #[link_name = "__stop___sancov_pcs"]
    static PLACES_STOP: [usize; 2];
}

/// Runs every file of `folder/TARGET` through each target and prints what all of them together reach, a line for each
/// source file.
pub fn report(targets: &[Target], folder: &Path) {
    let places = section(&raw const PLACES_START, &raw const PLACES_STOP);
    // SAFETY: the linker gives the bounds of the section, which is constant: an address and its flags for every edge.
    let places = unsafe { slice::from_raw_parts(places.0, places.1) };
    let mut reached = vec![false; places.len()];
    for target in targets {
        add_reached(target, &folder.join(target.name), &mut reached);
    }
    let mut files: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for (file, seen) in files_of(places).into_iter().zip(reached) {
        let Some(file) = file else { continue };
        let [hit, all] = files.entry(file).or_default();
        *hit += usize::from(seen);
        *all += 1;
    }
    for (file, [hit, all]) in files {
        println!("{file:<44} {hit:>5} of {all:>5}  {:>3} %", hit * 100 / all);
    }
}

/// Notes which edges the inputs in `folder` reach.
fn add_reached(target: &Target, folder: &Path, reached: &mut [bool]) {
    let start = &raw mut COUNTERS_START;
    let edges = reached.len();
    assert_eq!(section(start, &raw mut COUNTERS_STOP).1, edges, "each edge has a counter");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(input) = fs::read(entry.path()) else { continue };
        // SAFETY: the linker gives the bounds of the section, a writable byte for every edge; nothing counts now.
        unsafe { start.write_bytes(0, edges) };
        (target.run)(&input);
        // SAFETY: as above; the view ends before the next input runs.
        let counts = unsafe { slice::from_raw_parts(start, edges) };
        reached.iter_mut().zip(counts).for_each(|(seen, count)| *seen |= *count != 0);
    }
}

fn files_of(places: &[[usize; 2]]) -> Vec<Option<String>> {
    let mut known: HashMap<usize, Option<String>> = HashMap::new();
    let mut file = |address| known.entry(address).or_insert_with(|| source_of(address)).clone();
    places.iter().map(|[address, _]| file(*address)).collect()
}

fn section<T>(start: *const T, stop: *const T) -> (*const T, usize) {
    (start, (stop as usize - start as usize) / size_of::<T>())
}

/// The file below `src` that the code at this address was written in, seen through whatever was inlined into it.
fn source_of(address: usize) -> Option<String> {
    let mut found = None;
    backtrace::resolve(address as *mut _, |symbol| {
        let path = symbol.filename().map(|path| path.to_string_lossy().into_owned());
        let below = path.as_deref().and_then(|path| path.rsplit_once("/src/"));
        if let Some((before, file)) = below
            && found.is_none()
            && !before.contains("/.cargo/")
            && !before.contains("/rustc/")
            && !before.contains("/rustlib/")
            && !before.contains("/deps/")
        {
            found = Some(file.to_owned());
        }
    });
    found
}
