//! How far positions turn queries and keys.

use serde::Serialize;
use std::f64::consts::PI;

/// One kind of rotary positions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RotaryConfig {
    /// Base of the frequencies.
    pub theta: f64,
    /// Columns of each head that turn, from the first on; the rest stay as they are.
    pub size: usize,
    /// How the frequencies are stretched to a longer context.
    pub scaling: Scaling,
}

/// How frequencies are stretched to a longer context than the model first saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Not at all.
    None,
    /// All divided by the factor.
    Linear {
        /// How many times longer the context is.
        factor: f64,
    },
    /// Low ones divided by the factor, high ones left alone, those between blended (Llama 3.1).
    Llama3 {
        /// How many times longer the context is.
        factor: f64,
        /// Frequencies with fewer turns than this in the first context are low.
        low: f64,
        /// Those with more turns than this are high.
        high: f64,
        /// The first context.
        context: f64,
    },
    /// Each divided by its own number (GGUF's `rope_freqs`).
    Each {
        /// One number a frequency.
        divisors: Vec<f64>,
    },
}

impl RotaryConfig {
    /// Angles a position, in radians: one for each pair of columns.
    pub fn frequencies(&self) -> Vec<f32> {
        (0..self.size / 2)
            .map(|pair| {
                let plain = self.theta.powf(-2.0 * pair as f64 / self.size as f64);
                self.scaling.apply(pair, plain) as f32
            })
            .collect()
    }

    /// Why these cannot be the rotary positions of heads of that size, if they cannot.
    pub(super) fn mistake(&self, head_size: usize) -> Option<String> {
        let sound = |value: f64| value.is_finite() && value > 0.0;
        if self.size == 0 || self.size > head_size || !self.size.is_multiple_of(2) {
            return Some(format!(
                "rotary positions turn {} of {head_size} columns of a head: they need pairs",
                self.size
            ));
        }
        if !sound(self.theta) {
            return Some(format!(
                "the rotary base is {}, not a positive number",
                self.theta
            ));
        }
        let numbers = match &self.scaling {
            Scaling::None => vec![],
            Scaling::Linear { factor } => vec![*factor],
            Scaling::Llama3 {
                factor,
                low,
                high,
                context,
            } => vec![*factor, *low, *high, *context, high - low],
            Scaling::Each { divisors } if divisors.len() != self.size / 2 => {
                return Some(format!(
                    "{} rotary frequencies have {} divisors",
                    self.size / 2,
                    divisors.len()
                ));
            }
            Scaling::Each { divisors } => divisors.clone(),
        };
        (!numbers.into_iter().all(sound)).then(|| {
            "the scaling of the rotary positions needs positive numbers, and its high frequency factor above the low one".to_owned()
        })
    }
}

impl Scaling {
    fn apply(&self, pair: usize, frequency: f64) -> f64 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Each { divisors } => frequency / divisors[pair],
            Self::Llama3 {
                factor,
                low,
                high,
                context,
            } => {
                let turns = context * frequency / (2.0 * PI);
                // 0 where the frequency is low, 1 where it is high.
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / factor)
            }
        }
    }
}
