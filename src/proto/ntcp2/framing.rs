//! The data phase below the blocks: masked lengths and sealed frames.
//!
//! Spec: NTCP2, data phase. A frame is `length(2, masked) || ciphertext || tag(16)`; both directions have a key, a
//! counter and a mask of their own.

use std::borrow::Cow;
use std::mem;

use zeroize::Zeroizing;

use crate::crypto::chacha::{TAG_SIZE, open_in_place, seal_in_place};
use crate::crypto::hash::hkdf;
use crate::crypto::noise::SymmetricState;
use crate::crypto::secret::AeadKey;
use crate::crypto::siphash::{SipKey, siphash24};

use super::error::SessionError;

/// Bytes of the masked length in front of a frame.
pub(super) const LENGTH_SIZE: usize = 2;

/// Secrets of both directions, as they leave the handshake.
pub(super) struct DataKeys {
    /// Alice to Bob.
    pub(super) alice_to_bob: DirectionKeys,
    /// Bob to Alice.
    pub(super) bob_to_alice: DirectionKeys,
}

/// Secrets of one direction.
pub(super) struct DirectionKeys {
    key: AeadKey,
    mask: LengthMask,
}

impl DataKeys {
    /// Derives the keys from the state at the end of the handshake.
    pub(super) fn derive(noise: &SymmetricState) -> Self {
        let (ab, ba) = noise.split();
        let ask = Zeroizing::new(hkdf(noise.chain_key(), b"", b"ask"));
        let mut material = [0; 32 + 7];
        let (hash, label) = material.split_at_mut(32);
        hash.copy_from_slice(noise.hash());
        label.copy_from_slice(b"siphash");
        let (ask_master, _) = &*ask;
        let sip = Zeroizing::new(hkdf(ask_master, &material, b""));
        let (sip_master, _) = &*sip;
        let masks = Zeroizing::new(hkdf(sip_master, b"", b""));
        let (sip_ab, sip_ba) = &*masks;
        Self {
            alice_to_bob: DirectionKeys { key: ab, mask: LengthMask::new(sip_ab) },
            bob_to_alice: DirectionKeys { key: ba, mask: LengthMask::new(sip_ba) },
        }
    }
}

/// The stream of 16-bit masks that hides the lengths of one direction.
struct LengthMask {
    key: SipKey,
    iv: u64,
}

impl LengthMask {
    /// From the secret of one direction: key (16), first IV (8), eight bytes unused.
    fn new(secret: &[u8; 32]) -> Self {
        let (key, rest) = secret.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        let iv = rest.first_chunk::<8>().unwrap_or(&[0; 8]);
        Self { key: SipKey::from_bytes(key), iv: u64::from_le_bytes(*iv) }
    }

    /// The next mask, to be combined with the length by XOR.
    fn advance(&mut self) -> u16 {
        self.iv = siphash24(&self.key, &self.iv.to_le_bytes());
        let [low, high, ..] = self.iv.to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}

/// The sending half.
pub(super) struct Sealer {
    key: AeadKey,
    nonce: u64,
    mask: LengthMask,
}

impl Sealer {
    /// The half that sends under `keys`.
    pub(super) fn new(keys: DirectionKeys) -> Self {
        Self { key: keys.key, nonce: 0, mask: keys.mask }
    }

    /// Appends one frame that carries what `write` appends to the vector; that must be 1 to 65,519 bytes.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        out.extend_from_slice(&[0; LENGTH_SIZE]);
        write(out);
        let frame = out.get_mut(start..).unwrap_or(&mut []);
        let Some((length, blocks)) = frame.split_first_chunk_mut::<LENGTH_SIZE>() else { return };
        let sealed = u16::try_from(blocks.len() + TAG_SIZE);
        debug_assert!(sealed.is_ok(), "the queue forms no larger frame");
        *length = (sealed.unwrap_or(0) ^ self.mask.advance()).to_be_bytes();
        let tag = seal_in_place(&self.key, self.nonce, b"", blocks);
        self.nonce += 1;
        out.extend_from_slice(&tag);
    }
}

/// The receiving half: takes any split of the stream and gives whole frames.
pub(super) struct Opener {
    key: AeadKey,
    nonce: u64,
    mask: LengthMask,
    partial: Partial,
}

/// What there is of the next frame.
enum Partial {
    /// Nothing, or the first of the two bytes of its length.
    Length(Option<u8>),
    /// Its length, and the bytes so far: never more than the length.
    Frame { length: usize, gathered: Vec<u8> },
}

impl Opener {
    /// The half that receives under `keys`.
    pub(super) fn new(keys: DirectionKeys) -> Self {
        Self { key: keys.key, nonce: 0, mask: keys.mask, partial: Partial::Length(None) }
    }

    /// Valid frames so far.
    pub(super) fn frames(&self) -> u64 {
        self.nonce
    }

    /// Bytes held for a frame that is not complete.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        match &self.partial {
            Partial::Length(byte) => usize::from(byte.is_some()),
            Partial::Frame { gathered, .. } => gathered.capacity(),
        }
    }

    /// Takes the next frame off the front of `input` and gives its cleartext. `None` when the input ended first:
    /// all of it is consumed and kept then. A frame that lies whole in the input is opened in place.
    ///
    /// # Errors
    /// A length below 16, or a frame that does not authenticate; the stream is of no use afterwards.
    pub(super) fn next_frame<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Cow<'b, [u8]>>, SessionError> {
        let (length, mut gathered) = match mem::replace(&mut self.partial, Partial::Length(None)) {
            Partial::Length(first) => match self.take_length(first, input)? {
                Some(length) => (length, Vec::new()),
                None => return Ok(None),
            },
            Partial::Frame { length, gathered } => (length, gathered),
        };
        let missing = length.saturating_sub(gathered.len());
        if input.len() < missing {
            gathered.extend_from_slice(take(input, missing));
            self.partial = Partial::Frame { length, gathered };
            return Ok(None);
        }
        let bytes = take(input, missing);
        if gathered.is_empty() {
            let blocks = open_in_place(&self.key, self.nonce, b"", bytes)
                .map_err(|_| SessionError::Unauthentic)?;
            self.nonce += 1;
            return Ok(Some(Cow::Borrowed(blocks)));
        }
        gathered.extend_from_slice(bytes);
        let blocks = open_in_place(&self.key, self.nonce, b"", &mut gathered)
            .map_err(|_| SessionError::Unauthentic)?
            .len();
        self.nonce += 1;
        gathered.truncate(blocks);
        Ok(Some(Cow::Owned(gathered)))
    }

    /// Takes what is missing of the two bytes of a length, and unmasks it.
    fn take_length(
        &mut self,
        first: Option<u8>,
        input: &mut &mut [u8],
    ) -> Result<Option<usize>, SessionError> {
        let mut bytes = [0; LENGTH_SIZE];
        let mut have = 0;
        if let Some(byte) = first {
            bytes = [byte, 0];
            have = 1;
        }
        for place in bytes.iter_mut().skip(have) {
            let [byte] = take(input, 1) else { break };
            *place = *byte;
            have += 1;
        }
        if have < LENGTH_SIZE {
            let [byte, _] = bytes;
            self.partial = Partial::Length((have == 1).then_some(byte));
            return Ok(None);
        }
        let length = usize::from(u16::from_be_bytes(bytes) ^ self.mask.advance());
        if length < TAG_SIZE {
            return Err(SessionError::FrameSize { length });
        }
        Ok(Some(length))
    }
}

/// Splits up to `count` bytes off the front of `input`.
fn take<'b>(input: &mut &'b mut [u8], count: usize) -> &'b mut [u8] {
    let count = count.min(input.len());
    let (head, tail) = mem::take(input).split_at_mut(count);
    *input = tail;
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    // Chain key 00…1f and hash 20…3f have known direction secrets; the masks follow from the first 24 bytes.
    #[test]
    fn masks_match_the_known_answer() {
        let mut secret = [0; 32];
        secret[..24].copy_from_slice(&hex("5feab5b6e9c9875ce8b4ee9c401871a728c68ef2944d8a3b"));
        let mut mask = LengthMask::new(&secret);
        let mut seen = Vec::new();
        for iv in ["4134d30556dab8c5", "eae87d9a45af42a9", "4d75a192867e9fd3"] {
            let wire = (16 ^ mask.advance()).to_be_bytes();
            assert_eq!(mask.iv.to_le_bytes().to_vec(), hex(iv));
            seen.push(wire);
        }
        assert_eq!(seen, [[0x34, 0x51], [0xe8, 0xfa], [0x75, 0x5d]]);
    }

    fn pair() -> (Sealer, Opener) {
        let noise = SymmetricState::ntcp2();
        let (one, other) = (DataKeys::derive(&noise), DataKeys::derive(&noise));
        (Sealer::new(one.alice_to_bob), Opener::new(other.alice_to_bob))
    }

    #[test]
    fn frames_survive_any_split() {
        for step in 1..40 {
            let (mut sealer, mut opener) = pair();
            let mut stream = Vec::new();
            for fill in 0..5u8 {
                sealer.seal(&mut stream, |out| out.extend(vec![fill; 1 + usize::from(fill) * 7]));
            }
            let mut seen = Vec::new();
            for chunk in stream.chunks_mut(step) {
                let mut input = chunk;
                while let Some(frame) = opener.next_frame(&mut input).unwrap() {
                    seen.push(frame.into_owned());
                }
                assert!(input.is_empty());
            }
            let expected: Vec<_> = (0..5u8).map(|f| vec![f; 1 + usize::from(f) * 7]).collect();
            assert_eq!(seen, expected, "step {step}");
            assert_eq!(opener.frames(), 5);
            assert_eq!(opener.buffered(), 0);
        }
    }

    #[test]
    fn a_repeated_or_changed_frame_does_not_open() {
        let (mut sealer, mut opener) = pair();
        let mut frame = Vec::new();
        sealer.seal(&mut frame, |out| out.push(1));
        let mut copy = frame.clone();
        let mut input = &mut frame[..];
        assert!(opener.next_frame(&mut input).unwrap().is_some());
        // The mask has moved on, so the repeated length is another one: too short, too long or unauthentic.
        copy.resize(70_000, 0);
        let mut input = &mut copy[..];
        assert!(opener.next_frame(&mut input).is_err());
    }

    #[test]
    fn lengths_below_the_tag_are_refused() {
        for length in 0..16u16 {
            let (mut sealer, mut opener) = pair();
            let mut bytes = (length ^ sealer.mask.advance()).to_be_bytes();
            let mut input = &mut bytes[..];
            let error = SessionError::FrameSize { length: usize::from(length) };
            assert_eq!(opener.next_frame(&mut input).unwrap_err(), error);
        }
    }
}
