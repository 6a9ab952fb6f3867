//! Public-key work of handshakes: collected here, done by the shard with that of others, in turns of bounded length.

use std::time::Duration;

use super::SessionTable;
use crate::actor::contract::{Close, Context, TransportEffect};
use crate::actor::counters::Drop;
use crate::actor::session::SessionActor;
use crate::base::slab::SlabKey;
use crate::proto::ntcp2::{Local, Work, WorkResult};

/// How long a handshake waits for its work at most. Its peer has little patience left then, so the work is better spent
/// on one that has come later.
const WORK_PATIENCE: Duration = Duration::from_secs(3);

impl SessionTable {
    /// A turn begins, with a budget of its own.
    pub fn begin_turn(&mut self, cx: &Context<'_>) {
        self.work_left = cx.node.limits.handshake_work_per_turn;
    }

    /// Whether any handshake waits for work, in this turn or another.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether work waits that belongs to this turn.
    #[must_use]
    pub fn can_work(&self) -> bool {
        self.has_work() && self.work_left > 0
    }

    /// Puts a handshake in line if it waits for work. To be called when it begins to.
    pub(super) fn await_work(&mut self, key: SlabKey, cx: &mut Context<'_>) {
        if !self.sessions.find(key).is_some_and(SessionActor::is_working) {
            return;
        }
        if self.waiting.len() >= cx.node.limits.handshakes.max(1)
            && let Some((_, oldest)) = self.waiting.pop_front()
        {
            self.give_up_work(oldest, cx);
        }
        self.waiting.push_back((cx.now.instant + WORK_PATIENCE, key));
    }

    /// The handshakes whose work is to be done now, those that have waited longest first; those that have waited for
    /// too long are given up.
    pub fn take_work(&mut self, cx: &mut Context<'_>) -> Vec<SlabKey> {
        while let Some((deadline, key)) = self.waiting.front().copied()
            && deadline <= cx.now.instant
        {
            self.waiting.pop_front();
            self.give_up_work(key, cx);
        }
        let count = self.waiting.len().min(self.work_left);
        self.work_left -= count;
        self.waiting.drain(..count).map(|(_, key)| key).collect()
    }

    /// The work of one of them.
    #[must_use]
    pub fn work<'a>(&'a self, key: SlabKey, local: &'a Local<'_>) -> Option<Work<'a>> {
        self.sessions.find(key)?.work(local)
    }

    /// The work of one of them is done.
    pub fn handle_work(&mut self, key: SlabKey, result: WorkResult, cx: &mut Context<'_>) {
        let Some(session) = self.sessions.find_mut(key) else { return };
        let progress = session.handle_work(result, &mut self.replay, cx);
        self.tell_of_request(key, cx);
        self.follow(key, progress, cx);
        self.await_work(key, cx);
    }

    fn give_up_work(&mut self, key: SlabKey, cx: &mut Context<'_>) {
        let Some(session) = self.sessions.find(key).filter(|s| s.is_working()) else { return };
        let connection = session.connection();
        cx.count_drop(Drop::HandshakeOverload);
        let close = TransportEffect::Close { connection, how: Close::Reset };
        cx.effects.transport.push_back(close);
        self.forget(key, cx);
    }
}
