//! `steadfast data check`

use crate::arguments::Global;
use crate::output;
use crate::progress::Progress;
use candle_core::Device;
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use steadfast::Result;
use steadfast::conversations::chat;
use steadfast::conversations::summary::{Summary, summarize};
use steadfast::models::{LanguageModel, resolve};

/// The flags of `data check`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  steadfast data check chats.jsonl\n  steadfast data check chats.jsonl --tokens --json"
)]
pub struct Arguments {
    /// Chat JSON Lines
    file: PathBuf,
    /// Count tokens too, which loads a model
    #[arg(long)]
    tokens: bool,
    /// The model whose tokens are counted [default: SmolLM2-135M-Instruct]
    #[arg(long, value_name = "M", requires = "tokens")]
    model: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    file: &'a Path,
    #[serde(flatten)]
    summary: Summary,
}

/// Reads the whole file; a mistake in it is the answer.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    let conversations = chat::read_lines(&arguments.file)?;
    let model = if arguments.tokens {
        let located = resolve::locate(arguments.model.as_deref(), &Progress::new(global))?;
        Some(LanguageModel::load(&located, &Device::Cpu)?)
    } else {
        None
    };
    let model = model.as_ref().map(|model| (model, model.config.context));
    let answer = Answer {
        file: &arguments.file,
        summary: summarize(&conversations, model)?,
    };
    if global.json {
        return output::json(&answer);
    }
    output::write(&text(&answer))
}

fn text(answer: &Answer<'_>) -> String {
    let summary = &answer.summary;
    let mut text = format!(
        "{}: {} conversations, {} turns, {} of {} assistant turns are learnt\n",
        answer.file.display(),
        summary.conversations,
        summary.turns,
        summary.learnt_turns,
        summary.assistant_turns
    );
    if summary.duplicates > 0 {
        let _ = writeln!(
            text,
            "{} conversations repeat an earlier one",
            summary.duplicates
        );
    }
    if let Some(tokens) = &summary.tokens {
        let _ = writeln!(
            text,
            "{} tokens, {} carry loss; the longest conversation has {}",
            tokens.all, tokens.learnt, tokens.longest
        );
        if !tokens.over_long.is_empty() {
            let lines: Vec<_> = tokens.over_long.iter().map(usize::to_string).collect();
            let _ = writeln!(
                text,
                "longer than the model's context: lines {}",
                lines.join(", ")
            );
        }
    }
    text
}
