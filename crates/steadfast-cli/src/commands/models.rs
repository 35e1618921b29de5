//! `steadfast models`

use crate::arguments::Global;
use crate::output;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use steadfast::models::families;
use steadfast::models::resolve::{DEFAULT_BASE, default_base_path};
use steadfast::{Error, Result};

/// The flags of `models`.
#[derive(Args, Debug)]
#[command(after_help = help())]
pub struct Arguments {}

fn help() -> String {
    format!(
        "Example:\n  steadfast models --json\n\n\
        A model is named by a folder, a GGUF file or a Hub id. Hub models are listed from HF_HOME.\n\n\
        Supported architectures: {}.",
        families::supported()
    )
}

#[derive(Serialize)]
struct Model {
    id: String,
    /// Whether it is the base where none is named.
    default: bool,
    /// Whether it is on this machine; the default is fetched when first used.
    here: bool,
    place: PathBuf,
}

/// Lists the default base and what the Hub's cache holds.
pub fn run(_: &Arguments, global: Global) -> Result<()> {
    let path = default_base_path()?;
    let mut models = vec![Model {
        id: DEFAULT_BASE.to_owned(),
        default: true,
        here: path.exists(),
        place: path,
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
        let state = if model.here {
            ""
        } else {
            " (fetched when first used)"
        };
        let default = if model.default { " (default)" } else { "" };
        text += &format!(
            "{}{default}\n  {}{state}\n",
            model.id,
            model.place.display()
        );
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
                default: false,
                here: true,
                place: path.clone(),
            });
        }
    }
    models.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(models)
}
