//! Bounds that more than one module holds to, with the relations between them asserted at compile time. A bound that one
//! module alone holds to stands there, next to what it bounds; what an operator's machine decides is in
//! `actor::node::ShardLimits`.

use std::time::Duration;

/// Largest body of an I2NP message that we take or send: what 64 tunnel fragments hold.
pub const I2NP_BODY_MAX: usize = 62_708;
/// Largest RouterInfo, uncompressed; other routers refuse more.
pub const ROUTER_INFO_MAX: usize = 3072;
/// Largest lease set of any kind.
pub const LEASE_SET_MAX: usize = 8192;
/// Body of a TunnelData message.
pub const TUNNEL_DATA_SIZE: usize = 1028;
/// Largest NTCP2 frame, with its authentication tag.
pub const NTCP2_FRAME_MAX: usize = 65_535;
/// Largest padding in NTCP2 messages 1 and 2 that other routers accept.
pub const NTCP2_PADDING_MAX: usize = 223;
/// Peers excluded in one lookup.
pub const LOOKUP_EXCLUDED_MAX: usize = 512;

/// Clock difference at which a handshake fails.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);
/// Life of a transit tunnel: two margins of 30 s more than the 600 s that its creator counts on.
pub const TRANSIT_LIFE: Duration = Duration::from_secs(660);
/// Life of an I2NP message that we make: what i2pd gives its own.
pub const MESSAGE_LIFE: Duration = Duration::from_secs(8);
/// How long past its expiration a message is still taken, since clocks differ.
pub const MESSAGE_LATE_MAX: Duration = Duration::from_secs(60);
/// How far ahead a message's expiration may lie.
pub const MESSAGE_AHEAD_MAX: Duration = Duration::from_secs(180);
/// Silence in both directions after which a session is closed, as other routers do at 115 to 125 s.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(120);

// What is carried fits into what carries it: a tunnel message or a record into an I2NP body (a lookup's hashes of
// excluded peers with its other fields), and that, with a block's and a message's header and a tag, into a frame.
const _: () = assert!(TUNNEL_DATA_SIZE <= I2NP_BODY_MAX);
const _: () = assert!(ROUTER_INFO_MAX <= LEASE_SET_MAX && LEASE_SET_MAX <= I2NP_BODY_MAX);
const _: () = assert!(32 * LOOKUP_EXCLUDED_MAX + 256 <= I2NP_BODY_MAX);
const _: () = assert!(I2NP_BODY_MAX + 3 + 16 + 16 <= NTCP2_FRAME_MAX);
// What we send is within what we ourselves would take, even from a router whose clock is as wrong as a session allows.
const _: () =
    assert!(MESSAGE_LIFE.as_secs() + CLOCK_SKEW_MAX.as_secs() <= MESSAGE_AHEAD_MAX.as_secs());
const _: () = assert!(CLOCK_SKEW_MAX.as_secs() <= MESSAGE_LATE_MAX.as_secs());
// No message outlives the tunnel that it could be sent through.
const _: () =
    assert!(MESSAGE_AHEAD_MAX.as_secs() + MESSAGE_LATE_MAX.as_secs() < TRANSIT_LIFE.as_secs());
