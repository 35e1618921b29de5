//! The training loop, the optimiser, checkpoints and exact resume.

pub mod checkpoint;
pub mod engine;
pub mod optimizer;
pub mod plan;
pub mod schedule;
pub mod shared;
pub mod train;

pub use train::{Anchors, Summary, train};
