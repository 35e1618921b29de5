//! The model under test, as the scorers see it: local now, hosted later.

use crate::Result;
use crate::conversations::Message;

/// A prompt: a conversation for a chat model, or plain text to be continued.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// Rendered with the model's own template, the assistant's turn opened.
    Chat(Vec<Message>),
    /// Continued as it stands.
    Text(String),
}

/// One prompt and the continuations whose likelihood is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// What stands before.
    pub prompt: Prompt,
    /// What may follow. For [`Prompt::Text`] a leading space is the caller's to give.
    pub continuations: Vec<String>,
}

pub use crate::models::likelihood::Likelihood;

/// A model that can be asked. Answers come in the order of the questions.
pub trait Subject {
    /// Greedy replies of at most `max_tokens` tokens. `on_done` hears how many are finished.
    fn replies(
        &self,
        prompts: &[Prompt],
        max_tokens: usize,
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<String>>;

    /// Likelihoods of the continuations.
    fn likelihoods(
        &self,
        asks: &[Ask],
        on_done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Likelihood>>>;
}
