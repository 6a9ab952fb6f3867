//! The tunnel layer, for many messages at once: AES-256 over payload and, twice, over IV.
//!
//! Every hop of a tunnel encrypts; the tunnel's creator decrypts. Spec: tunnel implementation, layer encryption.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The `aes` crate, one message after another.
    Portable,
}

impl Kernel {
    /// The fastest kernel that this processor runs.
    #[must_use]
    pub fn detect() -> Self {
        Self::Portable
    }
}

/// Applies to every job the layer of its hop.
pub fn encrypt_batch(kernel: Kernel, jobs: &mut [LayerJob<'_>]) {
    match kernel {
        Kernel::Portable => jobs.iter_mut().for_each(encrypt_one),
    }
}

/// Takes from every job the layer of its hop; the inverse of [`encrypt_batch`].
pub fn decrypt_batch(kernel: Kernel, jobs: &mut [LayerJob<'_>]) {
    match kernel {
        Kernel::Portable => jobs.iter_mut().for_each(decrypt_one),
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
    use crate::crypto::aes::{cbc_encrypt, ecb_encrypt_block};
    use crate::crypto::hash::sha256;
    use crate::crypto::testing::hex;

    const KERNELS: [Kernel; 1] = [Kernel::Portable];

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
        for kernel in KERNELS {
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

    #[test]
    fn an_empty_batch_is_no_work() {
        encrypt_batch(Kernel::detect(), &mut []);
        decrypt_batch(Kernel::detect(), &mut []);
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn batch_equals_formula_and_is_undone(hops in prop::collection::vec(any::<Hop>(), 0..40)) {
            let keys: Vec<_> = hops.iter().map(|hop| keys(hop.0, hop.1)).collect();
            for kernel in KERNELS {
                let mut data: Vec<_> = hops.iter().map(|hop| message(&hop.2)).collect();
                let mut jobs: Vec<_> =
                    keys.iter().zip(&mut data).map(|(keys, data)| LayerJob { keys, data }).collect();
                encrypt_batch(kernel, &mut jobs);
                for (hop, job) in hops.iter().zip(&jobs) {
                    let mut single = message(&hop.2);
                    encrypt_by_formula(&hop.0, &hop.1, &mut single);
                    prop_assert_eq!(&single, &*job.data);
                }
                decrypt_batch(kernel, &mut jobs);
                for (hop, job) in hops.iter().zip(&jobs) {
                    prop_assert_eq!(&message(&hop.2), &*job.data);
                }
            }
        }
    }
}
