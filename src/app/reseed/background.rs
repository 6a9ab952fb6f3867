//! Asking hosts while the router runs: on a thread of its own, again and again until one has given routers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::bundle::{self, Trust};
use super::hosts::{HostError, HostUrl, Round, ask_around};
use super::https::Client;
use super::{ReseedError, Source, signers};
use crate::app::config::Config;
use crate::app::signers::Signers;
use crate::base::id::RouterHash;
use crate::base::rng::ShardRng;
use crate::runtime::clock;
use crate::runtime::control::{Command, ShardLine};
use crate::runtime::entropy;
use crate::wire::router_info::RouterInfo;

/// Routers that make hosts unnecessary at the start.
pub const KNOWN_MIN: usize = 25;
/// Age at which a router info no longer counts as a router to begin with: half of the routers of the network are gone by then.
pub const SEED_AGE_MAX: Duration = Duration::from_secs(48 * 3600);
/// Pause after the first round that gave nothing; each further one is twice as long, up to the longest.
const PAUSE_MIN: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// How often seeds are offered to a shard whose queue is full, and the pause between.
const TELL_TRIES: usize = 100;
const TELL_PAUSE: Duration = Duration::from_millis(10);

/// Asks hosts for a router that runs.
pub struct Reseeder {
    shards: Vec<ShardLine>,
    own: RouterHash,
    busy: Arc<AtomicBool>,
}

/// What one thread works with.
struct Task {
    hosts: Vec<HostUrl>,
    network: u8,
    ca: Option<PathBuf>,
    signers: Signers,
    shards: Vec<ShardLine>,
    own: RouterHash,
}

impl Reseeder {
    /// For the router `own` with these shards.
    #[must_use]
    pub fn new(shards: Vec<ShardLine>, own: RouterHash) -> Self {
        Self { shards, own, busy: Arc::default() }
    }

    /// Begins to ask the hosts of `config`, if it names any and nobody asks already. Does not wait for them.
    ///
    /// # Errors
    /// When the signers cannot be had.
    pub fn ask(&self, config: &Config) -> Result<(), ReseedError> {
        let hosts = hosts_of(config);
        if hosts.is_empty() {
            return Ok(());
        }
        let task = Task {
            hosts,
            network: config.network,
            ca: config.reseed_ca.clone(),
            signers: signers(config)?,
            shards: self.shards.clone(),
            own: self.own,
        };
        if self.busy.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let busy = Arc::clone(&self.busy);
        let started = thread::Builder::new().name("reseed".to_owned()).spawn(move || {
            task.run();
            busy.store(false, Ordering::Release);
        });
        if let Err(error) = started {
            self.busy.store(false, Ordering::Release);
            tracing::warn!(%error, "no reseed host is asked: no thread is to be had");
        }
        Ok(())
    }
}

/// The hosts that a configuration names.
#[must_use]
pub fn hosts_of(config: &Config) -> Vec<HostUrl> {
    let host = |source: &Source| match source {
        Source::Host(url) => Some(url.clone()),
        Source::File(_) => None,
    };
    config.reseed.iter().filter_map(host).collect()
}

impl Task {
    fn run(&self) {
        let mut rng = match entropy::rng() {
            Ok(rng) => rng,
            Err(error) => return tracing::warn!(%error, "no reseed host is asked"),
        };
        let client = match Client::new(self.ca.as_deref()) {
            Ok(client) => client,
            Err(error) => return tracing::warn!(%error, "no reseed host is asked"),
        };
        for attempt in 0.. {
            let round = ask_around(&self.hosts, &mut rng, |host| self.ask(&client, host));
            report(&round);
            if !round.seeds.routers.is_empty() {
                self.deliver(round.seeds.routers);
                return;
            }
            let pause = pause(attempt, &mut rng);
            tracing::warn!(
                next_in_seconds = pause.as_secs(),
                "no reseed host gave a router: waiting for others to connect meanwhile"
            );
            thread::sleep(pause);
        }
    }

    fn ask(&self, client: &Client, host: &HostUrl) -> Result<super::Seeds, HostError> {
        let bytes = client.get(&host.request(self.network))?;
        let trust = Trust { signers: &self.signers, now: clock::unix_time() };
        let seeds = bundle::open(&bytes, self.network, &trust)?;
        if seeds.routers.is_empty() {
            let (refused, foreign) = (seeds.refused.len(), seeds.foreign);
            return Err(HostError::NoRouter { network: self.network, refused, foreign });
        }
        Ok(seeds)
    }

    /// Gives the routers to all shards, each of which keeps its own share.
    fn deliver(&self, mut routers: Vec<Arc<RouterInfo>>) {
        routers.retain(|info| info.hash() != self.own);
        let seeds: Arc<[Arc<RouterInfo>]> = routers.into();
        for (shard, line) in self.shards.iter().enumerate() {
            let sent = (0..TELL_TRIES).any(|_| {
                let sent = line.send(Command::Seeds(Arc::clone(&seeds)));
                if !sent {
                    thread::sleep(TELL_PAUSE);
                }
                sent
            });
            if !sent {
                tracing::warn!(shard, "a shard takes no routers of the reseed hosts");
            }
        }
    }
}

fn report(round: &Round) {
    for (host, reason) in &round.failed {
        tracing::warn!(%host, %reason, "a reseed host gave no router");
    }
    let routers = round.seeds.routers.len();
    if routers > 0 {
        let hosts: Vec<_> = round.gave.iter().map(HostUrl::to_string).collect();
        tracing::info!(routers, hosts = hosts.join(", "), "reseed hosts gave routers");
    }
}

/// How long to wait after the round number `attempt`, give or take a quarter, so that routers which started together do
/// not come back together.
fn pause(attempt: u32, rng: &mut ShardRng) -> Duration {
    let plain = PAUSE_MIN.saturating_mul(1 << attempt.min(6)).min(PAUSE_MAX);
    plain * 3 / 4 + plain / 2 * u32::try_from(rng.below(1001)).unwrap_or(0) / 1000
}

#[cfg(test)]
mod tests;
