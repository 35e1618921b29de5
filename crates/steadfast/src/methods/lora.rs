//! LoRA (Hu et al. 2021, arXiv:2106.09685, equation 3): ΔW = (α/r)·B·A, and its nearest kin, which
//! need no text that was retained.
//!
//! - [`lora`]: both factors train.
//! - [`random_a`]: A stays where LoRA begins and only B trains (LoRA-FA, Zhang et al. 2023,
//!   arXiv:2308.03303). The control for every method that chooses a frozen A.
//! - [`l2_sp`]: LoRA with the square of the change in the loss (L2-SP, Li et al. 2018,
//!   arXiv:1802.01483, without its term for new layers: a chat model has none).

use super::low_rank::{
    Adapting, Disturbance, Form, Inner, Inputs, Site, inner, random_a as start, weight,
};
use crate::Result;
use crate::models::decoder::Decoder;
use crate::settings::arm::Hyperparameters;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// B = 0 and A uniform in ±1/√in, as PEFT begins; both train.
pub fn lora(decoder: &Decoder, settings: &Hyperparameters, seed: u64) -> Result<Adapting> {
    built("lora", decoder, settings, seed, 0.0, |_, a| {
        Ok(Site::at(Inputs::Free(a)))
    })
}

/// As [`lora`], with A frozen.
pub fn random_a(decoder: &Decoder, settings: &Hyperparameters, seed: u64) -> Result<Adapting> {
    built("random-a", decoder, settings, seed, 0.0, |_, a| {
        Ok(Site::at(Inputs::Fixed(a)))
    })
}

/// As [`lora`], with penalty·‖ΔW‖²/‖W‖² of each layer (Frobenius) in the loss.
pub fn l2_sp(decoder: &Decoder, settings: &Hyperparameters, seed: u64) -> Result<Adapting> {
    let penalty = settings.penalty;
    built("l2-sp", decoder, settings, seed, penalty, |path, a| {
        let weight = weight(decoder, path)?;
        Ok(Site {
            disturbance: Some(Disturbance {
                inner: Inner::Identity,
                power: inner(&weight, &weight)?,
            }),
            ..Site::at(Inputs::Free(a))
        })
    })
}

fn built(
    name: &'static str,
    decoder: &Decoder,
    settings: &Hyperparameters,
    seed: u64,
    penalty: f64,
    site: impl Fn(&str, Tensor) -> Result<Site>,
) -> Result<Adapting> {
    let form = Form::new(decoder, settings)?;
    let sites: BTreeMap<String, Site> = form
        .modules
        .iter()
        .map(|path| {
            let width = decoder.linear_shape(path)?.1;
            let a = start(path, seed, &form, width, decoder.device())?;
            Ok((path.clone(), site(path, a)?))
        })
        .collect::<Result<_>>()?;
    Adapting::new(name, decoder, form, sites, penalty, seed)
}
