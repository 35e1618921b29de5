//! What a measurement by itself is made of.

use super::study::SuiteSettings;
use serde::Serialize;
use std::path::PathBuf;

/// One model on some suites.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasureSettings {
    /// The model; `None` is the base that is always there.
    pub model: Option<String>,
    /// A PEFT LoRA folder on top of it.
    pub adapter: Option<PathBuf>,
    /// What is measured; empty is every shipped suite.
    pub suites: Vec<SuiteSettings>,
    /// Most items of a suite that sets no limit of its own.
    pub limit: Option<usize>,
    /// Most new tokens of a reply.
    pub max_tokens: usize,
    /// Of the bootstrap and of the choice of items under a limit.
    pub seed: u64,
}
