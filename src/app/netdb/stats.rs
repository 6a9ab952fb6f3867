//! What kinds of routers are known.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::base::time::UnixTime;
use crate::wire::router_address::{RouterAddress, TransportStyle};
use crate::wire::router_info::RouterInfo;

/// Versions that are named; the others are counted together.
const VERSIONS_MAX: usize = 8;
/// Ages by which router infos are counted: the name, and the hours that it reaches to.
const AGES: [(&str, u64); 4] =
    [("up_to_1_hour", 1), ("up_to_6_hours", 6), ("up_to_24_hours", 24), ("up_to_7_days", 168)];

/// Counts over router infos.
pub(super) struct Stats {
    now: UnixTime,
    routers: u64,
    bytes: u64,
    unreadable: u64,
    floodfills: u64,
    reachable: u64,
    unreachable: u64,
    hidden: u64,
    networks: BTreeMap<String, u64>,
    bandwidth: BTreeMap<String, u64>,
    versions: BTreeMap<String, u64>,
    transports: BTreeMap<String, u64>,
    ages: [u64; AGES.len()],
    older: u64,
}

impl Stats {
    /// Counts of nothing, for ages as of `now`.
    pub(super) fn new(now: UnixTime) -> Self {
        Self {
            now,
            routers: 0,
            bytes: 0,
            unreadable: 0,
            floodfills: 0,
            reachable: 0,
            unreachable: 0,
            hidden: 0,
            networks: BTreeMap::new(),
            bandwidth: BTreeMap::new(),
            versions: BTreeMap::new(),
            transports: BTreeMap::new(),
            ages: [0; AGES.len()],
            older: 0,
        }
    }

    /// Counts one router info. Signatures are not checked: the router did, and does when it starts.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.routers += 1;
        self.bytes += u64::try_from(bytes.len()).unwrap_or_default();
        match RouterInfo::parse(bytes) {
            Ok(info) => self.count(info.peek()),
            Err(_) => self.unreadable += 1,
        }
    }

    fn count(&mut self, info: &RouterInfo) {
        let capabilities = info.capabilities();
        self.floodfills += u64::from(capabilities.is_floodfill());
        self.reachable += u64::from(capabilities.is_reachable());
        self.unreachable += u64::from(capabilities.is_unreachable());
        self.hidden += u64::from(capabilities.is_hidden());
        let unknown = || "unknown".to_owned();
        add(&mut self.networks, info.network().map_or_else(unknown, |network| network.to_string()));
        add(&mut self.bandwidth, capabilities.bandwidth().map_or_else(unknown, String::from));
        let version = info.version().map_or_else(unknown, |version| {
            format!("{}.{}.{}", version.major, version.minor, version.patch)
        });
        add(&mut self.versions, version);
        let mut kinds: Vec<_> = info.addresses().iter().filter_map(kind_of).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.into_iter().for_each(|kind| add(&mut self.transports, kind.to_owned()));
        let hours = self.now.since(info.published()).as_secs() / 3600;
        match AGES.iter().position(|(_, limit)| hours < *limit) {
            Some(place) => self.ages[place] += 1,
            None => self.older += 1,
        }
    }

    /// The counts, by name.
    pub(super) fn into_fields(self) -> Vec<(String, Value)> {
        let mut ages: Map<String, Value> = AGES
            .iter()
            .zip(self.ages)
            .map(|((name, _), count)| ((*name).to_owned(), json!(count)))
            .collect();
        ages.insert("older".to_owned(), json!(self.older));
        [
            ("routers", json!(self.routers)),
            ("bytes", json!(self.bytes)),
            ("unreadable", json!(self.unreadable)),
            ("networks", json!(self.networks)),
            ("floodfills", json!(self.floodfills)),
            ("reachable", json!(self.reachable)),
            ("unreachable", json!(self.unreachable)),
            ("hidden", json!(self.hidden)),
            ("bandwidth_classes", json!(self.bandwidth)),
            ("addresses", json!(self.transports)),
            ("versions", json!(most_frequent(self.versions))),
            ("ages", Value::Object(ages)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

fn add(counts: &mut BTreeMap<String, u64>, what: String) {
    *counts.entry(what).or_default() += 1;
}

/// Transport and family of an address that is published in full.
fn kind_of(address: &RouterAddress) -> Option<&'static str> {
    match (&address.style, address.endpoint()?.is_ipv4()) {
        (TransportStyle::Ntcp2, true) => Some("ntcp2_ipv4"),
        (TransportStyle::Ntcp2, false) => Some("ntcp2_ipv6"),
        (TransportStyle::Ssu2, true) => Some("ssu2_ipv4"),
        (TransportStyle::Ssu2, false) => Some("ssu2_ipv6"),
        (TransportStyle::Other(_), _) => None,
    }
}

/// The most frequent ones; strangers may claim any number of different ones.
fn most_frequent(counts: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut all: Vec<_> = counts.into_iter().collect();
    all.sort_by_key(|(_, count)| Reverse(*count));
    let others = all.split_off(all.len().min(VERSIONS_MAX));
    let mut named: BTreeMap<_, _> = all.into_iter().collect();
    if !others.is_empty() {
        *named.entry("others".to_owned()).or_default() +=
            others.iter().map(|(_, count)| count).sum::<u64>();
    }
    named
}
