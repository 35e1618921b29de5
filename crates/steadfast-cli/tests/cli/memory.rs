//! `--memory-limit`: what it says it keeps within, and that it changes nothing else.

use crate::support::Folder;
use serde_json::Value;

const ARGUMENTS: [&str; 11] = [
    "tune",
    "--data",
    "chats.jsonl",
    "--steps",
    "1",
    "--batch-tokens",
    "256",
    "--json",
    "--quiet",
    "--output",
    "adapter",
];

fn chats() -> String {
    (0..8)
        .map(|index| {
            format!(
                "{{\"messages\":[{{\"role\":\"user\",\"content\":\"a room for {index} nights\"}},\
                 {{\"role\":\"assistant\",\"content\":\"For which date, please?\"}}]}}\n"
            )
        })
        .collect()
}

#[test]
fn a_limit_is_kept_and_the_adapter_has_the_same_bits() {
    let mut tensors = Vec::new();
    for limit in [None, Some(640)] {
        let folder = Folder::new().with("chats.jsonl", chats());
        let size = limit.map(|limit| format!("{limit}MB"));
        let mut arguments = ARGUMENTS.to_vec();
        if let Some(size) = &size {
            arguments.extend(["--memory-limit", size]);
        }
        let seen = folder.run(&arguments);
        let document =
            &seen[seen.find('{').expect("a document")..=seen.rfind('}').expect("its end")];
        let document: Value = serde_json::from_str(document).expect("it is JSON");
        let peak = document["training"]["peak_memory_bytes"].as_u64();
        let peak = peak.expect("the peak is told");
        match limit {
            // Where the system does not tell the peak it is 0.
            Some(limit) => assert!(peak < limit * 1_000_000, "{peak}"),
            None => assert!(peak == 0 || peak > 640_000_000, "{peak}"),
        }
        let tensor_file = folder.path().join("adapter/adapter_model.safetensors");
        tensors.push(std::fs::read(tensor_file).expect("an adapter"));
    }
    assert!(tensors[0] == tensors[1]);
}

#[test]
fn a_limit_that_cannot_be_kept_or_read_is_refused() {
    let folder = Folder::new().with("chats.jsonl", chats());
    let mut seen = String::new();
    for limit in ["300MB", "lots"] {
        let mut arguments = ARGUMENTS.to_vec();
        arguments.extend(["--memory-limit", limit]);
        seen += &folder.run(&arguments);
    }
    insta::assert_snapshot!(seen);
}
