//! A training step allocates scratch within a stated bound and leaves nothing behind: activations live in
//! buffers that are used again.

use candle_core::Device;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use std::alloc::System;
use std::sync::Mutex;
use steadfast::conversations::tokens::Example;
use steadfast::events::{Event, Silent};
use steadfast::methods::Method;
use steadfast::methods::lora::lora;
use steadfast::models::{LanguageModel, resolve};
use steadfast::settings::arm::{Hyperparameters, Length, MethodName};
use steadfast::training::train::{Anchors, Task, train};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const STEPS: usize = 4;
const ROWS: usize = 1024;

#[test]
fn a_step_allocates_little_and_leaves_nothing() -> steadfast::Result<()> {
    let located = resolve::locate(None, &Silent)?;
    let model = LanguageModel::load(&located, &Device::Cpu)?;
    let examples: Vec<Example> = (0..40u32)
        .map(|sequence| Example {
            tokens: (0..ROWS as u32 / 4)
                .map(|place| 1000 + (place * 7919 + sequence * 31) % 40_000)
                .collect(),
            learn: vec![true; ROWS / 4],
        })
        .collect();
    let mut settings = Hyperparameters::defaults(MethodName::Lora, Length::Steps(STEPS));
    settings.batch_tokens = ROWS;
    settings.validate_every = 0;
    let mut method = lora(&model.decoder, &settings, 0)?;
    let parameters: usize = method
        .parameters()
        .values()
        .map(|one| one.elem_count())
        .sum();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let region = Region::new(ALLOCATOR);
    let seen: Mutex<Vec<Stats>> = Mutex::new(Vec::with_capacity(STEPS));
    let listener = |event: Event| {
        if let Event::TrainingStep { .. } = event {
            seen.lock()
                .expect("one thread listens")
                .push(region.change());
        }
    };
    train(
        &Task {
            engine: &model.decoder,
            examples: &examples,
            validation: &[],
            anchors: &Anchors::default(),
            hyperparameters: &settings,
            seed: 0,
            folder: folder.path(),
            run: "allocations",
            resume: false,
            group: &steadfast::group::Alone,
        },
        &mut method,
        &listener,
    )?;
    let seen = seen.into_inner().expect("one thread listens");
    let live = |stats: &Stats| stats.bytes_allocated as i64 - stats.bytes_deallocated as i64;
    // The bound, 64 times the adapter (1.25 GB for 1,024 tokens), is for scratch of single tasks: scores
    // of one head, strips of one piece of a product, each about as large as the second cache and
    // free again in microseconds; and for the optimiser's new values and the checkpoint, which is
    // written after each step here. Activations, 0.7 GB, are in none of it. The first two steps
    // warm up.
    let of_parameters = 4 * parameters;
    for pair in seen[1..].windows(2) {
        let allocated = pair[1].bytes_allocated - pair[0].bytes_allocated;
        let left = live(&pair[1]) - live(&pair[0]);
        println!(
            "allocated {:.1} times the adapter, left {left} bytes",
            allocated as f64 / of_parameters as f64
        );
        assert!(allocated < 64 * of_parameters, "{allocated}");
        assert!(left.abs() < 1 << 20, "a step leaves {left} bytes");
    }
    Ok(())
}
