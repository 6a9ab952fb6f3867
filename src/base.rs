//! Floor 0: what every other floor is made of, and nothing that knows I2P's formats.

pub mod bloom;
pub mod frame;
pub mod histogram;
pub mod id;
pub mod limits;
pub mod meter;
pub mod permille;
pub mod rate;
pub mod recent_set;
pub mod redact;
pub mod rng;
pub mod slab;
pub mod time;
pub mod wheel;
