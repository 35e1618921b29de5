//! AdamW (Loshchilov & Hutter, arXiv:1711.05101) with named, ordered, saved moments.

use crate::methods::Parameters;
use crate::models::blocks::buffers::Floats;
use crate::models::blocks::lanes::vectorized;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Decay of the first moment.
const BETA_1: f64 = 0.9;
/// Decay of the second moment.
const BETA_2: f64 = 0.999;
/// Added to the root of the second moment.
const EPSILON: f64 = 1e-8;
/// Numbers that one thread moves at a time.
const PIECE: usize = 1 << 15;

/// The optimiser's state: both moments of every parameter, by its name.
#[derive(Clone, Debug, Default)]
pub struct AdamW {
    weight_decay: f64,
    steps: u64,
    moments: BTreeMap<String, Moments>,
}

/// Running means of one parameter's gradient and of its square. They change in place: for `full` each is
/// as large as the model's linear layers.
#[derive(Clone, Debug)]
pub struct Moments {
    /// The parameter's.
    pub shape: Vec<usize>,
    /// Of the gradient, row-major.
    pub first: Vec<f32>,
    /// Of its square.
    pub second: Vec<f32>,
}

impl AdamW {
    /// No moments yet. The decay is decoupled: weights shrink by learning rate × decay a step.
    pub fn new(weight_decay: f64) -> Self {
        Self {
            weight_decay,
            ..Self::default()
        }
    }

    /// The state after `steps` updates, from its moments.
    pub fn restore(weight_decay: f64, steps: u64, moments: BTreeMap<String, Moments>) -> Self {
        Self {
            weight_decay,
            steps,
            moments,
        }
    }

    /// Both moments of each parameter that was ever moved.
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// Parameters after one step down `gradients`, which name exactly the parameters.
    pub fn update(
        &mut self,
        parameters: &Parameters,
        gradients: &Parameters,
        learning_rate: f64,
    ) -> Result<Parameters> {
        self.steps += 1;
        let exponent = self.steps as f64;
        let step = Step {
            correct_first: (1.0 / (1.0 - BETA_1.powf(exponent))) as f32,
            correct_second: (1.0 / (1.0 - BETA_2.powf(exponent))) as f32,
            kept: (1.0 - learning_rate * self.weight_decay) as f32,
            learning_rate: learning_rate as f32,
        };
        let mut updated = BTreeMap::new();
        for (name, parameter) in parameters {
            let gradient = gradients
                .get(name)
                .ok_or_else(|| Error::bug(format!("the moving tensor {name} has no gradient")))?;
            let count = parameter.elem_count();
            let moments = self.moments.entry(name.clone()).or_insert_with(|| Moments {
                shape: parameter.dims().to_vec(),
                first: vec![0.0; count],
                second: vec![0.0; count],
            });
            let lengths = [moments.first.len(), moments.second.len()];
            if gradient.dims() != parameter.dims() || lengths != [count; 2] {
                return Err(Error::bug(format!(
                    "the gradient or the moments of {name} have not its shape"
                )));
            }
            let (old, gradient) = (Floats::of(parameter)?, Floats::of(gradient)?);
            let mut new = vec![0.0; count];
            new.par_chunks_mut(PIECE)
                .zip(old.par_chunks(PIECE))
                .zip(gradient.par_chunks(PIECE))
                .zip(moments.first.par_chunks_mut(PIECE))
                .zip(moments.second.par_chunks_mut(PIECE))
                .for_each(|((((new, old), gradient), first), second)| {
                    vectorized(
                        #[inline(always)]
                        || step.take(new, old, gradient, first, second),
                    );
                });
            let new = Tensor::from_vec(new, parameter.shape(), &Device::Cpu)?;
            updated.insert(name.clone(), new);
        }
        Ok(updated)
    }
}

/// What all numbers of one update have in common.
struct Step {
    /// By what the first moment is multiplied, so that its beginning at 0 does not show.
    correct_first: f32,
    /// The same for the second.
    correct_second: f32,
    /// What the decay leaves of a parameter.
    kept: f32,
    learning_rate: f32,
}

impl Step {
    #[inline(always)]
    fn take(
        &self,
        new: &mut [f32],
        old: &[f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let (beta_1, beta_2) = (BETA_1 as f32, BETA_2 as f32);
        let (rest_1, rest_2) = ((1.0 - BETA_1) as f32, (1.0 - BETA_2) as f32);
        let numbers = new.iter_mut().zip(old).zip(gradient);
        for (((new, old), gradient), (first, second)) in numbers.zip(first.iter_mut().zip(second)) {
            *first = *first * beta_1 + gradient * rest_1;
            *second = *second * beta_2 + gradient * gradient * rest_2;
            let scale = (*second * self.correct_second).sqrt() + EPSILON as f32;
            let direction = *first * self.correct_first / scale;
            *new = old * self.kept - direction * self.learning_rate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Golden values: `tests/golden/optimizer.py` (torch.optim.AdamW, lr 0.1, weight decay 0.01).
    #[test]
    fn three_steps_equal_those_of_torch() {
        #[derive(serde::Deserialize)]
        struct Golden {
            start: Vec<f32>,
            gradients: Vec<Vec<f32>>,
            after: Vec<Vec<f32>>,
        }
        let golden: Golden =
            serde_json::from_str(include_str!("../../../../tests/golden/optimizer.json")).unwrap();
        let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
        let named = |values: &[f32]| Parameters::from([("w".to_owned(), tensor(values))]);
        let mut optimizer = AdamW::new(0.01);
        let mut parameters = named(&golden.start);
        for (gradient, expected) in golden.gradients.iter().zip(&golden.after) {
            parameters = optimizer
                .update(&parameters, &named(gradient), 0.1)
                .unwrap();
            let found = parameters["w"].to_vec1::<f32>().unwrap();
            for (one, other) in found.iter().zip(expected) {
                assert!((one - other).abs() < 1e-6, "{found:?} is not {expected:?}");
            }
        }
    }
}
