//! The decoder on the real default base against PyTorch, and against itself.
//!
//! The expected numbers are in `tests/golden`, made by `engine.py` there.

use super::*;
use crate::conversations::tokens::Example;
use crate::events::Silent;
use crate::models::adapter::LowRank;
use crate::models::memory::Holding;
use crate::models::weights::Form;
use crate::models::{LanguageModel, resolve};
use serde::Deserialize;
use std::sync::OnceLock;

#[derive(Deserialize)]
struct LogitsGolden {
    columns: Vec<usize>,
    cases: Vec<LogitsCase>,
}

#[derive(Deserialize)]
struct LogitsCase {
    tokens: Vec<u32>,
    top_ids: Vec<usize>,
    top_values: Vec<f64>,
    rows: Vec<(usize, Vec<f64>)>,
}

#[derive(Deserialize)]
struct GradientsGolden {
    rank: usize,
    scale: f64,
    batch: Vec<GoldenConversation>,
    loss: f64,
    tensors: BTreeMap<String, [f64; 3]>,
}

#[derive(Deserialize)]
struct GoldenConversation {
    tokens: Vec<u32>,
    reply_start: usize,
}

/// The default base, read once for all tests.
pub(crate) fn base() -> &'static LanguageModel {
    static BASE: OnceLock<LanguageModel> = OnceLock::new();
    BASE.get_or_init(|| {
        let located = resolve::locate(None, &Silent).expect("the default base can be found");
        LanguageModel::load(&located, &Device::Cpu).expect("the default base can be read")
    })
}

/// size·sin(0.37·i + 1.7·seed), as `wave` in `engine.py`.
fn wave(shape: (usize, usize), seed: f64, size: f64) -> Tensor {
    let data: Vec<f32> = (0..shape.0 * shape.1)
        .map(|index| (size * (0.37 * index as f64 + 1.7 * seed).sin()) as f32)
        .collect();
    Tensor::from_vec(data, shape, &Device::Cpu).expect("the data fill the shape")
}

pub(crate) fn wave_adapter(decoder: &Decoder, rank: usize, scale: f64) -> Adapter {
    let modules = decoder
        .linear_paths()
        .into_iter()
        .enumerate()
        .map(|(seed, path)| {
            let (outputs, inputs) = decoder.shapes[&path];
            let low_rank = LowRank {
                whole: false,
                a: wave((rank, inputs), seed as f64, 0.05),
                b: wave((outputs, rank), seed as f64 + 0.5, 0.02),
                scale,
                train_a: true,
                train_b: true,
            };
            (path, low_rank)
        })
        .collect();
    Adapter {
        modules,
        alpha: scale * rank as f64,
        rank,
        ..Adapter::default()
    }
}

#[test]
fn logits_of_the_real_base_are_those_of_transformers() -> Result<()> {
    let golden = include_str!("../../../../../tests/golden/logits.json");
    let golden: LogitsGolden =
        serde_json::from_str(golden).expect("the golden file is well formed");
    let decoder = &base().decoder;
    let tokens: Vec<u32> = golden
        .cases
        .iter()
        .flat_map(|case| case.tokens.clone())
        .collect();
    let lengths: Vec<usize> = golden.cases.iter().map(|case| case.tokens.len()).collect();
    let hidden = decoder.hidden(&tokens, &lengths, None, None)?;
    let mut worst = 0.0f64;
    let mut start = 0;
    for case in &golden.cases {
        let rows = hidden.narrow(0, start, case.tokens.len())?;
        start += case.tokens.len();
        let logits: Vec<Vec<f32>> = decoder.logits(&rows)?.to_vec2()?;
        let mut compare = |found: f32, expected: f64| {
            worst = worst.max((f64::from(found) - expected).abs());
        };
        let last = logits.last().expect("a prompt has tokens");
        for (&id, &expected) in case.top_ids.iter().zip(&case.top_values) {
            compare(last[id], expected);
        }
        for (row, values) in &case.rows {
            for (&column, &expected) in golden.columns.iter().zip(values) {
                compare(logits[*row][column], expected);
            }
        }
    }
    println!("largest difference from transformers: {worst:.1e}");
    assert!(worst < 1e-3, "logits differ by {worst}");
    Ok(())
}

#[test]
fn gradients_on_the_real_base_are_those_of_pytorch() -> Result<()> {
    let golden = include_str!("../../../../../tests/golden/gradients.json");
    let golden: GradientsGolden =
        serde_json::from_str(golden).expect("the golden file is well formed");
    let decoder = &base().decoder;
    let adapter = wave_adapter(decoder, golden.rank, golden.scale);
    let mut packed = Packed::default();
    for conversation in &golden.batch {
        let count = conversation.tokens.len();
        packed.push(&Example {
            tokens: conversation.tokens.clone(),
            learn: (0..count)
                .map(|place| place >= conversation.reply_start)
                .collect(),
        });
    }
    let (hidden, kept) = decoder.forward(&packed, &adapter)?;
    let (loss, gradient) = decoder.cross_entropy(&hidden, &packed.targets)?;
    assert!(
        (loss - golden.loss).abs() < 1e-4 * golden.loss,
        "loss {loss}, PyTorch has {}",
        golden.loss
    );
    let gradients = decoder.backward(kept, &gradient, &adapter)?;
    assert_eq!(gradients.len(), 420);
    assert!(gradients.keys().eq(golden.tensors.keys()));
    let mut worst = (0.0f64, "");
    for (name, &[norm, first, second]) in &golden.tensors {
        let values = Floats::of(&gradients[name])?;
        let project = |frequency: f64, phase: f64| -> f64 {
            values
                .iter()
                .enumerate()
                .map(|(index, value)| f64::from(*value) * (frequency * index as f64 + phase).cos())
                .sum()
        };
        let found_norm = values
            .iter()
            .map(|value| f64::from(*value).powi(2))
            .sum::<f64>()
            .sqrt();
        // Projections are compared relative to the norm: near zero they have no scale of their own.
        for difference in [
            found_norm - norm,
            project(0.61, 0.3) - first,
            project(2.3, 1.1) - second,
        ] {
            let relative = difference.abs() / norm;
            if relative > worst.0 {
                worst = (relative, name);
            }
        }
    }
    println!(
        "largest relative difference from PyTorch: {:.1e} ({})",
        worst.0, worst.1
    );
    assert!(worst.0 < 1e-3, "{} differs by {}", worst.1, worst.0);
    Ok(())
}

#[test]
fn threads_storage_and_layers_computed_anew_change_no_bit() -> Result<()> {
    let located = resolve::locate(None, &Silent)?;
    let small = Holding {
        form: Form::Stored,
        kept_layers: 3,
    };
    let stored = LanguageModel::load_as(&located, small, &Device::Cpu)?.decoder;
    let decoder = &base().decoder;
    assert!(2 * stored.weight_bytes() < decoder.weight_bytes());
    let adapter = wave_adapter(decoder, 4, 1.0);
    let mut packed = Packed::default();
    for sequence in 0..3u32 {
        packed.push(&Example {
            tokens: (0..90)
                .map(|place| 1000 + (place * 7919 + sequence * 31) % 40_000)
                .collect(),
            learn: vec![true; 90],
        });
    }
    let run = |decoder: &Decoder, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads start").install(|| {
            let (hidden, kept) = decoder.forward(&packed, &adapter)?;
            let (loss, gradient) = decoder.cross_entropy(&hidden, &packed.targets)?;
            Ok::<_, Error>((loss, decoder.backward(kept, &gradient, &adapter)?))
        })
    };
    let (loss, gradients) = run(decoder, 1)?;
    for (other, threads) in [(decoder, 2), (decoder, 3), (&stored, 2)] {
        let (found, same) = run(other, threads)?;
        assert_eq!(loss.to_bits(), found.to_bits(), "{threads} threads");
        for (name, gradient) in &gradients {
            assert_eq!(
                *Floats::of(gradient)?,
                *Floats::of(&same[name])?,
                "{name}, {threads} threads"
            );
        }
    }
    Ok(())
}
