//! Which step does a booking agent's reply take? Rules over the reply's text, no model.
//!
//! An ordered list of regular expressions ([`rules`]), each naming the step it stands for; the first
//! that holds decides, so a reply has one main step ("It is booked. Anything else?" books). The
//! rules were written from the training parts of SGD and STAR and then left alone;
//! `docs/step-matcher.md` has their agreement with human agents on the held-out parts.
//!
//! Readings that are wider than their names: [`Step::Confirm`] also stands for asking leave to book
//! ("Shall I reserve it?"), since one word from the customer follows both; the slot `city` stands
//! for any place (city, area, part of town).

mod rules;

use crate::evaluation::items::{NextStep, Step};
use regex::Regex;
use rules::Rule;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

/// What a reply does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// Its main step; `None` if no rule holds (an empty reply, or one off the domain).
    pub step: Option<Step>,
    /// For [`Step::Ask`], the slots asked for, in the order they were recognised; else empty.
    pub slots: Vec<String>,
}

impl Matched {
    /// The matched step is among `next_steps`, whatever slots it asks for.
    pub fn takes_one_of(&self, next_steps: &[NextStep]) -> bool {
        self.step
            .is_some_and(|step| next_steps.iter().any(|next| next.step == step))
    }

    /// The matched step is right: it is among `next_steps`, and if it asks, it asks for at least
    /// one slot that may be asked for, and for none that is `known` (how long the stay is counts as
    /// one thing, be it asked for as nights or as the day of leaving).
    pub fn is_right(&self, next_steps: &[NextStep], known: &BTreeMap<String, String>) -> bool {
        if self.step != Some(Step::Ask) {
            return self.takes_one_of(next_steps);
        }
        let missing_is_asked =
            next_steps
                .iter()
                .filter(|next| next.step == Step::Ask)
                .any(|next| {
                    next.slots.is_empty()
                        || self
                            .slots
                            .iter()
                            .any(|asked| next.slots.iter().any(|slot| same_slot(asked, slot)))
                });
        let known_is_asked = self.slots.iter().any(|slot| known.contains_key(slot));
        missing_is_asked && !known_is_asked
    }
}

/// As it stands in labels: `ask(date|nights)`, `book`, `none`.
impl fmt::Display for Matched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            None => formatter.write_str("none"),
            Some(step) => formatter.write_str(&label(step, &self.slots)),
        }
    }
}

/// A step with its slots as it stands in labels: `ask(date|nights)`, `book`.
pub fn label(step: Step, slots: &[String]) -> String {
    if slots.is_empty() {
        return step_name(step).to_string();
    }
    format!("{}({})", step_name(step), slots.join("|"))
}

/// The step's word in suite files.
pub fn step_name(step: Step) -> &'static str {
    match step {
        Step::Greet => "greet",
        Step::Ask => "ask",
        Step::Offer => "offer",
        Step::Inform => "inform",
        Step::Confirm => "confirm",
        Step::Book => "book",
        Step::Decline => "decline",
        Step::AnythingElse => "anything_else",
        Step::Close => "close",
        Step::OutOfScope => "out_of_scope",
    }
}

/// Two names of one thing to ask for: the length of a stay is nights or the day of leaving.
fn same_slot(asked: &str, allowed: &str) -> bool {
    let stay = |slot: &str| if slot == "nights" { "checkout" } else { slot }.to_string();
    stay(asked) == stay(allowed)
}

/// Matches a reply to the step it takes, from its text alone.
pub fn match_step(reply: &str) -> Matched {
    let reply = tidy(reply);
    if reply.is_empty() {
        return Matched::default();
    }
    let compiled = &*COMPILED;
    if let Some(step) = first(&compiled.before_ask, &reply) {
        return Matched {
            step: Some(step),
            slots: Vec::new(),
        };
    }
    let slots = slots_asked_for(&reply);
    if !slots.is_empty() {
        return Matched {
            step: Some(Step::Ask),
            slots,
        };
    }
    Matched {
        step: first(&compiled.after_ask, &reply),
        slots,
    }
}

/// The slots that the questions of a tidied reply ask for.
fn slots_asked_for(reply: &str) -> Vec<String> {
    let compiled = &*COMPILED;
    let mut slots: Vec<String> = Vec::new();
    for sentence in sentences(reply) {
        if !compiled.asking.is_match(sentence) {
            continue;
        }
        for (slot, pattern) in &compiled.slots {
            let only_leaving = *slot == "date"
                && slots.iter().any(|found| found == "checkout")
                && !compiled.arrival.is_match(sentence);
            let is_new = !slots.iter().any(|found| found == slot);
            if is_new && !only_leaving && pattern.is_match(sentence) {
                slots.push((*slot).to_string());
            }
        }
    }
    slots
}

/// Lower case, plain quotes, single spaces, and tokenised text ("do n't", "stay ?") joined again.
fn tidy(reply: &str) -> String {
    let plain: String = reply
        .to_lowercase()
        .chars()
        .map(|character| match character {
            '\u{2018}' | '\u{2019}' => '\'',
            '\u{201c}' | '\u{201d}' => '"',
            other => other,
        })
        .collect();
    let spaced = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let joined = COMPILED.detached.replace_all(&spaced, "$1");
    COMPILED.can_not.replace_all(&joined, "can't").into_owned()
}

/// Sentences of a tidied reply: cut after a full stop, question or exclamation mark or semicolon
/// that a space follows.
fn sentences(reply: &str) -> Vec<&str> {
    let bytes = reply.as_bytes();
    let mut start = 0;
    let mut parts = Vec::new();
    for index in 1..bytes.len() {
        if bytes[index] == b' ' && matches!(bytes[index - 1], b'.' | b'?' | b'!' | b';') {
            parts.push(reply[start..index].trim());
            start = index;
        }
    }
    parts.push(reply[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// The step of the first rule that holds.
fn first(rules: &[Compiled], reply: &str) -> Option<Step> {
    rules
        .iter()
        .find(|rule| {
            rule.pattern.is_match(reply)
                && !rule
                    .unless
                    .as_ref()
                    .is_some_and(|unless| unless.is_match(reply))
        })
        .map(|rule| rule.step)
}

struct Compiled {
    step: Step,
    pattern: Regex,
    unless: Option<Regex>,
}

struct CompiledRules {
    before_ask: Vec<Compiled>,
    after_ask: Vec<Compiled>,
    asking: Regex,
    arrival: Regex,
    slots: Vec<(&'static str, Regex)>,
    detached: Regex,
    can_not: Regex,
}

static COMPILED: LazyLock<CompiledRules> = LazyLock::new(|| {
    // The patterns are constants of this crate, compiled by every test below.
    let regex = |pattern: &str| Regex::new(pattern).expect("a rule of the step matcher compiles");
    let compile = |rules: &[Rule]| {
        rules
            .iter()
            .map(|rule| Compiled {
                step: rule.step,
                pattern: regex(rule.pattern),
                unless: (!rule.unless.is_empty()).then(|| regex(rule.unless)),
            })
            .collect()
    };
    CompiledRules {
        before_ask: compile(rules::BEFORE_ASK),
        after_ask: compile(rules::AFTER_ASK),
        asking: regex(rules::ASKING),
        arrival: regex(rules::ARRIVAL),
        slots: rules::SLOTS
            .iter()
            .map(|(slot, pattern)| (*slot, regex(pattern)))
            .collect(),
        detached: regex(r" (n't\b|'(?:s|re|ve|d|ll|m)\b|[.,!?;:])"),
        can_not: regex(r"\bca n't\b|\bcan not\b|\bcannot\b"),
    }
});

#[cfg(test)]
mod tests;
