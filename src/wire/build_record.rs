//! One tunnel build record, opened: what is asked of a hop, and what the hop answers.
//!
//! Short records are here, long ones in [`long`], and those of ElGamal routers, of which none are left, in
//! [`elgamal`]. Spec: Tunnel creation (ECIES), short records.

pub mod elgamal;
pub mod long;

use crate::base::id::{MessageId, RouterHash, TunnelId};
use crate::base::rng::ShardRng;
use crate::wire::Malformed;
use crate::wire::mapping::Mapping;
use crate::wire::reader::Reader;

/// Bytes of a short request, opened.
pub const SHORT_REQUEST_SIZE: usize = 154;
/// Bytes of a short reply, opened.
pub const SHORT_REPLY_SIZE: usize = 202;
/// Most bytes that the options of a short request take.
pub const REQUEST_OPTIONS_MAX: usize = SHORT_REQUEST_SIZE - REQUEST_OPTIONS_AT;
/// Most bytes that the options of a short reply take.
pub const REPLY_OPTIONS_MAX: usize = SHORT_REPLY_SIZE - 1;

const REQUEST_OPTIONS_AT: usize = 56;
const FLAG_GATEWAY: u8 = 0x80;
const FLAG_ENDPOINT: u8 = 0x40;
const EMPTY_OPTIONS: [u8; 2] = [0, 0];

/// Why an opened build record is not a request or a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildRecordError {
    /// A layout error, tunnel ids of zero among them.
    #[error("build record: {0}")]
    Malformed(#[from] Malformed),
    /// Both role bits are set: no tunnel has such a hop.
    #[error("flags {flags:#04x} ask for a gateway that is also an endpoint")]
    BothRoles {
        /// The flags byte.
        flags: u8,
    },
}

/// What a hop does in a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HopRole {
    /// Takes from the hop before and gives to the hop after.
    Participant,
    /// Takes TunnelGateway messages from anyone.
    InboundGateway,
    /// Delivers anywhere.
    OutboundEndpoint,
}

impl HopRole {
    /// The role that the flags byte asks for; reserved bits are ignored.
    ///
    /// # Errors
    /// `BothRoles` when both role bits are set.
    pub fn from_flags(flags: u8) -> Result<Self, BuildRecordError> {
        match (flags & FLAG_GATEWAY != 0, flags & FLAG_ENDPOINT != 0) {
            (false, false) => Ok(Self::Participant),
            (true, false) => Ok(Self::InboundGateway),
            (false, true) => Ok(Self::OutboundEndpoint),
            (true, true) => Err(BuildRecordError::BothRoles { flags }),
        }
    }

    /// The flags byte, reserved bits zero.
    #[must_use]
    pub fn flags(self) -> u8 {
        match self {
            Self::Participant => 0,
            Self::InboundGateway => FLAG_GATEWAY,
            Self::OutboundEndpoint => FLAG_ENDPOINT,
        }
    }
}

/// The cleartext of a short build request. Times and the layer type are claims, judged elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortBuildRequest {
    /// The tunnel id that the hop receives on.
    pub receive_tunnel: TunnelId,
    /// The tunnel id at the next hop; for an outbound endpoint that of the reply tunnel.
    pub next_tunnel: TunnelId,
    /// The next hop; for an outbound endpoint the gateway of the reply tunnel.
    pub next_hop: RouterHash,
    /// What the hop is asked to be.
    pub role: HopRole,
    /// How the layers are encrypted; 0 is AES, and there is nothing else.
    pub layer_type: u8,
    /// When the request was made, in whole minutes since 1970.
    pub request_minutes: u32,
    /// How long the tunnel is to live, in seconds after its request.
    pub expiration_s: u32,
    /// The id under which the build message goes on.
    pub next_message: MessageId,
    /// Bandwidth parameters and the like; at most [`REQUEST_OPTIONS_MAX`] bytes as written.
    pub options: Mapping,
}

impl ShortBuildRequest {
    /// Reads a request; reserved bytes, reserved flags and padding are ignored.
    ///
    /// # Errors
    /// `Malformed` for a tunnel id of zero or options that are not a mapping, `BothRoles` for contrary flags.
    pub fn parse(bytes: &[u8; SHORT_REQUEST_SIZE]) -> Result<Self, BuildRecordError> {
        let mut reader = Reader::new(bytes);
        let receive_tunnel = read_tunnel(&mut reader, "receive tunnel")?;
        let next_tunnel = read_tunnel(&mut reader, "next tunnel")?;
        let next_hop = RouterHash(*reader.array::<32>("next hop")?);
        let role = HopRole::from_flags(reader.u8("flags")?)?;
        reader.u16("reserved")?;
        Ok(Self {
            receive_tunnel,
            next_tunnel,
            next_hop,
            role,
            layer_type: reader.u8("layer type")?,
            request_minutes: reader.u32("request time")?,
            expiration_s: reader.u32("request expiration")?,
            next_message: MessageId(reader.u32("next message id")?),
            options: Mapping::parse(&mut reader)?,
        })
    }

    /// The request's 154 bytes, the unused ones filled from `padding`.
    ///
    /// Options that do not fit are left out.
    #[must_use]
    pub fn write(&self, padding: &mut ShardRng) -> [u8; SHORT_REQUEST_SIZE] {
        let mut out = Vec::with_capacity(SHORT_REQUEST_SIZE);
        out.extend_from_slice(&self.receive_tunnel.to_wire());
        out.extend_from_slice(&self.next_tunnel.to_wire());
        out.extend_from_slice(&self.next_hop.0);
        out.extend_from_slice(&[self.role.flags(), 0, 0, self.layer_type]);
        out.extend_from_slice(&self.request_minutes.to_be_bytes());
        out.extend_from_slice(&self.expiration_s.to_be_bytes());
        out.extend_from_slice(&self.next_message.0.to_be_bytes());
        append_options(&mut out, &self.options, REQUEST_OPTIONS_MAX);
        let mut bytes = padding.bytes();
        put_first(&mut bytes, &out);
        bytes
    }
}

/// The cleartext of a short build reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortBuildReply {
    /// 0 accepts, anything else refuses.
    pub status: u8,
    /// The bandwidth granted and the like; at most [`REPLY_OPTIONS_MAX`] bytes as written.
    pub options: Mapping,
}

impl ShortBuildReply {
    /// Reads a reply; its padding is ignored.
    ///
    /// # Errors
    /// `Malformed` when the options are not a mapping.
    pub fn parse(bytes: &[u8; SHORT_REPLY_SIZE]) -> Result<Self, BuildRecordError> {
        let [head @ .., status] = bytes;
        let options = Mapping::parse(&mut Reader::new(head))?;
        Ok(Self { status: *status, options })
    }

    /// The reply's 202 bytes, unused ones zero: only the creator sees them.
    ///
    /// Options that do not fit are left out.
    #[must_use]
    pub fn write(&self) -> [u8; SHORT_REPLY_SIZE] {
        let mut out = Vec::new();
        append_options(&mut out, &self.options, REPLY_OPTIONS_MAX);
        let mut bytes = [0; SHORT_REPLY_SIZE];
        put_first(&mut bytes, &out);
        let [.., status] = &mut bytes;
        *status = self.status;
        bytes
    }
}

fn read_tunnel(reader: &mut Reader<'_>, field: &'static str) -> Result<TunnelId, Malformed> {
    TunnelId::from_wire(*reader.array::<4>(field)?).ok_or(Malformed::ZeroTunnelId { field })
}

fn append_options(out: &mut Vec<u8>, options: &Mapping, limit: usize) {
    let start = out.len();
    options.write(out);
    if out.len() - start > limit {
        out.truncate(start);
        out.extend_from_slice(&EMPTY_OPTIONS);
    }
}

/// Copies `head` over the start of `bytes`, as far as it reaches.
fn put_first(bytes: &mut [u8], head: &[u8]) {
    for (to, from) in bytes.iter_mut().zip(head) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request() -> ShortBuildRequest {
        ShortBuildRequest {
            receive_tunnel: TunnelId::new(0x101).unwrap(),
            next_tunnel: TunnelId::new(0x202).unwrap(),
            next_hop: RouterHash([0x11; 32]),
            role: HopRole::Participant,
            layer_type: 0,
            request_minutes: 28_000_000,
            expiration_s: 600,
            next_message: MessageId(0x0a0b_0c0d),
            options: Mapping::default(),
        }
    }

    /// The cleartext of the known short build record: everything behind its fields is zero.
    fn known_request() -> [u8; SHORT_REQUEST_SIZE] {
        let mut bytes = [0; SHORT_REQUEST_SIZE];
        bytes[..8].copy_from_slice(&[0, 0, 1, 1, 0, 0, 2, 2]);
        bytes[8..40].fill(0x11);
        bytes[44..48].copy_from_slice(&[0x01, 0xab, 0x3f, 0x00]);
        bytes[48..52].copy_from_slice(&[0, 0, 0x02, 0x58]);
        bytes[52..56].copy_from_slice(&[0x0a, 0x0b, 0x0c, 0x0d]);
        bytes
    }

    fn bandwidth() -> Mapping {
        let mut options = Mapping::default();
        options.insert("m", "16").unwrap();
        options.insert("r", "64").unwrap();
        options
    }

    #[test]
    fn the_known_request_reads_and_writes() {
        assert_eq!(ShortBuildRequest::parse(&known_request()), Ok(request()));
        let written = request().write(&mut ShardRng::from_seed([1; 32]));
        assert_eq!(written[..58], known_request()[..58]);
        assert!(written[58..].iter().any(|byte| *byte != 0));
        assert_eq!(ShortBuildRequest::parse(&written), Ok(request()));
    }

    #[test]
    fn roles_are_bits_six_and_seven() {
        let mut bytes = known_request();
        for (flags, role) in [
            (0x00, HopRole::Participant),
            (0x80, HopRole::InboundGateway),
            (0x40, HopRole::OutboundEndpoint),
            (0x4f, HopRole::OutboundEndpoint),
        ] {
            bytes[40] = flags;
            assert_eq!(ShortBuildRequest::parse(&bytes).unwrap().role, role);
        }
        bytes[40] = 0xc0;
        let both = Err(BuildRecordError::BothRoles { flags: 0xc0 });
        assert_eq!(ShortBuildRequest::parse(&bytes), both);
    }

    #[test]
    fn tunnel_zero_is_refused_on_either_side() {
        for (at, field) in [(0, "receive tunnel"), (4, "next tunnel")] {
            let mut bytes = known_request();
            bytes[at..at + 4].fill(0);
            let refusal = Malformed::ZeroTunnelId { field };
            assert_eq!(ShortBuildRequest::parse(&bytes), Err(refusal.into()));
        }
    }

    #[test]
    fn options_travel_both_ways() {
        let mut asking = request();
        asking.options = bandwidth();
        let bytes = asking.write(&mut ShardRng::from_seed([2; 32]));
        assert_eq!(&bytes[56..72], b"\0\x0e\x01m=\x0216;\x01r=\x0264;");
        assert_eq!(ShortBuildRequest::parse(&bytes), Ok(asking));
        let reply = ShortBuildReply { status: 30, options: bandwidth() };
        assert_eq!(ShortBuildReply::parse(&reply.write()), Ok(reply));
    }

    #[test]
    fn options_that_do_not_fit_are_left_out() {
        let mut asking = request();
        asking.options.insert("long", &"x".repeat(120)).unwrap();
        let bytes = asking.write(&mut ShardRng::from_seed([3; 32]));
        assert_eq!(ShortBuildRequest::parse(&bytes), Ok(request()));
    }

    #[test]
    fn a_plain_reply_is_zero_but_for_its_status() {
        let reply = ShortBuildReply { status: 30, options: Mapping::default() };
        let mut expected = [0; SHORT_REPLY_SIZE];
        expected[201] = 30;
        assert_eq!(reply.write(), expected);
        assert_eq!(ShortBuildReply::parse(&expected), Ok(reply));
    }

    proptest! {
        #[test]
        fn any_request_survives(
            ids in (1u32.., 1u32..), hop: [u8; 32], role in 0usize..3, layer_type: u8,
            times in any::<(u32, u32)>(), next: u32, seed: [u8; 32],
        ) {
            let roles = [HopRole::Participant, HopRole::InboundGateway, HopRole::OutboundEndpoint];
            let request = ShortBuildRequest {
                receive_tunnel: TunnelId::new(ids.0).unwrap(),
                next_tunnel: TunnelId::new(ids.1).unwrap(),
                next_hop: RouterHash(hop),
                role: roles[role],
                layer_type,
                request_minutes: times.0,
                expiration_s: times.1,
                next_message: MessageId(next),
                options: bandwidth(),
            };
            let bytes = request.write(&mut ShardRng::from_seed(seed));
            prop_assert_eq!(ShortBuildRequest::parse(&bytes), Ok(request));
        }

        #[test]
        fn any_bytes_give_an_error_or_a_value(bytes: [u8; 32], at in 0usize..122) {
            let mut request = known_request();
            request[at..at + 32].copy_from_slice(&bytes);
            let _ = ShortBuildRequest::parse(&request);
            let mut reply = [0; SHORT_REPLY_SIZE];
            reply[at..at + 32].copy_from_slice(&bytes);
            let _ = ShortBuildReply::parse(&reply);
        }
    }
}
