//! Creator against hops: builds and data over whole tunnels, without any transport.

use std::time::Duration;

use proptest::prelude::*;

use crate::base::frame::Frame;
use crate::base::id::{MessageId, RouterHash, TunnelId};
use crate::base::rng::ShardRng;
use crate::base::time::{Instant, UnixTime};
use crate::crypto::layer::{Kernel, LayerJob, encrypt_batch};
use crate::crypto::secret::X25519Secret;
use crate::crypto::x25519::{diffie_hellman, public_key};
use crate::proto::local::HopIdentity;
use crate::wire::build_record::HopRole;
use crate::wire::delivery::Delivery;
use crate::wire::i2np::tunnel_build::{BuildMessage, RecordSize};
use crate::wire::i2np::tunnel_data::TunnelData;
use crate::wire::i2np::{I2npMessage, MessageType};

use super::admission::{Load, decide};
use super::bandwidth::BandwidthRequest;
use super::build_creator::{
    BuildKind, BuildPlan, CreateError, CreatedBuild, CreatorHop, ReplyError, TunnelHops,
    all_accepted, create,
};
use super::build_replay::BuildReplayFilter;
use super::build_reply::{Answer, seal_reply};
use super::build_request::{
    BuildRequestError, OpenedRequest, check_request, ephemeral_key, find_slot, open_record,
};
use super::fragmenter::Fragmenter;
use super::hop::{NextHop, TransitDrop};
use super::inbound_gateway::InboundGateway;
use super::iv_filter::IvFilter;
use super::outbound_endpoint::OutboundEndpoint;
use super::participant::Participant;
use super::reassembler::{LocalDelivery, Reassembled, Reassembler, ReassemblyLimits};

const NOW: UnixTime = UnixTime(1_700_000_000_000);
const CLOCK: Instant = Instant(9_000_000_000);
const CREATOR: RouterHash = RouterHash([0xcc; 32]);
const FAR: RouterHash = RouterHash([0xfa; 32]);
const REPLY: MessageId = MessageId(0x7777_7777);

/// One router of a path, as far as tunnels go.
struct Router {
    secret: X25519Secret,
    identity: HopIdentity,
    replays: BuildReplayFilter,
    ivs: IvFilter,
    load: Load,
    tunnel: Option<Role>,
}

enum Role {
    Participant(TunnelId, Participant),
    Gateway(InboundGateway),
    Endpoint(TunnelId, OutboundEndpoint),
}

impl Router {
    fn new(number: u8, rng: &mut ShardRng) -> Self {
        let secret = X25519Secret::from_bytes(rng.bytes());
        let identity = HopIdentity::new(RouterHash([number; 32]), &public_key(&secret));
        let load = Load { limit: 1, ..Load::default() };
        let (replays, ivs) =
            (BuildReplayFilter::new(256, rng), IvFilter::new(4096, Instant::default(), rng));
        Self { secret, identity, replays, ivs, load, tunnel: None }
    }

    fn as_hop(&self) -> CreatorHop {
        CreatorHop { hash: *self.identity.hash(), static_key: public_key(&self.secret) }
    }

    /// What the build actor does with a message; returns where it goes and under which id.
    fn handle_build(
        &mut self,
        body: &mut [u8],
        previous: &RouterHash,
    ) -> Result<(NextHop, MessageId), BuildRequestError> {
        let mut message = BuildMessage::parse(body, RecordSize::Short).unwrap();
        let slot =
            find_slot(&message, self.identity.hash()).ok_or(BuildRequestError::NotAddressed)?;
        let record = message.record(slot).unwrap();
        let ephemeral = ephemeral_key(record);
        self.replays.check(&ephemeral, CLOCK)?;
        let shared =
            diffie_hellman(&self.secret, &ephemeral).map_err(|_| BuildRequestError::WeakKey)?;
        let opened = open_record(&self.identity, record, &shared)?;
        let request = &opened.request;
        let _ = check_request(request, self.identity.hash(), Some(previous), NOW)?;
        let next = NextHop { router: request.next_hop, tunnel: request.next_tunnel };
        let next_message = request.next_message;
        let admission = decide(&self.load);
        seal_reply(&mut message, slot, &opened, Answer::plain(admission.status()));
        if admission.status() == 0 {
            self.install(opened, next, *previous);
        }
        Ok((next, next_message))
    }

    fn install(&mut self, opened: OpenedRequest, next: NextHop, previous: RouterHash) {
        let (id, keys) = (opened.request.receive_tunnel, opened.keys);
        assert_eq!(opened.garlic.is_some(), opened.request.role == HopRole::OutboundEndpoint);
        self.tunnel = Some(match opened.request.role {
            HopRole::Participant => Role::Participant(id, Participant { keys, next, previous }),
            HopRole::InboundGateway => Role::Gateway(InboundGateway::new(keys, next)),
            HopRole::OutboundEndpoint => {
                let limits = ReassemblyLimits::default();
                Role::Endpoint(id, OutboundEndpoint::new(keys, previous, limits))
            }
        });
    }

    /// Passes one message of a tunnel on, or takes it at its end.
    fn handle_data(
        &mut self,
        body: &mut [u8],
        from: &RouterHash,
        out: &mut Reassembled,
    ) -> Result<(), TransitDrop> {
        let mut data = TunnelData::parse(body).unwrap();
        match self.tunnel.as_mut().unwrap() {
            Role::Participant(id, participant) => {
                assert_eq!(data.tunnel(), *id);
                participant.check(from, &data, &mut self.ivs, CLOCK)?;
                let job = LayerJob { keys: &participant.keys, data: data.layer_mut() };
                encrypt_batch(Kernel::Portable, &mut [job]);
                data.set_tunnel(participant.next.tunnel);
            }
            Role::Endpoint(id, endpoint) => {
                assert_eq!(data.tunnel(), *id);
                endpoint.check(from, &data, &mut self.ivs, CLOCK)?;
                let job = LayerJob { keys: &endpoint.keys, data: data.layer_mut() };
                encrypt_batch(Kernel::Portable, &mut [job]);
                endpoint.handle_payload(data.layer(), CLOCK, out);
            }
            Role::Gateway(..) => panic!("a gateway takes no TunnelData"),
        }
        Ok(())
    }
}

fn routers(count: u8, rng: &mut ShardRng) -> Vec<Router> {
    (1..=count).map(|number| Router::new(number, rng)).collect()
}

fn far_tunnel() -> TunnelId {
    TunnelId::new(0xfa57).unwrap()
}

fn inbound() -> BuildKind {
    BuildKind::Inbound { creator: CREATOR, tunnel: far_tunnel() }
}

fn outbound() -> BuildKind {
    BuildKind::Outbound { gateway: FAR, tunnel: far_tunnel() }
}

fn plan_and_create(routers: &[Router], kind: BuildKind, rng: &mut ShardRng) -> CreatedBuild {
    let path: Vec<CreatorHop> = routers.iter().map(Router::as_hop).collect();
    create(
        &BuildPlan {
            path: &path,
            kind,
            reply_message: REPLY,
            bandwidth: BandwidthRequest::default(),
        },
        NOW,
        rng,
    )
    .unwrap()
}

/// Sends the build through its hops and checks where it goes.
fn run_build(routers: &mut [Router], body: &mut [u8]) {
    let mut previous = CREATOR;
    let mut expected = routers.first().map(|router| *router.identity.hash());
    for index in 0..routers.len() {
        let router = &mut routers[index];
        assert_eq!(expected, Some(*router.identity.hash()));
        let (next, message) = router.handle_build(body, &previous).unwrap();
        previous = *router.identity.hash();
        expected = Some(next.router);
        if index + 1 == routers.len() {
            assert_eq!((next.tunnel, message), (far_tunnel(), REPLY));
        }
    }
    assert!(matches!(expected, Some(CREATOR | FAR)));
}

#[test]
fn builds_of_one_to_eight_hops_are_answered_by_every_hop() {
    let mut rng = ShardRng::from_seed([1; 32]);
    for (kind, hops_max, far) in [(inbound(), 7, CREATOR), (outbound(), 8, FAR)] {
        for hops in 1..=hops_max {
            let mut routers = routers(hops, &mut rng);
            let created = plan_and_create(&routers, kind, &mut rng);
            assert_eq!(created.first_hop, RouterHash([1; 32]));
            assert_eq!(created.pending.reply_message(), REPLY);
            assert_eq!(created.pending.garlic().is_some(), far == FAR);
            let mut body = created.body;
            let decoys = if far == CREATOR { 1 } else { 0 };
            assert_eq!(body[0], (hops + decoys).max(4));
            run_build(&mut routers, &mut body);
            let answers = created.pending.read_reply(&mut body).unwrap();
            assert!(all_accepted(&answers));
            assert_eq!(answers.len(), usize::from(hops));
        }
    }
}

#[test]
fn a_hop_that_refuses_passes_the_message_on_and_is_known() {
    let mut rng = ShardRng::from_seed([2; 32]);
    for kind in [inbound(), outbound()] {
        for refusing in 0..3 {
            let mut routers = routers(3, &mut rng);
            routers[refusing].load.limit = 0;
            let created = plan_and_create(&routers, kind, &mut rng);
            let mut body = created.body;
            run_build(&mut routers, &mut body);
            let answers = created.pending.read_reply(&mut body).unwrap();
            let mut expected = vec![0; 3];
            expected[refusing] = 30;
            assert_eq!(answers, expected);
            assert!(!all_accepted(&answers));
            assert!(routers[refusing].tunnel.is_none());
        }
    }
}

#[test]
fn the_endpoint_has_the_garlic_key_of_the_creator() {
    let mut rng = ShardRng::from_seed([3; 32]);
    let mut endpoint = Router::new(1, &mut rng);
    let created = plan_and_create(std::slice::from_ref(&endpoint), outbound(), &mut rng);
    let mut body = created.body;
    let message = BuildMessage::parse(&mut body, RecordSize::Short).unwrap();
    let slot = find_slot(&message, endpoint.identity.hash()).unwrap();
    let record = message.record(slot).unwrap();
    let shared = diffie_hellman(&endpoint.secret, &ephemeral_key(record)).unwrap();
    let theirs = open_record(&endpoint.identity, record, &shared).unwrap().garlic.unwrap();
    let ours = created.pending.garlic().unwrap();
    assert_eq!(theirs.tag, ours.tag);
    assert!(theirs.key.ct_eq(&ours.key));
    endpoint.handle_build(&mut body, &CREATOR).unwrap();
}

#[test]
fn a_record_is_good_once() {
    let mut rng = ShardRng::from_seed([4; 32]);
    let mut router = Router::new(1, &mut rng);
    let created = plan_and_create(std::slice::from_ref(&router), outbound(), &mut rng);
    let mut replay = created.body.clone();
    let mut body = created.body;
    assert!(router.handle_build(&mut body, &CREATOR).is_ok());
    assert_eq!(router.handle_build(&mut replay, &FAR), Err(BuildRequestError::Replayed));
    assert_eq!(router.handle_build(&mut body, &FAR), Err(BuildRequestError::NotAddressed));
}

#[test]
fn what_a_hop_does_to_the_answers_of_others_is_noticed() {
    let mut rng = ShardRng::from_seed([5; 32]);
    for kind in [inbound(), outbound()] {
        let mut routers = routers(2, &mut rng);
        let created = plan_and_create(&routers, kind, &mut rng);
        let mut body = created.body;
        run_build(&mut routers, &mut body);
        let mut found = Vec::new();
        for slot in 0..4 {
            let mut changed = body.to_vec();
            changed[1 + slot * 218 + 100] ^= 1;
            found.push(created.pending.read_reply(&mut changed));
        }
        let fails = |error| found.iter().filter(|result| **result == Err(error)).count();
        assert_eq!(fails(ReplyError::Unauthentic { hop: 0 }), 1);
        assert_eq!(fails(ReplyError::Unauthentic { hop: 1 }), 1);
        assert_eq!(fails(ReplyError::Tampered), if kind == inbound() { 1 } else { 0 });
        let count = created.pending.read_reply(&mut [&[1][..], &[0; 218]].concat());
        assert_eq!(count, Err(ReplyError::Count { found: 1, sent: 4 }));
    }
}

#[test]
fn impossible_paths_are_refused() {
    let mut rng = ShardRng::from_seed([6; 32]);
    let hop = Router::new(1, &mut rng).as_hop();
    let mut weak = hop;
    weak.static_key.0 = [0; 32];
    let mut attempt = |path: &[CreatorHop], kind| {
        create(
            &BuildPlan { path, kind, reply_message: REPLY, bandwidth: BandwidthRequest::default() },
            NOW,
            &mut rng,
        )
        .err()
    };
    let length = |hops, limit| Some(CreateError::PathLength { hops, limit });
    assert_eq!(attempt(&[], outbound()), length(0, 8));
    assert_eq!(attempt(&[hop; 9], outbound()), length(9, 8));
    assert_eq!(attempt(&[hop; 8], inbound()), length(8, 7));
    assert_eq!(attempt(&[hop, weak], outbound()), Some(CreateError::WeakKey { hop: 1 }));
}

fn built(hops: u8, kind: BuildKind, rng: &mut ShardRng) -> (Vec<Router>, TunnelHops) {
    let mut routers = routers(hops, rng);
    let created = plan_and_create(&routers, kind, rng);
    let mut body = created.body;
    run_build(&mut routers, &mut body);
    assert!(all_accepted(&created.pending.read_reply(&mut body).unwrap()));
    (routers, created.pending.into_tunnel())
}

/// Messages of 1 byte to 60 KB, distinguishable by size.
fn messages(rng: &mut ShardRng) -> Vec<I2npMessage> {
    let sizes = [1, 20, 300, 900, 952, 953, 1000, 2000, 5000, 10_000, 30_000, 60_000, 62_708];
    let make = |size: usize, rng: &mut ShardRng| {
        let mut body = vec![0; size];
        rng.fill(&mut body);
        let (kind, id) = (MessageType::Data, MessageId(rng.id()));
        I2npMessage { kind, id, expiration: NOW, body: Frame::copy_of(&body) }
    };
    sizes.into_iter().map(|size| make(size, rng)).collect()
}

/// Drops one in `loss`, and carries the rest in an order that is shuffled within a window.
fn lossy<T>(mut items: Vec<T>, loss: Option<usize>, rng: &mut ShardRng) -> Vec<T> {
    if let Some(loss) = loss {
        items.retain(|_| rng.below(loss) != 0);
    }
    for index in 0..items.len() {
        let other = (index + rng.below(40)).min(items.len() - 1);
        items.swap(index, other);
    }
    items
}

/// What came out must have gone in; all of it without loss, all that fits one tunnel message with.
fn check_outcome(out: &Reassembled, sent: &[I2npMessage], delivery: Delivery, loss: Option<usize>) {
    for delivered in &out.delivered {
        assert_eq!(delivered.delivery, delivery);
        assert!(sent.contains(&delivered.message));
    }
    assert!(out.dropped.is_empty(), "{:?}", out.dropped);
    match loss {
        None => assert_eq!(out.delivered.len(), sent.len()),
        Some(_) => assert!(out.delivered.len() < sent.len() && !out.delivered.is_empty()),
    }
}

#[test]
fn outbound_tunnels_deliver_messages_of_every_size() {
    let mut rng = ShardRng::from_seed([7; 32]);
    let delivery = Delivery::Tunnel { gateway: FAR, tunnel: far_tunnel() };
    for (hops, loss) in [(1, None), (2, None), (3, None), (3, Some(8))] {
        let (mut routers, tunnel) = built(hops, outbound(), &mut rng);
        let sent = messages(&mut rng);
        let (mut fragmenter, mut payloads) = (Fragmenter::new(), Vec::new());
        for message in &sent {
            fragmenter.push_message(delivery, message, &mut rng, &mut payloads).unwrap();
        }
        fragmenter.flush(&mut rng, &mut payloads);
        tunnel.outbound_encrypt(Kernel::Portable, &mut payloads);
        let entrance = tunnel.hops()[0].tunnel;
        let bodies = payloads.iter().map(|payload| TunnelData::write(entrance, payload));
        let mut out = Reassembled::default();
        for mut body in lossy(bodies.collect(), loss, &mut rng) {
            let mut from = CREATOR;
            for router in &mut routers {
                router.handle_data(&mut body, &from, &mut out).unwrap();
                from = *router.identity.hash();
            }
        }
        check_outcome(&out, &sent, delivery, loss);
    }
}

#[test]
fn inbound_tunnels_deliver_messages_of_every_size() {
    let mut rng = ShardRng::from_seed([8; 32]);
    for (hops, loss) in [(1, None), (2, None), (3, None), (3, Some(8))] {
        let (mut routers, tunnel) = built(hops, inbound(), &mut rng);
        let sent = messages(&mut rng);
        let payloads = through_gateway(&mut routers[0], &sent, &mut rng);
        let mut ours = Reassembler::new(ReassemblyLimits::default(), LocalDelivery::Taken);
        let mut out = Reassembled::default();
        for mut body in lossy(payloads, loss, &mut rng) {
            let mut from = *routers[0].identity.hash();
            for router in routers.iter_mut().skip(1) {
                router.handle_data(&mut body, &from, &mut out).unwrap();
                from = *router.identity.hash();
            }
            let mut data = TunnelData::parse(&mut body).unwrap();
            assert_eq!(data.tunnel(), far_tunnel());
            let layer = std::slice::from_mut(data.layer_mut());
            tunnel.inbound_decrypt(Kernel::Portable, layer);
            ours.handle_payload(&layer[0], CLOCK, &mut out);
        }
        check_outcome(&out, &sent, Delivery::Local, loss);
    }
}

/// What the gateway sends on for these messages, its layer applied.
fn through_gateway(router: &mut Router, sent: &[I2npMessage], rng: &mut ShardRng) -> Vec<Frame> {
    let Some(Role::Gateway(gateway)) = &mut router.tunnel else { panic!("not a gateway") };
    let mut payloads = Vec::new();
    for message in sent {
        let inner = message.encode_standard();
        gateway.handle_message(&inner, NOW, rng, &mut payloads).unwrap();
    }
    gateway.flush(rng, &mut payloads);
    let jobs = payloads.iter_mut().map(|data| LayerJob { keys: &gateway.keys, data });
    encrypt_batch(Kernel::Portable, &mut jobs.collect::<Vec<_>>());
    payloads.iter().map(|payload| TunnelData::write(gateway.next.tunnel, payload)).collect()
}

#[test]
fn a_repeated_message_and_one_from_a_stranger_go_no_further() {
    let mut rng = ShardRng::from_seed([9; 32]);
    let (mut routers, tunnel) = built(2, outbound(), &mut rng);
    let body = TunnelData::write(tunnel.hops()[0].tunnel, &rng.bytes());
    let (mut out, router) = (Reassembled::default(), &mut routers[0]);
    let stranger = router.handle_data(&mut body.clone(), &FAR, &mut out);
    assert_eq!(stranger, Err(TransitDrop::WrongPrevious));
    assert_eq!(router.handle_data(&mut body.clone(), &CREATOR, &mut out), Ok(()));
    let again = router.handle_data(&mut body.clone(), &CREATOR, &mut out);
    assert_eq!(again, Err(TransitDrop::Replayed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_build_message_never_panics(
        at in 0usize..873, flip in 1u8.., cut in 0usize..873, seed: [u8; 32],
    ) {
        let mut rng = ShardRng::from_seed(seed);
        let mut routers = routers(2, &mut rng);
        let created = plan_and_create(&routers, inbound(), &mut rng);
        let mut body = created.body.to_vec();
        body[at] ^= flip;
        if BuildMessage::parse(&mut body, RecordSize::Short).is_ok() {
            let _ = routers[0].handle_build(&mut body, &CREATOR);
            let _ = routers[1].handle_build(&mut body, &FAR);
        }
        let _ = created.pending.read_reply(&mut body);
        let _ = created.pending.read_reply(&mut body[..cut]);
    }

    #[test]
    fn a_changed_payload_never_panics(at in 0usize..1024, flip in 1u8.., payload in 0usize..3) {
        let mut rng = ShardRng::from_seed([1; 32]);
        let (mut fragmenter, mut payloads) = (Fragmenter::new(), Vec::new());
        let message = &messages(&mut rng)[7];
        fragmenter.push_message(Delivery::Local, message, &mut rng, &mut payloads).unwrap();
        fragmenter.flush(&mut rng, &mut payloads);
        payloads[payload][at] ^= flip;
        let mut ours = Reassembler::new(ReassemblyLimits::default(), LocalDelivery::Taken);
        let mut out = Reassembled::default();
        for payload in &payloads {
            ours.handle_payload(payload, CLOCK, &mut out);
        }
        prop_assert!(out.delivered.iter().all(|delivered| delivered.message == *message));
        ours.expire(CLOCK + Duration::from_secs(60), &mut out);
        prop_assert_eq!(ours.held_bytes(), 0);
    }
}
