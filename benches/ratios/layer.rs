//! The tunnel layer in batches beside the aes and cbc crates, one message at a time, their key schedules kept.

use std::hint::black_box;

use aes::Aes256;
use aes::cipher::{
    Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit,
    KeyInit,
};
use floodway::crypto::layer::{
    Kernel, LAYER_SIZE, LayerJob, LayerKeys, decrypt_batch, encrypt_batch,
};
use floodway::crypto::secret::{IvKey, LayerKey};

use crate::Pair;

/// One hop's side of a tunnel as somebody would write it who knows no batches.
struct OneAtATime {
    layer: Aes256,
    iv: Aes256,
}

type Messages = Vec<[u8; LAYER_SIZE]>;

fn layer_key(n: u8) -> [u8; 32] {
    [n.wrapping_mul(29); 32]
}

fn iv_key(n: u8) -> [u8; 32] {
    [n ^ 0xa5; 32]
}

impl OneAtATime {
    fn new(n: u8) -> Self {
        Self { layer: Aes256::new(&layer_key(n).into()), iv: Aes256::new(&iv_key(n).into()) }
    }

    fn encrypt(&self, data: &mut [u8; LAYER_SIZE]) {
        let (iv, payload) = data.split_first_chunk_mut::<16>().expect("longer than an IV");
        self.iv.encrypt_block(iv.into());
        let (blocks, _) = Array::slice_as_chunks_mut(payload);
        cbc::Encryptor::inner_iv_init(self.layer.clone(), (&*iv).into()).encrypt_blocks(blocks);
        self.iv.encrypt_block(iv.into());
    }

    fn decrypt(&self, data: &mut [u8; LAYER_SIZE]) {
        let (iv, payload) = data.split_first_chunk_mut::<16>().expect("longer than an IV");
        self.iv.decrypt_block(iv.into());
        let (blocks, _) = Array::slice_as_chunks_mut(payload);
        cbc::Decryptor::inner_iv_init(self.layer.clone(), (&*iv).into()).decrypt_blocks(blocks);
        self.iv.decrypt_block(iv.into());
    }
}

#[derive(Clone, Copy)]
enum Way {
    Encrypt,
    Decrypt,
}

/// Each kernel with batches of several sizes.
pub fn pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    for kernel in Kernel::available() {
        for batch in [1, 2, 4, 8, 16, 24, 32, 70] {
            let asked = match (kernel.name(), batch) {
                ("aes-ni", 16..) => Some(0.2),
                (_, 16..) if kernel == Kernel::detect() => Some(0.125),
                _ => None,
            };
            pairs.push(pair(kernel, batch, Way::Encrypt, asked));
        }
        for batch in [1, 16] {
            pairs.push(pair(kernel, batch, Way::Decrypt, None));
        }
    }
    pairs
}

fn pair(kernel: Kernel, batch: u8, way: Way, asked: Option<f64>) -> Pair {
    let keys: Vec<_> = (0..batch)
        .map(|n| LayerKeys {
            layer: LayerKey::from_bytes(layer_key(n)),
            iv: IvKey::from_bytes(iv_key(n)),
        })
        .collect();
    let mut data: Messages = vec![[0x5a; LAYER_SIZE]; keys.len()];
    let transform = match way {
        Way::Encrypt => encrypt_batch,
        Way::Decrypt => decrypt_batch,
    };
    let ours = move || {
        let jobs = keys.iter().zip(&mut data).map(|(keys, data)| LayerJob { keys, data });
        transform(kernel, black_box(&mut jobs.collect::<Vec<_>>()));
    };
    let hops: Vec<_> = (0..batch).map(OneAtATime::new).collect();
    let mut data: Messages = vec![[0x5a; LAYER_SIZE]; hops.len()];
    let one = match way {
        Way::Encrypt => OneAtATime::encrypt,
        Way::Decrypt => OneAtATime::decrypt,
    };
    let reference = move || {
        for (hop, data) in hops.iter().zip(&mut data) {
            one(hop, black_box(data));
        }
    };
    let name = match way {
        Way::Encrypt => format!("layer encrypt {kernel} x{batch}"),
        Way::Decrypt => format!("layer decrypt {kernel} x{batch}"),
    };
    Pair { name, units: batch.into(), ours: Box::new(ours), reference: Box::new(reference), asked }
}
