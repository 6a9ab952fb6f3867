//! The rules themselves, on sources made up to break them, and on a copy of this very tree with one thing planted in it.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::source::Source;
use super::*;

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

#[test]
fn a_hash_map_that_is_gone_through_is_found() {
    let declared = "struct A {\n    peers: HashMap<u8, u8>,\n    sorted: BTreeMap<u8, u8>,\n}\n";
    for line in [
        "let sum = self.peers.values().sum();",
        "for (key, value) in &self.peers {",
        "let all: Vec<_> = peers.keys().collect();",
    ] {
        let source = Source::new("src/actor/peers.rs", &format!("{declared}{line}"));
        assert_eq!(order_problems(&source).len(), 1, "{line}");
    }
    for line in ["self.peers.get(&1);", "self.sorted.values();", "for a in &self.sorted {"] {
        let source = Source::new("src/actor/peers.rs", &format!("{declared}{line}"));
        assert!(order_problems(&source).is_empty(), "{line}");
    }
}

#[test]
fn a_dependency_that_the_fuzz_targets_do_not_have_is_found() {
    let router = "[package]\n\n[dependencies]\naes = \"1\"\nclap = \"4\"\nnew = { a = 1 }\n\n[lints]\nx = 1\n";
    let fuzz = |lines: &str| format!("[package]\n\n[dependencies]\nlibfuzzer = \"1\"\n{lines}");
    let found = fuzz_problems(router, &fuzz("aes = \"1\"\n"));
    assert!(found.len() == 1 && found[0].contains("`new`"), "{found:?}");
    assert_eq!(fuzz_problems(router, &fuzz("aes = \"2\"\nnew = { a = 1 }\n")).len(), 1);
    assert!(fuzz_problems(router, &fuzz("aes = \"1\"\nnew = { a = 1 }\n")).is_empty());
}

/// A copy of this tree's sources.
fn copy_of_the_tree() -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder for the copy");
    for folder in ["src", "loadtest/src", "benches", "tests", "fuzz/fuzz_targets"] {
        for path in files(top(), folder, "rs") {
            let to = copy.path().join(&path);
            fs::create_dir_all(to.parent().expect("a file is in a folder"))
                .expect("a folder can be made");
            fs::copy(top().join(&path), to).expect("a file can be copied");
        }
    }
    copy
}

fn problems_of(tree: &Path) -> Vec<String> {
    let sources = sources(tree);
    [
        all_floor_problems(&sources),
        all_proto_problems(&sources),
        all_word_problems(&sources),
        all_unwrap_problems(&sources),
        all_length_problems(tree, &sources),
        folder_problems(tree),
    ]
    .concat()
}

#[test]
fn what_is_planted_in_a_copy_of_this_tree_is_found_and_nothing_else() {
    let copy = copy_of_the_tree();
    assert_eq!(problems_of(copy.path()), [""; 0]);
    let long = format!("fn long(mut a: u8) {{\n{}}}\n", "    a += 1;\n".repeat(FUNCTION_LINES.1));
    let planted = [
        ("src/wire/i2np.rs", "use crate::shard::core::Shard;", "stands above"),
        ("src/base/time.rs", "fn f() -> crate::wire::Malformed { g() }", "stands above"),
        ("src/proto/netdb/store.rs", "use crate::proto::ntcp2::Keys;", "an actor joins them"),
        ("src/proto/ntcp2/session.rs", "fn f() { let t = std::time::Instant::now(); }", "argument"),
        ("src/shard/core.rs", "use std::time::SystemTime;", "argument"),
        ("src/actor/netdb.rs", "async fn f() {}", "synchronously"),
        ("src/crypto/hash.rs", "static SEEN: std::sync::Mutex<u8> = f();", "owns it"),
        ("src/wire/su3.rs", "fn f() { g().unwrap(); }", "outside tests"),
        ("src/runtime/pump.rs", "fn f() { g().unwrap(); }", "outside tests"),
        ("src/shard/mailbox.rs", "fn f() { unsafe { g() } }", "outside the kernels"),
        ("src/app/args.rs", long.as_str(), "are enough"),
        ("src/actor/new/part.rs", "", "beside its folder"),
    ];
    for (path, text, _) in planted {
        let file = copy.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut file = fs::File::options().append(true).create(true).open(file).unwrap();
        writeln!(file, "{text}").unwrap();
    }
    let found = problems_of(copy.path());
    for (path, text, named) in planted {
        let matching = found.iter().filter(|f| f.starts_with(path) && f.contains(named));
        assert_eq!(matching.count(), 1, "{path}: {text}: {found:#?}");
    }
    assert_eq!(found.len(), planted.len(), "{found:#?}");
}
