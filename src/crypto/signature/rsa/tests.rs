//! Known answers: keys and signatures made by OpenSSL, which signed the bare digest of [`MESSAGE`].

use super::*;
use crate::crypto::signature::{
    SigningPublicKey, SigningSecret, SigningSecretError, Verdict, verify,
};
use crate::crypto::testing::{hex, unhex};

const MESSAGE: &[u8] = b"content of a su3 file";

const MODULUS_2048: &str =
    "a4ba317e78c9f5ff9aaa41980686d3bf8b0830420120ba1eeaba0f43e754e80c2a5e909e7c806056bad2b369ebbf
     030ae7a37efeecaa324c6fb1498d3c7afbb4262d827a538d31a3705332041bec7969aaeb02ce510970166a4bbae2
     59147757df7eccb6b962a8393fd23b6f4ce5afd7d798ad12e3fa474a2fb2adacf59c3294e9c841dcf38d628c38c5
     d9611d1f386cd513fa5c2299355d1090833af81ae5e7ede62722c18e8c63bb3e5dd666eb13cbf32d9a107706e7d7
     ebceb21436dcb41d7184f0d2b0f892526afd834eac3353d7456dad3cfc2c844bcadd13ab49e2ba41947126a24ff7
     018da2e37c8d83fe9e09595d3abf22fd7ee4df5b5450c1b90e51";

const SIGNATURE_2048: &str =
    "27719af1dd1144b0a4a831f3d12dbed819f585b56f89d8e6729b6f62ee25a69a8896b36a9c96a5ae814f96d08f66
     ddb7b4362a8b2b102296a3173e535069d0c92fcf774afb8ce9e6b72c4ab4abb384a017a5ad0017ca2c10a7a3d54b
     ef6626698d9780ca4bf2bdaf7c0f2c273184104d24b37f1368efebc0411dc9f44c11f86bbd0a111f703f83890dbb
     2083d6efb09ac61e6a863f6dbb101a1dbd97df6e184abfc718edf9f967477fd42704ca71aabe06ac0063bb5ed4c6
     4c4de613790e3094f6b3ccd500297fda942adc88921da7f80f26ffc51b7488e718a0d9c3f7f0f2453086c5ae4385
     184829ce99af39023a7589d1be1a2fee261e05201845eaffe400";

const MODULUS_3072: &str =
    "bb226ee20c51b588e6d0ed27e2d79bc6251bd66f061b882d1b36d19af057700a4b5757c49c5e958a4334e2b9ade7
     96bb29122e380b7ddae3ebbf59d9e721bc31d60e53f6b02ca8a72c6a9baca5d7845e89a7cc168d36d3e93be01a16
     be45bc3aa98ca02ab4cdc48b53eec35fc6907aebd707bb8d42f80180c239a2e86f2cd83a14093a3e6437b19a5906
     1d1020d7ce271940d922364b4e83825b891b05382261318fef200a822006484d1f2d992cf3a679d46a74f9b26b19
     1741d9f9f87957db572f0e0d2b4f013bfb365c07dcb46682814e0156ec3b213da54019290101bd8f3eda81e5ee3f
     6ac496bc5951fa6025fb0d9121ed1ed7d00913401c45b95dc755b0380d214e3dc34c348d131f03fb24a78263aa70
     23b783192599884fdf6da043c3cfd24c0e8509d053f5d98ac551d7c1485c55ebdd17150d9d4aae76f7611024c063
     c53e7371460f87df7b24343d589ddf9a675eabf91290026685e8fde76fc7e5bd508d9feaa5162a17a190754890b7
     679ea13822e41b8b988ecd2c1e517eb1";

const SIGNATURE_3072: &str =
    "ae9ea63b58c0847e6ff5b66803c5cbc5ab29d49b5cb5954d27d6be85558d7769bcbcdf19604698d2ec3fd88547cc
     9b1d02441c85ba8e5b8fdb5e5c2d095d1c1fa950b08a14c81c97e185a586059e99795d6781543b8045cf36c0ec83
     8dcdbe432a0bbe2a7359d3e914e933d717e243f0eb520659326d7c4fe2e085ca4c27f0128b9b51b561802b1f219a
     0fd898cdfd359dc11a81a0e6d92b63c339cac4fb4fcc4491505658918802ac46d2f2a4b98604ed188270bff1e821
     91ceb9293faa3eb3ad570b4dba87a3d24005d1d8f8e2249ed641ce3a27e4fc5da7d1d9766a97114d7207e1febdc9
     37bc3dea30789e53c65971fe71f62524644283c66d5bc8ff6798d47084a7b89cc441d2b7c75b761b00d87006b29e
     1f48bd6e4589bd96192191034bb619f873b9cd8c9abe7242f5e363f2528f887e119c9b43d88b0bbc97117bf0c225
     930c0f8208e74cce7e16dd4ead44844095e17f47f5f5b281c18c912b84fad1a19538d92037123e2b4fb8b4a47722
     b6082b1ba4cb8c0478b3e54fae3b6045";

const MODULUS_4096: &str =
    "b5fec39a716da3aa228a6e04687181f02bda5f560e6aaf9479af053dada09a3b0e5a505b9fd0f7d20cbc380d81e9
     9ef1bbdbb7a0b939988e0e28152af1d3dbbb8b66c7fc0ca72019fa16a666b3d9486a9696b48acab3aab8cf3f4788
     bcc91cba5edebe7b4f900847aa2e4262cb6e1c09b7be558cd99767d3b32afb8bd4abf27bcafb668a6541230e5079
     47716aed5cd3b39001dd889a400b122cbbe51dd2cc06cf1f3b8b7a3176a881763ed0d4a10c7fa04fa4755d940ac3
     8ac9c591f12fd23f1e9a306c933c6b2259acf3b1044098676ad38e1f859de6a75e975e669ae8f3044451470405f7
     9f5f775a84530800593325d6582923bb657f093dd5a3e71e1615bdae64821bc10b151790bb02b3a1b37d962cdaea
     8e020c8ce0ac8588201a85aff9042cd812a3142dae05e7911e892b781404f9f7b74cfd2be9acb8d2720b54b321e8
     db7910317c88c9008973053017e49d0d0188fcf520a65f34ff029ce9bf48fb752aae3bbd74cfddf232335df74d0b
     1a8af32d97b7a345797a1b3d35fd77e964b1c1d79592d4fbb0d0cdfc46adefc7838e0dfaf019ea222df50c568ac6
     485aebefe99be18df800891572979154137e0fa30d0acdde40f2492c5a02fc336b2b99efe29144e97473c64cfea5
     33ca4fa9ee4ef616a5d48a9cb96425934aa9114ecceeaa650a7facec3663a88627182bafbf5e67c7d3fa2b86035d
     c1fa6c316775";

const SIGNATURE_4096: &str =
    "161c638d77a170751f0c37a63413a088589d107353ab5b852317298964984f4f1194a32e45c314d0dd1ba6437974
     01f550ff3ee0519dfbec72f48f8919c0d7bbf872a96df5a6c48623b2be8b4732ba3c1fabf748a8675eda7f9501fa
     b5bee805366c9dd59b520ced8a3bd7de2520f901c964b03a445a668ca5b696b6e3966d4a3725beccacdf7134f591
     4fc89dc8954d5a254530c058864b4512f619a7a4153e0517d2d7e1aa5e6e25498eca6264f370927ac6fbff0c6c37
     3d991a21c868c2aa9cae0297c6f1eae5c6fa443f0079a1b4c2fd802ee87ec0580f3ae43edaca10d6077c41a994dd
     f0b2351ca53b6a48ea990c18a20059d757c1977cdfd87a938995ea4f26521671430411e813eae28b79a60a02cc61
     1dcd540bba78e70bbcdad860f59acc786abf342023de412cf4bdfc4339ad985177de5bfd5f91be4a8017b15cb579
     f85cce1b12cbd0656857ca57779d4a045cf8ff126535579c2b517b10e43540ae82d4d6a577fb862d6068eeba31c6
     6339802fc2adfcd99e7ea8458116728ef8d27794cf153e206160229d0a16b6fe89a795dd593305b9077c480aab84
     6db2a4fd61f61af0288c58db81d35b60bb7d47a7fdb5484df419a6f47a64959d60e71353efa1192020afb218b34a
     d0676caac74612e3d3b891aa70061f35428ce9e6354f434736ce147ec30b0371a7629bb13485323efb6faa753365
     59dc4e8b8d29";

const EXPONENT_2048: &str =
    "06b33d6b768048783d68956dc33e32ae04d00573cf2b449c18a76412e552e7c9598e7fcab7d25a43777fe07a50c8
     c92d3ab4c4bd46650f275ac256f53408e5e4b2f4d642217f346355cb472a86f43c6556e5638cd41ba7d526e7ae51
     f740ef85c1cfc785db23d9d1d24dbbcb257be630c7a7d71fab3edfd81da3e28fe416ec065fdc0e3b59f6fe99fc59
     239d14223f054b596434b1ae837a6082f8b3276baa3a069a330499b09abb40a2dd7e5caa1b043d99367a176cb5b0
     fe04eeba067fc9f4c95f6eb003c97dc797328cecf66cf633bedbd18d1dfcd5b3c7cd4a9dd05f2b712ed2038a9a8b
     e1664cb170d2a1123f4fbf448192798eeed6375a06b6c6bebccd";

/// Of the digest in its DigestInfo, as PKCS #1 has it and su3 files have not.
const WITH_INFO_2048: &str =
    "5bcfba4f85e1cc105e99a2948af79380dfbcf49e54753269ff58d910a0cde97f69282690a33c13fc5645bcab69a7
     42c3a235b2c0bba2acd9acd71c63bb28e63d1af49457f66c8ae8da0d92120de6cfa05ce6b799193676212ea32657
     20c9d6336516c2b37b1dadb2535fa513185287a6db1fd87a68fcca436761beadca01ffb4b7666bd401c3aeba0a3c
     0db977b3172a1144d4e274f80baff4131fa09eca120cc8493c12bb89c443f4b078084ee4aef1296634bf210d535e
     af0ca332dfc4617b24ce34e57748dcded91f5535d1775e8ba07df30a557200801d69936cf151dad4edcf91ca20e5
     f5dd5779e3f204274e2eae3d71860fc6a27f8b295883b95aff3b";

const KNOWN: [(SignatureType, &str, &str); 3] = [
    (SignatureType::Rsa2048, MODULUS_2048, SIGNATURE_2048),
    (SignatureType::Rsa3072, MODULUS_3072, SIGNATURE_3072),
    (SignatureType::Rsa4096, MODULUS_4096, SIGNATURE_4096),
];

fn verdict(kind: SignatureType, key: &[u8], message: &[u8], signature: &[u8]) -> Verdict {
    let key = SigningPublicKey::new(kind, key).unwrap();
    verify(&SignatureCheck { key: &key, prefix: b"", message, signature })
}

fn secret() -> Vec<u8> {
    unhex(&[MODULUS_2048, EXPONENT_2048].concat())
}

#[test]
fn known_signatures_hold() {
    for (kind, modulus, signature) in KNOWN {
        let (modulus, signature) = (unhex(modulus), unhex(signature));
        assert_eq!(verdict(kind, &modulus, MESSAGE, &signature), Verdict::Valid, "{kind:?}");
        assert_eq!(verdict(kind, &modulus, b"other", &signature), Verdict::Invalid, "{kind:?}");
        let key = SigningPublicKey::new(kind, &modulus).unwrap();
        let (prefix, message) = MESSAGE.split_at(7);
        let split = SignatureCheck { key: &key, prefix, message, signature: &signature };
        assert_eq!(verify(&split), Verdict::Valid, "{kind:?}");
        for at in [0, 1, signature.len() / 2, signature.len() - 1] {
            let mut forged = signature.clone();
            forged[at] ^= 1;
            assert_eq!(verdict(kind, &modulus, MESSAGE, &forged), Verdict::Invalid, "byte {at}");
        }
    }
}

#[test]
fn the_secret_signs_as_openssl_does() {
    let secret = SigningSecret::new(SignatureType::Rsa2048, &secret()).unwrap();
    assert_eq!(hex(secret.public_key().bytes()), hex(&unhex(MODULUS_2048)));
    assert_eq!(hex(&secret.sign(&[0; 80], MESSAGE)), hex(&unhex(SIGNATURE_2048)));
}

#[test]
fn a_digest_in_its_info_is_refused() {
    let (modulus, signature) = (unhex(MODULUS_2048), unhex(WITH_INFO_2048));
    let found = power(&modulus, &signature, Exponent::Public).unwrap();
    assert!(found.ends_with(&sha256_parts(&[MESSAGE])), "the same digest behind other bytes");
    let kind = SignatureType::Rsa2048;
    assert_eq!(verdict(kind, &modulus, MESSAGE, &signature), Verdict::Invalid);
}

// Whoever compares only the digest at the end takes these.
#[test]
fn every_byte_of_the_filling_counts() {
    let modulus = unhex(MODULUS_2048);
    let exponent = unhex(EXPONENT_2048);
    let right = padded(SignatureType::Rsa2048, &[MESSAGE]).unwrap();
    for at in [1, 2, 100, 222, 223] {
        let mut wrong = right.clone();
        wrong[at] ^= 2;
        let signature = power(&modulus, &wrong, Exponent::Private(&exponent)).unwrap();
        let found = verdict(SignatureType::Rsa2048, &modulus, MESSAGE, &signature);
        assert_eq!(found, Verdict::Invalid, "byte {at}");
    }
}

#[test]
fn a_signature_or_modulus_out_of_range_is_refused() {
    let (kind, modulus, signature) =
        (SignatureType::Rsa2048, unhex(MODULUS_2048), unhex(SIGNATURE_2048));
    for wrong in
        [&[][..], &signature[1..], &[&[0], &signature[..]].concat(), &[0xff; 256], &modulus]
    {
        assert_eq!(verdict(kind, &modulus, MESSAGE, wrong), Verdict::Invalid);
    }
    let mut even = modulus.clone();
    *even.last_mut().unwrap() ^= 1;
    let mut short = modulus.clone();
    *short.first_mut().unwrap() &= 0x7f;
    let mut one = vec![0; 256];
    *one.last_mut().unwrap() = 1;
    for key in [even, short, one, vec![0; 256], vec![0xff; 256]] {
        assert_eq!(verdict(kind, &key, MESSAGE, &signature), Verdict::Invalid);
        assert_eq!(verdict(kind, &key, MESSAGE, &[0; 256]), Verdict::Invalid);
    }
}

#[test]
fn an_exponent_belongs_to_its_modulus() {
    let mut bytes = secret();
    *bytes.last_mut().unwrap() ^= 1;
    let refused = SigningSecret::new(SignatureType::Rsa2048, &bytes).err();
    assert_eq!(refused, Some(SigningSecretError::Range(SignatureType::Rsa2048)));
}
