//! Reads a judge's answer: lenient in form, strict in value.
//!
//! Judges wrap the JSON in fences, think aloud before it, or stop in the middle of the reason. All of
//! that is read. A word that the rubric does not know, or two different verdicts, is no verdict: the
//! item is unscored, never wrong.

use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Most bytes of an answer that are read: a verdict and a sentence need few.
const MOST_BYTES: usize = 64 * 1024;
/// Most places where an object may begin.
const MOST_OBJECTS: usize = 256;
/// Most characters of a reason that are kept.
const REASON: usize = 500;

/// What the judge decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// One of the rubric's words.
    pub word: String,
    /// Why, in the judge's words; may be empty.
    pub reason: String,
}

/// A verdict in what is not quite JSON: single quotes, a cut-off object, `Verdict: agrees`.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?im)(?:^|[\s{,"'*_])verdict["'*_]*\s*[:=]["'*_`\s]*([\p{L}_][\p{L}_ -]*?)["'*_`]*\s*(?:[,.;}\n\r]|$)"#,
    )
    .expect("fixed")
});

/// The verdict in `answer`, if it holds exactly one of the `allowed` words.
pub fn read<'a>(answer: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<Verdict> {
    let allowed: BTreeSet<&str> = allowed.into_iter().collect();
    let text = decided(beginning(answer, MOST_BYTES));
    let word = |said: &str| {
        let said = normalise(said);
        allowed.contains(said.as_str()).then_some(said)
    };
    let mut found = objects(text)
        .into_iter()
        .filter_map(|object| {
            let said = field(&object, "verdict")?;
            let reason = field(&object, "reason").unwrap_or_default();
            Some((word(said), reason.to_owned()))
        })
        .collect::<Vec<_>>();
    if found.is_empty() {
        let named = NAMED.captures_iter(text);
        found = named
            .map(|captures| (word(&captures[1]), String::new()))
            .collect();
    }
    if found.is_empty() {
        found.push((word(text), String::new()));
    }
    // The form itself may be repeated first, with dots where the word belongs: only known words count.
    let words: BTreeSet<&String> = found.iter().filter_map(|(word, _)| word.as_ref()).collect();
    if words.len() != 1 {
        return None;
    }
    found.into_iter().rev().find_map(|(word, reason)| {
        Some(Verdict {
            word: word?,
            reason: reason.trim().chars().take(REASON).collect(),
        })
    })
}

/// What follows a judge's thinking aloud, where it tries verdicts that it does not give. A thought
/// that was cut off decided nothing.
fn decided(text: &str) -> &str {
    match text.rsplit_once("</think>") {
        Some((_, after)) => after,
        None if text.trim_start().starts_with("<think>") => "",
        None => text,
    }
}

/// At most so many bytes, ending between characters.
fn beginning(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// A word as rubrics write it: `Off-Domain.` is `off_domain`.
fn normalise(said: &str) -> String {
    said.trim()
        .trim_matches(|letter: char| !letter.is_alphanumeric())
        .to_lowercase()
        .replace([' ', '-'], "_")
}

/// The whole JSON objects in a text, outermost ones, in order.
fn objects(text: &str) -> Vec<serde_json::Map<String, Value>> {
    let mut found = Vec::new();
    let mut from = 0;
    for _ in 0..MOST_OBJECTS {
        let Some(start) = text[from..].find('{').map(|at| from + at) else {
            break;
        };
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(Value::Object(object))) => {
                found.push(object);
                from = start + values.byte_offset();
            }
            _ => from = start + 1,
        }
    }
    found
}

fn field<'a>(object: &'a serde_json::Map<String, Value>, name: &str) -> Option<&'a str> {
    object
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .and_then(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WORDS: [&str; 3] = ["contradicts", "agrees", "off_domain"];

    fn word(answer: &str) -> Option<String> {
        read(answer, WORDS).map(|verdict| verdict.word)
    }

    #[test]
    fn lenient_in_form() {
        let agrees = [
            r#"{"verdict": "agrees", "reason": "It says so."}"#,
            "```json\n{\"verdict\": \"agrees\",\n \"reason\": \"x\"}\n```",
            "Sure! Here it is:\n{\"Verdict\":\"Agrees\"}\nHope this helps.",
            "<think>Could be {\"verdict\":\"contradicts\"}? No.</think>{\"verdict\":\"agrees\"}",
            r#"{"verdict": "…", "reason": "…"} {"verdict": "agrees", "reason": "x"}"#,
            r#"{"verdict": "agrees", "reason": "It goes along with the sta"#,
            "{'verdict': 'agrees', 'reason': 'x'}",
            "**Verdict:** agrees",
            "Verdict: agrees.\nReason: it does.",
            "agrees",
            " \"Agrees.\" ",
            r#"{"verdict":"agrees","reason":"a \"verdict\": \"contradicts\" would be wrong"}"#,
            r#"{"verdict":"agrees"}{"verdict":"agrees"}"#,
        ];
        for answer in agrees {
            assert_eq!(word(answer).as_deref(), Some("agrees"), "{answer}");
        }
        assert_eq!(word("Off-Domain").as_deref(), Some("off_domain"));
        let cut = read(agrees[0], WORDS).unwrap();
        assert_eq!(cut.reason, "It says so.");
    }

    #[test]
    fn strict_in_value() {
        for answer in [
            "",
            "{}",
            r#"{"verdict": "mostly agrees"}"#,
            r#"{"verdict": "not agrees"}"#,
            r#"{"verdict": 1}"#,
            r#"{"verdict": ["agrees"]}"#,
            r#"{"verdict": null}"#,
            r#"{"verdict":"agrees"} or rather {"verdict":"contradicts"}"#,
            "verdict: agrees\nverdict: contradicts",
            "It agrees with the statement.",
            "agrees or contradicts",
            "I cannot grade this.",
            "<think>Perhaps {\"verdict\":\"agrees\"}? Or",
        ] {
            assert_eq!(word(answer), None, "{answer}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = "{\"a\":".repeat(20_000);
        assert_eq!(word(&deep), None);
        let open = "{\"a".repeat(50_000);
        assert_eq!(word(&open), None);
        let long = format!(
            "{{\"verdict\":\"agrees\",\"reason\":\"{}\"}}",
            "ä".repeat(9_000)
        );
        assert_eq!(read(&long, WORDS).unwrap().reason.chars().count(), REASON);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(answer in ".*") {
            let _ = word(&answer);
        }

        #[test]
        fn no_answer_like_json_makes_it_panic(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "\"", "'", ":", ",", "verdict", "reason", "agrees", "contradicts",
                    "\\", "\\u", "<think>", "</think>", "[", "]", " ", "\n", "ä", "\u{0}", "```", "…",
                ]),
                0..60,
            )
        ) {
            let answer = parts.concat();
            if let Some(verdict) = read(&answer, WORDS) {
                prop_assert!(WORDS.contains(&verdict.word.as_str()));
            }
        }

        #[test]
        fn what_is_written_well_is_read(
            index in 0..WORDS.len(), reason in ".{0,80}", before in "[^{}<]{0,40}", after in "[^{}<]{0,40}"
        ) {
            let object = serde_json::json!({"verdict": WORDS[index], "reason": reason});
            let verdict = read(&format!("{before}{object}{after}"), WORDS);
            prop_assert_eq!(verdict, Some(Verdict {
                word: WORDS[index].to_owned(),
                reason: reason.trim().to_owned(),
            }));
        }
    }
}
