//! Floodway, an I2P router for servers: the floors, in order.
//!
//! Everything the router decides is plain synchronous code below [`runtime`]; see `ARCHITECTURE.md`.

pub mod base;

pub mod crypto;
pub mod wire;

pub mod proto;

pub mod actor;
pub mod shard;

// The fuzz targets build this library without the two floors that touch the machine: none of what they try needs
// sockets, and without glommio and its company the build is short.
#[cfg(not(fuzzing))]
pub mod runtime;

#[cfg(not(fuzzing))]
pub mod app;
