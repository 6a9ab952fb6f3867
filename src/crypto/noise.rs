//! Chain key and handshake hash of a Noise handshake, shared by NTCP2, SSU2, build records and router garlic.
//!
//! Spec: Noise, section 5.2, SymmetricState; the names and the first hashes as I2P has them.

use std::fmt;

use crate::crypto::chacha::{self, TAG_SIZE, Unauthentic};
use crate::crypto::hash::{hkdf, sha256, sha256_parts};
use crate::crypto::secret::{AeadKey, ChainKey, SharedSecret};
use crate::crypto::x25519::X25519Public;

/// Protocol name of NTCP2: too long to be a chain key, so it is hashed into one.
const NTCP2_NAME: &[u8] = b"Noise_XKaesobfse+hs2+hs3_25519_ChaChaPoly_SHA256";

/// Protocol name of SSU2, hashed for the same reason.
const SSU2_NAME: &[u8] = b"Noise_XKchaobfse+hs1+hs2+hs3_25519_ChaChaPoly_SHA256";

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

    /// The start of an SSU2 handshake, with the empty prologue mixed in. The responder's static key follows, then
    /// each header in clear before its message. Spec: SSU2, KDF for Session Request.
    #[must_use]
    pub fn ssu2() -> Self {
        Self::start(sha256(SSU2_NAME))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::aes::cbc_encrypt;
    use crate::crypto::secret::X25519Secret;
    use crate::crypto::testing::{hex, unhex};
    use crate::crypto::x25519::{diffie_hellman, public_key};

    fn repeated(byte: u8) -> X25519Secret {
        X25519Secret::from_bytes([byte; 32])
    }

    /// The result of `secret` with the public key of `other`.
    fn agree(secret: u8, other: u8) -> SharedSecret {
        diffie_hellman(&repeated(secret), &public_key(&repeated(other))).unwrap()
    }

    fn seal(state: &mut SymmetricState, key: &AeadKey, nonce: u64, text: &[u8]) -> Vec<u8> {
        let mut data = text.to_vec();
        let tag = state.seal_and_hash(key, nonce, &mut data);
        data.extend_from_slice(&tag);
        data
    }

    #[test]
    fn first_keys_and_hashes() {
        let ntcp2 = SymmetricState::ntcp2();
        assert_eq!(
            hex(ntcp2.chain_key()),
            "72e842c545e18080d39c4493bb91d7edf228981771218c1f624e206f28d32f71"
        );
        assert_eq!(
            hex(ntcp2.hash()),
            "49ff483fc404b9b26b11943672ff05b561270331ba89b8fc3315938757dd3d1e"
        );
        let ssu2 = SymmetricState::ssu2();
        assert_eq!(
            hex(ssu2.chain_key()),
            "b13722817423a8fdf42df2e60ed1edf41b93071db1ec24a367f784ec270d8132"
        );
        assert_eq!(
            hex(ssu2.hash()),
            "dc85e6af7b02650cf1f90d71fbc6d453a7cf6dbfbd525ea5b5791c47b35ebc33"
        );
        let record = SymmetricState::start(*RECORD_NAME);
        assert_eq!(
            hex(record.chain_key()),
            "4e6f6973655f4e5f32353531395f436861436861506f6c795f53484132353600"
        );
        assert_eq!(
            hex(record.hash()),
            "694d52445a27d9adfad29c7632395dc1e4354c69b4f92eac8a1ee46a9ed21554"
        );
    }

    // The NTCP2 transcript with keys of repeated bytes: ephemeral 1 and static 2 for the initiator, static 3 and
    // ephemeral 4 for the responder, whose router hash is 5 throughout, its IV 6.
    #[test]
    fn ntcp2_transcript() {
        let mut state = SymmetricState::ntcp2();
        state.mix_hash(&public_key(&repeated(3)).0);

        let x = public_key(&repeated(1)).0;
        let mut hidden_x = x;
        cbc_encrypt(&[5; 32], [6; 16], &mut hidden_x);
        state.mix_hash(&x);
        let key = state.mix_key(&agree(1, 3));
        let options = seal(&mut state, &key, 0, &unhex("02020004001e00006600000000000000"));
        state.mix_hash(&[8; 4]);
        assert_eq!(
            hex(&[&hidden_x[..], &options, &[8; 4]].concat()),
            "5e08645409e41006246255b83a0eeef63295a51c40d21e821f2cff2f4041e3e6\
             8e3c34b5ccd3daf4df80a393ef56b95ab0740b802fb382135f2dc1a984e15020\
             08080808"
        );

        let y = public_key(&repeated(4)).0;
        let mut hidden_y = y;
        let iv: [u8; 16] = hidden_x[16..].try_into().unwrap();
        cbc_encrypt(&[5; 32], iv, &mut hidden_y);
        state.mix_hash(&y);
        let key = state.mix_key(&agree(4, 1));
        let options = seal(&mut state, &key, 0, &unhex("00000003000000006600000100000000"));
        state.mix_hash(&[9; 3]);
        assert_eq!(
            hex(&[&hidden_y[..], &options, &[9; 3]].concat()),
            "878e9d03b5320e0a747cc6c4f88cfaa9307b1c6fb44f1a3a4bc0264115863eb5\
             aa3ed415cd5609ddd1fc9bce8f670987db2125621a402d8dd92c9208eceef17c\
             090909"
        );

        let first = seal(&mut state, &key, 1, &public_key(&repeated(2)).0);
        let key = state.mix_key(&agree(4, 2));
        let second = seal(&mut state, &key, 0, &unhex("02000b0007070707070707070707"));
        assert_eq!(
            hex(&[first, second].concat()),
            "2ec7790425953bd929dcd37d1b4e44910b9f98c37779355d90aa2a6faeee7c37\
             711368173fc6dfac4e3e75a4882949910b8f4d7eb3603f99613f2f8673975e32\
             88bd0a39f7299927fed06c01ebf9"
        );
        assert_eq!(
            hex(state.hash()),
            "12fd81442e0afbdd1b50a2c2563e2ba38b73cc1540c016ad128d9f32fbac424d"
        );
        let (k_ab, k_ba) = state.split();
        assert_eq!(
            hex(k_ab.expose()),
            "61b53315e97f6d6d32ea97f074c9f9ddd90f2c1357957118313c3cb6a5f99e00"
        );
        assert_eq!(
            hex(k_ba.expose()),
            "a68f84e6c4eb5d7be294042688d2f072b9a6d600f691d1400a099037f21cd8ac"
        );
    }

    // The Noise parts of the known SSU2 handshake, with the keys of the NTCP2 transcript.
    #[test]
    fn ssu2_transcript() {
        let mut state = SymmetricState::ssu2();
        state.mix_hash(&public_key(&repeated(3)).0);

        let header = "1122334455667788 01020304 00020200 99aabbccddeeff00 1213141516171819";
        state.mix_hash(&unhex(header));
        state.mix_hash(&public_key(&repeated(1)).0);
        let key = state.mix_key(&agree(1, 3));
        assert_eq!(
            hex(&seal(&mut state, &key, 0, &unhex("00000466000000 fe000100"))),
            "8e1336b6cb2ba1c4dd1e0f5f76ee49beda81ef985d9e64f597cde9"
        );
        let (header_key, _) = hkdf(state.chain_key(), b"", b"SessCreateHeader");
        assert_eq!(
            hex(&header_key),
            "1506fdd1289f20933a9d4b92b2faac2b792a244903778148b535dce3c5617148"
        );

        let header = "99aabbccddeeff00 05060708 01020200 1122334455667788 0000000000000000";
        state.mix_hash(&unhex(header));
        state.mix_hash(&public_key(&repeated(4)).0);
        let key = state.mix_key(&agree(4, 1));
        assert_eq!(
            hex(&seal(&mut state, &key, 0, &unhex("00000466000001 0d00061388c0000201"))),
            "a99680f8c8fdf12bad313eac2182ef249de21bab786b73633b8bc4ba1c1f9aff"
        );
        let (header_key, _) = hkdf(state.chain_key(), b"", b"SessionConfirmed");
        assert_eq!(
            hex(&header_key),
            "6411d670dcf1785a4a516c5826fef34dc84954e29d4c70968c3b7a9bb2f02ca7"
        );

        state.mix_hash(&unhex("1122334455667788 00000000 02010000"));
        let first = seal(&mut state, &key, 1, &public_key(&repeated(2)).0);
        let key = state.mix_key(&agree(4, 2));
        let second = seal(&mut state, &key, 0, &unhex("02000c0001 07070707070707070707"));
        assert_eq!(
            hex(&[first, second].concat()),
            "b21677e5b9eb3da2d8c7f540a479cb5c81f54e2afbae1164f3f1b0aed3d31e15\
             51f3862617968b06b275a30ce45a817657ee0da5d292ff222ede43eacd68e6ff\
             1d823dd0353abc63367cb861a23c05"
        );
    }

    /// The cleartext of the known request record.
    fn request() -> Vec<u8> {
        let mut request = unhex("00000101 00000202");
        request.extend_from_slice(&[0x11; 32]);
        request.extend_from_slice(&[0; 4]);
        request.extend_from_slice(&28_000_000_u32.to_be_bytes());
        request.extend_from_slice(&unhex("00000258 0a0b0c0d"));
        request.resize(154, 0);
        request
    }

    // The short build record for a hop of static key 0b.. under ephemeral key 0d.., and the hop's reply.
    #[test]
    fn short_build_record() {
        let hop = public_key(&repeated(0x0b));
        let ephemeral = public_key(&repeated(0x0d)).0;
        let start = SymmetricState::tunnel_record(&hop);

        let mut creator = start.fork();
        creator.mix_hash(&ephemeral);
        let key = creator.mix_key(&agree(0x0d, 0x0b));
        let mut sealed = seal(&mut creator, &key, 0, &request());
        assert_eq!(
            hex(&[&[0x0c; 16][..], &ephemeral, &sealed].concat()),
            "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0cb307ae8660efaed4d6a65f6640896892\
             ea4a1f0075555c489d1312a2e1677c287ac6068250358e4e83193d81a50c44f9\
             a71273ac5f53de3d037de14d746d589b612e82fea1616cfbd53f69e060dae64d\
             d9627e60a1822f77fc44f036d1a689c58b4f614b0caab37c6d21a02b31c80baa\
             5f9206b8179be05d1738972dee6329ed25e7103d56580dae09d44a21c65e5333\
             bd4f9fc894ced58c7c977ac22df8b6257d5999e7de17f71b27be50f874f7b6f2\
             059eaf9a8e78750262ccf084a5ffe927ebfe0b9daabcec5ae078"
        );

        let mut state = start;
        state.mix_hash(&ephemeral);
        let key = state.mix_key(&agree(0x0b, 0x0d));
        assert_eq!(state.open_and_hash(&key, 0, &mut sealed).unwrap(), &request()[..]);
        assert_eq!(
            hex(state.hash()),
            "f3ed014b7393508997cc41cad3f06e096cdee74feff5ff145a8e223f79f86221"
        );
        assert_eq!(state.hash(), creator.hash());
        assert_eq!(
            hex(state.chain_key()),
            "34c4ec98f55548ee02b889b657c34532ade2e13a9b7f39e407d46e9593302ccc"
        );

        let (_, reply_key) = hkdf(state.chain_key(), b"", b"SMTunnelReplyKey");
        assert_eq!(
            hex(&reply_key),
            "da7cff29cefb074dae37954093e20bfc9d397665ebb63e98e739d2f07d83a943"
        );
        let mut reply = vec![0; 202];
        reply[201] = 30;
        let tag =
            chacha::seal_in_place(&AeadKey::from_bytes(reply_key), 2, state.hash(), &mut reply);
        reply.extend_from_slice(&tag);
        assert_eq!(hex(&reply[..16]), "7411df7654cc571026239316b6f48a19");
        assert_eq!(
            hex(&sha256(&reply)),
            "abe0bc2beaa1acd6fb6fe0d6fabefc33bdebd196fba57f8758eb5d4ad4998528"
        );
    }

    #[test]
    fn a_false_message_leaves_the_state_as_it_was() {
        let mut state = SymmetricState::ntcp2();
        let key = state.mix_key(&agree(1, 3));
        let mut sealed = seal(&mut state.fork(), &key, 0, b"text");
        let before = *state.hash();
        let mut forged = sealed.clone();
        forged[2] ^= 1;
        assert_eq!(state.open_and_hash(&key, 0, &mut forged).err(), Some(Unauthentic));
        assert_eq!(state.hash(), &before);
        assert_eq!(state.open_and_hash(&key, 0, &mut sealed).unwrap(), b"text");
    }

    #[test]
    fn a_fork_goes_its_own_way() {
        let mut state = SymmetricState::ntcp2();
        let mut fork = state.fork();
        fork.mix_hash(b"more");
        assert_ne!(state.hash(), fork.hash());
        state.mix_hash(b"more");
        assert_eq!(state.hash(), fork.hash());
        assert!(state.mix_key(&agree(1, 3)).ct_eq(&fork.mix_key(&agree(3, 1))));
        assert_eq!(state.chain_key(), fork.chain_key());
    }

    #[test]
    fn debug_is_mute() {
        assert_eq!(format!("{:?}", SymmetricState::ntcp2()), "SymmetricState(secret)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn both_sides_stay_in_step(
            shared in any::<[u8; 32]>(),
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
        ) {
            let shared = SharedSecret::from_bytes(shared);
            let mut ours = SymmetricState::ntcp2();
            let mut theirs = ours.fork();
            for (nonce, text) in (0..).zip(&texts) {
                let (key, their_key) = (ours.mix_key(&shared), theirs.mix_key(&shared));
                let mut sealed = seal(&mut ours, &key, nonce, text);
                let opened = theirs.open_and_hash(&their_key, nonce, &mut sealed).unwrap();
                prop_assert_eq!(opened, &text[..]);
                prop_assert_eq!(ours.hash(), theirs.hash());
            }
            let ((a, b), (their_a, their_b)) = (ours.split(), theirs.split());
            prop_assert!(a.ct_eq(&their_a) && b.ct_eq(&their_b) && !a.ct_eq(&b));
        }
    }
}
