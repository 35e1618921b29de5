//! `null-space`: moves only where the old behaviour does not look.
