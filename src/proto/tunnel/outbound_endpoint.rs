//! The endpoint of somebody's outbound tunnel: adds the last layer, puts messages together and delivers them.

use crate::base::id::RouterHash;
use crate::base::time::Instant;
use crate::crypto::layer::LayerKeys;
use crate::wire::i2np::tunnel_data::{TUNNEL_LAYER_SIZE, TunnelData};

use super::hop::{self, TransitDrop};
use super::iv_filter::IvFilter;
use super::reassembler::{LocalDelivery, Reassembled, Reassembler, ReassemblyLimits};

/// One tunnel whose endpoint we are.
///
/// Check, then apply our layer with `keys` (the creator has taken all layers off beforehand, so that ours makes
/// it readable), then hand the cleartext over. Whoever drives it drops messages that have expired.
#[derive(Debug)]
pub struct OutboundEndpoint {
    /// Keys of our layer.
    pub keys: LayerKeys,
    /// Where messages must come from.
    pub previous: RouterHash,
    reassembler: Reassembler,
}

impl OutboundEndpoint {
    /// An endpoint that holds nothing yet.
    #[must_use]
    pub fn new(keys: LayerKeys, previous: RouterHash, limits: ReassemblyLimits) -> Self {
        Self { keys, previous, reassembler: Reassembler::new(limits, LocalDelivery::Refused) }
    }

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

    /// Takes a message after our layer was applied.
    pub fn handle_payload(
        &mut self,
        cleartext: &[u8; TUNNEL_LAYER_SIZE],
        now: Instant,
        out: &mut Reassembled,
    ) {
        self.reassembler.handle_payload(cleartext, now, out);
    }

    /// Drops incomplete messages that are too old.
    pub fn expire(&mut self, now: Instant, out: &mut Reassembled) {
        self.reassembler.expire(now, out);
    }

    /// When [`OutboundEndpoint::expire`] has something to do next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.reassembler.deadline()
    }

    /// Bytes of incomplete messages that are held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.reassembler.held_bytes()
    }
}
