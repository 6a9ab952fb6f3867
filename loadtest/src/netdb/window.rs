//! What a session has asked for and not yet been given.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::Duration;

/// An answer that takes longer is lost.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Something asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which record, an index.
    pub record: usize,
    /// When it was asked for, or, at a rate, should have been.
    pub at: Duration,
    /// When it was sent.
    pub sent: Duration,
}

/// Whose answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// To this, which waits no longer.
    Answer(Asked),
    /// To something that was taken for lost.
    Late,
    /// To nothing.
    Unasked,
}

/// All that one session waits for, by what its answers carry.
#[derive(Debug)]
pub struct Window<K> {
    waiting: HashMap<K, Asked>,
    written_off: HashSet<K>,
    lost: u64,
}

impl<K: Copy + Eq + Hash> Window<K> {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { waiting: HashMap::new(), written_off: HashSet::new(), lost: 0 }
    }

    /// How much is waited for.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What was waited for in vain.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether an answer that carries `key` could not be told from another.
    #[must_use]
    pub fn is_taken(&self, key: &K) -> bool {
        self.waiting.contains_key(key) || self.written_off.contains(key)
    }

    /// Enters what has been asked for under a key that is not taken.
    pub fn ask(&mut self, key: K, asked: Asked) {
        self.waiting.insert(key, asked);
    }

    /// Enters an answer.
    pub fn settle(&mut self, key: &K) -> Settled {
        match self.waiting.remove(key) {
            Some(asked) => Settled::Answer(asked),
            None if self.written_off.contains(key) => Settled::Late,
            None => Settled::Unasked,
        }
    }

    /// Takes for lost what was sent more than [`PATIENCE`] before `now`.
    pub fn write_off(&mut self, now: Duration) {
        let (written_off, lost) = (&mut self.written_off, &mut self.lost);
        self.waiting.retain(|key, asked| {
            let waits = now.saturating_sub(asked.sent) <= PATIENCE;
            if !waits {
                written_off.insert(*key);
                *lost += 1;
            }
            waits
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(record: usize, seconds: u64) -> Asked {
        let at = Duration::from_secs(seconds);
        Asked { record, at, sent: at }
    }

    #[test]
    fn an_answer_settles_what_was_asked_and_only_once() {
        let mut window = Window::new();
        window.ask(7, asked(1, 0));
        window.ask(8, asked(2, 0));
        assert_eq!((window.waiting(), window.is_taken(&7)), (2, true));
        assert_eq!(window.settle(&7), Settled::Answer(asked(1, 0)));
        assert_eq!((window.waiting(), window.is_taken(&7)), (1, false));
        assert_eq!(window.settle(&7), Settled::Unasked);
        assert_eq!(window.settle(&9), Settled::Unasked);
    }

    #[test]
    fn what_nobody_answers_is_lost_and_an_answer_after_that_is_late() {
        let mut window = Window::new();
        window.ask(7, asked(1, 0));
        window.ask(8, asked(2, 1));
        window.write_off(PATIENCE);
        assert_eq!((window.waiting(), window.lost()), (2, 0));
        window.write_off(PATIENCE + Duration::from_millis(1));
        assert_eq!((window.waiting(), window.lost()), (1, 1));
        assert!(window.is_taken(&7));
        assert_eq!(window.settle(&7), Settled::Late);
        assert_eq!(window.settle(&8), Settled::Answer(asked(2, 1)));
        assert_eq!(window.lost(), 1);
    }
}
