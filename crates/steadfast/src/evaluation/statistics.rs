//! Paired comparison of two measurements.
