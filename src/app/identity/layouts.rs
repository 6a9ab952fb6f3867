//! How other routers lay out their keys in files. Bytes in, bytes out; no file is touched here.
//!
//! | router | file | layout |
//! |---|---|---|
//! | i2pd, Java | `router.keys`, `router.keys.dat` | identity, X25519 private key 32, Ed25519 seed 32 |
//! | i2pd | `ntcp2.keys` | X25519 public key 32, private key 32, IV 16 |
//! | i2pd | `ssu2.keys` | X25519 public key 32, private key 32, introduction key 32 |
//! | emissary | `ntcp2.keys`, `ssu2.keys` | the same without the public key |
//! | emissary | `static.key`, `signing.key` | X25519 private key 32; Ed25519 seed 32 |
//! | Java | `router.config` | `i2np.ntcp2.sp`, `i2np.ntcp2.iv`, `i2np.ssu2.sp`, `i2np.ssu2.ikey` in I2P base64 |

use zeroize::{Zeroize, Zeroizing};

use crate::crypto::secret::{Ed25519Seed, X25519Secret};
use crate::crypto::signature::{SignatureType, Signer};
use crate::crypto::x25519::public_key;
use crate::proto::local::ForeignKey;
use crate::wire::identity::RouterIdentity;
use crate::wire::reader::Reader;
use crate::wire::{Malformed, base64};

/// Keys in a file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The file is not laid out as its kind is.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The identity has keys that this router does not use.
    #[error(
        "the identity signs with type {signing} and encrypts with {}; only Ed25519 (7) and X25519 (4) can be moved, \
         so this router needs a new identity", if *x25519 { "X25519" } else { "another type than X25519" }
    )]
    Types {
        /// Code of the type of its signing key.
        signing: u16,
        /// Whether its encryption key is X25519.
        x25519: bool,
    },
    /// The private keys are another identity's.
    #[error(transparent)]
    Foreign(#[from] ForeignKey),
    /// The public key in the file is not that of the private key behind it.
    #[error("the public key does not belong to the private key")]
    StaticKey,
    /// A setting is not what I2P base64 of a key looks like. Its value is a secret and therefore not shown.
    #[error("{name} is not {size} bytes in I2P base64")]
    Setting {
        /// Its name.
        name: &'static str,
        /// Bytes that it should stand for.
        size: usize,
    },
}

/// A router's identity and the private keys that belong to it: checked.
#[derive(Debug)]
pub struct IdentityKeys {
    /// Who the router is.
    pub identity: RouterIdentity,
    /// Opens what is encrypted to it.
    pub encryption: X25519Secret,
    /// Signs for it.
    pub signing: Ed25519Seed,
}

impl IdentityKeys {
    /// These keys.
    ///
    /// # Errors
    /// When the identity has keys of other types, and when they are not those of the private keys.
    pub fn new(
        identity: RouterIdentity,
        encryption: X25519Secret,
        signing: Ed25519Seed,
    ) -> Result<Self, LayoutError> {
        check_types(&identity)?;
        if Signer::from_seed(&signing).public_key() != *identity.signing_key() {
            return Err(ForeignKey::Signing.into());
        }
        if identity.encryption_key() != Some(public_key(&encryption)) {
            return Err(ForeignKey::Encryption.into());
        }
        Ok(Self { identity, encryption, signing })
    }

    /// Reads `router.keys` of i2pd or `router.keys.dat` of Java I2P.
    ///
    /// # Errors
    /// As [`IdentityKeys::new`], and when the bytes end early or go on.
    pub fn parse(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut reader = Reader::new(bytes);
        let identity = RouterIdentity::parse(&mut reader)?;
        // Before the private keys, whose sizes follow from the types.
        check_types(&identity)?;
        let encryption = X25519Secret::from_bytes(*reader.array("private encryption key")?);
        let signing = Ed25519Seed::from_bytes(*reader.array("private signing key")?);
        reader.finish()?;
        Self::new(identity, encryption, signing)
    }

    /// The file as i2pd and Java I2P lay it out.
    #[must_use]
    pub fn write(&self) -> Zeroizing<Vec<u8>> {
        secret_bytes(&[self.identity.bytes(), self.encryption.expose(), self.signing.expose()])
    }
}

fn check_types(identity: &RouterIdentity) -> Result<(), LayoutError> {
    let (kind, x25519) = (identity.signing_key().kind(), identity.encryption_key().is_some());
    if kind != SignatureType::Ed25519 || !x25519 {
        return Err(LayoutError::Types { signing: kind.code(), x25519 });
    }
    Ok(())
}

/// The static key of a transport, and the `N` bytes that are published as `i`: 16 for NTCP2, 32 for SSU2.
#[derive(Debug)]
pub struct TransportKeys<const N: usize> {
    /// The private key.
    pub secret: X25519Secret,
    /// What is published as `i`.
    pub intro: [u8; N],
}

impl<const N: usize> TransportKeys<N> {
    /// Reads `ntcp2.keys` or `ssu2.keys` of i2pd.
    ///
    /// # Errors
    /// When the bytes end early or go on, and when the public key is not that of the private key.
    pub fn parse_i2pd(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut reader = Reader::new(bytes);
        let public: &[u8; 32] = reader.array("public key")?;
        let keys = Self::read(reader)?;
        if public_key(&keys.secret).0 != *public {
            return Err(LayoutError::StaticKey);
        }
        Ok(keys)
    }

    /// Reads `ntcp2.keys` or `ssu2.keys` of emissary.
    ///
    /// # Errors
    /// When the bytes end early or go on.
    pub fn parse_emissary(bytes: &[u8]) -> Result<Self, LayoutError> {
        Ok(Self::read(Reader::new(bytes))?)
    }

    fn read(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let secret = X25519Secret::from_bytes(*reader.array("private key")?);
        let intro = *reader.array("introduction key")?;
        reader.finish()?;
        Ok(Self { secret, intro })
    }

    /// The file as i2pd lays it out.
    #[must_use]
    pub fn write_i2pd(&self) -> Zeroizing<Vec<u8>> {
        secret_bytes(&[&public_key(&self.secret).0, self.secret.expose(), &self.intro])
    }

    /// The file as emissary lays it out.
    #[must_use]
    pub fn write_emissary(&self) -> Zeroizing<Vec<u8>> {
        secret_bytes(&[self.secret.expose(), &self.intro])
    }
}

/// `static.key` or `signing.key` of emissary: 32 bytes.
///
/// # Errors
/// When there are fewer or more.
pub fn parse_single_key(bytes: &[u8]) -> Result<[u8; 32], LayoutError> {
    let mut reader = Reader::new(bytes);
    let key = *reader.array("private key")?;
    reader.finish()?;
    Ok(key)
}

/// What Java's `router.config` holds of the transports' keys; a transport that never ran has none.
#[derive(Debug)]
pub struct JavaTransportKeys {
    /// Those of NTCP2.
    pub ntcp2: Option<TransportKeys<16>>,
    /// Those of SSU2.
    pub ssu2: Option<TransportKeys<32>>,
}

impl JavaTransportKeys {
    /// Reads the settings: `name=value` lines. Others than the four are left alone.
    ///
    /// # Errors
    /// When one of the four is not what it should be.
    pub fn parse(config: &str) -> Result<Self, LayoutError> {
        Ok(Self {
            ntcp2: java_transport(config, "i2np.ntcp2.sp", "i2np.ntcp2.iv")?,
            ssu2: java_transport(config, "i2np.ssu2.sp", "i2np.ssu2.ikey")?,
        })
    }
}

fn java_transport<const N: usize>(
    config: &str,
    secret: &'static str,
    intro: &'static str,
) -> Result<Option<TransportKeys<N>>, LayoutError> {
    let Some(secret) = java_setting(config, secret)? else { return Ok(None) };
    let Some(intro) = java_setting(config, intro)? else { return Ok(None) };
    Ok(Some(TransportKeys { secret: X25519Secret::from_bytes(secret), intro }))
}

fn java_setting<const N: usize>(
    config: &str,
    name: &'static str,
) -> Result<Option<[u8; N]>, LayoutError> {
    // Where a name stands twice, Java keeps the last.
    let mut settings = config.lines().rev().filter_map(|line| line.split_once('='));
    let Some((_, value)) = settings.find(|(other, _)| other.trim() == name) else {
        return Ok(None);
    };
    let mut bytes = base64::decode(value.trim());
    let found = bytes.as_deref().and_then(|bytes| <[u8; N]>::try_from(bytes).ok());
    bytes.zeroize();
    found.map(Some).ok_or(LayoutError::Setting { name, size: N })
}

/// The parts in one piece that is erased on drop and was never moved while it grew.
fn secret_bytes(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let size = parts.iter().map(|part| part.len()).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::local::identity_of;
    use proptest::prelude::*;

    fn sample() -> IdentityKeys {
        let (signing, encryption) =
            (Ed25519Seed::from_bytes([1; 32]), X25519Secret::from_bytes([2; 32]));
        let identity = identity_of(&signing, &encryption, [3; 32]);
        IdentityKeys::new(identity, encryption, signing).unwrap()
    }

    #[test]
    fn every_part_stands_where_it_should() {
        let bytes = sample().write();
        assert_eq!(bytes.len(), 455);
        assert_eq!(bytes[391..423], [2; 32]);
        assert_eq!(bytes[423..], [1; 32]);
        let read = IdentityKeys::parse(&bytes).unwrap();
        assert_eq!(*read.write(), *bytes);
        let keys =
            TransportKeys::<16> { secret: X25519Secret::from_bytes([5; 32]), intro: [6; 16] };
        let bytes = keys.write_i2pd();
        assert_eq!(bytes[..32], public_key(&keys.secret).0);
        assert_eq!(bytes[32..], *keys.write_emissary());
        assert_eq!(bytes[32..64], [5; 32]);
        assert_eq!(bytes[64..], [6; 16]);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let good = sample().write();
        let refused = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            IdentityKeys::parse(&bytes).unwrap_err()
        };
        assert_eq!(refused(0), ForeignKey::Encryption.into());
        assert_eq!(refused(360), ForeignKey::Signing.into());
        assert_eq!(refused(400), ForeignKey::Encryption.into());
        assert_eq!(refused(430), ForeignKey::Signing.into());
        let dsa = [&good[..384], &[0, 0, 0], &good[391..]].concat();
        let error = IdentityKeys::parse(&dsa).unwrap_err();
        assert_eq!(error, LayoutError::Types { signing: 0, x25519: false });
        assert_eq!(refused(390), LayoutError::Types { signing: 7, x25519: false });
        let short = IdentityKeys::parse(&good[..454]).unwrap_err();
        let truncated = Malformed::Truncated { field: "private signing key", needed: 32, left: 31 };
        assert_eq!(short, truncated.into());
        let long = IdentityKeys::parse(&[&good[..], &[0]].concat()).unwrap_err();
        assert_eq!(long, Malformed::Trailing { left: 1 }.into());

        let keys =
            TransportKeys::<32> { secret: X25519Secret::from_bytes([5; 32]), intro: [6; 32] };
        let mut bytes = keys.write_i2pd();
        bytes[0] ^= 1;
        let error = TransportKeys::<32>::parse_i2pd(&bytes).unwrap_err();
        assert_eq!(error, LayoutError::StaticKey);
        assert!(TransportKeys::<16>::parse_i2pd(&bytes).is_err());
        assert!(parse_single_key(&[0; 31]).is_err() && parse_single_key(&[0; 33]).is_err());
    }

    #[test]
    fn java_settings_are_read_and_others_left_alone() {
        let sp = base64::encode(&[1; 32]);
        let iv = base64::encode(&[2; 16]);
        let text =
            format!("# a=b\nx\ni2np.ntcp2.sp={sp}\n i2np.ntcp2.iv = {iv} \ni2np.ssu2.sp={sp}\n");
        let keys = JavaTransportKeys::parse(&text).unwrap();
        let ntcp2 = keys.ntcp2.unwrap();
        assert_eq!((ntcp2.secret.expose(), ntcp2.intro), (&[1; 32], [2; 16]));
        assert!(keys.ssu2.is_none());
        let error = JavaTransportKeys::parse("i2np.ntcp2.sp=AAAA").unwrap_err();
        assert_eq!(error, LayoutError::Setting { name: "i2np.ntcp2.sp", size: 32 });
        assert_eq!(error.to_string(), "i2np.ntcp2.sp is not 32 bytes in I2P base64");
    }

    proptest! {
        #[test]
        fn any_bytes_are_keys_or_an_error(bytes: Vec<u8>, text in ".{0,80}") {
            let _ = IdentityKeys::parse(&bytes);
            let _ = TransportKeys::<16>::parse_i2pd(&bytes);
            let _ = TransportKeys::<32>::parse_emissary(&bytes);
            let _ = JavaTransportKeys::parse(&text);
            let _ = JavaTransportKeys::parse(&format!("i2np.ssu2.sp={text}"));
        }
    }
}
