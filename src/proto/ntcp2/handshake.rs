//! The handshake as its owner sees it: bytes in, messages out, in the end a session.

use std::mem;
use std::time::Duration;

use crate::base::frame::Frame;
use crate::base::id::RouterHash;
use crate::base::rng::ShardRng;
use crate::base::time::{Instant, Now};
use crate::crypto::x25519::X25519Public;
use crate::wire::router_address::Ntcp2Endpoint;
use crate::wire::router_info::RouterInfo;

use super::Local;
use super::error::{ClockSkew, HandshakeError};
use super::initiator::{self, Initiator};
use super::replay::ReplayFilter;
use super::responder::{self, Responder};
use super::session::Session;
use super::work::{Work, WorkResult};

/// Time from the connection to the end of the handshake.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// What is added to it by lot where a peer has connected: a silent or refused connection ends at no telling time.
pub const HANDSHAKE_JITTER_MAX: Duration = Duration::from_millis(1500);

/// Bytes of messages 1 and 2 before their padding: an ephemeral key and sealed options.
pub(super) const HEAD_SIZE: usize = 64;
/// Bytes of the first part of message 3: Alice's static key, sealed.
pub(super) const CONFIRMED_PART_1: usize = 48;
/// Version of the protocol.
pub(super) const VERSION: u8 = 2;
/// Most bytes of padding that we put into a handshake message.
pub(super) const PADDING_OURS_MAX: usize = 64;

/// Most bytes that may wait for a handshake that waits for work: an eager peer's first frames behind message 3.
const BEHIND_MAX: usize = 32 * 1024;

/// One handshake, in either role. After an error or an [`Established`] it is over.
pub struct Handshake {
    role: Role,
    /// Bytes that no step has taken: fewer than the next one needs, unless it waits for work.
    input: Vec<u8>,
    transmit: Option<Frame>,
    established: Option<Box<Established>>,
    deadline: Instant,
    peer: Option<RouterHash>,
}

enum Role {
    Initiator(Box<Initiator>),
    Responder(Box<Responder>),
    Over,
}

/// The outcome of a handshake.
pub struct Established {
    /// The router at the other end; it has proved this.
    pub peer: RouterHash,
    /// Its RouterInfo, verified, when it sent one: as Bob we have it from message 3, as Alice we knew it before.
    pub router_info: Option<RouterInfo>,
    /// The session, which has sent and received nothing yet.
    pub session: Session,
    /// What arrived behind the handshake: the first bytes for the session.
    pub unread: Vec<u8>,
    /// How far its clock is from ours, where we are Alice: it has proved that this is its word.
    pub skew: Option<ClockSkew>,
}

impl Established {
    pub(super) fn new(peer: RouterHash, router_info: Option<RouterInfo>, session: Session) -> Self {
        Self { peer, router_info, session, unread: Vec::new(), skew: None }
    }
}

/// What a role has to say after one of its steps.
pub(super) enum Step<R> {
    /// It waits for more; perhaps with a message to send.
    Continue(R, Option<Frame>),
    /// The session stands; perhaps with a message to send.
    Done(Box<Established>, Option<Frame>),
}

/// A failed step, with the message that the other side should still get.
pub(super) struct Failure {
    pub(super) error: HandshakeError,
    pub(super) last: Option<Frame>,
}

impl<E: Into<HandshakeError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: error.into(), last: None }
    }
}

/// Whether an ephemeral key is none that this protocol uses: zero, or with the top bit set, which is reserved.
pub(super) fn is_invalid_key(key: &X25519Public) -> bool {
    key.0 == [0; 32] || key.0.last().is_some_and(|byte| byte & 0x80 != 0)
}

impl Handshake {
    /// Dials: message 1 is ready to be sent. To be called when the connection stands.
    ///
    /// # Errors
    /// [`HandshakeError::Dial`] when the remote's key or our RouterInfo is unusable.
    pub fn initiate(
        local: &Local<'_>,
        remote: &Ntcp2Endpoint,
        now: Now,
        rng: &mut ShardRng,
    ) -> Result<Self, HandshakeError> {
        let choices = initiator::Choices::draw(rng);
        let (initiator, request) = Initiator::start(local, remote, choices, now)?;
        let mut handshake = Self::new(Role::Initiator(Box::new(initiator)), now);
        handshake.transmit = Some(request);
        handshake.peer = Some(remote.router);
        Ok(handshake)
    }

    /// Answers whoever has connected.
    #[must_use]
    pub fn respond(now: Now, rng: &mut ShardRng) -> Self {
        let mut handshake = Self::new(Role::Responder(Box::new(Responder::new())), now);
        let jitter = usize::try_from(HANDSHAKE_JITTER_MAX.as_millis()).unwrap_or(0);
        let jitter = u64::try_from(rng.below(jitter + 1)).unwrap_or(0);
        handshake.deadline = handshake.deadline + Duration::from_millis(jitter);
        handshake
    }

    fn new(role: Role, now: Now) -> Self {
        Self {
            role,
            input: Vec::new(),
            transmit: None,
            established: None,
            deadline: now.instant + HANDSHAKE_TIME_MAX,
            peer: None,
        }
    }

    /// Takes received bytes, in any split, up to where work is needed. At most one message is kept, 4,144 bytes, and
    /// behind it what arrives while work is waited for.
    ///
    /// # Errors
    /// Why the handshake failed; its verdict says what to do with the connection.
    pub fn handle_bytes(
        &mut self,
        local: &Local<'_>,
        bytes: &[u8],
        now: Now,
        rng: &mut ShardRng,
        replay: &mut ReplayFilter,
    ) -> Result<(), HandshakeError> {
        if matches!(self.role, Role::Over) {
            return Err(HandshakeError::Over);
        }
        if self.is_working() && self.input.len() + bytes.len() > BEHIND_MAX {
            self.role = Role::Over;
            return Err(HandshakeError::Impatient);
        }
        self.input.extend_from_slice(bytes);
        self.advance(local, now, rng, replay)
    }

    /// The public-key work without which it does not go on, if it waits for any.
    #[must_use]
    pub fn work<'a>(&'a self, local: &'a Local<'_>) -> Option<Work<'a>> {
        match &self.role {
            Role::Responder(responder) => responder.work(local),
            Role::Initiator(_) | Role::Over => None,
        }
    }

    /// Whether it waits for work.
    #[must_use]
    pub fn is_working(&self) -> bool {
        match &self.role {
            Role::Responder(responder) => responder.needed().is_none(),
            Role::Initiator(_) | Role::Over => false,
        }
    }

    /// Goes on with the result of [`Handshake::work`], and with what has arrived meanwhile.
    ///
    /// # Errors
    /// As [`Handshake::handle_bytes`].
    pub fn handle_work(
        &mut self,
        local: &Local<'_>,
        result: WorkResult,
        now: Now,
        rng: &mut ShardRng,
        replay: &mut ReplayFilter,
    ) -> Result<(), HandshakeError> {
        match mem::replace(&mut self.role, Role::Over) {
            Role::Responder(responder) => {
                let mut context = responder::Context { local, now, rng, replay };
                let step = responder.handle_work(&mut context, result, self.input.len());
                if let Some(next) = self.settle(step)? {
                    self.role = Role::Responder(Box::new(next));
                }
            }
            Role::Initiator(_) | Role::Over => return Err(HandshakeError::Over),
        }
        self.advance(local, now, rng, replay)
    }

    /// Does all work here and now, for callers that have no batch.
    ///
    /// # Errors
    /// As [`Handshake::handle_bytes`].
    pub fn work_alone(
        &mut self,
        local: &Local<'_>,
        now: Now,
        rng: &mut ShardRng,
        replay: &mut ReplayFilter,
    ) -> Result<(), HandshakeError> {
        while let Some(result) = self.work(local).map(|work| work.run()) {
            self.handle_work(local, result, now, rng, replay)?;
        }
        Ok(())
    }

    /// Takes steps for as long as their bytes are there and no work is needed.
    fn advance(
        &mut self,
        local: &Local<'_>,
        now: Now,
        rng: &mut ShardRng,
        replay: &mut ReplayFilter,
    ) -> Result<(), HandshakeError> {
        loop {
            if let Some(established) = &mut self.established {
                established.unread.append(&mut self.input);
                return Ok(());
            }
            let needed = match &self.role {
                Role::Initiator(initiator) => Some(initiator.needed()),
                Role::Responder(responder) => responder.needed(),
                Role::Over => None,
            };
            let Some(needed) = needed.filter(|needed| self.input.len() >= *needed) else {
                return Ok(());
            };
            let behind = self.input.split_off(needed);
            let mut message = mem::replace(&mut self.input, behind);
            self.step(local, &mut message, now, rng, replay)?;
        }
    }

    /// Lets the role handle the bytes that it needed.
    fn step(
        &mut self,
        local: &Local<'_>,
        message: &mut [u8],
        now: Now,
        rng: &mut ShardRng,
        replay: &mut ReplayFilter,
    ) -> Result<(), HandshakeError> {
        let behind = self.input.len();
        match mem::replace(&mut self.role, Role::Over) {
            Role::Initiator(initiator) => {
                let step = initiator.handle(local, message, behind, now);
                match self.settle(step)? {
                    Some(next) => self.role = Role::Initiator(Box::new(next)),
                    None => self.role = Role::Over,
                }
            }
            Role::Responder(responder) => {
                let mut context = responder::Context { local, now, rng, replay };
                let step = responder.handle(&mut context, message, behind);
                match self.settle(step)? {
                    Some(next) => self.role = Role::Responder(Box::new(next)),
                    None => self.role = Role::Over,
                }
            }
            Role::Over => return Err(HandshakeError::Over),
        }
        Ok(())
    }

    /// Stores what a step gave, and hands back the role that goes on, if one does.
    fn settle<R>(&mut self, step: Result<Step<R>, Failure>) -> Result<Option<R>, HandshakeError> {
        match step {
            Ok(Step::Continue(role, message)) => {
                if message.is_some() {
                    self.transmit = message;
                }
                Ok(Some(role))
            }
            Ok(Step::Done(established, message)) => {
                if message.is_some() {
                    self.transmit = message;
                }
                self.peer = Some(established.peer);
                self.established = Some(established);
                Ok(None)
            }
            Err(failure) => {
                self.transmit = failure.last;
                Err(failure.error)
            }
        }
    }

    /// The next message to send, whole.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        self.transmit.take()
    }

    /// The session, once. As Alice, send [`Handshake::poll_transmit`] first: the session's first frame may go out in
    /// the same write as message 3.
    #[must_use]
    pub fn poll_established(&mut self) -> Option<Established> {
        self.established.take().map(|established| *established)
    }

    /// When the handshake must be done; the connection is reset then.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The router at the other end: whom we dial, or who has proved to be there.
    #[must_use]
    pub fn peer(&self) -> Option<RouterHash> {
        self.peer
    }
}
