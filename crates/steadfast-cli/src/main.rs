//! `steadfast`: flags in, library called, events rendered, exit code out.

mod arguments;
mod commands;
mod errors;
mod judging;
mod machine;
mod measurements;
mod output;
mod progress;

use std::process::ExitCode;

/// The engine frees and takes large buffers at every step; glibc's allocator gives each back to the
/// kernel and pays for the page faults again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    errors::explain_panics();
    let arguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            errors::print(&error);
            errors::exit_code(error.class)
        }
    }
}
