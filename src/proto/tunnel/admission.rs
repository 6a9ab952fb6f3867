//! Whether one more transit tunnel is taken, by limits and load.

use super::build_request::{STATUS_ACCEPTED, STATUS_REFUSED};

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
    /// Bytes of transit a second, over the last seconds.
    pub transit_rate: u64,
    /// The most that is shared, in bytes a second; no limit if `None`.
    pub transit_rate_max: Option<u64>,
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
    /// The router is about to stop.
    #[error("the router is about to stop")]
    Draining,
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
    let Load { transit_tunnels, limit, .. } = *load;
    if transit_tunnels >= limit {
        return Admission::Refuse(Refusal::Tunnels { transit_tunnels, limit });
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
        let free = Load { transit_tunnels: 9, limit: 10, ..Load::default() };
        assert_eq!(decide(&free), Admission::Accept);
        assert_eq!(decide(&free).status(), 0);
        let full = Load { transit_tunnels: 10, ..free };
        let refusal = Refusal::Tunnels { transit_tunnels: 10, limit: 10 };
        assert_eq!(decide(&full), Admission::Refuse(refusal));
        let busy = Load { transit_rate: 1000, transit_rate_max: Some(1000), ..free };
        assert_eq!(decide(&busy), Admission::Refuse(Refusal::Rate { rate: 1000, limit: 1000 }));
        let leaving = Load { duty: Duty::Draining, ..free };
        assert_eq!(decide(&leaving), Admission::Refuse(Refusal::Draining));
        for load in [full, busy, leaving] {
            assert_eq!(decide(&load).status(), 30);
        }
    }
}
