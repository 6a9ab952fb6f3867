//! Chain key and handshake hash of a Noise handshake, shared by NTCP2, build records and router garlic.
//!
//! Spec: Noise, section 5.2, SymmetricState; the names and the first hashes as I2P has them.

use std::fmt;

use crate::crypto::chacha::{self, TAG_SIZE, Unauthentic};
use crate::crypto::hash::{hkdf, sha256, sha256_parts};
use crate::crypto::secret::{AeadKey, ChainKey, SharedSecret};
use crate::crypto::x25519::X25519Public;

/// Protocol name of NTCP2: too long to be a chain key, so it is hashed into one.
const NTCP2_NAME: &[u8] = b"Noise_XKaesobfse+hs2+hs3_25519_ChaChaPoly_SHA256";

/// Protocol name of build records and router garlic: padded with one zero byte it is the first chain key.
const RECORD_NAME: &[u8; 32] = b"Noise_N_25519_ChaChaPoly_SHA256\0";

/// How far a handshake has come: the chain key that it has agreed on and the hash of all that was sent.
pub struct SymmetricState {
    chain: ChainKey,
    hash: [u8; 32],
}

impl SymmetricState {
    /// The start of an NTCP2 handshake, with the empty prologue mixed in. Spec: NTCP2, KDF for message 1.
    #[must_use]
    pub fn ntcp2() -> Self {
        Self::start(sha256(NTCP2_NAME))
    }

    /// The start of a one-way message to `hop`: a build record or router garlic. The empty prologue and the
    /// static key of `hop` are mixed in. Spec: tunnel creation, KDF for the request record.
    #[must_use]
    pub fn tunnel_record(hop: &X25519Public) -> Self {
        let mut state = Self::start(*RECORD_NAME);
        state.mix_hash(&hop.0);
        state
    }

    fn start(name: [u8; 32]) -> Self {
        Self { chain: ChainKey::from_bytes(name), hash: sha256(&name) }
    }

    /// A second state that goes on from here: for starts that are computed once and used for every message,
    /// and for a step that is taken back when its message turns out to be false.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { chain: ChainKey::from_bytes(*self.chain.expose()), hash: self.hash }
    }

    /// The handshake hash. Not secret.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The chain key: secret, exposed for the key schedules that go on from it.
    #[must_use]
    pub fn chain_key(&self) -> &[u8; 32] {
        self.chain.expose()
    }

    /// Adds `data` to the handshake hash.
    pub fn mix_hash(&mut self, data: &[u8]) {
        self.hash = sha256_parts(&[&self.hash, data]);
    }

    /// Adds a Diffie-Hellman result to the chain key and returns the key for what is encrypted next. Its nonces
    /// start at 0.
    #[must_use]
    pub fn mix_key(&mut self, shared: &SharedSecret) -> AeadKey {
        let (chain, key) = hkdf(self.chain.expose(), shared.expose(), b"");
        self.chain = ChainKey::from_bytes(chain);
        AeadKey::from_bytes(key)
    }

    /// Encrypts `data` in place with the handshake hash as associated data, then adds ciphertext and tag to the
    /// hash; returns the tag.
    #[must_use]
    pub fn seal_and_hash(&mut self, key: &AeadKey, nonce: u64, data: &mut [u8]) -> [u8; TAG_SIZE] {
        let tag = chacha::seal_in_place(key, nonce, &self.hash, data);
        self.hash = sha256_parts(&[&self.hash, data, &tag]);
        tag
    }

    /// Checks and decrypts `sealed`, ciphertext and tag, as [`chacha::open_in_place`] does, with the handshake
    /// hash as associated data, and adds ciphertext and tag to the hash. On failure the hash stays as it was.
    pub fn open_and_hash<'a>(
        &mut self,
        key: &AeadKey,
        nonce: u64,
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Unauthentic> {
        let next = sha256_parts(&[&self.hash, sealed]);
        let data = chacha::open_in_place(key, nonce, &self.hash, sealed)?;
        self.hash = next;
        Ok(data)
    }

    /// The two keys of the data phase: first those of the initiator's messages, then the responder's.
    #[must_use]
    pub fn split(&self) -> (AeadKey, AeadKey) {
        let (initiator, responder) = hkdf(self.chain.expose(), b"", b"");
        (AeadKey::from_bytes(initiator), AeadKey::from_bytes(responder))
    }
}

impl fmt::Debug for SymmetricState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricState(secret)")
    }
}
