//! `steadfast`: flags in, library called, events rendered, exit code out.

mod arguments;
mod commands;
mod errors;
mod judging;
mod machine;
mod measurements;
mod output;
mod processes;
mod progress;

use arguments::LogFormat;
use processes::Processes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;
use steadfast::error::Class;

const LEADER_SPEAKS_FIRST: Duration = Duration::from_secs(1);

/// The engine frees and takes large buffers at every step; glibc's allocator gives each back to the
/// kernel and pays for the page faults again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    errors::explain_panics(LogFormat::Text);
    let arguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let log = arguments.global.log_format;
    errors::explain_panics(log);
    steadfast::conversations::template::say_with(move |error| errors::say(error, log));
    let processes = match Processes::join() {
        Ok(processes) => processes,
        Err(error) => {
            errors::say(&error, log);
            return ExitCode::from(errors::exit_code(error.class));
        }
    };
    let group = processes.group();
    let ran = catch_unwind(AssertUnwindSafe(|| commands::run(arguments, group)));
    match ran {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            if !group.leads() {
                // Where all fail alike the leader says so, and ends the others before they repeat it.
                std::thread::sleep(LEADER_SPEAKS_FIRST);
                let which = format!("process {} of {}:", group.rank(), group.size());
                errors::remark(&which, log);
            }
            errors::say(&error, log);
            processes.fail(errors::exit_code(error.class))
        }
        // The hook has said what happened.
        Err(_) => processes.fail(errors::exit_code(Class::Bug)),
    }
}
