//! Plays one neighbour of a router: stores a made-up record with it, or asks it for one, directly and over one session;
//! or introduces itself with a mistake.
//!
//! The interop tests use it to tell a record to exactly one floodfill, to ask each what it holds, and to see that a peer
//! does ban who deserves it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use floodway::base::id::RecordKey;
use floodway::base::rng::ShardRng;
use floodway::wire::base64;
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use floodway::wire::i2np::database_store::{DatabaseStore, StoreData, StoreReply, deflate};
use floodway::wire::i2np::delivery_status::DeliveryStatus;
use floodway::wire::lease_set::LeaseSetKind;
use floodway::wire::router_address::{Ntcp2Endpoint, RouterAddress};
use floodway::wire::router_info::RouterInfo;
use loadtest::clock::Clock;
use loadtest::driver::Link;
use loadtest::lease_sets::lease_set;
use loadtest::played::{PlayedEvent, PlayedRouter, Role};

/// How long a confirmation may take.
const CONFIRMATION_TIME_MAX: Duration = Duration::from_secs(5);
/// How long to wait before asking again for what was not found.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long a peer may take to close a session that it does not want.
const RECEPTION_TIME_MAX: Duration = Duration::from_secs(5);

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
    /// Shows a RouterInfo with a mistake in it; prints the router's hash, and how the peer takes it
    Introduce {
        /// The mistake
        flaw: Flaw,
    },
}

/// What is wrong with a RouterInfo.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Flaw {
    /// It publishes an address from which its router does not come
    AnotherHost,
    /// The IV of its NTCP2 address has 8 bytes
    ShortIv,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    RouterInfo,
    /// Of type 1
    LeaseSet,
    /// Of type 3
    LeaseSet2,
    /// Of type 5
    EncryptedLeaseSet,
    /// Of type 7
    MetaLeaseSet,
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
        if let Errand::Introduce { flaw } = &cli.errand {
            spoil(&mut router, *flaw, address, clock)?;
        }
        let link = Link::dial(&mut router, &endpoint, cli.host, clock)
            .with_context(|| format!("no session with {}", endpoint.address))?;
        Ok(Self { router, link, clock, network: cli.network_id, address })
    }

    fn send(&mut self, kind: MessageType, body: floodway::base::frame::Frame) -> Result<()> {
        let message = self.router.message(kind, body, self.clock.now());
        Ok(self.link.send(&mut self.router, &message)?)
    }

    /// How the peer takes our RouterInfo.
    fn reception(&mut self) -> &'static str {
        if self.link.closes_within(&mut self.router, RECEPTION_TIME_MAX) {
            "closed"
        } else {
            "kept"
        }
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
            Kind::LeaseSet => self.store_lease_set(LeaseSetKind::LeaseSet),
            Kind::LeaseSet2 => self.store_lease_set(LeaseSetKind::LeaseSet2),
            Kind::EncryptedLeaseSet => self.store_lease_set(LeaseSetKind::EncryptedLeaseSet),
            Kind::MetaLeaseSet => self.store_lease_set(LeaseSetKind::MetaLeaseSet),
        }
    }

    fn store_lease_set(&mut self, kind: LeaseSetKind) -> Result<RecordKey> {
        let mut rng = ShardRng::from_seed(seed(self.clock, 2));
        let set = lease_set(kind, self.clock.now().unix, &mut rng)?;
        self.put(set.key(), StoreData::lease_set(kind, set.bytes()))
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

    /// Asks until the record comes; false when it does not in time.
    fn lookup(&mut self, kind: Kind, key: RecordKey, patience: Duration) -> Result<bool> {
        let kind = match kind {
            Kind::RouterInfo => LookupKind::RouterInfo,
            Kind::LeaseSet | Kind::LeaseSet2 | Kind::EncryptedLeaseSet | Kind::MetaLeaseSet => {
                LookupKind::LeaseSet
            }
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

/// Signs a RouterInfo with this mistake.
fn spoil(router: &mut PlayedRouter, flaw: Flaw, address: SocketAddr, clock: Clock) -> Result<()> {
    let keys = &router.keys.ntcp2;
    let published = match flaw {
        // A neighbour of ours, at which nobody is.
        Flaw::AnotherHost => SocketAddr::new(neighbouring(address.ip()), address.port()),
        Flaw::ShortIv => address,
    };
    let mut spoilt = RouterAddress::ntcp2(Some(published), keys.static_public, keys.iv, 3);
    if flaw == Flaw::ShortIv {
        spoilt.options.remove("i");
        spoilt.options.insert("i", &base64::encode(&[7; 8]))?;
    }
    router.resign_with(spoilt, clock.now().unix);
    Ok(())
}

/// The address whose last bit differs.
fn neighbouring(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() ^ 1).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() ^ 1).into()),
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
        Errand::Introduce { .. } => {
            let hash = base64::encode(&neighbour.router.hash().0);
            println!("{hash} {}", neighbour.reception());
            ExitCode::SUCCESS
        }
    };
    neighbour.link.close(&mut neighbour.router);
    Ok(code)
}
