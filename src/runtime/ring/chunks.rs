//! Chunks that have been sent, kept for what is received next: the allocator is asked less, and their memory is in the
//! cache.

use super::RECEIVE_MAX;

/// Bytes that are kept at most: more than one call into the kernel receives.
const KEPT_MAX: usize = 512 * 1024;
/// The largest chunk that is kept.
const CHUNK_MAX: usize = 2 * RECEIVE_MAX;
/// How many times larger than needed a chunk may be; it may live for long with whoever gets it.
const SLACK: usize = 2;

/// Empty chunks with room.
#[derive(Default)]
pub struct Chunks {
    kept: Vec<Vec<u8>>,
    bytes: usize,
}

impl Chunks {
    /// An empty chunk with room for at least `room` bytes and not for many more.
    pub fn take(&mut self, room: usize) -> Vec<u8> {
        let fits =
            |chunk: &mut Vec<u8>| (room..=room.saturating_mul(SLACK)).contains(&chunk.capacity());
        match self.kept.pop_if(fits) {
            Some(chunk) => {
                self.bytes -= chunk.capacity();
                chunk
            }
            None => Vec::with_capacity(room),
        }
    }

    /// Keeps a chunk, or lets it go where enough are kept.
    pub fn keep(&mut self, mut chunk: Vec<u8>) {
        let room = chunk.capacity();
        if room > CHUNK_MAX {
            return;
        }
        if self.bytes + room > KEPT_MAX {
            // They may be of a size that nobody wants any more.
            self.kept.clear();
            self.bytes = 0;
        }
        chunk.clear();
        self.bytes += room;
        self.kept.push(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_of_the_right_size_comes_back_empty() {
        let mut chunks = Chunks::default();
        let mut chunk = Vec::with_capacity(1500);
        chunk.extend([7; 1200]);
        let place = chunk.as_ptr();
        chunks.keep(chunk);
        let taken = [2000, 700, 1000, 1000].map(|room| (room, chunks.take(room)));
        for ((room, chunk), same) in taken.iter().zip([false, false, true, false]) {
            assert!(chunk.is_empty() && chunk.capacity() >= *room);
            assert_eq!(chunk.as_ptr() == place, same, "{room}");
        }
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut chunks = Chunks::default();
        chunks.keep(Vec::with_capacity(CHUNK_MAX + 1));
        assert!(chunks.kept.is_empty());
        for _ in 0..100 {
            chunks.keep(Vec::with_capacity(10_000));
            let bytes: usize = chunks.kept.iter().map(Vec::capacity).sum();
            assert!(bytes == chunks.bytes && bytes <= KEPT_MAX, "{bytes}");
        }
    }
}
