//! The decoder against itself: gradients against differences of the loss, packed against alone,
//! cached against uncached. Against PyTorch it is tested in `golden.rs`.

use super::*;
use crate::conversations::tokens::Example;
use crate::models::adapter::LowRank;
use crate::models::config::{LayerConfig, RotaryConfig, Scaling};
use candle_core::DType;
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) const VOCABULARY: usize = 37;
const HIDDEN: usize = 16;

pub(crate) fn uniform(random: &mut impl Rng, shape: (usize, usize), size: f32) -> Tensor {
    let data: Vec<f32> = (0..shape.0 * shape.1)
        .map(|_| random.random_range(-size..size))
        .collect();
    Tensor::from_vec(data, shape, &Device::Cpu).expect("the data fill the shape")
}

pub(crate) fn tiny_config() -> ModelConfig {
    ModelConfig {
        hidden_size: HIDDEN,
        intermediate_size: 20,
        layers: vec![
            LayerConfig {
                rotary: Some(0),
                window: None,
            };
            2
        ],
        heads: 4,
        key_value_heads: 2,
        head_size: 6,
        vocabulary: VOCABULARY,
        context: 256,
        rotary: vec![RotaryConfig {
            theta: 10_000.0,
            size: 6,
            scaling: Scaling::None,
        }],
        ..ModelConfig::default()
    }
}

pub(crate) fn tiny_weights(config: &ModelConfig) -> Weights {
    let random = &mut ChaCha8Rng::seed_from_u64(1);
    let mut weights = Weights::new();
    let hidden = config.hidden_size;
    let mut put = |name: String, shape: (usize, usize), size: f32| {
        weights.insert(name, uniform(random, shape, size).into());
    };
    put(
        "model.embed_tokens.weight".into(),
        (VOCABULARY, hidden),
        1.0,
    );
    put("lm_head.weight".into(), (VOCABULARY, hidden), 0.7);
    let (queries, keys) = (
        config.heads * config.head_size,
        config.key_value_heads * config.head_size,
    );
    for layer in 0..config.layers.len() {
        let at = |name: &str| format!("model.layers.{layer}.{name}.weight");
        put(at("self_attn.q_proj"), (queries, hidden), 0.5);
        put(at("self_attn.k_proj"), (keys, hidden), 0.5);
        put(at("self_attn.v_proj"), (keys, hidden), 0.5);
        put(at("self_attn.o_proj"), (hidden, queries), 0.4);
        put(at("mlp.gate_proj"), (config.intermediate_size, hidden), 0.5);
        put(at("mlp.up_proj"), (config.intermediate_size, hidden), 0.5);
        put(at("mlp.down_proj"), (hidden, config.intermediate_size), 0.4);
    }
    let mut norms = vec!["model.norm.weight".to_owned()];
    for layer in 0..config.layers.len() {
        norms.push(format!("model.layers.{layer}.input_layernorm.weight"));
        norms.push(format!(
            "model.layers.{layer}.post_attention_layernorm.weight"
        ));
    }
    for name in norms {
        let norm = (uniform(random, (1, hidden), 0.3) + 1.0).and_then(|norm| norm.flatten_all());
        weights.insert(name, norm.expect("a row flattens").into());
    }
    weights
}

/// A decoder of two layers with random weights.
pub(crate) fn tiny() -> Decoder {
    let config = tiny_config();
    Decoder::new(&config, tiny_weights(&config), &Device::Cpu).expect("the weights are complete")
}

pub(crate) fn tiny_adapter(decoder: &Decoder) -> Adapter {
    let random = &mut ChaCha8Rng::seed_from_u64(2);
    let modules = decoder
        .linear_paths()
        .into_iter()
        .map(|path| {
            let (outputs, inputs) = decoder.shapes[&path];
            let low_rank = LowRank {
                whole: false,
                a: uniform(random, (3, inputs), 0.4),
                b: uniform(random, (outputs, 3), 0.4),
                scale: 0.8,
                train_a: true,
                train_b: true,
            };
            (path, low_rank)
        })
        .collect();
    Adapter {
        modules,
        alpha: 2.4,
        rank: 3,
        ..Adapter::default()
    }
}

pub(crate) fn tokens_of(seed: u64, count: usize) -> Vec<u32> {
    let random = &mut ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|_| random.random_range(0..VOCABULARY as u32))
        .collect()
}

/// Two sequences, the longer crossing a block of queries; some rows carry loss, with weights.
pub(crate) fn tiny_batch() -> Packed {
    let lengths = vec![5, 70];
    let tokens = tokens_of(3, 75);
    let targets = (0..74)
        .filter(|row| row % 3 != 0 && *row != 4)
        .map(|row| Target {
            row,
            token: tokens[row as usize + 1],
            weight: if row % 2 == 0 { 1.0 } else { 0.5 },
        })
        .collect();
    Packed {
        tokens,
        lengths,
        beginning: Beginning::default(),
        targets,
    }
}

pub(crate) fn largest_difference(left: &Tensor, right: &Tensor) -> f32 {
    assert_eq!(left.dims(), right.dims());
    let left = Floats::of(left).expect("a CPU tensor");
    let right = Floats::of(right).expect("a CPU tensor");
    left.iter()
        .zip(right.iter())
        .map(|(left, right)| (left - right).abs())
        .fold(0.0, f32::max)
}

pub(crate) fn inner(left: &Tensor, right: &Tensor) -> f64 {
    let left = Floats::of(left).expect("a CPU tensor");
    let right = Floats::of(right).expect("a CPU tensor");
    left.iter()
        .zip(right.iter())
        .map(|(left, right)| f64::from(*left) * f64::from(*right))
        .sum()
}

fn loss(decoder: &Decoder, batch: &Packed, adapter: &Adapter) -> Result<f64> {
    let hidden = decoder.hidden(&batch.tokens, &batch.lengths, Some(adapter), None)?;
    Ok(decoder.cross_entropy(&hidden, &batch.targets)?.0)
}

#[test]
fn gradients_of_every_adapter_tensor_match_differences_of_the_loss() -> Result<()> {
    let decoder = tiny();
    let adapter = tiny_adapter(&decoder);
    let batch = tiny_batch();
    let (hidden, kept) = decoder.forward(&batch, &adapter)?;
    let (_, gradient) = decoder.cross_entropy(&hidden, &batch.targets)?;
    let gradients = decoder.backward(kept, &gradient, &adapter)?;
    assert_eq!(gradients.len(), 2 * 2 * 7, "every tensor has a gradient");
    let step = 3e-3;
    for (name, gradient) in &gradients {
        let random = &mut ChaCha8Rng::seed_from_u64(name.len() as u64);
        let (rows, columns) = gradient.dims2()?;
        // Along the gradient, so that the derivative is far above the noise of f32, and askew of
        // it, so that a gradient with the right length only would not do.
        let norm = inner(gradient, gradient).sqrt();
        assert!(norm > 1e-3, "{name} has a gradient of {norm}");
        let askew = uniform(random, (rows, columns), 1.0);
        let askew_norm = inner(&askew, &askew).sqrt();
        let direction = ((gradient / norm)? + (askew / askew_norm)?)?;
        let moved = |sign: f64| -> Result<f64> {
            let mut adapter = adapter.clone();
            let (path, matrix) = name.rsplit_once('.').expect("a name ends in its matrix");
            let module = adapter.modules.get_mut(path).expect("a known path");
            let tensor = if matrix == "lora_A" {
                &mut module.a
            } else {
                &mut module.b
            };
            *tensor = (&*tensor + (&direction * (sign * step))?)?;
            loss(&decoder, &batch, &adapter)
        };
        let expected = (moved(1.0)? - moved(-1.0)?) / (2.0 * step);
        let found = inner(gradient, &direction);
        assert!(
            (found - expected).abs() <= 4e-3 * expected.abs(),
            "{name}: backward gives {found}, differences {expected}"
        );
    }
    Ok(())
}

#[test]
fn only_what_moves_has_a_gradient_and_the_rest_is_the_same() -> Result<()> {
    let decoder = tiny();
    let all = tiny_adapter(&decoder);
    let mut some = all.clone();
    for (path, module) in &mut some.modules {
        module.train_a = false;
        module.train_b = path.starts_with("model.layers.1.self_attn");
    }
    let batch = tiny_batch();
    let gradients = |adapter: &Adapter| -> Result<AdapterGradients> {
        let (hidden, kept) = decoder.forward(&batch, adapter)?;
        let (_, gradient) = decoder.cross_entropy(&hidden, &batch.targets)?;
        decoder.backward(kept, &gradient, adapter)
    };
    let (of_all, of_some) = (gradients(&all)?, gradients(&some)?);
    let names: Vec<&str> = of_some.keys().map(String::as_str).collect();
    let expected = ["k_proj", "o_proj", "q_proj", "v_proj"]
        .map(|name| format!("model.layers.1.self_attn.{name}.lora_B"));
    assert_eq!(names, expected);
    for (name, gradient) in &of_some {
        assert_eq!(largest_difference(gradient, &of_all[name]), 0.0, "{name}");
    }
    Ok(())
}

#[test]
fn the_same_call_gives_the_same_bits_however_few_layers_are_kept() -> Result<()> {
    let mut decoder = tiny();
    let adapter = tiny_adapter(&decoder);
    let batch = tiny_batch();
    let run = |decoder: &Decoder| -> Result<(f64, AdapterGradients)> {
        let (hidden, kept) = decoder.forward(&batch, &adapter)?;
        let (loss, gradient) = decoder.cross_entropy(&hidden, &batch.targets)?;
        Ok((loss, decoder.backward(kept, &gradient, &adapter)?))
    };
    let (first_loss, first) = run(&decoder)?;
    for kept_layers in [2, 1, 0] {
        decoder.keep_layers(kept_layers);
        let (again_loss, again) = run(&decoder)?;
        assert_eq!(first_loss.to_bits(), again_loss.to_bits());
        for (name, gradient) in &first {
            assert_eq!(largest_difference(gradient, &again[name]), 0.0, "{name}");
        }
    }
    Ok(())
}

#[test]
fn the_divergence_and_its_gradient_match_their_definition() -> Result<()> {
    let decoder = tiny();
    let random = &mut ChaCha8Rng::seed_from_u64(5);
    let hidden = uniform(random, (6, HIDDEN), 1.0);
    let rows = [1u32, 4, 5];
    let same = hidden.index_select(&Tensor::new(&rows, &Device::Cpu)?, 0)?;
    let (none, flat) = decoder.divergence(&hidden, &rows, &same, 2.0)?;
    assert!(none.abs() < 1e-6 && inner(&flat, &flat) < 1e-10);

    let teacher = uniform(random, (3, HIDDEN), 1.0);
    let (value, gradient) = decoder.divergence(&hidden, &rows, &teacher, 2.0)?;
    let logits =
        |states: &Tensor| -> Result<Vec<Vec<f32>>> { Ok(decoder.logits(states)?.to_vec2()?) };
    let softmax = |logits: &[f32]| -> Vec<f64> {
        let powers: Vec<f64> = logits.iter().map(|x| f64::from(*x).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| power / sum).collect()
    };
    let mut expected = 0.0;
    for (row, teacher) in rows.iter().zip(logits(&teacher)?) {
        let student = softmax(&logits(&hidden)?[*row as usize]);
        for (p, q) in softmax(&teacher).iter().zip(&student) {
            expected += 2.0 * p * (p / q).ln();
        }
    }
    assert!(
        (value - expected).abs() < 1e-5 * expected,
        "{value} {expected}"
    );

    let direction = uniform(random, (6, HIDDEN), 1.0);
    let moved = |step: f64| -> Result<f64> {
        let hidden = (&hidden + (&direction * step)?)?;
        Ok(decoder.divergence(&hidden, &rows, &teacher, 2.0)?.0)
    };
    let expected = (moved(1e-3)? - moved(-1e-3)?) / 2e-3;
    let found = inner(&gradient, &direction);
    assert!(
        (found - expected).abs() < 2e-3 * expected.abs(),
        "{found} {expected}"
    );
    Ok(())
}

#[test]
fn log_probabilities_are_the_cross_entropy_and_know_the_likeliest() -> Result<()> {
    let decoder = tiny();
    let batch = tiny_batch();
    let hidden = decoder.hidden(&batch.tokens, &batch.lengths, None, None)?;
    let found = decoder.log_probabilities(&hidden, &batch.targets)?;
    let sum: f64 = found
        .iter()
        .zip(&batch.targets)
        .map(|((log_probability, _), target)| -f64::from(target.weight) * log_probability)
        .sum();
    let (expected, _) = decoder.cross_entropy(&hidden, &batch.targets)?;
    assert!((sum - expected).abs() < 1e-5 * expected);
    let logits: Vec<Vec<f32>> = decoder.logits(&hidden)?.to_vec2()?;
    for ((_, likeliest), target) in found.iter().zip(&batch.targets) {
        let row = &logits[target.row as usize];
        let own = row[target.token as usize];
        assert_eq!(*likeliest, row.iter().all(|other| *other <= own));
    }
    Ok(())
}

#[test]
fn the_observer_sees_the_input_of_each_group() -> Result<()> {
    let decoder = tiny();
    let mut seen = Vec::new();
    let mut observe = |path: &str, x: &[f32], width: usize| -> Result<()> {
        seen.push((path.to_owned(), vec![x.len() / width, width]));
        Ok(())
    };
    decoder.hidden(&tokens_of(1, 9), &[4, 5], None, Some(&mut observe))?;
    let first: Vec<_> = seen.iter().take(4).cloned().collect();
    let expected = [
        ("model.layers.0.self_attn.q_proj", HIDDEN),
        ("model.layers.0.self_attn.o_proj", 24),
        ("model.layers.0.mlp.gate_proj", HIDDEN),
        ("model.layers.0.mlp.down_proj", 20),
    ]
    .map(|(path, width)| (path.to_owned(), vec![9, width]));
    assert_eq!(first, expected);
    assert_eq!(seen.len(), 8);
    Ok(())
}

#[test]
fn a_missing_misshapen_or_unused_tensor_is_named() {
    let config = tiny_config();
    let name = "model.layers.1.mlp.up_proj.weight";
    let build = |change: &dyn Fn(&mut Weights)| {
        let mut weights = tiny_weights(&config);
        change(&mut weights);
        Decoder::new(&config, weights, &Device::Cpu)
            .expect_err("the weights are wrong")
            .to_string()
    };
    let tensor = uniform(&mut ChaCha8Rng::seed_from_u64(1), (3, 3), 1.0);
    let missing = build(&|weights| {
        weights.remove(name);
    });
    assert!(
        missing.contains("no tensor") && missing.contains(name),
        "{missing}"
    );
    let misshapen = build(&|weights| {
        weights.insert(name.into(), tensor.clone().into());
    });
    assert!(
        misshapen.contains("[3, 3]") && misshapen.contains(name),
        "{misshapen}"
    );
    let unused = build(&|weights| {
        weights.insert(
            "model.layers.0.self_attn.q_proj.bias".into(),
            tensor.clone().into(),
        );
    });
    assert!(unused.contains("q_proj.bias"), "{unused}");
}

#[test]
fn an_adapter_of_another_model_is_refused() {
    let decoder = tiny();
    let mut adapter = tiny_adapter(&decoder);
    let module = adapter.modules.remove("model.layers.0.mlp.up_proj");
    let module = module.expect("the adapter changes every layer");
    adapter
        .modules
        .insert("model.layers.7.mlp.up_proj".into(), module);
    let error = decoder
        .hidden(&[1], &[1], Some(&adapter), None)
        .expect_err("there is no layer 7");
    assert!(error.to_string().contains("model.layers.7.mlp.up_proj"));
}

#[test]
fn inputs_that_do_not_fit_are_errors() {
    let decoder = tiny();
    assert!(
        decoder
            .hidden(&[VOCABULARY as u32], &[1], None, None)
            .is_err()
    );
    assert!(decoder.hidden(&[1, 2], &[1], None, None).is_err());
    assert!(
        decoder
            .hidden(&tokens_of(1, 257), &[257], None, None)
            .is_err()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn packed_sequences_are_as_each_alone(
        lengths in prop::collection::vec(1usize..90, 1..5),
        seed in 0u64..1000,
    ) {
        let decoder = tiny();
        let adapter = tiny_adapter(&decoder);
        let tokens = tokens_of(seed, lengths.iter().sum());
        let packed = decoder.hidden(&tokens, &lengths, Some(&adapter), None).unwrap();
        let mut start = 0;
        for &length in &lengths {
            let own = &tokens[start..start + length];
            let alone = decoder.hidden(own, &[length], Some(&adapter), None).unwrap();
            let rows = packed.narrow(0, start, length).unwrap();
            prop_assert!(largest_difference(&alone, &rows) < 2e-5);
            start += length;
        }
    }

    #[test]
    fn reading_in_pieces_is_as_reading_at_once(
        pieces in prop::collection::vec((1usize..40, 1usize..4), 1..5),
        seed in 0u64..1000,
    ) {
        let decoder = tiny();
        let mut adapter = tiny_adapter(&decoder);
        // A whole weight's change is added to it where all is read at once, and beside it in pieces.
        for (_, module) in adapter.modules.iter_mut().step_by(3) {
            let identity = Tensor::eye(module.a.dim(1).unwrap(), DType::F32, &Device::Cpu).unwrap();
            *module = LowRank::whole(module.change().unwrap(), identity);
        }
        let first: usize = pieces.iter().map(|piece| piece.0).sum();
        let second: usize = pieces.iter().map(|piece| piece.1).sum();
        let tokens = [tokens_of(seed, first), tokens_of(seed + 1, second)];
        let whole = decoder
            .hidden(&tokens.concat(), &[first, second], Some(&adapter), None)
            .unwrap();
        // A small first capacity, so that the caches have to grow.
        let mut caches = vec![decoder.cache(2), decoder.cache(0)];
        let mut read = [0, 0];
        for &(one, other) in &pieces {
            let piece = [
                &tokens[0][read[0]..read[0] + one],
                &tokens[1][read[1]..read[1] + other],
            ]
            .concat();
            let lengths = [one, other];
            let shared: Vec<&Cache> = caches.iter().collect();
            let branched = decoder.branch(&piece, &lengths, &shared, Some(&adapter)).unwrap();
            let extended = decoder
                .extend(&piece, &lengths, &mut caches, Some(&adapter))
                .unwrap();
            prop_assert_eq!(largest_difference(&branched, &extended), 0.0);
            let expected = whole.narrow(0, read[0], one).unwrap();
            let found = extended.narrow(0, 0, one).unwrap();
            prop_assert!(largest_difference(&found, &expected) < 2e-5);
            let expected = whole.narrow(0, first + read[1], other).unwrap();
            let found = extended.narrow(0, one, other).unwrap();
            prop_assert!(largest_difference(&found, &expected) < 2e-5);
            read = [read[0] + one, read[1] + other];
            prop_assert_eq!([caches[0].length(), caches[1].length()], read);
        }
    }
}

#[test]
fn a_beginning_read_once_gives_what_each_sequence_gives_by_itself() -> Result<()> {
    let decoder = tiny();
    let adapter = tiny_adapter(&decoder);
    let beginning = tokens_of(9, 20);
    let examples: Vec<Example> = [1usize, 70, 5]
        .iter()
        .enumerate()
        .map(|(index, &length)| {
            let tokens = [&beginning[..], &tokens_of(20 + index as u64, length)].concat();
            // Some of the beginning is learnt too: each sequence counts its own predictions there.
            let learn = (0..tokens.len()).map(|place| place % 3 != 1).collect();
            Example { tokens, learn }
        })
        // One that begins by itself, as a retained reply does.
        .chain([Example {
            tokens: tokens_of(30, 12),
            learn: vec![true; 12],
        }])
        .collect();
    let mut apart = Packed::default();
    for example in &examples {
        apart.push(example);
    }
    let sequences: Vec<&[u32]> = examples.iter().map(|one| one.tokens.as_slice()).collect();
    let (mut together, starts) = Packed::sharing(&sequences);
    for (example, start) in examples.iter().zip(starts) {
        together.learn(start, example);
    }
    assert_eq!(together.beginning.rows, 20);
    assert_eq!(together.tokens.len() + 2 * 20, apart.tokens.len());
    let run = |packed: &Packed| -> Result<(f64, AdapterGradients)> {
        let (hidden, kept) = decoder.forward(packed, &adapter)?;
        let (loss, gradient) = decoder.cross_entropy(&hidden, &packed.targets)?;
        Ok((loss, decoder.backward(kept, &gradient, &adapter)?))
    };
    let ((one, gradients), (other, expected)) = (run(&together)?, run(&apart)?);
    assert!((one - other).abs() < 1e-4 * other, "{one} {other}");
    for (name, expected) in &expected {
        let scale = inner(expected, expected).sqrt();
        let difference = f64::from(largest_difference(&gradients[name], expected));
        assert!(difference < 1e-4 * scale, "{name}: {difference} of {scale}");
    }
    Ok(())
}
