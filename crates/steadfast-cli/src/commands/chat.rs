//! `steadfast chat`

use crate::arguments::Global;
use crate::output;
use crate::progress::Progress;
use candle_core::Device;
use clap::Args;
use serde::Serialize;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use steadfast::conversations::{Message, Role, tokens};
use steadfast::models::generate::{GenerateOptions, generate};
use steadfast::models::{Adapter, LanguageModel, resolve};
use steadfast::{Error, Result};

/// The flags of `chat`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  steadfast chat \"I need a room for two nights\"\n  steadfast chat --adapter adapters/lora\n\n\
        Without a PROMPT, each line of stdin is one turn of a conversation."
)]
pub struct Arguments {
    /// What to ask [default: a conversation, line by line from stdin]
    prompt: Option<String>,
    /// A folder, a GGUF file or a Hub id [default: SmolLM2-135M-Instruct]
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// A PEFT LoRA folder on top of the model
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Instructions before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Most new tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    max_tokens: usize,
    /// 0 always takes the likeliest token
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    temperature: f64,
    /// Of the sampler
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("give a whole number of at least 1".to_owned()),
    }
}

/// The answer to one prompt.
#[derive(Serialize)]
struct Answer {
    reply: String,
    tokens: usize,
    stopped: bool,
}

/// A whole conversation.
#[derive(Serialize)]
struct Transcript<'a> {
    messages: &'a [Message],
}

struct Chat<'a> {
    model: LanguageModel,
    adapter: Option<Adapter>,
    arguments: &'a Arguments,
    messages: Vec<Message>,
}

/// Answers once, or turn by turn.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    if !(arguments.temperature.is_finite() && arguments.temperature >= 0.0) {
        return Err(
            Error::user(format!("`--temperature` is {}", arguments.temperature))
                .field("--temperature")
                .hint("give 0 for the likeliest token each time, or up to about 1 for variety"),
        );
    }
    let adapter = arguments
        .adapter
        .as_deref()
        .map(Adapter::read)
        .transpose()?;
    let located = resolve::locate(arguments.model.as_deref(), &Progress::new(global))?;
    let (model, adapter) = LanguageModel::load_adapted(&located, adapter, &Device::Cpu)?;
    let mut chat = Chat {
        model,
        adapter,
        arguments,
        messages: Vec::new(),
    };
    if let Some(system) = &arguments.system {
        chat.messages.push(Message::new(Role::System, system));
    }
    match &arguments.prompt {
        Some(prompt) => {
            let answer = chat.answer(prompt)?;
            if global.json {
                output::json(&answer)
            } else {
                output::write(&format!("{}\n", answer.reply))
            }
        }
        None => chat.converse(global),
    }
}

impl Chat<'_> {
    fn answer(&mut self, prompt: &str) -> Result<Answer> {
        self.messages.push(Message::new(Role::User, prompt));
        let tokens = tokens::prompt_now(&self.model, &self.messages)?;
        let context = self.model.config.context;
        if tokens.len() + self.arguments.max_tokens > context {
            return Err(Error::user(format!(
                "the conversation has {} tokens, and with {} more it outgrows the model's context of {context}",
                tokens.len(),
                self.arguments.max_tokens
            ))
            .hint("start a new conversation, or lower --max-tokens"));
        }
        let options = GenerateOptions {
            max_tokens: self.arguments.max_tokens,
            temperature: self.arguments.temperature,
            // Each turn has draws of its own, and the same conversation the same ones again.
            seed: self.arguments.seed.wrapping_add(self.messages.len() as u64),
            batch: 1,
        };
        let adapter = self.adapter.as_ref();
        let mut replies = generate(&self.model, adapter, &[tokens], &options, &mut |_| {})?;
        let reply = replies
            .pop()
            .ok_or_else(|| Error::bug("one prompt brought no reply"))?;
        self.messages
            .push(Message::new(Role::Assistant, reply.text.clone()));
        Ok(Answer {
            reply: reply.text,
            tokens: reply.tokens.len(),
            stopped: reply.stopped,
        })
    }

    fn converse(&mut self, global: Global) -> Result<()> {
        let prompted = std::io::stdin().is_terminal() && !global.quiet;
        if prompted {
            anstream::eprintln!("one line a turn; Ctrl-D ends the conversation");
            anstream::eprint!("› ");
        }
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|cause| {
                Error::user("cannot read stdin")
                    .because(cause)
                    .hint("write the turns as UTF-8 text, one a line")
            })?;
            if !line.trim().is_empty() {
                let answer = self.answer(&line)?;
                if !global.json {
                    output::write(&format!("{}\n", answer.reply))?;
                }
            }
            if prompted {
                anstream::eprint!("› ");
            }
        }
        if global.json {
            output::json(&Transcript {
                messages: &self.messages,
            })?;
        }
        Ok(())
    }
}
