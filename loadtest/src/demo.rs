//! `loadtest demo`: one minute in which a router does its main job, seen live, and a page to keep.

mod errands;
mod page;
mod screen;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::checker::Tally;
use crate::clock::Clock;
use crate::metrics::{Metrics, scrape};
use crate::swarm::{DelaySummary, Pace, RoleReport, Swarm, SwarmConfig, SwarmError};
use crate::system::{self, Machine};
use crate::target::{FloodwayOptions, NETWORK, Target, start_floodway};
use crate::tunnels::{CONTENT_USUAL, ROLES, Role};

use errands::{ErrandCounts, Errands};
use screen::Screen;

/// Time between two pictures.
const STEP: Duration = Duration::from_millis(250);

/// How the demonstration is set.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// How Floodway is started.
    pub floodway: FloodwayOptions,
    /// Played routers.
    pub routers: u8,
    /// Length.
    pub duration: Duration,
    /// Messages a second at the end; it begins with a quarter.
    pub rate: u64,
    /// Tunnels in each role at the end; it begins with a quarter.
    pub tunnels: usize,
    /// Where the page goes.
    pub html: PathBuf,
    /// Everything random on our side follows from it.
    pub seed: u64,
}

/// What one step showed.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// Seconds since the beginning.
    pub at: f64,
    /// Messages sent and delivered since the beginning.
    pub sent: u64,
    /// Messages delivered since the beginning.
    pub delivered: u64,
    /// Messages delivered a second, in this step.
    pub rate: f64,
    /// Delays in this step, in microseconds.
    pub delay: DelaySummary,
    /// Cores that the router was busy with, in this step.
    pub cores: f64,
    /// CPU seconds of the router since the beginning.
    pub cpu_seconds: f64,
    /// Its resident memory in bytes.
    pub memory: u64,
    /// Checks so far.
    pub tally: Tally,
    /// Tunnels by role.
    pub tunnels: BTreeMap<Role, usize>,
    /// Lookups and stores.
    pub errands: ErrandCounts,
    /// What the router says of itself.
    pub metrics: Metrics,
}

/// The whole demonstration.
pub struct Story {
    /// Name and version of the router.
    pub router: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its hash, shortened.
    pub hash: String,
    /// How it was set.
    pub settings: String,
    /// When, UTC.
    pub date: String,
    /// On what.
    pub machine: Machine,
    /// Played routers.
    pub routers: u8,
    /// All steps.
    pub moments: Vec<Moment>,
    /// The figures by role.
    pub roles: BTreeMap<Role, RoleReport>,
}

/// Shows Floodway at work. Whether everything that was checked was right.
///
/// # Errors
/// When Floodway does not start or does not last, when the page cannot be written, or after a signal.
pub fn demonstrate(options: &DemoOptions, clock: Clock, stop: &Arc<AtomicBool>) -> Result<bool> {
    let mut screen = Screen::new();
    screen.say("Starting a Floodway router on 127.0.0.1; nothing leaves this machine.");
    let mut target = start_floodway(&options.floodway, clock)?;
    let scraper = Scraper::start(target.metrics)?;
    let story = play(options, &mut target, &scraper, &mut screen, clock, stop);
    scraper.stop();
    target.stop(clock)?;
    let story = story?;
    if let Some(folder) = options.html.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    write_page(&options.html, &story)?;
    screen.finish(&story, &options.html);
    Ok(story.is_sound())
}

fn write_page(path: &Path, story: &Story) -> Result<()> {
    fs::write(path, page::render(story)).with_context(|| format!("cannot write {}", path.display()))
}

fn play(
    options: &DemoOptions,
    target: &mut Target,
    scraper: &Scraper,
    screen: &mut Screen,
    clock: Clock,
    stop: &Arc<AtomicBool>,
) -> Result<Story> {
    let config = SwarmConfig {
        index: 0,
        routers: options.routers,
        network: NETWORK,
        seed: options.seed,
        capabilities: "OR".to_owned(),
        content_size: CONTENT_USUAL,
    };
    let mut swarm = Swarm::new(config, clock, Arc::clone(stop))?;
    screen.say(&format!("Introducing {} played routers by NTCP2.", options.routers));
    swarm.introduce(target.subject)?;
    swarm.run(Duration::from_millis(500))?;
    let hash = floodway::wire::base64::encode(&target.subject.hop.hash.0);
    let mut story = Story {
        router: format!("Floodway {}", target.version),
        address: target.subject.endpoint.address,
        hash: hash.chars().take(8).collect(),
        settings: target.settings.clone(),
        date: system::date(clock.now().unix),
        machine: Machine::this(),
        routers: options.routers,
        moments: Vec::new(),
        roles: BTreeMap::new(),
    };
    let mut errands = Errands::new(options.seed);
    swarm.mark_start();
    let begin = clock.elapsed();
    let mut stage = 0;
    while clock.elapsed() < begin + options.duration {
        stage = advance(options, &mut swarm, stage, clock.elapsed().saturating_sub(begin))?;
        errands.run(&mut swarm, clock);
        let from = clock.elapsed();
        swarm.run(STEP)?;
        errands.collect(&mut swarm, clock);
        if let Some(status) = target.ended() {
            anyhow::bail!("the router has ended ({status})");
        }
        let moment = observe(&mut swarm, target, scraper, &errands, &story, clock, begin, from)?;
        story.moments.push(moment);
        screen.show(&story, options.duration);
    }
    swarm.mark_end();
    swarm.drain()?;
    errands.collect(&mut swarm, clock);
    let rest = clock.elapsed();
    let last = observe(&mut swarm, target, scraper, &errands, &story, clock, begin, rest)?;
    // The last step only waits for what is under way: its rates say nothing.
    if let Some(moment) = story.moments.last_mut() {
        moment.sent = last.sent;
        moment.delivered = last.delivered;
        moment.tally = last.tally;
        moment.errands = last.errands;
        moment.metrics = last.metrics;
    }
    story.roles = swarm.report().roles;
    swarm.close_all();
    Ok(story)
}

/// Four stages of equal length: each adds tunnels and raises the rate.
fn advance(
    options: &DemoOptions,
    swarm: &mut Swarm,
    stage: u32,
    elapsed: Duration,
) -> Result<u32, SwarmError> {
    let due = elapsed.as_micros() * 4 / options.duration.as_micros().max(1);
    let due = u32::try_from(due).unwrap_or(3).min(3) + 1;
    if due == stage {
        return Ok(stage);
    }
    for role in ROLES {
        let wanted = (options.tunnels * usize::try_from(due).unwrap_or(4)).div_ceil(4);
        swarm.build(role, wanted.saturating_sub(swarm.tunnels(role)))?;
    }
    swarm.count_all();
    swarm.set_pace(Pace::Rate(options.rate * u64::from(due) / 4));
    Ok(due)
}

#[expect(clippy::too_many_arguments, reason = "one place where everything seen comes together")]
fn observe(
    swarm: &mut Swarm,
    target: &Target,
    scraper: &Scraper,
    errands: &Errands,
    story: &Story,
    clock: Clock,
    begin: Duration,
    from: Duration,
) -> Result<Moment> {
    let before = story.moments.last().cloned().unwrap_or_default();
    let (sent, delivered) = swarm.totals();
    let seconds = clock.elapsed().saturating_sub(from).as_secs_f64().max(0.001);
    let cpu_seconds = target.cpu_time()?.as_secs_f64();
    // The system counts CPU time in hundredths of a second: over a second the steps even out.
    let second_ago = story.moments.iter().rev().nth(3).unwrap_or(&before);
    let at = clock.elapsed().saturating_sub(begin).as_secs_f64();
    let span = (at - second_ago.at).max(0.001);
    let (memory, _) = system::memory(target.pid())?;
    Ok(Moment {
        at,
        sent,
        delivered,
        rate: float(delivered.saturating_sub(before.delivered)) / seconds,
        delay: swarm.recent_delay(),
        cores: if second_ago.at > 0.0 {
            (cpu_seconds - second_ago.cpu_seconds) / span
        } else {
            0.0
        },
        cpu_seconds,
        memory,
        tally: swarm.tally(),
        tunnels: ROLES.into_iter().map(|role| (role, swarm.tunnels(role))).collect(),
        errands: errands.counts(),
        metrics: scraper.latest(),
    })
}

impl Story {
    /// Whether every message and every answer was right, and all of them came.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let Some(last) = self.moments.last() else { return false };
        let tally = last.tally;
        let faults = tally.corrupt + tally.duplicates + tally.misdelivered;
        faults == 0 && last.sent == last.delivered && last.errands.all_answered()
    }

    /// Messages that have not arrived.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.moments.last().map_or(0, |last| last.sent.saturating_sub(last.delivered))
    }
}

/// A count as a float: exact below 2^53, which no count here reaches.
#[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

/// A number with thousands set apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Asks the router for its metrics once a second, beside the load.
struct Scraper {
    latest: Arc<Mutex<Metrics>>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Scraper {
    fn start(address: Option<SocketAddr>) -> io::Result<Self> {
        let latest = Arc::new(Mutex::new(Metrics::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shelf, ended) = (Arc::clone(&latest), Arc::clone(&stop));
        let thread = thread::Builder::new().name("metrics".to_owned()).spawn(move || {
            while let Some(address) = address
                && !ended.load(Ordering::Acquire)
            {
                if let (Ok(metrics), Ok(mut latest)) = (scrape(address), shelf.lock()) {
                    *latest = metrics;
                }
                thread::sleep(Duration::from_secs(1));
            }
        })?;
        Ok(Self { latest, stop, thread })
    }

    fn latest(&self) -> Metrics {
        self.latest.lock().map(|latest| latest.clone()).unwrap_or_default()
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        // It has nothing to hand over; if it broke, its last figures stay.
        drop(self.thread.join());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(count), text);
        }
    }
}
