//! The figures of a study, drawn once and written three ways: inside the page (colours follow the
//! reader's theme), as SVG files and as PNG files (always light).

mod bars;
mod disturbance;
mod labels;
mod png;
mod scatter;

pub use bars::before_after;
pub use disturbance::disturbance;
pub use png::to_png;
pub use scatter::{Kept, frontier, frontier_panel};

use super::svg::{self, Anchor, Element, label};
use crate::results::{Arm, Results};
use std::collections::BTreeSet;

/// The fonts of a figure. Noto Sans is what PNG files are drawn with; browsers take what they have.
const FONTS: &str = "'Noto Sans', system-ui, 'Segoe UI', Helvetica, Arial, sans-serif";

/// How many arms have a colour of their own.
pub const ARM_COLOURS: usize = 8;

/// Colours by role.
#[derive(Clone, Debug, PartialEq)]
pub struct Palette {
    /// Behind everything; none where the page shows through.
    pub paper: Option<String>,
    /// Around labels that may cross a line.
    pub halo: String,
    /// Text and whiskers.
    pub ink: String,
    /// Secondary text.
    pub muted: String,
    /// Grid lines.
    pub grid: String,
    /// Bars of the base.
    pub before: String,
    /// Bars and points of the arms, in order, then again from the start.
    pub arms: Vec<String>,
}

impl Palette {
    /// Fixed colours on white, for files and print. The arms are Okabe and Ito's colours, which stay
    /// apart under the common forms of colour blindness; the darker ones come first.
    pub fn light() -> Self {
        let arms = [
            "#0072b2", "#d55e00", "#009e73", "#a6548f", "#3b8fc4", "#a87900", "#5b5ea6", "#7a4b2a",
        ];
        Self {
            paper: Some("#ffffff".into()),
            halo: "#ffffff".into(),
            ink: "#1b1f24".into(),
            muted: "#59626c".into(),
            grid: "#dfe3e8".into(),
            before: "#b4bbc4".into(),
            arms: arms.map(String::from).to_vec(),
        }
    }

    /// CSS variables that the page defines for light, dark and print.
    pub fn page() -> Self {
        Self {
            paper: None,
            halo: "var(--paper)".into(),
            ink: "var(--ink)".into(),
            muted: "var(--muted)".into(),
            grid: "var(--grid)".into(),
            before: "var(--before)".into(),
            arms: (0..ARM_COLOURS)
                .map(|arm| format!("var(--arm-{arm})"))
                .collect(),
        }
    }

    /// The colour of an arm.
    pub fn arm(&self, results: &Results, arm: &Arm) -> &str {
        &self.arms[colour(results, arm) % self.arms.len()]
    }
}

/// Which of [`ARM_COLOURS`] colours an arm has, the same in every figure, table and list.
/// Past that many arms, arms of one method share a colour.
pub fn colour(results: &Results, arm: &Arm) -> usize {
    let arms = &results.arms;
    let place = if arms.len() <= ARM_COLOURS {
        arms.iter().position(|other| other.name == arm.name)
    } else {
        let methods: BTreeSet<&str> = arms.iter().map(|arm| arm.method.as_str()).collect();
        methods.into_iter().position(|method| method == arm.method)
    };
    place.unwrap_or(0) % ARM_COLOURS
}

/// One drawing, with what a screen reader says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// File name without an ending, and the prefix of ids in the page.
    pub name: String,
    /// What it shows, in a few words.
    pub title: String,
    /// The same as the drawing, in words.
    pub description: String,
    /// In user units (CSS pixels).
    pub width: f64,
    /// In user units (CSS pixels).
    pub height: f64,
    /// The drawing.
    body: Element,
    paper: Option<String>,
}

impl Figure {
    /// The figure as a document of its own, or as an element of a page.
    pub fn svg(&self) -> String {
        let (title, description) = (
            format!("{}-title", self.name),
            format!("{}-desc", self.name),
        );
        let mut root = Element::new("svg")
            .set("xmlns", "http://www.w3.org/2000/svg")
            .set("id", &self.name)
            .set("class", "figure")
            .at("width", self.width)
            .at("height", self.height)
            .set(
                "viewBox",
                format!(
                    "0 0 {} {}",
                    svg::coordinate(self.width),
                    svg::coordinate(self.height)
                ),
            )
            .set("role", "img")
            .set("aria-labelledby", format!("{title} {description}"))
            .set("font-family", FONTS)
            .child(Element::new("title").set("id", title).text(&self.title))
            .child(
                Element::new("desc")
                    .set("id", description)
                    .text(&self.description),
            );
        if let Some(paper) = &self.paper {
            root.push(svg::rectangle(0.0, 0.0, self.width, self.height, paper));
        }
        root.push(self.body.clone());
        root.render()
    }
}

/// Every figure that is written as a file: each axis, the frontier, the disturbance.
pub fn all(results: &Results, chance: impl Fn(&str) -> Option<f64>) -> Vec<Figure> {
    let palette = Palette::light();
    let mut figures: Vec<Figure> = results
        .measured()
        .map(|axis| before_after(results, axis, chance(axis.name()), &palette))
        .collect();
    figures.push(frontier(results, &palette));
    figures.push(disturbance(results, &palette));
    figures
}

/// A number of points with a sign: `+12.5`, `−3.0`, `0.0`. The minus is U+2212, as wide as the plus.
pub fn signed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let is_zero = text.chars().all(|character| matches!(character, '0' | '.'));
    match (is_zero, value < 0.0) {
        (true, _) => text,
        (false, true) => format!("−{text}"),
        (false, false) => format!("+{text}"),
    }
}

/// A number without a plus, with a real minus.
pub fn plain(value: f64, decimals: usize) -> String {
    signed(value, decimals).trim_start_matches('+').to_owned()
}

/// A bold label in the drawing itself, kept legible where it crosses a line.
fn callout(palette: &Palette, at: (f64, f64), size: f64, anchor: Anchor, text: &str) -> Element {
    label(at.0, at.1, size, anchor, &palette.ink, text)
        .set("font-weight", "700")
        .set("stroke", &palette.halo)
        .set("stroke-width", "4")
        .set("stroke-linejoin", "round")
        .set("paint-order", "stroke")
}

/// The heading of a figure: a title, and lines below it. Returns where the drawing may start.
fn heading(
    body: &mut Element,
    palette: &Palette,
    width: f64,
    title: &str,
    lines: &[String],
) -> f64 {
    body.push(
        label(12.0, 24.0, 16.0, Anchor::Start, &palette.ink, title).set("font-weight", "700"),
    );
    let mut y = 26.0;
    for line in lines {
        for part in svg::wrap(line, 12.0, width - 24.0, 2) {
            y += 17.0;
            body.push(label(12.0, y, 12.0, Anchor::Start, &palette.muted, &part));
        }
    }
    y + 12.0
}

/// Round steps (1, 2 or 5 times a power of ten) that cover `low..high` in about `count` steps.
fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let span = (high - low).max(1e-9);
    let rough = span / count.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let first = (low / step + 1e-9).floor() as i64;
    let last = (high / step - 1e-9).ceil() as i64;
    (first..=last.max(first + 1))
        .map(|tick| tick as f64 * step)
        .collect()
}

#[cfg(test)]
#[path = "figures_tests.rs"]
mod tests;
