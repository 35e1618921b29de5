//! Modules that an adapter brings as wholes (PEFT's `modules_to_save`): the embedding, the head, norms.
//!
//! They are no change on top of a base but another base, so they take the place of its weights before
//! the network is built, and whoever shares a base with others cannot have them.

use super::Adapter;
use crate::models::config::ModelConfig;
use crate::models::weights::{Weight, Weights};
use crate::{Error, Result};

/// Whether embedding and head, one tensor in the base, are two with this adapter: PEFT leaves the other
/// as it was. Gives the names of both.
///
/// # Errors
/// The family is not known.
pub fn unties(adapter: &Adapter, config: &ModelConfig) -> Result<Option<(String, String)>> {
    let names = &config.family()?.names;
    let embedding = format!("{}.weight", names.embedding);
    let head = format!("{}.weight", names.heads[0]);
    let brings = |name: &String| adapter.replaced.contains_key(name);
    let one = brings(&embedding) || brings(&head);
    Ok((config.tied_embeddings && one).then_some((embedding, head)))
}

impl Adapter {
    /// Puts the modules that the adapter brings in the place of the base's; it brings none afterwards.
    ///
    /// # Errors
    /// A user error where the base has no such module, or one of another shape.
    pub fn lay_over(&mut self, config: &mut ModelConfig, weights: &mut Weights) -> Result<()> {
        if let Some((embedding, head)) = unties(self, config)? {
            config.tied_embeddings = false;
            if let Some(shared) = weights.remove(&embedding) {
                let shared = shared.into_floats()?;
                weights.insert(embedding, shared.clone().into());
                weights.insert(head, shared.into());
            }
        }
        for (name, tensor) in std::mem::take(&mut self.replaced) {
            let shape = weights.get(&name).map(Weight::shape);
            match shape {
                Some(shape) if shape == tensor.dims() => {
                    weights.insert(name, tensor.contiguous()?.into());
                }
                Some(shape) => return Err(other_shape(&name, tensor.dims(), &shape)),
                None => return Err(unknown(&name)),
            }
        }
        Ok(())
    }
}

pub(crate) fn other_shape(name: &str, own: &[usize], base: &[usize]) -> Error {
    Error::user(format!(
        "the adapter brings `{name}` of shape {own:?}, and the base has {base:?} there"
    ))
    .hint("use the model that the adapter was trained on; a vocabulary that has grown is not supported")
}

pub(crate) fn unknown(name: &str) -> Error {
    Error::user(format!(
        "the adapter brings `{name}`, which is no part of this model"
    ))
    .hint("use the model that the adapter was trained on")
}
