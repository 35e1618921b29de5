//! Weights out: a tuned model as files that other tools load by themselves.
//!
//! An adapter is small and leaves the base alone; many tools want one model in one place. Here
//! W + s·B·A takes the place of W: [`folder`] writes what transformers loads, [`gguf`] what llama.cpp
//! loads, and [`ollama`] that with a Modelfile. [`peft`] writes the adapter alone, a part of what was
//! trained.

pub mod folder;
pub mod gguf;
pub mod ollama;
pub mod peft;

use super::adapter::{Adapter, dora, replaced};
use crate::runs::folder::bytes_under;
use crate::{Error, Result};
use candle_core::{DType, Tensor};
use std::path::Path;

/// What an export left behind.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Exported {
    /// The file or folder.
    pub path: std::path::PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// The weight [out, in] of the linear layer at `path` with the adapter's change in it, in f32; the
/// weight itself where the adapter leaves it alone.
fn merged(adapter: &Adapter, path: &str, weight: Tensor) -> Result<Tensor> {
    if let Some(own) = adapter.replaced.get(&format!("{path}.weight")) {
        return in_place_of(&weight, own, path);
    }
    let Some(module) = adapter.modules.get(path) else {
        return Ok(weight);
    };
    if let Some(magnitude) = adapter.magnitudes.get(path) {
        return dora::weight(&weight, module, magnitude);
    }
    let change = module.change()?;
    if change.dims() != weight.dims() {
        return Err(Error::user(format!(
            "the adapter changes `{path}` by {:?}, and the base has {:?} there",
            change.dims(),
            weight.dims()
        ))
        .hint("use the model that the adapter was trained on"));
    }
    Ok((weight.to_dtype(DType::F32)? + change)?)
}

/// What the adapter brings in the place of the base's tensor.
fn in_place_of(base: &Tensor, own: &Tensor, name: &str) -> Result<Tensor> {
    if own.dims() == base.dims() {
        Ok(own.clone())
    } else {
        Err(replaced::other_shape(name, own.dims(), base.dims()))
    }
}

/// Every layer that the adapter changes must be met, or the export would silently lack a part of it.
fn check_all_met(adapter: &Adapter, met: &std::collections::BTreeSet<String>) -> Result<()> {
    match adapter.modules.keys().find(|path| !met.contains(*path)) {
        None => {}
        Some(path) => {
            return Err(Error::user(format!(
                "the adapter changes `{path}`, which is no linear layer of this model"
            ))
            .hint("use the model that the adapter was trained on"));
        }
    }
    match adapter.replaced.keys().find(|name| !met.contains(*name)) {
        None => Ok(()),
        Some(name) => Err(replaced::unknown(name)),
    }
}

/// Refuses to write into what is already something else.
fn check_free(path: &Path) -> Result<()> {
    let taken = if path.is_dir() {
        std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
    } else {
        path.exists()
    };
    if taken {
        return Err(Error::user("there is already something at this place")
            .at(path)
            .hint("give another path, or remove what is there"));
    }
    Ok(())
}

/// Writes a folder, which appears whole or not at all.
fn as_a_whole(folder: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    check_free(folder)?;
    let failed = |cause| {
        Error::file("write", folder, cause)
            .hint("check the room on the disk and your rights to the folder")
    };
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".export-");
    // Temporary folders are for their owner alone; models are for whom the umask lets read them.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let work = builder.tempdir_in(parent).map_err(failed)?;
    write(work.path())?;
    if folder.is_dir() {
        // An empty one, which not every system lets another take the place of.
        std::fs::remove_dir(folder).map_err(failed)?;
    }
    std::fs::rename(work.path(), folder).map_err(failed)?;
    std::fs::File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(failed)
}

#[cfg(test)]
mod tests;
