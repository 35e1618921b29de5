//! Several wordings of one move, and how their blanks are filled.

use super::world::Part;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// The wordings of one move. Test wordings never occur in training.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phrasings {
    /// Used in training and development.
    pub training: &'static [&'static str],
    /// Used in test items only.
    pub test: &'static [&'static str],
}

/// Values by blank name (`city` fills `{city}`).
pub(super) type Values = BTreeMap<String, String>;

impl Phrasings {
    /// The wordings that `part` may use.
    pub fn of(&self, part: Part) -> &'static [&'static str] {
        match part {
            Part::Training | Part::Development => self.training,
            Part::Test => self.test,
        }
    }

    /// One wording at random, its blanks filled from `values`.
    pub fn say(&self, part: Part, rng: &mut ChaCha8Rng, values: &Values) -> String {
        // The lists are constants with at least four entries (a test counts them).
        let template = self.of(part).choose(rng).copied().unwrap_or_default();
        fill(template, values)
    }
}

/// Fills `{name}` blanks; an unknown blank is left standing, which a test would find.
pub(super) fn fill(template: &str, values: &Values) -> String {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text
}
