//! `steadfast data simulate`

use crate::arguments::Global;
use crate::output;
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use steadfast::conversations::{Conversation, simulator};
use steadfast::{Error, Result};

/// The flags of `data simulate`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  steadfast data simulate --count 200 > chats.jsonl")]
pub struct Arguments {
    /// Conversations to write
    #[arg(long, value_name = "N", default_value_t = 100)]
    count: usize,
    /// Of the customers and their hotels
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Serialize)]
struct Answer {
    conversations: Vec<Conversation>,
}

/// Writes booking conversations as chat JSON Lines, or as one document with `--json`.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    let conversations = simulator::training(arguments.seed, arguments.count);
    if global.json {
        return output::json(&Answer { conversations });
    }
    let mut text = String::new();
    for conversation in &conversations {
        let line = serde_json::to_string(conversation)
            .map_err(|cause| Error::bug("a conversation has no JSON form").because(cause))?;
        let _ = writeln!(text, "{line}");
    }
    output::write(&text)
}
