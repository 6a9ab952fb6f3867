//! RedDSA on Ed25519: signing, and the private side of blinding.
//!
//! A signature is that of Ed25519 but for its nonce, which is drawn from 80 random bytes, key and message; it is
//! checked by the rule of Ed25519. Keys are plain scalars, so a number can be added to one and its public key
//! follows: this is blinding. Spec: encrypted LeaseSet, key blinding and sign/verify calculations.

use std::fmt;

use curve25519_dalek::{EdwardsPoint, Scalar};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{SignatureType, SigningPublicKey};
use crate::crypto::blinding::BlindingFactor;
use crate::crypto::hash::sha512_parts;
use crate::crypto::secret::{Ed25519Seed, RedDsaSecret};

/// RedDSA private key, ready to sign. Erased on drop.
#[derive(ZeroizeOnDrop)]
pub struct RedDsaSigner {
    scalar: Scalar,
    #[zeroize(skip)]
    public: [u8; 32],
}

impl RedDsaSigner {
    /// The signer of `secret`; `None` where it is zero or not below the group order.
    #[must_use]
    pub fn from_secret(secret: &RedDsaSecret) -> Option<Self> {
        let scalar = Option::<Scalar>::from(Scalar::from_canonical_bytes(*secret.expose()))?;
        (scalar != Scalar::ZERO).then(|| Self::from_scalar(scalar))
    }

    /// The signer of an Ed25519 key, under the same public key. Spec: Red25519, conversion functions.
    #[must_use]
    pub fn from_ed25519(seed: &Ed25519Seed) -> Self {
        let expanded = Zeroizing::new(sha512_parts(&[seed.expose()]));
        let half = expanded.first_chunk().expect("64 bytes have 32");
        let clamped = Zeroizing::new(curve25519_dalek::scalar::clamp_integer(*half));
        Self::from_scalar(Scalar::from_bytes_mod_order(*clamped))
    }

    fn from_scalar(scalar: Scalar) -> Self {
        let public = EdwardsPoint::mul_base(&scalar).compress().to_bytes();
        Self { scalar, public }
    }

    /// The signer of the blinded key. Spec: encrypted LeaseSet, `BLIND_PRIVKEY`.
    #[must_use]
    pub fn blinded(&self, factor: &BlindingFactor) -> Self {
        Self::from_scalar(self.scalar + factor.scalar())
    }

    /// The private key, for a key file.
    #[must_use]
    pub fn secret(&self) -> RedDsaSecret {
        RedDsaSecret::from_bytes(self.scalar.to_bytes())
    }

    /// The key that its signatures are checked with.
    #[must_use]
    pub fn public_key(&self) -> SigningPublicKey {
        SigningPublicKey { kind: SignatureType::RedDsa, bytes: self.public.as_slice().into() }
    }

    /// The signature of `message`. `random` must be fresh for every signature.
    #[must_use]
    pub fn sign(&self, random: &[u8; 80], message: &[u8]) -> [u8; 64] {
        let mut nonce = reduced(&[random, &self.public, message]);
        let r = EdwardsPoint::mul_base(&nonce).compress().to_bytes();
        let k = reduced(&[&r, &self.public, message]);
        let s = (nonce + k * self.scalar).to_bytes();
        nonce.zeroize();
        let mut signature = [0; 64];
        let (front, back) = signature.split_at_mut(32);
        front.copy_from_slice(&r);
        back.copy_from_slice(&s);
        signature
    }
}

impl fmt::Debug for RedDsaSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedDsaSigner(secret)")
    }
}

/// SHA-512 of `parts` as a number modulo the group order.
fn reduced(parts: &[&[u8]]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&sha512_parts(parts))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::signature::{SignatureCheck, Verdict, verify};
    use crate::crypto::testing::{hex, unhex, unhex_array};

    fn check(signer: &RedDsaSigner, message: &[u8], signature: &[u8]) -> Verdict {
        verify(&SignatureCheck { key: &signer.public_key(), prefix: b"", message, signature })
    }

    // Vectors 1 and 2 of the Red25519 document: keys only, since its signatures are of another form.
    #[test]
    fn keys_of_the_red25519_document() {
        for (seed, secret, public) in [
            (
                "0101010101010101010101010101010101010101010101010101010101010101",
                "58e86efb75fa4e2c410f46e16de9f6acae1a1703528651b69bc176c088bef36e",
                "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
            ),
            (
                "0202020202020202020202020202020202020202020202020202020202020202",
                "a83c626bc9c38c8c201878ebb1d5b0b50ac40e8986c78793db1d4ef369fca14e",
                "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
            ),
        ] {
            let signer = RedDsaSigner::from_ed25519(&Ed25519Seed::from_bytes(unhex_array(seed)));
            assert_eq!(hex(signer.public_key().bytes()), public);
            // The document's key is clamped but not reduced; ours is the same number modulo the order.
            let reduced = Scalar::from_bytes_mod_order(unhex_array(secret)).to_bytes();
            assert_eq!(signer.secret().expose(), &reduced);
        }
    }

    // The blinded key of vector 1 signs 32 bytes of 2, with 80 bytes of 0x2a as its random part, in the form of
    // the encrypted LeaseSet document.
    #[test]
    fn known_signature() {
        let secret = "8bb85f3c7a494a08890d7d142109c1a3501d04565d80227e2079097800fbe107";
        let signer = RedDsaSigner::from_secret(&RedDsaSecret::from_bytes(unhex_array(secret)));
        let signer = signer.unwrap();
        assert_eq!(
            hex(signer.public_key().bytes()),
            "6fe128737b8e76fa66698a748b0dc0a89168dd8a0601c2b1c0b26835d323e9b3"
        );
        let signature = signer.sign(&[0x2a; 80], &[2; 32]);
        assert_eq!(
            hex(&signature),
            "e4bd387a6c6f39d06d08f68ac22318a6b0bd72112c0fb9233bef49e1abcabd4a\
             53d1bf6b2823e090c6c48c8f728156a78cae66e6b7f4734b6797b81d94d8880f"
        );
        assert_eq!(check(&signer, &[2; 32], &signature), Verdict::Valid);
        assert_eq!(check(&signer, &[3; 32], &signature), Verdict::Invalid);
    }

    #[test]
    fn a_secret_is_above_zero_and_below_the_order() {
        let order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        for refused in [[0; 32], [0xff; 32], order.try_into().unwrap()] {
            assert!(RedDsaSigner::from_secret(&RedDsaSecret::from_bytes(refused)).is_none());
        }
        assert!(RedDsaSigner::from_secret(&RedDsaSecret::from_bytes([1; 32])).is_some());
    }

    #[test]
    fn debug_is_mute() {
        let signer = RedDsaSigner::from_ed25519(&Ed25519Seed::from_bytes([1; 32]));
        assert_eq!(format!("{signer:?}"), "RedDsaSigner(secret)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn signatures_hold_and_differ_by_their_random_part(
            seed in any::<[u8; 32]>(),
            random in any::<[u8; 32]>(),
            message in prop::collection::vec(any::<u8>(), 0..200),
            at in 0..64_usize,
        ) {
            let signer = RedDsaSigner::from_ed25519(&Ed25519Seed::from_bytes(seed));
            let mut fresh = [0; 80];
            fresh[..32].copy_from_slice(&random);
            let signature = signer.sign(&fresh, &message);
            prop_assert_eq!(check(&signer, &message, &signature), Verdict::Valid);
            let mut forged = signature;
            forged[at] ^= 1;
            prop_assert_eq!(check(&signer, &message, &forged), Verdict::Invalid);
            fresh[79] ^= 1;
            prop_assert_ne!(signer.sign(&fresh, &message), signature);
        }
    }
}
