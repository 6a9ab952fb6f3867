//! Whether this machine lets us run: io_uring, locked memory, descriptors; and what to change where it does not.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use crate::base::slab::SlabKey;
use crate::runtime::ring::{Onward, Outcome, Ring, RingError, RingSize, Tag};
use crate::runtime::sys::{self, Limit, Resource};

/// Oldest kernel that we run on.
pub const KERNEL_MIN: KernelVersion = KernelVersion { major: 6, minor: 1 };
/// Locked memory below which glommio refuses to start, in bytes.
pub const LOCKED_MEMORY_MIN: u64 = 512 * 1024;

/// Version of the running kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
}

impl KernelVersion {
    /// Reads the first two numbers of a release name such as `6.1.0-18-amd64`.
    #[must_use]
    pub fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Self { major, minor })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What the system says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The kernel, where /proc names it.
    pub kernel: Option<KernelVersion>,
    /// Value of kernel.io_uring_disabled, where the kernel has it.
    pub io_uring_disabled: Option<u32>,
    /// Whether a seccomp filter is on this process.
    pub seccomp: bool,
}

impl Facts {
    /// Reads them from /proc; what cannot be read is absent.
    #[must_use]
    pub fn read() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/self/status");
        let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Self {
            kernel: KernelVersion::parse(&read("/proc/sys/kernel/osrelease")),
            io_uring_disabled: read("/proc/sys/kernel/io_uring_disabled").trim().parse().ok(),
            seccomp: seccomp.is_some_and(|mode| mode.trim() == "2"),
        }
    }
}

/// Why we cannot run here. Each message says what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The kernel is too old.
    #[error(
        "the kernel is {found}, and Floodway needs {KERNEL_MIN} or later: run it on a newer kernel"
    )]
    KernelTooOld {
        /// What runs.
        found: KernelVersion,
    },
    /// A seccomp filter withholds the system calls.
    #[error(
        "io_uring is blocked by a seccomp profile (error {errno}): start the container with a profile that allows \
         io_uring_setup, io_uring_enter and io_uring_register, for example \
         --security-opt seccomp=deploy/seccomp-io-uring.json"
    )]
    Seccomp {
        /// 1 (EPERM) or 38 (ENOSYS).
        errno: i32,
    },
    /// The administrator has switched io_uring off for everyone.
    #[error(
        "io_uring is switched off on this host: kernel.io_uring_disabled is 2; set it to 0 with \
         `sysctl kernel.io_uring_disabled=0` on the host"
    )]
    DisabledForAll,
    /// The administrator has switched io_uring off for ordinary users.
    #[error(
        "io_uring is reserved on this host: kernel.io_uring_disabled is 1; set it to 0 with \
         `sysctl kernel.io_uring_disabled=0`, or set kernel.io_uring_group to a group of this user"
    )]
    DisabledForUsers,
    /// The kernel was built without io_uring.
    #[error(
        "this kernel has no io_uring (error {errno}): run a kernel that is built with CONFIG_IO_URING"
    )]
    NotBuilt {
        /// 38 (ENOSYS), as a rule.
        errno: i32,
    },
    /// Not enough memory may be locked.
    #[error(
        "only {allowed} bytes of memory may be locked, and {LOCKED_MEMORY_MIN} are needed: raise the limit with \
         `ulimit -l unlimited`, `--ulimit memlock=-1:-1` for a container, or LimitMEMLOCK=infinity for a service"
    )]
    LockedMemory {
        /// Hard limit, in bytes.
        allowed: u64,
    },
    /// Not enough descriptors may be open.
    #[error(
        "only {allowed} descriptors may be open, and {needed} are the least for this number of shards: raise the limit \
         with `ulimit -n 65536`, `--ulimit nofile=65536:65536` for a container, or LimitNOFILE=65536 for a service, or \
         run fewer shards with --shards"
    )]
    Descriptors {
        /// Hard limit.
        allowed: u64,
        /// What it takes.
        needed: u64,
    },
    /// A ring cannot be made for want of memory.
    #[error(
        "no memory for an io_uring: the locked memory of this user is used up; raise the limit with \
         `ulimit -l unlimited`, `--ulimit memlock=-1:-1` for a container, or LimitMEMLOCK=infinity for a service"
    )]
    RingMemory,
    /// A ring can be made, but without something that the network ring uses.
    #[error(
        "io_uring of this kernel lacks {what} (error {errno}), which Linux {KERNEL_MIN} has: run it on a newer kernel, or on \
         one without restrictions of io_uring"
    )]
    Lacks {
        /// The missing thing.
        what: &'static str,
        /// What the kernel answered; 0 where it only said that it has no such thing.
        errno: i32,
    },
    /// There is no descriptor or no address space for the probe.
    #[error("io_uring cannot be tried: error {errno} of {what}")]
    Untried {
        /// What was refused.
        what: &'static str,
        /// What the kernel answered.
        errno: i32,
    },
    /// Something else.
    #[error("io_uring does not work here: error {errno} of io_uring_setup")]
    Other {
        /// What the kernel answered.
        errno: i32,
    },
}

/// What the machine allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Locked memory in bytes; `None` is no limit.
    pub locked_memory: Option<u64>,
    /// Descriptors that may be open.
    pub descriptors: Option<u64>,
}

/// Raises the limits as far as this process may and checks that io_uring works.
///
/// # Errors
/// The first [`Obstacle`].
pub fn check() -> Result<Allowance, Obstacle> {
    let facts = Facts::read();
    check_kernel(facts)?;
    let unknown = Limit { soft: None, hard: None };
    let locked = sys::raise_limit(Resource::LockedMemory).unwrap_or(unknown);
    let descriptors = sys::raise_limit(Resource::Descriptors).unwrap_or(unknown);
    // io_uring comes first: where it is switched off, more memory would not help.
    try_ring(facts)?;
    check_locked_memory(locked)?;
    Ok(Allowance { locked_memory: locked.soft, descriptors: descriptors.soft })
}

/// Makes a ring with all that a shard's network ring uses, and receives with it.
fn try_ring(facts: Facts) -> Result<(), Obstacle> {
    let untried = |what| {
        move |error: io::Error| Obstacle::Untried { what, errno: error.raw_os_error().unwrap_or(0) }
    };
    let notify = sys::event_counter().map_err(untried("eventfd"))?;
    let mut ring =
        Ring::new(RingSize::SMALL, notify.as_fd()).map_err(|error| diagnose_ring(&error, facts))?;
    let (ours, mut theirs) = UnixStream::pair().map_err(untried("socketpair"))?;
    theirs.write_all(&[0]).map_err(untried("write"))?;
    // Multishot accept is older than multishot receive, so this one speaks for both.
    ring.receive(Tag::Connection(SlabKey::from_bits(0)), Rc::new(OwnedFd::from(ours)));
    let lacks = |errno| Obstacle::Lacks { what: "multishot receive", errno };
    ring.wait().map_err(|error| lacks(error.raw_os_error().unwrap_or(0)))?;
    match ring.next_completion().map(|completion| completion.outcome) {
        Some(Outcome::Received(_, Onward::More)) => Ok(()),
        Some(Outcome::ReceiveEnded(error)) => Err(lacks(error.raw_os_error().unwrap_or(0))),
        Some(_) | None => Err(lacks(0)),
    }
}

/// What stands behind the failure to make a ring.
#[must_use]
pub fn diagnose_ring(error: &RingError, facts: Facts) -> Obstacle {
    let errno = |error: &io::Error| error.raw_os_error().unwrap_or(0);
    match error {
        RingError::Setup(error) => diagnose(error, facts),
        RingError::DeferredWork(error) => Obstacle::Lacks {
            what: "deferred task work (IORING_SETUP_DEFER_TASKRUN)",
            errno: errno(error),
        },
        RingError::Feature(what) | RingError::Operation(what) => Obstacle::Lacks { what, errno: 0 },
        RingError::Buffers(error) if errno(error) == libc::ENOMEM => Obstacle::RingMemory,
        RingError::Buffers(error) => Obstacle::Lacks {
            what: "shared receive buffers (IORING_REGISTER_PBUF_RING)",
            errno: errno(error),
        },
        RingError::Notification(error) => Obstacle::Lacks {
            what: "notification by eventfd (IORING_REGISTER_EVENTFD)",
            errno: errno(error),
        },
        RingError::BufferMemory(error) => Obstacle::Untried { what: "mmap", errno: errno(error) },
    }
}

fn check_kernel(facts: Facts) -> Result<(), Obstacle> {
    match facts.kernel {
        Some(found) if found < KERNEL_MIN => Err(Obstacle::KernelTooOld { found }),
        Some(_) | None => Ok(()),
    }
}

fn check_locked_memory(limit: Limit) -> Result<(), Obstacle> {
    match limit.soft {
        Some(allowed) if allowed < LOCKED_MEMORY_MIN => Err(Obstacle::LockedMemory { allowed }),
        Some(_) | None => Ok(()),
    }
}

/// Checks that `needed` descriptors may be open.
///
/// # Errors
/// When fewer may.
pub fn check_descriptors(allowance: &Allowance, needed: u64) -> Result<(), Obstacle> {
    match allowance.descriptors {
        Some(allowed) if allowed < needed => Err(Obstacle::Descriptors { allowed, needed }),
        Some(_) | None => Ok(()),
    }
}

/// What stands behind an error of io_uring_setup.
#[must_use]
pub fn diagnose(error: &io::Error, facts: Facts) -> Obstacle {
    let errno = error.raw_os_error().unwrap_or(0);
    match errno {
        libc::EPERM => match facts.io_uring_disabled {
            Some(2) => Obstacle::DisabledForAll,
            // A filter answers before the kernel looks at its setting, so with both in place either may have spoken.
            Some(1) => Obstacle::DisabledForUsers,
            Some(_) | None => Obstacle::Seccomp { errno },
        },
        libc::ENOSYS if facts.seccomp => Obstacle::Seccomp { errno },
        libc::ENOSYS => Obstacle::NotBuilt { errno },
        libc::ENOMEM => Obstacle::RingMemory,
        _ => Obstacle::Other { errno },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Facts = Facts {
        kernel: Some(KernelVersion { major: 6, minor: 18 }),
        io_uring_disabled: Some(0),
        seccomp: false,
    };

    fn verdict(errno: i32, facts: Facts) -> Obstacle {
        diagnose(&io::Error::from_raw_os_error(errno), facts)
    }

    #[test]
    fn errors_are_told_apart() {
        let filtered = Facts { seccomp: true, ..PLAIN };
        assert_eq!(verdict(libc::ENOSYS, filtered), Obstacle::Seccomp { errno: 38 });
        assert_eq!(verdict(libc::EPERM, filtered), Obstacle::Seccomp { errno: 1 });
        assert_eq!(verdict(libc::ENOSYS, PLAIN), Obstacle::NotBuilt { errno: 38 });
        let off = |value| Facts { io_uring_disabled: Some(value), ..PLAIN };
        assert_eq!(verdict(libc::EPERM, off(1)), Obstacle::DisabledForUsers);
        assert_eq!(verdict(libc::EPERM, off(2)), Obstacle::DisabledForAll);
        assert_eq!(verdict(libc::ENOMEM, PLAIN), Obstacle::RingMemory);
        assert_eq!(verdict(libc::EINVAL, PLAIN), Obstacle::Other { errno: 22 });
    }

    #[test]
    fn each_missing_thing_has_its_own_message() {
        let error = |errno| io::Error::from_raw_os_error(errno);
        let text = |error| diagnose_ring(&error, PLAIN).to_string();
        let messages = [
            (text(RingError::DeferredWork(error(22))), "DEFER_TASKRUN"),
            (text(RingError::Feature("polled operations")), "polled operations"),
            (text(RingError::Operation("the operation sendmsg")), "sendmsg"),
            (text(RingError::Buffers(error(22))), "PBUF_RING"),
            (text(RingError::Buffers(error(12))), "memlock"),
            (text(RingError::Notification(error(22))), "EVENTFD"),
            (text(RingError::BufferMemory(error(12))), "mmap"),
            (text(RingError::Setup(error(1))), "seccomp"),
        ];
        for (message, word) in messages {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
    }

    #[test]
    fn messages_name_the_remedy() {
        assert!(Obstacle::Seccomp { errno: 1 }.to_string().contains("--security-opt seccomp="));
        assert!(Obstacle::DisabledForAll.to_string().contains("sysctl kernel.io_uring_disabled=0"));
        let memory = check_locked_memory(Limit { soft: Some(65_536), hard: Some(65_536) });
        let text = memory.unwrap_err().to_string();
        assert!(text.contains("65536") && text.contains("memlock=-1:-1"), "{text}");
    }

    #[test]
    fn releases_are_read() {
        let version = |major, minor| Some(KernelVersion { major, minor });
        assert_eq!(KernelVersion::parse("6.1.0-18-amd64"), version(6, 1));
        assert_eq!(KernelVersion::parse("6.18"), version(6, 18));
        assert_eq!(KernelVersion::parse("linux"), None);
        let old = Facts { kernel: version(5, 10), ..PLAIN };
        let text = check_kernel(old).unwrap_err().to_string();
        assert!(text.contains("5.10") && text.contains("6.1"), "{text}");
    }

    #[test]
    fn this_machine_is_fit() {
        let allowance = check().unwrap();
        assert!(allowance.descriptors.is_none_or(|count| count > 100));
    }
}
