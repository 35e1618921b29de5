//! Training one arm of a study: from settings to a PEFT adapter on disk.

use super::assemble::object;
use super::data::Conversations;
use super::replies::OwnReply;
use crate::digest;
use crate::events::{Event, Listener, Silent};
use crate::group::Group;
use crate::methods::moments::{FirstTokens, Moments};
use crate::methods::{Method, full, lora, null_space, spectrum};
use crate::models::adapter::{CONFIG_FILE, TENSOR_FILE};
use crate::models::memory::Load;
use crate::models::{AcceleratedDecoder, LanguageModel, Multiple};
use crate::reports::mlflow::{self, About, Tracked};
use crate::reports::tensorboard::TensorBoard;
use crate::results::{LayerDisturbance, Training};
use crate::runs::atomic;
use crate::settings::{ArmSettings, MethodName, RetainSettings, Subspace, TrainingDevice, setting};
use crate::training::checkpoint::Checkpoint;
use crate::training::engine::Engine;
use crate::training::train::{Anchor, Anchors, Summary, Task, train as run_loop};
use crate::{Error, Result, usage};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Part of what training is known by: a change of what it ends with, beyond rounding, makes what was
/// trained before unreachable.
const TRAINING: &str = "steadfast.training/3";

/// The same of arms with retained replies in the loss.
const ANCHORED: &str = "steadfast.training/4";

/// The version of training `arm` on a device: another device rounds otherwise, and a run goes on where
/// it began.
pub fn version(arm: &ArmSettings, device: TrainingDevice) -> String {
    let version = if arm.hyperparameters.anchor.is_on() {
        ANCHORED
    } else {
        TRAINING
    };
    match device {
        TrainingDevice::Cpu => version.to_owned(),
        TrainingDevice::Cuda(_) => format!("{version} on cuda"),
    }
}

/// What an arm is trained with.
pub struct Work<'a> {
    /// The base.
    pub base: &'a LanguageModel,
    /// What computes losses and gradients.
    pub engine: &'a dyn Engine,
    /// Where it does.
    pub device: TrainingDevice,
    /// Method and hyperparameters.
    pub arm: &'a ArmSettings,
    /// Of data order and initialisation.
    pub seed: u64,
    /// What is learnt.
    pub conversations: &'a Conversations,
    /// The base's own replies, for methods that retain.
    pub retained: Option<&'a [OwnReply]>,
    /// Most tokens that a moment is made from.
    pub retain_tokens: usize,
    /// Checkpoints and the record of training go here.
    pub folder: &'a Path,
    /// The PEFT adapter goes here.
    pub adapter: &'a Path,
    /// Go on from what is there.
    pub resume: bool,
    /// Who trains; only the leader writes.
    pub group: &'a dyn Group,
    /// Who listens.
    pub listener: &'a dyn Listener,
}

/// A trained arm.
#[derive(Clone, Debug)]
pub struct TrainedArm {
    /// The PEFT folder.
    pub adapter: PathBuf,
    /// SHA-256 of its tensors.
    pub digest: String,
    /// What it cost.
    pub training: Training,
    /// By layer.
    pub disturbance: Vec<LayerDisturbance>,
}

const RECORD: &str = "trained.json";

/// `trained.json`: written last, so that an arm that has it is finished.
#[derive(Serialize, Deserialize)]
struct Record {
    run: String,
    adapter_sha256: String,
    /// Of the adapter's settings, which decide what its tensors mean; absent in older records.
    #[serde(default)]
    config_sha256: Option<String>,
    training: Training,
    disturbance: Vec<LayerDisturbance>,
    summary: Summary,
}

impl Record {
    /// Whether the adapter is the one that training left.
    fn stands_for(&self, adapter: &Path) -> bool {
        let is = |file: &str, expected: &str| {
            digest::of_file(&adapter.join(file)).is_ok_and(|found| found == expected)
        };
        let config = self.config_sha256.as_deref();
        is(TENSOR_FILE, &self.adapter_sha256)
            && config.is_none_or(|expected| is(CONFIG_FILE, expected))
    }
}

/// What is in the folder that a training would write over.
pub fn begun(folder: &Path) -> Option<&'static str> {
    let there = |file| folder.join(file).exists();
    if there(RECORD) {
        Some("a trained adapter")
    } else if Checkpoint::any(folder) {
        Some("a training that was stopped")
    } else {
        there(TENSOR_FILE).then_some("an adapter that was not trained here")
    }
}

/// Whether the folder holds this training, or none.
///
/// # Errors
/// What is there was trained with other settings, from other data or on another base, and would be lost.
pub fn check_same_training(work: &Work<'_>) -> Result<()> {
    let run = identity(work)?;
    work.group.told(|| {
        let other = match record(work.folder) {
            Some(record) => record.run != run,
            None if Checkpoint::any(work.folder) => {
                Checkpoint::latest(work.folder, &run, &Silent)?.is_none()
            }
            None => begun(work.folder).is_some(),
        };
        if !other {
            return Ok(());
        }
        let there = begun(work.folder).unwrap_or("a training");
        Err(Error::user(format!(
            "{there} is in this folder, with other settings, other data or another base"
        ))
        .at(work.folder)
        .field("--resume")
        .hint("give the settings that it was begun with, or name another folder: more steps are a training of their own"))
    })
}

fn record(folder: &Path) -> Option<Record> {
    let text = std::fs::read_to_string(folder.join(RECORD)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Whether the arm needs the base's own replies.
pub fn retains(arm: &ArmSettings) -> bool {
    arm.method.retains() || arm.hyperparameters.anchor.is_on()
}

/// What training the arm asks of memory.
pub fn load(arm: &ArmSettings, retain: &RetainSettings) -> Load {
    let anchor = &arm.hyperparameters.anchor;
    let anchored = if anchor.is_on() {
        // As many again of the user's own.
        let own = usize::from(!retain.paths.is_empty());
        retain.prompts * (1 + own) * anchor.tokens_of(retain.reply_tokens)
    } else {
        0
    };
    Load {
        anchored,
        batch_tokens: arm.hyperparameters.batch_tokens,
        rank: arm.hyperparameters.rank,
        moments: usize::from(arm.method.retains()) + usize::from(holds_more_moments(arm)),
    }
}

/// The arm's name in results; the scale is part of it where it is not 1, the seed where there are
/// several.
pub fn name(arm: &ArmSettings, scale: Multiple, seed: u64, seeds: usize) -> String {
    let mut name = setting(&arm.name, scale);
    if seeds > 1 {
        name += &format!("/{seed}");
    }
    name
}

/// What stands for the adapter times `scale` where results are kept.
pub fn scaled_digest(adapter: &str, scale: Multiple) -> String {
    if scale.is_whole() {
        adapter.to_owned()
    } else {
        digest::of(format!("{adapter} * {scale}"))
    }
}

/// The base's weights on `device`, unless that is the CPU, where they are already.
pub fn accelerated(
    base: &LanguageModel,
    device: TrainingDevice,
) -> Result<Option<AcceleratedDecoder<'_>>> {
    if device.is_cpu() {
        return Ok(None);
    }
    AcceleratedDecoder::new(&base.decoder, &device.open()?).map(Some)
}

/// What trains arms of `base`.
pub fn engine<'a>(
    base: &'a LanguageModel,
    accelerated: Option<&'a AcceleratedDecoder<'a>>,
) -> &'a dyn Engine {
    match accelerated {
        Some(accelerated) => accelerated,
        None => &base.decoder,
    }
}

/// Trains the arm, or finds it trained.
pub fn train(work: &Work<'_>) -> Result<TrainedArm> {
    let run = identity(work)?;
    let adapter = work.adapter.to_owned();
    work.group.agree("base, data or setting", run.as_bytes())?;
    if work.resume {
        let found = work.group.told(|| Ok(finished(work, &run)))?;
        if let Some(found) = found {
            work.listener.on(Event::StageFinished {
                stage: "training".into(),
                reused: true,
            });
            return Ok(trained(found, adapter));
        }
    }
    usage::forget_peak_memory();
    let mut method = method(work)?;
    let anchors = anchors(work)?;
    let task = Task {
        engine: work.engine,
        examples: &work.conversations.training,
        validation: &work.conversations.validation,
        anchors: &anchors,
        hyperparameters: &work.arm.hyperparameters,
        seed: work.seed,
        folder: work.folder,
        run: &run,
        resume: work.resume,
        group: work.group,
    };
    let summary = if work.group.leads() {
        let tracked = Tracked::open(
            work.folder,
            &run,
            work.resume,
            || about(work),
            work.listener,
        );
        let board = TensorBoard::open(&work.folder.join("tensorboard"), &tracked)?;
        run_loop(&task, method.as_mut(), &board)?
    } else {
        run_loop(&task, method.as_mut(), work.listener)?
    };
    let record = work
        .group
        .told(|| write(work, method.as_ref(), summary, run))?;
    Ok(trained(record, adapter))
}

/// The adapter, and last of all what training cost.
fn write(work: &Work<'_>, method: &dyn Method, summary: Summary, run: String) -> Result<Record> {
    let located = &work.base.located;
    method
        .adapter()?
        .write(work.adapter, &located.id, located.revision.as_deref())?;
    let disturbance = method
        .disturbance()?
        .into_iter()
        .map(|(layer, value)| LayerDisturbance { layer, value })
        .collect();
    let training = Training {
        tokens: summary.tokens,
        steps: summary.steps as u64,
        tokens_per_second: summary.tokens as f64 / summary.seconds.max(f64::MIN_POSITIVE),
        peak_memory_bytes: usage::peak_memory().unwrap_or(0),
        seconds: summary.seconds,
    };
    let record = Record {
        run,
        adapter_sha256: digest::of_file(&work.adapter.join(TENSOR_FILE))?,
        config_sha256: Some(digest::of_file(&work.adapter.join(CONFIG_FILE))?),
        training,
        disturbance,
        summary,
    };
    let text = serde_json::to_string_pretty(&record)
        .map_err(|cause| Error::bug("a training record has no JSON form").because(cause))?;
    atomic::write(&work.folder.join(RECORD), text.as_bytes())?;
    Ok(record)
}

/// What MLflow is told of the arm while it trains.
pub fn about(work: &Work<'_>) -> Result<About> {
    let name = work.folder.file_name().unwrap_or_default();
    let mut tags = mlflow::own_tags("local", work.arm.method.name(), work.seed);
    tags.push(("steadfast.base", work.base.located.id.clone()));
    Ok(About {
        name: name.to_string_lossy().into_owned(),
        parameters: object(&work.arm.hyperparameters)?,
        tags,
    })
}

fn trained(record: Record, adapter: PathBuf) -> TrainedArm {
    TrainedArm {
        adapter,
        digest: record.adapter_sha256,
        training: record.training,
        disturbance: record.disturbance,
    }
}

/// The finished arm on disk, if it is of this run and whole.
fn finished(work: &Work<'_>, run: &str) -> Option<Record> {
    record(work.folder).filter(|record| record.run == run && record.stands_for(work.adapter))
}

/// Whether an arm was trained here and its adapter is no longer what training left.
pub fn damaged(folder: &Path, adapter: &Path) -> bool {
    record(folder).is_some_and(|record| !record.stands_for(adapter))
}

/// Digest of everything that decides what training ends with.
fn identity(work: &Work<'_>) -> Result<String> {
    let inputs = (
        version(work.arm, work.device),
        &work.base.located.identity,
        // The scales are measured, not trained.
        (work.arm.method, &work.arm.hyperparameters),
        work.seed,
        &work.conversations.digest,
        work.retained.filter(|_| retains(work.arm)),
        work.retain_tokens,
    );
    serde_json::to_string(&inputs)
        .map(digest::of)
        .map_err(|cause| Error::bug("an arm has no JSON form").because(cause))
}

fn method(work: &Work<'_>) -> Result<Box<dyn Method>> {
    let (decoder, settings, seed) = (&work.base.decoder, &work.arm.hyperparameters, work.seed);
    let method = match work.arm.method {
        MethodName::Lora => lora::lora(decoder, settings, seed),
        MethodName::RandomA => lora::random_a(decoder, settings, seed),
        MethodName::L2Sp => lora::l2_sp(decoder, settings, seed),
        MethodName::Milora => spectrum::milora(decoder, settings, seed),
        MethodName::Oplora => spectrum::oplora(decoder, settings, seed),
        MethodName::Osft => spectrum::osft(decoder, settings, seed),
        MethodName::Full => full::full(decoder, settings, seed),
        MethodName::Corda => spectrum::corda(decoder, settings, seed, &retained_moments(work)?),
        MethodName::LoraNull | MethodName::LoraNull2 => {
            let frozen = work.arm.method == MethodName::LoraNull2;
            let retain = retained_moments(work)?;
            null_space::lora_null(decoder, settings, frozen, seed, &retain, work.listener)
        }
        MethodName::NullSpace => {
            let own = settings.null_space.clone().unwrap_or_default();
            let retain = retained_moments(work)?;
            let task = needs_task(work.arm)
                .then(|| task_moments(work))
                .transpose()?;
            let (task, listener) = (task.as_ref(), work.listener);
            null_space::null_space(decoder, settings, &own, seed, &retain, task, listener)
        }
    };
    Ok(Box::new(method?))
}

/// Whether the moments of the task are needed too.
fn needs_task(arm: &ArmSettings) -> bool {
    let own = &arm.hyperparameters.null_space;
    own.as_ref()
        .is_some_and(|own| own.subspace == Subspace::Contrastive)
}

/// Whether moments are held beside those of the retained text: the task's, or C_retain itself, which stays
/// beside the sums that it is made of where A trains under the penalty.
fn holds_more_moments(arm: &ArmSettings) -> bool {
    let own = &arm.hyperparameters.null_space;
    own.as_ref()
        .is_some_and(|own| own.subspace != Subspace::Random)
}

fn retained_moments(work: &Work<'_>) -> Result<Moments> {
    let replies: Vec<Vec<u32>> = retained(work)?
        .iter()
        .map(|one| one.prompt.iter().chain(&one.reply).copied().collect())
        .collect();
    let kept: Vec<&[u32]> = replies.iter().map(Vec::as_slice).collect();
    Moments::collect(
        &work.base.decoder,
        "reading retained text",
        up_to(&kept, work.retain_tokens),
        FirstTokens::Counted,
        work.listener,
    )
}

fn task_moments(work: &Work<'_>) -> Result<Moments> {
    let learnt: Vec<&[u32]> = work
        .conversations
        .training
        .iter()
        .map(|example| example.tokens.as_slice())
        .collect();
    Moments::collect(
        &work.base.decoder,
        "reading the task",
        up_to(&learnt, work.retain_tokens),
        FirstTokens::LeftOut,
        work.listener,
    )
}

fn retained<'a>(work: &Work<'a>) -> Result<&'a [OwnReply]> {
    work.retained
        .filter(|replies| !replies.is_empty())
        .ok_or_else(|| Error::bug("the arm was given no retained text"))
}

/// The first sequences that together reach `tokens`.
fn up_to<'a, 'b>(sequences: &'b [&'a [u32]], tokens: usize) -> &'b [&'a [u32]] {
    let mut sum = 0;
    let count = sequences
        .iter()
        .take_while(|sequence| {
            let below = sum < tokens;
            sum += sequence.len();
            below
        })
        .count();
    &sequences[..count]
}

/// Retained replies in the loss, with the base's own hidden states.
fn anchors(work: &Work<'_>) -> Result<Anchors> {
    let own = &work.arm.hyperparameters.anchor;
    if !own.is_on() {
        return Ok(Anchors::default());
    }
    let pairs: Vec<(&[u32], &[u32])> = retained(work)?
        .iter()
        .map(|one| (one.prompt.as_slice(), own.part(&one.reply)))
        .collect();
    Ok(Anchors {
        replies: Anchor::read(&work.base.decoder, &pairs)?,
        kind: own.kind,
        share: own.share,
        weight: own.weight,
    })
}
