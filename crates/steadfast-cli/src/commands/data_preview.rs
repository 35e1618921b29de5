//! `steadfast data preview`

use crate::arguments::Global;
use crate::output;
use crate::progress::Progress;
use anstyle::{AnsiColor, Style};
use candle_core::Device;
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;
use steadfast::conversations::{chat, tokens};
use steadfast::models::{LanguageModel, resolve};
use steadfast::{Error, Result};

const LEARNT: Style = AnsiColor::Green.on_default().bold().underline();
const READ: Style = Style::new().dimmed();

/// The flags of `data preview`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  steadfast data preview chats.jsonl --limit 2\n\n\
        Tokens that carry loss are green; without colours they stand between « and »."
)]
pub struct Arguments {
    /// Chat JSON Lines
    file: PathBuf,
    /// The model whose tokens and template are used [default: SmolLM2-135M-Instruct]
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Conversations to show
    #[arg(long, value_name = "N", default_value_t = 1)]
    limit: usize,
}

#[derive(Serialize)]
struct Token {
    id: u32,
    text: String,
    learn: bool,
}

#[derive(Serialize)]
struct Preview {
    tokens: Vec<Token>,
}

#[derive(Serialize)]
struct Answer {
    conversations: Vec<Preview>,
}

/// Shows the first conversations as the model sees them.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    if arguments.limit == 0 {
        return Err(Error::user("`--limit` is 0")
            .field("--limit")
            .hint("give a whole number of at least 1"));
    }
    let conversations = chat::read(&arguments.file)?;
    let located = resolve::locate(arguments.model.as_deref(), &Progress::new(global))?;
    let model = LanguageModel::load(&located, &Device::Cpu)?;
    let previews = conversations
        .iter()
        .take(arguments.limit)
        .map(|conversation| {
            let example = tokens::example(&model, conversation)?;
            let tokens = example
                .tokens
                .iter()
                .zip(&example.learn)
                .map(|(&id, &learn)| {
                    Ok(Token {
                        id,
                        text: piece(&model, id)?,
                        learn,
                    })
                })
                .collect::<Result<_>>()?;
            Ok(Preview { tokens })
        })
        .collect::<Result<Vec<_>>>()?;
    if global.json {
        return output::json(&Answer {
            conversations: previews,
        });
    }
    let coloured = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    let mut text = String::new();
    for preview in &previews {
        let learnt = preview.tokens.iter().filter(|token| token.learn).count();
        text += &paint(&preview.tokens, coloured);
        let all = preview.tokens.len();
        let _ = writeln!(
            text,
            "\n{READ}{learnt} of {all} tokens carry loss{READ:#}\n"
        );
    }
    output::write(&text)
}

/// One token alone, special tokens included.
fn piece(model: &LanguageModel, id: u32) -> Result<String> {
    model
        .tokenizer
        .inner
        .decode(&[id], false)
        .map_err(|cause| Error::bug("a token has no text").because(cause))
}

/// Runs of tokens that carry loss stand out from the rest.
fn paint(tokens: &[Token], coloured: bool) -> String {
    let mut text = String::new();
    for run in tokens.chunk_by(|one, next| one.learn == next.learn) {
        let piece: String = run.iter().map(|token| token.text.as_str()).collect();
        match (run[0].learn, coloured) {
            (true, true) => {
                // A style ends at each line's end, or terminals colour the rest of the line too.
                let lines: Vec<_> = piece
                    .split('\n')
                    .map(|line| format!("{LEARNT}{line}{LEARNT:#}"))
                    .collect();
                text += &lines.join("\n");
            }
            (true, false) => text += &format!("«{piece}»"),
            (false, _) => text += &format!("{READ}{piece}{READ:#}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, learn: bool) -> Token {
        Token {
            id: 0,
            text: text.to_owned(),
            learn,
        }
    }

    #[test]
    fn only_runs_that_carry_loss_are_marked() {
        let tokens = [
            token("a ", false),
            token("b", true),
            token("c", true),
            token(" d", false),
        ];
        let plain = anstream::adapter::strip_str(&paint(&tokens, false)).to_string();
        assert_eq!(plain, "a «bc» d");
        let coloured = paint(&tokens, true);
        assert!(
            coloured.contains(&format!("{LEARNT}bc{LEARNT:#}")),
            "{coloured:?}"
        );
    }
}
