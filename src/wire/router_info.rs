//! What a router publishes about itself: identity, addresses, options, signed.
//!
//! Spec: common structures, RouterInfo. The signature is over the bytes as they came, never over what we would
//! write for them.

use std::sync::Arc;

use crate::base::id::RouterHash;
use crate::base::limits::ROUTER_INFO_MAX;
use crate::base::time::UnixTime;
use crate::crypto::signature::{SignatureCheck, Signer};
use crate::crypto::x25519::X25519Public;
use crate::wire::Malformed;
use crate::wire::capabilities::Capabilities;
use crate::wire::identity::RouterIdentity;
use crate::wire::mapping::Mapping;
use crate::wire::reader::Reader;
use crate::wire::router_address::{Ntcp2Endpoint, RouterAddress, TransportStyle, decimal};
use crate::wire::unverified::{Signed, Unverified};

/// Most addresses in one RouterInfo; others refuse more.
pub const ROUTER_ADDRESSES_MAX: usize = 16;

/// The option that holds the capabilities.
pub const OPTION_CAPABILITIES: &str = "caps";
/// The option that holds the number of the network.
pub const OPTION_NETWORK: &str = "netId";
/// The option that holds the version of the protocols that a router speaks.
pub const OPTION_VERSION: &str = "router.version";

/// Version of the protocols that a router speaks, such as 0.9.67.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number.
    pub patch: u16,
}

impl Version {
    /// Reads three numbers with dots between them, and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.');
        let mut next = || numbers.next().and_then(decimal::<u16>);
        let version = Self { major: next()?, minor: next()?, patch: next()? };
        numbers.next().is_none().then_some(version)
    }
}

/// What a router published about itself, verified. It does not change; share it in an [`Arc`].
#[derive(Clone, Debug)]
pub struct RouterInfo {
    bytes: Arc<[u8]>,
    signed: usize,
    identity: RouterIdentity,
    published: UnixTime,
    addresses: Box<[RouterAddress]>,
    options: Mapping,
    capabilities: Capabilities,
    network: Option<u8>,
    version: Option<Version>,
}

impl RouterInfo {
    /// Reads a RouterInfo.
    ///
    /// # Errors
    /// When it is longer than [`ROUTER_INFO_MAX`] or has more than [`ROUTER_ADDRESSES_MAX`] addresses, when it
    /// ends early or goes on after its signature, and when a part of it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Unverified<Self>, Malformed> {
        if bytes.len() > ROUTER_INFO_MAX {
            return Err(Malformed::TooLarge {
                field: "router info",
                limit: ROUTER_INFO_MAX,
                found: bytes.len(),
            });
        }
        let bytes: Arc<[u8]> = Arc::from(bytes);
        let mut reader = Reader::new(&bytes);
        let identity = RouterIdentity::at_start_of(&bytes, &mut reader)?;
        let published = UnixTime(reader.u64("router info date")?);
        let addresses = addresses(&mut reader)?;
        // No router writes peers any more; where one does, their hashes mean nothing.
        let peers = usize::from(reader.u8("peer count")?);
        reader.take(peers * 32, "peers")?;
        let options = Mapping::parse(&mut reader)?;
        let signed = reader.position();
        let kind = identity.signing_key().kind();
        let size = kind.signature_size().ok_or(Malformed::Unsupported {
            field: "signing key type",
            found: u32::from(kind.code()),
        })?;
        reader.take(size, "router info signature")?;
        reader.finish()?;
        Ok(Unverified::new(Self {
            signed,
            identity,
            published,
            addresses,
            capabilities: Capabilities::parse(options.find(OPTION_CAPABILITIES).unwrap_or("")),
            network: options.find(OPTION_NETWORK).and_then(decimal),
            version: options.find(OPTION_VERSION).and_then(Version::parse),
            options,
            bytes,
        }))
    }

    /// The name of the router.
    #[must_use]
    pub fn hash(&self) -> RouterHash {
        self.identity.hash()
    }

    /// Its keys.
    #[must_use]
    pub fn identity(&self) -> &RouterIdentity {
        &self.identity
    }

    /// When it signed this.
    #[must_use]
    pub fn published(&self) -> UnixTime {
        self.published
    }

    /// Its addresses, at most [`ROUTER_ADDRESSES_MAX`], in the order in which it wrote them.
    #[must_use]
    pub fn addresses(&self) -> &[RouterAddress] {
        &self.addresses
    }

    /// Its options, those that we do not know included.
    #[must_use]
    pub fn options(&self) -> &Mapping {
        &self.options
    }

    /// Its capabilities; none when it says nothing of them.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The network it belongs to; `None` when it does not say, or names none that fits in a byte.
    #[must_use]
    pub fn network(&self) -> Option<u8> {
        self.network
    }

    /// The version it speaks; `None` when it does not say, or not in three numbers.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// The RouterInfo as it came, to be stored and passed on.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Where to connect to by NTCP2, if that is published: by IPv4 if possible, then at the lowest cost.
    #[must_use]
    pub fn ntcp2_endpoint(&self) -> Option<Ntcp2Endpoint> {
        let router = self.hash();
        let all = self.addresses.iter().filter_map(|address| {
            Some((address.cost, Ntcp2Endpoint::from_address(router, address)?))
        });
        all.min_by_key(|(cost, endpoint)| (endpoint.address.is_ipv6(), *cost))
            .map(|(_, endpoint)| endpoint)
    }

    /// Whether `key` is the static key of one of its NTCP2 addresses, published or not: what a peer has to prove
    /// that connects to us and says it is this router.
    #[must_use]
    pub fn has_ntcp2_static_key(&self, key: &X25519Public) -> bool {
        self.addresses.iter().any(|address| {
            address.style == TransportStyle::Ntcp2
                && address.is_version_2()
                && address.static_key().as_ref() == Some(key)
        })
    }
}

impl Signed for RouterInfo {
    fn check(&self) -> SignatureCheck<'_> {
        let (message, signature) =
            self.bytes.split_at_checked(self.signed).unwrap_or((&self.bytes, &[]));
        SignatureCheck { key: self.identity.signing_key(), prefix: &[], message, signature }
    }

    fn delegation_check(&self) -> Option<SignatureCheck<'_>> {
        None
    }
}

fn addresses(reader: &mut Reader<'_>) -> Result<Box<[RouterAddress]>, Malformed> {
    let count = usize::from(reader.u8("address count")?);
    if count > ROUTER_ADDRESSES_MAX {
        return Err(Malformed::TooLarge {
            field: "address count",
            limit: ROUTER_ADDRESSES_MAX,
            found: count,
        });
    }
    (0..count).map(|_| RouterAddress::parse(reader)).collect()
}

/// A RouterInfo to be signed.
#[derive(Clone, Debug)]
pub struct RouterInfoDraft {
    /// Who publishes it.
    pub identity: RouterIdentity,
    /// When.
    pub published: UnixTime,
    /// Its addresses.
    pub addresses: Vec<RouterAddress>,
    /// Its options; others want [`OPTION_CAPABILITIES`], [`OPTION_NETWORK`] and [`OPTION_VERSION`].
    pub options: Mapping,
}

impl RouterInfoDraft {
    /// The RouterInfo, signed and read back by the rules that we hold others to.
    ///
    /// # Errors
    /// When it is too long or has too many addresses.
    ///
    /// # Panics
    /// When `signer` is not the identity's.
    pub fn sign(self, signer: &Signer) -> Result<RouterInfo, Malformed> {
        assert!(
            signer.public_key() == *self.identity.signing_key(),
            "signer is not the identity's"
        );
        let count = u8::try_from(self.addresses.len()).unwrap_or(u8::MAX);
        let mut bytes = self.identity.bytes().to_vec();
        bytes.extend_from_slice(&self.published.0.to_be_bytes());
        bytes.push(count);
        for address in &self.addresses {
            address.write(&mut bytes);
        }
        bytes.push(0);
        self.options.write(&mut bytes);
        let signature = signer.sign(&bytes);
        bytes.extend_from_slice(&signature);
        RouterInfo::parse(&bytes).map(Unverified::of_our_own)
    }
}

#[cfg(test)]
mod tests;
