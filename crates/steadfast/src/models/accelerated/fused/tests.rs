//! Each operation against its definition in f64, at widths around those of a warp and of a block of
//! threads: on the CPU by default, on a card with `STEADFAST_TEST_DEVICE` (`tests/device/run`).

use crate::Result;
use crate::models::accelerated::tests::device;
use crate::models::accelerated::{attention, gated, head, norm, rotary};
use crate::models::blocks::rotary::{Tables, Turn};
use crate::models::decoder::tests::uniform;
use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const WIDTHS: [usize; 7] = [1, 31, 33, 255, 256, 257, 1000];
const ROWS: usize = 6;

/// Rows of a larger tensor on the device, so that they do not begin where it does, and in f64 here.
fn random(seed: u64, rows: usize, width: usize) -> Result<(Tensor, Vec<Vec<f64>>)> {
    let all = uniform(&mut ChaCha8Rng::seed_from_u64(seed), (rows + 2, width), 4.0);
    let own = all.to_device(&device())?.narrow(0, 2, rows)?;
    let here = numbers(&own)?;
    Ok((own, here))
}

/// The same, that can be changed in its place.
fn fresh(seed: u64, rows: usize, width: usize) -> Result<(Tensor, Vec<Vec<f64>>)> {
    let (own, here) = random(seed, rows, width)?;
    Ok((own.copy()?, here))
}

fn numbers(found: &Tensor) -> Result<Vec<Vec<f64>>> {
    let width = *found.dims().last().expect("it has rows");
    let flat = found.to_device(&Device::Cpu)?.reshape(((), width))?;
    Ok(flat.to_dtype(DType::F64)?.to_vec2()?)
}

#[track_caller]
fn assert_equal(found: &Tensor, expected: &[Vec<f64>]) {
    let found = numbers(found).expect("it can be read back").concat();
    let expected = expected.concat();
    assert_eq!(found.len(), expected.len());
    let norm = expected
        .iter()
        .map(|value| value * value)
        .sum::<f64>()
        .sqrt();
    let apart = found.iter().zip(&expected);
    let apart = apart.map(|(one, other)| (one - other).powi(2)).sum::<f64>();
    assert!(
        apart.sqrt() <= 1e-5 * norm + 1e-12,
        "{} apart, of {norm}",
        apart.sqrt()
    );
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(one, other)| one * other).sum()
}

/// Each row, made from those of both.
fn by_row(
    left: &[Vec<f64>],
    right: &[Vec<f64>],
    of: impl Fn(&[f64], &[f64]) -> Vec<f64>,
) -> Vec<Vec<f64>> {
    let rows = left.iter().zip(right);
    rows.map(|(left, right)| of(left, right)).collect()
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let sum: f64 = row.iter().map(|value| value.exp()).sum();
    row.iter().map(|value| value.exp() / sum).collect()
}

#[test]
fn norms_are_as_defined() -> Result<()> {
    for width in WIDTHS {
        let (x, rows) = random(1, ROWS, width)?;
        let (weight, weights) = random(2, 1, width)?;
        let (gradient, gradients) = random(3, ROWS, width)?;
        let (weight, weights, epsilon) = (weight.flatten_all()?, &weights[0], 0.5);
        let inverse = |x: &[f64]| (dot(x, x) / width as f64 + epsilon).powf(-0.5);
        let expected = by_row(&rows, &rows, |row, _| {
            let each = row.iter().zip(weights);
            each.map(|(x, weight)| x * inverse(row) * weight).collect()
        });
        assert_equal(&norm::forward(&x, &weight, epsilon)?, &expected);
        let expected = by_row(&rows, &gradients, |x, gradient| {
            let weighted: Vec<f64> = gradient.iter().zip(weights).map(|(g, w)| g * w).collect();
            let inverse = inverse(x);
            let along = dot(&weighted, x) / width as f64 * inverse.powi(3);
            let each = weighted.iter().zip(x);
            each.map(|(g, x)| inverse * g - x * along).collect()
        });
        assert_equal(&norm::backward(&x, &weight, epsilon, &gradient)?, &expected);
    }
    Ok(())
}

#[test]
fn gated_units_are_as_defined() -> Result<()> {
    let sigmoid = |value: f64| 1.0 / (1.0 + (-value).exp());
    for width in WIDTHS {
        let (gate_up, rows) = random(1, ROWS, 2 * width)?;
        let (gradient, gradients) = random(2, ROWS, width)?;
        let expected = by_row(&rows, &rows, |row, _| {
            let (gates, ups) = row.split_at(width);
            let each = gates.iter().zip(ups);
            each.map(|(gate, up)| gate * sigmoid(*gate) * up).collect()
        });
        assert_equal(&gated::forward(&gate_up)?, &expected);
        let expected = by_row(&rows, &gradients, |row, gradient| {
            let (gates, ups) = row.split_at(width);
            let of_gates = (0..width).map(|place| {
                let (gate, share) = (gates[place], sigmoid(gates[place]));
                gradient[place] * ups[place] * share * (1.0 + gate * (1.0 - share))
            });
            let of_ups =
                (0..width).map(|place| gradient[place] * gates[place] * sigmoid(gates[place]));
            of_gates.chain(of_ups).collect()
        });
        assert_equal(&gated::backward(&gate_up, &gradient)?, &expected);
    }
    Ok(())
}

#[test]
fn rows_are_turned_and_turned_back() -> Result<()> {
    for half in WIDTHS {
        let heads = 3;
        let (x, rows) = random(1, ROWS, heads * 2 * half)?;
        let angle = |row: usize, pair: usize| 0.1 * row as f64 - 0.01 * pair as f64;
        let table = |of: fn(f64) -> f64| -> Vec<f32> {
            let places = (0..ROWS).flat_map(|row| (0..half).map(move |pair| (row, pair)));
            places
                .map(|(row, pair)| of(angle(row, pair)) as f32)
                .collect()
        };
        let tables = Tables {
            half,
            cosines: table(f64::cos),
            sines: table(f64::sin),
        };
        let positions = Tensor::arange(0, ROWS as u32, &device())?;
        let angles = rotary::Tables::new(&tables, &device())?.at(&positions)?;
        let x = x.reshape((ROWS, heads, 2 * half))?;
        let mut expected = rows.clone();
        for (row, values) in expected.iter_mut().enumerate() {
            // The last head stays as it is.
            for head in values.chunks_exact_mut(2 * half).take(2) {
                for pair in 0..half {
                    let (sine, cosine) = angle(row, pair).sin_cos();
                    let (first, second) = (head[pair], head[pair + half]);
                    head[pair] = first * cosine - second * sine;
                    head[pair + half] = second * cosine + first * sine;
                }
            }
        }
        let turned = angles.apply(&x, 2, Turn::Forth)?;
        assert_equal(&turned.flatten_from(1)?, &expected);
        assert_equal(
            &angles.apply(&turned, 2, Turn::Back)?.flatten_from(1)?,
            &rows,
        );
    }
    Ok(())
}

#[test]
fn queries_share_out_what_they_may_see() -> Result<()> {
    for seen in WIDTHS {
        // Two heads' queries below one another, in each of two stacks.
        let queries = seen.min(5);
        let (stacks, rows, before) = (2, 2 * queries, seen - queries);
        let (scores, expected) = fresh(1, stacks * rows, seen)?;
        let scores = scores.reshape((stacks, rows, seen))?;
        let mut expected = expected;
        for (row, values) in expected.iter_mut().enumerate() {
            let visible = before + row % queries + 1;
            let shares = softmax(&values[..visible]);
            values.fill(0.0);
            values[..visible].copy_from_slice(&shares);
        }
        attention::attend(&scores, queries, before)?;
        assert_equal(&scores, &expected);

        let (gradient, gradients) = fresh(2, stacks * rows, seen)?;
        let gradient = gradient.reshape((stacks, rows, seen))?;
        let expected = by_row(&expected, &gradients, |shares, gradient| {
            let along = dot(shares, gradient);
            let each = shares.iter().zip(gradient);
            each.map(|(share, gradient)| share * (gradient - along))
                .collect()
        });
        attention::attend_backward(&gradient, &scores)?;
        assert_equal(&gradient, &expected);
    }
    Ok(())
}

#[test]
fn losses_and_divergences_are_as_defined() -> Result<()> {
    for width in WIDTHS {
        let (logits, rows) = fresh(1, ROWS, width)?;
        let (weights, weight) = random(2, ROWS, 1)?;
        let expected: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| vec![row.iter().map(|value| value.exp()).sum::<f64>().ln()])
            .collect();
        let sums = head::log_sums(&logits)?;
        assert_equal(&sums, &expected);
        head::weigh(&logits, &sums, &weights)?;
        let expected = by_row(&rows, &weight, |row, weight| {
            softmax(row).iter().map(|share| weight[0] * share).collect()
        });
        assert_equal(&logits, &expected);

        let (student, own) = fresh(3, ROWS, width)?;
        let (teacher, theirs) = random(4, ROWS, width)?;
        let expected = by_row(&theirs, &own, |teacher, student| {
            let (teacher, student) = (softmax(teacher), softmax(student));
            let each = teacher.iter().zip(&student);
            vec![each.map(|(p, q)| p * (p / q).ln()).sum()]
        });
        let found = head::divergences(&teacher, &student)?;
        assert_equal(&found.unsqueeze(1)?, &expected);
        head::pull_towards(&teacher, &student, 0.3)?;
        let expected = by_row(&theirs, &own, |teacher, student| {
            let each = softmax(student).into_iter().zip(softmax(teacher));
            each.map(|(own, teacher)| 0.3 * (own - teacher)).collect()
        });
        assert_equal(&student, &expected);
    }
    Ok(())
}

#[test]
fn tensors_of_other_shapes_are_refused() -> Result<()> {
    let (x, _) = random(1, 4, 6)?;
    let weight = Tensor::ones(5, DType::F32, &device())?;
    assert!(norm::forward(&x, &weight, 1e-5).is_err());
    assert!(gated::forward(&x.narrow(1, 0, 5)?.contiguous()?).is_err());
    assert!(gated::backward(&x, &x).is_err());
    // Columns of a wider tensor do not lie in one piece.
    assert!(gated::forward(&x.narrow(1, 0, 4)?).is_err());
    let scores = x.copy()?.reshape((1, 4, 6))?;
    assert!(attention::attend(&scores, 4, 3).is_err());
    assert!(attention::attend_backward(&scores, &scores.narrow(1, 0, 2)?).is_err());
    Ok(())
}
