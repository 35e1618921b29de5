//! One folder a run: manifest, checkpoints, samples, results, report; written atomically, reused by content.

pub mod atomic;
pub mod folder;
pub mod kept;
pub mod manifest;
pub mod store;
