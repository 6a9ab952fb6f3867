//! What lease sets of types 3, 5 and 7 have in common behind the key that they stand under.
//!
//! Spec: common structures, LeaseSet2Header.

use std::time::Duration;

use crate::base::time::UnixTime;
use crate::crypto::signature::SignatureType;
use crate::wire::Malformed;
use crate::wire::offline_signature::OfflineSignature;
use crate::wire::reader::Reader;

/// Flag: a transient key signs.
pub(in crate::wire) const FLAG_OFFLINE: u16 = 1;
/// Flag: not for a floodfill to give out.
pub(in crate::wire) const FLAG_UNPUBLISHED: u16 = 1 << 1;
/// Flag: published in encrypted form.
pub(in crate::wire) const FLAG_BLINDED: u16 = 1 << 2;

/// Dates, flags and the transient key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::wire) struct Header {
    pub published: UnixTime,
    pub expires: UnixTime,
    pub flags: u16,
    pub offline: Option<OfflineSignature>,
}

impl Header {
    /// Reads the header of a record that a key of type `owner` stands for.
    pub fn parse(reader: &mut Reader<'_>, owner: SignatureType) -> Result<Self, Malformed> {
        let published = UnixTime::from_seconds(reader.u32("lease set date")?);
        let life = Duration::from_secs(u64::from(reader.u16("lease set life")?));
        let flags = reader.u16("lease set flags")?;
        let offline = match flags & FLAG_OFFLINE {
            0 => None,
            _ => Some(OfflineSignature::parse(reader, owner)?),
        };
        Ok(Self { published, expires: published + life, flags, offline })
    }
}

/// A header to be written.
#[derive(Clone, Debug)]
pub(in crate::wire) struct HeaderDraft<'a> {
    /// What is below a second is cut off.
    pub published: UnixTime,
    pub expires_after_s: u16,
    pub flags: u16,
    /// The bytes of an OfflineSignature, whose flag is then set.
    pub offline: Option<&'a [u8]>,
}

impl HeaderDraft<'_> {
    /// Appends the header.
    pub fn write(&self, out: &mut Vec<u8>) {
        let published = u32::try_from(self.published.0 / 1000).unwrap_or(u32::MAX);
        let flags = match self.offline {
            None => self.flags & !FLAG_OFFLINE,
            Some(_) => self.flags | FLAG_OFFLINE,
        };
        out.extend_from_slice(&published.to_be_bytes());
        out.extend_from_slice(&self.expires_after_s.to_be_bytes());
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(self.offline.unwrap_or(&[]));
    }
}
