//! Floor 4: everything that touches the machine. Executors, sockets, queues between shards, disk, clock and entropy.
//!
//! [`launch`] starts one pinned glommio executor per shard; on each runs one [`pump`], which feeds the shard with what
//! [`tcp`], on a [`ring`] of its own, [`mesh`] and [`control`] bring and carries out what it asks for. Nothing above or below
//! names glommio.

pub mod clock;
pub mod control;
pub mod disk;
pub mod entropy;
pub mod launch;
pub mod local;
pub mod memory;
pub mod mesh;
pub mod probe;
pub mod pump;
pub mod record_file;
pub mod ring;
pub mod sys;
pub mod tcp;
