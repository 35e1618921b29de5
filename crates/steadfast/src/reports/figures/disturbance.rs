//! How much each layer's output on retained text moved: one strip an arm, module by layer.

use super::{Figure, Palette, heading};
use crate::reports::svg::{self, Anchor, Element, label, line, rectangle};
use crate::results::{Arm, Results};
use crate::settings::arm::PROJECTIONS;
use std::collections::BTreeMap;

const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
const ROW: f64 = 14.0;

/// Splits `model.layers.3.self_attn.q_proj` into 3 and `q_proj`; paths without a number are layer 0.
fn place(path: &str) -> (usize, &str) {
    let index = path
        .split('.')
        .find_map(|part| part.parse().ok())
        .unwrap_or(0);
    let module = path
        .rsplit('.')
        .find(|part| !part.is_empty() && part.parse::<usize>().is_err())
        .unwrap_or(path);
    (index, module)
}

fn rank(module: &str) -> (usize, &str) {
    let place = PROJECTIONS.iter().position(|name| *name == module);
    (place.unwrap_or(PROJECTIONS.len()), module)
}

/// A share of the layer's output power, in few characters.
fn share(value: f64) -> String {
    let percent = 100.0 * value;
    if percent == 0.0 {
        return "0%".into();
    }
    if percent < 1e-4 {
        return format!("{percent:.0e}%");
    }
    // Two figures that count, whatever the size.
    let decimals = (1.0 - percent.log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{percent:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}%")
}

/// The relative disturbance of every layer, dark where much moved, on one logarithmic scale for all arms.
pub fn disturbance(results: &Results, palette: &Palette) -> Figure {
    let arms: Vec<&Arm> = results
        .arms
        .iter()
        .filter(|arm| !arm.disturbance.is_empty())
        .collect();
    let layers = arms
        .iter()
        .flat_map(|arm| &arm.disturbance)
        .map(|entry| place(&entry.layer).0 + 1)
        .max()
        .unwrap_or(1);
    let mut modules: Vec<&str> = arms
        .iter()
        .flat_map(|arm| &arm.disturbance)
        .map(|entry| place(&entry.layer).1)
        .collect();
    modules.sort_by_key(|module| rank(module));
    modules.dedup();

    let width = 360f64.max(LEFT + RIGHT + 9.0 * layers as f64);
    let cell = (width - LEFT - RIGHT) / layers as f64;
    let mut body = Element::new("g");
    let lines = [
        "output change on retained text, as a share of the layer's output power (logarithmic)"
            .to_owned(),
    ];
    let mut y = heading(&mut body, palette, width, "Disturbance by layer", &lines) + 4.0;

    let positive = || {
        arms.iter()
            .flat_map(|arm| &arm.disturbance)
            .map(|entry| entry.value)
            .filter(|value| *value > 0.0)
    };
    let high = positive().fold(f64::MIN_POSITIVE, f64::max);
    // Four decades are as much as shades can tell apart.
    let low = positive()
        .fold(high, f64::min)
        .max(high * 1e-4)
        .min(high * 0.1);
    let shade = |value: f64| {
        if value <= 0.0 {
            0.0
        } else {
            0.06 + 0.94 * ((value.max(low) / low).ln() / (high / low).ln()).clamp(0.0, 1.0)
        }
    };

    if arms.is_empty() {
        body.push(label(
            12.0,
            y + 16.0,
            12.0,
            Anchor::Start,
            &palette.muted,
            "No arm reports a disturbance.",
        ));
        y += 30.0;
    } else {
        body.push(label(
            12.0,
            y + 9.0,
            11.0,
            Anchor::Start,
            &palette.muted,
            &share(low),
        ));
        let key = 12.0 + svg::text_width(&share(low), 11.0) + 6.0;
        for step in 0..24 {
            let value = low * (high / low).powf(f64::from(step) / 23.0);
            body.push(
                rectangle(key + 4.0 * f64::from(step), y, 4.0, 10.0, &palette.ink)
                    .set("fill-opacity", svg::coordinate(shade(value))),
            );
        }
        body.push(label(
            key + 102.0,
            y + 9.0,
            11.0,
            Anchor::Start,
            &palette.muted,
            &share(high),
        ));
        y += 16.0;
    }

    let mut said = Vec::new();
    for arm in &arms {
        let values: BTreeMap<(usize, &str), f64> = arm
            .disturbance
            .iter()
            .map(|entry| (place(&entry.layer), entry.value))
            .collect();
        let mean = arm.disturbance.iter().map(|entry| entry.value).sum::<f64>()
            / arm.disturbance.len() as f64;
        let highest = arm
            .disturbance
            .iter()
            .max_by(|left, right| left.value.total_cmp(&right.value));
        y += 22.0;
        let colour = palette.arm(results, arm);
        let summary = format!("mean {}", share(mean));
        let room = width - 24.0 - svg::text_width(&summary, 11.0) - 16.0;
        let name = svg::wrap(&arm.name, 12.5, room, 1).join(" ");
        body.push(
            label(12.0, y, 12.5, Anchor::Start, &palette.ink, &name).set("font-weight", "600"),
        );
        body.push(label(
            width - RIGHT,
            y,
            11.0,
            Anchor::End,
            &palette.muted,
            &summary,
        ));
        y += 6.0;
        for module in &modules {
            let short = module.trim_end_matches("_proj");
            let short = svg::wrap(short, 11.0, LEFT - 18.0, 1).join("");
            body.push(label(
                LEFT - 6.0,
                y + 10.5,
                11.0,
                Anchor::End,
                &palette.muted,
                &short,
            ));
            for layer in 0..layers {
                let Some(value) = values.get(&(layer, *module)) else {
                    continue;
                };
                body.push(
                    rectangle(LEFT + cell * layer as f64, y, cell - 0.8, ROW - 1.2, colour)
                        .set("class", "cell")
                        .set("fill-opacity", svg::coordinate(shade(*value)))
                        .child(Element::new("title").text(format!(
                            "{}, layer {layer} {module}: {}",
                            arm.name,
                            share(*value)
                        ))),
                );
            }
            y += ROW;
        }
        let mut marks: Vec<usize> = (0..layers)
            .step_by(if layers > 12 { 5 } else { 1 })
            .collect();
        marks.retain(|mark| *mark == 0 || layers - mark > 1 || layers <= 12);
        body.push(line(
            (LEFT, y + 1.0),
            (width - RIGHT, y + 1.0),
            &palette.grid,
            1.0,
        ));
        for mark in marks {
            let x = LEFT + cell * (mark as f64 + 0.5);
            body.push(label(
                x,
                y + 14.0,
                10.5,
                Anchor::Middle,
                &palette.muted,
                &mark.to_string(),
            ));
        }
        body.push(label(
            LEFT - 6.0,
            y + 14.0,
            10.5,
            Anchor::End,
            &palette.muted,
            "layer",
        ));
        y += 16.0;
        if let Some(highest) = highest {
            said.push(format!(
                "{}: mean {}, most at {} ({}).",
                arm.name,
                share(mean),
                highest.layer,
                share(highest.value)
            ));
        }
    }
    Figure {
        name: "disturbance".into(),
        title: "Disturbance by layer".into(),
        description: if said.is_empty() {
            "No arm reports a disturbance.".into()
        } else {
            said.join(" ")
        },
        width,
        height: y + 12.0,
        body,
        paper: palette.paper.clone(),
    }
}
