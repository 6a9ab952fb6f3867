//! NTCP2, the TCP transport: a handshake in either role, then a session of sealed frames.
//!
//! [`Handshake`] takes bytes in any split and gives the messages to send; when it is done it yields an
//! [`Established`] with the [`Session`], which does the same for I2NP messages. Neither knows of sockets. The responder
//! stops where it needs public-key work, which its owner does for many together ([`Handshake::work`]); the initiator,
//! whose number we decide ourselves, does its own.
//!
//! Spec: NTCP2. Alice is who connects, Bob who is connected to; messages 1, 2 and 3 are SessionRequest,
//! SessionCreated and SessionConfirmed.

mod admission;
mod clock;
mod cork;
mod error;
mod framing;
mod handshake;
mod idle;
mod initiator;
mod replay;
mod responder;
mod session;
mod work;

#[cfg(test)]
mod tests;

pub use admission::{Admission, AdmissionRefused};
pub use clock::ClockEstimate;
pub use cork::cork;
pub use error::{
    ClockSkew, ConfirmedError, CreatedError, DialError, HandshakeError, OnFailure, RequestError,
    SessionError,
};
pub use handshake::{Established, HANDSHAKE_JITTER_MAX, HANDSHAKE_TIME_MAX, Handshake};
pub use idle::idle_allowance;
pub use replay::{ReplayFilter, RequestMark};
pub use session::{Direction, Event, Expired, FRAME_TARGET, Session};
pub use work::{Work, WorkResult};

use crate::base::id::RouterHash;
use crate::crypto::secret::X25519Secret;
use crate::crypto::x25519::{X25519Public, public_key};

/// What this router's NTCP2 side is made of; lives as long as its published address.
#[derive(Debug)]
pub struct Keys {
    /// Our own hash: the key that hides the ephemeral keys of handshakes with us.
    pub router: RouterHash,
    /// The static key.
    pub static_secret: X25519Secret,
    /// Its public half, published as `s`.
    pub static_public: X25519Public,
    /// The IV that hides the first ephemeral key, published as `i`.
    pub iv: [u8; 16],
}

impl Keys {
    /// The keys of the router named `router`, with this static key and IV.
    #[must_use]
    pub fn new(router: RouterHash, static_secret: X25519Secret, iv: [u8; 16]) -> Self {
        let static_public = public_key(&static_secret);
        Self { router, static_secret, static_public, iv }
    }
}

/// Our side of a handshake.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// Our keys; the same through one handshake.
    pub keys: &'a Keys,
    /// The id of the network that we belong to.
    pub network: u8,
    /// Our signed RouterInfo. It may change during a handshake: message 3 carries the one that message 1 announced.
    pub router_info: &'a [u8],
}
