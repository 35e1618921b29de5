//! Events and results go to a tracking server of ours; `tests/peers/tracking.py` sends them to a real one.

use super::*;
use crate::events::Silent;
use crate::providers::connection::Key;
use crate::providers::emulators::http::{Emulator, Reaction};
use crate::providers::emulators::mlflow::Mlflow;
use serde_json::json;
use std::sync::Arc;

fn start(desk: &Arc<Mlflow>) -> Emulator {
    let desk = Arc::clone(desk);
    Emulator::start(move |_, request| desk.react(request))
}

fn sending(url: &str, folder: &Path) -> Sending {
    let address = url.trim_end_matches("/v1");
    let key = Some(Key::of_user("me", "secret"));
    let about = About {
        name: "lora-seed0".into(),
        parameters: json!({"rank": 4, "targets": ["q_proj"], "anchor": {"share": 0.5}})
            .as_object()
            .unwrap()
            .clone(),
        tags: own_tags("local", "lora", 0),
    };
    let server = Server::at(address, key, "hotel study").unwrap();
    Sending::new(server, folder.join(FILE), about)
}

fn tracked(sending: Sending) -> Tracked<'static> {
    Tracked {
        inner: &Silent,
        sending: Mutex::new(Some(sending)),
    }
}

fn step(step: usize) -> Event {
    Event::TrainingStep {
        step,
        steps: 4,
        loss: 1.0 / step as f64,
        penalty: f64::NAN,
        learning_rate: 1e-3,
        gradient_norm: 1.0,
        tokens: 8,
        tokens_per_second: 9.0,
    }
}

#[test]
fn a_run_that_goes_on_after_a_stop_is_one_run_with_each_step_once() {
    let (desk, folder) = (Arc::new(Mlflow::default()), tempfile::tempdir().unwrap());
    let emulator = start(&desk);
    let training = |steps: std::ops::RangeInclusive<usize>| {
        let tracked = tracked(sending(&emulator.url, folder.path()));
        steps.for_each(|number| tracked.on(step(number)));
    };
    training(1..=3);
    // From the checkpoint after the second.
    training(3..=4);
    let mut last = sending(&emulator.url, folder.path());
    last.waiting = vec![Metric::new("knowledge/net_change", -6.5, 4)];
    end(&mut last).unwrap();

    let runs = desk.runs();
    let [run] = runs.as_slice() else {
        panic!("{runs:?}");
    };
    assert_eq!(
        (run.experiment.as_str(), run.status.as_str()),
        ("hotel study", "FINISHED")
    );
    assert_eq!(run.name, "lora-seed0");
    let steps: Vec<i64> = run.metrics["train/loss"]
        .iter()
        .map(|(step, _)| *step)
        .collect();
    assert_eq!(steps, [1, 2, 3, 4]);
    assert!(
        !run.metrics.contains_key("train/penalty"),
        "it is no number"
    );
    assert_eq!(run.metrics["knowledge/net_change"], [(4, -6.5)]);
    assert_eq!(
        (
            run.params["rank"].as_str(),
            run.params["anchor.share"].as_str()
        ),
        ("4", "0.5")
    );
    assert_eq!(run.tags["steadfast.method"], "lora");
    let requests = emulator.requests();
    let basic = |request: &crate::providers::emulators::http::Request| {
        request
            .header("authorization")
            .is_some_and(|value| value.starts_with("basic "))
    };
    assert!(requests.iter().all(basic));
}

#[test]
fn a_server_that_is_away_is_told_of_once() {
    let (desk, folder) = (Arc::new(Mlflow::default()), tempfile::tempdir().unwrap());
    let inner = Arc::clone(&desk);
    // Down for the first three requests.
    let emulator = Emulator::start(move |number, request| match number {
        0..3 => Reaction::new(503, "{}"),
        _ => inner.react(request),
    });
    let warnings = Mutex::new(Vec::new());
    let listener = |event: Event| {
        if let Event::Warning { message } = event {
            warnings.lock().unwrap().push(message);
        }
    };
    let tracked = Tracked {
        inner: &listener,
        sending: Mutex::new(Some(sending(&emulator.url, folder.path()))),
    };
    tracked.send();
    tracked.on(step(1));
    tracked.send();
    assert!(desk.runs().is_empty());
    tracked.on(step(2));
    drop(tracked);
    let said = warnings.lock().unwrap().clone();
    assert!(
        said.len() == 1 && said[0].contains("goes on") && !said[0].contains("secret"),
        "{said:?}"
    );
    // The end itself was the third that failed; the report that follows finds the server again.
    let mut last = sending(&emulator.url, folder.path());
    last.waiting = vec![Metric::new("training/tokens", 8.0, 2)];
    end(&mut last).unwrap();
    assert_eq!(desk.runs().len(), 1);
    assert_eq!(desk.runs()[0].status, "FINISHED");
}

#[test]
fn what_was_not_sent_goes_with_what_comes_next() {
    let (desk, folder) = (Arc::new(Mlflow::default()), tempfile::tempdir().unwrap());
    let inner = Arc::clone(&desk);
    let emulator = Emulator::start(move |number, request| match number {
        0 => Reaction::new(503, "{}"),
        _ => inner.react(request),
    });
    let tracked = tracked(sending(&emulator.url, folder.path()));
    tracked.on(step(1));
    tracked.send();
    tracked.on(step(2));
    drop(tracked);
    assert_eq!(desk.runs()[0].metrics["train/loss"], [(1, 1.0), (2, 0.5)]);
}

#[test]
fn letters_that_mlflow_refuses_are_replaced() {
    let metric = Metric::new("arc easy/accuracy: a+b", 1.0, 1);
    assert_eq!(metric.key, "arc easy/accuracy_ a_b");
}
