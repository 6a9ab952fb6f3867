//! Black-box load harness for I2P routers: it speaks the real protocol from outside.

pub mod played;
