//! The three before/after figures, as SVG and PNG.
