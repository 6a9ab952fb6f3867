//! How much memory this process may have: that of the machine, or what its control groups leave of it.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of memory that this process may use; `None` where the system does not say.
#[must_use]
pub fn allowed() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| group_of(&text));
    let limit = group.and_then(|group| limit_of(Path::new("/sys/fs/cgroup"), &group));
    [machine, limit].into_iter().flatten().min()
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn total_of(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The group of version 2 in /proc/self/cgroup, such as `/system.slice/floodway.service`.
fn group_of(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// The least of the limits of a group and those around it. Inside a container its own group is the root of what it sees.
fn limit_of(root: &Path, group: &str) -> Option<u64> {
    let mut place = PathBuf::from(root);
    place.push(group.trim_start_matches('/'));
    let limits =
        place.ancestors().take_while(|place| place.starts_with(root)).filter_map(|place| {
            let text = fs::read_to_string(place.join("memory.max")).ok()?;
            // "max" is no limit, and no number.
            text.trim().parse().ok()
        });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_some() {
        let text = "MemTotal:       16384 kB\nMemFree:  1 kB\n";
        assert_eq!(total_of(text), Some(16 << 20));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        assert!(allowed().is_some_and(|bytes| bytes > 64 << 20));
    }

    #[test]
    fn the_narrowest_group_around_us_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let group = group_of("12:cpu:/x\n0::/a/b\n").unwrap();
        assert_eq!(limit_of(root.path(), &group), None);
        fs::write(root.path().join("a/memory.max"), "1000\n").unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit_of(root.path(), &group), Some(1000));
        fs::write(inner.join("memory.max"), "900\n").unwrap();
        assert_eq!(limit_of(root.path(), &group), Some(900));
        assert_eq!(limit_of(root.path(), "/../.."), None, "what lies outside is not ours to see");
    }
}
