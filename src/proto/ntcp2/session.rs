//! An established session: I2NP messages and RouterInfos in and out, several to a frame.

use crate::base::frame::FramePool;
use crate::base::limits::{I2NP_BODY_MAX, NTCP2_FRAME_MAX, ROUTER_INFO_MAX};
use crate::base::rng::ShardRng;
use crate::base::time::{Instant, Now, UnixTime};
use crate::crypto::chacha::TAG_SIZE;
use crate::wire::i2np::{I2npMessage, MessageType, SHORT_HEADER_SIZE};
use crate::wire::ntcp2::{
    BLOCK_HEADER_SIZE, Block, FloodRequest, TerminationReason, append_date_time, append_i2np,
    append_padding, append_router_info, append_termination, parse_blocks, peek_i2np,
};

use super::error::{ClockSkew, SessionError};
use super::framing::{DataKeys, LENGTH_SIZE, Opener, Sealer};

/// Bytes on the wire that a frame of several messages stays within; a larger message has a frame to itself.
pub const FRAME_TARGET: usize = 16 * 1024;
/// Most cleartext in one frame.
const BLOCKS_MAX: usize = NTCP2_FRAME_MAX - TAG_SIZE;
/// Padding is at most this share of a frame...
const PADDING_PERCENT: usize = 6;
/// ...or of so many bytes, if it has fewer.
const PADDING_BASE_MIN: usize = 256;
/// Capacity that an emptied queue may keep: an idle session holds little.
const IDLE_CAPACITY: usize = 512;

const _: () = assert!(BLOCK_HEADER_SIZE + SHORT_HEADER_SIZE + I2NP_BODY_MAX <= BLOCKS_MAX);
const _: () = assert!(BLOCK_HEADER_SIZE + 1 + ROUTER_INFO_MAX <= FRAME_TARGET);

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer did; we were Bob.
    Inbound,
    /// We did; we were Alice.
    Outbound,
}

/// What a session has received.
#[derive(Clone, Debug)]
pub enum Event {
    /// An I2NP message; neither its expiration nor its body has been looked at.
    Message(I2npMessage),
    /// A RouterInfo, of any router and not verified.
    RouterInfo {
        /// Its bytes, at most `ROUTER_INFO_MAX`.
        info: Vec<u8>,
        /// Whether the peer asks us to flood it.
        flood: FloodRequest,
    },
    /// The peer has ended the session: nothing follows, and the connection can be closed.
    Terminated(TerminationReason),
    /// The peer's clock has moved away from ours by more than the network tolerates.
    ClockSkew(ClockSkew),
}

/// One established session.
///
/// It holds at most one incomplete frame of input, and what was queued since the last flush.
pub struct Session {
    direction: Direction,
    sealer: Sealer,
    opener: Opener,
    /// Blocks to send, one after the other.
    queue: Vec<u8>,
    phase: Phase,
    last_received: Instant,
    last_sent: Instant,
    refused_blocks: u64,
}

/// What a queue has lost because it waited too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Messages.
    pub messages: u64,
    /// Bytes of those that were tunnel messages, with their headers and those of their blocks.
    pub tunnel_bytes: usize,
}

/// Whether the session still takes and gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// We have queued a Termination: nothing may be queued behind it.
    Ending,
    /// The peer has ended it, or broken it: nothing is received any more.
    Ended,
}

impl Session {
    /// The session that follows a handshake.
    pub(super) fn new(direction: Direction, keys: DataKeys, now: Instant) -> Self {
        let DataKeys { alice_to_bob, bob_to_alice } = keys;
        let (sending, receiving) = match direction {
            Direction::Inbound => (bob_to_alice, alice_to_bob),
            Direction::Outbound => (alice_to_bob, bob_to_alice),
        };
        Self {
            direction,
            sealer: Sealer::new(sending),
            opener: Opener::new(receiving),
            queue: Vec::new(),
            phase: Phase::Open,
            last_received: now,
            last_sent: now,
            refused_blocks: 0,
        }
    }

    /// Takes received bytes, in any split, and appends what they bring to `events`, in order, messages in buffers of
    /// `frames`. Frames that lie whole in `bytes` are opened there: the content of `bytes` is spent afterwards.
    ///
    /// # Errors
    /// Why the session is over. A Termination that tells the peer is queued: flush, then close. Events of frames
    /// before the bad one have been appended.
    pub fn handle_bytes(
        &mut self,
        bytes: &mut [u8],
        now: Now,
        frames: &mut FramePool,
        events: &mut Vec<Event>,
    ) -> Result<(), SessionError> {
        if self.phase == Phase::Ended {
            return Err(SessionError::Over);
        }
        let outcome = self.receive(bytes, now, frames, events);
        if let Err(error) = &outcome {
            if self.phase == Phase::Open {
                self.queue.clear();
                self.queue_termination(error.reason());
            }
            self.phase = Phase::Ended;
        }
        outcome
    }

    fn receive(
        &mut self,
        mut bytes: &mut [u8],
        now: Now,
        frames: &mut FramePool,
        events: &mut Vec<Event>,
    ) -> Result<(), SessionError> {
        while let Some(blocks) = self.opener.next_frame(&mut bytes)? {
            self.last_received = now.instant;
            for block in parse_blocks(&blocks) {
                if let Some(event) = self.handle_block(block?, now, frames) {
                    events.push(event);
                }
                if self.phase == Phase::Ended {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn handle_block(
        &mut self,
        block: Block<'_>,
        now: Now,
        frames: &mut FramePool,
    ) -> Option<Event> {
        match block {
            Block::I2np(bytes) => match I2npMessage::parse_short_into(frames, bytes) {
                Ok(message) => Some(Event::Message(message)),
                Err(_) => {
                    self.refused_blocks += 1;
                    None
                }
            },
            Block::RouterInfo { flood, info } if info.len() <= ROUTER_INFO_MAX => {
                Some(Event::RouterInfo { info: info.to_vec(), flood })
            }
            Block::RouterInfo { .. } => {
                self.refused_blocks += 1;
                None
            }
            Block::DateTime(seconds) => {
                let skew = ClockSkew::between(UnixTime::from_seconds(seconds), now.unix);
                skew.is_fatal().then_some(Event::ClockSkew(skew))
            }
            Block::Termination { reason, .. } => {
                self.phase = Phase::Ended;
                self.queue = Vec::new();
                Some(Event::Terminated(reason))
            }
            Block::Options(_) | Block::Padding(_) | Block::Unknown { .. } => None,
        }
    }

    /// Queues a message. A body larger than `I2NP_BODY_MAX`, which no parser lets through, is not queued; nor is
    /// anything once the session is ending.
    pub fn queue_message(&mut self, message: &I2npMessage) {
        debug_assert!(message.body.len() <= I2NP_BODY_MAX, "{} bytes", message.body.len());
        if self.phase == Phase::Open && message.body.len() <= I2NP_BODY_MAX {
            append_i2np(&mut self.queue, message);
        }
    }

    /// Queues a RouterInfo of at most `ROUTER_INFO_MAX` bytes, ours or another's.
    pub fn queue_router_info(&mut self, info: &[u8], flood: FloodRequest) {
        debug_assert!(info.len() <= ROUTER_INFO_MAX, "{} bytes", info.len());
        if self.phase == Phase::Open && info.len() <= ROUTER_INFO_MAX {
            append_router_info(&mut self.queue, flood, info);
        }
    }

    /// Queues our time, so that the peer can compare it with its own.
    pub fn queue_date_time(&mut self, now: Now) {
        if self.phase == Phase::Open {
            append_date_time(&mut self.queue, now.unix.seconds_rounded());
        }
    }

    /// Queues the end of the session, behind what is queued already. Flush, then close.
    pub fn queue_termination(&mut self, reason: TerminationReason) {
        if self.phase == Phase::Open {
            self.phase = Phase::Ending;
            append_termination(&mut self.queue, self.opener.frames(), reason);
        }
    }

    /// Drops the queued messages whose expiration has passed: nobody would take them any more. What else is queued stays.
    pub fn drop_expired(&mut self, now: UnixTime) -> Expired {
        let mut expired = Expired::default();
        let mut kept = Vec::with_capacity(self.queue.len());
        let mut rest = self.queue.as_slice();
        while !rest.is_empty() {
            let (block, behind) = rest.split_at(block_length(rest));
            match peek_i2np(block) {
                Some((kind, expiration)) if expiration < now => {
                    expired.messages += 1;
                    if kind == MessageType::TunnelData {
                        expired.tunnel_bytes += block.len();
                    }
                }
                Some(_) | None => kept.extend_from_slice(block),
            }
            rest = behind;
        }
        self.queue = kept;
        expired
    }

    /// Bytes that wait for [`Session::flush`], without the frames around them.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queue.len()
    }

    /// Seals all that is queued and appends it to `out`: blocks share a frame up to 16 KiB, and each frame has some
    /// padding by lot. Nothing queued, nothing appended.
    pub fn flush(&mut self, now: Now, rng: &mut ShardRng, out: &mut Vec<u8>) {
        if self.queue.is_empty() {
            return;
        }
        let mut rest = self.queue.as_slice();
        while !rest.is_empty() {
            let (frame, behind) = rest.split_at(frame_length(rest));
            let padding = padding_length(frame.len(), rng);
            self.sealer.seal(out, |out| {
                out.extend_from_slice(frame);
                if let Some(length) = padding {
                    append_padding(out, length);
                }
            });
            rest = behind;
        }
        self.queue.clear();
        if self.queue.capacity() > IDLE_CAPACITY {
            self.queue = Vec::new();
        }
        self.last_sent = now.instant;
    }

    /// Seals bytes that need not be blocks, as a peer may: for the fuzz targets.
    #[cfg(fuzzing)]
    pub fn seal_anything(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.sealer.seal(out, |out| out.extend_from_slice(bytes));
    }

    /// Who opened the connection.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// When the last valid frame came; before the first, when the session was established.
    #[must_use]
    pub fn last_received(&self) -> Instant {
        self.last_received
    }

    /// When the last frame was sealed; before the first, when the session was established.
    #[must_use]
    pub fn last_sent(&self) -> Instant {
        self.last_sent
    }

    /// Messages and RouterInfos that were dropped because they do not parse or are too large.
    #[must_use]
    pub fn refused_blocks(&self) -> u64 {
        self.refused_blocks
    }
}

/// How many bytes of `blocks`, whole blocks, go into the next frame: at least one block.
fn frame_length(blocks: &[u8]) -> usize {
    let limit = FRAME_TARGET - LENGTH_SIZE - TAG_SIZE;
    let mut length = 0;
    while let Some(rest) = blocks.get(length..).filter(|rest| !rest.is_empty()) {
        let next = length + block_length(rest);
        if length > 0 && next > limit {
            break;
        }
        length = next;
    }
    length
}

/// How many bytes the first of some blocks takes, with its header; all, where it is cut.
fn block_length(blocks: &[u8]) -> usize {
    let length = match blocks.first_chunk() {
        Some([_, high, low]) => BLOCK_HEADER_SIZE + usize::from(u16::from_be_bytes([*high, *low])),
        None => blocks.len(),
    };
    length.min(blocks.len())
}

/// Bytes in the padding block of a frame with `blocks` bytes of other blocks; the header of the block counts as
/// padding too, and where the lot falls on less than that there is no block.
fn padding_length(blocks: usize, rng: &mut ShardRng) -> Option<u16> {
    let limit = blocks.max(PADDING_BASE_MIN) * PADDING_PERCENT / 100;
    let padding = rng.below(limit + 1);
    let target = FRAME_TARGET - LENGTH_SIZE - TAG_SIZE;
    let room = if blocks <= target { target - blocks } else { BLOCKS_MAX - blocks };
    let data = padding.min(room).checked_sub(BLOCK_HEADER_SIZE)?;
    u16::try_from(data).ok()
}
