//! Signed records and what they are made of. What parses has to be what its own bytes say, and to write back as it was.

use floodway::wire::base64;
use floodway::wire::capabilities::Capabilities;
use floodway::wire::encrypted_lease_set::EncryptedLeaseSet;
use floodway::wire::identity::{Destination, RouterIdentity};
use floodway::wire::lease_set::legacy::LeaseSet;
use floodway::wire::lease_set::{LeaseSet2, LeaseSetKind};
use floodway::wire::mapping::Mapping;
use floodway::wire::meta_lease_set::MetaLeaseSet;
use floodway::wire::reader::Reader;
use floodway::wire::router_address::RouterAddress;
use floodway::wire::router_info::RouterInfo;
use floodway::wire::unverified::{Signed, Unverified};

use crate::Target;
use crate::samples;

pub const TARGETS: &[Target] = &[
    Target { name: "router_info", run: router_info, seeds: samples::router_infos },
    Target { name: "router_address", run: router_address, seeds: address_seeds },
    Target { name: "identity", run: identity, seeds: samples::router_infos },
    Target {
        name: "lease_set",
        run: |bytes| record(bytes, LeaseSet::parse(bytes), |set| set.bytes()),
        seeds: || samples::lease_sets(LeaseSetKind::LeaseSet),
    },
    Target {
        name: "lease_set2",
        run: lease_set2,
        seeds: || samples::lease_sets(LeaseSetKind::LeaseSet2),
    },
    Target {
        name: "encrypted_lease_set",
        run: |bytes| record(bytes, EncryptedLeaseSet::parse(bytes), |set| set.bytes()),
        seeds: || samples::lease_sets(LeaseSetKind::EncryptedLeaseSet),
    },
    Target {
        name: "meta_lease_set",
        run: |bytes| record(bytes, MetaLeaseSet::parse(bytes), |set| set.bytes()),
        seeds: || samples::lease_sets(LeaseSetKind::MetaLeaseSet),
    },
    Target { name: "mapping", run: mapping, seeds: mapping_seeds },
    Target { name: "texts", run: texts, seeds: text_seeds },
];

/// A record is what it was parsed from, and its signatures can be checked whatever they are.
fn record<T: Signed>(
    bytes: &[u8],
    parsed: Result<Unverified<T>, floodway::wire::Malformed>,
    own: impl Fn(&T) -> &std::sync::Arc<[u8]>,
) {
    let Ok(parsed) = parsed else { return };
    assert!(bytes.starts_with(own(parsed.peek())));
    assert!((1..=2).contains(&parsed.checks().count()));
    let _ = parsed.verify();
}

fn router_info(bytes: &[u8]) {
    let parsed = RouterInfo::parse(bytes);
    if let Ok(parsed) = &parsed {
        let info = parsed.peek();
        let _ = (info.hash(), info.published(), info.capabilities(), info.network());
        let _ = (info.version(), info.ntcp2_endpoint());
        for address in info.addresses() {
            look_at(address);
        }
    }
    record(bytes, parsed, |info| info.bytes());
}

fn look_at(address: &RouterAddress) {
    let _ = (address.endpoint(), address.static_key(), address.ntcp2_iv(), address.is_version_2());
}

fn router_address(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let Ok(address) = RouterAddress::parse(&mut reader) else { return };
    look_at(&address);
    let mut written = Vec::new();
    address.write(&mut written);
    let again = RouterAddress::parse(&mut Reader::new(&written)).expect("what we write, we read");
    let mut twice = Vec::new();
    again.write(&mut twice);
    assert_eq!(written, twice);
}

fn identity(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    if let Ok(identity) = RouterIdentity::parse(&mut reader) {
        assert_eq!(identity.bytes(), reader.read_so_far());
        let _ = (identity.hash(), identity.signing_key(), identity.encryption_key());
        let _ = (identity.certificate_kind(), identity.encryption_type());
    }
    let mut reader = Reader::new(bytes);
    if let Ok(destination) = Destination::parse(&mut reader) {
        assert_eq!(destination.bytes(), reader.read_so_far());
        let _ = (destination.hash(), destination.signing_key(), destination.encryption_type());
    }
}

fn lease_set2(bytes: &[u8]) {
    let parsed = LeaseSet2::parse(bytes);
    if let Ok(parsed) = &parsed {
        let set = parsed.peek();
        let _ = (set.key(), set.published(), set.delegation_expires(), set.encryption_key());
        assert!(set.expires() >= set.published());
        assert!(set.encryption_keys().count() <= bytes.len());
        assert!(set.leases().len() <= floodway::wire::lease_set::LEASES_MAX);
    }
    record(bytes, parsed, |set| set.bytes());
}

fn mapping(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let Ok(mapping) = Mapping::parse(&mut reader) else { return };
    let mut written = Vec::new();
    mapping.write(&mut written);
    let again = Mapping::parse(&mut Reader::new(&written)).expect("what we write, we read");
    assert_eq!(mapping.len(), again.len());
    assert!(mapping.iter().eq(again.iter()));
    for (key, value) in mapping.iter() {
        assert_eq!(mapping.find(key), Some(value));
    }
}

fn texts(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Some(decoded) = base64::decode(text) {
        let encoded = base64::encode(&decoded);
        assert_eq!(base64::decode(&encoded), Some(decoded));
    }
    let capabilities = Capabilities::parse(text);
    let _ = (capabilities.is_floodfill(), capabilities.bandwidth(), capabilities.congestion());
    let written = capabilities.to_text();
    assert_eq!(Capabilities::parse(&written).to_text(), written);
    let _ = floodway::wire::router_info::Version::parse(text);
}

fn address_seeds() -> Vec<Vec<u8>> {
    let infos = samples::router_infos();
    let parsed = infos.iter().filter_map(|bytes| RouterInfo::parse(bytes).ok());
    let write = |address: &RouterAddress| {
        let mut out = Vec::new();
        address.write(&mut out);
        out
    };
    parsed.flat_map(|info| info.peek().addresses().iter().map(write).collect::<Vec<_>>()).collect()
}

fn mapping_seeds() -> Vec<Vec<u8>> {
    let infos = samples::router_infos();
    let parsed = infos.iter().filter_map(|bytes| RouterInfo::parse(bytes).ok());
    let write = |info: Unverified<RouterInfo>| {
        let mut out = Vec::new();
        info.peek().options().write(&mut out);
        out
    };
    parsed.map(write).collect()
}

fn text_seeds() -> Vec<Vec<u8>> {
    ["XfR", "OREf", "0.9.67", "nYHAqmKj6pyXhZ~9y1k3rV5tq-2bL0wEo7cUuSdGfI0="]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}
