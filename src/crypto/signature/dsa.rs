//! DSA with SHA-1 in the network's 1024-bit group: the signatures of identities without a key certificate.
//!
//! A key is y = g^x mod p in 128 bytes, a signature r ‖ s in 20 bytes each, all big-endian. r and s must be above
//! zero and below q. A key is taken modulo p and not examined, as i2pd and Java do it: a weak one proves nothing
//! about its owner, but harms only what is published under it.
//!
//! Spec: cryptography, DSA; FIPS 186-4, sections 4.6 and 4.7. Checking runs in a time that depends on what is
//! checked, all of which is public. Signing exponentiates and inverts in constant time; copies that the arithmetic
//! leaves on the stack are not erased.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U192, U1024, Uint};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::SignatureCheck;
use crate::crypto::hash::sha1_parts;

/// Bytes of r, of s, and of a private key.
const HALF_SIZE: usize = 20;

/// Numbers that all keys share.
struct Group {
    p: U1024,
    q: U192,
    g: U1024,
}

/// The group of the network. Spec: cryptography, DSA.
const NETWORK: Group = Group {
    p: U1024::from_be_hex(concat!(
        "9C05B2AA960D9B97B8931963C9CC9E8C3026E9B8ED92FAD0A69CC886D5BF8015",
        "FCADAE31A0AD18FAB3F01B00A358DE237655C4964AFAA2B337E96AD316B9FB1C",
        "C564B5AEC5B69A9FF6C3E4548707FEF8503D91DD8602E867E6D35D2235C1869C",
        "E2479C3B9D5401DE04E0727FB33D6511285D4CF29538D9E3B6051F5B22CC1C93",
    )),
    q: U192::from_be_hex("00000000A5DFC28FEF4CA1E286744CD8EED9D29D684046B7"),
    g: U1024::from_be_hex(concat!(
        "0C1F4D27D40093B429E962D7223824E0BBC47E7C832A39236FC683AF84889581",
        "075FF9082ED32353D4374D7301CDA1D23C431F4698599DDA02451824FF369752",
        "593647CC3DDC197DE985E43D136CDCFC6BD5409CD2F450821142A5E6F8EB1C3A",
        "B5D0484B8129FCF17BCE4F7F33321C3CB3DBB14A905E7B2B3E93BE4708CBCC82",
    )),
};

/// Private key, erased on drop.
pub(super) struct Secret(Zeroizing<U192>);

impl Secret {
    /// The key that is the number `bytes`; `None` unless it has 20 bytes, is not zero and below q.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let x = Zeroizing::new(number(bytes)?);
        NETWORK.is_exponent(&x).then_some(Self(x))
    }

    /// y in 128 bytes.
    pub(super) fn public_key(&self) -> Box<[u8]> {
        NETWORK.public_key(&self.0).to_be_bytes().as_slice().into()
    }

    /// r ‖ s, with the nonce of RFC 6979: no randomness is needed.
    pub(super) fn sign(&self, message: &[u8]) -> Box<[u8]> {
        let (r, s) = NETWORK.sign(&self.0, &sha1_parts(&[message]));
        [half(&r), half(&s)].concat().into()
    }
}

/// `Some` when the signature holds.
pub(super) fn check(check: &SignatureCheck<'_>) -> Option<()> {
    let y: &[u8; 128] = check.key.bytes().try_into().ok()?;
    let (r, s) = check.signature.split_at_checked(HALF_SIZE)?;
    let digest = sha1_parts(&[check.prefix, check.message]);
    NETWORK.check(&U1024::from_be_slice(y), &digest, &number(r)?, &number(s)?)
}

impl Group {
    fn is_exponent(&self, number: &U192) -> bool {
        bool::from(number.is_nonzero()) && *number < self.q
    }

    fn modulo_p(&self) -> FixedMontyParams<{ U1024::LIMBS }> {
        FixedMontyParams::new_vartime(odd(self.p))
    }

    fn modulo_q(&self) -> FixedMontyParams<{ U192::LIMBS }> {
        FixedMontyParams::new_vartime(odd(self.q))
    }

    fn public_key(&self, x: &U192) -> U1024 {
        FixedMontyForm::new(&self.g, &self.modulo_p()).pow(x).retrieve()
    }

    fn check(&self, y: &U1024, digest: &[u8; 20], r: &U192, s: &U192) -> Option<()> {
        if !self.is_exponent(r) || !self.is_exponent(s) {
            return None;
        }
        let modulo_q = self.modulo_q();
        let inverse = Option::from(FixedMontyForm::new(s, &modulo_q).invert_vartime())?;
        let times = |number: &U192| FixedMontyForm::new(number, &modulo_q).mul(&inverse).retrieve();
        let (u1, u2) = (times(&number(digest)?), times(r));
        let modulo_p = self.modulo_p();
        let of_g = FixedMontyForm::new(&self.g, &modulo_p).pow_vartime(&u1);
        let of_y = FixedMontyForm::new(y, &modulo_p).pow_vartime(&u2);
        let v = of_g.mul(&of_y).retrieve().rem_vartime(odd(self.q).as_nz_ref());
        (v == *r).then_some(())
    }

    fn sign(&self, x: &U192, digest: &[u8; 20]) -> (U192, U192) {
        let (modulo_p, modulo_q) = (self.modulo_p(), self.modulo_q());
        let reduced = |number: &U192| FixedMontyForm::new(number, &modulo_q);
        let hashed = number(digest).expect("a digest has the size of a half");
        let mut nonces = Nonces::new(self, x, &reduced(&hashed).retrieve());
        loop {
            let k = nonces.next();
            let r = FixedMontyForm::new(&self.g, &modulo_p).pow(&*k).retrieve();
            let r = r.rem_vartime(odd(self.q).as_nz_ref());
            let inverse = Option::from(reduced(&k).invert()).expect("0 < k < q, and q is prime");
            let s = reduced(&r).mul(&reduced(x)).add(&reduced(&hashed)).mul(&inverse).retrieve();
            if self.is_exponent(&r) && self.is_exponent(&s) {
                return (r, s);
            }
        }
    }
}

/// Nonces that follow from key and digest. RFC 6979, section 3.2, where q and the hash have the same length.
struct Nonces<'a> {
    group: &'a Group,
    key: Zeroizing<[u8; 20]>,
    value: Zeroizing<[u8; 20]>,
}

impl<'a> Nonces<'a> {
    fn new(group: &'a Group, x: &U192, hashed: &U192) -> Self {
        let mut nonces =
            Self { group, key: Zeroizing::new([0; 20]), value: Zeroizing::new([1; 20]) };
        let (x, hashed) = (Zeroizing::new(half(x)), half(hashed));
        nonces.stir(&[&[0], &x[..], &hashed]);
        nonces.stir(&[&[1], &x[..], &hashed]);
        nonces
    }

    fn stir(&mut self, more: &[&[u8]]) {
        let parts = [&[&self.value[..]], more].concat();
        *self.key = hmac_sha1(&self.key, &parts);
        *self.value = hmac_sha1(&self.key, &[&self.value[..]]);
    }

    fn next(&mut self) -> Zeroizing<U192> {
        loop {
            *self.value = hmac_sha1(&self.key, &[&self.value[..]]);
            let k = Zeroizing::new(number(&self.value[..]).expect("the value has 20 bytes"));
            if self.group.is_exponent(&k) {
                return k;
            }
            self.stir(&[&[0]]);
        }
    }
}

fn hmac_sha1(key: &[u8; 20], parts: &[&[u8]]) -> [u8; 20] {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The number of 20 bytes.
fn number(bytes: &[u8]) -> Option<U192> {
    let bytes: &[u8; HALF_SIZE] = bytes.try_into().ok()?;
    let mut filled = [0; 24];
    *filled.last_chunk_mut()? = *bytes;
    Some(U192::from_be_slice(&filled))
}

/// The 20 bytes of a number below q.
fn half(number: &U192) -> [u8; HALF_SIZE] {
    let bytes = number.to_be_bytes();
    *bytes.as_slice().last_chunk().expect("24 bytes have 20")
}

fn odd<const LIMBS: usize>(number: Uint<LIMBS>) -> Odd<Uint<LIMBS>> {
    Option::from(Odd::new(number)).expect("p and q are odd primes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::signature::{
        SignatureType, SigningPublicKey, SigningSecret, SigningSecretError, Verdict, verify,
    };
    use crate::crypto::testing::{hex, unhex};

    const SECRET: &str = "0102030405060708090a0b0c0d0e0f1011121314";
    const PUBLIC: &str = "1ae2f76ecdd437bd0f874b59ab45df66c350043ff95d8738b5276c27c34e80a4
                           7c91e57a7273707ee30616bce3fd99f2df8c5abc5e03f764af00a81cb57ccc2b
                           c8c74a0eff06c68032c7facb0ff58f5f38f43e6e374ca5be6886769e56a5ac76
                           718de49073c32841421f0595cc0e4d11c43d2d0ff07528cd8708f77cfe9a628f";
    /// Of the text "message", made by OpenSSL in the network's group; its r begins with a zero byte.
    const SIGNATURE: &str =
        "00c6217a0d350b61c6c5785714906715f0e080163a53921d609a7fe59bcb80cd5f9b22b9d9f754c4";

    fn verdict(key: &[u8], message: &[u8], signature: &[u8]) -> Verdict {
        let key = SigningPublicKey::new(SignatureType::DsaSha1, key).unwrap();
        verify(&SignatureCheck { key: &key, prefix: b"", message, signature })
    }

    // RFC 6979, section A.2.1, in a group of its own: SHA-1, messages "sample" and "test".
    #[test]
    fn rfc_6979() {
        let group = Group {
            p: U1024::from_be_hex(concat!(
                "86F5CA03DCFEB225063FF830A0C769B9DD9D6153AD91D7CE27F787C43278B447",
                "E6533B86B18BED6E8A48B784A14C252C5BE0DBF60B86D6385BD2F12FB763ED88",
                "73ABFD3F5BA2E0A8C0A59082EAC056935E529DAF7C610467899C77ADEDFC846C",
                "881870B7B19B2B58F9BE0521A17002E3BDD6B86685EE90B3D9A1B02B782B1779",
            )),
            q: U192::from_be_hex("00000000996F967F6C8E388D9E28D01E205FBA957A5698B1"),
            g: U1024::from_be_hex(concat!(
                "07B0F92546150B62514BB771E2A0C0CE387F03BDA6C56B505209FF25FD3C133D",
                "89BBCD97E904E09114D9A7DEFDEADFC9078EA544D2E401AEECC40BB9FBBF78FD",
                "87995A10A1C27CB7789B594BA7EFB5C4326A9FE59A070E136DB77175464ADCA4",
                "17BE5DCE2F40D10A46A3A3943F26AB7FD9C0398FF8C76EE0A56826A8A88F1DBD",
            )),
        };
        let x = number(&unhex("411602cb19a6ccc34494d79d98ef1e7ed5af25f7")).unwrap();
        let y = group.public_key(&x);
        assert_eq!(
            hex(y.to_be_bytes().as_slice()),
            "5df5e01ded31d0297e274e1691c192fe5868fef9e19a84776454b100cf16f653\
             92195a38b90523e2542ee61871c0440cb87c322fc4b4d2ec5e1e7ec766e1be8d\
             4ce935437dc11c3c8fd426338933ebfe739cb3465f4d3668c5e473508253b1e6\
             82f65cbdc4fae93c2ea212390e54905a86e2223170b44eaa7da5dd9ffcfb7f3b"
        );
        for (message, r, s) in [
            (
                "sample",
                "2e1a0c2562b2912caaf89186fb0f42001585da55",
                "29efb6b0aff2d7a68eb70ca313022253b9a88df5",
            ),
            (
                "test",
                "42ab2052fd43e123f0607f115052a67dcd9c5c77",
                "183916b0230d45b9931491d4c6b0bd2fb4aaf088",
            ),
        ] {
            let digest = sha1_parts(&[message.as_bytes()]);
            let (found_r, found_s) = group.sign(&x, &digest);
            assert_eq!((hex(&half(&found_r)), hex(&half(&found_s))), (r.into(), s.into()));
            assert_eq!(group.check(&y, &digest, &found_r, &found_s), Some(()));
            assert_eq!(group.check(&y, &[0; 20], &found_r, &found_s), None);
        }
    }

    #[test]
    fn known_signature_in_the_network_group() {
        let (public, signature) = (unhex(PUBLIC), unhex(SIGNATURE));
        let secret = SigningSecret::new(SignatureType::DsaSha1, &unhex(SECRET)).unwrap();
        assert_eq!(hex(secret.public_key().bytes()), hex(&public));
        assert_eq!(verdict(&public, b"message", &signature), Verdict::Valid);
        assert_eq!(verdict(&public, b"massage", &signature), Verdict::Invalid);
        let key = SigningPublicKey::new(SignatureType::DsaSha1, &public).unwrap();
        let split =
            SignatureCheck { key: &key, prefix: b"mes", message: b"sage", signature: &signature };
        assert_eq!(verify(&split), Verdict::Valid);
        for at in 0..40 {
            let mut forged = signature.clone();
            forged[at] ^= 0x10;
            assert_eq!(verdict(&public, b"message", &forged), Verdict::Invalid, "byte {at}");
        }
        assert_eq!(verdict(&public, b"message", &signature[1..]), Verdict::Invalid);
    }

    #[test]
    fn r_and_s_are_above_zero_and_below_q() {
        let signature = unhex(SIGNATURE);
        let (r, s) = signature.split_at(20);
        let s_plus_q = number(s).unwrap().wrapping_add(&NETWORK.q);
        assert!(s_plus_q.to_be_bytes().as_slice().starts_with(&[0; 4]), "fits into 20 bytes");
        for forged in [
            [&[0; 20], s].concat(),
            [r, &[0; 20]].concat(),
            vec![0; 40],
            vec![0xff; 40],
            [r, &half(&s_plus_q)].concat(),
            [&half(&NETWORK.q), s].concat(),
        ] {
            assert_eq!(verdict(&unhex(PUBLIC), b"message", &forged), Verdict::Invalid);
            // Under the key 0 as well: it has no part in the product but zero.
            assert_eq!(verdict(&[0; 128], b"message", &forged), Verdict::Invalid);
        }
    }

    #[test]
    fn a_secret_is_above_zero_and_below_q() {
        for bytes in [[0; 20], [0xff; 20], half(&NETWORK.q)] {
            let refused = SigningSecret::new(SignatureType::DsaSha1, &bytes).err();
            assert_eq!(refused, Some(SigningSecretError::Range(SignatureType::DsaSha1)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn signatures_hold(
            secret in prop::array::uniform20(any::<u8>()),
            message in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut secret = secret;
            secret[0] &= 0x7f;
            secret[19] |= 1;
            let secret = SigningSecret::new(SignatureType::DsaSha1, &secret).unwrap();
            let signature = secret.sign(&[0; 80], &message);
            prop_assert_eq!(
                verdict(secret.public_key().bytes(), &message, &signature),
                Verdict::Valid
            );
        }
    }
}
