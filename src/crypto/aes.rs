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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::testing::{hex, unhex, unhex_array};

    // NIST SP 800-38A: the key, IV and plaintext of all examples for AES-256.
    const KEY: &str = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
    const IV: &str = "000102030405060708090a0b0c0d0e0f";
    const TEXT: [&str; 4] = [
        "6bc1bee22e409f96e93d7e117393172a",
        "ae2d8a571e03ac9c9eb76fac45af8e51",
        "30c81c46a35ce411e5fbc1191a0a52ef",
        "f69f2445df4f9b17ad2b417be66c3710",
    ];

    // Sections F.1.5 and F.1.6.
    #[test]
    fn sp_800_38a_ecb() {
        let sealed = [
            "f3eed1bdb5d2a03c064b5a7e3db181f8",
            "591ccb10d410ed26dc5ba74a31362870",
            "b6ed21b99ca6f4f9f153e7b1beafed1d",
            "23304b7a39f9f3ff067d8d8f9e24ecc7",
        ];
        for (text, sealed) in TEXT.into_iter().zip(sealed) {
            let mut block = unhex_array(text);
            ecb_encrypt_block(&unhex_array(KEY), &mut block);
            assert_eq!(hex(&block), sealed);
            ecb_decrypt_block(&unhex_array(KEY), &mut block);
            assert_eq!(hex(&block), text);
        }
    }

    // Sections F.2.5 and F.2.6.
    #[test]
    fn sp_800_38a_cbc() {
        let sealed = "f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d
            39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b";
        let mut data = unhex(&TEXT.concat());
        cbc_encrypt(&unhex_array(KEY), unhex_array(IV), &mut data);
        assert_eq!(data, unhex(sealed));
        cbc_decrypt(&unhex_array(KEY), unhex_array(IV), &mut data);
        assert_eq!(data, unhex(&TEXT.concat()));
    }

    #[test]
    fn no_data_is_no_work() {
        cbc_encrypt(&[1; 32], [2; 16], &mut []);
        cbc_decrypt(&[1; 32], [2; 16], &mut []);
    }

    proptest! {
        #[test]
        fn decryption_undoes_encryption(
            key in any::<[u8; 32]>(),
            iv in any::<[u8; 16]>(),
            blocks in prop::collection::vec(any::<[u8; 16]>(), 0..80),
        ) {
            let text = blocks.concat();
            let mut data = text.clone();
            cbc_encrypt(&key, iv, &mut data);
            cbc_decrypt(&key, iv, &mut data);
            prop_assert_eq!(data, text);
        }

        #[test]
        fn cbc_chains_single_blocks(
            key in any::<[u8; 32]>(),
            iv in any::<[u8; 16]>(),
            blocks in prop::collection::vec(any::<[u8; 16]>(), 1..20),
        ) {
            let mut data = blocks.concat();
            cbc_encrypt(&key, iv, &mut data);
            let mut chain = iv;
            for (block, sealed) in blocks.iter().zip(data.chunks(16)) {
                for (byte, text) in chain.iter_mut().zip(block) {
                    *byte ^= text;
                }
                ecb_encrypt_block(&key, &mut chain);
                prop_assert_eq!(&chain[..], sealed);
            }
        }
    }
}
