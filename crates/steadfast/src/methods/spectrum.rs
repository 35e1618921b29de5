//! Comparators that choose by the singular values of the base's own weights, W = U·Σ·Vᵀ.
//!
//! - [`milora`]: MiLoRA (Wang et al. 2024, arXiv:2406.09044): the adapter begins as
//!   the r smallest triples, B = U·√Σ, A = √Σ·Vᵀ (over s), the rest of W is frozen.
//! - [`corda`]: CorDA, knowledge-preserved (Yang et al. 2024, arXiv:2406.05223): the
//!   same of W·C, with C the moment of retained inputs, so that what those use most is what stays:
//!   B = U·√Σ, A = √Σ·Vᵀ·C⁻¹.
//! - [`oplora`]: OPLoRA (arXiv:2510.13003): ΔW = (I − U_k·U_kᵀ)·B·A·(I − V_k·V_kᵀ) keeps the
//!   k largest triples exact.
//! - [`osft`]: OSFT (arXiv:2504.07097): the r smallest triples move, orthogonal to the
//!   others. Ours moves B = U·√Σ and A = √Σ·Vᵀ, where the paper moves U, Σ and V by themselves.
//!
//! None of them touches the base: where a method begins inside W, what leaves is the difference.

use super::low_rank::{Adapting, Form, Inputs, Outputs, Site, matrix, random_a, tensor, weight};
use super::moments::Moments;
use super::subspace::{damped, product, trace};
use crate::models::decoder::Decoder;
use crate::settings::arm::Hyperparameters;
use crate::{Error, Result};
use candle_core::Device;
use faer::Mat;
use faer::linalg::solvers::{DenseSolveCore, Svd};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The r smallest triples of W move.
pub fn milora(decoder: &Decoder, settings: &Hyperparameters, seed: u64) -> Result<Adapting> {
    built("milora", decoder, settings, seed, |form, path| {
        let svd = singular(&matrix(&weight(decoder, path)?)?)?;
        smallest(&svd, form, None, decoder.device())
    })
}

/// The r smallest triples of W·C move.
pub fn corda(
    decoder: &Decoder,
    settings: &Hyperparameters,
    seed: u64,
    retain: &Moments,
) -> Result<Adapting> {
    built("corda", decoder, settings, seed, |form, path| {
        let moment = retain.of(path)?.mean();
        let (damped, inverse) = damped_inverse(&moment);
        let turned = product(matrix(&weight(decoder, path)?)?.as_ref(), damped.as_ref());
        smallest(&singular(&turned)?, form, Some(&inverse), decoder.device())
    })
}

/// Neither side of the change touches the r largest triples of W.
pub fn oplora(decoder: &Decoder, settings: &Hyperparameters, seed: u64) -> Result<Adapting> {
    built("oplora", decoder, settings, seed, |form, path| {
        let svd = singular(&matrix(&weight(decoder, path)?)?)?;
        let device = decoder.device();
        let (outputs, inputs) = decoder.linear_shape(path)?;
        let columns = tensor(&svd.U().subcols(0, form.rank).to_owned(), device)?;
        let rows = tensor(
            &svd.V().subcols(0, form.rank).transpose().to_owned(),
            device,
        )?;
        let start = random_a(path, seed, form, inputs, device)?;
        let zeros = candle_core::Tensor::zeros((outputs, form.rank), start.dtype(), device)?;
        Ok(Site {
            inputs: Inputs::Outside(rows, start),
            outputs: Outputs::Outside(columns, zeros),
            from_weight: false,
            disturbance: None,
        })
    })
}

/// The r smallest triples of W move, orthogonal to all others.
pub fn osft(decoder: &Decoder, settings: &Hyperparameters, seed: u64) -> Result<Adapting> {
    built("osft", decoder, settings, seed, |form, path| {
        let svd = singular(&matrix(&weight(decoder, path)?)?)?;
        let device = decoder.device();
        let site = smallest(&svd, form, None, device)?;
        let large = svd.S().column_vector().nrows() - form.rank;
        let columns = tensor(&svd.U().subcols(0, large).to_owned(), device)?;
        let rows = tensor(&svd.V().subcols(0, large).transpose().to_owned(), device)?;
        let (Inputs::Free(a), Outputs::From(b)) = (site.inputs, site.outputs) else {
            return Err(Error::bug("the smallest triples begin nowhere"));
        };
        Ok(Site {
            inputs: Inputs::Outside(rows, a),
            outputs: Outputs::Outside(columns, b),
            from_weight: true,
            disturbance: None,
        })
    })
}

fn built(
    name: &'static str,
    decoder: &Decoder,
    settings: &Hyperparameters,
    seed: u64,
    site: impl Fn(&Form, &str) -> Result<Site> + Sync,
) -> Result<Adapting> {
    // W has as many triples as its shorter side.
    let form =
        Form::new(decoder, settings)?.within(decoder, |(rows, columns)| rows.min(columns))?;
    let sites: BTreeMap<String, Site> = form
        .modules
        .par_iter()
        .map(|path| Ok((path.clone(), site(&form, path)?)))
        .collect::<Result<_>>()?;
    Adapting::new(name, decoder, form, sites, 0.0, seed)
}

fn singular(matrix: &Mat<f64>) -> Result<Svd<f64>> {
    matrix
        .thin_svd()
        .map_err(|_| Error::bug("a singular value decomposition did not converge"))
}

/// A site that begins as the r smallest triples over s; `after` is multiplied to A from the right.
fn smallest(
    svd: &Svd<f64>,
    form: &Form,
    after: Option<&Mat<f64>>,
    device: &Device,
) -> Result<Site> {
    let values = svd.S().column_vector();
    let rank = form.rank;
    let first = values.nrows() - rank;
    let roots: Vec<f64> = (first..values.nrows())
        .map(|index| (values[index] / form.scale()).sqrt())
        .collect();
    let (u, v) = (svd.U(), svd.V());
    let b = Mat::from_fn(u.nrows(), rank, |row, index| {
        u[(row, first + index)] * roots[index]
    });
    let a = Mat::from_fn(rank, v.nrows(), |index, column| {
        v[(column, first + index)] * roots[index]
    });
    let a = match after {
        Some(after) => product(a.as_ref(), after.as_ref()),
        None => a,
    };
    Ok(Site {
        inputs: Inputs::Free(tensor(&a, device)?),
        outputs: Outputs::From(tensor(&b, device)?),
        from_weight: true,
        disturbance: None,
    })
}

/// C + 0.01·mean(diag C)·I and its inverse; the damping doubles until the inverse is good, as in the
/// reference implementation (PEFT's `corda.py`).
fn damped_inverse(moment: &Mat<f64>) -> (Mat<f64>, Mat<f64>) {
    let width = moment.nrows();
    let mean = trace(moment) / width as f64;
    let mut damping = 0.01;
    loop {
        let damped = damped(moment, damping * mean);
        let inverse = damped.partial_piv_lu().inverse();
        let error = product(damped.as_ref(), inverse.as_ref()) - Mat::<f64>::identity(width, width);
        if error.norm_l2() < 0.05 || damping > 1e6 {
            return (damped, inverse);
        }
        damping *= 2.0;
    }
}

#[cfg(test)]
mod tests;
