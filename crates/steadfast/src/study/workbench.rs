//! What the arms of a study share, each part made when it is first asked for: a study whose scores
//! are all kept loads no model.

use super::arm::{self, TrainedArm};
use super::data::{self, Conversations};
use super::keeping::{Keeping, Whose};
use super::measuring::{self, Measured};
use super::replies::{self, OwnReply};
use crate::evaluation::Axis;
use crate::evaluation::items::{Item, Suite};
use crate::evaluation::measurement::Sample;
use crate::evaluation::scorers::learnt::LearntTalk;
use crate::events::{Event, Listener};
use crate::group::Alone;
use crate::models::resolve::Located;
use crate::models::{Adapter, LanguageModel, Multiple};
use crate::reports::card::Card;
use crate::runs::folder::{ADAPTER, RunFolder, arm_folder};
use crate::runs::kept::Tuned;
use crate::runs::store::Store;
use crate::settings::{ArmSettings, Extent, FinalistSettings, StudySettings};
use crate::{Error, Result};
use candle_core::Device;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

/// The folder among kept scores of those on the items that settings are chosen on.
pub const DEVELOPMENT: &str = "development";

/// The same on the items that the chosen are compared on.
pub const TEST: &str = "test";

/// The items that something is measured on.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its folder among kept scores: [`DEVELOPMENT`] or [`TEST`].
    pub name: &'static str,
    /// The items.
    pub suites: Vec<Suite>,
    /// Seeds that arms are trained under.
    pub seeds: usize,
    /// Whether kept scores are all there is: nothing is trained or measured for it.
    pub kept_only: bool,
}

impl Part {
    /// Finalists are chosen and compared by all three axes: one that is not measured has not been kept.
    fn measures_every_axis(&self) -> Result<()> {
        let measured = |axis: &Axis| self.suites.iter().any(|suite| suite.axis == *axis);
        match Axis::ALL.into_iter().find(|axis| !measured(axis)) {
            None => Ok(()),
            Some(axis) => Err(Error::user(format!(
                "finalists are compared by every axis, and no {} suite measures {}",
                self.name,
                axis.name()
            ))
            .hint("add one to [[suites]] for the choice, to [[finalists.suites]] for the test")),
        }
    }

    /// A setting looks best on the items that it was chosen on. Two conversations may begin alike, so that
    /// the same question under another id is another item.
    fn shares_nothing_with(&self, chosen_on: &Self) -> Result<()> {
        for (suite, item) in self.items() {
            let same = |other: &Item| other.id == item.id && other.task == item.task;
            if let Some((chosen, _)) = chosen_on.items().find(|(_, other)| same(other)) {
                return Err(Error::user(format!(
                    "settings would be chosen and compared on the same item, `{}` (of `{chosen}` and of `{suite}`)",
                    item.id
                ))
                .field("finalists.suites")
                .hint("give the two suites parts of their own (split = \"dev\" and \"test\"), or other files"));
            }
        }
        Ok(())
    }

    /// Each item, with its suite's name.
    fn items(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.suites.iter().flat_map(|suite| {
            let named = |item| (suite.name.as_str(), item);
            suite.items.iter().map(named)
        })
    }
}

/// All items of a study, read once.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What settings are chosen on.
    pub development: Part,
    /// What the chosen are compared on, where the recipe asks for finalists.
    pub test: Option<Part>,
}

impl Parts {
    /// Reads the suites.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read(settings: &StudySettings) -> Result<Self> {
        let development = Part {
            name: DEVELOPMENT,
            suites: measuring::reported(settings, 0)?,
            seeds: settings.seeds.len(),
            kept_only: settings.extent != Extent::Whole,
        };
        let test = |asked: &FinalistSettings| {
            Ok::<_, Error>(Part {
                name: TEST,
                suites: measuring::limited(&asked.suites, None, 0)?,
                seeds: asked.seeds.len(),
                kept_only: settings.extent == Extent::Kept,
            })
        };
        let test = settings.finalists.as_ref().map(test).transpose()?;
        if let Some(test) = &test {
            development.measures_every_axis()?;
            test.measures_every_axis()?;
            test.shares_nothing_with(&development)?;
        }
        Ok(Self { development, test })
    }
}

/// One trained and measured arm.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    /// Its name in results.
    pub name: String,
    /// Its settings.
    pub arm: &'a ArmSettings,
    /// What its change is multiplied with.
    pub scale: Multiple,
    /// Its seed.
    pub seed: u64,
    /// What training and the drift prompts showed.
    pub tuned: Tuned,
    /// Its samples.
    pub after: Vec<Sample>,
}

/// A trained arm, in memory.
pub struct Trained {
    /// Its folder.
    pub folder: PathBuf,
    /// The whole change.
    pub whole: Adapter,
    record: TrainedArm,
}

impl Trained {
    /// A multiple of the change of a base of so many layers, and what stands for it in the store.
    fn at(&self, scale: Multiple, layers: usize) -> Result<(Adapter, String)> {
        let digest = arm::scaled_digest(&self.record.digest, scale);
        Ok((self.whole.at(scale, layers)?, digest))
    }
}

/// What the arms share.
pub struct Workbench<'a> {
    settings: &'a StudySettings,
    located: &'a Located,
    folder: &'a RunFolder,
    listener: &'a dyn Listener,
    loaded: Option<&'a LanguageModel>,
    store: Store,
    keeping: Keeping<'a>,
    base: OnceCell<LanguageModel>,
    drift: OnceCell<Vec<OwnReply>>,
    retained: OnceCell<Vec<OwnReply>>,
    learnt: OnceCell<LearntTalk>,
    conversations: RefCell<BTreeMap<u64, Rc<Conversations>>>,
}

/// The value of a cell, made if it is empty.
pub(super) fn made<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}

impl<'a> Workbench<'a> {
    /// An empty one. Without a base that is loaded already, it loads one when it needs it.
    pub fn new(
        settings: &'a StudySettings,
        located: &'a Located,
        loaded: Option<&'a LanguageModel>,
        folder: &'a RunFolder,
        listener: &'a dyn Listener,
    ) -> Self {
        Self {
            settings,
            located,
            folder,
            listener,
            loaded,
            store: Store::within(&settings.runs),
            keeping: Keeping::new(settings, located),
            base: OnceCell::new(),
            drift: OnceCell::new(),
            retained: OnceCell::new(),
            learnt: OnceCell::new(),
            conversations: RefCell::default(),
        }
    }

    /// The scores that the study keeps.
    pub fn keeping(&self) -> &Keeping<'a> {
        &self.keeping
    }

    /// What this run alone stores: a service may change what stands behind a name.
    pub fn own_store(&self) -> Store {
        Store::within(self.folder.path())
    }

    /// Who listens.
    pub fn listener(&self) -> &'a dyn Listener {
        self.listener
    }

    /// The base.
    pub fn base(&self) -> Result<&LanguageModel> {
        if let Some(loaded) = self.loaded {
            return Ok(loaded);
        }
        made(&self.base, || {
            LanguageModel::load(self.located, &Device::Cpu)
        })
    }

    /// The base's samples: kept, or measured now.
    ///
    /// # Errors
    /// None are kept, and only those are asked for.
    pub fn before(&self, part: &Part) -> Result<Vec<Sample>> {
        if let Some(samples) = self.kept_before(part)? {
            return Ok(samples);
        }
        if part.kept_only {
            return Err(
                Error::user("no scores of the base are kept for these settings")
                    .field("keep")
                    .hint(
                        "run the study without --kept and --finalists: it measures the base first",
                    ),
            );
        }
        measuring::preview(
            self.base()?,
            &part.suites,
            self.settings.generation.max_tokens,
            self.listener,
        )?;
        let samples = self.measure(None, &part.suites)?;
        self.keep(part, None, None, &samples)?;
        Ok(samples)
    }

    /// As [`Workbench::before`]; `None` where none are kept and only those are asked for.
    pub fn before_if_any(&self, part: &Part) -> Result<Option<Vec<Sample>>> {
        if part.kept_only {
            self.kept_before(part)
        } else {
            self.before(part).map(Some)
        }
    }

    fn kept_before(&self, part: &Part) -> Result<Option<Vec<Sample>>> {
        let found = self.keeping.find(part, None)?;
        found
            .map(|scores| self.with_texts(part, None, scores.samples))
            .transpose()
    }

    fn train(&self, arm: &ArmSettings, seed: u64) -> Result<Trained> {
        let folder = self.folder.arm(&arm.name, seed)?;
        let retained = if arm::retains(arm) {
            Some(self.retained()?)
        } else {
            None
        };
        let (base, device) = (self.base()?, self.settings.device);
        // Weights are put on the device anew for each arm: that takes a moment, and training minutes.
        let accelerated = arm::accelerated(base, device)?;
        let record = arm::train(&arm::Work {
            base,
            engine: arm::engine(base, accelerated.as_ref()),
            device,
            arm,
            seed,
            conversations: &*self.conversations(seed)?,
            retained,
            retain_tokens: self.settings.retain.tokens,
            folder: &folder,
            adapter: &folder.join(ADAPTER),
            resume: true,
            group: &Alone,
            listener: self.listener,
        })?;
        // Until it is measured; a study that is stopped before that leaves a card too.
        Card {
            base: &self.located.id,
            arm,
            scale: Multiple::WHOLE,
            seed,
            data: &self.settings.data,
            training: &record.training,
            measured: None,
        }
        .write(&record.adapter)?;
        Ok(Trained {
            whole: Adapter::read(&record.adapter)?,
            folder,
            record,
        })
    }

    /// The trained arm of a cell, trained where it is empty.
    pub fn trained<'t>(
        &self,
        cell: &'t OnceCell<Trained>,
        arm: &ArmSettings,
        seed: u64,
    ) -> Result<&'t Trained> {
        made(cell, || self.train(arm, seed))
    }

    /// Samples of a multiple of a trained change.
    pub fn measure_at(
        &self,
        trained: &Trained,
        scale: Multiple,
        suites: &[Suite],
    ) -> Result<Vec<Sample>> {
        let (adapter, digest) = trained.at(scale, self.base()?.decoder.depth())?;
        self.measure(Some((&adapter, &digest)), suites)
    }

    /// A multiple of an arm's change on one part of the items: from kept scores, or measured and kept.
    /// `None` where it is not kept and only kept scores are asked for.
    pub fn outcome(
        &self,
        arm: &'a ArmSettings,
        seed: u64,
        scale: Multiple,
        part: &Part,
        trained: &OnceCell<Trained>,
    ) -> Result<Option<Outcome<'a>>> {
        let found = self.kept_outcome(arm, seed, scale, part)?;
        let folder = arm_folder(self.folder.path(), &arm.name, seed);
        if part.kept_only || found.is_some() && !arm::damaged(&folder, &folder.join(ADAPTER)) {
            return Ok(found);
        }
        let trained = self.trained(trained, arm, seed)?;
        let (adapter, digest) = trained.at(scale, self.base()?.decoder.depth())?;
        let after = self.measure(Some((&adapter, &digest)), &part.suites)?;
        let drift = replies::drift(
            self.base()?,
            &adapter,
            &digest,
            self.drift()?,
            &self.store,
            self.listener,
        )?;
        let outcome = Outcome {
            name: arm::name(arm, scale, seed, part.seeds),
            arm,
            scale,
            seed,
            tuned: Tuned {
                adapter_sha256: trained.record.digest.clone(),
                training: trained.record.training.clone(),
                disturbance: trained.record.disturbance.clone(),
                drift,
            },
            after,
        };
        let whose = Some((arm, seed, scale));
        self.keep(part, whose, Some(&outcome.tuned), &outcome.after)?;
        Ok(Some(outcome))
    }

    fn kept_outcome(
        &self,
        arm: &'a ArmSettings,
        seed: u64,
        scale: Multiple,
        part: &Part,
    ) -> Result<Option<Outcome<'a>>> {
        let Some(scores) = self.keeping.find(part, Some((arm, seed, scale)))? else {
            return Ok(None);
        };
        let Some(tuned) = scores.head.tuned else {
            return Ok(None);
        };
        let digest = arm::scaled_digest(&tuned.adapter_sha256, scale);
        Ok(Some(Outcome {
            name: arm::name(arm, scale, seed, part.seeds),
            arm,
            scale,
            seed,
            tuned,
            after: self.with_texts(part, Some(&digest), scores.samples)?,
        }))
    }

    /// Kept samples with what items asked and the model said, which kept files have not, where the store
    /// has the same scores. The report shows development items; with kept scores alone it shows no texts.
    fn with_texts(
        &self,
        part: &Part,
        adapter: Option<&str>,
        kept: Vec<Sample>,
    ) -> Result<Vec<Sample>> {
        if self.settings.extent == Extent::Kept || part.name != DEVELOPMENT {
            return Ok(kept);
        }
        let measured = Measured {
            scorers: self.keeping.scorers()?,
            base: &self.located.identity,
            adapter,
        };
        let generation = &self.settings.generation;
        let Some(mut told) = measured.found(&part.suites, generation, &self.store)? else {
            return Ok(kept);
        };
        self.learnt()?.mark(&mut told);
        let same =
            |(one, other): (&Sample, &Sample)| one.item == other.item && one.scores == other.scores;
        let all = told.len() == kept.len() && told.iter().zip(&kept).all(same);
        Ok(if all { told } else { kept })
    }

    /// Samples of the base, or of an adapter and what stands for it in the store.
    pub fn measure(
        &self,
        adapter: Option<(&Adapter, &str)>,
        suites: &[Suite],
    ) -> Result<Vec<Sample>> {
        let mut samples = measuring::measure(
            self.base()?,
            adapter,
            suites,
            &self.settings.generation,
            &self.store,
            self.listener,
        )?;
        self.learnt()?.mark(&mut samples);
        Ok(samples)
    }

    /// What the training data teaches to say; where each seed simulates its own, that of the first.
    pub fn learnt(&self) -> Result<&LearntTalk> {
        let (data, seed) = (&self.settings.data, self.settings.seeds[0]);
        made(&self.learnt, || {
            Ok(LearntTalk::of(&data::learnt(data, seed)?))
        })
    }

    fn keep(
        &self,
        part: &Part,
        whose: Whose<'_>,
        tuned: Option<&Tuned>,
        samples: &[Sample],
    ) -> Result<()> {
        if let Some(path) = self.keeping.write(part, whose, tuned, samples)? {
            self.listener.on(Event::Note {
                message: format!("kept {}", path.display()),
            });
        }
        Ok(())
    }

    fn conversations(&self, seed: u64) -> Result<Rc<Conversations>> {
        if let Some(found) = self.conversations.borrow().get(&seed) {
            return Ok(Rc::clone(found));
        }
        let read = Rc::new(data::read(&self.settings.data, self.base()?, seed)?);
        self.conversations
            .borrow_mut()
            .insert(seed, Rc::clone(&read));
        Ok(read)
    }

    fn retained(&self) -> Result<&[OwnReply]> {
        let (retain, listener) = (&self.settings.retain, self.listener);
        made(&self.retained, || {
            replies::retain_set(self.base()?, retain, &self.store, listener)
        })
        .map(Vec::as_slice)
    }

    fn drift(&self) -> Result<&[OwnReply]> {
        let (retain, listener) = (&self.settings.retain, self.listener);
        made(&self.drift, || {
            replies::drift_set(self.base()?, retain, &self.store, listener)
        })
        .map(Vec::as_slice)
    }
}
