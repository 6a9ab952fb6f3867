//! The tunnel layer, for many messages at once: AES-256 over payload and, twice, over IV.
//!
//! Every hop of a tunnel encrypts; the tunnel's creator decrypts. Spec: tunnel implementation, layer encryption.

#[cfg(target_arch = "x86_64")]
pub mod x86;

use std::fmt;
use std::str::FromStr;

use ::aes::Aes256;
use ::aes::cipher::{
    Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit,
    KeyInit,
};

use crate::crypto::secret::{IvKey, LayerKey};

/// Bytes a hop transforms: IV and payload of one tunnel message.
pub const LAYER_SIZE: usize = 1024;

/// Bytes of the IV at their front.
const IV_SIZE: usize = 16;

/// The two keys of one hop of one tunnel.
#[derive(Debug)]
pub struct LayerKeys {
    /// Key of the payload.
    pub layer: LayerKey,
    /// Key of the IV.
    pub iv: IvKey,
}

/// One message of a batch.
pub struct LayerJob<'a> {
    /// Keys of the tunnel it belongs to.
    pub keys: &'a LayerKeys,
    /// IV (16 bytes), then payload (1008 bytes); transformed in place.
    pub data: &'a mut [u8; LAYER_SIZE],
}

/// Which implementation transforms a batch. All give the same bytes.
///
/// A kernel that exists runs on this CPU: those that need features of it come only from [`available`](Self::available).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The `aes` crate, one message after another.
    Portable,
    /// AES instructions of x86-64, many messages at once.
    #[cfg(target_arch = "x86_64")]
    X86(x86::Kernel),
}

impl Kernel {
    /// The fastest kernel that this CPU runs.
    #[must_use]
    pub fn detect() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }

    /// All kernels that this CPU runs, the fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let special = x86::Kernel::available().map(Self::X86);
        #[cfg(not(target_arch = "x86_64"))]
        let special = std::iter::empty();
        special.chain([Self::Portable])
    }

    /// Its name: `portable`, `aes-ni`, `vaes-256` or `vaes-512`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::X86(kernel) => kernel.name(),
        }
    }
}

/// There is no kernel of this name, or this CPU does not run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this CPU runs no such kernel; it runs: {}", names())]
pub struct NoSuchKernel;

fn names() -> String {
    Kernel::available().map(Kernel::name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Kernel {
    type Err = NoSuchKernel;

    fn from_str(name: &str) -> Result<Self, NoSuchKernel> {
        Self::available().find(|kernel| kernel.name() == name).ok_or(NoSuchKernel)
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What this CPU has of the features that kernels need, by their usual names.
pub fn cpu_features() -> impl Iterator<Item = &'static str> {
    #[cfg(target_arch = "x86_64")]
    return x86::features();
    #[cfg(not(target_arch = "x86_64"))]
    return std::iter::empty();
}

/// Applies to every job the layer of its hop.
///
/// A message alone waits for its own chain of blocks; the kernels get their speed from batches of 4 and more. They
/// make the key schedules anew for each batch and overwrite them after it; copies in registers and spilled to the
/// stack are not overwritten. The portable kernel erases its schedules by the `aes` crate's own means.
pub fn encrypt_batch(kernel: Kernel, jobs: &mut [LayerJob<'_>]) {
    match kernel {
        Kernel::Portable => jobs.iter_mut().for_each(encrypt_one),
        #[cfg(target_arch = "x86_64")]
        Kernel::X86(kernel) => kernel.encrypt(jobs),
    }
}

/// Takes from every job the layer of its hop; the inverse of [`encrypt_batch`].
pub fn decrypt_batch(kernel: Kernel, jobs: &mut [LayerJob<'_>]) {
    match kernel {
        Kernel::Portable => jobs.iter_mut().for_each(decrypt_one),
        #[cfg(target_arch = "x86_64")]
        Kernel::X86(kernel) => kernel.decrypt(jobs),
    }
}

fn encrypt_one(job: &mut LayerJob<'_>) {
    let (iv, payload) = split(job.data);
    let iv_cipher = Aes256::new(job.keys.iv.expose().into());
    let layer_cipher = Aes256::new(job.keys.layer.expose().into());
    iv_cipher.encrypt_block(iv.into());
    let (blocks, _) = Array::slice_as_chunks_mut(payload);
    cbc::Encryptor::inner_iv_init(layer_cipher, (&*iv).into()).encrypt_blocks(blocks);
    iv_cipher.encrypt_block(iv.into());
}

fn decrypt_one(job: &mut LayerJob<'_>) {
    let (iv, payload) = split(job.data);
    let iv_cipher = Aes256::new(job.keys.iv.expose().into());
    let layer_cipher = Aes256::new(job.keys.layer.expose().into());
    iv_cipher.decrypt_block(iv.into());
    let (blocks, _) = Array::slice_as_chunks_mut(payload);
    cbc::Decryptor::inner_iv_init(layer_cipher, (&*iv).into()).decrypt_blocks(blocks);
    iv_cipher.decrypt_block(iv.into());
}

fn split(data: &mut [u8; LAYER_SIZE]) -> (&mut [u8; IV_SIZE], &mut [u8]) {
    data.split_first_chunk_mut().expect("the array is longer than an IV")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::aes::{cbc_encrypt, ecb_decrypt_block, ecb_encrypt_block};
    use crate::crypto::hash::sha256;
    use crate::crypto::testing::{hex, unhex, unhex_array};

    fn keys(layer: [u8; 32], iv: [u8; 32]) -> LayerKeys {
        LayerKeys { layer: LayerKey::from_bytes(layer), iv: IvKey::from_bytes(iv) }
    }

    /// Byte n is n mod 256.
    fn counting() -> [u8; LAYER_SIZE] {
        let mut data = [0; LAYER_SIZE];
        for (byte, value) in data.iter_mut().zip((0..=u8::MAX).cycle()) {
            *byte = value;
        }
        data
    }

    #[test]
    fn known_layer() {
        let keys = keys([0x0e; 32], [0x0f; 32]);
        for kernel in Kernel::available() {
            let mut data = counting();
            encrypt_batch(kernel, &mut [LayerJob { keys: &keys, data: &mut data }]);
            assert_eq!(hex(&data[..16]), "61040fa55749c651a21a49d1f1b09c8b");
            assert_eq!(hex(&data[16..32]), "05fe6f7eae37dd3c9e7ee431d26da286");
            assert_eq!(
                hex(&sha256(&data)),
                "12b684f86f52d7b3cc737b46249ddb97f66ddd3a58849d1f647690e672d50b18"
            );
            decrypt_batch(kernel, &mut [LayerJob { keys: &keys, data: &mut data }]);
            assert_eq!(data, counting());
        }
    }

    // FIPS 197, appendix C.3, as key of the IV and of the payload.
    #[test]
    fn fips_197() {
        let key = unhex_array("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
        let text: [u8; 16] = unhex_array("00112233445566778899aabbccddeeff");
        let sealed: [u8; 16] = unhex_array("8ea2b7ca516745bfeafc49904b496089");
        let keys = keys(key, key);
        for kernel in Kernel::available() {
            let mut data = [0; LAYER_SIZE];
            data[..16].copy_from_slice(&text);
            // The payload chains from the IV encrypted once, which is `sealed`.
            for (byte, (a, b)) in data[16..32].iter_mut().zip(text.iter().zip(sealed)) {
                *byte = a ^ b;
            }
            let before = data;
            encrypt_batch(kernel, &mut [LayerJob { keys: &keys, data: &mut data }]);
            assert_eq!(data[16..32], sealed, "{kernel}");
            let mut iv: [u8; 16] = data[..16].try_into().unwrap();
            ecb_decrypt_block(&key, &mut iv);
            assert_eq!(iv, sealed, "{kernel}");
            decrypt_batch(kernel, &mut [LayerJob { keys: &keys, data: &mut data }]);
            assert_eq!(data, before, "{kernel}");
        }
    }

    // NIST SP 800-38A, section F.2.5, as the first four blocks of the payload.
    #[test]
    fn sp_800_38a_cbc() {
        let layer = unhex_array("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        let text = unhex(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51
             30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
        );
        let sealed = "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d\
            39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b";
        let mut iv = unhex_array("000102030405060708090a0b0c0d0e0f");
        ecb_decrypt_block(&[0x77; 32], &mut iv);
        let keys = keys(layer, [0x77; 32]);
        for kernel in Kernel::available() {
            let mut data = counting();
            data[..16].copy_from_slice(&iv);
            data[16..80].copy_from_slice(&text);
            let before = data;
            encrypt_batch(kernel, &mut [LayerJob { keys: &keys, data: &mut data }]);
            assert_eq!(hex(&data[16..80]), sealed, "{kernel}");
            decrypt_batch(kernel, &mut [LayerJob { keys: &keys, data: &mut data }]);
            assert_eq!(data, before, "{kernel}");
        }
    }

    #[test]
    fn an_empty_batch_is_no_work() {
        for kernel in Kernel::available() {
            encrypt_batch(kernel, &mut []);
            decrypt_batch(kernel, &mut []);
        }
    }

    #[test]
    fn kernels_are_found_by_their_names() {
        assert!(Kernel::available().any(|kernel| kernel == Kernel::Portable));
        for kernel in Kernel::available() {
            assert_eq!(kernel.name().parse(), Ok(kernel));
        }
        assert_eq!("avx-2048".parse::<Kernel>(), Err(NoSuchKernel));
        assert_eq!(format!("{:>10}", Kernel::Portable), "  portable");
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?}", keys([1; 32], [2; 32]));
        assert_eq!(text, "LayerKeys { layer: LayerKey(secret), iv: IvKey(secret) }");
    }

    /// The formula of the specification, from single blocks.
    fn encrypt_by_formula(layer: &[u8; 32], iv_key: &[u8; 32], data: &mut [u8; LAYER_SIZE]) {
        let (iv, payload) = split(data);
        ecb_encrypt_block(iv_key, iv);
        cbc_encrypt(layer, *iv, payload);
        ecb_encrypt_block(iv_key, iv);
    }

    type Hop = ([u8; 32], [u8; 32], [u8; 32]);

    /// A message whose bytes follow from `seed`.
    fn message(seed: &[u8; 32]) -> [u8; LAYER_SIZE] {
        let mut data = counting();
        for (byte, mask) in data.iter_mut().zip(seed.iter().cycle()) {
            *byte = byte.wrapping_mul(7) ^ mask;
        }
        data
    }

    /// Runs the batch under every kernel and compares each message with the formula, forth and back.
    fn check_batch(hops: &[Hop]) {
        let keys: Vec<_> = hops.iter().map(|hop| keys(hop.0, hop.1)).collect();
        let plain: Vec<_> = hops.iter().map(|hop| message(&hop.2)).collect();
        let mut sealed = plain.clone();
        for (hop, data) in hops.iter().zip(&mut sealed) {
            encrypt_by_formula(&hop.0, &hop.1, data);
        }
        for kernel in Kernel::available() {
            let mut data = plain.clone();
            let jobs = keys.iter().zip(&mut data).map(|(keys, data)| LayerJob { keys, data });
            encrypt_batch(kernel, &mut jobs.collect::<Vec<_>>());
            assert!(data == sealed, "{kernel} encrypts {} messages falsely", hops.len());
            let jobs = keys.iter().zip(&mut data).map(|(keys, data)| LayerJob { keys, data });
            decrypt_batch(kernel, &mut jobs.collect::<Vec<_>>());
            assert!(data == plain, "{kernel} decrypts {} messages falsely", hops.len());
        }
    }

    #[test]
    fn kernels_equal_the_formula_for_batches_of_every_size() {
        for size in 0..=70u8 {
            let hop = |n: u8| ([n; 32], [n ^ 0x55; 32], [n.wrapping_mul(37) ^ size; 32]);
            check_batch(&(0..size).map(hop).collect::<Vec<_>>());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn kernels_equal_the_formula(hops in prop::collection::vec(any::<Hop>(), 0..=70)) {
            check_batch(&hops);
        }
    }
}
