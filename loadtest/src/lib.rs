//! Black-box load harness for I2P routers: it speaks the real protocol from outside.
//!
//! [`played`] routers speak it, without sockets; [`driver`] and [`swarm`] give them sockets, one call after the other or
//! many at once. [`tunnels`] builds tunnels through a router under test as a creator does and packs numbered messages
//! into them, [`checker`] judges what arrives. [`target`] starts the router under test and reads from the system
//! what it costs; [`crowd`] asks that of sessions that do nothing. [`lease_sets`] and
//! [`records`] make what [`netdb`] stores and looks up.

pub mod checker;
pub mod clock;
pub mod compare;
pub mod crowd;
pub mod demo;
pub mod driver;
pub mod flood;
pub mod lease_sets;
pub mod metrics;
pub mod netdb;
pub mod overload;
pub mod played;
pub mod quota;
pub mod records;
pub mod swarm;
pub mod system;
pub mod target;
pub mod transit;
pub mod tunnels;
