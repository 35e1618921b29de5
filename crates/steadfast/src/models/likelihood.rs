//! Likelihoods of continuations; the prompt they share is read once.
//!
//! Requests are packed into passes of a few thousand rows, so that the products stay wide whatever
//! the lengths. A first pass reads the prompts of a pack into caches, a second lets every
//! continuation branch from its prompt's cache.

use super::decoder::Cache;
use super::{Adapter, Decoder, LanguageModel};
use crate::conversations::packing::Target;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Rows of one pass; longer requests make a pass of their own.
const ROWS: usize = 2048;

/// One prompt and several continuations of it, as tokens.
#[derive(Clone, Debug)]
pub struct LikelihoodRequest {
    /// The shared prompt (not empty).
    pub prompt: Vec<u32>,
    /// The continuations (none empty).
    pub continuations: Vec<Vec<u32>>,
}

/// What the model makes of one continuation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
    of_requests(&model.decoder, adapter, requests, on_done)
}

/// Splits into consecutive packs whose sizes sum to [`ROWS`] at most, or that hold one element.
pub(crate) fn packs<T>(elements: &[T], size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut packs = Vec::new();
    let (mut start, mut held) = (0, 0);
    for (index, element) in elements.iter().enumerate() {
        let size = size(element);
        if index > start && held + size > ROWS {
            packs.push(&elements[start..index]);
            (start, held) = (index, 0);
        }
        held += size;
    }
    if start < elements.len() {
        packs.push(&elements[start..]);
    }
    packs
}

fn of_requests(
    decoder: &Decoder,
    adapter: Option<&Adapter>,
    requests: &[LikelihoodRequest],
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<Vec<Likelihood>>> {
    for (index, request) in requests.iter().enumerate() {
        if request.prompt.is_empty() || request.continuations.iter().any(Vec::is_empty) {
            return Err(Error::user(format!(
                "likelihood request {index} has an empty prompt or continuation"
            ))
            .hint("each needs at least one token"));
        }
    }
    let rows = |request: &LikelihoodRequest| {
        request.prompt.len() + request.continuations.iter().map(Vec::len).sum::<usize>()
    };
    let mut found = Vec::with_capacity(requests.len());
    for pack in packs(requests, rows) {
        found.extend(of_pack(decoder, adapter, pack)?);
        on_done(found.len());
    }
    Ok(found)
}

fn of_pack(
    decoder: &Decoder,
    adapter: Option<&Adapter>,
    pack: &[LikelihoodRequest],
) -> Result<Vec<Vec<Likelihood>>> {
    // The prompts but for their last token, which predicts every continuation's first: it is
    // read again at the head of each, so that one pass gives all predictions.
    let mut tokens = Vec::new();
    let mut lengths = Vec::new();
    let mut caches: Vec<Cache> = Vec::new();
    for request in pack {
        let shared = &request.prompt[..request.prompt.len() - 1];
        caches.push(decoder.cache(shared.len()));
        lengths.push(shared.len());
        tokens.extend_from_slice(shared);
    }
    decoder.extend(&tokens, &lengths, &mut caches, adapter)?;

    let mut tokens = Vec::new();
    let mut lengths = Vec::new();
    let mut targets = Vec::new();
    let mut branches = Vec::new();
    for (request, cache) in pack.iter().zip(&caches) {
        for continuation in &request.continuations {
            for (&token, row) in continuation.iter().zip(tokens.len()..) {
                targets.push(Target {
                    row: row as u32,
                    token,
                    weight: 1.0,
                });
            }
            tokens.push(request.prompt[request.prompt.len() - 1]);
            tokens.extend_from_slice(&continuation[..continuation.len() - 1]);
            lengths.push(continuation.len());
            branches.push(cache);
        }
    }
    let hidden = decoder.branch(&tokens, &lengths, &branches, adapter)?;
    let mut scored = decoder.log_probabilities(&hidden, &targets)?.into_iter();
    Ok(pack
        .iter()
        .map(|request| {
            request
                .continuations
                .iter()
                .map(|continuation| {
                    let mut likelihood = Likelihood {
                        log_probability: 0.0,
                        tokens: continuation.len(),
                        greedy: true,
                    };
                    for (log_probability, likeliest) in scored.by_ref().take(continuation.len()) {
                        likelihood.log_probability += log_probability;
                        likelihood.greedy &= likeliest;
                    }
                    likelihood
                })
                .collect()
        })
        .collect())
}

/// Mean KL(base ‖ tuned) in nats a reply token, for each (prompt, reply) of the base's own replies.
pub fn drift(
    model: &LanguageModel,
    adapter: &Adapter,
    pairs: &[(Vec<u32>, Vec<u32>)],
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<f64>> {
    drift_of_pairs(&model.decoder, adapter, pairs, on_done)
}

fn drift_of_pairs(
    decoder: &Decoder,
    adapter: &Adapter,
    pairs: &[(Vec<u32>, Vec<u32>)],
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<f64>> {
    if let Some(index) = pairs
        .iter()
        .position(|(prompt, reply)| prompt.is_empty() || reply.is_empty())
    {
        return Err(Error::user(format!("drift pair {index} has an empty side"))
            .hint("leave out prompts whose reply is empty"));
    }
    let mut found = Vec::with_capacity(pairs.len());
    for pack in packs(pairs, |(prompt, reply)| prompt.len() + reply.len()) {
        let mut tokens = Vec::new();
        let mut lengths = Vec::new();
        let mut rows: Vec<u32> = Vec::new();
        for (prompt, reply) in pack {
            // Row i predicts token i + 1; the reply's last token predicts nothing of it.
            let first = tokens.len() + prompt.len() - 1;
            rows.extend((first..first + reply.len()).map(|row| row as u32));
            tokens.extend_from_slice(prompt);
            tokens.extend_from_slice(&reply[..reply.len() - 1]);
            lengths.push(prompt.len() + reply.len() - 1);
        }
        let base = decoder.hidden(&tokens, &lengths, None, None)?;
        let tuned = decoder.hidden(&tokens, &lengths, Some(adapter), None)?;
        let teacher = base.index_select(&candle_core::Tensor::new(&*rows, base.device())?, 0)?;
        let mut divergences = decoder.divergences(&tuned, &rows, &teacher)?.into_iter();
        found.extend(pack.iter().map(|(_, reply)| {
            divergences.by_ref().take(reply.len()).sum::<f64>() / reply.len() as f64
        }));
        on_done(found.len());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::decoder::tests::{tiny, tiny_adapter, tokens_of};
    use proptest::prelude::*;

    /// ln p of each token of `reply` after `prompt`, read in one piece.
    fn plain(decoder: &Decoder, adapter: &Adapter, prompt: &[u32], reply: &[u32]) -> f64 {
        let tokens = [prompt, reply].concat();
        let hidden = decoder
            .hidden(&tokens, &[tokens.len()], Some(adapter), None)
            .unwrap();
        let logits: Vec<Vec<f32>> = decoder.logits(&hidden).unwrap().to_vec2().unwrap();
        reply
            .iter()
            .enumerate()
            .map(|(index, token)| {
                let row = &logits[prompt.len() + index - 1];
                let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
                f64::from(row[*token as usize]) - sum.ln()
            })
            .sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn likelihoods_are_those_of_each_sequence_read_whole(
            shapes in prop::collection::vec(
                (1usize..30, prop::collection::vec(1usize..12, 0..4)), 1..6),
        ) {
            let decoder = tiny();
            let adapter = tiny_adapter(&decoder);
            let requests: Vec<LikelihoodRequest> = shapes
                .iter()
                .enumerate()
                .map(|(index, (prompt, continuations))| LikelihoodRequest {
                    prompt: tokens_of(index as u64, *prompt),
                    continuations: continuations
                        .iter()
                        .enumerate()
                        .map(|(other, length)| tokens_of(100 + other as u64, *length))
                        .collect(),
                })
                .collect();
            let found = of_requests(&decoder, Some(&adapter), &requests, &mut |_| {}).unwrap();
            for (request, found) in requests.iter().zip(&found) {
                prop_assert_eq!(found.len(), request.continuations.len());
                for (continuation, found) in request.continuations.iter().zip(found) {
                    let expected = plain(&decoder, &adapter, &request.prompt, continuation);
                    prop_assert!((found.log_probability - expected).abs() < 1e-4);
                    prop_assert_eq!(found.tokens, continuation.len());
                }
            }
        }

        #[test]
        fn packs_keep_order_and_size(sizes in prop::collection::vec(1usize..3000, 0..20)) {
            let packs = packs(&sizes, |size| *size);
            prop_assert_eq!(packs.concat(), sizes.clone());
            for pack in packs {
                prop_assert!(pack.len() == 1 || pack.iter().sum::<usize>() <= ROWS);
            }
        }
    }

    #[test]
    fn greedy_says_that_each_token_is_the_likeliest() -> Result<()> {
        let decoder = tiny();
        let prompt = tokens_of(1, 5);
        let hidden = decoder.hidden(&prompt, &[5], None, None)?;
        let logits: Vec<Vec<f32>> = decoder.logits(&hidden)?.to_vec2()?;
        let best = (0..logits[4].len())
            .max_by(|x, y| logits[4][*x].total_cmp(&logits[4][*y]))
            .expect("a vocabulary has tokens") as u32;
        let request = LikelihoodRequest {
            prompt,
            continuations: vec![vec![best], vec![(best + 1) % 37]],
        };
        let found = of_requests(&decoder, None, &[request], &mut |_| {})?;
        assert!(found[0][0].greedy && !found[0][1].greedy);
        assert!(found[0][0].log_probability > found[0][1].log_probability);
        Ok(())
    }

    #[test]
    fn drift_is_nothing_without_a_change_and_the_mean_divergence_with_one() -> Result<()> {
        let decoder = tiny();
        let adapter = tiny_adapter(&decoder);
        let pairs: Vec<_> = (0..5)
            .map(|index| {
                (
                    tokens_of(index, 9),
                    tokens_of(index + 50, 3 + index as usize),
                )
            })
            .collect();
        let unchanged = drift_of_pairs(&decoder, &Adapter::default(), &pairs, &mut |_| {})?;
        assert!(unchanged.iter().all(|drift| drift.abs() < 1e-6));
        let found = drift_of_pairs(&decoder, &adapter, &pairs, &mut |_| {})?;
        for ((prompt, reply), found) in pairs.iter().zip(found) {
            let tokens = [&prompt[..], &reply[..]].concat();
            let logits = |adapter| -> Result<Vec<Vec<f32>>> {
                let hidden = decoder.hidden(&tokens, &[tokens.len()], adapter, None)?;
                Ok(decoder.logits(&hidden)?.to_vec2()?)
            };
            let softmax = |row: &[f32]| -> Vec<f64> {
                let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
                row.iter().map(|x| f64::from(*x).exp() / sum).collect()
            };
            let (base, tuned) = (logits(None)?, logits(Some(&adapter))?);
            let rows = prompt.len() - 1..tokens.len() - 1;
            let expected: f64 = rows
                .map(|row| {
                    let tuned = softmax(&tuned[row]);
                    let base = softmax(&base[row]);
                    base.iter()
                        .zip(tuned)
                        .map(|(p, q)| p * (p / q).ln())
                        .sum::<f64>()
                })
                .sum::<f64>()
                / reply.len() as f64;
            assert!(
                (found - expected).abs() < 1e-4 * expected,
                "{found} {expected}"
            );
        }
        Ok(())
    }

    #[test]
    fn an_empty_side_is_an_error() {
        let decoder = tiny();
        let request = LikelihoodRequest {
            prompt: vec![1],
            continuations: vec![vec![]],
        };
        assert!(of_requests(&decoder, None, &[request], &mut |_| {}).is_err());
        let pairs = [(vec![1], vec![])];
        assert!(drift_of_pairs(&decoder, &Adapter::default(), &pairs, &mut |_| {}).is_err());
    }
}
