//! Opens build requests: finds our record, has its Diffie-Hellman done with the turn's others, reads the rest.
//!
//! A refusal costs as much as an acceptance, since even the next hop stands in the sealed record: only silence is cheap.
//! So what exceeds a quota is dropped in front of the Diffie-Hellman, and what passes waits in a queue of which each turn
//! does a bounded number, so that a flood of builds delays itself and not the tunnels.

mod queue;

use self::queue::BuildQueue;
use super::address::Address;
use super::contract::{Actor, Context};
use super::counters::Drop;
use super::message::{
    BuildActorMessage, DiffieHellman, DiffieHellmanPurpose, Message, OpenedBuild, Origin,
    TransitMessage, WaitingBuild,
};
use super::node::ShardLimits;
use crate::base::frame::Frame;
use crate::base::rate::TokenBucket;
use crate::base::rng::ShardRng;
use crate::base::time::Instant;
use crate::crypto::secret::SharedSecret;
use crate::proto::local::HopIdentity;
use crate::proto::tunnel::build_form::BuildForm;
use crate::proto::tunnel::build_replay::BuildReplayFilter;
use crate::proto::tunnel::build_request::{BuildRequestError, Onward, Verdict, check_request};
use crate::wire::build_record::HopRole;

/// The opener of build requests on one shard.
pub struct BuildOpener {
    hop: HopIdentity,
    replay: BuildReplayFilter,
    /// Use of the rate for requests that did not come over a session, whose sender nobody knows.
    unvouched: TokenBucket,
    queue: BuildQueue,
    work_left: usize,
}

impl BuildOpener {
    /// An opener for the router that `hop` names.
    #[must_use]
    pub fn new(hop: HopIdentity, limits: &ShardLimits, now: Instant, rng: &mut ShardRng) -> Self {
        Self {
            hop,
            replay: BuildReplayFilter::new(limits.build_replay_slots, rng),
            unvouched: TokenBucket::full(&limits.builds_unvouched, now),
            queue: BuildQueue::default(),
            work_left: limits.builds_per_turn,
        }
    }

    /// A turn begins, with a budget of its own.
    pub fn begin_turn(&mut self, cx: &Context<'_>) {
        self.work_left = cx.node.limits.builds_per_turn;
    }

    /// Requests that wait for their Diffie-Hellman.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether work waits that belongs to this turn.
    #[must_use]
    pub fn can_work(&self) -> bool {
        self.queue.len() > 0 && self.work_left > 0
    }

    /// Gives the requests whose turn has come to the turn's Diffie-Hellmans, those that have waited longest first; those
    /// that have waited for too long are dropped.
    pub fn take_work(&mut self, cx: &mut Context<'_>) {
        while let Some(late) = self.queue.take_late(cx.now.instant) {
            drop_waiting(late, Drop::BuildLate, cx);
        }
        while self.work_left > 0
            && let Some(request) = self.queue.take()
        {
            self.work_left -= 1;
            cx.effects.diffie_hellmans.push(request);
        }
    }

    /// How often the replay filter was too small for its period.
    #[must_use]
    pub fn early_rotations(&self) -> u64 {
        self.replay.early_rotations()
    }

    fn request(&mut self, origin: Origin, form: BuildForm, mut body: Frame, cx: &mut Context<'_>) {
        let Ok(found) = form.find(&mut body, &cx.node.hash()) else {
            cx.count_drop(Drop::Malformed);
            return;
        };
        let Some((slot, public)) = found else {
            cx.count_drop(Drop::BuildNotForUs);
            return;
        };
        // Who came over a session has paid for it by its address.
        let rate = &cx.node.limits.builds_unvouched;
        if origin.peer().is_none() && !self.unvouched.take(1, rate, cx.now.instant) {
            cx.count_drop(Drop::BuildUnvouchedRate);
            return;
        }
        if let Err(error) = self.replay.check(&public, cx.now.instant) {
            cx.count_drop(drop_reason(error));
            return;
        }
        let purpose = DiffieHellmanPurpose::Build(WaitingBuild { origin, form, body, slot });
        let request = DiffieHellman { public, purpose };
        let max = cx.node.limits.builds_waiting;
        if let Some(oldest) = self.queue.push(request, max, cx.now.instant) {
            drop_waiting(oldest, Drop::BuildQueueFull, cx);
        }
    }

    fn open(&mut self, waiting: WaitingBuild, shared: &SharedSecret, cx: &mut Context<'_>) {
        let WaitingBuild { origin, form, mut body, slot } = waiting;
        let opened = match form.open(&mut body, slot, &self.hop, shared) {
            Ok(opened) => opened,
            Err(error) => {
                cx.count_drop(drop_reason(error));
                return;
            }
        };
        let previous = origin.peer();
        let request = opened.request();
        let refusal = match check_request(request, &cx.node.hash(), previous.as_ref(), cx.now.unix)
        {
            Ok(Onward::Further) => None,
            Ok(Onward::BackToPrevious) => {
                cx.counters.builds_there_and_back += 1;
                None
            }
            Err(error) => match error.verdict() {
                Verdict::Drop => {
                    cx.count_drop(drop_reason(error));
                    return;
                }
                Verdict::Refuse(status) => Some(status),
            },
        };
        let address = match request.role {
            HopRole::InboundGateway => Address::Gateway(request.receive_tunnel),
            HopRole::Participant | HopRole::OutboundEndpoint => Address::Here,
        };
        let build = OpenedBuild { previous, form, body, slot, opened, refusal };
        cx.send(address, Message::Transit(TransitMessage::Install(Box::new(build))));
    }
}

fn drop_waiting(request: DiffieHellman, reason: Drop, cx: &mut Context<'_>) {
    cx.count_drop(reason);
    match request.purpose {
        DiffieHellmanPurpose::Build(WaitingBuild { body, .. })
        | DiffieHellmanPurpose::Garlic(body) => cx.frames.give_back(body),
    }
}

fn drop_reason(error: BuildRequestError) -> Drop {
    match error {
        BuildRequestError::NotAddressed => Drop::BuildNotForUs,
        BuildRequestError::Replayed => Drop::BuildReplayed,
        BuildRequestError::WeakKey => Drop::WeakKey,
        BuildRequestError::Unauthentic => Drop::BuildUnauthentic,
        BuildRequestError::Stale { .. } | BuildRequestError::Ahead { .. } => Drop::BuildStale,
        BuildRequestError::Record(_)
        | BuildRequestError::LayerType { .. }
        | BuildRequestError::Bandwidth(_)
        | BuildRequestError::NextIsSelf => Drop::BuildInvalid,
        BuildRequestError::NoPrevious { .. } => Drop::BuildNoPreviousHop,
    }
}

impl Actor for BuildOpener {
    type Message = BuildActorMessage;

    fn handle(&mut self, message: BuildActorMessage, cx: &mut Context<'_>) {
        match message {
            BuildActorMessage::Request { origin, form, body } => {
                self.request(origin, form, body, cx);
            }
            BuildActorMessage::Shared { waiting, shared: Ok(shared) } => {
                self.open(waiting, &shared, cx);
            }
            BuildActorMessage::Shared { shared: Err(_), .. } => cx.count_drop(Drop::WeakKey),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: &mut Context<'_>) {}
}
