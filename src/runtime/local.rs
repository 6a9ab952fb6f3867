//! The flag by which the tasks of one executor wake its pump.

use std::cell::Cell;
use std::task::Waker;

/// Wakes the pump, now or when it next wants to sleep.
#[derive(Default)]
pub struct Local {
    awake: Cell<bool>,
    over: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Local {
    /// Wakes the pump, now or when it next wants to sleep.
    pub fn wake(&self) {
        self.awake.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The pump has ended: nobody needs to be woken any more.
    pub fn end(&self) {
        self.over.set(true);
    }

    /// Whether the pump has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Whether the pump was woken since this was last asked.
    #[must_use]
    pub fn take_wake(&self) -> bool {
        self.awake.replace(false)
    }

    /// Whom to wake.
    pub fn register(&self, waker: &Waker) {
        self.waker.set(Some(waker.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_kept_until_it_is_taken() {
        let local = Local::default();
        assert!(!local.take_wake());
        local.wake();
        local.wake();
        assert!(local.take_wake() && !local.take_wake());
    }
}
