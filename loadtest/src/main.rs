//! The load tool's command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use floodway::app::failure::told;
use loadtest::clock::Clock;
use loadtest::compare::{CompareOptions, compare};
use loadtest::crowd::{CrowdOptions, gather};
use loadtest::demo::{DemoOptions, demonstrate};
use loadtest::flood::{FloodOptions, besiege};
use loadtest::netdb::{self, NetdbOptions};
use loadtest::overload::{OverloadOptions, overload};
use loadtest::swarm::Pace;
use loadtest::target::{FloodwayOptions, I2pdOptions, Target, start_floodway, start_i2pd};
use loadtest::transit::{TransitOptions, measure};
use loadtest::tunnels::{CONTENT_USUAL, ROLES, Role};

/// Black-box load tool for I2P routers: plays routers over NTCP2 on the loopback, and checks every message.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds tunnels through a router and sends numbered messages through them
    Transit(TransitArgs),
    /// Measures two routers in turn, A B A B A B, at one load, and prints a table
    Compare(CompareArgs),
    /// Opens thousands of sessions that do nothing, then floods the router with silent connections
    Crowd(CrowdArgs),
    /// Stores tens of thousands of records at a floodfill and looks them up, all over sessions
    Netdb(NetdbArgs),
    /// Floods a router with build requests of many neighbours while tunnels carry data, and without, in turns
    Flood(FloodArgs),
    /// Offers a router that has a part of a processor as much as it can carry, and twice that
    Overload(OverloadArgs),
    /// Shows a Floodway router at work for one minute, without any network, and writes a page about it
    Demo(DemoArgs),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Floodway,
    I2pd,
}

#[derive(Args)]
struct TargetArgs {
    /// Floodway's program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    floodway: Option<PathBuf>,
    /// Shards of Floodway [default: one per core]
    #[arg(long, value_name = "N")]
    shards: Option<u16>,
    /// i2pd's program, or an installation of the test network [default: its i2pd 2.56.0]
    #[arg(long, value_name = "PATH")]
    i2pd: Option<PathBuf>,
}

#[derive(Args)]
struct LoadArgs {
    /// Routers that are played
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(2..=250))]
    routers: u8,
    /// Tunnels in each role
    #[arg(long, default_value_t = 64)]
    tunnels: usize,
    /// Only these roles
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<RoleArg>,
    /// Messages offered a second, over all tunnels [default: as fast as they arrive]
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// Messages under way in each tunnel, when there is no rate
    #[arg(long, value_name = "N", default_value_t = 8)]
    window: u64,
    /// Seconds before the measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    warm_up: u64,
    /// Seconds of the measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    duration: u64,
    /// Bytes of content in the messages of gateways and endpoints; above 940 they are fragmented
    #[arg(long, value_name = "BYTES", default_value_t = CONTENT_USUAL)]
    content: usize,
    /// What everything random on this side follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads of this program
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    threads: u8,
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleArg {
    Participant,
    Gateway,
    Endpoint,
}

#[derive(Args)]
struct TransitArgs {
    /// The router under test
    #[arg(long, value_enum)]
    target: Kind,
    #[command(flatten)]
    programs: TargetArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// Writes the figures as JSON to a file, or with - to standard output instead of text
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct CompareArgs {
    /// How often each router is measured
    #[arg(long, default_value_t = 3)]
    pairs: u32,
    #[command(flatten)]
    programs: TargetArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// Writes all figures as JSON to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct CrowdArgs {
    /// The router under test
    #[arg(long, value_enum, default_value = "floodway")]
    target: Kind,
    #[command(flatten)]
    programs: TargetArgs,
    /// Sessions to open and keep
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=500_000))]
    sessions: u32,
    /// Silent connections from one subnet, afterwards
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    half_open: u32,
    /// Threads that open sessions
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=100))]
    threads: u8,
    /// What everything random on this side follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the figures as JSON to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct FloodArgs {
    /// The router under test
    #[arg(long, value_enum, default_value = "floodway")]
    target: Kind,
    #[command(flatten)]
    programs: TargetArgs,
    /// Tunnels that carry data
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    tunnels: u32,
    /// Messages offered a second, over all of them
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// Routers that flood, each in a subnet of its own
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u8).range(2..=200))]
    peers: u8,
    /// Build requests a second, of all of them
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: u32,
    /// Length of a window
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    window: u64,
    /// Pairs of windows, one without and one with the flood
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,
    /// What everything random on this side follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the figures as JSON to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct OverloadArgs {
    /// The router under test
    #[arg(long, value_enum, default_value = "floodway")]
    target: Kind,
    #[command(flatten)]
    programs: TargetArgs,
    /// Percent of one processor that it has; needs root, for a control group
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    quota: u32,
    /// How much is offered, in percent of what it can carry
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_value = "50,100,200", value_parser = clap::value_parser!(u32).range(1..=1000))]
    offers: Vec<u32>,
    /// Routers that are played
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u8).range(2..=250))]
    routers: u8,
    /// Tunnels that carry data
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    tunnels: u32,
    /// Length of each part of the run
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// What everything random on this side follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the figures as JSON to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct NetdbArgs {
    /// The router under test
    #[arg(long, value_enum, default_value = "floodway")]
    target: Kind,
    /// Floodway's program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    floodway: Option<PathBuf>,
    /// RouterInfos that the router knows in the end, with those of the played routers
    #[arg(long, value_name = "N", default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    routers: u32,
    /// Lease sets
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    lease_sets: u32,
    /// Played routers that store and look up, each over one session
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=i64::from(netdb::SESSIONS_MAX)))]
    sessions: u8,
    /// Shards of Floodway
    #[arg(long, value_name = "N", default_value_t = 1)]
    shards: u16,
    /// Lookups a second that are measured besides "as fast as answers come" and half of that; the default is half of what
    /// one core is to answer
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "17500", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rates: Vec<u32>,
    /// Length of each measurement of lookups
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// What everything random on this side follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the figures as JSON to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct DemoArgs {
    /// Floodway's program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    floodway: Option<PathBuf>,
    /// Shards of Floodway [default: one per core]
    #[arg(long, value_name = "N")]
    shards: Option<u16>,
    /// Routers that are played
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(2..=64))]
    routers: u8,
    /// Length
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Messages a second at the end
    #[arg(long, value_name = "N", default_value_t = 4000)]
    rate: u64,
    /// Tunnels in each role at the end
    #[arg(long, value_name = "N", default_value_t = 32)]
    tunnels: usize,
    /// Where the page goes
    #[arg(long, value_name = "FILE", default_value = "target/demo.html")]
    html: PathBuf,
    /// What everything random on this side follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl DemoArgs {
    fn options(&self) -> DemoOptions {
        DemoOptions {
            floodway: FloodwayOptions {
                path: self.floodway.clone(),
                shards: self.shards,
                floodfill: true,
                ..FloodwayOptions::default()
            },
            routers: self.routers,
            duration: Duration::from_secs(self.seconds),
            rate: self.rate,
            tunnels: self.tunnels,
            html: self.html.clone(),
            seed: self.seed,
        }
    }
}

impl LoadArgs {
    fn options(&self) -> TransitOptions {
        let roles = self.roles.iter().map(|role| match role {
            RoleArg::Participant => Role::Participant,
            RoleArg::Gateway => Role::Gateway,
            RoleArg::Endpoint => Role::Endpoint,
        });
        let roles: Vec<Role> = roles.collect();
        TransitOptions {
            routers: self.routers,
            tunnels: self.tunnels,
            roles: if roles.is_empty() { ROLES.to_vec() } else { roles },
            pace: self.rate.map_or(Pace::Window(self.window), Pace::Rate),
            warm_up: Duration::from_secs(self.warm_up),
            duration: Duration::from_secs(self.duration),
            seed: self.seed,
            content_size: self.content,
            threads: self.threads,
        }
    }
}

impl TargetArgs {
    fn floodway(&self) -> FloodwayOptions {
        FloodwayOptions {
            path: self.floodway.clone(),
            shards: self.shards,
            ..FloodwayOptions::default()
        }
    }

    fn i2pd(&self) -> I2pdOptions {
        I2pdOptions { path: self.i2pd.clone() }
    }

    fn start(&self, kind: Kind, clock: Clock) -> Result<Target> {
        match kind {
            Kind::Floodway => start_floodway(&self.floodway(), clock),
            Kind::I2pd => start_i2pd(&self.i2pd(), clock),
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("loadtest: {}", told(error.as_ref()));
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let clock = Clock::start();
    match Cli::parse().command {
        Command::Transit(args) => transit(&args, clock, &stop),
        Command::Demo(args) => {
            let sound = demonstrate(&args.options(), clock, &stop)?;
            Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Crowd(args) => crowd(&args, clock, &stop),
        Command::Flood(args) => flood(&args, clock, &stop),
        Command::Overload(args) => offer_too_much(&args, clock, &stop),
        Command::Netdb(args) => store_and_look_up(&args, clock, &stop),
        Command::Compare(args) => {
            let options = CompareOptions {
                pairs: args.pairs,
                load: args.load.options(),
                floodway: args.programs.floodway(),
                i2pd: args.programs.i2pd(),
            };
            let comparison = compare(&options, clock, &stop, &mut |line| eprintln!("{line}"))?;
            if let Some(path) = &args.json {
                std::fs::write(path, serde_json::to_string_pretty(&comparison)?)?;
            }
            println!("{comparison}");
            Ok(if comparison.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn crowd(args: &CrowdArgs, clock: Clock, stop: &Arc<AtomicBool>) -> Result<ExitCode> {
    let mut target = match args.target {
        // Only a floodfill answers the questions of the session that works.
        Kind::Floodway => {
            let floodway =
                FloodwayOptions { floodfill: true, strict: true, ..args.programs.floodway() };
            start_floodway(&floodway, clock)?
        }
        Kind::I2pd => args.programs.start(Kind::I2pd, clock)?,
    };
    let options = CrowdOptions {
        sessions: usize::try_from(args.sessions)?,
        threads: usize::from(args.threads),
        half_open: usize::try_from(args.half_open)?,
        seed: args.seed,
    };
    let report = gather(&mut target, &options, clock, stop, &mut |line| eprintln!("{line}"));
    target.stop(clock)?;
    let report = report?;
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{report}");
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn flood(args: &FloodArgs, clock: Clock, stop: &Arc<AtomicBool>) -> Result<ExitCode> {
    let mut target = match args.target {
        // Strict, so that the flood is counted by source as it is on the open network.
        Kind::Floodway => {
            start_floodway(&FloodwayOptions { strict: true, ..args.programs.floodway() }, clock)?
        }
        Kind::I2pd => args.programs.start(Kind::I2pd, clock)?,
    };
    let options = FloodOptions {
        tunnels: usize::try_from(args.tunnels)?,
        rate: args.rate,
        peers: args.peers,
        requests: args.requests,
        window: Duration::from_secs(args.window),
        pairs: args.pairs,
        seed: args.seed,
    };
    let report = besiege(&mut target, &options, clock, stop, &mut |line| eprintln!("{line}"));
    target.stop(clock)?;
    let report = report?;
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    print!("{report}");
    Ok(ExitCode::SUCCESS)
}

fn offer_too_much(args: &OverloadArgs, clock: Clock, stop: &Arc<AtomicBool>) -> Result<ExitCode> {
    let mut target = args.programs.start(args.target, clock)?;
    let options = OverloadOptions {
        routers: args.routers,
        tunnels: usize::try_from(args.tunnels)?,
        quota: args.quota,
        offers: args.offers.clone(),
        duration: Duration::from_secs(args.seconds),
        seed: args.seed,
    };
    let report = overload(&mut target, &options, clock, stop, &mut |line| eprintln!("{line}"));
    target.stop(clock)?;
    let report = report?;
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    print!("{report}");
    Ok(ExitCode::SUCCESS)
}

fn store_and_look_up(args: &NetdbArgs, clock: Clock, stop: &Arc<AtomicBool>) -> Result<ExitCode> {
    if args.target != Kind::Floodway {
        bail!("only Floodway lets so much in from the loopback: there is no i2pd to measure here");
    }
    // Not strict, so that what comes from the loopback counts in no rate: a few sessions store for a whole network.
    let floodway = FloodwayOptions {
        path: args.floodway.clone(),
        shards: Some(args.shards),
        floodfill: true,
        ..FloodwayOptions::default()
    };
    let mut target = start_floodway(&floodway, clock)?;
    let options = NetdbOptions {
        routers: usize::try_from(args.routers)?,
        lease_sets: usize::try_from(args.lease_sets)?,
        sessions: args.sessions,
        duration: Duration::from_secs(args.seconds),
        rates: args.rates.clone(),
        seed: args.seed,
    };
    let report =
        netdb::measure(&mut target, &options, clock, stop, &mut |line| eprintln!("{line}"));
    target.stop(clock)?;
    let report = report?;
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    print!("{report}");
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn transit(args: &TransitArgs, clock: Clock, stop: &Arc<AtomicBool>) -> Result<ExitCode> {
    let mut target = args.programs.start(args.target, clock)?;
    let options = args.load.options();
    let report = measure(&mut target, &options, clock, stop, &mut |line| eprintln!("{line}"));
    target.stop(clock)?;
    let report = report?;
    let json = serde_json::to_string_pretty(&report)?;
    match &args.json {
        Some(path) if path.as_os_str() == "-" => println!("{json}"),
        Some(path) => {
            let mut file = std::fs::File::create(path)
                .with_context(|| format!("cannot write {}", path.display()))?;
            writeln!(file, "{json}")?;
            println!("{report}");
        }
        None => println!("{report}"),
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
