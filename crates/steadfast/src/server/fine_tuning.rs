//! `/v1/fine_tuning/jobs`: training on this machine, asked for as of OpenAI.

use super::asking::random_name;
use super::fields::{Fields, Read};
use super::files::content_path;
use super::http::{Document, House, Owner, in_background};
use super::jobs::{Choices, JobEvent, JobRecord, Status};
use super::refusal::Refusal;
use super::state::{Paging, page};
use crate::evaluation::Budgeted;
use crate::settings::{MethodName, Preset, Subspace, suggest};
use crate::{Error, Result};
use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Jobs that may wait for their turn.
const WAITING: usize = 32;
/// What is used where the request says nothing.
const DEFAULT_METHOD: &str = "null-space";
/// Points of each loss that a budget can limit, where the request names neither a method nor a budget: as
/// little as the shipped items can certify of a change that costs them an item or two.
const DEFAULT_BUDGET: f64 = 20.0;
/// Items of each suite, where the request says nothing: measuring takes a few minutes.
const DEFAULT_ITEMS: usize = 48;
/// How much the base writes first, where something is retained: what the published numbers rest on.
const DEFAULT_PRESET: Preset = Preset::Standard;
/// What a report may do that is opened from here: run its own script, and nothing else.
const REPORT_POLICY: &str = "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

/// Makes a job.
pub async fn create(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Document(document): Document,
) -> Read<Json<Value>> {
    in_background(move || {
        let kept = house.state()?;
        let record = read(&document, &house, &owner)?;
        // One key's jobs keep no other key out, and a paused one waits for nothing.
        let waiting = |job: &Arc<super::jobs::Job>| {
            matches!(job.now().status, Status::Queued | Status::Running)
        };
        if kept
            .jobs(Some(&owner.0))
            .iter()
            .filter(|job| waiting(job))
            .count()
            >= WAITING
        {
            house.metrics.turned_away.add(1);
            return Err(Refusal::busy(60));
        }
        let file = kept.file(&owner.0, &record.training_file)?;
        let path = content_path(kept, &file);
        let content = std::fs::read(&path).map_err(|cause| Error::file("read", &path, cause))?;
        let job = kept.add_job(record, &content)?;
        job.tell(
            &*house.listener,
            "info",
            "message",
            format!("Created fine-tuning job: {}", job.id),
            Value::Null,
        );
        let shown = job.shown();
        house.trainer.submit(job);
        Ok(Json(shown))
    })
    .await
}

fn read(document: &Value, house: &House, owner: &Owner) -> Read<JobRecord> {
    let fields = Fields::of(document)?;
    fields.required("model")?;
    let model = fields.text("model")?.unwrap_or_default();
    if house.group(model, &owner.0)? != 0 {
        return Err(fields.wrong(
            "model",
            format!("`{}`: only the base can be tuned", house.base_name()),
        ));
    }
    fields.required("training_file")?;
    let training_file = fields.text("training_file")?.unwrap_or_default();
    house
        .state()?
        .file(&owner.0, training_file)
        .map_err(|refusal| Refusal {
            status: StatusCode::BAD_REQUEST,
            param: Some("training_file".into()),
            ..refusal
        })?;
    fields.refuse("validation_file", |_| false)?;
    fields.refuse("integrations", |value| {
        value.as_array().is_some_and(Vec::is_empty)
    })?;
    let suffix = fields.text("suffix")?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if suffix.is_some_and(|suffix| suffix.len() > 64 || !suffix.chars().all(plain)) {
        return Err(fields.wrong("suffix", "up to 64 letters, digits and - _ ."));
    }
    let metadata = match fields.get("metadata") {
        None => json!({}),
        Some(value) => {
            let pairs = value.as_object().filter(|pairs| {
                pairs.len() <= 16
                    && pairs
                        .values()
                        .all(|one| one.as_str().is_some_and(|text| text.len() <= 512))
            });
            pairs.ok_or_else(|| fields.wrong("metadata", "up to 16 pairs of short strings"))?;
            value.clone()
        }
    };
    Ok(JobRecord {
        id: format!("ftjob-{}", random_name()),
        owner: owner.0.clone(),
        model: model.to_owned(),
        suffix: suffix.map(str::to_owned),
        training_file: training_file.to_owned(),
        choices: choices(&fields)?,
        metadata,
        created_at: jiff::Timestamp::now().as_second(),
        finished_at: None,
        status: Status::Queued,
        error: None,
        fine_tuned_model: None,
        trained_tokens: None,
        result: None,
        deleted: false,
    })
}

/// Our own settings of a job, within `steadfast`. Passes over the data are OpenAI's `n_epochs`.
const OWN: [&str; 11] = [
    "method",
    "steps",
    "learning_rate",
    "penalty",
    "anchor_share",
    "subspace",
    "preset",
    "rank",
    "batch_tokens",
    "items",
    "budget",
];

/// OpenAI's hyperparameters, and ours under `steadfast`.
fn choices(fields: &Fields<'_>) -> Read<Choices> {
    let mut hyperparameters = fields.inner("hyperparameters")?;
    if let Some(method) = fields.inner("method")? {
        if method.text("type")? != Some("supervised") {
            return Err(method.wrong("type", "`supervised`"));
        }
        if let Some(supervised) = method.inner("supervised")? {
            hyperparameters = supervised.inner("hyperparameters")?.or(hyperparameters);
        }
    }
    let auto = |value: &Value| value == "auto";
    let mut epochs = None;
    if let Some(given) = &hyperparameters {
        // Batches here are packed by tokens, and rates belong to a method: both are among our own fields.
        given.refuse("batch_size", auto)?;
        given.refuse("learning_rate_multiplier", auto)?;
        if given.get("n_epochs").is_some_and(|value| !auto(value)) {
            epochs = given.count("n_epochs", 1..=1000)?.map(|count| count as f64);
        }
    }
    let seed = fields.count("seed", 0..=u64::from(u32::MAX))?.unwrap_or(0) as u64;
    let mut choices = Choices {
        method: DEFAULT_METHOD.to_owned(),
        epochs,
        seed,
        items: DEFAULT_ITEMS,
        preset: Some(DEFAULT_PRESET.name().to_owned()),
        budget: Budgeted::ALL.map(|lost| (lost, DEFAULT_BUDGET)).into(),
        ..Choices::default()
    };
    let Some(own) = fields.inner("steadfast")? else {
        return Ok(choices);
    };
    if let Some(name) = own.names().find(|name| !OWN.contains(&name.as_str())) {
        let hint = suggest::hint(name, &OWN);
        return Err(Refusal::wrong(
            own.path(name),
            format!("`{name}` is none of the settings here ({hint})."),
        ));
    }
    if let Some(name) = own.text("method")? {
        if MethodName::named(name).is_none() {
            let hint = suggest::hint(name, &MethodName::NAMES);
            return Err(own.wrong("method", format!("the name of a method ({hint})")));
        }
        choices.method = name.to_owned();
    }
    choices.steps = own.count("steps", 1..=1_000_000)?;
    if choices.steps.is_some() && choices.epochs.is_some() {
        return Err(own.wrong("steps", "left out where `n_epochs` is given"));
    }
    choices.learning_rate = own.number("learning_rate", f64::MIN_POSITIVE..=1.0)?;
    choices.penalty = own.number("penalty", 0.0..=1e6)?;
    choices.anchor_share = own.number("anchor_share", 0.0..=1.0)?;
    let word = |name: &str, known: &[&str]| -> Read<Option<String>> {
        match own.text(name)? {
            Some(word) if !known.contains(&word) => {
                let hint = suggest::hint(word, known);
                Err(own.wrong(name, format!("one of {} ({hint})", known.join(", "))))
            }
            word => Ok(word.map(str::to_owned)),
        }
    };
    choices.subspace = word("subspace", &Subspace::NAMES)?;
    let preset = word("preset", &Preset::NAMES)?;
    let (given, retains) = (preset.is_some(), choices.retains());
    choices.preset = preset.or_else(|| retains.then(|| DEFAULT_PRESET.name().to_owned()));
    let is = |question: fn(MethodName) -> bool| choices.method().is_some_and(question);
    for (name, given, knows) in [
        (
            "penalty",
            choices.penalty.is_some(),
            is(MethodName::has_penalty),
        ),
        (
            "subspace",
            choices.subspace.is_some(),
            is(MethodName::has_subspace),
        ),
        ("preset", given, retains),
    ] {
        if given && !knows {
            let method = &choices.method;
            return Err(own.wrong(name, format!("left out: method `{method}` has none")));
        }
    }
    choices.rank = own.count("rank", 1..=512)?;
    choices.batch_tokens = own.count("batch_tokens", 16..=65_536)?;
    if let Some(items) = own.count("items", 1..=100_000)? {
        choices.items = items;
    }
    if let Some(budget) = budget(&own)? {
        choices.budget = budget;
    } else if own.get("method").is_some() {
        // Who names a method has said what is wanted.
        choices.budget.clear();
    }
    Ok(choices)
}

/// The most points that may be lost: as the request has it, `"none"` for no bound.
fn budget(own: &Fields<'_>) -> Read<Option<BTreeMap<Budgeted, f64>>> {
    const EXPECTED: &str =
        "points for some of `safety`, `knowledge`, `domain_leakage`, or \"none\"";
    match own.get("budget") {
        None => return Ok(None),
        Some(value) if value == "none" => return Ok(Some(BTreeMap::new())),
        Some(value) if !value.is_object() => return Err(own.wrong("budget", EXPECTED)),
        Some(_) => {}
    }
    let Some(given) = own.inner("budget")? else {
        return Ok(None);
    };
    let known = |name: &String| Budgeted::ALL.iter().any(|lost| lost.name() == name);
    if !given.names().all(known) || given.names().next().is_none() {
        return Err(own.wrong("budget", EXPECTED));
    }
    let mut budget = BTreeMap::new();
    for lost in Budgeted::ALL {
        if let Some(points) = given.number(lost.name(), 0.0..=100.0)? {
            budget.insert(lost, points);
        }
    }
    Ok(Some(budget))
}

/// All jobs of who asks.
pub async fn list(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Query(paging): Query<Paging>,
) -> Read<Json<Value>> {
    let jobs = house.state()?.jobs(Some(&owner.0));
    page(jobs, &paging, 20, |job| &job.id, |job| job.shown())
}

/// One job.
pub async fn retrieve(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Read<Json<Value>> {
    Ok(Json(house.state()?.job(&owner.0, &id)?.shown()))
}

/// What happened to it, the newest first.
pub async fn events(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Read<Json<Value>> {
    let events = house.state()?.job(&owner.0, &id)?.events();
    page(events, &paging, 20, |event| &event.id, shown_event)
}

fn shown_event(event: &JobEvent) -> Value {
    let mut shown = json!(event);
    shown["object"] = json!("fine_tuning.job.event");
    shown
}

/// The result, once it is there: the checkpoints before it serve to go on from, not to be asked.
pub async fn checkpoints(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Read<Json<Value>> {
    let job = house.state()?.job(&owner.0, &id)?;
    let now = job.now();
    let last = job
        .events()
        .into_iter()
        .find(|event| event.data["train_loss"].is_number());
    let found: Vec<Value> = now
        .fine_tuned_model
        .filter(|_| !now.deleted)
        .into_iter()
        .map(|name| {
            let step = last
                .as_ref()
                .map_or(json!(0), |event| event.data["step"].clone());
            let loss = last.as_ref().map(|event| event.data["train_loss"].clone());
            json!({
                "id": format!("ftckpt-{}", &job.id[6..]),
                "object": "fine_tuning.job.checkpoint",
                "created_at": now.finished_at,
                "fine_tuned_model_checkpoint": name,
                "fine_tuning_job_id": job.id,
                "step_number": step,
                "metrics": {"step": step, "train_loss": loss},
            })
        })
        .collect();
    page(
        found,
        &paging,
        10,
        |one| one["id"].as_str().unwrap_or_default(),
        Value::clone,
    )
}

/// What the job's model learnt and lost, as a page.
pub async fn report(
    state: State<Arc<House>>,
    owner: Extension<Owner>,
    id: Path<String>,
) -> Read<Response> {
    let text = left_behind(state, owner, id, "report.html").await?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, REPORT_POLICY),
    ];
    Ok((headers, text).into_response())
}

/// The same as numbers.
pub async fn results(
    state: State<Arc<House>>,
    owner: Extension<Owner>,
    id: Path<String>,
) -> Read<Response> {
    let text = left_behind(state, owner, id, "results.json").await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

async fn left_behind(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    name: &'static str,
) -> Read<Vec<u8>> {
    in_background(move || {
        let kept = house.state()?;
        let job = kept.job(&owner.0, &id)?;
        let Some(result) = job.now().result else {
            return Err(Refusal::nothing("report of fine-tuning job", &id));
        };
        let path = kept.path(&result.run).join(name);
        Ok(std::fs::read(&path).map_err(|cause| Error::file("read", &path, cause))?)
    })
    .await
}

/// Ends a job for good.
pub async fn cancel(
    state: State<Arc<House>>,
    owner: Extension<Owner>,
    id: Path<String>,
) -> Read<Json<Value>> {
    let from = &[Status::Queued, Status::Running, Status::Paused];
    stop(state, owner, id, from, Status::Cancelled).await
}

/// Lets a job rest: it goes on from the step that it is at.
pub async fn pause(
    state: State<Arc<House>>,
    owner: Extension<Owner>,
    id: Path<String>,
) -> Read<Json<Value>> {
    let from = &[Status::Queued, Status::Running];
    stop(state, owner, id, from, Status::Paused).await
}

async fn stop(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    from: &'static [Status],
    to: Status,
) -> Read<Json<Value>> {
    in_background(move || {
        let job = house.state()?.job(&owner.0, &id)?;
        move_on(&job, from, to)?;
        job.set_stop(true);
        let what = if to == Status::Paused {
            "paused"
        } else {
            "cancelled"
        };
        job.tell(
            &*house.listener,
            "info",
            "message",
            format!("The job was {what}"),
            Value::Null,
        );
        Ok(Json(job.shown()))
    })
    .await
}

/// Lets a paused job go on, in its turn.
pub async fn resume(
    State(house): State<Arc<House>>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Read<Json<Value>> {
    in_background(move || {
        let job = house.state()?.job(&owner.0, &id)?;
        move_on(&job, &[Status::Paused], Status::Queued)?;
        job.tell(
            &*house.listener,
            "info",
            "message",
            "The job was resumed".into(),
            Value::Null,
        );
        let shown = job.shown();
        // If it is still on its way to rest, it is taken up again after that.
        house.trainer.submit(job);
        Ok(Json(shown))
    })
    .await
}

fn move_on(job: &super::jobs::Job, from: &[Status], to: Status) -> Read<()> {
    let mut was = to;
    let changed: Result<bool> = job.change(|job| {
        was = job.status;
        job.status = to;
        from.contains(&was)
    });
    if changed? {
        return Ok(());
    }
    let message = format!("The job is {}.", json!(was).as_str().unwrap_or("over"));
    Err(Refusal::request(StatusCode::BAD_REQUEST, message).code("invalid_job_status"))
}
