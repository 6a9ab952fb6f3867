//! The gateway of somebody's inbound tunnel: takes TunnelGateway messages from anyone and sends them down.

use std::time::Duration;

use crate::base::id::MessageId;
use crate::base::limits::{MESSAGE_AHEAD_MAX, MESSAGE_LATE_MAX};
use crate::base::rng::ShardRng;
use crate::base::time::UnixTime;
use crate::crypto::layer::LayerKeys;
use crate::wire::delivery::Delivery;
use crate::wire::i2np::tunnel_data::TUNNEL_LAYER_SIZE;
use crate::wire::reader::{Malformed, Reader};

use super::fragmenter::{Fragmenter, MessageTooLarge, Outgoing};
use super::hop::NextHop;

/// Why a message is not sent down a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayDrop {
    /// It is no I2NP message under a standard header.
    #[error("message for a tunnel: {0}")]
    Malformed(#[from] Malformed),
    /// It has expired.
    #[error("message expired {late:?} ago, the limit is {limit:?}")]
    Expired {
        /// By our clock.
        late: Duration,
        /// [`MESSAGE_LATE_MAX`].
        limit: Duration,
    },
    /// It expires later than any message should.
    #[error("message expires in {ahead:?}, the limit is {limit:?}")]
    Ahead {
        /// By our clock.
        ahead: Duration,
        /// [`MESSAGE_AHEAD_MAX`].
        limit: Duration,
    },
    /// It does not fit in the fragments that a message may have.
    #[error(transparent)]
    TooLarge(#[from] MessageTooLarge),
}

/// One tunnel whose gateway we are.
///
/// Whoever drives it collects messages for a short while, flushes, applies our layer to what comes out with
/// `keys`, and sends it to `next`.
#[derive(Debug)]
pub struct InboundGateway {
    /// Keys of our layer.
    pub keys: LayerKeys,
    /// Where messages go.
    pub next: NextHop,
    fragmenter: Fragmenter,
}

impl InboundGateway {
    /// A gateway with nothing to send.
    #[must_use]
    pub fn new(keys: LayerKeys, next: NextHop) -> Self {
        Self { keys, next, fragmenter: Fragmenter::new() }
    }

    /// Takes the message inside a TunnelGateway, which the tunnel's creator will get as a local delivery. Tunnel
    /// messages that are full as a result go to `out`, our layer not yet applied.
    ///
    /// # Errors
    /// [`GatewayDrop`]; the message is to be dropped and counted.
    pub fn handle_message(
        &mut self,
        inner: &[u8],
        now: UnixTime,
        rng: &mut ShardRng,
        out: &mut Vec<[u8; TUNNEL_LAYER_SIZE]>,
    ) -> Result<(), GatewayDrop> {
        let id = check_header(inner, now)?;
        let message = Outgoing { delivery: Delivery::Local, id, bytes: inner };
        Ok(self.fragmenter.push(&message, rng, out)?)
    }

    /// Closes the tunnel message that is being filled, if there is one.
    pub fn flush(&mut self, rng: &mut ShardRng, out: &mut Vec<[u8; TUNNEL_LAYER_SIZE]>) {
        self.fragmenter.flush(rng, out);
    }

    /// Takes a buffer out of `spare` to collect messages in, unless it has one or there is none.
    pub fn take_buffer(&mut self, spare: &mut Vec<Vec<u8>>) {
        self.fragmenter.take_buffer(spare);
    }

    /// Gives its buffer away after a flush, for another to fill: a gateway that is idle keeps none.
    #[must_use]
    pub fn give_buffer(&mut self) -> Option<Vec<u8>> {
        self.fragmenter.give_buffer()
    }

    /// Whether [`InboundGateway::flush`] would yield something.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.fragmenter.is_empty()
    }
}

/// Reads the standard header of a message that is passed on as it is; returns its id.
fn check_header(inner: &[u8], now: UnixTime) -> Result<MessageId, GatewayDrop> {
    let mut reader = Reader::new(inner);
    reader.u8("message type")?;
    let id = MessageId(reader.u32("message id")?);
    let expiration = UnixTime(reader.u64("message expiration")?);
    let size = usize::from(reader.u16("message size")?);
    reader.u8("message checksum")?;
    reader.take(size, "message body")?;
    reader.finish()?;
    let (late, ahead) = (now.since(expiration), expiration.since(now));
    if late > MESSAGE_LATE_MAX {
        return Err(GatewayDrop::Expired { late, limit: MESSAGE_LATE_MAX });
    }
    if ahead > MESSAGE_AHEAD_MAX {
        return Err(GatewayDrop::Ahead { ahead, limit: MESSAGE_AHEAD_MAX });
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::frame::Frame;
    use crate::base::id::{RouterHash, TunnelId};
    use crate::crypto::secret::{IvKey, LayerKey};
    use crate::wire::i2np::{I2npMessage, MessageType};
    use proptest::prelude::*;

    const NOW: UnixTime = UnixTime(1_700_000_000_000);

    fn gateway() -> InboundGateway {
        let (layer, iv) = (LayerKey::from_bytes([1; 32]), IvKey::from_bytes([2; 32]));
        let next = NextHop { router: RouterHash([3; 32]), tunnel: TunnelId::new(4).unwrap() };
        InboundGateway::new(LayerKeys { layer, iv }, next)
    }

    fn message(expiration: UnixTime, size: usize) -> Frame {
        let (kind, id) = (MessageType::Data, MessageId(77));
        I2npMessage { kind, id, expiration, body: Frame::copy_of(&vec![5; size]) }.encode_standard()
    }

    fn offer(inner: &[u8]) -> Result<(), GatewayDrop> {
        let mut rng = ShardRng::from_seed([1; 32]);
        gateway().handle_message(inner, NOW, &mut rng, &mut Vec::new())
    }

    #[test]
    fn expired_and_far_future_messages_are_not_sent_down() {
        let second = Duration::from_secs(1);
        assert_eq!(offer(&message(NOW - MESSAGE_LATE_MAX, 10)), Ok(()));
        assert_eq!(offer(&message(NOW + MESSAGE_AHEAD_MAX, 10)), Ok(()));
        let late = MESSAGE_LATE_MAX + second;
        let expired = GatewayDrop::Expired { late, limit: MESSAGE_LATE_MAX };
        assert_eq!(offer(&message(NOW - late, 10)), Err(expired));
        let ahead = MESSAGE_AHEAD_MAX + second;
        let early = GatewayDrop::Ahead { ahead, limit: MESSAGE_AHEAD_MAX };
        assert_eq!(offer(&message(NOW + ahead, 10)), Err(early));
        assert!(matches!(offer(&message(UnixTime(0), 10)), Err(GatewayDrop::Expired { .. })));
    }

    #[test]
    fn the_length_must_fit() {
        let mut longer = message(NOW, 10);
        longer.append(&[0]);
        let trailing = GatewayDrop::Malformed(Malformed::Trailing { left: 1 });
        assert_eq!(offer(&longer), Err(trailing));
        let cut = message(NOW, 10);
        assert!(matches!(offer(&cut[..25]), Err(GatewayDrop::Malformed(_))));
        assert!(matches!(offer(&[]), Err(GatewayDrop::Malformed(_))));
    }

    #[test]
    fn messages_are_collected_until_the_flush() {
        let (mut gateway, mut rng, mut out) = (gateway(), ShardRng::from_seed([1; 32]), Vec::new());
        for _ in 0..3 {
            gateway.handle_message(&message(NOW, 100), NOW, &mut rng, &mut out).unwrap();
        }
        assert!(out.is_empty() && gateway.has_pending());
        let mut spare = vec![Vec::with_capacity(5000)];
        assert!(gateway.give_buffer().is_none(), "what waits is kept");
        gateway.take_buffer(&mut spare);
        assert_eq!(spare.len(), 1, "it has one");
        gateway.flush(&mut rng, &mut out);
        assert_eq!(out.len(), 1);
        assert!(!gateway.has_pending());
        assert!((300..5000).contains(&gateway.give_buffer().unwrap().capacity()));
        assert!(gateway.give_buffer().is_none(), "only once");
        gateway.take_buffer(&mut spare);
        assert!(spare.is_empty());
        assert!(gateway.give_buffer().unwrap().capacity() >= 5000);
        gateway.flush(&mut rng, &mut out);
        assert_eq!(out.len(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_error_or_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = offer(&bytes);
        }
    }
}
