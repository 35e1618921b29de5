//! `null-space`: LoRA under a penalty on what its layers move on retained inputs; A may be kept to a
//! subspace.
//!
//! For y = Wx with ΔW = s·B·A, the mean square change of a layer's output on retained inputs, *as the
//! base produces them*, is E‖ΔW·x‖² = tr(B·G·Bᵀ) with G = s²·A·C_retain·Aᵀ (r×r). It is added to the
//! loss relative to the layer's own output power tr(W·C_retain·Wᵀ), so that layers compare; its
//! gradient is exact. With several layers adapted it is a first-order account: the inputs of a layer
//! then move with the layers below it.
//!
//! A comes in four kinds. `free`, the default: A begins as LoRA's and trains anywhere; G follows A.
//! `low-retain`: A = M·P trains inside the lower half of C_retain's spectrum, with P an orthonormal
//! basis of it; the optimiser works on M, so A never leaves the subspace. `contrastive`: the top
//! solutions of C_task·a = λ·(C_retain + εI)·a, frozen; only B trains, and G is computed once.
//! `random`, frozen where LoRA begins, is the control. The base is never altered: the result is an
//! ordinary LoRA adapter.
//!
//! [`lora_null`] is LoRA-Null (Tang et al. 2025, arXiv:2503.02659): A begins at the r last
//! eigenvectors of C_retain, B at 0, and both train, or B alone (v2).

use super::low_rank::{
    Adapting, Disturbance, Form, Inner, Inputs, Site, matrix, quadratic, random_a, tensor, weight,
};
use super::moments::{Moments, group_of};
use super::subspace::{contrastive, low_half, low_rows, product};
use crate::events::{Event, Listener};
use crate::models::decoder::Decoder;
use crate::settings::arm::{Hyperparameters, NullSpaceSettings, Subspace};
use crate::{Error, Result};
use candle_core::Device;
use faer::Mat;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Finds where each targeted layer may move. `task` is needed for [`Subspace::Contrastive`] only.
pub fn null_space(
    decoder: &Decoder,
    settings: &Hyperparameters,
    own: &NullSpaceSettings,
    seed: u64,
    retain: &Moments,
    task: Option<&Moments>,
    listener: &dyn Listener,
) -> Result<Adapting> {
    let mut form = Form::new(decoder, settings)?;
    if own.subspace == Subspace::Contrastive {
        form = form.within(decoder, |(_, inputs)| inputs)?;
    }
    let sites = each_group(&form, listener, |paths| {
        disturbed_sites(decoder, &form, own, seed, retain, task, paths)
    })?;
    Adapting::new("null-space", decoder, form, sites, settings.penalty, seed)
}

/// A begins at the last eigenvectors of C_retain; `frozen` is the paper's second version.
pub fn lora_null(
    decoder: &Decoder,
    settings: &Hyperparameters,
    frozen: bool,
    seed: u64,
    retain: &Moments,
    listener: &dyn Listener,
) -> Result<Adapting> {
    let form = Form::new(decoder, settings)?.within(decoder, |(_, inputs)| inputs)?;
    let sites = each_group(&form, listener, |paths| {
        let Some(first) = paths.first() else {
            return Ok(Vec::new());
        };
        let rows = low_rows(&retain.of(first)?.mean(), form.rank)?;
        let a = tensor(&rows, decoder.device())?;
        let site = Site::at(if frozen {
            Inputs::Fixed(a)
        } else {
            Inputs::Free(a)
        });
        Ok(paths
            .iter()
            .map(|path| ((*path).to_owned(), site.clone()))
            .collect())
    })?;
    let name = if frozen { "lora-null-2" } else { "lora-null" };
    Adapting::new(name, decoder, form, sites, 0.0, seed)
}

type Sites = Vec<(String, Site)>;

/// Runs `work` for each group of layers that read the same input, several at once.
fn each_group(
    form: &Form,
    listener: &dyn Listener,
    work: impl Fn(&[&str]) -> Result<Sites> + Sync,
) -> Result<BTreeMap<String, Site>> {
    let stage = "preparing layers";
    listener.on(Event::StageStarted {
        stage: stage.into(),
        total: form.modules.len() as u64,
        unit: "layers",
    });
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for path in &form.modules {
        groups.entry(group_of(path)).or_default().push(path);
    }
    let groups: Vec<Vec<&str>> = groups.into_values().collect();
    let done = Mutex::new(0);
    let found: Vec<Sites> = groups
        .par_iter()
        .map(|paths| {
            let found = work(paths)?;
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            *done += paths.len() as u64;
            listener.on(Event::StageAdvanced { done: *done });
            Ok(found)
        })
        .collect::<Result<_>>()?;
    listener.on(Event::StageFinished {
        stage: stage.into(),
        reused: false,
    });
    Ok(found.into_iter().flatten().collect())
}

/// The sites of `paths`, which read the same input.
fn disturbed_sites(
    decoder: &Decoder,
    form: &Form,
    own: &NullSpaceSettings,
    seed: u64,
    retain: &Moments,
    task: Option<&Moments>,
    paths: &[&str],
) -> Result<Sites> {
    let Some(first) = paths.first() else {
        return Ok(Vec::new());
    };
    let device = decoder.device();
    let moment = retain.of(first)?.mean();
    let retained = tensor(&moment, device)?;
    let shared = match own.subspace {
        Subspace::Contrastive => {
            let task =
                task.ok_or_else(|| Error::bug("contrastive directions need the task's moments"))?;
            let (a, _) = contrastive(&task.of(first)?.mean(), &moment, own.rho, form.rank)?;
            let inner = narrow(&a, &moment, form, device)?;
            Some((Inputs::Fixed(tensor(&a, device)?), inner))
        }
        Subspace::LowRetain => {
            let basis = tensor(&low_half(&moment)?, device)?;
            Some((Inputs::Inside(basis), Inner::Wide(retained.clone())))
        }
        Subspace::Random | Subspace::Free => None,
    };
    paths
        .iter()
        .map(|path| {
            let (inputs, inner) = match &shared {
                Some(shared) => shared.clone(),
                None => {
                    let a = random_a(path, seed, form, moment.nrows(), device)?;
                    if own.subspace == Subspace::Free {
                        (Inputs::Free(a), Inner::Wide(retained.clone()))
                    } else {
                        let inner = narrow(&matrix(&a)?, &moment, form, device)?;
                        (Inputs::Fixed(a), inner)
                    }
                }
            };
            let site = Site {
                disturbance: Some(Disturbance {
                    inner,
                    power: quadratic(&weight(decoder, path)?, &retained)?,
                }),
                ..Site::at(inputs)
            };
            Ok(((*path).to_owned(), site))
        })
        .collect()
}

/// s²·A·C·Aᵀ, which is all that an A that never moves needs of C.
fn narrow(a: &Mat<f64>, moment: &Mat<f64>, form: &Form, device: &Device) -> Result<Inner> {
    let moved = product(a.as_ref(), moment.as_ref());
    let g = product(moved.as_ref(), a.transpose());
    let square = form.scale() * form.scale();
    Ok(Inner::Narrow((tensor(&g, device)? * square)?))
}
