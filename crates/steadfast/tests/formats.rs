//! What any released version has written, this one reads: the samples of `tests/formats`, a folder a
//! version, each made by that version itself.

use std::fs;
use std::path::{Path, PathBuf};
use steadfast::evaluation::comparison::compare;
use steadfast::evaluation::measurement::Measurement;
use steadfast::events::Silent;
use steadfast::models::Adapter;
use steadfast::results::Results;
use steadfast::runs::kept::Kept;
use steadfast::runs::manifest::Manifest;
use steadfast::server::{files, jobs};
use steadfast::training::checkpoint::Checkpoint;

fn versions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/formats");
    let entries = fs::read_dir(folder).expect("samples");
    let mut versions: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir() && path.join("run").is_dir())
        .collect();
    versions.sort();
    assert!(!versions.is_empty(), "no version has a sample");
    versions
}

/// The only entry of a folder.
fn only(folder: &Path) -> PathBuf {
    let mut entries = fs::read_dir(folder).expect("a folder");
    let first = entries.next().expect("an entry").expect("an entry").path();
    assert!(entries.next().is_none(), "{}", folder.display());
    first
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn runs_are_read() {
    for version in versions() {
        let run = version.join("run");
        let manifest = Manifest::read(&run).expect("a manifest");
        assert!(manifest.finished.is_some() && manifest.inputs.contains_key("base"));
        let results = Results::read(&run.join("results.json")).expect("results");
        assert_eq!(results.run, manifest.id);
        assert_eq!(results.arms.len(), 2);
        let adapter = Adapter::read(&version.join("adapter")).expect("an adapter");
        assert_eq!(adapter.rank, 4);
    }
}

#[test]
fn a_training_goes_on_from_its_checkpoint() {
    for version in versions() {
        let folder = version.join("checkpoints");
        let state = json(&only(&folder).join("state.json"));
        let run = state["run"].as_str().expect("the digest of its settings");
        let checkpoint = Checkpoint::latest(&folder, run, &Silent).expect("readable");
        let checkpoint = checkpoint.expect("whole");
        assert_eq!(
            Some(checkpoint.progress.step as u64),
            state["step"].as_u64()
        );
        assert_eq!(checkpoint.progress.losses.len(), checkpoint.progress.step);
        assert_eq!(
            checkpoint.optimizer.moments().len(),
            checkpoint.parameters.len()
        );
    }
}

#[test]
fn measurements_are_read() {
    for version in versions() {
        let text = fs::read_to_string(version.join("measurement.json")).expect("a file");
        let measured = Measurement::parse(&text).expect("a measurement");
        let comparison = compare(&measured, &measured).expect("comparable");
        assert_eq!(comparison.axes["knowledge"].net_change, 0.0);
    }
}

/// The published scores are their own samples.
#[test]
fn kept_scores_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/results/frontier");
    let kept = Kept::new(&folder);
    let mut found = 0;
    for part in fs::read_dir(&folder).expect("published scores") {
        let part = part.expect("an entry").path();
        for file in fs::read_dir(&part).into_iter().flatten() {
            let file = file.expect("an entry").file_name();
            let Some(name) = file
                .to_str()
                .and_then(|name| name.strip_suffix(".jsonl.gz"))
            else {
                continue;
            };
            let name = name.replace("-times-", "*").replace("-seed-", "/");
            let part = part.file_name().expect("a name").to_string_lossy();
            // Of another key: read, and not believed.
            assert_eq!(kept.find(&part, &name, "another").expect("readable"), None);
            assert!(kept.path(&part, &name).exists(), "{name}");
            found += 1;
        }
    }
    assert!(found > 0, "no scores in {}", folder.display());
}

#[test]
fn a_servers_files_and_jobs_are_read() {
    for version in versions() {
        let state = version.join("state");
        let files = files::read_all(&state.join("files")).expect("records");
        let jobs = jobs::read_all(&state.join("jobs")).expect("records");
        assert_eq!((files.len(), jobs.len()), (1, 1));
        assert_eq!(jobs[0].training_file, files[0].id);
        assert!(jobs[0].now().fine_tuned_model.is_some() && jobs[0].events().len() > 1);
    }
}
