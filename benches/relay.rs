//! Relaying frames of 1 KiB over TCP: CPU time of a server per message, for our network on its ring turned by hand, for
//! a whole shard with it, for a plain epoll loop and for glommio's own streams.
//!
//! The servers run on one CPU, each in a thread of its own, and the client on another; they are asked in turn, for a fraction of a
//! second each, nine rounds, and the ratios are the medians of the rounds' ratios. All sleep while they are not asked.
//! `cargo bench --bench relay` runs all, `-- 1000/4` those with 1000 connections and 4 frames under way on each,
//! `--plot FILE` draws, `--window MILLISECONDS` says for how long each is asked.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "relay/client.rs"]
mod client;
#[path = "harness/clock.rs"]
mod clock;
#[path = "relay/frames.rs"]
mod frames;
#[path = "relay/ours.rs"]
mod ours;
#[path = "relay/plain.rs"]
mod plain;
#[path = "harness/plot.rs"]
mod plot;
#[path = "relay/servers.rs"]
mod servers;
#[path = "relay/streams.rs"]
mod streams;
#[path = "harness/table.rs"]
mod table;
#[path = "harness/thread.rs"]
mod thread;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use client::Check;
use plot::{Bars, Group};
use servers::{Kind, Server};
use table::{line, median};

/// Rounds; odd, so that there is a median.
const ROUNDS: usize = 9;
/// For how long each server is asked in a round, unless told otherwise.
const WINDOW: Duration = Duration::from_millis(200);
/// For how long each is asked before that.
const WARM_UP: Duration = Duration::from_millis(100);
/// Time for a server to fall asleep.
const REST: Duration = Duration::from_millis(5);
/// Connections, and frames under way on each.
const LOADS: [(usize, usize); 6] = [(64, 1), (64, 4), (64, 16), (1000, 1), (1000, 4), (1000, 16)];

/// What one server did in one round.
#[derive(Clone, Copy)]
struct Sample {
    /// CPU time per message in nanoseconds.
    cpu: f64,
    /// Messages per second.
    rate: f64,
    /// Calls into the kernel per message, where they are counted.
    calls: f64,
}

/// What was asked of us.
struct Options {
    filter: Vec<String>,
    window: Duration,
    plot: Option<PathBuf>,
}

fn options() -> Options {
    let mut options = Options { filter: Vec::new(), window: WINDOW, plot: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--plot" => options.plot = arguments.next().map(PathBuf::from),
            "--window" => {
                let time = arguments.next().and_then(|text| text.parse().ok());
                options.window = Duration::from_millis(time.expect("milliseconds"));
            }
            // Cargo's own.
            "--bench" => {}
            _ => options.filter.push(argument),
        }
    }
    options
}

fn main() {
    let options = options();
    let [server_cpu, client_cpu] = thread::two_cpus();
    table::head();
    let mut groups = Vec::new();
    for (connections, depth) in LOADS {
        let name = format!("{connections}/{depth}");
        if !options.filter.is_empty() && !options.filter.contains(&name) {
            continue;
        }
        let mut servers = Kind::ALL.map(|kind| Server::start(kind, server_cpu, connections));
        // In a thread of its own, since what is started from a pinned one would be pinned as well.
        let measuring = || {
            thread::pin(client_cpu);
            measure(&mut servers, depth, options.window)
        };
        let rounds = std::thread::scope(|scope| scope.spawn(measuring).join());
        let rounds = rounds.expect("all servers send back what they are sent");
        servers.into_iter().for_each(Server::stop);
        show(connections, depth, &rounds);
        groups.push(Group { name, values: Kind::ALL.map(|kind| cpu(&rounds, kind)).to_vec() });
    }
    if let Some(path) = options.plot {
        let bars = Bars {
            title: "Server CPU per relayed message of 1 KiB, relative to plain epoll; connections/depth",
            unit: "ns",
            series: Kind::ALL.map(Kind::name).to_vec(),
            groups,
        };
        std::fs::write(path, bars.relative_to_first()).expect("the plot can be written");
    }
}

type Round = [Sample; Kind::ALL.len()];

fn measure(servers: &mut [Server], depth: usize, window: Duration) -> Vec<Round> {
    for server in servers.iter_mut() {
        let checked = server.client.run(depth, WARM_UP, Check::Bytes);
        assert!(checked.is_ok_and(|count| count > 0), "{} does not relay", server.kind.name());
    }
    let none = Sample { cpu: f64::NAN, rate: f64::NAN, calls: f64::NAN };
    let round = |_| {
        let mut round = [none; Kind::ALL.len()];
        for (slot, server) in round.iter_mut().zip(servers.iter_mut()) {
            *slot = sample(server, depth, window);
        }
        round
    };
    (0..ROUNDS).map(round).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn sample(server: &mut Server, depth: usize, window: Duration) -> Sample {
    std::thread::sleep(REST);
    let (cpu, calls) = (server.cpu_time(), server.calls());
    let start = Instant::now();
    let messages = server.client.run(depth, window, Check::Count).expect("checked before") as f64;
    let took = start.elapsed();
    std::thread::sleep(REST);
    let cpu = server.cpu_time().saturating_sub(cpu);
    let calls =
        server.calls().zip(calls).map_or(f64::NAN, |(after, before)| (after - before) as f64);
    Sample {
        cpu: cpu.as_secs_f64() * 1e9 / messages,
        rate: messages / took.as_secs_f64(),
        calls: calls / messages,
    }
}

fn cpu(rounds: &[Round], kind: Kind) -> f64 {
    median(rounds.iter().map(|round| round[kind as usize].cpu))
}

fn show(connections: usize, depth: usize, rounds: &[Round]) {
    let load = format!("{connections} connections, depth {depth:>2}");
    let compare = |ours: Kind, reference: Kind, most: Option<f64>| {
        let ratio = |round: &Round| round[ours as usize].cpu / round[reference as usize].cpu;
        let rate = |kind| median(rounds.iter().map(|round: &Round| round[kind as usize].rate));
        let absolute = format!(
            "{:.0} to {:.0} ns/message; {:.0} to {:.0} k/s",
            cpu(rounds, ours),
            cpu(rounds, reference),
            rate(ours) / 1e3,
            rate(reference) / 1e3,
        );
        let name = format!("{load}: {} to {}", ours.name(), reference.name());
        line(&name, median(rounds.iter().map(ratio)), "", most, &absolute);
    };
    let most = if depth == 16 { 1.25 } else { 1.1 };
    let below = (depth == 4).then_some(1.0);
    for ours in [Kind::Ring, Kind::Shard] {
        compare(ours, Kind::Epoll, Some(most));
        compare(ours, Kind::Streams, below);
    }
    let calls = median(rounds.iter().map(|round| round[Kind::Ring as usize].calls));
    let name = format!("{load}: system calls of {}", Kind::Ring.name());
    line(&name, calls, "/message", Some(0.1), "");
}
