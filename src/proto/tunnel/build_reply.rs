//! Our answer to a build request, written into the message that goes on.

use std::num::NonZeroU32;

use crate::crypto::chacha::{self, TAG_SIZE};
use crate::crypto::secret::AeadKey;
use crate::wire::build_record::{SHORT_REPLY_SIZE, ShortBuildReply};
use crate::wire::i2np::tunnel_build::{BuildMessage, SHORT_RECORD_SIZE};

use super::bandwidth::write_available;
use super::build_request::{OpenedRequest, ShortReplyKeys};

/// What a hop answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// [`STATUS_ACCEPTED`](super::build_request::STATUS_ACCEPTED), or anything else for a refusal.
    pub status: u8,
    /// Tunnel messages a second that are set aside; `None` where the creator asked for nothing, or is refused.
    pub bandwidth: Option<NonZeroU32>,
}

impl Answer {
    /// One that says nothing of bandwidth.
    #[must_use]
    pub fn plain(status: u8) -> Self {
        Self { status, bandwidth: None }
    }
}

const _: () = assert!(SHORT_REPLY_SIZE + TAG_SIZE == SHORT_RECORD_SIZE);

/// Puts our answer in the record at `slot` and encrypts the others, so that only the creator can read them.
/// Does the same for acceptance and refusal.
///
/// Spec: tunnel creation (ECIES), reply record encryption.
pub fn seal_reply(
    message: &mut BuildMessage<'_>,
    slot: usize,
    opened: &OpenedRequest,
    answer: Answer,
) {
    let own = seal_record(&opened.reply, slot, answer);
    for (index, record) in message.records_mut().iter_mut().enumerate() {
        if index == slot {
            *record = own;
        } else {
            encrypt_other(&opened.reply.key, index, record);
        }
    }
}

fn seal_record(keys: &ShortReplyKeys, slot: usize, answer: Answer) -> [u8; SHORT_RECORD_SIZE] {
    let Answer { status, bandwidth } = answer;
    let reply = ShortBuildReply { status, options: write_available(bandwidth) };
    let mut cleartext = reply.write();
    let nonce = u64::try_from(slot).unwrap_or(u64::MAX);
    let tag = chacha::seal_in_place(&keys.key, nonce, &keys.hash, &mut cleartext);
    let mut record = [0; SHORT_RECORD_SIZE];
    for (to, from) in record.iter_mut().zip(cleartext.iter().chain(&tag)) {
        *to = *from;
    }
    record
}

/// Encrypts the record of another hop at `slot`, or takes that encryption off: it is its own inverse.
pub(super) fn encrypt_other(key: &AeadKey, slot: usize, record: &mut [u8; SHORT_RECORD_SIZE]) {
    let slot = u8::try_from(slot).unwrap_or(u8::MAX);
    chacha::stream(key, [0, 0, 0, 0, slot, 0, 0, 0, 0, 0, 0, 0], record);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::sha256;
    use crate::crypto::testing::{hex, unhex_array};

    fn key() -> AeadKey {
        let known = "da7cff29cefb074dae37954093e20bfc9d397665ebb63e98e739d2f07d83a943";
        AeadKey::from_bytes(unhex_array(known))
    }

    #[test]
    fn the_reply_in_slot_2_is_the_known_one() {
        let hash = "f3ed014b7393508997cc41cad3f06e096cdee74feff5ff145a8e223f79f86221";
        let keys = ShortReplyKeys { key: key(), hash: unhex_array(hash) };
        let record = seal_record(&keys, 2, Answer::plain(30));
        assert_eq!(hex(&record[..16]), "7411df7654cc571026239316b6f48a19");
        assert_eq!(hex(&record[202..]), "0572cd913e2e0f39eceedc9177173d11");
        let known = "abe0bc2beaa1acd6fb6fe0d6fabefc33bdebd196fba57f8758eb5d4ad4998528";
        assert_eq!(hex(&sha256(&record)), known);
    }

    #[test]
    fn other_records_are_encrypted_in_the_known_way() {
        let mut record = [0; SHORT_RECORD_SIZE];
        encrypt_other(&key(), 0, &mut record);
        assert_eq!(hex(&record[..16]), "8bed0901b6dd73a2c16990cfebc4e463");
        let known = "bb169852144e2f952aabc4eb4a0db42fc4074c89ae7c0d2a8c4a34921debbde9";
        assert_eq!(hex(&sha256(&record)), known);
        let mut record = [0; SHORT_RECORD_SIZE];
        encrypt_other(&key(), 1, &mut record);
        assert_eq!(hex(&record[..16]), "5f2d9e77152b5e7b810d21f5b0199f7a");
        let known = "7afdc5107d2113315031f97473c737e6d74e0742c870c989a0c6400a2bbd50a6";
        assert_eq!(hex(&sha256(&record)), known);
    }
}
