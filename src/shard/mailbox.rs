//! The run queue of one shard, with a bound: at the bound the newest message is refused.

use std::collections::VecDeque;

use crate::actor::message::Message;

/// Messages that wait for their actors, first come first served.
pub struct Mailbox {
    messages: VecDeque<Message>,
    capacity: usize,
}

impl Mailbox {
    /// An empty queue for at most `capacity` messages.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { messages: VecDeque::new(), capacity }
    }

    /// Appends a message, unless the queue is full.
    ///
    /// # Errors
    /// The message, when there is no room.
    pub fn push(&mut self, message: Message) -> Result<(), Box<Message>> {
        if self.messages.len() >= self.capacity {
            return Err(Box::new(message));
        }
        self.messages.push_back(message);
        Ok(())
    }

    /// The message that waited longest.
    pub fn pop(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
