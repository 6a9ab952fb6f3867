//! The io_uring itself, and the memory that operations under way work on.

#![expect(unsafe_code, reason = "operations of the kernel on memory of ours")]

use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::squeue::{self, Entry};
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode};
use socket2::SockAddr;

use super::buffers::{BufferRing, GROUP};
use super::chunks::Chunks;
use super::{
    Completion, Onward, Operation, Outcome, Outgoing, RECEIVE_MAX, RingError, RingSize, Socket, Tag,
};
use crate::base::slab::{Slab, SlabKey};

/// Chunks that one send takes.
const GATHER_MAX: usize = 64;
/// Gathers that are kept for the next send.
const SPARE_MAX: usize = 256;
/// Operations under way at most; a process has fewer descriptors than that.
const OPERATIONS_MAX: usize = 1 << 28;
/// Mark of a cancellation, whose own completion says nothing; no key of a slab looks like it.
const CANCELLATION: u64 = u64::MAX;
/// IORING_ENTER_GETEVENTS of io_uring_enter(2).
const ENTER_GETEVENTS: u32 = 1;
/// Time for the operations of a ring that is dropped to end; they do at once, and if not, their memory stays.
const END_MAX: Duration = Duration::from_secs(2);

/// What an operation does, with all that the kernel uses for it.
pub enum Work {
    Accept {
        listener: Socket,
    },
    ReceiveMany {
        socket: Socket,
    },
    ReceiveOnce {
        socket: Socket,
    },
    /// One chunk, which needs no list of where its bytes lie.
    SendOne {
        socket: Socket,
        outgoing: Outgoing,
    },
    Send {
        socket: Socket,
        gather: Box<Gather>,
    },
    Connect {
        socket: Socket,
        address: Box<SockAddr>,
    },
}

/// A gathered send: the bytes, and where they lie in the kernel's terms.
pub struct Gather {
    outgoing: Outgoing,
    slices: [libc::iovec; GATHER_MAX],
    header: libc::msghdr,
}

/// What a call into the kernel is to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collect {
    /// What completes while operations are started.
    Nothing,
    /// What can complete now.
    Ready,
    /// The same, and at least one completion.
    One,
}

struct Begun {
    tag: Tag,
    work: Work,
}

/// The ring, its buffers and its operations.
pub struct Kernel {
    uring: IoUring,
    /// Dropped by hand, after the last completion.
    buffers: ManuallyDrop<BufferRing>,
    /// Dropped by hand, after the last completion.
    operations: ManuallyDrop<Slab<Begun>>,
    /// Entries that find no room in the submission queue.
    waiting: VecDeque<Entry>,
    #[expect(clippy::vec_box, reason = "the kernel knows their addresses while they are in use")]
    spare: Vec<Box<Gather>>,
    chunks: Chunks,
    calls: u64,
}

impl Kernel {
    /// As [`super::Ring::new`].
    pub fn new(size: RingSize, notify: BorrowedFd<'_>) -> Result<Self, RingError> {
        let uring = set_up(size)?;
        check_features(&uring)?;
        let buffers = BufferRing::new(size.buffers).map_err(RingError::BufferMemory)?;
        let kernel = Self {
            uring,
            buffers: ManuallyDrop::new(buffers),
            operations: ManuallyDrop::new(Slab::new(OPERATIONS_MAX)),
            waiting: VecDeque::new(),
            spare: Vec::new(),
            chunks: Chunks::default(),
            calls: 0,
        };
        let submitter = kernel.uring.submitter();
        // SAFETY: the buffers are dropped in `drop`, when nothing is under way any more.
        unsafe { kernel.buffers.register(&submitter) }.map_err(RingError::Buffers)?;
        let registered = submitter.register_eventfd(notify.as_raw_fd());
        registered.map_err(RingError::Notification)?;
        Ok(kernel)
    }

    /// Makes a send of these bytes.
    pub fn sending(&mut self, socket: Socket, outgoing: Outgoing) -> Work {
        if outgoing.is_single() {
            return Work::SendOne { socket, outgoing };
        }
        let mut gather = self.spare.pop().unwrap_or_default();
        gather.outgoing = outgoing;
        Work::Send { socket, gather }
    }

    /// Takes on an operation; the next call into the kernel starts it.
    pub fn start(&mut self, tag: Tag, work: Work) -> Operation {
        let Ok(key) = self.operations.insert(Begun { tag, work }) else {
            unreachable!("each operation has a socket, and a process has fewer");
        };
        if let Some(begun) = self.operations.find_mut(key) {
            let entry = entry_of(&mut begun.work).user_data(key.bits());
            self.push(entry);
        }
        Operation(key)
    }

    /// Asks for an end of an operation.
    pub fn cancel(&mut self, operation: Operation) {
        let entry = opcode::AsyncCancel::new(operation.0.bits()).build();
        self.push(entry.user_data(CANCELLATION));
    }

    /// Adds an entry behind all others.
    fn push(&mut self, entry: Entry) {
        if !self.waiting.is_empty() {
            self.waiting.push_back(entry);
            return self.fill();
        }
        // SAFETY: as in `fill`.
        if unsafe { self.uring.submission().push(&entry) }.is_err() {
            self.waiting.push_back(entry);
        }
    }

    /// Moves entries into the submission queue as far as they fit.
    fn fill(&mut self) {
        let mut queue = self.uring.submission();
        while let Some(entry) = self.waiting.front() {
            // SAFETY: whatever an entry points to belongs to its operation, which stays in the slab, with its memory in
            // place, until the kernel has posted its last completion; so do its descriptors.
            if unsafe { queue.push(entry) }.is_err() {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// As [`super::Ring::submit`] and its like.
    pub fn submit(&mut self, collect: Collect) -> io::Result<()> {
        loop {
            self.fill();
            let queue = self.uring.submission();
            let (count, pending) = (queue.len(), queue.taskrun() || queue.cq_overflow());
            drop(queue);
            let (least, flags) = match collect {
                Collect::Nothing => (0, 0),
                Collect::Ready if pending => (0, ENTER_GETEVENTS),
                Collect::Ready => (0, 0),
                Collect::One => (1, ENTER_GETEVENTS),
            };
            if count == 0 && flags == 0 {
                return Ok(());
            }
            let result = self.enter(count, least, flags);
            let delayed = [libc::EBUSY, libc::EAGAIN, libc::EINTR];
            match result {
                Ok(()) if self.waiting.is_empty() => return Ok(()),
                Ok(()) => {}
                // Completions have to be taken first, or the kernel is short of something; the next call tries again.
                Err(error) if error.raw_os_error().is_some_and(|n| delayed.contains(&n)) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn enter(&mut self, count: usize, least: u32, flags: u32) -> io::Result<()> {
        self.calls += 1;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let submitter = self.uring.submitter();
        // SAFETY: `count` entries are in the queue, and no argument is passed.
        unsafe { submitter.enter::<libc::sigset_t>(count, least, flags, None) }.map(|_| ())
    }

    /// The next completion that says something.
    pub fn next_completion(&mut self) -> Option<Completion> {
        loop {
            let entry = self.uring.completion().next()?;
            if let Some(completion) = self.complete(&entry) {
                return Some(completion);
            }
        }
    }

    fn complete(&mut self, entry: &cqueue::Entry) -> Option<Completion> {
        let result = check(entry.result());
        let buffer = cqueue::buffer_select(entry.flags());
        let count = result.as_ref().copied().unwrap_or(0);
        let Self { buffers, chunks, .. } = self;
        let bytes = buffer.map(|buffer| buffers.read(buffer, count, |room| chunks.take(room)));
        if entry.user_data() == CANCELLATION {
            return None;
        }
        let key = SlabKey::from_bits(entry.user_data());
        let begun = self.operations.find(key);
        debug_assert!(begun.is_some(), "a completion belongs to an operation under way");
        let Begun { tag, work } = begun?;
        let tag = *tag;
        if cqueue::more(entry.flags()) {
            let outcome = match (work, result) {
                (Work::Accept { .. }, Ok(_)) => {
                    Outcome::Accepted(accepted(entry.result()), Onward::More)
                }
                (Work::ReceiveMany { .. }, Ok(_)) => Outcome::Received(bytes?, Onward::More),
                // No other operation goes on after a completion.
                (
                    Work::Accept { .. }
                    | Work::ReceiveMany { .. }
                    | Work::ReceiveOnce { .. }
                    | Work::SendOne { .. }
                    | Work::Send { .. }
                    | Work::Connect { .. },
                    _,
                ) => return None,
            };
            return Some(Completion { tag, outcome });
        }
        let Begun { work, .. } = self.operations.remove(key)?;
        let outcome = match work {
            Work::Accept { .. } => match result {
                Ok(_) => Outcome::Accepted(accepted(entry.result()), Onward::Ended),
                Err(error) => Outcome::AcceptEnded(error),
            },
            Work::ReceiveMany { .. } | Work::ReceiveOnce { .. } => received(result, bytes),
            Work::SendOne { outgoing, .. } => self.sent(outgoing, result),
            Work::Send { mut gather, .. } => {
                let outgoing = std::mem::take(&mut gather.outgoing);
                if self.spare.len() < SPARE_MAX {
                    self.spare.push(gather);
                }
                self.sent(outgoing, result)
            }
            Work::Connect { .. } => Outcome::Connected(result.map(|_| ())),
        };
        Some(Completion { tag, outcome })
    }

    fn sent(&mut self, mut outgoing: Outgoing, result: io::Result<usize>) -> Outcome {
        if let Ok(count) = result {
            outgoing.advance(count, |chunk| self.chunks.keep(chunk));
        }
        Outcome::Sent(outgoing, result)
    }

    /// As [`super::Ring::has_work`].
    pub fn has_work(&mut self) -> bool {
        let queue = self.uring.submission();
        let pending = !queue.is_empty() || queue.taskrun() || queue.cq_overflow();
        drop(queue);
        pending || !self.waiting.is_empty() || !self.uring.completion().is_empty()
    }

    /// As [`super::Ring::arm`].
    ///
    /// The kernel first adds work to its list and then looks whether to write to the counter; we first say that it shall
    /// write and then, by the call, empty the list. Both steps on the list are full barriers, so either we see the work or
    /// it sees our wish.
    pub fn arm(&mut self) -> io::Result<bool> {
        self.uring.completion().enable_eventfd();
        match self.enter(0, 0, ENTER_GETEVENTS) {
            Ok(()) => Ok(self.has_work()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// As [`super::Ring::disarm`].
    pub fn disarm(&mut self) {
        self.uring.completion().disable_eventfd();
    }

    /// Gives the kernel the buffers that were read.
    pub fn give_buffers_back(&mut self) {
        self.buffers.give_back();
    }

    /// As [`super::Ring::grow_buffers`].
    pub fn grow_buffers(&mut self) {
        self.buffers.grow();
    }

    /// As [`super::Ring::buffers`].
    pub fn buffers(&self) -> u16 {
        self.buffers.target()
    }

    /// System calls made so far.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Ends all operations and takes their completions; false where some do not end in time.
    fn end_all(&mut self) -> bool {
        let pause = Timespec::from(END_MAX / 8);
        for _ in 0..8 {
            let cancel = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
            self.waiting.push_back(cancel.user_data(CANCELLATION));
            if self.submit(Collect::Ready).is_err() {
                return false;
            }
            while self.next_completion().is_some() {}
            if self.operations.is_empty() && self.waiting.is_empty() {
                return true;
            }
            let arguments = SubmitArgs::new().timespec(&pause);
            // Running out of time is an error here too; the count of rounds says when to give up.
            let _ = self.uring.submitter().submit_with_args(1, &arguments);
            while self.next_completion().is_some() {}
        }
        self.operations.is_empty()
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if self.end_all() {
            // SAFETY: both are dropped once, here, and no operation is left that the kernel could use them for.
            unsafe {
                ManuallyDrop::drop(&mut self.operations);
                ManuallyDrop::drop(&mut self.buffers);
            }
        } else {
            tracing::error!("operations of a ring did not end; their memory is left to the kernel");
        }
    }
}

impl Default for Gather {
    fn default() -> Self {
        // SAFETY: a msghdr is made of pointers and integers; all zeros is the empty message.
        let header: libc::msghdr = unsafe { std::mem::zeroed() };
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self { outgoing: Outgoing::default(), slices: [empty; GATHER_MAX], header }
    }
}

impl Gather {
    /// Writes down where the bytes lie. All addresses are of the heap: they hold wherever this box is moved.
    fn entry(&mut self, socket: Fd) -> Entry {
        let mut count = 0;
        for (slot, bytes) in self.slices.iter_mut().zip(self.outgoing.slices()) {
            *slot =
                libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            count += 1;
        }
        self.header.msg_iov = self.slices.as_mut_ptr();
        self.header.msg_iovlen = count;
        let flags = libc::MSG_NOSIGNAL.unsigned_abs();
        opcode::SendMsg::new(socket, &raw const self.header).flags(flags).build()
    }
}

fn entry_of(work: &mut Work) -> Entry {
    let fd = |socket: &Socket| Fd(socket.as_raw_fd());
    match work {
        Work::Accept { listener } => {
            opcode::AcceptMulti::new(fd(listener)).flags(libc::SOCK_CLOEXEC).build()
        }
        Work::ReceiveMany { socket } => opcode::RecvMulti::new(fd(socket), GROUP).build(),
        Work::ReceiveOnce { socket } => {
            let length = u32::try_from(RECEIVE_MAX).unwrap_or(0);
            let receive = opcode::Recv::new(fd(socket), std::ptr::null_mut(), length);
            receive.buf_group(GROUP).build().flags(squeue::Flags::BUFFER_SELECT)
        }
        Work::SendOne { socket, outgoing } => {
            let only = outgoing.slices().next().unwrap_or_default();
            let length = u32::try_from(only.len()).unwrap_or(u32::MAX);
            let send = opcode::Send::new(fd(socket), only.as_ptr(), length);
            send.flags(libc::MSG_NOSIGNAL).build()
        }
        Work::Send { socket, gather } => gather.entry(fd(socket)),
        Work::Connect { socket, address } => {
            opcode::Connect::new(fd(socket), address.as_ptr().cast(), address.len()).build()
        }
    }
}

/// A result of the kernel: a count, or the negated number of an error.
fn check(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()))
}

fn accepted(descriptor: i32) -> OwnedFd {
    // SAFETY: the kernel has just opened this descriptor for us; it is not negative, or there would be no success.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// How receiving ended.
fn received(result: io::Result<usize>, bytes: Option<Vec<u8>>) -> Outcome {
    match (result, bytes) {
        (Ok(1..), Some(bytes)) => Outcome::Received(bytes, Onward::Ended),
        (Ok(_), _) => Outcome::ReceivedEnd,
        (Err(error), _) if error.raw_os_error() == Some(libc::ENOBUFS) => Outcome::NoBuffer,
        (Err(error), _) => Outcome::ReceiveEnded(error),
    }
}

fn set_up(size: RingSize) -> Result<IoUring, RingError> {
    let mut builder = IoUring::builder();
    builder.dontfork().setup_clamp().setup_cqsize(size.completions);
    let mut newer = builder.clone();
    newer.setup_submit_all().setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    match newer.build(size.submissions) {
        Ok(uring) => Ok(uring),
        // An unknown flag is an invalid argument; whether it was that, a ring without it tells.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            match builder.build(size.submissions) {
                Ok(_) => Err(RingError::DeferredWork(error)),
                Err(error) => Err(RingError::Setup(error)),
            }
        }
        Err(error) => Err(RingError::Setup(error)),
    }
}

fn check_features(uring: &IoUring) -> Result<(), RingError> {
    let parameters = uring.params();
    let features = [
        (parameters.is_feature_nodrop(), "completions that are kept (IORING_FEAT_NODROP)"),
        (parameters.is_feature_fast_poll(), "polled operations (IORING_FEAT_FAST_POLL)"),
        (parameters.is_feature_submit_stable(), "stable entries (IORING_FEAT_SUBMIT_STABLE)"),
        (parameters.is_feature_ext_arg(), "waiting with a timeout (IORING_FEAT_EXT_ARG)"),
    ];
    if let Some((_, name)) = features.into_iter().find(|(present, _)| !present) {
        return Err(RingError::Feature(name));
    }
    let mut probe = Probe::new();
    uring
        .submitter()
        .register_probe(&mut probe)
        .map_err(|_| RingError::Feature("a list of its operations (IORING_REGISTER_PROBE)"))?;
    let operations = [
        (opcode::AcceptMulti::CODE, "the operation accept"),
        (opcode::RecvMulti::CODE, "the operation recv"),
        (opcode::Send::CODE, "the operation send"),
        (opcode::SendMsg::CODE, "the operation sendmsg"),
        (opcode::Connect::CODE, "the operation connect"),
        (opcode::AsyncCancel2::CODE, "the operation async_cancel"),
    ];
    match operations.into_iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, name)) => Err(RingError::Operation(name)),
        None => Ok(()),
    }
}
