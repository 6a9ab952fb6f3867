//! The house rules that a compiler does not check: who may use whom, how long a file and a function may
//! grow, and which words have no place in code that only decides.
//!
//! Sources are read as text with comments and literals blanked out, which is enough for these rules and
//! needs no parser.

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use source::{Source, item_end};

/// Lines a file should stay under, and lines past which the build fails.
const FILE_LINES: (usize, usize) = (600, 650);
/// The same for a function.
const FUNCTION_LINES: (usize, usize) = (70, 90);

/// The floors from the ground up: a module uses those before it in this list.
const FLOORS: [&str; 8] = ["base", "crypto", "wire", "proto", "actor", "shard", "runtime", "app"];
/// The floors that only decide: no waiting, no threads, no clock, no input or output.
const DECIDING: [&str; 6] = ["base", "crypto", "wire", "proto", "actor", "shard"];
/// Rooms of `proto` that all others there may use.
const PROTO_SHARED: [&str; 2] = ["peer", "local"];

/// What must not be written on the deciding floors, and what to do instead.
const FORBIDDEN: [(&str, &str); 37] = [
    ("async", "decide synchronously; only `runtime` waits"),
    (".await", "decide synchronously; only `runtime` waits"),
    ("std::thread", "only `runtime` starts threads"),
    ("thread::spawn", "only `runtime` starts threads"),
    ("thread::sleep", "decide synchronously; only `runtime` waits"),
    ("thread_local!", "state belongs to the shard that owns it"),
    ("static mut", "state belongs to the shard that owns it"),
    ("OnceLock", "state belongs to the shard that owns it"),
    ("OnceCell", "state belongs to the shard that owns it"),
    ("LazyLock", "state belongs to the shard that owns it"),
    ("lazy_static", "state belongs to the shard that owns it"),
    ("Mutex", "state belongs to the shard that owns it"),
    ("RwLock", "state belongs to the shard that owns it"),
    ("Condvar", "decide synchronously; only `runtime` waits"),
    ("std::sync::atomic", "state belongs to the shard that owns it"),
    ("mpsc", "shards are joined by `runtime`"),
    ("crossbeam_channel", "shards are joined by `runtime`"),
    ("rtrb", "shards are joined by `runtime`"),
    ("Instant::now", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("OsRng", "randomness is an argument"),
    ("getrandom", "randomness is an argument"),
    ("thread_rng", "randomness is an argument"),
    ("RandomState", "randomness is an argument"),
    ("std::net::TcpStream", "only `runtime` opens sockets"),
    ("std::net::TcpListener", "only `runtime` opens sockets"),
    ("std::net::UdpSocket", "only `runtime` opens sockets"),
    ("std::fs", "only `runtime` and `app` touch files"),
    ("std::env", "only `app` knows of arguments and environment"),
    ("std::process", "only `app` ends or starts processes"),
    ("libc", "only `runtime` calls the system"),
    ("print!", "say it with an event or a counter"),
    ("println!", "say it with an event or a counter"),
    ("eprintln!", "say it with an event or a counter"),
    ("glommio", "only `runtime` knows the executor"),
    ("tokio", "only `runtime` and `app` know the control thread"),
    ("tracing", "say it with an event or a counter; `runtime` and `app` log"),
];

/// The paths that follow `start` (such as `crate::`), one level deep, with groups taken apart.
fn paths_after(source: &Source, start: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in source.code.iter().enumerate() {
        for (column, _) in line.match_indices(start) {
            let before = line[..column].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let rest = std::iter::once(&line[column + start.len()..])
                .chain(source.code.iter().skip(index + 1).map(String::as_str));
            let rest: Vec<&str> = rest.take(60).collect();
            found.extend(first_names(&rest.join("\n")).into_iter().map(|n| (index + 1, n)));
        }
    }
    found
}

/// The first names of a path or of a `{…}` group of paths.
fn first_names(rest: &str) -> Vec<String> {
    let word = |s: &str| -> String {
        s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut depth, mut names, mut begin) = (0_usize, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(word(&group[begin..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(word(&group[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|n| !n.is_empty());
    names
}

fn floor_problems(source: &Source) -> Vec<String> {
    let Some(own) = source.floor().and_then(|f| FLOORS.iter().position(|x| *x == f)) else {
        return Vec::new();
    };
    let uses = paths_after(source, "crate::");
    let above = uses.into_iter().filter(|(_, name)| {
        FLOORS.iter().position(|floor| floor == name).is_some_and(|floor| floor > own)
    });
    above
        .map(|(line, name)| {
            format!(
                "{}:{line}: `{}` uses `{name}`, which stands above it",
                source.path, FLOORS[own]
            )
        })
        .collect()
}

/// Rooms of `proto` that know another room; `rooms` are the names of all of them.
fn proto_problems(source: &Source, rooms: &[String]) -> Vec<String> {
    let Some((own, depth)) = source.proto_room() else { return Vec::new() };
    if PROTO_SHARED.contains(&own) {
        return Vec::new();
    }
    let mut uses = paths_after(source, "crate::proto::");
    uses.extend(paths_after(source, &"super::".repeat(depth)));
    uses.retain(|(_, name)| {
        name != own && !PROTO_SHARED.contains(&name.as_str()) && rooms.contains(name)
    });
    uses.into_iter()
        .map(|(line, name)| {
            format!(
                "{}:{line}: `proto::{own}` knows `proto::{name}`; an actor joins them",
                source.path
            )
        })
        .collect()
}

fn word_problems(source: &Source) -> Vec<String> {
    if !source.floor().is_some_and(|floor| DECIDING.contains(&floor)) {
        return Vec::new();
    }
    let may_be_unsafe =
        source.path == "src/base/frame.rs" || source.path.starts_with("src/crypto/");
    let mut problems = Vec::new();
    for (number, line) in source.lines_outside_tests() {
        for (word, instead) in FORBIDDEN {
            if has_word(line, word) {
                problems.push(format!("{}:{number}: `{word}`: {instead}", source.path));
            }
        }
        if has_word(line, "unsafe") && !may_be_unsafe {
            problems.push(format!("{}:{number}: `unsafe` outside the kernels", source.path));
        }
    }
    problems
}

/// Hash maps that may be gone through after all: file, name, and why their order tells nobody anything.
const ORDER_FREE: [(&str, &str, &str); 2] = [
    ("src/actor/session_table.rs", "dialling", "at most one entry is looked for"),
    ("src/actor/transit.rs", "tunnels", "they are counted"),
];

/// Hash maps and sets that are gone through: their order differs from run to run, and could reach the wire.
fn order_problems(source: &Source) -> Vec<String> {
    if !source.floor().is_some_and(|floor| DECIDING.contains(&floor)) {
        return Vec::new();
    }
    let mut maps = BTreeSet::new();
    for (_, line) in source.lines_outside_tests() {
        for declared in [": HashMap<", ": HashSet<", " = HashMap::", " = HashSet::"] {
            let before = line.split_once(declared).map(|(before, _)| before);
            let word = |s: &str| {
                s.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned)
            };
            maps.extend(before.and_then(word).filter(|name| !name.is_empty()));
        }
    }
    let mut problems = Vec::new();
    for (number, line) in source.lines_outside_tests() {
        for map in &maps {
            if ORDER_FREE.iter().any(|(path, name, _)| *path == source.path && name == map) {
                continue;
            }
            let calls = [
                "iter()",
                "iter_mut()",
                "keys()",
                "values()",
                "values_mut()",
                "drain()",
                "into_iter()",
                "into_values()",
            ];
            let gone_through = calls.iter().any(|call| has_word(line, &format!("{map}.{call}")))
                || ["in &", "in &mut ", "in &self.", "in &mut self."]
                    .iter()
                    .any(|form| line.contains(&format!("{form}{map} {{")));
            if gone_through {
                problems.push(format!(
                    "{}:{number}: `{map}` is a hash map: what is gone through is a `BTreeMap`",
                    source.path
                ));
            }
        }
    }
    problems
}

/// Whether `word` stands in `line` and is not part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part_of_name);
        let after = line[at + word.len()..].chars().next().is_some_and(part_of_name);
        let joined = word.chars().next().is_some_and(part_of_name);
        !(after || before && joined)
    })
}

fn unwrap_problems(source: &Source) -> Vec<String> {
    if !(source.path.starts_with("src/") || source.path.starts_with("loadtest/src/")) {
        return Vec::new();
    }
    let lines = source.lines_outside_tests().filter(|(_, line)| line.contains(".unwrap()"));
    lines
        .map(|(number, _)| format!("{}:{number}: `.unwrap()` outside tests", source.path))
        .collect()
}

/// Functions with their first line and their length in lines, found by their braces.
fn functions(source: &Source) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    for (index, line) in source.code.iter().enumerate() {
        let Some(at) = line.find("fn ").filter(|_| has_word(line, "fn")) else { continue };
        let name: String =
            line[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !name.is_empty() {
            found.push((index + 1, item_end(&source.code, index) + 1 - index, name));
        }
    }
    found
}

fn length_problems(
    source: &Source,
    limits: (usize, usize),
    function: (usize, usize),
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut judge = |length: usize, (wish, limit): (usize, usize), what: String| {
        if length > limit {
            problems.push(format!("{what} has {length} lines; {wish} are enough"));
        } else if length > wish {
            println!("note: {what} has {length} lines, {wish} are enough");
        }
    };
    judge(source.code.len(), limits, source.path.clone());
    for (line, length, name) in functions(source) {
        judge(length, function, format!("{}:{line}: `{name}`", source.path));
    }
    problems
}

/// The tree that is checked.
fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` that end in `.extension`, by their path from the top of the tree, sorted.
fn files(top: &Path, folder: &str, extension: &str) -> Vec<String> {
    let (mut folders, mut found) = (vec![top.join(folder)], Vec::new());
    while let Some(here) = folders.pop() {
        let Ok(entries) = fs::read_dir(&here) else { continue };
        for path in entries.map(|entry| entry.expect("a readable folder").path()) {
            let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    let from_top = |path: PathBuf| -> String {
        path.strip_prefix(top).expect("found below the top").to_string_lossy().into_owned()
    };
    let mut found: Vec<String> = found.into_iter().map(from_top).collect();
    found.sort();
    found
}

fn sources(top: &Path) -> Vec<Source> {
    let folders =
        ["src", "loadtest/src", "loadtest/tests", "benches", "tests", "fuzz/fuzz_targets"];
    let paths = folders.iter().flat_map(|folder| files(top, folder, "rs"));
    let read = |path: String| {
        let text = fs::read_to_string(top.join(&path));
        Source::new(&path, &text.expect("a source is readable text"))
    };
    let found: Vec<Source> = paths.map(read).collect();
    assert!(found.len() > 10, "the sources were not found");
    found
}

fn none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn all_floor_problems(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(floor_problems).collect()
}

fn all_proto_problems(sources: &[Source]) -> Vec<String> {
    let rooms = sources.iter().filter_map(|s| s.proto_room().map(|(room, _)| room.to_owned()));
    let rooms: Vec<String> = rooms.collect::<BTreeSet<_>>().into_iter().collect();
    sources.iter().flat_map(|s| proto_problems(s, &rooms)).collect()
}

fn all_word_problems(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(|s| [word_problems(s), order_problems(s)].concat()).collect()
}

fn all_unwrap_problems(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(unwrap_problems).collect()
}

fn all_length_problems(top: &Path, sources: &[Source]) -> Vec<String> {
    let long = |s: &Source| length_problems(s, FILE_LINES, FUNCTION_LINES);
    let mut problems: Vec<String> = sources.iter().flat_map(long).collect();
    for path in files(top, "tests", "py").into_iter().chain(files(top, "deploy", "py")) {
        let text = fs::read_to_string(top.join(&path));
        let count = text.expect("a script is readable text").lines().count();
        if count > FILE_LINES.1 {
            problems.push(format!("{path} has {count} lines; {} are enough", FILE_LINES.0));
        }
    }
    problems
}

fn folder_problems(top: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for path in files(top, "src", "rs").iter().chain(&files(top, "loadtest/src", "rs")) {
        if path.ends_with("/mod.rs") {
            problems.push(format!("{path}: the parent of a folder is the file beside it"));
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_top = folder.ends_with("src") || folder.ends_with("src/bin");
        if !is_top && !top.join(format!("{folder}.rs")).is_file() {
            problems.push(format!("{path}: no {folder}.rs beside its folder"));
        }
    }
    problems
}

/// Libraries of the router that the fuzz targets do not build, since only the two upper floors use them.
const NOT_FUZZED: [&str; 30] = [
    "anyhow",
    "axum",
    "clap",
    "clap_complete",
    "clap_mangen",
    "crossbeam-channel",
    "futures-lite",
    "glommio",
    "hdrhistogram",
    "hyper",
    "hyper-util",
    "io-uring",
    "libc",
    "rcgen",
    "redb",
    "rtrb",
    "rustls",
    "serde",
    "serde_json",
    "socket2",
    "tokio",
    "toml",
    "tracing",
    "tracing-subscriber",
    "ureq",
    "x509-cert",
    // The accelerated implementations: the fuzz targets run the portable ones, which are the oracle.
    "aws-lc-rs",
    "aws-lc-sys",
    "floodway",
    "loadtest",
];

/// The lines of a manifest's `[dependencies]`, by the name that each begins with.
fn dependencies(manifest: &str) -> Vec<(&str, &str)> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or("");
    let lines = section.split("\n[").next().unwrap_or("").lines();
    lines.filter_map(|line| Some((line.split_once(" = ")?.0, line))).collect()
}

/// What the fuzz targets build beside the router's own sources is what the router builds.
fn fuzz_problems(router: &str, fuzz: &str) -> Vec<String> {
    let fuzzed = dependencies(fuzz);
    let own = dependencies(router).into_iter().filter(|(name, _)| !NOT_FUZZED.contains(name));
    own.filter(|wanted| !fuzzed.contains(wanted))
        .map(|(name, line)| {
            format!("fuzz/Cargo.toml: `{name}` is not as in Cargo.toml: `{line}`; see NOT_FUZZED")
        })
        .collect()
}

#[test]
fn modules_use_only_the_floors_below() {
    none(&all_floor_problems(&sources(top())));
}

#[test]
fn rooms_of_proto_do_not_know_each_other() {
    none(&all_proto_problems(&sources(top())));
}

#[test]
fn deciding_floors_neither_wait_nor_look_at_the_world() {
    none(&all_word_problems(&sources(top())));
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    none(&all_unwrap_problems(&sources(top())));
}

#[test]
fn files_and_functions_stay_short() {
    none(&all_length_problems(top(), &sources(top())));
}

#[test]
fn every_folder_has_its_introduction_beside_it() {
    none(&folder_problems(top()));
}

#[test]
fn fuzz_targets_are_built_with_what_the_router_is_built_with() {
    let read = |path: &str| fs::read_to_string(top().join(path)).expect("a manifest");
    none(&fuzz_problems(&read("Cargo.toml"), &read("fuzz/Cargo.toml")));
}
