//! Machines that strangers talk to, in each of their states. Where a state is behind a cipher, the bytes are sealed first,
//! as a hostile router would seal them; otherwise nothing would ever come through.

use std::sync::OnceLock;
use std::time::Duration;

use floodway::base::frame::FramePool;
use floodway::base::id::RouterHash;
use floodway::base::rng::ShardRng;
use floodway::base::time::{Instant, Now};
use floodway::crypto::chacha::seal_in_place;
use floodway::crypto::noise::SymmetricState;
use floodway::crypto::secret::{AeadKey, SharedSecret, X25519Secret};
use floodway::crypto::x25519::{X25519Public, diffie_hellman, public_key};
use floodway::proto::garlic::router_message::{self, GarlicReplayFilter, OpenError};
use floodway::proto::garlic::tagged_reply;
use floodway::proto::local::{HopIdentity, RouterKeys};
use floodway::proto::ntcp2::{Event, Handshake, Local, ReplayFilter, Session};
use floodway::proto::tunnel::build_request::{check_request, open_record};
use floodway::proto::tunnel::reassembler::{
    LocalDelivery, Reassembled, Reassembler, ReassemblyLimits,
};
use floodway::wire::i2np::garlic::GarlicMessage;
use floodway::wire::mapping::Mapping;
use floodway::wire::router_address::{Ntcp2Endpoint, RouterAddress};
use floodway::wire::router_info::RouterInfoDraft;

use crate::Target;
use crate::messages::{delivery_seeds, tunnel_payload};
use crate::samples::{self, NOW};

pub const NETWORK: u8 = 99;

/// Bytes that fit into one frame.
pub const SEALED_MAX: usize = 65_519;

pub const TARGETS: &[Target] = &[
    Target { name: "ntcp2_request", run: ntcp2_request, seeds: request_seeds },
    Target { name: "ntcp2_created", run: ntcp2_created, seeds: created_seeds },
    Target { name: "ntcp2_confirmed", run: ntcp2_confirmed, seeds: || vec![vec![1], vec![0; 600]] },
    Target {
        name: "ntcp2_router_info",
        run: ntcp2_router_info,
        seeds: || vec![ALICE().info.clone()],
    },
    Target { name: "ntcp2_session", run: ntcp2_session, seeds: session_seeds },
    Target { name: "reassembler", run: reassembler, seeds: reassembler_seeds },
    Target {
        name: "build_request",
        run: build_request,
        seeds: || vec![samples::build_request().write(&mut samples::rng()).to_vec()],
    },
    Target { name: "garlic_open", run: garlic_open, seeds: || vec![samples::garlic_blocks()] },
    Target { name: "tagged_reply", run: tagged, seeds: || vec![samples::garlic_blocks()] },
];

pub fn now() -> Now {
    Now { instant: Instant(5_000_000), unix: NOW }
}

/// One end: keys and RouterInfo.
pub struct Side {
    pub keys: RouterKeys,
    pub info: Vec<u8>,
}

impl Side {
    pub fn new(seed: u8) -> Self {
        let keys = RouterKeys::generate(&mut ShardRng::from_seed([seed; 32]));
        let host = ([51, 100, 0, seed], 15_000).into();
        let mut options = Mapping::new();
        for (key, value) in [("caps", "XfR"), ("netId", "99"), ("router.version", "0.9.67")] {
            options.insert(key, value).expect("short texts");
        }
        let address = RouterAddress::ntcp2(Some(host), keys.ntcp2.static_public, keys.ntcp2.iv, 3);
        let draft = RouterInfoDraft {
            identity: keys.identity.clone(),
            published: NOW,
            addresses: vec![address],
            options,
        };
        let info = draft.sign(&keys.signer).expect("a RouterInfo of ordinary size");
        let info = info.bytes().to_vec();
        Self { keys, info }
    }

    pub fn endpoint(&self) -> Ntcp2Endpoint {
        Ntcp2Endpoint {
            router: self.keys.identity.hash(),
            address: ([51, 100, 0, 2], 15_000).into(),
            static_key: self.keys.ntcp2.static_public,
            iv: self.keys.ntcp2.iv,
        }
    }

    pub fn local<'a>(&'a self, info: &'a [u8]) -> Local<'a> {
        Local { keys: &self.keys.ntcp2, network: NETWORK, router_info: info }
    }
}

#[expect(non_snake_case, reason = "the two of every description of a handshake")]
pub fn ALICE() -> &'static Side {
    static SIDE: OnceLock<Side> = OnceLock::new();
    SIDE.get_or_init(|| Side::new(1))
}

#[expect(non_snake_case, reason = "the two of every description of a handshake")]
fn BOB() -> &'static Side {
    static SIDE: OnceLock<Side> = OnceLock::new();
    SIDE.get_or_init(|| Side::new(2))
}

/// A handshake under way between the two, with `info` as Alice's RouterInfo.
struct Pair<'a> {
    info: &'a [u8],
    alice: Handshake,
    bob: Handshake,
    rng: ShardRng,
    replay: ReplayFilter,
}

impl<'a> Pair<'a> {
    fn new(info: &'a [u8]) -> Option<Self> {
        let mut rng = ShardRng::from_seed([3; 32]);
        let alice = ALICE().local(info);
        let alice = Handshake::initiate(&alice, &BOB().endpoint(), now(), &mut rng).ok()?;
        let bob = Handshake::respond(now(), &mut rng);
        Some(Self { info, alice, bob, rng, replay: ReplayFilter::new() })
    }

    /// Gives `bytes` to Alice; whether she goes on.
    fn to_alice(&mut self, bytes: &[u8]) -> bool {
        let Self { info, alice, rng, replay, .. } = self;
        alice.handle_bytes(&ALICE().local(info), bytes, now(), rng, replay).is_ok()
    }

    fn to_bob(&mut self, bytes: &[u8]) -> bool {
        let Self { bob, rng, replay, .. } = self;
        let local = BOB().local(&BOB().info);
        bob.handle_bytes(&local, bytes, now(), rng, replay)
            .and_then(|()| bob.work_alone(&local, now(), rng, replay))
            .is_ok()
    }

    /// Bob has message 1 and has answered; what he said.
    fn ask(&mut self) -> Option<Vec<u8>> {
        let request = self.alice.poll_transmit()?;
        self.to_bob(&request).then_some(())?;
        self.bob.poll_transmit().map(|created| created.to_vec())
    }
}

/// Valid bytes spoilt by others: the two combined by XOR, and what is longer appended.
fn spoilt(valid: &[u8], by: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        valid.iter().zip(by.iter().chain(std::iter::repeat(&0))).map(|(a, b)| a ^ b).collect();
    bytes.extend_from_slice(by.get(valid.len()..).unwrap_or(&[]));
    bytes
}

/// What a state is given: the first byte says whether the rest spoils the valid message or stands for itself, and where
/// the bytes are split.
fn given(bytes: &[u8], valid: &[u8]) -> [Vec<u8>; 2] {
    let (how, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let mut message = if how & 1 == 1 { spoilt(valid, rest) } else { rest.to_vec() };
    let behind = message.split_off(message.len().min(usize::from(how >> 1) * 8));
    [message, behind]
}

fn ntcp2_request(bytes: &[u8]) {
    let Some(mut pair) = Pair::new(&ALICE().info) else { return };
    let request = pair.alice.poll_transmit().map(|request| request.to_vec()).unwrap_or_default();
    for part in given(bytes, &request) {
        if !pair.to_bob(&part) {
            break;
        }
    }
    let _ = (pair.bob.poll_transmit(), pair.bob.peer());
    assert!(pair.bob.poll_established().is_none());
}

fn ntcp2_created(bytes: &[u8]) {
    let Some(mut pair) = Pair::new(&ALICE().info) else { return };
    let created = pair.ask().expect("a valid request is answered");
    for part in given(bytes, &created) {
        if !pair.to_alice(&part) {
            break;
        }
    }
    let _ = (pair.alice.poll_transmit(), pair.alice.poll_established().is_some());
}

fn ntcp2_confirmed(bytes: &[u8]) {
    let Some(mut pair) = Pair::new(&ALICE().info) else { return };
    let created = pair.ask().expect("a valid request is answered");
    assert!(pair.to_alice(&created));
    let confirmed = pair.alice.poll_transmit().expect("a valid answer is confirmed").to_vec();
    for part in given(bytes, &confirmed) {
        if !pair.to_bob(&part) {
            break;
        }
    }
    if let Some(established) = pair.bob.poll_established() {
        assert_eq!(established.peer, ALICE().keys.identity.hash());
    }
}

/// Alice shows anything for her RouterInfo.
fn ntcp2_router_info(bytes: &[u8]) {
    let Some(mut pair) = Pair::new(bytes) else { return };
    let Some(created) = pair.ask() else { return };
    if pair.to_alice(&created)
        && let Some(confirmed) = pair.alice.poll_transmit()
    {
        let taken = pair.to_bob(&confirmed);
        assert_eq!(taken, pair.bob.poll_established().is_some());
    }
}

/// Two ends of one session.
pub fn sessions() -> [Session; 2] {
    let mut pair = Pair::new(&ALICE().info).expect("a valid RouterInfo");
    let created = pair.ask().expect("a valid request is answered");
    assert!(pair.to_alice(&created));
    let confirmed = pair.alice.poll_transmit().expect("a valid answer is confirmed");
    assert!(pair.to_bob(&confirmed));
    let ends = [pair.alice.poll_established(), pair.bob.poll_established()];
    ends.map(|end| end.expect("the handshake is valid").session)
}

/// Frames with anything in them, each with its length (2) in front, in two pieces; behind an impossible length
/// what is left is not even sealed.
fn ntcp2_session(bytes: &[u8]) {
    let [mut alice, mut bob] = sessions();
    let mut rest = bytes;
    let (mut wire, mut events) = (Vec::new(), Vec::new());
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length)).min(SEALED_MAX);
        let Some((blocks, behind)) = behind.split_at_checked(length) else {
            wire.extend_from_slice(rest);
            break;
        };
        alice.seal_anything(blocks, &mut wire);
        rest = behind;
    }
    let mut frames = FramePool::alone();
    let middle = wire.len() / 2;
    let (first, second) = wire.split_at_mut(middle);
    for part in [first, second] {
        if bob.handle_bytes(part, now(), &mut frames, &mut events).is_err() {
            break;
        }
    }
    for event in events {
        if let Event::Message(message) = event {
            bob.queue_message(&message);
        }
    }
    // What Bob has to say, Alice understands.
    let mut answer = Vec::new();
    bob.flush(now(), &mut samples::rng(), &mut answer);
    let mut events = Vec::new();
    assert!(answer.is_empty() || alice.handle_bytes(&mut answer, now(), &mut frames, &mut events).is_ok());
}

/// Tunnel messages, each with its length (2) in front, and seconds between them.
fn reassembler(bytes: &[u8]) {
    let limits = ReassemblyLimits {
        message_bytes_max: 8_000,
        tunnel_bytes_max: 12_000,
        messages_max: 4,
        age_max: Duration::from_secs(60),
    };
    let mut machine = Reassembler::new(limits, LocalDelivery::Refused);
    let (mut rest, mut time) = (bytes, now().instant);
    while let Some(([wait, high, low], behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (space, behind) = behind.split_at(length);
        time = time + Duration::from_secs(u64::from(*wait & 15));
        let mut out = Reassembled::default();
        machine.handle_payload(&tunnel_payload(space), time, &mut out);
        assert!(machine.held_bytes() <= limits.tunnel_bytes_max);
        assert!(machine.held_messages() <= limits.messages_max);
        assert_eq!(machine.deadline().is_some(), machine.held_messages() > 0);
        rest = behind;
    }
    let mut out = Reassembled::default();
    machine.expire(time + Duration::from_secs(60), &mut out);
    assert_eq!((machine.held_bytes(), machine.held_messages()), (0, 0));
}

/// A key pair that a sender draws, and what it shares with `to`: costly, so made once.
pub struct Ephemeral {
    pub public: X25519Public,
    pub shared: SharedSecret,
}

impl Ephemeral {
    pub fn new(seed: u8, to: &X25519Public) -> Self {
        let secret = X25519Secret::from_bytes([seed; 32]);
        let shared = diffie_hellman(&secret, to).expect("no weak key");
        Self { public: public_key(&secret), shared }
    }

    /// `cleartext` sealed to `to`, behind the ephemeral key.
    pub fn seal(&self, to: &X25519Public, cleartext: &[u8]) -> Vec<u8> {
        let mut state = SymmetricState::tunnel_record(to);
        state.mix_hash(&self.public.0);
        let key = state.mix_key(&self.shared);
        let mut sealed = cleartext.to_vec();
        let tag = state.seal_and_hash(&key, 0, &mut sealed);
        [&self.public.0[..], &sealed, &tag].concat()
    }
}

/// A build record with any request in it, for the router with this hash and key.
pub fn sealed_record(
    ephemeral: &Ephemeral,
    hash: &RouterHash,
    to: &X25519Public,
    request: &[u8],
) -> [u8; 218] {
    let mut cleartext = [0; 154];
    let length = request.len().min(154);
    cleartext[..length].copy_from_slice(&request[..length]);
    let mut record = [0; 218];
    record[..16].copy_from_slice(&hash.0[..16]);
    record[16..].copy_from_slice(&ephemeral.seal(to, &cleartext));
    record
}

fn bobs_ephemeral() -> (&'static Ephemeral, X25519Public) {
    static EPHEMERAL: OnceLock<Ephemeral> = OnceLock::new();
    let to = public_key(&BOB().keys.encryption);
    (EPHEMERAL.get_or_init(|| Ephemeral::new(9, &to)), to)
}

fn build_request(bytes: &[u8]) {
    let (ephemeral, to) = bobs_ephemeral();
    let hash = BOB().keys.identity.hash();
    let record = sealed_record(ephemeral, &hash, &to, bytes);
    let hop = HopIdentity::new(hash, &to);
    if let Ok(opened) = open_record(&hop, &record, &ephemeral.shared) {
        let previous = Some(&samples::ROUTER);
        for previous in [None, previous] {
            let _ = check_request(&opened.request, &hash, previous, NOW);
        }
    }
}

fn garlic_open(bytes: &[u8]) {
    // What is shorter than a date is not looked at.
    if bytes.len() < 16 {
        return;
    }
    let (ephemeral, to) = bobs_ephemeral();
    let hop = HopIdentity::new(BOB().keys.identity.hash(), &to);
    let mut body = GarlicMessage::write(&ephemeral.seal(&to, bytes)).to_vec();
    let mut replay = GarlicReplayFilter::new(64, &mut samples::rng());
    let mut again = body.clone();
    match router_message::open(&hop, &mut body, &ephemeral.shared, now(), &mut replay) {
        Ok(cloves) => assert!(cloves.len() <= bytes.len()),
        Err(error) => assert!(!matches!(error, OpenError::Unauthentic), "it was sealed"),
    }
    let second = router_message::open(&hop, &mut again, &ephemeral.shared, now(), &mut replay);
    assert!(second.is_err(), "what was opened is not opened again");
}

fn tagged(bytes: &[u8]) {
    let (key, tag) = (AeadKey::from_bytes([4; 32]), [5; 8]);
    let mut blocks = bytes.to_vec();
    let authenticator = seal_in_place(&key, 0, &tag, &mut blocks);
    let sealed = [&tag[..], &blocks, &authenticator].concat();
    let mut body = GarlicMessage::write(&sealed).to_vec();
    let _ = tagged_reply::open(&key, tag, &mut body);
    let mut raw = GarlicMessage::write(bytes).to_vec();
    assert!(tagged_reply::open(&key, tag, &mut raw).is_err());
}

fn request_seeds() -> Vec<Vec<u8>> {
    let mut pair = Pair::new(&ALICE().info).expect("a valid RouterInfo");
    let request = pair.alice.poll_transmit().expect("message 1").to_vec();
    vec![vec![1], [&[0][..], &request].concat()]
}

fn created_seeds() -> Vec<Vec<u8>> {
    let mut pair = Pair::new(&ALICE().info).expect("a valid RouterInfo");
    let created = pair.ask().expect("message 2");
    vec![vec![1], [&[8][..], &created].concat()]
}

fn with_length(parts: &[Vec<u8>], before: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(before);
        all.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        all.extend_from_slice(part);
    }
    all
}

fn session_seeds() -> Vec<Vec<u8>> {
    let blocks = samples::ntcp2_blocks();
    vec![with_length(&[vec![4, 0, 0], blocks], &[]), with_length(&[vec![]], &[])]
}

fn reassembler_seeds() -> Vec<Vec<u8>> {
    let spaces = delivery_seeds();
    vec![with_length(&[spaces[0].clone(), spaces[0].clone()], &[1])]
}
