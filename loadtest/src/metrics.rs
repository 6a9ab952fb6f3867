//! Reads the metrics that a router offers over HTTP: what it says about itself, beside what is seen from outside.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Time that a router may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Most bytes of an answer.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;
/// What Floodway puts before its names.
const PREFIX: &str = "floodway_";

/// One line of metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name, without Floodway's prefix.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

/// All metrics of a router at one time.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// In the order in which they came.
    pub samples: Vec<Sample>,
}

/// Asks for `/metrics`.
///
/// # Errors
/// When nobody answers, or not with success.
pub fn scrape(address: SocketAddr) -> io::Result<Metrics> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME_MAX)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split_ascii_whitespace().nth(1) != Some("200") {
        return Err(io::Error::other(head.lines().next().unwrap_or("no answer").to_owned()));
    }
    Ok(parse(body))
}

fn parse(text: &str) -> Metrics {
    Metrics { samples: text.lines().filter_map(parse_line).collect() }
}

fn parse_line(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split(',').filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('"').to_owned()))
    });
    Some(Sample {
        name: name.strip_prefix(PREFIX).unwrap_or(name).to_owned(),
        labels: labels.collect(),
        value: value.parse().ok()?,
    })
}

/// The upper bound of a bucket.
fn bound_of(sample: &Sample) -> Option<f64> {
    match sample.labels.get("le")?.as_str() {
        "+Inf" => Some(f64::INFINITY),
        bound => bound.parse().ok(),
    }
}

impl Metrics {
    /// The sum of all samples of this name that have these labels.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.with(name, labels).map(|sample| sample.value).sum()
    }

    /// All samples of this name that have these labels.
    pub fn with<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| {
                    sample.labels.get(*label).is_some_and(|found| found == value)
                })
        })
    }

    /// The upper bound of the bucket in which `share` of what the histogram `name` has counted since `before` is reached,
    /// shards added up; infinite beyond the last bound, `None` if nothing was counted.
    #[must_use]
    pub fn bound(&self, before: &Self, name: &str, share: f64) -> Option<f64> {
        let bucket = format!("{name}_bucket");
        let mut bounds: Vec<f64> = self.with(&bucket, &[]).filter_map(bound_of).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let up_to = |metrics: &Self, bound: f64| -> f64 {
            let samples = metrics.with(&bucket, &[]);
            samples.filter(|sample| bound_of(sample) == Some(bound)).map(|one| one.value).sum()
        };
        let since = |bound: f64| up_to(self, bound) - up_to(before, bound);
        let all = bounds.last().map(|last| since(*last)).filter(|all| *all > 0.0)?;
        bounds.iter().copied().find(|bound| since(*bound) >= all * share)
    }

    /// What was dropped, by reason, shards added up; reasons that never applied are left out.
    #[must_use]
    pub fn drops(&self) -> BTreeMap<String, f64> {
        let mut drops = BTreeMap::new();
        for sample in self.with("drops_total", &[]).filter(|sample| sample.value > 0.0) {
            let reason = sample.labels.get("reason").cloned().unwrap_or_default();
            *drops.entry(reason).or_insert(0.0) += sample.value;
        }
        drops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_bounded_by_what_came_meanwhile() {
        let of = |counts: [u32; 6]| {
            let labels = ["0.1", "0.5", "+Inf"].into_iter().cycle().zip([0, 0, 0, 1, 1, 1]);
            let line = |((le, shard), count)| {
                format!("floodway_x_bucket{{shard=\"{shard}\",le=\"{le}\"}} {count}\n")
            };
            parse(&labels.zip(counts).map(line).collect::<String>())
        };
        let before = of([100, 100, 100, 0, 0, 0]);
        assert_eq!(before.bound(&before, "x", 0.5), None);
        assert_eq!(before.bound(&Metrics::default(), "y", 0.5), None);
        let after = of([140, 150, 150, 40, 49, 50]);
        assert_eq!(after.bound(&before, "x", 0.8), Some(0.1));
        assert_eq!(after.bound(&before, "x", 0.81), Some(0.5));
        assert_eq!(after.bound(&before, "x", 0.99), Some(0.5));
        assert_eq!(after.bound(&before, "x", 0.995), Some(f64::INFINITY));
    }

    #[test]
    fn samples_are_read_and_summed() {
        let text = "# HELP floodway_drops_total Drops.\n# TYPE floodway_drops_total counter\n\
                    floodway_drops_total{reason=\"expired\",shard=\"0\"} 2\n\
                    floodway_drops_total{reason=\"expired\",shard=\"1\"} 3\n\
                    floodway_drops_total{reason=\"malformed\",shard=\"1\"} 0\n\
                    floodway_up 1\n";
        let metrics = parse(text);
        assert_eq!(metrics.samples.len(), 4);
        assert_eq!(metrics.sum("drops_total", &[("reason", "expired")]), 5.0);
        assert_eq!(metrics.sum("drops_total", &[("shard", "1")]), 3.0);
        assert_eq!(metrics.sum("up", &[]), 1.0);
        assert_eq!(metrics.drops().into_iter().collect::<Vec<_>>(), [("expired".to_owned(), 5.0)]);
    }
}
