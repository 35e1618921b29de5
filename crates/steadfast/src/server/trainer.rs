//! The thread that trains, one job after the other, beside the engine and on the same base.

use super::http::House;
use super::jobs::{Job, Results, Status};
use super::models;
use super::state::{State as Kept, held};
use crate::error::Class;
use crate::events::{Event, Listener};
use crate::models::Adapter;
use crate::runs::folder::{ADAPTER, WITHIN_BUDGET, arm_folder};
use crate::settings::{
    Extent, GenerationSettings, Preset, StudySettings, TuneFlags, TuneSettings, shipped_suites,
};
use crate::study::{self, measuring};
use crate::{Error, Result};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Hands jobs to the thread.
#[derive(Debug)]
pub struct Trainer {
    sender: Sender<Arc<Job>>,
    /// The job under way.
    current: Arc<Mutex<Option<Arc<Job>>>>,
    ending: Arc<AtomicBool>,
}

/// What the thread takes its jobs from.
pub struct Queue {
    receiver: Receiver<Arc<Job>>,
    current: Arc<Mutex<Option<Arc<Job>>>>,
    ending: Arc<AtomicBool>,
}

impl Trainer {
    /// A trainer, and the queue that its thread is started with.
    pub fn new() -> (Self, Queue) {
        let (sender, receiver) = channel();
        let current = Arc::new(Mutex::new(None));
        let ending = Arc::new(AtomicBool::new(false));
        let trainer = Self {
            sender,
            current: Arc::clone(&current),
            ending: Arc::clone(&ending),
        };
        let queue = Queue {
            receiver,
            current,
            ending,
        };
        (trainer, queue)
    }

    /// Queues a job.
    pub fn submit(&self, job: Arc<Job>) {
        // The thread ends with the server only, and then finds the job queued when it starts again.
        let _ = self.sender.send(job);
    }

    /// The server ends: the job under way keeps what it has, and goes on when the server is back.
    pub async fn end(&self, grace: Duration) {
        self.ending.store(true, Ordering::SeqCst);
        let deadline = Instant::now() + grace;
        loop {
            match &*held(&self.current) {
                Some(job) if Instant::now() < deadline => job.set_stop(true),
                _ => return,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Takes up what was left when the server ended, the oldest first; then trains what comes.
pub fn start(house: &Arc<House>, queue: Queue) -> Result<()> {
    let Ok(kept) = house.state() else {
        return Ok(());
    };
    for job in kept.jobs(None).into_iter().rev() {
        let now = job.now();
        match (now.status, now.fine_tuned_model) {
            // Perhaps the server ended between the record and the weights.
            (Status::Succeeded, _) if now.deleted => models::remove_weights(kept, &job)?,
            (Status::Succeeded, Some(name)) => {
                let folder = now.result.map_or_else(
                    || job.training_folder(),
                    |result| kept.path(&result.adapter),
                );
                let adapter = Adapter::read(&folder)?;
                let check = house.model.decoder.check_adapter(&adapter);
                check.map_err(|error| {
                    error.at(&folder).hint(
                        "it was trained over another base: serve that one, or use another --state",
                    )
                })?;
                house.add(&name, &now.owner, adapter);
            }
            (Status::Queued | Status::Running, _) => {
                job.change(|job| {
                    job.status = Status::Queued;
                    true
                })?;
                house.trainer.submit(Arc::clone(&job));
            }
            _ => {}
        }
    }
    let house = Arc::downgrade(house);
    std::thread::Builder::new()
        .name("trainer".into())
        .spawn(move || {
            while let Ok(job) = queue.receiver.recv() {
                let Some(house) = house.upgrade() else {
                    return;
                };
                if queue.ending.load(Ordering::SeqCst) {
                    return;
                }
                *held(&queue.current) = Some(Arc::clone(&job));
                if let Err(error) = run(&house, &job) {
                    // The disk is full, say: the job stays as it is on it.
                    job.warn(&*house.listener, error);
                }
                *held(&queue.current) = None;
            }
        })
        .map_err(|cause| Error::outside("cannot start a thread").because(cause))?;
    Ok(())
}

fn run(house: &House, job: &Job) -> Result<()> {
    // Before its status: a wish to stop that comes in between is then kept.
    job.set_stop(false);
    let begun = job.change(|job| {
        let waits = job.status == Status::Queued;
        job.status = Status::Running;
        waits
    })?;
    if !begun {
        return Ok(());
    }
    let say = |level, message: String| {
        job.tell(&*house.listener, level, "message", message, Value::Null);
    };
    say("info", "Fine-tuning job started".to_owned());
    // A bug of ours costs this job, and not those that wait behind it.
    let ended = catch_unwind(AssertUnwindSafe(|| train_and_measure(house, job)));
    match ended.unwrap_or_else(|_| Err(Error::bug("training broke a promise to itself"))) {
        Ok(done) => {
            let name = result_name(job);
            let succeeded = job.change(|job| {
                // Cancelled or paused after the last step: what its owner said stands.
                if job.status != Status::Running {
                    return false;
                }
                job.status = Status::Succeeded;
                job.fine_tuned_model = Some(name.clone());
                job.trained_tokens = Some(done.tokens);
                job.result = Some(done.results.clone());
                true
            })?;
            if succeeded {
                house.add(&name, &job.owner, done.adapter);
                say("info", format!("New fine-tuned model created: {name}"));
                say("info", "The job has successfully completed".to_owned());
            }
            Ok(())
        }
        // Its owner has said how it stands, or the server ends and will take it up again.
        Err(_) if job.stops() => Ok(()),
        Err(error) => {
            let message = told(&error);
            job.change(|job| {
                job.status = Status::Failed;
                job.error = Some(message.clone());
                true
            })?;
            say("error", message);
            Ok(())
        }
    }
}

/// What its owner may know: the library's own messages name paths of this machine.
fn told(error: &Error) -> String {
    if !matches!(error.class, Class::User | Class::Budget) {
        return "Something went wrong inside the server".to_owned();
    }
    match &error.hint {
        Some(hint) => format!("{} (hint: {hint})", error.message),
        None => error.message.clone(),
    }
}

/// `ft:BASE:steadfast:SUFFIX:ID`
fn result_name(job: &Job) -> String {
    let suffix = job.suffix.as_deref().unwrap_or_default();
    format!("ft:{}:steadfast:{suffix}:{}", job.model, &job.id[6..])
}

/// What a job that was trained to its end leaves.
struct Done {
    adapter: Adapter,
    tokens: u64,
    results: Results,
}

/// A job is a study of one arm: the base is measured, the arm is trained, and measured too.
fn train_and_measure(house: &House, job: &Job) -> Result<Done> {
    let Ok(kept) = house.state() else {
        return Err(Error::bug("a job without a folder of jobs"));
    };
    let settings = study_of(house, kept, job)?;
    let outcome = study::run_on(&house.model, &settings, &Following { house, job })?;
    outcome.within_budget?;
    let trained = &settings.arms[0];
    let name = if settings.budget.is_empty() {
        ADAPTER
    } else {
        WITHIN_BUDGET
    };
    let folder = arm_folder(&outcome.run, &trained.name, settings.seeds[0]).join(name);
    let arms = &outcome.results.arms;
    Ok(Done {
        adapter: Adapter::read(&folder)?,
        tokens: arms.first().map_or(0, |arm| arm.training.tokens),
        results: Results {
            adapter: kept.within(&folder),
            run: kept.within(&outcome.run),
        },
    })
}

fn study_of(house: &House, kept: &Kept, job: &Job) -> Result<StudySettings> {
    let choices = job.choices.clone();
    // Jobs from before this could be chosen had what the smallest asks for.
    let before = || choices.retains().then(|| Preset::Quick.name().to_owned());
    let preset = choices.preset.clone().or_else(before);
    let tune = TuneSettings::new(TuneFlags {
        data: vec![job.data_path()],
        method: Some(choices.method),
        epochs: choices.epochs,
        steps: choices.steps,
        learning_rate: choices.learning_rate,
        penalty: choices.penalty,
        anchor_share: choices.anchor_share,
        subspace: choices.subspace,
        preset,
        rank: choices.rank,
        batch_tokens: choices.batch_tokens,
        seed: Some(choices.seed),
        ..TuneFlags::default()
    })?;
    let preset = Preset::Quick;
    Ok(StudySettings {
        // Part of the run's id, so that each job has a run of its own.
        name: job.id.clone(),
        command: format!("POST /v1/fine_tuning/jobs ({})", job.id),
        base: Some(house.base_name()),
        preset,
        seeds: vec![tune.seed],
        runs: kept.runs_folder(),
        data: tune.data,
        device: tune.device,
        arms: vec![tune.arm],
        hosted: Vec::new(),
        suites: shipped_suites(Some(choices.items.max(1))),
        generation: GenerationSettings {
            max_tokens: preset.scale().reply_tokens,
            batch: measuring::BATCH,
        },
        retain: tune.retain,
        budget: choices.budget,
        finalists: None,
        judge: None,
        keep: None,
        extent: Extent::Whole,
    })
}

/// Writes a job's events down as they come.
struct Following<'a> {
    house: &'a House,
    job: &'a Job,
}

impl Listener for Following<'_> {
    fn on(&self, event: Event) {
        let listener = &*self.house.listener;
        let tell = |kind, message, data| self.job.tell(listener, "info", kind, message, data);
        match &event {
            Event::TrainingStep {
                step,
                steps,
                loss,
                penalty,
                learning_rate,
                tokens,
                ..
            } => tell(
                "metrics",
                format!("Step {step}/{steps}: training loss={loss:.4}"),
                json!({"step": step, "total_steps": steps, "train_loss": loss, "penalty": penalty,
                    "learning_rate": learning_rate, "tokens": tokens}),
            ),
            Event::ValidationLoss { step, loss } => tell(
                "metrics",
                format!("Step {step}: validation loss={loss:.4}"),
                json!({"step": step, "valid_loss": loss}),
            ),
            Event::StageStarted { stage, .. } => {
                tell("message", format!("Started: {stage}"), Value::Null);
            }
            Event::AxisMeasured { arm, axis, value } => tell(
                "message",
                format!("{arm}: {} {value:.1}", axis.name()),
                json!({"model": arm, "axis": axis.name(), "value": value}),
            ),
            // It may name paths of this machine.
            Event::Warning { message } => self.job.warn(listener, message),
            _ => {}
        }
    }

    fn stopped(&self) -> bool {
        self.job.stops()
    }
}
