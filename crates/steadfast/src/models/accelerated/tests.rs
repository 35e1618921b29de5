//! The accelerated decoder against the tiles of the CPU: loss, hidden states and every gradient.
//!
//! On the CPU by default. `STEADFAST_TEST_DEVICE=cuda` (in a build with CUDA) runs the same
//! comparisons on a card: `tests/device/run` does.

use super::*;
use crate::Result;
use crate::conversations::packing::{Beginning, Packed, Target};
use crate::conversations::tokens::Example;
use crate::models::adapter::{Adapter, LowRank};
use crate::models::decoder::Decoder;
use crate::models::decoder::golden::{base, wave_adapter};
use crate::models::decoder::tests::{
    VOCABULARY, inner, tiny, tiny_adapter, tiny_batch, tiny_config, tiny_weights, tokens_of,
    uniform,
};
use crate::models::network::Network;
use crate::settings::TrainingDevice;
use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Largest difference, relative to the norm of what is compared.
const TOLERANCE: f64 = 2e-5;

/// Where these tests run.
pub(crate) fn device() -> Device {
    let text = std::env::var("STEADFAST_TEST_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    let device = TrainingDevice::parse(&text).expect("STEADFAST_TEST_DEVICE names a device");
    device.open().expect("the device can be used")
}

/// ‖found − expected‖ / ‖expected‖.
fn apart(found: &Tensor, expected: &Tensor) -> f64 {
    let found = found.to_device(&Device::Cpu).expect("it can be read back");
    assert_eq!(found.dims(), expected.dims());
    let difference = (&found - expected).expect("the shapes agree");
    (inner(&difference, &difference) / inner(expected, expected)).sqrt()
}

/// The largest relative difference of loss, hidden states and gradients on this batch.
fn compare(decoder: &Decoder, queries: usize, batch: &Packed, adapter: &Adapter) -> Result<f64> {
    let mut accelerated = AcceleratedDecoder::new(decoder, &device())?;
    accelerated.queries = queries;
    let (hidden, kept) = decoder.forward(batch, adapter)?;
    let (loss, gradient) = decoder.cross_entropy(&hidden, &batch.targets)?;
    let expected = decoder.backward(kept, &gradient, adapter)?;

    let (found_hidden, kept) = accelerated.forward(batch, adapter)?;
    let (found_loss, gradient) = accelerated.cross_entropy(&found_hidden, &batch.targets)?;
    let found = accelerated.backward(kept, &gradient, adapter)?;
    assert!(found.keys().eq(expected.keys()), "other tensors move");
    let mut worst = (found_loss - loss).abs() / loss;
    worst = worst.max((accelerated.loss(batch, adapter)? - loss).abs() / loss);
    worst = worst.max(apart(&found_hidden, &hidden));
    for (name, expected) in &expected {
        let difference = apart(&found[name], expected);
        assert!(difference < 1e-2, "{name} differs by {difference}");
        worst = worst.max(difference);
    }
    Ok(worst)
}

fn assert_close(worst: f64) {
    println!("largest relative difference from the tiles: {worst:.1e}");
    assert!(worst < TOLERANCE, "a difference of {worst}");
}

/// Sequences of these lengths, of which some predictions count, by different weights.
fn batch(seed: u64, lengths: &[usize]) -> Packed {
    let tokens = tokens_of(seed, lengths.iter().sum());
    let targets = (0..tokens.len() as u32 - 1)
        .filter(|row| row % 4 != 1)
        .map(|row| Target {
            row,
            token: tokens[row as usize + 1],
            weight: if row % 2 == 0 { 0.7 } else { 0.1 },
        })
        .collect();
    Packed {
        tokens,
        lengths: lengths.to_vec(),
        beginning: Beginning::default(),
        targets,
    }
}

#[test]
fn two_sequences_are_as_by_tiles() -> Result<()> {
    let decoder = tiny();
    let adapter = tiny_adapter(&decoder);
    for queries in [512, 16] {
        assert_close(compare(&decoder, queries, &tiny_batch(), &adapter)?);
    }
    Ok(())
}

#[test]
fn many_lengths_blocks_and_chunks_of_targets_are_as_by_tiles() -> Result<()> {
    let decoder = tiny();
    let adapter = tiny_adapter(&decoder);
    for lengths in [
        &[1usize, 4][..],
        &[7, 7, 7, 12, 3, 3, 1],
        &[33, 33, 20, 64],
        &[230, 230, 230, 90],
    ] {
        for queries in [512, 32] {
            assert_close(compare(&decoder, queries, &batch(4, lengths), &adapter)?);
        }
    }
    Ok(())
}

#[test]
fn a_shared_beginning_is_as_by_tiles() -> Result<()> {
    let decoder = tiny();
    let adapter = tiny_adapter(&decoder);
    let beginning = tokens_of(9, 20);
    // The second and third go together; the last begins by itself.
    let examples: Vec<Example> = [1usize, 40, 40, 70]
        .iter()
        .map(|&length| [&beginning[..], &tokens_of(20 + length as u64, length)].concat())
        .chain([tokens_of(30, 12)])
        .map(|tokens| Example {
            learn: (0..tokens.len()).map(|place| place % 3 != 1).collect(),
            tokens,
        })
        .collect();
    let sequences: Vec<&[u32]> = examples.iter().map(|one| one.tokens.as_slice()).collect();
    let (mut packed, places) = Packed::sharing(&sequences);
    for (example, place) in examples.iter().zip(places) {
        packed.learn(place, example);
    }
    assert_eq!(packed.beginning.rows, 20);
    assert_eq!(packed.beginning.followers, 4);
    for queries in [512, 16] {
        assert_close(compare(&decoder, queries, &packed, &adapter)?);
    }
    Ok(())
}

#[test]
fn only_what_moves_has_a_gradient() -> Result<()> {
    let decoder = tiny();
    // Frozen A, as `contrastive` has it.
    let mut frozen = tiny_adapter(&decoder);
    for module in frozen.modules.values_mut() {
        module.train_a = false;
    }
    // One layer alone, with parts of a group that are not adapted, of other ranks and scales.
    let mut few = tiny_adapter(&decoder);
    few.modules
        .retain(|path, _| !path.ends_with("k_proj") && !path.ends_with("down_proj"));
    for (path, module) in &mut few.modules {
        module.train_a = path.starts_with("model.layers.1.") && path.ends_with("q_proj");
        module.train_b = path.starts_with("model.layers.1.") && !path.ends_with("q_proj");
        if path.ends_with("v_proj") {
            let random = &mut ChaCha8Rng::seed_from_u64(8);
            let ((outputs, _), (_, inputs)) = (module.b.dims2()?, module.a.dims2()?);
            *module = LowRank {
                whole: false,
                a: uniform(random, (5, inputs), 0.4),
                b: uniform(random, (outputs, 5), 0.4),
                scale: 0.3,
                ..module.clone()
            };
        }
    }
    for adapter in [frozen, few] {
        assert_close(compare(&decoder, 512, &tiny_batch(), &adapter)?);
    }
    // No adapter: the base's own loss.
    let accelerated = AcceleratedDecoder::new(&decoder, &device())?;
    let (none, batch) = (Adapter::default(), tiny_batch());
    let expected = Network::loss(&decoder, &batch, &none)?;
    assert_close((accelerated.loss(&batch, &none)? - expected).abs() / expected);
    // Nothing that moves.
    let mut still = tiny_adapter(&decoder);
    for module in still.modules.values_mut() {
        (module.train_a, module.train_b) = (false, false);
    }
    let (hidden, kept) = accelerated.forward(&batch, &still)?;
    let (_, gradient) = accelerated.cross_entropy(&hidden, &batch.targets)?;
    assert!(accelerated.backward(kept, &gradient, &still)?.is_empty());
    Ok(())
}

#[test]
fn a_tied_head_is_as_by_tiles() -> Result<()> {
    let mut config = tiny_config();
    config.tied_embeddings = true;
    let decoder = Decoder::new(&config, tiny_weights(&config), &Device::Cpu)?;
    let adapter = tiny_adapter(&decoder);
    assert_close(compare(&decoder, 512, &tiny_batch(), &adapter)?);
    Ok(())
}

#[test]
fn the_divergence_and_its_gradient_are_as_by_tiles() -> Result<()> {
    let decoder = tiny();
    let accelerated = AcceleratedDecoder::new(&decoder, &device())?;
    let random = &mut ChaCha8Rng::seed_from_u64(5);
    let hidden = uniform(random, (700, 16), 1.0);
    let there = hidden.to_device(&device())?;
    let rows: Vec<u32> = (0..700).filter(|row| row % 7 != 2).collect();
    assert!(rows.len() > 512, "two chunks");
    let teacher = uniform(random, (rows.len(), 16), 1.0);
    let (expected, expected_pull) = decoder.divergence(&hidden, &rows, &teacher, 0.3)?;
    let (found, pull) = accelerated.divergence(&there, &rows, &teacher, 0.3)?;
    assert_close((found - expected).abs() / expected);
    assert_close(apart(&pull, &expected_pull));
    let (none, pull) = accelerated.divergence(&there, &[], &teacher.narrow(0, 0, 0)?, 0.3)?;
    assert_eq!((none, pull.dims()), (0.0, &[700, 16][..]));
    let (none, pull) = Network::cross_entropy(&accelerated, &there, &[])?;
    assert_eq!((none, pull.dims()), (0.0, &[700, 16][..]));
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let decoder = tiny();
    let accelerated = AcceleratedDecoder::new(&decoder, &device())?;
    let adapter = tiny_adapter(&decoder);
    let mut foreign = batch(1, &[4]);
    foreign.tokens[0] = VOCABULARY as u32;
    assert!(accelerated.forward(&foreign, &adapter).is_err());
    assert!(accelerated.forward(&batch(1, &[257]), &adapter).is_err());
    let mut other = adapter.clone();
    let module = other.modules["model.layers.0.mlp.up_proj"].clone();
    other
        .modules
        .insert("model.layers.7.mlp.up_proj".into(), module);
    assert!(accelerated.forward(&batch(1, &[4]), &other).is_err());
    let (hidden, _) = accelerated.forward(&batch(1, &[4]), &adapter)?;
    let outside = Target {
        row: 4,
        token: 0,
        weight: 1.0,
    };
    assert!(Network::cross_entropy(&accelerated, &hidden, &[outside]).is_err());
    Ok(())
}

#[test]
fn the_real_base_is_as_by_tiles() -> Result<()> {
    let decoder = &base().decoder;
    let adapter = wave_adapter(decoder, 8, 1.0);
    let mut packed = Packed::default();
    for (sequence, length) in [30u32, 17].into_iter().enumerate() {
        packed.push(&Example {
            tokens: (0..length)
                .map(|place| 1000 + (place * 7919 + sequence as u32 * 31) % 40_000)
                .collect(),
            learn: (0..length).map(|place| place > 9).collect(),
        });
    }
    let worst = compare(decoder, 16, &packed, &adapter)?;
    println!("largest relative difference on the real base: {worst:.1e}");
    assert!(worst < 1e-4, "a difference of {worst}");
    Ok(())
}
