//! The program, read from top to bottom: arguments, configuration, keys, first routers, shards, and the wait for their
//! end.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use floodway::app::args::{Command, CommandLine, RunArgs};
use floodway::app::config::{Build, Config, ConfigError};
use floodway::app::data_dir::DataDir;
use floodway::app::failure::told;
use floodway::app::live::{Live, LiveParts};
use floodway::app::reseed::background::{KNOWN_MIN, Reseeder, SEED_AGE_MAX};
use floodway::app::reseed::make;
use floodway::app::{
    check, clock, completions, control, health, identity, init, inspect, log, netdb, reseed, run,
};
use floodway::runtime::clock::{Clock, unix_time};
use floodway::runtime::control::{self as control_thread, ControlPlan};
use floodway::runtime::launch::{self, Plan};
use floodway::runtime::{probe, tcp};
use floodway::shard::core::{Input, Shard};

/// Exit code for wrong arguments or configuration.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    match obey(&CommandLine::read().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("floodway: {}", told(error.as_ref()));
            if error.is::<ConfigError>() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn obey(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run_router(args)?,
        Command::Init(args) => init::run(args)?,
        Command::Identity(args) => identity::run(&args.command)?,
        Command::Completions(args) => completions::write(args.shell)?,
        Command::Man => completions::write_manual()?,
        Command::Status(args) => control::status(args)?,
        Command::Reload(args) => control::reload(args)?,
        Command::Drain(args) => control::drain(args)?,
        Command::Health(args) => health::run(args.metrics)?,
        Command::Inspect(args) => match inspect::run(args)? {
            inspect::Outcome::AllGood => {}
            inspect::Outcome::SomeBad => return Ok(ExitCode::FAILURE),
        },
        Command::Reseed(args) => make::run(&args.command)?,
        Command::Netdb(args) => netdb::run(&args.command)?,
        Command::Check(args) => match check::run(args)? {
            check::Fitness::Fit => {}
            check::Fitness::Unfit => return Ok(ExitCode::FAILURE),
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn run_router(args: &RunArgs) -> anyhow::Result<()> {
    let process_clock = Clock::start();
    let config = Config::load(args, Build::this())?;
    let log = log::start(config.log_level, config.log_format);
    let allowance = probe::check()?;
    let data_dir = DataDir::take(&config.data_dir)?;
    run::check_clock(&config.data_dir)?;

    let keys = identity::load_or_create(&config.data_dir)?;
    let hash = keys.identity.hash();
    let mut seeds = reseed::load(&config, unix_time())?;
    let (records, remembered) = netdb::load(&config.data_dir, config.network)?;
    let profiles = netdb::profiles(&records)?;
    tracing::info!(routers = remembered.routers.len(), "read from the netdb's file");
    seeds.add(remembered);
    // An identity that was moved in here may be among them, and nobody dials himself.
    seeds.routers.retain(|info| info.hash() != hash);

    let published = run::published(&config, &hash)?;
    let shard_count = run::shards(&config)?;
    probe::check_descriptors(&allowance, launch::descriptors_min(shard_count))?;
    let (side, listeners) = tcp::listen(published, shard_count)?;
    let metrics = run::listen_for_metrics(&config)?;
    run::log_start(&config, &side, &seeds);

    let prepared = control_thread::prepare(metrics, run::listen_for_control(&data_dir))?;
    let node = Arc::new(run::node(&config, Arc::new(keys), published, shard_count)?);
    let first = Arc::clone(&node);
    let known = seeds.count_since(unix_time() - SEED_AGE_MAX);
    let routers = seeds.routers;
    let running = launch::start(Plan {
        clock: process_clock,
        listeners,
        dial_from: side.dial_from,
        router_info_path: config.data_dir.join("router.info"),
        last_seen_path: clock::last_seen_of(&config.data_dir),
        records: Some(records),
        allowance,
        make: move |shard, rng, now| {
            let mut shard = Shard::new(Arc::clone(&first), shard, &routers, rng, now);
            shard.handle(Input::Profiles(Arc::clone(&profiles)), now);
            shard
        },
    })?;
    let shards = running.lines().to_vec();
    let reseeder = Reseeder::new(shards.clone(), hash);
    if known < KNOWN_MIN {
        reseeder.ask(&config)?;
    }
    let program = Arc::new(Live::new(LiveParts {
        args: args.clone(),
        config,
        node,
        log,
        clock: process_clock,
        reseeder,
        records: running.records().cloned(),
    }));
    let control = prepared.start(ControlPlan { shards, program, clock: process_clock })?;
    writeln!(std::io::stdout(), "{}", run::ready_line(&hash, published, shard_count))?;

    running.wait()?;
    control.finish();
    drop(data_dir);
    tracing::info!("stopped");
    Ok(())
}
