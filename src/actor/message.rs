//! The closed set of messages between actors.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::base::frame::Frame;
use crate::base::id::{ConnectionId, RecordKey, RouterHash, ShardId, TunnelId};
use crate::base::permille::Permille;
use crate::base::time::Instant;
use crate::crypto::secret::SharedSecret;
use crate::crypto::x25519::{WeakKey, X25519Public};
use crate::proto::netdb::exploration::Explore;
use crate::proto::netdb::store::{Record, RecordKind, Source};
use crate::proto::ntcp2::{ClockSkew, RequestMark, Session};
use crate::proto::peer::conduct::{Deed, Standing};
use crate::proto::tunnel::build_form::{BuildForm, OpenedRecord};
use crate::wire::i2np::I2npMessage;
use crate::wire::lease_set::AnyLeaseSet;
use crate::wire::router_address::Ntcp2Endpoint;
use crate::wire::router_info::RouterInfo;
use crate::wire::unverified::{SignatureRefused, Unverified};

/// One message to one actor.
#[derive(Debug)]
pub enum Message {
    /// An I2NP message that arrived; `shard::dispatch` reads its type.
    Inbound(Inbound),
    /// For the sessions of a shard.
    Session(SessionMessage),
    /// For the dialler of a shard.
    Dialer(DialerMessage),
    /// For a slice of the netdb.
    Netdb(NetdbMessage),
    /// For the opener of garlic.
    Garlic(GarlicMessage),
    /// For the opener of build requests.
    Build(BuildActorMessage),
    /// For the transit tunnels of a shard.
    Transit(TransitMessage),
    /// For the owner of our RouterInfo.
    LocalRouter(LocalRouterMessage),
    /// A new view for this shard.
    Snapshot(Arc<Snapshot>),
    /// Frames of this shard that another has done with.
    Frames(Vec<Frame>),
}

/// How an I2NP message came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Over a session with this router.
    Session(RouterHash),
    /// From ourselves: one of our endpoints, or a reply, addressed it to our own hash. Handled as if it had come over a
    /// session, but no router vouches for it.
    Ourselves,
    /// Out of garlic for this router.
    Garlic,
}

impl Origin {
    /// The router at the other end of the session, where there is one.
    #[must_use]
    pub fn peer(self) -> Option<RouterHash> {
        match self {
            Origin::Session(peer) => Some(peer),
            Origin::Ourselves | Origin::Garlic => None,
        }
    }
}

/// An I2NP message and how it came.
#[derive(Debug)]
pub struct Inbound {
    /// How it came.
    pub origin: Origin,
    /// The message.
    pub message: I2npMessage,
    /// When the turn began in which it came.
    pub arrived: Instant,
}

/// What to do with a message for a router whose RouterInfo we do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Ask the closest floodfills for it.
    LookUp,
    /// Drop the message: it is itself part of a lookup, or not worth one.
    Drop,
}

/// Who opened a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The peer.
    Inbound,
    /// We.
    Outbound,
}

/// For the sessions of a shard.
#[derive(Debug)]
pub enum SessionMessage {
    /// Send this to a router, over its session if there is one.
    Deliver {
        /// Whom to.
        to: RouterHash,
        /// What.
        message: I2npMessage,
        /// What to do when we do not know the router.
        unknown: Unknown,
        /// When the lookup arrived that this answers, if it does.
        answers: Option<Instant>,
    },
    /// A peer has just begun a handshake, on some shard.
    Knock(Knock),
    /// Open a session.
    Dial(Ntcp2Endpoint),
    /// End all sessions and dials with a router that is banned.
    Ban(RouterHash),
    /// Take over a session whose handshake ended on another shard.
    Adopt(Box<Adoption>),
}

/// What one shard tells the others of a message 1 that it has accepted.
#[derive(Clone, Copy, Debug)]
pub struct Knock {
    /// Where it came from.
    pub address: IpAddr,
    /// What it is known by if it comes again.
    pub request: RequestMark,
}

/// An accepted session on its way to the shard that owns its router.
pub struct Adoption {
    /// The transport connection.
    pub connection: ConnectionId,
    /// Its other end.
    pub remote: Option<SocketAddr>,
    /// The established session.
    pub session: Session,
    /// The peer's RouterInfo, verified in the handshake.
    pub peer: Arc<RouterInfo>,
    /// Bytes that came behind the handshake.
    pub unread: Vec<u8>,
}

/// For the dialler of a shard.
#[derive(Debug)]
pub enum DialerMessage {
    /// Keep this message until its router is connected.
    Hold {
        /// Whom to.
        to: RouterHash,
        /// What.
        message: I2npMessage,
        /// What to do when we do not know the router.
        unknown: Unknown,
    },
    /// Connect to a router, without anything to say yet.
    Visit(RouterHash),
    /// The netdb has this router.
    Found(Arc<RouterInfo>),
    /// The netdb does not have this router, and nobody asked did.
    NotFound(RouterHash),
    /// A session with this router is up.
    Connected(RouterHash),
    /// The dial to this router came to nothing.
    Failed(RouterHash),
    /// This router could not be dialled for want of our own room, or because we stop: that says nothing about it.
    NotDialled(RouterHash),
    /// A router was seen to do this.
    Seen(RouterHash, Deed),
}

/// For a slice of the netdb.
#[derive(Debug)]
pub enum NetdbMessage {
    /// A DatabaseStore.
    Store {
        /// How it came.
        origin: Origin,
        /// Its body.
        body: Frame,
    },
    /// A DatabaseLookup.
    Lookup {
        /// Its body.
        body: Frame,
        /// When it arrived.
        arrived: Instant,
    },
    /// A DatabaseSearchReply.
    SearchReply {
        /// How it came.
        origin: Origin,
        /// Its body.
        body: Frame,
    },
    /// The dialler needs this router.
    Find {
        /// Which.
        router: RouterHash,
        /// Whether floodfills may be asked for it.
        unknown: Unknown,
    },
    /// An answer named this router; if we do not know it, it is worth a question.
    Learned(RouterHash),
    /// A floodfill is to be asked who is near a random key, which this slice owns.
    Explore(Explore),
    /// A peer showed us its RouterInfo in a handshake; verified.
    Met(Arc<RouterInfo>),
    /// A peer sent a RouterInfo block over its session.
    Shown {
        /// Who sent it.
        from: RouterHash,
        /// The key of the router that it describes.
        key: RecordKey,
        /// The RouterInfo, uncompressed.
        info: Vec<u8>,
        /// Whether it asks us to flood it.
        flood: FloodWish,
    },
    /// Its signature has been checked.
    Verified(Box<Verified>),
}

/// Whether the sender of a record wants it flooded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloodWish {
    /// Pass it on, if it is new and we are a floodfill.
    Flood,
    /// Keep it.
    Keep,
}

/// A record that passed all cheap checks and waits for its signature.
#[derive(Debug)]
pub struct Candidate {
    /// The record.
    pub record: CandidateRecord,
    /// Who sent it, if a router did.
    pub from: Option<RouterHash>,
    /// Whether it is to be flooded once stored.
    pub flood: FloodWish,
    /// How it came to us.
    pub source: Source,
    /// The router that it is about, if that showed it to us itself, over its own session.
    pub shown_by: Option<RouterHash>,
}

/// A record whose signature has been checked.
pub struct Verified {
    /// What it is.
    pub kind: RecordKind,
    /// The record, if its signatures hold.
    pub record: Result<Record, SignatureRefused>,
    /// Who sent it, if a router did.
    pub from: Option<RouterHash>,
    /// Whether it is to be flooded once stored.
    pub flood: FloodWish,
    /// How it came to us.
    pub source: Source,
    /// The router that it is about, if that showed it to us itself, over its own session.
    pub shown_by: Option<RouterHash>,
}

/// The record of a [`Candidate`].
#[derive(Debug)]
pub enum CandidateRecord {
    /// A RouterInfo.
    RouterInfo(Unverified<RouterInfo>),
    /// A lease set.
    LeaseSet(Unverified<AnyLeaseSet>),
}

/// A signature to be checked with the turn's others.
pub type Verification = Candidate;

/// For the opener of garlic.
#[derive(Debug)]
pub enum GarlicMessage {
    /// A Garlic body for this router.
    Open(Frame),
    /// Its Diffie-Hellman is done.
    Shared {
        /// The body.
        body: Frame,
        /// The secret.
        shared: Result<SharedSecret, WeakKey>,
    },
}

/// For the opener of build requests.
#[derive(Debug)]
pub enum BuildActorMessage {
    /// A request, in whichever form.
    Request {
        /// How it came.
        origin: Origin,
        /// Its form.
        form: BuildForm,
        /// Its body.
        body: Frame,
    },
    /// Its Diffie-Hellman is done.
    Shared {
        /// What waited for it.
        waiting: WaitingBuild,
        /// The secret.
        shared: Result<SharedSecret, WeakKey>,
    },
}

/// A build request between its two halves.
#[derive(Debug)]
pub struct WaitingBuild {
    /// How it came.
    pub origin: Origin,
    /// Its form.
    pub form: BuildForm,
    /// The message's body.
    pub body: Frame,
    /// Which record is ours.
    pub slot: usize,
}

/// For the transit tunnels of a shard.
#[derive(Debug)]
pub enum TransitMessage {
    /// A TunnelData message from a previous hop.
    Data {
        /// Who sent it.
        origin: Origin,
        /// Its body.
        body: Frame,
    },
    /// An I2NP message for an inbound gateway of ours.
    Gateway {
        /// Who sent it.
        origin: Origin,
        /// The tunnel.
        tunnel: TunnelId,
        /// The message, with its standard header.
        inner: Frame,
    },
    /// An opened build request on the shard that would own the tunnel.
    Install(Box<OpenedBuild>),
}

/// A build request that opened, on its way to the owner of its tunnel.
#[derive(Debug)]
pub struct OpenedBuild {
    /// The router that sent us the request, where one did.
    pub previous: Option<RouterHash>,
    /// The message's form.
    pub form: BuildForm,
    /// Its body.
    pub body: Frame,
    /// Which record is ours.
    pub slot: usize,
    /// Our record, opened.
    pub opened: OpenedRecord,
    /// The status with which it has to be refused, whatever the load.
    pub refusal: Option<u8>,
}

/// For the owner of our RouterInfo.
#[derive(Debug)]
pub enum LocalRouterMessage {
    /// A DeliveryStatus that names this message or token.
    Confirmed(u32),
    /// A RouterInfo of a floodfill was stored.
    FloodfillSeen(RouterHash),
    /// A floodfill is one no more, or was forgotten.
    FloodfillGone(RouterHash),
    /// How many records the slice of one shard holds.
    Known {
        /// The shard.
        shard: ShardId,
        /// RouterInfos.
        routers: usize,
        /// Lease sets.
        lease_sets: usize,
    },
    /// How busy one shard is.
    Load {
        /// The shard.
        shard: ShardId,
        /// How full it is.
        fullness: Permille,
        /// Bytes of transit a second, since the last time.
        transit_rate: u64,
    },
    /// How many bytes a second one shard would carry if nothing limited it.
    Wanted {
        /// The shard.
        shard: ShardId,
        /// In the direction in which it is more.
        rate: u64,
    },
    /// A router of another /16 connected to us.
    Reached,
    /// A router that we have dialled says that its clock is so far from ours.
    Clock(RouterHash, ClockSkew),
    /// A router stands like this with us from now on.
    Standing(RouterHash, Standing),
}

/// A Diffie-Hellman of our encryption key with a key that came with a message.
#[derive(Debug)]
pub struct DiffieHellman {
    /// The other key.
    pub public: X25519Public,
    /// What goes on with the result.
    pub purpose: DiffieHellmanPurpose,
}

/// What a Diffie-Hellman is for.
#[derive(Debug)]
pub enum DiffieHellmanPurpose {
    /// Opening a build record.
    Build(WaitingBuild),
    /// Opening garlic.
    Garlic(Frame),
}

impl fmt::Debug for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Adoption({:?}, {:?})", self.connection, self.peer.hash())
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({:?}, {:?})", self.kind, self.record.as_ref().map(Record::key))
    }
}
