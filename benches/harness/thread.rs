//! Where the threads of a benchmark run.

use floodway::runtime::sys::allowed_cpus;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Two CPUs to pin threads to: the first two that this process may use.
///
/// # Panics
/// Where there is one only: then nothing can be measured beside something else.
pub fn two_cpus() -> [usize; 2] {
    match allowed_cpus().expect("a process knows its CPUs").as_slice() {
        [first, second, ..] => [*first, *second],
        _ => unreachable!("these benchmarks need two CPUs"),
    }
}

/// Keeps the calling thread on one CPU.
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).expect("a CPU of ours");
}
