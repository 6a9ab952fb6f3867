//! What a build record asks of an ElGamal router. Such routers are no hops any more; the layout is known so that a
//! record of this kind can be told and dropped. Spec: Tunnel creation (ElGamal).

use std::fmt;

use crate::base::id::{MessageId, RouterHash, TunnelId};
use crate::base::rng::ShardRng;
use crate::crypto::layer::LayerKeys;
use crate::wire::build_record::long::{LongRecordKeys, read_layer_keys, read_record_keys};
use crate::wire::build_record::{BuildRecordError, HopRole, put_first, read_tunnel};
use crate::wire::reader::Reader;

/// Bytes of a request, opened.
pub const ELGAMAL_REQUEST_SIZE: usize = 222;

/// The cleartext of a build request to an ElGamal router.
pub struct ElGamalBuildRequest {
    /// The tunnel id that the hop receives on.
    pub receive_tunnel: TunnelId,
    /// The hop that it is for.
    pub hop: RouterHash,
    /// The tunnel id at the next hop.
    pub next_tunnel: TunnelId,
    /// The next hop.
    pub next_hop: RouterHash,
    /// Keys of the tunnel's data.
    pub layer: LayerKeys,
    /// What the hop encrypts the records with.
    pub reply: LongRecordKeys,
    /// What the hop is asked to be.
    pub role: HopRole,
    /// When the request was made, in whole hours since 1970.
    pub request_hours: u32,
    /// The id under which the build message goes on.
    pub next_message: MessageId,
}

impl ElGamalBuildRequest {
    /// Reads a request; reserved flags and padding are ignored.
    ///
    /// # Errors
    /// `Malformed` for a tunnel id of zero, `BothRoles` for contrary flags.
    pub fn parse(bytes: &[u8; ELGAMAL_REQUEST_SIZE]) -> Result<Self, BuildRecordError> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            receive_tunnel: read_tunnel(&mut reader, "receive tunnel")?,
            hop: RouterHash(*reader.array("hop")?),
            next_tunnel: read_tunnel(&mut reader, "next tunnel")?,
            next_hop: RouterHash(*reader.array("next hop")?),
            layer: read_layer_keys(&mut reader)?,
            reply: read_record_keys(&mut reader)?,
            role: HopRole::from_flags(reader.u8("flags")?)?,
            request_hours: reader.u32("request time")?,
            next_message: MessageId(reader.u32("next message id")?),
        })
    }

    /// The request's 222 bytes, the unused ones filled from `padding`.
    #[must_use]
    pub fn write(&self, padding: &mut ShardRng) -> [u8; ELGAMAL_REQUEST_SIZE] {
        let mut out = Vec::with_capacity(ELGAMAL_REQUEST_SIZE);
        out.extend_from_slice(&self.receive_tunnel.to_wire());
        out.extend_from_slice(&self.hop.0);
        out.extend_from_slice(&self.next_tunnel.to_wire());
        out.extend_from_slice(&self.next_hop.0);
        out.extend_from_slice(self.layer.layer.expose());
        out.extend_from_slice(self.layer.iv.expose());
        out.extend_from_slice(self.reply.key.expose());
        out.extend_from_slice(&self.reply.iv);
        out.push(self.role.flags());
        out.extend_from_slice(&self.request_hours.to_be_bytes());
        out.extend_from_slice(&self.next_message.0.to_be_bytes());
        let mut bytes = padding.bytes();
        put_first(&mut bytes, &out);
        bytes
    }
}

// Without the keys.
impl fmt::Debug for ElGamalBuildRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ElGamalBuildRequest({:?} to {:?})", self.role, self.next_hop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let mut bytes = [0; ELGAMAL_REQUEST_SIZE];
        bytes[..4].copy_from_slice(&[0, 0, 1, 1]);
        bytes[4..36].fill(0x10);
        bytes[36..40].copy_from_slice(&[0, 0, 2, 2]);
        bytes[40..72].fill(0x11);
        bytes[72..104].fill(0x12);
        bytes[104..136].fill(0x13);
        bytes[136..168].fill(0x14);
        bytes[168..184].fill(0x15);
        bytes[184..193].copy_from_slice(&[0x80, 0, 7, 0, 0, 0x0a, 0x0b, 0x0c, 0x0d]);
        let request = ElGamalBuildRequest::parse(&bytes).unwrap();
        assert_eq!((request.receive_tunnel.number(), request.next_tunnel.number()), (0x101, 0x202));
        assert_eq!(
            (request.hop, request.next_hop),
            (RouterHash([0x10; 32]), RouterHash([0x11; 32]))
        );
        assert_eq!(request.layer.layer.expose(), &[0x12; 32]);
        assert_eq!(request.layer.iv.expose(), &[0x13; 32]);
        assert_eq!(request.reply.key.expose(), &[0x14; 32]);
        assert_eq!(request.reply.iv, [0x15; 16]);
        assert_eq!(request.role, HopRole::InboundGateway);
        assert_eq!((request.request_hours, request.next_message.0), (0x0007_0000, 0x0a0b_0c0d));
        let written = request.write(&mut ShardRng::from_seed([1; 32]));
        assert_eq!(written[..193], bytes[..193]);
        bytes[184] = 0xc0;
        assert!(ElGamalBuildRequest::parse(&bytes).is_err());
    }
}
