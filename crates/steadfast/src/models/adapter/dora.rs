//! DoRA (Liu et al. 2024, arXiv 2402.09353, eq. 5): the rows of W + s·B·A point where the adapter says,
//! and are as long as a vector m says: W' = m · (W + s·B·A) / ‖W + s·B·A‖, the norm that of each row.
//!
//! That is the change W' − W of the whole weight, so it is computed once, when the base is at hand.

use super::{Adapter, Identities, LowRank};
use crate::models::Decoder;
use crate::{Error, Result};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;

/// Each changed layer has a magnitude, or none has.
pub(super) fn check(
    used: bool,
    modules: &BTreeMap<String, LowRank>,
    magnitudes: &BTreeMap<String, Tensor>,
) -> Result<()> {
    let without = modules.keys().find(|path| !magnitudes.contains_key(*path));
    let (message, path) = match (used, without, magnitudes.keys().next()) {
        (true, Some(path), _) => ("a layer of a DoRA adapter has no magnitude", path),
        (false, _, Some(path)) => (
            "the config knows no DoRA, and a layer has a magnitude",
            path,
        ),
        _ => match magnitudes.keys().find(|path| !modules.contains_key(*path)) {
            Some(path) => ("a magnitude belongs to no changed layer", path),
            None => return Ok(()),
        },
    };
    Err(Error::user(message)
        .field(path.as_str())
        .hint("config and tensors do not belong together: copy the adapter again"))
}

/// W' [out, in] of the frozen weight [out, in], in f32.
pub fn weight(frozen: &Tensor, module: &LowRank, magnitude: &Tensor) -> Result<Tensor> {
    let rows = frozen.dim(0)?;
    if magnitude.dims() != [rows] {
        return Err(Error::user(format!(
            "a magnitude has shape {:?}, and its layer {rows} rows",
            magnitude.dims()
        ))
        .hint("use the model that the adapter was trained on"));
    }
    let turned = (frozen.to_dtype(DType::F32)? + module.change()?)?;
    let lengths = turned.sqr()?.sum(1)?.sqrt()?;
    let factors = magnitude.div(&lengths)?.reshape((rows, 1))?;
    Ok(turned.broadcast_mul(&factors)?)
}

impl Adapter {
    /// The same adapter on this base: checked against its layers, DoRA as changes of whole weights.
    ///
    /// # Errors
    /// A user error where it is another base's, or brings whole modules, which would change every
    /// other adapter's base too.
    pub fn bound_to(mut self, decoder: &Decoder) -> Result<Self> {
        if let Some(name) = self.replaced.keys().next() {
            return Err(Error::user(format!(
                "the adapter brings its own `{name}`, which it cannot share a base with"
            ))
            .hint("make one model of both with `steadfast export --merge`, and use that"));
        }
        let magnitudes = std::mem::take(&mut self.magnitudes);
        decoder.check_adapter(&self)?;
        let mut identities = Identities::default();
        for (path, magnitude) in magnitudes {
            let (Some(module), Some(frozen)) =
                (self.modules.get_mut(&path), decoder.linear_weight(&path)?)
            else {
                return Err(Error::bug(format!("{path} was checked and is not there")));
            };
            let change = (weight(&frozen, module, &magnitude)? - &frozen)?;
            let (_, width) = frozen.dims2()?;
            *module = LowRank::whole(change, identities.of(width)?);
        }
        Ok(self)
    }
}
