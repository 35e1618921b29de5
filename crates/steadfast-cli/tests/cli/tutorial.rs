//! docs/tutorial.md, typed again line by line.
//!
//! Numbers are left out of the comparison: they differ between machines. With `STEADFAST_WRITE=1` the
//! page is written anew from what the commands say.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FENCE: &str = "```console\n";

#[test]
fn the_tutorial_says_what_the_commands_say() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tutorial.md");
    let before = std::fs::read_to_string(&page).expect("the tutorial");
    let folder = tempfile::tempdir().expect("a folder");
    let mut after = String::new();
    let mut rest = before.as_str();
    while let Some((prose, block)) = rest.split_once(FENCE) {
        let (session, following) = block.split_once("```").expect("the block ends");
        let _ = write!(after, "{prose}{FENCE}");
        for command in session.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let _ = write!(after, "$ {command}\n{}", typed(command, folder.path()));
        }
        after += "```";
        rest = following;
    }
    after += rest;
    if std::env::var_os("STEADFAST_WRITE").is_some() {
        std::fs::write(&page, after).expect("the tutorial can be written");
    } else {
        same_lines(&shape(&before), &shape(&after));
    }
}

/// What a terminal would show.
fn typed(command: &str, folder: &Path) -> String {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_steadfast"));
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {command}; }} 2>&1")])
        .current_dir(folder)
        .env(
            "PATH",
            format!("{}:{path}", binary.parent().expect("a folder").display()),
        )
        .env("NO_COLOR", "1")
        .env("HF_HUB_OFFLINE", "1")
        .stdin(Stdio::null())
        .output()
        .expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A page without its numbers, what a number's width moves, and what a model happens to write.
fn shape(page: &str) -> String {
    let mut shape = String::new();
    let mut said_by_the_model = false;
    for line in page.lines() {
        if said_by_the_model && !line.starts_with("$ ") && !line.starts_with("```") {
            continue;
        }
        said_by_the_model = line.starts_with("$ steadfast chat ");
        let words = line.split_whitespace().map(|word| {
            if word.contains(|letter: char| letter.is_ascii_digit()) {
                word.replace(
                    |letter: char| letter.is_ascii_digit() || "+-.".contains(letter),
                    "",
                )
            } else {
                word.to_owned()
            }
        });
        shape += &words.collect::<Vec<_>>().join(" ");
        shape.push('\n');
    }
    shape
}

fn same_lines(expected: &str, found: &str) {
    for (number, (one, other)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(
            one,
            other,
            "docs/tutorial.md, line {} or nearby; STEADFAST_WRITE=1 writes it anew",
            number + 1
        );
    }
    assert_eq!(
        expected.lines().count(),
        found.lines().count(),
        "one is longer"
    );
}
