//! Build requests that wait for their Diffie-Hellman.

use std::collections::VecDeque;
use std::time::Duration;

use crate::actor::message::DiffieHellman;
use crate::base::time::Instant;

/// How long a request waits at most. Creators give up after 10 s (emissary) to 30 s (i2pd) for all hops together, and a
/// request that has waited longer than this meets a shard that is behind by more than it will make up: the work is better
/// spent on one that has come later.
pub(super) const BUILD_WAIT_MAX: Duration = Duration::from_secs(1);

/// Requests in the order in which they came.
#[derive(Default)]
pub(super) struct BuildQueue {
    waiting: VecDeque<(Instant, DiffieHellman)>,
}

impl BuildQueue {
    /// Puts a request at the end, and says which one had to make room for it: the oldest, where there were `max`.
    #[must_use]
    pub(super) fn push(
        &mut self,
        request: DiffieHellman,
        max: usize,
        now: Instant,
    ) -> Option<DiffieHellman> {
        let full = self.waiting.len() >= max.max(1);
        let oldest = if full { self.waiting.pop_front() } else { None };
        self.waiting.push_back((now + BUILD_WAIT_MAX, request));
        oldest.map(|(_, request)| request)
    }

    /// The oldest request, if it has waited for too long.
    #[must_use]
    pub(super) fn take_late(&mut self, now: Instant) -> Option<DiffieHellman> {
        self.waiting.pop_front_if(|(deadline, _)| *deadline <= now).map(|(_, request)| request)
    }

    /// The oldest request.
    #[must_use]
    pub(super) fn take(&mut self) -> Option<DiffieHellman> {
        self.waiting.pop_front().map(|(_, request)| request)
    }

    /// How many wait.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::message::DiffieHellmanPurpose;
    use crate::base::frame::Frame;
    use crate::crypto::x25519::X25519Public;

    fn request(number: u8) -> DiffieHellman {
        let purpose = DiffieHellmanPurpose::Garlic(Frame::copy_of(&[number]));
        DiffieHellman { public: X25519Public([number; 32]), purpose }
    }

    fn number(request: Option<DiffieHellman>) -> Option<u8> {
        request.map(|request| request.public.0[0])
    }

    #[test]
    fn the_oldest_makes_room_for_the_newest() {
        let (mut queue, now) = (BuildQueue::default(), Instant(5));
        let pushed_out: Vec<_> = (0..5).map(|n| number(queue.push(request(n), 3, now))).collect();
        assert_eq!(pushed_out, [None, None, None, Some(0), Some(1)]);
        assert_eq!(queue.len(), 3);
        let left: Vec<_> = std::iter::from_fn(|| number(queue.take())).collect();
        assert_eq!(left, [2, 3, 4]);
    }

    #[test]
    fn who_has_waited_a_second_is_late() {
        let (mut queue, start) = (BuildQueue::default(), Instant(5));
        assert!(queue.push(request(1), 3, start).is_none());
        assert!(queue.push(request(2), 3, start + BUILD_WAIT_MAX / 2).is_none());
        assert!(queue.take_late(start + Duration::from_millis(999)).is_none());
        let end = start + BUILD_WAIT_MAX;
        assert_eq!(number(queue.take_late(end)), Some(1));
        assert_eq!(number(queue.take_late(end)), None);
        assert_eq!(number(queue.take()), Some(2));
    }
}
