//! What our primitives take beside the crates that they are measured against, each pair in turn in one process.
//!
//! These machines are noisy and change their speed, so only ratios mean something: a round runs ours, then the
//! reference, for less than a slice of the scheduler each; the table shows the medians over all rounds.
//! `cargo bench --bench ratios` runs all pairs, `cargo bench --bench ratios -- layer` those whose name has `layer`
//! in it.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

#[path = "ratios/aead.rs"]
mod aead;
#[path = "ratios/ed25519.rs"]
mod ed25519;
#[path = "ratios/layer.rs"]
mod layer;
#[path = "ratios/parse.rs"]
mod parse;
#[path = "ratios/x25519.rs"]
mod x25519;

use std::time::{Duration, Instant};

/// Rounds of a pair; odd, so that there is a median.
const ROUNDS: usize = 199;

/// How long one side of a pair runs in one round.
const SAMPLE: Duration = Duration::from_micros(400);

/// One side of a pair.
type Work = Box<dyn FnMut()>;

/// Two ways to do the same work.
struct Pair {
    name: String,
    /// Units of work in one call, the same on both sides; times are shown for one unit.
    units: u32,
    ours: Work,
    reference: Work,
    /// The ratio that must not be exceeded, where one is asked.
    asked: Option<f64>,
}

struct Measured {
    ours: f64,
    reference: f64,
    ratio: f64,
}

fn main() {
    // Cargo passes `--bench`, and people a filter.
    let filter: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    println!(
        "{:<44} {:>10} {:>10} {:>7} {:>7}",
        "name (medians, ns)", "ours", "reference", "ratio", "asked"
    );
    let pairs = [layer::pairs(), aead::pairs(), x25519::pairs(), ed25519::pairs(), parse::pairs()];
    for mut pair in pairs.into_iter().flatten() {
        if filter.iter().all(|word| pair.name.contains(word.as_str())) {
            let Measured { ours, reference, ratio } = measure(&mut pair);
            let (asked, verdict) = match pair.asked {
                Some(asked) if ratio <= asked => (format!("{asked:.3}"), "ok"),
                Some(asked) => (format!("{asked:.3}"), "MISSED"),
                None => ("-".to_owned(), ""),
            };
            let name = pair.name;
            println!(
                "{name:<44} {ours:>10.1} {reference:>10.1} {ratio:>7.3} {asked:>7}  {verdict}"
            );
        }
    }
}

fn measure(pair: &mut Pair) -> Measured {
    let ours_calls = calls(&mut pair.ours);
    let reference_calls = calls(&mut pair.reference);
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let ours = time(&mut pair.ours, ours_calls);
            let reference = time(&mut pair.reference, reference_calls);
            (ours / f64::from(pair.units), reference / f64::from(pair.units))
        })
        .collect();
    Measured {
        ours: median(rounds.iter().map(|round| round.0)),
        reference: median(rounds.iter().map(|round| round.1)),
        ratio: median(rounds.iter().map(|round| round.0 / round.1)),
    }
}

/// Calls that fill a sample; the first ones also warm up.
fn calls(work: &mut dyn FnMut()) -> u32 {
    let mut calls = 1;
    loop {
        let start = Instant::now();
        (0..calls).for_each(|_| work());
        let took = start.elapsed();
        if took >= SAMPLE / 4 || calls > 1 << 28 {
            let fits = SAMPLE.as_secs_f64() / took.as_secs_f64() * f64::from(calls);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 2^31"
            )]
            return fits.ceil().max(1.0) as u32;
        }
        calls *= 2;
    }
}

/// Nanoseconds of one call.
fn time(work: &mut dyn FnMut(), calls: u32) -> f64 {
    let start = Instant::now();
    (0..calls).for_each(|_| work());
    start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
