//! Likelihoods of continuations; the prompt they share is read once.

use super::{Adapter, LanguageModel};
use crate::Result;

/// One prompt and several continuations of it, as tokens.
#[derive(Clone, Debug)]
pub struct LikelihoodRequest {
    /// The shared prompt (not empty).
    pub prompt: Vec<u32>,
    /// The continuations (none empty).
    pub continuations: Vec<Vec<u32>>,
}

/// What the model makes of one continuation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likelihood {
    /// Sum of log-probabilities, nats.
    pub log_probability: f64,
    /// Number of tokens.
    pub tokens: usize,
    /// Every token is the likeliest at its place.
    pub greedy: bool,
}

/// Likelihoods, in the order of the requests and of their continuations.
pub fn likelihoods(
    model: &LanguageModel,
    adapter: Option<&Adapter>,
    requests: &[LikelihoodRequest],
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<Vec<Likelihood>>> {
    let _ = (model, adapter, requests, on_done);
    todo!("engine helper")
}

/// Mean KL(base ‖ tuned) in nats a reply token, for each (prompt, reply) of the base's own replies.
pub fn drift(
    model: &LanguageModel,
    adapter: &Adapter,
    pairs: &[(Vec<u32>, Vec<u32>)],
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<f64>> {
    let _ = (model, adapter, pairs, on_done);
    todo!("engine helper")
}
