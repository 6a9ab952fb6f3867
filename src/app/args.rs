//! The command line. Every option is also an environment variable, and every option of `run` a key of the
//! configuration file.

mod others;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::others::{
    NetdbArgs, NetdbCommand, NetdbExportArgs, NetdbShowArgs, NetdbStatsArgs, ReseedArgs,
    ReseedCommand, ReseedMakeArgs,
};
use crate::app::bandwidth::Bandwidth;
use crate::app::config::{FloodfillMode, PlacementSecretHex};
use crate::app::identity::export::ExportFormat;
use crate::app::identity::foreign::Origin;
use crate::app::log::{LogFormat, LogLevel};
use crate::crypto::layer::Kernel;

/// A high-capacity I2P floodfill and transit router for servers.
///
/// Without a subcommand it runs the router.
///
/// Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration; 130 or 143 where a second signal ended it at once.
/// Signals: SIGTERM and SIGINT stop it in good order within seconds, SIGHUP is `floodway reload`.
#[derive(Debug, Parser)]
#[command(name = "floodway", version, max_term_width = 100)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the router (the default).
    Run(RunArgs),
    /// Write a configuration file with every key explained.
    Init(InitArgs),
    /// Check the configuration and whether this machine can run the router.
    Check(CheckArgs),
    /// Show, make, move in or copy the router's identity.
    Identity(IdentityArgs),
    /// Show what files hold: router infos, lease sets, su3 files, keys.
    Inspect(InspectArgs),
    /// Make what others begin with: signed bundles of router infos.
    Reseed(ReseedArgs),
    /// Show what is known of other routers, of the running router or from its files.
    Netdb(NetdbArgs),
    /// Show how the router is that runs with this data directory.
    Status(AskArgs),
    /// Have the running router read its configuration anew: all of it or, where it has a mistake, nothing.
    Reload(AskArgs),
    /// Have the running router take no new tunnels, and stop when the last one has ended, within 11 minutes.
    Drain(DrainArgs),
    /// Write the completions for a shell to standard output.
    Completions(CompletionsArgs),
    /// Write the manual, in roff, to standard output: `floodway man | man -l -`.
    Man,
    /// Ask a running router whether it is well: exit code 0 if so.
    Health(HealthArgs),
}

/// Options of every subcommand that knows a router.
#[derive(Clone, Debug, Default, Args)]
pub struct CommonArgs {
    /// Directory of keys and state [default: $XDG_DATA_HOME/floodway, /var/lib/floodway for root].
    #[arg(long, value_name = "DIR", env = "FLOODWAY_DATA_DIR")]
    pub data_dir: Option<PathBuf>,

    /// Configuration file [default: floodway.toml in the data directory, if there is one].
    #[arg(long, value_name = "FILE", env = "FLOODWAY_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Options of `run` and `check`. What is given here wins over the environment, and that over the file.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Where things are.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Number of the I2P network: 2 is the live one [default: 2].
    #[arg(long, value_name = "N", env = "FLOODWAY_NETWORK_ID")]
    pub network_id: Option<u8>,

    /// Address to publish, and to dial from [default: the public address of an interface].
    #[arg(long, value_name = "ADDRESS", env = "FLOODWAY_HOST", value_delimiter = ',')]
    pub host: Vec<IpAddr>,

    /// Port to publish and listen on [default: one that follows from the identity].
    #[arg(long, value_name = "N", env = "FLOODWAY_PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// Whether to serve the network database [default: auto].
    #[arg(
        long, value_name = "MODE", env = "FLOODWAY_FLOODFILL", value_enum,
        num_args = 0..=1, default_missing_value = "on"
    )]
    pub floodfill: Option<FloodfillMode>,

    /// First routers: a directory, zip or su3 of router infos, the https:// URL of a su3 or of a host that has one, or
    /// `none`. Repeatable [default: the hosts of the live network; none on others].
    #[arg(long, value_name = "SOURCE", env = "FLOODWAY_RESEED", value_delimiter = ',')]
    pub reseed: Vec<String>,

    /// Certificates of those whose su3 files count, beside the ones that come with the program for the live network:
    /// *.crt in this directory and those in it.
    #[arg(long, value_name = "DIR", env = "FLOODWAY_RESEED_SIGNERS")]
    pub reseed_signers: Option<PathBuf>,

    /// Authorities (PEM) that vouch for reseed hosts, instead of Mozilla's list.
    #[arg(long, value_name = "FILE", env = "FLOODWAY_RESEED_CA")]
    pub reseed_ca: Option<PathBuf>,

    /// Connect to reserved address ranges as well, for test networks.
    #[arg(
        long, value_name = "BOOL", env = "FLOODWAY_ALLOW_PRIVATE",
        num_args = 0..=1, default_missing_value = "true",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub allow_private: Option<bool>,

    /// How many shards to run [default: one per CPU that this process may use].
    #[arg(long, value_name = "N", env = "FLOODWAY_SHARDS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: Option<u16>,

    /// Bandwidth to use in each direction, such as 100Mbit/s or 10MB/s; it sets the class that is published [default:
    /// 100Mbit/s].
    #[arg(long, value_name = "RATE", env = "FLOODWAY_BANDWIDTH")]
    pub bandwidth: Option<Bandwidth>,

    /// How much of the bandwidth tunnels of others may take, in percent; 0 takes none [default: 80].
    #[arg(long, value_name = "PERCENT", env = "FLOODWAY_TRANSIT_SHARE", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub transit_share: Option<u8>,

    /// How long a shard that is never idle may hold tunnel messages back, in microseconds, so that more of them share a
    /// frame and a system call; one that is idle half of its time sends each at once [default: 0, never].
    #[arg(long, value_name = "MICROSECONDS", env = "FLOODWAY_CORK", value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub cork: Option<u16>,

    /// Serve metrics and health over HTTP here.
    #[arg(long, value_name = "ADDRESS:PORT", env = "FLOODWAY_METRICS")]
    pub metrics: Option<SocketAddr>,

    /// How much to log [default: info].
    #[arg(long, value_name = "LEVEL", env = "FLOODWAY_LOG_LEVEL", value_enum)]
    pub log_level: Option<LogLevel>,

    /// How to write the log [default: text].
    #[arg(long, value_name = "FORMAT", env = "FLOODWAY_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,

    /// Fixed secret of the placement on shards, 32 hexadecimal digits; for tests, and not on network 2.
    #[arg(long, value_name = "HEX32", env = "FLOODWAY_PLACEMENT_SECRET", hide = true)]
    pub placement_secret: Option<PlacementSecretHex>,

    /// Tunnel-layer kernel by name, to compare or to rule one out [default: the fastest that this CPU runs].
    #[arg(long, value_name = "NAME", env = "FLOODWAY_LAYER_KERNEL", hide = true)]
    pub layer_kernel: Option<Kernel>,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// What `run` would be given.
    #[command(flatten)]
    pub run: RunArgs,

    /// Write JSON, one object per finding and line.
    #[arg(long)]
    pub json: bool,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where things are.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Write the file to standard output instead.
    #[arg(long)]
    pub stdout: bool,
}

/// Options of `identity`.
#[derive(Debug, Args)]
pub struct IdentityArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: IdentityCommand,
}

/// What to do with the identity.
#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Show the public part.
    Show(IdentityShowArgs),
    /// Make an identity where there is none.
    Generate(IdentityGenerateArgs),
    /// Take over the identity of another router: it keeps its hash, and so its standing.
    Import(IdentityImportArgs),
    /// Copy the identity with all of its secrets, readable by you alone.
    Export(IdentityExportArgs),
}

/// Options of `identity show`, and of all that shows an identity.
#[derive(Debug, Args)]
pub struct IdentityShowArgs {
    /// Where things are.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `identity generate`.
#[derive(Debug, Args)]
pub struct IdentityGenerateArgs {
    /// As of `show`.
    #[command(flatten)]
    pub show: IdentityShowArgs,

    /// Replace the identity that is there, and keep it under another name.
    #[arg(long)]
    pub replace: bool,
}

/// Options of `identity import`.
#[derive(Debug, Args)]
pub struct IdentityImportArgs {
    /// As of `show`.
    #[command(flatten)]
    pub show: IdentityShowArgs,

    /// Whose keys they are.
    #[arg(long, value_enum, value_name = "ROUTER")]
    pub from: Origin,

    /// Directory in which that router keeps its keys; of Floodway also a file of `identity export`.
    #[arg(value_name = "DIR")]
    pub source: PathBuf,

    /// Replace the identity that is there, and keep it under another name.
    #[arg(long)]
    pub replace: bool,
}

/// Options of `identity export`.
#[derive(Debug, Args)]
pub struct IdentityExportArgs {
    /// Where things are.
    #[command(flatten)]
    pub common: CommonArgs,

    /// For whom the copy is.
    #[arg(long, value_enum, value_name = "ROUTER", default_value_t = ExportFormat::default())]
    pub to: ExportFormat,

    /// File to write, or for i2pd the directory.
    #[arg(value_name = "TARGET")]
    pub target: PathBuf,

    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Files to look into.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Write JSON, one object per file and line.
    #[arg(long)]
    pub json: bool,

    /// What the files hold, where they do not show it themselves.
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Option<InspectKind>,

    /// Certificates of those who sign su3 files, beside the ones that come with the program: *.crt in this directory and
    /// those in it.
    #[arg(long, value_name = "DIR")]
    pub certificates: Option<PathBuf>,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum InspectKind {
    /// A router info.
    RouterInfo,
    /// A lease set of the first type.
    LeaseSet,
    /// A lease set of the usual type.
    #[value(name = "lease_set2")]
    LeaseSet2,
    /// A lease set of which only the outside can be read.
    EncryptedLeaseSet,
    /// A lease set of lease sets.
    MetaLeaseSet,
    /// A signed file: a reseed bundle, an update, a plugin.
    Su3,
    /// Keys of a router, of any that is known.
    Keys,
}

impl InspectKind {
    /// Its name in arguments and in what is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RouterInfo => "router_info",
            Self::LeaseSet => "lease_set",
            Self::LeaseSet2 => "lease_set2",
            Self::EncryptedLeaseSet => "encrypted_lease_set",
            Self::MetaLeaseSet => "meta_lease_set",
            Self::Su3 => "su3",
            Self::Keys => "keys",
        }
    }
}

/// Options of what asks a running router.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// Where things are.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Write the answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub ask: AskArgs,

    /// Wait until the router has stopped.
    #[arg(long)]
    pub wait: bool,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Options of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Where the router serves its metrics.
    #[arg(long, value_name = "ADDRESS:PORT", env = "FLOODWAY_METRICS")]
    pub metrics: SocketAddr,
}

impl CommandLine {
    /// Reads the process's arguments. On `--help`, `--version` and mistakes the process ends here: 0 or 2.
    #[must_use]
    pub fn read() -> Self {
        Self::parse_from(with_default_command(std::env::args_os().collect()))
    }

    /// Reads these arguments, the program's name first.
    ///
    /// # Errors
    /// What clap has to say: a mistake, or the text of `--help` or `--version`.
    pub fn try_read<I: IntoIterator<Item: Into<OsString>>>(args: I) -> Result<Self, clap::Error> {
        Self::try_parse_from(with_default_command(args.into_iter().map(Into::into).collect()))
    }
}

/// Puts `run` in front of options that stand there without a subcommand.
fn with_default_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let general = ["-h", "--help", "-V", "--version"];
    let first = args.get(1).and_then(|arg| arg.to_str());
    let is_run = first.is_none_or(|arg| arg.starts_with('-') && !general.contains(&arg));
    // An argument that is not text can only be a mistake; clap says so better than `run` would.
    if is_run && (args.len() < 2 || first.is_some()) {
        args.insert(args.len().min(1), "run".into());
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn run_args(args: &[&str]) -> RunArgs {
        let all = ["floodway"].iter().chain(args).copied();
        let Command::Run(args) = CommandLine::try_read(all).unwrap().command else {
            panic!("{args:?} is not run");
        };
        args
    }

    #[test]
    fn the_definitions_are_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn without_a_subcommand_it_runs() {
        assert_eq!(run_args(&[]).port, None);
        assert_eq!(run_args(&["--port", "4567"]).port, Some(4567));
        assert_eq!(run_args(&["run", "--port", "4567"]).port, Some(4567));
        let help = CommandLine::try_read(["floodway", "--help"]).unwrap_err();
        assert_eq!(help.kind(), clap::error::ErrorKind::DisplayHelp);
        assert!(CommandLine::try_read(["floodway", "runn"]).is_err());
    }

    #[test]
    fn floodfill_may_stand_alone() {
        assert_eq!(run_args(&["--floodfill"]).floodfill, Some(FloodfillMode::On));
        assert_eq!(run_args(&["--floodfill", "--port", "9"]).floodfill, Some(FloodfillMode::On));
        assert_eq!(run_args(&["--floodfill", "auto"]).floodfill, Some(FloodfillMode::Auto));
        assert_eq!(run_args(&["--floodfill=off"]).floodfill, Some(FloodfillMode::Off));
        assert!(CommandLine::try_read(["floodway", "--floodfill=maybe"]).is_err());
    }

    #[test]
    fn lists_and_switches() {
        let args = run_args(&["--reseed", "a", "--reseed=b,c", "--allow-private", "--host", "::1"]);
        assert_eq!(args.reseed, ["a", "b", "c"]);
        assert_eq!(args.allow_private, Some(true));
        assert_eq!(args.host, ["::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(run_args(&["--allow-private=no"]).allow_private, Some(false));
    }

    #[test]
    fn mistakes_are_refused() {
        for args in [
            ["--port", "0"],
            ["--network-id", "256"],
            ["--shards", "0"],
            ["--bandwidth", "fast"],
            ["--cork", "10001"],
            ["--transit-share", "101"],
            ["--metrics", "9100"],
            ["--placement-secret", "abcd"],
        ] {
            let all = ["floodway"].into_iter().chain(args);
            assert!(CommandLine::try_read(all).is_err(), "{args:?}");
        }
    }
}
