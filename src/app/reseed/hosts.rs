//! Hosts that hand out bundles: which there are, and how many of them are asked.
//!
//! What a host gives decides whom a new router meets, so at least two of them are asked where there are two, in an order
//! that nobody can foresee, and each once: their operators lock out who comes again and again.

use std::fmt;
use std::str::FromStr;

use super::Seeds;
use super::bundle::BundleError;
use super::https::FetchError;
use crate::app::config::LIVE_NETWORK;
use crate::base::rng::ShardRng;

/// The hosts of the live network, one URL per line: those of i2pd in December 2025 (`reseed.urls`).
const LIVE_HOSTS: &str = include_str!("hosts.txt");
/// What a URL begins with: nothing is fetched in the clear.
const SCHEME: &str = "https://";
/// Name of the bundle in a host's directory. Spec: reseed hosts.
const BUNDLE_NAME: &str = "i2pseeds.su3";
/// Hosts that have to give routers, where there are that many.
const HOSTS_MIN: usize = 2;
/// Routers with which no more hosts are asked.
const ENOUGH: usize = 50;

/// Where a host has its bundle: a file, or a directory in which it has the usual name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostUrl(String);

/// The text is no URL of a reseed host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoHostUrl {
    /// It does not begin with `https://`.
    #[error("it does not begin with {SCHEME}: bundles are not fetched in the clear")]
    Scheme,
    /// It names no host, or one with signs that no host's name has.
    #[error("{0:?} is no name of a host")]
    Host(String),
    /// There are spaces or control characters in it.
    #[error("it has spaces or control characters")]
    Space,
}

impl FromStr for HostUrl {
    type Err = NoHostUrl;

    fn from_str(text: &str) -> Result<Self, NoHostUrl> {
        if text.chars().any(|sign| sign.is_whitespace() || sign.is_control()) {
            return Err(NoHostUrl::Space);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(NoHostUrl::Scheme)?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_sign = |sign: char| sign.is_ascii_alphanumeric() || "-.:[]".contains(sign);
        if host.is_empty() || !host.chars().all(is_sign) {
            return Err(NoHostUrl::Host(host.to_owned()));
        }
        let slash = if rest.len() == host.len() { "/" } else { "" };
        Ok(Self(format!("{text}{slash}")))
    }
}

impl fmt::Display for HostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HostUrl {
    /// What is asked for: a directory's bundle for our network, a file as it stands.
    #[must_use]
    pub fn request(&self, network: u8) -> String {
        match self.0.ends_with('/') {
            true => format!("{}{BUNDLE_NAME}?netid={network}", self.0),
            false => self.0.clone(),
        }
    }
}

/// The hosts that are asked where none are configured: those of the live network; other networks have none.
#[must_use]
pub fn usual(network: u8) -> Vec<HostUrl> {
    if network != LIVE_NETWORK {
        return Vec::new();
    }
    LIVE_HOSTS.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Why a host gave no router.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The bundle did not arrive.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The bundle does not count.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle holds no router of our network.
    #[error(
        "its bundle holds no valid router of network {network}: {refused} files are none, {foreign} are of other networks"
    )]
    NoRouter {
        /// Our network.
        network: u8,
        /// Files that are no router infos.
        refused: usize,
        /// Routers of other networks.
        foreign: usize,
    },
}

/// What came of asking around once.
#[derive(Debug, Default)]
pub struct Round {
    /// All that was given.
    pub seeds: Seeds,
    /// Hosts that gave routers.
    pub gave: Vec<HostUrl>,
    /// Hosts that did not, and why.
    pub failed: Vec<(HostUrl, HostError)>,
}

/// Asks hosts in random order until two have given routers and there are [`ENOUGH`], or all have been asked.
pub fn ask_around(
    hosts: &[HostUrl],
    rng: &mut ShardRng,
    mut ask: impl FnMut(&HostUrl) -> Result<Seeds, HostError>,
) -> Round {
    let mut left: Vec<_> = hosts.iter().collect();
    let mut round = Round::default();
    while !left.is_empty() && (round.gave.len() < HOSTS_MIN || round.seeds.routers.len() < ENOUGH) {
        let host = left.swap_remove(rng.below(left.len()));
        match ask(host) {
            Ok(seeds) => {
                round.seeds.add(seeds);
                round.gave.push(host.clone());
            }
            Err(error) => round.failed.push((host.clone(), error)),
        }
    }
    round
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::proto::netdb::testing::{NOON, ROUTER, router_info};

    fn rng() -> ShardRng {
        ShardRng::from_seed([7; 32])
    }

    fn urls(count: usize) -> Vec<HostUrl> {
        (0..count).map(|n| format!("https://host{n}.example/").parse().unwrap()).collect()
    }

    fn one_router() -> Seeds {
        Seeds { routers: vec![router_info(1, NOON, ROUTER)], ..Seeds::default() }
    }

    #[test]
    fn urls_are_of_https_alone_and_name_a_host() {
        let parse = |text: &str| text.parse::<HostUrl>();
        let request = |text| parse(text).unwrap().request(2);
        assert_eq!(request("https://a.example"), "https://a.example/i2pseeds.su3?netid=2");
        assert_eq!(
            request("https://a.example:8443/"),
            "https://a.example:8443/i2pseeds.su3?netid=2"
        );
        assert_eq!(request("https://[2001:db8::1]/x.su3"), "https://[2001:db8::1]/x.su3");
        assert_eq!(request("https://a.example/x?y=/z"), "https://a.example/x?y=/z");
        assert_eq!(parse("http://a.example/"), Err(NoHostUrl::Scheme));
        assert_eq!(parse("ftp://a.example/"), Err(NoHostUrl::Scheme));
        assert_eq!(parse("https:///x"), Err(NoHostUrl::Host(String::new())));
        assert_eq!(parse("https://u:p@a.example/"), Err(NoHostUrl::Host("u:p@a.example".into())));
        assert_eq!(parse("https://a.example/x y"), Err(NoHostUrl::Space));
    }

    #[test]
    fn only_the_live_network_has_usual_hosts() {
        assert_eq!(usual(LIVE_NETWORK).len(), LIVE_HOSTS.lines().count());
        assert!(usual(LIVE_NETWORK).len() >= HOSTS_MIN);
        assert!(usual(99).is_empty());
    }

    /// As many routers as are enough.
    fn enough() -> Seeds {
        let count = u8::try_from(ENOUGH).unwrap();
        let routers = (0..count).map(|seed| router_info(seed, NOON, ROUTER)).collect();
        Seeds { routers, ..Seeds::default() }
    }

    #[test]
    fn two_hosts_are_asked_even_when_one_gives_enough() {
        let seeds = enough();
        let round = ask_around(&urls(5), &mut rng(), |_| Ok(seeds.clone()));
        assert_eq!((round.gave.len(), round.seeds.routers.len()), (2, ENOUGH));
        let alone = ask_around(&urls(1), &mut rng(), |_| Ok(one_router()));
        assert_eq!(alone.gave.len(), 1);
        let meagre = ask_around(&urls(5), &mut rng(), |_| Ok(one_router()));
        assert_eq!((meagre.gave.len(), meagre.seeds.routers.len()), (5, 1));
    }

    #[test]
    fn nobody_foresees_which_hosts_are_asked() {
        let orders = (0..20).map(|seed| {
            let mut rng = ShardRng::from_seed([seed; 32]);
            ask_around(&urls(4), &mut rng, |_| Ok(one_router())).gave[0].to_string()
        });
        assert!(orders.collect::<std::collections::BTreeSet<_>>().len() > 2);
    }

    #[test]
    fn each_host_is_asked_once_and_its_failure_named() {
        let hosts = urls(4);
        let mut asked = Vec::new();
        let round = ask_around(&hosts, &mut rng(), |host| {
            asked.push(host.to_string());
            if host == &hosts[2] { Ok(one_router()) } else { Err(FetchError::NoTls.into()) }
        });
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), 4);
        assert_eq!((round.gave.len(), round.failed.len(), round.seeds.routers.len()), (1, 3, 1));
    }
}
