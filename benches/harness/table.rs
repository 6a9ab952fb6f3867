//! Medians, and lines that set what was measured beside what was asked.

/// One line: what, how much of which unit, the most that was asked for, and the reference of the same run.
pub fn line(name: &str, value: f64, unit: &str, most: Option<f64>, reference: &str) {
    let (asked, verdict) = match most {
        Some(most) => (format!("{most}"), if value <= most { "ok" } else { "MISSED" }),
        None => ("-".to_owned(), ""),
    };
    println!("{name:<52} {value:>9.3} {unit:<9} {asked:>7} {verdict:<7} {reference}");
}

/// The line above all others.
pub fn head() {
    println!(
        "{:<52} {:>9} {:<9} {:>7} {:<7} reference, same run",
        "what", "measured", "unit", "at most", ""
    );
}

/// The value in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
