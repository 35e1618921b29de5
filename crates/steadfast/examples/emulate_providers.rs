//! The services of the tests on this machine, for the official clients to ask: `tests/clients/run`.
//!
//! Prints their addresses as one line of JSON, and ends when its standard input does.

#[allow(dead_code, reason = "the tests look at more of it")]
#[path = "../src/providers/emulators/mod.rs"]
mod emulators;

use emulators::http::Emulator;
use emulators::hub::{self, Hub};
use emulators::openai::OpenAi;
use emulators::together::Together;
use std::io::Read;
use steadfast::digest;

fn main() {
    let (first, second) = (OpenAi::default(), Together::default());
    let openai = Emulator::start(move |_, request| first.react(request));
    let together = Emulator::start(move |_, request| second.react(request));
    // One takes large files whole, the other in parts.
    let hubs = [None, Some(1 << 20)].map(|part| {
        let desk = Hub::new(|bytes| digest::of(bytes), digest::of_git_blob, part);
        Emulator::start(move |_, request| desk.react(request))
    });
    let addresses = hubs.each_ref().map(|hub| hub.url.trim_end_matches("/v1"));
    println!(
        "{}",
        serde_json::json!({"openai": openai.url, "together": together.url,
            "hubs": addresses, "token": hub::TOKEN, "owner": hub::OWNER})
    );
    let mut rest = Vec::new();
    // Whoever started it lets go, or is gone.
    let _ = std::io::stdin().read_to_end(&mut rest);
}
