//! A judge made ready from settings: opened before anything is measured, so that a wrong key or a
//! wrong rubric costs no time.

use super::check::{self, Agreement};
use super::endpoint::{Asking, Endpoint, WHO};
use super::local::LocalJudge;
use super::price::Price;
use super::rubric::Rubrics;
use super::{Judge, Panel, cache, cases};
use crate::evaluation::items::Suite;
use crate::evaluation::measurement::Sample;
use crate::events::{Event, Listener};
use crate::models::resolve::{self, Located};
use crate::providers::Name;
use crate::providers::connection::{Connection, Key};
use crate::providers::retry::Patience;
use crate::settings::judge::{JudgeModel, JudgeSettings};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A judge, its rubrics, and what it said before.
pub struct Session {
    judge: Box<dyn Judge>,
    rubrics: Rubrics,
    cache: cache::Cache,
    samples: u32,
}

/// Who judged a measurement, and how far to believe it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgedBy {
    /// The judge.
    pub name: String,
    /// Answers to each question.
    pub samples: u32,
    /// SHA-256 of each rubric.
    pub rubrics: BTreeMap<String, String>,
    /// Agreement with the shipped labels; `None` until `judge check` was run with this judge.
    pub agreement: Option<Agreement>,
}

impl Session {
    /// Makes the judge of the settings ready. `subject` is the model under test, which must not be it.
    ///
    /// # Errors
    /// When the key, a rubric, the cache or the model is not as it should be, or judge and subject are
    /// the same model.
    pub fn open(
        settings: &JudgeSettings,
        subject: Option<&Located>,
        listener: &dyn Listener,
    ) -> Result<Self> {
        let rubrics = Rubrics::read(settings.rubrics.as_deref())?;
        let judge: Box<dyn Judge> = match &settings.model {
            JudgeModel::Endpoint(model) => {
                refuse_itself(model, None, subject)?;
                Box::new(endpoint(settings, model)?)
            }
            JudgeModel::Local(id) => {
                let located = resolve::locate(Some(id), listener)?;
                refuse_itself(id, Some(&located.sha256), subject)?;
                let answer_tokens = usize::try_from(settings.answer_tokens).unwrap_or(usize::MAX);
                Box::new(LocalJudge::load(&located, answer_tokens)?)
            }
        };
        let path = match &settings.cache {
            Some(path) => path.clone(),
            None => cache::default_path()?,
        };
        Ok(Self {
            judge,
            rubrics,
            cache: cache::Cache::open(&path)?,
            samples: settings.samples,
        })
    }

    /// What grades.
    pub fn panel(&self) -> Panel<'_> {
        Panel {
            judge: self.judge.as_ref(),
            rubrics: &self.rubrics,
            cache: &self.cache,
            samples: self.samples,
        }
    }

    /// Adds the judge's scores to samples of these suites.
    ///
    /// # Errors
    /// When the judge cannot go on. What it said until then is kept.
    pub fn judge(
        &self,
        samples: &mut [Sample],
        suites: &[Suite],
        listener: &dyn Listener,
    ) -> Result<()> {
        cases::apply(samples, suites, &self.panel(), listener)
    }

    /// Who judged, and how far to believe it.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub fn judged_by(&self, listener: &dyn Listener) -> Result<JudgedBy> {
        let agreement = check::known(&self.panel())?;
        let name = self.judge.name().to_owned();
        listener.on(match &agreement {
            None => Event::Warning {
                message: format!(
                    "how far {name} agrees with the labelled replies is not known yet: run `steadfast judge check --judge {name}`"
                ),
            },
            Some(known) if known.indicative => Event::Warning {
                message: format!(
                    "{name} agrees with the labelled replies at a kappa of {:.2}, below {}: its numbers are indicative",
                    known.kappa,
                    check::INDICATIVE
                ),
            },
            Some(known) => Event::Note {
                message: format!(
                    "{name} agrees with {:.0}% of the labelled replies, at a kappa of {:.2}",
                    100.0 * known.share,
                    known.kappa
                ),
            },
        });
        Ok(JudgedBy {
            name,
            samples: self.samples,
            rubrics: self.rubrics.digests(),
            agreement,
        })
    }
}

/// The model under test must not grade itself.
fn refuse_itself(judge: &str, sha256: Option<&str>, subject: Option<&Located>) -> Result<()> {
    let Some(subject) = subject else {
        return Ok(());
    };
    if judge == subject.id || sha256.is_some_and(|digest| digest == subject.sha256) {
        return Err(Error::user(format!(
            "`{judge}` is the model under test, and cannot be its own judge"
        ))
        .field("--judge")
        .hint("name another model, a larger one at best: --judge openai:gpt-4o-mini"));
    }
    Ok(())
}

fn endpoint(settings: &JudgeSettings, model: &str) -> Result<Endpoint> {
    let openai = Name::OpenAi;
    let base = openai.base_url(settings.base_url.as_deref());
    if !Key::is_variable(&settings.key_variable) {
        // What stands there may be the key itself, so it is not repeated.
        return Err(
            Error::user("the judge's key is named by no variable's name")
                .field("key_variable")
                .hint("give the name of an environment variable, such as OPENAI_API_KEY, never the key"),
        );
    }
    let key = Key::from_environment(&settings.key_variable);
    let timeout = Duration::from_secs(settings.timeout_seconds);
    let connection = Connection::new(WHO, &base, key, timeout)?;
    if !connection.has_key() && !connection.is_here() {
        return Err(Error::user(format!(
            "the variable {} holds no key for the judge",
            settings.key_variable
        ))
        .field("--judge")
        .hint(format!(
            "export {}=…, or name a model on this machine as the judge; a server on this machine needs no key",
            settings.key_variable
        )));
    }
    // Other servers charge what they like for a model of the same name.
    let own = connection.base() == openai.address();
    let known = || Price::known(model).filter(|_| own).map(|(price, _)| price);
    let asking = Asking {
        model: model.to_owned(),
        price: settings.price.or_else(known),
        max_cost: settings.max_cost,
        concurrency: settings.concurrency,
        answer_tokens: settings.answer_tokens,
        patience: Patience::default(),
        seed: 0x5eed ^ u64::from(std::process::id()),
    };
    Endpoint::new(asking, connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_judges_itself() {
        let subject = Located {
            id: "models/a.gguf".into(),
            revision: None,
            sha256: "abc".into(),
            identity: "abc".into(),
            path: "models/a.gguf".into(),
        };
        assert!(refuse_itself("models/a.gguf", None, Some(&subject)).is_err());
        let other_name = refuse_itself("b.gguf", Some("abc"), Some(&subject)).unwrap_err();
        assert!(other_name.message.contains("its own judge"));
        assert!(refuse_itself("b.gguf", Some("def"), Some(&subject)).is_ok());
        assert!(refuse_itself("models/a.gguf", Some("abc"), None).is_ok());
    }
}
