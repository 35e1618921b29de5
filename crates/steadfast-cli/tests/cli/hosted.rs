//! Arms that are trained elsewhere: at emulated services, and at our own server, which trains for real.

use crate::emulators::http::{Emulator, Reaction, Request};
use crate::emulators::openai::{self, OpenAi, Plan};
use crate::emulators::together::{self, Together};
use crate::serve::Server;
use crate::support::Folder;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

const SECRET: &str = "sk-not-to-be-seen";

fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command
        .args(arguments)
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .env("OPENAI_API_KEY", SECRET)
        .env("TOGETHER_API_KEY", SECRET)
        .env_remove("OPENAI_BASE_URL")
        .stdin(Stdio::null());
    command
}

fn run(folder: &Folder, arguments: &[&str]) -> Output {
    command(folder, arguments)
        .output()
        .expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn service(desk: &Arc<OpenAi>) -> Emulator {
    let desk = Arc::clone(desk);
    Emulator::start(move |_, request| desk.react(request))
}

/// One hosted arm and nothing else: no model is needed here.
fn recipe(url: &str, arm: &str) -> String {
    format!(
        r#"
name = "elsewhere"
[data]
conversations = 12
[generation]
max_tokens = 8
[[arms]]
name = "there"
provider = "openai"
base = "{base}"
base_url = "{url}"
suffix = "hotel"
{arm}
[[suites]]
name = "booking"
limit = 3
[[suites]]
name = "statements"
limit = 3
[[suites]]
name = "general_short"
limit = 3
"#,
        base = openai::BASE
    )
}

/// The folder of the only run's hosted arm.
fn arm_folder(folder: &Folder) -> PathBuf {
    let runs = std::fs::read_dir(folder.path().join("runs")).expect("runs");
    let run = runs
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.join("manifest.json").exists())
        .expect("a run");
    run.join("arms/there-seed0")
}

fn json(path: &Path) -> Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_hosted_study_asks_first_and_goes_on_from_its_record() {
    let desk = Arc::new(OpenAi::default());
    let service = service(&desk);
    let folder = Folder::new().with("r.toml", recipe(&service.url, "price = 3.0"));
    let study = |more: &[&str]| run(&folder, &[&["study", "r.toml"], more].concat());
    let refused = study(&[]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("price: there at openai"), "{said}");
    assert!(
        said.contains("hint: nothing was spent") && said.contains("--yes"),
        "{said}"
    );
    assert!(desk.made().is_empty());

    let done = study(&["--yes", "--json"]);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert_eq!(
        (desk.made().len(), desk.files().len()),
        (1, 1),
        "the file was uploaded once"
    );
    for part in [
        "ftjob-0 is queued",
        "checkpoint at step 5",
        "no log-probabilities",
    ] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    let results: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let arm = &results["arms"][0];
    assert_eq!(arm["provider"], "openai");
    assert_eq!(arm["training"]["tokens"], 4321);
    assert_eq!(arm["hyperparameters"]["base"], openai::BASE);
    assert!(arm["drift"]["kl_per_token"].is_null());
    // The axis's own number needs log-probabilities, and no judge is there to speak in its place.
    assert!(arm["axes"]["safety"].is_null());
    assert_eq!(arm["axes"]["proficiency"]["metric"], "step_accuracy");
    assert_eq!(arm["metrics"]["statements/constructive_preference"]["n"], 0);
    let before: Vec<Value> =
        std::fs::read_to_string(arm_folder(&folder).join("../../samples.jsonl"))
            .expect("samples")
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
    assert_eq!(before[0]["own_before"]["there"]["reply"], openai::UNTUNED);
    assert_eq!(before[0]["after"]["there"]["reply"], openai::TUNED);
    let page =
        std::fs::read_to_string(arm_folder(&folder).join("../../report.html")).expect("a page");
    assert!(
        page.contains("was trained at openai"),
        "the report says where"
    );

    let asked = service.requests().len();
    assert_eq!(study(&["--json"]).status.code(), Some(0));
    assert_eq!(
        service.requests().len(),
        asked,
        "a finished study asks nothing"
    );
    let everything = [refused.stdout, refused.stderr, done.stdout, done.stderr].concat();
    assert!(!text(&everything).contains(SECRET));
}

/// Ends a process the hard way.
fn kill(mut child: Child) {
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn a_killed_study_picks_its_job_up_again() {
    let desk = Arc::new(OpenAi::new(Plan {
        words: vec![
            "validating_files",
            "queued",
            "running",
            "running",
            "running",
            "succeeded",
        ],
        ..Plan::default()
    }));
    let service = service(&desk);
    let folder = Folder::new().with(
        "r.toml",
        recipe(&service.url, "price = 3.0\nmax_cost = 1.0"),
    );
    let study = ["study", "r.toml"];
    let first = command(&folder, &study)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    while desk.made().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    // Its record may not be written yet, which is the worst moment.
    kill(first);
    let again = run(&folder, &study);
    let said = text(&again.stderr);
    assert_eq!(again.status.code(), Some(0), "{said}");
    assert!(said.contains("pick"), "{said}");
    assert_eq!(desk.made().len(), 1);
}

#[test]
fn a_job_is_cancelled_by_its_folder() {
    let desk = Arc::new(OpenAi::new(Plan {
        words: vec!["running"],
        ..Plan::default()
    }));
    let service = service(&desk);
    let folder = Folder::new().with("r.toml", recipe(&service.url, "price = 0"));
    let study = command(&folder, &["study", "r.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    while desk.made().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let path = arm_folder(&folder);
    while json(&path.join("job.json"))["job"].is_null() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let cancelled = run(&folder, &["runs", "cancel", path.to_str().expect("a path")]);
    assert_eq!(
        text(&cancelled.stdout),
        "ftjob-0 is cancelled\n",
        "{}",
        text(&cancelled.stderr)
    );
    let ended = study.wait_with_output().expect("it ends");
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the job ftjob-0 of `there` was cancelled at openai"),
        "{said}"
    );
}

#[test]
fn a_model_elsewhere_is_measured_by_its_name() {
    let desk = Arc::new(OpenAi::default());
    let service = service(&desk);
    let folder = Folder::new();
    let model = format!("openai:{}", openai::BASE);
    let flags = [
        "measure",
        "--model",
        &model,
        "--suite",
        "booking",
        "--suite",
        "general_choice",
        "--limit",
        "4",
        "--json",
    ];
    let measured = command(&folder, &flags)
        .env("OPENAI_BASE_URL", &service.url)
        .output()
        .expect("the command runs");
    let said = text(&measured.stderr);
    assert_eq!(measured.status.code(), Some(0), "{said}");
    assert!(said.contains("no log-probabilities"), "{said}");
    let measurement: Value = serde_json::from_slice(&measured.stdout).expect("JSON");
    assert_eq!(measurement["model"], model.as_str());
    assert_eq!(measurement["metrics"]["booking/step_accuracy"]["n"], 4);
    assert_eq!(
        measurement["metrics"]["general_choice/accuracy"]["unscored"],
        4
    );
    let head = &service.requests()[0].head;
    assert!(
        head.contains(&format!("authorization: bearer {SECRET}")),
        "{head}"
    );
}

/// Grades by the first word of its own that the question holds.
fn grade(_: usize, request: &Request) -> Reaction {
    let prompt = request.body["messages"][1]["content"]
        .as_str()
        .unwrap_or_default();
    let words = [
        "contradicts",
        "helps",
        "refuses",
        "appropriate",
        "incorrect",
        "coherent",
    ];
    let word = words
        .into_iter()
        .find(|word| prompt.contains(word))
        .unwrap_or_default();
    let word = if word == "incorrect" { "correct" } else { word };
    Reaction::says(&format!("{{\"verdict\":\"{word}\",\"reason\":\"so\"}}"))
}

/// Two arms here, one at our own server, which trains it for real, one at an emulated Together, and a
/// judge: one report with four pairs of bars in each figure.
#[test]
fn a_study_with_local_and_hosted_arms_and_a_judge_gives_one_report() {
    let folder = Folder::new();
    let server = Server::start(&folder, &["--state", "state"]);
    let desk = Together::default();
    let together = Emulator::start(move |_, request| desk.react(request));
    let judge = Emulator::start(grade);
    let recipe = format!(
        r#"
name = "all"
[data]
conversations = 6
[generation]
max_tokens = 8
[retain]
prompts = 4
tokens = 256
reply_tokens = 8

[[arms]]
name = "lora"
method = "lora"
steps = 2
batch_tokens = 128

[[arms]]
name = "null-space"
method = "null-space"
subspace = "random"
steps = 2
batch_tokens = 128

[[arms]]
name = "served"
provider = "openai"
base = "SmolLM2-135M-Instruct"
base_url = "http://{served}/v1"
price = 0
[arms.extra.steadfast]
method = "lora"
batch_tokens = 128
learning_rate = 0.01

[[arms]]
provider = "together"
base = "{base}"
base_url = "{together}"
max_cost = 1

[[suites]]
name = "booking"
limit = 3
[[suites]]
name = "statements"
limit = 3
[[suites]]
name = "general_choice"
limit = 3
[[suites]]
name = "general_short"
limit = 3

[judge]
model = "openai:told"
base_url = "{judge}"
cache = "judge.sqlite"
"#,
        served = server.address,
        base = together::BASE,
        together = together.url,
        judge = judge.url,
    );
    std::fs::write(folder.path().join("r.toml"), recipe).expect("a recipe");
    let done = run(&folder, &["study", "r.toml", "--json"]);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}");
    let results: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let arms = results["arms"].as_array().expect("arms");
    let names: Vec<&str> = arms.iter().filter_map(|arm| arm["name"].as_str()).collect();
    assert_eq!(names, ["lora", "null-space", "served", "together"]);

    // The same base, asked over HTTP, has the scores that it has here.
    for axis in ["proficiency", "safety", "knowledge"] {
        let (here, there) = (&arms[0]["axes"][axis], &arms[2]["axes"][axis]);
        assert_eq!(here["metric"], there["metric"]);
        assert_eq!(here["before"], there["before"], "{axis}: {here} {there}");
        assert_eq!(
            (&here["n"], &there["unscored"]),
            (&there["n"], &here["unscored"])
        );
    }
    for metric in [
        "booking/reference_nll",
        "general_choice/answer_nll",
        "statements/preference_margin",
    ] {
        let before = |arm: usize| {
            arms[arm]["metrics"][metric]["before"]
                .as_f64()
                .expect("a number")
        };
        assert!(
            (before(0) - before(2)).abs() < 1e-3,
            "{metric}: {} {}",
            before(0),
            before(2)
        );
        assert_ne!(
            arms[2]["metrics"][metric]["net_change"], 0.0,
            "{metric} moved"
        );
    }
    assert!(
        arms[2]["training"]["steps"]
            .as_u64()
            .is_some_and(|steps| steps > 2)
    );
    assert!(
        said.contains("served: ftjob-") && said.contains("is succeeded"),
        "{said}"
    );
    // Together tells no log-probabilities: there the judge speaks for safety.
    assert_eq!(arms[3]["axes"]["safety"]["metric"], "judged");
    assert_eq!(arms[3]["axes"]["safety"]["judged"]["judge"], "openai:told");
    assert_eq!(arms[3]["axes"]["knowledge"]["suite"], "general_short");

    let run_id = results["run"].as_str().expect("an id");
    let run_folder = folder.path().join("runs").join(run_id);
    for figure in ["proficiency", "safety", "knowledge"] {
        let svg = std::fs::read_to_string(run_folder.join(format!("figures/{figure}.svg")))
            .expect("a figure");
        for side in ["before", "after"] {
            let bars = svg.matches(&format!("class=\"bar {side}\"")).count();
            assert_eq!(bars, 4, "{figure}, {side}");
        }
    }
    let page = std::fs::read_to_string(run_folder.join("report.html")).expect("a page");
    for part in [
        "judged by openai:told",
        "was trained at together",
        "(judged)",
        "no log-probabilities",
    ] {
        assert!(page.contains(part), "no `{part}` in the report");
    }
}
