//! A study with finalists, and the same study again from nothing but its kept scores.

use super::support::Folder;

const RECIPE: &str = r#"
name = "kept"
keep = "scores"

[data]
conversations = 6

[retain]
prompts = 4
tokens = 256
reply_tokens = 8

[generation]
max_tokens = 8

[[arms]]
name = "lora"
method = "lora"
role = "yardstick"
steps = 2
batch_tokens = 128
scales = [0.5, { first = 0.2, last = 1.0 }, 1.0]

[[arms]]
name = "ours"
method = "null-space"
role = "candidate"
subspace = "random"
steps = 2
batch_tokens = 128

[[suites]]
name = "booking"
limit = 3
split = "dev"

[[suites]]
name = "statements"
limit = 3
split = "dev"

[[suites]]
name = "general_choice"
limit = 3
split = "dev"

[finalists]
seeds = [0]
comparators = ["lora", "lora*0.5", "lora*0.2..1"]
results = "out/frontier.json"

[[finalists.suites]]
name = "booking"
limit = 3
split = "test"

[[finalists.suites]]
name = "statements"
limit = 3
split = "test"

[[finalists.suites]]
name = "general_choice"
limit = 3
split = "test"
"#;

#[test]
fn a_study_is_reported_again_from_its_kept_scores_alone() {
    let folder = Folder::new().with("recipe.toml", RECIPE);
    let said = folder.run(&["study", "recipe.toml", "--quiet"]);
    assert!(said.contains("exit code: 0"), "{said}");
    assert!(
        said.contains("candidate, most gain: none gains as much"),
        "{said}"
    );
    assert!(
        said.contains("candidate against yardstick, 1 seed:"),
        "{said}"
    );
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect("is written");
    let whole = read("out/frontier.json");
    let frontier: serde_json::Value = serde_json::from_slice(&whole).expect("JSON");
    let on_test = frontier["test"].as_array().map(Vec::len);
    assert_eq!(
        on_test,
        Some(4),
        "the candidate and the comparators, once each"
    );

    // A scale by depth is a setting: named, kept, and told in the results by its ends.
    assert!(said.contains("lora*0.2..1 "), "{said}");
    let by_depth = "scores/development/lora-times-0.2-to-1-seed-0.jsonl.gz";
    assert!(folder.path().join(by_depth).exists(), "{said}");
    let runs = std::fs::read_dir(folder.path().join("runs")).expect("runs");
    let run = runs
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.join("results.json").exists())
        .expect("a run");
    let results = std::fs::read_to_string(run.join("results.json")).expect("results");
    let results: serde_json::Value = serde_json::from_str(&results).expect("JSON");
    let scale = &results["arms"][1]["hyperparameters"]["scale"];
    assert_eq!(*scale, serde_json::json!({"first": 0.2, "last": 1.0}));
    let leakage = &results["frontier"][0]["leakage"];
    assert!(leakage["net_change"].is_number(), "{results}");
    // The part that was measured, as an adapter.
    let trained = run.join("arms/lora-seed0/adapter");
    let trained = trained.to_str().expect("a path");
    let exported = folder.run(&["export", trained, "--scale", "0.2..1", "--peft", "part"]);
    assert!(exported.contains("exit code: 0"), "{exported}");
    let tensors = |name: &str| read(&format!("{name}/adapter_model.safetensors"));
    assert_eq!(tensors("part").len(), tensors(trained).len());
    assert_ne!(tensors("part"), tensors(trained));

    // A finished run keeps what was said, which kept scores do not have.
    let samples = std::fs::read(run.join("samples.jsonl")).expect("samples");
    let kept = ["study", "recipe.toml", "--quiet", "--kept"];
    let beside = folder.run(&kept);
    assert!(beside.contains("exit code: 0"), "{beside}");
    let left = std::fs::read(run.join("samples.jsonl")).expect("samples");
    assert!(left == samples, "overwritten by {beside}");

    // What was put away is made again, and what was damaged; what items asked and models said stays.
    let tensors = run.join("arms/ours-seed0/adapter/adapter_model.safetensors");
    let adapter = std::fs::read(&tensors).expect("an adapter");
    for broken in [
        folder
            .path()
            .join("scores/development/ours-seed-0.jsonl.gz"),
        folder.path().join("scores/test/ours-seed-0.jsonl.gz"),
        run.join("frontier.json"),
    ] {
        let bytes = std::fs::read(&broken).expect("is there");
        std::fs::remove_file(&broken).expect("is there");
        let mended = folder.run(&["study", "recipe.toml", "--quiet"]);
        assert!(mended.contains("exit code: 0"), "{mended}");
        assert!(std::fs::read(&broken).expect("is made again") == bytes);
        let left = std::fs::read(run.join("samples.jsonl")).expect("samples");
        assert!(left == samples, "changed by {mended}");
    }
    let record = run.join("arms/ours-seed0/trained.json");
    let cost = std::fs::read(&record).expect("a record");
    std::fs::write(&tensors, &adapter[..adapter.len() / 2]).expect("is damaged");
    let mended = folder.run(&["study", "recipe.toml", "--quiet"]);
    assert!(mended.contains("exit code: 0"), "{mended}");
    assert!(std::fs::read(&tensors).expect("an adapter") == adapter);
    let left = std::fs::read(run.join("samples.jsonl")).expect("samples");
    assert!(left == samples, "changed by {mended}");
    // The wall time of training is no part of what comes back.
    std::fs::write(&record, cost).expect("a record");

    // What is asked of it when all is done is made from what is stored, the same bytes.
    let base = read("scores/development/base.jsonl.gz");
    std::fs::remove_dir_all(folder.path().join("scores")).expect("scores");
    std::fs::remove_dir_all(folder.path().join("out")).expect("the results");
    let later = folder.run(&["study", "recipe.toml", "--quiet"]);
    assert!(later.contains("exit code: 0"), "{later}");
    assert_eq!(read("scores/development/base.jsonl.gz"), base);
    assert_eq!(read("out/frontier.json"), whole);

    // Another machine: no run folder, no store.
    std::fs::remove_dir_all(folder.path().join("runs")).expect("a run folder");
    let again = folder.run(&kept);
    assert!(again.contains("exit code: 0"), "{again}");
    assert_eq!(read("out/frontier.json"), whole);
    let document = folder.json(&["study", "recipe.toml", "--quiet", "--kept", "--json"]);
    assert_eq!(document["finalists"], frontier);
    assert!(document["frontier"].is_array(), "results.json's own");
    let table = |said: &str| {
        let from = said.find("on development items").expect("a table");
        said[from..said.find("\nreport ").expect("a report")].to_owned()
    };
    assert_eq!(table(&again), table(&said));

    // What is missing is listed, and not trained.
    std::fs::remove_file(folder.path().join("scores/test/ours-seed-0.jsonl.gz")).expect("kept");
    let partly = folder.run(&kept);
    assert!(partly.contains("not run: test: ours"), "{partly}");
    assert!(!partly.contains("candidate against yardstick"), "{partly}");

    // Cut short: the finalists out of what stands, trained and measured anew; the rest is listed.
    let whole_change = "scores/development/lora-seed-0.jsonl.gz";
    std::fs::remove_file(folder.path().join(whole_change)).expect("kept");
    let finals = folder.run(&["study", "recipe.toml", "--quiet", "--finalists"]);
    assert!(finals.contains("exit code: 0"), "{finals}");
    assert!(finals.contains("not run: lora\n"), "{finals}");
    assert!(!folder.path().join(whole_change).exists(), "{finals}");
    let on_test = |said: &str| {
        let from = said.find("on test items").expect("a table");
        said[from..said
            .find("\nnot run")
            .or(said.find("\nreport "))
            .expect("an end")]
            .to_owned()
    };
    assert_eq!(
        on_test(&finals),
        on_test(&said),
        "training again gives the same bits"
    );

    // Other items are another measurement, never taken for this one.
    let recipe = RECIPE.replace("limit = 3", "limit = 2");
    std::fs::write(folder.path().join("recipe.toml"), recipe).expect("a file");
    let other = folder.run(&kept);
    assert!(other.contains("exit code: 1"), "{other}");
    assert!(other.contains("another version are kept here"), "{other}");
}
