//! AdamW (Loshchilov & Hutter, arXiv:1711.05101) with named, ordered, saved moments.

use crate::methods::Parameters;
use crate::{Error, Result};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Decay of the first moment.
const BETA_1: f64 = 0.9;
/// Decay of the second moment.
const BETA_2: f64 = 0.999;
/// Added to the root of the second moment.
const EPSILON: f64 = 1e-8;

/// The optimiser's state: both moments of every parameter, by its name.
#[derive(Clone, Debug, Default)]
pub struct AdamW {
    weight_decay: f64,
    steps: u64,
    first: Parameters,
    second: Parameters,
}

impl AdamW {
    /// No moments yet. The decay is decoupled: weights shrink by learning rate × decay a step.
    pub fn new(weight_decay: f64) -> Self {
        Self {
            weight_decay,
            ..Self::default()
        }
    }

    /// The state after `steps` updates, from its tensors as [`Self::moments`] gives them.
    pub fn restore(weight_decay: f64, steps: u64, moments: [Parameters; 2]) -> Self {
        let [first, second] = moments;
        Self {
            weight_decay,
            steps,
            first,
            second,
        }
    }

    /// First and second moments, by parameter.
    pub fn moments(&self) -> [&Parameters; 2] {
        [&self.first, &self.second]
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
        let correct_first = 1.0 - BETA_1.powf(exponent);
        let correct_second = 1.0 - BETA_2.powf(exponent);
        let mut updated = BTreeMap::new();
        for (name, parameter) in parameters {
            let gradient = gradients
                .get(name)
                .ok_or_else(|| Error::bug(format!("the moving tensor {name} has no gradient")))?;
            let blend = |old: Option<&Tensor>, new: Tensor, beta: f64| -> Result<Tensor> {
                let new = (new * (1.0 - beta))?;
                Ok(match old {
                    Some(old) => ((old * beta)? + new)?,
                    None => new,
                })
            };
            let first = blend(self.first.get(name), gradient.clone(), BETA_1)?;
            let second = blend(self.second.get(name), gradient.sqr()?, BETA_2)?;
            let scale = ((&second / correct_second)?.sqrt()? + EPSILON)?;
            let direction = ((&first / correct_first)? / scale)?;
            let kept = (parameter * (1.0 - learning_rate * self.weight_decay))?;
            updated.insert(name.clone(), (kept - (direction * learning_rate)?)?);
            self.first.insert(name.clone(), first);
            self.second.insert(name.clone(), second);
        }
        Ok(updated)
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
