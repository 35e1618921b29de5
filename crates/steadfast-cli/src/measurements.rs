//! The measurement files that `compare` and `gate` read.

use std::path::Path;
use steadfast::evaluation::measurement::Measurement;
use steadfast::{Error, Result};

/// Reads one measurement file.
pub fn read(path: &Path) -> Result<Measurement> {
    let text = std::fs::read_to_string(path).map_err(|cause| {
        Error::file("read", path, cause).hint("make it with: steadfast measure --json > FILE")
    })?;
    Measurement::parse(&text).map_err(|error| error.at(path))
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
