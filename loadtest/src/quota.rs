//! A bound on the CPU time of a process, so that a load tool on the same machine can offer more than it can do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The time of which a quota is a part: short, so that what is measured is a slow processor and no pauses.
const PERIOD: Duration = Duration::from_millis(10);
/// Where the kernel shows control groups of version 1 that bound CPU time.
const VERSION_1: &str = "/sys/fs/cgroup/cpu";
/// Where it shows those of version 2.
const VERSION_2: &str = "/sys/fs/cgroup";

/// A control group with one process in it. Dropping it lets the process go and removes the group.
#[derive(Debug)]
pub struct CpuQuota {
    group: PathBuf,
    parent: PathBuf,
    pid: u32,
}

impl CpuQuota {
    /// Lets process `pid` have `percent` of one processor from now on, with all its threads together.
    ///
    /// # Errors
    /// When control groups are not to be had here: it takes root, and a system that shows them.
    pub fn new(pid: u32, percent: u32) -> Result<Self> {
        let told = "a CPU quota needs control groups and the right to make one: run this as root, outside a container";
        Self::make(pid, percent).context(told)
    }

    fn make(pid: u32, percent: u32) -> Result<Self> {
        let period = PERIOD.as_micros();
        let quota = period * u128::from(percent) / 100;
        let parent = if Path::new(VERSION_1).join("cgroup.procs").is_file() {
            PathBuf::from(VERSION_1)
        } else if has_controller(Path::new(VERSION_2)) {
            // Already there on most systems, and then no harm.
            write(&Path::new(VERSION_2).join("cgroup.subtree_control"), "+cpu")?;
            PathBuf::from(VERSION_2)
        } else {
            bail!("no control group bounds CPU time here");
        };
        let group = parent.join(format!("floodway-loadtest-{pid}"));
        fs::create_dir(&group).with_context(|| group.display().to_string())?;
        let made = Self { group, parent, pid };
        if made.parent == Path::new(VERSION_1) {
            write(&made.group.join("cpu.cfs_period_us"), &period.to_string())?;
            write(&made.group.join("cpu.cfs_quota_us"), &quota.to_string())?;
        } else {
            write(&made.group.join("cpu.max"), &format!("{quota} {period}"))?;
        }
        write(&made.group.join("cgroup.procs"), &pid.to_string())?;
        Ok(made)
    }
}

impl Drop for CpuQuota {
    fn drop(&mut self) {
        // A process that has ended cannot be moved, and leaves the group empty.
        let _ = fs::write(self.parent.join("cgroup.procs"), self.pid.to_string());
        let _ = fs::remove_dir(&self.group);
    }
}

fn has_controller(root: &Path) -> bool {
    let controllers = fs::read_to_string(root.join("cgroup.controllers"));
    controllers.is_ok_and(|names| names.split_ascii_whitespace().any(|name| name == "cpu"))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(|error: io::Error| {
        anyhow::anyhow!("cannot write {text} to {}: {error}", file.display())
    })
}
