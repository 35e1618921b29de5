//! The loop with every method on a tiny random decoder: gradients, disturbance, exact resume.

use super::*;
use crate::events::Silent;
use crate::group::Alone;
use crate::methods::low_rank::{Adapting, uniform};
use crate::methods::moments::{FirstTokens, Moments, group_of};
use crate::methods::{full, lora, null_space, spectrum};
use crate::models::accelerated::tests::device;
use crate::models::config::{LayerConfig, RotaryConfig, Scaling};
use crate::models::weights::Weights;
use crate::models::{AcceleratedDecoder, ModelConfig};
use crate::settings::{MethodName, NullSpaceSettings, Subspace};
use candle_core::{DType, Device};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

mod together;

const VOCABULARY: usize = 31;

fn decoder() -> Decoder {
    let config = ModelConfig {
        hidden_size: 16,
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
        head_size: 4,
        vocabulary: VOCABULARY,
        context: 128,
        rotary: vec![RotaryConfig {
            theta: 10_000.0,
            size: 4,
            scaling: Scaling::None,
        }],
        tied_embeddings: true,
        ..ModelConfig::default()
    };
    let mut weights = Weights::new();
    let mut put = |name: String, shape: (usize, usize), bound: f32| {
        let tensor = uniform(&name, 1, shape, bound, &Device::Cpu).unwrap();
        weights.insert(name, tensor.into());
    };
    put("model.embed_tokens.weight".into(), (VOCABULARY, 16), 1.0);
    for layer in 0..2 {
        for (name, outputs, inputs) in [
            ("self_attn.q_proj", 16, 16),
            ("self_attn.k_proj", 8, 16),
            ("self_attn.v_proj", 8, 16),
            ("self_attn.o_proj", 16, 16),
            ("mlp.gate_proj", 20, 16),
            ("mlp.up_proj", 20, 16),
            ("mlp.down_proj", 16, 20),
        ] {
            put(
                format!("model.layers.{layer}.{name}.weight"),
                (outputs, inputs),
                0.5,
            );
        }
    }
    let ones = Tensor::ones(16, DType::F32, &Device::Cpu).unwrap();
    weights.insert("model.norm.weight".into(), ones.clone().into());
    for layer in 0..2 {
        for name in ["input_layernorm", "post_attention_layernorm"] {
            weights.insert(
                format!("model.layers.{layer}.{name}.weight"),
                ones.clone().into(),
            );
        }
    }
    Decoder::new(&config, weights, &Device::Cpu).unwrap()
}

fn sequences(seed: u64, count: usize) -> Vec<Vec<u32>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|_| {
            let length = random.random_range(6..14usize);
            (0..length)
                .map(|_| random.random_range(0..VOCABULARY as u32))
                .collect()
        })
        .collect()
}

fn examples(seed: u64, count: usize) -> Vec<Example> {
    sequences(seed, count)
        .into_iter()
        .map(|tokens| Example {
            learn: (0..tokens.len()).map(|index| index > 3).collect(),
            tokens,
        })
        .collect()
}

type Kind = (MethodName, Subspace);

const KINDS: [Kind; 14] = [
    (MethodName::Lora, Subspace::Contrastive),
    (MethodName::NullSpace, Subspace::Contrastive),
    (MethodName::NullSpace, Subspace::LowRetain),
    (MethodName::NullSpace, Subspace::Random),
    (MethodName::NullSpace, Subspace::Free),
    (MethodName::RandomA, Subspace::Contrastive),
    (MethodName::L2Sp, Subspace::Contrastive),
    (MethodName::LoraNull, Subspace::Contrastive),
    (MethodName::LoraNull2, Subspace::Contrastive),
    (MethodName::Milora, Subspace::Contrastive),
    (MethodName::Corda, Subspace::Contrastive),
    (MethodName::Oplora, Subspace::Contrastive),
    (MethodName::Osft, Subspace::Contrastive),
    (MethodName::Full, Subspace::Contrastive),
];

fn settings(kind: Kind) -> Hyperparameters {
    Hyperparameters {
        rank: 3,
        alpha: 6.0,
        batch_tokens: 40,
        gradient_accumulation: 2,
        learning_rate: 1e-2,
        weight_decay: 0.01,
        validate_every: 3,
        ..Hyperparameters::defaults(kind.0, Length::Steps(8))
    }
}

fn moments(decoder: &Decoder, seed: u64, first_tokens: FirstTokens) -> Moments {
    let sequences = sequences(seed, 40);
    let slices: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    Moments::collect(decoder, "test", &slices, first_tokens, &Silent).unwrap()
}

fn method_of(kind: Kind, decoder: &Decoder) -> Box<dyn Method> {
    let settings = settings(kind);
    let own = NullSpaceSettings {
        subspace: kind.1,
        ..NullSpaceSettings::default()
    };
    let retain = moments(decoder, 5, FirstTokens::Counted);
    let task = moments(decoder, 6, FirstTokens::LeftOut);
    let method: Result<Adapting> = match kind.0 {
        MethodName::Lora => lora::lora(decoder, &settings, 7),
        MethodName::RandomA => lora::random_a(decoder, &settings, 7),
        MethodName::L2Sp => lora::l2_sp(decoder, &settings, 7),
        MethodName::LoraNull => {
            null_space::lora_null(decoder, &settings, false, 7, &retain, &Silent)
        }
        MethodName::LoraNull2 => {
            null_space::lora_null(decoder, &settings, true, 7, &retain, &Silent)
        }
        MethodName::Milora => spectrum::milora(decoder, &settings, 7),
        MethodName::Corda => spectrum::corda(decoder, &settings, 7, &retain),
        MethodName::Oplora => spectrum::oplora(decoder, &settings, 7),
        MethodName::Osft => spectrum::osft(decoder, &settings, 7),
        MethodName::Full => full::full(decoder, &settings, 7),
        MethodName::NullSpace => {
            null_space::null_space(decoder, &settings, &own, 7, &retain, Some(&task), &Silent)
        }
    };
    Box::new(method.unwrap())
}

/// Random values in place of all parameters, so that no gradient is 0 because B is.
fn shake(method: &mut dyn Method) {
    let shaken = method
        .parameters()
        .iter()
        .map(|(name, tensor)| {
            let shape = tensor.dims2().unwrap();
            (
                name.clone(),
                uniform(name, 9, shape, 0.3, &Device::Cpu).unwrap(),
            )
        })
        .collect();
    method.set_parameters(shaken).unwrap();
}

/// All that a task borrows.
struct World {
    decoder: Decoder,
    examples: Vec<Example>,
    validation: Vec<Example>,
    anchors: Anchors,
    settings: Hyperparameters,
    folder: std::path::PathBuf,
}

impl World {
    fn new(kind: Kind, folder: &Path) -> Self {
        let decoder = decoder();
        let retained = sequences(11, 4);
        let pairs: Vec<(&[u32], &[u32])> =
            retained.iter().map(|tokens| tokens.split_at(3)).collect();
        let replies = Anchor::read(&decoder, &pairs).unwrap();
        Self {
            examples: examples(3, 12),
            validation: examples(8, 3),
            anchors: Anchors {
                replies,
                kind: AnchorKind::Kl,
                share: 0.1,
                weight: 1.0,
            },
            settings: settings(kind),
            folder: folder.to_owned(),
            decoder,
        }
    }

    fn task(&self, resume: bool) -> Task<'_> {
        Task {
            engine: &self.decoder,
            examples: &self.examples,
            validation: &self.validation,
            anchors: &self.anchors,
            hyperparameters: &self.settings,
            seed: 7,
            folder: &self.folder,
            run: "test",
            resume,
            group: &Alone,
        }
    }
}

fn batches() -> Vec<Batch> {
    let batch = |examples: &[usize], anchors: &[usize]| Batch {
        examples: examples.to_vec(),
        anchors: anchors.to_vec(),
    };
    vec![batch(&[0, 1, 2], &[0]), batch(&[3], &[1, 2])]
}

/// What training minimises on fixed batches, and its gradients.
fn objective(world: &World, method: &dyn Method) -> (f64, Parameters) {
    let adapter = method.adapter().unwrap();
    let plan = Plan {
        steps: vec![batches()],
    };
    let anchored = anchored_weight(&world.anchors, &plan);
    let step = step_gradients(&world.task(false), &adapter, &batches(), anchored).unwrap();
    let (gradients, penalty) = method.pull_back(&step.gradients).unwrap();
    (step.loss + step.divergence + penalty.value, gradients)
}

#[test]
fn each_moving_tensor_has_the_gradient_of_differences() {
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let world = World::new(kind, folder.path());
        let mut method = method_of(kind, &world.decoder);
        shake(method.as_mut());
        let (_, gradients) = objective(&world, method.as_ref());
        let start = method.parameters().clone();
        assert_eq!(
            gradients.keys().collect::<Vec<_>>(),
            start.keys().collect::<Vec<_>>()
        );
        for (name, gradient) in &gradients {
            // Along the gradient itself the derivative is its norm: largest against the noise of f32.
            let norm = norm(&Parameters::from([(name.clone(), gradient.clone())])).unwrap();
            assert!(norm > 1e-6, "{kind:?} {name} has gradient 0");
            let size = 2e-3;
            let mut along = |sign: f64| {
                let mut moved = start.clone();
                let shift = (gradient * (sign * size / norm)).unwrap();
                moved.insert(name.clone(), (&start[name] + shift).unwrap());
                method.set_parameters(moved).unwrap();
                objective(&world, method.as_ref()).0
            };
            let slope = (along(1.0) - along(-1.0)) / (2.0 * size);
            assert!(
                (slope - norm).abs() < 2e-2 * norm + 1e-3,
                "{kind:?} {name}: differences {slope}, gradient {norm}"
            );
        }
    }
}

#[test]
fn disturbance_is_the_mean_square_of_the_change() {
    let decoder = decoder();
    let retained = sequences(5, 40);
    for kind in &KINDS[1..5] {
        let mut method = method_of(*kind, &decoder);
        shake(method.as_mut());
        let adapter = method.adapter().unwrap();
        for (path, value) in method.disturbance().unwrap() {
            let group = group_of(&path);
            let layer = &adapter.modules[&path];
            let delta = (layer.b.matmul(&layer.a).unwrap() * layer.scale).unwrap();
            let weight = decoder.linear_weight(&path).unwrap().unwrap();
            let (mut change, mut power) = (0.0, 0.0);
            for sequence in &retained {
                let mut observe = |name: &str, inputs: &[f32], width: usize| {
                    if name == group {
                        let rows = inputs.len() / width;
                        let inputs = Tensor::from_slice(inputs, (rows, width), &Device::Cpu)?;
                        let square = |matrix: &Tensor| -> Result<f64> {
                            let output = inputs.matmul(&matrix.t()?)?.to_dtype(DType::F64)?;
                            Ok(output.sqr()?.sum_all()?.to_scalar::<f64>()?)
                        };
                        change += square(&delta)?;
                        power += square(&weight)?;
                    }
                    Ok(())
                };
                decoder
                    .hidden(sequence, &[sequence.len()], None, Some(&mut observe))
                    .unwrap();
            }
            let direct = change / power;
            assert!(
                (value - direct).abs() < 1e-3 * direct,
                "{kind:?} {path}: {value} against {direct}"
            );
        }
    }
}

fn floats(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

fn bits(parameters: &Parameters) -> Vec<(String, Vec<u32>)> {
    parameters
        .iter()
        .map(|(name, tensor)| (name.clone(), floats(tensor)))
        .collect()
}

/// A whole run; `killed_after` stops it after that many steps, as a kill would, and resumes.
fn run(kind: Kind, folder: &Path, killed_after: Option<usize>) -> (Box<dyn Method>, Summary) {
    let world = World::new(kind, folder);
    if let Some(steps) = killed_after {
        let mut method = method_of(kind, &world.decoder);
        // A listener that panics is the nearest thing to a kill within one process.
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            train(&world.task(false), method.as_mut(), &|event: Event| {
                if let Event::TrainingStep { step, .. } = event {
                    assert!(step <= steps, "killed on purpose");
                }
            })
        }));
        assert!(killed.is_err(), "the run was not killed");
    }
    let mut method = method_of(kind, &world.decoder);
    let summary = train(
        &world.task(killed_after.is_some()),
        method.as_mut(),
        &Silent,
    )
    .unwrap();
    (method, summary)
}

#[test]
fn killed_and_resumed_equals_straight_bit_for_bit() {
    for kind in KINDS {
        let root = tempfile::tempdir().unwrap();
        let (straight, first) = run(kind, &root.path().join("straight"), None);
        let (resumed, second) = run(kind, &root.path().join("resumed"), Some(5));
        assert_eq!(
            bits(straight.parameters()),
            bits(resumed.parameters()),
            "{kind:?}"
        );
        assert_eq!(first.losses, second.losses);
        assert_eq!(first.validation, second.validation);
        assert_eq!((first.tokens, first.steps), (second.tokens, 8));
        // What is frozen is where it was; what moves has moved.
        let start = method_of(kind, &decoder());
        for (name, tensor) in start.parameters() {
            assert_ne!(
                floats(tensor),
                floats(&straight.parameters()[name]),
                "{name}"
            );
        }
        let after = straight.adapter().unwrap();
        for (path, before) in start.adapter().unwrap().modules {
            let same = floats(&before.a) == floats(&after.modules[&path].a);
            assert_eq!(same, !before.train_a, "{kind:?} {path}");
        }
    }
}

#[test]
fn frozen_directions_are_orthonormal_and_trained_ones_stay_in_their_half() {
    let root = tempfile::tempdir().unwrap();
    let (frozen, _) = run(KINDS[1], &root.path().join("frozen"), None);
    for (path, layer) in frozen.adapter().unwrap().modules {
        let square = layer.a.matmul(&layer.a.t().unwrap()).unwrap();
        for (row, values) in square.to_vec2::<f32>().unwrap().iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                let identity = f32::from(u8::from(row == column));
                assert!((value - identity).abs() < 1e-5, "{path}");
            }
        }
    }
    let (inside, _) = run(KINDS[2], &root.path().join("inside"), None);
    let decoder = decoder();
    let retain = moments(&decoder, 5, FirstTokens::Counted);
    for (path, layer) in inside.adapter().unwrap().modules {
        let basis = crate::methods::subspace::low_half(&retain.of(&path).unwrap().mean()).unwrap();
        let values: Vec<f32> = (0..basis.nrows())
            .flat_map(|row| (0..basis.ncols()).map(move |column| (row, column)))
            .map(|(row, column)| basis[(row, column)] as f32)
            .collect();
        let basis = Tensor::from_vec(values, (basis.nrows(), basis.ncols()), &Device::Cpu).unwrap();
        let projected = layer
            .a
            .matmul(&basis.t().unwrap())
            .unwrap()
            .matmul(&basis)
            .unwrap();
        let outside = (&layer.a - projected)
            .unwrap()
            .sqr()
            .unwrap()
            .sum_all()
            .unwrap();
        assert!(outside.to_scalar::<f32>().unwrap() < 1e-9, "{path}");
    }
}

#[test]
fn accumulated_batches_equal_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(KINDS[0], folder.path());
    let mut method = method_of(KINDS[0], &world.decoder);
    shake(method.as_mut());
    let adapter = method.adapter().unwrap();
    let batch = |examples: &[usize]| Batch {
        examples: examples.to_vec(),
        anchors: vec![],
    };
    let step =
        |batches: &[Batch]| step_gradients(&world.task(false), &adapter, batches, 0.0).unwrap();
    let whole = step(&[batch(&[0, 1, 2, 3])]);
    let parts = step(&[batch(&[0]), batch(&[1, 2, 3])]);
    assert!((whole.loss - parts.loss).abs() < 1e-5);
    for (name, gradient) in &whole.gradients {
        let difference = (gradient - &parts.gradients[name]).unwrap();
        let worst = difference
            .abs()
            .unwrap()
            .max_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        assert!(worst < 1e-4, "{name}: {worst}");
    }
}

#[test]
fn every_retained_token_counts_alike_however_steps_divide_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(KINDS[0], folder.path());
    world.anchors.weight = 3.0;
    let short = &mut world.anchors.replies[0];
    short.rows.truncate(1);
    short.teacher = short.teacher.narrow(0, 0, 1).unwrap();
    let rows = |index: usize| world.anchors.replies[index].rows.len();
    let batch = |anchors: &[usize]| {
        vec![Batch {
            examples: vec![0],
            anchors: anchors.to_vec(),
        }]
    };
    let plan = Plan {
        steps: vec![batch(&[0]), batch(&[]), batch(&[1, 2, 1])],
    };
    let all = rows(0) + 2 * rows(1) + rows(2);
    assert!(rows(0) < rows(1));
    let each = anchored_weight(&world.anchors, &plan);
    // A mean over the steps is the weight times a mean over the tokens.
    assert!((each * all as f64 / 3.0 - 3.0).abs() < 1e-12);
    // And so a step's part of the loss is a sum over what it reads.
    let mut method = method_of(KINDS[0], &world.decoder);
    shake(method.as_mut());
    let adapter = method.adapter().unwrap();
    let divergence = |anchors: &[usize]| {
        let task = world.task(false);
        let step = step_gradients(&task, &adapter, &batch(anchors), each).unwrap();
        step.divergence
    };
    let alone: Vec<f64> = (0..3).map(|index| divergence(&[index])).collect();
    assert!(alone.iter().all(|one| *one > 1e-3), "{alone:?}");
    assert_eq!(divergence(&[]), 0.0);
    let together = divergence(&[1, 2, 1]);
    let sum = alone[1] + alone[2] + alone[1];
    assert!((together - sum).abs() < 1e-4 * sum, "{together} {sum}");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(KINDS[0], folder.path());
    world.settings.learning_rate = 1e30;
    world.settings.clip = 0.0;
    let mut method = method_of(KINDS[0], &world.decoder);
    let error = train(&world.task(false), method.as_mut(), &Silent).unwrap_err();
    assert_eq!(error.class, crate::error::Class::User);
    assert!(error.message.contains("step"), "{error}");
    assert!(error.hint.is_some());
}

#[test]
fn early_stopping_ends_with_the_best_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(KINDS[0], folder.path());
    world.settings.learning_rate = 0.5;
    world.settings.length = Length::Steps(40);
    world.settings.validate_every = 1;
    world.settings.early_stopping = Some(3);
    let mut method = method_of(KINDS[0], &world.decoder);
    let summary = train(&world.task(false), method.as_mut(), &Silent).unwrap();
    assert!(
        summary.steps < 40,
        "random tokens cannot be learnt for ever"
    );
    let least = summary
        .validation
        .iter()
        .map(|(_, loss)| *loss)
        .fold(f64::INFINITY, f64::min);
    let mut state = start(&world.task(false), method.as_mut(), &Silent).unwrap();
    validate(&world.task(false), method.as_ref(), &mut state, &Silent).unwrap();
    let (_, found) = state.progress.validation[0];
    assert!(
        (found - least).abs() < 1e-6,
        "{found} is not the best, {least}"
    );
}

#[test]
fn the_accelerated_decoder_trains_as_the_tiles_do() {
    let both = [AnchorKind::Kl, AnchorKind::Replay];
    for (kind, anchor) in KINDS[..2].iter().zip(both) {
        let root = tempfile::tempdir().unwrap();
        let mut world = World::new(*kind, &root.path().join("tiles"));
        world.settings.length = Length::Steps(3);
        world.anchors.kind = anchor;
        let mut by_tiles = method_of(*kind, &world.decoder);
        let expected = train(&world.task(false), by_tiles.as_mut(), &Silent).unwrap();

        let accelerated = AcceleratedDecoder::new(&world.decoder, &device()).unwrap();
        let folder = root.path().join("accelerated");
        let task = Task {
            engine: &accelerated,
            folder: &folder,
            ..world.task(false)
        };
        let mut method = method_of(*kind, &world.decoder);
        let found = train(&task, method.as_mut(), &Silent).unwrap();
        assert_eq!(found.losses.len(), 3);
        let losses = |summary: &Summary| -> Vec<f64> {
            let validation = summary.validation.iter().map(|(_, loss)| *loss);
            summary.losses.iter().copied().chain(validation).collect()
        };
        for (found, expected) in losses(&found).iter().zip(losses(&expected)) {
            let relative = (found - expected).abs() / expected;
            println!("{kind:?}: {found} by tiles {expected}, {relative:.1e} apart");
            assert!(relative < 1e-4, "{kind:?}: {found}, by tiles {expected}");
        }
    }
}
