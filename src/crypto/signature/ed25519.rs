//! Ed25519: signing, and the one rule by which single signatures and batches are checked.
//!
//! # Which Ed25519 signatures hold
//!
//! Routers must agree on this to the bit, or a record that one floods is refused by the next. The rule, for
//! single and batch alike, is that of RFC 8032, section 5.1.7, in its form without the cofactor:
//!
//! * `S` must be below the group order `L`.
//! * `S·B − k·A`, with `k = SHA-512(R ‖ A ‖ message)` over the bytes as sent, must encode to exactly the 32 bytes
//!   `R`. So an `R` that is not canonical, or not a point, is refused.
//! * The key `A` may be any encoding that decodes to a point of the curve: a y coordinate of `p` or more is
//!   reduced, the sign bit of x = 0 is ignored, and points of low order are not refused. A key of low order
//!   proves nothing about its owner, but it harms only what is published under it.
//!
//! # Why a batch is checked one by one
//!
//! A sum of all equations under random coefficients takes six tenths of the time of single checks, but it is another
//! rule: a part of low order in one `R` or `A` cancels against another's, or vanishes under an even coefficient, so
//! that the verdict depends on chance and on neighbours. As a filter it would need proof that no `R` has such a part.
//! That is a multiplication by `L` for each, and with it a batch of 16 takes longer than 16 single checks, its hashes
//! not yet counted (`cargo bench --bench ratios -- ed25519`). Random sums of the points decide it only with one such
//! multiplication per bit of certainty. A proof by square roots would save a seventh at best (an estimate: three
//! exponentiations for each point), with field arithmetic that the curve crate does not export.
//!
//! RedDSA draws its nonce in another way and verifies by this same rule. Spec: encrypted LeaseSet, sign/verify
//! calculations, which i2pd follows. The separate Red25519 document hashes with a prefix and a length in front;
//! signatures of that form are refused.

use std::fmt;

use ed25519_dalek::ed25519::signature::MultipartVerifier;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::{SignatureCheck, SignatureType, SigningPublicKey, Verdict};
use crate::crypto::secret::Ed25519Seed;

/// Ed25519 private key, ready to sign. Erased on drop.
pub struct Signer(SigningKey);

impl Signer {
    /// The signer that `seed` expands to.
    #[must_use]
    pub fn from_seed(seed: &Ed25519Seed) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The key that its signatures are checked with.
    #[must_use]
    pub fn public_key(&self) -> SigningPublicKey {
        SigningPublicKey {
            kind: SignatureType::Ed25519,
            bytes: self.0.verifying_key().as_bytes().as_slice().into(),
        }
    }

    /// The signature of `message`: the same for the same message, since Ed25519 draws no randomness.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(secret)")
    }
}

/// Whether signatures of type `kind` are checked by the rule of this module.
pub(super) fn checks(kind: SignatureType) -> bool {
    matches!(kind, SignatureType::Ed25519 | SignatureType::RedDsa)
}

/// Checks one signature of such a type.
pub(super) fn verify(check: &SignatureCheck<'_>) -> Verdict {
    let Ok(key) = VerifyingKey::try_from(check.key.bytes()) else {
        return Verdict::Invalid;
    };
    let Ok(signature) = Signature::from_slice(check.signature) else {
        return Verdict::Invalid;
    };
    match key.multipart_verify(&[check.prefix, check.message], &signature) {
        Ok(()) => Verdict::Valid,
        Err(_) => Verdict::Invalid,
    }
}

/// Checks those of `checks` that are of such a type and sets their `verdicts`, which stand in the same order; leaves
/// the others as they are.
pub(super) fn verify_batch(checks: &[SignatureCheck<'_>], verdicts: &mut [Verdict]) {
    assert_eq!(checks.len(), verdicts.len());
    for (check, verdict) in checks.iter().zip(verdicts) {
        if self::checks(check.key.kind) {
            *verdict = verify(check);
        }
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::{EdwardsPoint, Scalar};
    use proptest::prelude::*;
    use sha2::{Digest, Sha512};

    use super::*;
    use crate::crypto::testing::{hex, unhex, unhex_array};

    fn ed25519(text: &str) -> SigningPublicKey {
        SigningPublicKey::new(SignatureType::Ed25519, &unhex(text)).unwrap()
    }

    fn check(key: &SigningPublicKey, message: &[u8], signature: &[u8]) -> Verdict {
        verify(&SignatureCheck { key, prefix: b"", message, signature })
    }

    // RFC 8032, section 7.1, tests 1 to 3.
    #[test]
    fn rfc_8032() {
        for (seed, public, message, signature) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155
                5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
                085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac
                18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let signer = Signer::from_seed(&Ed25519Seed::from_bytes(unhex_array(seed)));
            assert_eq!(hex(signer.public_key().bytes()), public);
            assert_eq!(signer.sign(&unhex(message)).to_vec(), unhex(signature));
            assert_eq!(check(&ed25519(public), &unhex(message), &unhex(signature)), Verdict::Valid);
        }
    }

    // The blinded key of vector 1 of the Red25519 document, and 32 bytes of 2 signed with it. The first signature
    // follows the encrypted LeaseSet document with 80 bytes of 0x2a as its random part; the second is that of the
    // Red25519 document, which hashes in another way.
    #[test]
    fn red_dsa() {
        let key = unhex("6fe128737b8e76fa66698a748b0dc0a89168dd8a0601c2b1c0b26835d323e9b3");
        let key = SigningPublicKey::new(SignatureType::RedDsa, &key).unwrap();
        let signature = unhex(
            "e4bd387a6c6f39d06d08f68ac22318a6b0bd72112c0fb9233bef49e1abcabd4a
            53d1bf6b2823e090c6c48c8f728156a78cae66e6b7f4734b6797b81d94d8880f",
        );
        assert_eq!(check(&key, &[2; 32], &signature), Verdict::Valid);
        assert_eq!(check(&key, &[3; 32], &signature), Verdict::Invalid);
        let of_the_other_form = unhex(
            "533053074d3b44f08723aab988ede9880a001b7a684d4a98f2d1b88fabee07a5
            b5c9430c69a690321e0cb8365d7aeb6688bcbad2c0780e0c69e8a1b4a45f3001",
        );
        assert_eq!(check(&key, &[2; 32], &of_the_other_form), Verdict::Invalid);
    }

    /// The order of the group, little-endian.
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

    fn add(number: &[u8], other: &[u8]) -> Vec<u8> {
        let mut carry = 0;
        let sum = number.iter().zip(other).map(|(a, b)| {
            let [low, high] = (u16::from(*a) + u16::from(*b) + carry).to_le_bytes();
            carry = u16::from(high);
            low
        });
        sum.collect()
    }

    #[test]
    fn s_plus_the_order_is_refused() {
        let signer = Signer::from_seed(&Ed25519Seed::from_bytes([5; 32]));
        let signature = signer.sign(b"message");
        assert_eq!(check(&signer.public_key(), b"message", &signature), Verdict::Valid);
        let (r, s) = signature.split_at(32);
        let mut larger = s.to_vec();
        for _ in 0..7 {
            larger = add(&larger, &unhex(ORDER));
            let forged = [r, &larger].concat();
            assert_eq!(check(&signer.public_key(), b"message", &forged), Verdict::Invalid);
        }
    }

    /// The neutral point: canonical, with y = p + 1, and with the sign of x = 0 set.
    const NEUTRAL: [&str; 3] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0100000000000000000000000000000000000000000000000000000000000080",
    ];

    #[test]
    fn a_key_may_be_any_encoding_but_r_only_the_canonical_one() {
        for key in NEUTRAL {
            for (index, r) in NEUTRAL.iter().enumerate() {
                let signature = [unhex(r), vec![0; 32]].concat();
                let expected = if index == 0 { Verdict::Valid } else { Verdict::Invalid };
                assert_eq!(check(&ed25519(key), b"any", &signature), expected, "{key}, {r}");
            }
        }
    }

    #[test]
    fn r_with_a_part_of_low_order_is_refused() {
        // With the neutral key, S = 0 and R the point of order 2, the equation holds only times the cofactor.
        let order_two = "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
        let signature = [unhex(order_two), vec![0; 32]].concat();
        assert_eq!(check(&ed25519(NEUTRAL[0]), b"any", &signature), Verdict::Invalid);
    }

    #[test]
    fn what_is_no_point_or_no_signature_is_invalid() {
        let signer = Signer::from_seed(&Ed25519Seed::from_bytes([6; 32]));
        let signature = signer.sign(b"m");
        // y = 2 has no x.
        let no_point = ed25519("0200000000000000000000000000000000000000000000000000000000000000");
        assert_eq!(check(&no_point, b"m", &signature), Verdict::Invalid);
        for length in [0, 1, 40, 63] {
            assert_eq!(
                check(&signer.public_key(), b"m", &signature[..length]),
                Verdict::Invalid,
                "{length} bytes"
            );
        }
        let longer = [signature.as_slice(), &[0]].concat();
        assert_eq!(check(&signer.public_key(), b"m", &longer), Verdict::Invalid);
    }

    /// All eight points of low order; number 1 makes the others.
    fn low_order() -> [EdwardsPoint; 8] {
        curve25519_dalek::constants::EIGHT_TORSION
    }

    /// Signs with a key and an `R` to which points of low order are added; `k` comes with it, modulo 8.
    fn mixed_order(key_part: usize, r_part: usize, message: &[u8]) -> (Vec<u8>, [u8; 64], u8) {
        let secret = Scalar::from_bytes_mod_order([0x21; 32]);
        let nonce = Scalar::from_bytes_mod_order([0x43; 32]);
        let key = (EdwardsPoint::mul_base(&secret) + low_order()[key_part]).compress();
        let r = (EdwardsPoint::mul_base(&nonce) + low_order()[r_part]).compress();
        let hash = Sha512::new().chain_update(r.as_bytes()).chain_update(key.as_bytes());
        let k = Scalar::from_bytes_mod_order_wide(&hash.chain_update(message).finalize().into());
        let s = nonce + k * secret;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(r.as_bytes());
        signature[32..].copy_from_slice(s.as_bytes());
        (key.as_bytes().to_vec(), signature, k.as_bytes()[0] % 8)
    }

    // The equation holds times the cofactor for all of these; without it, only where the parts of low order cancel.
    #[test]
    fn parts_of_low_order_have_to_cancel_in_a_batch_as_alone() {
        let honest = Signer::from_seed(&Ed25519Seed::from_bytes([9; 32]));
        let honest_key = honest.public_key();
        let mut found = [0, 0];
        for (key_part, r_part) in (0..8).flat_map(|key| (0..8).map(move |r| (key, r))) {
            for number in 0..6u8 {
                let message = [number; 3];
                let (key, signature, k) = mixed_order(key_part, r_part, &message);
                let key = SigningPublicKey::new(SignatureType::Ed25519, &key).unwrap();
                let cancels = (usize::from(k) * key_part + r_part).is_multiple_of(8);
                let expected = if cancels { Verdict::Valid } else { Verdict::Invalid };
                assert_eq!(check(&key, &message, &signature), expected);
                found[usize::from(cancels)] += 1;

                // Two that are wrong by the same part would cancel in a sum with even coefficients.
                let honest_signature = honest.sign(&message);
                let crafted = SignatureCheck {
                    key: &key,
                    prefix: b"",
                    message: &message,
                    signature: &signature,
                };
                let good = SignatureCheck {
                    key: &honest_key,
                    prefix: b"",
                    message: &message,
                    signature: &honest_signature,
                };
                let mut verdicts = [Verdict::Unsupported; 4];
                verify_batch(&[crafted, good, crafted, good], &mut verdicts);
                assert_eq!(verdicts, [expected, Verdict::Valid, expected, Verdict::Valid]);
            }
        }
        assert!(found[0] > 100 && found[1] > 20, "{found:?}");
    }

    #[test]
    fn keys_of_low_order_follow_the_same_rule() {
        for (part, key) in low_order().into_iter().enumerate() {
            let key = key.compress();
            let public = SigningPublicKey::new(SignatureType::Ed25519, key.as_bytes()).unwrap();
            // S = 0: the rule asks for R = -kA, which has low order too.
            let mut valid = 0;
            for r in low_order() {
                let r = r.compress();
                let hash = Sha512::new().chain_update(r.as_bytes()).chain_update(key.as_bytes());
                let k = hash.chain_update(b"any").finalize();
                let k = Scalar::from_bytes_mod_order_wide(&k.into());
                let wanted = low_order()[(8 - usize::from(k.as_bytes()[0] % 8) * part % 8) % 8];
                let signature = [&r.as_bytes()[..], &[0; 32]].concat();
                let expected =
                    if wanted.compress() == r { Verdict::Valid } else { Verdict::Invalid };
                assert_eq!(check(&public, b"any", &signature), expected, "key {part}");
                valid += usize::from(expected == Verdict::Valid);
            }
            assert!(valid < 8);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_bytes_get_a_verdict(
            key in any::<[u8; 32]>(),
            message in prop::collection::vec(any::<u8>(), 0..64),
            signature in prop::collection::vec(any::<u8>(), 0..130),
        ) {
            let key = SigningPublicKey::new(SignatureType::Ed25519, &key).unwrap();
            prop_assert_eq!(check(&key, &message, &signature), Verdict::Invalid);
        }
    }
}
