//! From logits to a token, and to the log-probabilities of a row. What batched generation and the
//! server share.

use super::Adapter;
use super::blocks::lanes;
use super::decoder::{Cache, Decoder};
use crate::Result;
use candle_core::Tensor;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Lets each sequence read its part of `tokens` and take it into its cache. Returns the logits
/// [sequences, vocabulary] of what comes after each.
pub fn next_logits(
    decoder: &Decoder,
    adapter: Option<&Adapter>,
    tokens: &[u32],
    lengths: &[usize],
    caches: &mut [Cache],
) -> Result<Tensor> {
    let hidden = decoder.extend(tokens, lengths, caches, adapter)?;
    if lengths.iter().all(|length| *length == 1) {
        return decoder.logits(&hidden);
    }
    let mut end = 0;
    let last_rows: Vec<u32> = lengths
        .iter()
        .map(|length| {
            end += length;
            end as u32 - 1
        })
        .collect();
    let last_rows = Tensor::new(last_rows, hidden.device())?;
    decoder.logits(&hidden.index_select(&last_rows, 0)?)
}

/// The first of the largest logits.
pub fn likeliest(logits: &[f32]) -> u32 {
    let most = lanes::maximum(logits);
    let place = logits.iter().position(|logit| *logit >= most);
    place.unwrap_or(0) as u32
}

/// A token drawn from softmax(logits / temperature), by inverting the distribution function.
pub fn sampled(logits: &[f32], temperature: f64, random: &mut ChaCha8Rng) -> u32 {
    let powers = powers(logits, temperature);
    let total: f64 = powers.iter().sum();
    let mut left = random.random::<f64>() * total;
    for (token, power) in powers.iter().enumerate() {
        left -= power;
        if left < 0.0 {
            return token as u32;
        }
    }
    // Rounding left a trace beyond the last: the likeliest is as good a choice as any.
    likeliest(logits)
}

/// As [`sampled`], from the likeliest tokens that together reach `share` of the probability
/// (nucleus sampling, Holtzman et al. 2020).
pub fn nucleus(logits: &[f32], temperature: f64, share: f64, random: &mut ChaCha8Rng) -> u32 {
    let powers = powers(logits, temperature);
    let total: f64 = powers.iter().sum();
    // Tokens below this lie outside the nucleus even if all did, so that few are left to sort.
    let least = (1.0 - share) * total / powers.len() as f64;
    let mut candidates: Vec<(u32, f64)> = powers
        .iter()
        .zip(0..)
        .filter(|(power, _)| **power >= least)
        .map(|(power, token)| (token, *power))
        .collect();
    candidates.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let mut sum = 0.0;
    let inside = candidates
        .iter()
        .take_while(|(_, power)| {
            let before = sum;
            sum += power;
            before < share * total
        })
        .count();
    candidates.truncate(inside.max(1));
    let mut left = random.random::<f64>() * candidates.iter().map(|(_, power)| power).sum::<f64>();
    for (token, power) in &candidates {
        left -= power;
        if left < 0.0 {
            return *token;
        }
    }
    candidates.first().map_or(0, |(token, _)| *token)
}

/// e^((logit − most) / temperature) of each.
fn powers(logits: &[f32], temperature: f64) -> Vec<f64> {
    let most = f64::from(lanes::maximum(logits));
    logits
        .iter()
        .map(|logit| ((f64::from(*logit) - most) / temperature).exp())
        .collect()
}

/// The log-probabilities (nats) of one row of logits, at temperature 1.
#[derive(Clone, Copy, Debug)]
pub struct LogProbabilities<'a> {
    logits: &'a [f32],
    most: f32,
    log_sum: f64,
}

impl<'a> LogProbabilities<'a> {
    /// Of a row of logits.
    pub fn of(logits: &'a [f32]) -> Self {
        let (most, sum) = lanes::vectorized(
            #[inline(always)]
            || {
                let most = lanes::maximum(logits);
                (most, lanes::sum_of_exponentials(logits, most))
            },
        );
        Self {
            logits,
            most,
            log_sum: sum.ln(),
        }
    }

    /// ln p of one token.
    pub fn of_token(&self, token: u32) -> f64 {
        f64::from(self.logits[token as usize] - self.most) - self.log_sum
    }

    /// The `count` likeliest tokens, the likeliest first, with ln p; equal ones in order.
    pub fn top(&self, count: usize) -> Vec<(u32, f64)> {
        let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
        for (token, &logit) in self.logits.iter().enumerate() {
            if best.len() == count && best.last().is_none_or(|(_, least)| logit <= *least) {
                continue;
            }
            let place = best.partition_point(|(_, other)| *other >= logit);
            best.insert(place, (token as u32, logit));
            best.truncate(count);
        }
        best.into_iter()
            .map(|(token, _)| (token, self.of_token(token)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn samples_have_the_distribution_of_the_softmax() {
        let logits: Vec<f32> = (0..37).map(|token| (token as f32).sin()).collect();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let count = 20_000;
        let mut seen = vec![0.0; 37];
        for _ in 0..count {
            seen[sampled(&logits, 0.5, &mut random) as usize] += 1.0;
        }
        let total: f64 = logits.iter().map(|x| (f64::from(*x) * 2.0).exp()).sum();
        let statistic: f64 = logits
            .iter()
            .zip(&seen)
            .map(|(logit, seen)| {
                let expected = f64::from(count) * (f64::from(*logit) * 2.0).exp() / total;
                (seen - expected).powi(2) / expected
            })
            .sum();
        // χ² with 36 degrees of freedom exceeds 68 once in a thousand; the seed is fixed.
        assert!(statistic < 68.0, "{statistic}");
    }

    #[test]
    fn a_nucleus_holds_the_likeliest_tokens_only() {
        let logits: Vec<f32> = [0.1f32, 0.5, 0.05, 0.3, 0.05].map(f32::ln).to_vec();
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let mut seen = [0; 5];
        for _ in 0..4000 {
            seen[nucleus(&logits, 1.0, 0.7, &mut random) as usize] += 1;
        }
        // 0.5 alone does not reach 0.7; with 0.3 it does.
        assert_eq!(seen[0] + seen[2] + seen[4], 0);
        assert!(
            (f64::from(seen[1]) / 4000.0 - 0.625).abs() < 0.03,
            "{seen:?}"
        );
        assert_eq!(nucleus(&logits, 1.0, 1e-9, &mut random), 1);
    }

    #[test]
    fn log_probabilities_sum_to_one_and_the_top_is_sorted() {
        let logits: Vec<f32> = (0..37)
            .map(|token| ((token * 7 % 37) as f32).sin())
            .collect();
        let row = LogProbabilities::of(&logits);
        let sum: f64 = (0..37).map(|token| row.of_token(token).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        let top = row.top(5);
        let mut all: Vec<(u32, f64)> = (0..37).map(|token| (token, row.of_token(token))).collect();
        all.sort_by(|one, other| other.1.total_cmp(&one.1));
        assert_eq!(top, all[..5]);
        assert_eq!(top[0].0, likeliest(&logits));
        assert!(row.top(0).is_empty());
    }
}
