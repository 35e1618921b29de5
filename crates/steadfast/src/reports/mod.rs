//! Figures, the page a person looks at, and forms that other tools read.

pub mod card;
pub mod figures;
pub mod frontier;
pub mod harness;
pub mod items;
pub mod mlflow;
pub mod page;
pub mod svg;
pub mod tensorboard;

// The sample is the example's too, which has the same names beside it.
#[cfg(test)]
use crate::results;
#[cfg(test)]
#[path = "../../examples/sample_report/sample.rs"]
pub(crate) mod sample;
