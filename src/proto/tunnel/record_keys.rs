//! The keys that a short build record agrees on, in the order in which they are derived.
//!
//! Both ends come here with the same chain key: the hop from an opened record, the creator from a sealed one.
//! Spec: tunnel creation (ECIES), short record key derivation.

use zeroize::Zeroizing;

use crate::crypto::hash::hkdf;
use crate::crypto::layer::LayerKeys;
use crate::crypto::secret::{AeadKey, IvKey, LayerKey};
use crate::wire::build_record::HopRole;

/// Under what an outbound endpoint seals the build reply for the creator, and how the creator knows it.
#[derive(Debug)]
pub struct GarlicReplyKey {
    /// Key of the one message.
    pub key: AeadKey,
    /// Tag in front of it, from the same derivation; good for one message.
    pub tag: [u8; 8],
}

/// All keys of one hop of one tunnel.
#[derive(Debug)]
pub struct RecordKeys {
    /// Seals the hop's reply record and encrypts the other records.
    pub reply: AeadKey,
    /// The tunnel layer.
    pub layer: LayerKeys,
    /// The endpoint's key for the build reply; other hops have none.
    pub garlic: Option<GarlicReplyKey>,
}

impl RecordKeys {
    /// Derives the keys from the chain key after the record's Diffie-Hellman was mixed in.
    #[must_use]
    pub fn derive(chain_key: &[u8; 32], role: HopRole) -> Self {
        let (chain, reply) = step(chain_key, b"SMTunnelReplyKey");
        let (chain, layer) = step(&chain, b"SMTunnelLayerKey");
        let (iv, garlic) = match role {
            HopRole::Participant | HopRole::InboundGateway => (*chain, None),
            HopRole::OutboundEndpoint => {
                let (chain, iv) = step(&chain, b"TunnelLayerIVKey");
                let (tag, key) = step(&chain, b"RGarlicKeyAndTag");
                let [t0, t1, t2, t3, t4, t5, t6, t7, ..] = *tag;
                let tag = [t0, t1, t2, t3, t4, t5, t6, t7];
                (*iv, Some(GarlicReplyKey { key: AeadKey::from_bytes(*key), tag }))
            }
        };
        Self {
            reply: AeadKey::from_bytes(*reply),
            layer: LayerKeys { layer: LayerKey::from_bytes(*layer), iv: IvKey::from_bytes(iv) },
            garlic,
        }
    }
}

/// One step of the derivation: the next chain key and the key that is named.
fn step(chain_key: &[u8; 32], name: &[u8]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let (chain, key) = hkdf(chain_key, b"", name);
    (Zeroizing::new(chain), Zeroizing::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::testing::hex;

    fn chain_key() -> [u8; 32] {
        std::array::from_fn(|index| u8::try_from(index).unwrap())
    }

    #[test]
    fn keys_of_a_participant_are_the_known_ones() {
        let keys = RecordKeys::derive(&chain_key(), HopRole::Participant);
        let known = "02c5ab6b425be6543d4ad2769a933007484a69a1d3aff93721f940a834cf731a";
        assert_eq!(hex(keys.reply.expose()), known);
        let known = "0b9c0c33c02a368344d12dfa05c215878c2450dcfd7064330ce15ca655164bad";
        assert_eq!(hex(keys.layer.layer.expose()), known);
        let known = "5486af09b27f24ef47f553826210b7e8ae2de36c3b0b85894e830680a8421a67";
        assert_eq!(hex(keys.layer.iv.expose()), known);
        assert!(keys.garlic.is_none());
    }

    #[test]
    fn an_endpoint_has_another_iv_key_and_a_garlic_key() {
        let keys = RecordKeys::derive(&chain_key(), HopRole::OutboundEndpoint);
        let known = "0b9c0c33c02a368344d12dfa05c215878c2450dcfd7064330ce15ca655164bad";
        assert_eq!(hex(keys.layer.layer.expose()), known);
        let known = "5e66290b6198c6996f96e6bb52335509796544685cedb4b57e79c439f1820799";
        assert_eq!(hex(keys.layer.iv.expose()), known);
        let garlic = keys.garlic.unwrap();
        let known = "c7f0cf338e457ff633b81592f34bad3915bd502caac27da7ce81336172c8c548";
        assert_eq!(hex(garlic.key.expose()), known);
        assert_eq!(hex(&garlic.tag), "a1d9901b58edc7ad");
    }
}
