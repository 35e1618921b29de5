//! The blocks of one layer at the shape of SmolLM2-135M, 1,024 rows: where a step's time goes.
//!
//! `cargo bench --bench blocks`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use steadfast::conversations::packing::Beginning;
use steadfast::models::blocks::attention::{self, Attention, Heads, Outcome, Prefix, Segment};
use steadfast::models::blocks::buffers::Pool;
use steadfast::models::blocks::gated::{Activation, Unit};
use steadfast::models::blocks::norm;
use steadfast::models::blocks::product::whole_mut;
use steadfast::models::blocks::tiles::{
    Back, Panels, Rows, Through, across, add_gram, back, through,
};

const ROWS: usize = 1024;
const HIDDEN: usize = 576;
const INTERMEDIATE: usize = 1536;
const RANK: usize = 16;

fn wave(count: usize) -> Vec<f32> {
    (0..count)
        .map(|place| (place as f32 * 0.37).sin())
        .collect()
}

fn products(criterion: &mut Criterion) {
    let pool = Pool::default();
    let mut group = criterion.benchmark_group("products of gate and up");
    group.throughput(Throughput::Elements(
        (ROWS * HIDDEN * 2 * INTERMEDIATE) as u64,
    ));
    let outputs = 2 * INTERMEDIATE;
    let (x, weight) = (wave(ROWS * HIDDEN), wave(outputs * HIDDEN));
    let gradient = wave(ROWS * outputs);
    let mut y = vec![0.0; ROWS * outputs];
    for rows in [1, 16, 64, ROWS] {
        group.throughput(Throughput::Elements((rows * HIDDEN * outputs) as u64));
        group.bench_function(format!("through, {rows} rows"), |bencher| {
            bencher.iter(|| {
                let term = Through {
                    panels: &Panels::pack(&pool, &x[..rows * HIDDEN], HIDDEN),
                    weights: Rows::of(&weight, HIDDEN),
                };
                through(
                    whole_mut(&mut y[..rows * outputs], rows, outputs),
                    false,
                    black_box(&[term]),
                );
            });
        });
    }
    group.bench_function("back", |bencher| {
        let mut to = vec![0.0; ROWS * HIDDEN];
        bencher.iter(|| {
            let term = Back {
                left: Rows::of(&gradient, outputs),
                right: Rows::of(&weight, HIDDEN),
            };
            back(whole_mut(&mut to, ROWS, HIDDEN), black_box(&[term]));
        });
    });
    group.throughput(Throughput::Elements((ROWS * outputs * RANK) as u64));
    group.bench_function("across, the gradient of B", |bencher| {
        let narrow = wave(ROWS * RANK);
        bencher.iter(|| {
            across(
                Rows::of(black_box(&gradient), outputs),
                Rows::of(&narrow, RANK),
                ROWS,
                1.0,
            )
        });
    });
    group.throughput(Throughput::Elements((ROWS * HIDDEN * HIDDEN / 2) as u64));
    group.bench_function("lower gram", |bencher| {
        let mut to = vec![0.0; HIDDEN * HIDDEN];
        bencher.iter(|| {
            add_gram(whole_mut(&mut to, HIDDEN, HIDDEN), &pool, black_box(&x));
        });
    });
    group.finish();
}

fn attending(criterion: &mut Criterion) {
    let heads = Heads {
        query: 9,
        key_value: 3,
        size: 64,
        interleaved: false,
    };
    let plain = Attention::plain(heads);
    let mut group = criterion.benchmark_group("attention");
    group.throughput(Throughput::Elements(ROWS as u64));
    let shared = wave(ROWS * heads.width());
    let mut output = vec![0.0; ROWS * heads.query_width()];
    let mut log_sums = vec![0.0; ROWS * heads.query];
    let gradient_output = wave(ROWS * heads.query_width());
    let mut gradient = vec![0.0; ROWS * heads.width()];
    for length in [128, ROWS] {
        let lengths = vec![length; ROWS / length];
        let segments: Vec<Segment<'_>> = lengths
            .iter()
            .map(|&length| Segment {
                length,
                prefix: Prefix::None,
            })
            .collect();
        group.bench_function(format!("forward, sequences of {length}"), |bencher| {
            bencher.iter(|| {
                attention::forward(
                    &plain,
                    black_box(&shared),
                    &segments,
                    &mut output,
                    &mut log_sums,
                );
            });
        });
        group.bench_function(format!("backward, sequences of {length}"), |bencher| {
            bencher.iter(|| {
                let outcome = Outcome {
                    output: &output,
                    log_sums: &log_sums,
                    gradient: &gradient_output,
                };
                attention::backward(
                    &plain,
                    black_box(&shared),
                    &lengths,
                    Beginning::default(),
                    outcome,
                    &mut gradient,
                );
            });
        });
    }
    group.finish();
}

fn element_wise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("element-wise");
    group.throughput(Throughput::Elements(ROWS as u64));
    let (x, weight) = (wave(ROWS * HIDDEN), wave(HIDDEN));
    let gate_up = wave(ROWS * 2 * INTERMEDIATE);
    let gradient_y = wave(ROWS * INTERMEDIATE);
    let mut normed = vec![0.0; ROWS * HIDDEN];
    let mut activated = vec![0.0; ROWS * INTERMEDIATE];
    let mut gradient = vec![0.0; ROWS * 2 * INTERMEDIATE];
    let swiglu = Unit::Gated(Activation::Silu);
    group.bench_function("norm forward", |bencher| {
        bencher.iter(|| norm::forward(black_box(&x), &weight, 1e-5, &mut normed));
    });
    group.bench_function("gated forward", |bencher| {
        bencher.iter(|| swiglu.forward(black_box(&gate_up), INTERMEDIATE, &mut activated));
    });
    group.bench_function("gated backward", |bencher| {
        bencher.iter(|| {
            swiglu.backward(
                black_box(&gate_up),
                INTERMEDIATE,
                &gradient_y,
                &mut gradient,
            );
        });
    });
    group.finish();
}

criterion_group!(benches, products, attending, element_wise);
criterion_main!(benches);
