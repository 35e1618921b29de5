//! The curves of feed-forward blocks: each a value and its slope, in plain arithmetic that the
//! compiler vectorizes.

use super::lanes::exponential;

/// √(2/π).
const ROOT: f32 = 0.797_884_6;
/// The cubic term of GELU's approximation by a hyperbolic tangent.
const CUBIC: f32 = 0.044_715;

/// A differentiable function of one number.
pub trait Curve {
    /// Its value at `x`.
    fn value(x: f32) -> f32;
    /// Its value and its slope at `x`.
    fn value_and_slope(x: f32) -> (f32, f32);
}

/// x·σ(x).
#[derive(Debug)]
pub struct Silu;

impl Curve for Silu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x / (1.0 + exponential(-x))
    }

    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        let sigmoid = 1.0 / (1.0 + exponential(-x));
        let silu = x * sigmoid;
        (silu, sigmoid + silu * (1.0 - sigmoid))
    }
}

/// x·(1 + tanh u)/2 with u = √(2/π)·(x + 0.044715·x³), which is x·σ(2u) (Hendrycks and Gimpel 2016,
/// arXiv:1606.08415).
#[derive(Debug)]
pub struct GeluTanh;

impl Curve for GeluTanh {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        let twice = 2.0 * ROOT * (x + CUBIC * x * x * x);
        x / (1.0 + exponential(-twice))
    }

    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        let twice = 2.0 * ROOT * (x + CUBIC * x * x * x);
        let sigmoid = 1.0 / (1.0 + exponential(-twice));
        let slope = 2.0 * ROOT * (1.0 + 3.0 * CUBIC * x * x);
        (x * sigmoid, sigmoid + x * sigmoid * (1.0 - sigmoid) * slope)
    }
}

/// x·Φ(x), Φ the normal distribution.
#[derive(Debug)]
pub struct Gelu;

impl Gelu {
    /// Φ(x) to 8e-8 (Abramowitz and Stegun 1964, 7.1.26), and e^(−x²/2).
    #[inline(always)]
    fn normal(x: f32) -> (f32, f32) {
        let bell = exponential(-0.5 * x * x);
        let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
        let mut sum = 1.061_405_4_f32;
        sum = sum * t - 1.453_152;
        sum = sum * t + 1.421_413_7;
        sum = sum * t - 0.284_496_74;
        sum = sum * t + 0.254_829_6;
        // Half of what lies beyond |x|.
        let beyond = 0.5 * sum * t * bell;
        (if x < 0.0 { beyond } else { 1.0 - beyond }, bell)
    }
}

impl Curve for Gelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * Self::normal(x).0
    }

    #[inline(always)]
    fn value_and_slope(x: f32) -> (f32, f32) {
        let (below, bell) = Self::normal(x);
        (x * below, below + x * bell * (0.5 * ROOT))
    }
}

/// cap·tanh(x/cap), which never leaves ±cap, and its slope.
#[inline(always)]
pub fn capped(x: f32, cap: f32) -> (f32, f32) {
    let tangent = 1.0 - 2.0 / (1.0 + exponential(2.0 * x / cap));
    (cap * tangent, 1.0 - tangent * tangent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::function::erf::erf;

    fn check<C: Curve>(name: &str, exact: impl Fn(f64) -> f64) {
        for step in -1200..1200 {
            let x = step as f32 * 0.01;
            let (value, slope) = C::value_and_slope(x);
            assert!(
                (value - C::value(x)).abs() <= 3e-7 * x.abs(),
                "{name} at {x}"
            );
            let at = f64::from(x);
            assert!(
                (f64::from(value) - exact(at)).abs() < 1e-6 + 3e-7 * at.abs(),
                "{name} at {x}: {value}"
            );
            let expected = (exact(at + 1e-5) - exact(at - 1e-5)) / 2e-5;
            assert!(
                (f64::from(slope) - expected).abs() < 2e-6,
                "slope of {name} at {x}: {slope} {expected}"
            );
        }
    }

    #[test]
    fn values_and_slopes_are_those_of_the_definitions() {
        check::<Silu>("silu", |x| x / (1.0 + (-x).exp()));
        check::<GeluTanh>("gelu_pytorch_tanh", |x| {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + u.tanh())
        });
        check::<Gelu>("gelu", |x| 0.5 * x * (1.0 + erf(x / 2f64.sqrt())));
    }

    #[test]
    fn a_cap_bends_and_holds() {
        for step in -400..400 {
            let x = step as f32;
            let (value, slope) = capped(x, 30.0);
            let exact = 30.0 * (f64::from(x) / 30.0).tanh();
            assert!(
                (f64::from(value) - exact).abs() < 1e-5,
                "{x}: {value} {exact}"
            );
            let expected = 1.0 - (f64::from(x) / 30.0).tanh().powi(2);
            assert!(
                (f64::from(slope) - expected).abs() < 1e-6,
                "{x}: {slope} {expected}"
            );
        }
    }
}
