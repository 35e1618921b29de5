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
                    changed[at] = another(changed[at], &mut chance);
                }
                check(format!("change {number}"), &changed);
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn another(byte: u8, chance: &mut ChaCha8Rng) -> u8 {
    match chance.random_range(0..4) {
        0 => byte ^ (1 << chance.random_range(0..8)),
        1 => u8::MAX,
        2 => 0,
        _ => chance.random(),
    }
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

/// Inputs drawn from the seeds for as long as `STEADFAST_FUZZ_SECONDS` says, from the number
/// `STEADFAST_FUZZ_SEED`: what `.ci/run` has in place of a fuzzer that is guided by what it reaches.
#[test]
fn random_inputs_do_no_harm() {
    let asked = |name| std::env::var(name).map_or(0, |value| value.parse().expect("a number"));
    let seconds = asked("STEADFAST_FUZZ_SECONDS");
    let share = Duration::from_secs(seconds) / TARGETS.len() as u32;
    let mut found = Vec::new();
    for (place, (target, _)) in TARGETS.iter().enumerate() {
        let mut seeds = seeds(target);
        seeds.retain(|(name, bytes)| {
            (1..=64 << 10).contains(&bytes.len()) && !name.starts_with("any-deep")
        });
        let mut chance = ChaCha8Rng::seed_from_u64(asked("STEADFAST_FUZZ_SEED"));
        chance.set_stream(place as u64);
        let (began, mut tried) = (Instant::now(), 0);
        while began.elapsed() < share {
            let mut draw = || &seeds[chance.random_range(0..seeds.len())].1;
            let (one, other) = (draw(), draw());
            let input = bred(one, other, &mut chance);
            if let Some(trouble) = trouble(target, &input, None) {
                let path = std::env::temp_dir().join(format!("steadfast-{target}-{tried}"));
                std::fs::write(&path, &input).expect("room for an input");
                found.push(format!("{target}, kept as {}: {trouble}", path.display()));
            }
            tried += 1;
        }
        println!("{target}: {tried} inputs");
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// One seed with some of its parts left out, repeated, changed, or taken from another.
fn bred(one: &[u8], other: &[u8], chance: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bred = one.to_vec();
    for _ in 0..chance.random_range(1..6) {
        let mut part = |of: &[u8]| {
            let start = chance.random_range(0..=of.len());
            let longest = (of.len() - start).min(64);
            start..start + chance.random_range(0..=longest)
        };
        let (here, there) = (part(&bred), part(other));
        match chance.random_range(0..5) {
            0 => drop(bred.drain(here)),
            1 => {
                let again = bred[here.clone()].to_vec();
                bred.splice(here.end..here.end, again);
            }
            2 => drop(bred.splice(here, other[there].iter().copied())),
            3 => drop(bred.splice(here.start..here.start, other[there].iter().copied())),
            _ if here.start < bred.len() => bred[here.start] = another(bred[here.start], chance),
            _ => {}
        }
    }
    bred
}
