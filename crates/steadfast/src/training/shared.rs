//! What processes that train together exchange: sums of gradients, and the certainty that they moved alike.

use crate::digest;
use crate::group::Group;
use crate::{Error, Result};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Puts the sums over all processes in the place of these tensors, which all of them name alike: one
/// message of 4 bytes a value.
pub fn sum(group: &dyn Group, tensors: &mut BTreeMap<String, Tensor>) -> Result<()> {
    let mut values = flat(tensors)?;
    group.sum(&mut values)?;
    let mut rest = values.as_slice();
    for tensor in tensors.values_mut() {
        let (one, others) = rest
            .split_at_checked(tensor.elem_count())
            .ok_or_else(|| Error::bug("a sum is shorter than what was summed"))?;
        *tensor = Tensor::from_slice(one, tensor.shape(), tensor.device())?;
        rest = others;
    }
    Ok(())
}

/// Fails unless all processes hold the same bits.
pub fn agree(group: &dyn Group, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    if group.alone() {
        return Ok(());
    }
    let digest = digest::of(bytemuck::cast_slice(&flat(tensors)?));
    group.agree("result of training", digest.as_bytes())
}

/// All values, in the order of the names.
fn flat(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    for tensor in tensors.values() {
        values.extend(tensor.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(values)
}
