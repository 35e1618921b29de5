//! Learning against forgetting: one point an arm, up and to the right is better.

use super::{Figure, Palette, callout, heading, plain, signed, ticks};
use crate::evaluation::Axis;
use crate::reports::results::{FrontierPoint, Results};
use crate::reports::svg::{self, Anchor, Element, label, line};

const WIDTH: f64 = 360.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 14.0;
const PLOT_HEIGHT: f64 = 190.0;

/// Both panels in one figure, for files.
pub fn frontier(results: &Results, palette: &Palette) -> Figure {
    let safety = frontier_panel(results, Axis::Safety, palette);
    let knowledge = frontier_panel(results, Axis::Knowledge, palette);
    let moved = Element::new("g")
        .set(
            "transform",
            format!("translate({} 0)", svg::coordinate(WIDTH)),
        )
        .child(knowledge.body);
    Figure {
        name: "frontier".into(),
        title: "Learning against forgetting".into(),
        description: format!("{} {}", safety.description, knowledge.description),
        width: 2.0 * WIDTH,
        height: safety.height.max(knowledge.height),
        body: Element::new("g").child(safety.body).child(moved),
        paper: palette.paper.clone(),
    }
}

struct Point<'a> {
    arm: &'a str,
    colour: &'a str,
    x: f64,
    y: f64,
    x_interval: Option<[f64; 2]>,
    y_interval: Option<[f64; 2]>,
}

/// One panel: what was learnt (right) against what was kept (up) of safety or knowledge.
pub fn frontier_panel(results: &Results, axis: Axis, palette: &Palette) -> Figure {
    let kept = if axis == Axis::Safety {
        "Safety"
    } else {
        "Knowledge"
    };
    let loss = |point: &FrontierPoint| {
        if axis == Axis::Safety {
            point.safety_loss
        } else {
            point.knowledge_loss
        }
    };
    let points: Vec<Point> = results
        .frontier
        .iter()
        .filter_map(|point| {
            let arm = results.arms.iter().find(|arm| arm.name == point.arm)?;
            let interval = |axis: Axis| arm.axes.get(axis.name()).map(|change| change.ci95);
            Some(Point {
                arm: &point.arm,
                colour: palette.arm(results, arm),
                x: point.gain,
                y: -loss(point),
                x_interval: interval(Axis::Proficiency),
                y_interval: interval(axis),
            })
        })
        .collect();

    let mut body = Element::new("g");
    let lines = ["one point an arm, with 95% intervals".to_owned()];
    let top = heading(&mut body, palette, WIDTH, &format!("{kept} kept"), &lines) + 18.0;
    let bottom = top + PLOT_HEIGHT;
    let across = |value: fn(&Point) -> (f64, Option<[f64; 2]>)| {
        let values: Vec<f64> = points
            .iter()
            .flat_map(|point| {
                let (value, interval) = value(point);
                [value].into_iter().chain(interval.into_iter().flatten())
            })
            .chain([0.0])
            .collect();
        let low = values.iter().copied().fold(0.0, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        ticks(low, high.max(low + 1.0), 4)
    };
    let x_ticks = across(|point| (point.x, point.x_interval));
    let y_ticks = across(|point| (point.y, point.y_interval));
    let scale = |ticks: &[f64], from: f64, to: f64| {
        let (low, high) = (ticks[0], ticks[ticks.len() - 1]);
        move |value: f64| from + (value - low) / (high - low) * (to - from)
    };
    let x = scale(&x_ticks, LEFT, WIDTH - RIGHT);
    let y = scale(&y_ticks, bottom, top);
    for tick in &y_ticks {
        let strong = *tick == 0.0;
        let stroke = if strong {
            &palette.muted
        } else {
            &palette.grid
        };
        body.push(line(
            (LEFT, y(*tick)),
            (WIDTH - RIGHT, y(*tick)),
            stroke,
            1.0,
        ));
        body.push(label(
            LEFT - 9.0,
            y(*tick) + 4.0,
            11.0,
            Anchor::End,
            &palette.muted,
            &signed(*tick, usize::from(tick.fract() != 0.0)),
        ));
    }
    for tick in &x_ticks {
        let strong = *tick == 0.0;
        let stroke = if strong {
            &palette.muted
        } else {
            &palette.grid
        };
        body.push(line((x(*tick), top), (x(*tick), bottom), stroke, 1.0));
        body.push(label(
            x(*tick),
            bottom + 16.0,
            11.0,
            Anchor::Middle,
            &palette.muted,
            &signed(*tick, usize::from(tick.fract() != 0.0)),
        ));
    }
    let across_label = "change of proficiency, points";
    body.push(label(
        (LEFT + WIDTH - RIGHT) / 2.0,
        bottom + 34.0,
        11.0,
        Anchor::Middle,
        &palette.muted,
        across_label,
    ));
    let up_label = format!("change of {}, points", kept.to_lowercase());
    body.push(label(
        12.0,
        top - 10.0,
        11.0,
        Anchor::Start,
        &palette.muted,
        &up_label,
    ));

    // The base stands where nothing is learnt and nothing lost.
    let origin = (x(0.0), y(0.0));
    let mut taken = vec![around(origin, 6.0)];
    taken.extend(
        points
            .iter()
            .map(|point| around((x(point.x), y(point.y)), 7.0)),
    );
    body.push(
        Element::new("circle")
            .at("cx", origin.0)
            .at("cy", origin.1)
            .at("r", 4.5)
            .set("fill", &palette.before)
            .set("stroke", &palette.muted),
    );
    let frame = [LEFT, top, WIDTH - 2.0, bottom];
    if let Some(place) = place_label("base", origin, &taken, frame) {
        taken.push(place.0);
        body.push(label(
            place.1.0,
            place.1.1,
            11.5,
            Anchor::Start,
            &palette.muted,
            "base",
        ));
    }
    for point in &points {
        let centre = (x(point.x), y(point.y));
        if let Some([low, high]) = point.x_interval {
            body.push(
                line((x(low), centre.1), (x(high), centre.1), point.colour, 1.5)
                    .set("opacity", "0.55"),
            );
        }
        if let Some([low, high]) = point.y_interval {
            body.push(
                line((centre.0, y(low)), (centre.0, y(high)), point.colour, 1.5)
                    .set("opacity", "0.55"),
            );
        }
        body.push(
            Element::new("circle")
                .at("cx", centre.0)
                .at("cy", centre.1)
                .at("r", 6.0)
                .set("class", "point")
                .set("fill", point.colour)
                .child(Element::new("title").text(format!(
                    "{}: {} proficiency, {} {}",
                    point.arm,
                    signed(point.x, 1),
                    signed(point.y, 1),
                    kept.to_lowercase()
                ))),
        );
    }
    let intervals: Vec<[f64; 4]> = points
        .iter()
        .flat_map(|point| {
            let (across, up) = (x(point.x), y(point.y));
            let horizontal = point
                .x_interval
                .map(|[low, high]| [x(low), up - 1.0, x(high), up + 1.0]);
            let vertical = point
                .y_interval
                .map(|[low, high]| [across - 1.0, y(high), across + 1.0, y(low)]);
            horizontal.into_iter().chain(vertical)
        })
        .collect();
    for point in &points {
        let centre = (x(point.x), y(point.y));
        let name = svg::wrap(point.arm, 12.0, 150.0, 1).join(" ");
        // Clear of points, names and intervals if that can be; else of points and names; where nothing
        // is free the name still stands at the right: over a line is better than nowhere.
        let crowded: Vec<[f64; 4]> = taken.iter().chain(&intervals).copied().collect();
        let (area, at) = place_label(&name, centre, &crowded, frame)
            .or_else(|| place_label(&name, centre, &taken, frame))
            .unwrap_or(([0.0; 4], (centre.0 + 9.0, centre.1 - 8.0)));
        taken.push(area);
        body.push(callout(palette, at, 12.0, Anchor::Start, &name));
    }
    let nowhere = "no arm has a number on both axes";
    if points.is_empty() {
        let middle = ((LEFT + WIDTH - RIGHT) / 2.0, top + 60.0);
        body.push(label(
            middle.0,
            middle.1,
            12.0,
            Anchor::Middle,
            &palette.muted,
            nowhere,
        ));
    }
    let mut description = points
        .iter()
        .map(|point| {
            format!(
                "{}: proficiency {}, {} {} points.",
                point.arm,
                signed(point.x, 1),
                kept.to_lowercase(),
                plain(point.y, 1)
            )
        })
        .collect::<Vec<_>>()
        .join(" ");
    if description.is_empty() {
        description = format!("{nowhere}.");
    }
    Figure {
        name: format!("frontier-{}", axis.name()),
        title: format!("{kept} kept against proficiency learnt"),
        description,
        width: WIDTH,
        height: bottom + 46.0,
        body,
        paper: palette.paper.clone(),
    }
}

/// A square as left, top, right, bottom.
fn around(centre: (f64, f64), half: f64) -> [f64; 4] {
    [
        centre.0 - half,
        centre.1 - half,
        centre.0 + half,
        centre.1 + half,
    ]
}

/// The first free place for a label among eight around a point: its area, and its baseline's start.
/// The diagonals come first, since intervals run along the axes.
fn place_label(
    text: &str,
    centre: (f64, f64),
    taken: &[[f64; 4]],
    frame: [f64; 4],
) -> Option<([f64; 4], (f64, f64))> {
    let (width, height) = (svg::text_width(text, 12.0), 13.0);
    let (right, left) = (centre.0 + 8.0, centre.0 - 8.0 - width);
    let (up, down) = (centre.1 - 8.0, centre.1 + 18.0);
    let middle = (centre.0 - width / 2.0, centre.1 + 4.0);
    [
        (right, up),
        (right, down),
        (left, up),
        (left, down),
        (right, middle.1),
        (left, middle.1),
        (middle.0, up - 4.0),
        (middle.0, down + 4.0),
    ]
    .into_iter()
    .map(|(x, y)| ([x, y - height + 2.0, x + width, y + 3.0], (x, y)))
    .find(|(area, _)| {
        let inside = area[0] >= frame[0]
            && area[1] >= frame[1] - 12.0
            && area[2] <= frame[2]
            && area[3] <= frame[3];
        let free = taken.iter().all(|other| {
            area[2] < other[0] || other[2] < area[0] || area[3] < other[1] || other[3] < area[1]
        });
        inside && free
    })
}
