//! The whole study, from settings to report, read top to bottom.

use crate::Result;
use crate::evaluation::measurement::Measurement;
use crate::events::Listener;
use crate::reports::results::{Results, Training};
use crate::settings::{MeasureSettings, StudySettings, TuneSettings};
use std::path::PathBuf;

/// What a study leaves behind.
#[derive(Debug)]
pub struct StudyOutcome {
    /// The run folder.
    pub run: PathBuf,
    /// What `results.json` holds.
    pub results: Results,
}

/// What one training run leaves behind.
#[derive(Debug)]
pub struct TuneOutcome {
    /// The adapter's folder.
    pub adapter: PathBuf,
    /// What it cost.
    pub training: Training,
}

/// Trains each arm, measures before and after, reports.
pub fn run(settings: &StudySettings, listener: &dyn Listener) -> Result<StudyOutcome> {
    let _ = (settings, listener);
    todo!("coordinator")
}

/// Trains one arm.
pub fn tune(settings: &TuneSettings, listener: &dyn Listener) -> Result<TuneOutcome> {
    let _ = (settings, listener);
    todo!("coordinator")
}

/// Measures one model on some suites.
pub fn measure(settings: &MeasureSettings, listener: &dyn Listener) -> Result<Measurement> {
    let _ = (settings, listener);
    todo!("coordinator")
}
