//! What the system says of another process.

use std::fs;
use std::time::Duration;

use crate::clock::cpu_time_of;

/// CPU time of all its threads together.
pub fn cpu_time(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let names = threads.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.map(|thread| cpu_time_of(&format!("{process}/task/{thread}"))).sum()
}

/// Memory that it occupies, in KiB.
pub fn memory(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|text| text.parse().ok()).expect("a process has memory, in kB")
}
