//! `tune`, and what stands in its folder before.

use super::support::Folder;

const LORA: [&str; 9] = [
    "tune",
    "--data",
    "chats.jsonl",
    "--method",
    "lora",
    "--steps",
    "1",
    "--quiet",
    "--output",
];

fn with_chats() -> Folder {
    let folder = Folder::new();
    let chats = folder.command(&["data", "simulate", "--count", "6"]);
    let chats = { chats }.output().expect("it runs").stdout;
    folder.with("chats.jsonl", chats)
}

#[test]
fn a_training_is_never_lost_to_another() {
    let folder = with_chats();
    let tune = |more: &[&str]| folder.run(&[&LORA[..], &["adapter"], more].concat());
    let read =
        |name: &str| std::fs::read(folder.path().join("adapter").join(name)).expect("is there");
    assert!(tune(&[]).contains("exit code: 0"));
    let adapter = read("adapter_model.safetensors");
    let refused = tune(&[]);
    assert!(
        refused.contains("a trained adapter is in this folder"),
        "{refused}"
    );
    let other = tune(&["--resume", "--rank", "4"]);
    assert!(
        other.contains("a trained adapter is in this folder, with other settings"),
        "{other}"
    );
    assert!(tune(&["--resume"]).contains("exit code: 0"));
    assert!(read("adapter_model.safetensors") == adapter);

    // As a kill leaves it.
    std::fs::remove_file(folder.path().join("adapter/trained.json")).expect("the record");
    let refused = tune(&[]);
    assert!(
        refused.contains("a training that was stopped is in this folder"),
        "{refused}"
    );
    let other = tune(&["--resume", "--rank", "4"]);
    assert!(
        other.contains("a training that was stopped is in this folder, with other"),
        "{other}"
    );
    assert!(tune(&["--resume"]).contains("exit code: 0"));
    assert!(read("adapter_model.safetensors") == adapter);

    // As another program leaves it, or the Hub.
    let bare = folder.path().join("adapter");
    for entry in std::fs::read_dir(&bare).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_owned();
        if name.to_string_lossy().starts_with("checkpoint-") {
            std::fs::remove_dir_all(path).expect("a checkpoint");
        } else if name == "trained.json" {
            std::fs::remove_file(path).expect("the record");
        }
    }
    for more in [&[][..], &["--resume"]] {
        let refused = tune(more);
        assert!(
            refused.contains("an adapter that was not trained here is in this folder"),
            "{refused}"
        );
    }
    assert!(read("adapter_model.safetensors") == adapter);
}

#[test]
fn a_conversation_that_is_too_long_is_named() {
    let long = "word ".repeat(9000);
    let turns = |said: &str| {
        serde_json::json!({"messages": [
            {"role": "user", "content": said},
            {"role": "assistant", "content": "Yes."},
        ]})
    };
    let folder = Folder::new().with(
        "chats.jsonl",
        format!("{}\n{}\n", turns("Hello"), turns(&long)),
    );
    let said = folder.run(&[&LORA[..], &["adapter"]].concat());
    assert!(
        said.contains("exit code: 1") && said.contains("chats.jsonl:2"),
        "{said}"
    );
    let fitting = format!("{}\n", turns(&"word ".repeat(400)));
    let folder = folder.with("chats.jsonl", fitting.repeat(2));
    let limit = ["adapter", "--memory-limit", "4GB", "--batch-tokens", "64"];
    let said = folder.run(&[&LORA[..], &limit].concat());
    assert!(
        said.contains("memory was reckoned for batches of 64"),
        "{said}"
    );
}
