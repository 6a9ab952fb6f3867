//! Introductions to firewalled routers, and tests whether one is: blocks with signatures inside.
//!
//! A signature is by the router that the block's reader may not know yet, and covers hashes that are not in the block,
//! so the message to be checked is put together from them. Spec: SSU2, RelayRequest to PeerTest.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use crate::base::id::RouterHash;
use crate::wire::Malformed;
use crate::wire::reader::Reader;
use crate::wire::ssu2_block::{read_address, read_hash};
use crate::wire::ssu2_header::Token;

const RELAY_REQUEST_PROLOGUE: &[u8; 16] = b"RelayRequestData";
const RELAY_ANSWER_PROLOGUE: &[u8; 16] = b"RelayAgreementOK";
const PEER_TEST_PROLOGUE: &[u8; 16] = b"PeerTestValidate";

const TOKEN_SIZE: usize = 8;

/// What an introducer knows a firewalled router by. Not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RelayTag(NonZeroU32);

impl RelayTag {
    /// The tag with this number, unless it is zero.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0.get()
    }

    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let field = "relay tag";
        Self::new(reader.u32(field)?).ok_or(Malformed::Value { field, found: 0 })
    }
}

/// What the router that wants to be introduced signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayTerms {
    /// A random number, the same in all messages of the introduction.
    pub nonce: u32,
    /// What the introducer knows the other router by.
    pub tag: RelayTag,
    /// The signer's clock, in seconds since 1970.
    pub timestamp: u32,
    /// The protocol of the session to come; 2.
    pub version: u8,
    /// Where the signer can be reached.
    pub address: SocketAddr,
}

impl RelayTerms {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            nonce: reader.u32("nonce of relay block")?,
            tag: RelayTag::parse(reader)?,
            timestamp: reader.u32("time of relay block")?,
            version: reader.u8("version of relay block")?,
            address: sized_address(reader, "address of relay block")?,
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.nonce.to_be_bytes());
        out.extend_from_slice(&self.tag.number().to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.push(self.version);
        write_sized_address(Some(&self.address), out);
    }

    /// What is signed: these terms, for this introducer and this firewalled router.
    #[must_use]
    pub fn signed(&self, introducer: &RouterHash, firewalled: &RouterHash) -> Vec<u8> {
        let mut message = RELAY_REQUEST_PROLOGUE.to_vec();
        message.extend_from_slice(&introducer.0);
        message.extend_from_slice(&firewalled.0);
        self.write(&mut message);
        message
    }
}

/// Asks an introducer for an introduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayRequest<'a> {
    /// A byte that means nothing yet.
    pub flag: u8,
    /// What is asked.
    pub terms: RelayTerms,
    /// The asking router's signature; its length is that of the router's type.
    pub signature: &'a [u8],
}

impl<'a> RelayRequest<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let flag = reader.u8("flag of relay block")?;
        let terms = RelayTerms::parse(reader)?;
        Ok(Self { flag, terms, signature: reader.rest() })
    }
}

/// Tells a firewalled router who wants to be introduced to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayIntro<'a> {
    /// A byte that means nothing yet.
    pub flag: u8,
    /// The asking router.
    pub router: RouterHash,
    /// What it asked.
    pub terms: RelayTerms,
    /// Its signature.
    pub signature: &'a [u8],
}

impl<'a> RelayIntro<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let flag = reader.u8("flag of relay block")?;
        let router = read_hash(reader, "router of RelayIntro block")?;
        let terms = RelayTerms::parse(reader)?;
        Ok(Self { flag, router, terms, signature: reader.rest() })
    }
}

/// What the firewalled router signs, or the introducer if it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayAnswer {
    /// The signer's clock, in seconds since 1970.
    pub timestamp: u32,
    /// The protocol of the session to come; 2.
    pub version: u8,
    /// Where the firewalled router can be reached; may be absent in a refusal.
    pub address: Option<SocketAddr>,
}

/// Tells whether an introduction takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayResponse<'a> {
    /// A byte that means nothing yet.
    pub flag: u8,
    /// 0 accepts; 1 to 63 are refusals by the introducer, 64 to 127 by the firewalled router.
    pub code: u8,
    /// The number of the request.
    pub nonce: u32,
    /// What is answered; a refusal may leave it out.
    pub answer: Option<RelayAnswer>,
    /// The signature of who answers; a refusal may leave it out.
    pub signature: &'a [u8],
    /// What the asking router may start a session with; with code 0 only.
    pub token: Option<Token>,
}

impl<'a> RelayResponse<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let flag = reader.u8("flag of relay block")?;
        let code = reader.u8("code of RelayResponse block")?;
        let nonce = reader.u32("nonce of relay block")?;
        if code != 0 && reader.left() == 0 {
            return Ok(Self { flag, code, nonce, answer: None, signature: &[], token: None });
        }
        let timestamp = reader.u32("time of relay block")?;
        let version = reader.u8("version of relay block")?;
        let address = optional_address(reader, code)?;
        let answer = Some(RelayAnswer { timestamp, version, address });
        let rest = reader.rest();
        let (signature, token) = match code {
            0 => {
                let (signature, token) = rest.split_last_chunk::<TOKEN_SIZE>().ok_or({
                    let (needed, left) = (TOKEN_SIZE, rest.len());
                    Malformed::Truncated { field: "token of RelayResponse block", needed, left }
                })?;
                (signature, Some(Token(*token)))
            }
            _ => (rest, None),
        };
        Ok(Self { flag, code, nonce, answer, signature, token })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        debug_assert!((self.code == 0) == self.token.is_some(), "code {}", self.code);
        debug_assert!(self.answer.is_some() || self.signature.is_empty() && self.code != 0);
        out.extend_from_slice(&[self.flag, self.code]);
        out.extend_from_slice(&self.nonce.to_be_bytes());
        self.write_answer(out);
        out.extend_from_slice(self.signature);
        if let Some(token) = self.token {
            out.extend_from_slice(&token.0);
        }
    }

    fn write_answer(&self, out: &mut Vec<u8>) {
        if let Some(answer) = &self.answer {
            out.extend_from_slice(&answer.timestamp.to_be_bytes());
            out.push(answer.version);
            write_sized_address(answer.address.as_ref(), out);
        }
    }

    /// What is signed: this answer, through this introducer.
    #[must_use]
    pub fn signed(&self, introducer: &RouterHash) -> Vec<u8> {
        let mut message = RELAY_ANSWER_PROLOGUE.to_vec();
        message.extend_from_slice(&introducer.0);
        message.extend_from_slice(&self.nonce.to_be_bytes());
        self.write_answer(&mut message);
        message
    }
}

/// What Alice signs in the first two messages of a peer test, and Charlie in the next two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerTestTerms {
    /// The protocol; 2.
    pub version: u8,
    /// A random number, the same in all messages of the test.
    pub nonce: u32,
    /// The signer's clock, in seconds since 1970.
    pub timestamp: u32,
    /// Alice's address, which is tested.
    pub address: SocketAddr,
}

impl PeerTestTerms {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            version: reader.u8("version of PeerTest block")?,
            nonce: reader.u32("nonce of PeerTest block")?,
            timestamp: reader.u32("time of PeerTest block")?,
            address: sized_address(reader, "address of PeerTest block")?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.version);
        out.extend_from_slice(&self.nonce.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        write_sized_address(Some(&self.address), out);
    }

    /// What is signed: these terms, through `bob`; `alice` is named in what Charlie signs only.
    #[must_use]
    pub fn signed(&self, bob: &RouterHash, alice: Option<&RouterHash>) -> Vec<u8> {
        let mut message = PEER_TEST_PROLOGUE.to_vec();
        message.extend_from_slice(&bob.0);
        message.extend_from_slice(alice.map_or(&[], |hash| &hash.0));
        self.write(&mut message);
        message
    }
}

/// A step of a peer test: Alice asks Bob, who asks Charlie to reach her.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerTest<'a> {
    /// Which step, 1 to 7.
    pub message: u8,
    /// 0 accepts; 1 to 63 are refusals by Bob, 64 to 127 by Charlie.
    pub code: u8,
    /// A byte that means nothing yet.
    pub flag: u8,
    /// Alice in message 2, Charlie in message 4, zeros there if Bob refuses; nobody in the others.
    pub router: Option<RouterHash>,
    /// What is tested.
    pub terms: PeerTestTerms,
    /// The signature, which messages 5 to 7 may leave out.
    pub signature: &'a [u8],
}

impl<'a> PeerTest<'a> {
    pub(super) fn parse(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let message = reader.u8("message of PeerTest block")?;
        if !(1..=7).contains(&message) {
            let found = u32::from(message);
            return Err(Malformed::Value { field: "message of PeerTest block", found });
        }
        let code = reader.u8("code of PeerTest block")?;
        let flag = reader.u8("flag of PeerTest block")?;
        let router = match message {
            2 | 4 => Some(read_hash(reader, "router of PeerTest block")?),
            _ => None,
        };
        let terms = PeerTestTerms::parse(reader)?;
        Ok(Self { message, code, flag, router, terms, signature: reader.rest() })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        debug_assert!(matches!(self.message, 2 | 4) == self.router.is_some(), "{}", self.message);
        out.extend_from_slice(&[self.message, self.code, self.flag]);
        out.extend_from_slice(self.router.as_ref().map_or(&[], |hash| &hash.0));
        self.terms.write(out);
        out.extend_from_slice(self.signature);
    }
}

/// An address behind its size.
fn sized_address(reader: &mut Reader<'_>, field: &'static str) -> Result<SocketAddr, Malformed> {
    let size = usize::from(reader.u8(field)?);
    read_address(reader, size, field)
}

/// An address behind its size, which is zero where there is none; who accepts has one.
fn optional_address(reader: &mut Reader<'_>, code: u8) -> Result<Option<SocketAddr>, Malformed> {
    let field = "address of relay block";
    match reader.u8(field)? {
        0 if code != 0 => Ok(None),
        size => read_address(reader, usize::from(size), field).map(Some),
    }
}

fn write_sized_address(address: Option<&SocketAddr>, out: &mut Vec<u8>) {
    match address {
        None => out.push(0),
        Some(address) => {
            out.push(if address.is_ipv4() { 6 } else { 18 });
            write_address(address, out);
        }
    }
}

/// Appends a port and an IP address.
pub(super) fn write_address(address: &SocketAddr, out: &mut Vec<u8>) {
    out.extend_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
}
