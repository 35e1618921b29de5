//! docs/frontier.md and the README's frontier hold what the command prints of the committed results.
//!
//! With `STEADFAST_WRITE=1` the page's tables are written anew.

use super::support::Folder;
use std::path::{Path, PathBuf};

/// The finals of recipes/frontier.toml, and of recipes/frontier-second.toml.
const RESULTS: [&str; 2] = [
    "docs/results/frontier.json",
    "docs/results/frontier-second.json",
];
const END: &str = "<!-- end -->";

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn printed(results: &str, flags: &[&str]) -> String {
    let file = in_repository(results);
    let words = [&["frontier", file.to_str().expect("a path")], flags].concat();
    let output = Folder::new().command(&words).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn document(results: &str) -> serde_json::Value {
    serde_json::from_str(&printed(results, &["--json"])).expect("JSON")
}

#[test]
fn the_pages_hold_what_the_results_say() {
    let page = in_repository("docs/frontier.md");
    let mut text = std::fs::read_to_string(&page).expect("the page");
    let mut all = String::new();
    for results in RESULTS {
        let tables = printed(results, &["--markdown"]);
        let begin = format!("<!-- printed by: steadfast frontier {results} --markdown -->\n");
        let (before, rest) = text.split_once(&begin).expect("a beginning");
        let (held, after) = rest.split_once(END).expect("an end");
        if std::env::var_os("STEADFAST_WRITE").is_some() {
            text = format!("{before}{begin}{tables}{END}{after}");
            std::fs::write(&page, &text).expect("written");
        } else {
            assert_eq!(held, tables, "STEADFAST_WRITE=1 writes it anew");
        }
        all += &tables;
    }

    // The README shows some of the rows.
    let readme = std::fs::read_to_string(in_repository("README.md")).expect("the README");
    let (_, rest) = readme.split_once("\n## The frontier").expect("a section");
    let (section, _) = rest.split_once("\n## ").expect("another section");
    let rows: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .collect();
    assert!(rows.len() > 5, "the README's tables");
    for row in rows {
        assert!(all.contains(row), "no result says: {row}");
    }
}

#[test]
fn a_frontier_is_printed_for_people_and_programs() {
    for results in RESULTS {
        let text = printed(results, &[]);
        for words in [
            "on development items",
            "chosen by them",
            "yardstick, most gain",
        ] {
            assert!(text.contains(words), "{text}");
        }
        let document = document(results);
        let file = std::fs::read(in_repository(results)).expect("results");
        let file: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
        assert_eq!(document, file);
    }
}

/// Every seed answers the same items, so that what stands over seeds is the mean of what stands by seed.
#[test]
fn a_row_over_seeds_is_the_mean_of_its_seeds() {
    for results in RESULTS {
        let document = document(results);
        let list = |field: &str| document[field].as_array().cloned().expect("a list");
        let over_seeds = list("test_over_seeds");
        assert!(!over_seeds.is_empty());
        for row in &over_seeds {
            let mut points = list("test");
            points.retain(|point| point["arm"] == row["arm"] && point["scale"] == row["scale"]);
            let seeds: Vec<_> = points.iter().map(|point| point["seed"].clone()).collect();
            assert_eq!(row["seeds"], serde_json::Value::from(seeds));
            for number in ["gain", "safety_loss", "knowledge_loss", "leakage"] {
                let value =
                    |row: &serde_json::Value| row[number]["value"].as_f64().expect("a number");
                let mean = points.iter().map(value).sum::<f64>() / points.len() as f64;
                assert!((value(row) - mean).abs() < 1e-9, "{number} of {row}");
            }
        }
    }
}
