//! One piece of work of `side_by_side.py`, described in a JSON file; what it took is printed as JSON.
//!
//! `cargo run --release --example speed -- WORK.json`

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;
use steadfast::conversations::packing::{Packed, Target};
use steadfast::conversations::tokens::Example;
use steadfast::events::{Event, Silent};
use steadfast::methods::Method;
use steadfast::methods::full::full;
use steadfast::methods::lora::lora;
use steadfast::methods::moments::{FirstTokens, Moments};
use steadfast::methods::null_space::null_space;
use steadfast::models::blocks::buffers::{Floats, Pool};
use steadfast::models::blocks::product::{set, whole, whole_mut};
use steadfast::models::blocks::tiles::{Panels, Rows, Through, through};
use steadfast::models::generate::{GenerateOptions, generate};
use steadfast::models::{LanguageModel, resolve};
use steadfast::settings::arm::{Hyperparameters, Length, MethodName, NullSpaceSettings, Subspace};
use steadfast::settings::{DataSettings, DataSource, TrainingDevice};
use steadfast::study::{arm, data};
use steadfast::training::plan::{Order, Plan, Span};
use steadfast::training::train::{Anchor, Anchors, Task, train};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The work file.
#[derive(Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
enum Work {
    /// Trains and says what each step took.
    Train(Training),
    /// Reads the sequences, with logits of every row.
    Forward { sequences: Vec<Vec<u32>> },
    /// Moments of retained and task text, and the directions found in them.
    Moments {
        retain: Vec<Vec<u32>>,
        task: Vec<Vec<u32>>,
    },
    /// Greedy replies, each `tokens` long.
    Generate {
        prompts: Vec<Vec<u32>>,
        tokens: usize,
        batch: usize,
    },
    /// The machine's rate at this model's matrix products.
    Products { rows: usize },
    /// Tokens and loss mask of a chat file.
    Prepare { chats: PathBuf },
}

#[derive(Deserialize)]
struct Training {
    method: String,
    tokens: Vec<Vec<u32>>,
    learn: Vec<Vec<bool>>,
    /// Prompt and reply of each retained text; for `null-space`.
    #[serde(default)]
    retained: Vec<(Vec<u32>, Vec<u32>)>,
    #[serde(default)]
    anchor_share: f64,
    steps: usize,
    batch_tokens: usize,
    learning_rate: f64,
    /// Checkpoints, and the adapter that training starts from, as `initial/`.
    folder: PathBuf,
    /// Where the steps run; the CPU where it is not said.
    device: Option<String>,
}

fn main() -> Outcome<()> {
    let path = std::env::args().nth(1).ok_or("name a work file")?;
    let work: Work = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let started = Instant::now();
    let located = resolve::locate(None, &Silent)?;
    let mut model = LanguageModel::load(&located, &Device::Cpu)?;
    let load = started.elapsed().as_secs_f64();
    let mut outcome = match work {
        Work::Train(training) => trained(&model, &training)?,
        Work::Forward { sequences } => forward(&model, &sequences)?,
        Work::Moments { retain, task } => moments(&model, &retain, &task)?,
        Work::Generate {
            prompts,
            tokens,
            batch,
        } => generated(&mut model, &prompts, tokens, batch)?,
        Work::Products { rows } => products(&model, rows)?,
        Work::Prepare { chats } => prepared(&model, &chats)?,
    };
    outcome["load_seconds"] = json!(load);
    println!("{outcome}");
    Ok(())
}

fn trained(model: &LanguageModel, work: &Training) -> Outcome<Value> {
    let name = MethodName::named(&work.method).ok_or("no such method")?;
    let mut settings = Hyperparameters::defaults(name, Length::Steps(work.steps));
    settings.batch_tokens = work.batch_tokens;
    settings.learning_rate = work.learning_rate;
    settings.warmup = 0.0;
    settings.validate_every = 0;
    let examples: Vec<Example> = work
        .tokens
        .iter()
        .cloned()
        .zip(work.learn.iter().cloned())
        .map(|(tokens, learn)| Example { tokens, learn })
        .collect();
    let mut anchors = Anchors::default();
    let mut method: Box<dyn Method> = match name {
        MethodName::Lora => Box::new(lora(&model.decoder, &settings, 0)?),
        MethodName::Full => Box::new(full(&model.decoder, &settings, 0)?),
        MethodName::NullSpace => {
            let own = NullSpaceSettings::default();
            let whole: Vec<Vec<u32>> = work
                .retained
                .iter()
                .map(|(prompt, reply)| [prompt.as_slice(), reply.as_slice()].concat())
                .collect();
            let retain = collected(model, &whole, FirstTokens::Counted)?;
            if work.anchor_share > 0.0 {
                anchors.share = work.anchor_share;
                anchors.weight = settings.anchor.weight;
                let pairs: Vec<(&[u32], &[u32])> = work
                    .retained
                    .iter()
                    .map(|(prompt, reply)| (prompt.as_slice(), reply.as_slice()))
                    .collect();
                anchors.replies = Anchor::read(&model.decoder, &pairs)?;
            }
            Box::new(null_space(
                &model.decoder,
                &settings,
                &own,
                0,
                &retain,
                None,
                &Silent,
            )?)
        }
        other => return Err(format!("`{}` is not timed", other.name()).into()),
    };
    method
        .adapter()?
        .write(&work.folder.join("initial"), &model.located.id, None)?;
    let device = match TrainingDevice::parse(work.device.as_deref().unwrap_or("cpu")) {
        Ok(device) => device,
        Err(refusal) => return Err(format!("{}; {}", refusal.message, refusal.hint).into()),
    };
    let accelerated = arm::accelerated(model, device)?;
    let steps = Mutex::new(Vec::new());
    let listener = |event: Event| {
        if let Event::TrainingStep {
            loss,
            learning_rate,
            tokens,
            tokens_per_second,
            ..
        } = event
        {
            steps.lock().expect("one thread listens").push(json!({
                "loss": loss,
                "learning_rate": learning_rate,
                "tokens": tokens,
                "seconds": tokens as f64 / tokens_per_second,
            }));
        }
    };
    train(
        &Task {
            engine: arm::engine(model, accelerated.as_ref()),
            examples: &examples,
            validation: &[],
            anchors: &anchors,
            hyperparameters: &settings,
            seed: 0,
            folder: &work.folder,
            run: "speed",
            resume: false,
            group: &steadfast::group::Alone,
        },
        method.as_mut(),
        &listener,
    )?;
    let lengths: Vec<usize> = examples.iter().map(|one| one.tokens.len()).collect();
    let plan = Plan::new(&Order {
        lengths: &lengths,
        anchor_lengths: &[],
        span: Span::Steps(work.steps),
        batch_tokens: work.batch_tokens,
        accumulation: 1,
        anchor_share: 0.0,
        seed: 0,
    });
    let batches: Vec<&[usize]> = plan
        .steps
        .iter()
        .map(|step| step[0].examples.as_slice())
        .collect();
    Ok(json!({
        "steps": steps.into_inner()?,
        "batches": batches,
        "weight_decay": settings.weight_decay,
        "clip": settings.clip,
    }))
}

fn collected(
    model: &LanguageModel,
    sequences: &[Vec<u32>],
    first_tokens: FirstTokens,
) -> Outcome<Moments> {
    let borrowed: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    Ok(Moments::collect(
        &model.decoder,
        "reading",
        &borrowed,
        first_tokens,
        &Silent,
    )?)
}

/// Passes of about a thousand rows, as scoring makes them.
fn forward(model: &LanguageModel, sequences: &[Vec<u32>]) -> Outcome<Value> {
    let started = Instant::now();
    let mut total = 0.0;
    let mut packed = Packed::default();
    for (index, sequence) in sequences.iter().enumerate() {
        packed.push(&Example {
            tokens: sequence.clone(),
            learn: vec![true; sequence.len()],
        });
        if packed.tokens.len() >= 1024 || index + 1 == sequences.len() {
            let Packed {
                tokens,
                lengths,
                mut targets,
                ..
            } = std::mem::take(&mut packed);
            // Each sequence's last row predicts nothing; its logits count all the same.
            let mut end = 0;
            targets.extend(lengths.iter().map(|length| {
                end += length;
                Target {
                    row: end as u32 - 1,
                    token: 0,
                    weight: 1.0,
                }
            }));
            let hidden = model.decoder.hidden(&tokens, &lengths, None, None)?;
            for (log_probability, _) in model.decoder.log_probabilities(&hidden, &targets)? {
                total += log_probability;
            }
        }
    }
    Ok(json!({ "seconds": started.elapsed().as_secs_f64(), "log_probability": total }))
}

fn moments(model: &LanguageModel, retain: &[Vec<u32>], task: &[Vec<u32>]) -> Outcome<Value> {
    let started = Instant::now();
    let retain = collected(model, retain, FirstTokens::Counted)?;
    let task = collected(model, task, FirstTokens::LeftOut)?;
    let collecting = started.elapsed().as_secs_f64();
    let settings = Hyperparameters::defaults(MethodName::NullSpace, Length::Steps(1));
    null_space(
        &model.decoder,
        &settings,
        &NullSpaceSettings {
            subspace: Subspace::Contrastive,
            ..NullSpaceSettings::default()
        },
        0,
        &retain,
        Some(&task),
        &Silent,
    )?;
    Ok(json!({
        "seconds": started.elapsed().as_secs_f64(),
        "collecting_seconds": collecting,
    }))
}

fn generated(
    model: &mut LanguageModel,
    prompts: &[Vec<u32>],
    tokens: usize,
    batch: usize,
) -> Outcome<Value> {
    // Every reply is as long as asked for, so that both sides do the same work.
    model.tokenizer.stop.clear();
    let started = Instant::now();
    let options = GenerateOptions {
        max_tokens: tokens,
        batch,
        ..GenerateOptions::default()
    };
    let replies = generate(model, None, prompts, &options, &mut |_| {})?;
    let seconds = started.elapsed().as_secs_f64();
    let tokens: Vec<Vec<u32>> = replies.into_iter().map(|reply| reply.tokens).collect();
    Ok(json!({ "seconds": seconds, "tokens": tokens }))
}

/// Multiply-adds a second of `rows` rows through every linear layer and the head, with nothing
/// around the products: by our tiles, and by the general product of faer.
fn products(model: &LanguageModel, rows: usize) -> Outcome<Value> {
    let mut weights: Vec<Tensor> = model
        .decoder
        .linear_paths()
        .iter()
        .filter_map(|path| model.decoder.linear_weight(path).transpose())
        .collect::<Result<_, _>>()?;
    let head = Tensor::zeros(
        (model.config.vocabulary, model.config.hidden_size),
        DType::F32,
        &Device::Cpu,
    )?;
    weights.push(head);
    let floats: Vec<Floats<'_>> = weights.iter().map(Floats::of).collect::<Result<_, _>>()?;
    let shapes: Vec<(usize, usize)> = weights
        .iter()
        .map(Tensor::dims2)
        .collect::<Result<_, _>>()?;
    let widest = shapes.iter().map(|(out, inputs)| *out.max(inputs)).max();
    let x = vec![0.5f32; rows * widest.unwrap_or(0)];
    let mut y = x.clone();
    let pool = Pool::default();
    let work: usize = shapes.iter().map(|(out, inputs)| rows * out * inputs).sum();
    let mut rate = |ours: bool| {
        let mut rates: Vec<f64> = (0..5)
            .map(|_| {
                let started = Instant::now();
                for (weight, &(outputs, inputs)) in floats.iter().zip(&shapes) {
                    let to = whole_mut(&mut y[..rows * outputs], rows, outputs);
                    let x = &x[..rows * inputs];
                    if ours {
                        let term = Through {
                            panels: &Panels::pack(&pool, x, inputs),
                            weights: Rows::of(weight, inputs),
                        };
                        through(to, false, &[term]);
                    } else {
                        let right = whole(weight, outputs, inputs).transpose();
                        set(to, 1.0, whole(x, rows, inputs), right);
                    }
                }
                work as f64 / started.elapsed().as_secs_f64()
            })
            .collect();
        rates.sort_by(f64::total_cmp);
        rates[2]
    };
    let (ours, general) = (rate(true), rate(false));
    let config = &model.config;
    let head = config.vocabulary * config.hidden_size;
    let sides: usize = shapes[..shapes.len() - 1]
        .iter()
        .map(|(out, inputs)| out + inputs)
        .sum();
    Ok(json!({
        "multiply_adds_per_second": ours,
        "general_product_per_second": general,
        // Multiply-adds a token; of attention, a pair of query and key.
        "shape": {
            "linear": work / rows - head,
            "head": head,
            "adapter_of_rank_16": 16 * sides,
            "attention": 2 * config.heads * config.head_size * config.layers.len(),
        },
    }))
}

fn prepared(model: &LanguageModel, chats: &Path) -> Outcome<Value> {
    let settings = DataSettings {
        source: DataSource::Files(vec![chats.to_owned()]),
        limit: None,
        validation_share: 0.0,
    };
    let found = data::read(&settings, model, 0)?.training;
    let (tokens, learn): (Vec<_>, Vec<_>) = found
        .into_iter()
        .map(|example| (example.tokens, example.learn))
        .unzip();
    Ok(json!({ "tokens": tokens, "learn": learn }))
}
