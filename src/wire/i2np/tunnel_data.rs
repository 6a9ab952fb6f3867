//! TunnelData: one message of a tunnel, between two of its hops. Spec: I2NP, TunnelData.

use crate::base::frame::Frame;
use crate::base::id::TunnelId;
use crate::base::limits::TUNNEL_DATA_SIZE;
use crate::wire::Malformed;

/// Bytes that a layer of tunnel encryption covers: IV 16 and payload 1008.
pub const TUNNEL_LAYER_SIZE: usize = TUNNEL_DATA_SIZE - 4;
/// Bytes of the IV.
pub const TUNNEL_IV_SIZE: usize = 16;

/// A TunnelData message, viewed in the buffer that it arrived in.
#[derive(Debug)]
pub struct TunnelData<'a> {
    id: &'a mut [u8; 4],
    layer: &'a mut [u8; TUNNEL_LAYER_SIZE],
    tunnel: TunnelId,
}

impl<'a> TunnelData<'a> {
    /// Views `body`.
    ///
    /// # Errors
    /// `Length` unless it has 1028 bytes, `ZeroTunnelId` for tunnel zero.
    pub fn parse(body: &'a mut [u8]) -> Result<Self, Malformed> {
        let length = Malformed::Length {
            field: "TunnelData",
            expected: TUNNEL_DATA_SIZE,
            found: body.len(),
        };
        let (id, layer) = body.split_first_chunk_mut().ok_or(length)?;
        let layer = layer.try_into().map_err(|_| length)?;
        let tunnel = TunnelId::from_wire(*id)
            .ok_or(Malformed::ZeroTunnelId { field: "tunnel of TunnelData" })?;
        Ok(Self { id, layer, tunnel })
    }

    /// The tunnel that `body` is for, without a view of the rest; for whoever only passes it on.
    #[must_use]
    pub fn tunnel_of(body: &[u8]) -> Option<TunnelId> {
        let id = body.first_chunk().filter(|_| body.len() == TUNNEL_DATA_SIZE)?;
        TunnelId::from_wire(*id)
    }

    /// The body of a message for `tunnel`.
    #[must_use]
    pub fn write(tunnel: TunnelId, layer: &[u8; TUNNEL_LAYER_SIZE]) -> Frame {
        let mut frame = Frame::with_capacity(TUNNEL_DATA_SIZE);
        frame.append(&tunnel.to_wire());
        frame.append(layer);
        frame
    }

    /// The tunnel, as the receiving hop names it.
    #[must_use]
    pub fn tunnel(&self) -> TunnelId {
        self.tunnel
    }

    /// Names the tunnel as the next hop does.
    pub fn set_tunnel(&mut self, tunnel: TunnelId) {
        *self.id = tunnel.to_wire();
        self.tunnel = tunnel;
    }

    /// IV and payload, which a layer of encryption changes in place.
    pub fn layer_mut(&mut self) -> &mut [u8; TUNNEL_LAYER_SIZE] {
        self.layer
    }

    /// IV and payload.
    #[must_use]
    pub fn layer(&self) -> &[u8; TUNNEL_LAYER_SIZE] {
        self.layer
    }

    /// What tells a repeated message from a fresh one: the IV XOR the first 16 bytes of the payload.
    #[must_use]
    pub fn replay_key(&self) -> [u8; TUNNEL_IV_SIZE] {
        let mut key = [0; TUNNEL_IV_SIZE];
        let (iv, payload) = self.layer.split_at(TUNNEL_IV_SIZE);
        for ((byte, iv), data) in key.iter_mut().zip(iv).zip(payload) {
            *byte = iv ^ data;
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_reads_and_writes_in_place() {
        let mut layer = [0; TUNNEL_LAYER_SIZE];
        layer[..16].fill(0x0f);
        layer[16..32].fill(0xf1);
        let mut body = TunnelData::write(TunnelId::new(0x0102_0304).unwrap(), &layer);
        assert_eq!(body[..4], [1, 2, 3, 4]);
        assert_eq!(TunnelData::tunnel_of(&body), TunnelId::new(0x0102_0304));
        let mut view = TunnelData::parse(&mut body).unwrap();
        assert_eq!(view.tunnel().number(), 0x0102_0304);
        assert_eq!(view.replay_key(), [0xfe; 16]);
        assert_eq!(view.layer(), &layer);
        view.set_tunnel(TunnelId::new(5).unwrap());
        view.layer_mut()[1023] = 9;
        assert_eq!(view.tunnel().number(), 5);
        assert_eq!(body[..4], [0, 0, 0, 5]);
        assert_eq!(body[1027], 9);
    }

    #[test]
    fn only_1028_bytes_of_a_real_tunnel_are_a_message() {
        for length in [0, 3, 4, 1027, 1029] {
            let mut body = vec![1; length];
            let refusal = Malformed::Length { field: "TunnelData", expected: 1028, found: length };
            assert_eq!(TunnelData::parse(&mut body).err(), Some(refusal));
            assert_eq!(TunnelData::tunnel_of(&body), None);
        }
        let zero = TunnelData::parse(&mut [0; 1028]).err();
        assert_eq!(zero, Some(Malformed::ZeroTunnelId { field: "tunnel of TunnelData" }));
    }
}
