//! System calls that no safe crate of ours offers, each in the smallest safe function.

#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Fills `bytes` with randomness of the system; waits until its pool is ready.
///
/// # Errors
/// What getrandom(2) reports.
pub fn random(bytes: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        // SAFETY: the pointer and length are those of `rest`, which is writable for the whole call.
        let filled = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(filled) {
            Ok(filled) => done += filled,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}

/// CPUs that this process may run on, by number, ascending.
///
/// # Errors
/// What sched_getaffinity(2) reports.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t is an array of integers; all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is writable and its true size is passed.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let count = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: `cpu` is below CPU_SETSIZE, the number of bits in the set.
    Ok((0..count).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

/// A resource whose use the kernel limits per process or user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of locked memory.
    LockedMemory,
    /// Open descriptors.
    Descriptors,
}

/// Soft and hard limit of a resource; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What applies.
    pub soft: Option<u64>,
    /// How far the process may raise it by itself.
    pub hard: Option<u64>,
}

impl Resource {
    fn number(self) -> libc::__rlimit_resource_t {
        match self {
            Resource::LockedMemory => libc::RLIMIT_MEMLOCK,
            Resource::Descriptors => libc::RLIMIT_NOFILE,
        }
    }
}

/// Raises the soft limit to the hard limit, as far as that works, and says what applies then.
///
/// # Errors
/// What getrlimit(2) reports.
pub fn raise_limit(resource: Resource) -> io::Result<Limit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a writable rlimit.
    if unsafe { libc::getrlimit(resource.number(), &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur != limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        // SAFETY: `raised` is a readable rlimit.
        if unsafe { libc::setrlimit(resource.number(), &raised) } == 0 {
            limit = raised;
        }
    }
    let bounded = |value| if value == libc::RLIM_INFINITY { None } else { Some(value) };
    Ok(Limit { soft: bounded(limit.rlim_cur), hard: bounded(limit.rlim_max) })
}

/// Whether a read of this descriptor, or an accept, would not wait.
#[must_use]
pub fn is_readable(descriptor: &impl AsFd) -> bool {
    let raw = descriptor.as_fd().as_raw_fd();
    let mut asked = libc::pollfd { fd: raw, events: libc::POLLIN, revents: 0 };
    // SAFETY: one writable pollfd is passed, and the call does not wait.
    let ready = unsafe { libc::poll(&raw mut asked, 1, 0) };
    ready == 1 && asked.revents & libc::POLLIN != 0
}

/// A new event counter of the kernel, reads of which wait while it is zero.
///
/// # Errors
/// What eventfd(2) reports.
pub fn event_counter() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Adds one to an event counter, which ends a read of it that waits.
pub fn count_event(counter: &OwnedFd) {
    let one = 1u64.to_ne_bytes();
    // A write fails only when the counter is about to overflow; then it is far from zero, and its reader awake.
    // SAFETY: eight readable bytes are passed, and the descriptor is open as long as `counter` is borrowed.
    unsafe { libc::write(counter.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

/// Whether the kernel takes its clock to be synchronised; `None` where this process may not know.
#[must_use]
pub fn clock_is_synchronised() -> Option<bool> {
    // SAFETY: a timex is made of integers; all zeros asks for nothing to be changed.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is writable, and with no modes set the call only reads the clock's state into it.
    match unsafe { libc::adjtimex(&mut state) } {
        result if result < 0 => None,
        result => Some(result != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0),
    }
}

/// Sets the permissions of an open file, or of a socket that is not bound yet: they become those of its file.
///
/// # Errors
/// What fchmod(2) reports.
pub fn set_mode(file: &impl AsFd, mode: libc::mode_t) -> io::Result<()> {
    // SAFETY: no pointers are passed, and the descriptor is open while borrowed.
    let result = unsafe { libc::fchmod(file.as_fd().as_raw_fd(), mode) };
    if result != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets the kernel choose the local port of an outbound socket when it connects, not when it is bound: ports are then
/// shared between destinations.
///
/// # Errors
/// What setsockopt(2) reports.
pub fn bind_without_port(socket: &impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    // SAFETY: the option's value is a readable c_int whose size is passed; the descriptor is open while borrowed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size,
        )
    };
    if result != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lets a TCP connection have at most `bytes` under way to us that we have not read.
///
/// # Errors
/// What setsockopt(2) reports.
pub fn clamp_window(socket: &impl AsFd, bytes: libc::c_int) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    // SAFETY: the option's value is a readable c_int whose size is passed; the descriptor is open while borrowed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_WINDOW_CLAMP,
            (&raw const bytes).cast(),
            size,
        )
    };
    if result != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives a descriptor to a type of glommio's.
#[must_use]
pub fn give<T: FromRawFd>(descriptor: OwnedFd) -> T {
    let raw: RawFd = std::os::fd::IntoRawFd::into_raw_fd(descriptor);
    // SAFETY: the descriptor is open and was owned by the caller alone; `T` takes it over.
    unsafe { T::from_raw_fd(raw) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_may_run_somewhere() {
        let cpus = allowed_cpus().unwrap();
        assert!(!cpus.is_empty());
        assert!(cpus.is_sorted());
    }

    #[test]
    fn a_raised_limit_stands_at_its_hard_limit() {
        let limit = raise_limit(Resource::Descriptors).unwrap();
        assert_eq!(limit.soft, limit.hard);
    }

    #[test]
    fn a_counted_event_can_be_read() {
        use std::io::Read;
        let counter = event_counter().unwrap();
        count_event(&counter);
        let mut file = std::fs::File::from(counter);
        let mut value = [0; 8];
        file.read_exact(&mut value).unwrap();
        assert_eq!(u64::from_ne_bytes(value), 1);
    }
}
