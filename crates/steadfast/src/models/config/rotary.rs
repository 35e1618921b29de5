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
    /// Frequencies with few turns in the first context divided by the factor, those with many left
    /// alone, a ramp between, and scores enlarged (YaRN: Peng et al. 2023, arXiv 2309.00071).
    Yarn {
        /// How many times longer the context is.
        factor: f64,
        /// Frequencies with more turns than this are left alone.
        fast: f64,
        /// Those with fewer turns than this are divided.
        slow: f64,
        /// The first context.
        context: f64,
        /// Whether the ramp begins and ends at whole pairs.
        whole: bool,
        /// Queries and keys are multiplied by this.
        size: f64,
    },
    /// Each divided by its own number, another one in texts longer than the first context (LongRoPE:
    /// Ding et al. 2024, arXiv 2402.13753).
    LongRope {
        /// One number a frequency, in texts as long as the first context or shorter.
        short: Vec<f64>,
        /// One number a frequency, in longer texts.
        long: Vec<f64>,
        /// The first context.
        context: usize,
        /// Queries and keys are multiplied by this.
        size: f64,
    },
}

impl RotaryConfig {
    /// Angles a position, in radians: one for each pair of columns.
    pub fn frequencies(&self) -> Vec<f32> {
        self.scaled(|pair, plain| self.apply(pair, plain))
    }

    /// The angles in texts longer than so many tokens, where they are others.
    pub fn long_frequencies(&self) -> Option<(usize, Vec<f32>)> {
        match &self.scaling {
            Scaling::LongRope { long, context, .. } => {
                Some((*context, self.scaled(|pair, plain| plain / long[pair])))
            }
            _ => None,
        }
    }

    /// What queries and keys are multiplied by.
    pub fn factor(&self) -> f32 {
        match &self.scaling {
            Scaling::Yarn { size, .. } | Scaling::LongRope { size, .. } => *size as f32,
            _ => 1.0,
        }
    }

    fn scaled(&self, scale: impl Fn(usize, f64) -> f64) -> Vec<f32> {
        (0..self.size / 2)
            .map(|pair| {
                let plain = self.theta.powf(-2.0 * pair as f64 / self.size as f64);
                scale(pair, plain) as f32
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
            Scaling::Each { divisors } => match self.too_many(divisors) {
                None => divisors.clone(),
                mistake => return mistake,
            },
            Scaling::Yarn {
                factor,
                fast,
                slow,
                context,
                size,
                ..
            } => vec![*factor, *fast, *slow, *context, *size],
            Scaling::LongRope {
                short, long, size, ..
            } => match self.too_many(short).or(self.too_many(long)) {
                None => [short.as_slice(), long, &[*size]].concat(),
                mistake => return mistake,
            },
        };
        (!numbers.into_iter().all(sound)).then(|| {
            "the scaling of the rotary positions needs positive numbers, and its high frequency factor above the low one".to_owned()
        })
    }
}

impl RotaryConfig {
    /// Why these cannot be the divisors of the frequencies, if they cannot.
    fn too_many(&self, divisors: &[f64]) -> Option<String> {
        (divisors.len() != self.size / 2).then(|| {
            format!(
                "{} rotary frequencies have {} divisors",
                self.size / 2,
                divisors.len()
            )
        })
    }

    fn apply(&self, pair: usize, frequency: f64) -> f64 {
        match &self.scaling {
            Scaling::None => frequency,
            Scaling::Linear { factor } => frequency / factor,
            Scaling::Each { divisors } => frequency / divisors[pair],
            Scaling::LongRope { short, .. } => frequency / short[pair],
            Scaling::Yarn {
                factor,
                fast,
                slow,
                context,
                whole,
                ..
            } => {
                // The pair that makes so many turns in the first context.
                let pair_of = |turns: f64| {
                    let turned = (context / (turns * 2.0 * PI)).ln();
                    self.size as f64 * turned / (2.0 * self.theta.ln())
                };
                let (mut first, mut last) = (pair_of(*fast), pair_of(*slow));
                if *whole {
                    (first, last) = (first.floor(), last.ceil());
                }
                let (first, mut last) = (first.max(0.0), last.min(self.size as f64 - 1.0));
                if first == last {
                    last += 1e-3;
                }
                let divided = ((pair as f64 - first) / (last - first)).clamp(0.0, 1.0);
                frequency * (divided / factor + (1.0 - divided))
            }
            Scaling::Llama3 {
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
