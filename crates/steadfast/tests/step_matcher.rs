//! The step matcher against people: held-out human agent turns whose steps are annotated.
//!
//! `cargo test --release -p steadfast --test step_matcher -- --nocapture` prints the tables of
//! `docs/step-matcher.md`. The data lies in `../shared/data` beside the workspace, or where
//! `STEADFAST_DATA` says; without it the tests say so and pass.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use steadfast::conversations::dialogues;
use steadfast::evaluation::items::{NextStep, Suite, Task};
use steadfast::evaluation::scorers::step_matcher::{Matched, match_step, step_name};

/// Corpus, part, least share of agent turns whose step must be matched (none: reported only).
const PARTS: &[(&str, &str, Option<f64>)] = &[
    ("hotel_star", "train", None),
    ("hotel_sgd", "train", None),
    ("hotel_star", "test", Some(0.90)),
    ("hotel_sgd", "test", Some(0.85)),
    ("hotel_multiwoz", "test", None),
];

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("STEADFAST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    println!(
        "skipped: no data at {} (set STEADFAST_DATA)",
        folder.display()
    );
    None
}

/// What a suite's references were matched to, beside what was annotated.
fn pairs(suite: &Suite) -> Vec<(Matched, &[NextStep], bool)> {
    suite
        .items
        .iter()
        .map(|item| match &item.task {
            Task::Booking {
                next_steps,
                known,
                reference,
                ..
            } => {
                let matched = match_step(reference);
                let right = matched.is_right(next_steps, known);
                (matched, next_steps.as_slice(), right)
            }
            other => panic!("no booking turn: {other:?}"),
        })
        .collect()
}

fn share(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}

#[test]
fn step_matcher_agrees_with_people() {
    let Some(data) = data() else { return };
    let mut short = Vec::new();
    for (corpus, part, target) in PARTS {
        let path = data.join(corpus).join(format!("{part}.jsonl"));
        let suite = dialogues::suite(corpus, &path).unwrap();
        let pairs = pairs(&suite);
        let agreed = pairs
            .iter()
            .filter(|(matched, next_steps, _)| matched.takes_one_of(next_steps))
            .count();
        let right = pairs.iter().filter(|(_, _, right)| *right).count();
        let (shuffled, chance) = shuffled_control(&pairs);
        println!(
            "\n{corpus} {part}: {} agent turns, step matched {:.1}%, step and slots {:.1}%, \
             shuffled {:.1}% (chance {:.1}%)",
            pairs.len(),
            100.0 * share(agreed, pairs.len()),
            100.0 * share(right, pairs.len()),
            100.0 * shuffled,
            100.0 * chance,
        );
        print_confusion(&pairs);
        assert!(
            (shuffled - chance).abs() < 0.05,
            "{corpus} {part}: shuffled references score {shuffled:.3}, chance is {chance:.3}"
        );
        if target.is_some_and(|target| share(agreed, pairs.len()) < target) {
            short.push(format!(
                "{corpus} {part}: {:.3}",
                share(agreed, pairs.len())
            ));
        }
    }
    assert!(short.is_empty(), "below target: {short:?}");
}

/// References dealt out to the wrong items: their agreement, and what independence predicts.
fn shuffled_control(pairs: &[(Matched, &[NextStep], bool)]) -> (f64, f64) {
    let mut dealt: Vec<&Matched> = pairs.iter().map(|(matched, _, _)| matched).collect();
    dealt.shuffle(&mut ChaCha8Rng::seed_from_u64(17));
    let agreed = dealt
        .iter()
        .zip(pairs)
        .filter(|(matched, (_, next_steps, _))| matched.takes_one_of(next_steps))
        .count();
    let mut matched_counts: BTreeMap<_, usize> = BTreeMap::new();
    let mut allowed_counts: BTreeMap<_, usize> = BTreeMap::new();
    for (matched, next_steps, _) in pairs {
        if let Some(step) = matched.step {
            *matched_counts.entry(step).or_default() += 1;
        }
        for next in *next_steps {
            *allowed_counts.entry(next.step).or_default() += 1;
        }
    }
    let chance = matched_counts
        .iter()
        .map(|(step, count)| {
            let allowed = allowed_counts.get(step).copied().unwrap_or(0);
            share(*count, pairs.len()) * share(allowed, pairs.len())
        })
        .sum();
    (share(agreed, pairs.len()), chance)
}

/// Rows: what was annotated (several right steps joined by +). Columns: what was matched.
fn print_confusion(pairs: &[(Matched, &[NextStep], bool)]) {
    let mut table: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut columns: Vec<&str> = Vec::new();
    for (matched, next_steps, _) in pairs {
        let mut steps: Vec<_> = next_steps.iter().map(|next| next.step).collect();
        steps.sort();
        let row = steps
            .into_iter()
            .map(step_name)
            .collect::<Vec<_>>()
            .join("+");
        let column = matched.step.map_or("none", step_name);
        if !columns.contains(&column) {
            columns.push(column);
        }
        *table.entry(row).or_default().entry(column).or_default() += 1;
    }
    columns.sort_unstable();
    println!("| annotated \\ matched | {} |", columns.join(" | "));
    println!("| --- |{}", " --- |".repeat(columns.len()));
    for (row, counts) in table {
        let cells: Vec<String> = columns
            .iter()
            .map(|column| match counts.get(column) {
                Some(count) => count.to_string(),
                None => "·".to_string(),
            })
            .collect();
        println!("| {row} | {} |", cells.join(" | "));
    }
}
