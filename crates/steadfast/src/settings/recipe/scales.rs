//! `scales`: which multiples of a trained change are measured.

use super::{Bounds, Section};
use crate::models::Multiple;
use crate::settings::table::Entry;

/// What a user may write.
const EXAMPLE: &str = "scales = [0.5, 1.0, { first = 0.2, last = 1.0 }]";

/// The multiples of an arm; the whole change where it names none.
pub(super) fn read(section: &Section<'_, '_>) -> Vec<Multiple> {
    let Some(entries) = section.numbers_and_tables("scales", Bounds::NotNegative, EXAMPLE) else {
        return vec![Multiple::WHOLE];
    };
    let mut multiples: Vec<Multiple> = Vec::new();
    for entry in entries {
        let multiple = match entry {
            Entry::Number(factor) => Some(Multiple::even(factor)),
            Entry::Table(table) => by_depth(table),
        };
        let Some(multiple) = multiple else { continue };
        if multiples.contains(&multiple) {
            section.mistake(
                "scales",
                format!("`scales` names {multiple} twice"),
                "each is a setting of its own: give it once",
            );
        }
        multiples.push(multiple);
    }
    multiples
}

/// A scale that changes on a line from the first layer to the last.
fn by_depth(table: Section<'_, '_>) -> Option<Multiple> {
    let end = |key: &'static str| {
        if !table.has(key) {
            table.mistake(
                key,
                format!("a scale by depth has no `{key}`"),
                format!("give the first layer's and the last layer's: {EXAMPLE}"),
            );
        }
        table.number(key, Bounds::NotNegative)
    };
    let (first, last) = (end("first"), end("last"));
    table.finish();
    Some(Multiple {
        first: first?,
        last: last?,
    })
}
