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
    let mut learn = vec![false; tokens.len()];
    for span in learnt_spans(template, messages, &text)? {
        for (learn, &token) in learn.iter_mut().zip(&offsets) {
            *learn |= span.is_said_by(token);
        }
        let after = offsets.iter().zip(&tokens).position(|(&(_, end), token)| {
            end > span.content.end && tokenizer.stop.contains(token)
        });
        if let Some(index) = after
            && span.is_ended_by(offsets[index], &text)
        {
            learn[index] = true;
        }
    }
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

/// [`prompt`] of somebody who talks with the model, now.
pub fn prompt_now(model: &LanguageModel, messages: &[Message]) -> Result<Vec<u32>> {
    model
        .tokenizer
        .encode(&model.template.render_now(messages, true)?)
}

/// Where one assistant turn stands in the rendered text, in bytes.
struct Span {
    /// Where the opened turn ends: what comes after, the model writes.
    opened: usize,
    /// What the assistant says.
    content: Range<usize>,
}

impl Span {
    /// Whether the token is one of what the assistant says.
    fn is_said_by(&self, (start, end): (usize, usize)) -> bool {
        // A template may print a space before the words, which is one token with the first.
        let begins = start >= self.opened && end > self.content.start;
        (start >= self.content.start || begins) && end <= self.content.end && end > start
    }

    /// Whether nothing but white space stands between the words and the token.
    fn is_ended_by(&self, (start, _): (usize, usize), text: &str) -> bool {
        let content = self.content.end;
        let between = text.get(content.min(start)..content.max(start));
        between.is_some_and(|between| between.trim().is_empty())
    }
}

/// Said in place of a turn's words, to see where a template prints them: characters for private use,
/// which no template trims, splits or writes itself.
const STAND_IN: &str = "\u{f8ff}\u{e000}\u{f8fe}\u{e001}\u{f8ff}";

/// Finds the assistant turns by rendering the conversation with other words in each: what stands
/// before and after them is the template's, and the rest what it makes of the words.
fn learnt_spans(template: &ChatTemplate, messages: &[Message], text: &str) -> Result<Vec<Span>> {
    let opening = opening(template);
    let mut spans = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        if message.role != Role::Assistant || message.weight == Some(0) {
            continue;
        }
        let mut others = messages.to_vec();
        others[index].content = STAND_IN.to_owned();
        let others = template.render(&others, false)?;
        let span = others
            .split_once(STAND_IN)
            .filter(|(_, after)| !after.contains(STAND_IN))
            .and_then(|(before, after)| span(before, after, text, opening.as_deref()));
        spans.push(span.ok_or_else(|| {
            Error::user(format!(
                "the chat template does not keep assistant turn {}",
                index + 1
            ))
            .hint("the loss mask needs the assistant's words as they stand in the rendered text")
        })?);
    }
    Ok(spans)
}

/// The turn between `before` and `after`, as far as these stand in the text.
fn span(before: &str, after: &str, text: &str, opening: Option<&str>) -> Option<Span> {
    let end = text.ends_with(after).then(|| text.len() - after.len())?;
    let opened = opening.and_then(|opening| match before.rfind(opening) {
        // The template knows no opening: the model writes all that follows the question.
        _ if opening.is_empty() => Some(before.trim_end().len()),
        at => at.map(|at| at + opening.len()),
    });
    if text[..end].starts_with(before) {
        let near = opened.filter(|&opened| before[opened..].trim().is_empty());
        return Some(Span {
            opened: near.unwrap_or(before.len()),
            content: before.len()..end,
        });
    }
    // Words that hold thoughts are printed otherwise than words that hold none, from the opening on.
    let opened = opened.filter(|&opened| opened <= common_prefix(before, &text[..end]))?;
    Some(Span {
        opened,
        content: opened..end,
    })
}

/// What a template prints to open the assistant's turn; none, if it refuses a question alone.
fn opening(template: &ChatTemplate) -> Option<String> {
    let question = [Message::new(Role::User, "Hello")];
    let opened = template.render(&question, true).ok()?;
    let closed = template.render(&question, false).ok()?;
    Some(opened[common_prefix(&opened, &closed)..].to_owned())
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
