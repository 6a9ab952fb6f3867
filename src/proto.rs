//! Floor 2: one state machine per protocol. Bytes and a time in, bytes and a next deadline out.
//!
//! The rooms do not know each other; what joins them is an actor. [`peer`], the shared view of other routers, and
//! [`local`], our own keys, are open to all of them.

pub mod garlic;
pub mod local;
pub mod netdb;
pub mod ntcp2;
pub mod peer;
pub mod tunnel;
