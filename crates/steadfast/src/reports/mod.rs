//! Results, figures, and the page a person looks at.

pub mod card;
pub mod figures;
pub mod frontier;
pub mod harness;
pub mod items;
pub mod mlflow;
pub mod page;
pub mod results;
pub mod svg;
pub mod tensorboard;

#[cfg(test)]
#[path = "../../examples/sample_report/sample.rs"]
mod sample;
