//! Floor 3, upper: one shard of the router, still without I/O.
//!
//! [`core::Shard`] takes inputs, runs its actors until they are idle, does the turn's shared work in batches, and leaves
//! outputs. The runtime drives it on a core of its own; the simulator drives many on one thread.

pub mod core;
pub mod dispatch;
pub mod envelope;
pub mod mailbox;
pub mod placement;
pub mod report;
pub mod work;
