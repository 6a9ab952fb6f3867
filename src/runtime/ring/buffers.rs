//! The receive buffers that all sockets of a ring share, and the queue by which the kernel gets them.

#![expect(unsafe_code, reason = "memory that the kernel writes to")]

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use super::RECEIVE_MAX;

/// The group that operations name to get a buffer.
pub const GROUP: u16 = 0;
/// Buffers that the kernel has at first, and at least; more when that many connections receive at once.
const FIRST: u16 = 32;
/// Turns that use less than half of the buffers until the kernel gets half as many.
const CALM: u16 = 256;

/// Anonymous memory of whole pages, zeroed, which takes up space only where it was touched.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    fn new(length: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start =
            NonNull::new(start.cast::<u8>()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        // A child would share what the kernel writes; we start none while rings run, and a copy would cost.
        // SAFETY: start and length are those of the mapping. Failure leaves everything as it was.
        unsafe { libc::madvise(start.as_ptr().cast(), length, libc::MADV_DONTFORK) };
        Ok(Self { start, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: start and length are those of the mapping, which nobody else unmaps, and its owner has made sure that
        // neither the kernel nor a reference points into it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Buffers of [`RECEIVE_MAX`] bytes each, numbered from 0.
///
/// Each is either the kernel's (published, not yet seen in a completion) or ours (seen, not yet published again). The
/// kernel takes them in the order of their publication, so it gets no more than turns need: what it writes to and we read
/// from is then the same memory again and again, which the cache holds. To be dropped only when the ring that it is
/// registered with has nothing under way any more.
pub struct BufferRing {
    /// `most` entries; the tail of the queue lies inside the first.
    queue: Mapping,
    memory: Mapping,
    most: u16,
    /// How many there are; those with higher numbers were never touched.
    made: u16,
    /// How many the kernel has at the start of a turn.
    target: u16,
    tail: u16,
    /// Ours, the one that was read last at the end.
    ours: Vec<u16>,
    /// Those that were read since the kernel last got some.
    used: u16,
    /// Turns in a row that used few.
    calm: u16,
}

impl BufferRing {
    /// `most` buffers, a power of two up to 32768, of which a few are provided at first.
    ///
    /// # Errors
    /// When there is no address space.
    pub fn new(most: u16) -> io::Result<Self> {
        debug_assert!(most.is_power_of_two() && most <= 1 << 15, "as the kernel wants it");
        let count = usize::from(most);
        let mut buffers = Self {
            queue: Mapping::new(count * size_of::<BufRingEntry>())?,
            memory: Mapping::new(count * RECEIVE_MAX)?,
            most,
            made: 0,
            target: FIRST.min(most),
            tail: 0,
            ours: Vec::with_capacity(count),
            used: 0,
            calm: 0,
        };
        buffers.publish();
        Ok(buffers)
    }

    /// Registers the queue with a ring.
    ///
    /// # Errors
    /// What io_uring_register(2) reports.
    ///
    /// # Safety
    /// The buffers must not be dropped before that ring has nothing under way that could take one, or is gone.
    pub unsafe fn register(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.queue.start.as_ptr() as u64;
        // SAFETY: the queue is page-aligned memory of `most` entries of the kernel's layout, and the caller promises that
        // it stays.
        unsafe { submitter.register_buf_ring_with_flags(address, self.most, GROUP, 0) }
    }

    /// Copies what the kernel has written into a buffer, which goes back to it at the next [`BufferRing::give_back`], into
    /// what `make` returns when told how much room is needed.
    ///
    /// To be called once for each completion that names a buffer.
    pub fn read(
        &mut self,
        buffer: u16,
        length: usize,
        make: impl FnOnce(usize) -> Vec<u8>,
    ) -> Vec<u8> {
        if buffer >= self.made {
            debug_assert!(false, "the kernel names a buffer that it was not given");
            return Vec::new();
        }
        let at = usize::from(buffer) * RECEIVE_MAX;
        let length = length.min(RECEIVE_MAX);
        // SAFETY: the buffer lies within the mapping, since its number is below `made` and so below `most`; a
        // completion has named it and it was not published since, so the kernel does not write to it; the mapping was
        // zeroed, so all of it is initialised; the slice ends with this statement.
        let bytes =
            unsafe { std::slice::from_raw_parts(self.memory.start.as_ptr().add(at), length) };
        // What fills a buffer has more behind it, which will be added.
        let room = if length == RECEIVE_MAX { 2 * RECEIVE_MAX } else { length };
        let mut copy = make(room);
        copy.extend_from_slice(bytes);
        self.ours.push(buffer);
        self.used += 1;
        copy
    }

    /// Ends a turn: the kernel has again as many buffers as before it, or fewer where turns have used few for long.
    pub fn give_back(&mut self) {
        let used = std::mem::take(&mut self.used);
        if used == 0 {
            return;
        }
        self.calm = if used < self.target / 2 { self.calm + 1 } else { 0 };
        if self.calm >= CALM {
            self.calm = 0;
            self.target = (self.target / 2).max(FIRST.min(self.most));
        }
        self.publish();
    }

    /// Lets the kernel have twice as many buffers as now, as far as there are.
    pub fn grow(&mut self) {
        self.target = self.target.saturating_mul(2).min(self.most);
        self.publish();
    }

    /// How many the kernel has at the start of a turn.
    pub fn target(&self) -> u16 {
        self.target
    }

    /// Publishes buffers until the kernel has as many as it shall.
    fn publish(&mut self) {
        let before = self.tail;
        let mut published = usize::from(self.made) - self.ours.len();
        while published < usize::from(self.target) {
            // The one that was read last is the likeliest to be in the cache.
            let buffer = self.ours.pop().unwrap_or_else(|| {
                self.made += 1;
                self.made - 1
            });
            self.place(buffer);
            published += 1;
        }
        if self.tail != before {
            self.publish_tail();
        }
    }

    /// Writes the entry behind the last one. There is room, since every buffer is in the queue at most once.
    fn place(&mut self, buffer: u16) {
        let first: *mut BufRingEntry = self.queue.start.as_ptr().cast();
        let slot = usize::from(self.tail & (self.most - 1));
        let at = usize::from(buffer) * RECEIVE_MAX;
        // SAFETY: the offset lies within the mapping, as above.
        let address = unsafe { self.memory.start.as_ptr().add(at) } as u64;
        // SAFETY: `slot` is below `most`, the number of entries of the queue; the kernel does not read entries behind the
        // published tail, and nobody else writes them. The setters leave the tail inside the first entry alone.
        let entry = unsafe { &mut *first.add(slot) };
        entry.set_addr(address);
        entry.set_len(u32::try_from(RECEIVE_MAX).unwrap_or(0));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish_tail(&self) {
        let first: *const BufRingEntry = self.queue.start.as_ptr().cast();
        // SAFETY: `first` is the first entry of the queue, initialised by zeroes.
        let tail = unsafe { BufRingEntry::tail(first) };
        // SAFETY: the tail is two aligned bytes inside the mapping, which this process writes only here and only
        // atomically; the kernel reads them.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
