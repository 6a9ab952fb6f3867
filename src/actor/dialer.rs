//! Connects to routers that something is to be sent to, keeps those messages meanwhile, and knows how the routers of this
//! shard have behaved.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::contract::{Actor, Context, TransportEffect};
use super::counters::Drop;
use super::message::{
    DialerMessage, LocalRouterMessage, Message, NetdbMessage, SessionMessage, Unknown,
};
use super::node::ShardLimits;
use crate::base::id::RouterHash;
use crate::base::time::Instant;
use crate::proto::peer::conduct::{Deed, Profile, Profiles, Standing};
use crate::proto::peer::profile::DialBackoff;
use crate::wire::i2np::I2npMessage;
use crate::wire::router_info::RouterInfo;

/// Time in which a router must be found, dialled and greeted; what waits longer is dropped.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The dialler of one shard.
pub struct Dialer {
    waiting: BTreeMap<RouterHash, Waiting>,
    backoff: DialBackoff,
    profiles: Profiles,
    /// When a profile, a ban or a poor standing ends next.
    expiry: Option<Instant>,
}

struct Waiting {
    messages: VecDeque<(I2npMessage, Unknown)>,
    deadline: Instant,
}

impl Dialer {
    /// A dialler that knows of nobody yet.
    #[must_use]
    pub fn new(limits: &ShardLimits) -> Self {
        Self {
            waiting: BTreeMap::new(),
            backoff: DialBackoff::new(limits.dials),
            profiles: Profiles::new(limits.profiles),
            expiry: None,
        }
    }

    /// What is known of how routers behaved.
    #[must_use]
    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// Takes in profiles that were stored, of routers of this shard.
    pub fn restore(&mut self, stored: Vec<(RouterHash, Profile)>, cx: &mut Context<'_>) {
        for (router, profile) in stored {
            self.profiles.restore(router, profile, cx.now.unix);
        }
        self.tell(cx);
    }

    fn note(&mut self, router: RouterHash, deed: Deed, cx: &mut Context<'_>) {
        if let Deed::Offence(reason) = deed {
            if let Some(count) = cx.counters.bans.get_mut(reason as usize) {
                *count += 1;
            }
            cx.send(Address::Here, Message::Session(SessionMessage::Ban(router)));
            self.give_up(&router, Drop::RouterBanned, cx);
        }
        self.profiles.note(router, deed, cx.now.unix);
        self.tell(cx);
    }

    /// Tells whom it concerns what has changed in the profiles.
    fn tell(&mut self, cx: &mut Context<'_>) {
        while let Some((router, standing)) = self.profiles.poll_moved(cx.now.unix) {
            let standing = LocalRouterMessage::Standing(router, standing);
            cx.send(Address::LocalRouter, Message::LocalRouter(standing));
        }
        while let Some((router, profile)) = self.profiles.poll_unsaved() {
            let profile = profile.map(|profile| Arc::from(profile.write()));
            cx.effects.transport.push_back(TransportEffect::RememberPeer { router, profile });
        }
        self.expiry = self.profiles.due().map(|at| cx.now.instant + at.since(cx.now.unix));
    }

    fn is_banned(&self, router: &RouterHash, cx: &Context<'_>) -> bool {
        self.profiles.standing(router, cx.now.unix) == Standing::Banned
    }

    /// How many routers are being found or dialled.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody is being dialled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn hold(
        &mut self,
        to: RouterHash,
        message: Option<(I2npMessage, Unknown)>,
        cx: &mut Context<'_>,
    ) {
        if let Some(waiting) = self.waiting.get_mut(&to) {
            let Some(message) = message else { return };
            if waiting.messages.len() >= cx.node.limits.messages_per_dial {
                // The oldest has the least time left to be of use.
                waiting.messages.pop_front();
                cx.count_drop(Drop::DialQueueFull);
            }
            waiting.messages.push_back(message);
            return;
        }
        if self.is_banned(&to, cx) {
            cx.count_drop(Drop::RouterBanned);
            return;
        }
        if !self.backoff.is_dialable(&to, cx.now.instant) {
            cx.count_drop(Drop::DialFailed);
            return;
        }
        if self.waiting.len() >= cx.node.limits.dials {
            cx.count_drop(Drop::DialsFull);
            return;
        }
        let unknown = message.as_ref().map_or(Unknown::Drop, |(_, unknown)| *unknown);
        let waiting = Waiting {
            messages: message.into_iter().collect(),
            deadline: cx.now.instant + WAIT_MAX,
        };
        self.waiting.insert(to, waiting);
        let find = NetdbMessage::Find { router: to, unknown };
        cx.send(Address::Router(to), Message::Netdb(find));
    }

    fn found(&mut self, info: &Arc<RouterInfo>, cx: &mut Context<'_>) {
        let router = info.hash();
        if !self.waiting.contains_key(&router) {
            return;
        }
        match info.ntcp2_endpoint().filter(|endpoint| cx.node.may_dial(&endpoint.address)) {
            Some(endpoint) => {
                cx.send(Address::Here, Message::Session(SessionMessage::Dial(endpoint)));
            }
            None => self.give_up(&router, Drop::RouterUnreachable, cx),
        }
    }

    fn connected(&mut self, router: RouterHash, cx: &mut Context<'_>) {
        if self.is_banned(&router, cx) {
            cx.count_drop(Drop::RouterBanned);
            cx.send(Address::Here, Message::Session(SessionMessage::Ban(router)));
            return self.give_up(&router, Drop::RouterBanned, cx);
        }
        self.backoff.handle_connected(&router);
        self.note(router, Deed::Connected, cx);
        let Some(waiting) = self.waiting.remove(&router) else { return };
        for (message, unknown) in waiting.messages {
            // How long a dial took says nothing about how long we did: such answers are not measured.
            let deliver = SessionMessage::Deliver { to: router, message, unknown, answers: None };
            cx.send(Address::Here, Message::Session(deliver));
        }
    }

    fn give_up(&mut self, router: &RouterHash, reason: Drop, cx: &mut Context<'_>) {
        let Some(waiting) = self.waiting.remove(router) else { return };
        for _ in &waiting.messages {
            cx.count_drop(reason);
        }
    }
}

impl Actor for Dialer {
    type Message = DialerMessage;

    fn handle(&mut self, message: DialerMessage, cx: &mut Context<'_>) {
        match message {
            DialerMessage::Hold { to, message, unknown } => {
                self.hold(to, Some((message, unknown)), cx);
            }
            DialerMessage::Visit(router) => self.hold(router, None, cx),
            DialerMessage::Found(info) => self.found(&info, cx),
            DialerMessage::NotFound(router) => self.give_up(&router, Drop::RouterUnknown, cx),
            DialerMessage::Connected(router) => self.connected(router, cx),
            DialerMessage::Failed(router) => {
                self.backoff.handle_failed(router, cx.now.instant);
                self.note(router, Deed::Unreachable, cx);
                self.give_up(&router, Drop::DialFailed, cx);
            }
            DialerMessage::NotDialled(router) => self.give_up(&router, Drop::SessionsFull, cx),
            DialerMessage::Seen(router, deed) => self.note(router, deed, cx),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        // Bounded by the number of dials in progress, which is small; they all have the same patience.
        let waiting = self.waiting.values().map(|waiting| waiting.deadline).min();
        [waiting, self.expiry].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        let late: Vec<RouterHash> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.deadline <= cx.now.instant)
            .map(|(router, _)| *router)
            .collect();
        for router in late {
            self.give_up(&router, Drop::DialFailed, cx);
        }
        if self.expiry.is_some_and(|at| at <= cx.now.instant) {
            self.profiles.expire(cx.now.unix);
            self.tell(cx);
        }
    }
}
