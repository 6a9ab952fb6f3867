//! The listening socket of one shard.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use super::socket;
use crate::base::time::Instant;
use crate::runtime::ring::{Operation, Ring, Socket, Tag};

/// Pause after the process or the system ran out of descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(500);
/// Pause after another failure.
const FAILED_PAUSE: Duration = Duration::from_millis(20);
/// Time between two warnings.
const WARNING_PAUSE: Duration = Duration::from_secs(60);
/// Connections that are turned away at once when there are no descriptors.
const TURNED_AWAY_MAX: usize = 64;

/// Accepts connections, with pauses when that fails.
pub struct Acceptor {
    listener: Socket,
    accepting: Option<Operation>,
    /// When to go on after a failure.
    resume: Option<Instant>,
    /// A descriptor that is given up to turn peers away when there is no other.
    reserve: Option<OwnedFd>,
    warned: Option<Instant>,
}

impl Acceptor {
    /// Accepts from the ring's next submission on.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new(listener: TcpListener, ring: &mut Ring) -> io::Result<Self> {
        let listener: Socket = Rc::new(OwnedFd::from(listener));
        let reserve = listener.try_clone()?;
        let accepting = Some(ring.accept(Tag::Listener, listener.clone()));
        Ok(Self { listener, accepting, resume: None, reserve: Some(reserve), warned: None })
    }

    /// Accepting has ended, for a reason of the kernel's or for this error. Says how many connections were turned away.
    pub fn ended(&mut self, error: Option<&io::Error>, now: Instant) -> u64 {
        self.accepting = None;
        let exhausted = [libc::EMFILE, libc::ENFILE];
        let Some(error) = error else {
            self.resume = Some(now);
            return 0;
        };
        if !error.raw_os_error().is_some_and(|number| exhausted.contains(&number)) {
            tracing::debug!(%error, "accepting failed");
            self.resume = Some(now + FAILED_PAUSE);
            return 0;
        }
        if self.warned.is_none_or(|warned| now.since(warned) >= WARNING_PAUSE) {
            self.warned = Some(now);
            tracing::warn!(%error, "no descriptor for a new connection; raise the limit (`ulimit -n`)");
        }
        self.resume = Some(now + EXHAUSTED_PAUSE);
        self.turn_away()
    }

    /// Accepts with the reserve and resets, so that peers know at once instead of waiting for us.
    fn turn_away(&mut self) -> u64 {
        let mut count = 0;
        self.reserve = None;
        for _ in 0..TURNED_AWAY_MAX {
            if !socket::turn_away(&self.listener) {
                break;
            }
            count += 1;
        }
        self.reserve = self.listener.try_clone().ok();
        count
    }

    /// Goes on where a pause is over.
    pub fn resume(&mut self, ring: &mut Ring, now: Instant) {
        if self.resume.is_some_and(|at| at <= now) {
            self.resume = None;
            self.accepting = Some(ring.accept(Tag::Listener, self.listener.clone()));
        }
    }

    /// When to go on, if there is a pause.
    pub fn deadline(&self) -> Option<Instant> {
        self.resume
    }

    /// Accepts nothing any more and leaves the port to others.
    pub fn stop(self, ring: &mut Ring) {
        if let Some(accepting) = self.accepting {
            ring.cancel(accepting);
        }
        // The operation holds the socket until it has ended; shut down, it gives the port free at once.
        socket::stop_listening(&self.listener);
    }
}
