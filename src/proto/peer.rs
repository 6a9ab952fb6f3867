//! How other routers behaved towards us: the view by which they are chosen or left alone.

pub mod conduct;
pub mod profile;
