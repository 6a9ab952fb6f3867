//! Opens build requests: finds our record, has its Diffie-Hellman done with the turn's others, reads the rest.

use super::address::Address;
use super::contract::{Actor, Context};
use super::counters::Drop;
use super::message::{
    BuildActorMessage, DiffieHellman, DiffieHellmanPurpose, Message, OpenedBuild, Origin,
    TransitMessage, WaitingBuild,
};
use crate::base::frame::Frame;
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
}

impl BuildOpener {
    /// An opener for the router that `hop` names.
    #[must_use]
    pub fn new(hop: HopIdentity, replay_slots: usize, rng: &mut ShardRng) -> Self {
        Self { hop, replay: BuildReplayFilter::new(replay_slots, rng) }
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
        if cx.effects.diffie_hellmans.len() >= cx.node.limits.diffie_hellmans_per_turn {
            cx.count_drop(Drop::DiffieHellmanBudget);
            return;
        }
        if let Err(error) = self.replay.check(&public, cx.now.instant) {
            cx.count_drop(drop_reason(error));
            return;
        }
        let purpose = DiffieHellmanPurpose::Build(WaitingBuild { origin, form, body, slot });
        cx.effects.diffie_hellmans.push(DiffieHellman { public, purpose });
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

fn drop_reason(error: BuildRequestError) -> Drop {
    match error {
        BuildRequestError::NotAddressed => Drop::BuildNotForUs,
        BuildRequestError::Replayed => Drop::BuildReplayed,
        BuildRequestError::WeakKey => Drop::WeakKey,
        BuildRequestError::Unauthentic => Drop::BuildUnauthentic,
        BuildRequestError::Stale { .. } | BuildRequestError::Ahead { .. } => Drop::BuildStale,
        BuildRequestError::Record(_)
        | BuildRequestError::LayerType { .. }
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
