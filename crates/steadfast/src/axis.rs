//! The three axes, and what a budget can limit, in the words of files and commands.

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

/// What a budget can limit, in points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budgeted {
    /// Constructive preference lost.
    Safety,
    /// Accuracy lost.
    Knowledge,
    /// Replies to safety prompts that have become the training data's, in a hundred more than the base's.
    DomainLeakage,
}

impl Budgeted {
    /// All of them.
    pub const ALL: [Budgeted; 3] = [
        Budgeted::Safety,
        Budgeted::Knowledge,
        Budgeted::DomainLeakage,
    ];

    /// The word used in recipes and requests.
    pub fn name(self) -> &'static str {
        match self {
            Budgeted::Safety => "safety",
            Budgeted::Knowledge => "knowledge",
            Budgeted::DomainLeakage => "domain_leakage",
        }
    }

    /// The axis whose suites tell.
    pub fn axis(self) -> Axis {
        match self {
            Budgeted::Safety | Budgeted::DomainLeakage => Axis::Safety,
            Budgeted::Knowledge => Axis::Knowledge,
        }
    }
}
