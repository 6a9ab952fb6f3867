//! DatabaseLookup: who has the record with this key? Spec: I2NP, DatabaseLookup.

use std::fmt;

use crate::base::frame::Frame;
use crate::base::id::{RecordKey, RouterHash, TunnelId};
use crate::base::limits::LOOKUP_EXCLUDED_MAX;
use crate::wire::Malformed;
use crate::wire::reader::Reader;

const FLAG_TUNNEL: u8 = 0x01;
const FLAG_AES: u8 = 0x02;
const KIND_MASK: u8 = 0x0c;
const FLAG_ECIES: u8 = 0x10;
const KNOWN_FLAGS: u8 = FLAG_TUNNEL | FLAG_AES | KIND_MASK | FLAG_ECIES;
const AES_TAGS_MAX: usize = 32;

/// What a lookup wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LookupKind {
    /// A record of any kind; deprecated.
    Any,
    /// A lease set of any kind.
    LeaseSet,
    /// A RouterInfo.
    RouterInfo,
    /// Routers near the key that are no floodfills.
    Exploration,
}

impl LookupKind {
    fn from_flags(flags: u8) -> Self {
        match flags & KIND_MASK {
            0x00 => Self::Any,
            0x04 => Self::LeaseSet,
            0x08 => Self::RouterInfo,
            _ => Self::Exploration,
        }
    }

    fn flags(self) -> u8 {
        match self {
            Self::Any => 0x00,
            Self::LeaseSet => 0x04,
            Self::RouterInfo => 0x08,
            Self::Exploration => 0x0c,
        }
    }
}

/// How the reply is to be encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum LookupEncryption<'a> {
    /// Not at all.
    None,
    /// As a tag-encrypted garlic message.
    Ecies {
        /// ChaCha20-Poly1305 key of the reply.
        key: [u8; 32],
        /// Tag in front of the reply.
        tag: [u8; 8],
    },
    /// As a legacy garlic message with a session tag; ElGamal destinations still ask for it.
    Aes {
        /// AES-256 key of the reply.
        key: [u8; 32],
        /// Session tags, 1 to 32; the reply uses one.
        tags: &'a [[u8; 32]],
    },
}

// The keys are secrets of the requester.
impl fmt::Debug for LookupEncryption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Ecies { .. } => f.write_str("Ecies(secret)"),
            Self::Aes { tags, .. } => write!(f, "Aes({} tags, secret)", tags.len()),
        }
    }
}

/// A lookup, viewed in the buffer that it arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseLookup<'a> {
    /// The record's key.
    pub key: RecordKey,
    /// Where the reply goes: the requester, or with a reply tunnel that tunnel's gateway.
    pub from: RouterHash,
    /// The tunnel at `from` that the reply goes into.
    pub reply_tunnel: Option<TunnelId>,
    /// What is wanted.
    pub kind: LookupKind,
    /// Flag bits without a meaning that we know, as they came; 0 in what we make.
    pub unknown_flags: u8,
    /// Hashes that the answer should not name, at most 512. The all-zero hash stands for no router: it is the old
    /// way to say that the lookup is an exploration, see [`DatabaseLookup::is_exploration`].
    pub excluded: &'a [[u8; 32]],
    /// How the reply is encrypted.
    pub encryption: LookupEncryption<'a>,
}

impl<'a> DatabaseLookup<'a> {
    /// Reads the body; bytes behind it are ignored.
    ///
    /// # Errors
    /// `Truncated` when a field is cut, `ZeroTunnelId` for a reply tunnel of zero, `TooLarge` for more than 512
    /// excluded hashes, `Value` for a number of tags that is not allowed, and `Unsupported` for a reply key that
    /// would come from a Diffie-Hellman, which nobody asks for.
    pub fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let key = RecordKey(*reader.array::<32>("key of lookup")?);
        let from = RouterHash(*reader.array::<32>("sender of lookup")?);
        let flags = reader.u8("flags of lookup")?;
        let reply_tunnel = match flags & FLAG_TUNNEL {
            0 => None,
            _ => Some(read_reply_tunnel(&mut reader)?),
        };
        let excluded = read_excluded(&mut reader)?;
        let encryption = read_encryption(&mut reader, flags)?;
        let kind = LookupKind::from_flags(flags);
        let unknown_flags = flags & !KNOWN_FLAGS;
        Ok(Self { key, from, reply_tunnel, kind, unknown_flags, excluded, encryption })
    }

    /// Whether this is an exploration, told by its kind or in the old way by an all-zero excluded hash.
    #[must_use]
    pub fn is_exploration(&self) -> bool {
        self.kind == LookupKind::Exploration || self.excluded.contains(&[0; 32])
    }

    /// Whether the answer should not name `router`.
    #[must_use]
    pub fn excludes(&self, router: &RouterHash) -> bool {
        self.excluded.contains(&router.0)
    }

    /// The body; excluded hashes past the 512th and tags past the 32nd are left out.
    #[must_use]
    pub fn write(&self) -> Frame {
        let excluded = self.excluded.get(..LOOKUP_EXCLUDED_MAX).unwrap_or(self.excluded);
        let mut frame = Frame::with_capacity(112 + 32 * excluded.len());
        frame.append(&self.key.0);
        frame.append(&self.from.0);
        frame.append(&[self.flags()]);
        if let Some(tunnel) = self.reply_tunnel {
            frame.append(&tunnel.to_wire());
        }
        frame.append(&u16::try_from(excluded.len()).unwrap_or(u16::MAX).to_be_bytes());
        frame.append(excluded.as_flattened());
        match self.encryption {
            LookupEncryption::None => {}
            LookupEncryption::Ecies { key, tag } => {
                frame.append(&key);
                frame.append(&[1]);
                frame.append(&tag);
            }
            LookupEncryption::Aes { key, tags } => {
                let tags = tags.get(..AES_TAGS_MAX).unwrap_or(tags);
                frame.append(&key);
                frame.append(&[u8::try_from(tags.len()).unwrap_or(u8::MAX)]);
                frame.append(tags.as_flattened());
            }
        }
        frame
    }

    fn flags(&self) -> u8 {
        let tunnel = if self.reply_tunnel.is_some() { FLAG_TUNNEL } else { 0 };
        let encryption = match self.encryption {
            LookupEncryption::None => 0,
            LookupEncryption::Ecies { .. } => FLAG_ECIES,
            LookupEncryption::Aes { .. } => FLAG_AES,
        };
        tunnel | encryption | self.kind.flags() | (self.unknown_flags & !KNOWN_FLAGS)
    }
}

fn read_reply_tunnel(reader: &mut Reader<'_>) -> Result<TunnelId, Malformed> {
    let field = "reply tunnel of lookup";
    TunnelId::from_wire(*reader.array::<4>(field)?).ok_or(Malformed::ZeroTunnelId { field })
}

fn read_excluded<'a>(reader: &mut Reader<'a>) -> Result<&'a [[u8; 32]], Malformed> {
    let field = "excluded peers of lookup";
    let count = usize::from(reader.u16(field)?);
    if count > LOOKUP_EXCLUDED_MAX {
        return Err(Malformed::TooLarge { field, limit: LOOKUP_EXCLUDED_MAX, found: count });
    }
    let (excluded, _) = reader.take(count * 32, field)?.as_chunks();
    Ok(excluded)
}

fn read_encryption<'a>(
    reader: &mut Reader<'a>,
    flags: u8,
) -> Result<LookupEncryption<'a>, Malformed> {
    let field = "reply encryption of lookup";
    match flags & (FLAG_AES | FLAG_ECIES) {
        0 => Ok(LookupEncryption::None),
        FLAG_ECIES => {
            let key = *reader.array::<32>(field)?;
            let count = reader.u8(field)?;
            if count != 1 {
                return Err(Malformed::Value { field, found: u32::from(count) });
            }
            Ok(LookupEncryption::Ecies { key, tag: *reader.array::<8>(field)? })
        }
        FLAG_AES => {
            let key = *reader.array::<32>(field)?;
            let count = usize::from(reader.u8(field)?);
            if count == 0 {
                return Err(Malformed::Value { field, found: 0 });
            }
            if count > AES_TAGS_MAX {
                return Err(Malformed::TooLarge { field, limit: AES_TAGS_MAX, found: count });
            }
            let (tags, _) = reader.take(count * 32, field)?.as_chunks();
            Ok(LookupEncryption::Aes { key, tags })
        }
        _ => Err(Malformed::Unsupported { field, found: u32::from(flags) }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup() -> DatabaseLookup<'static> {
        DatabaseLookup {
            key: RecordKey([1; 32]),
            from: RouterHash([2; 32]),
            reply_tunnel: None,
            kind: LookupKind::RouterInfo,
            unknown_flags: 0,
            excluded: &[],
            encryption: LookupEncryption::None,
        }
    }

    #[test]
    fn a_direct_lookup_byte_by_byte() {
        let expected = [&[1; 32][..], &[2; 32], &[0x08, 0, 0]].concat();
        assert_eq!(&lookup().write()[..], &expected);
        assert_eq!(DatabaseLookup::parse(&expected), Ok(lookup()));
    }

    #[test]
    fn a_tunnelled_encrypted_lookup_byte_by_byte() {
        let full = DatabaseLookup {
            reply_tunnel: TunnelId::new(0x0a0b_0c0d),
            kind: LookupKind::LeaseSet,
            excluded: &[[0; 32], [4; 32]],
            encryption: LookupEncryption::Ecies { key: [5; 32], tag: [6; 8] },
            ..lookup()
        };
        let expected = [
            &[1; 32][..],
            &[2; 32],
            &[0x15, 0x0a, 0x0b, 0x0c, 0x0d, 0, 2],
            &[0; 32],
            &[4; 32],
            &[5; 32],
            &[1],
            &[6; 8],
        ]
        .concat();
        assert_eq!(&full.write()[..], &expected);
        assert_eq!(DatabaseLookup::parse(&expected), Ok(full));
        assert!(full.is_exploration());
        assert!(full.excludes(&RouterHash([4; 32])));
        for length in 0..expected.len() {
            assert!(DatabaseLookup::parse(&expected[..length]).is_err());
        }
    }

    #[test]
    fn legacy_tags_are_viewed() {
        let legacy = DatabaseLookup {
            reply_tunnel: TunnelId::new(1),
            kind: LookupKind::LeaseSet,
            encryption: LookupEncryption::Aes { key: [5; 32], tags: &[[7; 32], [8; 32]] },
            ..lookup()
        };
        let bytes = legacy.write();
        assert_eq!(bytes[64], 7);
        assert_eq!(DatabaseLookup::parse(&bytes), Ok(legacy));
    }

    #[test]
    fn unknown_flags_are_kept() {
        let mut bytes = lookup().write();
        bytes[64] |= 0xe0;
        let parsed = DatabaseLookup::parse(&bytes).unwrap();
        assert_eq!(parsed.unknown_flags, 0xe0);
        assert_eq!(parsed.write(), bytes);
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        let mut bytes = lookup().write().to_vec();
        bytes[65..67].copy_from_slice(&[2, 1]);
        let too_many =
            Malformed::TooLarge { field: "excluded peers of lookup", limit: 512, found: 513 };
        assert_eq!(DatabaseLookup::parse(&bytes), Err(too_many));
        bytes[65..67].fill(0);
        bytes.extend_from_slice(&[0; 100]);
        for (flags, ok) in [(0x09, false), (0x12, false), (0x10, false), (0x02, false), (0, true)] {
            bytes[64] = flags;
            assert_eq!(DatabaseLookup::parse(&bytes).is_ok(), ok, "flags {flags:#x}");
        }
    }

    #[test]
    fn keys_stay_out_of_debug_output() {
        let encryption = LookupEncryption::Ecies { key: [5; 32], tag: [6; 8] };
        assert_eq!(format!("{encryption:?}"), "Ecies(secret)");
    }

    proptest! {
        #[test]
        fn any_lookup_survives(
            key: [u8; 32], from: [u8; 32], tunnel: u32, kind in 0u8..4, unknown: u8,
            excluded in proptest::collection::vec(any::<[u8; 32]>(), 0..8), encryption in 0u8..3, tag: [u8; 8],
        ) {
            let lookup = DatabaseLookup {
                key: RecordKey(key),
                from: RouterHash(from),
                reply_tunnel: TunnelId::new(tunnel),
                kind: LookupKind::from_flags(kind << 2),
                unknown_flags: unknown & 0xe0,
                excluded: &excluded,
                encryption: match encryption {
                    0 => LookupEncryption::None,
                    1 => LookupEncryption::Ecies { key: from, tag },
                    _ => LookupEncryption::Aes { key: from, tags: &[[9; 32]] },
                },
            };
            let body = lookup.write();
            prop_assert_eq!(DatabaseLookup::parse(&body), Ok(lookup));
        }

        #[test]
        fn any_bytes_give_an_error_or_a_value(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(lookup) = DatabaseLookup::parse(&bytes) {
                let written = lookup.write();
                prop_assert_eq!(&written[..], &bytes[..written.len()]);
            }
        }
    }
}
