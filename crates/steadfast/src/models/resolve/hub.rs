//! A model of the Hub, by the Hub's own cache.

use super::{Located, from_path, offline};
use crate::events::{Event, Listener};
use crate::models::weights;
use crate::{Error, Result};
use hf_hub::{HFClient, HFClientSync, HFError};
use std::path::{Path, PathBuf};

/// What is fetched of a model.
const FILES: [&str; 3] = ["*.json", "*.jinja", "*.safetensors"];

/// Finds a model of the Hub, or fetches it.
pub fn locate(id: &str, listener: &dyn Listener) -> Result<Located> {
    let client = HFClient::builder()
        .build_sync()
        .map_err(|cause| failure(id, cause))?;
    let offline = offline(std::env::var_os("HF_HUB_OFFLINE").as_deref());
    let folder = snapshot(id, &client, offline, listener)?;
    let revision = folder.file_name();
    let found = from_path(&folder.to_string_lossy())?;
    Ok(Located {
        id: id.to_owned(),
        revision: revision.map(|name| name.to_string_lossy().into_owned()),
        ..found
    })
}

/// The model's folder in the Hub's cache. Nothing is asked of the Hub where the folder looks whole.
fn snapshot(
    id: &str,
    client: &HFClientSync,
    offline: bool,
    listener: &dyn Listener,
) -> Result<PathBuf> {
    let (owner, name) = hf_hub::split_id(id);
    let repository = client.model(owner, name);
    let ask = || {
        let patterns = FILES.map(str::to_owned).to_vec();
        repository.snapshot_download().allow_patterns(patterns)
    };
    let here = ask().local_files_only(true).send().ok();
    match here.filter(|folder| can_be_used(folder)) {
        Some(folder) if offline || !was_ended_early(&folder) => Ok(folder),
        Some(folder) => {
            // The revision that is here, not a newer one.
            let revision = folder.file_name().unwrap_or_default().to_string_lossy();
            let asked = ask().revision(revision).send();
            asked.or_else(|cause| {
                let message = format!(
                    "a download of {id} was ended early, and what it lacks cannot be had ({cause}): using what is there"
                );
                listener.on(Event::Warning { message });
                Ok(folder)
            })
        }
        None if offline => Err(Error::outside(format!(
            "`{id}` is not, or not whole, in the Hub's cache, and HF_HUB_OFFLINE is set"
        ))
        .hint("unset HF_HUB_OFFLINE, or name a folder on this machine")),
        None => {
            let message = format!("downloading {id} from the Hub");
            listener.on(Event::Note { message });
            ask().send().map_err(|cause| failure(id, cause))
        }
    }
}

/// Whether a snapshot has what every model has. Other programs leave snapshots without, where their
/// download was ended early.
fn can_be_used(snapshot: &Path) -> bool {
    let shards = weights::shards(snapshot).unwrap_or_default();
    snapshot.join("config.json").exists()
        && !shards.is_empty()
        && shards.iter().all(|shard| shard.exists())
}

/// Whether a file of the model was begun and not finished: a snapshot shows none of what it lacks.
fn was_ended_early(snapshot: &Path) -> bool {
    let repository = snapshot.parent().and_then(Path::parent);
    let blobs = repository.and_then(|folder| folder.join("blobs").read_dir().ok());
    let mut files = blobs
        .into_iter()
        .flatten()
        .filter_map(std::result::Result::ok);
    files.any(|file| {
        file.path()
            .extension()
            .is_some_and(|end| end == "incomplete")
    })
}

fn failure(id: &str, cause: HFError) -> Error {
    match &cause {
        HFError::RepoNotFound { .. } | HFError::RevisionNotFound { .. } => {
            Error::user(format!("the Hub has no model `{id}`"))
                .hint("check the spelling; a private or gated model needs HF_TOKEN")
        }
        HFError::AuthRequired { .. } | HFError::Forbidden { .. } => {
            Error::user(format!("the Hub does not give `{id}` to you"))
                .hint("accept the model's terms on its page and set HF_TOKEN")
        }
        HFError::RateLimited { .. } => {
            Error::outside("the Hub asks to slow down").hint("wait a few minutes, or set HF_TOKEN")
        }
        HFError::Io(_) => Error::outside(format!("`{id}` cannot be written to the Hub's cache"))
            .hint("check the room and the rights of HF_HOME"),
        _ => Error::outside(format!("`{id}` cannot be downloaded from the Hub"))
            .hint("check the network and HF_ENDPOINT, or name a folder on this machine"),
    }
    .because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;
    use crate::providers::emulators::http::{Emulator, Reaction};
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    const REVISION: &str = "0123456789012345678901234567890123456789";

    /// The files of a model in two parts.
    fn file(name: &str) -> Option<String> {
        Some(match name {
            "config.json" => "{}".to_owned(),
            "model.safetensors.index.json" => {
                json!({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}).to_string()
            }
            "1.safetensors" | "2.safetensors" | "chat_template.jinja" => format!("in {name}"),
            _ => return None,
        })
    }

    fn hub(down: Arc<AtomicBool>) -> Emulator {
        Emulator::start(move |_, request| {
            if down.load(Ordering::SeqCst) {
                return Reaction::new(500, "down");
            }
            let path = request.path();
            if path.contains("/tree/") {
                let names = [
                    "config.json",
                    "model.safetensors.index.json",
                    "1.safetensors",
                    "2.safetensors",
                    "chat_template.jinja",
                    "pytorch_model.bin",
                ];
                let entries =
                    names.map(|name| json!({"type": "file", "oid": name, "size": 1, "path": name}));
                return Reaction::json(&json!(entries));
            }
            if path.contains("/revision/") {
                return Reaction::json(&json!({"sha": REVISION, "id": "hotels/agent"}));
            }
            let name = path.rsplit('/').next().unwrap_or_default();
            match file(name) {
                Some(text) => Reaction::new(200, text)
                    .header(&format!("ETag: \"{name}\""))
                    .header(&format!("X-Repo-Commit: {REVISION}")),
                None => Reaction::new(404, ""),
            }
        })
    }

    #[test]
    fn a_download_that_was_ended_early_goes_on() {
        let place = tempfile::tempdir().unwrap();
        let cache = place.path().join("cache");
        let repository = cache.join("models--hotels--agent");
        let folder = repository.join("snapshots").join(REVISION);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(repository.join("refs")).unwrap();
        std::fs::write(repository.join("refs/main"), REVISION).unwrap();
        for name in [
            "config.json",
            "model.safetensors.index.json",
            "1.safetensors",
        ] {
            std::fs::write(folder.join(name), file(name).unwrap()).unwrap();
        }

        let down = Arc::new(AtomicBool::new(true));
        let emulator = hub(down.clone());
        let client = HFClient::builder()
            .endpoint(emulator.url.trim_end_matches("/v1"))
            .cache_dir(&cache)
            .retry_max_attempts(0)
            .build_sync()
            .unwrap();
        let ask = |offline| snapshot("hotels/agent", &client, offline, &Silent);

        let refused = ask(true).unwrap_err();
        assert!(refused.message.contains("not whole"), "{refused}");
        assert!(ask(false).is_err(), "the Hub is down");
        down.store(false, Ordering::SeqCst);
        assert_eq!(ask(false).unwrap(), folder);
        for name in ["2.safetensors", "chat_template.jinja"] {
            let found = std::fs::read_to_string(folder.join(name)).unwrap();
            assert_eq!(found, file(name).unwrap());
        }
        let asked = emulator.requests().len();
        assert_eq!(ask(false).unwrap(), folder);
        assert_eq!(emulator.requests().len(), asked, "it is known to be whole");

        // Another program's download, ended within a small file.
        std::fs::remove_file(folder.join("chat_template.jinja")).unwrap();
        std::fs::write(repository.join("blobs/0123.incomplete"), "").unwrap();
        down.store(true, Ordering::SeqCst);
        assert_eq!(ask(false).unwrap(), folder, "what is there, with a warning");
        down.store(false, Ordering::SeqCst);
        assert_eq!(ask(false).unwrap(), folder);
        assert!(folder.join("chat_template.jinja").exists());
        let asked = emulator
            .requests()
            .into_iter()
            .filter(|one| one.path().contains("/revision/"));
        assert_eq!(asked.count(), 2, "nobody asks for a newer revision");
    }
}
