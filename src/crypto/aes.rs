//! AES-256 in CBC mode without padding, and single blocks; all in place.

use ::aes::Aes256;
use ::aes::cipher::{
    Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit,
    KeyIvInit,
};

/// Bytes of an AES block.
pub const BLOCK_SIZE: usize = 16;

/// Encrypts `data`, whole blocks, in CBC mode.
///
/// A length that is no multiple of [`BLOCK_SIZE`] is a caller's bug; the bytes past the last whole block stay as
/// they are.
pub fn cbc_encrypt(key: &[u8; 32], iv: [u8; BLOCK_SIZE], data: &mut [u8]) {
    debug_assert!(data.len().is_multiple_of(BLOCK_SIZE), "whole blocks, not {}", data.len());
    let (blocks, _) = Array::slice_as_chunks_mut(data);
    cbc::Encryptor::<Aes256>::new(key.into(), &iv.into()).encrypt_blocks(blocks);
}

/// Decrypts `data`, whole blocks, in CBC mode; the inverse of [`cbc_encrypt`].
pub fn cbc_decrypt(key: &[u8; 32], iv: [u8; BLOCK_SIZE], data: &mut [u8]) {
    debug_assert!(data.len().is_multiple_of(BLOCK_SIZE), "whole blocks, not {}", data.len());
    let (blocks, _) = Array::slice_as_chunks_mut(data);
    cbc::Decryptor::<Aes256>::new(key.into(), &iv.into()).decrypt_blocks(blocks);
}

/// Encrypts one block by itself.
pub fn ecb_encrypt_block(key: &[u8; 32], block: &mut [u8; BLOCK_SIZE]) {
    Aes256::new(key.into()).encrypt_block(block.into());
}

/// Decrypts one block by itself.
pub fn ecb_decrypt_block(key: &[u8; 32], block: &mut [u8; BLOCK_SIZE]) {
    Aes256::new(key.into()).decrypt_block(block.into());
}
