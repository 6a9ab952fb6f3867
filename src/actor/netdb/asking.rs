//! What a slice asks of other floodfills: routers that are needed, routers that answers named, and now and then, to get
//! to know more, who is near a random key.

use std::sync::Arc;

use super::Netdb;
use crate::actor::address::Address;
use crate::actor::contract::Context;
use crate::actor::counters::Drop;
use crate::actor::message::{DialerMessage, Message, NetdbMessage, Origin, Unknown};
use crate::base::frame::Frame;
use crate::base::id::{RecordKey, RouterHash};
use crate::proto::netdb::exploration::Explore;
use crate::proto::netdb::lookup::{Ask, Purpose, REPLY_PEERS_MAX, Started};
use crate::proto::peer::conduct::Deed;
use crate::wire::i2np::MessageType;
use crate::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use crate::wire::i2np::database_search_reply::DatabaseSearchReply;

impl Netdb {
    pub(super) fn search_reply(&mut self, origin: Origin, body: &Frame, cx: &mut Context<'_>) {
        let Ok(reply) = DatabaseSearchReply::parse(body) else {
            cx.count_drop(Drop::Malformed);
            return;
        };
        let Some(from) = origin.peer() else {
            cx.count_drop(Drop::Unasked);
            return;
        };
        if self.lookups.is_under_way(&reply.key) {
            let floodfills = &cx.snapshot.asked;
            let (lookups, peers) = (&mut self.lookups, &reply.peers);
            if lookups.handle_search_reply(&reply.key, &from, peers, cx.now, floodfills) {
                tell_of(from, Deed::Answered, cx);
            }
            self.drain_lookups(cx);
        } else if self.exploration.handle_search_reply(&reply.key, &from, cx.now.instant) {
            cx.counters.explorations_answered += 1;
            tell_of(from, Deed::Answered, cx);
            for router in reply.peers.iter().take(REPLY_PEERS_MAX).copied() {
                let learned = NetdbMessage::Learned(router);
                cx.send(Address::Router(router), Message::Netdb(learned));
            }
        } else {
            cx.count_drop(Drop::Unasked);
        }
    }

    /// Decides whether it is time to explore; the owner of the key, to whom the answer comes, asks.
    pub(super) fn consider_exploring(&mut self, cx: &mut Context<'_>) {
        let known = self.store.counts().routers * usize::from(cx.node.shards);
        self.exploration.handle_timeout(cx.now, known, &cx.snapshot.asked, cx.rng);
        if let Some(explore) = self.exploration.poll_explore() {
            let message = NetdbMessage::Explore(explore);
            cx.send(Address::Record(explore.key), Message::Netdb(message));
        }
    }

    pub(super) fn explore(&mut self, explore: Explore, cx: &mut Context<'_>) {
        cx.counters.explorations_asked += 1;
        self.exploration.handle_asked(explore, cx.now.instant);
        ask(explore.floodfill, explore.key, LookupKind::Exploration, &[], cx);
    }

    pub(super) fn find(&mut self, router: RouterHash, unknown: Unknown, cx: &mut Context<'_>) {
        if let Some(info) = self.store.router(&router) {
            let found = DialerMessage::Found(Arc::clone(info));
            cx.send(Address::Here, Message::Dialer(found));
            return;
        }
        let started = match unknown {
            Unknown::LookUp => {
                let floodfills = &cx.snapshot.asked;
                self.lookups.start(router.into(), Purpose::Needed, cx.now, floodfills)
            }
            Unknown::Drop => {
                cx.send(Address::Here, Message::Dialer(DialerMessage::NotFound(router)));
                return;
            }
        };
        count_start(started, cx);
        match started {
            Started::Begun | Started::UnderWay => self.drain_lookups(cx),
            Started::Busy | Started::NoFloodfill => {
                cx.send(Address::Here, Message::Dialer(DialerMessage::NotFound(router)));
            }
        }
    }

    pub(super) fn learned(&mut self, router: RouterHash, cx: &mut Context<'_>) {
        if router == cx.node.hash() || self.store.router(&router).is_some() {
            return;
        }
        let floodfills = &cx.snapshot.asked;
        let started = self.lookups.start(router.into(), Purpose::Learned, cx.now, floodfills);
        count_start(started, cx);
        match started {
            Started::Begun => self.drain_lookups(cx),
            Started::UnderWay | Started::Busy | Started::NoFloodfill => {}
        }
    }

    pub(super) fn drain_lookups(&mut self, cx: &mut Context<'_>) {
        while let Some(Ask { floodfill, key, excluded }) = self.lookups.poll_ask() {
            cx.counters.own_lookups.asked += 1;
            ask(floodfill, key, LookupKind::RouterInfo, &excluded, cx);
        }
        while let Some(late) = self.lookups.poll_unanswered() {
            tell_of(late, Deed::Unanswered, cx);
        }
        while let Some(key) = self.lookups.poll_failed() {
            cx.counters.own_lookups.failed += 1;
            let not_found = DialerMessage::NotFound(key.as_router());
            cx.send(Address::Here, Message::Dialer(not_found));
        }
        while let Some(router) = self.lookups.poll_learned() {
            let learned = NetdbMessage::Learned(router);
            cx.send(Address::Router(router), Message::Netdb(learned));
        }
    }
}

/// Tells the shard that a router belongs to what it did.
pub(super) fn tell_of(router: RouterHash, deed: Deed, cx: &mut Context<'_>) {
    let seen = DialerMessage::Seen(router, deed);
    cx.send(Address::Router(router), Message::Dialer(seen));
}

fn count_start(started: Started, cx: &mut Context<'_>) {
    let counts = &mut cx.counters.own_lookups;
    match started {
        Started::Begun => counts.begun += 1,
        Started::UnderWay => {}
        Started::Busy => counts.busy += 1,
        Started::NoFloodfill => counts.no_floodfill += 1,
    }
}

fn ask(
    floodfill: RouterHash,
    key: RecordKey,
    kind: LookupKind,
    excluded: &[RouterHash],
    cx: &mut Context<'_>,
) {
    let excluded: Vec<[u8; 32]> = excluded.iter().map(|router| router.0).collect();
    let lookup = DatabaseLookup {
        key,
        from: cx.node.hash(),
        reply_tunnel: None,
        kind,
        excluded: &excluded,
        encryption: LookupEncryption::None,
        unknown_flags: 0,
    };
    let message = cx.message(MessageType::DatabaseLookup, lookup.write());
    cx.deliver(floodfill, message, Unknown::Drop);
}
