//! What is asked about other routers: `netdb` and `reseed`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::CommonArgs;

/// Options of `netdb`.
#[derive(Debug, Args)]
pub struct NetdbArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: NetdbCommand,
}

/// What to do with the netdb.
#[derive(Debug, Subcommand)]
pub enum NetdbCommand {
    /// Count the routers that are known, by kind.
    Stats(NetdbStatsArgs),
    /// Show what is known of one router.
    Show(NetdbShowArgs),
    /// Write all router infos into a directory, as the netDb directory of i2pd and Java I2P has them.
    Export(NetdbExportArgs),
}

/// Options of `netdb stats`.
#[derive(Debug, Args)]
pub struct NetdbStatsArgs {
    /// Where things are.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `netdb show`.
#[derive(Debug, Args)]
pub struct NetdbShowArgs {
    /// Where things are.
    #[command(flatten)]
    pub common: CommonArgs,

    /// The router, by its hash in base64.
    #[arg(value_name = "HASH", allow_hyphen_values = true)]
    pub router: String,

    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `netdb export`.
#[derive(Debug, Args)]
pub struct NetdbExportArgs {
    /// Where things are.
    #[command(flatten)]
    pub common: CommonArgs,

    /// The directory; it is made, and files of the same name are replaced.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,

    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `reseed`.
#[derive(Debug, Args)]
pub struct ReseedArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ReseedCommand,
}

/// What to do about reseeding.
#[derive(Debug, Subcommand)]
pub enum ReseedCommand {
    /// Write a signed bundle (su3) of router infos, which any router takes that has the signer's certificate.
    Make(ReseedMakeArgs),
}

/// Options of `reseed make`.
#[derive(Debug, Args)]
pub struct ReseedMakeArgs {
    /// Where things are.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Router infos: a directory of them, the netDb directory of i2pd or Java I2P, or a zip of them. Repeatable
    /// [default: the netdb of the data directory].
    #[arg(long, value_name = "SOURCE")]
    pub from: Vec<PathBuf>,

    /// The su3 file to write; one that is there is replaced.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,

    /// Who signs, like a mail address: the name that others look the certificate up by.
    #[arg(long, value_name = "NAME")]
    pub signer: String,

    /// The signer's private RSA key of 4096 bits, in PEM, readable by its owner alone.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,

    /// Make the key, and beside it a self-signed certificate for ten years to give to others.
    #[arg(long)]
    pub new_key: bool,

    /// Network of the router infos; those of others are left out.
    #[arg(long, value_name = "N", env = "FLOODWAY_NETWORK_ID", default_value_t = 2)]
    pub network_id: u8,

    /// How many at most, picked at random.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub count: u16,

    /// Age beyond which a router info is left out.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..))]
    pub age_max_hours: u32,

    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}
