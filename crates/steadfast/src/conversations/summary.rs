//! What a file of conversations holds, counted: turns, repeats, and a model's tokens.

use super::chat::REPORTED;
use super::{Conversation, Role, tokens};
use crate::models::LanguageModel;
use crate::{Error, Result};
use serde::Serialize;
use std::collections::BTreeSet;

/// What `data check` says about a file that is well formed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Conversations.
    pub conversations: usize,
    /// Messages, of any role.
    pub turns: usize,
    /// Assistant messages.
    pub assistant_turns: usize,
    /// Assistant messages that are learnt (weight not 0).
    pub learnt_turns: usize,
    /// Conversations that repeat an earlier one word for word.
    pub duplicates: usize,
    /// Counted with a model's tokenizer and template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenSummary>,
}

/// Sizes in a model's tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokenSummary {
    /// All tokens.
    pub all: usize,
    /// Tokens that carry loss.
    pub learnt: usize,
    /// Tokens of the longest conversation.
    pub longest: usize,
    /// Lines of the conversations longer than the limit, in order.
    pub over_long: Vec<usize>,
}

/// Counts conversations; with a model and a limit in tokens, their tokens too.
pub fn summarize(
    conversations: &[(usize, Conversation)],
    model: Option<(&LanguageModel, usize)>,
) -> Result<Summary> {
    let mut summary = Summary {
        conversations: conversations.len(),
        ..Summary::default()
    };
    let mut seen = BTreeSet::new();
    for (_, Conversation { messages }) in conversations {
        summary.turns += messages.len();
        for message in messages
            .iter()
            .filter(|message| message.role == Role::Assistant)
        {
            summary.assistant_turns += 1;
            summary.learnt_turns += usize::from(message.weight != Some(0));
        }
        let words: Vec<(Role, &str)> = messages
            .iter()
            .map(|message| (message.role, message.content.as_str()))
            .collect();
        summary.duplicates += usize::from(!seen.insert(words));
    }
    let Some((model, limit)) = model else {
        return Ok(summary);
    };
    let mut counts = TokenSummary::default();
    let mut mistakes = Vec::new();
    for (line, conversation) in conversations {
        match tokens::example(model, conversation) {
            Ok(example) => {
                let length = example.tokens.len();
                counts.all += length;
                counts.learnt += example.learn.iter().filter(|learn| **learn).count();
                counts.longest = counts.longest.max(length);
                if length > limit {
                    counts.over_long.push(*line);
                }
            }
            Err(mistake) if mistakes.len() < REPORTED => mistakes.push(mistake.line(*line)),
            Err(_) => {}
        }
    }
    Error::all(mistakes)?;
    summary.tokens = Some(counts);
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversations::chat::parse;

    const GOOD: &str =
        r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}"#;

    #[test]
    fn a_summary_counts_what_is_there() {
        let file = [GOOD, GOOD].join("\n");
        let summary = summarize(&parse(file.as_bytes()).unwrap(), None).unwrap();
        let expected = Summary {
            conversations: 2,
            turns: 4,
            assistant_turns: 2,
            learnt_turns: 2,
            duplicates: 1,
            tokens: None,
        };
        assert_eq!(summary, expected);
    }
}
