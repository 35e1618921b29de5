//! Columns, pairs, bounds, and what a judge adds.

use super::*;
use crate::evaluation::gate::gate;
use crate::evaluation::judge::check::Agreement;
use crate::evaluation::measurement::AskedWith;

fn sample(suite: &str, axis: Axis, item: usize, score: f64) -> Sample {
    Sample {
        suite: suite.into(),
        axis,
        item: item.to_string(),
        cluster: item.to_string(),
        prompt: String::new(),
        reply: None,
        scores: BTreeMap::from([(axis.metric().to_owned(), Some(score))]),
        labels: BTreeMap::new(),
    }
}

fn scores(suite: &str, values: &[f64]) -> Vec<Sample> {
    values
        .iter()
        .enumerate()
        .map(|(item, score)| sample(suite, Axis::Knowledge, item, *score))
        .collect()
}

#[test]
fn each_suite_counts_alike_in_the_knowledge_axis() {
    let mut samples = scores("many", &[1.0; 30]);
    samples.extend(scores("few", &[0.0; 10]));
    let measured = Measurement::new("m", None, samples, 0);
    assert!((measured.metrics["knowledge/accuracy"].value.unwrap() - 50.0).abs() < 1e-9);
    assert!((measured.metrics["many/accuracy"].value.unwrap() - 100.0).abs() < 1e-9);
}

#[test]
fn a_change_is_paired_and_tested() {
    let before = Measurement::new("m", None, scores("s", &[1., 1., 1., 1., 1., 1., 0., 0.]), 0);
    let after = Measurement::new("m", None, scores("s", &[0., 0., 0., 0., 0., 0., 0., 0.]), 0);
    let change = &compare(&before, &after).unwrap().axes["knowledge"];
    assert!((change.net_change + 75.0).abs() < 1e-9);
    assert!((change.p - 0.03125).abs() < 1e-9);
    assert!(change.ci95[1] < 0.0);
}

#[test]
fn unscored_is_neither_wrong_nor_zero() {
    let mut samples = scores("s", &[1.0, 1.0, 0.0]);
    samples[2].scores.insert("accuracy".into(), None);
    let metric = &Measurement::new("m", None, samples, 0).metrics["s/accuracy"];
    assert_eq!(
        (metric.value, metric.n, metric.unscored),
        (Some(100.0), 2, 1)
    );
}

#[test]
fn other_items_are_refused_and_the_gate_holds() {
    let before = Measurement::new("m", None, scores("s", &[1., 1.]), 0);
    let other = Measurement::new("m", None, scores("s", &[1., 1., 1.]), 0);
    assert!(compare(&before, &other).is_err());
    let worse = Measurement::new("m", None, scores("s", &[1., 0.]), 0);
    let comparison = compare(&before, &worse).unwrap();
    let limits = |name: &str, points| BTreeMap::from([(name.to_owned(), points)]);
    assert!(gate(&comparison, &limits("knowledge", 60.0)).is_ok());
    let error = gate(&comparison, &limits("knowledge", 2.0)).unwrap_err();
    assert_eq!(error.class, crate::error::Class::Budget);
    // A metric by the name that `compare` prints.
    assert!(gate(&comparison, &limits("s/accuracy", 2.0)).is_err());
    assert!(gate(&comparison, &limits("s/accuracy", 60.0)).is_ok());
    let error = gate(&comparison, &limits("s/acuracy", 2.0)).unwrap_err();
    assert!(error.hint.unwrap().contains("s/accuracy"));
}

/// More leakage is a loss, though the number rises.
#[test]
fn the_gate_knows_which_way_is_worse() {
    let leaking = |values: [f64; 2]| {
        let mut samples = scores("s", &values);
        for sample in &mut samples {
            let score = sample.scores.remove("accuracy").unwrap();
            sample.scores.insert("domain_leakage".into(), score);
        }
        Measurement::new("m", None, samples, 0)
    };
    let limits = BTreeMap::from([("s/domain_leakage".to_owned(), 1.0)]);
    let more = compare(&leaking([0.0, 0.0]), &leaking([0.0, 1.0])).unwrap();
    let error = gate(&more, &limits).unwrap_err();
    assert!(error.message.contains("50.00 points"), "{error}");
    let less = compare(&leaking([0.0, 1.0]), &leaking([0.0, 0.0])).unwrap();
    assert!(gate(&less, &limits).is_ok());
}

#[test]
fn suites_are_resampled_apart() {
    // No suite varies within itself; pooled clusters would spread from 0 to 100.
    let mut samples = scores("many", &[1.0; 30]);
    samples.extend(scores("few", &[0.0; 3]));
    let metric = &Measurement::new("m", None, samples, 0).metrics["knowledge/accuracy"];
    assert_eq!(metric.ci95, Some([50.0, 50.0]));
}

#[test]
fn a_suites_name_may_hold_a_slash_or_be_an_axis() {
    let suites = |few: f64| {
        let mut samples = scores("a/b", &[1.0; 9]);
        samples.extend(scores("a", &[few; 3]));
        samples.extend(scores("knowledge", &[0.0; 2]));
        samples
    };
    let before = Measurement::new("m", None, suites(1.0), 0);
    assert!((before.metrics["knowledge/accuracy"].value.unwrap() - 200.0 / 3.0).abs() < 1e-9);
    assert_eq!(before.metrics["a/b/accuracy"].n, 9);
    let after = Measurement::new("m", None, suites(0.0), 0);
    let comparison = compare(&before, &after).unwrap();
    let change = &comparison.axes["knowledge"];
    assert_eq!((change.n, change.suite.as_str()), (14, "a+a/b+knowledge"));
    assert!((change.net_change + 100.0 / 3.0).abs() < 1e-9);
    let nested = &comparison.metrics["a/b/accuracy"];
    assert_eq!(
        (nested.metric.as_str(), nested.suite.as_str()),
        ("accuracy", "a/b")
    );
    assert_eq!(comparison.metrics["knowledge/accuracy"].n, 2);
}

#[test]
fn an_item_that_stands_twice_is_the_users_to_mend() {
    let once = scores("s", &[1.0, 0.0]);
    let mut twice = once.clone();
    twice.push(once[0].clone());
    for (before, after) in [(&once, &twice), (&twice, &once), (&twice, &twice)] {
        let error = compare_samples(before, after, 0).unwrap_err();
        assert_eq!(error.class, crate::error::Class::User);
        assert!(error.message.contains("twice"), "{error}");
    }
}

#[test]
fn a_metric_without_a_score_stays_and_an_axis_without_one_does_not() {
    let mut samples = scores("s", &[1.0, 1.0]);
    for sample in &mut samples {
        sample.scores.insert("accuracy".into(), None);
        sample
            .scores
            .insert("answer_nll".into(), Some(f64::INFINITY));
    }
    let measured = Measurement::new("m", None, samples, 0);
    for name in ["s/accuracy", "s/answer_nll"] {
        let metric = &measured.metrics[name];
        assert_eq!((metric.value, metric.n, metric.unscored), (None, 0, 2));
    }
    assert!(!measured.metrics.contains_key("knowledge/accuracy"));
    let comparison = compare(&measured, &measured).unwrap();
    let change = &comparison.metrics["s/accuracy"];
    assert_eq!((change.n, change.unscored, change.p), (0, 2, 1.0));
    assert_eq!((change.net_change, change.ci95), (0.0, [0.0, 0.0]));
    // A gate on either fails: nothing was measured.
    let limits = BTreeMap::from([("s/accuracy".to_owned(), 9.0)]);
    let error = gate(&comparison, &limits).unwrap_err();
    assert!(error.message.contains("could be scored"), "{error}");
    assert!(
        gate(
            &comparison,
            &BTreeMap::from([("knowledge".to_owned(), 9.0)])
        )
        .is_err()
    );
}

fn judged_by(name: &str) -> JudgedBy {
    JudgedBy {
        name: name.into(),
        samples: 1,
        rubrics: BTreeMap::new(),
        agreement: Some(Agreement {
            replies: 200,
            unscored: 0,
            share: 0.9,
            kappa: 0.55,
            indicative: true,
        }),
    }
}

/// The scores of a judge beside those of the suite.
fn judged(name: &str, scored: &[f64], verdicts: &[Option<f64>]) -> Measurement {
    let mut samples = scores("s", scored);
    for (sample, verdict) in samples.iter_mut().zip(verdicts) {
        sample.scores.insert(JUDGED.into(), *verdict);
    }
    // Judged, but not about the axis's own number.
    let mut beside = sample("beside", Axis::Knowledge, 0, 0.0);
    beside.scores = BTreeMap::from([(JUDGED.to_owned(), Some(0.0))]);
    samples.push(beside);
    Measurement {
        judge: Some(judged_by(name)),
        ..Measurement::new("m", None, samples, 0)
    }
}

#[test]
fn what_a_judge_says_stands_beside_the_axis_over_the_same_items() {
    let all = [Some(1.0), Some(1.0), Some(1.0), None];
    let before = judged("one", &[1., 1., 0., 0.], &all);
    assert_eq!(before.metrics["s/judged"].n, 3);
    let axis = &before.metrics["knowledge/judged"];
    assert_eq!((axis.value, axis.n, axis.unscored), (Some(100.0), 3, 1));
    let after = judged(
        "one",
        &[1., 0., 0., 0.],
        &[Some(1.0), Some(0.0), None, None],
    );
    let comparison = compare(&before, &after).unwrap();
    let change = &comparison.axes["knowledge"];
    assert_eq!((change.net_change, change.n), (-25.0, 4));
    let judged = change.judged.as_ref().unwrap();
    assert_eq!((judged.judge.as_str(), judged.kappa), ("one", Some(0.55)));
    assert_eq!((judged.change.net_change, judged.change.n), (-50.0, 2));
    assert_eq!(judged.change.unscored, 2);
    assert_eq!(comparison.metrics["s/judged"].n, 2);
    // The file's own form holds all of it.
    let text = serde_json::to_string(&before).unwrap();
    assert_eq!(serde_json::from_str::<Measurement>(&text).unwrap(), before);
}

#[test]
fn two_judges_are_not_compared_and_one_alone_is_left_out() {
    let verdicts = [Some(1.0), Some(0.0)];
    let before = judged("one", &[1., 1.], &verdicts);
    let other = judged("other", &[1., 1.], &verdicts);
    assert!(compare(&before, &other).unwrap_err().hint.is_some());
    let mut plain = judged("one", &[1., 1.], &verdicts);
    plain.judge = None;
    for sample in &mut plain.samples {
        sample.scores.remove(JUDGED);
    }
    for (before, after) in [(&before, &plain), (&plain, &before)] {
        let comparison = compare(before, after).unwrap();
        assert!(comparison.axes["knowledge"].judged.is_none());
        assert!(!comparison.metrics.contains_key("s/judged"));
    }
}

#[test]
fn an_item_that_asks_something_else_is_another_item() {
    let asked = |prompt: &str| {
        let mut samples = scores("s", &[1.0, 0.0]);
        samples[1].prompt = prompt.into();
        samples
    };
    let error = compare_samples(&asked("one"), &asked("other"), 0).unwrap_err();
    assert!(error.message.contains("`1` of the suite `s`"), "{error}");
    // Kept scores have no prompts.
    for (before, after) in [("one", "one"), ("", "one"), ("one", "")] {
        assert!(compare_samples(&asked(before), &asked(after), 0).is_ok());
    }
}

/// A suite that one seed could not score at all leaves the others where they are.
#[test]
fn suites_keep_their_place_under_every_seed() {
    let suites = |lost_a: f64, lost_b: Option<f64>| {
        let mut samples = scores("a", &[1.0 - lost_a; 4]);
        let mut others = scores("b", &[0.0; 4]);
        for sample in &mut others {
            let score = lost_b.map(|lost| 1.0 - lost);
            sample.scores.insert("accuracy".into(), score);
        }
        samples.extend(others);
        samples
    };
    let before = suites(0.0, Some(0.0));
    let whole = losses(&before, &suites(0.5, Some(0.25)), Axis::Knowledge).unwrap();
    let halved = losses(&before, &suites(0.5, None), Axis::Knowledge).unwrap();
    assert_eq!(whole.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
    assert_eq!(halved.iter().map(Vec::len).collect::<Vec<_>>(), [4, 0]);
    let spread = statistics::crossed(&[whole, halved], 0);
    // Whatever is drawn, `a` loses 50 and `b` 25; a seed without `b` says nothing of it.
    assert!(
        spread.interval[0] >= 37.4 && spread.interval[1] <= 50.1,
        "{spread:?}"
    );
}

#[test]
fn what_was_asked_otherwise_is_not_compared() {
    let asked = |max_tokens: usize, data: Option<&str>| Measurement {
        asked_with: Some(AskedWith {
            max_tokens,
            data: data.map(str::to_owned),
        }),
        ..Measurement::new("m", None, scores("s", &[1.0, 0.0]), 0)
    };
    let one = asked(48, Some("a"));
    for (other, flag) in [
        (asked(48, None), "--data"),
        (asked(64, Some("a")), "--max-tokens"),
    ] {
        let error = compare(&one, &other).unwrap_err();
        assert!(error.message.contains(flag), "{error}");
    }
    let older = Measurement::new("m", None, scores("s", &[1.0, 0.0]), 0);
    assert!(compare(&one, &one).is_ok() && compare(&older, &one).is_ok());
}

/// A model that writes nothing that can be scored has not kept what it had.
#[test]
fn the_gate_sees_what_can_no_longer_be_scored() {
    let before = Measurement::new("m", None, scores("s", &[1.0; 10]), 0);
    let mut collapsed = scores("s", &[1.0; 10]);
    for sample in &mut collapsed[2..] {
        sample.scores.insert("accuracy".into(), None);
    }
    let after = Measurement::new("m", None, collapsed, 0);
    let comparison = compare(&before, &after).unwrap();
    assert_eq!(comparison.axes["knowledge"].net_change, 0.0);
    for name in ["knowledge", "s/accuracy"] {
        let limits = |points| BTreeMap::from([(name.to_owned(), points)]);
        let error = gate(&comparison, &limits(50.0)).unwrap_err();
        assert!(error.message.contains("8 of 10 items"), "{error}");
        assert!(gate(&comparison, &limits(80.0)).is_ok());
    }
}
