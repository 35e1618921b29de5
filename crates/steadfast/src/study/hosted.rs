//! The arms of a study that are trained elsewhere: their jobs are begun before anything else, so that
//! prices are agreed to first and the services work while this machine does; they are measured last.

use super::measuring;
use crate::conversations::Conversation;
use crate::digest;
use crate::evaluation::hosted::{HostedSubject, Offered};
use crate::evaluation::items::Suite;
use crate::evaluation::measurement::Sample;
use crate::evaluation::scorers::learnt::LearntTalk;
use crate::events::{Event, Listener};
use crate::models::resolve::Located;
use crate::providers::connection::Connection;
use crate::providers::job::{Order, Provider};
use crate::providers::record::Record;
use crate::providers::retry::Patience;
use crate::providers::training::{Hosted, PACE, connect, provider};
use crate::results::Training;
use crate::runs::folder::RunFolder;
use crate::runs::store::Store;
use crate::settings::{HostedArm, StudySettings};
use crate::study::data;
use crate::{Error, Result};
use std::path::PathBuf;
use std::time::Duration;

/// Part of what a job is known by: a change of what is ordered makes old jobs unreachable.
const ORDER: &str = "steadfast.order/1";
/// Digits of a tag.
const TAG: usize = 12;
/// Bytes of a token, about, as English has them.
const TOKEN_BYTES: u64 = 4;
/// Tokens of a message beside its text, about.
const FRAME_TOKENS: u64 = 4;

/// An arm under a seed, whose job is begun.
pub struct Begun<'a> {
    /// Its settings.
    pub arm: &'a HostedArm,
    /// Its seed.
    pub seed: u64,
    name: String,
    folder: PathBuf,
    data: Learnt,
    tag: String,
    connection: Connection,
    provider: Box<dyn Provider>,
    record: Option<Record>,
}

/// A trained and measured arm.
#[derive(Clone, Debug)]
pub struct HostedOutcome<'a> {
    /// Its name in results.
    pub name: String,
    /// Its settings.
    pub arm: &'a HostedArm,
    /// Its seed.
    pub seed: u64,
    /// The name of the tuned model.
    pub model: String,
    /// What the service tells of texts that it did not write.
    pub offered: Offered,
    /// What training cost.
    pub training: Training,
    /// Samples of the arm's own base, asked there.
    pub before: Vec<Sample>,
    /// Its samples.
    pub after: Vec<Sample>,
}

/// What is learnt, as a service takes it.
struct Learnt {
    lines: Vec<u8>,
    conversations: usize,
    tokens: u64,
}

fn learnt(conversations: &[Conversation]) -> Result<Learnt> {
    let mut lines = Vec::new();
    let mut tokens = 0;
    for conversation in conversations {
        let line = serde_json::to_string(conversation)
            .map_err(|cause| Error::bug("a conversation has no JSON form").because(cause))?;
        lines.extend(line.as_bytes());
        lines.push(b'\n');
        tokens += conversation
            .messages
            .iter()
            .map(|message| message.content.len() as u64 / TOKEN_BYTES + FRAME_TOKENS)
            .sum::<u64>();
    }
    Ok(Learnt {
        lines,
        conversations: conversations.len(),
        tokens,
    })
}

/// Tokens that an arm's job under a seed is billed for, about.
pub fn trained_tokens(settings: &StudySettings, arm: &HostedArm, seed: u64) -> Result<u64> {
    let once = learnt(&data::learnt(&settings.data, seed)?)?.tokens;
    Ok(once.saturating_mul(arm.hyperparameters.epochs))
}

/// Stands for all that decides what training ends with: not for where it is, since a server of one's own
/// may have moved.
fn tag(arm: &HostedArm, seed: u64, data: &[u8]) -> Result<String> {
    let inputs = (
        ORDER,
        (
            arm.provider,
            &arm.base,
            &arm.hyperparameters,
            &arm.extra,
            &arm.suffix,
        ),
        (seed, digest::of(data)),
    );
    let text = serde_json::to_string(&inputs)
        .map_err(|cause| Error::bug("an order has no JSON form").because(cause))?;
    Ok(digest::of(text)[..TAG].to_owned())
}

/// Begins the job of each hosted arm under each seed, or finds it begun.
///
/// # Errors
/// When a service refuses or cannot be reached, or nobody agrees to a price.
pub fn begin<'a>(
    settings: &'a StudySettings,
    folder: &RunFolder,
    listener: &dyn Listener,
) -> Result<Vec<Begun<'a>>> {
    let mut begun = Vec::new();
    for &seed in &settings.seeds {
        for arm in &settings.hosted {
            let data = learnt(&data::learnt(&settings.data, seed)?)?;
            let connection = connect(arm)?;
            let mut one = Begun {
                arm,
                seed,
                name: match settings.seeds.len() {
                    1 => arm.name.clone(),
                    _ => format!("{}/{seed}", arm.name),
                },
                folder: folder.arm(&arm.name, seed)?,
                tag: tag(arm, seed, &data.lines)?,
                data,
                provider: provider(arm.provider, connection.clone(), Patience::default())?,
                connection,
                record: None,
            };
            one.record = Some(one.with(listener, |hosted| hosted.begin())?);
            begun.push(one);
        }
    }
    Ok(begun)
}

impl<'a> Begun<'a> {
    fn with<T>(
        &self,
        listener: &dyn Listener,
        act: impl FnOnce(&Hosted<'_>) -> Result<T>,
    ) -> Result<T> {
        let order = Order {
            arm: self.arm,
            name: self.name.clone(),
            seed: self.seed,
            data: &self.data.lines,
            conversations: self.data.conversations,
            tokens: self.data.tokens,
            tag: self.tag.clone(),
        };
        act(&Hosted {
            provider: self.provider.as_ref(),
            order: &order,
            folder: &self.folder,
            pace: PACE,
            listener,
        })
        // Wherever it stops, the same command goes on; who would rather end the job needs its folder.
        .map_err(|error| match error.hint.clone() {
            Some(hint) if self.is_open() => error.hint(format!(
                "{hint}. The job may run on at the service: `steadfast runs cancel {}` ends it",
                self.folder.display()
            )),
            _ => error,
        })
    }

    /// A job is on record, and not known to be over.
    fn is_open(&self) -> bool {
        Record::read(&self.folder)
            .ok()
            .flatten()
            .is_some_and(|record| record.job.is_some() && !record.over && record.model.is_none())
    }

    /// Waits for the job, then measures the base and the tuned model by their names.
    ///
    /// # Errors
    /// When the job fails, or a model cannot be asked.
    pub fn finish(
        self,
        suites: &[Suite],
        max_tokens: usize,
        store: &Store,
        learnt: &LearntTalk,
        listener: &dyn Listener,
    ) -> Result<HostedOutcome<'a>> {
        let record = self.record.clone();
        let record = record.ok_or_else(|| Error::bug("a job is followed that was not begun"))?;
        let trained = self.with(listener, |hosted| hosted.follow(record))?;
        let mut connection = self.connection.clone();
        connection.timeout = Duration::from_secs(self.arm.timeout_seconds);
        let subject = |model| {
            HostedSubject::new(
                &connection,
                model,
                self.arm.concurrency,
                Patience::default(),
            )
        };
        let measure = |subject: &HostedSubject<'_>| {
            listener.on(Event::Note {
                message: format!("asking {}:{}", self.arm.provider.name(), subject.model),
            });
            let mut samples =
                measuring::measure_hosted(subject, suites, max_tokens, store, listener)?;
            learnt.mark(&mut samples);
            Ok::<_, Error>(samples)
        };
        let (base, tuned) = (subject(&self.arm.base), subject(&trained.name));
        let before = measure(&base)?;
        let after = measure(&tuned)?;
        let offered = offered(&before);
        if !offered.all() {
            listener.on(Event::Warning {
                message: format!("{}: {}", self.name, lacking(offered)),
            });
        }
        Ok(HostedOutcome {
            name: self.name,
            arm: self.arm,
            seed: self.seed,
            model: trained.name,
            offered,
            training: trained.training,
            before,
            after,
        })
    }
}

/// What was told, by what is scored: measured suites are read back without asking again.
fn offered(samples: &[Sample]) -> Offered {
    let scored = |metrics: &[&str]| {
        let mut asked = samples
            .iter()
            .flat_map(|sample| {
                metrics
                    .iter()
                    .filter_map(|metric| sample.scores.get(*metric))
            })
            .peekable();
        asked.peek().is_none() || asked.any(Option::is_some)
    };
    Offered {
        text: scored(&["answer_nll"]),
        chat: scored(&["reference_nll", "constructive_preference"]),
    }
}

/// What cannot be scored, and why.
pub fn lacking(offered: Offered) -> String {
    let what = match (offered.text, offered.chat) {
        (false, false) => "of text that it reads",
        (false, true) => "of plain text that it reads",
        _ => "of replies that it reads",
    };
    format!(
        "the service tells no log-probabilities {what}, so scores that need them (constructive preference, choices, \
         clozes, likelihoods of references) are unscored"
    )
}

/// What stands for the base where no arm is trained on this machine.
pub fn located(arm: &HostedArm) -> Located {
    Located {
        id: format!("{}:{}", arm.provider.name(), arm.base),
        revision: None,
        sha256: String::new(),
        identity: String::new(),
        path: PathBuf::new(),
    }
}
