//! `steadfast models`

use crate::arguments::Global;
use crate::output;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use steadfast::models::resolve::DEFAULT_BASE;
use steadfast::{Error, Result};

/// The flags of `models`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  steadfast models --json\n\n\
        A model is named by a folder, a GGUF file or a Hub id. Hub models are listed from HF_HOME.")]
pub struct Arguments {}

#[derive(Serialize)]
struct Model {
    id: String,
    /// `default`, or where it was found.
    place: String,
}

/// Lists the default base and what the Hub's cache holds.
pub fn run(_: &Arguments, global: Global) -> Result<()> {
    let mut models = vec![Model {
        id: DEFAULT_BASE.to_owned(),
        place: "the default, fetched when first used".to_owned(),
    }];
    let hub = hub_cache();
    if let Some(hub) = &hub {
        models.extend(cached(hub)?);
    }
    if global.json {
        return output::json(&models);
    }
    let mut text = String::new();
    for model in &models {
        text += &format!("{}\n  {}\n", model.id, model.place);
    }
    output::write(&text)
}

/// Where the Hub's own tools keep models.
fn hub_cache() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    set("HF_HUB_CACHE")
        .or_else(|| set("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/huggingface/hub")))
}

fn cached(hub: &Path) -> Result<Vec<Model>> {
    let entries = match std::fs::read_dir(hub) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(Error::file("read", hub, cause)),
    };
    let mut models = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|cause| Error::file("read", hub, cause))?
            .path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(id) = name.strip_prefix("models--") {
            models.push(Model {
                id: id.replace("--", "/"),
                place: path.display().to_string(),
            });
        }
    }
    models.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(models)
}
