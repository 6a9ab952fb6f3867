//! Whom a message is for, in terms of what it is about.

use crate::base::id::{RecordKey, RouterHash, TunnelId};

/// The receiver of an actor message. Everything about one router has one owner; so has every record and every
/// inbound gateway. `shard::placement` turns the name into a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// An actor of the shard that sends.
    Here,
    /// Whoever owns the session, the dials and the RouterInfo of this router.
    Router(RouterHash),
    /// The slice of the netdb that this record lies in.
    Record(RecordKey),
    /// The shard that keeps this inbound gateway, if we are one.
    Gateway(TunnelId),
    /// The shard that signs and publishes our RouterInfo.
    LocalRouter,
}
