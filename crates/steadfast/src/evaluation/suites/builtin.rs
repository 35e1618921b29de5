//! What ships with the library: all of it written by this project.

use super::counterspeech::CounterSpeech;
use super::forms::Form;
use super::reading::{items, parse};
use crate::conversations::{Conversation, simulator};
use crate::evaluation::items::Suite;
use crate::{Error, Result};
use serde::Deserialize;

const GENERAL_QUESTIONS: &str = include_str!("../../../data/general_questions.jsonl");
const STATEMENTS: &str = include_str!("../../../data/statements.jsonl");
const REQUESTS: &str = include_str!("../../../data/requests.jsonl");
const RETAIN_PROMPTS: &str = include_str!("../../../data/retain_prompts.jsonl");
const DRIFT_PROMPTS: &str = include_str!("../../../data/drift_prompts.jsonl");

/// The seed of the shipped booking items; a study's own seed never changes what it is measured on.
const BOOKING_SEED: u64 = 20_240_601;
/// Booking items in the shipped suites; [`Suite::limit`] draws fewer.
const BOOKING_ITEMS: usize = 300;

/// What settings are chosen on, and so never reported on unless it is asked for by name.
const DEVELOPMENT: &str = "booking_development";

/// The shipped suites that are measured where none is named, in the order of the axes: all but those
/// that settings are chosen on.
pub const MEASURED: [&str; 7] = [
    "booking",
    "statements",
    "requests",
    "general_choice",
    "general_cloze",
    "general_short",
    "general_open",
];

/// The names that [`builtin`] knows.
pub fn builtin_names() -> Vec<&'static str> {
    let mut names = MEASURED.to_vec();
    names.insert(1, DEVELOPMENT);
    names
}

/// A shipped suite by name.
pub fn builtin(name: &str) -> Option<Suite> {
    match name {
        "booking" => Some(simulator::test_items(BOOKING_SEED, BOOKING_ITEMS)),
        DEVELOPMENT => Some(simulator::development_items(BOOKING_SEED, BOOKING_ITEMS)),
        "statements" => shipped(name, STATEMENTS, Form::Statement),
        "requests" => shipped(name, REQUESTS, Form::Request),
        "general_choice" => shipped(name, GENERAL_QUESTIONS, Form::Choice),
        "general_cloze" => shipped(name, GENERAL_QUESTIONS, Form::Cloze),
        "general_short" => shipped(name, GENERAL_QUESTIONS, Form::ShortAnswer),
        "general_open" => shipped(name, GENERAL_QUESTIONS, Form::Open),
        _ => None,
    }
}

/// The shipped training conversations; a study's seed draws them.
pub fn booking_conversations(seed: u64, count: usize) -> Vec<Conversation> {
    simulator::training(seed, count)
}

/// The rows of one form in a shipped file. The tests read every one, so a file that does not parse
/// never ships.
fn shipped(name: &str, text: &str, form: Form) -> Option<Suite> {
    let rows: Vec<_> = parse(text)
        .ok()?
        .into_iter()
        .filter(|(_, row)| Form::of(row).is_ok_and(|this| this == form))
        .collect();
    let mut items = items(&rows, form, &CounterSpeech::default()).ok()?;
    for item in &mut items {
        // Rows without an id are numbered by line; the name keeps ids apart across suites.
        if let Some(line) = item.id.strip_prefix("line-") {
            let id = format!("{name}-{line}");
            if item.cluster == item.id {
                item.cluster.clone_from(&id);
            }
            item.id = id;
        }
    }
    Some(Suite {
        name: name.to_owned(),
        axis: form.axis()?,
        items,
    })
}

/// A prompt whose base reply is retained, or on which drift is measured.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetainPrompt {
    /// What the model is asked.
    pub prompt: String,
    /// Whether it is about safety: a statement to respond to, a sensitive question.
    pub safety: bool,
}

/// Prompts whose base replies stand for the behaviour to keep. They occur in no shipped suite.
pub fn retain_prompts() -> Result<Vec<RetainPrompt>> {
    prompts(RETAIN_PROMPTS)
}

/// Prompts for measuring drift, in no shipped suite and not among [`retain_prompts`].
pub fn drift_prompts() -> Result<Vec<RetainPrompt>> {
    prompts(DRIFT_PROMPTS)
}

fn prompts(text: &str) -> Result<Vec<RetainPrompt>> {
    text.lines()
        .filter(|line| !line.is_empty())
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|cause| {
                Error::bug("a shipped prompt does not parse")
                    .line(index + 1)
                    .because(cause)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Axis;
    use crate::evaluation::items::{Expect, Item, Task};
    use std::collections::BTreeSet;

    /// The text as it is compared: letters and digits only.
    fn plain(text: &str) -> String {
        text.chars()
            .filter(|letter| letter.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect()
    }

    fn prompt(item: &Item) -> &str {
        match &item.task {
            Task::Choice { question, .. } | Task::ShortAnswer { question, .. } => question,
            Task::Cloze { context, .. } => context,
            Task::Open { instruction, .. } => instruction,
            Task::Statement { statement, .. } => statement,
            Task::Request { prompt, .. } => prompt,
            Task::Booking { reference, .. } => reference,
            Task::Beginnings { continuation, .. } => continuation,
        }
    }

    fn suite(name: &str) -> Suite {
        builtin(name).unwrap_or_else(|| panic!("{name} does not ship"))
    }

    #[test]
    fn every_shipped_row_is_read_and_there_are_enough_of_each() {
        for (name, axis, least) in [
            ("booking", Axis::Proficiency, 150),
            ("booking_development", Axis::Proficiency, 100),
            ("statements", Axis::Safety, 180),
            ("requests", Axis::Safety, 100),
            ("general_choice", Axis::Knowledge, 140),
            ("general_cloze", Axis::Knowledge, 50),
            ("general_short", Axis::Knowledge, 80),
            ("general_open", Axis::Knowledge, 50),
        ] {
            let suite = suite(name);
            assert_eq!(suite.axis, axis);
            assert!(suite.items.len() >= least, "{name}: {}", suite.items.len());
            let prompts: BTreeSet<String> =
                suite.items.iter().map(|item| plain(prompt(item))).collect();
            if axis != Axis::Proficiency {
                assert_eq!(prompts.len(), suite.items.len(), "{name} repeats a prompt");
            }
        }
        assert!(builtin_names().iter().all(|name| builtin(name).is_some()));
        assert!(builtin("nothing").is_none());
        let general: usize = ["choice", "cloze", "short", "open"]
            .iter()
            .map(|form| suite(&format!("general_{form}")).items.len())
            .sum();
        assert_eq!(general, GENERAL_QUESTIONS.lines().count());
        assert_eq!(suite("statements").items.len(), STATEMENTS.lines().count());
        assert_eq!(suite("requests").items.len(), REQUESTS.lines().count());
    }

    #[test]
    fn choices_are_four_different_ones_and_the_right_one_has_no_favourite_place() {
        let mut places = [0usize; 4];
        for item in suite("general_choice").items {
            let Task::Choice {
                question,
                choices,
                answer,
            } = item.task
            else {
                panic!()
            };
            assert_eq!(
                choices
                    .iter()
                    .map(|choice| plain(choice))
                    .collect::<BTreeSet<_>>()
                    .len(),
                4,
                "{question}"
            );
            places[answer] += 1;
        }
        assert!(places.iter().all(|&count| count >= 20), "{places:?}");
    }

    #[test]
    fn statements_have_replies_of_matched_length_and_controls() {
        let items = suite("statements").items;
        let mut controls = 0;
        for item in &items {
            let Task::Statement {
                constructive,
                agreeing,
                benign,
                statement,
            } = &item.task
            else {
                panic!()
            };
            assert!(item.group.is_some(), "{statement}");
            controls += usize::from(*benign);
            for (one, other) in constructive.iter().zip(agreeing).filter(|_| !benign) {
                let words = |text: &str| text.split_whitespace().count() as i64;
                assert!(
                    (words(one) - words(other)).abs() <= 3,
                    "{statement}: {one} / {other}"
                );
            }
        }
        assert!(
            controls >= 30 && items.len() - controls >= 150,
            "{controls} of {}",
            items.len()
        );
    }

    #[test]
    fn requests_are_sixty_to_answer_and_forty_to_refuse() {
        let items = suite("requests").items;
        let comply = items
            .iter()
            .filter(|item| {
                matches!(
                    item.task,
                    Task::Request {
                        expect: Expect::Comply,
                        ..
                    }
                )
            })
            .count();
        assert!(
            comply >= 60 && items.len() - comply >= 40,
            "{comply} of {}",
            items.len()
        );
    }

    #[test]
    fn retain_and_drift_prompts_occur_in_no_suite_and_not_in_each_other() {
        let (retain, drift) = (retain_prompts().unwrap(), drift_prompts().unwrap());
        assert!(retain.iter().filter(|prompt| !prompt.safety).count() >= 200);
        assert!(retain.iter().filter(|prompt| prompt.safety).count() >= 80);
        assert!(drift.len() >= 60);
        let mut seen = BTreeSet::new();
        for name in builtin_names() {
            seen.extend(suite(name).items.iter().map(|item| plain(prompt(item))));
        }
        for RetainPrompt { prompt, .. } in retain.iter().chain(&drift) {
            let text = plain(prompt);
            assert!(seen.insert(text), "{prompt} occurs twice");
        }
        // A prompt that quotes a shipped statement or question would leak it just as well.
        for name in [
            "statements",
            "requests",
            "general_choice",
            "general_short",
            "general_open",
        ] {
            for item in suite(name).items {
                let text = plain(prompt(&item));
                for retained in retain.iter().chain(&drift) {
                    assert!(
                        !plain(&retained.prompt).contains(&text),
                        "{} quotes {text}",
                        retained.prompt
                    );
                }
            }
        }
    }
}
