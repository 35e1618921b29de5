//! The article's figure: for each arm a pair of bars, before and after.

use super::{Figure, Palette, callout, heading, plain, signed, ticks};
use crate::evaluation::Axis;
use crate::reports::svg::{self, Anchor, Element, label, line, rectangle};
use crate::results::{Change, Results};

const LEFT: f64 = 40.0;
const RIGHT: f64 = 12.0;
const PLOT_HEIGHT: f64 = 180.0;
/// The least room for one arm, so that its numbers never touch its neighbour's.
const SLOT: f64 = 74.0;
/// The most, for names that are long.
const WIDEST_SLOT: f64 = 122.0;
/// Size of an arm's name.
const NAME: f64 = 12.5;
/// Lines that names should take; in the widest slots they take as many as they need, up to
/// [`MOST_LINES`].
const LINES: usize = 3;
const MOST_LINES: usize = 6;

/// One axis of a study, before and after, in points.
///
/// The whisker is the 95% interval of the *net change*, drawn around the bar it leads to: the
/// before bar is the same items, so an interval of its own would say less than the paired one.
pub fn before_after(
    results: &Results,
    axis: Axis,
    chance: Option<f64>,
    palette: &Palette,
) -> Figure {
    let pairs: Vec<(&crate::results::Arm, &Change)> = results
        .arms
        .iter()
        .filter_map(|arm| Some((arm, arm.axes.get(axis.name())?)))
        .collect();
    let names: Vec<String> = pairs
        .iter()
        .map(|(arm, change)| name(arm, change, pairs[0].1))
        .collect();
    let width = 360f64.max(LEFT + RIGHT + slot_for(&names) * pairs.len() as f64);
    let title = match axis {
        Axis::Proficiency => "Proficiency",
        Axis::Safety => "Safety",
        Axis::Knowledge => "Knowledge",
    };
    let mut body = Element::new("g");
    let subtitle = subtitle(&pairs, axis);
    let top = heading(
        &mut body,
        palette,
        width,
        title,
        std::slice::from_ref(&subtitle),
    );
    let colours: Vec<&str> = pairs
        .iter()
        .map(|(arm, _)| palette.arm(results, arm))
        .collect();
    let top = legend(&mut body, palette, top, &colours, chance) + 28.0;
    let bottom = top + PLOT_HEIGHT;

    let highest = pairs
        .iter()
        .flat_map(|(_, change)| [change.before, change.after, change.before + change.ci95[1]])
        .chain(chance)
        .fold(1.0, f64::max);
    // A share never needs an axis past 100, however far its whisker reaches.
    let steps = ticks(
        0.0,
        if highest > 60.0 && highest < 115.0 {
            100.0
        } else {
            highest
        },
        5,
    );
    let maximum = steps.last().copied().unwrap_or(100.0);
    let y = |value: f64| bottom - value.clamp(0.0, maximum) / maximum * PLOT_HEIGHT;
    for step in &steps {
        body.push(line(
            (LEFT, y(*step)),
            (width - RIGHT, y(*step)),
            &palette.grid,
            1.0,
        ));
        let text = plain(*step, usize::from(maximum < 5.0));
        body.push(label(
            LEFT - 6.0,
            y(*step) + 4.0,
            11.0,
            Anchor::End,
            &palette.muted,
            &text,
        ));
    }
    body.push(label(
        12.0,
        top - 11.0,
        11.0,
        Anchor::Start,
        &palette.muted,
        "points",
    ));

    let slot = (width - LEFT - RIGHT) / pairs.len().max(1) as f64;
    let bar = (slot * 0.34).min(46.0);
    let mut lowest_text = bottom + 20.0;
    for (index, (arm, change)) in pairs.iter().enumerate() {
        let middle = LEFT + slot * (index as f64 + 0.5);
        let colour = palette.arm(results, arm);
        let (before, after) = (middle - bar - 1.5, middle + 1.5);
        for (x, value, fill, class) in [
            (before, change.before, palette.before.as_str(), "bar before"),
            (after, change.after, colour, "bar after"),
        ] {
            body.push(
                rectangle(x, y(value), bar, bottom - y(value), fill)
                    .set("class", class)
                    .child(Element::new("title").text(format!(
                        "{}, {}: {} points",
                        arm.name,
                        class.trim_start_matches("bar "),
                        plain(value, 1)
                    ))),
            );
            body.push(label(
                x + bar / 2.0,
                bottom + 15.0,
                11.5,
                Anchor::Middle,
                &palette.muted,
                &number(value),
            ));
        }
        let (low, high) = (
            change.before + change.ci95[0],
            change.before + change.ci95[1],
        );
        let centre = after + bar / 2.0;
        let whisker = Element::new("g")
            .set("class", "whisker")
            .child(line((centre, y(low)), (centre, y(high)), &palette.ink, 1.5))
            .child(line(
                (centre - 4.0, y(low)),
                (centre + 4.0, y(low)),
                &palette.ink,
                1.5,
            ))
            .child(line(
                (centre - 4.0, y(high)),
                (centre + 4.0, y(high)),
                &palette.ink,
                1.5,
            ));
        body.push(whisker);
        let at = (centre, y(high.max(change.after)) - 7.0);
        let net_change = signed(change.net_change, 1);
        body.push(
            callout(palette, at, 14.0, Anchor::Middle, &net_change).set("class", "net-change"),
        );
        let mut text_y = bottom + 19.0;
        for part in svg::wrap(&names[index], NAME, slot - 6.0, MOST_LINES) {
            text_y += 16.0;
            body.push(
                label(middle, text_y, NAME, Anchor::Middle, &palette.ink, &part)
                    .set("font-weight", "600"),
            );
        }
        lowest_text = lowest_text.max(text_y);
    }
    body.push(line(
        (LEFT, bottom),
        (width - RIGHT, bottom),
        &palette.muted,
        1.0,
    ));
    if let Some(chance) = chance.filter(|chance| *chance > 0.0) {
        body.push(
            line(
                (LEFT, y(chance)),
                (width - RIGHT, y(chance)),
                &palette.ink,
                1.0,
            )
            .set("stroke-dasharray", "2 3")
            .set("class", "chance"),
        );
    }
    if pairs.is_empty() {
        body.push(label(
            width / 2.0,
            top + 90.0,
            12.0,
            Anchor::Middle,
            &palette.muted,
            "no arm measured",
        ));
    }

    let description = pairs
        .iter()
        .map(|(arm, change)| {
            format!(
                "{}: {} before, {} after, net change {} points (95% interval {} to {}).",
                arm.name,
                plain(change.before, 1),
                plain(change.after, 1),
                signed(change.net_change, 1),
                signed(change.ci95[0], 1),
                signed(change.ci95[1], 1)
            )
        })
        .collect::<Vec<_>>()
        .join(" ");
    Figure {
        name: axis.name().to_owned(),
        title: format!("{title}, before and after fine-tuning"),
        description: format!("{subtitle}. {description}"),
        width,
        height: lowest_text + 12.0,
        body,
        paper: palette.paper.clone(),
    }
}

/// What stands under an arm's bars: one may be measured by another number than the figure's.
fn name(arm: &crate::results::Arm, change: &Change, first: &Change) -> String {
    if change.metric == first.metric {
        arm.name.clone()
    } else {
        format!("{} ({})", arm.name, change.metric.replace('_', " "))
    }
}

/// Room for each arm: as little as its name allows in a few lines, since cut names look alike.
fn slot_for(names: &[String]) -> f64 {
    let mut slot = SLOT;
    let fits = |slot: f64| {
        let lines = |name: &String| svg::wrap(name, NAME, slot - 6.0, MOST_LINES).len();
        names.iter().all(|name| lines(name) <= LINES)
    };
    while slot < WIDEST_SLOT && !fits(slot) {
        slot += 8.0;
    }
    slot
}

/// The number under a bar. A whole hundred has no decimal: beside another it would touch it.
fn number(value: f64) -> String {
    plain(value, usize::from(value < 99.95))
}

fn subtitle(pairs: &[(&crate::results::Arm, &Change)], axis: Axis) -> String {
    let metric = pairs
        .first()
        .map_or(axis.metric(), |(_, change)| change.metric.as_str())
        .replace('_', " ");
    let least = pairs.iter().map(|(_, change)| change.n).min().unwrap_or(0);
    let most = pairs.iter().map(|(_, change)| change.n).max().unwrap_or(0);
    let items = if least == most {
        least.to_string()
    } else {
        format!("{least}–{most}")
    };
    format!("{metric}, n = {items}")
}

/// The key: bars, whisker, and chance where it is drawn. Returns the line below it.
fn legend(
    body: &mut Element,
    palette: &Palette,
    y: f64,
    colours: &[&str],
    chance: Option<f64>,
) -> f64 {
    let middle = y + 2.0;
    let mut say = |x: f64, text: &str| {
        body.push(label(
            x,
            middle + 4.0,
            11.0,
            Anchor::Start,
            &palette.muted,
            text,
        ));
    };
    say(26.0, "before");
    say(86.0, "after");
    say(134.0, "95% interval");
    let chance = chance.is_some_and(|chance| chance > 0.0);
    if chance {
        say(239.0, "chance");
        let dashes = line((218.0, middle), (234.0, middle), &palette.ink, 1.0);
        body.push(dashes.set("stroke-dasharray", "2 3"));
    }
    body.push(rectangle(12.0, middle - 5.0, 10.0, 10.0, &palette.before));
    // "After" has a colour an arm; the key shows the first few.
    let first = &colours[..colours.len().min(3)];
    let sliver = 10.0 / first.len().max(1) as f64;
    for (index, colour) in first.iter().enumerate() {
        let x = 72.0 + sliver * index as f64;
        body.push(rectangle(x, middle - 5.0, sliver, 10.0, colour));
    }
    body.push(line(
        (126.0, middle - 6.0),
        (126.0, middle + 6.0),
        &palette.ink,
        1.5,
    ));
    for end in [middle - 6.0, middle + 6.0] {
        body.push(line((123.0, end), (129.0, end), &palette.ink, 1.5));
    }
    y + 10.0
}
