//! The command line as clap sees it.

use crate::commands::{
    chat, compare, completions, data, doctor, export, frontier, gate, judge, measure, models, plan,
    push, runs, serve, study, tune,
};
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::process::ExitCode;

/// Fine-tune a chat model without losing what it knew, and measure that it did not.
#[derive(Debug, Parser)]
#[command(
    name = "steadfast",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Start with:\n  steadfast study\n\n\
        Exit codes:\n  0    done\n  1    you can fix it: a malformed file, a wrong setting\n  \
        2    the command line is wrong\n  3    something outside failed: network, disk, another program\n  \
        4    a gate, a budget or a cost limit is exceeded\n  101  a bug in steadfast\n  \
        130  stopped with Ctrl-C; what was done is kept"
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// Flags that every command takes.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Every command")]
pub struct Global {
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing on stderr but warnings and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// On stderr: text for people, or json, one document a line
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub log_format: LogFormat,
    /// Threads to compute with [default: one a core]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
}

/// `--log-format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// One variant a command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train each arm, measure before and after, report
    Study(study::Arguments),
    /// Train one arm
    Tune(tune::Arguments),
    /// Measure a model on suites
    Measure(measure::Arguments),
    /// Compare two measurements, paired by item
    Compare(compare::Arguments),
    /// Exit with 4 if more is lost than allowed
    Gate(gate::Arguments),
    /// Ask a model, once or in a conversation
    Chat(chat::Arguments),
    /// Write base and adapter as one model for other tools
    Export(export::Arguments),
    /// Upload an adapter or a model to the Hugging Face Hub
    Push(push::Arguments),
    /// Answer OpenAI's clients: the model and its adapters over HTTP
    Serve(serve::Arguments),
    /// Check, preview and simulate training data
    #[command(subcommand)]
    Data(data::Command),
    /// Check how far a judge can be believed
    #[command(subcommand)]
    Judge(judge::Command),
    /// List the models on this machine
    Models(models::Arguments),
    /// What a study will ask of this machine: time, memory, disk
    Plan(plan::Arguments),
    /// Print a study's frontier again: every setting, and the finalists on test items
    Frontier(frontier::Arguments),
    /// List the runs in a folder
    Runs(runs::Arguments),
    /// Check that this machine has what steadfast needs
    Doctor(doctor::Arguments),
    /// Print the completion script of a shell
    Completions(completions::Arguments),
}

/// Parses the command line. Mistakes in it are printed in the form of all other errors.
pub fn parse() -> Result<Arguments, ExitCode> {
    let error = match Arguments::try_parse() {
        Ok(arguments) => return Ok(arguments),
        Err(error) => error,
    };
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let asked = error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        // Nothing can be done where even help cannot be printed.
        let _ = error.print();
        return Err(ExitCode::from(if asked { 0 } else { 2 }));
    }
    let text = error.render().to_string();
    let mut paragraphs = text
        .split("\n\n")
        .map(str::trim_end)
        .filter(|part| !part.is_empty());
    anstream::eprintln!(
        "{}",
        paragraphs
            .next()
            .unwrap_or("error: the command line is wrong")
    );
    let usage = paragraphs.find(|part| part.starts_with("Usage:"));
    if let Some(usage) = usage {
        anstream::eprintln!(" --> {}", usage.trim_start_matches("Usage:").trim());
    }
    if !text.contains("hint: ") {
        let near = [
            ContextKind::SuggestedArg,
            ContextKind::SuggestedSubcommand,
            ContextKind::SuggestedValue,
        ]
        .into_iter()
        .find_map(|kind| error.get(kind));
        match near {
            Some(near) => anstream::eprintln!("hint: did you mean `{near}`?"),
            None if error.kind() == ErrorKind::ArgumentConflict => {
                anstream::eprintln!("hint: keep one of them");
            }
            None => anstream::eprintln!("hint: add --help to see what the command takes"),
        }
    }
    Err(ExitCode::from(2))
}
