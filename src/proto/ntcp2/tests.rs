//! Both ends against each other, and each end against the other gone wrong.

mod handshake;
mod known_answers;
mod refusals;
mod session;

use std::time::Duration;

use super::handshake::Established;
use super::{Handshake, HandshakeError, Keys, Local, ReplayFilter};
use crate::base::frame::Frame;
use crate::base::rng::ShardRng;
use crate::base::time::{Instant, Now, UnixTime};
use crate::crypto::secret::X25519Secret;
use crate::proto::local::RouterKeys;
use crate::wire::mapping::Mapping;
use crate::wire::router_address::{Ntcp2Endpoint, RouterAddress};
use crate::wire::router_info::{RouterInfo, RouterInfoDraft};

pub(super) const NETWORK: u8 = 99;

/// A time in 2026, some while after the start.
pub(super) fn now() -> Now {
    Now { instant: Instant(5_000_000), unix: UnixTime(1_790_000_000_250) }
}

pub(super) fn at(seconds: i64) -> Now {
    let Now { instant, unix } = now();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        Now { instant: instant - distance, unix: unix - distance }
    } else {
        Now { instant: instant + distance, unix: unix + distance }
    }
}

/// One end: keys, RouterInfo, random numbers and a memory of its own.
pub(super) struct Router {
    pub(super) keys: RouterKeys,
    pub(super) info: Vec<u8>,
    pub(super) network: u8,
    pub(super) rng: ShardRng,
    pub(super) replay: ReplayFilter,
    pub(super) clock: Now,
}

impl Router {
    pub(super) fn new(seed: u8) -> Self {
        let mut rng = ShardRng::from_seed([seed; 32]);
        let keys = RouterKeys::generate(&mut rng);
        let info = Draft::default().sign(&keys).bytes().to_vec();
        let replay = ReplayFilter::new();
        Self { keys, info, network: NETWORK, rng, replay, clock: now() }
    }

    pub(super) fn endpoint(&self) -> Ntcp2Endpoint {
        Ntcp2Endpoint {
            router: self.keys.identity.hash(),
            address: "192.0.2.1:5000".parse().unwrap(),
            static_key: self.keys.ntcp2.static_public,
            iv: self.keys.ntcp2.iv,
        }
    }

    pub(super) fn dial(&mut self, remote: &Ntcp2Endpoint) -> Handshake {
        let Self { keys, info, network, rng, clock, .. } = self;
        let local = Local { keys: &keys.ntcp2, network: *network, router_info: info };
        Handshake::initiate(&local, remote, *clock, rng).unwrap()
    }

    pub(super) fn listen(&mut self) -> Handshake {
        Handshake::respond(self.clock, &mut self.rng)
    }

    pub(super) fn give(
        &mut self,
        handshake: &mut Handshake,
        bytes: &[u8],
    ) -> Result<(), HandshakeError> {
        let Self { keys, info, network, rng, replay, clock } = self;
        let local = Local { keys: &keys.ntcp2, network: *network, router_info: info };
        handshake.handle_bytes(&local, bytes, *clock, rng, replay)?;
        handshake.work_alone(&local, *clock, rng, replay)
    }
}

/// What to put into a RouterInfo.
pub(super) struct Draft {
    pub(super) published: UnixTime,
    pub(super) network: &'static str,
    pub(super) static_key: Option<X25519Secret>,
}

impl Default for Draft {
    fn default() -> Self {
        Self { published: now().unix, network: "99", static_key: None }
    }
}

impl Draft {
    pub(super) fn sign(self, keys: &RouterKeys) -> RouterInfo {
        let own = Keys::new(
            keys.ntcp2.router,
            self.static_key.unwrap_or(X25519Secret::from_bytes(*keys.ntcp2.static_secret.expose())),
            keys.ntcp2.iv,
        );
        let mut options = Mapping::new();
        for (key, value) in [("caps", "XfR"), ("netId", self.network), ("router.version", "0.9.67")]
        {
            options.insert(key, value).unwrap();
        }
        let host = "192.0.2.1:5000".parse().unwrap();
        RouterInfoDraft {
            identity: keys.identity.clone(),
            published: self.published,
            addresses: vec![RouterAddress::ntcp2(Some(host), own.static_public, own.iv, 3)],
            options,
        }
        .sign(&keys.signer)
        .unwrap()
    }
}

/// How a handshake between two routers went.
pub(super) struct Outcome {
    pub(super) alice: Result<Option<Established>, HandshakeError>,
    pub(super) bob: Result<Option<Established>, HandshakeError>,
    /// What Bob still wanted to say when he refused.
    pub(super) last: Option<Frame>,
}

/// Runs a handshake; `wire` sees each message, by its number, before it is delivered whole.
pub(super) fn run(
    alice: &mut Router,
    bob: &mut Router,
    mut wire: impl FnMut(u8, &mut Vec<u8>),
) -> Outcome {
    let mut dialling = alice.dial(&bob.endpoint());
    let mut listening = bob.listen();
    let mut outcome = Outcome { alice: Ok(None), bob: Ok(None), last: None };
    let mut pass = |number, frame: Option<Frame>| {
        frame.map(|frame| {
            let mut bytes = frame.to_vec();
            wire(number, &mut bytes);
            bytes
        })
    };
    let request = pass(1, dialling.poll_transmit()).unwrap();
    let heard = bob.give(&mut listening, &request);
    let created = pass(2, listening.poll_transmit());
    if let Err(error) = heard {
        outcome.bob = Err(error);
    }
    let Some(created) = created else { return outcome };
    if let Err(error) = alice.give(&mut dialling, &created) {
        outcome.alice = Err(error);
        return outcome;
    }
    let Some(confirmed) = pass(3, dialling.poll_transmit()) else { return outcome };
    outcome.alice = Ok(dialling.poll_established());
    if outcome.bob.is_ok() {
        outcome.bob = bob.give(&mut listening, &confirmed).map(|()| listening.poll_established());
        outcome.last = listening.poll_transmit();
    }
    outcome
}

/// Two sessions at the ends of one connection, Alice's first.
pub(super) fn established() -> (super::Session, super::Session) {
    let (mut alice, mut bob) = (Router::new(1), Router::new(2));
    let outcome = run(&mut alice, &mut bob, |_, _| {});
    (outcome.alice.unwrap().unwrap().session, outcome.bob.unwrap().unwrap().session)
}
