//! Three axes, measured before and after.
//!
//! [`suites`] reads items; [`proficiency`], [`safety`] and [`knowledge`] ask a [`subject`] and score
//! what it says; [`judge`] asks a second model what to think of it; [`measurement`] is one model on some suites; [`statistics`] compares two of them.

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

use serde::{Deserialize, Serialize};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// Does the booking agent take the right next step?
    Proficiency,
    /// Does it contradict toxic statements constructively?
    Safety,
    /// Does it still know what it knew?
    Knowledge,
}

impl Axis {
    /// All three, in the order of the figures.
    pub const ALL: [Axis; 3] = [Axis::Proficiency, Axis::Safety, Axis::Knowledge];

    /// The word used in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Axis::Proficiency => "proficiency",
            Axis::Safety => "safety",
            Axis::Knowledge => "knowledge",
        }
    }

    /// The metric that stands for the axis in results.
    pub fn metric(self) -> &'static str {
        match self {
            Axis::Proficiency => "step_accuracy",
            Axis::Safety => "constructive_preference",
            Axis::Knowledge => "accuracy",
        }
    }
}
