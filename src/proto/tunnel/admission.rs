//! Whether one more transit tunnel is taken, by limits and load.

use std::time::Duration;

use super::build_request::{STATUS_ACCEPTED, STATUS_REFUSED};
use crate::base::permille::Permille;

/// How long inputs of a shard may wait for its turn, on average over a second, while it takes more tunnels. A turn
/// of a shard that is full takes a tenth of this, so that only one that falls behind, or gets no CPU, waits so long; and
/// a tenth of a second at each of twelve hops, there and back, is as much as people bear.
pub const QUEUE_DELAY_MAX: Duration = Duration::from_millis(100);

/// Whether the router takes new tunnels at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duty {
    /// It does, within its limits.
    #[default]
    Serving,
    /// It is about to stop: tunnels that there are live on, new ones are refused.
    Draining,
}

/// How busy the shard is, as far as it matters for a new tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Transit tunnels there are.
    pub transit_tunnels: usize,
    /// The most there may be.
    pub limit: usize,
    /// Bytes of transit a second, of the whole router over the last seconds.
    pub transit_rate: u64,
    /// The most that is shared, in bytes a second; no limit if `None`.
    pub transit_rate_max: Option<u64>,
    /// How long inputs of the shard have waited for its turn, on average over the last second.
    pub queue_delay: Duration,
    /// Bytes that wait for peers to read.
    pub waiting_bytes: u64,
    /// The most that may wait; no limit if `None`.
    pub waiting_bytes_max: Option<u64>,
    /// Whether new tunnels are taken.
    pub duty: Duty,
}

/// Why a tunnel is refused that could be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There are as many tunnels as may be.
    #[error("{transit_tunnels} transit tunnels, the limit is {limit}")]
    Tunnels {
        /// Transit tunnels there are.
        transit_tunnels: usize,
        /// The most there may be.
        limit: usize,
    },
    /// As much is relayed as is shared.
    #[error("{rate} bytes of transit a second, the limit is {limit}")]
    Rate {
        /// What is relayed.
        rate: u64,
        /// What is shared.
        limit: u64,
    },
    /// Inputs wait too long for the shard.
    #[error("inputs wait for {delay:?}, the limit is {limit:?}")]
    QueueDelay {
        /// How long they wait.
        delay: Duration,
        /// How long they may.
        limit: Duration,
    },
    /// Nearly as much waits for peers to read as may.
    #[error("{waiting_bytes} bytes wait for peers, the limit is {limit}")]
    Memory {
        /// What waits.
        waiting_bytes: u64,
        /// What may wait while more tunnels are taken.
        limit: u64,
    },
    /// The router is about to stop.
    #[error("the router is about to stop")]
    Draining,
}

impl Load {
    /// What may wait for peers while more tunnels are taken: nine tenths of the bound, at which messages are dropped.
    fn waiting_limit(&self) -> Option<u64> {
        self.waiting_bytes_max.map(|max| max / 10 * 9)
    }

    /// How full the shard is: by what there is least of. The rate, which is the router's, is left out.
    #[must_use]
    pub fn fullness(&self) -> Permille {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        [
            Permille::of(count(self.transit_tunnels), Some(count(self.limit))),
            Permille::of(microseconds(self.queue_delay), Some(microseconds(QUEUE_DELAY_MAX))),
            Permille::of(self.waiting_bytes, self.waiting_limit()),
        ]
        .into_iter()
        .max()
        .unwrap_or_default()
    }
}

/// The answer to a request that could be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// Take part.
    Accept,
    /// Answer that we do not.
    Refuse(Refusal),
}

impl Admission {
    /// What stands in our record. Every refusal looks the same from outside.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Accept => STATUS_ACCEPTED,
            Self::Refuse(_) => STATUS_REFUSED,
        }
    }
}

/// Decides about one more tunnel.
pub fn decide(load: &Load) -> Admission {
    match load.duty {
        Duty::Serving => {}
        Duty::Draining => return Admission::Refuse(Refusal::Draining),
    }
    let Load { transit_tunnels, limit, queue_delay, waiting_bytes, .. } = *load;
    if transit_tunnels >= limit {
        return Admission::Refuse(Refusal::Tunnels { transit_tunnels, limit });
    }
    if queue_delay >= QUEUE_DELAY_MAX {
        let refusal = Refusal::QueueDelay { delay: queue_delay, limit: QUEUE_DELAY_MAX };
        return Admission::Refuse(refusal);
    }
    if let Some(limit) = load.waiting_limit()
        && waiting_bytes >= limit
    {
        return Admission::Refuse(Refusal::Memory { waiting_bytes, limit });
    }
    match load.transit_rate_max {
        Some(limit) if load.transit_rate >= limit => {
            Admission::Refuse(Refusal::Rate { rate: load.transit_rate, limit })
        }
        Some(_) | None => Admission::Accept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_refuses_by_itself_and_all_look_the_same() {
        let free = Load {
            transit_tunnels: 9,
            limit: 10,
            waiting_bytes_max: Some(1000),
            ..Load::default()
        };
        assert_eq!(decide(&free), Admission::Accept);
        assert_eq!(decide(&free).status(), 0);
        let full = Load { transit_tunnels: 10, ..free };
        let refusal = Refusal::Tunnels { transit_tunnels: 10, limit: 10 };
        assert_eq!(decide(&full), Admission::Refuse(refusal));
        let busy = Load { transit_rate: 1000, transit_rate_max: Some(1000), ..free };
        assert_eq!(decide(&busy), Admission::Refuse(Refusal::Rate { rate: 1000, limit: 1000 }));
        let leaving = Load { duty: Duty::Draining, ..free };
        assert_eq!(decide(&leaving), Admission::Refuse(Refusal::Draining));
        let late = Load { queue_delay: QUEUE_DELAY_MAX, ..free };
        let refusal = Refusal::QueueDelay { delay: QUEUE_DELAY_MAX, limit: QUEUE_DELAY_MAX };
        assert_eq!(decide(&late), Admission::Refuse(refusal));
        let stuck = Load { waiting_bytes: 900, ..free };
        let refusal = Refusal::Memory { waiting_bytes: 900, limit: 900 };
        assert_eq!(decide(&stuck), Admission::Refuse(refusal));
        for load in [full, busy, leaving, late, stuck] {
            assert_eq!(decide(&load).status(), 30);
        }
    }

    #[test]
    fn a_shard_is_as_full_as_what_there_is_least_of() {
        let load = Load { limit: 10, waiting_bytes_max: Some(1000), ..Load::default() };
        assert!(load.fullness().is_zero());
        let third = Permille::of(1, Some(3));
        let tunnels = Load { transit_tunnels: 7, ..load };
        assert_eq!(tunnels.fullness(), Permille::of(7, Some(10)));
        assert_eq!(Load { waiting_bytes: 300, ..load }.fullness(), third);
        let late = Load { queue_delay: Duration::from_millis(80), ..tunnels };
        assert_eq!(late.fullness(), Permille::of(4, Some(5)));
        assert!(Load { transit_rate: 9, transit_rate_max: Some(1), ..load }.fullness().is_zero());
    }
}
