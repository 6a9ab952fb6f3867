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
#[derive(Debug)]
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
