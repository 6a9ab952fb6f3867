//! RouterInfos of other routers, and our own.

use super::*;
use crate::crypto::secret::Ed25519Seed;
use crate::crypto::signature::SignatureType;
use crate::wire::capabilities::Congestion;
use crate::wire::unverified::SignatureRefused;
use crate::wire::{base64, reader};
use proptest::prelude::*;
use std::net::SocketAddr;

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/", $name))
    };
}

const I2PD_2_45: &[u8] = sample!("router_info_i2pd_2.45.1.dat");
const I2PD_2_56: &[u8] = sample!("router_info_i2pd_2.56.0.dat");
const I2PD_2_59: &[u8] = sample!("router_info_i2pd_2.59.0.dat");
const EMISSARY: &[u8] = sample!("router_info_emissary_0.4.0.dat");
const JAVA: &[u8] = sample!("router_info_java_2.7.0.dat");
const ALL: [&[u8]; 5] = [I2PD_2_45, I2PD_2_56, I2PD_2_59, EMISSARY, JAVA];

fn verified(bytes: &[u8]) -> RouterInfo {
    RouterInfo::parse(bytes).unwrap().verify().unwrap()
}

fn signer() -> Signer {
    Signer::from_seed(&Ed25519Seed::from_bytes([1; 32]))
}

fn address(host: &str, cost: u8) -> RouterAddress {
    let host: SocketAddr = host.parse().unwrap();
    RouterAddress::ntcp2(Some(host), X25519Public([cost; 32]), [3; 16], cost)
}

fn draft() -> RouterInfoDraft {
    let mut options = Mapping::new();
    options.insert("router.version", "0.9.67").unwrap();
    options.insert("caps", "XfR").unwrap();
    options.insert("netId", "99").unwrap();
    RouterInfoDraft {
        identity: RouterIdentity::build(&signer().public_key(), X25519Public([2; 32]), [4; 32]),
        published: UnixTime(1_700_000_000_123),
        addresses: vec![address("192.0.2.1:5000", 3)],
        options,
    }
}

#[test]
fn router_infos_of_other_routers_verify() {
    let versions = ["0.9.57", "0.9.65", "0.9.68", "0.9.68", "0.9.64"];
    for ((bytes, version), place) in ALL.into_iter().zip(versions).zip(1..) {
        let info = verified(bytes);
        assert_eq!(info.network(), Some(99));
        assert_eq!(info.version(), Version::parse(version));
        assert_eq!(info.identity().signing_key().kind(), SignatureType::Ed25519);
        assert!(info.identity().encryption_key().is_some());
        assert_eq!(info.addresses().len(), 2);
        assert!(info.addresses().iter().all(RouterAddress::is_version_2));
        assert!(info.capabilities().is_high_bandwidth());
        assert_eq!(&**info.bytes(), bytes);
        let endpoint = info.ntcp2_endpoint().unwrap();
        assert_eq!(endpoint.address.to_string(), format!("51.{place}.0.1:{}", 14_999 + place));
        assert!(info.has_ntcp2_static_key(&endpoint.static_key));
        assert!(!info.has_ntcp2_static_key(&X25519Public([7; 32])));
    }
}

#[test]
fn a_java_router_reads_as_it_was_published() {
    let info = verified(JAVA);
    assert_eq!(base64::encode(&info.hash().0), "UzRWf37ExxEq-0N0dQ8fev0YYkxZthQFg6LEItEwPCQ=");
    assert_eq!(info.published(), UnixTime(1_795_502_385_531));
    let capabilities = info.capabilities();
    assert!(capabilities.is_floodfill() && capabilities.is_reachable());
    assert_eq!(capabilities.congestion(), Congestion::Medium);
    assert_eq!(info.options().find("netdb.knownLeaseSets"), Some("67"));
    let [ssu2, ntcp2] = info.addresses() else { panic!("two addresses") };
    assert_eq!((&ssu2.style, ssu2.cost), (&TransportStyle::Ssu2, 5));
    assert_eq!((&ntcp2.style, ntcp2.cost), (&TransportStyle::Ntcp2, 10));
    assert_eq!(
        ntcp2.ntcp2_iv().unwrap().to_vec(),
        base64::decode("2nbB~zi7u18TqM85nKln9g==").unwrap()
    );
    assert_eq!(ssu2.ntcp2_iv(), None);
}

#[test]
fn other_routers_write_what_we_write_for_the_same_facts() {
    for bytes in ALL {
        let info = verified(bytes);
        let mut written = info.identity().bytes().to_vec();
        written.extend_from_slice(&info.published().0.to_be_bytes());
        written.push(u8::try_from(info.addresses().len()).unwrap());
        for address in info.addresses() {
            address.write(&mut written);
        }
        written.push(0);
        info.options().write(&mut written);
        assert_eq!(written, bytes[..bytes.len() - 64]);
    }
}

#[test]
fn a_signed_draft_reads_back() {
    let info = draft().sign(&signer()).unwrap();
    let read = verified(info.bytes());
    assert_eq!(read.hash(), draft().identity.hash());
    assert_eq!(read.published(), UnixTime(1_700_000_000_123));
    assert_eq!(read.addresses(), draft().addresses);
    assert_eq!(read.options(), &draft().options);
    assert_eq!(read.version(), Some(Version { major: 0, minor: 9, patch: 67 }));
    assert_eq!(read.network(), Some(99));
    assert_eq!(read.bytes(), info.bytes());
}

#[test]
fn a_foreign_signature_is_refused() {
    let mut bytes = JAVA.to_vec();
    bytes[400] ^= 1;
    let info = RouterInfo::parse(&bytes).unwrap();
    assert_eq!(info.checks().count(), 1);
    assert_eq!(info.verify().map(|_| ()), Err(SignatureRefused::Invalid));
}

#[test]
fn published_ipv4_comes_first_then_cost() {
    let mut draft = draft();
    draft.addresses = vec![
        RouterAddress::ntcp2(None, X25519Public([1; 32]), [3; 16], 1),
        address("[2001:db8::1]:5000", 2),
        address("192.0.2.9:5000", 9),
        address("192.0.2.8:5000", 8),
    ];
    let info = draft.sign(&signer()).unwrap();
    let endpoint = info.ntcp2_endpoint().unwrap();
    assert_eq!(endpoint.address, "192.0.2.8:5000".parse().unwrap());
    assert_eq!(endpoint.router, info.hash());
    assert!(info.has_ntcp2_static_key(&X25519Public([1; 32])));
}

#[test]
fn peers_are_skipped() {
    let mut bytes = Vec::new();
    let draft = draft();
    bytes.extend_from_slice(draft.identity.bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.push(0);
    bytes.push(2);
    bytes.extend_from_slice(&[0xaa; 64]);
    draft.options.write(&mut bytes);
    let signature = signer().sign(&bytes);
    bytes.extend_from_slice(&signature);
    assert_eq!(verified(&bytes).options(), &draft.options);
}

#[test]
fn limits_hold() {
    let mut many = draft();
    many.addresses = vec![RouterAddress::ntcp2(None, X25519Public([1; 32]), [3; 16], 14); 17];
    assert_eq!(
        many.sign(&signer()).map(|_| ()),
        Err(Malformed::TooLarge { field: "address count", limit: 16, found: 17 })
    );
    let mut long = draft();
    for n in 0..12 {
        long.options.insert(&format!("stat_{n}"), &"x".repeat(255)).unwrap();
    }
    let refused = long.sign(&signer()).map(|_| ());
    assert!(matches!(refused, Err(Malformed::TooLarge { field: "router info", limit: 3072, .. })));
}

#[test]
fn missing_facts_are_none() {
    let mut draft = draft();
    draft.options = Mapping::new();
    draft.options.insert("netId", "256").unwrap();
    draft.options.insert("router.version", "0.9").unwrap();
    let info = draft.sign(&signer()).unwrap();
    assert_eq!((info.network(), info.version()), (None, None));
    assert_eq!(*info.capabilities(), Capabilities::default());
    for text in ["", "0.9.67.1", "0.9.67-1", "0..67", "0.9.65536", "0.9.+7"] {
        assert_eq!(Version::parse(text), None, "{text}");
    }
}

#[test]
fn every_prefix_and_every_extension_is_an_error() {
    for bytes in ALL {
        for length in 0..bytes.len() {
            let refused = RouterInfo::parse(&bytes[..length]).map(|_| ());
            assert!(matches!(refused, Err(Malformed::Truncated { .. })), "{length}: {refused:?}");
        }
        let longer = [bytes, &[0]].concat();
        assert_eq!(
            RouterInfo::parse(&longer).map(|_| ()),
            Err(reader::Malformed::Trailing { left: 1 })
        );
    }
}

proptest! {
    #[test]
    fn no_flipped_bit_verifies(sample in 0..ALL.len(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let mut bytes = ALL[sample].to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        if let Ok(info) = RouterInfo::parse(&bytes) {
            let _ = info.peek().ntcp2_endpoint();
            prop_assert!(info.verify().is_err());
        }
    }

    #[test]
    fn any_tail_is_a_router_info_or_an_error(tail: Vec<u8>) {
        let bytes = [&JAVA[..391], &tail].concat();
        let _ = RouterInfo::parse(&bytes);
    }
}
