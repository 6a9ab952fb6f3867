//! Build requests in long records and our answers to them: the form of creators that do not trust each hop with short ones.
//!
//! Such a record carries the keys that a short one derives. Spec: tunnel creation (ECIES), long records.

use crate::crypto::aes;
use crate::crypto::chacha;
use crate::crypto::secret::{AeadKey, SharedSecret};
use crate::proto::local::HopIdentity;
use crate::wire::build_record::long::{LongBuildReply, LongBuildRequest, LongRecordKeys};
use crate::wire::i2np::tunnel_build::{LONG_RECORD_SIZE, LongBuildMessage};

use super::bandwidth::{BandwidthRequest, write_available};
use super::build_reply::Answer;
use super::build_request::{BuildRequestError, HopRequest, OpenedRequest, open};

/// What seals the reply to a long request.
pub struct LongReplyKeys {
    /// Seals our answer: the chain key after the request.
    pub key: AeadKey,
    /// Handshake hash after the request: the associated data of our answer.
    pub hash: [u8; 32],
    /// Encrypts the other records.
    pub others: LongRecordKeys,
}

// Without the keys.
impl std::fmt::Debug for LongReplyKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LongReplyKeys")
    }
}

/// Opens our record with the result of the Diffie-Hellman between our encryption key and the record's ephemeral key.
///
/// # Errors
/// [`BuildRequestError::Unauthentic`] when it was not made for us, as the records of ElGamal are not;
/// [`BuildRequestError::Record`] when what it says breaks the format.
pub fn open_long_record(
    hop: &HopIdentity,
    record: &[u8; LONG_RECORD_SIZE],
    shared: &SharedSecret,
) -> Result<OpenedRequest<LongReplyKeys>, BuildRequestError> {
    let (state, cleartext) = open(hop, record, shared)?;
    let LongBuildRequest {
        receive_tunnel,
        next_tunnel,
        next_hop,
        layer,
        reply,
        role,
        request_minutes,
        next_message,
        expiration_s: _,
        options,
    } = LongBuildRequest::parse(&cleartext)?;
    Ok(OpenedRequest {
        request: HopRequest {
            receive_tunnel,
            next_tunnel,
            next_hop,
            role,
            layer_type: 0,
            request_minutes,
            next_message,
            bandwidth: BandwidthRequest::read(&options),
        },
        keys: layer,
        reply: LongReplyKeys {
            key: AeadKey::from_bytes(*state.chain_key()),
            hash: *state.hash(),
            others: reply,
        },
        garlic: None,
    })
}

/// Puts our answer in the record at `slot` and encrypts the others, so that only the creator can read them.
pub fn seal_long_reply(
    message: &mut LongBuildMessage<'_>,
    slot: usize,
    opened: &OpenedRequest<LongReplyKeys>,
    answer: Answer,
) {
    let own = seal_record(&opened.reply, answer);
    let others = &opened.reply.others;
    for (index, record) in message.records_mut().iter_mut().enumerate() {
        if index == slot {
            *record = own;
        } else {
            aes::cbc_encrypt(others.key.expose(), others.iv, record);
        }
    }
}

fn seal_record(keys: &LongReplyKeys, answer: Answer) -> [u8; LONG_RECORD_SIZE] {
    let Answer { status, bandwidth } = answer;
    let mut cleartext = LongBuildReply { status, options: write_available(bandwidth) }.write();
    let tag = chacha::seal_in_place(&keys.key, 0, &keys.hash, &mut cleartext);
    let mut record = [0; LONG_RECORD_SIZE];
    for (to, from) in record.iter_mut().zip(cleartext.iter().chain(&tag)) {
        *to = *from;
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{MessageId, RouterHash, TunnelId};
    use crate::base::rng::ShardRng;
    use crate::crypto::layer::LayerKeys;
    use crate::crypto::noise::SymmetricState;
    use crate::crypto::secret::{IvKey, LayerKey, LongRecordKey, X25519Secret};
    use crate::crypto::x25519::{diffie_hellman, public_key};
    use crate::proto::tunnel::build_request::{ephemeral_key, find_slot};
    use crate::wire::build_record::HopRole;
    use crate::wire::mapping::Mapping;

    const SLOT: usize = 2;

    fn request() -> LongBuildRequest {
        LongBuildRequest {
            receive_tunnel: TunnelId::new(1).unwrap(),
            next_tunnel: TunnelId::new(2).unwrap(),
            next_hop: RouterHash([3; 32]),
            layer: LayerKeys {
                layer: LayerKey::from_bytes([4; 32]),
                iv: IvKey::from_bytes([5; 32]),
            },
            reply: LongRecordKeys { key: LongRecordKey::from_bytes([6; 32]), iv: [7; 16] },
            role: HopRole::OutboundEndpoint,
            request_minutes: 28_000_000,
            expiration_s: 600,
            next_message: MessageId(8),
            options: Mapping::new(),
        }
    }

    /// As a creator does it, written down apart from what is tested: the record, and key and hash for its reply.
    fn sealed(
        secret: &X25519Secret,
        rng: &mut ShardRng,
    ) -> ([u8; LONG_RECORD_SIZE], AeadKey, [u8; 32]) {
        let to = public_key(secret);
        let ephemeral = X25519Secret::from_bytes(rng.bytes());
        let mut state = SymmetricState::tunnel_record(&to);
        state.mix_hash(&public_key(&ephemeral).0);
        let key = state.mix_key(&diffie_hellman(&ephemeral, &to).unwrap());
        let mut cleartext = request().write(rng);
        let tag = state.seal_and_hash(&key, 0, &mut cleartext);
        let mut record = [0; LONG_RECORD_SIZE];
        record[..16].copy_from_slice(&[0x0c; 16]);
        record[16..48].copy_from_slice(&public_key(&ephemeral).0);
        record[48..512].copy_from_slice(&cleartext);
        record[512..].copy_from_slice(&tag);
        (record, AeadKey::from_bytes(*state.chain_key()), *state.hash())
    }

    #[test]
    fn a_creator_reads_the_reply() {
        let mut rng = ShardRng::from_seed([1; 32]);
        let secret = X25519Secret::from_bytes([0x0b; 32]);
        let hop = HopIdentity::new(RouterHash([0x0c; 32]), &public_key(&secret));
        let (record, reply_key, hash) = sealed(&secret, &mut rng);
        let other: [u8; LONG_RECORD_SIZE] = rng.bytes();
        let mut body = LongBuildMessage::write_variable(&[other, other, record]).unwrap();
        let mut message = LongBuildMessage::parse_variable(&mut body).unwrap();
        assert_eq!(find_slot(&message, hop.hash()), Some(SLOT));

        let shared = diffie_hellman(&secret, &ephemeral_key(&record)).unwrap();
        let opened = open_long_record(&hop, message.record(SLOT).unwrap(), &shared).unwrap();
        assert_eq!(opened.request.next_hop, RouterHash([3; 32]));
        assert_eq!(opened.request.next_message, MessageId(8));
        assert_eq!(opened.request.role, HopRole::OutboundEndpoint);
        assert_eq!(opened.keys.layer.expose(), &[4; 32]);
        assert_eq!(opened.keys.iv.expose(), &[5; 32]);
        assert!(opened.garlic.is_none());

        seal_long_reply(&mut message, SLOT, &opened, Answer::plain(30));
        let mut answer = *message.record(SLOT).unwrap();
        let cleartext = chacha::open_in_place(&reply_key, 0, &hash, &mut answer).unwrap();
        let reply = LongBuildReply::parse((&*cleartext).try_into().unwrap()).unwrap();
        assert_eq!(reply, LongBuildReply { status: 30, options: Mapping::new() });
        for slot in [0, 1] {
            let mut record = *message.record(slot).unwrap();
            aes::cbc_decrypt(&[6; 32], [7; 16], &mut record);
            assert_eq!(record, other);
        }
    }

    #[test]
    fn what_is_not_for_us_does_not_open() {
        let mut rng = ShardRng::from_seed([2; 32]);
        let secret = X25519Secret::from_bytes([0x0b; 32]);
        let hop = HopIdentity::new(RouterHash([0x0c; 32]), &public_key(&secret));
        let (record, ..) = sealed(&secret, &mut rng);
        for place in [16, 100, 511, 527] {
            let mut record = record;
            record[place] ^= 1;
            let shared = diffie_hellman(&secret, &ephemeral_key(&record)).unwrap();
            let error = open_long_record(&hop, &record, &shared).err();
            assert_eq!(error, Some(BuildRequestError::Unauthentic), "{place}");
        }
    }
}
