//! The house rules that a compiler does not check: who may use whom, how long a file and a function may
//! grow, and which words have no place in code that only decides.
//!
//! Sources are read as text with comments and literals blanked out, which is enough for these rules and
//! needs no parser.

use std::fs;
use std::path::{Path, PathBuf};

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
const FORBIDDEN: [(&str, &str); 18] = [
    ("async", "decide synchronously; only `runtime` waits"),
    (".await", "decide synchronously; only `runtime` waits"),
    ("std::thread", "only `runtime` starts threads"),
    ("thread_local!", "state belongs to the shard that owns it"),
    ("static mut", "state belongs to the shard that owns it"),
    ("OnceLock", "state belongs to the shard that owns it"),
    ("LazyLock", "state belongs to the shard that owns it"),
    ("Instant::now", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("std::net::TcpStream", "only `runtime` opens sockets"),
    ("std::net::TcpListener", "only `runtime` opens sockets"),
    ("std::net::UdpSocket", "only `runtime` opens sockets"),
    ("std::fs", "only `runtime` and `app` touch files"),
    ("std::process", "only `app` ends or starts processes"),
    ("println!", "say it with an event or a counter"),
    ("eprintln!", "say it with an event or a counter"),
    ("glommio", "only `runtime` knows the executor"),
    ("tokio", "only `runtime` and `app` know the control thread"),
];

/// One Rust source: its path from the top of the tree, and its text with comments and literals blanked.
struct Source {
    path: String,
    code: Vec<String>,
    test_lines: Vec<bool>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let name = path.rsplit('/').next().unwrap_or(path);
        let all_tests =
            name == "tests.rs" || path.contains("/tests/") || path.starts_with("tests/");
        let test_lines = if all_tests { vec![true; code.len()] } else { test_regions(&code) };
        Self { path: path.to_owned(), code, test_lines }
    }

    /// The top module that this file belongs to: `src/wire/i2np.rs` is of `wire`.
    fn floor(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        let module = rest.split('/').next()?;
        Some(module.strip_suffix(".rs").unwrap_or(module))
    }

    /// The room of `proto` that this file belongs to, and how many `super` lead from it to `proto`.
    fn proto_room(&self) -> Option<(&str, usize)> {
        let rest = self.path.strip_prefix("src/proto/")?;
        let module = rest.split('/').next()?;
        let depth = rest.matches('/').count() + 1;
        Some((module.strip_suffix(".rs").unwrap_or(module), depth))
    }

    fn lines_outside_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self.code.iter().enumerate();
        numbered
            .filter(|(index, _)| !self.test_lines.get(*index).copied().unwrap_or(false))
            .map(|(index, line)| (index + 1, line.as_str()))
    }
}

/// Replaces the insides of comments, strings and character literals by spaces, line by line as before.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        for &c in &chars[at..end.min(chars.len())] {
            out.push(if c == '\n' { '\n' } else { ' ' });
        }
        at = end;
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    let before = at.checked_sub(1).and_then(|i| chars.get(i)).copied();
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match chars[at] {
        '/' if next == Some('/') => position(chars, at, '\n'),
        '/' if next == Some('*') => block_comment_end(chars, at),
        '"' => string_end(chars, at),
        'b' if next == Some('"') && !in_word => string_end(chars, at + 1),
        'r' if !in_word || before == Some('b') => raw_string_end(chars, at).unwrap_or(at),
        '\'' if next == Some('\\') => position(chars, at + 3, '\'') + 1,
        '\'' if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn position(chars: &[char], from: usize, wanted: char) -> usize {
    let rest = chars.get(from..).unwrap_or(&[]);
    rest.iter().position(|&c| c == wanted).map_or(chars.len(), |i| from + i)
}

fn string_end(chars: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let mut end = at + 2 + hashes;
    loop {
        end = position(chars, end, '"') + 1;
        if end > chars.len() {
            return Some(chars.len());
        }
        if chars[end..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes {
            return Some(end + hashes);
        }
    }
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut here) = (0_usize, at);
    while here < chars.len() {
        match (chars[here], chars.get(here + 1)) {
            ('/', Some('*')) => (depth, here) = (depth + 1, here + 2),
            ('*', Some('/')) => (depth, here) = (depth - 1, here + 2),
            _ => here += 1,
        }
        if depth == 0 {
            break;
        }
    }
    here
}

/// Marks the lines of items under `#[cfg(test)]`.
fn test_regions(code: &[String]) -> Vec<bool> {
    let mut marks = vec![false; code.len()];
    for (index, line) in code.iter().enumerate() {
        if line.contains("#[cfg(test)]") {
            let last = item_end(code, index);
            marks[index..=last].fill(true);
        }
    }
    marks
}

/// The last line of the item that starts at line `from`: its closing brace, or its semicolon.
fn item_end(code: &[String], from: usize) -> usize {
    let mut depth = 0_i32;
    for (index, line) in code.iter().enumerate().skip(from) {
        for c in line.chars() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 && (c == '}' || c == ';') {
                return index;
            }
        }
    }
    code.len().saturating_sub(1)
}

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

/// All files below `folder` that end in `.extension`, by their path from the top of the tree, sorted.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
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

fn sources() -> Vec<Source> {
    let folders = ["src", "loadtest/src", "loadtest/tests", "benches", "tests"];
    let paths = folders.iter().flat_map(|folder| files(folder, "rs"));
    let read = |path: String| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path));
        Source::new(&path, &text.expect("a source is readable text"))
    };
    let found: Vec<Source> = paths.map(read).collect();
    assert!(found.len() > 10, "the sources were not found");
    found
}

fn none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn modules_use_only_the_floors_below() {
    none(&sources().iter().flat_map(floor_problems).collect::<Vec<_>>());
}

#[test]
fn rooms_of_proto_do_not_know_each_other() {
    let sources = sources();
    let mut rooms: Vec<String> =
        sources.iter().filter_map(|s| s.proto_room().map(|(room, _)| room.to_owned())).collect();
    rooms.sort();
    rooms.dedup();
    none(&sources.iter().flat_map(|s| proto_problems(s, &rooms)).collect::<Vec<_>>());
}

#[test]
fn deciding_floors_neither_wait_nor_look_at_the_world() {
    none(&sources().iter().flat_map(word_problems).collect::<Vec<_>>());
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    none(&sources().iter().flat_map(unwrap_problems).collect::<Vec<_>>());
}

#[test]
fn files_and_functions_stay_short() {
    let long = |s: &Source| length_problems(s, FILE_LINES, FUNCTION_LINES);
    let mut problems: Vec<String> = sources().iter().flat_map(long).collect();
    for path in files("tests", "py").into_iter().chain(files("deploy", "py")) {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path));
        let count = text.expect("a script is readable text").lines().count();
        if count > FILE_LINES.1 {
            problems.push(format!("{path} has {count} lines; {} are enough", FILE_LINES.0));
        }
    }
    none(&problems);
}

#[test]
fn every_folder_has_its_introduction_beside_it() {
    let mut problems = Vec::new();
    for path in files("src", "rs").iter().chain(&files("loadtest/src", "rs")) {
        if path.ends_with("/mod.rs") {
            problems.push(format!("{path}: the parent of a folder is the file beside it"));
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_top = folder.ends_with("src") || folder.ends_with("src/bin");
        let parent = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{folder}.rs"));
        if !is_top && !parent.is_file() {
            problems.push(format!("{path}: no {folder}.rs beside its folder"));
        }
    }
    none(&problems);
}

// The rules themselves, on sources made up to break them.

fn rooms() -> Vec<String> {
    ["ntcp2", "tunnel", "netdb", "peer", "local"].map(str::to_owned).to_vec()
}

#[test]
fn a_use_of_an_upper_floor_is_found() {
    for text in [
        "use crate::shard::core::Shard;",
        "use crate::{base::time::Now, actor::{address::Address, message}};",
        "use crate::{\n    base::id,\n    runtime::clock,\n};",
        "fn f() -> crate::app::Config { crate::app::Config }",
        "pub(crate) use crate::runtime as r;",
    ] {
        let found = floor_problems(&Source::new("src/wire/i2np.rs", text));
        assert!(!found.is_empty(), "{text}");
    }
    for text in [
        "use crate::{base::id, crypto::hash::sha256, wire::reader::Reader};",
        "// crate::shard is told later",
        "const S: &str = \"crate::shard\";",
        "use not_crate::shard::X; $crate::shard!()",
    ] {
        let found = floor_problems(&Source::new("src/wire/i2np.rs", text));
        assert!(found.is_empty(), "{text}: {found:?}");
    }
    assert!(floor_problems(&Source::new("src/lib.rs", "use crate::app;")).is_empty());
}

#[test]
fn a_room_of_proto_that_knows_another_is_found() {
    let session = "src/proto/ntcp2/session.rs";
    for (path, text) in [
        (session, "use crate::proto::tunnel::layer;"),
        (session, "use crate::proto::{local::RouterKeys, netdb};"),
        (session, "use super::super::tunnel;"),
        ("src/proto/ntcp2.rs", "use super::tunnel::Participant;"),
    ] {
        assert!(!proto_problems(&Source::new(path, text), &rooms()).is_empty(), "{path}: {text}");
    }
    for (path, text) in [
        (session, "use crate::proto::{ntcp2::framing, peer::Profile, local::Keys};"),
        (session, "use super::{framing, tunnel};"),
        ("src/proto/local.rs", "use crate::proto::ntcp2::Keys;"),
        ("src/actor/session.rs", "use crate::proto::{ntcp2, tunnel};"),
    ] {
        assert!(proto_problems(&Source::new(path, text), &rooms()).is_empty(), "{path}: {text}");
    }
}

#[test]
fn a_forbidden_word_is_found_outside_tests_and_literals() {
    for text in [
        "async fn f() {}",
        "let now = std::time::Instant::now();",
        "use std::fs::File;",
        "fn f() { unsafe { g() } }",
        "thread_local! { static A: u8 = 0; }",
        "let x = f.await;",
    ] {
        assert!(!word_problems(&Source::new("src/proto/ntcp2.rs", text)).is_empty(), "{text}");
        assert!(word_problems(&Source::new("src/runtime/pump.rs", text)).is_empty(), "{text}");
    }
    let module = "mod tests {\n    fn g() { let x = std::fs::read(a).unwrap(); }\n}\n";
    for text in [
        format!("fn f() {{}}\n#[cfg(test)]\n{module}").as_str(),
        "/* async */ fn f() {} // std::fs",
        "const T: &str = r#\"unsafe \" async\"#; const C: char = '\"'; const Q: char = '\\'';",
        "fn unsafe_looking() {} struct NotAsync; fn asynchronous() {}",
    ] {
        let source = Source::new("src/wire/reader.rs", text);
        let found = [word_problems(&source), unwrap_problems(&source)].concat();
        assert!(found.is_empty(), "{text}: {found:?}");
    }
    assert!(word_problems(&Source::new("src/crypto/layer/vaes.rs", "unsafe fn k() {}")).is_empty());
}

#[test]
fn an_unwrap_behind_a_test_module_is_found() {
    let text = "#[cfg(test)]\nmod tests { fn a() { x.unwrap(); } }\nfn b() { y.unwrap(); }\n";
    let found = unwrap_problems(&Source::new("src/app/args.rs", text));
    assert_eq!(found, ["src/app/args.rs:3: `.unwrap()` outside tests"]);
    assert!(unwrap_problems(&Source::new("src/app/tests.rs", text)).is_empty());
}

#[test]
fn long_files_and_functions_are_found() {
    let text = format!("fn short() {{}}\nfn long(a: u8) {{\n{}}}\n", "    a += 1;\n".repeat(20));
    let source = Source::new("src/app/args.rs", &text);
    assert_eq!(functions(&source), [(1, 1, "short".into()), (2, 22, "long".into())]);
    let limits = |file, function| length_problems(&source, (file, file), (function, function));
    assert_eq!(limits(100, 21).len(), 1);
    assert_eq!(limits(22, 22).len(), 1);
    assert!(limits(23, 22).is_empty());
}
