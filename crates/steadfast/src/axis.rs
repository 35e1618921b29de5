//! The three axes, in the words of files and commands.

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
