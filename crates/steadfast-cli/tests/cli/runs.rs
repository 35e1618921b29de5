//! Runs listed, shown, compared and removed; and what a study says to programs.

use crate::support::Folder;
use serde_json::Value;

const RECIPE: &str = r#"
name = "watched"

[data]
conversations = 6

[generation]
max_tokens = 4

[[arms]]
name = "lora"
method = "lora"
steps = 1
batch_tokens = 128

[[suites]]
name = "general_choice"
limit = 3
"#;

#[test]
fn runs_are_shown_compared_and_removed() {
    let folder = Folder::new().with("recipe.toml", RECIPE);
    let said = folder.run(&["study", "recipe.toml", "--log-format", "json"]);
    assert!(said.contains("exit code: 0"), "{said}");
    let (_, log) = said.split_once("----- stderr -----").expect("stderr");
    let events: Vec<Value> = log
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    for kind in [
        "stage_started",
        "training_step",
        "checkpoint_saved",
        "axis_measured",
    ] {
        let found = events
            .iter()
            .any(|one| one["event"] == kind && one["time"].is_string());
        assert!(found, "no {kind} in {log}");
    }
    // What was damaged since is made again, to the bit.
    let ids = folder.json(&["runs", "--json"]);
    let id = ids[0]["id"].as_str().expect("an id");
    let adapter = { folder.path().join("runs").join(id) }.join("arms/lora-seed0/adapter");
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let file = adapter.join(name);
        let whole = std::fs::read(&file).expect("an adapter");
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        std::fs::write(&file, damaged).expect("a file");
        let again = folder.run(&["study", "recipe.toml", "--quiet"]);
        assert!(
            again.contains("exit code: 0") && again.contains(&format!("{name} is not as")),
            "{again}"
        );
        assert_eq!(std::fs::read(&file).expect("an adapter"), whole, "{name}");
    }
    let seed = folder.run(&["study", "recipe.toml", "--seed", "1", "--quiet"]);
    assert!(seed.contains("exit code: 0"), "{seed}");

    let list = folder.json(&["runs", "--json"]);
    let ids: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|run| run["id"].as_str())
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(list[0]["state"], "finished");

    let shown = folder.run(&["runs", "show", ids[0]]);
    for part in ["state    finished", "read     base", "knowledge"] {
        assert!(shown.contains(part), "{shown}");
    }
    let both = folder.run(&["runs", "compare", ids[0], ids[1]]);
    assert!(
        both.contains("lora") && both.contains(ids[0]) && both.contains(ids[1]),
        "{both}"
    );
    let unclear = folder.run(&["runs", "show", "watched"]);
    assert!(unclear.contains("2 runs begin with watched"), "{unclear}");

    let unsaid = folder.run(&["runs", "clean"]);
    assert!(
        unsaid.contains("exit code: 1") && unsaid.contains("--older-than"),
        "{unsaid}"
    );
    let young = folder.run(&["runs", "clean", "--older-than", "1", "--yes"]);
    assert!(young.contains("removed 0 runs"), "{young}");
    // Nobody is there to agree.
    let asked = folder.run(&["runs", "clean", ids[0]]);
    assert!(
        asked.contains("exit code: 1") && asked.contains("nothing was removed"),
        "{asked}"
    );
    // What runs share stays until it is named.
    let store = folder.path().join("runs/store");
    let held = || std::fs::read_dir(&store).expect("a store").count();
    let recent = folder.run(&["runs", "clean", "--store", "--older-than", "1", "--yes"]);
    assert!(recent.contains("removed 0 runs, 0 B"), "{recent}");
    assert!(held() > 1);
    let shared = folder.run(&["runs", "clean", "--store", "--yes"]);
    assert!(
        shared.contains(" files of the store") && held() == 0,
        "{shared}"
    );
    let removed = folder.run(&["runs", "clean", ids[0], "--yes"]);
    assert!(removed.contains("removed 1 run,"), "{removed}");
    let left = folder.json(&["runs", "--json"]);
    assert_eq!(left.as_array().map(Vec::len), Some(1));
    assert_eq!(left[0]["id"], ids[1]);
}

#[test]
fn errors_are_lines_of_the_log_too() {
    let folder = Folder::new();
    let said = folder.run(&["runs", "show", "nothing", "--log-format", "json"]);
    insta::assert_snapshot!(said);
}

/// Every line, whatever happens: the last comes of Ctrl-C.
#[cfg(unix)]
#[test]
fn a_log_is_documents_to_the_end() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let folder = Folder::new();
    let chats = folder.command(&["data", "simulate", "--count", "8"]);
    let chats = { chats }.output().expect("it runs").stdout;
    let folder = folder.with("chats.jsonl", chats);
    let tune = ["tune", "--data", "chats.jsonl", "--log-format", "json"];
    let mut child = { folder.command(&tune) }
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stderr = child.stderr.take().expect("a pipe");
    let mut lines = BufReader::new(stderr).lines().map(|line| {
        let line = line.expect("text");
        serde_json::from_str::<serde_json::Value>(&line).expect(&line)
    });
    let first = lines.next().expect("a line");
    assert!(first["time"].is_string(), "{first}");
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.expect("kill is there").success());
    let last = lines.last().expect("another line");
    let message = last["message"].as_str().expect("a message");
    assert!(
        message.contains("interrupted") && message.contains("--resume"),
        "{message}"
    );
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}

#[cfg(not(feature = "mpi"))]
#[test]
fn a_build_without_mpi_refuses_to_be_one_of_several() {
    let folder = Folder::new().variable("OMPI_COMM_WORLD_SIZE", "2");
    insta::assert_snapshot!(folder.run(&["tune", "--data", "chats.jsonl"]));
}
