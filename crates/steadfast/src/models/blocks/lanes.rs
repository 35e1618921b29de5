//! Element-wise arithmetic compiled for the widest vectors of the machine it runs on.
//!
//! A plain release build targets the oldest CPU of its architecture. [`vectorized`] runs a closure
//! in a copy compiled for AVX2 (or AVX-512) where the CPU has it, so that the loops below fill its
//! registers. Sums run over a fixed number of lanes in a fixed order: the same input gives the same
//! bits.

/// Independent partial sums; 16 fill two AVX2 registers.
const LANES: usize = 16;

/// Runs `work` compiled for this machine's vector instructions. What it calls must be
/// `#[inline(always)]` to take part.
#[inline(always)]
pub fn vectorized<Output>(work: impl FnOnce() -> Output) -> Output {
    pulp::Arch::new().dispatch(work)
}

/// eˣ to within 2 units in the last place over [−87.3, 88.3] and held at the ends beyond; not a
/// number stays so. (Cephes' polynomial; the rounding trick needs no instruction that would keep
/// the loop from being vectorized.)
#[inline(always)]
pub fn exponential(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // Adding and subtracting 1.5·2²³ rounds to the nearest integer, left in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = x - whole * LN_2_HIGH - whole * LN_2_LOW;
    let mut sum = 1.987_569_1e-4_f32;
    sum = sum * rest + 1.398_199_9e-3;
    sum = sum * rest + 8.333_452e-3;
    sum = sum * rest + 4.166_579_6e-2;
    sum = sum * rest + 1.666_666_5e-1;
    sum = sum * rest + 0.5;
    let power = sum * rest * rest + rest + 1.0;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    power * f32::from_bits((exponent.wrapping_add(127) << 23) as u32)
}

#[inline(always)]
fn fold(lanes: [f32; LANES]) -> f32 {
    let mut lanes = lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Σ xᵢ·yᵢ.
#[inline(always)]
pub fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (x_chunks, x_rest) = x.as_chunks::<LANES>();
    let (y_chunks, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    for (lane, (x, y)) in x_rest.iter().zip(y_rest).enumerate() {
        lanes[lane] += x * y;
    }
    fold(lanes)
}

/// Σ xᵢ.
#[inline(always)]
pub fn sum(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for x in chunks {
        for lane in 0..LANES {
            lanes[lane] += x[lane];
        }
    }
    for (lane, x) in rest.iter().enumerate() {
        lanes[lane] += x;
    }
    fold(lanes)
}

/// y += factor·x.
#[inline(always)]
pub fn add_scaled(y: &mut [f32], factor: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

/// to = x + y.
#[inline(always)]
pub fn add(to: &mut [f32], x: &[f32], y: &[f32]) {
    for (to, (x, y)) in to.iter_mut().zip(x.iter().zip(y)) {
        *to = x + y;
    }
}

/// The largest element; −∞ for none.
#[inline(always)]
pub fn maximum(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for x in chunks {
        for lane in 0..LANES {
            lanes[lane] = if x[lane] > lanes[lane] {
                x[lane]
            } else {
                lanes[lane]
            };
        }
    }
    let start = rest.iter().fold(f32::NEG_INFINITY, |most, &x| most.max(x));
    lanes.iter().fold(start, |most, &x| most.max(x))
}

/// Replaces each x by e^(scale·x − shift) and returns their sum.
#[inline(always)]
pub fn exponentials(x: &mut [f32], scale: f32, shift: f32) -> f64 {
    // Partial sums of at most this many terms are taken in f32, their total in f64: a vocabulary
    // of 50 thousand loses nothing that way.
    const RUN: usize = 2048;
    let mut total = 0.0f64;
    for run in x.chunks_mut(RUN) {
        let mut lanes = [0.0f32; LANES];
        let (chunks, rest) = run.as_chunks_mut::<LANES>();
        for x in chunks {
            for lane in 0..LANES {
                x[lane] = exponential(x[lane] * scale - shift);
                lanes[lane] += x[lane];
            }
        }
        for (lane, x) in rest.iter_mut().enumerate() {
            *x = exponential(*x * scale - shift);
            lanes[lane] += *x;
        }
        total += f64::from(fold(lanes));
    }
    total
}

/// As [`exponentials`], leaving `x` as it is.
#[inline(always)]
pub fn sum_of_exponentials(x: &[f32], shift: f32) -> f64 {
    const RUN: usize = 2048;
    let mut total = 0.0f64;
    for run in x.chunks(RUN) {
        let mut lanes = [0.0f32; LANES];
        let (chunks, rest) = run.as_chunks::<LANES>();
        for x in chunks {
            for lane in 0..LANES {
                lanes[lane] += exponential(x[lane] - shift);
            }
        }
        for (lane, x) in rest.iter().enumerate() {
            lanes[lane] += exponential(*x - shift);
        }
        total += f64::from(fold(lanes));
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_exponential_is_accurate(x in -87.0f32..88.0) {
            let expected = f64::from(x).exp();
            let relative = (f64::from(exponential(x)) - expected).abs() / expected;
            prop_assert!(relative < 3e-7, "e^{x}: {relative}");
        }

        #[test]
        fn sums_match_plain_loops(x in prop::collection::vec(-3.0f32..3.0, 0..70)) {
            let y: Vec<f32> = x.iter().map(|x| x * 0.5 - 1.0).collect();
            let expected: f64 = x.iter().zip(&y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            prop_assert!((f64::from(vectorized(|| dot(&x, &y))) - expected).abs() < 1e-4);
            let expected: f64 = x.iter().map(|x| f64::from(*x)).sum();
            prop_assert!((f64::from(vectorized(|| sum(&x))) - expected).abs() < 1e-4);
            let mut powers = x.clone();
            let expected: f64 = x.iter().map(|x| (f64::from(*x) * 2.0 - 1.0).exp()).sum();
            let sum = vectorized(|| exponentials(&mut powers, 2.0, 1.0));
            prop_assert!((sum - expected).abs() <= 1e-5 * expected);
            let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(maximum(&x), most);
        }
    }

    #[test]
    fn the_ends_are_held_and_not_a_number_stays_so() {
        assert!(exponential(f32::NEG_INFINITY) < 2e-38);
        assert!(exponential(f32::INFINITY).is_finite());
        assert!(exponential(f32::NAN).is_nan());
        assert_eq!(exponential(0.0), 1.0);
    }
}
