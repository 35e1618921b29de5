//! What a measurement by itself is made of.

use super::judge::{JudgeFlags, JudgeSettings};
use super::presets::Preset;
use super::recipe::shipped_suites;
use super::study::SuiteSettings;
use super::{missing, suggest};
use crate::evaluation::suites;
use crate::providers::Name;
use crate::{Error, Result};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// One model on some suites.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasureSettings {
    /// The model, `openai:NAME` and `together:NAME` too; `None` is the base that is always there.
    pub model: Option<String>,
    /// A PEFT LoRA folder on top of it.
    pub adapter: Option<PathBuf>,
    /// What it was trained on: replies that repeat it are counted.
    pub data: Vec<PathBuf>,
    /// What is measured.
    pub suites: Vec<SuiteSettings>,
    /// Most items of a suite that sets no limit of its own.
    pub limit: Option<usize>,
    /// Most new tokens of a reply.
    pub max_tokens: usize,
    /// Of the bootstrap and of the choice of items under a limit.
    pub seed: u64,
    /// Who grades the replies besides.
    pub judge: Option<JudgeSettings>,
}

/// What the flags of `measure` say, unchecked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeasureFlags {
    /// `--model`
    pub model: Option<String>,
    /// `--adapter`
    pub adapter: Option<PathBuf>,
    /// `--data`, any number of times.
    pub data: Vec<PathBuf>,
    /// `--suite NAME[=PATH]`, any number of times.
    pub suites: Vec<String>,
    /// `--limit`
    pub limit: Option<usize>,
    /// `--max-tokens`
    pub max_tokens: Option<usize>,
    /// `--seed`
    pub seed: Option<u64>,
    /// `--judge` and its own.
    pub judge: JudgeFlags,
}

impl MeasureSettings {
    /// Checks the flags and fills in the defaults; all mistakes are reported at once.
    pub fn new(flags: MeasureFlags) -> Result<Self> {
        let mut mistakes = Vec::new();
        for (flag, value) in [("--limit", flags.limit), ("--max-tokens", flags.max_tokens)] {
            if value == Some(0) {
                mistakes.push(
                    Error::user(format!("`{flag}` is 0"))
                        .field(flag)
                        .hint("give a whole number of at least 1"),
                );
            }
        }
        if let Some(adapter) = flags.adapter.as_ref().filter(|path| !path.is_dir()) {
            mistakes.push(
                Error::user("there is no adapter folder here")
                    .at(adapter)
                    .field("--adapter")
                    .hint("give the folder that holds adapter_config.json"),
            );
        }
        mistakes.extend(missing("--data", &flags.data));
        if let Some((provider, model)) = flags.model.as_deref().and_then(Name::of_model) {
            if model.is_empty() {
                mistakes.push(
                    Error::user("the model has no name")
                        .field("--model")
                        .hint(format!(
                            "write {}:NAME, by the name that it has there",
                            provider.name()
                        )),
                );
            }
            if flags.adapter.is_some() {
                mistakes.push(
                    Error::user("no adapter can be put on a model that is elsewhere")
                        .field("--adapter")
                        .hint("remove it, or name a model on this machine"),
                );
            }
        }
        let judge = JudgeSettings::from_flags(flags.judge).unwrap_or_else(|mistake| {
            mistakes.push(mistake);
            None
        });
        let mut names = BTreeSet::new();
        let mut suites = Vec::new();
        for text in &flags.suites {
            match suite(text) {
                Ok(suite) if !names.insert(suite.name.clone()) => mistakes.push(
                    Error::user(format!("two suites are called `{}`", suite.name))
                        .field("--suite")
                        .hint("give each suite a name of its own, as NAME=PATH"),
                ),
                Ok(suite) => suites.push(suite),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        Error::all(mistakes)?;
        if flags.suites.is_empty() {
            suites = shipped_suites(None);
        }
        Ok(Self {
            model: flags.model,
            adapter: flags.adapter,
            data: flags.data,
            suites,
            limit: flags.limit,
            max_tokens: flags
                .max_tokens
                .unwrap_or(Preset::Standard.scale().reply_tokens),
            seed: flags.seed.unwrap_or(0),
            judge,
        })
    }
}

/// `NAME` is a shipped suite; `NAME=PATH` is read from there.
fn suite(text: &str) -> Result<SuiteSettings> {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) => (name, Some(PathBuf::from(path))),
        None => (text, None),
    };
    match &path {
        None if !suites::builtin_names().contains(&name) => {
            Err(Error::user(format!("no shipped suite is called `{name}`"))
                .field("--suite")
                .hint(format!(
                    "{} To read one of your own, write NAME=PATH",
                    match suggest::nearest(name, suites::MEASURED) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("one of: {}.", suites::MEASURED.join(", ")),
                    }
                )))
        }
        Some(path) if name.is_empty() || !path.exists() => Err(Error::user(format!(
            "there is no suite file `{}`",
            path.display()
        ))
        .field("--suite")
        .hint("write NAME=PATH, such as: --suite arc_easy=data/arc_easy.jsonl")),
        _ => Ok(SuiteSettings {
            name: name.to_owned(),
            path,
            skip: 0,
            limit: None,
            split: None,
        }),
    }
}
