//! Floor 1, upper: formats. Bytes become typed views here, once; whoever holds the type need not check again.
//!
//! A format is read through a [`reader::Reader`], which cannot run past its end, and refused with a [`Malformed`]
//! that names the field. What carries a signature comes out [`unverified::Unverified`], and only its verification
//! gives the record itself. Nothing here knows of sessions, time or policy.

pub mod base64;
pub mod build_record;
pub mod capabilities;
pub mod delivery;
pub mod encrypted_lease_set;
pub mod gzip;
pub mod i2np;
pub mod identity;
pub mod lease_set;
pub mod mapping;
pub mod meta_lease_set;
pub mod ntcp2;
pub mod offline_signature;
pub mod reader;
pub mod router_address;
pub mod router_info;
pub mod ssu2_block;
pub mod ssu2_header;
pub mod su3;
pub mod unverified;
pub mod writer;

#[cfg(test)]
mod testing;

pub use reader::Malformed;
