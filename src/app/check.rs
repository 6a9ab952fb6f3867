//! `floodway check`: whether this machine can run the router, point by point.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use crate::app::args::CheckArgs;
use crate::app::clock::ClockFacts;
use crate::app::config::{Build, Config};
use crate::app::data_dir::DataDir;
use crate::app::reseed::background;
use crate::app::{identity, reseed, run};
use crate::base::id::RouterHash;
use crate::base::limits::ShardLimits;
use crate::crypto::PROVIDER;
use crate::crypto::layer::{self, Kernel};
use crate::runtime::probe::{self, Allowance};
use crate::runtime::sys::{self, Resource};
use crate::runtime::{clock, launch, memory, tcp};

/// Whether all points are in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// The router would start.
    Fit,
    /// Something has to be changed first.
    Unfit,
}

struct Point {
    name: &'static str,
    result: Result<String, String>,
}

/// Checks everything, whatever fails, and writes the findings to standard output.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &CheckArgs) -> io::Result<Fitness> {
    let points = points(args);
    let mut out = io::stdout().lock();
    for Point { name, result } in &points {
        let text = result.as_ref().unwrap_or_else(|text| text);
        if args.json {
            writeln!(out, "{}", json!({ "check": name, "ok": result.is_ok(), "detail": text }))?;
        } else {
            let mark = if result.is_ok() { "ok  " } else { "FAIL" };
            writeln!(out, "{mark}  {name}: {text}")?;
        }
    }
    let fit = points.iter().all(|point| point.result.is_ok());
    Ok(if fit { Fitness::Fit } else { Fitness::Unfit })
}

fn points(args: &CheckArgs) -> Vec<Point> {
    let mut points = vec![
        Point { name: "io_uring", result: text(probe::check().map(|a| allowance(&a))) },
        Point { name: "cpus", result: text(sys::allowed_cpus().map(|cpus| format!("{cpus:?}"))) },
        Point { name: "cpu features", result: Ok(cpu_features()) },
        Point { name: "primitives", result: Ok(format!("by {PROVIDER}")) },
    ];
    match Config::load(&args.run, Build::this()) {
        Ok(config) => {
            let network = format!("network {}, {} offered", config.network, config.bandwidth);
            points.push(Point { name: "configuration", result: Ok(network) });
            points.push(Point { name: "tunnel layer", result: Ok(kernels(run::kernel(&config))) });
            points.extend(check_config(&config));
        }
        Err(error) => {
            points.push(Point { name: "configuration", result: Err(error.to_string()) });
        }
    }
    points
}

fn check_config(config: &Config) -> Vec<Point> {
    let directory = check_data_dir(&config.data_dir);
    let keys = identity::load_existing(&config.data_dir);
    let hash = match &keys {
        Ok(Some(keys)) => keys.identity.hash(),
        // Without an identity its port is not known; any stands for it.
        Ok(None) | Err(_) => RouterHash([0; 32]),
    };
    let keys = keys.map(|keys| if keys.is_some() { "present" } else { "made at the first start" });
    let seeds = reseed::load(config, clock::unix_time()).map(|seeds| {
        let (refused, hosts) = (seeds.refused.len(), background::hosts_of(config).len());
        format!("{} routers, {refused} files left out, {hosts} hosts", seeds.routers.len())
    });
    let metrics = run::listen_for_metrics(config).map(|listener| match listener {
        Some(_) => "can be served",
        None => "not served",
    });
    vec![
        Point { name: "data directory", result: directory },
        Point { name: "keys", result: text(keys) },
        Point { name: "address", result: check_address(config, &hash) },
        Point { name: "seeds", result: text(seeds) },
        Point { name: "metrics", result: text(metrics) },
        Point { name: "shards", result: text(run::shards(config)) },
        Point { name: "memory", result: check_memory(config) },
        Point { name: "descriptors", result: check_descriptors(config) },
        Point { name: "clock", result: check_clock(&config.data_dir) },
    ]
}

fn check_address(config: &Config, hash: &RouterHash) -> Result<String, String> {
    let published = run::published(config, hash).map_err(|error| error.to_string())?;
    let (side, _sockets) = tcp::listen(published, 1).map_err(|error| error.to_string())?;
    Ok(match side.dial_from {
        Some(_) => format!("{published}, free"),
        None => format!(
            "{published}, not on this machine: others must be led to port {}",
            side.listen.port()
        ),
    })
}

fn check_clock(data_dir: &Path) -> Result<String, String> {
    let facts = ClockFacts::read(data_dir);
    let kept = match facts.synchronised {
        Some(true) => "kept by the kernel's NTP",
        Some(false) => "plausible, but nobody keeps it right: run an NTP client",
        None => "plausible",
    };
    text(facts.judge(data_dir).map(|_| kept))
}

/// Whether no other router has the directory, and files can be written there.
fn check_data_dir(data_dir: &Path) -> Result<String, String> {
    text(DataDir::take(data_dir).map(|_| data_dir.display()))
}

fn check_memory(config: &Config) -> Result<String, String> {
    let shards = run::shards(config).map_err(|error| error.to_string())?;
    let allowed = memory::allowed();
    text(ShardLimits::within(shards, allowed).map(|limits| {
        let most = limits.process_memory(shards) >> 20;
        match allowed {
            Some(allowed) => format!("at most {most} MiB of {} MiB are filled", allowed >> 20),
            None => format!("at most {most} MiB are filled"),
        }
    }))
}

fn check_descriptors(config: &Config) -> Result<String, String> {
    let shards = run::shards(config).map_err(|error| error.to_string())?;
    let limit = sys::raise_limit(Resource::Descriptors).map_err(|error| error.to_string())?;
    let allowance = Allowance { locked_memory: None, descriptors: limit.soft };
    let needed = launch::descriptors_min(shards);
    text(probe::check_descriptors(&allowance, needed).map(|()| match limit.soft {
        Some(allowed) => format!("{allowed} may be open, {needed} are the least"),
        None => "unlimited".to_owned(),
    }))
}

/// The features that tunnel-layer kernels look for, as far as this CPU has them.
fn cpu_features() -> String {
    let found: Vec<_> = layer::cpu_features().collect();
    if found.is_empty() { "none that a kernel uses".to_owned() } else { found.join(", ") }
}

fn kernels(chosen: Kernel) -> String {
    let available: Vec<_> = Kernel::available().map(Kernel::name).collect();
    format!("{chosen}, of {}", available.join(", "))
}

fn allowance(allowance: &Allowance) -> String {
    let amount = |amount: Option<u64>| amount.map_or("unlimited".to_owned(), |n| n.to_string());
    let memory = amount(allowance.locked_memory);
    let descriptors = amount(allowance.descriptors);
    format!("works; locked memory {memory}, descriptors {descriptors}")
}

fn text<T: ToString, E: ToString>(result: Result<T, E>) -> Result<String, String> {
    result.map(|value| value.to_string()).map_err(|error| error.to_string())
}
