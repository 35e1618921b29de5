//! `steadfast completions`

use crate::arguments;
use crate::output;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use steadfast::Result;

/// The flags of `completions`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  steadfast completions bash > ~/.local/share/bash-completion/completions/steadfast"
)]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the completion script.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut script = Vec::new();
    let mut command = arguments::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "steadfast", &mut script);
    output::write(&String::from_utf8_lossy(&script))
}
