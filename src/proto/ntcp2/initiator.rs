//! Alice's side of the handshake: messages 1 and 3 out, message 2 in.

use crate::base::frame::Frame;
use crate::base::id::RouterHash;
use crate::base::limits::{NTCP2_PADDING_MAX, ROUTER_INFO_MAX};
use crate::base::rng::ShardRng;
use crate::base::time::{Now, UnixTime};
use crate::crypto::aes::{cbc_decrypt, cbc_encrypt};
use crate::crypto::chacha::TAG_SIZE;
use crate::crypto::noise::SymmetricState;
use crate::crypto::secret::{AeadKey, X25519Secret};
use crate::crypto::x25519::{X25519Public, diffie_hellman, public_key};
use crate::wire::ntcp2::{
    FloodRequest, Message1Options, Message2Options, append_padding, append_router_info,
};
use crate::wire::router_address::Ntcp2Endpoint;

use super::Local;
use super::error::{ClockSkew, CreatedError, DialError};
use super::framing::DataKeys;
use super::handshake::{
    CONFIRMED_PART_1, Established, Failure, HEAD_SIZE, PADDING_OURS_MAX, Step, VERSION,
    is_invalid_key,
};
use super::session::{Direction, Session};

/// What Alice draws by lot.
pub(super) struct Choices {
    pub(super) ephemeral: X25519Secret,
    /// Padding of message 1. Not empty: some routers cannot read a message 1 without.
    pub(super) padding: Vec<u8>,
    /// Bytes in the padding block of message 3; no block when zero.
    pub(super) confirmed_padding: u16,
}

impl Choices {
    /// Fresh choices for one handshake.
    pub(super) fn draw(rng: &mut ShardRng) -> Self {
        let mut padding = vec![0; 1 + rng.below(PADDING_OURS_MAX)];
        rng.fill(&mut padding);
        let ephemeral = X25519Secret::from_bytes(rng.bytes());
        let confirmed = rng.below(PADDING_OURS_MAX + 1);
        let confirmed_padding = u16::try_from(confirmed).unwrap_or(0);
        Self { ephemeral, padding, confirmed_padding }
    }
}

/// Alice, after message 1.
pub(super) struct Initiator {
    remote: RouterHash,
    noise: SymmetricState,
    /// Cleartext blocks of message 3, whose length message 1 has announced.
    blocks: Vec<u8>,
    stage: Stage,
}

enum Stage {
    /// Waits for the first 64 bytes of message 2, whose key is hidden with `iv`.
    Head { ephemeral: X25519Secret, iv: [u8; 16] },
    /// Waits for its padding.
    Padding(Created),
}

/// Message 2 as opened.
struct Created {
    ephemeral: X25519Public,
    /// Seals the first part of message 3 too.
    key: AeadKey,
    padding: usize,
    time: UnixTime,
}

impl Initiator {
    /// Makes message 1.
    pub(super) fn start(
        local: &Local<'_>,
        remote: &Ntcp2Endpoint,
        choices: Choices,
        now: Now,
    ) -> Result<(Self, Frame), DialError> {
        let blocks = confirmed_blocks(local.router_info, choices.confirmed_padding);
        let size = DialError::RouterInfoSize { found: local.router_info.len() };
        if local.router_info.len() > ROUTER_INFO_MAX {
            return Err(size);
        }
        let part2 = u16::try_from(blocks.len() + TAG_SIZE).map_err(|_| size)?;
        let padding = u16::try_from(choices.padding.len()).map_err(|_| size)?;

        let mut key = public_key(&choices.ephemeral).0;
        let mut noise = SymmetricState::ntcp2();
        noise.mix_hash(&remote.static_key.0);
        noise.mix_hash(&key);
        let seal = noise.mix_key(&diffie_hellman(&choices.ephemeral, &remote.static_key)?);
        cbc_encrypt(&remote.router.0, remote.iv, &mut key);
        let options = Message1Options {
            network: local.network,
            version: VERSION,
            padding,
            part2,
            timestamp: now.unix.seconds_rounded(),
        };
        let mut options = options.write();
        let tag = noise.seal_and_hash(&seal, 0, &mut options);
        if !choices.padding.is_empty() {
            noise.mix_hash(&choices.padding);
        }

        let mut message = Frame::with_capacity(HEAD_SIZE + choices.padding.len());
        for part in [&key[..], &options, &tag, &choices.padding] {
            message.append(part);
        }
        let iv = *key.last_chunk().unwrap_or(&[0; 16]);
        let stage = Stage::Head { ephemeral: choices.ephemeral, iv };
        Ok((Self { remote: remote.router, noise, blocks, stage }, message))
    }

    /// Bytes that the next step takes.
    pub(super) fn needed(&self) -> usize {
        match &self.stage {
            Stage::Head { .. } => HEAD_SIZE,
            Stage::Padding(created) => created.padding,
        }
    }

    /// Handles the bytes that were needed; `behind` more have arrived already.
    pub(super) fn handle(
        mut self,
        local: &Local<'_>,
        message: &mut [u8],
        behind: usize,
        now: Now,
    ) -> Result<Step<Self>, Failure> {
        match self.stage {
            Stage::Head { ephemeral, iv } => {
                let created = open_created(&mut self.noise, self.remote, &ephemeral, iv, message)?;
                self.stage = Stage::Padding(created);
                Ok(Step::Continue(self, None))
            }
            Stage::Padding(ref created) => {
                let skew = ClockSkew::between(created.time, now.unix);
                if skew.is_fatal() {
                    return Err(CreatedError::ClockSkew(skew).into());
                }
                if behind > 0 {
                    return Err(CreatedError::ExtraBytes { count: behind }.into());
                }
                if !message.is_empty() {
                    self.noise.mix_hash(message);
                }
                let last = confirm(&mut self.noise, local, created, self.blocks)?;
                let keys = DataKeys::derive(&self.noise);
                let session = Session::new(Direction::Outbound, keys, now.instant);
                let established = Established::new(self.remote, None, session);
                let established = Established { skew: Some(skew), ..established };
                Ok(Step::Done(Box::new(established), Some(last)))
            }
        }
    }
}

/// The blocks of message 3: our RouterInfo, never with a flood request, then padding.
fn confirmed_blocks(router_info: &[u8], padding: u16) -> Vec<u8> {
    let mut blocks = Vec::with_capacity(router_info.len() + usize::from(padding) + 7);
    append_router_info(&mut blocks, FloodRequest::NotRequested, router_info);
    if padding > 0 {
        append_padding(&mut blocks, padding);
    }
    blocks
}

/// Opens the first 64 bytes of message 2. That they open proves that Bob has the static key that we meant.
fn open_created(
    noise: &mut SymmetricState,
    remote: RouterHash,
    ephemeral: &X25519Secret,
    iv: [u8; 16],
    message: &mut [u8],
) -> Result<Created, CreatedError> {
    let (key, sealed) = message.split_first_chunk_mut::<32>().ok_or(CreatedError::Unauthentic)?;
    cbc_decrypt(&remote.0, iv, key);
    let theirs = X25519Public(*key);
    if is_invalid_key(&theirs) {
        return Err(CreatedError::InvalidKey);
    }
    noise.mix_hash(&theirs.0);
    let shared = diffie_hellman(ephemeral, &theirs).map_err(|_| CreatedError::WeakKey)?;
    let key = noise.mix_key(&shared);
    let options = noise.open_and_hash(&key, 0, sealed).map_err(|_| CreatedError::Unauthentic)?;
    let options: &[u8; 16] = (&*options).try_into().map_err(|_| CreatedError::Unauthentic)?;
    let options = Message2Options::parse(options);
    let padding = usize::from(options.padding);
    if padding > NTCP2_PADDING_MAX {
        return Err(CreatedError::Padding { found: padding });
    }
    let time = UnixTime::from_seconds(options.timestamp);
    Ok(Created { ephemeral: theirs, key, padding, time })
}

/// Makes message 3.
fn confirm(
    noise: &mut SymmetricState,
    local: &Local<'_>,
    created: &Created,
    mut blocks: Vec<u8>,
) -> Result<Frame, CreatedError> {
    let mut key = local.keys.static_public.0;
    let key_tag = noise.seal_and_hash(&created.key, 1, &mut key);
    let shared = diffie_hellman(&local.keys.static_secret, &created.ephemeral)
        .map_err(|_| CreatedError::WeakKey)?;
    let seal = noise.mix_key(&shared);
    let tag = noise.seal_and_hash(&seal, 0, &mut blocks);
    let mut message = Frame::with_capacity(CONFIRMED_PART_1 + blocks.len() + TAG_SIZE);
    for part in [&key[..], &key_tag, &blocks, &tag] {
        message.append(part);
    }
    Ok(message)
}
