//! X25519 key agreement (RFC 7748), one or a batch.

#[cfg(feature = "accelerated")]
mod aws_lc;
#[cfg_attr(
    all(feature = "accelerated", not(test)),
    expect(dead_code, reason = "the oracle of tests")
)]
mod portable;

use std::fmt;

#[cfg(feature = "accelerated")]
use self::aws_lc as provider;
#[cfg(not(feature = "accelerated"))]
use self::portable as provider;
use crate::crypto::secret::{SharedSecret, X25519Secret};

/// X25519 public key in its wire form: 32 bytes, little-endian u coordinate.
///
/// Any bytes are a key; the top bit is ignored by the function (RFC 7748, section 5), so whoever wants it clear
/// checks that for himself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct X25519Public(pub [u8; 32]);

// Four bytes only: no log line identifies a router in full by accident.
impl fmt::Debug for X25519Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "X25519Public({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

/// The other side's point has low order: the result is all zero whatever our secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("public key is a point of low order")]
pub struct WeakKey;

/// The public key that belongs to `secret`.
#[must_use]
pub fn public_key(secret: &X25519Secret) -> X25519Public {
    provider::public_key(secret)
}

/// X25519 of `secret` and `public`, refused where the result would be all zero.
pub fn diffie_hellman(
    secret: &X25519Secret,
    public: &X25519Public,
) -> Result<SharedSecret, WeakKey> {
    provider::diffie_hellman(secret, public)
}

/// One Diffie-Hellman of a batch.
#[derive(Debug)]
pub struct DhJob<'a> {
    /// Our side.
    pub secret: &'a X25519Secret,
    /// The other side.
    pub public: X25519Public,
}

/// Runs every job and appends its result to `out`, in the order of `jobs`. One weak key does not disturb the others.
pub fn diffie_hellman_batch(jobs: &[DhJob<'_>], out: &mut Vec<Result<SharedSecret, WeakKey>>) {
    out.reserve(jobs.len());
    out.extend(jobs.iter().map(|job| diffie_hellman(job.secret, &job.public)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::testing::{hex, unhex_array};

    fn secret(text: &str) -> X25519Secret {
        X25519Secret::from_bytes(unhex_array(text))
    }

    fn public(text: &str) -> X25519Public {
        X25519Public(unhex_array(text))
    }

    fn agree(secret: &X25519Secret, public: &X25519Public) -> String {
        hex(diffie_hellman(secret, public).unwrap().expose())
    }

    // RFC 7748, section 5.2.
    #[test]
    fn rfc_7748_single() {
        assert_eq!(
            agree(
                &secret("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
                &public("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
            ),
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
        );
        // The top bit of this u coordinate is set, and ignored.
        assert_eq!(
            agree(
                &secret("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
                &public("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
            ),
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"
        );
    }

    // RFC 7748, section 5.2: the result becomes the next scalar, the scalar the next u.
    #[test]
    fn rfc_7748_iterated() {
        let mut k = unhex_array("0900000000000000000000000000000000000000000000000000000000000000");
        let mut u = k;
        for round in 1..=1000 {
            let next =
                diffie_hellman(&X25519Secret::from_bytes(k), &X25519Public(u)).expect("not weak");
            u = k;
            k = *next.expose();
            if round == 1 {
                assert_eq!(
                    hex(&k),
                    "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
                );
            }
        }
        assert_eq!(hex(&k), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
    }

    // RFC 7748, section 6.1.
    #[test]
    fn rfc_7748_exchange() {
        let alice = secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let bob = secret("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        assert_eq!(
            hex(&public_key(&alice).0),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
        );
        assert_eq!(
            hex(&public_key(&bob).0),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
        );
        let shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
        assert_eq!(agree(&alice, &public_key(&bob)), shared);
        assert_eq!(agree(&bob, &public_key(&alice)), shared);
    }

    #[test]
    fn public_keys_of_repeated_bytes() {
        let of = |byte| hex(&public_key(&X25519Secret::from_bytes([byte; 32])).0);
        assert_eq!(of(1), "a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209");
        assert_eq!(of(2), "ce8d3ad1ccb633ec7b70c17814a5c76ecd029685050d344745ba05870e587d59");
        assert_eq!(of(3), "5dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef22");
        assert_eq!(of(4), "ac01b2209e86354fb853237b5de0f4fab13c7fcbf433a61c019369617fecf10b");
    }

    /// All u coordinates of low order below 2^255: 0, 1, the two of order 8, p-1, p, p+1.
    const LOW_ORDER: [&str; 7] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];

    #[test]
    fn points_of_low_order_are_refused() {
        let secret = X25519Secret::from_bytes([0x42; 32]);
        for text in LOW_ORDER {
            assert_eq!(diffie_hellman(&secret, &public(text)).err(), Some(WeakKey), "{text}");
            let mut top_bit = public(text);
            top_bit.0[31] |= 0x80;
            assert_eq!(diffie_hellman(&secret, &top_bit).err(), Some(WeakKey), "{text}, top bit");
            let oracle = portable::diffie_hellman(&secret, &public(text));
            assert_eq!(oracle.err(), Some(WeakKey), "{text}, portable");
        }
    }

    #[test]
    fn a_weak_key_leaves_its_neighbours_alone() {
        let (a, b) = (X25519Secret::from_bytes([1; 32]), X25519Secret::from_bytes([2; 32]));
        let jobs = [
            DhJob { secret: &a, public: public_key(&b) },
            DhJob { secret: &a, public: X25519Public([0; 32]) },
            DhJob { secret: &b, public: public_key(&a) },
        ];
        let mut out = vec![Err(WeakKey)];
        diffie_hellman_batch(&jobs, &mut out);
        assert_eq!(out.len(), 4, "appended to what was there");
        assert_eq!(out[2].as_ref().err(), Some(&WeakKey));
        assert!(out[1].as_ref().unwrap().ct_eq(out[3].as_ref().unwrap()));
    }

    #[test]
    fn debug_shows_four_bytes() {
        assert_eq!(format!("{:?}", X25519Public([0xab; 32])), "X25519Public(abababab)");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn batch_equals_single(pairs in prop::collection::vec(any::<([u8; 32], [u8; 32], bool)>(), 0..20)) {
            let secrets: Vec<_> = pairs.iter().map(|pair| X25519Secret::from_bytes(pair.0)).collect();
            let jobs: Vec<_> = secrets
                .iter()
                .zip(&pairs)
                .map(|(secret, pair)| {
                    let public = X25519Public(if pair.2 { pair.1 } else { [0; 32] });
                    DhJob { secret, public }
                })
                .collect();
            let mut out = Vec::new();
            diffie_hellman_batch(&jobs, &mut out);
            prop_assert_eq!(out.len(), jobs.len());
            for (job, batch) in jobs.iter().zip(&out) {
                match (diffie_hellman(job.secret, &job.public), batch) {
                    (Ok(single), Ok(batch)) => prop_assert!(single.ct_eq(batch)),
                    (Err(WeakKey), Err(WeakKey)) => {}
                    (single, batch) => prop_assert!(false, "{single:?} and {batch:?}"),
                }
            }
        }

        #[test]
        fn providers_agree(secret in any::<[u8; 32]>(), public in any::<[u8; 32]>()) {
            let (secret, public) = (X25519Secret::from_bytes(secret), X25519Public(public));
            prop_assert_eq!(provider::public_key(&secret), portable::public_key(&secret));
            let one = provider::diffie_hellman(&secret, &public).unwrap();
            prop_assert!(one.ct_eq(&portable::diffie_hellman(&secret, &public).unwrap()));
        }

        #[test]
        fn both_sides_agree(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
            let (a, b) = (X25519Secret::from_bytes(a), X25519Secret::from_bytes(b));
            prop_assert_eq!(agree(&a, &public_key(&b)), agree(&b, &public_key(&a)));
        }
    }
}
