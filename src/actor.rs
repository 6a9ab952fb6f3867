//! Floor 3, lower: the actors of one shard.
//!
//! An actor takes one message, runs to the end and leaves its effects in the [`contract::Context`]; it never waits, and
//! it reaches other actors by [`address::Address`] alone. Which shard an address means is decided above, in
//! `shard::placement`; an actor cannot tell whether the other one is a neighbour or on another core.

pub mod address;
pub mod build;
pub mod contract;
pub mod counters;
pub mod dialer;
pub mod garlic;
pub mod local_router;
pub mod message;
pub mod netdb;
pub mod node;
pub mod session;
pub mod session_table;
pub mod snapshot;
pub mod transit;
