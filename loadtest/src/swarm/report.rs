//! What a swarm measures between two marks.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::checker::{Finding, Tally};
use crate::tunnels::{ROLES, Role};

use super::load::Pace;
use super::{Swarm, SwarmError};

/// Longest delay that is told apart, in microseconds.
const DELAY_MAX: u64 = 60_000_000;
/// How long nothing may come before what is missing is called lost.
const SILENCE_MAX: Duration = Duration::from_millis(1500);

/// The books of all roles.
pub(super) struct Books {
    roles: BTreeMap<Role, RoleBooks>,
    /// Delays since somebody last asked.
    recent: Histogram<u64>,
}

struct RoleBooks {
    tally: Tally,
    at_start: Tally,
    at_end: Tally,
    delays: Histogram<u64>,
}

impl Books {
    pub(super) fn new() -> Self {
        let roles = ROLES.into_iter().map(|role| (role, RoleBooks::new())).collect();
        Self { roles, recent: delays() }
    }

    pub(super) fn finding(&mut self, role: Role, finding: Finding) {
        self.roles.entry(role).or_insert_with(RoleBooks::new).tally.add(finding);
    }

    pub(super) fn corrupt(&mut self, role: Role) {
        self.roles.entry(role).or_insert_with(RoleBooks::new).tally.corrupt += 1;
    }

    pub(super) fn delay(&mut self, role: Role, micros: u64) {
        let books = self.roles.entry(role).or_insert_with(RoleBooks::new);
        books.delays.saturating_record(micros.max(1));
        self.recent.saturating_record(micros.max(1));
    }

    /// The sum of all roles so far.
    pub(super) fn total(&self) -> Tally {
        self.roles.values().fold(Tally::default(), |sum, books| sum.plus(books.tally))
    }
}

impl RoleBooks {
    fn new() -> Self {
        Self {
            tally: Tally::default(),
            at_start: Tally::default(),
            at_end: Tally::default(),
            delays: delays(),
        }
    }
}

/// No delays yet.
pub(crate) fn delays() -> Histogram<u64> {
    Histogram::new_with_bounds(1, DELAY_MAX, 3)
        .expect("1, 60 s and 3 digits are bounds of a histogram")
}

/// The quantiles of delays in microseconds.
pub(crate) fn summary(delays: &Histogram<u64>) -> DelaySummary {
    DelaySummary {
        p50: delays.value_at_quantile(0.5),
        p90: delays.value_at_quantile(0.9),
        p99: delays.value_at_quantile(0.99),
        max: delays.max(),
    }
}

/// Delays in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DelaySummary {
    /// Half of the messages took no longer.
    pub p50: u64,
    /// Nine of ten.
    pub p90: u64,
    /// 99 of 100.
    pub p99: u64,
    /// All.
    pub max: u64,
}

/// What the messages through tunnels of one role came to.
#[derive(Clone)]
pub struct RoleReport {
    /// Messages sent between the marks.
    pub sent: u64,
    /// Right messages that arrived between the marks, whenever sent.
    pub delivered: u64,
    /// Messages sent between the marks that never arrived.
    pub lost: u64,
    /// Right messages behind one with a higher number.
    pub reordered: u64,
    /// Messages that came again.
    pub duplicates: u64,
    /// Messages that were changed.
    pub corrupt: u64,
    /// Messages at the wrong end.
    pub misdelivered: u64,
    delays: Histogram<u64>,
}

impl fmt::Debug for RoleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, delivered, lost, reordered, duplicates, corrupt, misdelivered, .. } = self;
        write!(
            f,
            "sent {sent}, delivered {delivered}, lost {lost}, reordered {reordered}, duplicates {duplicates}, corrupt \
             {corrupt}, misdelivered {misdelivered}"
        )
    }
}

impl RoleReport {
    /// A report of nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            sent: 0,
            delivered: 0,
            lost: 0,
            reordered: 0,
            duplicates: 0,
            corrupt: 0,
            misdelivered: 0,
            delays: delays(),
        }
    }

    /// Adds what another swarm, or another role, came to.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.reordered += other.reordered;
        self.duplicates += other.duplicates;
        self.corrupt += other.corrupt;
        self.misdelivered += other.misdelivered;
        // Both have the same bounds.
        let _ = self.delays.add(&other.delays);
    }

    /// The delays of the messages sent between the marks.
    #[must_use]
    pub fn delay(&self) -> DelaySummary {
        summary(&self.delays)
    }
}

/// What one swarm came to.
#[derive(Clone, Debug)]
pub struct SwarmReport {
    /// By role.
    pub roles: BTreeMap<Role, RoleReport>,
    /// Messages that were due but not sent because the router under test did not read, since the start.
    pub held_back: u64,
    /// Sessions that the router under test closed and that were opened again.
    pub redials: u64,
}

impl Swarm {
    /// From here on messages count.
    pub fn mark_start(&mut self) {
        for books in self.load.books.roles.values_mut() {
            books.at_start = books.tally;
            books.delays.reset();
        }
        for stream in &mut self.streams {
            stream.counted = stream.book.sent()..u64::MAX;
        }
        self.load.held_back = 0;
    }

    /// Counts all messages of all tunnels from their first on, also of tunnels that are new since
    /// [`Swarm::mark_start`].
    pub fn count_all(&mut self) {
        for stream in &mut self.streams {
            stream.counted = 0..u64::MAX;
        }
    }

    /// From here on messages no longer count; those under way do.
    pub fn mark_end(&mut self) {
        for books in self.load.books.roles.values_mut() {
            books.at_end = books.tally;
        }
        for stream in &mut self.streams {
            stream.counted.end = stream.book.sent();
        }
    }

    /// Sends nothing more and waits for what is under way: until all has come, or nothing has for 1.5 s.
    ///
    /// # Errors
    /// When a session is lost for good, or a signal came.
    pub fn drain(&mut self) -> Result<(), SwarmError> {
        self.set_pace(Pace::Idle);
        let mut last = (self.load.books.total(), self.clock.elapsed());
        loop {
            let (sent, delivered) = self.totals();
            let now = self.clock.elapsed();
            let total = self.load.books.total();
            if total != last.0 {
                last = (total, now);
            }
            // Even with nothing missing a little longer: a duplicate comes after its original.
            let silence = now.saturating_sub(last.1);
            if silence > SILENCE_MAX || (sent == delivered && silence > SILENCE_MAX / 3) {
                return Ok(());
            }
            self.run(SILENCE_MAX / 10)?;
        }
    }

    /// The delays of the counted messages that have come since this was last asked.
    pub fn recent_delay(&mut self) -> DelaySummary {
        let recent = summary(&self.load.books.recent);
        self.load.books.recent.reset();
        recent
    }

    /// What has come so far, all roles together.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.load.books.total()
    }

    /// What was measured between the marks.
    #[must_use]
    pub fn report(&self) -> SwarmReport {
        let mut roles = BTreeMap::new();
        for (role, books) in &self.load.books.roles {
            let whole = books.tally.since(books.at_start);
            let within = books.at_end.since(books.at_start);
            let streams = || self.streams.iter().filter(|stream| stream.tunnel.role() == *role);
            let sent = streams().map(|s| s.counted.end.saturating_sub(s.counted.start)).sum();
            let lost = streams().map(|s| s.book.missing(s.counted.clone())).sum();
            let report = RoleReport {
                sent,
                delivered: within.delivered,
                lost,
                reordered: whole.reordered,
                duplicates: whole.duplicates,
                corrupt: whole.corrupt,
                misdelivered: whole.misdelivered,
                delays: books.delays.clone(),
            };
            roles.insert(*role, report);
        }
        SwarmReport { roles, held_back: self.load.held_back, redials: self.redials }
    }
}
