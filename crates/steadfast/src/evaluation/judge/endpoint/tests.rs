//! The client against an endpoint that behaves, is busy, fails, lies, is slow, or ends too early.

use super::*;
use crate::error::Class;
use crate::evaluation::judge::cache::Cache;
use crate::evaluation::judge::panel::{Case, Panel};
use crate::evaluation::judge::rubric::{Ask, Field, Rubrics};
use crate::events::Silent;
use crate::providers::connection::Key;
use crate::providers::emulators::http::{Emulator, Reaction};
use std::time::{Duration, Instant};

const SECRET: &str = "sk-not-to-be-seen";

fn asking() -> Asking {
    Asking {
        model: "m".into(),
        price: None,
        max_cost: None,
        concurrency: 3,
        answer_tokens: 50,
        patience: Patience {
            attempts: 4,
            first: Duration::from_millis(5),
            longest: Duration::from_secs(2),
        },
        seed: 7,
    }
}

fn questions(count: usize) -> Vec<Question> {
    (0..count)
        .map(|index| Question {
            system: "You grade.".into(),
            prompt: format!("question {index}."),
            sample: 0,
        })
        .collect()
}

/// The answers by question, and how it ended.
fn ask(
    asking: Asking,
    emulator: &Emulator,
    count: usize,
) -> (Vec<Option<String>>, Result<()>, f64) {
    ask_within(Duration::from_secs(20), asking, emulator, count)
}

fn ask_within(
    timeout: Duration,
    asking: Asking,
    emulator: &Emulator,
    count: usize,
) -> (Vec<Option<String>>, Result<()>, f64) {
    let connection = Connection::new(WHO, &emulator.url, Key::new(SECRET), timeout).unwrap();
    let endpoint = Endpoint::new(asking, connection).unwrap();
    let mut answers = vec![None; count];
    let outcome = endpoint.answer(&questions(count), &mut |index, answer| {
        assert_eq!(answers[index], None, "answered twice");
        answers[index] = Some(answer.text);
        Ok(())
    });
    (answers, outcome, endpoint.spent())
}

/// A judge there, without a key.
fn at(url: &str) -> Connection {
    Connection::new(WHO, url, None, Duration::from_secs(20)).unwrap()
}

/// Repeats the question, so that a test sees whose answer it is.
fn echo(request: &crate::providers::emulators::http::Request) -> Reaction {
    Reaction::says(
        request.body["messages"][1]["content"]
            .as_str()
            .unwrap_or_default(),
    )
}

fn all_right(answers: &[Option<String>]) -> bool {
    answers
        .iter()
        .enumerate()
        .all(|(index, answer)| answer.as_deref() == Some(&format!("question {index}.")))
}

#[test]
fn each_question_gets_its_own_answer_and_the_key_goes_along() {
    let emulator = Emulator::start(|number, request| Reaction {
        // Later ones are faster, so answers come out of order.
        delay: Duration::from_millis(20u64.saturating_sub(number as u64)),
        ..echo(request)
    });
    let (answers, outcome, _) = ask(asking(), &emulator, 20);
    outcome.unwrap();
    assert!(all_right(&answers));
    let requests = emulator.requests();
    assert_eq!(requests.len(), 20);
    assert!(requests[0].head.starts_with("post /v1/chat/completions "));
    assert!(
        requests[0]
            .head
            .contains(&format!("authorization: bearer {SECRET}"))
    );
    let body = &requests[0].body;
    assert_eq!(
        (&body["model"], &body["max_tokens"]),
        (&"m".into(), &50.into())
    );
    assert_eq!(body["temperature"], 0.0);
}

#[test]
fn a_busy_server_is_waited_for_as_it_asks() {
    let emulator = Emulator::start(|number, request| match number {
        0 => Reaction::new(429, r#"{"error":{"message":"slow down"}}"#).header("Retry-After: 1"),
        _ => echo(request),
    });
    let started = Instant::now();
    let (answers, outcome, _) = ask(
        Asking {
            concurrency: 1,
            ..asking()
        },
        &emulator,
        3,
    );
    outcome.unwrap();
    assert!(all_right(&answers));
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(emulator.requests().len(), 4);
}

#[test]
fn failures_garbage_and_half_answers_are_asked_again() {
    let emulator = Emulator::start(|number, request| match number {
        0 => Reaction::new(500, "oops"),
        1 => Reaction::new(200, "<html>not JSON</html>"),
        2 => Reaction {
            cut: true,
            ..echo(request)
        },
        3 => Reaction::new(200, r#"{"choices":[]}"#),
        4 => Reaction::new(502, ""),
        _ => echo(request),
    });
    let (answers, outcome, _) = ask(asking(), &emulator, 6);
    outcome.unwrap();
    assert!(all_right(&answers));
    assert_eq!(emulator.requests().len(), 11);
}

#[test]
fn a_slow_answer_is_given_up_and_asked_again() {
    let emulator = Emulator::start(|number, request| Reaction {
        delay: Duration::from_millis(if number == 0 { 3_000 } else { 0 }),
        ..echo(request)
    });
    let timeout = Duration::from_millis(800);
    let (answers, outcome, _) = ask_within(timeout, asking(), &emulator, 2);
    outcome.unwrap();
    assert!(all_right(&answers));
    assert_eq!(emulator.requests().len(), 3);
}

#[test]
fn a_server_that_fails_for_good_ends_the_run_and_what_came_is_heard() {
    let emulator = Emulator::start(|_, request| {
        let said = request.body["messages"][1]["content"]
            .as_str()
            .unwrap_or_default();
        if said == "question 2." {
            Reaction::new(503, r#"{"error":{"message":"down"}}"#)
        } else {
            echo(request)
        }
    });
    let (answers, outcome, _) = ask(
        Asking {
            concurrency: 1,
            ..asking()
        },
        &emulator,
        5,
    );
    let error = outcome.unwrap_err();
    assert_eq!(error.class, Class::Outside);
    assert!(
        error.message.contains("4 times") && error.message.contains("down"),
        "{error}"
    );
    assert!(error.hint.is_some_and(|hint| hint.contains("kept")));
    let heard: Vec<bool> = answers.iter().map(Option::is_some).collect();
    assert_eq!(heard, [true, true, false, false, false]);
    assert_eq!(emulator.requests().len(), 2 + 4);
}

#[test]
fn a_server_that_asks_for_an_hour_is_given_up_at_once() {
    let emulator = Emulator::start(|_, _| Reaction::new(429, "{}").header("Retry-After: 3600"));
    let (_, outcome, _) = ask(asking(), &emulator, 1);
    let error = outcome.unwrap_err();
    assert_eq!(error.class, Class::Outside);
    assert!(error.message.contains("3600 seconds"), "{error}");
}

#[test]
fn a_wrong_key_is_told_once_and_never_shown() {
    let emulator = Emulator::start(|_, _| {
        let body = format!(r#"{{"error":{{"message":"Incorrect API key provided: {SECRET}"}}}}"#);
        Reaction::new(401, body)
    });
    let (_, outcome, _) = ask(
        Asking {
            concurrency: 1,
            ..asking()
        },
        &emulator,
        5,
    );
    let error = outcome.unwrap_err();
    assert_eq!(error.class, Class::User);
    assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    assert_eq!(emulator.requests().len(), 1);
    assert!(!format!("{:?}", Key::new(SECRET)).contains(SECRET));
}

#[test]
fn nobody_there_is_an_outside_error() {
    let gone = Emulator::start(|_, request| echo(request)).url.clone();
    let endpoint = Endpoint::new(asking(), at(&gone)).unwrap();
    // The listener may still take one connection while it ends.
    std::thread::sleep(Duration::from_millis(100));
    let error = endpoint
        .answer(&questions(1), &mut |_, _| Ok(()))
        .unwrap_err();
    assert_eq!(error.class, Class::Outside);
}

#[test]
fn reasoning_models_are_asked_in_their_form() {
    let emulator = Emulator::start(|_, request| {
        if request.body.get("max_tokens").is_some() {
            let body = r#"{"error":{"message":"use max_completion_tokens","param":"max_tokens"}}"#;
            Reaction::new(400, body)
        } else if request.body.get("temperature").is_some() {
            Reaction::new(
                400,
                r#"{"error":{"message":"Unsupported value: 'temperature'"}}"#,
            )
        } else {
            echo(request)
        }
    });
    let (answers, outcome, _) = ask(asking(), &emulator, 4);
    outcome.unwrap();
    assert!(all_right(&answers));
}

/// 100 tokens in at 1,000 dollars a million are 10 cents; 10 out are free.
const PRICE: Price = Price {
    input: 1_000.0,
    output: 0.0,
};

#[test]
fn the_cap_is_never_exceeded_and_the_next_run_goes_on() {
    let emulator = Emulator::start(|_, _| Reaction::says(r#"{"verdict":"correct"}"#));
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("c.sqlite")).unwrap();
    let rubrics = Rubrics::read(None).unwrap();
    let cases: Vec<Case> = (0..12)
        .map(|index| Case {
            ask: Ask::Knowledge,
            fields: vec![
                ("question", Field::Text(format!("question {index}"))),
                ("references", Field::Texts(vec!["yes".into()])),
            ],
            reply: "no".into(),
        })
        .collect();
    // A question has about 1,100 bytes, so more than a dollar is set aside for each, and settled at 10 cents.
    let grade = |most: f64| {
        let asking = Asking {
            price: Some(PRICE),
            max_cost: Some(most),
            ..asking()
        };
        let endpoint = Endpoint::new(asking, at(&emulator.url)).unwrap();
        let panel = Panel {
            judge: &endpoint,
            rubrics: &rubrics,
            cache: &cache,
            samples: 1,
        };
        let outcome = panel.grade(&cases, &Silent);
        assert!(endpoint.spent() <= most, "{} of {most}", endpoint.spent());
        outcome
    };
    let error = grade(1.7).unwrap_err();
    assert_eq!(error.class, Class::Budget);
    assert!(error.hint.is_some_and(|hint| hint.contains("--max-cost")));
    let first = emulator.requests().len();
    assert!(first > 0 && first < 12, "{first} were asked");
    let graded = grade(100.0).unwrap();
    assert!(graded.iter().all(|one| one.score == Some(1.0)));
    assert_eq!(
        emulator.requests().len(),
        12,
        "no verdict was paid for twice"
    );
    assert!(grade(0.001).is_ok(), "what is kept costs nothing");
}

#[test]
fn a_cap_without_a_price_is_refused() {
    let capped = Asking {
        max_cost: Some(1.0),
        ..asking()
    };
    let error = Endpoint::new(capped, at("http://localhost:1/v1")).unwrap_err();
    assert!(
        error
            .hint
            .is_some_and(|hint| hint.contains("--judge-price"))
    );
}
