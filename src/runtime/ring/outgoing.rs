//! Bytes on their way out: whole chunks in order, of which the first may have left in part.

use std::collections::VecDeque;

/// Chunks to be sent, in order.
#[derive(Debug, Default)]
pub struct Outgoing {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that have left; always fewer than it has.
    gone: usize,
    bytes: usize,
}

impl Outgoing {
    /// Adds bytes at the end.
    pub fn push(&mut self, chunk: Vec<u8>) {
        if !chunk.is_empty() {
            self.bytes += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Bytes that are left.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is one chunk.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.chunks.len() == 1
    }

    /// Forgets bytes that have left; `done` gets the chunks that have left as a whole.
    pub fn advance(&mut self, mut sent: usize, mut done: impl FnMut(Vec<u8>)) {
        debug_assert!(sent <= self.bytes, "no more leaves than there is");
        self.bytes = self.bytes.saturating_sub(sent);
        while let Some(chunk) = self.chunks.front() {
            let left = chunk.len() - self.gone;
            if sent < left {
                self.gone += sent;
                return;
            }
            sent -= left;
            self.gone = 0;
            self.chunks.pop_front().map(&mut done);
        }
    }

    /// Adds all of `later` at the end; `later` has to be untouched, as only the first chunk may have left in part.
    pub fn append(&mut self, later: &mut Outgoing) {
        debug_assert_eq!(later.gone, 0, "nothing of it has left yet");
        self.bytes += later.bytes;
        self.chunks.append(&mut later.chunks);
        later.bytes = 0;
    }

    /// Takes out all chunks, without what has left already.
    #[must_use]
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        if let Some(first) = self.chunks.front_mut() {
            first.drain(..self.gone);
        }
        self.gone = 0;
        self.bytes = 0;
        self.chunks.drain(..).collect()
    }

    /// What is left, chunk by chunk.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let first = self.chunks.front().and_then(|chunk| chunk.get(self.gone..));
        first.into_iter().chain(self.chunks.iter().skip(1).map(Vec::as_slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(outgoing: &Outgoing) -> Vec<&[u8]> {
        outgoing.slices().collect()
    }

    #[test]
    fn what_left_in_part_keeps_its_place() {
        let mut outgoing = Outgoing::default();
        outgoing.push(b"abc".to_vec());
        outgoing.push(Vec::new());
        outgoing.push(b"defg".to_vec());
        assert_eq!(outgoing.bytes(), 7);
        outgoing.advance(2, drop);
        assert_eq!(left(&outgoing), [&b"c"[..], b"defg"]);
        outgoing.advance(2, drop);
        assert_eq!(left(&outgoing), [b"efg"]);
        let mut later = Outgoing::default();
        later.push(b"hi".to_vec());
        outgoing.append(&mut later);
        assert_eq!((outgoing.bytes(), later.bytes()), (5, 0));
        assert_eq!(outgoing.take(), [b"efg".to_vec(), b"hi".to_vec()]);
        assert_eq!(outgoing.bytes(), 0);
        assert!(left(&outgoing).is_empty());
    }

    #[test]
    fn all_may_leave_at_once() {
        let mut outgoing = Outgoing::default();
        outgoing.push(b"ab".to_vec());
        outgoing.push(b"c".to_vec());
        outgoing.advance(3, drop);
        assert_eq!(outgoing.bytes(), 0);
        outgoing.push(b"d".to_vec());
        assert_eq!(left(&outgoing), [b"d"]);
    }
}
