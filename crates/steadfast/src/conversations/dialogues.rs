//! The public hotel corpora (SGD, STAR, MultiWOZ) as they stand in `shared/data`.
//!
//! One record form for all three: `{"id","source","split","services","turns":[{"speaker","text",
//! "acts","state",…}]}`. [`conversations`] gives them as training text; [`suite`] gives one item for
//! each agent turn, the source's own annotation mapped onto our steps and slot names ([`annotation`]).

mod annotation;

use super::{Conversation, Message, Role};
use crate::evaluation::Axis;
use crate::evaluation::items::{Item, NextStep, Step, Suite, Task};
use crate::{Error, Result};
use annotation::Source;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The system message of every conversation from SGD and MultiWOZ, and of STAR's search and booking.
const SYSTEM_BOOKING: &str = "You are a hotel booking agent. Find out what the customer needs, offer a hotel that fits, \
     read the details back before booking, and keep each reply short.";

/// The system message of STAR's room-service conversations.
const SYSTEM_SERVICE: &str = "You are a hotel's service desk. Find out who the guest is, in which hotel and room, what they \
     need and when, pass the request on, and keep each reply short.";

#[derive(Deserialize)]
struct Record {
    id: String,
    services: Vec<String>,
    turns: Vec<Turn>,
}

#[derive(Deserialize)]
struct Turn {
    speaker: Speaker,
    text: String,
    #[serde(default)]
    acts: Vec<Act>,
    #[serde(default)]
    state: Map<String, Value>,
    #[serde(default)]
    service_calls: Vec<ServiceCall>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    User,
    Agent,
}

#[derive(Deserialize)]
struct Act {
    act: String,
    #[serde(default)]
    slot: String,
}

#[derive(Deserialize)]
struct ServiceCall {
    parameters: Option<Map<String, Value>>,
}

/// Conversations to train on: ours the system message, the customer the user, the agent the assistant.
/// `path` is a file, or a folder whose `train.jsonl` is read.
pub fn conversations(path: &Path) -> Result<Vec<Conversation>> {
    let (_, records) = read(path, "train.jsonl")?;
    Ok(records
        .iter()
        .map(|(record, _)| {
            let mut messages = opening(record);
            messages.extend(record.turns.iter().map(message));
            Conversation { messages }
        })
        .collect())
}

/// One item for each agent turn whose annotation names a step; the cluster is the dialogue.
/// `path` is a file, or a folder whose `test.jsonl` is read.
///
/// A turn with several acts has several right steps. In STAR, where the customer may be asked in any
/// order, an item whose step is to ask also allows the task's other questions that were neither asked
/// nor answered yet. STAR turns labelled `custom` name no step and give no item.
pub fn suite(name: &str, path: &Path) -> Result<Suite> {
    let (path, records) = read(path, "test.jsonl")?;
    let mut items = Vec::new();
    for (record, source) in &records {
        append_items(record, *source, &mut items);
    }
    if items.is_empty() {
        return Err(Error::user("no agent turn names a step")
            .at(path)
            .hint("give a file of hotel_sgd, hotel_star or hotel_multiwoz, its acts included"));
    }
    Ok(Suite {
        name: name.to_string(),
        axis: Axis::Proficiency,
        items,
    })
}

fn append_items(record: &Record, source: Source, items: &mut Vec<Item>) {
    let mut messages = opening(record);
    let mut known = BTreeMap::new();
    let mut asked: Vec<String> = Vec::new();
    for (index, turn) in record.turns.iter().enumerate() {
        if !turn.state.is_empty() {
            known = annotation::known_from_state(source, &turn.state);
        }
        for call in &turn.service_calls {
            if let Some(parameters) = &call.parameters {
                annotation::add_parameters(parameters, &mut known);
            }
        }
        if turn.speaker == Speaker::Agent {
            let annotated = next_steps(source, &turn.acts);
            let asked_now: Vec<String> = annotated
                .iter()
                .filter(|next| next.step == Step::Ask)
                .flat_map(|next| next.slots.clone())
                .collect();
            // A slot that the human agent asks for is open again, whatever was said before.
            let mut open = known.clone();
            open.retain(|slot, _| !asked_now.contains(slot));
            let has_words = !turn.text.trim().is_empty();
            if !annotated.is_empty() && has_words && index > 0 {
                let mut allowed = annotated;
                if source == Source::Star {
                    allow_other_questions(record, &asked, &open, &mut allowed);
                }
                items.push(Item {
                    id: format!("{}#{index}", record.id),
                    cluster: record.id.clone(),
                    group: record.services.first().cloned(),
                    task: Task::Booking {
                        messages: messages.clone(),
                        next_steps: allowed,
                        known: open,
                        reference: turn.text.clone(),
                    },
                });
            }
            asked.extend(asked_now);
        }
        messages.push(message(turn));
    }
}

/// The annotated acts as steps, in the annotation's order; the slots of several questions are joined.
fn next_steps(source: Source, acts: &[Act]) -> Vec<NextStep> {
    let mut steps: Vec<NextStep> = Vec::new();
    for act in acts {
        for (step, slots) in annotation::steps(source, &act.act, &act.slot) {
            let place = match steps.iter().position(|next| next.step == step) {
                Some(place) => place,
                None => {
                    steps.push(NextStep {
                        step,
                        slots: Vec::new(),
                    });
                    steps.len() - 1
                }
            };
            for slot in slots {
                if !steps[place].slots.contains(&slot) {
                    steps[place].slots.push(slot);
                }
            }
        }
    }
    steps
}

fn allow_other_questions(
    record: &Record,
    asked: &[String],
    known: &BTreeMap<String, String>,
    allowed: &mut [NextStep],
) {
    let Some(ask) = allowed.iter_mut().find(|next| next.step == Step::Ask) else {
        return;
    };
    let task = record.services.first().map_or("", String::as_str);
    for slot in annotation::star_questions(task) {
        let slot = (*slot).to_string();
        if !asked.contains(&slot) && !known.contains_key(&slot) && !ask.slots.contains(&slot) {
            ask.slots.push(slot);
        }
    }
}

fn opening(record: &Record) -> Vec<Message> {
    let service = record
        .services
        .iter()
        .any(|service| service == "hotel_service_request");
    let system = if service {
        SYSTEM_SERVICE
    } else {
        SYSTEM_BOOKING
    };
    vec![Message::new(Role::System, system)]
}

fn message(turn: &Turn) -> Message {
    let role = match turn.speaker {
        Speaker::User => Role::User,
        Speaker::Agent => Role::Assistant,
    };
    Message::new(role, turn.text.clone())
}

/// Reads the records; `default` is the file meant by a folder.
fn read(path: &Path, default: &str) -> Result<(PathBuf, Vec<(Record, Source)>)> {
    let path = if path.is_dir() {
        path.join(default)
    } else {
        path.to_path_buf()
    };
    let file = File::open(&path).map_err(|cause| {
        Error::file("read", &path, cause)
            .hint("give a .jsonl file of hotel dialogues, or its folder")
    })?;
    let mut records = Vec::new();
    let mut mistakes = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|cause| Error::file("read", &path, cause).line(index + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        match record(&line) {
            Ok(record) => records.push(record),
            Err(mistake) => mistakes.push(mistake.at(&path).line(index + 1)),
        }
    }
    Error::all(mistakes)?;
    Ok((path, records))
}

fn record(line: &str) -> Result<(Record, Source)> {
    let record: Record = serde_json::from_str(line).map_err(|cause| {
        Error::user("this line is no hotel dialogue")
            .because(cause)
            .hint(r#"expected {"id","services","turns":[{"speaker":"user|agent","text","acts","state"}]}"#)
    })?;
    let source = Source::of(&record.id).ok_or_else(|| {
        Error::user(format!("dialogue `{}` is of no known source", record.id))
            .field("id")
            .hint("ids begin with sgd-, star- or multiwoz-")
    })?;
    if record.turns.is_empty() {
        return Err(
            Error::user(format!("dialogue `{}` has no turns", record.id))
                .field("turns")
                .hint("remove the line"),
        );
    }
    Ok((record, source))
}

#[cfg(test)]
mod tests;
