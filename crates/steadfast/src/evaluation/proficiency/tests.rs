use super::*;
use crate::evaluation::items::Step;
use crate::evaluation::scripted::Scripted;

/// Each word of a reference is a token of −2 nats.
fn two_nats_a_word(_: &Ask, text: &str) -> Likelihood {
    let tokens = text.split_whitespace().count();
    Likelihood {
        log_probability: -2.0 * tokens as f64,
        tokens,
        greedy: false,
    }
}

fn item(id: &str, user: &str, next: NextStep, reference: &str) -> Item {
    Item {
        id: id.into(),
        cluster: "conversation".into(),
        group: None,
        task: Task::Booking {
            messages: vec![
                Message::new(Role::System, "You book rooms at the Fjord Inn."),
                Message::new(Role::User, user),
            ],
            next_steps: vec![next],
            known: BTreeMap::from([("city".to_string(), "Oslo".to_string())]),
            reference: reference.into(),
        },
    }
}

fn step(step: Step, slots: &[&str]) -> NextStep {
    NextStep {
        step,
        slots: slots.iter().map(|slot| (*slot).to_string()).collect(),
    }
}

fn suite() -> Suite {
    let user = "A room in Oslo from 4 May.";
    Suite {
        name: "booking".into(),
        axis: Axis::Proficiency,
        items: vec![
            item(
                "right",
                user,
                step(Step::Ask, &["nights"]),
                "How many nights?",
            ),
            item(
                "known",
                user,
                step(Step::Ask, &["nights", "city"]),
                "How long?",
            ),
            item("invented", user, step(Step::Book, &[]), "It is booked."),
            item("silent", user, step(Step::Book, &[]), ""),
        ],
    }
}

#[test]
fn a_scripted_subject_is_scored_item_by_item() {
    let replies = [
        "How many nights will you stay?",
        "Which city?",
        "Your room is booked, the reference number is QX81ZZ7.",
        "",
    ];
    let subject = Scripted::new(&replies, two_nats_a_word);
    let mut heard = Vec::new();
    let samples = measure(
        &suite(),
        &subject,
        &Options { max_tokens: 48 },
        &mut |done| heard.push(done),
    )
    .unwrap();
    let column = |metric: &str| -> Vec<Option<f64>> {
        samples.iter().map(|sample| sample.scores[metric]).collect()
    };
    assert_eq!(
        column("step_accuracy"),
        [Some(1.0), Some(0.0), Some(1.0), Some(0.0)]
    );
    assert_eq!(
        column("slot_faithfulness"),
        [Some(1.0), Some(1.0), Some(0.0), Some(1.0)]
    );
    assert_eq!(
        column("reference_nll"),
        [Some(2.0), Some(2.0), Some(2.0), None]
    );
    let labels: Vec<&str> = samples
        .iter()
        .map(|sample| sample.labels["step"].as_str())
        .collect();
    assert_eq!(labels, ["ask(nights)", "ask(city)", "book", "none"]);
    assert_eq!(samples[1].labels["expected"], "ask(nights|city)");
    assert_eq!(samples[0].prompt, "A room in Oslo from 4 May.");
    assert_eq!(subject.asked.borrow().len(), 4);
    assert!(subject.asked.borrow().iter().all(|(_, most)| *most == 48));
    assert!(heard.is_sorted() && heard.last() == Some(&4), "{heard:?}");
}

#[test]
fn another_kind_of_item_is_a_mistake_with_a_hint() {
    let mut suite = suite();
    suite.items[0].task = Task::Cloze {
        context: "The".into(),
        continuation: " end".into(),
    };
    let subject = Scripted::new(&[], two_nats_a_word);
    let error = measure(&suite, &subject, &Options::default(), &mut |_| {}).unwrap_err();
    assert!(error.message.contains("right") && error.hint.is_some());
}
