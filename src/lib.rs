//! Floodway, an I2P router for servers: the floors, in order.
//!
//! Everything the router decides is plain synchronous code below [`runtime`]; see `ARCHITECTURE.md`.

pub mod base;

pub mod crypto;
pub mod wire;

pub mod proto;

pub mod actor;
pub mod shard;

pub mod runtime;

pub mod app;
