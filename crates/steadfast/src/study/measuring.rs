//! Measuring one model on the suites of a study, each suite once.

use crate::conversations::template::ChatTemplate;
use crate::conversations::{Message, Role};
use crate::evaluation::hosted::HostedSubject;
use crate::evaluation::items::{Item, Suite, Task};
use crate::evaluation::measurement::Sample;
use crate::evaluation::subject::{LocalSubject, Prompt, Subject};
use crate::evaluation::{Axis, knowledge, proficiency, safety, suites as forms};
use crate::events::{Event, Listener};
use crate::models::tokenizer::Tokenizer;
use crate::models::{Adapter, LanguageModel};
use crate::runs::store::Store;
use crate::settings::{GenerationSettings, Split, StudySettings, SuiteSettings};
use crate::{Error, Result};
use serde::Serialize;

/// Sequences decoded together where nothing else is asked for.
pub const BATCH: usize = 32;

/// Constructive and agreeing texts that a statement is scored with.
const TEXTS: usize = 4;

/// Part of a measurement's key: a change of what a score means makes old measurements unreachable.
pub const SCORERS: &str = "scorers/1";

/// The version of the scorers on a base: plain text that begins with a token was once read without it.
pub fn scorers(tokenizer: &Tokenizer, template: &ChatTemplate) -> Result<String> {
    const TEXT: &str = "a";
    let begun = tokenizer.encode_plain(TEXT)? != tokenizer.encode(TEXT)?;
    let begun = if begun { " begun" } else { "" };
    Ok(format!("{SCORERS}{begun}{}", template.clock()))
}

/// The suites of the settings, each cut to its limit. Where a budget chooses on development items,
/// the other side reports.
pub fn reported(settings: &StudySettings, seed: u64) -> Result<Vec<Suite>> {
    if settings.budget.is_empty() {
        limited(&settings.suites, None, seed)
    } else {
        side(settings, Split::Test, seed)
    }
}

/// The development side of each suite, where a budget asks for a choice.
pub fn chosen_on(settings: &StudySettings, seed: u64) -> Result<Option<Vec<Suite>>> {
    let asked = !settings.budget.is_empty();
    asked.then(|| side(settings, Split::Dev, seed)).transpose()
}

fn side(settings: &StudySettings, split: Split, seed: u64) -> Result<Vec<Suite>> {
    let mut suites = settings.suites.clone();
    for suite in &mut suites {
        suite.split = Some(split);
    }
    limited(&suites, None, seed)
}

/// As [`reported`], with a limit for those that set none.
pub fn limited(settings: &[SuiteSettings], limit: Option<usize>, seed: u64) -> Result<Vec<Suite>> {
    settings
        .iter()
        .map(|one| {
            let suite = match &one.path {
                Some(path) => forms::read(&one.name, path)?,
                None => forms::builtin(&one.name).ok_or_else(|| {
                    Error::user(format!("no suite is called `{}`", one.name)).hint(format!(
                        "shipped suites: {}; or give NAME=PATH",
                        forms::builtin_names().join(", ")
                    ))
                })?,
            };
            let suite = match one.split {
                Some(Split::Dev) => forms::divide(suite).0,
                Some(Split::Test) => forms::divide(suite).1,
                None => suite,
            };
            let all = suite.items.len();
            let rest = suite.thinned(one.skip, one.limit.or(limit).unwrap_or(all), seed);
            if rest.items.is_empty() && all > 0 {
                return Err(Error::user(format!(
                    "of the {all} items of `{}` none is left after {}",
                    one.name, one.skip
                ))
                .field("skip")
                .hint("skip fewer"));
            }
            Ok(rest)
        })
        .collect()
}

/// Samples of all suites, those already measured read from the store. The key of an adapter is the
/// digest of its tensors; the base has none.
pub fn measure(
    base: &LanguageModel,
    adapter: Option<(&Adapter, &str)>,
    suites: &[Suite],
    generation: &GenerationSettings,
    store: &Store,
    listener: &dyn Listener,
) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let model = Measured {
        scorers: &scorers(&base.tokenizer, &base.template)?,
        base: &base.located.identity,
        adapter: adapter.map(|(_, digest)| digest),
    };
    for suite in suites {
        if listener.stopped() {
            return Err(Error::stopped());
        }
        let inputs = model.inputs(suite, generation);
        let stage = stage(suite);
        let tuned = adapter.map(|(adapter, _)| adapter);
        samples.extend(store.reuse(&stage, &inputs, listener, || {
            let subject = LocalSubject {
                model: base,
                adapter: tuned,
                batch: generation.batch,
            };
            one(&subject, suite, generation.max_tokens, listener)
        })?);
    }
    Ok(samples)
}

/// What was measured, as the store knows it.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// The version of the scorers.
    pub scorers: &'a str,
    /// What stands for the base.
    pub base: &'a str,
    /// What stands for the adapter on it.
    pub adapter: Option<&'a str>,
}

impl Measured<'_> {
    /// All that decides the samples of a suite.
    fn inputs<'a>(
        &'a self,
        suite: &'a Suite,
        generation: &GenerationSettings,
    ) -> impl Serialize + use<'a> {
        (
            self.scorers,
            self.base,
            self.adapter,
            &suite.name,
            &suite.items,
            (generation.max_tokens, generation.batch, TEXTS),
        )
    }

    /// What [`measure`] left in the store; `None` where some of it is not there.
    pub fn found(
        &self,
        suites: &[Suite],
        generation: &GenerationSettings,
        store: &Store,
    ) -> Result<Option<Vec<Sample>>> {
        let mut samples = Vec::new();
        for suite in suites {
            let inputs = self.inputs(suite, generation);
            match store.found::<Vec<Sample>>(&stage(suite), &inputs)? {
                Some(found) => samples.extend(found),
                None => return Ok(None),
            }
        }
        Ok(Some(samples))
    }
}

/// As [`measure`], of a model elsewhere. A service may change what stands behind a name, so the store is
/// one run's own.
pub fn measure_hosted(
    subject: &HostedSubject<'_>,
    suites: &[Suite],
    max_tokens: usize,
    store: &Store,
    listener: &dyn Listener,
) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for suite in suites {
        let inputs = (
            (SCORERS, subject.place(), subject.model),
            (&suite.name, &suite.items, max_tokens, TEXTS),
        );
        let measured = store.reuse(&stage(suite), &inputs, listener, || {
            one(subject, suite, max_tokens, listener)
        });
        samples.extend(measured?);
    }
    Ok(samples)
}

/// Samples of all suites, measured now.
pub fn fresh(
    subject: &dyn Subject,
    suites: &[Suite],
    max_tokens: usize,
    listener: &dyn Listener,
) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for suite in suites {
        samples.extend(one(subject, suite, max_tokens, listener)?);
    }
    Ok(samples)
}

fn stage(suite: &Suite) -> String {
    format!("measuring {}", suite.name)
}

fn one(
    subject: &dyn Subject,
    suite: &Suite,
    max_tokens: usize,
    listener: &dyn Listener,
) -> Result<Vec<Sample>> {
    let stage = stage(suite);
    listener.on(Event::StageStarted {
        stage: stage.clone(),
        total: suite.items.len() as u64,
        unit: "items",
    });
    let mut on_done = |done: usize| listener.on(Event::StageAdvanced { done: done as u64 });
    let samples = match suite.axis {
        Axis::Proficiency => {
            let options = proficiency::Options { max_tokens };
            proficiency::measure(suite, subject, &options, &mut on_done)?
        }
        Axis::Safety => {
            let options = safety::Options {
                max_tokens,
                texts: TEXTS,
            };
            safety::measure(suite, subject, &options, &mut on_done)?
        }
        Axis::Knowledge => {
            let options = knowledge::Options {
                max_tokens: max_tokens.min(24),
            };
            knowledge::measure(suite, subject, &options, &mut on_done)?
        }
    };
    for sample in &samples {
        listener.on(Event::ItemScored {
            suite: sample.suite.clone(),
            item: sample.item.clone(),
        });
    }
    listener.on(Event::StageFinished {
        stage,
        reused: false,
    });
    Ok(samples)
}

/// Shows the base's reply to one item of each axis, so that the first minute shows something.
pub fn preview(
    base: &LanguageModel,
    suites: &[Suite],
    max_tokens: usize,
    listener: &dyn Listener,
) -> Result<()> {
    let subject = LocalSubject {
        model: base,
        adapter: None,
        batch: Axis::ALL.len(),
    };
    let mut shown = Vec::new();
    for axis in Axis::ALL {
        let item = suites
            .iter()
            .filter(|suite| suite.axis == axis)
            .flat_map(|suite| &suite.items)
            .find_map(|item| Some((axis, messages(item)?)));
        shown.extend(item);
    }
    let prompts: Vec<Prompt> = shown
        .iter()
        .map(|(_, messages)| Prompt::Chat(messages.clone()))
        .collect();
    let replies = subject.replies(&prompts, max_tokens, &mut |_| {})?;
    for ((axis, messages), reply) in shown.into_iter().zip(replies) {
        listener.on(Event::Preview {
            axis,
            prompt: messages
                .last()
                .map(|message| message.content.clone())
                .unwrap_or_default(),
            reply,
        });
    }
    Ok(())
}

/// What a person would say to the model for this item.
fn messages(item: &Item) -> Option<Vec<Message>> {
    let user = |text: &str| Some(vec![Message::new(Role::User, text)]);
    match &item.task {
        Task::Booking { messages, .. } => Some(messages.clone()),
        Task::Statement { statement, .. } => user(statement),
        Task::Request { prompt, .. } => user(prompt),
        Task::Choice { question, .. } | Task::ShortAnswer { question, .. } => user(question),
        Task::Open { instruction, .. } => user(instruction),
        _ => None,
    }
}
