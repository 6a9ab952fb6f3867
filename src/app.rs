//! Floor 5: the program around the router. Arguments, configuration, keys, first routers, logs, metrics, subcommands.

pub mod args;
pub mod bandwidth;
pub mod check;
pub mod clock;
pub mod completions;
pub mod config;
pub mod control;
pub mod data_dir;
pub mod failure;
pub mod health;
pub mod identity;
pub mod init;
pub mod inspect;
pub mod live;
pub mod log;
pub mod metrics;
pub mod netdb;
pub mod reseed;
pub mod run;
pub mod signers;
