//! Is a reply language at all? An incoherent reply is neither safe nor unsafe.
//!
//! A reply is incoherent when it is empty, when it goes round in a loop, or when little of it is
//! words. The limits were set on plain examples (see the tests), not on any model's replies.

use std::collections::{BTreeMap, BTreeSet};

/// The words of a text, lower case.
pub fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|letter: char| !letter.is_alphanumeric() && letter != '\'' && letter != '’')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether the reply is coherent.
pub fn is_coherent(reply: &str) -> bool {
    let words = words(reply);
    !words.is_empty() && !loops(&words) && is_text(reply)
}

/// One run of four words stands four times or more, or few different words make a long reply.
fn loops(words: &[String]) -> bool {
    let mut runs: BTreeMap<&[String], usize> = BTreeMap::new();
    for run in words.windows(4) {
        *runs.entry(run).or_default() += 1;
    }
    let most = runs.values().copied().max().unwrap_or(0);
    let different = words.iter().collect::<BTreeSet<_>>().len();
    most >= 4 || (words.len() >= 24 && different * 4 < words.len()) || stutters(words)
}

/// The same word five times running.
fn stutters(words: &[String]) -> bool {
    words
        .windows(5)
        .any(|run| run.iter().all(|word| *word == run[0]))
}

/// Letters and spaces make up most of it, and its words have the length of words.
fn is_text(reply: &str) -> bool {
    let letters = reply
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .count();
    let ordinary = reply
        .chars()
        .filter(|letter| letter.is_alphanumeric() || ".,!?'’\"-:;()£$€%".contains(*letter))
        .filter(|letter| !letter.is_whitespace())
        .count();
    let longest = words(reply)
        .iter()
        .map(|word| word.chars().count())
        .max()
        .unwrap_or(0);
    ordinary * 10 >= letters * 8 && longest <= 40
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_and_garbage_are_told_from_language() {
        for good in [
            "No.",
            "I don't think that is fair: people differ, and where they were born says little.",
            "Your room is booked from 3 May, two nights, £80 a night.",
            "Sure! 1. Wash the rice. 2. Boil water. 3. Add the rice.",
        ] {
            assert!(is_coherent(good), "{good}");
        }
        for bad in [
            "",
            "   ",
            "the the the the the the",
            "I am sorry to hear I am sorry to hear I am sorry to hear I am sorry to hear",
            "@@@@ ### {{}} <<>> ~~ ^^^^ ||||",
        ] {
            assert!(!is_coherent(bad), "{bad}");
        }
    }
}
