//! One connection: its stream, the gate before its reader, and what waits to be written.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use glommio::Task;
use glommio::net::TcpStream;

use super::socket;

/// A stream as its reader and its writer share it; neither holds it borrowed while it waits.
pub type Shared = Rc<RefCell<TcpStream>>;

/// Chunks that one gathered write takes.
const GATHER_MAX: usize = 64;

/// A connection that is up. Dropping it ends its tasks and closes it.
pub struct Connection {
    pub stream: Shared,
    pub gate: Rc<Gate>,
    pub egress: Rc<RefCell<Egress>>,
    /// Whether it was given up because its peer did not read.
    pub overflowed: bool,
    pub _reader: Task<()>,
    pub _writer: Option<Task<()>>,
}

/// Lets a reader through once each time it is opened; it is open at first.
pub struct Gate {
    open: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: Cell::new(true), waiting: Cell::new(None) }
    }
}

impl Gate {
    /// Lets the reader through.
    pub fn open(&self) {
        self.open.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Waits for the gate to open, and closes it behind the reader.
    pub fn poll_pass(&self, cx: &Context<'_>) -> Poll<()> {
        if self.open.replace(false) {
            return Poll::Ready(());
        }
        self.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// What waits to be written.
#[derive(Default)]
pub struct Egress {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that are written already.
    written: usize,
    bytes: usize,
    /// Whether a task writes; it then takes what is added.
    writing: bool,
}

/// What one attempt to write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes written.
    pub sent: usize,
    /// Bytes that the kernel would not take yet.
    pub left: usize,
}

impl Egress {
    /// Adds bytes. True where they are the first and nobody is writing.
    pub fn push(&mut self, bytes: Vec<u8>) -> bool {
        if bytes.is_empty() {
            return false;
        }
        let first = self.chunks.is_empty() && !self.writing;
        self.bytes += bytes.len();
        self.chunks.push_back(bytes);
        first
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a task writes.
    pub fn is_writing(&self) -> bool {
        self.writing
    }

    /// A task writes from here on.
    pub fn set_writing(&mut self) {
        self.writing = true;
    }

    /// The task that wrote is done.
    pub fn clear_writing(&mut self) {
        self.writing = false;
    }

    /// The first bytes that wait, without their end.
    pub fn front(&self) -> &[u8] {
        self.chunks.front().and_then(|chunk| chunk.get(self.written..)).unwrap_or(&[])
    }

    /// Forgets bytes that were written.
    pub fn advance(&mut self, mut sent: usize) {
        self.bytes = self.bytes.saturating_sub(sent);
        while let Some(chunk) = self.chunks.front() {
            let left = chunk.len() - self.written;
            if sent < left {
                self.written += sent;
                return;
            }
            sent -= left;
            self.written = 0;
            self.chunks.pop_front();
        }
    }

    /// Writes as much as the kernel takes now.
    pub fn write(&mut self, stream: &TcpStream) -> io::Result<Progress> {
        let mut sent = 0;
        while self.bytes > 0 {
            match socket::send_gathered(stream, &self.slices()) {
                Ok(count) => {
                    self.advance(count);
                    sent += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Progress { sent, left: self.bytes })
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let first = std::iter::once(self.front());
        let rest = self.chunks.iter().skip(1).map(Vec::as_slice);
        first.chain(rest).take(GATHER_MAX).map(IoSlice::new).collect()
    }

    /// Takes out all that waits, without what is written already.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        if let Some(first) = self.chunks.front_mut() {
            first.drain(..self.written);
        }
        self.written = 0;
        self.bytes = 0;
        self.chunks.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_writes_keep_their_place() {
        let mut egress = Egress::default();
        assert!(egress.push(b"abc".to_vec()));
        assert!(!egress.push(b"defg".to_vec()));
        assert!(!egress.push(Vec::new()));
        assert_eq!(egress.bytes(), 7);
        egress.advance(2);
        assert_eq!(egress.front(), b"c");
        assert_eq!(egress.slices().len(), 2);
        egress.advance(2);
        assert_eq!(egress.front(), b"efg");
        assert_eq!(egress.bytes(), 3);
        assert_eq!(egress.take(), [b"efg".to_vec()]);
        assert_eq!(egress.bytes(), 0);
        assert!(egress.front().is_empty());
    }
}
