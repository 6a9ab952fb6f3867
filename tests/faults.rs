//! What the machine withholds or takes away: each time a message that says what to change, or recovery.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panic, and these run programs in real time"
)]

#[path = "program/router.rs"]
#[allow(dead_code, reason = "shared by several tests, each of which uses a part")]
mod router;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use router::{Router, failure, floodway, free_port, run_in};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

const DAY: i64 = 86_400;

/// Runs a program whose calls to io_uring_setup all end with `errno`, as in a container with a strict profile.
fn without_io_uring(errno: i32, mut command: Command) -> Output {
    let rules = BTreeMap::from([(libc::SYS_io_uring_setup, Vec::new())]);
    let refusal = SeccompAction::Errno(errno.try_into().unwrap());
    let architecture = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, architecture).unwrap();
    let filter: BpfProgram = filter.try_into().unwrap();
    // A filter is one thread's and its children's: this thread ends with the call.
    let filtered = move || {
        seccompiler::apply_filter(&filter).unwrap();
        command.output().unwrap()
    };
    std::thread::spawn(filtered).join().unwrap()
}

/// The program under limits of the shell's `ulimit`.
fn limited(limit: &str) -> Command {
    let plain = floodway(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {limit} && exec \"$@\""), "sh"]);
    command.arg(plain.get_program());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn run_arguments(command: &mut Command, directory: &Path) {
    command.args(["run", "--network-id", "99", "--host", "127.0.0.1", "--data-dir"]);
    command.arg(directory).args(["--port", &free_port().to_string()]);
}

#[test]
fn io_uring_behind_a_seccomp_filter_is_named_with_the_remedy() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = floodway(&[]);
        run_arguments(&mut command, directory.path());
        let output = without_io_uring(errno, command);
        assert_eq!(output.status.code(), Some(1));
        let text = errors(&output);
        assert!(text.contains("io_uring is blocked by a seccomp profile"), "{text}");
        assert!(text.contains("--security-opt seccomp="), "{text}");

        let mut check =
            floodway(&["check", "--network-id", "99", "--host", "127.0.0.1", "--data-dir"]);
        check.arg(directory.path());
        let output = without_io_uring(errno, check);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("FAIL  io_uring: io_uring is blocked"), "{text}");
        assert!(text.contains("ok    data directory"), "the other points are checked too: {text}");
    }
}

#[test]
fn too_little_locked_memory_is_named_with_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = limited("-l 64");
    run_arguments(&mut command, directory.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(text.contains("only 65536 bytes of memory may be locked"), "{text}");
    assert!(text.contains("memlock=-1:-1"), "{text}");
}

#[test]
fn too_few_descriptors_are_named_and_few_are_lived_with() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = limited("-n 64");
    run_arguments(&mut command, directory.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(
        text.contains("only 64 descriptors may be open") && text.contains("ulimit -n"),
        "{text}"
    );

    let mut router = Router::start_by(limited("-n 200"), directory.path(), &["--shards", "1"]);
    let crowd: Vec<_> =
        (0..300).filter_map(|_| TcpStream::connect(("127.0.0.1", router.port)).ok()).collect();
    // With more peers at the door than may come in, its owner still gets in.
    assert!(router.get("/livez").ends_with("ok\n"));
    let status = run_in(directory.path(), &["status"]);
    assert!(status.status.success(), "{}", errors(&status));
    let before = cpu_time(router.child.id());
    std::thread::sleep(Duration::from_secs(2));
    let used = cpu_time(router.child.id()) - before;
    assert!(used < Duration::from_millis(1000), "{used:?} of CPU in 2 s: it turns in circles");
    let turned_away = metric(&router, "floodway_drops_total{reason=\"connections_full\"");
    assert!(turned_away > 0, "{}", router.get("/metrics"));
    drop(crowd);
    router.signal("-TERM");
    assert_eq!(router.exit_code(), Some(0));
}

/// CPU time that a process has used.
fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// The sum of the lines of the metrics that begin so.
fn metric(router: &Router, start: &str) -> u64 {
    let text = router.get("/metrics");
    let lines = text.lines().filter(|line| line.starts_with(start));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// A library that shifts the wall clock of the program that is started with it.
fn shifting_library(directory: &Path) -> PathBuf {
    let (source, library) = (directory.join("shift.c"), directory.join("shift.so"));
    let code = r#"
        #include <stdlib.h>
        #include <sys/syscall.h>
        #include <time.h>
        #include <unistd.h>
        int clock_gettime(clockid_t clock, struct timespec *at) {
            int result = (int)syscall(SYS_clock_gettime, clock, at);
            const char *shift = getenv("SHIFT_SECONDS");
            if (result == 0 && clock == CLOCK_REALTIME && shift) at->tv_sec += atoll(shift);
            return result;
        }
    "#;
    fs::write(&source, code).unwrap();
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    assert!(compile.status().unwrap().success(), "a C compiler is needed, as for the build");
    library
}

fn shifted(library: &Path, seconds: i64) -> Command {
    let mut command = floodway(&[]);
    command.env("LD_PRELOAD", library).env("SHIFT_SECONDS", seconds.to_string());
    command
}

fn seconds_now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

#[test]
fn a_clock_that_is_a_day_behind_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let library = shifting_library(directory.path());
    let data = directory.path().join("data");

    // Before the first run there is only the date of the build, which lies a little back.
    let mut command = shifted(&library, -400 * DAY);
    run_arguments(&mut command, &data);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(text.contains("the clock is wrong") && text.contains("was built on"), "{text}");

    // A run notes the time, also where it ends badly.
    let mut first = Router::start(&data, &["--shards", "1"]);
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let note = fs::read_to_string(data.join("last_seen")).unwrap();
    let noted: i64 = note.trim().parse().unwrap();
    assert!((seconds_now() - noted).abs() < 60, "{note}");

    let mut command = shifted(&library, -DAY);
    run_arguments(&mut command, &data);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    let file = data.join("last_seen");
    assert!(text.contains("has run on") && text.contains(file.to_str().unwrap()), "{text}");
    let mut check = shifted(&library, -DAY);
    check.args(["check", "--network-id", "99", "--host", "127.0.0.1", "--data-dir"]).arg(&data);
    let text = String::from_utf8(check.output().unwrap().stdout).unwrap();
    assert!(text.contains("FAIL  clock: the clock is wrong"), "{text}");

    // Where it was wrong before, the remedy of the message helps.
    fs::write(&file, (seconds_now() + DAY).to_string()).unwrap();
    let (code, text) = failure(&data, &["--network-id", "99", "--host", "127.0.0.1"]);
    assert_eq!(code, 1);
    assert!(text.contains("if it was wrong then"), "{text}");
    fs::remove_file(&file).unwrap();
    let mut router = Router::start(&data, &["--shards", "1"]);
    router.signal("-TERM");
    assert_eq!(router.exit_code(), Some(0));
}

#[test]
fn a_router_that_is_killed_starts_again_as_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let mut hash = None;
    for pause in [0, 3, 20, 100] {
        let mut router = Router::start(directory.path(), &["--shards", "2"]);
        let found = router.ready.split(' ').nth(2).unwrap().to_owned();
        assert_eq!(*hash.get_or_insert(found.clone()), found);
        std::thread::sleep(Duration::from_millis(pause));
        router.child.kill().unwrap();
        router.child.wait().unwrap();
    }
    let mut router = Router::start(directory.path(), &["--shards", "2"]);
    assert!(router.get("/readyz").ends_with("ok\n"));
    router.signal("-TERM");
    assert_eq!(router.exit_code(), Some(0));
}

#[test]
fn a_router_runs_on_the_cpus_that_it_is_given_and_with_any_number_of_shards() {
    let directory = tempfile::tempdir().unwrap();
    let cpus = fs::read_to_string("/proc/self/status").unwrap();
    let cpus = cpus.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let last = cpus.trim().rsplit([',', '-']).next().unwrap();
    let plain = floodway(&[]);
    let pinned = || {
        let mut command = Command::new("taskset");
        command.args(["-c", last]).arg(plain.get_program());
        command
    };
    let runs: [(Command, &[&str], usize); 4] = [
        (pinned(), &[], 1),
        (floodway(&[]), &["--shards", "1"], 1),
        (floodway(&[]), &["--shards", "2"], 2),
        (pinned(), &["--shards", "8"], 8),
    ];
    for (command, more, shards) in runs {
        let mut router = Router::start_by(command, directory.path(), more);
        assert!(router.ready.ends_with(&format!(", {shards} shards\n")), "{}", router.ready);
        assert!(router.get("/readyz").ends_with("ok\n"));
        let names = thread_names(router.child.id());
        // The executor has a thread of its own beside each shard, of the same name.
        let found: BTreeSet<_> = names.iter().filter(|name| name.starts_with("shard-")).collect();
        assert_eq!(found.len(), shards, "{names:?}");
        router.signal("-TERM");
        assert_eq!(router.exit_code(), Some(0), "{shards} shards");
    }
}

fn thread_names(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let name = |task: PathBuf| fs::read_to_string(task.join("comm")).unwrap_or_default();
    tasks.map(|task| name(task.unwrap().path()).trim().to_owned()).collect()
}

#[test]
fn a_disk_that_does_not_take_files_stops_nothing() {
    // The data directory vanishes under a running router: its files are not written, and it runs on.
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut router = Router::start(&data, &["--shards", "1"]);
    fs::rename(&data, directory.path().join("gone")).unwrap();
    assert!(router.get("/readyz").ends_with("ok\n"));
    router.signal("-TERM");
    assert_eq!(router.exit_code(), Some(0));
}

// Standard input is nobody's: a router must not wait for it.
#[test]
fn a_router_needs_no_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = floodway(&[]);
    command.stdin(Stdio::null());
    let mut router = Router::start_by(command, directory.path(), &["--shards", "1"]);
    router.signal("-INT");
    assert_eq!(router.exit_code(), Some(0));
}
