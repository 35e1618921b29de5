//! The whole study, from settings to report, read top to bottom.
