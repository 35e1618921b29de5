//! Knowledge: choices, cloze, short answers and references.
//!
//! Choices are asked as a plain `Question: … Answer:` and scored by likelihood a byte (as
//! lm-evaluation-harness's `acc_norm`), so that long choices are not punished. A cloze is right when
//! every token of its end is the likeliest one. A short answer is written by the model and is right
//! when, normalised as SQuAD does, it holds one of the accepted answers as whole words.

use super::items::{Item, Suite, Task};
use super::measurement::Sample;
use super::scorers::short_answer::{holds_answer, token_f1};
use super::subject::{Ask, Likelihood, Prompt, Subject};
use crate::conversations::{Message, Role};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// How knowledge is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Most new tokens of a short answer.
    pub max_tokens: usize,
}

/// Measures a suite of general questions; one sample an item, in the suite's order.
pub fn measure(
    suite: &Suite,
    subject: &dyn Subject,
    options: &Options,
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<Sample>> {
    let asks: Vec<Vec<Ask>> = suite.items.iter().map(asks).collect::<Result<_>>()?;
    let flat: Vec<Ask> = asks.iter().flatten().cloned().collect();
    let prompts: Vec<Prompt> = suite.items.iter().filter_map(written).collect();
    let mut done = 0;
    let replies = subject.replies(&prompts, options.max_tokens, &mut |count| {
        done = count / 2;
        on_done(done);
    })?;
    let items = suite.items.len();
    let likelihoods =
        subject.likelihoods(&flat, &mut |count| on_done(count.min(items).max(done)))?;
    let mut likelihoods = likelihoods.into_iter();
    let mut replies = replies.into_iter();
    suite
        .items
        .iter()
        .zip(&asks)
        .map(|(item, asked)| {
            let scored: Vec<Likelihood> =
                likelihoods.by_ref().take(asked.len()).flatten().collect();
            let reply = written(item).and_then(|_| replies.next());
            sample(suite, item, &scored, reply)
        })
        .collect()
}

fn question(text: &str) -> String {
    format!("Question: {text}\nAnswer:")
}

fn chat(text: String) -> Prompt {
    Prompt::Chat(vec![Message::new(Role::User, text)])
}

/// The instruction, and under it the text that it is about, if any.
fn instruction(instruction: &str, context: &str) -> String {
    if context.trim().is_empty() {
        instruction.to_owned()
    } else {
        format!("{instruction}\n\n{context}")
    }
}

/// What the model's likelihoods are asked for: one ask, or one a beginning.
fn asks(item: &Item) -> Result<Vec<Ask>> {
    let spaced = |text: &str| format!(" {}", text.trim_start());
    let one = match &item.task {
        Task::Choice {
            question: asked,
            choices,
            ..
        } => Ask {
            prompt: Prompt::Text(question(asked)),
            continuations: choices.iter().map(|choice| spaced(choice)).collect(),
        },
        Task::ShortAnswer {
            question: asked,
            answer,
            ..
        } => Ask {
            prompt: Prompt::Text(question(asked)),
            continuations: vec![spaced(answer)],
        },
        Task::Cloze {
            context,
            continuation,
        } => Ask {
            prompt: Prompt::Text(context.trim_end().to_owned()),
            continuations: vec![spaced(continuation)],
        },
        Task::Beginnings {
            context_options,
            continuation,
            ..
        } => {
            return Ok(context_options
                .iter()
                .map(|beginning| Ask {
                    prompt: Prompt::Text(beginning.trim_end().to_owned()),
                    continuations: vec![spaced(continuation)],
                })
                .collect());
        }
        Task::Open {
            instruction: asked,
            context,
            response,
        } => Ask {
            prompt: chat(instruction(asked, context)),
            continuations: vec![response.trim().to_owned()],
        },
        _ => {
            return Err(Error::bug(format!(
                "the item {} is not about knowledge",
                item.id
            )));
        }
    };
    Ok(vec![one])
}

/// What the model is asked to write, if anything.
fn written(item: &Item) -> Option<Prompt> {
    match &item.task {
        Task::ShortAnswer { question, .. } => {
            Some(chat(format!("{question}\nAnswer in a few words.")))
        }
        _ => None,
    }
}

fn sample(
    suite: &Suite,
    item: &Item,
    scored: &[Likelihood],
    reply: Option<String>,
) -> Result<Sample> {
    let mut scores: BTreeMap<String, Option<f64>> = BTreeMap::new();
    let mut labels = BTreeMap::new();
    let nothing = String::new();
    let per_token = |one: &Likelihood| -one.log_probability / one.tokens.max(1) as f64;
    let right = |yes: bool| Some(f64::from(u8::from(yes)));
    let prompt = match &item.task {
        Task::Choice {
            question,
            choices,
            answer,
        } => {
            let per_byte: Vec<f64> = scored
                .iter()
                .zip(choices)
                .map(|(one, choice)| one.log_probability / choice.len().max(1) as f64)
                .collect();
            let chosen = best(&per_byte);
            scores.insert(
                "accuracy".into(),
                chosen.map(|chosen| f64::from(u8::from(chosen == *answer))),
            );
            scores.insert("answer_nll".into(), scored.get(*answer).map(per_token));
            if let Some(choice) = chosen.and_then(|chosen| choices.get(chosen)) {
                labels.insert("chosen".to_owned(), choice.clone());
            }
            question
        }
        Task::Beginnings {
            context_options,
            answer,
            ..
        } => {
            // The same end follows both beginnings: its likelihoods compare as they are.
            let ends: Vec<f64> = scored.iter().map(|one| one.log_probability).collect();
            scores.insert(
                "accuracy".into(),
                best(&ends).map(|chosen| f64::from(u8::from(chosen == *answer))),
            );
            context_options.first().unwrap_or(&nothing)
        }
        Task::Cloze { context, .. } => {
            scores.insert(
                "accuracy".into(),
                scored.first().and_then(|one| right(one.greedy)),
            );
            scores.insert("answer_nll".into(), scored.first().map(per_token));
            context
        }
        Task::ShortAnswer {
            question,
            answer,
            aliases,
        } => {
            let accepted: Vec<&str> = std::iter::once(answer)
                .chain(aliases)
                .map(String::as_str)
                .collect();
            let said = reply.as_deref().unwrap_or_default();
            scores.insert("accuracy".into(), right(holds_answer(said, &accepted)));
            scores.insert("token_f1".into(), Some(token_f1(said, &accepted)));
            scores.insert("answer_nll".into(), scored.first().map(per_token));
            question
        }
        Task::Open { instruction, .. } => {
            scores.insert("reference_nll".into(), scored.first().map(per_token));
            instruction
        }
        _ => {
            return Err(Error::bug(format!(
                "the item {} is not about knowledge",
                item.id
            )));
        }
    };
    Ok(Sample {
        suite: suite.name.clone(),
        axis: suite.axis,
        item: item.id.clone(),
        cluster: item.cluster.clone(),
        prompt: prompt.clone(),
        reply,
        scores,
        labels,
    })
}

/// Index of the largest value, the first of equals; `None` where there is none or one is not a
/// number.
fn best(values: &[f64]) -> Option<usize> {
    if values.iter().any(|value| value.is_nan()) {
        return None;
    }
    (0..values.len()).reduce(|first, next| {
        if values[next] > values[first] {
            next
        } else {
            first
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Axis;
    use crate::evaluation::scripted::{Scripted, suite, texts};

    /// Likes a continuation the less the longer it is: `-1` a token of one byte. `liked` has
    /// probability 1 and is greedy.
    fn likes(liked: &'static str) -> impl Fn(&Ask, &str) -> Likelihood {
        move |ask, text| {
            // A beginning is judged by itself: all of them end alike.
            let liked = text.trim() == liked
                || matches!(&ask.prompt, Prompt::Text(before) if before == liked);
            let tokens = text.trim().len();
            Likelihood {
                log_probability: if liked { 0.0 } else { -(tokens as f64) },
                tokens,
                greedy: liked,
            }
        }
    }

    fn measured(tasks: Vec<Task>, subject: &dyn Subject) -> (Vec<Sample>, Vec<usize>) {
        let mut heard = Vec::new();
        let options = Options { max_tokens: 8 };
        let suite = suite(Axis::Knowledge, tasks);
        let samples = measure(&suite, subject, &options, &mut |done| heard.push(done)).unwrap();
        (samples, heard)
    }

    #[test]
    fn every_form_gets_its_own_answers_back() {
        let choice = |answer| Task::Choice {
            question: "Which?".into(),
            choices: texts(&["red", "blue", "green"]),
            answer,
        };
        let short = |answer: &str| Task::ShortAnswer {
            question: "Capital?".into(),
            answer: answer.into(),
            aliases: texts(&["Lutetia"]),
        };
        let beginnings = |answer| Task::Beginnings {
            context_options: texts(&["cold", "blue"]),
            continuation: "it ran".into(),
            answer,
        };
        let tasks = vec![
            short("Rome"),
            choice(1),
            beginnings(1),
            short("Paris"),
            choice(0),
            Task::Cloze {
                context: "The sky is".into(),
                continuation: "blue".into(),
            },
            Task::Open {
                instruction: "Say blue.".into(),
                context: String::new(),
                response: "green".into(),
            },
        ];
        let subject = Scripted::new(&["It was Lutetia.", "Rome"], likes("blue"));
        let (samples, heard) = measured(tasks, &subject);
        let accuracy: Vec<Option<f64>> = samples
            .iter()
            .map(|sample| sample.scores.get("accuracy").copied().flatten())
            .collect();
        let (right, wrong) = (Some(1.0), Some(0.0));
        assert_eq!(accuracy, [right, right, right, wrong, wrong, right, None]);
        assert_eq!(samples[1].labels["chosen"], "blue");
        assert_eq!(samples[3].reply.as_deref(), Some("Rome"));
        assert_eq!(samples[6].scores["reference_nll"], Some(1.0));
        assert!(heard.iter().all(|done| *done <= samples.len()));
    }

    #[test]
    fn ties_go_to_the_first_and_nothing_to_choose_from_is_unscored() {
        assert_eq!(best(&[-1.0, 0.0, 0.0, -2.0]), Some(1));
        assert_eq!(best(&[f64::NEG_INFINITY, f64::NEG_INFINITY]), Some(0));
        assert_eq!(best(&[0.0, f64::NAN]), None);
        assert_eq!(best(&[]), None);
        let tasks = vec![
            Task::Beginnings {
                context_options: Vec::new(),
                continuation: "it ran".into(),
                answer: 0,
            },
            Task::Choice {
                question: "Which?".into(),
                choices: texts(&["one", "two"]),
                answer: 0,
            },
        ];
        let subject = Scripted::new(&[], likes(""));
        let (samples, _) = measured(tasks, &subject);
        assert_eq!(samples[0].scores["accuracy"], None);
        assert_eq!(samples[1].scores["accuracy"], Some(1.0));
    }
}
