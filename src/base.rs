//! Floor 0: what every other floor is made of, and nothing that knows I2P's formats.

pub mod frame;
pub mod id;
pub mod limits;
pub mod recent_set;
pub mod rng;
pub mod slab;
pub mod time;
