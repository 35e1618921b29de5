//! Every linear layer's weight moves as a whole: ΔW = B, with B [out, in] of the weight's own shape.
//!
//! What is usually called full fine-tuning. The embedding, which is the output head too in tied
//! models, and the norms stay: they are a fifth of SmolLM2's parameters, and moving them would leave
//! nothing of the base to share among arms.

use super::low_rank::{Adapting, Form, Inputs, Site};
use crate::Result;
use crate::models::adapter::Identities;
use crate::models::decoder::Decoder;
use crate::settings::arm::Hyperparameters;
use std::collections::BTreeMap;

/// B = 0 and A the identity, which is never multiplied with.
pub fn full(decoder: &Decoder, settings: &Hyperparameters, seed: u64) -> Result<Adapting> {
    let form = Form {
        rank: 1,
        alpha: 1.0,
        ..Form::new(decoder, settings)?
    };
    let mut identities = Identities::default();
    let mut sites = BTreeMap::new();
    for path in &form.modules {
        let (_, width) = decoder.linear_shape(path)?;
        let site = Site::at(Inputs::Whole(identities.of(width)?));
        sites.insert(path.clone(), site);
    }
    Adapting::new("full", decoder, form, sites, 0.0, seed)
}
