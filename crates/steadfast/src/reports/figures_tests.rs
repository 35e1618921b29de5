use super::*;
use crate::evaluation::Axis;
use crate::reports::sample;

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn an_arm_has_two_bars_a_whisker_and_its_net_change() {
    let results = sample::results(3, 1);
    for axis in Axis::ALL {
        let svg = before_after(&results, axis, None, &Palette::light()).svg();
        assert_eq!(count(&svg, "class=\"bar before\""), 3);
        assert_eq!(count(&svg, "class=\"bar after\""), 3);
        assert_eq!(count(&svg, "class=\"whisker\""), 3);
        for arm in &results.arms {
            let net_change = signed(arm.axes[axis.name()].net_change, 1);
            assert!(
                svg.contains(&format!(">{net_change}</text>")),
                "{net_change}"
            );
        }
    }
}

#[test]
fn bar_heights_are_the_scores() {
    let results = sample::results(2, 1);
    let figure = before_after(&results, Axis::Proficiency, None, &Palette::light()).svg();
    let options = resvg::usvg::Options::default();
    resvg::usvg::Tree::from_str(&figure, &options).expect("valid SVG");
    let heights: Vec<f64> = figure
        .split("<rect ")
        .filter(|part| part.contains("class=\"bar "))
        .map(|part| {
            let from = part.find("height=\"").expect("a height") + 8;
            part[from..]
                .split('"')
                .next()
                .expect("closed")
                .parse()
                .expect("a number")
        })
        .collect();
    let values: Vec<f64> = results
        .arms
        .iter()
        .flat_map(|arm| {
            [
                arm.axes["proficiency"].before,
                arm.axes["proficiency"].after,
            ]
        })
        .collect();
    for (height, value) in heights.iter().zip(&values) {
        let ratio = heights[0] / values[0];
        assert!((height / value - ratio).abs() < 0.01, "{height} {value}");
    }
}

#[test]
fn an_arm_with_a_hostile_name_stays_text() {
    let mut results = sample::results(2, 1);
    let hostile = "</svg><script>alert(1)</script>";
    results.arms[0].name = hostile.into();
    results.frontier[0].arm = hostile.into();
    for figure in all(&results, |_| Some(50.0)) {
        let svg = figure.svg();
        assert!(!svg.contains("<script"), "{}", figure.name);
        assert_eq!(count(&svg, "</svg>"), 1, "{}", figure.name);
        resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default()).expect("valid SVG");
    }
}

#[test]
fn figures_stand_without_arms_and_with_many() {
    for arms in [0, 1, 12] {
        for figure in all(&sample::results(arms, 1), |_| None) {
            assert!(figure.height.is_finite() && figure.height > 50.0);
            to_png(&figure).expect("a PNG");
        }
    }
}

#[test]
fn text_is_drawn_in_the_png() {
    // The same figure with its words removed must lose dark pixels; without fonts both are equal.
    let figure = before_after(
        &sample::results(2, 1),
        Axis::Safety,
        None,
        &Palette::light(),
    );
    let dark = |figure: &Figure| {
        let png = to_png(figure).expect("a PNG");
        let pixels = resvg::tiny_skia::Pixmap::decode_png(&png).expect("our own PNG");
        let dark = pixels
            .pixels()
            .iter()
            .filter(|pixel| pixel.red() < 120 && pixel.blue() < 120);
        (dark.count(), pixels.width())
    };
    let mut silent = figure.clone();
    silent.body = Element::new("g");
    let (with_text, width) = dark(&figure);
    assert_eq!(f64::from(width), 2.0 * figure.width);
    assert_eq!(dark(&silent).0, 0);
    let mut only_title = figure.clone();
    only_title.body = Element::new("g").child(svg::label(
        12.0,
        24.0,
        16.0,
        Anchor::Start,
        "#000",
        "Safety −0.5 · 95%",
    ));
    assert!(dark(&only_title).0 > 500, "no letters in the PNG");
    assert!(with_text > dark(&only_title).0);
}

#[test]
fn the_sign_is_wide_and_zero_has_none() {
    assert_eq!(signed(12.54, 1), "+12.5");
    assert_eq!(signed(-3.0, 1), "−3.0");
    assert_eq!(signed(-0.04, 1), "0.0");
    assert_eq!(plain(-0.5, 1), "−0.5");
}

#[test]
fn ticks_are_round_and_cover_the_data() {
    assert_eq!(ticks(0.0, 100.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
    let steps = ticks(-3.2, 11.0, 4);
    assert_eq!(ticks(0.0, 52.0, 5)[0], 0.0, "bars start at zero");
    assert!(steps[0] <= -3.2 && steps[steps.len() - 1] >= 11.0 && steps.contains(&0.0));
}
