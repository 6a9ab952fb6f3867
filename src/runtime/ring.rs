//! The shard's own io_uring: accepts, receives, sends and connects, told as completions.
//!
//! The ring owns whatever the kernel works on: a socket stays open and the bytes of a send stay in place until the last
//! completion of their operation, whatever the caller does meanwhile. Received bytes come out of buffers that all sockets
//! of a shard share; a buffer is the kernel's again at the next [`Ring::give_buffers_back`], so an idle connection holds none.
//!
//! Completions appear only while the ring's own thread is in one of [`Ring::submit`], [`Ring::wait`] and [`Ring::arm`]:
//! the kernel defers its work to these calls. Nothing runs behind the caller's back, and what is not asked for stays with
//! the kernel.

mod buffers;
mod chunks;
mod kernel;
mod outgoing;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;

use socket2::SockAddr;

use self::kernel::{Kernel, Work};
pub use self::outgoing::Outgoing;
use crate::base::slab::SlabKey;

/// Bytes of one receive at most: the size of a shared buffer. Memory is touched only as far as they are filled, and what
/// needs two costs twice.
pub const RECEIVE_MAX: usize = 32 * 1024;

/// A socket as the operations on it share it; it is closed when the last of them has ended and its owner has let go.
pub type Socket = Rc<OwnedFd>;

/// Whose operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// The listening socket's.
    Listener,
    /// A connection's.
    Connection(SlabKey),
}

/// Names an operation until its last completion, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation(SlabKey);

/// How large a ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSize {
    /// Operations started by one call, a power of two.
    pub submissions: u32,
    /// Completions that wait without being set aside, a power of two.
    pub completions: u32,
    /// Receive buffers at most, a power of two up to 32768. Memory is touched only as far as they are used at once.
    pub buffers: u16,
}

impl RingSize {
    /// A small ring, as a probe makes one.
    pub const SMALL: RingSize = RingSize { submissions: 8, completions: 16, buffers: 8 };

    /// A ring that starts up to `depth` operations by one call; `depth` is rounded up to a power of two from 8 to 4096.
    #[must_use]
    pub fn of_depth(depth: u16) -> Self {
        let depth = depth.clamp(8, 4096).next_power_of_two();
        let submissions = u32::from(depth);
        Self { submissions, completions: 4 * submissions, buffers: depth }
    }

    /// Bytes of memory that the kernel shares with us for it, buffers not counted.
    #[must_use]
    pub fn shared_bytes(&self) -> u64 {
        /// Bytes of an entry of each of the three queues.
        const ENTRY: (u64, u64, u64) = (64, 16, 16);
        let (submission, completion, buffer) = ENTRY;
        submission * u64::from(self.submissions)
            + completion * u64::from(self.completions)
            + buffer * u64::from(self.buffers)
    }
}

/// A ring could not be made; says at which step.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// io_uring_setup(2) failed, with and without what needs a newer kernel.
    #[error("io_uring_setup: {0}")]
    Setup(io::Error),
    /// A ring can be made, but none that defers its work to our calls.
    #[error("io_uring without deferred task work (IORING_SETUP_DEFER_TASKRUN): {0}")]
    DeferredWork(io::Error),
    /// The kernel does not keep completions that find no room, or lacks another of the features named here.
    #[error("io_uring without {0}")]
    Feature(&'static str),
    /// An operation is unknown to the kernel.
    #[error("io_uring without {0}")]
    Operation(&'static str),
    /// Shared receive buffers could not be registered.
    #[error("io_uring without shared receive buffers (IORING_REGISTER_PBUF_RING): {0}")]
    Buffers(io::Error),
    /// No memory for the receive buffers.
    #[error("no address space for receive buffers: {0}")]
    BufferMemory(io::Error),
    /// The ring cannot wake its shard.
    #[error("io_uring without notification by eventfd: {0}")]
    Notification(io::Error),
}

/// Something that an operation came to.
#[derive(Debug)]
pub struct Completion {
    /// Whose operation it was.
    pub tag: Tag,
    /// What it came to.
    pub outcome: Outcome,
}

/// Whether an operation goes on after a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// More completions follow.
    More,
    /// This was the last one.
    Ended,
}

/// What an operation came to.
#[derive(Debug)]
pub enum Outcome {
    /// A peer has connected.
    Accepted(OwnedFd, Onward),
    /// Nothing is accepted any more.
    AcceptEnded(io::Error),
    /// Bytes arrived, at least one.
    Received(Vec<u8>, Onward),
    /// The peer will send nothing more.
    ReceivedEnd,
    /// The kernel found no free buffer; the bytes wait in the socket.
    NoBuffer,
    /// Receiving ended by cancellation or failure.
    ReceiveEnded(io::Error),
    /// A send ended: what is left of it, and how many bytes the kernel took.
    Sent(Outgoing, io::Result<usize>),
    /// A connection is up, or could not be made.
    Connected(io::Result<()>),
}

/// One thread's ring.
pub struct Ring {
    kernel: Kernel,
}

impl Ring {
    /// A ring for the calling thread, which writes to `notify`, an event counter, when something has completed while it
    /// is [armed](Ring::arm). It is not armed at first.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn new(size: RingSize, notify: BorrowedFd<'_>) -> Result<Self, RingError> {
        Ok(Self { kernel: Kernel::new(size, notify)? })
    }

    /// Accepts connections until cancelled or failed.
    pub fn accept(&mut self, tag: Tag, listener: Socket) -> Operation {
        self.kernel.start(tag, Work::Accept { listener })
    }

    /// Receives again and again, as bytes come, until the end, an error, a lack of buffers or cancellation.
    pub fn receive(&mut self, tag: Tag, socket: Socket) -> Operation {
        self.kernel.start(tag, Work::ReceiveMany { socket })
    }

    /// Receives once, up to [`RECEIVE_MAX`] bytes.
    pub fn receive_once(&mut self, tag: Tag, socket: Socket) -> Operation {
        self.kernel.start(tag, Work::ReceiveOnce { socket })
    }

    /// Sends as many of these bytes as the kernel takes at once, which is at least one; waits until it takes some. There
    /// must be at least one byte, and one send of a socket at a time.
    pub fn send(&mut self, tag: Tag, socket: Socket, outgoing: Outgoing) -> Operation {
        debug_assert!(outgoing.bytes() > 0, "an empty send is not sent");
        let work = self.kernel.sending(socket, outgoing);
        self.kernel.start(tag, work)
    }

    /// Connects a socket.
    pub fn connect(&mut self, tag: Tag, socket: Socket, address: SockAddr) -> Operation {
        self.kernel.start(tag, Work::Connect { socket, address: Box::new(address) })
    }

    /// Asks the kernel to end an operation. Its last completion still comes: either the cancellation or, where that came
    /// too late, what it had done.
    pub fn cancel(&mut self, operation: Operation) {
        self.kernel.cancel(operation);
    }

    /// Gives the kernel buffers in place of those whose bytes have been taken.
    pub fn give_buffers_back(&mut self) {
        self.kernel.give_buffers_back();
    }

    /// Starts what was asked for since the last call, and lets the kernel complete what it can at once.
    ///
    /// # Errors
    /// When the ring is broken; a lack of resources only delays.
    pub fn submit(&mut self) -> io::Result<()> {
        self.kernel.submit(kernel::Collect::Ready)
    }

    /// Starts what was asked for, and leaves everything else with the kernel.
    ///
    /// # Errors
    /// When the ring is broken.
    pub fn submit_only(&mut self) -> io::Result<()> {
        self.kernel.submit(kernel::Collect::Nothing)
    }

    /// As [`Ring::submit`], but waits until something has completed.
    ///
    /// # Errors
    /// When the ring is broken.
    pub fn wait(&mut self) -> io::Result<()> {
        self.kernel.submit(kernel::Collect::One)
    }

    /// The next completion.
    pub fn next_completion(&mut self) -> Option<Completion> {
        self.kernel.next_completion()
    }

    /// Whether something has completed or was asked for that the next [`Ring::submit`] and [`Ring::next_completion`] would
    /// bring on.
    #[must_use]
    pub fn has_work(&mut self) -> bool {
        self.kernel.has_work()
    }

    /// Before the thread sleeps: from here on a completion writes to the event counter. True where something is there
    /// already, so that there is no sleep.
    ///
    /// # Errors
    /// When the ring is broken.
    pub fn arm(&mut self) -> io::Result<bool> {
        self.kernel.arm()
    }

    /// After the thread has slept: completions are looked for without being told.
    pub fn disarm(&mut self) {
        self.kernel.disarm();
    }

    /// Lets the kernel have twice as many receive buffers as now, up to the size of the ring.
    pub fn grow_buffers(&mut self) {
        self.kernel.grow_buffers();
    }

    /// Receive buffers that the kernel has when it has been given some back.
    #[must_use]
    pub fn buffers(&self) -> u16 {
        self.kernel.buffers()
    }

    /// System calls made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.kernel.calls()
    }
}
