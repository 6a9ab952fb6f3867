//! What every transit hop asks of a tunnel message before it spends a layer of encryption on it.

use crate::base::id::{RouterHash, TunnelId};
use crate::base::recent_set::Novelty;
use crate::base::time::Instant;
use crate::wire::i2np::tunnel_data::TunnelData;

use super::iv_filter::IvFilter;

/// Where a hop sends what it has encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The router.
    pub router: RouterHash,
    /// The tunnel, as that router names it.
    pub tunnel: TunnelId,
}

/// Why a tunnel message is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransitDrop {
    /// It came from another neighbour than the one that the tunnel was built through.
    #[error("the message does not come from the previous hop of its tunnel")]
    WrongPrevious,
    /// It came before.
    #[error("the message came before")]
    Replayed,
}

/// Checks a message as it came from the neighbour `from`, before the layer is applied.
///
/// A message from the wrong neighbour is not entered in the filter, so that nobody can spoil a true one.
pub(super) fn check(
    previous: &RouterHash,
    from: &RouterHash,
    message: &TunnelData<'_>,
    filter: &mut IvFilter,
    now: Instant,
) -> Result<(), TransitDrop> {
    if from != previous {
        return Err(TransitDrop::WrongPrevious);
    }
    match filter.check(message, now) {
        Novelty::New => Ok(()),
        Novelty::Repeated => Err(TransitDrop::Replayed),
    }
}
