//! `manifest.json`: what a run was asked to do, and on which inputs.

use super::atomic;
use crate::digest::{hexadecimal, of_file};
use crate::evaluation::suites::read_beside;
use crate::settings::StudySettings;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The value of `format`.
pub const FORMAT: &str = "steadfast.run/1";

/// The manifest's file name.
pub const FILE: &str = "manifest.json";

/// What a run was asked to do. Everything but `created` and `finished` decides the run's id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The run's id, and its folder's name.
    pub id: String,
    /// The study's name.
    pub name: String,
    /// RFC 3339, UTC.
    pub created: String,
    /// When the run was finished; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
    /// The version of steadfast that made it.
    pub version: String,
    /// The settings, defaults filled in.
    pub settings: serde_json::Value,
    /// SHA-256 of everything that was read, by its path or role (`base`).
    pub inputs: BTreeMap<String, String>,
    /// SHA-256 of what the finished run left, by its path in the run's folder.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
}

impl Manifest {
    /// The manifest of a run that starts now.
    pub fn new(settings: &StudySettings, inputs: BTreeMap<String, String>) -> Result<Self> {
        let value = serde_json::to_value(settings)
            .map_err(|cause| Error::bug("the settings have no JSON form").because(cause))?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let mut hash = Sha256::new();
        for part in [FORMAT, &version, &value.to_string()] {
            feed(&mut hash, part);
        }
        for (name, digest) in &inputs {
            feed(&mut hash, name);
            feed(&mut hash, digest);
        }
        let digest = hexadecimal(&hash.finalize());
        Ok(Self {
            format: FORMAT.to_owned(),
            id: format!(
                "{}-{}-{}",
                settings.name,
                settings.preset.name(),
                &digest[..10]
            ),
            name: settings.name.clone(),
            created: jiff::Timestamp::now().to_string(),
            finished: None,
            version,
            settings: value,
            inputs,
            outputs: BTreeMap::new(),
        })
    }

    /// Reads the manifest of the run folder `run`.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join(FILE);
        let text = fs::read_to_string(&path).map_err(|cause| Error::file("read", &path, cause))?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|cause| {
            Error::user("the manifest is not JSON")
                .at(&path)
                .line(cause.line())
                .because(cause)
                .hint("move the run folder away and start the study again")
        })?;
        if value["format"] != FORMAT {
            return Err(Error::user(format!(
                "the run's format is {}, and this version reads \"{FORMAT}\"",
                value["format"]
            ))
            .at(&path)
            .field("format")
            .hint("use the version of steadfast that made the run, or another --runs folder"));
        }
        serde_json::from_value(value).map_err(|cause| {
            Error::user("the manifest lacks what its format promises")
                .at(&path)
                .because(cause)
                .hint("move the run folder away and start the study again")
        })
    }

    /// Writes the manifest into `run`, whole or not at all.
    pub fn write(&self, run: &Path) -> Result<()> {
        let path = run.join(FILE);
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|cause| Error::bug("the manifest has no JSON form").because(cause))?;
        text.push('\n');
        atomic::write(&path, text.as_bytes())
    }
}

/// Lengths go in too, so that no two lists of parts are the same bytes.
fn feed(hash: &mut Sha256, part: &str) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part.as_bytes());
}

/// SHA-256 of each file or folder that the settings name, by its path as written.
pub fn inputs(settings: &StudySettings) -> Result<BTreeMap<String, String>> {
    let mut paths: Vec<&Path> = Vec::new();
    if let crate::settings::DataSource::Files(files) = &settings.data.source {
        paths.extend(files.iter().map(PathBuf::as_path));
    }
    paths.extend(settings.retain.paths.iter().map(PathBuf::as_path));
    let finalists = settings.finalists.iter().flat_map(|asked| &asked.suites);
    let suites = settings.suites.iter().chain(finalists);
    let suites: Vec<&Path> = suites.filter_map(|suite| suite.path.as_deref()).collect();
    let beside: Vec<PathBuf> = suites.iter().filter_map(|path| read_beside(path)).collect();
    paths.extend(suites);
    paths.extend(beside.iter().map(PathBuf::as_path));
    paths.extend(
        settings
            .judge
            .iter()
            .filter_map(|judge| judge.rubrics.as_deref()),
    );
    paths
        .into_iter()
        .map(|path| Ok((path.display().to_string(), digest(path)?)))
        .collect()
}

/// SHA-256 of a file's bytes, or of the names and bytes of all files in a folder, in order.
pub fn digest(path: &Path) -> Result<String> {
    if !path.is_dir() {
        return of_file(path);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(|cause| Error::file("read", path, cause))? {
        let entry = entry.map_err(|cause| Error::file("read", path, cause))?;
        names.push(entry.path());
    }
    names.sort();
    let mut hash = Sha256::new();
    for inner in names {
        let name = inner.file_name().unwrap_or_default();
        feed(&mut hash, &name.to_string_lossy());
        feed(&mut hash, &digest(&inner)?);
    }
    Ok(hexadecimal(&hash.finalize()))
}
