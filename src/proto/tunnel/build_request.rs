//! Build requests: which record is ours, what it says, and whether we can do what it asks.
//!
//! The steps, cheapest first: [`find_slot`], then [`BuildReplayFilter::check`](super::build_replay) on the
//! ephemeral key, the Diffie-Hellman by the caller, [`open_record`], and [`check_request`].

use std::time::Duration;

use zeroize::Zeroizing;

use crate::base::id::{MessageId, RouterHash, TunnelId};
use crate::base::time::UnixTime;
use crate::crypto::chacha::TAG_SIZE;
use crate::crypto::layer::LayerKeys;
use crate::crypto::noise::SymmetricState;
use crate::crypto::secret::{AeadKey, SharedSecret};
use crate::crypto::x25519::X25519Public;
use crate::proto::local::HopIdentity;
use crate::wire::build_record::{BuildRecordError, HopRole, ShortBuildRequest};
use crate::wire::i2np::tunnel_build::{BuildMessage, SHORT_RECORD_SIZE};

use super::bandwidth::{BandwidthError, BandwidthRequest};
use super::record_keys::{GarlicReplyKey, RecordKeys};

/// Answer of a hop that takes part.
pub const STATUS_ACCEPTED: u8 = 0;
/// Answer of a hop that does not, whatever its reason: any other code would tell routers apart.
pub const STATUS_REFUSED: u8 = 30;

/// How old a request may be, in whole minutes as requests have them.
pub const REQUEST_AGE_MAX: Duration = Duration::from_secs(8 * 60);
/// How far in the future a request may be dated.
pub const REQUEST_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// Bytes of a hop's hash in front of its record.
const PREFIX_SIZE: usize = 16;
/// Where the ciphertext starts: behind prefix and ephemeral key.
const CIPHERTEXT_START: usize = PREFIX_SIZE + 32;

/// What a creator asks of a hop, in whichever form of record. Times and the layer type are claims until
/// [`check_request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopRequest {
    /// The tunnel id that the hop receives on.
    pub receive_tunnel: TunnelId,
    /// The tunnel id at the next hop; for an outbound endpoint that of the reply tunnel.
    pub next_tunnel: TunnelId,
    /// The next hop; for an outbound endpoint the gateway of the reply tunnel.
    pub next_hop: RouterHash,
    /// What the hop is asked to be.
    pub role: HopRole,
    /// How the layers are encrypted; 0 is AES, and there is nothing else.
    pub layer_type: u8,
    /// When the request was made, in whole minutes since 1970.
    pub request_minutes: u32,
    /// The id under which the build message goes on.
    pub next_message: MessageId,
    /// What is to be set aside for the tunnel.
    pub bandwidth: Result<BandwidthRequest, BandwidthError>,
}

impl From<ShortBuildRequest> for HopRequest {
    fn from(request: ShortBuildRequest) -> Self {
        Self {
            receive_tunnel: request.receive_tunnel,
            next_tunnel: request.next_tunnel,
            next_hop: request.next_hop,
            role: request.role,
            layer_type: request.layer_type,
            request_minutes: request.request_minutes,
            next_message: request.next_message,
            bandwidth: BandwidthRequest::read(&request.options),
        }
    }
}

/// A request that was addressed to us and authenticates, with the keys that it agrees on.
#[derive(Debug)]
pub struct OpenedRequest<R = ShortReplyKeys> {
    /// What the creator asks.
    pub request: HopRequest,
    /// Keys of our layer.
    pub keys: LayerKeys,
    /// What our answer and the other records are sealed with.
    pub reply: R,
    /// Outbound endpoints of short builds only: seals the whole reply for the creator.
    pub garlic: Option<GarlicReplyKey>,
}

/// What seals the reply to a short request.
#[derive(Debug)]
pub struct ShortReplyKeys {
    /// Seals our answer and encrypts the other records.
    pub key: AeadKey,
    /// Handshake hash after the request: the associated data of our answer.
    pub hash: [u8; 32],
}

/// Where a request would have its messages go, seen from where it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Onward {
    /// To another router.
    Further,
    /// Back to the router they come from. Legal: small networks have such tunnels; counted, because many are odd.
    BackToPrevious,
}

/// What becomes of a build message whose request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing is sent on.
    Drop,
    /// The message goes on with this status in our record.
    Refuse(u8),
}

/// Why a build request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildRequestError {
    /// No record starts with the first 16 bytes of our hash.
    #[error("no record is addressed to this router")]
    NotAddressed,
    /// The same ephemeral key was used before.
    #[error("the ephemeral key of the record was used before")]
    Replayed,
    /// The ephemeral key is a point of low order.
    #[error("the ephemeral key of the record is weak")]
    WeakKey,
    /// The record was not made for our encryption key, or was changed.
    #[error("record does not authenticate")]
    Unauthentic,
    /// The opened record breaks the format: a zero tunnel id, both role flags, options that do not parse.
    #[error("opened record: {0}")]
    Record(#[from] BuildRecordError),
    /// The request is too old.
    #[error("request is {age:?} old, the limit is {limit:?}")]
    Stale {
        /// By our clock, in whole minutes.
        age: Duration,
        /// [`REQUEST_AGE_MAX`].
        limit: Duration,
    },
    /// The request is dated in the future.
    #[error("request is dated {ahead:?} ahead, the limit is {limit:?}")]
    Ahead {
        /// By our clock, in whole minutes.
        ahead: Duration,
        /// [`REQUEST_AHEAD_MAX`].
        limit: Duration,
    },
    /// Messages are to be encrypted in a way that is not in use.
    #[error("layer encryption {found} is not in use")]
    LayerType {
        /// The code in the request.
        found: u8,
    },
    /// What is asked for cannot be understood.
    #[error(transparent)]
    Bandwidth(#[from] BandwidthError),
    /// A participant or gateway would send to itself.
    #[error("the next hop is this router")]
    NextIsSelf,
    /// A participant or endpoint that does not know from whom to take messages.
    #[error("the request of a {role:?} came from no neighbour")]
    NoPrevious {
        /// The role asked for.
        role: HopRole,
    },
}

impl BuildRequestError {
    /// What becomes of the message.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::LayerType { .. } | Self::Bandwidth(_) => Verdict::Refuse(STATUS_REFUSED),
            Self::NotAddressed
            | Self::Replayed
            | Self::WeakKey
            | Self::Unauthentic
            | Self::Record(_)
            | Self::Stale { .. }
            | Self::Ahead { .. }
            | Self::NextIsSelf
            | Self::NoPrevious { .. } => Verdict::Drop,
        }
    }
}

/// The first record that is addressed to `ours`, by the first 16 bytes of the hash.
#[must_use]
pub fn find_slot<const SIZE: usize>(
    message: &BuildMessage<'_, SIZE>,
    ours: &RouterHash,
) -> Option<usize> {
    let prefix = ours.0.first_chunk::<PREFIX_SIZE>()?;
    message.records().iter().position(|record| record.starts_with(prefix))
}

/// The creator's ephemeral key in a record.
#[must_use]
pub fn ephemeral_key<const SIZE: usize>(record: &[u8; SIZE]) -> X25519Public {
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(record.iter().skip(PREFIX_SIZE)) {
        *to = *from;
    }
    X25519Public(key)
}

/// Opens our record with the result of the Diffie-Hellman between our encryption key and the record's ephemeral
/// key, and derives the keys of the hop.
///
/// # Errors
/// [`BuildRequestError::Unauthentic`] when it was not made for us, [`BuildRequestError::Record`] when what it
/// says breaks the format.
pub fn open_record(
    hop: &HopIdentity,
    record: &[u8; SHORT_RECORD_SIZE],
    shared: &SharedSecret,
) -> Result<OpenedRequest, BuildRequestError> {
    let (state, cleartext) = open(hop, record, shared)?;
    let request = ShortBuildRequest::parse(&cleartext)?;
    let keys = RecordKeys::derive(state.chain_key(), request.role);
    Ok(OpenedRequest {
        request: request.into(),
        keys: keys.layer,
        reply: ShortReplyKeys { key: keys.reply, hash: *state.hash() },
        garlic: keys.garlic,
    })
}

/// Opens a record of `SIZE` bytes with a request of `CLEARTEXT` in it, and leaves the state of its handshake.
pub(super) fn open<const SIZE: usize, const CLEARTEXT: usize>(
    hop: &HopIdentity,
    record: &[u8; SIZE],
    shared: &SharedSecret,
) -> Result<(SymmetricState, Zeroizing<[u8; CLEARTEXT]>), BuildRequestError> {
    const { assert!(SIZE == CIPHERTEXT_START + CLEARTEXT + TAG_SIZE) };
    let mut state = hop.initial_state();
    state.mix_hash(&ephemeral_key(record).0);
    let key = state.mix_key(shared);
    let mut sealed = Zeroizing::new([0; SIZE]);
    *sealed = *record;
    let sealed = sealed.get_mut(CIPHERTEXT_START..).unwrap_or_default();
    let opened =
        state.open_and_hash(&key, 0, sealed).map_err(|_| BuildRequestError::Unauthentic)?;
    let cleartext = (&*opened).try_into().map_err(|_| BuildRequestError::Unauthentic)?;
    Ok((state, Zeroizing::new(cleartext)))
}

/// Whether a router `ours` can take part as asked, given the neighbour that the request came from. Requests for
/// gateways often come out of garlic, from no neighbour.
///
/// An endpoint may name us as next: then we are the reply gateway, or send to ourselves.
///
/// # Errors
/// Each with its [`BuildRequestError::verdict`].
pub fn check_request(
    request: &HopRequest,
    ours: &RouterHash,
    previous: Option<&RouterHash>,
    now: UnixTime,
) -> Result<Onward, BuildRequestError> {
    check_time(request.request_minutes, now)?;
    if request.role != HopRole::OutboundEndpoint && request.next_hop == *ours {
        return Err(BuildRequestError::NextIsSelf);
    }
    if request.role != HopRole::InboundGateway && previous.is_none() {
        return Err(BuildRequestError::NoPrevious { role: request.role });
    }
    if request.layer_type != 0 {
        return Err(BuildRequestError::LayerType { found: request.layer_type });
    }
    request.bandwidth?;
    if previous == Some(&request.next_hop) {
        Ok(Onward::BackToPrevious)
    } else {
        Ok(Onward::Further)
    }
}

fn check_time(request_minutes: u32, now: UnixTime) -> Result<(), BuildRequestError> {
    let minutes = |count: u32| Duration::from_secs(u64::from(count) * 60);
    let age = minutes(now.minutes().saturating_sub(request_minutes));
    if age > REQUEST_AGE_MAX {
        return Err(BuildRequestError::Stale { age, limit: REQUEST_AGE_MAX });
    }
    let ahead = minutes(request_minutes.saturating_sub(now.minutes()));
    if ahead > REQUEST_AHEAD_MAX {
        return Err(BuildRequestError::Ahead { ahead, limit: REQUEST_AHEAD_MAX });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::X25519Secret;
    use crate::crypto::testing::{hex, unhex_array};
    use crate::crypto::x25519::{diffie_hellman, public_key};
    use crate::wire::i2np::tunnel_build::RecordSize;
    use proptest::prelude::*;

    const RECORD: &str = "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0cb307ae8660efaed4d6a65f6640896892
        ea4a1f0075555c489d1312a2e1677c287ac6068250358e4e83193d81a50c44f9a71273ac5f53de3d037de14d746d589b
        612e82fea1616cfbd53f69e060dae64dd9627e60a1822f77fc44f036d1a689c58b4f614b0caab37c6d21a02b31c80baa
        5f9206b8179be05d1738972dee6329ed25e7103d56580dae09d44a21c65e5333bd4f9fc894ced58c7c977ac22df8b625
        7d5999e7de17f71b27be50f874f7b6f2059eaf9a8e78750262ccf084a5ffe927ebfe0b9daabcec5ae078";

    const MINUTE: u32 = 28_000_000;

    fn open(record: &[u8; SHORT_RECORD_SIZE]) -> Result<OpenedRequest, BuildRequestError> {
        let secret = X25519Secret::from_bytes([0x0b; 32]);
        let hop = HopIdentity::new(RouterHash([0x0c; 32]), &public_key(&secret));
        let shared = diffie_hellman(&secret, &ephemeral_key(record))
            .map_err(|_| BuildRequestError::WeakKey)?;
        open_record(&hop, record, &shared)
    }

    fn known() -> HopRequest {
        open(&unhex_array(RECORD)).unwrap().request
    }

    fn at(minutes: u32, seconds: u64) -> UnixTime {
        UnixTime((u64::from(minutes) * 60 + seconds) * 1000)
    }

    #[test]
    fn the_known_record_opens() {
        let opened = open(&unhex_array(RECORD)).unwrap();
        assert_eq!(opened.request.receive_tunnel, TunnelId::new(0x101).unwrap());
        assert_eq!(opened.request.next_tunnel, TunnelId::new(0x202).unwrap());
        assert_eq!(opened.request.next_hop, RouterHash([0x11; 32]));
        assert_eq!(opened.request.role, HopRole::Participant);
        assert_eq!(opened.request.request_minutes, MINUTE);
        assert_eq!(opened.request.next_message.0, 0x0a0b_0c0d);
        let known = "f3ed014b7393508997cc41cad3f06e096cdee74feff5ff145a8e223f79f86221";
        assert_eq!(hex(&opened.reply.hash), known);
        let known = "da7cff29cefb074dae37954093e20bfc9d397665ebb63e98e739d2f07d83a943";
        assert_eq!(hex(opened.reply.key.expose()), known);
        assert!(opened.garlic.is_none());
    }

    #[test]
    fn a_record_is_found_by_the_start_of_our_hash() {
        let mut body = vec![2u8];
        body.extend_from_slice(&[9; SHORT_RECORD_SIZE]);
        body.extend_from_slice(&unhex_array::<SHORT_RECORD_SIZE>(RECORD));
        let message = BuildMessage::parse(&mut body, RecordSize::Short).unwrap();
        let mut ours = [0x0c; 32];
        ours[16..].fill(0xff);
        assert_eq!(find_slot(&message, &RouterHash(ours)), Some(1), "16 bytes decide");
        ours[15] = 0;
        assert_eq!(find_slot(&message, &RouterHash(ours)), None);
    }

    #[test]
    fn the_time_of_a_request_counts_in_whole_minutes() {
        let (ours, previous) = (RouterHash([1; 32]), RouterHash([2; 32]));
        let check = |now| check_request(&known(), &ours, Some(&previous), now);
        assert_eq!(check(at(MINUTE + 8, 59)), Ok(Onward::Further));
        assert_eq!(check(at(MINUTE - 5, 0)), Ok(Onward::Further));
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let stale = BuildRequestError::Stale { age: minutes(9), limit: minutes(8) };
        assert_eq!(check(at(MINUTE + 9, 0)), Err(stale));
        let ahead = BuildRequestError::Ahead { ahead: minutes(6), limit: minutes(5) };
        assert_eq!(check(at(MINUTE - 6, 59)), Err(ahead));
        assert_eq!(stale.verdict(), Verdict::Drop);
        let day = BuildRequestError::Stale { age: minutes(24 * 60), limit: minutes(8) };
        assert_eq!(check(at(MINUTE + 24 * 60, 0)), Err(day));
    }

    #[test]
    fn only_an_endpoint_may_name_us_as_next() {
        let now = at(MINUTE, 0);
        let (ours, previous) = (RouterHash([0x11; 32]), RouterHash([2; 32]));
        let mut request = known();
        let denied = Err(BuildRequestError::NextIsSelf);
        assert_eq!(check_request(&request, &ours, Some(&previous), now), denied);
        request.role = HopRole::InboundGateway;
        assert_eq!(check_request(&request, &ours, Some(&previous), now), denied);
        request.role = HopRole::OutboundEndpoint;
        assert_eq!(check_request(&request, &ours, Some(&previous), now), Ok(Onward::Further));
    }

    #[test]
    fn a_tunnel_that_turns_back_is_legal_and_reported() {
        let (ours, previous) = (RouterHash([1; 32]), RouterHash([0x11; 32]));
        let answer = check_request(&known(), &ours, Some(&previous), at(MINUTE, 0));
        assert_eq!(answer, Ok(Onward::BackToPrevious));
    }

    #[test]
    fn only_a_gateway_may_come_from_no_neighbour() {
        let ours = RouterHash([1; 32]);
        let mut request = known();
        let denied = BuildRequestError::NoPrevious { role: HopRole::Participant };
        assert_eq!(check_request(&request, &ours, None, at(MINUTE, 0)), Err(denied));
        request.role = HopRole::InboundGateway;
        assert_eq!(check_request(&request, &ours, None, at(MINUTE, 0)), Ok(Onward::Further));
    }

    #[test]
    fn bandwidth_that_cannot_be_understood_is_refused_with_an_answer() {
        let ours = RouterHash([1; 32]);
        let mut request = known();
        assert_eq!(request.bandwidth, Ok(BandwidthRequest::default()));
        request.bandwidth = Err(BandwidthError::Order);
        let error = check_request(&request, &ours, Some(&RouterHash([2; 32])), at(MINUTE, 0));
        assert_eq!(error, Err(BuildRequestError::Bandwidth(BandwidthError::Order)));
        assert_eq!(error.unwrap_err().verdict(), Verdict::Refuse(30));
    }

    #[test]
    fn another_layer_encryption_is_refused_with_an_answer() {
        let ours = RouterHash([1; 32]);
        let mut request = known();
        request.layer_type = 1;
        let error = check_request(&request, &ours, Some(&RouterHash([2; 32])), at(MINUTE, 0));
        assert_eq!(error, Err(BuildRequestError::LayerType { found: 1 }));
        assert_eq!(error.unwrap_err().verdict(), Verdict::Refuse(30));
    }

    proptest! {
        #[test]
        fn a_changed_record_does_not_open(index in 16usize..SHORT_RECORD_SIZE, flip in 1u8..) {
            let mut record: [u8; SHORT_RECORD_SIZE] = unhex_array(RECORD);
            record[index] ^= flip;
            // X25519 ignores the top bit of a key, the handshake hash does not.
            prop_assert!(open(&record).is_err());
        }
    }
}
