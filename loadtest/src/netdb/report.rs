//! The figures of a measurement, as text and JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::swarm::DelaySummary;
use crate::system::Machine;

use super::asking::WINDOW;
use super::{FLOODFILLS, NetdbOptions};

/// How the load was set.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// RouterInfos that the router under test is to know in the end, with those of the played routers.
    pub routers: usize,
    /// Lease sets.
    pub lease_sets: usize,
    /// Sessions that store and look up.
    pub sessions: u8,
    /// Played floodfills.
    pub floodfills: u8,
    /// Answers that each session waits for at once, when there is no rate.
    pub window: usize,
    /// Seconds of each measurement of lookups.
    pub seconds: f64,
    /// Seed of the run.
    pub seed: u64,
}

impl Settings {
    pub(super) fn new(options: &NetdbOptions) -> Self {
        Self {
            routers: options.routers,
            lease_sets: options.lease_sets,
            sessions: options.sessions,
            floodfills: FLOODFILLS,
            window: WINDOW,
            seconds: options.duration.as_secs_f64(),
            seed: options.seed,
        }
    }
}

/// What storing all records of one kind came to.
#[derive(Clone, Debug, Serialize)]
pub struct StoreFigures {
    /// The kind.
    pub kind: &'static str,
    /// Stores sent.
    pub sent: u64,
    /// Stores acknowledged.
    pub acknowledged: u64,
    /// Stores that were not acknowledged within 5 s.
    pub lost: u64,
    /// Acknowledgements of what nobody had stored.
    pub wrong: u64,
    /// From the first store to the last acknowledgement.
    pub seconds: f64,
    /// Acknowledgements for each of these seconds.
    pub acknowledged_per_second: f64,
    /// From the first store to the last copy at a floodfill.
    pub seconds_until_flooded: f64,
    /// Stores for each of these seconds: an acknowledgement does not wait for the signature to be checked, a copy does.
    pub flooded_per_second: f64,
    /// CPU time of the router under test for each store, with its copies, user and system.
    pub cpu_micros_per_store: f64,
    /// Processors that it kept busy.
    pub cpu_cores: f64,
    /// Copies that should come to the played floodfills; shortly before midnight UTC there are more.
    pub floods_expected: u64,
    /// Copies that came, with the content that was stored.
    pub floods: u64,
    /// Copies that came with other content.
    pub floods_wrong: u64,
    /// Records that the router under test says that it has stored.
    pub stored_by_its_own_account: f64,
    /// Resident memory that it has more than before, for each record.
    pub memory_bytes_per_record: f64,
    /// Bytes of a record as it is signed, on average.
    pub signed_bytes: usize,
    /// From sending to the acknowledgement, in microseconds.
    pub delay_micros: DelaySummary,
}

/// What looking records of one kind up came to.
#[derive(Clone, Debug, Serialize)]
pub struct LookupFigures {
    /// The kind.
    pub kind: &'static str,
    /// Lookups offered a second, at even intervals; none when as many are asked as are answered.
    pub offered_per_second: Option<f64>,
    /// Lookups sent.
    pub asked: u64,
    /// Lookups answered with the record that was stored.
    pub answered: u64,
    /// Answers with another record, with other content, or to what nobody had asked.
    pub wrong: u64,
    /// Lookups answered with the names of other routers, although the record was stored.
    pub referred: u64,
    /// Lookups not answered within 5 s.
    pub lost: u64,
    /// Lookups that were due and not sent, because too many answers were missing or the session waited for the same.
    pub held_back: u64,
    /// Records that were looked up, one after the other and over again.
    pub records: usize,
    /// From the first lookup to the last answer.
    pub seconds: f64,
    /// Right answers for each of these seconds.
    pub answers_per_second: f64,
    /// CPU time of the router under test for each right answer, user and system.
    pub cpu_micros_per_answer: f64,
    /// Processors that it kept busy.
    pub cpu_cores: f64,
    /// Share of the time for which one of its threads could have run and waited for a processor, threads added up: delays
    /// are the machine's as far as this is not near 0.
    pub waited_for_cpu: f64,
    /// The same of this program.
    pub tool_waited_for_cpu: f64,
    /// From sending, or at a rate from when the lookup was due, to the answer, in microseconds.
    pub delay_micros: DelaySummary,
    /// The same from sending, in microseconds.
    pub delay_since_sent_micros: DelaySummary,
    /// How long after it was due this program had handed a lookup to a session, in microseconds: a delay that is no longer
    /// than this is its own.
    pub tool_late_micros: DelaySummary,
    /// By its own account, the router under test had handed the answers to 99 of 100 lookups to a session this many
    /// microseconds after it had read them, at most; `None` if it says nothing.
    pub own_delay_p99_micros: Option<f64>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct NetdbReport {
    /// Name and version of this program.
    pub tool: String,
    /// When.
    pub date: String,
    /// The machine.
    pub machine: Machine,
    /// Name, version and settings of the router under test.
    pub target: String,
    /// How the load was set.
    pub settings: Settings,
    /// By kind, in the order in which they were stored.
    pub stores: Vec<StoreFigures>,
    /// In the order in which they were measured.
    pub lookups: Vec<LookupFigures>,
    /// Sessions that the router under test closed and that were opened again.
    pub redials: u64,
    /// CPU time of this program from the first store on.
    pub tool_cpu_seconds: f64,
    /// What the router under test says that it dropped since its start, by reason.
    pub drops_by_its_own_account: BTreeMap<String, f64>,
}

impl NetdbReport {
    /// Whether nothing that came was wrong. What did not come is a loss, and shown as such.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.stores.iter().all(|stores| stores.wrong == 0 && stores.floods_wrong == 0)
            && self.lookups.iter().all(|lookups| lookups.wrong == 0)
    }
}

impl fmt::Display for NetdbReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.target)?;
        writeln!(f, "  {}; {}", self.date, self.machine)?;
        let Settings { sessions, floodfills, window, .. } = self.settings;
        writeln!(
            f,
            "  {sessions} sessions, {window} messages under way in each; {floodfills} played floodfills"
        )?;
        for stores in &self.stores {
            write!(f, "{stores}")?;
        }
        for lookups in &self.lookups {
            write!(f, "{lookups}")?;
        }
        write!(f, "  sessions opened again: {}", self.redials)?;
        writeln!(f, "; CPU of this program: {:.1} s", self.tool_cpu_seconds)?;
        for (reason, count) in &self.drops_by_its_own_account {
            writeln!(f, "  dropped: {reason} {count}")?;
        }
        Ok(())
    }
}

impl fmt::Display for StoreFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, sent, acknowledged, lost, wrong, .. } = self;
        writeln!(
            f,
            "  store a {kind}: {sent} sent, {acknowledged} acknowledged, {lost} lost, {wrong} wrong"
        )?;
        writeln!(
            f,
            "    {:.0} acknowledged/s, {:.0} stored and flooded/s; {:.1} us of CPU each, {:.2} cores busy",
            self.acknowledged_per_second,
            self.flooded_per_second,
            self.cpu_micros_per_store,
            self.cpu_cores
        )?;
        writeln!(
            f,
            "    {} of {} copies came to the floodfills, {} wrong; {:.0} records stored by its own account",
            self.floods, self.floods_expected, self.floods_wrong, self.stored_by_its_own_account
        )?;
        writeln!(
            f,
            "    {:.0} bytes of memory for each of {} signed; acknowledged after {}",
            self.memory_bytes_per_record,
            self.signed_bytes,
            delay(&self.delay_micros)
        )
    }
}

impl fmt::Display for LookupFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, asked, answered, wrong, referred, lost, held_back, .. } = self;
        match self.offered_per_second {
            None => write!(f, "  look a {kind} up, as fast as answers come")?,
            Some(rate) => write!(f, "  look a {kind} up, {rate:.0} a second")?,
        }
        writeln!(
            f,
            ": {asked} asked, {answered} answered, {wrong} wrong, {referred} referred, {lost} lost, \
             {held_back} held back"
        )?;
        writeln!(
            f,
            "    {:.0} answers/s, {:.1} us of CPU each, {:.2} cores busy; answered after {}",
            self.answers_per_second,
            self.cpu_micros_per_answer,
            self.cpu_cores,
            delay(&self.delay_micros)
        )?;
        writeln!(
            f,
            "    it waited for a processor for {:.1} % of the time, this program for {:.1} %",
            self.waited_for_cpu * 100.0,
            self.tool_waited_for_cpu * 100.0
        )?;
        if let Some(own) = self.own_delay_p99_micros {
            writeln!(f, "    by its own account answered within {own:.0} us (p99)")?;
        }
        if self.offered_per_second.is_some() {
            writeln!(f, "    sent after it was due by {}", delay(&self.tool_late_micros))?;
            let since_sent = delay(&self.delay_since_sent_micros);
            writeln!(f, "    answered after it was sent by {since_sent}")?;
        }
        Ok(())
    }
}

fn delay(delay: &DelaySummary) -> String {
    let DelaySummary { p50, p99, max, .. } = delay;
    format!("{p50} us (p50), {p99} us (p99), {max} us at most")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report() -> NetdbReport {
        let options = NetdbOptions {
            routers: 30,
            lease_sets: 0,
            sessions: 2,
            duration: Duration::from_secs(1),
            rates: Vec::new(),
            seed: 1,
        };
        NetdbReport {
            tool: "loadtest".to_owned(),
            date: "2026-01-31 23:59".to_owned(),
            machine: Machine { cpu: "a".to_owned(), cores: 2, kernel: "b".to_owned() },
            target: "c".to_owned(),
            settings: Settings::new(&options),
            stores: vec![StoreFigures {
                kind: "RouterInfo",
                sent: 24,
                acknowledged: 23,
                lost: 1,
                wrong: 0,
                seconds: 1.0,
                acknowledged_per_second: 23.0,
                seconds_until_flooded: 2.0,
                flooded_per_second: 12.0,
                cpu_micros_per_store: 40.0,
                cpu_cores: 0.5,
                floods_expected: 72,
                floods: 71,
                floods_wrong: 0,
                stored_by_its_own_account: 24.0,
                memory_bytes_per_record: 2000.0,
                signed_bytes: 800,
                delay_micros: DelaySummary::default(),
            }],
            lookups: vec![LookupFigures {
                kind: "RouterInfo",
                offered_per_second: None,
                asked: 100,
                answered: 98,
                wrong: 0,
                referred: 1,
                lost: 1,
                held_back: 0,
                records: 24,
                seconds: 1.0,
                answers_per_second: 98.0,
                cpu_micros_per_answer: 5.0,
                cpu_cores: 0.1,
                waited_for_cpu: 0.0,
                tool_waited_for_cpu: 0.0,
                delay_micros: DelaySummary::default(),
                tool_late_micros: DelaySummary::default(),
                delay_since_sent_micros: DelaySummary::default(),
                own_delay_p99_micros: Some(250.0),
            }],
            redials: 0,
            tool_cpu_seconds: 0.1,
            drops_by_its_own_account: BTreeMap::new(),
        }
    }

    #[test]
    fn losses_are_shown_and_whatever_is_wrong_is_not_sound() {
        let lossy = report();
        assert!(lossy.is_sound());
        let text = lossy.to_string();
        for part in
            ["23 acknowledged, 1 lost", "71 of 72 copies", "1 referred, 1 lost", "within 250 us"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let wrong: [fn(&mut NetdbReport); 3] = [
            |report| report.stores[0].wrong = 1,
            |report| report.stores[0].floods_wrong = 1,
            |report| report.lookups[0].wrong = 1,
        ];
        for spoil in wrong {
            let mut report = report();
            spoil(&mut report);
            assert!(!report.is_sound());
        }
    }
}
