//! Bob's side of the handshake: messages 1 and 3 in, message 2 out.

use std::time::Duration;

use crate::base::frame::Frame;
use crate::base::limits::{NTCP2_PADDING_MAX, ROUTER_INFO_MAX};
use crate::base::rng::ShardRng;
use crate::base::time::{Now, UnixTime};
use crate::crypto::aes::{cbc_decrypt, cbc_encrypt};
use crate::crypto::chacha::TAG_SIZE;
use crate::crypto::noise::SymmetricState;
use crate::crypto::secret::{AeadKey, SharedSecret, X25519Secret};
use crate::crypto::signature::Verdict;
use crate::crypto::x25519::{DhJob, WeakKey, X25519Public, public_key};
use crate::wire::ntcp2::{Block, Message1Options, Message2Options, parse_blocks};
use crate::wire::router_info::RouterInfo;
use crate::wire::unverified::{SignatureRefused, Unverified};

use super::Local;
use super::error::{ClockSkew, ConfirmedError, HandshakeError, RequestError};
use super::framing::DataKeys;
use super::handshake::{
    CONFIRMED_PART_1, Established, Failure, HEAD_SIZE, PADDING_OURS_MAX, Step, VERSION,
    is_invalid_key,
};
use super::replay::ReplayFilter;
use super::session::{Direction, Session};
use super::work::{Work, WorkResult};

/// Least length of the second part of message 3: its tag.
pub(super) const CONFIRMED_PART_2_MIN: usize = TAG_SIZE;
/// Most that we take: the largest RouterInfo, with room for options and padding.
pub(super) const CONFIRMED_PART_2_MAX: usize = ROUTER_INFO_MAX + 1024;
/// Network id that asks not to be compared.
const NETWORK_ANY: u8 = 0;
/// Age at which a RouterInfo in a handshake is too old.
const ROUTER_INFO_AGE_MAX: Duration = Duration::from_secs(90 * 60);
/// How far a RouterInfo in a handshake may lie in the future.
const ROUTER_INFO_AHEAD_MAX: Duration = Duration::from_secs(120);

/// What a step of Bob's may use.
pub(super) struct Context<'a, 'b> {
    pub(super) local: &'a Local<'b>,
    pub(super) now: Now,
    pub(super) rng: &'a mut ShardRng,
    pub(super) replay: &'a mut ReplayFilter,
}

/// What Bob draws by lot.
pub(super) struct Choices {
    pub(super) ephemeral: X25519Secret,
    /// Padding of message 2. Not empty: emissary then goes on with another handshake hash than everyone else, and we could
    /// not open its message 3.
    pub(super) padding: Vec<u8>,
}

impl Choices {
    /// Fresh choices for one handshake.
    pub(super) fn draw(rng: &mut ShardRng) -> Self {
        let mut padding = vec![0; 1 + rng.below(PADDING_OURS_MAX)];
        rng.fill(&mut padding);
        Self { ephemeral: X25519Secret::from_bytes(rng.bytes()), padding }
    }
}

/// Bob, by what he waits for: bytes, or public-key work on those that have come.
pub(super) enum Responder {
    /// The first 64 bytes of message 1.
    Request,
    /// The Diffie-Hellman that opens them.
    Opening(Opening),
    /// The padding of message 1.
    Padding(Requested),
    /// The Diffie-Hellman of message 2.
    Answering(Answering),
    /// Message 3.
    Confirmed(Answered),
    /// The Diffie-Hellman that opens its second part.
    Proving(Proving),
    /// The signature of Alice's RouterInfo.
    Judging(Box<Judging>),
}

/// The first 64 bytes of message 1, unopened.
pub(super) struct Opening {
    ephemeral: X25519Public,
    /// The ephemeral key as it came.
    hidden: [u8; 32],
    sealed: [u8; 32],
}

/// Message 1 as opened.
pub(super) struct Requested {
    noise: SymmetricState,
    ephemeral: X25519Public,
    /// Hides the key of message 2.
    iv: [u8; 16],
    padding: usize,
    part_2: usize,
    time: UnixTime,
}

/// Message 1 as a whole, and what we have drawn to answer it.
pub(super) struct Answering {
    noise: SymmetricState,
    requested: Asked,
    choices: Choices,
}

/// What of message 1 is needed to answer it.
#[derive(Clone, Copy)]
struct Asked {
    ephemeral: X25519Public,
    iv: [u8; 16],
    part_2: usize,
    time: UnixTime,
}

/// After message 2.
pub(super) struct Answered {
    noise: SymmetricState,
    ephemeral: X25519Secret,
    /// Opens the first part of message 3.
    key: AeadKey,
    part_2: usize,
}

/// Message 3, its first part opened.
pub(super) struct Proving {
    noise: SymmetricState,
    ephemeral: X25519Secret,
    static_key: X25519Public,
    second: Vec<u8>,
}

/// Alice as she claims to be.
pub(super) struct Judging {
    info: Unverified<RouterInfo>,
    session: Session,
}

/// Message 3 as opened.
pub(super) struct Confirmed {
    pub(super) noise: SymmetricState,
    pub(super) static_key: X25519Public,
    pub(super) blocks: Vec<u8>,
}

impl Responder {
    /// Waits for message 1.
    pub(super) fn new() -> Self {
        Self::Request
    }

    /// Bytes that the next step takes; none where it waits for work.
    pub(super) fn needed(&self) -> Option<usize> {
        match self {
            Self::Request => Some(HEAD_SIZE),
            Self::Padding(requested) => Some(requested.padding),
            Self::Confirmed(answered) => Some(CONFIRMED_PART_1 + answered.part_2),
            Self::Opening(_) | Self::Answering(_) | Self::Proving(_) | Self::Judging(_) => None,
        }
    }

    /// The work that it waits for.
    pub(super) fn work<'a>(&'a self, local: &'a Local<'_>) -> Option<Work<'a>> {
        let agree = |secret, public| Some(Work::DiffieHellman(DhJob { secret, public }));
        match self {
            Self::Request | Self::Padding(_) | Self::Confirmed(_) => None,
            Self::Opening(opening) => agree(&local.keys.static_secret, opening.ephemeral),
            Self::Answering(answering) => {
                agree(&answering.choices.ephemeral, answering.requested.ephemeral)
            }
            Self::Proving(proving) => agree(&proving.ephemeral, proving.static_key),
            Self::Judging(judging) => Some(Work::Signature(judging.info.check())),
        }
    }

    /// Handles the bytes that were needed; `behind` more have arrived already.
    pub(super) fn handle(
        self,
        context: &mut Context<'_, '_>,
        message: &mut [u8],
        behind: usize,
    ) -> Result<Step<Self>, Failure> {
        let next = match self {
            Self::Request => Self::Opening(begin_request(context.local, message, context.replay)?),
            Self::Padding(requested) => {
                nothing_behind(behind)?;
                let choices = Choices::draw(context.rng);
                Self::Answering(begin_answer(requested, message, choices))
            }
            Self::Confirmed(answered) => Self::Proving(begin_confirmed(answered, message)?),
            Self::Opening(_) | Self::Answering(_) | Self::Proving(_) | Self::Judging(_) => {
                return Err(HandshakeError::Over.into());
            }
        };
        Ok(Step::Continue(next, None))
    }

    /// Goes on with the result of its work; `behind` more bytes have arrived meanwhile.
    pub(super) fn handle_work(
        self,
        context: &mut Context<'_, '_>,
        result: WorkResult,
        behind: usize,
    ) -> Result<Step<Self>, Failure> {
        match (self, result) {
            (Self::Opening(opening), WorkResult::DiffieHellman(shared)) => {
                let Context { local, now, replay, .. } = context;
                let requested = open_request(local, opening, shared, *now, replay)?;
                Ok(Step::Continue(Self::Padding(requested), None))
            }
            (Self::Answering(answering), WorkResult::DiffieHellman(shared)) => {
                nothing_behind(behind)?;
                let skew = ClockSkew::between(answering.requested.time, context.now.unix);
                let (answered, created) = answer(context.local, answering, shared, context.now)?;
                if skew.is_fatal() {
                    let error = RequestError::ClockSkew(skew).into();
                    return Err(Failure { error, last: Some(created) });
                }
                Ok(Step::Continue(Self::Confirmed(answered), Some(created)))
            }
            (Self::Proving(proving), WorkResult::DiffieHellman(shared)) => {
                let judging = confirmed(context, proving, shared)?;
                Ok(Step::Continue(Self::Judging(Box::new(judging)), None))
            }
            (Self::Judging(judging), WorkResult::Signature(verdict)) => {
                settle(context, *judging, verdict)
            }
            // Results come only to who asked for them, and in kind.
            (_, WorkResult::DiffieHellman(_) | WorkResult::Signature(_)) => {
                debug_assert!(false, "a result that was not asked for");
                Err(HandshakeError::Over.into())
            }
        }
    }
}

/// Alice waits for message 2: whatever she sends before is not hers.
fn nothing_behind(behind: usize) -> Result<(), RequestError> {
    if behind > 0 { Err(RequestError::ExtraBytes { count: behind }) } else { Ok(()) }
}

/// Takes the first 64 bytes of message 1 as far as they go without a Diffie-Hellman.
pub(super) fn begin_request(
    local: &Local<'_>,
    message: &[u8],
    replay: &ReplayFilter,
) -> Result<Opening, RequestError> {
    let (hidden, sealed) = message.split_first_chunk::<32>().ok_or(RequestError::Unauthentic)?;
    let sealed = *sealed.first_chunk().ok_or(RequestError::Unauthentic)?;
    if replay.contains(hidden) {
        return Err(RequestError::Replayed);
    }
    let mut key = *hidden;
    cbc_decrypt(&local.keys.router.0, local.keys.iv, &mut key);
    let ephemeral = X25519Public(key);
    if is_invalid_key(&ephemeral) {
        return Err(RequestError::InvalidKey);
    }
    Ok(Opening { ephemeral, hidden: *hidden, sealed })
}

/// Opens them with the secret that was agreed.
pub(super) fn open_request(
    local: &Local<'_>,
    opening: Opening,
    shared: Result<SharedSecret, WeakKey>,
    now: Now,
    replay: &mut ReplayFilter,
) -> Result<Requested, RequestError> {
    let Opening { ephemeral, hidden, mut sealed } = opening;
    let shared = shared.map_err(|_| RequestError::WeakKey)?;
    // Its twin may have gone through the same batch.
    if replay.contains(&hidden) {
        return Err(RequestError::Replayed);
    }
    let mut noise = SymmetricState::ntcp2();
    noise.mix_hash(&local.keys.static_public.0);
    noise.mix_hash(&ephemeral.0);
    let key = noise.mix_key(&shared);
    let options =
        noise.open_and_hash(&key, 0, &mut sealed).map_err(|_| RequestError::Unauthentic)?;
    let options: &[u8; 16] = (&*options).try_into().map_err(|_| RequestError::Unauthentic)?;
    replay.insert(&hidden, now.instant);
    let options = Message1Options::parse(options);
    check_options(&options, local.network)?;
    Ok(Requested {
        noise,
        ephemeral,
        iv: *hidden.last_chunk().unwrap_or(&[0; 16]),
        padding: usize::from(options.padding),
        part_2: usize::from(options.part2),
        time: UnixTime::from_seconds(options.timestamp),
    })
}

fn check_options(options: &Message1Options, network: u8) -> Result<(), RequestError> {
    if options.network != network && options.network != NETWORK_ANY {
        return Err(RequestError::Network { found: options.network, expected: network });
    }
    if options.version != VERSION {
        return Err(RequestError::Version { found: options.version });
    }
    let padding = usize::from(options.padding);
    if padding > NTCP2_PADDING_MAX {
        return Err(RequestError::Padding { found: padding });
    }
    let part_2 = usize::from(options.part2);
    if !(CONFIRMED_PART_2_MIN..=CONFIRMED_PART_2_MAX).contains(&part_2) {
        return Err(RequestError::ConfirmedSize { found: part_2 });
    }
    Ok(())
}

/// Completes message 1 with its padding.
pub(super) fn begin_answer(requested: Requested, padding: &[u8], choices: Choices) -> Answering {
    let Requested { mut noise, ephemeral, iv, part_2, time, .. } = requested;
    if !padding.is_empty() {
        noise.mix_hash(padding);
    }
    Answering { noise, requested: Asked { ephemeral, iv, part_2, time }, choices }
}

/// Makes message 2.
pub(super) fn answer(
    local: &Local<'_>,
    answering: Answering,
    shared: Result<SharedSecret, WeakKey>,
    now: Now,
) -> Result<(Answered, Frame), RequestError> {
    let Answering { mut noise, requested, choices } = answering;
    let shared = shared.map_err(|_| RequestError::WeakKey)?;
    let mut key = public_key(&choices.ephemeral).0;
    noise.mix_hash(&key);
    let seal = noise.mix_key(&shared);
    cbc_encrypt(&local.keys.router.0, requested.iv, &mut key);
    let length = choices.padding.len();
    let options = Message2Options {
        padding: u16::try_from(length).map_err(|_| RequestError::Padding { found: length })?,
        timestamp: now.unix.seconds_rounded(),
    };
    let mut options = options.write();
    let tag = noise.seal_and_hash(&seal, 0, &mut options);
    if !choices.padding.is_empty() {
        noise.mix_hash(&choices.padding);
    }
    let mut message = Frame::with_capacity(HEAD_SIZE + length);
    for part in [&key[..], &options, &tag, &choices.padding] {
        message.append(part);
    }
    let part_2 = requested.part_2;
    Ok((Answered { noise, ephemeral: choices.ephemeral, key: seal, part_2 }, message))
}

/// Opens message 3 and looks at what Alice claims. From the moment that both parts are open a refusal is told in a
/// frame.
fn confirmed(
    context: &mut Context<'_, '_>,
    proving: Proving,
    shared: Result<SharedSecret, WeakKey>,
) -> Result<Judging, Failure> {
    let confirmed = open_confirmed(proving, shared)?;
    let keys = DataKeys::derive(&confirmed.noise);
    let session = Session::new(Direction::Inbound, keys, context.now.instant);
    match judge(context.local, &confirmed, context.now.unix) {
        Ok(info) => Ok(Judging { info, session }),
        Err(error) => Err(refuse(context, session, error)),
    }
}

/// Lets Alice in if the signature of her RouterInfo holds.
fn settle(
    context: &mut Context<'_, '_>,
    judging: Judging,
    verdict: Verdict,
) -> Result<Step<Responder>, Failure> {
    let Judging { info, session } = judging;
    match info.settle(verdict) {
        Ok(info) => {
            let established = Established::new(info.hash(), Some(info), session);
            Ok(Step::Done(Box::new(established), None))
        }
        Err(refused) => {
            let error = match refused {
                SignatureRefused::Invalid | SignatureRefused::Unchecked { .. } => {
                    ConfirmedError::Signature
                }
                SignatureRefused::Unsupported => ConfirmedError::SignatureType,
            };
            Err(refuse(context, session, error))
        }
    }
}

fn refuse(context: &mut Context<'_, '_>, mut session: Session, error: ConfirmedError) -> Failure {
    let last = error.reason().map(|reason| {
        let mut bytes = Vec::new();
        session.queue_termination(reason);
        session.flush(context.now, context.rng, &mut bytes);
        Frame::from(bytes)
    });
    Failure { error: HandshakeError::Confirmed(error), last }
}

/// Opens the first part of message 3, which names Alice's static key.
pub(super) fn begin_confirmed(
    answered: Answered,
    message: &mut [u8],
) -> Result<Proving, ConfirmedError> {
    let Answered { mut noise, ephemeral, key, .. } = answered;
    let (first, second) =
        message.split_at_mut_checked(CONFIRMED_PART_1).ok_or(ConfirmedError::Unauthentic)?;
    let opened = noise.open_and_hash(&key, 1, first).map_err(|_| ConfirmedError::Unauthentic)?;
    let theirs = (&*opened).try_into().map_err(|_| ConfirmedError::Unauthentic)?;
    Ok(Proving { noise, ephemeral, static_key: X25519Public(theirs), second: second.to_vec() })
}

/// Opens the second part: that it opens proves that Alice has the key.
pub(super) fn open_confirmed(
    proving: Proving,
    shared: Result<SharedSecret, WeakKey>,
) -> Result<Confirmed, ConfirmedError> {
    let Proving { mut noise, static_key, mut second, .. } = proving;
    let shared = shared.map_err(|_| ConfirmedError::WeakKey)?;
    let key = noise.mix_key(&shared);
    let blocks = noise
        .open_and_hash(&key, 0, &mut second)
        .map_err(|_| ConfirmedError::Unauthentic)?
        .to_vec();
    Ok(Confirmed { noise, static_key, blocks })
}

/// Decides whether Alice may come in if she is who she claims to be; the signature is last, since it costs most.
fn judge(
    local: &Local<'_>,
    confirmed: &Confirmed,
    now: UnixTime,
) -> Result<Unverified<RouterInfo>, ConfirmedError> {
    let info = RouterInfo::parse(find_router_info(&confirmed.blocks)?)
        .map_err(ConfirmedError::RouterInfo)?;
    let claims = info.peek();
    if claims.hash() == local.keys.router {
        return Err(ConfirmedError::OwnIdentity);
    }
    if claims.network() != Some(local.network) {
        let found = claims.network();
        return Err(ConfirmedError::Network { found, expected: local.network });
    }
    let age = now.since(claims.published());
    if age > ROUTER_INFO_AGE_MAX {
        return Err(ConfirmedError::Stale { age });
    }
    let ahead = claims.published().since(now);
    if ahead > ROUTER_INFO_AHEAD_MAX {
        return Err(ConfirmedError::Future { ahead });
    }
    if !claims.has_ntcp2_static_key(&confirmed.static_key) {
        return Err(ConfirmedError::StaticKey);
    }
    Ok(info)
}

/// The RouterInfo of message 3: its first block, behind which only options and padding may stand.
fn find_router_info(blocks: &[u8]) -> Result<&[u8], ConfirmedError> {
    let mut blocks = parse_blocks(blocks);
    let first = blocks.next().ok_or(ConfirmedError::NoRouterInfo)?;
    let Block::RouterInfo { info, .. } = first.map_err(ConfirmedError::Blocks)? else {
        return Err(ConfirmedError::NoRouterInfo);
    };
    let mut options_may_follow = true;
    let mut padding_may_follow = true;
    for block in blocks {
        match block.map_err(ConfirmedError::Blocks)? {
            Block::Options(_) if options_may_follow => options_may_follow = false,
            Block::Padding(_) if padding_may_follow => {
                options_may_follow = false;
                padding_may_follow = false;
            }
            Block::Options(_)
            | Block::Padding(_)
            | Block::DateTime(_)
            | Block::RouterInfo { .. }
            | Block::I2np(_)
            | Block::Termination { .. }
            | Block::Unknown { .. } => return Err(ConfirmedError::UnexpectedBlock),
        }
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ntcp2::{
        FloodRequest, OPTIONS_SIZE, TerminationReason, append_date_time, append_options,
        append_padding, append_router_info, append_termination,
    };

    fn checked(change: impl FnOnce(&mut Message1Options)) -> Result<(), RequestError> {
        let mut options = Message1Options::parse(&[0; OPTIONS_SIZE]);
        (options.network, options.version, options.part2) = (99, 2, 900);
        change(&mut options);
        check_options(&options, 99)
    }

    #[test]
    fn options_out_of_bounds_are_refused() {
        assert_eq!(checked(|_| {}), Ok(()));
        assert_eq!(checked(|o| o.network = 0), Ok(()));
        let foreign = RequestError::Network { found: 2, expected: 99 };
        assert_eq!(checked(|o| o.network = 2), Err(foreign));
        for found in [0, 1, 3, 255] {
            assert_eq!(checked(|o| o.version = found), Err(RequestError::Version { found }));
        }
        assert_eq!(checked(|o| o.padding = 223), Ok(()));
        for found in [224, 65_535] {
            let error = RequestError::Padding { found: usize::from(found) };
            assert_eq!(checked(|o| o.padding = found), Err(error));
        }
        assert_eq!(checked(|o| o.part2 = 16), Ok(()));
        assert_eq!(checked(|o| o.part2 = 4096), Ok(()));
        for found in [0, 15, 4097, 65_535] {
            let error = RequestError::ConfirmedSize { found: usize::from(found) };
            assert_eq!(checked(|o| o.part2 = found), Err(error));
        }
    }

    /// A RouterInfo block with what `behind` appends.
    fn blocks(behind: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        append_router_info(&mut out, FloodRequest::Requested, &[7; 10]);
        behind(&mut out);
        out
    }

    #[test]
    fn only_options_and_padding_follow_the_router_info() {
        let appended: [fn(&mut Vec<u8>); 4] = [
            |_| {},
            |out| append_options(out, &[0; 12]),
            |out| append_padding(out, 9),
            |out| {
                append_options(out, &[0; 12]);
                append_padding(out, 0);
            },
        ];
        for behind in appended {
            assert_eq!(find_router_info(&blocks(behind)), Ok(&[7; 10][..]));
        }
        let appended: [fn(&mut Vec<u8>); 5] = [
            |out| append_date_time(out, 1),
            |out| append_router_info(out, FloodRequest::NotRequested, &[7; 10]),
            |out| append_termination(out, 0, TerminationReason::Normal),
            |out| out.extend([200, 0, 0]),
            |out| {
                append_options(out, &[0; 12]);
                append_options(out, &[0; 12]);
            },
        ];
        for behind in appended {
            let found = find_router_info(&blocks(behind)).err();
            assert_eq!(found, Some(ConfirmedError::UnexpectedBlock));
        }
        let cut = find_router_info(&[2, 0, 9, 0]).err();
        assert!(matches!(cut, Some(ConfirmedError::Blocks(_))));
    }

    #[test]
    fn the_router_info_comes_first() {
        let starts: [fn(&mut Vec<u8>); 4] = [
            |_| {},
            |out| append_date_time(out, 1),
            |out| append_padding(out, 3),
            |out| out.extend([200, 0, 0]),
        ];
        for start in starts {
            let mut out = Vec::new();
            start(&mut out);
            if !out.is_empty() {
                append_router_info(&mut out, FloodRequest::NotRequested, &[7; 10]);
            }
            assert_eq!(find_router_info(&out).err(), Some(ConfirmedError::NoRouterInfo));
        }
    }
}
