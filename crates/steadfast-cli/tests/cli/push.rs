//! A folder goes to the Hub: exit code and both streams, and the token in neither.

use crate::emulators::http::Emulator;
use crate::emulators::hub::{self, Hub};
use crate::support::Folder;
use std::process::{Command, Output};
use std::sync::Arc;
use steadfast::digest;

fn adapter() -> Folder {
    Folder::new()
        .with("adapter/adapter_config.json", "{}")
        .with("adapter/adapter_model.safetensors", [7; 70_000])
        .with("adapter/README.md", "# A card\n")
}

fn push(
    folder: &Folder,
    token: Option<&str>,
    endpoint: &str,
    flags: &[&str],
) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command
        .args(["push", "Hotels/agent", "adapter"])
        .args(flags)
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .env("HF_HOME", folder.path().join("home"))
        .env("HF_ENDPOINT", endpoint)
        .env_remove("HF_HUB_OFFLINE")
        .env_remove("HF_TOKEN_PATH")
        .env_remove("HF_TOKEN");
    if let Some(token) = token {
        command.env("HF_TOKEN", token);
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the command runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert!(
        !format!("{stdout}{stderr}").contains("hf_"),
        "{stdout}{stderr}"
    );
    (status.code().unwrap_or(-1), stdout, stderr)
}

#[test]
fn an_adapter_is_pushed_once() {
    let folder = adapter();
    let desk = Arc::new(Hub::new(
        |bytes| digest::of(bytes),
        digest::of_git_blob,
        None,
    ));
    let inner = Arc::clone(&desk);
    let emulator = Emulator::start(move |_, request| inner.react(request));
    let endpoint = emulator.url.trim_end_matches("/v1");

    let (code, _, stderr) = push(&folder, None, endpoint, &[]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("HF_TOKEN"), "{stderr}");
    assert!(emulator.requests().is_empty());

    let (code, _, stderr) = push(&folder, Some("hf_wrong"), endpoint, &[]);
    assert_eq!(code, 3, "{stderr}");
    assert!(
        stderr.contains("hint: make a token with write access"),
        "{stderr}"
    );

    // As `hf auth login` leaves it.
    let folder = folder.with("home/token", format!("{}\n", hub::TOKEN));
    let (code, stdout, stderr) = push(&folder, None, endpoint, &["--private"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        stderr.contains("adapter_model.safetensors  70.0 kB"),
        "{stderr}"
    );
    assert!(
        stdout.contains("3 pushed, 0 there already, commit "),
        "{stdout}"
    );

    let (code, stdout, _) = push(&folder, None, endpoint, &["--json", "--quiet"]);
    assert_eq!(code, 0);
    assert!(
        stdout.contains("\"commit\": null") && !stdout.contains("pushed\""),
        "{stdout}"
    );
    assert_eq!(desk.commits("Hotels/agent"), 1);
    assert!(
        desk.repository("Hotels/agent").expect("a repository").1,
        "private"
    );

    let (code, _, stderr) = push(&folder, None, "http://127.0.0.1:9", &[]);
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("hint: "), "{stderr}");
}
