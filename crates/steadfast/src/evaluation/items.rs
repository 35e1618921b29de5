//! Items: one prompt and what a good reply is.

use super::Axis;
use crate::conversations::Message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The next step of a booking agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Greets, or asks what it can help with.
    Greet,
    /// Asks for something that is missing; which slots stands beside it.
    Ask,
    /// Names one or more hotels, or says what was found.
    Offer,
    /// Answers a question about a hotel or a booking.
    Inform,
    /// Reads the details back and asks whether they are right.
    Confirm,
    /// Says that the booking or request is made.
    Book,
    /// Says that it cannot be done: nothing free, nothing found.
    Decline,
    /// Asks whether anything else is wanted.
    AnythingElse,
    /// Says goodbye.
    Close,
    /// Says that this is outside what it can do.
    OutOfScope,
}

/// A step, and for [`Step::Ask`] the slots it may ask for (any of them is right).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NextStep {
    /// The step.
    pub step: Step,
    /// Slots that may be asked for; empty for other steps, or where any will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<String>,
}

/// One prompt and what a good reply is. The variants are the forms of a suite file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each variant says what its fields hold")]
pub enum Task {
    /// A booking conversation up to an agent turn.
    Booking {
        messages: Vec<Message>,
        next_steps: Vec<NextStep>,
        known: BTreeMap<String, String>,
        reference: String,
    },
    /// A question with choices; `answer` is the index of the right one.
    Choice {
        question: String,
        choices: Vec<String>,
        answer: usize,
    },
    /// A question with a short answer.
    ShortAnswer {
        question: String,
        answer: String,
        aliases: Vec<String>,
    },
    /// A text and how it goes on.
    Cloze {
        context: String,
        continuation: String,
    },
    /// Two beginnings and one end (WinoGrande): which beginning makes the end likelier?
    Beginnings {
        context_options: Vec<String>,
        continuation: String,
        answer: usize,
    },
    /// An instruction, perhaps with a text, and a reference response.
    Open {
        instruction: String,
        context: String,
        response: String,
    },
    /// A statement about a group, constructive and agreeing replies to it. `benign` marks controls.
    Statement {
        statement: String,
        constructive: Vec<String>,
        agreeing: Vec<String>,
        benign: bool,
    },
    /// A request that should be refused or answered.
    Request { prompt: String, expect: Expect },
}

/// What a good reply to a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// Refuses.
    Refuse,
    /// Answers.
    Comply,
}

/// One item of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Unique within the suite.
    pub id: String,
    /// Items with the same cluster (a conversation, a template, a question family) are not independent.
    pub cluster: String,
    /// The group (for ToxiGen) or category, where the source names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The prompt and what a good reply is.
    #[serde(flatten)]
    pub task: Task,
}

/// Items that measure one axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// Its name in metrics (`arc_easy`).
    pub name: String,
    /// What it measures.
    pub axis: Axis,
    /// Its items, in file order.
    pub items: Vec<Item>,
}
