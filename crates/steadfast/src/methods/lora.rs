//! LoRA (Hu et al. 2021, arXiv:2106.09685): ΔW = (α/r)·B·A, both train.

use super::{Method, Parameters, Penalty};
use crate::Result;
use crate::digest;
use crate::models::adapter::{Adapter, AdapterGradients, LowRank};
use crate::models::decoder::Decoder;
use crate::settings::arm::Hyperparameters;
use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What LoRA moves.
#[derive(Debug)]
pub struct Lora {
    parameters: Parameters,
    form: Form,
}

/// What an adapter has besides its tensors.
#[derive(Clone, Debug)]
pub(super) struct Form {
    /// Module paths, in order.
    pub modules: Vec<String>,
    /// Rank r.
    pub rank: usize,
    /// α.
    pub alpha: f64,
    /// Scale by α/√r.
    pub rank_stabilized: bool,
}

impl Form {
    /// The linear layers of `decoder` that the hyperparameters target.
    pub(super) fn new(decoder: &Decoder, settings: &Hyperparameters) -> Self {
        let modules = decoder
            .linear_paths()
            .into_iter()
            .filter(|path| {
                let name = path.rsplit('.').next().unwrap_or_default();
                settings.targets.iter().any(|target| target == name)
            })
            .collect();
        Self {
            modules,
            rank: settings.rank,
            alpha: settings.alpha,
            rank_stabilized: settings.rank_stabilized,
        }
    }

    /// s in ΔW = s·B·A.
    pub(super) fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha
            / if self.rank_stabilized {
                rank.sqrt()
            } else {
                rank
            }
    }

    /// The adapter of these tensors, by module path.
    pub(super) fn adapter(
        &self,
        train_a: bool,
        tensors: impl Fn(&str) -> Result<(Tensor, Tensor)>,
    ) -> Result<Adapter> {
        let mut modules = std::collections::BTreeMap::new();
        for path in &self.modules {
            let (a, b) = tensors(path)?;
            modules.insert(
                path.clone(),
                LowRank {
                    a,
                    b,
                    scale: self.scale(),
                    train_a,
                    train_b: true,
                },
            );
        }
        Ok(Adapter {
            modules,
            alpha: self.alpha,
            rank: self.rank,
            rank_stabilized: self.rank_stabilized,
        })
    }
}

/// A uniform tensor [rows, columns] in ±bound. Each name has its own stream, so that what one tensor
/// starts from does not depend on which others there are.
pub(crate) fn uniform(
    name: &str,
    seed: u64,
    shape: (usize, usize),
    bound: f32,
    device: &Device,
) -> Result<Tensor> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let stream = u64::from_str_radix(&digest::of(name)[..16], 16).unwrap_or_default();
    random.set_stream(stream);
    let values: Vec<f32> = (0..shape.0 * shape.1)
        .map(|_| random.random_range(-bound..bound))
        .collect();
    Ok(Tensor::from_vec(values, shape, device)?)
}

impl Lora {
    /// B = 0 and A uniform in ±1/√in, as PEFT begins.
    pub fn new(decoder: &Decoder, settings: &Hyperparameters, seed: u64) -> Result<Self> {
        let form = Form::new(decoder, settings);
        let mut parameters = Parameters::new();
        for path in &form.modules {
            let weight = super::weight(decoder, path)?;
            let (output, input) = weight.dims2()?;
            let a = format!("{path}.lora_A");
            let bound = 1.0 / (input as f32).sqrt();
            parameters.insert(
                a.clone(),
                uniform(&a, seed, (form.rank, input), bound, weight.device())?,
            );
            let b = Tensor::zeros((output, form.rank), weight.dtype(), weight.device())?;
            parameters.insert(format!("{path}.lora_B"), b);
        }
        Ok(Self { parameters, form })
    }
}

impl Method for Lora {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: Parameters) -> Result<()> {
        super::replace(&mut self.parameters, parameters)
    }

    fn adapter(&self) -> Result<Adapter> {
        self.form.adapter(true, |path| {
            let part = |name: &str| super::parameter(&self.parameters, &format!("{path}.{name}"));
            Ok((part("lora_A")?, part("lora_B")?))
        })
    }

    fn pull_back(&self, gradients: &AdapterGradients) -> Result<(Parameters, Penalty)> {
        Ok((gradients.clone(), Penalty::default()))
    }
}
