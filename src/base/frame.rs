//! A message buffer with headroom, so that a header can be put in front without moving the payload.
//!
//! A frame of a message that passes through has its buffer from the [`FramePool`] of a shard; others own theirs.

mod pool;

use std::fmt;
use std::ops::{Deref, DerefMut};

pub use self::pool::{FrameCounts, FramePool, POOLED_MAX};
use crate::base::id::ShardId;

/// Bytes kept free in front: a frame's length (2), a block header (3), an I2NP header (16), and some to spare.
pub const FRAME_HEADROOM: usize = 32;

/// One message, owned, with room in front of it.
#[derive(Default)]
pub struct Frame {
    bytes: Vec<u8>,
    start: usize,
    /// Whose buffer it is, where it was lent.
    lender: Option<ShardId>,
}

impl Frame {
    /// An empty frame that takes `capacity` bytes without growing.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(FRAME_HEADROOM + capacity);
        bytes.resize(FRAME_HEADROOM, 0);
        Self { bytes, start: FRAME_HEADROOM, lender: None }
    }

    /// A frame that holds a copy of `payload`.
    #[must_use]
    pub fn copy_of(payload: &[u8]) -> Self {
        let mut frame = Self::with_capacity(payload.len());
        frame.append(payload);
        frame
    }

    /// Puts `tail` behind what is there.
    pub fn append(&mut self, tail: &[u8]) {
        self.bytes.extend_from_slice(tail);
    }

    /// Puts `head` in front of what is there; moves the payload only when the headroom is used up.
    pub fn prepend(&mut self, head: &[u8]) {
        if head.len() > self.start {
            let mut grown = Self::with_capacity(head.len() + self.len());
            grown.append(head);
            grown.append(self);
            *self = grown;
            return;
        }
        let start = self.start - head.len();
        if let Some(room) = self.bytes.get_mut(start..self.start) {
            room.copy_from_slice(head);
        }
        self.start = start;
    }

    /// Drops the first `count` bytes; they become headroom.
    pub fn trim_front(&mut self, count: usize) {
        self.start = (self.start + count).min(self.bytes.len());
    }

    /// Drops all but the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(self.start + length);
    }
}

// A copy has a buffer of its own.
impl Clone for Frame {
    fn clone(&self) -> Self {
        Self::copy_of(self)
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or(&[])
    }
}

impl DerefMut for Frame {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or(&mut [])
    }
}

// Frames are equal when their contents are; how much headroom each has left says nothing.
impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Frame {}

impl From<Vec<u8>> for Frame {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0, lender: None }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_go_in_front_and_come_off_again() {
        let mut frame = Frame::copy_of(b"body");
        frame.prepend(b"head");
        assert_eq!(&frame[..], b"headbody");
        frame.trim_front(4);
        frame.append(b"!");
        assert_eq!(&frame[..], b"body!");
        frame.prepend(&[7; 100]);
        assert_eq!(frame.len(), 105);
        assert!(frame.ends_with(b"body!"));
    }
}
