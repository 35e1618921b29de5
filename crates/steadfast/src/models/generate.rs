//! Batched greedy and sampled generation with a key-value cache.
//!
//! Sequences that stop leave the batch and waiting prompts take their places, so that the products
//! of a step stay wide. A reply depends on its own prompt and its own random stream only, never on
//! its neighbours (beyond the rounding of f32).

use super::decoder::Cache;
use super::sampling::{likeliest, next_logits, sampled};
use super::{Adapter, Decoder, LanguageModel};
use crate::conversations::packing::shared_beginning;
use crate::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Prompt rows read in one pass.
const PROMPT_ROWS: usize = 2048;

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
///
/// A reply ends at a stop token, at `max_tokens`, or at the end of the model's context.
pub fn generate(
    model: &LanguageModel,
    adapter: Option<&Adapter>,
    prompts: &[Vec<u32>],
    options: &GenerateOptions,
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<Generated>> {
    let replies = reply_tokens(
        &model.decoder,
        adapter,
        prompts,
        &model.tokenizer.stop,
        options,
        on_done,
    )?;
    replies
        .into_iter()
        .map(|reply| {
            Ok(Generated {
                text: model.tokenizer.decode(&reply.tokens)?,
                tokens: reply.tokens,
                stopped: reply.stopped,
            })
        })
        .collect()
}

/// A reply before it is text.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reply {
    tokens: Vec<u32>,
    stopped: bool,
}

/// A sequence under way.
struct Active {
    prompt: usize,
    random: ChaCha8Rng,
    /// The newest token, which the cache has not read yet.
    last: u32,
    /// Most tokens of this reply.
    limit: usize,
}

fn reply_tokens(
    decoder: &Decoder,
    adapter: Option<&Adapter>,
    prompts: &[Vec<u32>],
    stop: &[u32],
    options: &GenerateOptions,
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<Reply>> {
    if let Some(index) = prompts.iter().position(Vec::is_empty) {
        return Err(Error::user(format!("prompt {index} is empty"))
            .hint("give the model at least one token to go on from"));
    }
    if !(options.temperature.is_finite() && options.temperature >= 0.0) {
        return Err(Error::user(format!(
            "a temperature of {} is not possible",
            options.temperature
        ))
        .hint("use 0 for greedy replies, or a value around 0.7"));
    }
    let mut replies = vec![Reply::default(); prompts.len()];
    if options.max_tokens == 0 {
        return Ok(replies);
    }
    let batch = options.batch.max(1);
    let (shared, beginning) = read_beginning(decoder, adapter, prompts)?;
    let mut waiting = 0;
    let mut finished = 0;
    let mut active: Vec<Active> = Vec::new();
    let mut caches: Vec<Cache> = Vec::new();
    loop {
        // New prompts come in a few at a time: reading one alone would make thin products.
        let free = batch - active.len();
        let few = batch.div_ceil(4).min(prompts.len() - waiting);
        if waiting < prompts.len() && (active.is_empty() || free >= few) {
            let mut lengths = Vec::new();
            let mut tokens: Vec<u32> = Vec::new();
            while waiting < prompts.len()
                && lengths.len() < free
                && (lengths.is_empty()
                    || tokens.len() + prompts[waiting].len() - shared <= PROMPT_ROWS)
            {
                let prompt = &prompts[waiting];
                // The last token is never read, so a reply may end one past the context.
                let room = (decoder.context() + 1).saturating_sub(prompt.len());
                let limit = options.max_tokens.min(room);
                let mut random = ChaCha8Rng::seed_from_u64(options.seed);
                random.set_stream(waiting as u64);
                active.push(Active {
                    prompt: waiting,
                    random,
                    last: 0,
                    limit,
                });
                caches.push(beginning.with_capacity(prompt.len() + limit));
                lengths.push(prompt.len() - shared);
                tokens.extend_from_slice(&prompt[shared..]);
                waiting += 1;
            }
            let old = active.len() - lengths.len();
            let logits = next_logits(decoder, adapter, &tokens, &lengths, &mut caches[old..])?;
            choose(&logits, &mut active[old..], options.temperature)?;
        } else if active.is_empty() {
            return Ok(replies);
        } else {
            let tokens: Vec<u32> = active.iter().map(|sequence| sequence.last).collect();
            let ones = vec![1; tokens.len()];
            let logits = next_logits(decoder, adapter, &tokens, &ones, &mut caches)?;
            choose(&logits, &mut active, options.temperature)?;
        }
        // Sequences that were not stepped just now keep their newest token: only unseen ones count.
        for index in (0..active.len()).rev() {
            let sequence = &active[index];
            let reply = &mut replies[sequence.prompt];
            let unseen =
                caches[index].length() == prompts[sequence.prompt].len() + reply.tokens.len();
            if !unseen {
                continue;
            }
            reply.stopped = stop.contains(&sequence.last);
            if !reply.stopped {
                reply.tokens.push(sequence.last);
            }
            if reply.stopped || reply.tokens.len() >= sequence.limit {
                active.swap_remove(index);
                caches.swap_remove(index);
                finished += 1;
                on_done(finished);
            }
        }
    }
}

/// Reads the beginning that all prompts share (a system prompt, say) once for all of them. At least
/// the last token of each prompt is left, since it predicts the reply's first.
fn read_beginning(
    decoder: &Decoder,
    adapter: Option<&Adapter>,
    prompts: &[Vec<u32>],
) -> Result<(usize, Cache)> {
    let shared = shared_beginning(prompts);
    let mut caches = [decoder.cache(shared)];
    if shared > 0 {
        decoder.extend(&prompts[0][..shared], &[shared], &mut caches, adapter)?;
    }
    let [beginning] = caches;
    Ok((shared, beginning))
}

/// Sets the newest token of each sequence from its logits, [sequences, vocabulary].
fn choose(logits: &candle_core::Tensor, active: &mut [Active], temperature: f64) -> Result<()> {
    let logits = super::blocks::buffers::Floats::of(logits)?;
    let vocabulary = logits.len() / active.len();
    for (sequence, logits) in active.iter_mut().zip(logits.chunks_exact(vocabulary)) {
        sequence.last = if temperature == 0.0 {
            likeliest(logits)
        } else {
            sampled(logits, temperature, &mut sequence.random)
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::decoder::tests::{tiny, tiny_adapter, tokens_of};

    fn options() -> GenerateOptions {
        GenerateOptions {
            max_tokens: 12,
            temperature: 0.0,
            seed: 7,
            batch: 3,
        }
    }

    fn prompts() -> Vec<Vec<u32>> {
        (0..8)
            .map(|index| tokens_of(index, 1 + (index as usize * 5) % 17))
            .collect()
    }

    /// Greedy decoding that reads everything anew for each token.
    fn without_cache(
        decoder: &Decoder,
        prompt: &[u32],
        stop: &[u32],
        limit: usize,
    ) -> Result<Reply> {
        let adapter = tiny_adapter(decoder);
        let mut tokens = prompt.to_vec();
        while tokens.len() < prompt.len() + limit {
            let hidden = decoder.hidden(&tokens, &[tokens.len()], Some(&adapter), None)?;
            let logits: Vec<Vec<f32>> = decoder.logits(&hidden)?.to_vec2()?;
            let next = likeliest(&logits[tokens.len() - 1]);
            if stop.contains(&next) {
                return Ok(Reply {
                    tokens: tokens[prompt.len()..].to_vec(),
                    stopped: true,
                });
            }
            tokens.push(next);
        }
        Ok(Reply {
            tokens: tokens[prompt.len()..].to_vec(),
            stopped: false,
        })
    }

    #[test]
    fn replies_are_those_of_each_prompt_alone_without_a_cache() -> Result<()> {
        let decoder = tiny();
        let adapter = tiny_adapter(&decoder);
        // Tokens that come up often stop a reply, so that sequences leave at different times.
        let stop = [3, 11, 30];
        let expected: Vec<Reply> = prompts()
            .iter()
            .map(|prompt| without_cache(&decoder, prompt, &stop, 12))
            .collect::<Result<_>>()?;
        for batch in [1, 3, 100] {
            let mut heard = Vec::new();
            let options = GenerateOptions { batch, ..options() };
            let found = reply_tokens(
                &decoder,
                Some(&adapter),
                &prompts(),
                &stop,
                &options,
                &mut |done| heard.push(done),
            )?;
            assert_eq!(found, expected, "batches of {batch}");
            assert_eq!(heard, (1..=8).collect::<Vec<_>>());
        }
        Ok(())
    }

    #[test]
    fn samples_follow_the_seed_and_not_the_batch() -> Result<()> {
        let decoder = tiny();
        let draw = |seed, batch| {
            let options = GenerateOptions {
                temperature: 1.0,
                seed,
                batch,
                ..options()
            };
            reply_tokens(&decoder, None, &prompts(), &[], &options, &mut |_| {})
        };
        assert_eq!(draw(1, 2)?, draw(1, 8)?);
        assert_ne!(draw(1, 8)?, draw(2, 8)?);
        Ok(())
    }

    #[test]
    fn a_reply_ends_with_the_context() -> Result<()> {
        let decoder = tiny();
        let prompt = vec![tokens_of(1, decoder.context() - 2)];
        let found = reply_tokens(&decoder, None, &prompt, &[], &options(), &mut |_| {})?;
        assert_eq!(found[0].tokens.len(), 3);
        Ok(())
    }

    #[test]
    fn an_empty_prompt_and_an_impossible_temperature_are_errors() {
        let decoder = tiny();
        let run = |prompts: &[Vec<u32>], temperature| {
            let options = GenerateOptions {
                temperature,
                ..options()
            };
            reply_tokens(&decoder, None, prompts, &[], &options, &mut |_| {})
        };
        assert!(run(&[vec![1], vec![]], 0.0).is_err());
        assert!(run(&[vec![1]], f64::NAN).is_err());
        assert!(run(&[vec![1]], -1.0).is_err());
    }
}
