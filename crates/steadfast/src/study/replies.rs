//! The base's own replies: what `null-space` retains, and what drift is measured on.
//!
//! No outside text is needed: what the base says to general and safety prompts *is* the behaviour
//! to keep. Retain prompts and drift prompts are disjoint sets.

use super::measuring::BATCH;
use crate::Result;
use crate::conversations::{Message, Role, tokens};
use crate::evaluation::suites::{self, RetainPrompt};
use crate::events::{Event, Listener};
use crate::models::generate::{GenerateOptions, generate};
use crate::models::{Adapter, LanguageModel, likelihood};
use crate::runs::store::Store;
use crate::settings::RetainSettings;
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

/// Prompts of a shipped set, safety and general ones in turn, so that a small number has both.
fn mixed(prompts: Vec<RetainPrompt>, count: usize) -> Vec<String> {
    let (safety, general): (Vec<_>, Vec<_>) = prompts.into_iter().partition(|prompt| prompt.safety);
    let (mut safety, mut general) = (safety.into_iter(), general.into_iter());
    let mut mixed = Vec::new();
    while mixed.len() < count {
        let before = mixed.len();
        mixed.extend(general.next());
        mixed.extend(safety.next());
        if mixed.len() == before {
            break;
        }
    }
    mixed.truncate(count);
    mixed.into_iter().map(|prompt| prompt.prompt).collect()
}

/// The prompts whose replies are retained.
pub fn retained_prompts(settings: &RetainSettings) -> Result<Vec<String>> {
    Ok(mixed(suites::retain_prompts()?, settings.prompts))
}

/// Those whose replies drift is measured on.
pub fn drift_prompts(settings: &RetainSettings) -> Result<Vec<String>> {
    Ok(mixed(
        suites::drift_prompts()?,
        settings.prompts.clamp(4, 64),
    ))
}

/// What `null-space` retains: sampled, so that it covers what the base would say.
pub fn retain_set(
    model: &LanguageModel,
    settings: &RetainSettings,
    store: &Store,
    listener: &dyn Listener,
) -> Result<Vec<OwnReply>> {
    let prompts = retained_prompts(settings)?;
    let options = GenerateOptions {
        max_tokens: settings.reply_tokens,
        temperature: 0.7,
        seed: 0,
        batch: BATCH,
    };
    own_replies(model, "retained", &prompts, &options, store, listener)
}

/// What drift is measured on: other prompts, answered greedily.
pub fn drift_set(
    model: &LanguageModel,
    settings: &RetainSettings,
    store: &Store,
    listener: &dyn Listener,
) -> Result<Vec<OwnReply>> {
    let prompts = drift_prompts(settings)?;
    let options = GenerateOptions {
        max_tokens: settings.reply_tokens,
        temperature: 0.0,
        seed: 0,
        batch: BATCH,
    };
    own_replies(model, "drift", &prompts, &options, store, listener)
}

/// Mean KL(base ‖ tuned) in nats a token over the drift set. `digest` is that of the adapter.
pub fn drift(
    model: &LanguageModel,
    adapter: &Adapter,
    digest: &str,
    replies: &[OwnReply],
    store: &Store,
    listener: &dyn Listener,
) -> Result<f64> {
    let inputs = (&model.located.sha256, digest, replies);
    store.reuse("measuring drift", &inputs, listener, || {
        listener.on(Event::StageStarted {
            stage: "measuring drift".into(),
            total: replies.len() as u64,
            unit: "replies",
        });
        let pairs: Vec<(Vec<u32>, Vec<u32>)> = replies
            .iter()
            .map(|one| (one.prompt.clone(), one.reply.clone()))
            .collect();
        let means = likelihood::drift(model, adapter, &pairs, &mut |done| {
            listener.on(Event::StageAdvanced { done: done as u64 });
        })?;
        listener.on(Event::StageFinished {
            stage: "measuring drift".into(),
            reused: false,
        });
        // A mean over tokens: longer replies weigh more.
        let tokens: usize = replies.iter().map(|one| one.reply.len()).sum();
        let sum: f64 = means
            .iter()
            .zip(replies)
            .map(|(mean, one)| mean * one.reply.len() as f64)
            .sum();
        Ok(sum / tokens.max(1) as f64)
    })
}
