//! A conversation as tokens and the loss mask over them.
use super::Conversation;
use crate::Result;
use crate::models::LanguageModel;

/// One conversation, ready to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The whole conversation, rendered and tokenized once.
    pub tokens: Vec<u32>,
    /// True where the token itself is to be predicted: assistant content and its end-of-turn token.
    pub learn: Vec<bool>,
}

/// Renders, tokenizes and marks one conversation. Nothing to learn from is an error.
pub fn example(model: &LanguageModel, conversation: &Conversation) -> Result<Example> {
    let _ = (model, conversation);
    todo!("conversations helper")
}
