//! The fuzzer's seeds, and fixed changes of them, through the functions that the fuzzer calls.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Places at which each seed is cut off.
const CUTS: usize = 24;
/// Changed copies of each seed, where `STEADFAST_CHANGES` does not ask for more.
const CHANGES: usize = 24;
/// Longest time that one input may take.
const SLOWEST: Duration = Duration::from_secs(10);

/// (name, content) of a target's seeds.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let entries = std::fs::read_dir(&folder).expect("every target has seeds");
    let mut seeds: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.expect("a seed").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, std::fs::read(path).expect("a seed"))
        })
        .collect();
    seeds.sort();
    seeds
}

/// Runs one input; says what went wrong, if anything did.
fn trouble(target: &str, bytes: &[u8], expected: Option<bool>) -> Option<String> {
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| run(target, bytes)));
    let took = began.elapsed();
    match outcome {
        Err(_) => Some("panics".into()),
        Ok(_) if took > SLOWEST => Some(format!("takes {took:?}")),
        Ok(Ok(())) if expected == Some(false) => Some("is accepted".into()),
        Ok(Err(error)) if expected == Some(true) => Some(format!("is refused: {}", whole(&error))),
        Ok(_) => None,
    }
}

fn seeds_do_as_their_names_say(targets: &[&str]) {
    let mut found = Vec::new();
    for target in targets {
        for (name, bytes) in seeds(target) {
            let expected = match name.split('-').next() {
                Some("good") => Some(true),
                Some("bad") => Some(false),
                _ => None,
            };
            let trouble = trouble(target, &bytes, expected);
            found.extend(trouble.map(|trouble| format!("{target}/{name} {trouble}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Cuts each seed off and turns bits and bytes of it, always in the same way.
fn changed_seeds_do_no_harm(targets: &[&str]) {
    let asked = std::env::var("STEADFAST_CHANGES").ok();
    let changes: usize = asked.map_or(CHANGES, |count| count.parse().expect("a number"));
    let mut found = Vec::new();
    for target in targets {
        for (place, (name, bytes)) in seeds(target).into_iter().enumerate() {
            if bytes.is_empty() || bytes.len() > 64 << 10 || name.starts_with("any-deep") {
                continue;
            }
            let mut chance = ChaCha8Rng::seed_from_u64(place as u64);
            let mut check = |what: String, changed: &[u8]| {
                let trouble = trouble(target, changed, None);
                found.extend(trouble.map(|trouble| format!("{target}/{name}, {what}: {trouble}")));
            };
            for cut in 0..CUTS.min(bytes.len()) {
                let end = bytes.len() * cut / CUTS;
                check(format!("cut at {end}"), &bytes[..end]);
            }
            for number in 0..changes {
                let mut changed = bytes.clone();
                for _ in 0..chance.random_range(1..4) {
                    let at = chance.random_range(0..changed.len());
                    changed[at] = match chance.random_range(0..4) {
                        0 => changed[at] ^ (1 << chance.random_range(0..8)),
                        1 => u8::MAX,
                        2 => 0,
                        _ => chance.random(),
                    };
                }
                check(format!("change {number}"), &changed);
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

const FILES: [&str; 7] = [
    "gguf",
    "safetensors",
    "tokenizer",
    "template",
    "adapter",
    "checkpoint",
    "archive",
];
const TEXTS: [&str; 6] = ["chats", "suite", "recipe", "record", "request", "reply"];

#[test]
fn every_target_is_tested() {
    let tested: Vec<&str> = FILES.into_iter().chain(TEXTS).collect();
    assert_eq!(TARGETS.map(|(name, _)| name).to_vec(), tested);
}

#[test]
fn seeds_of_models_do_as_their_names_say() {
    seeds_do_as_their_names_say(&FILES);
}

#[test]
fn seeds_of_texts_do_as_their_names_say() {
    seeds_do_as_their_names_say(&TEXTS);
}

#[test]
fn changed_models_do_no_harm() {
    changed_seeds_do_no_harm(&FILES);
}

#[test]
fn changed_texts_do_no_harm() {
    changed_seeds_do_no_harm(&TEXTS);
}
