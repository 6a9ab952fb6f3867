//! What the terminal shows: one block that is drawn again and again, or a line now and then where it is no terminal.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use crate::tunnels::Role;

use super::{Moment, Story, float, grouped};

/// Steps of the little curve.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Its width.
const CURVE_WIDTH: usize = 48;
/// Seconds between two lines where there is no terminal.
const LINE_EVERY: f64 = 5.0;

/// The terminal.
pub struct Screen {
    live: bool,
    drawn: usize,
    last_line: f64,
}

impl Screen {
    pub fn new() -> Self {
        Self { live: io::stdout().is_terminal(), drawn: 0, last_line: 0.0 }
    }

    /// A line that stays.
    pub fn say(&mut self, text: &str) {
        self.print(&format!("{text}\n"));
    }

    /// Shows the latest moment.
    pub fn show(&mut self, story: &Story, whole: Duration) {
        let Some(now) = story.moments.last() else { return };
        if self.live {
            let block = block(story, now, whole);
            let mut text = String::new();
            if self.drawn > 0 {
                text.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
            }
            text.push_str(&block);
            self.drawn = block.lines().count();
            self.print(&text);
        } else if now.at >= self.last_line + LINE_EVERY {
            self.last_line = now.at;
            self.print(&format!("{}\n", line(now)));
        }
    }

    /// The summary, and where the page is.
    pub fn finish(&mut self, story: &Story, page: &Path) {
        self.print(&summary(story));
        let path = page.canonicalize().unwrap_or_else(|_| page.to_owned());
        self.print(&format!("\nThe whole run as a page: {}\n", path.display()));
    }

    fn print(&self, text: &str) {
        // A reader that has gone away is no reason to stop.
        drop(io::stdout().write_all(text.as_bytes()));
        drop(io::stdout().flush());
    }
}

fn block(story: &Story, now: &Moment, whole: Duration) -> String {
    let metrics = &now.metrics;
    let per_shard = |name: &str| {
        let shards = ["0", "1", "2", "3", "4", "5", "6", "7"];
        let values =
            shards.iter().filter(|shard| metrics.with(name, &[("shard", shard)]).count() > 0);
        let values = values.map(|shard| format!("{:.0}", metrics.sum(name, &[("shard", shard)])));
        values.collect::<Vec<_>>().join(" + ")
    };
    let errands = now.errands;
    let rows = [
        (
            "router under test",
            format!("{} {}… at {}, {}", story.router, story.hash, story.address, story.settings),
        ),
        (
            "played routers",
            format!("{}, sessions by shard: {}", story.routers, per_shard("sessions")),
        ),
        (
            "tunnels through it",
            format!(
                "{} participant, {} gateway, {} endpoint; by shard: {}",
                tunnels(now, Role::Participant),
                tunnels(now, Role::Gateway),
                tunnels(now, Role::Endpoint),
                per_shard("transit_tunnels")
            ),
        ),
        ("messages a second", format!("{:>6.0}  {}", now.rate, curve(&story.moments))),
        (
            "messages checked",
            format!(
                "{} of {} sent; {} changed, {} doubled, {} astray",
                grouped(now.delivered),
                grouped(now.sent),
                now.tally.corrupt,
                now.tally.duplicates,
                now.tally.misdelivered
            ),
        ),
        (
            "delay",
            format!(
                "half within {}, 99 of 100 within {}",
                millis(now.delay.p50),
                millis(now.delay.p99)
            ),
        ),
        (
            "between its shards",
            format!("{} messages", grouped_float(metrics.sum("shard_messages_total", &[]))),
        ),
        (
            "netdb",
            format!(
                "{} of {} stores confirmed; {} lookups: {} found, {} referred, {} explored",
                errands.confirmed,
                errands.stores,
                errands.lookups,
                errands.found,
                errands.referred,
                errands.explored
            ),
        ),
        (
            "cost",
            format!(
                "{:.2} cores, {:.1} µs a message, {} MB of memory",
                now.cores,
                cost(now, story),
                now.memory / 1_000_000
            ),
        ),
    ];
    let mut text = format!("\n  {:>3.0} of {} s\n", now.at, whole.as_secs());
    for (name, value) in rows {
        text.push_str(&format!("  {name:<20}{value}\n"));
    }
    text
}

fn line(now: &Moment) -> String {
    let errands = now.errands;
    format!(
        "{:>4.0} s  {:>6.0} messages/s, {} of {} delivered, {} wrong; delay {} / {}; {} tunnels; {} stores confirmed, {} \
         lookups answered; {:.2} cores, {} MB",
        now.at,
        now.rate,
        grouped(now.delivered),
        grouped(now.sent),
        now.tally.corrupt + now.tally.duplicates + now.tally.misdelivered,
        millis(now.delay.p50),
        millis(now.delay.p99),
        now.tunnels.values().sum::<usize>(),
        errands.confirmed,
        errands.found + errands.referred + errands.explored,
        now.cores,
        now.memory / 1_000_000,
    )
}

fn summary(story: &Story) -> String {
    let Some(last) = story.moments.last() else { return String::new() };
    let errands = last.errands;
    let mut text = format!("\n{} on {}\n\n", story.router, story.machine);
    text.push_str(
        "  role         tunnels      sent   missing   changed   doubled    p50 ms    p99 ms\n",
    );
    for (role, report) in &story.roles {
        let delay = report.delay();
        text.push_str(&format!(
            "  {role:<12}{:>8}{:>10}{:>10}{:>10}{:>10}{:>10.2}{:>10.2}\n",
            tunnels(last, *role),
            grouped(report.sent),
            report.lost,
            report.corrupt,
            report.duplicates,
            float(delay.p50) / 1000.0,
            float(delay.p99) / 1000.0
        ));
    }
    text.push_str(&format!(
        "\n  {} messages through its tunnels, {} missing, each checked byte by byte at the other end\n",
        grouped(last.sent),
        story.missing()
    ));
    text.push_str(&format!(
        "  {} router infos stored and confirmed, {} lookups: {} found, {} referred, {} explored, {} wrong, {} unanswered\n",
        errands.confirmed,
        errands.lookups,
        errands.found,
        errands.referred,
        errands.explored,
        errands.wrong,
        errands.missing
    ));
    text.push_str(&format!(
        "  {:.2} s of CPU, {:.1} µs a message, {} MB of memory\n",
        last.cpu_seconds,
        cost(last, story),
        last.memory / 1_000_000
    ));
    let verdict = if story.is_sound() {
        "Everything arrived, and everything was right."
    } else {
        "Not everything was right: see above."
    };
    text.push_str(&format!("  {verdict}\n"));
    text
}

/// CPU time for each message so far, in microseconds; all else that the router did is in it.
pub(super) fn cost(now: &Moment, story: &Story) -> f64 {
    let first = story.moments.first().map_or(0.0, |first| first.cpu_seconds);
    (now.cpu_seconds - first) * 1e6 / float(now.delivered.max(1))
}

pub(super) fn tunnels(now: &Moment, role: Role) -> usize {
    now.tunnels.get(&role).copied().unwrap_or(0)
}

fn millis(micros: u64) -> String {
    format!("{:.2} ms", float(micros) / 1000.0)
}

fn grouped_float(value: f64) -> String {
    // Counters of a minute: far below 2^32.
    format!("{value:.0}").parse().map_or_else(|_| format!("{value:.0}"), grouped)
}

/// The rate of the last steps as bars.
fn curve(moments: &[Moment]) -> String {
    let start = moments.len().saturating_sub(CURVE_WIDTH);
    let shown = moments.get(start..).unwrap_or_default();
    let most = shown.iter().map(|moment| moment.rate).fold(1.0, f64::max);
    shown.iter().map(|moment| bar(moment.rate / most)).collect()
}

fn bar(share: f64) -> char {
    let steps = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875];
    let index = steps.iter().filter(|step| share > **step).count();
    BARS.get(index).copied().unwrap_or('█')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_the_rate() {
        assert_eq!((bar(0.0), bar(0.5), bar(1.0)), ('▁', '▄', '█'));
        let moments = [0.0, 50.0, 100.0].map(|rate| Moment { rate, ..Moment::default() });
        assert_eq!(curve(&moments), "▁▄█");
    }
}
