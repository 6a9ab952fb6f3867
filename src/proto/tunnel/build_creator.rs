//! Our own builds: the records for a path, the answers of its hops, and the tunnel that results.
//!
//! Spec: tunnel creation (ECIES), short records; order of encryption: each hop encrypts the records of all others,
//! so that the creator takes off beforehand what the earlier hops will put on the later hops' requests, and
//! afterwards what the later hops have put on the earlier hops' answers.

use crate::base::frame::Frame;
use crate::base::id::{MessageId, RouterHash, TunnelId};
use crate::base::rng::ShardRng;
use crate::base::time::UnixTime;
use crate::crypto::chacha;
use crate::crypto::layer::{self, Kernel, LAYER_SIZE, LayerJob, LayerKeys};
use crate::crypto::noise::SymmetricState;
use crate::crypto::secret::X25519Secret;
use crate::crypto::x25519::{X25519Public, diffie_hellman, public_key};
use crate::wire::build_record::{
    BuildRecordError, HopRole, SHORT_REPLY_SIZE, ShortBuildReply, ShortBuildRequest,
};
use crate::wire::i2np::tunnel_build::{BuildMessage, RECORDS_MAX, RecordSize, SHORT_RECORD_SIZE};
use crate::wire::reader::Malformed;

use super::bandwidth::{BandwidthRequest, read_available};
use super::build_reply::{Answer, encrypt_other};
use super::build_request::STATUS_ACCEPTED;
use super::record_keys::{GarlicReplyKey, RecordKeys};

/// Records in a message, unless the path needs more: so many that its length stays open.
pub const RECORDS_USUAL: usize = 4;
/// Seconds that a tunnel is asked to live.
pub const TUNNEL_LIFE_S: u32 = 600;

/// A router that is to be a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatorHop {
    /// Its hash.
    pub hash: RouterHash,
    /// The encryption key of its identity.
    pub static_key: X25519Public,
}

/// Which way a tunnel carries messages, and what stands at its far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildKind {
    /// Messages come to us; the first hop is the gateway.
    Inbound {
        /// Our own hash, which the last hop sends to.
        creator: RouterHash,
        /// The id under which the messages reach us.
        tunnel: TunnelId,
    },
    /// Messages go out; the last hop is the endpoint, and sends the build reply into a tunnel of ours.
    Outbound {
        /// Gateway of the reply tunnel.
        gateway: RouterHash,
        /// The reply tunnel, as its gateway names it.
        tunnel: TunnelId,
    },
}

/// What is to be built.
#[derive(Clone, Copy, Debug)]
pub struct BuildPlan<'a> {
    /// The hops in the order in which messages pass them: 1 to 8 of an outbound tunnel, to 7 of an inbound one.
    pub path: &'a [CreatorHop],
    /// Direction and far end.
    pub kind: BuildKind,
    /// Id of the message that will hold the answers.
    pub reply_message: MessageId,
    /// What each hop is asked to set aside; the limit goes to the gateway alone.
    pub bandwidth: BandwidthRequest,
}

/// Why no build message can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// No hops, or more than a message has records.
    #[error("a path of {hops} hops, {limit} are possible")]
    PathLength {
        /// How many there are.
        hops: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The encryption key of a hop is a point of low order.
    #[error("the key of hop {hop} is weak")]
    WeakKey {
        /// Which hop, from 0.
        hop: usize,
    },
}

/// Why no answers can be read out of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// It is not a build message.
    #[error("build reply: {0}")]
    Malformed(#[from] Malformed),
    /// It has another number of records than the request.
    #[error("{found} records came back, {sent} were sent")]
    Count {
        /// How many came back.
        found: usize,
        /// How many were sent.
        sent: usize,
    },
    /// The answer of a hop was not made by it, or was changed on the way.
    #[error("the answer of hop {hop} does not authenticate")]
    Unauthentic {
        /// Which hop, from 0.
        hop: usize,
    },
    /// A hop's answer breaks the format.
    #[error("answer of a hop: {0}")]
    Record(#[from] BuildRecordError),
    /// The record with our own hash came back changed: a hop has tampered with the message.
    #[error("our own record came back changed")]
    Tampered,
}

/// A build message, ready to be sent, and what is needed to read its reply.
#[derive(Debug)]
pub struct CreatedBuild {
    /// Body of the ShortTunnelBuild.
    pub body: Frame,
    /// The router it goes to: the first hop, or for an inbound tunnel its gateway.
    pub first_hop: RouterHash,
    /// For the reply.
    pub pending: PendingBuild,
}

/// A build under way.
#[derive(Debug)]
pub struct PendingBuild {
    hops: Vec<PendingHop>,
    records: usize,
    reply_message: MessageId,
    decoy: Option<Decoy>,
}

#[derive(Debug)]
struct PendingHop {
    slot: usize,
    router: RouterHash,
    tunnel: TunnelId,
    keys: RecordKeys,
    hash: [u8; 32],
}

/// The record with our own hash in an inbound build, which no hop may change.
#[derive(Debug)]
struct Decoy {
    slot: usize,
    record: [u8; SHORT_RECORD_SIZE],
}

/// A tunnel of ours: its hops in the order in which messages pass them.
#[derive(Debug)]
pub struct TunnelHops {
    hops: Vec<TunnelHop>,
}

/// One hop of a tunnel of ours.
#[derive(Debug)]
pub struct TunnelHop {
    /// Who it is.
    pub router: RouterHash,
    /// The id under which it receives.
    pub tunnel: TunnelId,
    /// Keys of its layer.
    pub keys: LayerKeys,
}

/// Makes the build message for `plan`, dated `now`: records in random order, those that no hop needs random.
///
/// # Errors
/// [`CreateError`], before anything is drawn from the path that could matter to anyone.
pub fn create(
    plan: &BuildPlan<'_>,
    now: UnixTime,
    rng: &mut ShardRng,
) -> Result<CreatedBuild, CreateError> {
    let own_records = match plan.kind {
        BuildKind::Inbound { .. } => 1,
        BuildKind::Outbound { .. } => 0,
    };
    let length =
        CreateError::PathLength { hops: plan.path.len(), limit: RECORDS_MAX - own_records };
    let first_hop = plan.path.first().ok_or(length)?.hash;
    let needed = plan.path.len() + own_records;
    if needed > RECORDS_MAX {
        return Err(length);
    }
    let count = needed.max(RECORDS_USUAL);
    let mut slots = shuffled(count, rng).into_iter();
    let mut records: Vec<[u8; SHORT_RECORD_SIZE]> = (0..count).map(|_| rng.bytes()).collect();

    let requests = requests(plan, now, rng);
    let mut hops = Vec::with_capacity(requests.len());
    for (index, ((hop, request), slot)) in
        plan.path.iter().zip(&requests).zip(slots.by_ref()).enumerate()
    {
        let (record, pending) =
            seal_request(hop, request, slot, rng).ok_or(CreateError::WeakKey { hop: index })?;
        put(&mut records, slot, record);
        hops.push(pending);
    }
    let decoy = match plan.kind {
        BuildKind::Inbound { creator, .. } => {
            slots.next().map(|slot| Decoy { slot, record: decoy_record(&creator, rng) })
        }
        BuildKind::Outbound { .. } => None,
    };
    if let Some(Decoy { slot, record }) = &decoy {
        put(&mut records, *slot, *record);
    }
    let pending = PendingBuild { hops, records: count, reply_message: plan.reply_message, decoy };
    pending.encrypt_ahead(&mut records);
    let body = BuildMessage::write(&records).ok_or(length)?;
    Ok(CreatedBuild { body, first_hop, pending })
}

/// The numbers below `count` in random order.
fn shuffled(count: usize, rng: &mut ShardRng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, rng.below(last + 1));
    }
    order
}

fn put(records: &mut [[u8; SHORT_RECORD_SIZE]], slot: usize, record: [u8; SHORT_RECORD_SIZE]) {
    if let Some(place) = records.get_mut(slot) {
        *place = record;
    }
}

/// What hop `index` is asked to set aside: a limit is for who lets messages in.
fn options(plan: &BuildPlan<'_>, index: usize) -> BandwidthRequest {
    let is_gateway = index == 0 && matches!(plan.kind, BuildKind::Inbound { .. });
    let limit = plan.bandwidth.limit.filter(|_| is_gateway);
    BandwidthRequest { limit, ..plan.bandwidth }
}

/// What each hop is asked, in order.
fn requests(plan: &BuildPlan<'_>, now: UnixTime, rng: &mut ShardRng) -> Vec<ShortBuildRequest> {
    let ids = receive_ids(plan, rng);
    let last = plan.path.len().saturating_sub(1);
    let (far_router, far_tunnel) = match plan.kind {
        BuildKind::Inbound { creator, tunnel } => (creator, tunnel),
        BuildKind::Outbound { gateway, tunnel } => (gateway, tunnel),
    };
    let next_routers = plan.path.iter().skip(1).map(|hop| hop.hash).chain([far_router]);
    let next_tunnels = ids.iter().copied().skip(1).chain([far_tunnel]);
    let nexts = next_routers.zip(next_tunnels);
    ids.iter()
        .zip(nexts)
        .enumerate()
        .map(|(index, (&receive_tunnel, (next_hop, next_tunnel)))| ShortBuildRequest {
            receive_tunnel,
            next_tunnel,
            next_hop,
            role: role(plan.kind, index, last),
            layer_type: 0,
            request_minutes: now.minutes(),
            expiration_s: TUNNEL_LIFE_S,
            next_message: if index == last { plan.reply_message } else { MessageId(rng.id()) },
            options: options(plan, index).write(),
        })
        .collect()
}

/// A receive id for every hop, all different, and different from ours at the far end.
fn receive_ids(plan: &BuildPlan<'_>, rng: &mut ShardRng) -> Vec<TunnelId> {
    let mut ids: Vec<TunnelId> = Vec::with_capacity(plan.path.len());
    while ids.len() < plan.path.len() {
        match TunnelId::new(rng.id()) {
            Some(id) if !ids.contains(&id) => ids.push(id),
            Some(_) | None => {}
        }
    }
    ids
}

fn role(kind: BuildKind, index: usize, last: usize) -> HopRole {
    match kind {
        BuildKind::Inbound { .. } if index == 0 => HopRole::InboundGateway,
        BuildKind::Outbound { .. } if index == last => HopRole::OutboundEndpoint,
        BuildKind::Inbound { .. } | BuildKind::Outbound { .. } => HopRole::Participant,
    }
}

/// The record for one hop; `None` when the hop's key is weak.
fn seal_request(
    hop: &CreatorHop,
    request: &ShortBuildRequest,
    slot: usize,
    rng: &mut ShardRng,
) -> Option<([u8; SHORT_RECORD_SIZE], PendingHop)> {
    let ephemeral = X25519Secret::from_bytes(rng.bytes());
    let shared = diffie_hellman(&ephemeral, &hop.static_key).ok()?;
    let ephemeral = public_key(&ephemeral);
    let mut state = SymmetricState::tunnel_record(&hop.static_key);
    state.mix_hash(&ephemeral.0);
    let key = state.mix_key(&shared);
    let mut cleartext = request.write(rng);
    let tag = state.seal_and_hash(&key, 0, &mut cleartext);
    let parts = hop.hash.0.iter().take(16).chain(&ephemeral.0).chain(&cleartext).chain(&tag);
    let mut record = [0; SHORT_RECORD_SIZE];
    for (to, from) in record.iter_mut().zip(parts) {
        *to = *from;
    }
    let pending = PendingHop {
        slot,
        router: hop.hash,
        tunnel: request.receive_tunnel,
        keys: RecordKeys::derive(state.chain_key(), request.role),
        hash: *state.hash(),
    };
    Some((record, pending))
}

/// A record that looks to everyone but us as if it were ours to open: our hash, a true ephemeral key, and noise.
fn decoy_record(creator: &RouterHash, rng: &mut ShardRng) -> [u8; SHORT_RECORD_SIZE] {
    let ephemeral = public_key(&X25519Secret::from_bytes(rng.bytes()));
    let mut record = rng.bytes();
    let front = creator.0.iter().take(16).chain(&ephemeral.0);
    for (to, from) in record.iter_mut().zip(front) {
        *to = *from;
    }
    record
}

impl PendingBuild {
    /// Id of the message that holds the answers: a ShortTunnelBuild from the last hop for an inbound tunnel, an
    /// OutboundTunnelBuildReply in garlic for an outbound one.
    #[must_use]
    pub fn reply_message(&self) -> MessageId {
        self.reply_message
    }

    /// What the endpoint of an outbound tunnel seals the reply with.
    #[must_use]
    pub fn garlic(&self) -> Option<&GarlicReplyKey> {
        self.hops.last().and_then(|hop| hop.keys.garlic.as_ref())
    }

    /// The hops, in order.
    pub fn routers(&self) -> impl Iterator<Item = RouterHash> {
        self.hops.iter().map(|hop| hop.router)
    }

    /// Encrypts every request as often as hops before it will.
    fn encrypt_ahead(&self, records: &mut [[u8; SHORT_RECORD_SIZE]]) {
        let decoy = self.decoy.as_ref().map(|decoy| decoy.slot);
        for (index, hop) in self.hops.iter().enumerate() {
            let later = self.hops.iter().skip(index + 1).map(|hop| hop.slot);
            for slot in later.chain(decoy) {
                if let Some(record) = records.get_mut(slot) {
                    encrypt_other(&hop.keys.reply, slot, record);
                }
            }
        }
    }

    /// Reads the status of each hop, in order. The tunnel is there if all are
    /// [`STATUS_ACCEPTED`](super::build_request::STATUS_ACCEPTED).
    ///
    /// # Errors
    /// [`ReplyError`] when the message does not hold an answer of every hop.
    pub fn read_reply(&self, body: &mut [u8]) -> Result<Vec<u8>, ReplyError> {
        Ok(self.read_answers(body)?.into_iter().map(|answer| answer.status).collect())
    }

    /// Reads all that each hop answers, in order.
    ///
    /// # Errors
    /// As [`PendingBuild::read_reply`].
    pub fn read_answers(&self, body: &mut [u8]) -> Result<Vec<Answer>, ReplyError> {
        let mut message = BuildMessage::parse(body, RecordSize::Short)?;
        if message.count() != self.records {
            return Err(ReplyError::Count { found: message.count(), sent: self.records });
        }
        if let Some(Decoy { slot, record }) = &self.decoy
            && message.record(*slot) != Some(record)
        {
            return Err(ReplyError::Tampered);
        }
        let mut answers = Vec::with_capacity(self.hops.len());
        for (index, hop) in self.hops.iter().enumerate().rev() {
            let record = message.record_mut(hop.slot);
            let answer = record.ok_or(ReplyError::Unauthentic { hop: index })?;
            answers.push(hop.read_answer(index, answer)?);
            for earlier in self.hops.iter().take(index) {
                if let Some(record) = message.record_mut(earlier.slot) {
                    encrypt_other(&hop.keys.reply, earlier.slot, record);
                }
            }
        }
        answers.reverse();
        Ok(answers)
    }

    /// The tunnel, once every hop has accepted.
    #[must_use]
    pub fn into_tunnel(self) -> TunnelHops {
        let hops = self.hops.into_iter();
        TunnelHops {
            hops: hops
                .map(|hop| TunnelHop {
                    router: hop.router,
                    tunnel: hop.tunnel,
                    keys: hop.keys.layer,
                })
                .collect(),
        }
    }
}

impl PendingHop {
    fn read_answer(
        &self,
        index: usize,
        record: &mut [u8; SHORT_RECORD_SIZE],
    ) -> Result<Answer, ReplyError> {
        let denied = ReplyError::Unauthentic { hop: index };
        let nonce = u64::try_from(self.slot).unwrap_or(u64::MAX);
        let opened = chacha::open_in_place(&self.keys.reply, nonce, &self.hash, record)
            .map_err(|_| denied)?;
        let cleartext: &[u8; SHORT_REPLY_SIZE] = (&*opened).try_into().map_err(|_| denied)?;
        let ShortBuildReply { status, options } = ShortBuildReply::parse(cleartext)?;
        Ok(Answer { status, bandwidth: read_available(&options) })
    }
}

/// Whether every hop has accepted.
#[must_use]
pub fn all_accepted(statuses: &[u8]) -> bool {
    statuses.iter().all(|&status| status == STATUS_ACCEPTED)
}

impl TunnelHops {
    /// The hops in the order in which messages pass them; the first is where messages go in.
    #[must_use]
    pub fn hops(&self) -> &[TunnelHop] {
        &self.hops
    }

    /// Takes off beforehand what the hops of an outbound tunnel will put on. Each of `messages` is IV and payload,
    /// with an IV that was never used before.
    pub fn outbound_encrypt(&self, kernel: Kernel, messages: &mut [[u8; LAYER_SIZE]]) {
        self.undo_layers(kernel, messages);
    }

    /// Takes off what the hops of an inbound tunnel have put on.
    pub fn inbound_decrypt(&self, kernel: Kernel, messages: &mut [[u8; LAYER_SIZE]]) {
        self.undo_layers(kernel, messages);
    }

    fn undo_layers(&self, kernel: Kernel, messages: &mut [[u8; LAYER_SIZE]]) {
        for hop in self.hops.iter().rev() {
            let jobs = messages.iter_mut().map(|data| LayerJob { keys: &hop.keys, data });
            layer::decrypt_batch(kernel, &mut jobs.collect::<Vec<_>>());
        }
    }
}
