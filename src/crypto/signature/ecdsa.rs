//! ECDSA on P-256, P-384 and P-521, each with the hash of its size, as old destinations have it.
//!
//! A key is X ‖ Y without the leading 04 of SEC 1, a signature r ‖ s; every number is big-endian and filled with
//! zeros to the size of the curve. A key that is no point of the curve, a coordinate that is not reduced, and an
//! r or s that is zero or not below the order are refused. Both s and its negative are taken (FIPS 186-5, 6.4.2),
//! as other routers do.

macro_rules! curve {
    ($curve:ident, $size:literal) => {
        /// One curve: its private keys, and the check of a signature.
        pub(super) mod $curve {
            use ::$curve::ecdsa::signature::{MultipartSigner, MultipartVerifier};
            use ::$curve::ecdsa::{Signature, SigningKey, VerifyingKey};

            use crate::crypto::signature::SignatureCheck;

            /// Private key; the library erases it on drop.
            pub(in crate::crypto::signature) struct Secret(SigningKey);

            impl Secret {
                /// The key that is the number `bytes`; `None` unless it has the size of the curve, is not zero and
                /// below the order.
                pub(in crate::crypto::signature) fn new(bytes: &[u8]) -> Option<Self> {
                    let bytes: &[u8; $size] = bytes.try_into().ok()?;
                    SigningKey::from_slice(bytes).ok().map(Self)
                }

                /// X ‖ Y.
                pub(in crate::crypto::signature) fn public_key(&self) -> Box<[u8]> {
                    let point = self.0.verifying_key().to_sec1_point(false);
                    point.as_bytes().iter().skip(1).copied().collect()
                }

                /// r ‖ s, with the nonce of RFC 6979: no randomness is needed.
                pub(in crate::crypto::signature) fn sign(&self, message: &[u8]) -> Box<[u8]> {
                    let signature: Signature = self.0.multipart_sign(&[message]);
                    signature.to_bytes().as_slice().into()
                }
            }

            /// `Some` when the signature holds.
            pub(in crate::crypto::signature) fn check(check: &SignatureCheck<'_>) -> Option<()> {
                let mut point = [4; 1 + 2 * $size];
                let coordinates: &[u8; 2 * $size] = check.key.bytes().try_into().ok()?;
                *point.last_chunk_mut()? = *coordinates;
                let key = VerifyingKey::from_sec1_bytes(&point).ok()?;
                let signature = Signature::from_slice(check.signature).ok()?;
                key.multipart_verify(&[check.prefix, check.message], &signature).ok()
            }
        }
    };
}

curve!(p256, 32);
curve!(p384, 48);
curve!(p521, 66);

#[cfg(test)]
mod tests {
    use crate::crypto::signature::{
        SignatureCheck, SignatureType, SigningPublicKey, SigningSecret, SigningSecretError,
        Verdict, verify,
    };
    use crate::crypto::testing::{hex, unhex};

    /// RFC 6979, sections A.2.5 to A.2.7: type, private key, public key, and the signature of "sample".
    const KNOWN: [(SignatureType, &str, &str, &str); 3] = [
        (
            SignatureType::EcdsaP256,
            "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
            "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6
             7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716
             f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        ),
        (
            SignatureType::EcdsaP384,
            "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d8
             96d5724e4c70a825f872c9ea60d2edf5",
            "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64
             def8f0ea9055866064a254515480bc138015d9b72d7d57244ea8ef9ac0c62189
             6708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720",
            "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c
             81a648152e44acf96e36dd1e80fabe4699ef4aeb15f178cea1fe40db2603138f
             130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
        ),
        (
            SignatureType::EcdsaP521,
            "00fad06daa62ba3b25d2fb40133da757205de67f5bb0018fee8c86e1b68c7e75
             caa896eb32f1f47c70855836a6d16fcc1466f6d8fbec67db89ec0c08b0e996b8
             3538",
            "01894550d0785932e00eaa23b694f213f8c3121f86dc97a04e5a7167db4e5bcd
             371123d46e45db6b5d5370a7f20fb633155d38ffa16d2bd761dcac474b9a2f50
             23a400493101c962cd4d2fddf782285e64584139c2f91b47f87ff82354d6630f
             746a28a0db25741b5b34a828008b22acc23f924faafbd4d33f81ea66956dfeaa
             2bfdfcf5",
            "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f
             174e25a1ee9017b5d450606add152b534931d7d4e8455cc91f9b15bf05ec36e3
             77fa00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b
             68af282623eaa63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e4
             4da4a67a",
        ),
    ];

    fn check(kind: SignatureType, key: &[u8], signature: &[u8]) -> Verdict {
        let key = SigningPublicKey::new(kind, key).unwrap();
        verify(&SignatureCheck { key: &key, prefix: b"sam", message: b"ple", signature })
    }

    #[test]
    fn rfc_6979() {
        for (kind, secret, public, signature) in KNOWN {
            let (public, signature) = (unhex(public), unhex(signature));
            assert_eq!(check(kind, &public, &signature), Verdict::Valid, "{kind:?}");
            let secret = SigningSecret::new(kind, &unhex(secret)).unwrap();
            assert_eq!(hex(secret.public_key().bytes()), hex(&public), "{kind:?}");
            assert_eq!(hex(&secret.sign(&[0; 80], b"sample")), hex(&signature), "{kind:?}");
        }
    }

    #[test]
    fn any_other_signature_is_invalid() {
        for (kind, _, public, signature) in KNOWN {
            let (public, signature) = (unhex(public), unhex(signature));
            let half = signature.len() / 2;
            for at in [0, 1, half - 1, half, half + 1, signature.len() - 1] {
                let mut forged = signature.clone();
                forged[at] ^= 1;
                assert_eq!(check(kind, &public, &forged), Verdict::Invalid, "{kind:?}, byte {at}");
            }
            for (r, s) in [(0, 0), (0, 1), (1, 0), (0xff, 1), (1, 0xff)] {
                let forged = [vec![r; half], vec![s; half]].concat();
                assert_eq!(check(kind, &public, &forged), Verdict::Invalid, "{kind:?}, {r}, {s}");
            }
            let longer = [&signature[..], &[0]].concat();
            for wrong in [&[][..], &signature[1..], &longer] {
                assert_eq!(check(kind, &public, wrong), Verdict::Invalid, "{kind:?}");
            }
        }
    }

    #[test]
    fn a_key_off_the_curve_is_invalid() {
        for (kind, _, public, signature) in KNOWN {
            let (public, signature) = (unhex(public), unhex(signature));
            let mut off = public.clone();
            *off.last_mut().unwrap() ^= 1;
            let size = public.len();
            for key in [off, vec![0; size], vec![0xff; size]] {
                assert_eq!(check(kind, &key, &signature), Verdict::Invalid, "{kind:?}");
            }
        }
    }

    // s and the order of P-256 minus s: both are taken.
    #[test]
    fn the_negative_of_s_is_valid() {
        let (kind, _, public, signature) = KNOWN[0];
        let r = &unhex(signature)[..32];
        let s = "0834e36ad29a83bf2bc9385e491d6099c8fdf9d1ed67aa7ea5f51f93782857a9";
        assert_eq!(check(kind, &unhex(public), &[r, &unhex(s)].concat()), Verdict::Valid);
    }

    #[test]
    fn a_secret_is_above_zero_and_below_the_order() {
        for (kind, secret, _, _) in KNOWN {
            let size = unhex(secret).len();
            for bytes in [vec![0; size], vec![0xff; size]] {
                let refused = SigningSecret::new(kind, &bytes).err();
                assert_eq!(refused, Some(SigningSecretError::Range(kind)));
            }
        }
    }
}
