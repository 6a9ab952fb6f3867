//! Bars as a small SVG.

use std::fmt::Write;

/// Colours of the series, told apart also by those who see few colours.
const COLOURS: [&str; 4] = ["#999999", "#0072b2", "#56b4e9", "#e69f00"];
/// Height of the drawing, width of a bar, gap between groups, and the margins at the left, above and below.
const HEIGHT: f64 = 200.0;
const BAR: f64 = 20.0;
const GAP: f64 = 24.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 24.0;

/// Bars in groups.
pub struct Bars {
    /// What is shown.
    pub title: &'static str,
    /// Unit of the values.
    pub unit: &'static str,
    /// What the bars of each group are, in order.
    pub series: Vec<&'static str>,
    /// The groups.
    pub groups: Vec<Group>,
}

/// A group of bars.
pub struct Group {
    /// Its name.
    pub name: String,
    /// A value for each of the series.
    pub values: Vec<f64>,
}

impl Bars {
    /// Draws each group relative to its first bar, with the values themselves above the bars.
    pub fn relative_to_first(&self) -> String {
        let first = |group: &Group| group.values.first().copied().unwrap_or(1.0);
        let ratios = self.groups.iter().flat_map(|g| g.values.iter().map(|v| v / first(g)));
        let highest = ratios.fold(1.0, f64::max) * 1.1;
        let group_width = BAR * self.series.len() as f64 + GAP;
        let width = (LEFT + group_width * self.groups.len() as f64).max(480.0);
        let (base, height) = (TOP + HEIGHT, TOP + HEIGHT + BOTTOM);
        let mut svg = String::new();
        let mut add = |line: String| svg.push_str(&(line + "\n"));
        add(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
        ));
        add(format!("<text x=\"8\" y=\"16\" font-size=\"12\">{}</text>", self.title));
        for (number, (name, colour)) in self.series.iter().zip(COLOURS).enumerate() {
            let x = LEFT + 90.0 * number as f64;
            add(format!("<rect x=\"{x}\" y=\"24\" width=\"10\" height=\"10\" fill=\"{colour}\"/>"));
            add(format!("<text x=\"{}\" y=\"33\">{name}</text>", x + 14.0));
        }
        let mut mark = 0.0;
        while mark < highest {
            let y = base - HEIGHT * mark / highest;
            add(format!("<path d=\"M{LEFT} {y:.1}H{width}\" stroke=\"#ddd\"/>"));
            add(format!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>",
                LEFT - 6.0,
                y + 4.0
            ));
            mark += 0.5;
        }
        for (number, group) in self.groups.iter().enumerate() {
            let x = LEFT + GAP / 2.0 + group_width * number as f64;
            let middle = x + (group_width - GAP) / 2.0;
            let y = base + 16.0;
            add(format!(
                "<text x=\"{middle:.0}\" y=\"{y}\" text-anchor=\"middle\">{}</text>",
                group.name
            ));
            for (place, (value, colour)) in group.values.iter().zip(COLOURS).enumerate() {
                let (x, tall) = (x + BAR * place as f64, HEIGHT * value / first(group) / highest);
                add(bar(x, base, tall, colour, &format!("{value:.0}"), self.unit));
            }
        }
        let _ = writeln!(svg, "</svg>");
        svg
    }
}

/// A bar with its value above it.
fn bar(x: f64, base: f64, tall: f64, colour: &str, value: &str, unit: &str) -> String {
    let (y, wide, middle) = (base - tall, BAR - 2.0, x + (BAR - 2.0) / 2.0);
    format!(
        "<rect x=\"{x:.0}\" y=\"{y:.1}\" width=\"{wide}\" height=\"{tall:.1}\" fill=\"{colour}\"><title>{value} {unit}</title></rect>\
         <text x=\"{middle:.0}\" y=\"{:.1}\" font-size=\"8\" text-anchor=\"middle\">{value}</text>",
        y - 3.0
    )
}
