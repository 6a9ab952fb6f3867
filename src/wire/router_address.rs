//! Where and how a router can be reached, by one transport.
//!
//! Spec: common structures, RouterAddress; NTCP2, published addresses.

use std::net::{IpAddr, SocketAddr};

use crate::base::id::RouterHash;
use crate::crypto::x25519::X25519Public;
use crate::wire::mapping::{Mapping, text, write_text};
use crate::wire::reader::Reader;
use crate::wire::{Malformed, base64};

/// Protocol of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportStyle {
    /// NTCP2, over TCP.
    Ntcp2,
    /// SSU2, over UDP.
    Ssu2,
    /// A protocol that we do not speak, by its name.
    Other(String),
}

impl TransportStyle {
    fn from_name(name: &str) -> Self {
        match name {
            "NTCP2" => Self::Ntcp2,
            "SSU2" => Self::Ssu2,
            other => Self::Other(other.to_owned()),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Ntcp2 => "NTCP2",
            Self::Ssu2 => "SSU2",
            Self::Other(name) => name,
        }
    }
}

/// One address of a router. Options that we do not know are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterAddress {
    /// Lower is preferred.
    pub cost: u8,
    /// The protocol.
    pub style: TransportStyle,
    /// Everything else.
    pub options: Mapping,
}

impl RouterAddress {
    /// Reads an address. Its expiration means nothing and is skipped.
    ///
    /// # Errors
    /// When it ends early, and when its options are not an option list.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let cost = reader.u8("address cost")?;
        reader.u64("address expiration")?;
        let style = TransportStyle::from_name(text(reader, "address style")?);
        Ok(Self { cost, style, options: Mapping::parse(reader)? })
    }

    /// Appends the address to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.cost);
        out.extend_from_slice(&[0; 8]);
        write_text(self.style.name(), out);
        self.options.write(out);
    }

    /// An NTCP2 address: published at `host`, or, without one, only saying by which key we connect to others, by
    /// IPv4. `iv` stands in a published address only.
    #[must_use]
    pub fn ntcp2(
        host: Option<SocketAddr>,
        static_key: X25519Public,
        iv: [u8; 16],
        cost: u8,
    ) -> Self {
        let mut all = vec![("s", base64::encode(&static_key.0)), ("v", "2".to_owned())];
        match host {
            Some(address) => {
                all.push(("host", address.ip().to_string()));
                all.push(("i", base64::encode(&iv)));
                all.push(("port", address.port().to_string()));
            }
            None => all.push(("caps", "4".to_owned())),
        }
        let mut options = Mapping::new();
        for (key, value) in all {
            let taken = options.insert(key, &value);
            debug_assert!(taken.is_ok(), "each of these values is shorter than 255 bytes");
        }
        Self { cost, style: TransportStyle::Ntcp2, options }
    }

    /// Where to connect to, if that is published: a literal IP address and a port other than 0. A name is never
    /// looked up, and an IPv4 address in the form of an IPv6 one is taken for neither.
    #[must_use]
    pub fn endpoint(&self) -> Option<SocketAddr> {
        let host: IpAddr = self.options.find("host")?.parse().ok()?;
        let is_disguised = match host {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
        };
        let port = decimal::<u16>(self.options.find("port")?)?;
        (port != 0 && !is_disguised).then(|| SocketAddr::new(host, port))
    }

    /// The static key of the transport (`s`): 32 bytes, top bit clear.
    #[must_use]
    pub fn static_key(&self) -> Option<X25519Public> {
        let key: [u8; 32] = self.bytes_option("s")?;
        key.last().is_some_and(|byte| *byte < 0x80).then_some(X25519Public(key))
    }

    /// What NTCP2 hides the first ephemeral key with (`i`): 16 bytes.
    #[must_use]
    pub fn ntcp2_iv(&self) -> Option<[u8; 16]> {
        self.bytes_option("i")
    }

    /// Whether version 2 of the transport is among those that the address offers (`v`).
    #[must_use]
    pub fn is_version_2(&self) -> bool {
        self.options.find("v").is_some_and(|list| list.split(',').any(|version| version == "2"))
    }

    fn bytes_option<const N: usize>(&self, key: &str) -> Option<[u8; N]> {
        let value = self.options.find(key)?;
        if value.len() != N.div_ceil(3) * 4 {
            return None;
        }
        base64::decode(value)?.try_into().ok()
    }
}

/// What it takes to connect to a router by NTCP2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ntcp2Endpoint {
    /// Who has to answer.
    pub router: RouterHash,
    /// Where.
    pub address: SocketAddr,
    /// The static key it has to prove.
    pub static_key: X25519Public,
    /// What hides the first ephemeral key.
    pub iv: [u8; 16],
}

impl Ntcp2Endpoint {
    /// What `address` offers as an address of `router`; `None` unless it is a complete NTCP2 address.
    #[must_use]
    pub fn from_address(router: RouterHash, address: &RouterAddress) -> Option<Self> {
        if address.style != TransportStyle::Ntcp2 || !address.is_version_2() {
            return None;
        }
        Some(Self {
            router,
            address: address.endpoint()?,
            static_key: address.static_key()?,
            iv: address.ntcp2_iv()?,
        })
    }
}

/// A decimal number without sign.
pub(super) fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROUTER: RouterHash = RouterHash([9; 32]);

    fn published(host: &str) -> RouterAddress {
        RouterAddress::ntcp2(Some(host.parse().unwrap()), X25519Public([1; 32]), [2; 16], 3)
    }

    fn with(key: &str, value: &str) -> RouterAddress {
        let mut address = published("192.0.2.1:5000");
        address.options.insert(key, value).unwrap();
        address
    }

    fn round_trip(address: &RouterAddress) -> RouterAddress {
        let mut bytes = Vec::new();
        address.write(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let read = RouterAddress::parse(&mut reader).unwrap();
        reader.finish().unwrap();
        read
    }

    #[test]
    fn a_published_address_is_an_endpoint() {
        for host in ["192.0.2.1:5000", "[2001:db8::1]:65535"] {
            let address = round_trip(&published(host));
            let endpoint = Ntcp2Endpoint::from_address(ROUTER, &address).unwrap();
            assert_eq!(endpoint.address.to_string(), host);
            assert_eq!(endpoint.static_key, X25519Public([1; 32]));
            assert_eq!((endpoint.iv, endpoint.router), ([2; 16], ROUTER));
            assert!(address.is_version_2());
            assert_eq!((address.cost, address.options.len()), (3, 5));
        }
    }

    #[test]
    fn an_unpublished_address_has_a_key_only() {
        let address = round_trip(&RouterAddress::ntcp2(None, X25519Public([1; 32]), [2; 16], 14));
        assert_eq!(address.static_key(), Some(X25519Public([1; 32])));
        assert_eq!((address.endpoint(), address.ntcp2_iv()), (None, None));
        assert_eq!(address.options.find("caps"), Some("4"));
        assert_eq!(Ntcp2Endpoint::from_address(ROUTER, &address), None);
    }

    #[test]
    fn hosts_are_literal_and_ports_decimal() {
        for host in ["example.org", "", "::ffff:192.0.2.1", "192.0.2.1 ", "192.0.2", "fe80::1%eth0"]
        {
            assert_eq!(with("host", host).endpoint(), None, "{host}");
        }
        for port in ["0", "", "+80", "-1", "65536", "0x50", " 80"] {
            assert_eq!(with("port", port).endpoint(), None, "{port}");
        }
    }

    #[test]
    fn keys_have_their_length_and_their_top_bit_clear() {
        let mut high = [1; 32];
        high[31] = 0x80;
        for key in [base64::encode(&high), base64::encode(&[1; 31]), "?".repeat(44), String::new()]
        {
            assert_eq!(with("s", &key).static_key(), None, "{key}");
        }
        for iv in [base64::encode(&[1; 17]), base64::encode(&[1; 15]), "AAAA".to_owned()] {
            assert_eq!(with("i", &iv).ntcp2_iv(), None, "{iv}");
        }
    }

    #[test]
    fn versions_may_be_a_list() {
        for (text, expected) in
            [("2", true), ("2,3", true), ("3,2", true), ("22", false), ("3", false), ("", false)]
        {
            assert_eq!(with("v", text).is_version_2(), expected, "{text}");
        }
    }

    #[test]
    fn unknown_styles_and_options_are_kept() {
        let mut address = with("pq", "4");
        address.style = TransportStyle::Other("SSU3".to_owned());
        assert_eq!(round_trip(&address), address);
        assert_eq!(Ntcp2Endpoint::from_address(ROUTER, &address), None);
    }

    #[test]
    fn an_expiration_is_skipped() {
        let mut bytes = Vec::new();
        published("192.0.2.1:5000").write(&mut bytes);
        bytes[1..9].fill(0xff);
        let read = RouterAddress::parse(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(read, published("192.0.2.1:5000"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_address_or_an_error(bytes: Vec<u8>) {
            let _ = RouterAddress::parse(&mut Reader::new(&bytes));
        }

        #[test]
        fn any_option_is_read_without_panic(key in "s|i|v|host|port", value in ".{0,60}") {
            let address = with(&key, &value);
            let _ = Ntcp2Endpoint::from_address(ROUTER, &address);
        }
    }
}
