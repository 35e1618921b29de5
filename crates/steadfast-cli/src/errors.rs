//! Errors as people read them, and as exit codes.

use crate::arguments::LogFormat;
use anstyle::{AnsiColor, Style};
use std::sync::atomic::{AtomicBool, Ordering};
use steadfast::Error;
use steadfast::error::{Class, Place};
use steadfast::events::Event;

const RED: Style = AnsiColor::Red.on_default().bold();
const BLUE: Style = AnsiColor::Blue.on_default();
const GREEN: Style = AnsiColor::Green.on_default();

/// The exit code of each class.
pub fn exit_code(class: Class) -> u8 {
    match class {
        Class::User => 1,
        Class::Outside => 3,
        Class::Budget => 4,
        Class::Bug => 101,
    }
}

/// Whether a signal is ending the process.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Ends the process at once. Other threads may fail meanwhile because a device's driver is already
/// gone; that is not said.
pub fn end(code: i32) -> ! {
    ENDING.store(true, Ordering::SeqCst);
    std::process::exit(code)
}

/// Prints an error in the form that was asked for.
pub fn say(error: &Error, format: LogFormat) {
    while ENDING.load(Ordering::SeqCst) {
        std::thread::park();
    }
    match format {
        LogFormat::Text => print(error),
        LogFormat::Json => log(error),
    }
}

/// Prints what is no error and comes of no event: a line for people, or one of a log.
pub fn remark(message: &str, format: LogFormat) {
    match format {
        LogFormat::Text => anstream::eprintln!("{message}"),
        LogFormat::Json => {
            let message = message.trim().to_owned();
            anstream::eprintln!("{}", Event::Note { message }.log_line());
        }
    }
}

/// An error as one line of a log, and each that was found with it.
fn log(error: &Error) {
    for one in error.each() {
        let mut causes = Vec::new();
        let mut source = std::error::Error::source(one);
        while let Some(cause) = source {
            causes.push(without_backtrace(&cause.to_string()).to_owned());
            source = cause.source();
        }
        let document = serde_json::json!({
            "event": "error",
            "class": one.class.name(),
            "message": one.message,
            "place": (one.place != Place::default()).then(|| one.place.to_string()),
            "causes": causes,
            "hint": hint(one),
        });
        anstream::eprintln!("{document}");
    }
}

/// An error with its place, causes and hint, and then all that were found with it.
fn print(error: &Error) {
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
        anstream::eprintln!("cause: {}", without_backtrace(&cause.to_string()));
        // The cause may be an error of the library too, with a place and a hint of its own.
        if let Some(inner) = cause.downcast_ref::<Error>() {
            print_place(inner);
        }
        source = cause.source();
    }
    if let Some(hint) = hint(error) {
        anstream::eprintln!("{GREEN}hint{GREEN:#}: {hint}");
    }
}

/// candle writes a backtrace into its messages where RUST_BACKTRACE is set; it helps nobody here.
fn without_backtrace(message: &str) -> &str {
    let end = message.find("\n   0: ").unwrap_or(message.len());
    message[..end].trim_end()
}

fn print_place(error: &Error) {
    // The library calls both a key and a flag a field.
    let place = error.place.to_string().replace("field `--", "flag `--");
    if !place.is_empty() {
        anstream::eprintln!(" {BLUE}-->{BLUE:#} {place}");
    }
}

fn hint(error: &Error) -> Option<String> {
    let of_a_bug = || {
        format!(
            "this is a bug in steadfast {}; please report it with the command and this text",
            env!("CARGO_PKG_VERSION")
        )
    };
    let bug = error.class == Class::Bug;
    error.hint.clone().or_else(|| bug.then(of_a_bug))
}

/// Makes a panic say that it is a bug; the process then exits with 101.
pub fn explain_panics(format: LogFormat) {
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let error = Error::bug(format!("steadfast broke a promise to itself: {message}"));
        let error = match panic.location() {
            Some(place) => error.at(place.file()).line(place.line() as usize),
            None => error,
        };
        say(&error, format);
    }));
}
