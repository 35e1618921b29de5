//! Errors as people read them, and as exit codes.

use anstyle::{AnsiColor, Style};
use std::process::ExitCode;
use steadfast::Error;
use steadfast::error::Class;

const RED: Style = AnsiColor::Red.on_default().bold();
const BLUE: Style = AnsiColor::Blue.on_default();
const GREEN: Style = AnsiColor::Green.on_default();

/// The exit code of each class.
pub fn exit_code(class: Class) -> ExitCode {
    ExitCode::from(match class {
        Class::User => 1,
        Class::Outside => 3,
        Class::Budget => 4,
        Class::Bug => 101,
    })
}

/// Prints an error with its place, causes and hint, and then all that were found with it.
pub fn print(error: &Error) {
    print_one(error);
    for other in &error.others {
        anstream::eprintln!();
        print_one(other);
    }
    if !error.others.is_empty() {
        anstream::eprintln!("\n{} mistakes in all", error.others.len() + 1);
    }
}

fn print_one(error: &Error) {
    anstream::eprintln!("{RED}error{RED:#}: {}", error.message);
    print_place(error);
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        anstream::eprintln!("cause: {}", cause.to_string().trim_end());
        // The cause may be an error of the library too, with a place and a hint of its own.
        if let Some(inner) = cause.downcast_ref::<Error>() {
            print_place(inner);
        }
        source = cause.source();
    }
    match &error.hint {
        Some(hint) => anstream::eprintln!("{GREEN}hint{GREEN:#}: {hint}"),
        None if error.class == Class::Bug => print_bug_hint(),
        None => {}
    }
}

fn print_place(error: &Error) {
    // The library calls both a key and a flag a field.
    let place = error.place.to_string().replace("field `--", "flag `--");
    if !place.is_empty() {
        anstream::eprintln!(" {BLUE}-->{BLUE:#} {place}");
    }
}

fn print_bug_hint() {
    anstream::eprintln!(
        "{GREEN}hint{GREEN:#}: this is a bug in steadfast {}; please report it with the command \
         and this text",
        env!("CARGO_PKG_VERSION")
    );
}

/// Makes a panic say that it is a bug; the process then exits with 101.
pub fn explain_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        anstream::eprintln!("{RED}error{RED:#}: steadfast broke a promise to itself: {message}");
        if let Some(place) = panic.location() {
            anstream::eprintln!(" {BLUE}-->{BLUE:#} {}:{}", place.file(), place.line());
        }
        print_bug_hint();
    }));
}
