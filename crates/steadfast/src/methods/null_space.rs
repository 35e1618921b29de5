//! `null-space`: moves only where the old behaviour does not look.
//!
//! For y = Wx with ΔW = s·B·A, the mean square change of a layer's output on retained inputs, *as the
//! base produces them*, is E‖ΔW·x‖² = tr(B·G·Bᵀ) with G = s²·A·C_retain·Aᵀ (r×r). It is added to the
//! loss relative to the layer's own output power tr(W·C_retain·Wᵀ), so that layers compare; its
//! gradient is exact. With several layers adapted it is a first-order account: the inputs of a layer
//! then move with the layers below it.
//!
//! A comes in two kinds. `contrastive`: the top solutions of C_task·a = λ·(C_retain + εI)·a, frozen;
//! only B trains. `low-retain`: A = M·P trains inside the lower half of C_retain's spectrum, with P
//! an orthonormal basis of it; the optimiser works on M, so A never leaves the subspace, and G
//! follows A. The base is never altered: the result is an ordinary LoRA adapter.

use super::lora::{Form, uniform};
use super::moments::{Moments, group_of};
use super::subspace::{self, contrastive, low_half};
use super::{Method, Parameters, Penalty};
use crate::Result;
use crate::events::{Event, Listener};
use crate::models::adapter::{Adapter, AdapterGradients};
use crate::models::decoder::Decoder;
use crate::settings::arm::{Hyperparameters, NullSpaceSettings, Subspace};
use candle_core::{Device, Tensor};
use faer::Mat;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What `null-space` moves, and what it measures itself against.
#[derive(Debug)]
pub struct NullSpace {
    parameters: Parameters,
    form: Form,
    /// By module path.
    sites: BTreeMap<String, Site>,
    /// Weight of the disturbance in the loss.
    penalty: f64,
}

/// One adapted layer.
#[derive(Debug)]
struct Site {
    place: Place,
    /// tr(W·C_retain·Wᵀ).
    power: f64,
}

/// Where A may be. Clones share their tensors.
#[derive(Clone, Debug)]
enum Place {
    /// A is frozen, and so is G.
    Frozen { a: Tensor, g: Tensor },
    /// A = M·P; P [d/2, d] and C_retain [d, d] are shared by layers with the same input.
    Inside { basis: Tensor, retain: Tensor },
}

impl NullSpace {
    /// Finds A for each targeted layer. `task` is needed for [`Subspace::Contrastive`] only.
    pub fn new(
        decoder: &Decoder,
        settings: &Hyperparameters,
        own: &NullSpaceSettings,
        seed: u64,
        retain: &Moments,
        task: Option<&Moments>,
        listener: &dyn Listener,
    ) -> Result<Self> {
        let form = Form::new(decoder, settings);
        let stage = "choosing directions";
        listener.on(Event::StageStarted {
            stage: stage.into(),
            total: form.modules.len() as u64,
            unit: "layers",
        });
        // Layers that read the same input share its moments and what is made of them.
        let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for path in &form.modules {
            groups.entry(group_of(path)).or_default().push(path);
        }
        let groups: Vec<Vec<&str>> = groups.into_values().collect();
        let done = Mutex::new(0);
        let found: Vec<Vec<(String, Site)>> = groups
            .par_iter()
            .map(|paths| {
                let found = sites(decoder, &form, own, retain, task, paths)?;
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                *done += paths.len() as u64;
                listener.on(Event::StageAdvanced { done: *done });
                Ok(found)
            })
            .collect::<Result<_>>()?;
        let sites: BTreeMap<String, Site> = found.into_iter().flatten().collect();
        let mut parameters = Parameters::new();
        for (path, site) in &sites {
            let weight = super::weight(decoder, path)?;
            let device = weight.device();
            if let Place::Inside { basis, .. } = &site.place {
                let name = format!("{path}.M");
                let kept = basis.dim(0)?;
                let bound = 1.0 / (kept as f32).sqrt();
                let start = uniform(&name, seed, (form.rank, kept), bound, device)?;
                parameters.insert(name, start);
            }
            let b = Tensor::zeros((weight.dim(0)?, form.rank), weight.dtype(), device)?;
            parameters.insert(format!("{path}.lora_B"), b);
        }
        listener.on(Event::StageFinished {
            stage: stage.into(),
            reused: false,
        });
        Ok(Self {
            parameters,
            form,
            sites,
            penalty: own.penalty,
        })
    }

    /// A [rank, in] of one layer as it stands.
    fn a(&self, path: &str) -> Result<Tensor> {
        match &self.sites[path].place {
            Place::Frozen { a, .. } => Ok(a.clone()),
            Place::Inside { basis, .. } => {
                Ok(super::parameter(&self.parameters, &format!("{path}.M"))?.matmul(basis)?)
            }
        }
    }

    /// tr(B·G·Bᵀ) of one layer with its gradients with respect to B and, where it trains, A.
    fn disturbed(&self, path: &str) -> Result<(f64, Tensor, Option<Tensor>)> {
        let b = super::parameter(&self.parameters, &format!("{path}.lora_B"))?;
        let square = self.form.scale() * self.form.scale();
        match &self.sites[path].place {
            Place::Frozen { g, .. } => {
                let pulled = b.matmul(g)?;
                let value = inner(&pulled, &b)?;
                Ok((value, (pulled * 2.0)?, None))
            }
            Place::Inside { retain, .. } => {
                let a = self.a(path)?;
                let moved = (a.matmul(retain)? * square)?;
                let g = moved.matmul(&a.t()?)?;
                let pulled = b.matmul(&g)?;
                let value = inner(&pulled, &b)?;
                let pull_a = (b.t()?.matmul(&b)?.matmul(&moved)? * 2.0)?;
                Ok((value, (pulled * 2.0)?, Some(pull_a)))
            }
        }
    }
}

/// The sites of `paths`, which read the same input.
fn sites(
    decoder: &Decoder,
    form: &Form,
    own: &NullSpaceSettings,
    retain: &Moments,
    task: Option<&Moments>,
    paths: &[&str],
) -> Result<Vec<(String, Site)>> {
    let Some(first) = paths.first() else {
        return Ok(Vec::new());
    };
    let device = decoder.device();
    let moment = retain.of(first)?.mean();
    let retained = tensor(&moment, device)?;
    let place = match (own.subspace, task) {
        (Subspace::Contrastive, Some(task)) => {
            let task = task.of(first)?.mean();
            let (a, _) = contrastive(&task, &moment, own.rho, form.rank)?;
            let g = subspace::product(
                subspace::product(a.as_ref(), moment.as_ref()).as_ref(),
                a.transpose(),
            );
            let square = form.scale() * form.scale();
            Place::Frozen {
                a: tensor(&a, device)?,
                g: (tensor(&g, device)? * square)?,
            }
        }
        (Subspace::Contrastive, None) => {
            return Err(crate::Error::bug(
                "contrastive directions need the task's moments",
            ));
        }
        (Subspace::LowRetain, _) => Place::Inside {
            basis: tensor(&low_half(&moment)?, device)?,
            retain: retained.clone(),
        },
    };
    paths
        .iter()
        .map(|path| {
            let site = Site {
                place: place.clone(),
                power: quadratic(&super::weight(decoder, path)?, &retained)?,
            };
            Ok(((*path).to_owned(), site))
        })
        .collect()
}

/// The matrix as an f32 tensor.
fn tensor(matrix: &Mat<f64>, device: &Device) -> Result<Tensor> {
    let (rows, columns) = (matrix.nrows(), matrix.ncols());
    let values: Vec<f32> = (0..rows)
        .flat_map(|row| (0..columns).map(move |column| matrix[(row, column)] as f32))
        .collect();
    Ok(Tensor::from_vec(values, (rows, columns), device)?)
}

/// tr(W·C·Wᵀ).
fn quadratic(weight: &Tensor, moment: &Tensor) -> Result<f64> {
    inner(&weight.matmul(moment)?, weight)
}

/// Sum of the elementwise product.
fn inner(left: &Tensor, right: &Tensor) -> Result<f64> {
    Ok(f64::from((left * right)?.sum_all()?.to_scalar::<f32>()?))
}

impl Method for NullSpace {
    fn name(&self) -> &'static str {
        "null-space"
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: Parameters) -> Result<()> {
        super::replace(&mut self.parameters, parameters)
    }

    fn adapter(&self) -> Result<Adapter> {
        let train_a = self
            .sites
            .values()
            .any(|site| matches!(site.place, Place::Inside { .. }));
        self.form.adapter(train_a, |path| {
            let b = super::parameter(&self.parameters, &format!("{path}.lora_B"))?;
            Ok((self.a(path)?, b))
        })
    }

    fn pull_back(&self, gradients: &AdapterGradients) -> Result<(Parameters, Penalty)> {
        let mut pulled = Parameters::new();
        let mut value = 0.0;
        for (path, site) in &self.sites {
            let mut of_b = super::parameter(gradients, &format!("{path}.lora_B"))?;
            let mut of_a = match &site.place {
                Place::Inside { .. } => {
                    Some(super::parameter(gradients, &format!("{path}.lora_A"))?)
                }
                Place::Frozen { .. } => None,
            };
            if self.penalty > 0.0 {
                let weight = self.penalty / site.power;
                let (disturbed, more_b, more_a) = self.disturbed(path)?;
                value += weight * disturbed;
                of_b = (of_b + (more_b * weight)?)?;
                if let (Some(old), Some(more)) = (of_a.take(), more_a) {
                    of_a = Some((old + (more * weight)?)?);
                }
            }
            pulled.insert(format!("{path}.lora_B"), of_b);
            if let (Some(of_a), Place::Inside { basis, .. }) = (of_a, &site.place) {
                // A = M·P, so ∂/∂M = ∂/∂A·Pᵀ.
                pulled.insert(format!("{path}.M"), of_a.matmul(&basis.t()?)?);
            }
        }
        Ok((pulled, Penalty { value }))
    }

    fn disturbance(&self) -> Result<Vec<(String, f64)>> {
        self.sites
            .iter()
            .map(|(path, site)| Ok((path.clone(), self.disturbed(path)?.0 / site.power)))
            .collect()
    }
}
