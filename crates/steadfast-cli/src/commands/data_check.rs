//! `steadfast data check`

use crate::arguments::Global;
use crate::output;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use steadfast::Result;
use steadfast::conversations::{Role, chat};

/// The flags of `data check`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  steadfast data check chats.jsonl")]
pub struct Arguments {
    /// Chat JSON Lines
    file: PathBuf,
}

#[derive(Serialize)]
struct Answer<'a> {
    file: &'a Path,
    conversations: usize,
    turns: usize,
    learnt_turns: usize,
    words: usize,
    learnt_words: usize,
}

/// Reads the whole file; a mistake in it is the answer.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    let conversations = chat::read(&arguments.file)?;
    let mut answer = Answer {
        file: &arguments.file,
        conversations: conversations.len(),
        turns: 0,
        learnt_turns: 0,
        words: 0,
        learnt_words: 0,
    };
    for message in conversations.iter().flat_map(|one| &one.messages) {
        let words = message.content.split_whitespace().count();
        answer.turns += 1;
        answer.words += words;
        if message.role == Role::Assistant && message.weight != Some(0) {
            answer.learnt_turns += 1;
            answer.learnt_words += words;
        }
    }
    if global.json {
        return output::json(&answer);
    }
    output::write(&format!(
        "{}: {} conversations, {} turns of {} words; {} turns of {} words are learnt\n",
        answer.file.display(),
        answer.conversations,
        answer.turns,
        answer.words,
        answer.learnt_turns,
        answer.learnt_words
    ))
}
