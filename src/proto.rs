//! proto
pub mod netdb;
pub mod peer;
