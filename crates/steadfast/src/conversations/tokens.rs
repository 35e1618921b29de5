//! A conversation as tokens and the loss mask over them.

use super::template::ChatTemplate;
use super::{Conversation, Message, Role};
use crate::models::LanguageModel;
use crate::models::tokenizer::Tokenizer;
use crate::{Error, Result};
use std::ops::Range;

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
    mark(&model.tokenizer, &model.template, conversation)
}

/// [`example`] without a network.
pub fn mark(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    conversation: &Conversation,
) -> Result<Example> {
    let messages = &conversation.messages;
    let text = template.render(messages, false)?;
    let (tokens, offsets) = tokenizer.encode_with_offsets(&text)?;
    let spans = learnt_spans(template, messages, &text)?;
    let learn: Vec<bool> = tokens
        .iter()
        .zip(&offsets)
        .map(|(token, &(start, end))| {
            spans.iter().any(|span| {
                // A template may print a space before the words, which is one token with the first.
                let begins = start >= span.opened && end > span.content.start;
                let inside = (start >= span.content.start || begins)
                    && end <= span.content.end
                    && end > start;
                let ends_turn = start >= span.content.end
                    && end <= span.turn_end
                    && tokenizer.stop.contains(token);
                inside || ends_turn
            })
        })
        .collect();
    if !learn.contains(&true) {
        return Err(Error::user("the conversation has nothing to learn from")
            .hint("it needs an assistant message that is not empty and whose weight is not 0"));
    }
    Ok(Example { tokens, learn })
}

/// Tokens of a prompt: the conversation so far, the assistant's turn opened.
pub fn prompt(model: &LanguageModel, messages: &[Message]) -> Result<Vec<u32>> {
    model
        .tokenizer
        .encode(&model.template.render(messages, true)?)
}

/// Where one assistant turn stands in the rendered text, in bytes.
struct Span {
    /// Where the opened turn ends: what comes after, the model writes.
    opened: usize,
    /// What the assistant says.
    content: Range<usize>,
    /// Where the rendering of this turn ends, its end-of-turn token included.
    turn_end: usize,
}

/// Finds the assistant turns by rendering the conversation turn by turn: what the template adds
/// after the opened turn is what the assistant says.
fn learnt_spans(template: &ChatTemplate, messages: &[Message], text: &str) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        if message.role != Role::Assistant || message.weight == Some(0) {
            continue;
        }
        let opened = template.render(&messages[..index], true)?;
        let closed = template.render(&messages[..=index], false)?;
        let start = common_prefix(&opened, text);
        let turn_end = common_prefix(&closed, text);
        // A template may trim what it is given: look for what it kept.
        let content = message.content.trim();
        let found = text
            .get(start..turn_end)
            .and_then(|turn| turn.find(content))
            .map(|at| start + at);
        let Some(found) = found else {
            return Err(Error::user(format!(
                "the chat template does not keep assistant turn {}",
                index + 1
            ))
            .hint("the loss mask needs the assistant's words as they stand in the rendered text"));
        };
        if content.is_empty() && message.content.is_empty() {
            // An empty reply still teaches to end the turn.
            spans.push(Span {
                opened: start,
                content: start..start,
                turn_end,
            });
            continue;
        }
        let lead = message.content.len() - message.content.trim_start().len();
        let trail = message.content.len() - message.content.trim_end().len();
        let kept_lead =
            if text[..found].ends_with(&message.content[..lead]) && found - lead >= start {
                lead
            } else {
                0
            };
        let end = found + content.len();
        let kept_trail =
            if text[end..].starts_with(&message.content[message.content.len() - trail..]) {
                trail
            } else {
                0
            };
        spans.push(Span {
            opened: start,
            content: found - kept_lead..end + kept_trail,
            turn_end,
        });
    }
    Ok(spans)
}

/// Length in bytes of the longest common prefix, cut at a character boundary.
fn common_prefix(left: &str, right: &str) -> usize {
    left.char_indices()
        .zip(right.chars())
        .find(|((_, one), other)| one != other)
        .map(|((at, _), _)| at)
        .unwrap_or_else(|| left.len().min(right.len()))
}

#[cfg(test)]
mod tests;
