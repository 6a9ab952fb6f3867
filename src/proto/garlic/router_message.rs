//! One-shot garlic between routers: sealed to the encryption key of the receiver, with no state on either side.
//!
//! Spec: ECIES routers. `ephemeral key (32) || AEAD(blocks)` under Noise N, the same initial state as that of a
//! build record. The Diffie-Hellman of the receiving side is its caller's, who does it together with others.

use std::time::Duration;

use crate::base::frame::Frame;
use crate::base::recent_set::{Novelty, RecentSet};
use crate::base::rng::ShardRng;
use crate::base::time::{Instant, Now, UnixTime};
use crate::crypto::chacha::TAG_SIZE;
use crate::crypto::noise::SymmetricState;
use crate::crypto::secret::{SharedSecret, X25519Secret};
use crate::crypto::siphash::{SipKey, siphash24};
use crate::crypto::x25519::{WeakKey, X25519Public, diffie_hellman, public_key};
use crate::proto::local::HopIdentity;
use crate::wire::i2np::I2npMessage;
use crate::wire::i2np::garlic::{
    Clove, CloveDelivery, GarlicBlock, GarlicMessage, append_clove, append_date_time, parse_blocks,
};
use crate::wire::reader::Malformed;

/// How old a message may be by the date inside it.
pub const GARLIC_AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// How far ahead of our clock that date may lie.
pub const GARLIC_AHEAD_MAX: Duration = Duration::from_secs(2 * 60);
/// How long an ephemeral key is remembered at least: for as long as the date lets a message pass.
pub const GARLIC_REPLAY_PERIOD: Duration = Duration::from_secs(8 * 60);
/// Cloves that one message may hold; routers send one.
const CLOVES_MAX: usize = 16;
const KEY_SIZE: usize = 32;
/// Ephemeral key, the header of one block and the tag: nothing shorter can say anything.
const SEALED_MIN: usize = KEY_SIZE + 3 + TAG_SIZE;

const _: () =
    assert!(GARLIC_REPLAY_PERIOD.as_secs() > GARLIC_AGE_MAX.as_secs() + GARLIC_AHEAD_MAX.as_secs());

/// Why a garlic message yields nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The message or a block in it breaks the format.
    #[error("garlic: {0}")]
    Malformed(#[from] Malformed),
    /// It was not sealed to us, or was changed.
    #[error("garlic does not authenticate")]
    Unauthentic,
    /// The same message again.
    #[error("garlic came before")]
    Replayed,
    /// Its first block is no date, so that nothing limits when it may be replayed.
    #[error("garlic without a date")]
    NoDateTime,
    /// Its date is too old.
    #[error("garlic is {age:?} old, the limit is {GARLIC_AGE_MAX:?}")]
    Stale {
        /// By our clock.
        age: Duration,
    },
    /// Its date lies in the future.
    #[error("garlic is dated {ahead:?} ahead, the limit is {GARLIC_AHEAD_MAX:?}")]
    Ahead {
        /// By our clock.
        ahead: Duration,
    },
    /// It holds more cloves than a router has any use for.
    #[error("more than {CLOVES_MAX} cloves")]
    Cloves,
}

/// The ephemeral keys of the garlic that this shard has opened.
pub struct GarlicReplayFilter {
    key: SipKey,
    seen: RecentSet,
}

impl GarlicReplayFilter {
    /// A filter with `slots` slots of 8 bytes, keyed from `rng`.
    #[must_use]
    pub fn new(slots: usize, rng: &mut ShardRng) -> Self {
        Self {
            key: SipKey::from_bytes(&rng.bytes()),
            seen: RecentSet::new(slots, GARLIC_REPLAY_PERIOD),
        }
    }

    /// How often the window was cut short because more came than the filter has room for.
    #[must_use]
    pub fn early_rotations(&self) -> u64 {
        self.seen.early_rotations()
    }

    fn check(&mut self, ephemeral: &X25519Public, now: Instant) -> Result<(), OpenError> {
        // Two encodings of one point differ in the top bit; both give the same secret.
        let mut bytes = ephemeral.0;
        let [.., last] = &mut bytes;
        *last &= 0x7f;
        match self.seen.insert(siphash24(&self.key, &bytes), now) {
            Novelty::New => Ok(()),
            Novelty::Repeated => Err(OpenError::Replayed),
        }
    }
}

/// The sender's ephemeral key in the payload of a Garlic message; none if the payload is too short to be ours.
#[must_use]
pub fn ephemeral_key(payload: &[u8]) -> Option<X25519Public> {
    if payload.len() < SEALED_MIN {
        return None;
    }
    payload.first_chunk().map(|key| X25519Public(*key))
}

/// Opens a Garlic body with the result of the Diffie-Hellman between our encryption key and [`ephemeral_key`], and
/// returns its cloves, whatever their delivery.
///
/// Only what authenticates enters the filter, so that nobody can spoil a true message.
///
/// # Errors
/// [`OpenError`]; the message is to be dropped and counted.
pub fn open(
    hop: &HopIdentity,
    body: &mut [u8],
    shared: &SharedSecret,
    now: Now,
    replay: &mut GarlicReplayFilter,
) -> Result<Vec<Clove>, OpenError> {
    let payload = GarlicMessage::payload_mut(body)?;
    let ephemeral = ephemeral_key(payload).ok_or(OpenError::Unauthentic)?;
    let sealed = payload.get_mut(KEY_SIZE..).ok_or(OpenError::Unauthentic)?;
    let mut state = hop.initial_state();
    state.mix_hash(&ephemeral.0);
    let key = state.mix_key(shared);
    let blocks = state.open_and_hash(&key, 0, sealed).map_err(|_| OpenError::Unauthentic)?;
    replay.check(&ephemeral, now.instant)?;
    let mut dated = false;
    let mut cloves = Vec::new();
    for block in parse_blocks(blocks) {
        match block? {
            GarlicBlock::DateTime(date) => {
                check_date(date, now.unix)?;
                dated = true;
            }
            GarlicBlock::Clove(_)
            | GarlicBlock::Session(_)
            | GarlicBlock::Padding(_)
            | GarlicBlock::Unknown { .. }
                if !dated =>
            {
                return Err(OpenError::NoDateTime);
            }
            GarlicBlock::Clove(_) if cloves.len() >= CLOVES_MAX => return Err(OpenError::Cloves),
            GarlicBlock::Clove(clove) => cloves.push(clove),
            GarlicBlock::Session(_) | GarlicBlock::Padding(_) | GarlicBlock::Unknown { .. } => {}
        }
    }
    Ok(cloves)
}

fn check_date(date: UnixTime, now: UnixTime) -> Result<(), OpenError> {
    let (age, ahead) = (now.since(date), date.since(now));
    if age > GARLIC_AGE_MAX {
        return Err(OpenError::Stale { age });
    }
    if ahead > GARLIC_AHEAD_MAX {
        return Err(OpenError::Ahead { ahead });
    }
    Ok(())
}

/// Seals one message to a router, which is to handle it as its own: the body of a Garlic message.
///
/// # Errors
/// [`WeakKey`] when the router's encryption key is a point of low order.
pub fn seal(
    to: &X25519Public,
    message: &I2npMessage,
    now: UnixTime,
    rng: &mut ShardRng,
) -> Result<Frame, WeakKey> {
    let mut blocks = Vec::new();
    append_date_time(&mut blocks, now);
    append_clove(&mut blocks, &CloveDelivery::Local, message);
    seal_blocks(to, blocks, &X25519Secret::from_bytes(rng.bytes()))
}

fn seal_blocks(
    to: &X25519Public,
    mut blocks: Vec<u8>,
    ephemeral: &X25519Secret,
) -> Result<Frame, WeakKey> {
    let public = public_key(ephemeral);
    let shared = diffie_hellman(ephemeral, to)?;
    let mut state = SymmetricState::tunnel_record(to);
    state.mix_hash(&public.0);
    let key = state.mix_key(&shared);
    let tag = state.seal_and_hash(&key, 0, &mut blocks);
    let mut sealed = Vec::with_capacity(KEY_SIZE + blocks.len() + TAG_SIZE);
    sealed.extend_from_slice(&public.0);
    sealed.extend_from_slice(&blocks);
    sealed.extend_from_slice(&tag);
    Ok(GarlicMessage::write(&sealed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{MessageId, RouterHash};
    use crate::crypto::chacha::seal_in_place;
    use crate::crypto::hash::{hkdf, sha256, sha256_parts};
    use crate::crypto::secret::AeadKey;
    use crate::wire::i2np::MessageType;
    use crate::wire::i2np::garlic::append_padding;
    use proptest::prelude::*;

    const NOW: Now = Now { instant: Instant(1), unix: UnixTime(1_700_000_000_000) };

    struct Receiver {
        secret: X25519Secret,
        hop: HopIdentity,
        replay: GarlicReplayFilter,
    }

    fn receiver() -> Receiver {
        let secret = X25519Secret::from_bytes([9; 32]);
        let hop = HopIdentity::new(RouterHash([1; 32]), &public_key(&secret));
        let replay = GarlicReplayFilter::new(64, &mut ShardRng::from_seed([0; 32]));
        Receiver { secret, hop, replay }
    }

    impl Receiver {
        fn open(&mut self, body: &[u8]) -> Result<Vec<Clove>, OpenError> {
            let mut body = body.to_vec();
            let ephemeral = ephemeral_key(GarlicMessage::payload(&body)?);
            let ephemeral = ephemeral.ok_or(OpenError::Unauthentic)?;
            let shared = diffie_hellman(&self.secret, &ephemeral);
            let shared = shared.map_err(|_| OpenError::Unauthentic)?;
            open(&self.hop, &mut body, &shared, NOW, &mut self.replay)
        }

        fn public(&self) -> X25519Public {
            public_key(&self.secret)
        }
    }

    fn message() -> I2npMessage {
        I2npMessage {
            kind: MessageType::DatabaseLookup,
            id: MessageId(7),
            expiration: UnixTime(1_700_000_008_000),
            body: Frame::copy_of(b"lookup"),
        }
    }

    fn sealed(date: UnixTime) -> Frame {
        let mut rng = ShardRng::from_seed([4; 32]);
        seal(&receiver().public(), &message(), date, &mut rng).unwrap()
    }

    #[test]
    fn the_sealed_form_follows_from_the_formulas() {
        let (to, ephemeral) = (receiver().public(), X25519Secret::from_bytes([1; 32]));
        let mut blocks = vec![0, 0, 4];
        blocks.extend_from_slice(&1_700_000_000u32.to_be_bytes());
        let body = seal_blocks(&to, blocks.clone(), &ephemeral).unwrap();

        let name = *b"Noise_N_25519_ChaChaPoly_SHA256\0";
        let hash = sha256_parts(&[&sha256(&name), &to.0]);
        let hash = sha256_parts(&[&hash, &public_key(&ephemeral).0]);
        let shared = diffie_hellman(&ephemeral, &to).unwrap();
        let (_, key) = hkdf(&name, shared.expose(), b"");
        let tag = seal_in_place(&AeadKey::from_bytes(key), 0, &hash, &mut blocks);
        let size = u32::try_from(32 + blocks.len() + 16).unwrap().to_be_bytes();
        assert_eq!(body[..], [&size[..], &public_key(&ephemeral).0, &blocks, &tag].concat());
    }

    #[test]
    fn a_sealed_message_opens_once() {
        let mut receiver = receiver();
        let body = sealed(NOW.unix);
        let cloves = receiver.open(&body).unwrap();
        assert_eq!(cloves.len(), 1);
        assert_eq!(cloves[0].delivery, CloveDelivery::Local);
        assert_eq!(cloves[0].message, message());
        assert_eq!(receiver.open(&body).unwrap_err(), OpenError::Replayed);
    }

    #[test]
    fn dates_are_held_to_their_limits() {
        let open = |date| receiver().open(&sealed(date)).map(|cloves| cloves.len());
        assert_eq!(open(NOW.unix - GARLIC_AGE_MAX), Ok(1));
        assert_eq!(open(NOW.unix + GARLIC_AHEAD_MAX), Ok(1));
        let second = Duration::from_secs(1);
        assert_eq!(
            open(NOW.unix - GARLIC_AGE_MAX - second),
            Err(OpenError::Stale { age: GARLIC_AGE_MAX + second })
        );
        assert_eq!(
            open(NOW.unix + GARLIC_AHEAD_MAX + second),
            Err(OpenError::Ahead { ahead: GARLIC_AHEAD_MAX + second })
        );
    }

    #[test]
    fn blocks_without_a_date_and_garlic_for_others_are_refused() {
        let mut receiver = receiver();
        let mut blocks = Vec::new();
        append_clove(&mut blocks, &CloveDelivery::Local, &message());
        append_padding(&mut blocks, 9);
        let ephemeral = X25519Secret::from_bytes([5; 32]);
        let body = seal_blocks(&receiver.public(), blocks.clone(), &ephemeral).unwrap();
        assert_eq!(receiver.open(&body).unwrap_err(), OpenError::NoDateTime);
        let other = public_key(&X25519Secret::from_bytes([6; 32]));
        let body = seal_blocks(&other, blocks, &ephemeral).unwrap();
        assert_eq!(receiver.open(&body).unwrap_err(), OpenError::Unauthentic);
    }

    #[test]
    fn cloves_are_counted() {
        let mut receiver = receiver();
        let mut open = |count: usize| {
            let mut blocks = Vec::new();
            append_date_time(&mut blocks, NOW.unix);
            for _ in 0..count {
                append_clove(&mut blocks, &CloveDelivery::Local, &message());
            }
            let ephemeral = X25519Secret::from_bytes([u8::try_from(count).unwrap(); 32]);
            let body = seal_blocks(&receiver.public(), blocks, &ephemeral).unwrap();
            receiver.open(&body).map(|cloves| cloves.len())
        };
        assert_eq!(open(CLOVES_MAX), Ok(CLOVES_MAX));
        assert_eq!(open(CLOVES_MAX + 1), Err(OpenError::Cloves));
    }

    proptest! {
        #[test]
        fn any_authentic_blocks_give_an_error_or_cloves(tail in proptest::collection::vec(0u8..16, 0..100)) {
            let mut receiver = receiver();
            let mut blocks = Vec::new();
            append_date_time(&mut blocks, NOW.unix);
            blocks.extend_from_slice(&tail);
            let ephemeral = X25519Secret::from_bytes([7; 32]);
            let body = seal_blocks(&receiver.public(), blocks, &ephemeral).unwrap();
            let _ = receiver.open(&body);
        }

        #[test]
        fn no_flipped_bit_and_no_prefix_opens(position in 4usize..150, bit in 0u8..8, cut in 0usize..150) {
            let body = sealed(NOW.unix);
            let mut flipped = body.to_vec();
            let position = position % flipped.len();
            // The top bit of the ephemeral key has no meaning to X25519, but is part of what is hashed.
            flipped[position] ^= 1 << bit;
            prop_assert!(receiver().open(&flipped).is_err());
            let cut = cut % body.len();
            prop_assert!(receiver().open(&body[..cut]).is_err());
        }
    }
}
