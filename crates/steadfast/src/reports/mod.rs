//! Results, figures, and the page a person looks at.

pub mod figures;
pub mod frontier;
pub mod items;
pub mod page;
pub mod results;
pub mod svg;

#[cfg(test)]
#[path = "../../examples/sample_report/sample.rs"]
mod sample;
