//! Learning against forgetting: one point an arm, up and to the right is better.

use super::labels::{NAME, NUMBER, OWN, Room, around};
use super::{Figure, Palette, callout, heading, plain, signed, ticks};
use crate::evaluation::Axis;
use crate::reports::svg::{self, Anchor, Element, label, line};
use crate::results::{Arm, FrontierPoint, Results};

const WIDTH: f64 = 360.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 14.0;
const PLOT_HEIGHT: f64 = 190.0;

/// What a panel shows upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The axis.
    Safety,
    /// The axis.
    Knowledge,
    /// Replies to safety prompts that say no line of the training data.
    Replies,
}

impl Kept {
    /// The panels that some arm has a number for.
    pub fn of(results: &Results) -> impl Iterator<Item = Self> {
        let axes: Vec<Axis> = results.measured().collect();
        let leaks = results.frontier.iter().any(|point| point.leakage.is_some());
        let shown = move |kept: &Self| match kept {
            Self::Safety => axes.contains(&Axis::Safety),
            Self::Knowledge => axes.contains(&Axis::Knowledge),
            Self::Replies => leaks,
        };
        [Self::Safety, Self::Knowledge, Self::Replies]
            .into_iter()
            .filter(shown)
    }

    /// For file names, texts and headings.
    fn word(self) -> &'static str {
        match self {
            Self::Safety => "safety",
            Self::Knowledge => "knowledge",
            Self::Replies => "replies",
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Self::Safety => "Safety kept",
            Self::Knowledge => "Knowledge kept",
            Self::Replies => "Own replies kept",
        }
    }

    fn up(self) -> &'static str {
        match self {
            Self::Safety => "change of safety, points",
            Self::Knowledge => "change of knowledge, points",
            Self::Replies => "change of replies free of learnt lines, points",
        }
    }

    /// What was kept of it, above 0 where there is more, and the 95% interval.
    fn change(self, arm: &Arm, point: &FrontierPoint) -> Option<(f64, Option<[f64; 2]>)> {
        let interval = |axis: Axis| arm.axes.get(axis.name()).map(|change| change.ci95);
        match self {
            Self::Safety => Some((-point.safety_loss, interval(Axis::Safety))),
            Self::Knowledge => Some((-point.knowledge_loss, interval(Axis::Knowledge))),
            Self::Replies => {
                let leakage = point.leakage?;
                let [low, high] = leakage.ci95;
                Some((-leakage.net_change, Some([-high, -low])))
            }
        }
    }
}

/// The panels side by side in one figure, for files.
pub fn frontier(results: &Results, palette: &Palette) -> Figure {
    let mut panels: Vec<Figure> = Kept::of(results)
        .map(|kept| frontier_panel(results, kept, palette))
        .collect();
    if panels.is_empty() {
        panels.push(frontier_panel(results, Kept::Safety, palette));
    }
    let count = panels.len() as f64;
    let height = panels.iter().map(|panel| panel.height).fold(0.0, f64::max);
    let descriptions: Vec<&str> = panels.iter().map(|it| it.description.as_str()).collect();
    let description = descriptions.join(" ");
    let mut body = Element::new("g");
    for (index, panel) in panels.into_iter().enumerate() {
        let left = svg::coordinate(index as f64 * WIDTH);
        let moved = Element::new("g").set("transform", format!("translate({left} 0)"));
        body.push(moved.child(panel.body));
    }
    Figure {
        name: "frontier".into(),
        title: "Learning against forgetting".into(),
        description,
        width: count * WIDTH,
        height,
        body,
        paper: palette.paper.clone(),
    }
}

struct Point<'a> {
    number: usize,
    arm: &'a str,
    colour: &'a str,
    x: f64,
    y: f64,
    x_interval: Option<[f64; 2]>,
    y_interval: Option<[f64; 2]>,
}

/// One panel: what was learnt (right) against what was kept (up).
pub fn frontier_panel(results: &Results, kept: Kept, palette: &Palette) -> Figure {
    let points: Vec<Point> = results
        .frontier
        .iter()
        .enumerate()
        .filter_map(|(index, point)| {
            let arm = results.arms.iter().find(|arm| arm.name == point.arm)?;
            let (y, y_interval) = kept.change(arm, point)?;
            let learnt = arm.axes.get(Axis::Proficiency.name());
            Some(Point {
                // The same in all panels, also in one that lacks an arm.
                number: index + 1,
                arm: &point.arm,
                colour: palette.arm(results, arm),
                x: point.gain,
                y,
                x_interval: learnt.map(|change| change.ci95),
                y_interval,
            })
        })
        .collect();

    let mut body = Element::new("g");
    let lines = ["one point an arm, with 95% intervals".to_owned()];
    let top = heading(&mut body, palette, WIDTH, kept.heading(), &lines) + 18.0;
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
        let text = signed(*tick, usize::from(tick.fract() != 0.0));
        // The last one would run out of the picture where it is long.
        let most = WIDTH - 2.0 - svg::text_width(&text, 11.0) / 2.0;
        body.push(label(
            x(*tick).min(most),
            bottom + 16.0,
            11.0,
            Anchor::Middle,
            &palette.muted,
            &text,
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
    body.push(label(
        12.0,
        top - 10.0,
        11.0,
        Anchor::Start,
        &palette.muted,
        kept.up(),
    ));

    // The base stands where nothing is learnt and nothing lost.
    let origin = (x(0.0), y(0.0));
    let centres: Vec<(f64, f64)> = points
        .iter()
        .map(|point| (x(point.x), y(point.y)))
        .collect();
    let circles = centres.iter().map(|centre| around(*centre, OWN));
    let intervals = points.iter().zip(&centres).flat_map(|(point, centre)| {
        let across = point
            .x_interval
            .map(|[low, high]| [x(low), centre.1 - 1.0, x(high), centre.1 + 1.0]);
        let up = point
            .y_interval
            .map(|[low, high]| [centre.0 - 1.0, y(high), centre.0 + 1.0, y(low)]);
        across.into_iter().chain(up)
    });
    let mut room = Room::new(
        [LEFT, top, WIDTH - 2.0, bottom],
        [around(origin, 6.0)].into_iter().chain(circles).collect(),
        intervals.collect(),
    );
    body.push(
        Element::new("circle")
            .at("cx", origin.0)
            .at("cy", origin.1)
            .at("r", 4.5)
            .set("fill", &palette.before)
            .set("stroke", &palette.muted),
    );
    if let Some(at) = room.name("base", origin) {
        body.push(label(
            at.0,
            at.1,
            11.5,
            Anchor::Start,
            &palette.muted,
            "base",
        ));
    }
    for (point, centre) in points.iter().zip(&centres) {
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
                    kept.word()
                ))),
        );
    }
    // A name that finds no room beside its point stands below the plot, with a number for its place.
    let mut unnamed = Vec::new();
    for (point, centre) in points.iter().zip(&centres) {
        match room.name(point.arm, *centre) {
            Some(at) => body.push(callout(palette, at, NAME, Anchor::Start, point.arm)),
            None => unnamed.push((point, *centre)),
        }
    }
    let mut lowest = bottom + 34.0;
    for (point, centre) in unnamed {
        let number = point.number.to_string();
        if let Some(at) = room.number(&number, centre) {
            let middle = (
                at.0 + svg::text_width(&number, NUMBER) / 2.0,
                at.1 - 0.36 * NUMBER,
            );
            if (middle.0 - centre.0).hypot(middle.1 - centre.1) > 16.0 {
                body.push(line(centre, middle, point.colour, 0.75));
            }
            body.push(callout(palette, at, NUMBER, Anchor::Start, &number));
        }
        lowest += 4.0;
        let first = lowest + 16.0;
        body.push(
            Element::new("circle")
                .at("cx", 40.0)
                .at("cy", first - 4.0)
                .at("r", 5.0)
                .set("fill", point.colour),
        );
        body.push(label(26.0, first, NAME, Anchor::End, &palette.ink, &number));
        for part in svg::wrap(point.arm, NAME, WIDTH - RIGHT - 52.0, 2) {
            lowest += 16.0;
            body.push(label(
                52.0,
                lowest,
                NAME,
                Anchor::Start,
                &palette.ink,
                &part,
            ));
        }
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
                kept.word(),
                plain(point.y, 1)
            )
        })
        .collect::<Vec<_>>()
        .join(" ");
    if description.is_empty() {
        description = format!("{nowhere}.");
    }
    Figure {
        name: format!("frontier-{}", kept.word()),
        title: format!("{} against proficiency learnt", kept.heading()),
        description,
        width: WIDTH,
        height: lowest + 12.0,
        body,
        paper: palette.paper.clone(),
    }
}
