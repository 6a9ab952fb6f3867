//! Blinding of destination keys: under which key an encrypted LeaseSet is found on a day, and what a client needs
//! to know to read it. Spec: encrypted LeaseSet, key blinding and subcredential.
//!
//! A destination's key A becomes A' = A + alpha·B, another for every day in UTC. Whoever knows the destination, the
//! day and the secret, if it has one, computes A'; whoever sees A' learns nothing of A.

use std::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::{EdwardsPoint, Scalar};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::crypto::hash::{hkdf, sha256_parts};
use crate::crypto::signature::{SignatureType, SigningPublicKey};

/// Why a key cannot be blinded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlindingError {
    /// Only Ed25519 and RedDSA keys can.
    #[error("keys of {0:?} cannot be blinded")]
    Type(SignatureType),
    /// The key's bytes are no point of the curve.
    #[error("the key is no point of the curve")]
    NoPoint,
}

/// The number alpha that is added to a key on one day. Secret, since it leads back from the blinded key. Erased on
/// drop.
#[derive(ZeroizeOnDrop)]
pub struct BlindingFactor(Scalar);

impl BlindingFactor {
    /// The factor of `key` on the day `date`, eight digits `YYYYMMDD` in UTC, with the destination's `secret`, empty
    /// where it has none. Spec: encrypted LeaseSet, `GENERATE_ALPHA`.
    pub fn derive(
        key: &SigningPublicKey,
        date: &[u8; 8],
        secret: &[u8],
    ) -> Result<Self, BlindingError> {
        let salt = sha256_of_key("I2PGenerateAlpha", key)?;
        let input = Zeroizing::new([date, secret].concat());
        let (front, back) = hkdf(&salt, &input, b"i2pblinding1");
        let mut seed = Zeroizing::new([0; 64]);
        let (low, high) = seed.split_at_mut(32);
        low.copy_from_slice(&front);
        high.copy_from_slice(&back);
        Ok(Self(Scalar::from_bytes_mod_order_wide(&seed)))
    }

    pub(super) fn scalar(&self) -> &Scalar {
        &self.0
    }

    /// The blinded form of `key`, of type RedDSA. Spec: encrypted LeaseSet, `BLIND_PUBKEY`.
    pub fn blind(&self, key: &SigningPublicKey) -> Result<SigningPublicKey, BlindingError> {
        check_type(key)?;
        let compressed = CompressedEdwardsY::from_slice(key.bytes());
        let point = compressed.ok().and_then(|point| point.decompress());
        let point = point.ok_or(BlindingError::NoPoint)?;
        let blinded = (point + EdwardsPoint::mul_base(&self.0)).compress();
        SigningPublicKey::new(SignatureType::RedDsa, blinded.as_bytes())
            .ok_or(BlindingError::NoPoint)
    }
}

impl fmt::Debug for BlindingFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlindingFactor(secret)")
    }
}

/// What keys of an encrypted LeaseSet's outer layer are made from: shown by whoever knows the destination whose key
/// is `key` and the `blinded` key of the day.
pub fn subcredential(
    key: &SigningPublicKey,
    blinded: &SigningPublicKey,
) -> Result<[u8; 32], BlindingError> {
    let credential = sha256_of_key("credential", key)?;
    Ok(sha256_parts(&[b"subcredential", &credential, blinded.bytes()]))
}

/// SHA-256 of `label`, the key, its type and the type of the blinded key.
fn sha256_of_key(label: &str, key: &SigningPublicKey) -> Result<[u8; 32], BlindingError> {
    check_type(key)?;
    let (kind, blinded) = (key.kind().code(), SignatureType::RedDsa.code());
    Ok(sha256_parts(&[label.as_bytes(), key.bytes(), &kind.to_be_bytes(), &blinded.to_be_bytes()]))
}

fn check_type(key: &SigningPublicKey) -> Result<(), BlindingError> {
    match key.kind() {
        SignatureType::Ed25519 | SignatureType::RedDsa => Ok(()),
        other @ (SignatureType::DsaSha1
        | SignatureType::EcdsaP256
        | SignatureType::EcdsaP384
        | SignatureType::EcdsaP521
        | SignatureType::Rsa2048
        | SignatureType::Rsa3072
        | SignatureType::Rsa4096
        | SignatureType::Ed25519Ph
        | SignatureType::Unknown(_)) => Err(BlindingError::Type(other)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::secret::Ed25519Seed;
    use crate::crypto::signature::RedDsaSigner;
    use crate::crypto::testing::{hex, unhex, unhex_array};

    const KEY: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";

    fn key(kind: SignatureType, text: &str) -> SigningPublicKey {
        SigningPublicKey::new(kind, &unhex(text)).unwrap()
    }

    fn factor(text: &str) -> BlindingFactor {
        BlindingFactor(Scalar::from_canonical_bytes(unhex_array(text)).unwrap())
    }

    // Vectors 1 and 2 of the Red25519 document: Ed25519 seed, alpha, and both blinded keys.
    #[test]
    fn keys_of_the_red25519_document() {
        for (seed, alpha, secret, public) in [
            (
                [1; 32],
                "ae9ba9cbbc047c442448fca7c9f4e288a202ed520bfad0c784b792b7773cee08",
                "8bb85f3c7a494a08890d7d142109c1a3501d04565d80227e2079097800fbe107",
                "6fe128737b8e76fa66698a748b0dc0a89168dd8a0601c2b1c0b26835d323e9b3",
            ),
            (
                [2; 32],
                "98b615d9027e996cc2796c019d9c8beb46aa7d2b6eea2e5d98eb29eb1584c203",
                "9fcfaa734852ca40b3810ebef590e138516e8cb4f4b1b6f0730978de7f806402",
                "527e121090158419609e4a0d8de6f7d3271b353a8cd0b8172fe41468ea1e9177",
            ),
        ] {
            let signer = RedDsaSigner::from_ed25519(&Ed25519Seed::from_bytes(seed));
            let blinded = signer.blinded(&factor(alpha));
            assert_eq!(hex(blinded.secret().expose()), secret);
            assert_eq!(hex(blinded.public_key().bytes()), public);
            let alone = factor(alpha).blind(&signer.public_key()).unwrap();
            assert_eq!(alone, blinded.public_key());
        }
    }

    // Computed from the formulas by a script with arithmetic of its own: type, day and secret of the destination;
    // alpha, blinded key, subcredential.
    #[test]
    fn known_days() {
        for (kind, date, secret, alpha, blinded, known) in [
            (
                SignatureType::Ed25519,
                b"20260101",
                "",
                "4dc7a73a554a2f68e8a8920eed162e5bf3e12e80c4b7b44b54724505c79a4c05",
                "c8d3207b383392c6487f51a112afa0d8756fe79d4b6649b53f26a07df8c3ae88",
                "119ac181c784af9c8d68e59c6137ea01fc479b359700e5cbdf1d9e812282d20e",
            ),
            (
                SignatureType::RedDsa,
                b"20260101",
                "",
                "0981a3c668b535fb0811964c49cefa89c1a336593106bd572008063ee2c1540c",
                "66897973b64850f5df0ba080a714964a34388f69bf20fef68c6eddd6a947e83e",
                "d9c8ca0bfa64b6a34a5f321848fadacf0a11aa8fdd2ed02a4b045a82bfbd669f",
            ),
            (
                SignatureType::Ed25519,
                b"20260102",
                "secret",
                "41447399855291e587ee29be15a1f9cf96a869da6d712269d24e96a9fa07850e",
                "8ce1c04c96463f62ac3503e6441c847df7c632153a00df72bbc7fb7dfe4baee7",
                "6ab7a652d26392f2ce26bb1a5149cb7cf7f023cbef2b95c0632d20e37c695ca9",
            ),
        ] {
            let key = key(kind, KEY);
            let factor = BlindingFactor::derive(&key, date, secret.as_bytes()).unwrap();
            assert_eq!(hex(&factor.0.to_bytes()), alpha);
            let found = factor.blind(&key).unwrap();
            assert_eq!(found.kind(), SignatureType::RedDsa);
            assert_eq!(hex(found.bytes()), blinded);
            assert_eq!(hex(&subcredential(&key, &found).unwrap()), known);
        }
    }

    #[test]
    fn other_keys_are_refused() {
        let ecdsa = SigningPublicKey::new(SignatureType::EcdsaP256, &[1; 64]).unwrap();
        let refused = BlindingError::Type(SignatureType::EcdsaP256);
        assert_eq!(BlindingFactor::derive(&ecdsa, b"20260101", b"").err(), Some(refused));
        let alpha = BlindingFactor(Scalar::ONE);
        assert_eq!(alpha.blind(&ecdsa), Err(refused));
        assert_eq!(subcredential(&ecdsa, &ecdsa), Err(refused));
        // y = 2 has no x.
        let no_point = "0200000000000000000000000000000000000000000000000000000000000000";
        let no_point = key(SignatureType::Ed25519, no_point);
        assert_eq!(alpha.blind(&no_point), Err(BlindingError::NoPoint));
        assert_eq!(format!("{alpha:?}"), "BlindingFactor(secret)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn blinded_private_and_public_keys_belong_together(
            seed in any::<[u8; 32]>(),
            date in "[0-9]{8}",
            secret in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let signer = RedDsaSigner::from_ed25519(&Ed25519Seed::from_bytes(seed));
            let date = date.as_bytes().try_into().unwrap();
            let factor = BlindingFactor::derive(&signer.public_key(), date, &secret).unwrap();
            let blinded = factor.blind(&signer.public_key()).unwrap();
            prop_assert_eq!(signer.blinded(&factor).public_key(), blinded);
        }
    }
}
