//! Which kept scores are those of these settings, found without loading a model.

use super::arm;
use super::data;
use super::measuring;
use super::replies;
use super::workbench::{DEVELOPMENT, Part, Parts, TEST, made};
use crate::digest;
use crate::evaluation::measurement::Sample;
use crate::evaluation::scorers::learnt;
use crate::evaluation::suites;
use crate::models::Multiple;
use crate::models::language_model::read_text;
use crate::models::resolve::Located;
use crate::reports::frontier::{Frontier, Point};
use crate::runs::kept::{Head, Kept, SCHEMA, Scores, Tuned};
use crate::settings::{ArmSettings, DataSettings, StudySettings};
use crate::{Error, Result};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// An arm under a seed and a scale; nothing is the base.
pub type Whose<'a> = Option<(&'a ArmSettings, u64, Multiple)>;

/// The scores that a study keeps, if it keeps any.
pub struct Keeping<'a> {
    settings: &'a StudySettings,
    located: &'a Located,
    kept: Option<Kept>,
    data: RefCell<BTreeMap<u64, String>>,
    retained: OnceCell<Vec<String>>,
    scorers: OnceCell<String>,
}

impl<'a> Keeping<'a> {
    /// Those of the settings, over the base at `located`.
    pub fn new(settings: &'a StudySettings, located: &'a Located) -> Self {
        Self {
            settings,
            located,
            kept: settings.keep.as_ref().map(Kept::new),
            data: RefCell::default(),
            retained: OnceCell::new(),
            scorers: OnceCell::new(),
        }
    }

    /// The scores kept of the base or an arm, where they are of these settings.
    pub fn find(&self, part: &Part, whose: Whose<'_>) -> Result<Option<Scores>> {
        let Some(kept) = &self.kept else {
            return Ok(None);
        };
        let name = kept_name(whose);
        // The key needs the training data read: not for a file that is not there.
        if !kept.path(part.name, &name).exists() {
            return Ok(None);
        }
        kept.find(part.name, &name, &self.key(part, whose)?)
    }

    /// Makes sure that no other scores stand where these would be kept, before anything is computed.
    ///
    /// # Errors
    /// Scores of other settings, other data or another version have these names.
    pub fn check(&self, parts: &Parts) -> Result<()> {
        self.check_part(&parts.development, &self.settings.seeds)?;
        match (&parts.test, &self.settings.finalists) {
            (Some(test), Some(asked)) => self.check_part(test, &asked.seeds),
            _ => Ok(()),
        }
    }

    /// Whether scores are to be kept of which some are not there: on development items, or of what the
    /// finished study shows on test items.
    pub fn lacks_some(&self, frontier: Option<&Frontier>) -> bool {
        let Some(kept) = &self.kept else {
            return false;
        };
        let lacks = |part: &str, name: &str| !kept.path(part, name).exists();
        let tested = frontier.map_or(&[][..], |frontier| &frontier.test);
        let lacks_tested =
            |point: &Point| lacks(TEST, &format!("{}/{}", point.setting(), point.seed));
        self.all(&self.settings.seeds)
            .into_iter()
            .any(|whose| lacks(DEVELOPMENT, &kept_name(whose)))
            || !tested.is_empty() && lacks(TEST, &kept_name(None))
            || tested.iter().any(lacks_tested)
    }

    /// The version of the scorers on this base.
    pub fn scorers(&self) -> Result<&str> {
        let text = || read_text(&self.located.path);
        made(&self.scorers, || {
            let (tokenizer, template) = text()?;
            measuring::scorers(&tokenizer, &template)
        })
        .map(String::as_str)
    }

    /// The base, and each setting under each seed.
    fn all(&self, seeds: &[u64]) -> Vec<Whose<'a>> {
        let mut all = vec![None];
        for arm in &self.settings.arms {
            for &seed in seeds {
                let of = |scale: &Multiple| Some((arm, seed, *scale));
                all.extend(arm.scales.iter().map(of));
            }
        }
        all
    }

    fn check_part(&self, part: &Part, seeds: &[u64]) -> Result<()> {
        let Some(kept) = &self.kept else {
            return Ok(());
        };
        for whose in self.all(seeds) {
            let path = kept.path(part.name, &kept_name(whose));
            if path.exists() && self.find(part, whose)?.is_none() {
                return Err(Error::user(
                    "scores of other settings, other data or another version are kept here",
                )
                .at(path)
                .field("keep")
                .hint("name another folder, or remove the file: it will be made anew"));
            }
        }
        Ok(())
    }

    /// Keeps scores; says where, if the study keeps any.
    pub fn write(
        &self,
        part: &Part,
        whose: Whose<'_>,
        tuned: Option<&Tuned>,
        samples: &[Sample],
    ) -> Result<Option<PathBuf>> {
        let Some(kept) = &self.kept else {
            return Ok(None);
        };
        let head = Head {
            schema: SCHEMA.into(),
            key: self.key(part, whose)?,
            name: kept_name(whose),
            tuned: tuned.cloned(),
        };
        kept.write(part.name, &head, samples)?;
        Ok(Some(kept.path(part.name, &head.name)))
    }

    /// Digest of everything that decides what is measured, by what goes in rather than by what came
    /// of it on the way: it is found without loading a model.
    fn key(&self, part: &Part, whose: Whose<'_>) -> Result<String> {
        let tuned = whose
            .map(|(arm, seed, scale)| {
                let retained = (
                    &self.settings.retain,
                    self.retained()?,
                    prompts(suites::drift_prompts()?),
                );
                Ok::<_, Error>((
                    arm::version(arm, self.settings.device),
                    arm.method,
                    &arm.hyperparameters,
                    (seed, scale),
                    (self.data_digest(seed)?, self.settings.data.validation_share),
                    retained,
                ))
            })
            .transpose()?;
        let asked: Vec<_> = part
            .suites
            .iter()
            .map(|suite| (&suite.name, &suite.items))
            .collect();
        // Lines of the part held out are not learnt. As files say that were kept before this was known, a
        // digest alone stands for the usual share.
        let mut learnt = self.data_digest(self.settings.seeds[0])?;
        let held_out = self.settings.data.validation_share;
        if held_out != DataSettings::VALIDATION_SHARE {
            learnt = format!("{learnt} without {held_out}");
        }
        let inputs = (
            SCHEMA,
            (self.scorers()?, learnt::VERSION, learnt),
            &self.located.identity,
            asked,
            &self.settings.generation,
            tuned,
        );
        serde_json::to_string(&inputs)
            .map(digest::of)
            .map_err(|cause| Error::bug("an arm has no JSON form").because(cause))
    }

    /// The texts of all prompts whose replies may be retained: shipped ones, and the user's own.
    fn retained(&self) -> Result<&[String]> {
        made(&self.retained, || {
            let mut texts = prompts(suites::retain_prompts()?);
            let own = replies::own_prompts(&self.settings.retain)?;
            texts.extend(own.into_iter().flatten().map(|turn| turn.content));
            Ok(texts)
        })
        .map(Vec::as_slice)
    }

    fn data_digest(&self, seed: u64) -> Result<String> {
        if let Some(digest) = self.data.borrow().get(&seed) {
            return Ok(digest.clone());
        }
        let digest = data::digest(&self.settings.data, seed)?;
        self.data.borrow_mut().insert(seed, digest.clone());
        Ok(digest)
    }
}

/// The seed is always part of it: another study may train under several.
fn kept_name(whose: Whose<'_>) -> String {
    whose.map_or_else(
        || "base".to_owned(),
        |(arm, seed, scale)| arm::name(arm, scale, seed, usize::MAX),
    )
}

fn prompts(prompts: Vec<suites::RetainPrompt>) -> Vec<String> {
    prompts.into_iter().map(|prompt| prompt.prompt).collect()
}
