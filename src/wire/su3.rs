//! Signed files of the network: reseed bundles, updates, news. A view: the content is never copied.
//!
//! Whose key counts depends on the content type and the signer's id, which the caller knows; the content is handed
//! out only against that key. Spec: updates, SU3 file specification.

use crate::crypto::signature::{SignatureCheck, SignatureType, SigningPublicKey, Verdict, verify};
use crate::wire::Malformed;
use crate::wire::reader::Reader;
use crate::wire::unverified::SignatureRefused;
use crate::wire::writer::{Overflow, Writer};

/// What every file starts with.
pub const SU3_MAGIC: &[u8; 6] = b"I2Psu3";
/// Fewest bytes that the version takes, padding included.
pub const SU3_VERSION_MIN: usize = 16;

/// What the content is, and so who may sign it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Su3ContentType {
    /// Code 0: not said.
    Unspecified,
    /// Code 1: a router.
    RouterUpdate,
    /// Code 2: a plugin.
    Plugin,
    /// Code 3: RouterInfos for those who know nobody yet.
    Reseed,
    /// Code 4: news.
    News,
    /// Code 5: addresses and routers to keep away from.
    Blocklist,
    /// Any other code.
    Unknown(u8),
}

impl Su3ContentType {
    /// The type that `code` names; every code names one.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Unspecified,
            1 => Self::RouterUpdate,
            2 => Self::Plugin,
            3 => Self::Reseed,
            4 => Self::News,
            5 => Self::Blocklist,
            other => Self::Unknown(other),
        }
    }

    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::RouterUpdate => 1,
            Self::Plugin => 2,
            Self::Reseed => 3,
            Self::News => 4,
            Self::Blocklist => 5,
            Self::Unknown(code) => code,
        }
    }
}

/// How the content is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Su3FileType {
    /// Code 0.
    Zip,
    /// Code 1.
    Xml,
    /// Code 2.
    Html,
    /// Code 3.
    XmlGzip,
    /// Code 4.
    TextGzip,
    /// Code 5: a disk image of macOS.
    Dmg,
    /// Code 6: a program of Windows.
    Exe,
    /// Any other code.
    Unknown(u8),
}

impl Su3FileType {
    /// The type that `code` names; every code names one.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Zip,
            1 => Self::Xml,
            2 => Self::Html,
            3 => Self::XmlGzip,
            4 => Self::TextGzip,
            5 => Self::Dmg,
            6 => Self::Exe,
            other => Self::Unknown(other),
        }
    }

    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Zip => 0,
            Self::Xml => 1,
            Self::Html => 2,
            Self::XmlGzip => 3,
            Self::TextGzip => 4,
            Self::Dmg => 5,
            Self::Exe => 6,
            Self::Unknown(code) => code,
        }
    }
}

/// A signed file, viewed in the buffer that it was read into. Nothing it says is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Su3<'a> {
    /// The type of its signature.
    pub signature_type: SignatureType,
    /// How its content is packed.
    pub file_type: Su3FileType,
    /// What its content is.
    pub content_type: Su3ContentType,
    /// Its version, without padding: seconds since 1970 in decimal for a reseed bundle.
    pub version: &'a str,
    /// Who says to have signed it, usually like a mail address.
    pub signer: &'a str,
    signed: &'a [u8],
    content: &'a [u8],
    signature: &'a [u8],
}

/// The fields of the first 40 bytes that the rest depends on.
struct Header {
    signature_type: SignatureType,
    signature_size: usize,
    version_size: usize,
    signer_size: usize,
    content_size: u64,
    file_type: Su3FileType,
    content_type: Su3ContentType,
}

impl Header {
    /// Reads the header. Bytes that mean nothing yet are ignored.
    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let magic = reader.array::<6>("su3 magic")?;
        if magic != SU3_MAGIC {
            let [a, b, c, d, ..] = *magic;
            let found = u32::from_be_bytes([a, b, c, d]);
            return Err(Malformed::Value { field: "su3 magic", found });
        }
        reader.u8("su3 header")?;
        let format = reader.u8("su3 format version")?;
        if format != 0 {
            let found = u32::from(format);
            return Err(Malformed::Unsupported { field: "su3 format version", found });
        }
        let signature_type = SignatureType::from_code(reader.u16("su3 signature type")?);
        let signature_size = usize::from(reader.u16("su3 signature length")?);
        let [_, version_size, _, signer_size] = *reader.array("su3 header")?;
        let content_size = reader.u64("su3 content length")?;
        let [_, file_type, _, content_type] = *reader.array("su3 header")?;
        reader.take(12, "su3 header")?;
        Ok(Self {
            signature_type,
            signature_size,
            version_size: usize::from(version_size),
            signer_size: usize::from(signer_size),
            content_size,
            file_type: Su3FileType::from_code(file_type),
            content_type: Su3ContentType::from_code(content_type),
        })
    }

    fn check(&self) -> Result<(), Malformed> {
        let found = self.signature_size;
        match self.signature_type.signature_size() {
            Some(expected) if expected != found => {
                return Err(Malformed::Length { field: "su3 signature", expected, found });
            }
            Some(_) | None => {}
        }
        if self.version_size < SU3_VERSION_MIN {
            let found = u32::try_from(self.version_size).unwrap_or(u32::MAX);
            return Err(Malformed::Value { field: "su3 version length", found });
        }
        Ok(())
    }
}

impl<'a> Su3<'a> {
    /// Views a whole file.
    ///
    /// # Errors
    /// When it ends early or goes on after its signature, when it is of another format, when its signature is not as
    /// long as its type's, when its version is shorter than [`SU3_VERSION_MIN`], and when version or signer are no
    /// text. A signature type that is not known is no error here.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let header = Header::parse(&mut reader)?;
        header.check()?;
        let version = reader.take(header.version_size, "su3 version")?;
        let version = str::from_utf8(version).map_err(|_| Malformed::Text { field: "su3 version" });
        let version = version?.trim_end_matches('\0');
        let signer = reader.take(header.signer_size, "su3 signer")?;
        let signer = str::from_utf8(signer).map_err(|_| Malformed::Text { field: "su3 signer" })?;
        let size = usize::try_from(header.content_size).unwrap_or(usize::MAX);
        let content = reader.take(size, "su3 content")?;
        let signed = reader.read_so_far();
        let signature = reader.take(header.signature_size, "su3 signature")?;
        reader.finish()?;
        Ok(Self {
            signature_type: header.signature_type,
            file_type: header.file_type,
            content_type: header.content_type,
            version,
            signer,
            signed,
            content,
            signature,
        })
    }

    /// The signature, to be checked with `key`: over everything from the first byte to the end of the content. RSA
    /// signatures of these files are over the bare hash, unlike those of anything else.
    #[must_use]
    pub fn check<'k>(&'k self, key: &'k SigningPublicKey) -> SignatureCheck<'k> {
        SignatureCheck { key, prefix: &[], message: self.signed, signature: self.signature }
    }

    /// The content, if `key` signed it.
    ///
    /// # Errors
    /// `Invalid` when it did not, or is of another type than the signature; `Unsupported` when signatures of this
    /// type are not checked.
    pub fn verify(&self, key: &SigningPublicKey) -> Result<&'a [u8], SignatureRefused> {
        if key.kind() != self.signature_type {
            return Err(SignatureRefused::Invalid);
        }
        match verify(&self.check(key)) {
            Verdict::Valid => Ok(self.content),
            Verdict::Invalid => Err(SignatureRefused::Invalid),
            Verdict::Unsupported => Err(SignatureRefused::Unsupported),
        }
    }

    /// The content, from anybody: to show what is in a file, not to act on it.
    #[must_use]
    pub fn peek_content(&self) -> &'a [u8] {
        self.content
    }

    /// The signed part, from the first byte to the end of the content.
    #[must_use]
    pub fn signed(&self) -> &'a [u8] {
        self.signed
    }

    /// The signature's bytes.
    #[must_use]
    pub fn signature(&self) -> &'a [u8] {
        self.signature
    }
}

/// A file to be signed.
#[derive(Clone, Debug)]
pub struct Su3Draft<'a> {
    /// The type of key that will sign it.
    pub signature_type: SignatureType,
    /// How its content is packed.
    pub file_type: Su3FileType,
    /// What its content is.
    pub content_type: Su3ContentType,
    /// Its version, at most 255 bytes; padded with zeros to [`SU3_VERSION_MIN`].
    pub version: &'a str,
    /// Who signs, at most 255 bytes.
    pub signer: &'a str,
    /// The content.
    pub content: &'a [u8],
}

impl Su3Draft<'_> {
    /// Appends the file to `out`. `sign` gives the signature of what it is handed.
    ///
    /// # Errors
    /// [`Overflow`] when the version or the signer has more than 255 bytes. `out` is then as it was.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        sign: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Result<(), Overflow> {
        let signature_size = match self.signature_type.signature_size() {
            Some(size) => u16::try_from(size).unwrap_or(u16::MAX),
            None => 0,
        };
        let start = out.len();
        let version_size = short_size(self.version.len().max(SU3_VERSION_MIN))?;
        let signer_size = short_size(self.signer.len())?;
        let mut writer = Writer::new(out, usize::MAX);
        writer.put(SU3_MAGIC);
        writer.u16(0);
        writer.u16(self.signature_type.code());
        writer.u16(signature_size);
        writer.put(&[0, version_size, 0, signer_size]);
        writer.u64(u64::try_from(self.content.len()).unwrap_or(u64::MAX));
        writer.put(&[0, self.file_type.code(), 0, self.content_type.code()]);
        writer.put(&[0; 12]);
        writer.put(self.version.as_bytes());
        for _ in self.version.len()..SU3_VERSION_MIN {
            writer.u8(0);
        }
        writer.put(self.signer.as_bytes());
        writer.put(self.content);
        writer.finish()?;
        let signature = sign(out.get(start..).unwrap_or(&[]));
        out.extend_from_slice(&signature);
        Ok(())
    }
}

fn short_size(needed: usize) -> Result<u8, Overflow> {
    u8::try_from(needed).map_err(|_| Overflow { needed, limit: usize::from(u8::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::Ed25519Seed;
    use crate::crypto::signature::Signer;
    use crate::wire::testing::assert_survives_changes;

    fn signer() -> Signer {
        Signer::from_seed(&Ed25519Seed::from_bytes([1; 32]))
    }

    fn draft() -> Su3Draft<'static> {
        Su3Draft {
            signature_type: SignatureType::Ed25519,
            file_type: Su3FileType::Zip,
            content_type: Su3ContentType::Reseed,
            version: "1700000000",
            signer: "a@b.i2p",
            content: b"content",
        }
    }

    fn file(draft: &Su3Draft<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        draft.write(&mut out, |message| signer().sign(message).to_vec()).unwrap();
        out
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let bytes = file(&draft());
        let header = [
            b'I', b'2', b'P', b's', b'u', b'3', 0, 0, 0, 7, 0, 64, 0, 16, 0, 7, 0, 0, 0, 0, 0, 0,
            0, 7, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(bytes[..40], header);
        assert_eq!(bytes[40..56], *b"1700000000\0\0\0\0\0\0");
        assert_eq!(bytes[56..70], *b"a@b.i2pcontent");
        assert_eq!(bytes[70..], signer().sign(&bytes[..70]));
        assert_eq!(Su3::parse(&bytes).unwrap().signed(), &bytes[..70]);
    }

    #[test]
    fn the_content_is_given_to_who_has_the_signers_key() {
        let bytes = file(&draft());
        let view = Su3::parse(&bytes).unwrap();
        assert_eq!((view.version, view.signer), ("1700000000", "a@b.i2p"));
        assert_eq!(view.content_type, Su3ContentType::Reseed);
        assert_eq!(view.file_type, Su3FileType::Zip);
        assert_eq!(view.verify(&signer().public_key()), Ok(&b"content"[..]));
        let stranger = Signer::from_seed(&Ed25519Seed::from_bytes([2; 32])).public_key();
        assert_eq!(view.verify(&stranger), Err(SignatureRefused::Invalid));
        let key = signer().public_key();
        let other_type = SigningPublicKey::new(SignatureType::RedDsa, key.bytes()).unwrap();
        assert_eq!(view.verify(&other_type), Err(SignatureRefused::Invalid));
        for at in [16 + 7, 27, 41, 57, 64, 71] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let verified = Su3::parse(&changed).map(|view| view.verify(&key).is_ok());
            assert_ne!(verified, Ok(true), "byte {at}");
        }
    }

    #[test]
    fn a_file_made_by_java_is_read() {
        let bytes = include_bytes!("../../tests/vectors/reseed_java_2.7.0.su3");
        let key = include_bytes!("../../tests/vectors/reseed_java_2.7.0_rsa4096.key");
        let view = Su3::parse(bytes).unwrap();
        assert_eq!(view.signature_type, SignatureType::Rsa4096);
        assert_eq!((view.version, view.signer), ("1700000000", "test@mail.i2p"));
        assert_eq!(view.content_type, Su3ContentType::Reseed);
        assert_eq!(view.file_type, Su3FileType::Zip);
        assert_eq!(view.peek_content(), b"content of a reseed file");
        assert_eq!(view.signature().len(), 512);
        let key = SigningPublicKey::new(SignatureType::Rsa4096, key).unwrap();
        assert!(matches!(view.verify(&key), Ok(_) | Err(SignatureRefused::Unsupported)));
    }

    #[test]
    fn a_long_version_is_not_padded() {
        let long = Su3Draft { version: "0.9.68-20-longer", ..draft() };
        assert_eq!(Su3::parse(&file(&long)).unwrap().version, "0.9.68-20-longer");
        let text = "v".repeat(256);
        let mut out = vec![1];
        let refused = Su3Draft { version: &text, ..draft() }.write(&mut out, |_| vec![]);
        assert_eq!(refused, Err(Overflow { needed: 256, limit: 255 }));
        assert_eq!(out, [1]);
    }

    #[test]
    fn malformed_fields_are_named() {
        let bytes = file(&draft());
        let refused = |at: usize, value: u8| {
            let mut changed = bytes.clone();
            changed[at] = value;
            Su3::parse(&changed).err()
        };
        let magic = u32::from_be_bytes(*b"J2Ps");
        assert_eq!(refused(0, b'J'), Some(Malformed::Value { field: "su3 magic", found: magic }));
        let format = Malformed::Unsupported { field: "su3 format version", found: 1 };
        assert_eq!(refused(7, 1), Some(format));
        let length = Malformed::Length { field: "su3 signature", expected: 64, found: 63 };
        assert_eq!(refused(11, 63), Some(length));
        let version = Malformed::Value { field: "su3 version length", found: 15 };
        assert_eq!(refused(13, 15), Some(version));
        assert_eq!(refused(40, 0xff), Some(Malformed::Text { field: "su3 version" }));
        assert_eq!(refused(56, 0xff), Some(Malformed::Text { field: "su3 signer" }));
        assert!(matches!(
            refused(16, 0xff),
            Some(Malformed::Truncated { field: "su3 content", .. })
        ));
    }

    #[test]
    fn unknown_types_are_kept() {
        let mut bytes = file(&draft());
        bytes[9] = 99;
        bytes[25] = 98;
        bytes[27] = 97;
        let view = Su3::parse(&bytes).unwrap();
        assert_eq!(view.signature_type, SignatureType::Unknown(99));
        assert_eq!(view.file_type, Su3FileType::Unknown(98));
        assert_eq!(view.content_type, Su3ContentType::Unknown(97));
        assert_eq!(view.peek_content(), b"content");
        for code in 0..=u8::MAX {
            assert_eq!(Su3FileType::from_code(code).code(), code);
            assert_eq!(Su3ContentType::from_code(code).code(), code);
        }
    }

    #[test]
    fn a_changed_file_is_refused() {
        let bytes = file(&draft());
        assert_survives_changes(&bytes, |bytes| Su3::parse(bytes).map(drop));
    }
}
