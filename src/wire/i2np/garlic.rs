//! Garlic: the frame of the message, and what is inside once it is opened.
//!
//! There are two insides: blocks, sealed with ChaCha20-Poly1305, of today's routers and destinations, in [`blocks`];
//! and a clove set in an AES block, of destinations with ElGamal keys, in [`clove_set`] and [`aes_block`]. Spec: I2NP,
//! Garlic; ECIES, payload; ElGamal/AES.

pub mod aes_block;
mod blocks;
pub mod clove_set;

use crate::base::frame::Frame;
use crate::base::id::{RecordKey, RouterHash, TunnelId};
use crate::wire::Malformed;
use crate::wire::i2np::I2npMessage;
use crate::wire::reader::Reader;

pub use blocks::{
    BLOCK_HEADER_SIZE, GarlicAck, GarlicAcks, GarlicBlock, GarlicBlocks, NextKey, SessionBlock,
    append_clove, append_date_time, append_padding, append_session, append_unknown, parse_blocks,
};

/// The largest delivery instructions that we write: flag 1, hash 32, tunnel id 4.
const DELIVERY_MAX: usize = 37;

const FLAG_SESSION_KEY: u8 = 0x80;
const FLAG_DELAY: u8 = 0x10;

/// The body of a Garlic message: a length and what it counts, still sealed.
pub struct GarlicMessage;

impl GarlicMessage {
    /// The sealed bytes; those behind them are ignored.
    ///
    /// # Errors
    /// `Truncated` when there are fewer than the length says.
    pub fn payload(body: &[u8]) -> Result<&[u8], Malformed> {
        let mut reader = Reader::new(body);
        let size = reader.u32("size of garlic")?;
        reader.take(usize::try_from(size).unwrap_or(usize::MAX), "garlic")
    }

    /// The sealed bytes, to be opened in place.
    ///
    /// # Errors
    /// As [`GarlicMessage::payload`].
    pub fn payload_mut(body: &mut [u8]) -> Result<&mut [u8], Malformed> {
        let size = Self::payload(body)?.len();
        let left = body.len();
        body.get_mut(4..4 + size).ok_or(Malformed::Truncated {
            field: "garlic",
            needed: size,
            left,
        })
    }

    /// The body that carries these sealed bytes.
    #[must_use]
    pub fn write(sealed: &[u8]) -> Frame {
        let mut frame = Frame::with_capacity(4 + sealed.len());
        frame.append(&u32::try_from(sealed.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.append(sealed);
        frame
    }
}

/// Where the message in a clove goes. The order of fields differs from that inside tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloveDelivery {
    /// To whoever opens the clove.
    Local,
    /// To a destination of the router that opens the clove.
    Destination(RecordKey),
    /// To a router.
    Router(RouterHash),
    /// Into a tunnel.
    Tunnel {
        /// The tunnel's gateway.
        gateway: RouterHash,
        /// The tunnel, as its gateway names it.
        tunnel: TunnelId,
    },
}

/// One message inside garlic, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clove {
    /// Where it goes.
    pub delivery: CloveDelivery,
    /// The message.
    pub message: I2npMessage,
}

impl CloveDelivery {
    /// Reads delivery instructions. A delay, which nobody sends and no router waits for, is passed over.
    ///
    /// # Errors
    /// `Truncated` when they end early, `ZeroTunnelId` for tunnel zero, `Unsupported` for a clove that is encrypted
    /// once more, which has never been in use.
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let flag = reader.u8("flag of clove")?;
        if flag & FLAG_SESSION_KEY != 0 {
            let found = u32::from(flag);
            return Err(Malformed::Unsupported { field: "flag of clove", found });
        }
        let field = "delivery of clove";
        let delivery = match (flag >> 5) & 3 {
            0 => Self::Local,
            1 => Self::Destination(RecordKey(*reader.array::<32>(field)?)),
            2 => Self::Router(RouterHash(*reader.array::<32>(field)?)),
            _ => {
                let gateway = RouterHash(*reader.array::<32>(field)?);
                let tunnel = TunnelId::from_wire(*reader.array::<4>(field)?)
                    .ok_or(Malformed::ZeroTunnelId { field })?;
                Self::Tunnel { gateway, tunnel }
            }
        };
        if flag & FLAG_DELAY != 0 {
            reader.u32("delay of clove")?;
        }
        Ok(delivery)
    }

    /// Appends the delivery instructions.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Local => out.push(0),
            Self::Destination(key) => {
                out.push(1 << 5);
                out.extend_from_slice(&key.0);
            }
            Self::Router(router) => {
                out.push(2 << 5);
                out.extend_from_slice(&router.0);
            }
            Self::Tunnel { gateway, tunnel } => {
                out.push(3 << 5);
                out.extend_from_slice(&gateway.0);
                out.extend_from_slice(&tunnel.to_wire());
            }
        }
    }
}

#[cfg(test)]
mod tests;
