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
        let exponent = (self.steps + 1) as f64;
        let step = Step {
            correct_first: (1.0 / (1.0 - BETA_1.powf(exponent))) as f32,
            correct_second: (1.0 / (1.0 - BETA_2.powf(exponent))) as f32,
            kept: (1.0 - learning_rate * self.weight_decay) as f32,
            learning_rate: learning_rate as f32,
        };
        for (name, parameter) in parameters {
            let gradient = gradients
                .get(name)
                .ok_or_else(|| Error::bug(format!("the moving tensor {name} has no gradient")))?;
            let count = parameter.elem_count();
            let moments = self.moments.get(name);
            let fit = moments
                .is_none_or(|moments| [moments.first.len(), moments.second.len()] == [count; 2]);
            if gradient.dims() != parameter.dims() || !fit {
                return Err(Error::bug(format!(
                    "the gradient or the moments of {name} have not its shape"
                )));
            }
        }
        for (name, parameter) in parameters {
            let count = parameter.elem_count();
            self.moments.entry(name.clone()).or_insert_with(|| Moments {
                shape: parameter.dims().to_vec(),
                first: vec![0.0; count],
                second: vec![0.0; count],
            });
        }
        self.steps += 1;
        self.moments
            .par_iter_mut()
            .filter_map(|(name, moments)| Some((name, moments, parameters.get(name)?)))
            .map(|(name, moments, parameter)| {
                let new = step.move_one(parameter, &gradients[name], moments)?;
                Ok((name.clone(), new))
            })
            .collect()
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
    /// A parameter after the step.
    fn move_one(
        &self,
        parameter: &Tensor,
        gradient: &Tensor,
        moments: &mut Moments,
    ) -> Result<Tensor> {
        let (old, gradient) = (Floats::of(parameter)?, Floats::of(gradient)?);
        let mut new = vec![0.0; old.len()];
        new.par_chunks_mut(PIECE)
            .zip(old.par_chunks(PIECE))
            .zip(gradient.par_chunks(PIECE))
            .zip(moments.first.par_chunks_mut(PIECE))
            .zip(moments.second.par_chunks_mut(PIECE))
            .for_each(|((((new, old), gradient), first), second)| {
                vectorized(
                    #[inline(always)]
                    || self.take(new, old, gradient, first, second),
                );
            });
        Ok(Tensor::from_vec(new, parameter.shape(), &Device::Cpu)?)
    }

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

    #[test]
    fn however_many_threads_move_many_tensors_their_bits_are_the_same() {
        let tensors = |seed: usize| -> Parameters {
            let values = |tensor: usize| {
                let count = 40_000 * (tensor % 3) + 5;
                let values = (0..count).map(|place| ((place * 31 + tensor + seed) as f32).sin());
                Tensor::from_vec(values.collect::<Vec<f32>>(), count, &Device::Cpu).unwrap()
            };
            (0..7)
                .map(|tensor| (format!("t{tensor}"), values(tensor)))
                .collect()
        };
        let moved = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| {
                let mut optimizer = AdamW::new(0.01);
                let mut parameters = tensors(0);
                for step in 1..4 {
                    parameters = optimizer.update(&parameters, &tensors(step), 0.1).unwrap();
                }
                let all = parameters
                    .values()
                    .flat_map(|one| one.to_vec1::<f32>().unwrap());
                all.map(f32::to_bits).collect::<Vec<u32>>()
            })
        };
        assert_eq!(moved(1), moved(3));
    }

    #[test]
    fn an_update_that_is_refused_moves_nothing() {
        let tensor =
            |count: usize| Tensor::ones(count, candle_core::DType::F32, &Device::Cpu).unwrap();
        let parameters =
            Parameters::from([("a".to_owned(), tensor(2)), ("b".to_owned(), tensor(3))]);
        let mut optimizer = AdamW::new(0.01);
        for wrong in [
            Parameters::from([("a".to_owned(), tensor(2))]),
            Parameters::from([("a".to_owned(), tensor(2)), ("b".to_owned(), tensor(4))]),
        ] {
            assert!(optimizer.update(&parameters, &wrong, 0.1).is_err());
            assert!(optimizer.moments().is_empty());
            assert_eq!(optimizer.steps, 0);
        }
    }
}
