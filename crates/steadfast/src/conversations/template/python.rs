//! What templates ask of Python's own values, where minijinja answers otherwise or not at all.

use minijinja::value::{Tuple, ValueKind, from_args};
use minijinja::{Error, State, Value};
use std::borrow::Cow;

/// White space as Python's `str.strip` and `str.split` have it: four separators more than Unicode's.
fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
}

/// Where Python's `str.splitlines` ends a line; `\r\n` ends one line.
fn ends_line(letter: char) -> bool {
    matches!(
        letter,
        '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// The filter `trim`: `strip` under another name.
pub(super) fn trim(text: Cow<'_, str>, letters: Option<Cow<'_, str>>) -> String {
    match letters {
        None => text.trim_matches(is_space).to_owned(),
        Some(letters) => text
            .trim_matches(|letter| letters.contains(letter))
            .to_owned(),
    }
}

/// The test `iterable`: unlike the engine's, not of `none`.
pub(super) fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// The test `sequence`: whatever has a length and items, so texts and objects too.
pub(super) fn is_sequence(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::String | ValueKind::Seq | ValueKind::Map
    )
}

/// A method of a value that is not the engine's own.
pub(super) fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let plain = arguments.iter().all(Value::is_none);
    if let Some(text) = value.as_str() {
        match name {
            "strip" if plain => return Ok(text.trim_matches(is_space).into()),
            "lstrip" if plain => return Ok(text.trim_start_matches(is_space).into()),
            "rstrip" if plain => return Ok(text.trim_end_matches(is_space).into()),
            "split" if plain => {
                let words = text.split(is_space).filter(|word| !word.is_empty());
                return Ok(words.map(Value::from).collect());
            }
            "splitlines" if plain => return Ok(lines(text).into_iter().map(Value::from).collect()),
            "removeprefix" => {
                let (prefix,): (&str,) = from_args(arguments)?;
                return Ok(text.strip_prefix(prefix).unwrap_or(text).into());
            }
            "removesuffix" => {
                let (suffix,): (&str,) = from_args(arguments)?;
                return Ok(text.strip_suffix(suffix).unwrap_or(text).into());
            }
            "partition" | "rpartition" => {
                let (separator,): (&str,) = from_args(arguments)?;
                return Ok(parts(text, separator, name == "partition"));
            }
            "rsplit" if !plain => {
                let (separator, most): (&str, Option<usize>) = from_args(arguments)?;
                let most = most.map_or(usize::MAX, |most| most.saturating_add(1));
                let mut found: Vec<&str> = text.rsplitn(most, separator).collect();
                found.reverse();
                return Ok(found.into_iter().map(Value::from).collect());
            }
            _ => {}
        }
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}

fn parts(text: &str, separator: &str, first: bool) -> Value {
    let found = if first {
        text.split_once(separator)
    } else {
        text.rsplit_once(separator)
    };
    let parts = match found {
        Some((before, after)) => [before, separator, after],
        None if first => [text, "", ""],
        None => ["", "", text],
    };
    Value::from(Tuple::from(parts.map(Value::from)))
}

fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ends_line) {
        lines.push(&rest[..at]);
        let end = &rest[at..];
        let width = end.chars().next().map_or(0, char::len_utf8);
        rest = end.strip_prefix("\r\n").unwrap_or(&end[width..]);
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}
