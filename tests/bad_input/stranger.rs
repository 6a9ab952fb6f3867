//! A peer that seals whatever it is told: the initiator's side of NTCP2 without any of its rules.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use floodway::base::rng::ShardRng;
use floodway::crypto::aes::{cbc_decrypt, cbc_encrypt};
use floodway::crypto::chacha::{open_in_place, seal_in_place};
use floodway::crypto::hash::hkdf;
use floodway::crypto::noise::SymmetricState;
use floodway::crypto::secret::{AeadKey, X25519Secret};
use floodway::crypto::siphash::{SipKey, siphash24};
use floodway::crypto::x25519::{X25519Public, diffie_hellman, public_key};
use floodway::wire::ntcp2::{Message1Options, Message2Options};
use floodway::wire::router_address::Ntcp2Endpoint;
use loadtest::driver::connect_from;

use super::bench::PATIENCE;

/// Message 1, without padding, and the state behind it.
pub struct Request {
    pub bytes: Vec<u8>,
    ephemeral: X25519Secret,
    noise: SymmetricState,
}

impl Request {
    /// A message 1 to `to` that says `options`.
    pub fn new(to: &Ntcp2Endpoint, options: &Message1Options, rng: &mut ShardRng) -> Self {
        let ephemeral = X25519Secret::from_bytes(rng.bytes());
        let mut key = public_key(&ephemeral).0;
        let mut noise = SymmetricState::ntcp2();
        noise.mix_hash(&to.static_key.0);
        noise.mix_hash(&key);
        let seal = noise.mix_key(&diffie_hellman(&ephemeral, &to.static_key).unwrap());
        cbc_encrypt(&to.router.0, to.iv, &mut key);
        let mut options = options.write();
        let tag = noise.seal_and_hash(&seal, 0, &mut options);
        Self { bytes: [&key[..], &options, &tag].concat(), ephemeral, noise }
    }

    /// Sends it and reads message 2.
    pub fn answered(self, to: &Ntcp2Endpoint, from: IpAddr) -> Answered {
        let Self { bytes, ephemeral, mut noise } = self;
        let mut line = Line::open(to, from);
        line.write(&bytes);
        let mut key: [u8; 32] = line.read();
        let mut sealed: [u8; 32] = line.read();
        cbc_decrypt(&to.router.0, bytes[16..32].try_into().unwrap(), &mut key);
        noise.mix_hash(&key);
        let theirs = X25519Public(key);
        let seal = noise.mix_key(&diffie_hellman(&ephemeral, &theirs).unwrap());
        let opened = noise.open_and_hash(&seal, 0, &mut sealed).unwrap();
        let options = Message2Options::parse((&*opened).try_into().unwrap());
        let padding = line.read_many(usize::from(options.padding));
        if !padding.is_empty() {
            noise.mix_hash(&padding);
        }
        Answered { line, noise, seal, theirs }
    }
}

/// After message 2.
pub struct Answered {
    pub line: Line,
    noise: SymmetricState,
    seal: AeadKey,
    theirs: X25519Public,
}

impl Answered {
    /// Message 3 with the static key and the blocks as given, and the session that follows if it is accepted.
    pub fn confirm(self, secret: &X25519Secret, mut blocks: Vec<u8>) -> (Vec<u8>, Stranger) {
        let Self { line, mut noise, seal, theirs } = self;
        let mut key = public_key(secret).0;
        let key_tag = noise.seal_and_hash(&seal, 1, &mut key);
        let seal = noise.mix_key(&diffie_hellman(secret, &theirs).unwrap());
        let tag = noise.seal_and_hash(&seal, 0, &mut blocks);
        let message = [&key[..], &key_tag, &blocks, &tag].concat();

        let (sending, receiving) = noise.split();
        let (ask, _) = hkdf(noise.chain_key(), b"", b"ask");
        let (sip, _) = hkdf(&ask, &[&noise.hash()[..], b"siphash"].concat(), b"");
        let (ours, theirs) = hkdf(&sip, b"", b"");
        let (sending, receiving) = (Half::new(sending, &ours), Half::new(receiving, &theirs));
        (message, Stranger { line, sending, receiving })
    }
}

/// An established session.
pub struct Stranger {
    pub line: Line,
    sending: Half,
    receiving: Half,
}

impl Stranger {
    /// Sends a frame with these blocks, whatever they are.
    pub fn send(&mut self, blocks: &[u8]) {
        let mut sealed = blocks.to_vec();
        let length = u16::try_from(blocks.len() + 16).unwrap() ^ self.sending.mask();
        let Half { key, nonce, .. } = &mut self.sending;
        let tag = seal_in_place(key, *nonce, b"", &mut sealed);
        *nonce += 1;
        self.line.write(&[&length.to_be_bytes(), &sealed[..], &tag].concat());
    }

    /// Sends the length of a frame, and these bytes as if they were sealed.
    pub fn send_raw(&mut self, length: u16, bytes: &[u8]) {
        let length = length ^ self.sending.mask();
        self.line.write(&[&length.to_be_bytes(), bytes].concat());
    }

    /// The blocks of the next frame.
    pub fn receive(&mut self) -> Vec<u8> {
        let length = u16::from_be_bytes(self.line.read()) ^ self.receiving.mask();
        let mut sealed = self.line.read_many(usize::from(length));
        let Half { key, nonce, .. } = &mut self.receiving;
        let blocks = open_in_place(key, *nonce, b"", &mut sealed).unwrap().to_vec();
        *nonce += 1;
        blocks
    }
}

struct Half {
    key: AeadKey,
    nonce: u64,
    sip: SipKey,
    iv: u64,
}

impl Half {
    fn new(key: AeadKey, secret: &[u8; 32]) -> Self {
        let sip = SipKey::from_bytes(secret.first_chunk().unwrap());
        Self { key, nonce: 0, sip, iv: u64::from_le_bytes(secret[16..24].try_into().unwrap()) }
    }

    fn mask(&mut self) -> u16 {
        self.iv = siphash24(&self.sip, &self.iv.to_le_bytes());
        u16::try_from(self.iv & 0xffff).unwrap()
    }
}

/// A bare connection.
pub struct Line(TcpStream);

impl Line {
    /// Connects to `to` from the address `from`.
    pub fn open(to: &Ntcp2Endpoint, from: IpAddr) -> Self {
        let stream = connect_from(from, to.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Sends bytes, if the other side still takes any.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Reads so many bytes.
    pub fn read<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn read_many(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Whether the other side closes within `patience`; what it says before is thrown away.
    pub fn closes_within(&mut self, patience: Duration) -> bool {
        self.0.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 4096];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}
