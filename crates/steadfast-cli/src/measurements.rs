//! The measurement files that `compare` and `gate` read.

use std::path::Path;
use steadfast::evaluation::measurement::{Measurement, SCHEMA};
use steadfast::{Error, Result};

const HINT: &str = "make it with: steadfast measure --json > FILE";

/// Reads one measurement file.
pub fn read(path: &Path) -> Result<Measurement> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| Error::file("read", path, cause).hint(HINT))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|cause| {
        Error::user("the measurement is not JSON")
            .at(path)
            .line(cause.line())
            .because(cause)
            .hint(HINT)
    })?;
    let schema = &value["schema"];
    if schema != SCHEMA {
        return Err(Error::user(format!(
            "the file is no measurement: its schema is {schema}"
        ))
        .at(path)
        .field("schema")
        .hint(format!("this version reads \"{SCHEMA}\"; {HINT}")));
    }
    serde_json::from_value(value).map_err(|cause| {
        Error::user("the measurement lacks what its schema promises")
            .at(path)
            .because(cause)
            .hint(HINT)
    })
}

/// Reads both at once, so that mistakes in either are reported together.
pub fn read_both(before: &Path, after: &Path) -> Result<(Measurement, Measurement)> {
    match (read(before), read(after)) {
        (Ok(before), Ok(after)) => Ok((before, after)),
        (Err(first), Err(second)) if before != after => {
            Error::all(vec![first, second])?;
            Err(Error::bug("two mistakes became none"))
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}
