//! The whole study, from settings to report, read top to bottom.
//!
//! Every stage is kept by the content of its inputs, training by its checkpoints, so a study that
//! was stopped at any instant and started again ends with the same bytes.

pub mod arm;
pub mod assemble;
pub mod budget;
mod by_seed;
pub mod data;
pub mod finalists;
pub mod hosted;
pub mod keeping;
pub mod measuring;
pub mod plan;
pub mod replies;
mod targets;
pub mod workbench;

use crate::digest;
use crate::evaluation::hosted::HostedSubject;
use crate::evaluation::items::Suite;
use crate::evaluation::judge::Session;
use crate::evaluation::judge::session::JudgedBy;
use crate::evaluation::measurement::{AskedWith, Measurement, Sample};
use crate::evaluation::scorers::learnt::LearntTalk;
use crate::evaluation::shared::SharedSubject;
use crate::evaluation::subject::LocalSubject;
use crate::events::{Event, Listener};
use crate::group::Group;
use crate::models::resolve::Located;
use crate::models::{Adapter, LanguageModel, Multiple, resolve};
use crate::providers::Name;
use crate::providers::name::Place;
use crate::providers::retry::Patience;
use crate::reports;
use crate::reports::card::Card;
use crate::reports::frontier::Frontier;
use crate::reports::mlflow;
use crate::results::{Results, Training};
use crate::runs::folder::{self, RunFolder};
use crate::runs::store::Store;
use crate::runs::{atomic, manifest};
use crate::settings::{Extent, MeasureSettings, StudySettings, TuneSettings};
use crate::{Error, Result};
use assemble::Measured;
use candle_core::Device;
use hosted::{Begun, HostedOutcome};
use keeping::Keeping;
use std::cell::OnceCell;
use std::iter;
use std::path::PathBuf;
use std::time::Duration;
use workbench::{Outcome, Part, Parts, Workbench};

/// What a study leaves behind.
#[derive(Debug)]
pub struct StudyOutcome {
    /// The run folder.
    pub run: PathBuf,
    /// What `results.json` holds.
    pub results: Results,
    /// Every setting's gain and losses, and the finalists on test items; where the recipe asks for it.
    pub frontier: Option<Frontier>,
    /// An error (exit code 4) where an arm could not be kept within the budget. The results stand.
    pub within_budget: Result<()>,
}

/// What one training run leaves behind.
#[derive(Debug)]
pub struct TuneOutcome {
    /// The adapter's folder.
    pub adapter: PathBuf,
    /// What it cost.
    pub training: Training,
}

/// Trains each arm, measures before and after, reports.
pub fn run(settings: &StudySettings, listener: &dyn Listener) -> Result<StudyOutcome> {
    run_over(&locate(settings, listener)?, None, settings, listener)
}

/// Finds the base.
fn locate(settings: &StudySettings, listener: &dyn Listener) -> Result<Located> {
    match settings.hosted.first() {
        // Without an arm of its own this machine needs no model.
        Some(first) if settings.arms.is_empty() => Ok(hosted::located(first)),
        _ => resolve::locate(settings.base.as_deref(), listener),
    }
}

/// As [`run`], on a base that is loaded already.
pub fn run_on(
    base: &LanguageModel,
    settings: &StudySettings,
    listener: &dyn Listener,
) -> Result<StudyOutcome> {
    // Called as the settings call it: where its files lie may be nobody's business.
    let located = Located {
        id: settings.base_name().to_owned(),
        ..base.located.clone()
    };
    run_over(&located, Some(base), settings, listener)
}

fn run_over(
    located: &Located,
    loaded: Option<&LanguageModel>,
    settings: &StudySettings,
    listener: &dyn Listener,
) -> Result<StudyOutcome> {
    let mut inputs = manifest::inputs(settings)?;
    inputs.insert("base".into(), located.identity.clone());
    let mut folder = RunFolder::open(settings, inputs)?;
    if let Some(outcome) = finished(settings, located, &folder, listener)? {
        return Ok(outcome);
    }
    let bench = Workbench::new(settings, located, loaded, &folder, listener);
    let judge = settings
        .judge
        .as_ref()
        .map(|judge| Session::open(judge, Some(located), listener))
        .transpose()?;
    let parts = Parts::read(settings)?;
    bench.keeping().check(&parts)?;
    if settings.extent != Extent::Kept {
        let command = settings.command.strip_prefix("steadfast study");
        let shown = command.map(|rest| format!("steadfast plan{rest}"));
        listener.on(Event::Note {
            message: plan::of(settings, located, bench.keeping(), &parts)?.line(shown.as_deref()),
        });
    }

    let part = &parts.development;
    let begun = hosted::begin(settings, &folder, listener)?;
    let mut here = train_and_measure(settings, &bench, part)?;
    let mut elsewhere = begun
        .into_iter()
        .map(|one| await_and_measure(one, settings, &bench, part))
        .collect::<Result<Vec<_>>>()?;
    // All training is done and kept by now, so a judge that stops for its cost costs no training.
    let judged_by = judge
        .map(|judge| judge_replies(&judge, &mut here, &mut elsewhere, part, listener))
        .transpose()?;
    if settings.arms.is_empty()
        && let Some(first) = elsewhere.first()
    {
        here.before.clone_from(&first.before);
    }

    let Here {
        before,
        outcomes,
        refusals,
        not_run,
    } = here;
    let local = outcomes.iter().map(Measured::local);
    let measured = local
        .chain(elsewhere.iter().map(Measured::hosted))
        .collect::<Result<Vec<_>>>()?;
    let (before, judge) = (&before, judged_by.as_ref());
    let results = assemble::results(settings, &folder, located, before, &measured, judge)?;
    let test = parts.test.as_ref();
    let frontier = finalists::run(settings, &bench, test, before, &outcomes, not_run)?;
    if let Some(frontier) = &frontier {
        frontier.write_where_asked(settings)?;
    }
    let whole = settings.extent == Extent::Whole;
    // A finished run has what items asked and models said; kept scores may have not.
    if whole || !folder.finished() {
        assemble::write_cards(settings, &folder, &results, &outcomes)?;
        assemble::write_for_the_harness(&folder, &located.id, before, &measured)?;
        let items = assemble::items(before, &measured);
        assemble::write_samples(&folder.samples(), &items)?;
        let notes = assemble::notes(settings, &part.suites, &results, &elsewhere, judge);
        reports::page::write(folder.path(), &results, &items, &notes)?;
        if let Some(frontier) = &frontier {
            frontier.write(&folder)?;
        }
        atomic::write(&folder.results(), results.to_json()?.as_bytes())?;
        assemble::track(&folder, &results, &outcomes, &elsewhere, listener);
    }
    if whole {
        folder.finish()?;
    }
    Ok(StudyOutcome {
        run: folder.path().to_owned(),
        results,
        frontier,
        within_budget: Error::all(refusals),
    })
}

/// What was trained and measured on this machine.
struct Here<'a> {
    /// The base's samples.
    before: Vec<Sample>,
    outcomes: Vec<Outcome<'a>>,
    /// Arms that could not be kept within the budget.
    refusals: Vec<Error>,
    /// Settings that are not kept, where only kept ones are asked for.
    not_run: Vec<String>,
}

/// The base, and each arm under each seed and scale.
fn train_and_measure<'a>(
    settings: &'a StudySettings,
    bench: &Workbench<'a>,
    part: &Part,
) -> Result<Here<'a>> {
    let mut here = Here {
        before: Vec::new(),
        outcomes: Vec::new(),
        refusals: Vec::new(),
        not_run: Vec::new(),
    };
    let listener = bench.listener();
    if !settings.arms.is_empty() {
        here.before = bench.before(part)?;
        assemble::announce("base", &here.before, listener);
    }
    let choosing = budget::Choosing::new(settings, bench)?;
    for &seed in &settings.seeds {
        for arm in &settings.arms {
            let trained = OnceCell::new();
            let mut scales = arm.scales.clone();
            if let Some(choosing) = &choosing {
                let choice = choosing.choose(bench, arm, seed, &trained)?;
                let name = arm::name(arm, Multiple::WHOLE, seed, settings.seeds.len());
                match choice.check(&name, &settings.budget) {
                    Ok(()) => scales = vec![Multiple::even(choice.scale)],
                    Err(refusal) => here.refusals.push(refusal),
                }
            }
            for scale in scales {
                match bench.outcome(arm, seed, scale, part, &trained)? {
                    Some(outcome) => {
                        assemble::announce(&outcome.name, &outcome.after, listener);
                        here.outcomes.push(outcome);
                    }
                    None => {
                        let name = arm::name(arm, scale, seed, settings.seeds.len());
                        here.not_run.push(name);
                    }
                }
            }
        }
    }
    Ok(here)
}

/// An arm that is trained elsewhere, when it is: its base and its result.
fn await_and_measure<'a>(
    begun: Begun<'a>,
    settings: &StudySettings,
    bench: &Workbench<'_>,
    part: &Part,
) -> Result<HostedOutcome<'a>> {
    let listener = bench.listener();
    let max_tokens = settings.generation.max_tokens;
    let (store, learnt) = (bench.own_store(), bench.learnt()?);
    let outcome = begun.finish(&part.suites, max_tokens, &store, learnt, listener)?;
    let base = format!("base of {}", outcome.name);
    assemble::announce(&base, &outcome.before, listener);
    assemble::announce(&outcome.name, &outcome.after, listener);
    Ok(outcome)
}

/// What a judge says of all that was written.
fn judge_replies(
    judge: &Session,
    here: &mut Here<'_>,
    elsewhere: &mut [HostedOutcome<'_>],
    part: &Part,
    listener: &dyn Listener,
) -> Result<JudgedBy> {
    let after = here.outcomes.iter_mut().map(|one| &mut one.after);
    let hosted = elsewhere
        .iter_mut()
        .flat_map(|one| [&mut one.before, &mut one.after]);
    for samples in iter::once(&mut here.before).chain(after).chain(hosted) {
        judge.judge(samples, &part.suites, listener)?;
    }
    judge.judged_by(listener)
}

/// What a study left that has nothing to do. `None` where something is.
fn finished(
    settings: &StudySettings,
    located: &Located,
    folder: &RunFolder,
    listener: &dyn Listener,
) -> Result<Option<StudyOutcome>> {
    if settings.extent != Extent::Whole || !folder.finished() {
        return Ok(None);
    }
    if let Some(damaged) = folder.damaged() {
        listener.on(Event::Warning {
            message: format!(
                "{} is not as the study left it: what is damaged is made again",
                damaged.display()
            ),
        });
        return Ok(None);
    }
    // One that cannot be read is made again.
    let Ok(frontier) = Frontier::found(settings, folder) else {
        return Ok(None);
    };
    // `keep` may be asked for when all is done, or what is kept be put away.
    if Keeping::new(settings, located).lacks_some(frontier.as_ref()) {
        return Ok(None);
    }
    listener.on(Event::Note {
        message: format!("this study is finished: {}", folder.path().display()),
    });
    if let Some(frontier) = &frontier {
        frontier.write_where_asked(settings)?;
    }
    Ok(Some(StudyOutcome {
        run: folder.path().to_owned(),
        results: Results::read(&folder.results())?,
        frontier,
        within_budget: within_budget(settings, folder),
    }))
}

/// What a finished study could not keep within its budget.
fn within_budget(settings: &StudySettings, folder: &RunFolder) -> Result<()> {
    if settings.budget.is_empty() {
        return Ok(());
    }
    let mut refusals = Vec::new();
    for &seed in &settings.seeds {
        for arm in &settings.arms {
            let choice = budget::Choice::read(&folder.arm(&arm.name, seed)?)?;
            let name = arm::name(arm, Multiple::WHOLE, seed, settings.seeds.len());
            refusals.extend(choice.check(&name, &settings.budget).err());
        }
    }
    Error::all(refusals)
}

/// Trains one arm, together with the other processes of the group.
pub fn tune(
    settings: &TuneSettings,
    group: &dyn Group,
    listener: &dyn Listener,
) -> Result<TuneOutcome> {
    let located = group.leader_first(|| resolve::locate(settings.base.as_deref(), listener))?;
    let base = LanguageModel::load_within(
        &located,
        settings.memory_limit,
        arm::load(&settings.arm, &settings.retain),
        &Device::Cpu,
        listener,
    )?;
    // Two at once would leave the tensors of one beside the settings of the other.
    let mut _held = None;
    group.told(|| {
        std::fs::create_dir_all(&settings.output)
            .map_err(|cause| Error::file("create", &settings.output, cause))?;
        _held = Some(folder::hold(&settings.output, "--output")?);
        if !settings.resume
            && let Some(there) = arm::begun(&settings.output)
        {
            return Err(
                Error::user(format!("{there} is in this folder"))
                    .at(&settings.output)
                    .field("--output")
                    .hint("name another folder; --resume, with the same settings, goes on with what is there"),
            );
        }
        Ok(())
    })?;
    let conversations = data::read(&settings.data, &base, settings.seed)?;
    if settings.memory_limit.is_some() {
        conversations.fit_batches_of(settings.arm.hyperparameters.batch_tokens)?;
    }
    let retained = arm::retains(&settings.arm)
        .then(|| {
            // Written by one process: a sample of text depends on its place among the others.
            let store = Store::within(&settings.output);
            group.told(|| replies::retain_set(&base, &settings.retain, &store, listener))
        })
        .transpose()?;
    if group.any(listener.stopped())? {
        return Err(Error::stopped());
    }
    let accelerated = arm::accelerated(&base, settings.device)?;
    let work = arm::Work {
        base: &base,
        engine: arm::engine(&base, accelerated.as_ref()),
        device: settings.device,
        arm: &settings.arm,
        seed: settings.seed,
        conversations: &conversations,
        retained: retained.as_deref(),
        retain_tokens: settings.retain.tokens,
        folder: &settings.output,
        adapter: &settings.output,
        resume: settings.resume,
        group,
        listener,
    };
    if settings.resume {
        arm::check_same_training(&work)?;
    }
    let trained = arm::train(&work)?;
    let card = Card {
        base: &base.located.id,
        arm: &settings.arm,
        scale: Multiple::WHOLE,
        seed: settings.seed,
        data: &settings.data,
        training: &trained.training,
        measured: None,
    };
    if group.leads() {
        mlflow::finish(
            &settings.output,
            || arm::about(&work),
            &trained.training,
            listener,
        );
        card.write(&trained.adapter)?;
    }
    Ok(TuneOutcome {
        adapter: trained.adapter,
        training: trained.training,
    })
}

/// Measures one model on some suites; the processes of the group share the items. The judge is asked by
/// the leader alone.
pub fn measure(
    settings: &MeasureSettings,
    group: &dyn Group,
    listener: &dyn Listener,
) -> Result<Measurement> {
    let learnt = LearntTalk::of(&data::read_files(&settings.data)?);
    if let Some((provider, model)) = settings.model.as_deref().and_then(Name::of_model) {
        if !group.alone() {
            return Err(
                Error::user("a model elsewhere is asked by one process, not by several")
                    .hint("run measure without mpirun"),
            );
        }
        return measure_hosted(settings, provider, model, &learnt, listener);
    }
    let suites = measuring::limited(&settings.suites, settings.limit, settings.seed)?;
    let adapter = settings.adapter.as_deref().map(Adapter::read).transpose()?;
    let located = group.leader_first(|| resolve::locate(settings.model.as_deref(), listener))?;
    let judge = settings
        .judge
        .as_ref()
        .filter(|_| group.leads())
        .map(|judge| Session::open(judge, Some(&located), listener))
        .transpose()?;
    let (base, adapter) = LanguageModel::load_adapted(&located, adapter, &Device::Cpu)?;
    let subject = LocalSubject {
        model: &base,
        adapter: adapter.as_ref(),
        batch: measuring::BATCH,
    };
    let shared = SharedSubject {
        subject: &subject,
        group,
    };
    let mut samples = measuring::fresh(&shared, &suites, settings.max_tokens, listener)?;
    learnt.mark(&mut samples);
    let named = settings
        .adapter
        .as_ref()
        .map(|path| path.display().to_string());
    measurement(
        settings,
        &located.id,
        named,
        samples,
        &suites,
        judge.as_ref(),
        listener,
    )
}

/// Questions under way together at a service.
const TOGETHER: usize = 8;
/// Longest wait for one answer of a service.
const ANSWER: Duration = Duration::from_secs(90);

/// Measures a model elsewhere by its name.
fn measure_hosted(
    settings: &MeasureSettings,
    provider: Name,
    model: &str,
    learnt: &LearntTalk,
    listener: &dyn Listener,
) -> Result<Measurement> {
    let suites = measuring::limited(&settings.suites, settings.limit, settings.seed)?;
    let connection = provider.connect(&Place {
        base_url: None,
        key_variable: None,
        key_file: None,
        timeout: ANSWER,
    })?;
    let located = Located {
        id: model.to_owned(),
        revision: None,
        sha256: String::new(),
        identity: String::new(),
        path: PathBuf::new(),
    };
    let judge = settings
        .judge
        .as_ref()
        .map(|judge| Session::open(judge, Some(&located), listener))
        .transpose()?;
    let subject = HostedSubject::new(&connection, model, TOGETHER, Patience::default());
    let offered = subject.offered()?;
    if !offered.all() {
        listener.on(Event::Warning {
            message: hosted::lacking(offered),
        });
    }
    let mut samples = measuring::fresh(&subject, &suites, settings.max_tokens, listener)?;
    learnt.mark(&mut samples);
    let name = format!("{}:{model}", provider.name());
    measurement(
        settings,
        &name,
        None,
        samples,
        &suites,
        judge.as_ref(),
        listener,
    )
}

fn measurement(
    settings: &MeasureSettings,
    model: &str,
    adapter: Option<String>,
    mut samples: Vec<Sample>,
    suites: &[Suite],
    judge: Option<&Session>,
    listener: &dyn Listener,
) -> Result<Measurement> {
    let judged_by = match judge {
        Some(judge) => {
            judge.judge(&mut samples, suites, listener)?;
            Some(judge.judged_by(listener)?)
        }
        None => None,
    };
    let files: Vec<String> = settings
        .data
        .iter()
        .map(|path| manifest::digest(path))
        .collect::<Result<_>>()?;
    Ok(Measurement {
        judge: judged_by,
        asked_with: Some(AskedWith {
            max_tokens: settings.max_tokens,
            data: (!files.is_empty()).then(|| digest::of(files.join("\n"))),
        }),
        ..Measurement::new(model, adapter, samples, settings.seed)
    })
}
