//! The end of a turn: what sessions were given is sealed, or waits a little for more.

use super::SessionTable;
use crate::actor::contract::{Context, TransportEffect};
use crate::actor::counters::Batches;
use crate::proto::ntcp2::cork;

impl SessionTable {
    /// Seals what was queued. A busy shard lets tunnel messages wait for others of their session, for a time that the
    /// settings bound.
    pub fn flush(&mut self, cx: &mut Context<'_>) {
        let cork = cork(cx.strain.busy, cx.node.cork);
        let mut keys = std::mem::take(&mut self.dirty);
        keys.append(&mut self.corked);
        keys.sort_unstable();
        keys.dedup();
        self.corked_until = None;
        let mut sealed = 0;
        for key in keys.drain(..) {
            let Some(session) = self.sessions.find_mut(key) else { continue };
            if let Some(until) = session.corked_until(cork, cx.now.instant) {
                self.corked.push(key);
                self.corked_until = Some(self.corked_until.map_or(until, |other| other.min(until)));
                continue;
            }
            sealed += 1;
            session.flush(cx);
            session.settle(&mut self.waiting_bytes);
        }
        self.dirty = keys;
        Batches::record(&mut cx.counters.batches.sealings, sealed);
        if !self.answered.is_empty() {
            let answered = TransportEffect::Answered(std::mem::take(&mut self.answered));
            cx.effects.transport.push_back(answered);
        }
    }
}
