//! Long build records: as the short ones, but with keys in them that short ones derive. Spec: Tunnel creation (ECIES),
//! long records.

use std::fmt;

use crate::base::id::{MessageId, RouterHash, TunnelId};
use crate::base::rng::ShardRng;
use crate::crypto::layer::LayerKeys;
use crate::crypto::secret::{IvKey, LayerKey, LongRecordKey};
use crate::crypto::x25519::X25519Public;
use crate::wire::build_record::{
    BuildRecordError, HopRole, append_options, put_first, read_tunnel,
};
use crate::wire::i2np::tunnel_build::LONG_RECORD_SIZE;
use crate::wire::mapping::Mapping;
use crate::wire::reader::Reader;

/// Bytes of a long request, opened.
pub const LONG_REQUEST_SIZE: usize = 464;
/// Bytes of a long reply, opened.
pub const LONG_REPLY_SIZE: usize = 512;
/// Most bytes that the options of a long request take.
pub const LONG_REQUEST_OPTIONS_MAX: usize = LONG_REQUEST_SIZE - REQUEST_OPTIONS_AT;
/// Most bytes that the options of a long reply take.
pub const LONG_REPLY_OPTIONS_MAX: usize = LONG_REPLY_SIZE - 1;

const REQUEST_OPTIONS_AT: usize = 168;
const NAME_SIZE: usize = 16;
const KEY_SIZE: usize = 32;
const TAG_SIZE: usize = 16;

const _: () = assert!(NAME_SIZE + KEY_SIZE + LONG_REQUEST_SIZE + TAG_SIZE == LONG_RECORD_SIZE);
const _: () = assert!(LONG_REPLY_SIZE + TAG_SIZE == LONG_RECORD_SIZE);

/// A sealed long request, viewed. What kind it is shows in the hop's identity, not in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedLongRequest<'a> {
    /// The first 16 bytes of the hash of the hop that it is for.
    pub hop: &'a [u8; NAME_SIZE],
    /// What follows, for an X25519 router: the creator's ephemeral key, and the sealed request with its tag.
    pub ecies: (X25519Public, &'a [u8]),
    /// The same bytes for an ElGamal router: the two halves of an ElGamal block, without their leading zeros.
    pub elgamal: (&'a [u8], &'a [u8]),
}

impl<'a> SealedLongRequest<'a> {
    /// Views a record; any 528 bytes are one.
    #[must_use]
    pub fn view(record: &'a [u8; LONG_RECORD_SIZE]) -> Option<Self> {
        let (hop, rest) = record.split_first_chunk()?;
        let (ephemeral, sealed) = rest.split_first_chunk()?;
        let elgamal = rest.split_at_checked(rest.len() / 2)?;
        Some(Self { hop, ecies: (X25519Public(*ephemeral), sealed), elgamal })
    }
}

/// The key and the IV that a hop encrypts the other records with.
pub struct LongRecordKeys {
    /// The key.
    pub key: LongRecordKey,
    /// The IV, the same for each record.
    pub iv: [u8; 16],
}

/// The cleartext of a long build request. Times are claims, judged elsewhere.
pub struct LongBuildRequest {
    /// The tunnel id that the hop receives on.
    pub receive_tunnel: TunnelId,
    /// The tunnel id at the next hop; for an outbound endpoint that of the reply tunnel.
    pub next_tunnel: TunnelId,
    /// The next hop; for an outbound endpoint the gateway of the reply tunnel.
    pub next_hop: RouterHash,
    /// Keys of the tunnel's data.
    pub layer: LayerKeys,
    /// What the hop encrypts the other records with.
    pub reply: LongRecordKeys,
    /// What the hop is asked to be.
    pub role: HopRole,
    /// When the request was made, in whole minutes since 1970.
    pub request_minutes: u32,
    /// How long the tunnel is to live, in seconds after its request.
    pub expiration_s: u32,
    /// The id under which the build message goes on.
    pub next_message: MessageId,
    /// Bandwidth parameters and the like; at most [`LONG_REQUEST_OPTIONS_MAX`] bytes as written.
    pub options: Mapping,
}

impl LongBuildRequest {
    /// Reads a request; reserved bytes, reserved flags and padding are ignored.
    ///
    /// # Errors
    /// `Malformed` for a tunnel id of zero or options that are not a mapping, `BothRoles` for contrary flags.
    pub fn parse(bytes: &[u8; LONG_REQUEST_SIZE]) -> Result<Self, BuildRecordError> {
        let mut reader = Reader::new(bytes);
        let receive_tunnel = read_tunnel(&mut reader, "receive tunnel")?;
        let next_tunnel = read_tunnel(&mut reader, "next tunnel")?;
        let next_hop = RouterHash(*reader.array::<32>("next hop")?);
        let layer = read_layer_keys(&mut reader)?;
        let reply = read_record_keys(&mut reader)?;
        let role = HopRole::from_flags(reader.u8("flags")?)?;
        reader.array::<3>("reserved")?;
        Ok(Self {
            receive_tunnel,
            next_tunnel,
            next_hop,
            layer,
            reply,
            role,
            request_minutes: reader.u32("request time")?,
            expiration_s: reader.u32("request expiration")?,
            next_message: MessageId(reader.u32("next message id")?),
            options: Mapping::parse(&mut reader)?,
        })
    }

    /// The request's 464 bytes, the unused ones filled from `padding`.
    ///
    /// Options that do not fit are left out.
    #[must_use]
    pub fn write(&self, padding: &mut ShardRng) -> [u8; LONG_REQUEST_SIZE] {
        let mut out = Vec::with_capacity(LONG_REQUEST_SIZE);
        out.extend_from_slice(&self.receive_tunnel.to_wire());
        out.extend_from_slice(&self.next_tunnel.to_wire());
        out.extend_from_slice(&self.next_hop.0);
        out.extend_from_slice(self.layer.layer.expose());
        out.extend_from_slice(self.layer.iv.expose());
        out.extend_from_slice(self.reply.key.expose());
        out.extend_from_slice(&self.reply.iv);
        out.extend_from_slice(&[self.role.flags(), 0, 0, 0]);
        out.extend_from_slice(&self.request_minutes.to_be_bytes());
        out.extend_from_slice(&self.expiration_s.to_be_bytes());
        out.extend_from_slice(&self.next_message.0.to_be_bytes());
        append_options(&mut out, &self.options, LONG_REQUEST_OPTIONS_MAX);
        let mut bytes = padding.bytes();
        put_first(&mut bytes, &out);
        bytes
    }
}

// Without the keys.
impl fmt::Debug for LongBuildRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LongBuildRequest({:?} to {:?})", self.role, self.next_hop)
    }
}

/// Reads the keys of a tunnel's data.
pub(super) fn read_layer_keys(reader: &mut Reader<'_>) -> Result<LayerKeys, BuildRecordError> {
    let layer = LayerKey::from_bytes(*reader.array("layer key")?);
    Ok(LayerKeys { layer, iv: IvKey::from_bytes(*reader.array("IV key")?) })
}

/// Reads what a hop encrypts the other records with.
pub(super) fn read_record_keys(
    reader: &mut Reader<'_>,
) -> Result<LongRecordKeys, BuildRecordError> {
    let key = LongRecordKey::from_bytes(*reader.array("reply key")?);
    Ok(LongRecordKeys { key, iv: *reader.array("reply IV")? })
}

/// The cleartext of a long build reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LongBuildReply {
    /// 0 accepts, anything else refuses.
    pub status: u8,
    /// The bandwidth granted and the like; at most [`LONG_REPLY_OPTIONS_MAX`] bytes as written.
    pub options: Mapping,
}

impl LongBuildReply {
    /// Reads a reply; its padding is ignored.
    ///
    /// # Errors
    /// `Malformed` when the options are not a mapping.
    pub fn parse(bytes: &[u8; LONG_REPLY_SIZE]) -> Result<Self, BuildRecordError> {
        let [head @ .., status] = bytes;
        let options = Mapping::parse(&mut Reader::new(head))?;
        Ok(Self { status: *status, options })
    }

    /// The reply's 512 bytes, unused ones zero: only the creator sees them.
    ///
    /// Options that do not fit are left out.
    #[must_use]
    pub fn write(&self) -> [u8; LONG_REPLY_SIZE] {
        let mut out = Vec::new();
        append_options(&mut out, &self.options, LONG_REPLY_OPTIONS_MAX);
        let mut bytes = [0; LONG_REPLY_SIZE];
        put_first(&mut bytes, &out);
        let [.., status] = &mut bytes;
        *status = self.status;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Malformed;

    fn bandwidth() -> Mapping {
        let mut options = Mapping::default();
        options.insert("m", "16").unwrap();
        options
    }

    /// The fields stand where the specification has them; everything behind them is zero.
    fn known_request() -> [u8; LONG_REQUEST_SIZE] {
        let mut bytes = [0; LONG_REQUEST_SIZE];
        bytes[..8].copy_from_slice(&[0, 0, 1, 1, 0, 0, 2, 2]);
        bytes[8..40].fill(0x11);
        bytes[40..72].fill(0x12);
        bytes[72..104].fill(0x13);
        bytes[104..136].fill(0x14);
        bytes[136..152].fill(0x15);
        bytes[152] = 0x40;
        bytes[156..160].copy_from_slice(&[0x01, 0xab, 0x3f, 0x00]);
        bytes[160..164].copy_from_slice(&[0, 0, 0x02, 0x58]);
        bytes[164..168].copy_from_slice(&[0x0a, 0x0b, 0x0c, 0x0d]);
        bytes[168..176].copy_from_slice(b"\0\x07\x01m=\x0216");
        bytes[176] = b';';
        bytes
    }

    #[test]
    fn the_known_request_reads_and_writes() {
        let bytes = known_request();
        let request = LongBuildRequest::parse(&bytes).unwrap();
        assert_eq!((request.receive_tunnel.number(), request.next_tunnel.number()), (0x101, 0x202));
        assert_eq!(request.next_hop, RouterHash([0x11; 32]));
        assert_eq!(request.layer.layer.expose(), &[0x12; 32]);
        assert_eq!(request.layer.iv.expose(), &[0x13; 32]);
        assert_eq!(request.reply.key.expose(), &[0x14; 32]);
        assert_eq!(request.reply.iv, [0x15; 16]);
        assert_eq!(request.role, HopRole::OutboundEndpoint);
        assert_eq!((request.request_minutes, request.expiration_s), (28_000_000, 600));
        assert_eq!(request.next_message, MessageId(0x0a0b_0c0d));
        assert_eq!(request.options, bandwidth());
        let written = request.write(&mut ShardRng::from_seed([1; 32]));
        assert_eq!(written[..177], bytes[..177]);
        assert!(written[177..].iter().any(|byte| *byte != 0));
        assert!(!format!("{request:?}").contains("14"), "{request:?}");
    }

    #[test]
    fn contrary_roles_and_tunnel_zero_are_refused() {
        let mut bytes = known_request();
        bytes[152] = 0xc0;
        let both = BuildRecordError::BothRoles { flags: 0xc0 };
        assert_eq!(LongBuildRequest::parse(&bytes).err(), Some(both));
        let mut bytes = known_request();
        bytes[4..8].fill(0);
        let zero = Malformed::ZeroTunnelId { field: "next tunnel" };
        assert_eq!(LongBuildRequest::parse(&bytes).err(), Some(zero.into()));
    }

    #[test]
    fn a_reply_has_its_status_at_the_end() {
        let reply = LongBuildReply { status: 30, options: bandwidth() };
        let bytes = reply.write();
        assert_eq!(bytes[..9], *b"\0\x07\x01m=\x0216;");
        assert_eq!((bytes[510], bytes[511]), (0, 30));
        assert_eq!(LongBuildReply::parse(&bytes), Ok(reply));
    }

    #[test]
    fn a_sealed_request_is_viewed_as_either_kind() {
        let mut record = [0; LONG_RECORD_SIZE];
        record[..16].fill(1);
        record[16..48].fill(2);
        record[48..].fill(3);
        let view = SealedLongRequest::view(&record).unwrap();
        assert_eq!(view.hop, &[1; 16]);
        assert_eq!(view.ecies, (X25519Public([2; 32]), &[3; 480][..]));
        assert_eq!((view.elgamal.0.len(), view.elgamal.1), (256, &[3; 256][..]));
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_error_or_a_value(bytes: [u8; 32], at in 0usize..432) {
            let mut request = known_request();
            request[at..at + 32].copy_from_slice(&bytes);
            if let Ok(read) = LongBuildRequest::parse(&request) {
                let written = read.write(&mut ShardRng::from_seed([1; 32]));
                prop_assert_eq!(&written[..152], &request[..152]);
            }
            let mut reply = [0; LONG_REPLY_SIZE];
            reply[at..at + 32].copy_from_slice(&bytes);
            let _ = LongBuildReply::parse(&reply);
        }
    }
}
