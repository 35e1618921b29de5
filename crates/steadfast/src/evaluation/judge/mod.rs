//! A second model that grades replies, beside the scorers that need none.
//!
//! [`cases`] turns measured items into questions after a [`rubric`]; a [`panel`] puts them to a judge,
//! an [`endpoint`] or a model on this machine ([`local`]), keeps every answer in a [`cache`] so that a
//! verdict costs once, and reads it ([`verdict`]). [`check`] says how far a judge can be believed.

pub mod cache;
pub mod cases;
pub mod check;
pub mod endpoint;
pub mod local;
pub mod panel;
pub mod price;
pub mod rubric;
pub mod session;
pub mod verdict;

pub use panel::{Graded, Panel};
pub use rubric::{Rubric, Rubrics};
pub use session::Session;

use crate::Result;

/// One question as the judge reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Who the judge is and how it answers.
    pub system: String,
    /// What it grades.
    pub prompt: String,
    /// Which of several samples of the same question this is, from 0.
    pub sample: u32,
}

/// What a judge said, unread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Its words.
    pub text: String,
    /// Tokens read, as the server counts them; 0 where nobody counted.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// US dollars; 0 where no price is known.
    pub cost: f64,
}

/// Takes an answer to the question of this index, as soon as it is there.
pub type OnAnswer<'a> = dyn FnMut(usize, Answer) -> Result<()> + 'a;

/// A model that answers questions about replies.
pub trait Judge {
    /// How people call it (`openai:gpt-4o-mini`).
    fn name(&self) -> &str;

    /// All that its answers depend on; the key of kept verdicts.
    fn identity(&self) -> String;

    /// The price of a question with its answer in US dollars: what is likely.
    /// `None` where no price is known.
    fn estimate(&self, question: &Question) -> Option<f64>;

    /// Answers each question, in any order; `on_answer` hears each answer on the caller's thread.
    ///
    /// # Errors
    /// When it cannot go on: then those answers that had come were heard.
    fn answer(&self, questions: &[Question], on_answer: &mut OnAnswer<'_>) -> Result<()>;
}
