//! Three axes, measured before and after.
//!
//! [`suites`] reads items; [`proficiency`], [`safety`] and [`knowledge`] ask a [`subject`] and score
//! what it says; [`judge`] asks a second model what to think of it; [`measurement`] is one model on some suites,
//! [`comparison`] two of them, paired, and [`gate`] the limits on their difference; [`statistics`] says how
//! sure each number is.

mod columns;
pub mod comparison;
pub mod gate;
pub mod hosted;
pub mod items;
pub mod judge;
pub mod knowledge;
pub mod measurement;
pub mod proficiency;
pub mod safety;
pub mod scorers;
#[cfg(test)]
mod scripted;
pub mod shared;
pub mod statistics;
pub mod subject;
pub mod suites;

pub use crate::axis::{Axis, Budgeted};
