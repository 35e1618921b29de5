//! From parsed arguments to the command's own file.

use crate::arguments::{Arguments, Command, LogFormat};
use crate::commands::{
    chat, compare, completions, data, doctor, export, frontier, gate, judge, measure, models, plan,
    push, runs, serve, study, tune,
};
use crate::errors;
use steadfast::group::Group;
use steadfast::{Error, Result};

/// Runs one command, together with the other processes of the group.
pub fn run(arguments: Arguments, group: &dyn Group) -> Result<()> {
    let global = arguments.global;
    if let Some(threads) = global.threads {
        // All products run on rayon's global pool, so its size bounds every library beneath.
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.into())
            .build_global()
            .map_err(|cause| Error::outside("cannot start the threads").because(cause))?;
    }
    if !group.alone() && !matches!(arguments.command, Command::Tune(_) | Command::Measure(_)) {
        return Err(
            Error::user("only tune and measure run in several processes")
                .hint("start this command without mpirun"),
        );
    }
    match arguments.command {
        Command::Study(arguments) => study::run(arguments, global),
        Command::Tune(arguments) => tune::run(arguments, global, group),
        Command::Measure(arguments) => measure::run(arguments, global, group),
        Command::Compare(arguments) => compare::run(&arguments, global),
        Command::Gate(arguments) => gate::run(&arguments, global),
        Command::Chat(arguments) => chat::run(&arguments, global),
        Command::Export(arguments) => export::run(&arguments, global),
        Command::Push(arguments) => push::run(&arguments, global),
        Command::Serve(arguments) => serve::run(arguments, global),
        Command::Data(command) => data::run(&command, global),
        Command::Judge(command) => judge::run(command, global),
        Command::Models(arguments) => models::run(&arguments, global),
        Command::Plan(arguments) => plan::run(&arguments, global),
        Command::Frontier(arguments) => frontier::run(&arguments, global),
        Command::Runs(arguments) => runs::run(&arguments, global),
        Command::Doctor(arguments) => doctor::run(&arguments, global),
        Command::Completions(arguments) => completions::run(&arguments),
    }
}

/// Makes Ctrl-C say how to go on. Nothing needs saving: every stage on disk is whole.
pub fn explain_interrupt(how: &'static str, format: LogFormat) {
    let handler = move || {
        errors::remark(&format!("\ninterrupted\nhint: {how}"), format);
        errors::end(130);
    };
    // Without a handler Ctrl-C still ends the process, only without the hint.
    let _ = ctrlc::set_handler(handler);
}
