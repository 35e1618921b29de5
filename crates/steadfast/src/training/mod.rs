//! The training loop, the optimiser, checkpoints and exact resume.

pub mod checkpoint;
pub mod optimizer;
pub mod schedule;
pub mod train;
