//! Reads typed values out of a TOML table, remembering which keys were asked for, so that every
//! mistake in a recipe is found in one pass and each names its line and its field.

use super::suggest;
use crate::{Error, Result};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A file of another kind has one on each of its lines.
const MOST_SYNTAX_ERRORS: usize = 8;

/// A recipe's text and the mistakes found in it so far.
pub(super) struct Source<'s> {
    path: PathBuf,
    text: &'s str,
    mistakes: RefCell<Vec<Error>>,
}

impl<'s> Source<'s> {
    pub(super) fn new(path: &Path, text: &'s str) -> Self {
        Self {
            path: path.to_path_buf(),
            text,
            mistakes: RefCell::default(),
        }
    }

    /// Parses the text; syntax errors end the reading, since nothing after them is certain.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'s>>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        // One mistake makes the parser stumble over the rest of its line, letter by letter.
        let mut lines = BTreeSet::new();
        let first_of_a_line = errors.into_iter().filter(|error| {
            let line = error.span().map(|span| self.line(&span));
            lines.insert(line)
        });
        let mistakes = first_of_a_line.take(MOST_SYNTAX_ERRORS).map(|error| {
            let mut mistake = Error::user(format!("the recipe is not TOML: {}", error.message()))
                .at(&self.path)
                .hint("strings stand in quotes, tables in [brackets], lists of tables in [[double brackets]]");
            if let Some(span) = error.span() {
                mistake = mistake.line(self.line(&span));
            }
            mistake
        });
        Error::all(mistakes.collect())?;
        Ok(document)
    }

    /// Reports one mistake.
    pub(super) fn report(&self, mistake: Error) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// All mistakes so far, in the order of their lines.
    pub(super) fn finish(self) -> Result<()> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| mistake.place.line);
        Error::all(mistakes)
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let end = span.start.min(self.text.len());
        1 + self.text.as_bytes()[..end]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count()
    }
}

/// The values that a number may take.
#[derive(Clone, Copy)]
pub(super) enum Bounds {
    /// Greater than 0.
    Positive,
    /// 0 or greater.
    NotNegative,
    /// From 0 to 1.
    Share,
}

impl Bounds {
    fn admits(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::Positive => value > 0.0,
                Self::NotNegative => value >= 0.0,
                Self::Share => (0.0..=1.0).contains(&value),
            }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Positive => "a number greater than 0",
            Self::NotNegative => "a number that is 0 or greater",
            Self::Share => "a share from 0 to 1",
        }
    }

    fn example(self) -> f64 {
        match self {
            Self::Positive => 1e-3,
            Self::NotNegative => 0.0,
            Self::Share => 0.1,
        }
    }
}

/// One entry of a list of numbers and tables.
pub(super) enum Entry<'r, 's> {
    /// A number, whole or not.
    Number(f64),
    /// A table in its place.
    Table(Section<'r, 's>),
}

/// One table of the recipe.
pub(super) struct Section<'r, 's> {
    source: &'r Source<'s>,
    prefix: String,
    span: Range<usize>,
    table: &'r DeTable<'s>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'r, 's> Section<'r, 's> {
    /// The whole document.
    pub(super) fn root(source: &'r Source<'s>, document: &'r Spanned<DeTable<'s>>) -> Self {
        Self::new(source, String::new(), document.span(), document.get_ref())
    }

    fn new(
        source: &'r Source<'s>,
        prefix: String,
        span: Range<usize>,
        table: &'r DeTable<'s>,
    ) -> Self {
        Self {
            source,
            prefix,
            span,
            table,
            asked: RefCell::default(),
        }
    }

    fn field(&self, key: &str) -> String {
        if self.prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.prefix)
        }
    }

    fn value(&self, key: &'static str) -> Option<&'r Spanned<DeValue<'s>>> {
        self.asked.borrow_mut().push(key);
        self.table.get(key)
    }

    /// Whether the recipe sets `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Marks `key` as known, whatever stands there.
    pub(super) fn known(&self, key: &'static str) {
        self.asked.borrow_mut().push(key);
    }

    /// Reports a mistake at `key`, or at the head of this table where the key is absent.
    pub(super) fn mistake(&self, key: &str, message: String, hint: impl Into<String>) {
        self.source.report(self.error(key, message).hint(hint));
    }

    fn error(&self, key: &str, message: String) -> Error {
        let span = self
            .table
            .get(key)
            .map_or_else(|| self.span.clone(), Spanned::span);
        let line = self.source.line(&span);
        Error::user(message)
            .at(&self.source.path)
            .line(line)
            .field(self.field(key))
    }

    /// Reports a value outside its bounds.
    fn out_of_range(&self, key: &str, value: impl Display, bounds: &str, example: impl Display) {
        let error = self
            .error(key, format!("`{key}` is {value}"))
            .because(format!("it must be {bounds}"))
            .hint(format!("write, for example: {key} = {example}"));
        self.source.report(error);
    }

    fn wrong_type(&self, key: &str, expected: &str, example: &str, value: &Spanned<DeValue<'_>>) {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i', 'o']) {
            "an"
        } else {
            "a"
        };
        let error = self
            .error(key, format!("`{key}` has the wrong type"))
            .because(format!("it should be {expected}, but is {article} {found}"))
            .hint(format!("write, for example: {example}"));
        self.source.report(error);
    }

    /// A string.
    pub(super) fn text(&self, key: &'static str) -> Option<String> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(key, "a string", &format!("{key} = \"…\""), value);
        }
        text.map(str::to_owned)
    }

    /// A string that must be one of `choices`.
    pub(super) fn choice(&self, key: &'static str, choices: &[&str]) -> Option<String> {
        let text = self.text(key)?;
        if choices.contains(&text.as_str()) {
            return Some(text);
        }
        self.mistake(
            key,
            format!("no {key} is called `{text}`"),
            suggest::hint(&text, choices),
        );
        None
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.wrong_type(key, "true or false", &format!("{key} = true"), value);
        }
        boolean
    }

    /// A whole number of at least `least`.
    pub(super) fn count(&self, key: &'static str, least: u64) -> Option<u64> {
        let value = self.value(key)?;
        let Some(integer) = integer(value.get_ref()) else {
            self.wrong_type(key, "a whole number", &format!("{key} = 16"), value);
            return None;
        };
        match u64::try_from(integer) {
            Ok(count) if count >= least => Some(count),
            _ => {
                let bounds = format!("a whole number of at least {least}");
                self.out_of_range(key, integer, &bounds, least.max(1));
                None
            }
        }
    }

    /// As [`Self::count`], as a size.
    pub(super) fn size(&self, key: &'static str, least: usize) -> Option<usize> {
        self.count(key, least as u64)
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// A number within bounds; whole numbers are numbers too.
    pub(super) fn number(&self, key: &'static str, bounds: Bounds) -> Option<f64> {
        let value = self.value(key)?;
        let Some(number) = number(value.get_ref()) else {
            self.wrong_type(key, "a number", &format!("{key} = 0.1"), value);
            return None;
        };
        if bounds.admits(number) {
            return Some(number);
        }
        self.out_of_range(key, number, bounds.words(), bounds.example());
        None
    }

    /// A list of numbers within bounds, not empty.
    pub(super) fn numbers(&self, key: &'static str, bounds: Bounds) -> Option<Vec<f64>> {
        let value = self.value(key)?;
        let numbers = value.get_ref().as_array().and_then(|array| {
            let entries = array.iter().map(|entry| number(entry.get_ref()));
            entries.collect::<Option<Vec<f64>>>()
        });
        let Some(numbers) = numbers.filter(|numbers| !numbers.is_empty()) else {
            self.wrong_type(
                key,
                "a list of numbers",
                &format!("{key} = [0.5, 1.0]"),
                value,
            );
            return None;
        };
        if let Some(wrong) = numbers.iter().find(|number| !bounds.admits(**number)) {
            self.out_of_range(key, wrong, bounds.words(), bounds.example());
            return None;
        }
        Some(numbers)
    }

    /// A list of numbers and tables, not empty. A number outside its bounds is reported and left out.
    pub(super) fn numbers_and_tables(
        &self,
        key: &'static str,
        bounds: Bounds,
        example: &str,
    ) -> Option<Vec<Entry<'r, 's>>> {
        let value = self.value(key)?;
        let entries = value.get_ref().as_array().and_then(|array| {
            let entries = array.iter().enumerate().map(|(index, entry)| {
                if let Some(table) = entry.get_ref().as_table() {
                    let prefix = format!("{}[{index}]", self.field(key));
                    let section = Section::new(self.source, prefix, entry.span(), table);
                    return Some(Entry::Table(section));
                }
                number(entry.get_ref()).map(Entry::Number)
            });
            entries.collect::<Option<Vec<_>>>()
        });
        let Some(mut entries) = entries.filter(|entries| !entries.is_empty()) else {
            let expected = "a list of numbers and tables";
            self.wrong_type(key, expected, example, value);
            return None;
        };
        entries.retain(|entry| match entry {
            Entry::Number(number) if !bounds.admits(*number) => {
                self.out_of_range(key, number, bounds.words(), bounds.example());
                false
            }
            _ => true,
        });
        Some(entries)
    }

    /// One string or a list of strings.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        if let Some(text) = value.get_ref().as_str() {
            return Some(vec![text.to_owned()]);
        }
        let texts = value.get_ref().as_array().and_then(|array| {
            array
                .iter()
                .map(|entry| entry.get_ref().as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        });
        if texts.is_none() {
            self.wrong_type(
                key,
                "a string or a list of strings",
                &format!("{key} = [\"…\"]"),
                value,
            );
        }
        texts
    }

    /// A list of whole numbers.
    pub(super) fn counts(&self, key: &'static str) -> Option<Vec<u64>> {
        let value = self.value(key)?;
        let counts = value.get_ref().as_array().and_then(|array| {
            array
                .iter()
                .map(|entry| integer(entry.get_ref()).and_then(|count| u64::try_from(count).ok()))
                .collect::<Option<Vec<_>>>()
        });
        if counts.is_none() {
            self.wrong_type(
                key,
                "a list of whole numbers",
                &format!("{key} = [0, 1]"),
                value,
            );
        }
        counts
    }

    /// A table (`[key]`).
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'r, 's>> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(key, "a table", &format!("[{key}]"), value);
            return None;
        };
        Some(Section::new(
            self.source,
            self.field(key),
            value.span(),
            table,
        ))
    }

    /// A table whose keys are another program's, as JSON.
    pub(super) fn json(
        &self,
        key: &'static str,
    ) -> Option<serde_json::Map<String, serde_json::Value>> {
        let value = self.value(key)?;
        match json(value.get_ref()) {
            Some(serde_json::Value::Object(object)) => Some(object),
            Some(_) => {
                self.wrong_type(key, "a table", &format!("[{}]", self.field(key)), value);
                None
            }
            None => {
                self.mistake(
                    key,
                    format!("`{key}` holds a date, which JSON has not"),
                    "write it as a string",
                );
                None
            }
        }
    }

    /// A list of tables (`[[key]]`), empty where the recipe has none.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'r, 's>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let tables = value.get_ref().as_array().and_then(|array| {
            array
                .iter()
                .map(|entry| {
                    entry
                        .get_ref()
                        .as_table()
                        .map(|table| (entry.span(), table))
                })
                .collect::<Option<Vec<_>>>()
        });
        let Some(tables) = tables else {
            self.wrong_type(key, "a list of tables", &format!("[[{key}]]"), value);
            return Vec::new();
        };
        tables
            .into_iter()
            .enumerate()
            .map(|(index, (span, table))| {
                let prefix = format!("{}[{index}]", self.field(key));
                Section::new(self.source, prefix, span, table)
            })
            .collect()
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            let error = Error::user(format!("unknown key `{name}`"))
                .at(&self.source.path)
                .line(self.source.line(&key.span()))
                .field(self.field(name))
                .hint(suggest::hint(name, &asked));
            self.source.report(error);
        }
    }
}

/// The same as JSON; `None` where JSON has nothing of the kind.
fn json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    Some(match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(boolean) => (*boolean).into(),
        DeValue::Integer(_) => integer(value)?.into(),
        DeValue::Float(_) => number(value)?.into(),
        DeValue::Array(array) => {
            let entries = array.iter().map(|entry| json(entry.get_ref()));
            entries.collect::<Option<Vec<_>>>()?.into()
        }
        DeValue::Table(table) => {
            let entries = table
                .iter()
                .map(|(key, entry)| Some((key.get_ref().to_string(), json(entry.get_ref())?)));
            entries.collect::<Option<serde_json::Map<_, _>>>()?.into()
        }
        DeValue::Datetime(_) => return None,
    })
}

/// A number, whole or not.
fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
        other => integer(other).map(|integer| integer as f64),
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}
