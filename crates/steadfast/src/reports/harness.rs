//! Measurements as lm-evaluation-harness leaves them, for the tools that read its folders:
//! `<model>/results_<time>.json` and `<model>/samples_<task>_<time>.jsonl`. A suite is a task, and our
//! metrics keep their names and are shares (0 to 1) where they are points elsewhere.

use crate::digest;
use crate::evaluation::measurement::Sample;
use crate::results::lower_is_better;
use crate::runs::atomic;
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What stands where the harness puts its filter.
const FILTER: &str = "none";

/// One model's measurements.
#[derive(Debug)]
pub struct Export<'a> {
    /// The base, or the arm.
    pub model: &'a str,
    /// When the study began, RFC 3339: the same study writes the same names.
    pub created: &'a str,
    /// Its samples, of all suites.
    pub samples: &'a [Sample],
}

impl Export<'_> {
    /// Writes both kinds of file under `folder`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let folder = folder.join(self.model.replace('/', "__"));
        std::fs::create_dir_all(&folder).map_err(|cause| Error::file("create", &folder, cause))?;
        let time = self.created.replace(':', "-");
        let mut hashes = Map::new();
        for (task, samples) in self.tasks() {
            let (lines, hash) = lines(&samples)?;
            hashes.insert(task.to_owned(), json!(hash));
            let path = folder.join(format!("samples_{task}_{time}.jsonl"));
            atomic::write(&path, lines.as_bytes())?;
        }
        let text = serde_json::to_string_pretty(&self.results(hashes))
            .map_err(|cause| Error::bug("results have no JSON form").because(cause))?;
        atomic::write(
            &folder.join(format!("results_{time}.json")),
            text.as_bytes(),
        )
    }

    fn tasks(&self) -> BTreeMap<&str, Vec<&Sample>> {
        let mut tasks: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
        for sample in self.samples {
            tasks.entry(&sample.suite).or_default().push(sample);
        }
        tasks
    }

    fn results(&self, task_hashes: Map<String, Value>) -> Value {
        let (mut results, mut configs, mut higher) = (Map::new(), Map::new(), Map::new());
        let (mut versions, mut shots, mut counts) = (Map::new(), Map::new(), Map::new());
        for (task, samples) in self.tasks() {
            let mut of_task = Map::from_iter([("alias".to_owned(), json!(task))]);
            let mut better = Map::new();
            let names: BTreeSet<&String> = samples
                .iter()
                .flat_map(|sample| sample.scores.keys())
                .collect();
            for name in names {
                let scores = scored(&samples, name);
                let Some(mean) = mean(&scores) else {
                    continue;
                };
                of_task.insert(format!("{name},{FILTER}"), json!(mean));
                let stderr = standard_error(&scores, mean);
                of_task.insert(
                    format!("{name}_stderr,{FILTER}"),
                    stderr.map_or(json!("N/A"), |error| json!(error)),
                );
                better.insert(name.clone(), json!(!lower_is_better(name)));
            }
            results.insert(task.to_owned(), Value::Object(of_task));
            higher.insert(task.to_owned(), Value::Object(better));
            configs.insert(task.to_owned(), json!({"task": task, "num_fewshot": 0}));
            versions.insert(task.to_owned(), json!(1));
            shots.insert(task.to_owned(), json!(0));
            let count = samples.len();
            counts.insert(
                task.to_owned(),
                json!({"original": count, "effective": count}),
            );
        }
        json!({
            "results": results,
            "configs": configs,
            "versions": versions,
            "n-shot": shots,
            "n-samples": counts,
            "higher_is_better": higher,
            "config": {"model": "steadfast", "model_args": {"model": self.model}},
            "git_hash": null,
            "date": self.created,
            "model_name": self.model,
            "model_name_sanitized": self.model.replace('/', "__"),
            "chat_template_sha": null,
            "task_hashes": task_hashes,
            "steadfast_version": env!("CARGO_PKG_VERSION"),
        })
    }
}

/// A line an item, and what stands for all of them.
fn lines(samples: &[&Sample]) -> Result<(String, String)> {
    let (mut lines, mut hashes) = (String::new(), String::new());
    for (number, sample) in samples.iter().enumerate() {
        let reply = sample.reply.as_deref().unwrap_or_default();
        let [doc, prompt, target] = [&sample.item, &sample.prompt, ""].map(digest::of);
        hashes += &format!("{doc}{prompt}{target}");
        let mut line = json!({
            "doc_id": number,
            "doc": {"id": sample.item, "prompt": sample.prompt},
            "target": "",
            "arguments": {"gen_args_0": {"arg_0": sample.prompt}},
            "resps": [[reply]],
            "filtered_resps": [reply],
            "filter": FILTER,
            "metrics": sample.scores.keys().collect::<Vec<_>>(),
            "doc_hash": doc,
            "prompt_hash": prompt,
            "target_hash": target,
        });
        for (name, score) in &sample.scores {
            line[name] = json!(score);
        }
        lines += &serde_json::to_string(&line)
            .map_err(|cause| Error::bug("a sample has no JSON form").because(cause))?;
        lines.push('\n');
    }
    Ok((lines, digest::of(hashes)))
}

/// The scores of one metric, those of unscored items left out.
fn scored(samples: &[&Sample], metric: &str) -> Vec<f64> {
    let scores = samples.iter().map(|sample| sample.scores.get(metric));
    scores.filter_map(|score| *score?).collect()
}

fn mean(scores: &[f64]) -> Option<f64> {
    let sum: f64 = scores.iter().sum();
    (!scores.is_empty()).then(|| sum / scores.len() as f64)
}

/// Of the mean, as the harness has it: items as if independent.
fn standard_error(scores: &[f64], mean: f64) -> Option<f64> {
    let count = scores.len() as f64;
    if count < 2.0 {
        return None;
    }
    let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
    Some((squares / (count - 1.0) / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Axis;

    #[test]
    fn a_suite_is_a_task_with_shares_and_standard_errors() {
        let sample = |item: &str, right: Option<f64>| Sample {
            suite: "capitals".into(),
            axis: Axis::Knowledge,
            item: item.into(),
            cluster: item.into(),
            prompt: "Capital?".into(),
            reply: Some("Paris".into()),
            scores: BTreeMap::from([
                ("accuracy".to_owned(), right),
                ("answer_nll".to_owned(), Some(2.0)),
            ]),
            labels: BTreeMap::new(),
        };
        let samples = [
            sample("a", Some(1.0)),
            sample("b", Some(0.0)),
            sample("c", None),
        ];
        let folder = tempfile::tempdir().unwrap();
        let export = Export {
            model: "org/model",
            created: "2026-11-25T10:00:00Z",
            samples: &samples,
        };
        export.write(folder.path()).unwrap();
        let folder = folder.path().join("org__model");
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let results: Value =
            serde_json::from_str(&read("results_2026-11-25T10-00-00Z.json")).unwrap();
        let of_task = &results["results"]["capitals"];
        assert_eq!(of_task["accuracy,none"], 0.5);
        assert_eq!(of_task["accuracy_stderr,none"], 0.5);
        assert_eq!(of_task["answer_nll,none"], 2.0);
        assert_eq!(results["higher_is_better"]["capitals"]["answer_nll"], false);
        let lines = read("samples_capitals_2026-11-25T10-00-00Z.jsonl");
        assert_eq!(lines.lines().count(), 3);
        let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!(last["accuracy"], Value::Null);
        assert_eq!(last["resps"][0][0], "Paris");
    }
}
