//! A middle hop: takes from one neighbour, adds its layer, gives to the next.

use crate::base::id::RouterHash;
use crate::base::time::Instant;
use crate::crypto::layer::LayerKeys;
use crate::wire::i2np::tunnel_data::TunnelData;

use super::hop::{self, NextHop, TransitDrop};
use super::iv_filter::IvFilter;

/// One tunnel in which we are a participant.
///
/// The layer itself is applied by the caller, in a batch with those of other tunnels: check, then encrypt with
/// `keys`, then name `next.tunnel` and send to `next.router` under a new message id.
#[derive(Debug)]
pub struct Participant {
    /// Keys of our layer.
    pub keys: LayerKeys,
    /// Where messages go.
    pub next: NextHop,
    /// Where they must come from.
    pub previous: RouterHash,
}

impl Participant {
    /// Checks a message that came from the neighbour `from`, before our layer is applied.
    ///
    /// # Errors
    /// [`TransitDrop`]; the message is to be dropped and counted.
    pub fn check(
        &self,
        from: &RouterHash,
        message: &TunnelData<'_>,
        filter: &mut IvFilter,
        now: Instant,
    ) -> Result<(), TransitDrop> {
        hop::check(&self.previous, from, message, filter, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::TunnelId;
    use crate::base::rng::ShardRng;
    use crate::crypto::hash::sha256;
    use crate::crypto::layer::{Kernel, LayerJob, encrypt_batch};
    use crate::crypto::secret::{IvKey, LayerKey};
    use crate::crypto::testing::hex;
    use crate::wire::i2np::tunnel_data::TUNNEL_LAYER_SIZE;

    fn participant() -> Participant {
        let keys = LayerKeys {
            layer: LayerKey::from_bytes([0x0e; 32]),
            iv: IvKey::from_bytes([0x0f; 32]),
        };
        let next = NextHop { router: RouterHash([2; 32]), tunnel: TunnelId::new(9).unwrap() };
        Participant { keys, next, previous: RouterHash([1; 32]) }
    }

    #[test]
    fn a_message_passes_once_and_from_the_previous_hop_only() {
        let participant = participant();
        let mut filter = IvFilter::new(64, Instant(3), &mut ShardRng::from_seed([1; 32]));
        let layer = std::array::from_fn(|n| u8::try_from(n % 256).unwrap());
        let mut body = TunnelData::write(TunnelId::new(5).unwrap(), &layer);
        let mut message = TunnelData::parse(&mut body).unwrap();
        let now = Instant(3);
        let mut check = |from: u8, message: &TunnelData<'_>| {
            participant.check(&RouterHash([from; 32]), message, &mut filter, now)
        };
        assert_eq!(check(2, &message), Err(TransitDrop::WrongPrevious));
        assert_eq!(check(1, &message), Ok(()));
        assert_eq!(check(1, &message), Err(TransitDrop::Replayed));

        let job = LayerJob { keys: &participant.keys, data: message.layer_mut() };
        encrypt_batch(Kernel::Portable, &mut [job]);
        let data: &[u8; TUNNEL_LAYER_SIZE] = message.layer();
        assert_eq!(hex(&data[..16]), "61040fa55749c651a21a49d1f1b09c8b");
        let known = "12b684f86f52d7b3cc737b46249ddb97f66ddd3a58849d1f647690e672d50b18";
        assert_eq!(hex(&sha256(data)), known);
    }
}
