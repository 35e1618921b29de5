//! Kept scores: what an arm's training and measuring found, as ids and numbers without any text.
//!
//! A run folder is large and holds other people's texts; these files are small and can be committed,
//! so that a study goes on from a fresh machine, and its numbers can be checked item by item. Each is
//! compressed JSON Lines: [`Head`], then a line an item. A file stands for the content of everything
//! that decided it ([`Head::key`]): with other inputs it is made anew, never believed.

use super::atomic;
use crate::evaluation::measurement::Sample;
use crate::results::{LayerDisturbance, Training};
use crate::{Error, Result};
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The value of `schema`.
pub const SCHEMA: &str = "steadfast.scores/1";

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// [`SCHEMA`].
    pub schema: String,
    /// SHA-256 of everything that decided these scores.
    pub key: String,
    /// The arm, with its scale and seed; `base` before training.
    pub name: String,
    /// What training left; absent for the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned: Option<Tuned>,
}

/// What training left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// Of the adapter's tensors.
    pub adapter_sha256: String,
    /// What it cost.
    pub training: Training,
    /// By layer.
    pub disturbance: Vec<LayerDisturbance>,
    /// Mean KL(base ‖ tuned), nats a token.
    pub drift: f64,
}

/// One file.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Its first line.
    pub head: Head,
    /// The items, without prompts, replies and labels.
    pub samples: Vec<Sample>,
}

/// A line of an item.
#[derive(Serialize, Deserialize)]
struct Line {
    suite: String,
    axis: crate::evaluation::Axis,
    item: String,
    cluster: String,
    scores: BTreeMap<String, Option<f64>>,
}

/// A folder of kept scores.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// The scores kept in `folder`, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The file of a model measured on one part of the items (`development`, `test`).
    pub fn path(&self, part: &str, name: &str) -> PathBuf {
        // An arm's name holds `*` before its scale, `..` within it and `/` before its seed.
        let name = match name.split_once('*') {
            Some((arm, scale)) => format!("{arm}-times-{}", scale.replace("..", "-to-")),
            None => name.to_owned(),
        };
        let name = name.replace('/', "-seed-");
        self.folder.join(part).join(format!("{name}.jsonl.gz"))
    }

    /// The scores of that name, where they are those of `key`.
    ///
    /// # Errors
    /// The file is damaged or of another schema.
    pub fn find(&self, part: &str, name: &str, key: &str) -> Result<Option<Scores>> {
        let path = self.path(part, name);
        let scores = read(&path).map_err(|error| {
            error.at(&path).hint(
                "take the file from version control again, or remove it: it will be measured anew",
            )
        })?;
        Ok(scores.filter(|scores| scores.head.key == key))
    }

    /// Keeps the scores of a model. The same scores give the same bytes.
    pub fn write(&self, part: &str, head: &Head, samples: &[Sample]) -> Result<()> {
        let path = self.path(part, &head.name);
        let folder = path.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(folder).map_err(|cause| Error::file("create", folder, cause))?;
        let unwritable = |cause| Error::file("write", &path, cause);
        let mut writer = GzBuilder::new()
            .mtime(0)
            .write(Vec::new(), Compression::best());
        writeln!(writer, "{}", line(head)?).map_err(unwritable)?;
        for sample in samples {
            let item = Line {
                suite: sample.suite.clone(),
                axis: sample.axis,
                item: sample.item.clone(),
                cluster: sample.cluster.clone(),
                scores: sample.scores.clone(),
            };
            writeln!(writer, "{}", line(&item)?).map_err(unwritable)?;
        }
        atomic::write(&path, &writer.finish().map_err(unwritable)?)
    }
}

fn line(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|cause| Error::bug("a score has no JSON form").because(cause))
}

fn read(path: &Path) -> Result<Option<Scores>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(Error::file("open", path, cause)),
    };
    let mut lines = BufReader::new(GzDecoder::new(file)).lines();
    let first = lines
        .next()
        .transpose()
        .map_err(damaged)?
        .unwrap_or_default();
    let head: Head = serde_json::from_str(&first).map_err(|cause| damaged(cause).line(1))?;
    if head.schema != SCHEMA {
        return Err(Error::user(format!(
            "the kept scores are of schema `{}`, not `{SCHEMA}`",
            head.schema
        ))
        .field("schema"));
    }
    let mut samples = Vec::new();
    for (index, text) in lines.enumerate() {
        let text = text.map_err(damaged)?;
        let item: Line =
            serde_json::from_str(&text).map_err(|cause| damaged(cause).line(index + 2))?;
        samples.push(Sample {
            suite: item.suite,
            axis: item.axis,
            item: item.item,
            cluster: item.cluster,
            prompt: String::new(),
            reply: None,
            scores: item.scores,
            labels: BTreeMap::new(),
        });
    }
    Ok(Some(Scores { head, samples }))
}

fn damaged(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::user("the kept scores are damaged").because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Axis;

    fn head(key: &str) -> Head {
        Head {
            schema: SCHEMA.into(),
            key: key.into(),
            name: "lora*0.5/3".into(),
            tuned: None,
        }
    }

    fn sample() -> Sample {
        Sample {
            suite: "suite".into(),
            axis: Axis::Safety,
            item: "1".into(),
            cluster: "c".into(),
            prompt: "somebody's words".into(),
            reply: Some("and the answer".into()),
            scores: BTreeMap::from([("a".into(), Some(1.0 / 3.0)), ("b".into(), None)]),
            labels: BTreeMap::from([("reply_kind".into(), "evades".into())]),
        }
    }

    #[test]
    fn scores_come_back_without_text_and_only_for_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path());
        assert_eq!(kept.find("test", "lora*0.5/3", "k").unwrap(), None);
        kept.write("test", &head("k"), &[sample()]).unwrap();
        assert_eq!(kept.find("test", "lora*0.5/3", "other").unwrap(), None);
        assert_eq!(kept.find("development", "lora*0.5/3", "k").unwrap(), None);

        let found = kept.find("test", "lora*0.5/3", "k").unwrap().unwrap();
        assert_eq!(found.head, head("k"));
        assert_eq!(found.samples[0].scores, sample().scores);
        assert_eq!(found.samples[0].prompt, "");
        let path = kept.path("test", "lora*0.5/3");
        let bytes = std::fs::read(&path).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut GzDecoder::new(&bytes[..]), &mut text).unwrap();
        assert!(!text.contains("words") && !text.contains("evades"));

        kept.write("test", &head("k"), &[sample()]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path());
        kept.write("test", &head("k"), &[sample()]).unwrap();
        let path = kept.path("test", "lora*0.5/3");
        let bytes = std::fs::read(&path).unwrap();
        for broken in [&bytes[..bytes.len() / 2], b"{}"] {
            std::fs::write(&path, broken).unwrap();
            let error = kept.find("test", "lora*0.5/3", "k").unwrap_err();
            assert_eq!(error.place.path.as_deref(), Some(path.as_path()));
            assert!(error.hint.is_some());
        }
    }
}
