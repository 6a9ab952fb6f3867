//! Why signatures are checked one by one: what a batch would cost, with and without the one rule.
//!
//! The left column is a lower bound of the batch, without its hashes: decompress every R, add everything up under
//! random coefficients, and, for the rule's sake, find out that no R has a part of low order. See
//! `crypto/signature/ed25519.rs`.

use std::hint::black_box;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use curve25519_dalek::{EdwardsPoint, Scalar};
use floodway::crypto::secret::Ed25519Seed;
use floodway::crypto::signature::{
    SignatureCheck, Signer, SigningPublicKey, Verdict, verify, verify_batch,
};

use crate::{Pair, Work};

const BATCH: u8 = 16;
/// Bytes of what is signed: a usual RouterInfo.
const MESSAGE: [u8; 800] = [0x3c; 800];

struct Signed {
    key: SigningPublicKey,
    signature: [u8; 64],
}

fn signed() -> Vec<Signed> {
    let one = |n| {
        let signer = Signer::from_seed(&Ed25519Seed::from_bytes([n; 32]));
        Signed { key: signer.public_key(), signature: signer.sign(&MESSAGE) }
    };
    (0..BATCH).map(one).collect()
}

fn checks(signed: &[Signed]) -> Vec<SignatureCheck<'_>> {
    signed
        .iter()
        .map(|it| SignatureCheck {
            key: &it.key,
            prefix: b"",
            message: &MESSAGE,
            signature: &it.signature,
        })
        .collect()
}

/// What the sum of a batch needs, as it is on the wire.
struct Equation {
    r: Vec<CompressedEdwardsY>,
    keys: Vec<EdwardsPoint>,
    scalars: Vec<Scalar>,
}

impl Equation {
    fn of(signed: &[Signed]) -> Self {
        let point = |bytes: &[u8]| CompressedEdwardsY::from_slice(bytes).expect("32 bytes");
        let decompressed = |it: &Signed| point(it.key.bytes()).decompress().expect("a key");
        let scalar = |n: u16, bytes: usize| {
            let mut wide = [0; 64];
            for (byte, value) in wide.iter_mut().zip(1..=bytes) {
                *byte = u8::try_from(value).unwrap_or(0).wrapping_mul(37) ^ n.to_le_bytes()[0];
            }
            Scalar::from_bytes_mod_order_wide(&wide)
        };
        let random = (0..u16::from(BATCH)).map(|n| scalar(n, 16));
        let full = (0..=u16::from(BATCH)).map(|n| scalar(n, 64));
        Self {
            r: signed.iter().map(|it| point(&it.signature[..32])).collect(),
            keys: signed.iter().map(decompressed).collect(),
            scalars: random.chain(full).collect(),
        }
    }

    /// The points R, and the sum of all points under the coefficients.
    fn sum(&self) -> (Vec<EdwardsPoint>, EdwardsPoint) {
        let r: Vec<_> = self.r.iter().map(|r| r.decompress().expect("a point")).collect();
        let points = r.iter().chain(&self.keys).chain([&ED25519_BASEPOINT_POINT]);
        let sum = EdwardsPoint::vartime_multiscalar_mul(&self.scalars, points);
        (r, sum)
    }
}

/// Whether `point` has no part of low order; the fastest way that the crate offers.
fn is_torsion_free(point: &EdwardsPoint) -> bool {
    let order_less_one = -Scalar::ONE;
    let product =
        EdwardsPoint::vartime_double_scalar_mul_basepoint(&order_less_one, point, &Scalar::ZERO);
    (product + point).is_identity()
}

/// A batch by another rule, the same by ours, and what the router does.
pub fn pairs() -> Vec<Pair> {
    let equation = Equation::of(&signed());
    let other_rule = move || {
        black_box(black_box(&equation).sum());
    };
    let equation = Equation::of(&signed());
    let our_rule = move || {
        let (r, sum) = black_box(&equation).sum();
        black_box(sum);
        assert!(r.iter().all(is_torsion_free));
    };
    let router = {
        let signed = signed();
        move || {
            let mut verdicts = Vec::new();
            verify_batch(&checks(&signed), &mut verdicts);
            assert!(black_box(verdicts).iter().all(|verdict| *verdict == Verdict::Valid));
        }
    };
    let ours: [(&str, Work); 3] = [
        ("ed25519 x16, sum alone: another rule", Box::new(other_rule)),
        ("ed25519 x16, sum and torsion: our rule", Box::new(our_rule)),
        ("ed25519 x16, as the router does", Box::new(router)),
    ];
    ours.into_iter()
        .map(|(name, ours)| {
            let signed = signed();
            let single = move || {
                for check in checks(&signed) {
                    assert_eq!(verify(black_box(&check)), Verdict::Valid);
                }
            };
            let (units, reference) = (BATCH.into(), Box::new(single));
            Pair { name: name.to_owned(), units, ours, reference, asked: None }
        })
        .collect()
}
