use super::*;
use crate::reports::sample;

const GOLDEN: &str = include_str!("../../../tests/golden/results.json");

#[test]
fn the_golden_file_reads_and_is_written_back_byte_for_byte() {
    let results = Results::parse(GOLDEN).expect("the golden file");
    assert_eq!(results.to_json().expect("JSON"), GOLDEN);
}

/// The names and their order of the design's form, level by level, independent of serde.
#[test]
fn names_and_order_are_the_fixed_form() {
    let results: serde_json::Value = serde_json::from_str(GOLDEN).expect("JSON");
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(
        keys(&results),
        [
            "schema", "run", "created", "base", "seeds", "arms", "frontier"
        ]
    );
    assert_eq!(keys(&results["base"]), ["id", "revision", "sha256"]);
    let arm = &results["arms"][0];
    assert_eq!(
        keys(arm),
        [
            "name",
            "provider",
            "method",
            "seed",
            "hyperparameters",
            "axes",
            "metrics",
            "drift",
            "disturbance",
            "training"
        ]
    );
    assert_eq!(keys(&arm["axes"]), ["proficiency", "safety", "knowledge"]);
    let fields = [
        "suite",
        "metric",
        "before",
        "after",
        "net_change",
        "ci95",
        "p",
        "n",
        "unscored",
        "judged",
    ];
    for axis in ["proficiency", "safety", "knowledge"] {
        assert_eq!(keys(&arm["axes"][axis]), fields);
    }
    assert!(arm["axes"]["proficiency"]["judged"].is_null());
    let judged = keys(&arm["axes"]["safety"]["judged"]);
    for field in fields[..9].iter().chain(&["judge", "agreement"]) {
        assert!(judged.iter().any(|key| key == field), "{field}");
    }
    assert_eq!(keys(&arm["metrics"]["hotel/step_accuracy"]), fields);
    assert_eq!(keys(&arm["drift"]), ["kl_per_token"]);
    assert_eq!(keys(&arm["disturbance"][0]), ["layer", "value"]);
    assert_eq!(
        keys(&arm["training"]),
        [
            "tokens",
            "steps",
            "tokens_per_second",
            "peak_memory_bytes",
            "seconds"
        ]
    );
}

fn broken(from: &str, to: &str) -> Error {
    assert!(GOLDEN.contains(from), "{from}");
    Results::parse(&GOLDEN.replacen(from, to, 1)).expect_err("a mistake")
}

#[test]
fn mistakes_name_their_place_and_a_next_step() {
    let error = broken("steadfast.results/1", "steadfast.results/2");
    assert_eq!(error.place.field.as_deref(), Some("schema"));
    assert!(error.hint.is_some());

    let error = broken("\"net_change\": 12.5", "\"net_change\": 13.5");
    assert_eq!(
        error.place.field.as_deref(),
        Some("arms[0].axes.proficiency.net_change")
    );

    let error = broken("\"seeds\"", "\"seed\"");
    assert!(error.message.contains("seeds"), "{}", error.message);
    assert!(error.place.line.is_some());

    let error = Results::parse("{\"schema\": ").expect_err("cut off");
    assert_eq!(error.place.line, Some(1));
    let error = Results::parse("{}").expect_err("no schema");
    assert_eq!(error.place.field.as_deref(), Some("schema"));
}

#[test]
fn all_contradictions_are_reported_at_once() {
    let mut results = sample::results(2, 1);
    results.arms[1].name = results.arms[0].name.clone();
    let safety = results.arms[0].axes.remove("safety").expect("an axis");
    results.arms[0].axes.insert("safty".into(), safety);
    results.arms[1].drift.kl_per_token = Some(f64::NAN);
    results.frontier[1].arm = "nobody".into();
    let error = results.check().expect_err("mistakes");
    assert_eq!(error.others.len(), 3);
    assert_eq!(
        results.to_json().expect_err("mistakes").class,
        crate::error::Class::Bug
    );
}

#[test]
fn an_axis_that_no_suite_measures_is_left_out() {
    let mut results = sample::results(2, 1);
    for arm in &mut results.arms {
        arm.axes.remove("proficiency");
    }
    results.check().expect("a study of two axes");
    let measured: Vec<Axis> = results.measured().collect();
    assert_eq!(measured, [Axis::Safety, Axis::Knowledge]);
    let figures = crate::reports::figures::all(&results, |_| None);
    assert!(figures.iter().all(|figure| figure.title != "Proficiency"));
}

#[test]
fn a_missing_file_is_named() {
    let error = Results::read(Path::new("/nowhere/results.json")).expect_err("no file");
    assert_eq!(
        error.place.path.as_deref(),
        Some(Path::new("/nowhere/results.json"))
    );
}
