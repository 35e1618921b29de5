//! The base's own replies: what `null-space` retains, and what drift is measured on.
//!
//! No outside text is needed: what the base says to general and safety prompts *is* the behaviour
//! to keep. Retain prompts and drift prompts are disjoint sets.

use crate::Result;
use crate::conversations::{Message, Role, tokens};
use crate::events::{Event, Listener};
use crate::models::LanguageModel;
use crate::models::generate::{GenerateOptions, generate};
use crate::runs::store::Store;
use serde::{Deserialize, Serialize};

/// One prompt and the base's reply to it, as tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnReply {
    /// The rendered prompt, the assistant's turn opened.
    pub prompt: Vec<u32>,
    /// The reply, its end-of-turn token included where the base stopped by itself.
    pub reply: Vec<u32>,
}

/// Replies of the base to `prompts`, written once and kept in the store. Empty replies are left out.
pub fn own_replies(
    model: &LanguageModel,
    purpose: &str,
    prompts: &[String],
    options: &GenerateOptions,
    store: &Store,
    listener: &dyn Listener,
) -> Result<Vec<OwnReply>> {
    let stage = format!("{purpose} replies of the base");
    let inputs = (
        &model.located.sha256,
        prompts,
        options.max_tokens,
        options.temperature,
        options.seed,
        options.batch,
    );
    store.reuse(&stage, &inputs, listener, || {
        listener.on(Event::StageStarted {
            stage: stage.clone(),
            total: prompts.len() as u64,
            unit: "replies",
        });
        let rendered: Vec<Vec<u32>> = prompts
            .iter()
            .map(|prompt| tokens::prompt(model, &[Message::new(Role::User, prompt.as_str())]))
            .collect::<Result<_>>()?;
        let replies = generate(model, None, &rendered, options, &mut |done| {
            listener.on(Event::StageAdvanced { done: done as u64 });
        })?;
        listener.on(Event::StageFinished {
            stage: stage.clone(),
            reused: false,
        });
        let end_of_turn = model.tokenizer.stop.first().copied();
        Ok(rendered
            .into_iter()
            .zip(replies)
            .filter(|(_, reply)| !reply.tokens.is_empty())
            .map(|(prompt, reply)| {
                let mut tokens = reply.tokens;
                tokens.extend(end_of_turn.filter(|_| reply.stopped));
                OwnReply {
                    prompt,
                    reply: tokens,
                }
            })
            .collect())
    })
}
