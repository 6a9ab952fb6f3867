//! The network database: who is closest to a key, what may be stored, what is answered, and how others are asked
//! and told.
//!
//! Nothing here sends or waits. An actor per shard owns a slice of the records and the machines
//! that look up, explore and publish; it gives them the time and a sorted snapshot of the known floodfills.

pub mod exploration;
pub mod lookup;
pub mod publication;
pub mod routing_key;
