//! Batched greedy and sampled generation with a key-value cache.

use super::{Adapter, LanguageModel};
use crate::Result;

/// How to write a reply.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Most new tokens.
    pub max_tokens: usize,
    /// 0 is greedy.
    pub temperature: f64,
    /// Seed of the sampler.
    pub seed: u64,
    /// Sequences decoded together.
    pub batch: usize,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: 64,
            temperature: 0.0,
            seed: 0,
            batch: 32,
        }
    }
}

/// One reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The new tokens, the stop token left out.
    pub tokens: Vec<u32>,
    /// Their text.
    pub text: String,
    /// Ended by a stop token rather than by the limit.
    pub stopped: bool,
}

/// Replies to rendered and tokenized prompts, in their order. `on_done` hears the count of finished prompts.
pub fn generate(
    model: &LanguageModel,
    adapter: Option<&Adapter>,
    prompts: &[Vec<u32>],
    options: &GenerateOptions,
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<Generated>> {
    let _ = (model, adapter, prompts, options, on_done);
    todo!("engine helper")
}
