//! Proficiency: does the booking agent take the right next step?
//!
//! Three scores an item, none of which needs another model:
//! - `step_accuracy`: the greedy reply takes a right step ([`step_matcher`]); an empty or unmatched
//!   reply is wrong, not unscored, since a booking agent must not say nothing.
//! - `slot_faithfulness`: the reply states no value that the conversation never gave
//!   ([`faithfulness`]).
//! - `reference_nll`: nats a token of the human (or simulated) reply.

pub mod faithfulness;

use super::Axis;
use super::items::{Item, NextStep, Suite, Task};
use super::measurement::Sample;
use super::scorers::step_matcher::{self, Matched};
use super::subject::{Ask, Likelihood, Prompt, Subject};
use crate::conversations::{Message, Role};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// How proficiency is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Tokens a reply may have at most.
    pub max_tokens: usize,
}

impl Default for Options {
    /// 64 tokens: a sentence or three, as booking agents speak.
    fn default() -> Self {
        Self { max_tokens: 64 }
    }
}

/// The parts of a booking item.
struct Booking<'a> {
    item: &'a Item,
    messages: &'a [Message],
    next_steps: &'a [NextStep],
    known: &'a BTreeMap<String, String>,
    reference: &'a str,
}

/// Measures a suite of booking items; one sample an item, in the suite's order.
///
/// `on_done` hears how many items are finished; replies and likelihoods are half of an item each.
///
/// # Errors
/// If an item is no booking turn, or if the subject fails.
pub fn measure(
    suite: &Suite,
    subject: &dyn Subject,
    options: &Options,
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<Sample>> {
    let bookings = bookings(suite)?;
    let count = bookings.len();
    let prompts: Vec<Prompt> = bookings
        .iter()
        .map(|booking| Prompt::Chat(booking.messages.to_vec()))
        .collect();
    let replies = subject.replies(&prompts, options.max_tokens, &mut |done| on_done(done / 2))?;
    let likelihoods = reference_likelihoods(&bookings, &prompts, subject, &mut |done| {
        on_done((count + done) / 2);
    })?;
    on_done(count);
    if replies.len() != count {
        return Err(Error::bug(format!(
            "{} replies to {count} prompts",
            replies.len()
        )));
    }
    Ok(bookings
        .iter()
        .zip(replies)
        .zip(likelihoods)
        .map(|((booking, reply), likelihood)| sample(suite, booking, reply, likelihood))
        .collect())
}

fn bookings(suite: &Suite) -> Result<Vec<Booking<'_>>> {
    suite
        .items
        .iter()
        .map(|item| match &item.task {
            Task::Booking {
                messages,
                next_steps,
                known,
                reference,
            } => Ok(Booking {
                item,
                messages,
                next_steps,
                known,
                reference,
            }),
            _ => Err(Error::user(format!(
                "item `{}` of suite `{}` is no booking turn",
                item.id, suite.name
            ))
            .hint("a booking turn has `messages`, `next_steps`, `known` and `reference`")),
        })
        .collect()
}

/// One likelihood a booking; `None` where there is no reference.
fn reference_likelihoods(
    bookings: &[Booking<'_>],
    prompts: &[Prompt],
    subject: &dyn Subject,
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<Option<Likelihood>>> {
    let with_reference: Vec<usize> = (0..bookings.len())
        .filter(|&index| !bookings[index].reference.trim().is_empty())
        .collect();
    let asks: Vec<Ask> = with_reference
        .iter()
        .map(|&index| Ask {
            prompt: prompts[index].clone(),
            continuations: vec![bookings[index].reference.to_string()],
        })
        .collect();
    let answers = subject.likelihoods(&asks, on_done)?;
    if answers.len() != asks.len() {
        return Err(Error::bug(format!(
            "{} likelihoods for {} references",
            answers.len(),
            asks.len()
        )));
    }
    let mut likelihoods = vec![None; bookings.len()];
    for (index, answer) in with_reference.into_iter().zip(answers) {
        likelihoods[index] = answer.first().copied();
    }
    Ok(likelihoods)
}

fn sample(
    suite: &Suite,
    booking: &Booking<'_>,
    reply: String,
    likelihood: Option<Likelihood>,
) -> Sample {
    let matched = step_matcher::match_step(&reply);
    let right = matched.is_right(booking.next_steps, booking.known);
    let faithful = faithfulness::unsupported(booking.messages, &reply).is_empty();
    let nll = likelihood
        .filter(|likelihood| likelihood.tokens > 0)
        .map(|likelihood| -likelihood.log_probability / likelihood.tokens as f64)
        .filter(|nll| nll.is_finite());
    Sample {
        suite: suite.name.clone(),
        axis: Axis::Proficiency,
        item: booking.item.id.clone(),
        cluster: booking.item.cluster.clone(),
        prompt: last_user_turn(booking.messages),
        reply: Some(reply),
        scores: BTreeMap::from([
            ("step_accuracy".to_string(), Some(share(right))),
            ("slot_faithfulness".to_string(), Some(share(faithful))),
            ("reference_nll".to_string(), nll),
        ]),
        labels: BTreeMap::from([
            ("step".to_string(), matched.to_string()),
            ("expected".to_string(), expected(booking.next_steps)),
        ]),
    }
}

fn share(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

fn last_user_turn(messages: &[Message]) -> String {
    messages
        .iter()
        .rev()
        .find(|message| message.role == Role::User)
        .map(|message| message.content.clone())
        .unwrap_or_default()
}

/// The right steps as a label: `ask(date|nights) or confirm`.
fn expected(next_steps: &[NextStep]) -> String {
    next_steps
        .iter()
        .map(|next| {
            Matched {
                step: Some(next.step),
                slots: next.slots.clone(),
            }
            .to_string()
        })
        .collect::<Vec<_>>()
        .join(" or ")
}

#[cfg(test)]
mod tests;
