//! What the router knows of others, on disk: read at the start, and shown by `floodway netdb`.

mod source;
mod stats;

use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use serde_json::{Map, Value, json};

pub use self::source::{Source, SourceError};
use self::stats::Stats;
use crate::app::args::{NetdbCommand, NetdbExportArgs, NetdbShowArgs, NetdbStatsArgs};
use crate::app::config::{ConfigError, resolve_data_dir};
use crate::app::inspect;
use crate::app::reseed::Seeds;
use crate::base::id::RouterHash;
use crate::proto::peer::conduct::Profile;
use crate::runtime::clock;
use crate::runtime::record_file::{Changes, Entries, RecordFile, RecordFileError, Table};
use crate::wire::base64;

/// The netdb's file in a data directory.
const FILE: &str = "netdb.redb";
/// RouterInfos that are read of the file at once.
const PAGE: usize = 4096;

/// A command cannot be obeyed.
#[derive(Debug, thiserror::Error)]
pub enum NetdbError {
    /// The data directory is unknown.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The netdb cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Not the name of a router.
    #[error(
        "{found:?} is no router's hash: that is 44 characters of I2P's base64, as `floodway status` shows it"
    )]
    Hash {
        /// What was given.
        found: String,
    },
    /// The router is not known.
    #[error("router {} is not in the netdb", base64::encode(&router.0))]
    Unknown {
        /// Which.
        router: RouterHash,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The answer cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Where the netdb's file of a data directory is.
#[must_use]
pub fn file_of(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Opens the netdb's file for a router that starts, and reads the routers of `network` in it. A file that is damaged is set
/// aside, with a line in the log.
///
/// # Errors
/// When the system does not let us.
pub fn load(data_dir: &Path, network: u8) -> Result<(RecordFile, Seeds), RecordFileError> {
    let opened = RecordFile::open(&file_of(data_dir))?;
    if let Some((aside, reason)) = opened.set_aside {
        tracing::warn!(
            aside = %aside.display(), %reason,
            "the netdb's file is damaged: a new one is begun, and routers are looked for as at a first start"
        );
    }
    let mut seeds = Seeds::default();
    let mut after = None;
    loop {
        let page = opened.file.page(after, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        seeds.add(verify(&page, network));
    }
    Ok((opened.file, seeds))
}

/// What earlier runs have seen of routers, out of the file of a router that starts. What is no profile is taken out of it.
///
/// # Errors
/// When the file cannot be read or written.
pub fn profiles(file: &RecordFile) -> Result<Arc<[(RouterHash, Profile)]>, RecordFileError> {
    let entries = file.profiles()?.into_iter();
    let read = entries.map(|(router, bytes)| (router, Profile::read(&bytes)));
    let (good, bad): (Vec<_>, Vec<_>) = read.partition(|(_, profile)| profile.is_some());
    if !bad.is_empty() {
        let changes: Changes = bad.into_iter().map(|(router, _)| (router, None)).collect();
        file.commit(Table::Profiles, &changes)?;
    }
    Ok(good.into_iter().filter_map(|(router, profile)| Some((router, profile?))).collect())
}

/// Reads and verifies router infos, on all CPUs: at 30 us each a full netdb would hold up the start for seconds.
fn verify(entries: &Entries, network: u8) -> Seeds {
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = entries.len().div_ceil(workers).max(1);
    let mut all = Seeds::default();
    thread::scope(|scope| {
        let workers: Vec<_> = entries
            .chunks(share)
            .map(|share| {
                scope.spawn(move || {
                    let mut seeds = Seeds::default();
                    for (router, info) in share {
                        seeds.take(base64::encode(&router.0), info, network);
                    }
                    seeds
                })
            })
            .collect();
        for worker in workers {
            // One that failed has nothing to add.
            all.add(worker.join().unwrap_or_default());
        }
    });
    all
}

/// Obeys a command of `floodway netdb`.
///
/// # Errors
/// When the netdb cannot be read, or the result not be written.
pub fn run(command: &NetdbCommand) -> Result<(), NetdbError> {
    match command {
        NetdbCommand::Stats(args) => stats(args),
        NetdbCommand::Show(args) => show(args),
        NetdbCommand::Export(args) => export(args),
    }
}

fn stats(args: &NetdbStatsArgs) -> Result<(), NetdbError> {
    let source = source_of(args.common.data_dir.as_deref())?;
    let mut stats = Stats::new(clock::unix_time());
    source.for_each(|_, info| {
        stats.take(info);
        Ok::<(), NetdbError>(())
    })?;
    let mut fields = stats.into_fields();
    fields.insert(0, ("from".to_owned(), json!(source.name())));
    Ok(write_fields(&fields, args.json)?)
}

fn show(args: &NetdbShowArgs) -> Result<(), NetdbError> {
    let bytes = base64::decode(&args.router).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let router = bytes.map(RouterHash);
    let router = router.ok_or_else(|| NetdbError::Hash { found: args.router.clone() })?;
    let source = source_of(args.common.data_dir.as_deref())?;
    let info = source.find(&router)?.ok_or(NetdbError::Unknown { router })?;
    Ok(write_fields(&inspect::router_info_fields(&info), args.json)?)
}

fn export(args: &NetdbExportArgs) -> Result<(), NetdbError> {
    let source = source_of(args.common.data_dir.as_deref())?;
    let mut written = 0;
    source.for_each(|router, info| {
        let name = base64::encode(&router.0);
        let shelf = args.directory.join(format!("r{}", &name[..1]));
        let path = shelf.join(format!("routerInfo-{name}.dat"));
        let failed = |error| NetdbError::Write { path: path.clone(), error };
        fs::create_dir_all(&shelf).map_err(failed)?;
        // Not made sure of on the disk, as a router's own files are: ten thousands of them would take minutes.
        fs::write(&path, info).map_err(failed)?;
        written += 1;
        Ok::<(), NetdbError>(())
    })?;
    let directory = args.directory.display().to_string();
    let mut out = io::stdout();
    if args.json {
        writeln!(out, "{}", json!({ "directory": directory, "routers": written }))?;
    } else {
        writeln!(out, "{directory}: {written} routers")?;
    }
    Ok(())
}

fn source_of(data_dir: Option<&Path>) -> Result<Source, NetdbError> {
    Ok(Source::open(&resolve_data_dir(data_dir)?)?)
}

fn write_fields(fields: &[(String, Value)], json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let object: Map<_, _> = fields.iter().cloned().collect();
        writeln!(out, "{}", Value::Object(object))
    } else {
        inspect::write_text(&mut out, fields)
    }
}

#[cfg(test)]
mod tests;
