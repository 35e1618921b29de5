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

impl Conversations {
    /// Whether no conversation is longer than a batch: it would be one by itself.
    ///
    /// # Errors
    /// One is, where memory was reckoned for batches of so many tokens.
    pub fn fit_batches_of(&self, tokens: usize) -> Result<()> {
        let all = self.training.iter().chain(&self.validation);
        let longest = all.map(|example| example.tokens.len()).max().unwrap_or(0);
        if longest <= tokens {
            return Ok(());
        }
        Err(Error::user(format!(
            "a conversation has {longest} tokens, and memory was reckoned for batches of {tokens}"
        ))
        .field("--memory-limit")
        .hint(format!(
            "give --batch-tokens {longest}, or shorten the conversation"
        )))
    }
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
        .enumerate()
        .map(|(index, conversation)| {
            let marked =
                example(base, conversation).and_then(|it| fitting(it, base.config.context));
            marked.map_err(|error| at_conversation(error, settings, index))
        })
        .collect::<Result<Vec<_>>>()?;
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

fn fitting(example: Example, context: usize) -> Result<Example> {
    match example.tokens.len() {
        tokens if tokens > context => Err(Error::user(format!(
            "a conversation has {tokens} tokens, more than the {context} that the base can read"
        ))
        .hint(
            "split or shorten it; `steadfast data check FILE --tokens` counts those of chat files",
        )),
        _ => Ok(example),
    }
}

/// The error with the file and line of a conversation, found again: conversations go without.
fn at_conversation(error: Error, settings: &DataSettings, index: usize) -> Error {
    let DataSource::Files(paths) = &settings.source else {
        return error;
    };
    let mut before = 0;
    for path in paths {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines = text.split('\n').enumerate();
        let mut filled = lines.filter(|(_, line)| !line.trim().is_empty());
        if let Some((line, _)) = filled.clone().nth(index - before) {
            return error.at(path).line(line + 1);
        }
        before += filled.by_ref().count();
    }
    error
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
