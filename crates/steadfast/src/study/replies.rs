//! The base's own replies: what `null-space` retains, and what drift is measured on.
//!
//! No outside text is needed: what the base says to general and safety prompts *is* the behaviour
//! to keep, and so is what it says in conversations of a domain that it has learnt before. Retain prompts
//! and drift prompts are disjoint sets.

use super::data;
use super::measuring::BATCH;
use crate::conversations::{Conversation, Message, Role, tokens};
use crate::evaluation::suites::{self, RetainPrompt};
use crate::events::{Event, Listener};
use crate::models::generate::{GenerateOptions, generate};
use crate::models::{Adapter, LanguageModel, likelihood};
use crate::runs::store::Store;
use crate::settings::RetainSettings;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// One prompt and the base's reply to it, as tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnReply {
    /// The rendered prompt, the assistant's turn opened.
    pub prompt: Vec<u32>,
    /// The reply, its end-of-turn token included where the base stopped by itself.
    pub reply: Vec<u32>,
}

/// The turns that a reply answers.
pub type Prompt = Vec<Message>;

/// Replies of the base to `prompts`, written once and kept in the store. Empty replies are left out, and
/// prompts that leave no room for one.
pub fn own_replies(
    model: &LanguageModel,
    purpose: &str,
    prompts: &[Prompt],
    options: &GenerateOptions,
    store: &Store,
    listener: &dyn Listener,
) -> Result<Vec<OwnReply>> {
    let stage = format!("{purpose} replies of the base");
    let inputs = (
        model.told(),
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
        let mut rendered = prompts
            .iter()
            .map(|prompt| tokens::prompt(model, prompt))
            .collect::<Result<Vec<Vec<u32>>>>()?;
        rendered.retain(|prompt| prompt.len() + options.max_tokens <= model.config.context);
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
fn mixed(prompts: Vec<RetainPrompt>, count: usize) -> Vec<Prompt> {
    let (safety, general) = prompts.into_iter().partition(|prompt| prompt.safety);
    in_turn(general, safety)
        .into_iter()
        .take(count)
        .map(|prompt| vec![Message::new(Role::User, prompt.prompt)])
        .collect()
}

/// One of each in turn, and then what is left of the longer.
fn in_turn<T>(one: Vec<T>, other: Vec<T>) -> Vec<T> {
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut all = Vec::with_capacity(one.len() + other.len());
    while one.len() + other.len() > 0 {
        all.extend(one.next());
        all.extend(other.next());
    }
    all
}

/// Of at most `count` conversations, spread over all, what comes before one of the assistant's turns: of
/// the first before its first, of the next before its second, and so on round.
fn turns(conversations: &[Conversation], count: usize) -> Vec<Prompt> {
    let count = count.min(conversations.len());
    let chosen = (0..count).map(|place| &conversations[place * conversations.len() / count]);
    let mut prompts = Vec::new();
    for (place, Conversation { messages }) in chosen.enumerate() {
        let answered: Vec<usize> = (1..messages.len())
            .filter(|&turn| messages[turn].role == Role::Assistant)
            .collect();
        if !answered.is_empty() {
            prompts.push(messages[..answered[place % answered.len()]].to_vec());
        }
    }
    prompts
}

/// The prompts whose replies are retained.
pub fn retained_prompts(settings: &RetainSettings) -> Result<Vec<Prompt>> {
    let general = mixed(suites::retain_prompts()?, settings.prompts);
    // In turn, since moments may be made from the first of them only.
    Ok(in_turn(general, own_prompts(settings)?))
}

/// Those of them that come from the user's own conversations.
pub fn own_prompts(settings: &RetainSettings) -> Result<Vec<Prompt>> {
    let prompts = turns(&data::read_files(&settings.paths)?, settings.prompts);
    if prompts.is_empty() && !settings.paths.is_empty() {
        return Err(
            Error::user("the assistant answers in none of the conversations to retain")
                .at(&settings.paths[0])
                .hint("give conversations in which an assistant's turn follows another"),
        );
    }
    Ok(prompts)
}

/// Those whose replies drift is measured on.
pub fn drift_prompts(settings: &RetainSettings) -> Result<Vec<Prompt>> {
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
    let inputs = (&model.located.identity, digest, replies);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Preset;
    use proptest::prelude::*;
    use std::io::Write;

    fn conversation(turns: usize) -> Conversation {
        let message = |turn: usize| {
            let role = [Role::User, Role::Assistant][turn % 2];
            Message::new(role, format!("turn {turn}"))
        };
        Conversation {
            messages: (0..turns).map(message).collect(),
        }
    }

    proptest! {
        #[test]
        fn what_is_asked_ends_before_a_turn_of_the_assistants(
            lengths in prop::collection::vec(0_usize..9, 0..20),
            count in 0_usize..30,
        ) {
            let conversations: Vec<_> = lengths.iter().copied().map(conversation).collect();
            let prompts = turns(&conversations, count);
            prop_assert!(prompts.len() <= count.min(conversations.len()));
            for prompt in &prompts {
                prop_assert_eq!(prompt.last().map(|turn| turn.role), Some(Role::User));
                let begins = |one: &Conversation| {
                    one.messages.starts_with(prompt) && one.messages.len() > prompt.len()
                };
                prop_assert!(conversations.iter().any(begins));
            }
            let answered = lengths.iter().filter(|&&length| length >= 2).count();
            prop_assert!(count < conversations.len() || prompts.len() == answered);
        }
    }

    fn retain(paths: Vec<std::path::PathBuf>) -> RetainSettings {
        RetainSettings {
            paths,
            prompts: 4,
            ..RetainSettings::of(&Preset::Quick.scale())
        }
    }

    #[test]
    fn own_conversations_stand_between_the_general_prompts() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for _ in 0..9 {
            let line = serde_json::to_string(&conversation(4)).unwrap();
            writeln!(file, "{line}").unwrap();
        }
        let general = retained_prompts(&retain(Vec::new())).unwrap();
        let both = retained_prompts(&retain(vec![file.path().to_owned()])).unwrap();
        assert_eq!((general.len(), both.len()), (4, 8));
        let (even, odd): (Vec<_>, Vec<_>) = both
            .into_iter()
            .enumerate()
            .partition(|(place, _)| place % 2 == 0);
        let even: Vec<_> = even.into_iter().map(|(_, prompt)| prompt).collect();
        assert_eq!(even, general);
        let lengths: Vec<usize> = odd.iter().map(|(_, prompt)| prompt.len()).collect();
        assert_eq!(lengths, [1, 3, 1, 3]);
    }

    #[test]
    fn conversations_that_ask_nothing_are_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let opened = r#"{"messages":[{"role":"assistant","content":"Hello."}]}"#;
        writeln!(file, "{opened}").unwrap();
        let refused = retained_prompts(&retain(vec![file.path().to_owned()])).unwrap_err();
        assert!(refused.hint.is_some(), "{refused}");
    }
}
