//! RSA with 2048, 3072 and 4096 bits, as su3 files have it: PKCS #1 v1.5 around the bare digest.
//!
//! A key is the modulus alone, big-endian; the public exponent is 65537. What is signed is
//! `00 01 ff … ff 00 ‖ digest`, filled to the size of the modulus, without the DigestInfo that RFC 8017, section
//! 9.2, puts before the digest: Java signs a su3 file's hash so, and all reseed servers follow. All of these bytes
//! are compared. A modulus that is even or shorter than its type says, and a signature that is not below the
//! modulus, are refused. Identities with RSA keys do not occur: no router accepts them.
//!
//! Checking runs in a time that depends on what is checked, all of which is public. Signing, which only the maker
//! of a su3 file does, exponentiates in constant time; copies that the arithmetic leaves on the stack are not
//! erased. The `rsa` crate is not used: it warns of a timing leak in its private-key operations (RUSTSEC-2023-0071),
//! and the check above is all that would be taken from it.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U64, U2048, U3072, U4096, Uint};
use zeroize::Zeroizing;

use super::{SignatureCheck, SignatureType};
use crate::crypto::hash::{sha256_parts, sha384_parts, sha512_parts};

const PUBLIC_EXPONENT: U64 = U64::from_u64(65537);

/// Private key: modulus, and private exponent, which is erased on drop.
pub(super) struct Secret {
    kind: SignatureType,
    modulus: Box<[u8]>,
    exponent: Zeroizing<Box<[u8]>>,
}

impl Secret {
    /// The key of type `kind` in `bytes`, modulus ‖ private exponent in equal halves. `None` where the size is not
    /// the type's, or where the exponent does not belong to the modulus: a signature made on trial must hold.
    pub(super) fn new(kind: SignatureType, bytes: &[u8]) -> Option<Self> {
        let size = kind.public_key_size()?;
        let (modulus, exponent) = bytes.split_at_checked(size)?;
        if exponent.len() != size {
            return None;
        }
        let exponent = Zeroizing::new(exponent.into());
        let secret = Self { kind, modulus: modulus.into(), exponent };
        secret.sign(b"").map(|_| secret)
    }

    pub(super) fn kind(&self) -> SignatureType {
        self.kind
    }

    /// The modulus.
    pub(super) fn public_key(&self) -> Box<[u8]> {
        self.modulus.clone()
    }

    /// The signature of `message`, checked before it is given out: one that a fault has spoiled would tell the
    /// factors of the modulus. `None` only where it does not hold.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Box<[u8]>> {
        let expected = padded(self.kind, &[message])?;
        let signature = power(&self.modulus, &expected, Exponent::Private(&self.exponent))?;
        (power(&self.modulus, &signature, Exponent::Public)? == expected).then_some(signature)
    }
}

/// `Some` when the signature holds.
pub(super) fn check(check: &SignatureCheck<'_>) -> Option<()> {
    let expected = padded(check.key.kind(), &[check.prefix, check.message])?;
    let found = power(check.key.bytes(), check.signature, Exponent::Public)?;
    (found == expected).then_some(())
}

/// What a signature of `parts` must be after exponentiation.
fn padded(kind: SignatureType, parts: &[&[u8]]) -> Option<Box<[u8]>> {
    let digest: Box<[u8]> = match kind {
        SignatureType::Rsa2048 => sha256_parts(parts).into(),
        SignatureType::Rsa3072 => sha384_parts(parts).into(),
        SignatureType::Rsa4096 => sha512_parts(parts).into(),
        SignatureType::DsaSha1
        | SignatureType::EcdsaP256
        | SignatureType::EcdsaP384
        | SignatureType::EcdsaP521
        | SignatureType::Ed25519
        | SignatureType::Ed25519Ph
        | SignatureType::RedDsa
        | SignatureType::Unknown(_) => return None,
    };
    let filling = kind.signature_size()?.checked_sub(3 + digest.len())?;
    Some([&[0, 1], &vec![0xff; filling][..], &[0], &digest].concat().into())
}

#[derive(Clone, Copy)]
enum Exponent<'a> {
    /// 65537, in variable time.
    Public,
    /// As many bytes as the modulus has, in constant time.
    Private(&'a [u8]),
}

/// `base` to the power of `exponent` modulo `modulus`. `None` unless all have the size of one type, the modulus is
/// odd and has its top bit set, and the base is below it.
fn power(modulus: &[u8], base: &[u8], exponent: Exponent<'_>) -> Option<Box<[u8]>> {
    match modulus.len() {
        256 => power_of::<{ U2048::LIMBS }>(modulus, base, exponent),
        384 => power_of::<{ U3072::LIMBS }>(modulus, base, exponent),
        512 => power_of::<{ U4096::LIMBS }>(modulus, base, exponent),
        _ => None,
    }
}

fn power_of<const LIMBS: usize>(
    modulus: &[u8],
    base: &[u8],
    exponent: Exponent<'_>,
) -> Option<Box<[u8]>> {
    let (modulus, base) = (number::<LIMBS>(modulus)?, number::<LIMBS>(base)?);
    if modulus.bit_width_vartime() != Uint::<LIMBS>::BITS || base >= modulus {
        return None;
    }
    let params = FixedMontyParams::new_vartime(Option::from(Odd::new(modulus))?);
    let base = FixedMontyForm::new(&base, &params);
    let result = match exponent {
        Exponent::Public => base.pow_vartime(&PUBLIC_EXPONENT),
        Exponent::Private(bytes) => base.pow(&*Zeroizing::new(number::<LIMBS>(bytes)?)),
    };
    Some(result.retrieve().to_be_bytes().as_slice().into())
}

fn number<const LIMBS: usize>(bytes: &[u8]) -> Option<Uint<LIMBS>> {
    (bytes.len() == Uint::<LIMBS>::BYTES).then(|| Uint::from_be_slice(bytes))
}

#[cfg(test)]
mod tests;
