//! ElGamal with 2048 bits, as old LeaseSets and their clients have it.
//!
//! The group is that of RFC 3526, section 3, with generator 2. What is encrypted is a number of at most 255 bytes:
//! one random byte above zero, SHA-256 of the data, the data. A ciphertext is the pair a = g^k, b = m·y^k, and
//! travels in two forms: 512 bytes, or 514 with a zero byte before each part. Spec: cryptography, ElGamal.
//!
//! Exponentiations with private key or nonce take the same time for every one of them, and so does the product
//! with the cleartext. Where the cleartext begins, its hash and the verdict are found in variable time: they are
//! told to the sender anyway by what follows. Copies that the arithmetic leaves on the stack are not erased.

use std::fmt;
use std::num::NonZeroU8;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U2048};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crypto::hash::sha256;
use crate::crypto::secret::ElGamalSecret;

/// Bytes that one encryption holds at most.
pub const DATA_MAX: usize = 222;

/// Bytes before the data: the random byte and the hash.
const HEAD: usize = 1 + 32;

type Params = FixedMontyParams<{ U2048::LIMBS }>;

/// The prime of the group. RFC 3526, section 3.
const PRIME: U2048 = U2048::from_be_hex(concat!(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74",
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437",
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED",
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05",
    "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB",
    "9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B",
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718",
    "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
));

/// ElGamal public key, 2^x, big-endian. Any bytes are taken; a key out of range encrypts to nobody.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ElGamalPublic(pub [u8; 256]);

impl fmt::Debug for ElGamalPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ElGamalPublic(")?;
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// Randomness of one encryption: fresh every time. Erased on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ElGamalNonce {
    /// The exponent k, big-endian.
    pub exponent: [u8; 256],
    /// The byte before the hash.
    #[zeroize(skip)]
    pub first: NonZeroU8,
}

/// Two numbers of 256 bytes, big-endian.
#[derive(Clone, PartialEq, Eq)]
pub struct Ciphertext {
    a: [u8; 256],
    b: [u8; 256],
}

/// Why nothing could be decrypted or encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElGamalError {
    /// A part of the ciphertext does not begin with the zero byte of its form, or is not below the prime.
    #[error("a part of the ciphertext is out of range")]
    Range,
    /// What was decrypted has no valid hash: it was not for this key, or was changed.
    #[error("the cleartext does not authenticate")]
    Unauthentic,
    /// More data than one encryption holds.
    #[error("{found} bytes of data, at most {DATA_MAX} can be encrypted")]
    Length {
        /// Bytes of the data.
        found: usize,
    },
}

impl Ciphertext {
    /// The ciphertext in the form of 512 bytes.
    #[must_use]
    pub fn from_bare(bytes: &[u8; 512]) -> Self {
        let mut parts = Self { a: [0; 256], b: [0; 256] };
        let (a, b) = bytes.split_at(256);
        parts.a.copy_from_slice(a);
        parts.b.copy_from_slice(b);
        parts
    }

    /// The ciphertext in the form of 514 bytes; refused unless a zero byte stands before each part.
    pub fn from_padded(bytes: &[u8; 514]) -> Result<Self, ElGamalError> {
        let mut parts = Self { a: [0; 256], b: [0; 256] };
        for (half, part) in bytes.chunks_exact(257).zip([&mut parts.a, &mut parts.b]) {
            let (0, number) = half.split_first().ok_or(ElGamalError::Range)? else {
                return Err(ElGamalError::Range);
            };
            part.copy_from_slice(number);
        }
        Ok(parts)
    }

    /// The form of 512 bytes.
    #[must_use]
    pub fn to_bare(&self) -> [u8; 512] {
        let mut bytes = [0; 512];
        for (half, part) in bytes.chunks_exact_mut(256).zip([&self.a, &self.b]) {
            half.copy_from_slice(part);
        }
        bytes
    }

    /// The form of 514 bytes.
    #[must_use]
    pub fn to_padded(&self) -> [u8; 514] {
        let mut bytes = [0; 514];
        for (half, part) in bytes.chunks_exact_mut(257).zip([&self.a, &self.b]) {
            if let Some(number) = half.last_chunk_mut() {
                *number = *part;
            }
        }
        bytes
    }
}

impl fmt::Debug for Ciphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ciphertext(512 bytes)")
    }
}

/// The public key of `secret`.
#[must_use]
pub fn public_key(secret: &ElGamalSecret) -> ElGamalPublic {
    let power = FixedMontyForm::new(&U2048::from_u8(2), &params()).pow(&exponent(secret));
    ElGamalPublic(bytes(&power.retrieve()))
}

/// Encrypts `data`, at most [`DATA_MAX`] bytes, for the owner of `key`.
pub fn encrypt(
    key: &ElGamalPublic,
    nonce: &ElGamalNonce,
    data: &[u8],
) -> Result<Ciphertext, ElGamalError> {
    if data.len() > DATA_MAX {
        return Err(ElGamalError::Length { found: data.len() });
    }
    let (params, k) = (params(), Zeroizing::new(U2048::from_be_slice(&nonce.exponent)));
    let mut message = Zeroizing::new([0; 256]);
    let filled = &[&[nonce.first.get()], &sha256(data)[..], data].concat();
    let start = message.len() - filled.len();
    message.split_at_mut(start).1.copy_from_slice(filled);
    let m = FixedMontyForm::new(&U2048::from_be_slice(&*message), &params);
    let y = FixedMontyForm::new(&U2048::from_be_slice(&key.0), &params);
    let a = FixedMontyForm::new(&U2048::from_u8(2), &params).pow(&*k);
    let b = y.pow(&*k).mul(&m);
    Ok(Ciphertext { a: bytes(&a.retrieve()), b: bytes(&b.retrieve()) })
}

/// Decrypts what [`encrypt`] has made for the owner of `secret`.
pub fn decrypt(
    secret: &ElGamalSecret,
    sealed: &Ciphertext,
) -> Result<Zeroizing<Vec<u8>>, ElGamalError> {
    let (a, b) = (U2048::from_be_slice(&sealed.a), U2048::from_be_slice(&sealed.b));
    if a >= PRIME || b >= PRIME {
        return Err(ElGamalError::Range);
    }
    let params = params();
    // a^(p-1-x) is the inverse of a^x, by Fermat.
    let order = PRIME.wrapping_sub(&U2048::ONE);
    let inverse = Zeroizing::new(order.wrapping_sub(&*exponent(secret)));
    let m = FixedMontyForm::new(&a, &params).pow(&*inverse).mul(&FixedMontyForm::new(&b, &params));
    let message = Zeroizing::new(bytes(&m.retrieve()));
    // The random byte is the first that is not zero. It may stand anywhere, since data may be short.
    let start = message.iter().position(|byte| *byte != 0).ok_or(ElGamalError::Unauthentic)?;
    let (_, filled) = message.split_at(start);
    let (head, data) = filled.split_at_checked(HEAD).ok_or(ElGamalError::Unauthentic)?;
    if !head.ends_with(&sha256(data)) || data.len() > DATA_MAX {
        return Err(ElGamalError::Unauthentic);
    }
    Ok(Zeroizing::new(data.to_vec()))
}

fn params() -> Params {
    let odd = Option::from(Odd::new(PRIME)).expect("the prime is odd");
    FixedMontyParams::new_vartime(odd)
}

/// The exponent of a private key, modulo the order of the group: a key file may hold any 256 bytes.
fn exponent(secret: &ElGamalSecret) -> Zeroizing<U2048> {
    let order = PRIME.wrapping_sub(&U2048::ONE);
    let order = Option::from(order.to_nz()).expect("the prime is above one");
    let number = Zeroizing::new(U2048::from_be_slice(secret.expose()));
    Zeroizing::new(number.rem(&order))
}

fn bytes(number: &U2048) -> [u8; 256] {
    *number.to_be_bytes().as_slice().first_chunk().expect("2048 bits are 256 bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::testing::{hex, unhex_array};

    // Key and ciphertexts of Java I2P's own test of its engine.
    const SECRET: &str = "80c9488544555d4f2e3ee6dedb45ebf04d4ad7583edea6713a3d6b893847aadfab071ef630fab98af4f5aebdbc70
     4f66cce9ac5e26dbb2e06e40a603bc5ee118809107744e48f78f62172ea55de3ed789750862358dc3d86fca51d72
     bf9d34fb8e4a4805acc12597eb2c93dc0d94c307462708e1ce2fe2859f8375479076da0d2261100137f3b5d00523
     4267f57a99250173ea625ce639878949f4cf048138e2711c716269d0cd0aca784a55b0c8d2ff55626eac3c52bb5a
     bcd1c96c072ffafbdf9c22464c32c2e326289b40efe3ee26371634b909c31e9649c1f69ac33387360f8bc2526490
     65fcfa2c5fddf897e2f44fe28d5788e0d4887aca80a79b5ef8f0";
    const PUBLIC: &str = "a4ebc150cad251478de5ac329f36cf6c20307b732a5a9ae14a9a77391ee9bdd7e6f4f85668d6cfa0a44b784983a1
     4c32343a0713413a99c6521bca8f43c5d464595cce98a53a5d0c241bec23dbbd48cca2fdb12acd283387d14d7d2f
     8d7068e2deadb023f531feae4128e8c697230b81dd67c65e51e702182f8b8729935a62e02bb11626b55fcc80c40f
     1af0ed21b7464d5e9a2fa51b398af2cd04943183ae3b74bf62806303a3668b449e24cdedc93c6523a5351188d1ea
     841c23848e1545b82fff297d85a28dc9dc08e0c0aa95d537a648009ddaeaf8f11aee7a203a78c4270a94e10781d5
     efaa6102ebb751e6a7f66ed1fa76d5a8077f99e903ec4bab4f4d";
    const HELLO: &str = "008addeb9986d4527ff49f830d2ca1af255e8c905222360ea95dc66261c35a0c0b7214f0abe6c94bb76e6f710d93
     d319f82e8520d82350545a2c1b5fc099f24a635ff2921fd6cae681d7ea195da1efbb9f1b91acd2382028f98f57fe
     d9d644dc82caa92fc332adf5eb1a2f3a5f97b2f93d1265215cd17d4485a13ee3b5a5c966867feff1b61e95391fca
     1bb7253b168e06992cfbb58a64d41fee6a50444e08b0f2728f9a7545ff8c7836d529b2bfe7621f5d2b94650f2e66
     bdf828ca32e1c8639fa7be8c184ce17b9a41686c33f6b743ecc4a55f9e6bab746d04d87ec6c6f5c87ba49b833c73
     3ae28e6617d152e7e246afb30eb5f3fb283347898336ffeb82e812006e2a8137c5922d7d66ac756e86233e86227b
     538a2afc7601e8dfd4f7cd2c0885b47601416e16a5cf34212504ab0b50c50ea19f2f9f8bdb99a302b3fc76dbcdd0
     96372d29db72c9bea53f6db451c23c6a262df680b8fee88649c1a172b48fd7bafeca65839b1403d4df2de05fa9c2
     ebd127fc6f797f3ef9ab5646d571a13cc94a924ba24576dde96af8f2c8041299295bda354d2863e5ae8bf940bce5
     6c7ec6fc052f21e86c6c6417e69b5144eb52a2337f898c775904ce6be24b102f802fb45b46ee81eb6a7d234a43d0
     981b51f09ce02e25f44f56fec32e6892c05f18746f69a217b0b96f3647c5bb7f32d67b1e8e6aa59322b57ca81378
     9c6f8dc1e98d6c6c";
    const DIGITS: &str = "0028dbd059132106e71330999585c6c5e9339df25a779b96fc5e4c6eeff4c2db08d4edaf7aa76becc6f437be78c5
     d233efddbd4e2d4acfe0b15440246f74416d535c6072df8f2db7a10e010a2a0329068971d909a976bf3ab9bb4dad
     ad6e484cd4cc74e4c0eb41a545802557b704ec3d22d52bc57049c8cf2052d7810aaa679a2cabf5a168c7187b6236
     44240b3b1d95cda29b4f6d4c31bb45ef46be9ca5a8be445435f2443de268b05c05d9db800f40471eb3e2af22bd04
     f0e1c8e8b237cd9a84e8b6ba29b536de728653f7c68edc2d5da9ea44e547504d0b9a588edb2f7ad65feb093eb289
     4d52b25623372e735f2e443347e4af741932fa1573cc4ae94cfc4e004d141f8597e45bdc42ac121a210338f66b36
     c0e36ca7b7ef234edbd6bd2bb7b6700853858add474802a5f14a6c018bbe12c20ed6a00aeefbce515ff43ae05790
     c644c894feb8855f6c4ff1af03c4d333d813fa5aad2550822ff2350071ba450cd6c980339c5756f26ef068e613e9
     09670d5cc5a60b1ac2630c70e4e077c4b3241554f6745776d0be1075b60e5c0ac4c7fd5363b6ce2d6834cf59f0d9
     9a3b556b1c6b3d1208e0d1032aa1338372417af33fc9fb7e4437cc73c455966fa008600dad140e4458a2eee0f7a3
     dff2ff83f6b4b9ceec5cb79b9add8d1b0eb169c2419cf0dfb99c0684fdac464fad5a43f298de6c9d7f1cd73beb8c
     48a570d656df026c";

    fn secret() -> ElGamalSecret {
        ElGamalSecret::from_bytes(unhex_array(SECRET))
    }

    fn sealed(text: &str) -> Ciphertext {
        Ciphertext::from_padded(&unhex_array(text)).unwrap()
    }

    #[test]
    fn ciphertexts_of_java() {
        assert_eq!(hex(&public_key(&secret()).0), hex(&unhex_array::<256>(PUBLIC)));
        assert_eq!(decrypt(&secret(), &sealed(HELLO)).unwrap().as_slice(), b"hello world");
        let digits: Vec<u8> = b"1234567890".iter().copied().cycle().take(222).collect();
        assert_eq!(decrypt(&secret(), &sealed(DIGITS)).unwrap().as_slice(), digits);
    }

    // Computed from the formula by a script of its own: the hash of the 514 bytes.
    #[test]
    fn known_ciphertext() {
        let first = NonZeroU8::new(0x7f).unwrap();
        let nonce = ElGamalNonce { exponent: [0x5a; 256], first };
        let key = ElGamalPublic(unhex_array(PUBLIC));
        let sealed = encrypt(&key, &nonce, b"hello world").unwrap();
        assert_eq!(
            hex(&sha256(&sealed.to_padded())),
            "8a75d960e82742c5ef58a4e4e2f91340872e73a5962bde218028e09076125b4d"
        );
    }

    #[test]
    fn forms_hold_the_same() {
        let sealed = sealed(HELLO);
        assert_eq!(Ciphertext::from_bare(&sealed.to_bare()), sealed);
        let padded = sealed.to_padded();
        assert_eq!(padded, unhex_array(HELLO));
        for at in [0, 257] {
            let mut wrong = padded;
            wrong[at] = 1;
            assert_eq!(Ciphertext::from_padded(&wrong), Err(ElGamalError::Range));
        }
    }

    #[test]
    fn what_was_changed_or_is_for_another_is_refused() {
        let mut changed = sealed(HELLO);
        changed.b[255] ^= 1;
        assert_eq!(decrypt(&secret(), &changed), Err(ElGamalError::Unauthentic));
        let other = ElGamalSecret::from_bytes([3; 256]);
        assert_eq!(decrypt(&other, &sealed(HELLO)), Err(ElGamalError::Unauthentic));
        for (a, b) in [([0; 256], [0; 256]), ([1; 256], [0; 256]), ([0; 256], [1; 256])] {
            let zero = Ciphertext { a, b };
            assert_eq!(decrypt(&secret(), &zero), Err(ElGamalError::Unauthentic));
        }
        for (a, b) in [([0xff; 256], [1; 256]), ([1; 256], [0xff; 256]), ([1; 256], bytes(&PRIME))]
        {
            assert_eq!(decrypt(&secret(), &Ciphertext { a, b }), Err(ElGamalError::Range));
        }
    }

    #[test]
    fn data_has_at_most_222_bytes() {
        let first = NonZeroU8::MIN;
        let nonce = ElGamalNonce { exponent: [9; 256], first };
        let key = ElGamalPublic(unhex_array(PUBLIC));
        assert!(encrypt(&key, &nonce, &[0; 222]).is_ok());
        let refused = encrypt(&key, &nonce, &[0; 223]);
        assert_eq!(refused, Err(ElGamalError::Length { found: 223 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4))]

        #[test]
        fn the_owner_reads_what_was_encrypted(
            seed in any::<[u8; 32]>(),
            first in 1..=u8::MAX,
            data in prop::collection::vec(any::<u8>(), 0..=DATA_MAX),
        ) {
            let mut bytes = [0x33; 256];
            bytes[224..].copy_from_slice(&seed);
            let secret = ElGamalSecret::from_bytes(bytes);
            let nonce =
                ElGamalNonce { exponent: [seed[0]; 256], first: NonZeroU8::new(first).unwrap() };
            let sealed = encrypt(&public_key(&secret), &nonce, &data).unwrap();
            let opened = decrypt(&secret, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), &data[..]);
        }
    }
}
