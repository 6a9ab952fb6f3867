//! Plays one neighbour of a router: stores a made-up record with it, or asks it for one, directly and over one session.
//!
//! The interop tests use it to tell a record to exactly one floodfill, and to ask each what it holds.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use floodway::base::id::{RecordKey, TunnelId};
use floodway::base::rng::ShardRng;
use floodway::crypto::secret::Ed25519Seed;
use floodway::crypto::signature::Signer;
use floodway::crypto::x25519::X25519Public;
use floodway::wire::base64;
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData, StoreReply, deflate};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::identity::Destination;
use floodway::wire::lease_set::{Lease2, LeaseSet2, LeaseSet2Draft};
use floodway::wire::router_address::Ntcp2Endpoint;
use floodway::wire::router_info::RouterInfo;
use loadtest::clock::Clock;
use loadtest::driver::Link;
use loadtest::played::{PlayedEvent, PlayedRouter, Role};

/// How long a confirmation may take.
const CONFIRMATION_TIME_MAX: Duration = Duration::from_secs(5);
/// How long to wait before asking again for what was not found.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Plays one neighbour of an I2P router.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    /// router.info of the router to talk to
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Address of this machine to publish and to dial from
    #[arg(long, value_name = "ADDRESS")]
    host: IpAddr,
    /// Network id
    #[arg(long, value_name = "N", default_value_t = 99)]
    network_id: u8,
    #[command(subcommand)]
    errand: Errand,
}

#[derive(Subcommand)]
enum Errand {
    /// Makes up a record and stores it; prints its key
    Store {
        /// What to make up
        kind: Kind,
    },
    /// Asks for a record until it is found: exit code 0, or 1 when it is not
    Lookup {
        /// What to ask for
        kind: Kind,
        /// Its key, in I2P's base64
        key: String,
        /// How many seconds to go on asking
        #[arg(long, value_name = "S", default_value_t = 30)]
        patience: u64,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    RouterInfo,
    LeaseSet,
}

/// The played router and its session.
struct Neighbour {
    router: PlayedRouter,
    link: Link,
    clock: Clock,
    network: u8,
    address: SocketAddr,
}

impl Neighbour {
    fn join(cli: &Cli) -> Result<Self> {
        let clock = Clock::start();
        let endpoint = endpoint(&cli.to)?;
        let address = SocketAddr::new(cli.host, 17_000);
        let role = Role { network: cli.network_id, address, capabilities: "LR".to_owned() };
        let mut router = PlayedRouter::new(role, seed(clock, 0), clock.now().unix);
        let link = Link::dial(&mut router, &endpoint, cli.host, clock)
            .with_context(|| format!("no session with {}", endpoint.address))?;
        Ok(Self { router, link, clock, network: cli.network_id, address })
    }

    fn send(&mut self, kind: MessageType, body: floodway::base::frame::Frame) -> Result<()> {
        let message = self.router.message(kind, body, self.clock.now());
        Ok(self.link.send(&mut self.router, &message)?)
    }

    /// Stores a new record and waits for the confirmation.
    fn store(&mut self, kind: Kind) -> Result<RecordKey> {
        match kind {
            Kind::RouterInfo => {
                // A router that others have no use for: slow, and not to be reached. An i2pd that finds nobody at an
                // address gives the record away no more.
                let role = Role {
                    network: self.network,
                    address: SocketAddr::new(self.address.ip(), 17_001),
                    capabilities: "LU".to_owned(),
                };
                let made_up = PlayedRouter::new(role, seed(self.clock, 1), self.clock.now().unix);
                let gzip = deflate(made_up.info.bytes());
                self.put(made_up.hash().into(), StoreData::RouterInfo { gzip: &gzip })
            }
            Kind::LeaseSet => {
                let (key, lease_set) = self.lease_set()?;
                self.put(key, StoreData::LeaseSet2(lease_set.bytes()))
            }
        }
    }

    fn put(&mut self, key: RecordKey, data: StoreData<'_>) -> Result<RecordKey> {
        let token = self.router.rng.id();
        let reply = StoreReply { token, tunnel: None, gateway: self.router.hash() };
        let store = DatabaseStore { key, reply: Some(reply), data };
        self.send(MessageType::DatabaseStore, store.write())?;
        loop {
            let status = self.link.expect(
                &mut self.router,
                MessageType::DeliveryStatus,
                CONFIRMATION_TIME_MAX,
            )?;
            if DeliveryStatus::parse(&status.body)?.id.0 == token {
                return Ok(key);
            }
        }
    }

    fn lease_set(&mut self) -> Result<(RecordKey, LeaseSet2)> {
        let mut rng = ShardRng::from_seed(seed(self.clock, 2));
        let signer = Signer::from_seed(&Ed25519Seed::from_bytes(rng.bytes()));
        let destination = Destination::build(&signer.public_key(), rng.bytes());
        let key = destination.hash();
        let now = self.clock.now().unix;
        let tunnel = TunnelId::new(rng.id()).context("an id is never zero")?;
        let lease =
            Lease2 { gateway: self.router.hash(), tunnel, expires: now + Duration::from_secs(500) };
        let draft = LeaseSet2Draft {
            destination,
            published: now,
            expires_after_s: 600,
            encryption: X25519Public(rng.bytes()),
            leases: vec![lease],
        };
        Ok((key, draft.sign(&signer)?))
    }

    /// Asks until the record comes; false when it does not in time.
    fn lookup(&mut self, kind: Kind, key: RecordKey, patience: Duration) -> Result<bool> {
        let kind = match kind {
            Kind::RouterInfo => LookupKind::RouterInfo,
            Kind::LeaseSet => LookupKind::LeaseSet,
        };
        let ask = DatabaseLookup {
            key,
            from: self.router.hash(),
            reply_tunnel: None,
            kind,
            unknown_flags: 0,
            excluded: &[],
            encryption: LookupEncryption::None,
        };
        let body = ask.write();
        let deadline = self.clock.elapsed() + patience;
        while self.clock.elapsed() < deadline {
            self.send(MessageType::DatabaseLookup, body.clone())?;
            if self.is_answered_with(key, ASK_AGAIN)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the record comes within `patience`; everything else that comes is passed over.
    fn is_answered_with(&mut self, key: RecordKey, patience: Duration) -> Result<bool> {
        let deadline = self.clock.elapsed() + patience;
        loop {
            let left = deadline.saturating_sub(self.clock.elapsed());
            match self.link.receive(&mut self.router, left)? {
                Some(PlayedEvent::Message(message))
                    if message.kind == MessageType::DatabaseStore
                        && DatabaseStore::parse(&message.body)?.key == key =>
                {
                    return Ok(true);
                }
                Some(_) => {}
                None => return Ok(false),
            }
        }
    }
}

fn endpoint(file: &Path) -> Result<Ntcp2Endpoint> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let info = RouterInfo::parse(&bytes)?.verify()?;
    info.ntcp2_endpoint().with_context(|| format!("{}: no NTCP2 address", file.display()))
}

/// Another one at each call of the program, and for each purpose.
fn seed(clock: Clock, purpose: u8) -> [u8; 32] {
    let mut seed = [purpose; 32];
    let (time, process) = seed.split_at_mut(8);
    time.copy_from_slice(&clock.now().unix.0.to_be_bytes());
    for (to, from) in process.iter_mut().zip(std::process::id().to_be_bytes()) {
        *to = from;
    }
    seed
}

fn record_key(text: &str) -> Result<RecordKey> {
    let bytes = base64::decode(text).context("the key is no I2P base64")?;
    let Ok(bytes) = <[u8; 32]>::try_from(bytes) else { bail!("the key is not of 32 bytes") };
    Ok(RecordKey(bytes))
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let mut neighbour = Neighbour::join(&cli)?;
    let code = match cli.errand {
        Errand::Store { kind } => {
            println!("{}", base64::encode(&neighbour.store(kind)?.0));
            ExitCode::SUCCESS
        }
        Errand::Lookup { kind, key, patience } => {
            let found = neighbour.lookup(kind, record_key(&key)?, Duration::from_secs(patience))?;
            println!("{}", if found { "found" } else { "not found" });
            if found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    };
    neighbour.link.close(&mut neighbour.router);
    Ok(code)
}
