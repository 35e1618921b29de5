//! Both services of the tests on this machine, for the official clients to ask: `tests/clients/run`.
//!
//! Prints their addresses as one line of JSON, and ends when its standard input does.

#[allow(dead_code, reason = "the tests look at more of it")]
#[path = "../src/providers/emulators/mod.rs"]
mod emulators;

use emulators::http::Emulator;
use emulators::openai::OpenAi;
use emulators::together::Together;
use std::io::Read;

fn main() {
    let (first, second) = (OpenAi::default(), Together::default());
    let openai = Emulator::start(move |_, request| first.react(request));
    let together = Emulator::start(move |_, request| second.react(request));
    println!(
        "{}",
        serde_json::json!({"openai": openai.url, "together": together.url})
    );
    let mut rest = Vec::new();
    // Whoever started it lets go, or is gone.
    let _ = std::io::stdin().read_to_end(&mut rest);
}
