//! The demonstration as one HTML page: curves as inline SVG, light and dark, nothing loaded from anywhere.

use std::fmt::Write as _;

use crate::tunnels::ROLES;

use super::screen::{cost, tunnels};
use super::{Moment, Story, float, grouped};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 10.0;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5d6a7a;--paper:#fbfbf9;--card:#fff;--line:#d9dee5;--one:#1769aa;\
--two:#c2571a;--good:#1d7a46;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa7b6;--paper:#12161c;--card:#1a2029;--line:#303946;\
--one:#69b3ef;--two:#f0a36b;--good:#63cf94;--bad:#ff8a80}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:800px;padding:32px 20px;background:var(--paper);color:var(--ink);\
font:16px/1.5 system-ui,sans-serif}h1{font-size:1.6rem;margin:0}h2{font-size:1.05rem;margin:28px 0 6px}\
p{margin:6px 0}.soft{color:var(--soft)}.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));\
gap:12px;margin:20px 0}.tile{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px}\
.tile b{display:block;font-size:1.4rem}.good{color:var(--good)}.bad{color:var(--bad)}\
svg{width:100%;height:auto;background:var(--card);border:1px solid var(--line);border-radius:8px}\
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}.grid{stroke:var(--line);stroke-width:1}\
.one{stroke:var(--one);fill:none;stroke-width:2}.two{stroke:var(--two);fill:none;stroke-width:2}\
.key1{color:var(--one)}.key2{color:var(--two)}table{border-collapse:collapse;width:100%}\
td,th{padding:4px 8px;text-align:right;border-bottom:1px solid var(--line)}td:first-child,th:first-child{text-align:left}";

/// One curve of a chart.
struct Curve<'a> {
    name: &'a str,
    class: &'a str,
    value: fn(&Moment) -> f64,
}

/// The page.
pub fn render(story: &Story) -> String {
    let mut page = String::new();
    page.push_str("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
    page.push_str("<title>Floodway, one minute</title><style>");
    page.push_str(STYLE);
    page.push_str("</style></head><body>\n");
    head(&mut page, story);
    tiles(&mut page, story);
    let rates = [Curve { name: "delivered a second", class: "one", value: |moment| moment.rate }];
    chart(&mut page, "Messages through its tunnels", "messages a second", story, &rates);
    let delays = [
        Curve {
            name: "half within",
            class: "one",
            value: |moment| float(moment.delay.p50) / 1000.0,
        },
        Curve {
            name: "99 of 100 within",
            class: "two",
            value: |moment| float(moment.delay.p99) / 1000.0,
        },
    ];
    chart(&mut page, "Delay from sender to receiver", "milliseconds", story, &delays);
    let cores = [Curve { name: "processor time", class: "one", value: |moment| moment.cores }];
    chart(&mut page, "What it costs", "cores", story, &cores);
    table(&mut page, story);
    page.push_str("</body></html>\n");
    page
}

fn head(page: &mut String, story: &Story) {
    // Writing to a string does not fail, here and below.
    let _ = writeln!(
        page,
        "<h1>Floodway, one minute</h1><p>{} played routers speak NTCP2 with one live router, build tunnels through it in \
         all three roles, send numbered messages and check each one at the other end; they store router infos at it and \
         look them up.</p><p class=\"soft\">{}, router {}… at {}, {}. {} UTC, {}.</p>",
        story.routers,
        escape(&story.router),
        escape(&story.hash),
        story.address,
        escape(&story.settings),
        escape(&story.date),
        escape(&story.machine.to_string()),
    );
}

fn tiles(page: &mut String, story: &Story) {
    let Some(last) = story.moments.last() else { return };
    let errands = last.errands;
    let wrong = last.tally.corrupt + last.tally.duplicates + last.tally.misdelivered;
    let most = story.moments.iter().map(|moment| moment.rate).fold(0.0, f64::max);
    let verdict = if story.is_sound() { ("good", "all right") } else { ("bad", "not all right") };
    let tiles = [
        (
            format!("<b class=\"{}\">{}</b>", verdict.0, verdict.1),
            "every message and answer checked",
        ),
        (format!("<b>{}</b>", grouped(last.delivered)), "messages delivered"),
        (format!("<b>{}</b>", grouped(story.missing())), "messages missing"),
        (format!("<b>{}</b>", grouped(wrong)), "messages changed, doubled or astray"),
        (format!("<b>{most:.0}</b>"), "messages a second at most"),
        (format!("<b>{:.1} µs</b>", cost(last, story)), "processor time a message"),
        (format!("<b>{}</b>", grouped(errands.confirmed)), "stores confirmed"),
        (
            format!("<b>{}</b>", grouped(errands.found + errands.referred + errands.explored)),
            "lookups answered",
        ),
        (format!("<b>{} MB</b>", last.memory / 1_000_000), "memory"),
    ];
    page.push_str("<div class=\"tiles\">");
    for (value, name) in tiles {
        let _ = write!(page, "<div class=\"tile\">{value}<span class=\"soft\">{name}</span></div>");
    }
    page.push_str("</div>\n");
}

fn chart(page: &mut String, title: &str, unit: &str, story: &Story, curves: &[Curve<'_>]) {
    let values = |curve: &Curve<'_>| story.moments.iter().map(curve.value).fold(0.0, f64::max);
    let top = round_up(curves.iter().map(values).fold(0.0, f64::max));
    let end = story.moments.last().map_or(1.0, |last| last.at.max(1.0));
    let x = |at: f64| LEFT + (WIDTH - LEFT - 12.0) * at / end;
    let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (value / top).min(1.0);
    let _ = write!(page, "<h2>{title}</h2><p class=\"soft\">{unit}: ");
    for (place, curve) in curves.iter().enumerate() {
        let _ = write!(page, "<span class=\"key{}\">▬</span> {} ", place + 1, curve.name);
    }
    let _ = write!(
        page,
        "</p><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
    );
    for quarter in 0..=4 {
        let value = top * f64::from(quarter) / 4.0;
        let _ = write!(
            page,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            WIDTH - 12.0,
            y(value),
            y(value),
            LEFT - 6.0,
            y(value) + 4.0,
            short(value),
        );
    }
    for quarter in 0..=4 {
        let at = end * f64::from(quarter) / 4.0;
        let _ = write!(
            page,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{at:.0} s</text>",
            x(at),
            HEIGHT - 6.0
        );
    }
    for curve in curves {
        let _ = write!(page, "<polyline class=\"{}\" points=\"", curve.class);
        for moment in &story.moments {
            let _ = write!(page, "{:.1},{:.1} ", x(moment.at), y((curve.value)(moment)));
        }
        page.push_str("\"/>");
    }
    page.push_str("</svg>\n");
}

fn table(page: &mut String, story: &Story) {
    let Some(last) = story.moments.last() else { return };
    page.push_str(
        "<h2>By the role of the router in the tunnel</h2><table><tr><th>role</th><th>tunnels</th><th>sent</th>\
         <th>missing</th><th>out of order</th><th>changed</th><th>doubled</th><th>p50 ms</th><th>p99 ms</th></tr>",
    );
    for role in ROLES {
        let Some(report) = story.roles.get(&role) else { continue };
        let delay = report.delay();
        let _ = write!(
            page,
            "<tr><td>{role}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.2}</td>\
             <td>{:.2}</td></tr>",
            tunnels(last, role),
            grouped(report.sent),
            report.lost,
            grouped(report.reordered),
            report.corrupt,
            report.duplicates,
            float(delay.p50) / 1000.0,
            float(delay.p99) / 1000.0,
        );
    }
    let errands = last.errands;
    let _ = writeln!(
        page,
        "</table><p class=\"soft\">Netdb: {} stores, {} confirmed; {} lookups: {} found byte for byte, {} referred to \
         others, {} explored, {} wrong, {} unanswered. Between its shards: {:.0} messages.</p>",
        errands.stores,
        errands.confirmed,
        errands.lookups,
        errands.found,
        errands.referred,
        errands.explored,
        errands.wrong,
        errands.missing,
        last.metrics.sum("shard_messages_total", &[]),
    );
}

/// The next number of the form 1, 2, 4, 6 or 8 times a power of ten: the top of a chart.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(value)
}

fn short(value: f64) -> String {
    let text = if value >= 10.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_end_at_round_numbers() {
        for (value, top) in [(0.0, 1.0), (0.31, 0.4), (1.0, 1.0), (2100.0, 4000.0), (950.0, 1000.0)]
        {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}: {}", round_up(value));
        }
        assert_eq!(
            ["0", "0.5", "12", "4000"].map(str::to_owned),
            [0.0, 0.5, 12.0, 4000.0].map(short)
        );
    }

    #[test]
    fn nothing_in_the_page_is_markup_by_accident() {
        assert_eq!(escape("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
