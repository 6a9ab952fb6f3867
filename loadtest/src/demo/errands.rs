//! The netdb side of the demonstration: stores to be confirmed, lookups to be answered, each answer checked.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use floodway::base::frame::Frame;
use floodway::base::id::{RecordKey, RouterHash};
use floodway::base::limits::ROUTER_INFO_MAX;
use floodway::base::rng::ShardRng;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_search_reply::DatabaseSearchReply;
use floodway::wire::i2np::database_store::{
    DatabaseStore, StoreData, StoreReply, deflate, inflate,
};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::router_info::RouterInfo;

use crate::clock::Clock;
use crate::played::{PlayedRouter, Role};
use crate::swarm::Swarm;
use crate::target::NETWORK;

/// Records that are made up at most.
const RECORDS_MAX: usize = 400;
/// An answer that takes longer is missing.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// How the errands went.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrandCounts {
    /// Stores that were sent.
    pub stores: u64,
    /// Stores that were confirmed.
    pub confirmed: u64,
    /// Lookups that were sent.
    pub lookups: u64,
    /// Lookups of stored records that gave the record, byte for byte.
    pub found: u64,
    /// Lookups of unknown keys that were referred to other routers.
    pub referred: u64,
    /// Explorations that named routers.
    pub explored: u64,
    /// Answers that were not what they should be.
    pub wrong: u64,
    /// Errands that were not answered in time.
    pub missing: u64,
}

impl ErrandCounts {
    /// Whether every errand got its right answer.
    #[must_use]
    pub fn all_answered(&self) -> bool {
        let answered = self.found + self.referred + self.explored;
        self.wrong == 0
            && self.missing == 0
            && self.confirmed == self.stores
            && answered == self.lookups
    }
}

enum Errand {
    Store(Arc<RouterInfo>),
    Find(Arc<RouterInfo>),
    Refer,
    Explore,
}

/// A pending answer is known by the player that waits for it, and by token or key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Confirmation(u32),
    Record(RecordKey),
}

/// All errands of a demonstration.
pub struct Errands {
    rng: ShardRng,
    records: Vec<Arc<RouterInfo>>,
    pending: BTreeMap<(usize, Token), (Errand, Duration)>,
    counts: ErrandCounts,
    turn: usize,
}

impl Errands {
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0xee; 32];
        for (to, from) in bytes.iter_mut().zip(seed.to_le_bytes()) {
            *to = from;
        }
        Self {
            rng: ShardRng::from_seed(bytes),
            records: Vec::new(),
            pending: BTreeMap::new(),
            counts: ErrandCounts::default(),
            turn: 0,
        }
    }

    pub fn counts(&self) -> ErrandCounts {
        self.counts
    }

    /// Sends the next few: one store, two lookups of what was stored, now and then an unknown key or an exploration.
    pub fn run(&mut self, swarm: &mut Swarm, clock: Clock) {
        self.turn += 1;
        if self.records.len() < RECORDS_MAX {
            let record = self.make_up(clock);
            self.send(swarm, clock, Errand::Store(record));
        }
        for _ in 0..2 {
            if !self.records.is_empty() {
                let index = self.rng.below(self.records.len());
                if let Some(record) = self.records.get(index).cloned() {
                    self.send(swarm, clock, Errand::Find(record));
                }
            }
        }
        match self.turn % 4 {
            1 => self.send(swarm, clock, Errand::Refer),
            3 => self.send(swarm, clock, Errand::Explore),
            _ => {}
        }
    }

    /// A router that nobody plays: a valid record.
    fn make_up(&mut self, clock: Clock) -> Arc<RouterInfo> {
        let [a, b, c, ..] = self.rng.bytes::<8>();
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, a, b, c.max(1))), 12345);
        let role = Role { network: NETWORK, address, capabilities: "LR".to_owned() };
        PlayedRouter::new(role, self.rng.bytes(), clock.now().unix).info
    }

    fn send(&mut self, swarm: &mut Swarm, clock: Clock, errand: Errand) {
        let member = self.rng.below(swarm.size());
        let Some(us) = swarm.hash_of(member) else { return };
        let confirmation = self.rng.id();
        let (kind, body, token) = match &errand {
            Errand::Store(record) => {
                let gzip = deflate(record.bytes());
                let reply = StoreReply { token: confirmation, tunnel: None, gateway: us };
                let key = record.hash().into();
                let data = StoreData::RouterInfo { gzip: &gzip };
                let body = DatabaseStore { key, reply: Some(reply), data }.write();
                (MessageType::DatabaseStore, body, Token::Confirmation(confirmation))
            }
            Errand::Find(record) => look_up(record.hash().into(), us, LookupKind::RouterInfo),
            Errand::Refer => look_up(RecordKey(self.rng.bytes()), us, LookupKind::LeaseSet),
            Errand::Explore => look_up(RecordKey(self.rng.bytes()), us, LookupKind::Exploration),
        };
        if self.pending.contains_key(&(member, token)) {
            return;
        }
        match &errand {
            Errand::Store(_) => self.counts.stores += 1,
            Errand::Find(_) | Errand::Refer | Errand::Explore => self.counts.lookups += 1,
        }
        let Some(router) = swarm.router_mut(member) else { return };
        let message = router.message(kind, body, clock.now());
        swarm.send(member, &message);
        self.pending.insert((member, token), (errand, clock.elapsed() + ANSWER_TIME_MAX));
    }

    /// Takes the answers that have come.
    pub fn collect(&mut self, swarm: &mut Swarm, clock: Clock) {
        while let Some((member, message)) = swarm.next_unclaimed() {
            if let Some(right) = self.answer(member, &message)
                && !right
            {
                self.counts.wrong += 1;
            }
        }
        let now = clock.elapsed();
        let before = self.pending.len();
        self.pending.retain(|_, (_, deadline)| *deadline > now);
        self.counts.missing += u64::try_from(before - self.pending.len()).unwrap_or(0);
    }

    /// Whether a message is the right answer to an errand; `None` if it answers none.
    fn answer(&mut self, member: usize, message: &I2npMessage) -> Option<bool> {
        match message.kind {
            MessageType::DeliveryStatus => {
                let status = DeliveryStatus::parse(&message.body).ok()?;
                let (errand, _) =
                    self.pending.remove(&(member, Token::Confirmation(status.id.0)))?;
                if let Errand::Store(record) = errand {
                    self.counts.confirmed += 1;
                    self.records.push(record);
                }
                Some(true)
            }
            MessageType::DatabaseStore => {
                let store = DatabaseStore::parse(&message.body).ok()?;
                let (errand, _) = self.pending.remove(&(member, Token::Record(store.key)))?;
                let right = matches!((&errand, store.data),
                    (Errand::Find(record), StoreData::RouterInfo { gzip })
                        if inflate(gzip, ROUTER_INFO_MAX).is_ok_and(|found| found == **record.bytes()));
                self.counts.found += u64::from(right);
                Some(right)
            }
            MessageType::DatabaseSearchReply => {
                let reply = DatabaseSearchReply::parse(&message.body).ok()?;
                let (errand, _) = self.pending.remove(&(member, Token::Record(reply.key)))?;
                match errand {
                    Errand::Refer => self.counts.referred += 1,
                    Errand::Explore => self.counts.explored += 1,
                    Errand::Find(_) | Errand::Store(_) => return Some(false),
                }
                Some(true)
            }
            MessageType::DatabaseLookup
            | MessageType::Garlic
            | MessageType::TunnelData
            | MessageType::TunnelGateway
            | MessageType::Data
            | MessageType::TunnelBuild
            | MessageType::TunnelBuildReply
            | MessageType::VariableTunnelBuild
            | MessageType::VariableTunnelBuildReply
            | MessageType::ShortTunnelBuild
            | MessageType::OutboundTunnelBuildReply
            | MessageType::Unknown(_) => None,
        }
    }
}

fn look_up(key: RecordKey, from: RouterHash, kind: LookupKind) -> (MessageType, Frame, Token) {
    let lookup = DatabaseLookup {
        key,
        from,
        reply_tunnel: None,
        kind,
        unknown_flags: 0,
        excluded: &[],
        encryption: LookupEncryption::None,
    };
    (MessageType::DatabaseLookup, lookup.write(), Token::Record(key))
}
