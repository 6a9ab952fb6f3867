//! Buffers for frames: each shard lends its own and gets them back, also from other shards.

use super::{FRAME_HEADROOM, Frame};
use crate::base::id::ShardId;

/// Payloads of at most this many bytes are lent a buffer: a tunnel message, also with what goes around it.
pub const POOLED_MAX: usize = 1504;
/// Payloads below this have an allocation of their own: a buffer would be mostly empty, and may be held for long.
const POOLED_MIN: usize = 512;
/// Buffers that wait to be lent at most, 1.5 MiB; what comes back beyond it is freed.
const FREE_MAX: usize = 1024;
/// Frames of another shard that go back together.
const BUNDLE: usize = 32;

/// One shard's buffers, and those of others that it has done with.
///
/// A frame that is dropped instead of given back costs an allocation later and nothing else.
pub struct FramePool {
    owner: ShardId,
    free: Vec<Vec<u8>>,
    /// By lender.
    owed: Vec<Vec<Frame>>,
    counts: FrameCounts,
}

/// How often a pool did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// Frames lent.
    pub lent: u64,
    /// Those for which a buffer had to be allocated.
    pub allocated: u64,
    /// Frames of this pool that came back.
    pub returned: u64,
}

impl FramePool {
    /// The empty pool of shard `owner`, one of `shards`.
    #[must_use]
    pub fn new(owner: ShardId, shards: u16) -> Self {
        Self {
            owner,
            free: Vec::new(),
            owed: (0..shards).map(|_| Vec::new()).collect(),
            counts: FrameCounts::default(),
        }
    }

    /// A pool for who is alone and has no shards.
    #[must_use]
    pub fn alone() -> Self {
        Self::new(ShardId(0), 1)
    }

    /// A frame that holds a copy of `payload`.
    pub fn copy_of(&mut self, payload: &[u8]) -> Frame {
        if !(POOLED_MIN..=POOLED_MAX).contains(&payload.len()) {
            return Frame::copy_of(payload);
        }
        self.counts.lent += 1;
        let mut bytes = self.free.pop().unwrap_or_else(|| {
            self.counts.allocated += 1;
            Vec::with_capacity(FRAME_HEADROOM + POOLED_MAX)
        });
        bytes.resize(FRAME_HEADROOM, 0);
        bytes.extend_from_slice(payload);
        Frame { bytes, start: FRAME_HEADROOM, lender: Some(self.owner) }
    }

    /// Takes a frame that has been done with: its buffer is lent again here, goes back to the shard that lent it, or is
    /// freed where nobody did.
    pub fn give_back(&mut self, frame: Frame) {
        match frame.lender {
            None => {}
            Some(lender) if lender == self.owner => self.take_back(frame),
            Some(lender) => {
                if let Some(owed) = self.owed.get_mut(lender.index()) {
                    owed.push(frame);
                }
            }
        }
    }

    /// Frames of another shard, a bundle of them, to be passed to its [`FramePool::take_back`]. Fewer than a bundle stay
    /// until there is one.
    pub fn take_owed(&mut self) -> Option<(ShardId, Vec<Frame>)> {
        let mut lenders = self.owed.iter_mut().zip(0..);
        let (owed, lender) = lenders.find(|(owed, _)| owed.len() >= BUNDLE)?;
        Some((ShardId(lender), std::mem::take(owed)))
    }

    /// Takes back a frame of its own.
    pub fn take_back(&mut self, frame: Frame) {
        debug_assert_eq!(frame.lender, Some(self.owner), "lent here");
        self.counts.returned += 1;
        let mut bytes = frame.bytes;
        if self.free.len() < FREE_MAX {
            bytes.clear();
            self.free.push(bytes);
        }
    }

    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> FrameCounts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_lent_again() {
        let mut pool = FramePool::alone();
        for round in 0..10u8 {
            let mut frames: Vec<_> = (0..3).map(|n| pool.copy_of(&[round + n; 1028])).collect();
            for (frame, n) in frames.iter_mut().zip(0..) {
                assert_eq!(frame[..], [round + n; 1028]);
                frame.prepend(b"head");
                frame.truncate(100);
            }
            frames.into_iter().for_each(|frame| pool.give_back(frame));
        }
        assert_eq!(pool.counts(), FrameCounts { lent: 30, allocated: 3, returned: 30 });
    }

    #[test]
    fn what_does_not_suit_a_buffer_has_an_allocation_of_its_own() {
        let mut pool = FramePool::alone();
        for length in [0, 1, POOLED_MIN - 1, POOLED_MAX + 1, 60_000] {
            let frame = pool.copy_of(&vec![1; length]);
            assert_eq!(frame.len(), length);
            pool.give_back(frame);
        }
        pool.give_back(Frame::copy_of(&[1; 1028]));
        assert_eq!(pool.counts(), FrameCounts::default());
        for length in [POOLED_MIN, POOLED_MAX] {
            assert_eq!(pool.copy_of(&vec![1; length]).len(), length);
        }
        assert_eq!(pool.counts().lent, 2);
    }

    #[test]
    fn frames_go_back_to_the_shard_that_lent_them() {
        let mut pools: Vec<_> = (0..3).map(|n| FramePool::new(ShardId(n), 3)).collect();
        for number in 1..=BUNDLE {
            for lender in [1, 2] {
                assert!(number == BUNDLE || pools[0].take_owed().is_none());
                let frame = pools[lender].copy_of(&[0; 1028]);
                pools[0].give_back(frame);
            }
        }
        for lender in [1, 2] {
            let (to, frames) = pools[0].take_owed().unwrap();
            assert_eq!((to.index(), frames.len()), (lender, BUNDLE));
            frames.into_iter().for_each(|frame| pools[lender].take_back(frame));
            assert_eq!(pools[lender].counts().returned, 32);
        }
        assert_eq!(pools[0].take_owed(), None);
    }

    #[test]
    fn a_copy_belongs_to_nobody() {
        let mut pool = FramePool::alone();
        let frame = pool.copy_of(&[7; 1028]);
        let copy = frame.clone();
        pool.give_back(frame);
        pool.give_back(copy);
        assert_eq!(pool.counts().returned, 1);
    }

    #[test]
    fn no_more_than_the_bound_is_kept() {
        let mut pool = FramePool::alone();
        let frames: Vec<_> = (0..FREE_MAX + 5).map(|_| pool.copy_of(&[0; 1028])).collect();
        frames.into_iter().for_each(|frame| pool.give_back(frame));
        assert_eq!(pool.free.len(), FREE_MAX);
    }
}
