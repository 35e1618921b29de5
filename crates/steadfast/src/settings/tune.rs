//! What one arm trained by itself is made of.

use super::arm::ArmSettings;
use super::study::{DataSettings, RetainSettings};
use serde::Serialize;
use std::path::PathBuf;

/// One training run without measurements.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TuneSettings {
    /// The base; `None` is the one that is always there.
    pub base: Option<String>,
    /// Training data.
    pub data: DataSettings,
    /// Method and hyperparameters.
    pub arm: ArmSettings,
    /// Of data order and initialisation.
    pub seed: u64,
    /// For `null-space`: the text whose behaviour should stay.
    pub retain: RetainSettings,
    /// The folder of the adapter and its checkpoints.
    pub output: PathBuf,
    /// Go on from the last checkpoint in `output`.
    pub resume: bool,
}
