//! Connections that peers open: who is let in, how many may be unfinished, and what other shards are told of them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::SessionTable;
use crate::actor::contract::{Close, Context, TransportEffect};
use crate::actor::counters::Drop;
use crate::actor::message::Knock;
use crate::actor::session::SessionActor;
use crate::base::id::{ConnectionId, RouterHash};
use crate::base::slab::SlabKey;
use crate::base::time::Instant;
use crate::proto::ntcp2::AdmissionRefused;
use crate::wire::ntcp2::TerminationReason;
use crate::wire::router_address::Ntcp2Endpoint;

/// How long a dial stands back after a peer has connected from the address that is dialled, and how much longer at
/// random. If both sides dial at once, some routers take the second session for a failure of the first and leave us alone
/// for minutes; with both standing back for different times, one of the two comes about.
const KNOCK_PATIENCE: Duration = Duration::from_millis(1500);
const KNOCK_JITTER_MS: usize = 1000;
/// How long every dial waits, and how much longer at random. What makes us dial is often one of a peer's builds that has
/// come to us through others, and in the same moment the peer dials us for another: its own connection shows then before
/// ours is begun.
const DIAL_PATIENCE: Duration = Duration::from_millis(50);
const DIAL_JITTER_MS: usize = 100;
/// Addresses remembered at most; what overflows is forgotten, which costs a race and nothing else.
const KNOCKS_MAX: usize = 1024;

impl SessionTable {
    /// A peer connected.
    pub fn handle_accepted(
        &mut self,
        connection: ConnectionId,
        remote: SocketAddr,
        cx: &mut Context<'_>,
    ) {
        if cx.node.is_counted(remote.ip())
            && let Err(refused) = self.admission.admit(remote.ip(), cx.now.instant)
        {
            cx.count_drop(match refused {
                AdmissionRefused::Address => Drop::HandshakeAddressRate,
                AdmissionRefused::Subnet => Drop::HandshakeSubnetRate,
            });
            let close = TransportEffect::Close { connection, how: Close::Reset };
            cx.effects.transport.push_back(close);
            return;
        }
        if self.handshakes.len() >= cx.node.limits.handshakes || self.sessions.is_full() {
            self.give_up_oldest_handshake(cx);
        }
        let session = SessionActor::accepted(connection, remote, cx);
        if let Some(key) = self.insert(session, cx) {
            self.handshakes.insert((cx.now.instant, key));
        }
    }

    /// Ends the oldest of the handshakes that peers have begun and not finished: an honest peer takes a second, so what
    /// is old is worth least. Nothing where there is none.
    pub(super) fn give_up_oldest_handshake(&mut self, cx: &mut Context<'_>) {
        let Some((_, key)) = self.handshakes.pop_first() else { return };
        let Some(session) = self.sessions.find(key) else { return };
        let connection = session.connection();
        cx.count_drop(Drop::HandshakesFull);
        let close = TransportEffect::Close { connection, how: Close::Reset };
        cx.effects.transport.push_back(close);
        self.forget(key, cx);
    }

    /// Says goodbye to a router that is banned, and dials it no more.
    pub(super) fn end_all_with(&mut self, router: &RouterHash, cx: &mut Context<'_>) {
        for key in self.by_router.get(router).cloned().unwrap_or_default() {
            if let Some(session) = self.sessions.find_mut(key) {
                session.terminate(TerminationReason::Banned, cx);
            }
            self.forget(key, cx);
        }
        self.give_up_dial(router, cx);
        self.postponed.retain(|(_, postponed), _| postponed != router);
    }

    /// If a message 1 has just been accepted, all shards are told: it is none that anybody may repeat, and dials to its
    /// address stand back.
    pub(super) fn tell_of_request(&mut self, key: SlabKey, cx: &mut Context<'_>) {
        let Some(request) = self.replay.poll_fresh() else { return };
        let Some(remote) = self.sessions.find(key).and_then(SessionActor::remote) else { return };
        let knock = Knock { address: remote.ip(), request };
        self.note_knock(knock, cx);
        cx.effects.knocks.push(knock);
    }

    /// Somebody has begun a handshake, here or on another shard.
    pub(super) fn note_knock(&mut self, knock: Knock, cx: &mut Context<'_>) {
        self.replay.learn(knock.request, cx.now.instant);
        self.knocks.retain(|_, until| *until > cx.now.instant);
        if self.knocks.len() < KNOCKS_MAX {
            let jitter = u64::try_from(cx.rng.below(KNOCK_JITTER_MS)).unwrap_or(0);
            let until = cx.now.instant + KNOCK_PATIENCE + Duration::from_millis(jitter);
            self.knocks.entry(knock.address).or_insert(until);
        }
    }

    /// Dials a router in a moment, unless it has come to us by then.
    pub(super) fn dial_soon(&mut self, endpoint: Ntcp2Endpoint, cx: &mut Context<'_>) {
        let router = endpoint.router;
        if self.by_router.contains_key(&router) || self.dialling.contains_key(&router) {
            return self.dial(endpoint, cx);
        }
        let jitter = u64::try_from(cx.rng.below(DIAL_JITTER_MS)).unwrap_or(0);
        let until = cx.now.instant + DIAL_PATIENCE + Duration::from_millis(jitter);
        self.postponed.insert((until, router), endpoint);
    }

    pub(super) fn standing_back(&self, address: &IpAddr, cx: &Context<'_>) -> Option<Instant> {
        self.knocks.get(address).copied().filter(|until| *until > cx.now.instant)
    }
}
