//! What a router info says, and what other routers would say to it.

use serde_json::{Value, json};

use crate::actor::node::is_public;
use crate::app::args::InspectKind;
use crate::app::config::LIVE_NETWORK;
use crate::app::inspect::report::{Report, Signature, options};
use crate::crypto::signature::SignatureType;
use crate::wire::Malformed;
use crate::wire::base64;
use crate::wire::capabilities::Congestion;
use crate::wire::identity::RouterIdentity;
use crate::wire::mapping::{Mapping, text};
use crate::wire::reader::Reader;
use crate::wire::router_address::{RouterAddress, TransportStyle};
use crate::wire::router_info::{OPTION_CAPABILITIES, OPTION_NETWORK, OPTION_VERSION};
use crate::wire::router_info::{RouterInfo, Version};

/// Oldest version of the protocols that other routers still use for tunnels and stores.
const VERSION_MIN: Version = Version { major: 0, minor: 9, patch: 59 };
/// Characters of a 16-byte and of a 32-byte value in base64.
const BASE64_16: usize = 24;
const BASE64_32: usize = 44;

/// Describes a router info.
///
/// # Errors
/// When the bytes are none.
pub fn describe(bytes: &[u8]) -> Result<Report, Malformed> {
    let unverified = RouterInfo::parse(bytes)?;
    let info = unverified.peek();
    let hash = base64::encode(&info.hash().0);
    let signature = Signature::of_record(&unverified);
    let mut report = Report::new(InspectKind::RouterInfo, Some(hash), signature);
    judge_identity(&mut report, info);
    judge_options(&mut report, info);
    judge_addresses(&mut report, info);
    if canonical(info.bytes()).is_some_and(|canonical| !info.bytes().starts_with(&canonical)) {
        report.refuse("options are not sorted by key, so Java finds another signature");
    }

    report.date("published", info.published());
    report.field("network", info.network());
    report.field("version", info.options().find(OPTION_VERSION));
    report.field("capabilities", info.options().find(OPTION_CAPABILITIES));
    report.field("floodfill", info.capabilities().is_floodfill());
    let identity = info.identity();
    let signing = identity.signing_key().kind();
    report.key_types(signing, identity.encryption_type(), identity.certificate_kind());
    report.field("size", info.bytes().len());
    let addresses: Vec<_> = info.addresses().iter().map(address).collect();
    report.field("addresses", addresses);
    report.field("options", options(info.options()));
    Ok(report)
}

fn address(address: &RouterAddress) -> Value {
    json!({
        "style": style(address),
        "cost": address.cost,
        "endpoint": address.endpoint().map(|endpoint| endpoint.to_string()),
        "options": options(&address.options),
    })
}

fn style(address: &RouterAddress) -> &str {
    match &address.style {
        TransportStyle::Ntcp2 => "NTCP2",
        TransportStyle::Ssu2 => "SSU2",
        TransportStyle::Other(name) => name,
    }
}

fn judge_identity(report: &mut Report, info: &RouterInfo) {
    let kind = info.identity().signing_key().kind();
    if kind != SignatureType::Ed25519 && kind != SignatureType::RedDsa {
        report.refuse("the identity's signing key is not Ed25519");
    }
    if info.identity().encryption_key().is_none() {
        report.refuse("the identity's encryption key is not X25519");
    }
}

fn judge_options(report: &mut Report, info: &RouterInfo) {
    match (info.options().find(OPTION_NETWORK), info.network()) {
        (None, _) => report.refuse("no network id (netId)"),
        (Some(_), None) => report.refuse("the network id (netId) is no number up to 255"),
        (Some(_), Some(_)) => {}
    }
    match (info.options().find(OPTION_VERSION), info.version()) {
        (None, _) => report.refuse("no router version"),
        (Some(_), None) => report.refuse("the router version is not three numbers"),
        (Some(_), Some(version)) if version < VERSION_MIN => {
            report.refuse("the router version is below 0.9.59");
        }
        (Some(_), Some(_)) => {}
    }
    judge_capabilities(report, info);
    let pairs = info.addresses().iter().map(|address| &address.options);
    let mut all = std::iter::once(info.options()).chain(pairs).flat_map(Mapping::iter);
    if all.any(|(key, value)| !key.is_ascii() || !value.is_ascii()) {
        report.refuse("an option is not ASCII, so Java finds another signature");
    }
    if info.options().find("family").is_some() {
        report.note("it claims a family, whose signature is not checked here");
    }
}

fn judge_capabilities(report: &mut Report, info: &RouterInfo) {
    let Some(letters) = info.options().find(OPTION_CAPABILITIES) else {
        report.refuse("no capabilities (caps)");
        return;
    };
    let capabilities = info.capabilities();
    match capabilities.bandwidth() {
        None => report.refuse("no bandwidth letter in caps: never chosen for tunnels"),
        Some('K') => report.note("bandwidth K: never chosen for tunnels"),
        Some(_) => {}
    }
    match capabilities.congestion() {
        Congestion::None => {}
        Congestion::Medium => report.note("congestion D: others look for another router first"),
        Congestion::High => report.note("congestion E: hardly chosen for tunnels"),
        Congestion::Full => report.note("congestion G: not chosen for tunnels"),
    }
    if letters.contains('R') && letters.contains('U') {
        report.note("both reachable (R) and unreachable (U)");
    }
    let unreachable = capabilities.is_hidden() || capabilities.is_unreachable();
    if capabilities.is_floodfill() {
        if unreachable {
            report.note("a hidden or unreachable router is not used as floodfill");
        }
        for name in ["netdb.knownRouters", "netdb.knownLeaseSets"] {
            if info.options().find(name).is_none() {
                report.note(format!("a floodfill should publish {name}"));
            }
        }
    }
}

fn judge_addresses(report: &mut Report, info: &RouterInfo) {
    let mut usable = 0;
    for (address, number) in info.addresses().iter().zip(1..) {
        let faults = faults(address, info.network());
        usable += usize::from(faults.is_empty());
        for fault in faults {
            report.note(format!("address {number} ({}): {fault}", style(address)));
        }
        let iv = address.options.find("i").map(str::len);
        if address.style == TransportStyle::Ntcp2 && iv.is_some_and(|size| size != BASE64_16) {
            report.refuse(format!(
                "address {number} (NTCP2): `i` is not {BASE64_16} characters long"
            ));
        }
        if let Some(note) = oddity(address, info.network()) {
            report.note(format!("address {number} ({}): {note}", style(address)));
        }
    }
    match (info.addresses().is_empty(), usable) {
        (true, _) => report.refuse("no address"),
        (false, 0) => report.refuse("no usable address"),
        (false, _) => {}
    }
}

/// Why others would not use an address. One without a host is only for dialling out, which is no fault.
fn faults(address: &RouterAddress, network: Option<u8>) -> Vec<&'static str> {
    let mut faults = Vec::new();
    let options = &address.options;
    match address.style {
        TransportStyle::Ntcp2 | TransportStyle::Ssu2 => {}
        TransportStyle::Other(_) => return vec!["a transport that nobody speaks any more"],
    }
    if options.find("v") != Some("2") {
        faults.push("`v` is not exactly 2");
    }
    if address.static_key().is_none() {
        faults.push("`s` is no X25519 key in base64");
    }
    let iv = options.find("i").map(str::len);
    if address.style == TransportStyle::Ssu2 && iv != Some(BASE64_32) {
        faults.push("`i` is no introduction key");
    }
    let (host, port) = (options.find("host"), options.find("port"));
    if host.is_some() && address.style == TransportStyle::Ntcp2 && iv.is_none() {
        faults.push("a host without `i`");
    }
    match (host, address.endpoint()) {
        (Some(_), None) if port.is_none() => faults.push("a host without a port"),
        (Some(_), None) => faults.push("host and port are no IP address and port"),
        (Some(_), Some(at)) if network == Some(LIVE_NETWORK) && !is_public(at.ip()) => {
            faults.push("the host lies in a reserved range");
        }
        (Some(_), Some(_)) | (None, _) => {}
    }
    faults
}

/// What is strange about an address, but does no harm.
fn oddity(address: &RouterAddress, network: Option<u8>) -> Option<&'static str> {
    let is_reserved = address.endpoint().is_some_and(|at| !is_public(at.ip()));
    if is_reserved && network != Some(LIVE_NETWORK) {
        return Some("the host lies in a reserved range, which only test networks allow");
    }
    let has = |name| address.options.find(name).is_some();
    let is_odd = address.style == TransportStyle::Ntcp2 && has("i") && !has("host");
    is_odd.then_some("`i` without a host")
}

/// The signed part as Java would write it again: options sorted by key. `None` when it cannot be read.
fn canonical(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(bytes);
    RouterIdentity::parse(&mut reader).ok()?;
    reader.u64("date").ok()?;
    let count = reader.u8("address count").ok()?;
    let mut written = reader.read_so_far().to_vec();
    for _ in 0..count {
        let start = reader.position();
        reader.u8("cost").ok()?;
        reader.u64("expiration").ok()?;
        text(&mut reader, "style").ok()?;
        written.extend_from_slice(reader.read_so_far().get(start..)?);
        Mapping::parse(&mut reader).ok()?.write(&mut written);
    }
    let start = reader.position();
    let peers = usize::from(reader.u8("peer count").ok()?);
    reader.take(peers * 32, "peers").ok()?;
    written.extend_from_slice(reader.read_so_far().get(start..)?);
    Mapping::parse(&mut reader).ok()?.write(&mut written);
    Some(written)
}
