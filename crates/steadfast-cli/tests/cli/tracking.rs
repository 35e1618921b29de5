//! `tune` with MLflow: one run however often it is started, and no need of a server.

use crate::emulators::http::Emulator;
use crate::emulators::mlflow::Mlflow;
use crate::support::Folder;
use std::process::Command;
use std::sync::Arc;

fn tune(folder: &Folder, address: &str) -> String {
    let arguments = [
        "tune",
        "--data",
        "chats.jsonl",
        "--steps",
        "2",
        "--batch-tokens",
        "128",
    ];
    let done = Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(arguments)
        .args(["--rank", "2", "--output", "adapter", "--resume", "--quiet"])
        .current_dir(folder.path())
        .env("MLFLOW_TRACKING_URI", address)
        .env("MLFLOW_TRACKING_TOKEN", "not-to-be-seen")
        .env("MLFLOW_EXPERIMENT_NAME", "hotel")
        .output()
        .expect("the command runs");
    let stderr = String::from_utf8(done.stderr).expect("text");
    assert_eq!(done.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("not-to-be-seen"), "{stderr}");
    stderr
}

#[test]
fn a_training_is_one_run_and_needs_no_server() {
    let chat = r#"{"messages":[{"role":"user","content":"a room"},{"role":"assistant","content":"For which date?"}]}"#;
    let folder = Folder::new().with("chats.jsonl", format!("{chat}\n").repeat(8));
    let said = tune(&folder, "http://127.0.0.1:9");
    assert!(said.contains("MLflow has not all of it"), "{said}");
    let said = tune(&folder, "sqlite:///mlruns.db");
    assert!(said.contains("MLflow has not all of it"), "{said}");

    let folder = Folder::new().with("chats.jsonl", format!("{chat}\n").repeat(8));
    let desk = Arc::new(Mlflow::default());
    let inner = Arc::clone(&desk);
    let emulator = Emulator::start(move |_, request| inner.react(request));
    let address = emulator.url.trim_end_matches("/v1");
    for _ in 0..2 {
        assert_eq!(tune(&folder, address), "");
        let runs = desk.runs();
        assert_eq!(runs.len(), 1, "{runs:?}");
        assert_eq!(
            (runs[0].name.as_str(), runs[0].status.as_str()),
            ("adapter", "FINISHED")
        );
        let losses = &runs[0].metrics["train/loss"];
        let steps: Vec<i64> = losses.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [1, 2]);
        assert_eq!(runs[0].params["rank"], "2");
        assert!(runs[0].metrics.contains_key("training/seconds"));
    }
}
