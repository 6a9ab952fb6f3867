//! Many sessions that do nothing: what each costs the router under test to open and to keep, and whether they, or
//! connections that never say a word, are felt by one that works.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use floodway::base::id::RecordKey;
use floodway::base::rng::ShardRng;
use floodway::wire::i2np::MessageType;
use floodway::wire::i2np::database_lookup::{DatabaseLookup, LookupEncryption, LookupKind};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::clock::Clock;
use crate::driver::Link;
use crate::metrics;
use crate::played::{PlayedConnection, PlayedRouter, Role};
use crate::swarm::Subject;
use crate::system::{self, Machine};
use crate::target::{NETWORK, Target};

/// Played routers that share a /24: fewer than a router lets in at once from one subnet.
const PER_SUBNET: usize = 50;
/// Descriptors of ours that are not connections.
const DESCRIPTORS_OWN: u64 = 200;
/// Time for the router under test to come to rest before its memory is read.
const REST: Duration = Duration::from_secs(3);
/// Pause between two questions of the session that works.
const QUESTION_PAUSE: Duration = Duration::from_millis(20);
/// An answer that takes longer is missing.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Questions asked before anything is under way, for comparison.
const QUESTIONS_BEFORE: usize = 100;

/// What a crowd is made of.
#[derive(Clone, Debug)]
pub struct CrowdOptions {
    /// Sessions to open and to keep.
    pub sessions: usize,
    /// Threads that open them.
    pub threads: usize,
    /// Connections from one subnet that never say a word.
    pub half_open: usize,
    /// What everything random follows from.
    pub seed: u64,
}

/// How a session that works was answered during one part of the run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Answers {
    /// Questions asked.
    pub asked: usize,
    /// Answers in time.
    pub answered: usize,
    /// The median of the delays, in milliseconds.
    pub p50_ms: f64,
    /// The longest delay, in milliseconds.
    pub max_ms: f64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct CrowdReport {
    /// Name, version and settings of the router under test.
    pub target: String,
    /// When.
    pub date: String,
    /// The machine.
    pub machine: Machine,
    /// Sessions asked for and established.
    pub sessions: (usize, usize),
    /// Handshakes a second over all threads, both ends on this machine.
    pub handshakes_per_second: f64,
    /// CPU time of the router under test for each, in microseconds.
    pub cpu_us_per_handshake: f64,
    /// Resident memory that it has more with them than without, in bytes for each: session, RouterInfo, and its share
    /// of every table.
    pub bytes_per_session: f64,
    /// How one session was answered before, with all the others there, and during the flood.
    pub answers: BTreeMap<&'static str, Answers>,
    /// Silent connections tried, and those that were still open when all had been tried.
    pub half_open: (usize, usize),
    /// What the router under test counted as dropped.
    pub drops: BTreeMap<String, f64>,
}

impl CrowdReport {
    /// Whether all sessions came to be, and the one that worked got all its answers.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.sessions.0 == self.sessions.1 && self.answers.values().all(|a| a.asked == a.answered)
    }
}

/// A router whose session is open, without the buffers of one that is used.
struct Idle {
    _router: PlayedRouter,
    _stream: TcpStream,
    _connection: PlayedConnection,
}

/// Opens the sessions, keeps them, and floods.
///
/// # Errors
/// When descriptors are too few, the router under test ends, or a session that is needed does not come up.
pub fn gather(
    target: &mut Target,
    options: &CrowdOptions,
    clock: Clock,
    stop: &Arc<AtomicBool>,
    say: &mut dyn FnMut(&str),
) -> Result<CrowdReport> {
    raise_descriptors(u64::try_from(options.sessions + options.half_open)?)?;
    let subject = target.subject;
    let mut worker = Worker::join(subject, options.seed, clock)?;
    let mut answers = BTreeMap::new();
    answers.insert("before", worker.ask(QUESTIONS_BEFORE, &mut || false)?);
    std::thread::sleep(REST);
    let (before, _) = system::memory(target.pid())?;
    let (cpu, begun) = (target.cpu_time()?, clock.elapsed());
    say(&format!("opening {} sessions", options.sessions));
    let idle = open(subject, options, clock, stop)?;
    let seconds = (clock.elapsed() - begun).as_secs_f64();
    let cpu = target.cpu_time()? - cpu;
    std::thread::sleep(REST);
    let (after, _) = system::memory(target.pid())?;
    say(&format!("{} are open", idle.len()));
    answers.insert("with all sessions", worker.ask(QUESTIONS_BEFORE, &mut || false)?);

    say(&format!("{} silent connections from one subnet", options.half_open));
    let mut flood = Flood::new(subject.endpoint.address, options.half_open);
    if options.half_open > 0 {
        let during = worker.ask(usize::MAX, &mut || !flood.advance())?;
        answers.insert("during the flood", during);
    }
    let open = flood.still_open();
    let drops = match target.metrics {
        Some(address) => metrics::scrape(address)?.drops(),
        None => BTreeMap::new(),
    };
    if let Some(status) = target.ended() {
        bail!("{} has ended ({status})", target.kind);
    }
    let count = idle.len().max(1);
    Ok(CrowdReport {
        target: format!("{} {} ({})", target.kind, target.version, target.settings),
        date: system::date(clock.now().unix),
        machine: Machine::this(),
        sessions: (options.sessions, idle.len()),
        handshakes_per_second: ratio(idle.len()) / seconds,
        cpu_us_per_handshake: cpu.as_secs_f64() * 1e6 / ratio(count),
        bytes_per_session: bytes(after.saturating_sub(before)) / ratio(count),
        answers,
        half_open: (options.half_open, open),
        drops,
    })
}

fn ratio(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn bytes(count: u64) -> f64 {
    // In KiB, so that it fits a number that a float holds exactly.
    f64::from(u32::try_from(count >> 10).unwrap_or(u32::MAX)) * 1024.0
}

fn raise_descriptors(wanted: u64) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = wanted + DESCRIPTORS_OWN;
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        bail!("{wanted} descriptors are needed: raise the limit (ulimit -n), or ask for fewer");
    }
    limit.current = Some(wanted);
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of descriptors")
}

/// The address of player `number`, none of which is another player's.
fn place(number: usize) -> Ipv4Addr {
    let byte = |value: usize| u8::try_from(value % 250).unwrap_or(0);
    let subnet = number / PER_SUBNET;
    Ipv4Addr::new(127, 150 + byte(subnet / 250) % 50, byte(subnet), 1 + byte(number % PER_SUBNET))
}

fn player(number: usize, seed: u64, clock: Clock) -> PlayedRouter {
    let mut bytes = [0xc0; 32];
    let parts = seed.to_le_bytes().into_iter().chain(number.to_le_bytes());
    bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    let address = SocketAddr::from((place(number), 15_000));
    // It cannot be reached, so that nobody dials it and no tunnel is asked of it.
    let role = Role { network: NETWORK, address, capabilities: "LU".to_owned() };
    PlayedRouter::new(role, bytes, clock.now().unix)
}

fn open(
    subject: Subject,
    options: &CrowdOptions,
    clock: Clock,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<Idle>> {
    let threads = options.threads.max(1);
    let part = |thread: usize| -> Result<Vec<Idle>> {
        let mut idle = Vec::new();
        for number in (thread..options.sessions).step_by(threads) {
            if stop.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            let mut router = player(number, options.seed, clock);
            let from = IpAddr::V4(place(number));
            let link = Link::dial(&mut router, &subject.endpoint, from, clock)
                .with_context(|| format!("session {number}"))?;
            let (stream, connection, _) = link.into_parts();
            idle.push(Idle { _router: router, _stream: stream, _connection: connection });
        }
        Ok(idle)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|n| scope.spawn(move || part(n))).collect();
        let mut all = Vec::new();
        for thread in running {
            let idle = thread.join().map_err(|_| anyhow::anyhow!("a thread has failed"))?;
            all.append(&mut idle?);
        }
        Ok(all)
    })
}

/// The session that works.
struct Worker {
    router: PlayedRouter,
    link: Link,
    clock: Clock,
    rng: ShardRng,
}

impl Worker {
    fn join(subject: Subject, seed: u64, clock: Clock) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::new(127, 1, 1, 1), 15_000));
        let role = Role { network: NETWORK, address, capabilities: "LU".to_owned() };
        let mut bytes = [0xc1; 32];
        bytes.iter_mut().zip(seed.to_le_bytes()).for_each(|(to, from)| *to = from);
        let mut router = PlayedRouter::new(role, bytes, clock.now().unix);
        let link = Link::dial(&mut router, &subject.endpoint, address.ip(), clock)?;
        Ok(Self { router, link, clock, rng: ShardRng::from_seed(bytes) })
    }

    /// Asks up to `count` questions, one after the other, until `done` says so.
    fn ask(&mut self, count: usize, done: &mut dyn FnMut() -> bool) -> Result<Answers> {
        let mut delays = Vec::new();
        let mut asked = 0;
        while asked < count && !done() {
            let ask = DatabaseLookup {
                key: RecordKey(self.rng.bytes()),
                from: self.router.hash(),
                reply_tunnel: None,
                kind: LookupKind::Exploration,
                unknown_flags: 0,
                excluded: &[],
                encryption: LookupEncryption::None,
            };
            let begun = self.clock.elapsed();
            let kind = MessageType::DatabaseLookup;
            let message = self.router.message(kind, ask.write(), self.clock.now());
            self.link.send(&mut self.router, &message)?;
            asked += 1;
            let answer = MessageType::DatabaseSearchReply;
            match self.link.expect(&mut self.router, answer, ANSWER_TIME_MAX) {
                Ok(_) => delays.push((self.clock.elapsed() - begun).as_secs_f64() * 1e3),
                Err(crate::driver::LinkError::TimedOut(_)) => {}
                Err(error) => return Err(error).context("the session that works has ended"),
            }
            std::thread::sleep(QUESTION_PAUSE);
        }
        delays.sort_by(f64::total_cmp);
        let at = |index: usize| delays.get(index).copied().unwrap_or(0.0);
        Ok(Answers {
            asked,
            answered: delays.len(),
            p50_ms: at(delays.len() / 2),
            max_ms: at(delays.len().saturating_sub(1)),
        })
    }
}

/// Connections from one subnet that never say a word, opened a few at a time.
struct Flood {
    to: SocketAddr,
    left: usize,
    sockets: Vec<Socket>,
}

impl Flood {
    /// Connections tried between two questions.
    const STEP: usize = 50;

    fn new(to: SocketAddr, count: usize) -> Self {
        Self { to, left: count, sockets: Vec::new() }
    }

    /// Tries the next few; false when there are none left.
    fn advance(&mut self) -> bool {
        for _ in 0..Self::STEP.min(self.left) {
            self.left -= 1;
            if let Ok(socket) = self.connect() {
                self.sockets.push(socket);
            }
        }
        self.left > 0
    }

    fn connect(&self) -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        let host = u8::try_from(1 + self.left % 250).unwrap_or(1);
        let from = SocketAddr::from((Ipv4Addr::new(127, 149, 1, host), 0));
        socket.bind(&SockAddr::from(from))?;
        socket.set_nonblocking(true)?;
        // It comes up later, or not at all: nobody waits for it.
        match socket.connect(&SockAddr::from(self.to)) {
            Ok(()) => Ok(socket),
            Err(error)
                if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
            {
                Ok(socket)
            }
            Err(error) => Err(error),
        }
    }

    /// Those that the other side has neither closed nor refused.
    fn still_open(&self) -> usize {
        let mut byte = [std::mem::MaybeUninit::uninit(); 1];
        let open = self.sockets.iter().filter(|socket| {
            socket.recv(&mut byte).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
        });
        open.count()
    }
}

impl fmt::Display for CrowdReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.target)?;
        writeln!(f, "  {}; {}", self.date, self.machine)?;
        let (asked, established) = self.sessions;
        writeln!(f, "  {established} of {asked} sessions opened")?;
        writeln!(
            f,
            "  {:.0} handshakes/s, {:.0} us of CPU each; {:.0} bytes of memory per session",
            self.handshakes_per_second, self.cpu_us_per_handshake, self.bytes_per_session
        )?;
        for (when, answers) in &self.answers {
            writeln!(
                f,
                "  {when}: {} of {} questions answered, p50 {:.2} ms, longest {:.1} ms",
                answers.answered, answers.asked, answers.p50_ms, answers.max_ms
            )?;
        }
        let (tried, open) = self.half_open;
        writeln!(
            f,
            "  {tried} silent connections from one subnet, {open} of them open at the end"
        )?;
        for (reason, count) in &self.drops {
            writeln!(f, "  dropped: {reason} {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn players_have_places_of_their_own_and_subnets_stay_small() {
        let places: HashSet<_> = (0..20_000).map(place).collect();
        assert_eq!(places.len(), 20_000);
        let mut subnets = BTreeMap::new();
        for place in places {
            let [a, b, c, _] = place.octets();
            assert_ne!((a, b, c), (127, 149, 1));
            *subnets.entry((a, b, c)).or_insert(0) += 1;
        }
        assert!(subnets.values().all(|count| *count <= PER_SUBNET));
    }
}
