//! Reads the fields of a request. What is not asked for is tolerated; what is wrong is named.

use super::refusal::Refusal;
use serde_json::{Map, Value};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// The result of reading a request.
pub type Read<T> = Result<T, Refusal>;

/// One JSON object and the path to it. A field that is `null` counts as left out.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    /// A whole request.
    pub fn of(document: &'a Value) -> Read<Self> {
        Self::at(document, String::new())
    }

    /// The object at `path`.
    pub fn at(value: &'a Value, path: String) -> Read<Self> {
        let Some(object) = value.as_object() else {
            let what = if path.is_empty() {
                "The request"
            } else {
                "This"
            };
            return Err(Refusal::wrong(
                path,
                format!("{what} must be a JSON object."),
            ));
        };
        Ok(Self { object, path })
    }

    /// The names of its fields.
    pub fn names(&self) -> impl Iterator<Item = &'a String> {
        self.object.keys()
    }

    /// Where a field stands.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// A refusal that names a field.
    pub fn wrong(&self, name: &str, expected: impl Display) -> Refusal {
        Refusal::wrong(self.path(name), format!("`{name}` must be {expected}."))
    }

    /// A field's value.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// A field that must be there.
    pub fn required(&self, name: &str) -> Read<&'a Value> {
        let path = self.path(name);
        self.get(name)
            .ok_or_else(|| Refusal::wrong(path, format!("`{name}` is required.")))
    }

    /// A text.
    pub fn text(&self, name: &str) -> Read<Option<&'a str>> {
        self.get(name)
            .map(|value| value.as_str().ok_or_else(|| self.wrong(name, "a string")))
            .transpose()
    }

    /// True or false.
    pub fn flag(&self, name: &str) -> Read<bool> {
        self.get(name).map_or(Ok(false), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.wrong(name, "true or false"))
        })
    }

    /// A number within a range.
    pub fn number(&self, name: &str, range: RangeInclusive<f64>) -> Read<Option<f64>> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.get(name)
            .map(|value| {
                value
                    .as_f64()
                    .filter(|number| range.contains(number))
                    .ok_or_else(|| self.wrong(name, &expected))
            })
            .transpose()
    }

    /// A whole number within a range.
    pub fn count(&self, name: &str, range: RangeInclusive<u64>) -> Read<Option<usize>> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.get(name)
            .map(|value| {
                value
                    .as_u64()
                    .filter(|number| range.contains(number))
                    .map(|number| number as usize)
                    .ok_or_else(|| self.wrong(name, &expected))
            })
            .transpose()
    }

    /// A list.
    pub fn list(&self, name: &str) -> Read<Option<&'a Vec<Value>>> {
        self.get(name)
            .map(|value| value.as_array().ok_or_else(|| self.wrong(name, "a list")))
            .transpose()
    }

    /// An object within.
    pub fn inner(&self, name: &str) -> Read<Option<Fields<'a>>> {
        self.get(name)
            .map(|value| Fields::at(value, self.path(name)))
            .transpose()
    }

    /// Refuses a feature that this server does not have, where a request asks for it: to leave it
    /// out silently would answer another question than the one asked.
    pub fn refuse(&self, name: &str, harmless: impl Fn(&Value) -> bool) -> Read<()> {
        match self.get(name) {
            Some(value) if !harmless(value) => Err(Refusal::wrong(
                self.path(name),
                format!("This server does not support `{name}`. Leave it out."),
            )
            .code("unsupported_parameter")),
            _ => Ok(()),
        }
    }
}
