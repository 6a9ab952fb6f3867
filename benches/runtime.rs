//! What the runtime takes at rest, and whether it is fair: an idle router's CPU time, memory of an idle connection and of an idle
//! shard, and the progress of eight shards on two CPUs.
//!
//! `cargo bench --bench runtime` runs all parts, `-- idle`, `-- connections`, `-- shards` or `-- progress` one of them.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "harness/clock.rs"]
mod clock;
#[path = "runtime/connections.rs"]
mod connections;
#[path = "runtime/process.rs"]
mod process;
#[path = "runtime/progress.rs"]
mod progress;
#[path = "runtime/router.rs"]
mod router;
#[path = "harness/table.rs"]
mod table;
#[path = "harness/thread.rs"]
mod thread;

fn main() {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let Some(server) = words.iter().find_map(|word| connections::Server::named(word)) {
        return server.serve();
    }
    table::head();
    let parts: [(&str, fn()); 4] = [
        ("idle", router::idle),
        ("connections", connections::idle),
        ("shards", router::shards),
        ("progress", progress::fair),
    ];
    for (name, part) in parts {
        if words.is_empty() || words.iter().any(|word| word == name) {
            part();
        }
    }
}
