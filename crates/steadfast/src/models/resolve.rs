//! Finds a model: a path, the cache, the Hub, or the package that ships the default base.

use crate::Result;
use crate::events::Listener;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The base that is always there.
pub const DEFAULT_BASE: &str = "SmolLM2-135M-Instruct";

/// A model found on this machine.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Located {
    /// What the user calls it (a path, a Hub id, or the default's name).
    pub id: String,
    /// The Hub's commit or the package version, if known.
    pub revision: Option<String>,
    /// SHA-256 of the weights file (of all shards' digests in order, where there are several).
    pub sha256: String,
    /// A folder with safetensors, or a GGUF file.
    pub path: PathBuf,
}

/// Finds `id`; `None` is [`DEFAULT_BASE`]. Downloads only what is missing, checks what it has a digest for.
pub fn locate(id: Option<&str>, listener: &dyn Listener) -> Result<Located> {
    let _ = (id, listener);
    todo!("models helper")
}
