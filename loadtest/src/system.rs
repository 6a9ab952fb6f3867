//! What the system tells about a process and about the machine.

use std::fs;
use std::io;
use std::time::Duration;

use serde::Serialize;

/// CPU time that a process has used with all its threads, those that have ended too: user and system time of
/// `/proc/PID/stat`, in steps of 10 ms.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = parse_ticks(&stat)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/PID/stat"))?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_micros(ticks.saturating_mul(1_000_000) / per_second))
}

/// Fields 14 and 15; the second field, a name in brackets, may hold anything.
fn parse_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// Time that the threads of a process, those that have not ended, could have run and had to wait for a processor, from
/// the second field of `/proc/PID/task/TID/schedstat`: zero where the kernel does not keep it.
///
/// # Errors
/// When there is no such process.
pub fn waiting_time(pid: u32) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let schedstat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let waited = schedstat.split_ascii_whitespace().nth(1).and_then(|ns| ns.parse().ok());
        sum += Duration::from_nanos(waited.unwrap_or(0));
    }
    Ok(sum)
}

/// Resident memory of a process in bytes: now, and at most so far.
///
/// # Errors
/// When there is no such process.
pub fn memory(pid: u32) -> io::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib * 1024)
    };
    Ok((field("VmRSS:").unwrap_or(0), field("VmHWM:").unwrap_or(0)))
}

/// Threads of a process.
#[must_use]
pub fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// The machine, as far as it matters for comparing figures.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Name of the processor model.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Release of the kernel.
    pub kernel: String,
}

impl Machine {
    /// The machine that this runs on.
    #[must_use]
    pub fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown", |(_, name)| name.trim());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cpu: cpu.to_owned(), cores, kernel: kernel.trim().to_owned() }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} cores, Linux {}", self.cpu, self.cores, self.kernel)
    }
}

/// A UTC date and time of day, `2026-01-31 23:59`.
#[must_use]
pub fn date(unix: floodway::base::time::UnixTime) -> String {
    let minutes = unix.0 / 60_000;
    let (days, minutes) = (minutes / 1440, minutes % 1440);
    let (mut year, mut left) = (1970, days);
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02}", left + 1, minutes / 60, minutes % 60)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use floodway::base::time::UnixTime;

    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_trouble() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 70 30 0 0 20 0";
        assert_eq!(parse_ticks(stat), Some(100));
        assert_eq!(parse_ticks("12 (a"), None);
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let pid = std::process::id();
        assert!(cpu_time(pid).is_ok());
        let (now, most) = memory(pid).unwrap();
        assert!(now > 0 && most >= now);
        assert!(threads(pid) >= 1);
        assert!(cpu_time(u32::MAX).is_err());
        assert!(waiting_time(pid).is_ok() && waiting_time(u32::MAX).is_err());
    }

    #[test]
    fn dates() {
        assert_eq!(date(UnixTime(0)), "1970-01-01 00:00");
        assert_eq!(date(UnixTime(951_782_399_000)), "2000-02-28 23:59");
        assert_eq!(date(UnixTime(951_868_799_000)), "2000-02-29 23:59");
        assert_eq!(date(UnixTime(1_768_478_400_000)), "2026-01-15 12:00");
        assert_eq!(date(UnixTime(1_798_761_540_000)), "2026-12-31 23:59");
    }
}
