//! The page's tables and forms.

use super::Notes;
use crate::evaluation::Axis;
use crate::evaluation::judge::check::INDICATIVE;
use crate::reports::figures::{colour, plain, signed};
use crate::reports::items::ItemRow;
use crate::reports::svg::escape;
use crate::results::{Arm, Change, Judged, Results, lower_is_better};
use std::collections::BTreeSet;
use std::fmt::Write;

/// An axis's name with a capital.
fn heading(axis: Axis) -> &'static str {
    match axis {
        Axis::Proficiency => "Proficiency",
        Axis::Safety => "Safety",
        Axis::Knowledge => "Knowledge",
    }
}

/// The arm's colour as a mark before its name.
pub fn dot(results: &Results, arm: &Arm) -> String {
    format!(
        "<span class=\"dot\" data-colour=\"{}\" aria-hidden=\"true\"></span>",
        colour(results, arm)
    )
}

/// A p value as people write it; below a thousandth the size says nothing more.
fn decimals(metric: &str) -> usize {
    if metric.ends_with("nll") { 3 } else { 1 }
}

/// Before, after, net change, interval, p, n, unscored.
fn cells(change: &Change) -> String {
    let decimals = decimals(&change.metric);
    let better = (change.net_change > 0.0) != lower_is_better(&change.metric);
    let class = match (change.is_clear(), better) {
        (false, _) => "unclear",
        (true, true) => "better",
        (true, false) => "worse",
    };
    format!(
        "<td>{}</td><td>{}</td><td class=\"net {class}\">{}</td><td>{} to {}</td><td>{}</td><td>{}</td><td>{}</td>",
        plain(change.before, decimals),
        plain(change.after, decimals),
        signed(change.net_change, decimals),
        signed(change.ci95[0], decimals),
        signed(change.ci95[1], decimals),
        escape(&change.probability()),
        change.n,
        change.unscored,
    )
}

const COLUMNS: &str = "<th scope=\"col\">before</th><th scope=\"col\">after</th><th scope=\"col\">net change</th>\
     <th scope=\"col\">95% interval</th><th scope=\"col\">p</th><th scope=\"col\">n</th><th scope=\"col\">unscored</th>";

/// The three axes by arm, and the judged numbers beneath where a judge is configured.
pub fn axis_table(results: &Results) -> String {
    let mut rows = String::new();
    for axis in Axis::ALL {
        let group: Vec<_> = results
            .arms
            .iter()
            .filter_map(|arm| Some((arm, arm.axes.get(axis.name())?)))
            .collect();
        let Some((_, first)) = group.first() else {
            continue;
        };
        let _ = write!(
            rows,
            "<tbody><tr class=\"group\"><th scope=\"rowgroup\" colspan=\"8\"><div class=\"sticky\">{} <span>{} · {}</span></div></th></tr>",
            heading(axis),
            escape(&first.metric.replace('_', " ")),
            escape(&first.suite.replace('+', " + ")),
        );
        for (arm, change) in &group {
            // A hosted arm may be measured by another number than the others of its axis.
            let other = if change.metric == first.metric {
                String::new()
            } else {
                format!(" <span>{}</span>", escape(&change.metric.replace('_', " ")))
            };
            let _ = write!(
                rows,
                "<tr><th scope=\"row\">{}{}{other}</th>{}</tr>",
                dot(results, arm),
                escape(&arm.name),
                cells(change)
            );
            if let Some(judged) = &change.judged {
                let agreement = agreement(judged);
                let _ = write!(
                    rows,
                    "<tr class=\"judged\"><th scope=\"row\">judged by {}{agreement}</th>{}</tr>",
                    escape(&judged.judge),
                    cells(&judged.change)
                );
            }
        }
        rows.push_str("</tbody>");
    }
    format!(
        "<p class=\"note\">Points, 0 to 100. A net change is coloured where its interval leaves out zero.</p>\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"The three axes\"><table>\
         <thead><tr><th scope=\"col\">arm</th>{COLUMNS}</tr></thead>{rows}</table></div>"
    )
}

/// How far a judge can be believed, as its row says it.
fn agreement(judged: &Judged) -> String {
    let Some(share) = judged.agreement else {
        return ", not checked".into();
    };
    let mut text = format!(", agreement {}%", plain(100.0 * share, 0));
    if let Some(kappa) = judged.kappa {
        let _ = write!(text, ", kappa {}", plain(kappa, 2));
        if kappa < INDICATIVE {
            text.push_str(": indicative");
        }
    }
    text
}

/// Every metric, folded, a table an arm.
pub fn metric_tables(results: &Results) -> String {
    let mut folded = String::new();
    for arm in &results.arms {
        if arm.metrics.is_empty() {
            continue;
        }
        let mut rows = String::new();
        for (name, change) in &arm.metrics {
            let (suite, metric) = name.split_once('/').unwrap_or(("", name));
            let lower = if lower_is_better(metric) {
                " <span>lower is better</span>"
            } else {
                ""
            };
            let _ = write!(
                rows,
                "<tr><th scope=\"row\"><span>{}</span> {}{lower}</th>{}</tr>",
                escape(suite),
                escape(&metric.replace('_', " ")),
                cells(change)
            );
        }
        let _ = write!(
            folded,
            "<details class=\"metrics\"><summary>{}Every metric of {} ({})</summary><p class=\"note\">Shares in points; nll in nats a token.</p>\
             <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Metrics of {}\"><table>\
             <thead><tr><th scope=\"col\">metric</th>{COLUMNS}</tr></thead><tbody>{rows}</tbody></table></div></details>",
            dot(results, arm),
            escape(&arm.name),
            arm.metrics.len(),
            escape(&arm.name),
        );
    }
    folded
}

/// Thousands apart by a narrow space.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A length of time in the two largest units that matter.
fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// Drift and what training cost, an arm a row.
pub fn cost_table(results: &Results) -> String {
    let mut rows = String::new();
    for arm in &results.arms {
        let training = &arm.training;
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            dot(results, arm),
            escape(&arm.name),
            arm.drift
                .kl_per_token
                .map_or("–".to_owned(), |drift| plain(drift, 4)),
            grouped(training.steps),
            grouped(training.tokens),
            plain(training.tokens_per_second, 0),
            duration(training.seconds),
            // Elsewhere nobody tells.
            match training.peak_memory_bytes {
                0 => "–".to_owned(),
                bytes => format!("{} GB", plain(bytes as f64 / 1e9, 2)),
            },
        );
    }
    format!(
        "<h3>Drift and training cost</h3><p class=\"note\">Drift is the mean KL(base ‖ tuned) in nats a token, on the base's own \
         replies to general and safety prompts.</p><div class=\"scroll\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Drift and training cost\"><table><thead><tr><th scope=\"col\">arm</th><th scope=\"col\">drift</th><th scope=\"col\">steps</th>\
         <th scope=\"col\">tokens</th><th scope=\"col\">tokens/s</th><th scope=\"col\">time</th><th scope=\"col\">peak memory</th>\
         </tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

/// The filters and the empty list; the script fills it.
pub fn item_browser(results: &Results, items: &[ItemRow]) -> String {
    let options = |values: Vec<String>| {
        values
            .into_iter()
            .map(|value| format!("<option>{}</option>", escape(&value)))
            .collect::<String>()
    };
    let axes: BTreeSet<Axis> = items.iter().map(|row| row.axis).collect();
    let suites: BTreeSet<&str> = items.iter().map(|row| row.suite.as_str()).collect();
    format!(
        "<form class=\"filters\" id=\"filters\">\
         <label>Axis <select id=\"axis\"><option value=\"\">all</option>{}</select></label>\
         <label>Suite <select id=\"suite\"><option value=\"\">all</option>{}</select></label>\
         <label>Arm <select id=\"arm\"><option value=\"\">all</option>{}</select></label>\
         <label class=\"search\">Search <input type=\"search\" id=\"search\" autocomplete=\"off\" placeholder=\"prompt or reply\"></label>\
         <label class=\"check\"><input type=\"checkbox\" id=\"flipped\"> only those that flipped</label>\
         <label class=\"check\"><input type=\"checkbox\" id=\"reveal\"> show safety texts</label></form>\
         <p class=\"lead\" id=\"count\" role=\"status\" aria-live=\"polite\"></p>\
         <p class=\"note\">Safety items may quote hurtful statements and unsafe replies; they stay covered until you show them. \
         An item flipped when its yes/no score changed between before and after.</p>\
         <ol class=\"items\" id=\"list\"></ol><button type=\"button\" id=\"more\" hidden>Show more</button>\
         <noscript><p>The items need JavaScript. They are also in <code>samples.jsonl</code>, a line an item.</p></noscript>",
        options(
            axes.into_iter()
                .map(|axis| axis.name().to_owned())
                .collect()
        ),
        options(suites.into_iter().map(String::from).collect()),
        options(results.arms.iter().map(|arm| arm.name.clone()).collect()),
    )
}

/// Everything needed to make the report again.
pub fn how_made(results: &Results, notes: &Notes) -> String {
    let mut text = String::from("<dl>");
    let mut entry = |name: &str, value: String| {
        let _ = write!(text, "<dt>{name}</dt><dd>{value}</dd>");
    };
    let base = &results.base;
    entry("Base", escape(&base.id));
    if let Some(revision) = &base.revision {
        entry("Revision", format!("<code>{}</code>", escape(revision)));
    }
    if !base.sha256.is_empty() {
        entry("SHA-256", format!("<code>{}</code>", escape(&base.sha256)));
    }
    let seeds: BTreeSet<u64> = results.seeds.iter().copied().collect();
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    entry("Seeds", seeds.join(", "));
    entry("Made", escape(&results.created));
    if !notes.version.is_empty() {
        entry("steadfast", escape(&notes.version));
    }
    text.push_str("</dl>");
    if !notes.command.is_empty() {
        let _ = write!(text, "<pre><code>{}</code></pre>", escape(&notes.command));
    }
    if !notes.suites.is_empty() {
        let mut rows = String::new();
        for suite in &notes.suites {
            let _ = write!(
                rows,
                "<tr><th scope=\"row\">{}</th><td class=\"words\">{}</td><td>{}</td><td class=\"words\">{}</td></tr>",
                escape(&suite.name),
                suite.axis.name(),
                suite.items,
                escape(&suite.source)
            );
        }
        let _ = write!(
            text,
            "<h3>Suites</h3><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Suites\"><table><thead><tr>\
             <th scope=\"col\">suite</th><th scope=\"col\" class=\"words\">axis</th><th scope=\"col\">items</th>\
             <th scope=\"col\" class=\"words\">source</th></tr></thead><tbody>{rows}</tbody></table></div>"
        );
    }
    let mut rows = String::new();
    for arm in &results.arms {
        let settings: Vec<String> = arm
            .hyperparameters
            .iter()
            .map(|(name, value)| {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), String::from);
                format!(
                    "<span class=\"setting\">{} <b>{}</b></span>",
                    escape(name),
                    escape(&value)
                )
            })
            .collect();
        let _ = write!(
            rows,
            "<tr><th scope=\"row\">{}{}</th><td class=\"words\">{}</td><td class=\"words\">{}</td><td>{}</td><td class=\"words settings\">{}</td></tr>",
            dot(results, arm),
            escape(&arm.name),
            escape(&arm.method),
            escape(&arm.provider),
            arm.seed,
            settings.join(" ")
        );
    }
    let _ = write!(
        text,
        "<h3>Arms</h3><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Arms\"><table><thead><tr>\
         <th scope=\"col\">arm</th><th scope=\"col\" class=\"words\">method</th><th scope=\"col\" class=\"words\">provider</th>\
         <th scope=\"col\">seed</th><th scope=\"col\" class=\"words\">hyperparameters</th></tr></thead><tbody>{rows}</tbody></table></div>"
    );
    text
}
