//! Training conversations of a study: read or simulated, tokenized, part of them held out.

use crate::conversations::tokens::{Example, example};
use crate::conversations::{Conversation, chat, dialogues};
use crate::digest;
use crate::evaluation::suites::booking_conversations;
use crate::models::LanguageModel;
use crate::settings::{DataSettings, DataSource};
use crate::{Error, Result};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Most conversations held out: the validation loss is taken many times.
const MOST_VALIDATION: usize = 24;

/// What is learnt and what is held out.
#[derive(Debug)]
pub struct Conversations {
    /// Learnt.
    pub training: Vec<Example>,
    /// Held out for the validation loss.
    pub validation: Vec<Example>,
    /// SHA-256 of all of it.
    pub digest: String,
}

/// SHA-256 of the conversations, before any model reads them.
pub fn digest(settings: &DataSettings, seed: u64) -> Result<String> {
    serde_json::to_string(&conversations(settings, seed)?)
        .map(digest::of)
        .map_err(|cause| Error::bug("a conversation has no JSON form").because(cause))
}

fn conversations(settings: &DataSettings, seed: u64) -> Result<Vec<Conversation>> {
    let mut conversations = match &settings.source {
        DataSource::Simulator { conversations } => booking_conversations(seed, *conversations),
        DataSource::Files(paths) => read_files(paths)?,
    };
    if let Some(limit) = settings.limit {
        conversations.truncate(limit);
    }
    Ok(conversations)
}

/// How many of so many conversations are held out.
fn held_out(settings: &DataSettings, count: usize) -> usize {
    let wanted = (count as f64 * settings.validation_share).round() as usize;
    wanted.min(MOST_VALIDATION).min(count.saturating_sub(1))
}

/// The conversations that are learnt, as text: what arms on this machine learn, others learn too.
pub fn learnt(settings: &DataSettings, seed: u64) -> Result<Vec<Conversation>> {
    let mut conversations = conversations(settings, seed)?;
    conversations.truncate(conversations.len() - held_out(settings, conversations.len()));
    Ok(conversations)
}

/// Reads and tokenizes the data.
pub fn read(settings: &DataSettings, base: &LanguageModel, seed: u64) -> Result<Conversations> {
    let mut examples = conversations(settings, seed)?
        .iter()
        .map(|conversation| example(base, conversation))
        .collect::<Result<Vec<_>>>()?;
    let longest = examples
        .iter()
        .map(|example| example.tokens.len())
        .max()
        .unwrap_or(0);
    if longest > base.config.context {
        return Err(Error::user(format!(
            "a conversation has {longest} tokens, more than the {} that the base can read",
            base.config.context
        ))
        .hint("split or shorten it: `steadfast data check FILE` names it"));
    }
    let held_out = held_out(settings, examples.len());
    // The last ones: what a smaller share holds out, a larger one does too.
    let validation = examples.split_off(examples.len() - held_out);
    let text: String = examples
        .iter()
        .chain(&validation)
        .map(|example| format!("{:?}{:?}\n", example.tokens, example.learn))
        .collect();
    Ok(Conversations {
        digest: digest::of(format!("{held_out}\n{text}")),
        training: examples,
        validation,
    })
}

/// All conversations of the files.
pub fn read_files(paths: &[PathBuf]) -> Result<Vec<Conversation>> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(read_file(path)?);
    }
    Ok(all)
}

/// Chat JSON Lines, or a public dialogue file, told apart by the first line's fields.
fn read_file(path: &Path) -> Result<Vec<Conversation>> {
    let file = std::fs::File::open(path).map_err(|cause| {
        Error::file("open", path, cause).hint("give a JSON Lines file of conversations")
    })?;
    let mut first = String::new();
    // What cannot be read here is reported by the reader proper, with its line.
    let _ = BufReader::new(file).read_line(&mut first);
    let is_dialogue = serde_json::from_str::<serde_json::Value>(&first)
        .is_ok_and(|value| value.get("turns").is_some());
    if is_dialogue {
        dialogues::conversations(path)
    } else {
        chat::read(path)
    }
}
