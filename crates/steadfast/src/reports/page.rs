//! `report.html`: one self-contained page, and the figures beside it.
//!
//! The page asks the network for nothing, and says so to the browser in a content security policy.
//! Items travel as JSON in the page and are only ever shown as text, never parsed as HTML.

mod parts;
mod words;

use super::figures::{self, Palette};
use super::items::{Axis, ItemRow};
use super::svg::escape;
use crate::results::Results;
use crate::runs::atomic;
use crate::{Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the page says that no result holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notes {
    /// The page's title (`Hotel booking on SmolLM2-135M-Instruct`).
    pub title: String,
    /// Something to read before anything else, set apart at the top.
    pub warning: Option<String>,
    /// The command that makes this report again.
    pub command: String,
    /// The version of the program.
    pub version: String,
    /// The suites that were measured.
    pub suites: Vec<SuiteNote>,
    /// The score of guessing, in points, by axis name or `<suite>/<metric>`.
    pub chance: BTreeMap<String, f64>,
    /// How well the constructive-reply scorer agrees with the labelled replies.
    pub agreement: Option<Agreement>,
    /// Further caveats, a sentence each.
    pub caveats: Vec<String>,
}

/// One suite, in the account of how the report was made.
#[derive(Clone, Debug, PartialEq)]
pub struct SuiteNote {
    /// Its name in metrics.
    pub name: String,
    /// What it measures.
    pub axis: Axis,
    /// Items asked.
    pub items: usize,
    /// Where they come from (`written by the project`, a path, a Hub id).
    pub source: String,
}

/// Agreement of the constructive-reply scorer with the labelled replies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Labelled replies that it was checked on.
    pub replies: usize,
    /// Share of equal labels, 0 to 1.
    pub agreement: f64,
    /// Cohen's kappa.
    pub kappa: f64,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// `report.html`.
    pub page: PathBuf,
    /// `figures/*.svg` and `figures/*.png`.
    pub figures: Vec<PathBuf>,
}

/// Writes `report.html` and `figures/{proficiency,safety,knowledge,frontier,disturbance}.{svg,png}`.
///
/// # Errors
/// When the results contradict themselves or the folder cannot be written.
pub fn write(
    folder: &Path,
    results: &Results,
    items: &[ItemRow],
    notes: &Notes,
) -> Result<Written> {
    results.check()?;
    let figures_folder = folder.join("figures");
    std::fs::create_dir_all(&figures_folder)
        .map_err(|cause| Error::file("write", &figures_folder, cause))?;
    let mut written = Vec::new();
    for figure in figures::all(results, |axis| notes.chance.get(axis).copied()) {
        let path = figures_folder.join(&figure.name);
        let svg = path.with_extension("svg");
        atomic::write(&svg, format!("{}\n", figure.svg()).as_bytes())?;
        let png = path.with_extension("png");
        atomic::write(&png, &figures::to_png(&figure)?)?;
        written.extend([svg, png]);
    }
    let page = folder.join("report.html");
    atomic::write(&page, render(results, items, notes)?.as_bytes())?;
    Ok(Written {
        page,
        figures: written,
    })
}

/// The page as text.
///
/// # Errors
/// A bug of ours, if the items cannot be written as JSON.
pub fn render(results: &Results, items: &[ItemRow], notes: &Notes) -> Result<String> {
    let title = if notes.title.is_empty() {
        &results.run
    } else {
        &notes.title
    };
    let palette = Palette::page();
    let figure = |figure: figures::Figure| {
        format!(
            "<figure tabindex=\"0\" aria-label=\"{}\">{}</figure>",
            escape(&figure.title),
            figure.svg()
        )
    };
    let axes: String = results
        .measured()
        .map(|axis| {
            let chance = notes.chance.get(axis.name()).copied();
            figure(figures::before_after(results, axis, chance, &palette))
        })
        .collect();
    let kept: Vec<figures::Kept> = figures::Kept::of(results).collect();
    let side_by_side = if kept.len() > 2 { "three" } else { "two" };
    let panels: String = kept
        .into_iter()
        .map(|kept| figure(figures::frontier_panel(results, kept, &palette)))
        .collect();
    let disturbance = figure(figures::disturbance(results, &palette));
    let warning = notes
        .warning
        .as_ref()
        .map(|warning| format!("<p class=\"warning\">{}</p>", escape(warning)))
        .unwrap_or_default();

    let style = include_str!("page/style.css");
    let script = include_str!("page/script.js");
    let data = embed(&items_json(results, items))?;
    let wide = if results.arms.len() > 4 { " many" } else { "" };
    Ok(format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="steadfast">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#items">Skip to the items</a>
<header>
<p class="run">{run}</p>
<h1>{title}</h1>
{warning}{headline}
</header>
<main>
<section aria-labelledby="axes-title">
<h2 id="axes-title">Before and after</h2>
<div class="figures three{wide}">{axes}</div>
<p class="note">{axes_note}</p>
</section>
<section aria-labelledby="table-title">
<h2 id="table-title">The numbers</h2>
{axis_table}
{metric_tables}
</section>
<section aria-labelledby="frontier-title">
<h2 id="frontier-title">Learning against forgetting</h2>
<p class="lead">To the right, more was learnt; higher up, more was kept.</p>
<div class="figures {side_by_side}">{panels}</div>
</section>
<section aria-labelledby="disturbance-title">
<h2 id="disturbance-title">What moved inside</h2>
<div class="columns"><div class="figures one">{disturbance}</div>
<div>{cost_table}</div></div>
</section>
<section aria-labelledby="caveats-title">
<h2 id="caveats-title">Caveats</h2>
{caveats}
</section>
<section aria-labelledby="made-title">
<h2 id="made-title">How this was made</h2>
{made}
</section>
<section aria-labelledby="items-title" id="items">
<h2 id="items-title">The items themselves</h2>
{browser}
</section>
</main>
<script type="application/json" id="data">{data}</script>
<script>
{script}</script>
</body>
</html>
"##,
        title = escape(title),
        run = escape(&words::provenance(results)),
        headline = words::headline(results),
        axes_note = escape(words::AXES_NOTE),
        axis_table = parts::axis_table(results),
        metric_tables = parts::metric_tables(results),
        cost_table = parts::cost_table(results),
        browser = parts::item_browser(results, items),
        caveats = words::caveats(results, notes),
        made = parts::how_made(results, notes),
    ))
}

/// The items as the page's script reads them, with each flip worked out.
fn items_json(results: &Results, items: &[ItemRow]) -> Value {
    let arms: Vec<&str> = results.arms.iter().map(|arm| arm.name.as_str()).collect();
    let rows: Vec<Value> = items
        .iter()
        .map(|row| {
            let flips: BTreeMap<&str, _> = arms
                .iter()
                .filter_map(|arm| Some((*arm, row.flip(arm)?)))
                .collect();
            let mut value = serde_json::to_value(row).unwrap_or(Value::Null);
            if let Some(object) = value.as_object_mut() {
                object.insert("flips".into(), json!(flips));
            }
            value
        })
        .collect();
    let colours: Vec<usize> = results
        .arms
        .iter()
        .map(|arm| figures::colour(results, arm))
        .collect();
    json!({ "arms": arms, "colours": colours, "items": rows })
}

/// JSON that can stand inside a script element: no `<`, `>`, `&`, and no line separators.
fn embed(value: &Value) -> Result<String> {
    let text = serde_json::to_string(value)
        .map_err(|cause| Error::bug("the items cannot be written as JSON").because(cause))?;
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            '\u{2028}' => safe.push_str("\\u2028"),
            '\u{2029}' => safe.push_str("\\u2029"),
            _ => safe.push(character),
        }
    }
    Ok(safe)
}

#[cfg(test)]
#[path = "page/tests.rs"]
mod tests;
