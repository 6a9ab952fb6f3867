//! What can go wrong in a handshake and in a session, and what each of it means for the connection.

use std::time::Duration;

use crate::base::limits::{CLOCK_SKEW_MAX, ROUTER_INFO_MAX};
use crate::base::rng::ShardRng;
use crate::base::time::UnixTime;
use crate::crypto::x25519::WeakKey;
use crate::wire::Malformed;
use crate::wire::ntcp2::TerminationReason;

use super::responder::{CONFIRMED_PART_2_MAX, CONFIRMED_PART_2_MIN};

/// Most bytes that are read and thrown away before a refused message 1 ends in a reset.
const READ_ON_MAX: usize = 287;

/// Bound of the wait between the last of these bytes and the reset.
const READ_ON_WAIT_MS: usize = 1000;

/// What to do with a connection whose handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Answer nothing, read and discard this many more bytes, wait, then reset; or reset at the deadline, as a
    /// connection that says nothing. A prober learns neither what we are nor where it went wrong.
    ReadOn {
        /// Bytes to discard, at most 287.
        bytes: usize,
        /// How long to wait behind them, less than a second.
        wait: Duration,
    },
    /// Close without a word.
    Close,
    /// Send what `poll_transmit` still holds, then close.
    SendThenClose,
}

/// How far the peer's clock is from ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSkew {
    /// The peer's clock shows a later time than ours.
    Ahead(Duration),
    /// The peer's clock shows an earlier time than ours, or the same.
    Behind(Duration),
}

impl ClockSkew {
    /// The skew of a peer that says that it is `theirs` when it is `ours` here.
    #[must_use]
    pub fn between(theirs: UnixTime, ours: UnixTime) -> Self {
        if theirs > ours {
            Self::Ahead(theirs.since(ours))
        } else {
            Self::Behind(ours.since(theirs))
        }
    }

    /// The distance, whichever its direction.
    #[must_use]
    pub fn distance(self) -> Duration {
        match self {
            Self::Ahead(distance) | Self::Behind(distance) => distance,
        }
    }

    /// Whether the distance is more than the network tolerates.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        self.distance() > CLOCK_SKEW_MAX
    }
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Our own side cannot begin; nothing was sent.
    #[error("cannot dial: {0}")]
    Dial(#[from] DialError),
    /// Message 1, as Bob sees it.
    #[error("session request: {0}")]
    Request(#[from] RequestError),
    /// Message 2, as Alice sees it.
    #[error("session created: {0}")]
    Created(#[from] CreatedError),
    /// Message 3, as Bob sees it.
    #[error("session confirmed: {0}")]
    Confirmed(#[from] ConfirmedError),
    /// More bytes came than are kept for a handshake that waits for its turn.
    #[error("too many bytes behind the handshake")]
    Impatient,
    /// Bytes were handed in after the handshake had ended.
    #[error("the handshake is over")]
    Over,
}

impl HandshakeError {
    /// What to do with the connection. How long to read on, in bytes and time, is drawn from `rng`.
    #[must_use]
    pub fn verdict(&self, rng: &mut ShardRng) -> OnFailure {
        match self {
            Self::Request(RequestError::ClockSkew(_)) => OnFailure::SendThenClose,
            Self::Request(_) => {
                let wait = u64::try_from(rng.below(READ_ON_WAIT_MS)).unwrap_or(0);
                let bytes = rng.below(READ_ON_MAX + 1);
                OnFailure::ReadOn { bytes, wait: Duration::from_millis(wait) }
            }
            Self::Confirmed(error) if error.reason().is_some() => OnFailure::SendThenClose,
            Self::Dial(_)
            | Self::Created(_)
            | Self::Confirmed(_)
            | Self::Impatient
            | Self::Over => OnFailure::Close,
        }
    }
}

/// Why we cannot even send message 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The static key that the other router publishes is of low order.
    #[error("the published static key is weak")]
    WeakStaticKey,
    /// Our own RouterInfo does not fit into message 3.
    #[error("our router info has {found} bytes, the limit is {ROUTER_INFO_MAX}")]
    RouterInfoSize {
        /// Its length in bytes.
        found: usize,
    },
}

impl From<WeakKey> for DialError {
    fn from(_: WeakKey) -> Self {
        Self::WeakStaticKey
    }
}

/// Why message 1 was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The same message 1 was accepted before.
    #[error("replayed")]
    Replayed,
    /// The ephemeral key is zero or has its top bit set.
    #[error("invalid ephemeral key")]
    InvalidKey,
    /// The ephemeral key is of low order.
    #[error("weak ephemeral key")]
    WeakKey,
    /// The options do not authenticate.
    #[error("does not authenticate")]
    Unauthentic,
    /// Alice is of another network.
    #[error("network {found}, ours is {expected}")]
    Network {
        /// Her network.
        found: u8,
        /// Ours.
        expected: u8,
    },
    /// Not version 2 of the protocol.
    #[error("version {found}")]
    Version {
        /// Her version.
        found: u8,
    },
    /// More padding than routers accept.
    #[error("{found} bytes of padding")]
    Padding {
        /// Its announced length.
        found: usize,
    },
    /// The second part of message 3 would be too short or too long.
    #[error(
        "message 3 part 2 of {found} bytes, not {CONFIRMED_PART_2_MIN} to {CONFIRMED_PART_2_MAX}"
    )]
    ConfirmedSize {
        /// Its announced length.
        found: usize,
    },
    /// Bytes follow the padding although it is our turn.
    #[error("{count} extra bytes")]
    ExtraBytes {
        /// How many were seen.
        count: usize,
    },
    /// Her clock differs too much from ours; message 2 still tells her our time.
    #[error("clock skew {0:?}")]
    ClockSkew(ClockSkew),
}

/// Why message 2 was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreatedError {
    /// The ephemeral key is zero or has its top bit set.
    #[error("invalid ephemeral key")]
    InvalidKey,
    /// The ephemeral key is of low order.
    #[error("weak ephemeral key")]
    WeakKey,
    /// The options do not authenticate: not the router that we meant, or its published key has changed.
    #[error("does not authenticate")]
    Unauthentic,
    /// More padding than routers accept.
    #[error("{found} bytes of padding")]
    Padding {
        /// Its announced length.
        found: usize,
    },
    /// Bytes follow the padding although it is our turn.
    #[error("{count} extra bytes")]
    ExtraBytes {
        /// How many were seen.
        count: usize,
    },
    /// Bob's clock differs too much from ours.
    #[error("clock skew {0:?}")]
    ClockSkew(ClockSkew),
}

/// Why message 3 was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfirmedError {
    /// A part does not authenticate.
    #[error("does not authenticate")]
    Unauthentic,
    /// Alice's static key is of low order.
    #[error("weak static key")]
    WeakKey,
    /// The blocks do not parse.
    #[error("blocks: {0}")]
    Blocks(Malformed),
    /// The first block is no RouterInfo.
    #[error("the first block is no router info")]
    NoRouterInfo,
    /// A block that has no place in message 3, or not at this place.
    #[error("a block out of place")]
    UnexpectedBlock,
    /// Her RouterInfo does not parse.
    #[error("router info: {0}")]
    RouterInfo(Malformed),
    /// Her RouterInfo is signed by a key of a type that routers do not use.
    #[error("signature type of the router info")]
    SignatureType,
    /// The signature of her RouterInfo is wrong.
    #[error("signature of the router info")]
    Signature,
    /// None of her NTCP2 addresses publishes the static key that she used.
    #[error("the static key is not the published one")]
    StaticKey,
    /// Her RouterInfo names another network, or none.
    #[error("router info of network {found:?}, ours is {expected}")]
    Network {
        /// Her network.
        found: Option<u8>,
        /// Ours.
        expected: u8,
    },
    /// Her RouterInfo is too old.
    #[error("router info is {age:?} old")]
    Stale {
        /// Time since its publication.
        age: Duration,
    },
    /// Her RouterInfo lies in the future.
    #[error("router info is {ahead:?} ahead")]
    Future {
        /// Time until its publication.
        ahead: Duration,
    },
    /// She claims to be us.
    #[error("our own identity")]
    OwnIdentity,
}

impl ConfirmedError {
    /// The reason that Alice is told in a Termination frame; none while there are no keys to tell it with.
    #[must_use]
    pub fn reason(&self) -> Option<TerminationReason> {
        match self {
            Self::Unauthentic | Self::WeakKey => None,
            Self::Blocks(_)
            | Self::NoRouterInfo
            | Self::UnexpectedBlock
            | Self::RouterInfo(_)
            | Self::Network { .. }
            | Self::Stale { .. }
            | Self::Future { .. }
            | Self::OwnIdentity => Some(TerminationReason::Message3Error),
            Self::SignatureType => Some(TerminationReason::IncompatibleSignatureType),
            Self::Signature => Some(TerminationReason::RouterInfoSignature),
            Self::StaticKey => Some(TerminationReason::StaticKeyMismatch),
        }
    }
}

/// Why an established session ended. A Termination frame that tells the peer is queued already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// A frame shorter than its own authentication tag.
    #[error("frame of {length} bytes")]
    FrameSize {
        /// The unmasked length.
        length: usize,
    },
    /// A frame does not authenticate.
    #[error("frame does not authenticate")]
    Unauthentic,
    /// The blocks of a frame do not parse.
    #[error("blocks: {0}")]
    Blocks(#[from] Malformed),
    /// Bytes after the session had ended.
    #[error("the session is over")]
    Over,
}

impl SessionError {
    /// The reason that the peer is told.
    #[must_use]
    pub fn reason(&self) -> TerminationReason {
        match self {
            Self::FrameSize { .. } => TerminationReason::FramingError,
            Self::Unauthentic => TerminationReason::DataUnauthentic,
            Self::Blocks(_) => TerminationReason::PayloadFormat,
            Self::Over => TerminationReason::Normal,
        }
    }
}
