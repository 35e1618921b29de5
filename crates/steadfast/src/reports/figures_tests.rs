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

/// Every text of a figure with the box of its letters: left, top, right, bottom.
fn texts(figure: &Figure) -> Vec<(String, [f64; 4])> {
    fn collect(group: &resvg::usvg::Group, into: &mut Vec<(String, [f64; 4])>) {
        for node in group.children() {
            match node {
                resvg::usvg::Node::Group(group) => collect(group, into),
                resvg::usvg::Node::Text(text) => {
                    let chunks = text.chunks().iter().map(|chunk| chunk.text());
                    let letters = text.flattened().abs_bounding_box();
                    let sides = [
                        letters.left(),
                        letters.top(),
                        letters.right(),
                        letters.bottom(),
                    ];
                    into.push((chunks.collect(), sides.map(f64::from)));
                }
                _ => {}
            }
        }
    }
    let tree = resvg::usvg::Tree::from_str(&figure.svg(), &png::options()).expect("valid SVG");
    let mut found = Vec::new();
    collect(tree.root(), &mut found);
    found
}

fn check_texts(figure: &Figure) {
    let all = texts(figure);
    for (index, (text, own)) in all.iter().enumerate() {
        let inside =
            own[0] >= 0.0 && own[1] >= 0.0 && own[2] <= figure.width && own[3] <= figure.height;
        assert!(
            inside,
            "{}: `{text}` runs out of the picture: {own:?}",
            figure.name
        );
        for (other_text, other) in &all[index + 1..] {
            let apart = own[2] <= other[0]
                || other[2] <= own[0]
                || own[3] <= other[1]
                || other[3] <= own[1];
            assert!(
                apart,
                "{}: `{text}` and `{other_text}` overlap: {own:?} {other:?}",
                figure.name
            );
        }
    }
}

/// Names as studies have them, the longest last.
const NAMES: [&str; 6] = [
    "lora-3e-3",
    "lora-3e-3*0.2..1",
    "null-space-low-retain-6e-3",
    "null-space-low-retain-6e-3*0.5",
    "null-space-contrastive-6e-3/17",
    "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
];

/// Arms with long names whose points lie within `spread` points of one another.
fn crowded(arms: usize, longest: usize, spread: f64, seed: u64) -> crate::results::Results {
    let mut results = sample::results(arms, seed);
    let own = sample::results(arms, seed + 1);
    for (index, arm) in results.arms.iter_mut().enumerate() {
        arm.name = match index / longest {
            0 => NAMES[index].to_owned(),
            round => format!("{}-{round}", NAMES[index % longest]),
        };
        for axis in Axis::ALL {
            let change = arm.axes.get_mut(axis.name()).expect("measured");
            let away = spread * (own.arms[index].axes[axis.name()].net_change % 1.0);
            change.net_change = 8.0 + away;
            change.ci95 = [away - 1.0, 16.0 + away];
            change.after = change.before + change.net_change;
        }
    }
    for (point, arm) in results.frontier.iter_mut().zip(&results.arms) {
        point.arm.clone_from(&arm.name);
        point.gain = arm.axes["proficiency"].net_change;
        point.safety_loss = -arm.axes["safety"].net_change;
        point.knowledge_loss = -arm.axes["knowledge"].net_change;
    }
    results
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn letters_are_no_wider_than_they_are_taken_for(text in "[A-Za-z0-9 .,:;!()/*+_%@…-]{1,40}") {
        let mut figure = disturbance(&sample::results(0, 1), &Palette::light());
        figure.width = 1000.0;
        let written = label(10.0, 20.0, 10.0, Anchor::Start, "#000", &text);
        figure.body = Element::new("g").child(written.set("font-weight", "700"));
        for (text, [left, _, right, _]) in texts(&figure) {
            // A letter may lean a little over its own room.
            let most = svg::text_width(&text, 10.0) + 0.6;
            proptest::prop_assert!(right - left <= most, "`{text}`: {} of {most}", right - left);
        }
    }

    #[test]
    fn no_text_stands_on_another_or_outside_the_picture(
        arms in 1usize..14, longest in 1usize..=6, spread in 0.0f64..40.0, seed in 0u64..1000,
    ) {
        for figure in all(&crowded(arms, longest, spread, seed), |_| Some(50.0)) {
            check_texts(&figure);
        }
    }
}

#[test]
fn a_name_without_room_stands_below_with_its_number() {
    let svg = frontier_panel(&crowded(6, 5, 3.0, 1), Kept::Safety, &Palette::light()).svg();
    for name in &NAMES[..5] {
        assert!(
            svg.contains(&format!(">{name}</text>")),
            "{name} is cut or gone"
        );
    }
}

#[test]
fn the_third_panel_is_what_of_the_replies_is_kept() {
    let mut results = sample::results(2, 1);
    let palette = Palette::light();
    let width = |results: &Results| frontier(results, &palette).width;
    let all = width(&results);
    let first = results.frontier[0].leakage.expect("the sample leaks");
    let panel = frontier_panel(&results, Kept::Replies, &palette);
    let kept = plain(-first.net_change, 1);
    assert!(
        panel
            .description
            .contains(&format!("replies {kept} points")),
        "{}",
        panel.description
    );
    // Numbers are an arm's in all panels, also where another arm has no place.
    results.frontier[0].leakage = None;
    let panel = frontier_panel(&results, Kept::Replies, &palette);
    assert!(!panel.description.contains(&results.frontier[0].arm));
    assert_eq!(width(&results), all);
    results.frontier[1].leakage = None;
    assert_eq!(width(&results), all / 3.0 * 2.0);
}
