//! The shards' reports as Prometheus text.

use std::fmt::Write;

use crate::shard::report::{Distribution, Sample, SampleKind, ShardReport, Unit};

/// What every name begins with.
const PREFIX: &str = "floodway_";

/// Text of `/metrics`: for each name its help and type once, then one line per shard and labels; `of_process` are of no shard.
#[must_use]
pub fn render(reports: &[ShardReport], of_process: &[Sample]) -> String {
    let mut text = String::new();
    let version = [("version", env!("CARGO_PKG_VERSION").to_owned())];
    head(&mut text, "build_info", "Version of the program; always 1.", "gauge");
    line(&mut text, "build_info", "", &version, "1");
    let mut done = Vec::new();
    for sample in reports.iter().flat_map(|report| &report.samples) {
        if !done.contains(&sample.name) {
            done.push(sample.name);
            render_family(&mut text, sample, reports);
        }
    }
    for sample in of_process {
        head(&mut text, sample.name, sample.help, kind_name(sample.kind));
        line(&mut text, sample.name, "", &sample.labels, &sample.value.to_string());
    }
    for first in reports.first().map_or(&[][..], |report| &report.histograms) {
        render_histograms(&mut text, first, reports);
    }
    text
}

fn kind_name(kind: SampleKind) -> &'static str {
    match kind {
        SampleKind::Counter => "counter",
        SampleKind::Gauge => "gauge",
    }
}

fn render_family(text: &mut String, first: &Sample, reports: &[ShardReport]) {
    head(text, first.name, first.help, kind_name(first.kind));
    for report in reports {
        let shard = report.shard.0.to_string();
        let samples = &report.samples;
        for sample in samples.iter().filter(|sample| sample.name == first.name) {
            let labels = with_shard(&sample.labels, &shard);
            line(text, sample.name, "", &labels, &sample.value.to_string());
        }
    }
}

/// The labels of a sample and the shard that it is of. Where both ends of something are named, the shard is one of them.
fn with_shard(labels: &[(&'static str, String)], shard: &str) -> Vec<(&'static str, String)> {
    let mut all = labels.to_vec();
    if !labels.iter().any(|(name, _)| *name == "from") {
        all.push(("shard", shard.to_owned()));
    }
    all
}

fn render_histograms(text: &mut String, first: &Distribution, reports: &[ShardReport]) {
    head(text, first.name, first.help, "histogram");
    for report in reports {
        let shard = ("shard", report.shard.0.to_string());
        let same = report.histograms.iter().filter(|histogram| histogram.name == first.name);
        for Distribution { name, unit, histogram, .. } in same {
            let shown = |number| match unit {
                Unit::Microseconds => seconds(number),
                Unit::Pieces => number.to_string(),
            };
            for (bound, count) in histogram.cumulative() {
                let labels = [shard.clone(), ("le", shown(bound))];
                line(text, name, "_bucket", &labels, &count.to_string());
            }
            let count = histogram.count().to_string();
            let labels = [shard.clone(), ("le", "+Inf".to_owned())];
            line(text, name, "_bucket", &labels, &count);
            line(text, name, "_sum", std::slice::from_ref(&shard), &shown(histogram.sum()));
            line(text, name, "_count", std::slice::from_ref(&shard), &count);
        }
    }
}

/// Microseconds as seconds, without rounding.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    // Writing to a String does not fail.
    let _ = writeln!(text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
}

fn line(text: &mut String, name: &str, suffix: &str, labels: &[(&str, String)], value: &str) {
    let _ = write!(text, "{PREFIX}{name}{suffix}");
    if labels.is_empty() {
        let _ = writeln!(text, " {value}");
        return;
    }
    text.push('{');
    for (position, (label, content)) in labels.iter().enumerate() {
        let comma = if position > 0 { "," } else { "" };
        let content = content.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{comma}{label}=\"{content}\"");
    }
    let _ = writeln!(text, "}} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::histogram::Histogram;
    use crate::base::id::ShardId;

    fn report(shard: u16) -> ShardReport {
        let sample = |name, labels: &[(&'static str, &str)], value, kind| Sample {
            name,
            help: "Some help.",
            labels: labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
            value,
            kind,
        };
        let from = shard.to_string();
        let samples = vec![
            sample("sessions", &[("direction", "inbound")], 3, SampleKind::Gauge),
            sample("drops_total", &[("reason", "a \"b\"")], 1, SampleKind::Counter),
            sample("shard_messages_total", &[("from", &from), ("to", "9")], 5, SampleKind::Counter),
            sample("drops_total", &[("reason", "c")], 2, SampleKind::Counter),
        ];
        let mut turns = Histogram::new(Histogram::MICROSECONDS);
        turns.record(30);
        turns.record(3_000_000);
        let mut batches = Histogram::new(Histogram::BATCH);
        batches.record(5);
        let of = |name, unit, histogram| Distribution { name, help: "Help.", unit, histogram };
        let histograms =
            vec![of("turn_seconds", Unit::Microseconds, turns), of("batch", Unit::Pieces, batches)];
        ShardReport { shard: ShardId(shard), samples, histograms }
    }

    #[test]
    fn each_name_has_one_head_and_all_its_lines_behind_it() {
        let text = render(&[report(0), report(1)], &[]);
        assert_eq!(text.matches("# TYPE floodway_drops_total counter\n").count(), 1);
        assert_eq!(text.matches("# HELP floodway_sessions Some help.\n").count(), 1);
        let drops: Vec<_> = text
            .lines()
            .skip_while(|line| !line.starts_with("floodway_drops_total"))
            .take(4)
            .collect();
        assert_eq!(drops[0], r#"floodway_drops_total{reason="a \"b\"",shard="0"} 1"#);
        assert_eq!(drops[3], r#"floodway_drops_total{reason="c",shard="1"} 2"#);
        assert!(text.contains("floodway_shard_messages_total{from=\"1\",to=\"9\"} 5\n"));
    }

    #[test]
    fn histograms_of_times_are_in_seconds() {
        let text = render(&[report(0)], &[]);
        assert!(text.contains("# TYPE floodway_turn_seconds histogram\n"));
        assert!(text.contains("floodway_turn_seconds_bucket{shard=\"0\",le=\"0.000025\"} 0\n"));
        assert!(text.contains("floodway_turn_seconds_bucket{shard=\"0\",le=\"0.00005\"} 1\n"));
        assert!(text.contains("floodway_turn_seconds_bucket{shard=\"0\",le=\"1\"} 1\n"));
        assert!(text.contains("floodway_turn_seconds_bucket{shard=\"0\",le=\"+Inf\"} 2\n"));
        assert!(text.contains("floodway_turn_seconds_sum{shard=\"0\"} 3.00003\n"));
        assert!(text.contains("floodway_turn_seconds_count{shard=\"0\"} 2\n"));
    }

    #[test]
    fn histograms_of_batches_are_in_pieces() {
        let text = render(&[report(0)], &[]);
        assert!(text.contains("floodway_batch_bucket{shard=\"0\",le=\"4\"} 0\n"));
        assert!(text.contains("floodway_batch_bucket{shard=\"0\",le=\"6\"} 1\n"));
        assert!(text.contains("floodway_batch_sum{shard=\"0\"} 5\n"));
    }

    #[test]
    fn no_reports_are_fine() {
        assert!(render(&[], &[]).starts_with("# HELP floodway_build_info"));
    }
}
