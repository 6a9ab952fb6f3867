//! The layers inside an encrypted lease set: each a salt and what a key made from it opens.
//!
//! The outer layer says how each authorised client finds the key of the inner one, which holds the lease set. Nothing
//! in here is authenticated by itself; the signature around all of it is what makes it the owner's. Views over bytes
//! that were opened elsewhere. Spec: encrypted LeaseSet, layers 1 and 2.

use std::fmt;

use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// Bytes of a salt.
pub const SALT_SIZE: usize = 32;

const FLAG_CLIENTS: u8 = 1;
const SCHEME_MASK: u8 = 0x0e;
const SCHEME_DH: u8 = 0x00;
const SCHEME_PSK: u8 = 0x02;
const UNUSED_MASK: u8 = 0xf0;

const LEASE_SET_2: u8 = 3;
const META_LEASE_SET: u8 = 7;

/// A layer that has not been opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedLayer<'a> {
    /// What the layer's key is made with, among others.
    pub salt: &'a [u8; SALT_SIZE],
    /// What that key opens: ChaCha20 from counter 1, without a tag.
    pub ciphertext: &'a [u8],
}

impl<'a> SealedLayer<'a> {
    /// Views a layer; all that follows the salt is its ciphertext.
    ///
    /// # Errors
    /// `Truncated` when the salt is cut.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let salt = reader.array("salt of layer")?;
        Ok(Self { salt, ciphertext: reader.rest() })
    }

    /// Appends the layer.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.salt);
        out.extend_from_slice(self.ciphertext);
    }
}

/// What one client may open: an id that tells it apart, and the key of the inner layer, encrypted for it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct ClientEntry([u8; CLIENT_SIZE]);

const CLIENT_SIZE: usize = 40;

impl ClientEntry {
    /// The entry with this id and this encrypted cookie.
    #[must_use]
    pub fn new(id: [u8; 8], cookie: [u8; 32]) -> Self {
        let mut bytes = [0; CLIENT_SIZE];
        let (first, second) = bytes.split_at_mut(id.len());
        first.copy_from_slice(&id);
        second.copy_from_slice(&cookie);
        Self(bytes)
    }

    /// Which client it is for; only that client can compute it.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        self.0.split_at(8).0
    }

    /// The cookie, encrypted for the client: 32 bytes.
    #[must_use]
    pub fn cookie(&self) -> &[u8] {
        self.0.split_at(8).1
    }
}

// Ids of clients are nobody's business, even where the lease set itself is read.
impl fmt::Debug for ClientEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientEntry")
    }
}

/// How clients get at the key of the inner layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth<'a> {
    /// Whoever opened the outer layer can open the inner one.
    Open,
    /// Each client agrees on a key with an ephemeral one.
    DiffieHellman {
        /// The ephemeral X25519 key.
        ephemeral: &'a [u8; 32],
        /// One entry for each client, see [`ClientEntries`].
        clients: ClientEntries<'a>,
    },
    /// Each client has a key beforehand.
    PreShared {
        /// What the keys are mixed with.
        salt: &'a [u8; SALT_SIZE],
        /// One entry for each client, see [`ClientEntries`].
        clients: ClientEntries<'a>,
    },
}

/// The entries of all clients, as they stand in the outer layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientEntries<'a>(&'a [[u8; CLIENT_SIZE]]);

impl<'a> ClientEntries<'a> {
    fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let count = usize::from(reader.u16("client count")?);
        let (entries, _) = reader.take(count * CLIENT_SIZE, "clients")?.as_chunks();
        Ok(Self(entries))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = ClientEntry> + 'a {
        self.0.iter().copied().map(ClientEntry)
    }
}

/// The outer layer, opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OuterLayer<'a> {
    /// Flag bits 7 to 4, which mean nothing yet.
    pub unused_flags: u8,
    /// How clients get at the key of the inner layer.
    pub auth: ClientAuth<'a>,
    /// The inner layer.
    pub inner: SealedLayer<'a>,
}

impl<'a> OuterLayer<'a> {
    /// Reads the opened layer; all that follows the clients is the inner one.
    ///
    /// # Errors
    /// `Truncated` when it ends early, `Unsupported` for another way to authorise clients than the two above, or
    /// for one without clients.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8("flags of outer layer")?;
        let auth = match (flags & FLAG_CLIENTS, flags & SCHEME_MASK) {
            (0, 0) => ClientAuth::Open,
            (FLAG_CLIENTS, SCHEME_DH) => ClientAuth::DiffieHellman {
                ephemeral: reader.array("ephemeral key of clients")?,
                clients: ClientEntries::parse(&mut reader)?,
            },
            (FLAG_CLIENTS, SCHEME_PSK) => ClientAuth::PreShared {
                salt: reader.array("salt of clients")?,
                clients: ClientEntries::parse(&mut reader)?,
            },
            _ => {
                let found = u32::from(flags);
                return Err(Malformed::Unsupported { field: "flags of outer layer", found });
            }
        };
        let inner = SealedLayer::parse(reader.rest())?;
        Ok(Self { unused_flags: flags & UNUSED_MASK, auth, inner })
    }

    /// Appends the opened layer. `clients` past the 65,535th cannot be; views have no more.
    pub fn write(&self, out: &mut Vec<u8>) {
        let unused = self.unused_flags & UNUSED_MASK;
        match &self.auth {
            ClientAuth::Open => out.push(unused),
            ClientAuth::DiffieHellman { ephemeral, clients } => {
                out.push(unused | FLAG_CLIENTS | SCHEME_DH);
                out.extend_from_slice(*ephemeral);
                write_clients(clients, out);
            }
            ClientAuth::PreShared { salt, clients } => {
                out.push(unused | FLAG_CLIENTS | SCHEME_PSK);
                out.extend_from_slice(*salt);
                write_clients(clients, out);
            }
        }
        self.inner.write(out);
    }
}

fn write_clients(clients: &ClientEntries<'_>, out: &mut Vec<u8>) {
    let count = u16::try_from(clients.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_be_bytes());
    for ClientEntry(entry) in clients.iter().take(usize::from(count)) {
        out.extend_from_slice(&entry);
    }
}

/// The inner layer, opened: a lease set with a signature of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerLayer<'a> {
    /// Type 3: a LeaseSet2.
    LeaseSet2(&'a [u8]),
    /// Type 7: a meta lease set.
    MetaLeaseSet(&'a [u8]),
}

impl<'a> InnerLayer<'a> {
    /// Reads the type; all the rest is the lease set.
    ///
    /// # Errors
    /// `Truncated` when there is nothing, `Unsupported` for another type.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let field = "type of inner layer";
        match reader.u8(field)? {
            LEASE_SET_2 => Ok(Self::LeaseSet2(reader.rest())),
            META_LEASE_SET => Ok(Self::MetaLeaseSet(reader.rest())),
            other => Err(Malformed::Unsupported { field, found: u32::from(other) }),
        }
    }

    /// Appends the opened layer.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (kind, record) = match self {
            Self::LeaseSet2(record) => (LEASE_SET_2, record),
            Self::MetaLeaseSet(record) => (META_LEASE_SET, record),
        };
        out.push(kind);
        out.extend_from_slice(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outer(head: &[u8]) -> Vec<u8> {
        [head, &[8; 32], &[9; 50]].concat()
    }

    fn written(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        OuterLayer::parse(bytes).unwrap().write(&mut out);
        out
    }

    #[test]
    fn a_layer_without_clients_byte_by_byte() {
        let bytes = outer(&[0]);
        let layer = OuterLayer::parse(&bytes).unwrap();
        assert_eq!(layer.auth, ClientAuth::Open);
        assert_eq!(layer.inner, SealedLayer { salt: &[8; 32], ciphertext: &[9; 50] });
        assert_eq!(written(&bytes), bytes);
    }

    #[test]
    fn layers_for_clients_byte_by_byte() {
        let entries = [[&[2; 8][..], &[3; 32]].concat(), [&[4; 8][..], &[5; 32]].concat()].concat();
        for flags in [0x01, 0x03, 0xf1] {
            let bytes = outer(&[&[flags][..], &[1; 32], &[0, 2], &entries].concat());
            let layer = OuterLayer::parse(&bytes).unwrap();
            let (clients, is_psk) = match layer.auth {
                ClientAuth::DiffieHellman { ephemeral, clients } => {
                    assert_eq!(ephemeral, &[1; 32]);
                    (clients, false)
                }
                ClientAuth::PreShared { salt, clients } => {
                    assert_eq!(salt, &[1; 32]);
                    (clients, true)
                }
                ClientAuth::Open => panic!("there are clients"),
            };
            assert_eq!(is_psk, flags == 0x03);
            let all: Vec<_> = clients.iter().collect();
            assert_eq!(all, [ClientEntry::new([2; 8], [3; 32]), ClientEntry::new([4; 8], [5; 32])]);
            assert_eq!((all[1].id(), all[1].cookie()), (&[4; 8][..], &[5; 32][..]));
            assert_eq!((clients.len(), clients.is_empty()), (2, false));
            assert_eq!(layer.unused_flags, flags & 0xf0);
            assert_eq!(written(&bytes), bytes);
        }
    }

    #[test]
    fn other_schemes_are_refused() {
        for flags in [0x02, 0x05, 0x0f, 0x0e] {
            let found = u32::from(flags);
            let refused = Malformed::Unsupported { field: "flags of outer layer", found };
            assert_eq!(OuterLayer::parse(&outer(&[flags])), Err(refused));
        }
        let many = [&[1][..], &[1; 32], &[0xff, 0xff], &[0; 100]].concat();
        let refused = Malformed::Truncated { field: "clients", needed: 65_535 * 40, left: 100 };
        assert_eq!(OuterLayer::parse(&many), Err(refused));
    }

    #[test]
    fn an_inner_layer_is_a_type_and_a_lease_set() {
        for (bytes, layer) in [
            ([3, 1, 2], InnerLayer::LeaseSet2(&[1, 2])),
            ([7, 1, 2], InnerLayer::MetaLeaseSet(&[1, 2])),
        ] {
            assert_eq!(InnerLayer::parse(&bytes), Ok(layer));
            let mut out = Vec::new();
            layer.write(&mut out);
            assert_eq!(out, bytes);
        }
        let refused = Malformed::Unsupported { field: "type of inner layer", found: 1 };
        assert_eq!(InnerLayer::parse(&[1]), Err(refused));
        assert!(InnerLayer::parse(&[]).is_err());
    }

    #[test]
    fn every_cut_before_the_inner_salt_ends_is_an_error() {
        let bytes = outer(&[&[1][..], &[1; 32], &[0, 1], &[2; 40]].concat());
        for length in 0..bytes.len() - 50 {
            let refused = OuterLayer::parse(&bytes[..length]);
            assert!(matches!(refused, Err(Malformed::Truncated { .. })), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_layer_is_an_error_or_survives(
            flags in 0u8..8, bytes in proptest::collection::vec(0u8..2, 0..300),
        ) {
            let bytes = [&[flags][..], &bytes].concat();
            if OuterLayer::parse(&bytes).is_ok() {
                prop_assert_eq!(written(&bytes), bytes);
            }
        }
    }
}
