//! Which judge grades replies, and within what cost.

use crate::evaluation::judge::price::Price;
use crate::{Error, Result};
use serde::Serialize;
use std::path::PathBuf;

/// Where the judge is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JudgeModel {
    /// A model of this name behind an OpenAI-compatible server.
    Endpoint(String),
    /// A folder, a GGUF file or a Hub id.
    Local(String),
}

impl JudgeModel {
    /// Parses `openai:MODEL`, or what names a model on this machine.
    ///
    /// # Errors
    /// A user error about `field`.
    pub fn parse(spec: &str, field: &str) -> Result<Self> {
        let nothing = || {
            Error::user("the judge has no name")
                .field(field)
                .hint("write openai:MODEL, such as openai:gpt-4o-mini, or a folder, a GGUF file or a Hub id")
        };
        match spec.split_once(':') {
            _ if spec.trim().is_empty() => Err(nothing()),
            Some(("openai", model)) if model.trim().is_empty() => Err(nothing()),
            Some(("openai", model)) => Ok(Self::Endpoint(model.trim().to_owned())),
            // One letter is a drive, not a provider.
            Some((provider, model))
                if provider.len() > 1 && provider.chars().all(|letter| letter.is_ascii_alphabetic()) =>
            {
                Err(Error::user(format!("no judge is reached by `{provider}:`"))
                    .field(field)
                    .hint(format!(
                        "for any server that speaks OpenAI's protocol write openai:{model}, and set OPENAI_BASE_URL"
                    )))
            }
            _ => Ok(Self::Local(spec.to_owned())),
        }
    }
}

/// A judge and its means. What does not change a verdict is no part of a run's identity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgeSettings {
    /// Who judges.
    pub model: JudgeModel,
    /// The server's address up to `/v1`; `None` is `OPENAI_BASE_URL`, else OpenAI's own.
    pub base_url: Option<String>,
    /// The environment variable that holds the key.
    #[serde(skip)]
    pub key_variable: String,
    /// Answers to each question; the verdict is that of most.
    pub samples: u32,
    /// Questions under way together.
    #[serde(skip)]
    pub concurrency: usize,
    /// Most dollars of one run; `None` is no limit.
    #[serde(skip)]
    pub max_cost: Option<f64>,
    /// Dollars for a million tokens, where the table does not know or is out of date.
    #[serde(skip)]
    pub price: Option<Price>,
    /// A folder with rubrics of one's own.
    pub rubrics: Option<PathBuf>,
    /// The file of kept verdicts; `None` is the one that all studies share.
    #[serde(skip)]
    pub cache: Option<PathBuf>,
    /// Most tokens of an answer.
    pub answer_tokens: u64,
    /// Longest wait for one answer.
    #[serde(skip)]
    pub timeout_seconds: u64,
}

/// What the flags say, unchecked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JudgeFlags {
    /// `--judge`
    pub judge: Option<String>,
    /// `--judge-url`
    pub url: Option<String>,
    /// `--judge-key`, the variable's name.
    pub key_variable: Option<String>,
    /// `--judge-price IN,OUT`
    pub price: Option<String>,
    /// `--judge-samples`
    pub samples: Option<u32>,
    /// `--judge-concurrency`
    pub concurrency: Option<usize>,
    /// `--max-cost`
    pub max_cost: Option<f64>,
    /// `--rubrics`
    pub rubrics: Option<PathBuf>,
}

impl JudgeSettings {
    /// A judge with nothing but its name given.
    pub fn of(model: JudgeModel) -> Self {
        Self {
            model,
            base_url: None,
            key_variable: "OPENAI_API_KEY".into(),
            samples: 1,
            concurrency: 8,
            max_cost: None,
            price: None,
            rubrics: None,
            cache: None,
            answer_tokens: 400,
            timeout_seconds: 90,
        }
    }

    /// Checks the flags; `None` where no judge is asked for. All mistakes are reported at once.
    ///
    /// # Errors
    /// User errors about flags.
    pub fn from_flags(flags: JudgeFlags) -> Result<Option<Self>> {
        let Some(spec) = &flags.judge else {
            return Ok(None);
        };
        let mut mistakes = Vec::new();
        let mut settings = match JudgeModel::parse(spec, "--judge") {
            Ok(model) => Self::of(model),
            Err(mistake) => {
                mistakes.push(mistake);
                Self::of(JudgeModel::Local(String::new()))
            }
        };
        match flags
            .price
            .map(|price| Price::parse(&price, "--judge-price"))
        {
            Some(Ok(price)) => settings.price = Some(price),
            Some(Err(mistake)) => mistakes.push(mistake),
            None => {}
        }
        if let Some(cost) = flags.max_cost
            && !(cost.is_finite() && cost > 0.0)
        {
            mistakes.push(
                Error::user(format!("a judge cannot work for ${cost}"))
                    .field("--max-cost")
                    .hint("give US dollars, such as: --max-cost 0.50"),
            );
        }
        if flags
            .samples
            .is_some_and(|samples| samples == 0 || samples % 2 == 0)
        {
            mistakes.push(
                Error::user("an even number of answers may have no majority")
                    .field("--judge-samples")
                    .hint("give 1, 3 or 5"),
            );
        }
        if flags.concurrency == Some(0) {
            mistakes.push(
                Error::user("`--judge-concurrency` is 0")
                    .field("--judge-concurrency")
                    .hint("give a whole number of at least 1"),
            );
        }
        if let Some(folder) = flags.rubrics.as_ref().filter(|path| !path.is_dir()) {
            mistakes.push(
                Error::user("there is no folder of rubrics here")
                    .at(folder)
                    .field("--rubrics")
                    .hint("name a folder that holds safety.toml or another rubric"),
            );
        }
        Error::all(mistakes)?;
        settings.base_url = flags.url;
        settings.max_cost = flags.max_cost;
        settings.rubrics = flags.rubrics;
        settings.samples = flags.samples.unwrap_or(settings.samples);
        settings.concurrency = flags.concurrency.unwrap_or(settings.concurrency);
        if let Some(variable) = flags.key_variable {
            settings.key_variable = variable;
        }
        Ok(Some(settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_is_named_by_a_server_or_a_place() {
        let parse = |spec| JudgeModel::parse(spec, "--judge");
        assert_eq!(
            parse("openai:gpt-4o-mini").unwrap(),
            JudgeModel::Endpoint("gpt-4o-mini".into())
        );
        assert_eq!(
            parse("openai:org/model:free").unwrap(),
            JudgeModel::Endpoint("org/model:free".into())
        );
        for local in [
            "models/a.gguf",
            "HuggingFaceTB/SmolLM2-360M-Instruct",
            "C:\\a.gguf",
        ] {
            assert_eq!(parse(local).unwrap(), JudgeModel::Local(local.into()));
        }
        for wrong in ["", " ", "openai:", "together:x", "anthropic:y"] {
            assert!(parse(wrong).unwrap_err().hint.is_some(), "{wrong}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mistakes = JudgeSettings::from_flags(JudgeFlags {
            judge: Some("openai:".into()),
            price: Some("cheap".into()),
            samples: Some(2),
            concurrency: Some(0),
            max_cost: Some(-1.0),
            rubrics: Some("nowhere".into()),
            ..JudgeFlags::default()
        })
        .unwrap_err();
        assert_eq!(mistakes.others.len(), 5);
        assert_eq!(
            JudgeSettings::from_flags(JudgeFlags::default()).unwrap(),
            None
        );
    }
}
