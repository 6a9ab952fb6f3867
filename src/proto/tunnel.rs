//! Tunnels, from both sides: the three roles of a hop in somebody else's, and the creator of our own.
//!
//! A build, in any [form](build_form), goes through [`build_request`], [`build_replay`], [`admission`], [`bandwidth`] and [`build_reply`], those
//! of long records through [`long_build`]; what it leaves is a
//! [`participant`], an [`inbound_gateway`] or an [`outbound_endpoint`]. Layer encryption itself is
//! [`crate::crypto::layer`], applied in batches by whoever drives these machines. [`build_creator`] is the other end
//! of both.

pub mod admission;
pub mod bandwidth;
pub mod build_creator;
pub mod build_form;
pub mod build_replay;
pub mod build_reply;
pub mod build_request;
pub mod congestion;
pub mod fragmenter;
pub mod hop;
pub mod inbound_gateway;
pub mod iv_filter;
pub mod limiter;
pub mod long_build;
pub mod outbound_endpoint;
pub mod participant;
pub mod reassembler;
pub mod record_keys;

#[cfg(test)]
mod tests;
