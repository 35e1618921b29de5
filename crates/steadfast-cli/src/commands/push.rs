//! `steadfast push`

use crate::arguments::Global;
use crate::output;
use crate::progress::Progress;
use clap::Args;
use std::path::PathBuf;
use steadfast::Result;
use steadfast::events::{Event, Listener};
use steadfast::models::push::hub::Hub;
use steadfast::models::push::{self, State};

/// The flags of `push`.
#[derive(Args, Debug)]
#[command(
    after_help = "The token is in HF_TOKEN, or where `hf auth login` put it; HF_ENDPOINT names another Hub.\n\n\
        Examples:\n  steadfast push Hotels/booking-agent adapters/hotel --private\n  \
        steadfast push Hotels/booking-model models/hotel"
)]
pub struct Arguments {
    /// The repository on the Hub, made where there is none
    #[arg(value_name = "ORG/NAME")]
    repository: String,
    /// The adapter's or the model's folder; only what belongs to it is sent
    folder: PathBuf,
    /// Make the repository private, and refuse one that is public
    #[arg(long)]
    private: bool,
}

/// Uploads what the Hub does not have yet.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    let files = push::files(&arguments.folder)?;
    let hub = Hub::from_environment()?;
    let progress = Progress::new(global);
    for file in &files {
        let message = format!("{}  {}", file.path, output::bytes(file.bytes));
        progress.on(Event::Note { message });
    }
    let pushed = push::push(
        &hub,
        &arguments.repository,
        arguments.private,
        &files,
        &progress,
    )?;
    if global.json {
        return output::json(&pushed);
    }
    let count = |state: State| {
        pushed
            .files
            .iter()
            .filter(|file| file.state == state)
            .count()
    };
    let mut text = format!("{}\n", pushed.url);
    text += &format!(
        "{} pushed, {} there already",
        count(State::Pushed),
        count(State::Present)
    );
    if count(State::Ignored) > 0 {
        text += &format!(", {} ignored there", count(State::Ignored));
    }
    if let Some(commit) = &pushed.commit {
        text += &format!(", commit {commit}");
    }
    output::write(&format!("{text}\n"))
}
