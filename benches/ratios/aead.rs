//! ChaCha20-Poly1305 of frames beside the chacha20poly1305 crate.

use std::hint::black_box;

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use floodway::crypto::chacha::{TAG_SIZE, open_in_place, seal_in_place};
use floodway::crypto::secret::AeadKey;

use crate::Pair;

const KEY: [u8; 32] = [0x4b; 32];

/// Sealing and opening of the smallest frames, of those of a tunnel message, and of the largest.
pub fn pairs() -> Vec<Pair> {
    let both = [(16, None), (1024, Some(0.5)), (16 * 1024, None)];
    both.into_iter().flat_map(|(size, asked)| [seal(size, asked), open(size, asked)]).collect()
}

fn seal(size: usize, asked: Option<f64>) -> Pair {
    let key = AeadKey::from_bytes(KEY);
    let mut data = vec![0x5a; size];
    let ours = move || {
        black_box(seal_in_place(&key, 1, b"", black_box(&mut data)));
    };
    let mut data = vec![0x5a; size];
    let reference = move || {
        let cipher = ChaCha20Poly1305::new(&KEY.into());
        let data: &mut [u8] = black_box(&mut data);
        let tag = cipher.encrypt_inout_detached(&[0; 12].into(), b"", data.into());
        black_box(tag.expect("short enough"));
    };
    let name = format!("aead seal {size} bytes");
    Pair { name, units: 1, ours: Box::new(ours), reference: Box::new(reference), asked }
}

/// Both sides copy the frame first, since opening it spends it.
fn open(size: usize, asked: Option<f64>) -> Pair {
    let key = AeadKey::from_bytes(KEY);
    let mut sealed = vec![0x5a; size];
    let tag = seal_in_place(&key, 0, b"", &mut sealed);
    sealed.extend_from_slice(&tag);
    let frame = sealed.clone();
    let mut place = sealed.clone();
    let ours = move || {
        place.copy_from_slice(&frame);
        black_box(open_in_place(&key, 0, b"", black_box(&mut place))).expect("authentic");
    };
    let mut place = sealed.clone();
    let reference = move || {
        place.copy_from_slice(&sealed);
        let cipher = ChaCha20Poly1305::new(&KEY.into());
        let (data, tag) = place.split_last_chunk_mut::<TAG_SIZE>().expect("longer than a tag");
        let tag = (&*tag).into();
        let data = black_box(data);
        cipher.decrypt_inout_detached(&[0; 12].into(), b"", data.into(), tag).expect("authentic");
    };
    let name = format!("aead open {size} bytes");
    Pair { name, units: 1, ours: Box::new(ours), reference: Box::new(reference), asked }
}
