//! What was started is gone after a stop: threads, tasks, frames, memory, descriptors, files. A test alone in its process,
//! since it counts them all.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panic, and this one waits in real time"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::time::{Duration, Instant};

use floodway::actor::node::NodeConfig;
use floodway::app::args::{Command, CommandLine};
use floodway::app::config::{Build, Config};
use floodway::app::data_dir::DataDir;
use floodway::app::live::{Live, LiveParts};
use floodway::app::reseed::background::Reseeder;
use floodway::app::{identity, log, run};
use floodway::base::frame::{FRAME_HEADROOM, POOLED_MAX};
use floodway::runtime::clock::Clock;
use floodway::runtime::control::socket::{Request, ask};
use floodway::runtime::control::{ControlPlan, prepare, stop_all};
use floodway::runtime::launch::{self, Plan};
use floodway::runtime::record_file::RecordFile;
use floodway::runtime::{probe, tcp};
use floodway::shard::core::Shard;
use loadtest::swarm::{Pace, Swarm, SwarmConfig};
use loadtest::target::{NETWORK, read_subject};
use loadtest::tunnels::ROLES;

/// Of each router here.
const SHARDS: u16 = 2;
/// Routers that one after the other run and stop here.
const ROUTERS: u16 = 3;

/// Bytes that are allocated now.
static BYTES: AtomicIsize = AtomicIsize::new(0);
/// Allocations of the size of a frame's buffer that are live now: those of frames, and the odd other one.
static FRAMES: AtomicIsize = AtomicIsize::new(0);

fn size(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

fn count(bytes: usize, sign: isize) {
    BYTES.fetch_add(sign * size(bytes), Ordering::Relaxed);
    if bytes == FRAME_HEADROOM + POOLED_MAX {
        FRAMES.fetch_add(sign, Ordering::Relaxed);
    }
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of it and allocates none.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: as our caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as our caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: as our caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let target = |path| fs::read_link(path).map(|target| target.display().to_string());
    // Sockets and pipes have numbers that differ; what counts is how many of each kind there are.
    let kind = |text: String| match text.split_once(":[") {
        Some((kind @ ("socket" | "pipe"), _)) => kind.to_owned(),
        Some(_) | None => text,
    };
    let mut found: Vec<_> = entries.filter_map(|path| target(path).ok()).map(kind).collect();
    found.sort();
    found
}

fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let name = |task: std::path::PathBuf| fs::read_to_string(task.join("comm")).unwrap_or_default();
    let mut names: Vec<_> = tasks.map(|task| name(task).trim().to_owned()).collect();
    names.sort();
    names
}

/// Whether a thread is one that a router starts.
fn is_ours(name: &str) -> bool {
    name.starts_with("shard-") || name == "disk" || name == "control"
}

/// Runs an executor on which nothing happens.
fn executor_once() {
    let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound);
    builder.spawn(|| glommio::timer::sleep(Duration::from_micros(1))).unwrap().join().unwrap();
}

/// What is there more after `what` than before, given time to go.
fn left_by(what: impl FnOnce()) -> Vec<String> {
    let all = || [threads(), descriptors()].concat();
    let before = all();
    what();
    let mut left = Vec::new();
    for _ in 0..50 {
        left = all();
        for known in &before {
            if let Some(place) = left.iter().position(|name| name == known) {
                left.swap_remove(place);
            }
        }
        if left.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    left.sort();
    left
}

/// Has tunnels of every role carry messages through the router in `directory` until they are held up in it, and goes.
fn load(directory: &Path) {
    let clock = loadtest::clock::Clock::start();
    let config = SwarmConfig {
        index: 224,
        routers: 4,
        network: NETWORK,
        seed: 6,
        capabilities: "OR".to_owned(),
        content_size: 940,
    };
    let before = FRAMES.load(Ordering::Relaxed);
    let mut swarm = Swarm::new(config, clock, Arc::new(AtomicBool::new(false))).unwrap();
    let path = directory.join("router.info");
    let start = Instant::now();
    let subject = loop {
        if let Some(subject) = read_subject(&path) {
            break subject;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "no {}", path.display());
        std::thread::sleep(Duration::from_millis(20));
    };
    swarm.introduce(subject).unwrap();
    for role in ROLES {
        assert_eq!(swarm.build(role, 2).unwrap().built, 2, "{role}");
    }
    swarm.set_pace(Pace::Window(64));
    swarm.run(Duration::from_millis(500)).unwrap();
    assert!(swarm.totals().1 > 100, "nothing is carried");
    // So that the count that is asserted afterwards can be trusted to see frames.
    assert!(FRAMES.load(Ordering::Relaxed) > before + 32, "no frame was lent");
}

/// Starts a router in `directory` as the program does, loads it, and stops it while that holds.
fn live_once(directory: &Path) {
    // That of the last run names another port.
    let _ = fs::remove_file(directory.join("router.info"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let place = directory.to_str().unwrap();
    let network = NETWORK.to_string();
    let text = ["floodway", "run", "--network-id", &network, "--host", "127.0.0.1"];
    let more = ["--port", &port, "--data-dir", place, "--allow-private"];
    let line = CommandLine::try_read(text.into_iter().chain(more)).unwrap();
    let Command::Run(args) = line.command else { unreachable!("it says run") };
    let config = Config::load(&args, Build::this()).unwrap();
    let clock = Clock::start();
    let data_dir = DataDir::take(directory).unwrap();
    let keys = identity::load_or_create(directory).unwrap();
    let published = run::published(&config, &keys.identity.hash()).unwrap();
    let (side, listeners) = tcp::listen(published, SHARDS).unwrap();
    let prepared = prepare(None, run::listen_for_control(&data_dir)).unwrap();
    let records = RecordFile::open(&directory.join("netdb.redb")).unwrap().file;
    let node: Arc<NodeConfig> =
        Arc::new(run::node(&config, Arc::new(keys), published, SHARDS).unwrap());
    let first = Arc::clone(&node);
    let running = launch::start(Plan {
        clock,
        listeners,
        dial_from: side.dial_from,
        router_info_path: directory.join("router.info"),
        last_seen_path: directory.join("last_seen"),
        records: Some(records),
        allowance: probe::check().unwrap(),
        make: move |shard, rng, now| Shard::new(Arc::clone(&first), shard, &[], rng, now),
    })
    .unwrap();
    let lines = running.lines().to_vec();
    let log = log::start(config.log_level, config.log_format);
    let reseeder = Reseeder::new(lines.clone(), node.hash());
    let records = running.records().cloned();
    let parts = LiveParts { args, config, node, log, clock, reseeder, records };
    let program = Arc::new(Live::new(parts));
    let control = prepared.start(ControlPlan { shards: lines.clone(), program, clock }).unwrap();
    assert_eq!(ask(&data_dir.socket(), Request::Status).unwrap()["shards_answering"], 2);
    load(directory);
    assert!(threads().iter().any(|name| name == "shard-1"), "{:?}", threads());
    stop_all(&lines);
    running.wait().unwrap();
    control.finish();
    assert!(data_dir.socket().exists());
}

#[test]
fn nothing_is_left_of_a_router_that_has_stopped() {
    let directory = tempfile::tempdir().unwrap();
    // Libraries keep a thing or two for the process when they are first used.
    live_once(directory.path());
    let start = Instant::now();
    while threads().iter().any(|name| is_ours(name)) {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", threads());
        std::thread::sleep(Duration::from_millis(20));
    }
    // glommio leaves something of each executor, whatever ran on it.
    let counts = || (BYTES.load(Ordering::Relaxed), FRAMES.load(Ordering::Relaxed));
    let (bytes, frames) = counts();
    let bare = left_by(|| (0..ROUTERS * SHARDS).for_each(|_| executor_once()));
    let (bare_bytes, bare_frames) = (counts().0 - bytes, counts().1 - frames);
    let (bytes, frames) = counts();
    let ours = left_by(|| (0..ROUTERS).for_each(|_| live_once(directory.path())));
    assert_eq!(ours, bare);
    assert_eq!(counts().1 - frames, bare_frames, "frames");
    // A task that is left over, as glommio leaves those that are detached when it ends, weighs some kilobytes.
    let bytes = counts().0 - bytes;
    let allowed = bare_bytes + 1024 * isize::try_from(ROUTERS).unwrap();
    assert!(bytes <= allowed, "{bytes} bytes left, {bare_bytes} of them by bare executors");
    assert!(!directory.path().join("control.sock").exists());
    let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut files: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["last_seen", "lock", "netdb.redb", "router.info", "router.keys"]);
}
