//! What comes from outside and may be anything: a function for each kind of input.
//!
//! The fuzzer (`fuzz/`) and the ordinary tests run the same functions: the one with inputs that it finds
//! by itself, the other with its seeds and fixed changes of them. Each must come to an end soon, in
//! little memory, with a value or an error that says whose turn it is; never with a bug.

mod models;
mod records;
mod requests;
#[cfg(test)]
mod tests;

use crate::error::Class;
use crate::{Error, Result};
use std::path::Path;

/// Reads one kind of input.
pub type Target = fn(&[u8]) -> Result<()>;

/// Every kind of input, by the name of its fuzz target and of the folder of its seeds.
pub const TARGETS: [(&str, Target); 13] = [
    ("gguf", models::gguf),
    ("safetensors", models::safetensors),
    ("tokenizer", models::tokenizer),
    ("template", models::template),
    ("adapter", models::adapter),
    ("checkpoint", models::checkpoint),
    ("archive", models::archive),
    ("chats", records::chats),
    ("suite", records::suite),
    ("recipe", records::recipe),
    ("record", records::record),
    ("request", requests::request),
    ("reply", requests::reply),
];

/// Most bytes of one mistake's text: it may quote the input, not repeat it.
const LONGEST_ERROR: usize = 16 << 10;

/// Reads one input as the target of that name does.
///
/// # Panics
/// There is no such target, or the input has brought a bug to light.
pub fn run(name: &str, bytes: &[u8]) -> Result<()> {
    let (_, target) = TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a known target");
    let outcome = target(bytes);
    if let Err(error) = &outcome {
        for one in error.each() {
            let text = whole(one);
            assert_ne!(one.class, Class::Bug, "{text}");
            assert!(text.len() <= LONGEST_ERROR, "{} bytes", text.len());
        }
    }
    outcome
}

/// An error with its place and its causes.
fn whole(error: &Error) -> String {
    let mut text = format!("{error} ({})", error.place);
    let mut beneath = std::error::Error::source(error);
    while let Some(cause) = beneath {
        // candle writes a backtrace into its messages where RUST_BACKTRACE is set.
        let said = cause.to_string();
        let end = said.find("\n   0: ").unwrap_or(said.len());
        text = format!("{text}: {}", &said[..end]);
        beneath = cause.source();
    }
    text
}

/// The file's name, which stands in the first line, and its content.
fn named(bytes: &[u8]) -> Result<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    end.and_then(|end| Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..])))
        .ok_or_else(|| Error::user("the first line names no file"))
}

/// None of the files that the target reads.
fn unknown(name: &str) -> Result<()> {
    Err(Error::user(format!(
        "there is no file `{}`",
        name.escape_debug()
    )))
}

/// Does something in a folder with these files.
fn in_folder<T>(files: &[(&str, &[u8])], work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }
    work(folder.path())
}
