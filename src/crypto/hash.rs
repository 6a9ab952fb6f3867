//! SHA-256, HMAC-SHA-256 (RFC 2104) and the network's form of HKDF (RFC 5869); SHA-1, SHA-384 and SHA-512 for
//! the signatures that need them (FIPS 180-4); keyed BLAKE2 (RFC 7693).

use blake2::{Blake2bMac512, Blake2sMac256};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of all `parts`, one after the other with nothing between them.
#[must_use]
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// SHA-1 of all `parts`. Collisions are known: only for signatures of the type that has it.
#[must_use]
pub fn sha1_parts(parts: &[&[u8]]) -> [u8; 20] {
    digest::<Sha1>(parts).into()
}

/// SHA-384 of all `parts`.
#[must_use]
pub fn sha384_parts(parts: &[&[u8]]) -> [u8; 48] {
    digest::<Sha384>(parts).into()
}

/// SHA-512 of all `parts`.
#[must_use]
pub fn sha512_parts(parts: &[&[u8]]) -> [u8; 64] {
    digest::<Sha512>(parts).into()
}

/// BLAKE2b of all `parts` under a `key` of at most 64 bytes, which the compiler checks.
#[must_use]
pub fn blake2b_keyed<const N: usize>(key: &[u8; N], parts: &[&[u8]]) -> [u8; 64] {
    const { assert!(N <= 64, "BLAKE2b takes keys of at most 64 bytes") };
    let mut mac = Blake2bMac512::new_from_slice(key).expect("length checked by the compiler");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// BLAKE2s of all `parts` under a `key` of at most 32 bytes, which the compiler checks.
#[must_use]
pub fn blake2s_keyed<const N: usize>(key: &[u8; N], parts: &[&[u8]]) -> [u8; 32] {
    const { assert!(N <= 32, "BLAKE2s takes keys of at most 32 bytes") };
    let mut mac = Blake2sMac256::new_from_slice(key).expect("length checked by the compiler");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn digest<D: Digest>(parts: &[&[u8]]) -> sha2::digest::Output<D> {
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// HMAC-SHA-256 of all `parts`, one after the other, under a `key` of any length.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    authenticate(keyed(key), parts)
}

/// The first 64 bytes of HKDF-SHA-256, in two halves. Where a formula asks for 32 bytes, those are the first half.
#[must_use]
pub fn hkdf(salt: &[u8; 32], ikm: &[u8], info: &[u8]) -> ([u8; 32], [u8; 32]) {
    let expand = keyed(&hmac_sha256(salt, &[ikm]));
    let first = authenticate(expand.clone(), &[info, &[1]]);
    let second = authenticate(expand, &[&first, info, &[2]]);
    (first, second)
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn authenticate(mut mac: Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::testing::{hex, unhex, unhex_array};

    // FIPS 180-4, examples of one and of two blocks.
    #[test]
    fn sha256_examples() {
        assert_eq!(
            hex(&sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            hex(&sha256(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        );
        assert_eq!(sha256_parts(&[]), sha256(b""));
        assert_eq!(sha256_parts(&[b"a", b"", b"bc"]), sha256(b"abc"));
    }

    // FIPS 180-4, examples of one block.
    #[test]
    fn other_sha_examples() {
        assert_eq!(hex(&sha1_parts(&[b"a", b"bc"])), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(
            hex(&sha384_parts(&[b"a", b"bc"])),
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
             8086072ba1e7cc2358baeca134c825a7"
        );
        assert_eq!(
            hex(&sha512_parts(&[b"a", b"bc"])),
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
    }

    // The first and third of the published known answers for keyed BLAKE2: key 00, 01, ..; input empty and 00 01.
    #[test]
    fn keyed_blake2_examples() {
        let key: [u8; 64] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(
            hex(&blake2b_keyed(&key, &[])),
            "10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786\
             b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568"
        );
        assert_eq!(
            hex(&blake2b_keyed(&key, &[&[0], &[1]])),
            "da2cfbe2d8409a0f38026113884f84b50156371ae304c4430173d08a99d9fb1b\
             983164a3770706d537f49e0c916d9f32b95cc37a95b99d857436f0232c88a965"
        );
        let key: [u8; 32] = *key.first_chunk().unwrap();
        assert_eq!(
            hex(&blake2s_keyed(&key, &[])),
            "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49"
        );
        assert_eq!(
            hex(&blake2s_keyed(&key, &[&[0], &[1]])),
            "6bb71300644cd3991b26ccd4d274acd1adeab8b1d7914546c1198bbe9fc9d803"
        );
    }

    // RFC 4231, test cases 1, 2 and 6.
    #[test]
    fn hmac_examples() {
        assert_eq!(
            hex(&hmac_sha256(&[0x0b; 20], &[b"Hi There"])),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(&hmac_sha256(
                &[0xaa; 131],
                &[b"Test Using Larger Than Block-Size Key - Hash Key First"]
            )),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    fn hkdf_text(salt: [u8; 32], ikm: &[u8], info: &[u8]) -> String {
        let (first, second) = hkdf(&salt, ikm, info);
        hex(&first) + &hex(&second)
    }

    // RFC 5869, test cases 1 and 3: 42 bytes each. HMAC fills a short or absent salt with zeros.
    #[test]
    fn hkdf_examples() {
        let mut salt = [0; 32];
        salt[..13].copy_from_slice(&unhex("000102030405060708090a0b0c"));
        assert!(hkdf_text(salt, &[0x0b; 22], &unhex("f0f1f2f3f4f5f6f7f8f9")).starts_with(
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        ));
        assert!(hkdf_text([0; 32], &[0x0b; 22], b"").starts_with(
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
        ));
    }

    // Known answers of the protocol formulas, with ck = 00..1f and h = 20..3f.
    const CHAIN: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const HASH: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

    #[test]
    fn ntcp2_data_phase_keys() {
        let chain = unhex_array(CHAIN);
        let (k_ab, k_ba) = hkdf(&chain, b"", b"");
        assert_eq!(hex(&k_ab), "1d7e0d6f1d9da2d68dabed53b5f88345f3fd01cb75411fbe5aa4293bd8f430d6");
        assert_eq!(hex(&k_ba), "3ed9b8035bbf370b8cfef7ff15007de45488e18660c84e3d996e8e6c658fa7f8");
        let (ask_master, _) = hkdf(&chain, b"", b"ask");
        let mut seed = unhex(HASH);
        seed.extend_from_slice(b"siphash");
        let (sip_master, _) = hkdf(&ask_master, &seed, b"");
        let (sip_ab, sip_ba) = hkdf(&sip_master, b"", b"");
        assert_eq!(hex(&sip_ab[..24]), "5feab5b6e9c9875ce8b4ee9c401871a728c68ef2944d8a3b");
        assert_eq!(hex(&sip_ba[..24]), "6b0e743628b1dcca9dda582750877d4964a399e35dea7962");
    }

    #[test]
    fn short_build_record_key_schedule() {
        let (chain, reply) = hkdf(&unhex_array(CHAIN), b"", b"SMTunnelReplyKey");
        assert_eq!(hex(&reply), "02c5ab6b425be6543d4ad2769a933007484a69a1d3aff93721f940a834cf731a");
        let (chain, layer) = hkdf(&chain, b"", b"SMTunnelLayerKey");
        assert_eq!(hex(&layer), "0b9c0c33c02a368344d12dfa05c215878c2450dcfd7064330ce15ca655164bad");
        assert_eq!(hex(&chain), "5486af09b27f24ef47f553826210b7e8ae2de36c3b0b85894e830680a8421a67");
        let (chain, iv) = hkdf(&chain, b"", b"TunnelLayerIVKey");
        assert_eq!(hex(&iv), "5e66290b6198c6996f96e6bb52335509796544685cedb4b57e79c439f1820799");
        let (tag, key) = hkdf(&chain, b"", b"RGarlicKeyAndTag");
        assert_eq!(hex(&key), "c7f0cf338e457ff633b81592f34bad3915bd502caac27da7ce81336172c8c548");
        assert_eq!(hex(&tag[..8]), "a1d9901b58edc7ad");
    }

    proptest! {
        #[test]
        fn parts_are_joined_without_a_trace(
            key in prop::collection::vec(any::<u8>(), 0..100),
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            cut in any::<prop::sample::Index>(),
        ) {
            let (front, back) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(sha256_parts(&[front, back]), sha256(&bytes));
            prop_assert_eq!(hmac_sha256(&key, &[front, back]), hmac_sha256(&key, &[&bytes]));
        }
    }
}
